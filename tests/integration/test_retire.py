# SPDX-License-Identifier: Apache-2.0
"""`deregister`, `deprecate`, `protect` and `prune` against the strict server."""
import datetime
import json
import signal
import subprocess
import time

import pytest

from strict_images import OTHER, ec2  # noqa: F401


def ago(days):
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return then.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def image(ec2, name="web-1", **more):
    return ec2.add_image(name, [ec2.add_snapshot()], **more)


def interrupted(amiwright, ec2, call, *args, sig=signal.SIGINT):
    """Runs it and ends it while that call, which is done, is not answered yet: (stdout, stderr, status)."""
    ec2.hang = call
    ec2.go.clear()
    begin = len(ec2.calls(call))
    process = subprocess.Popen([amiwright.path, *args], env=amiwright.env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    for _ in range(500):
        if len(ec2.calls(call)) > begin:
            break
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(sig)
    out, err = process.communicate(timeout=20)
    ec2.hang = None
    ec2.go.set()
    return out, err, process.returncode


# deregister

def test_with_snapshots(amiwright, ec2):
    kept = ec2.add_snapshot()
    ami = ec2.add_image("web", [kept, ec2.add_snapshot()])
    own = ec2.images[ami]["mapping"][1][1]
    ec2.add_image("other", [kept])
    out = amiwright("deregister", ami, "--delete-snapshots")
    assert out.stdout == f"{ami}\n{own}\n" and f"{kept} stays" in out.stderr
    assert ami not in ec2.images and own not in ec2.snapshots and kept in ec2.snapshots


def test_snapshots_stay_unless_asked(amiwright, ec2):
    ami = image(ec2)
    doc = amiwright.json("deregister", ami)
    assert doc["images"][0]["deregistered"] and not doc["images"][0]["snapshots"][0]["deleted"]
    assert len(ec2.snapshots) == 1


@pytest.mark.parametrize("knob, text", [
    (lambda ec2, ami: ec2.images[ami].update(protection="enabled-with-cooldown"), "is protected"),
    (lambda ec2, ami: ec2.images[ami].update(owner=OTHER), "belongs to account"),
    (lambda ec2, ami: ec2.instances.update({ami: "stopped"}), "is used by instance i-1"),
])
def test_refused(amiwright, ec2, knob, text):
    """Also the one that could go stays: all are checked before the first is touched."""
    ami, other = image(ec2), image(ec2, "other")
    knob(ec2, ami)
    out = amiwright("deregister", other, ami, "--delete-snapshots", status=3)
    assert text in out.stderr and not ec2.changes() and not out.stdout


def test_used(amiwright, ec2):
    ami = image(ec2)
    ec2.instances[ami] = "terminated"
    gone = image(ec2)
    amiwright("deregister", ami)
    ec2.instances[gone] = "running"
    amiwright("deregister", gone, "--include-used")
    assert not ec2.images


@pytest.mark.parametrize("templates,text", [
    ([("web", 4)], "is named by launch template lt-web (web), version 4\n"),
    ([("web", 4), ("web", 2)], "lt-web (web), version 4\n"),
    ([("web", 4), ("web", 2), ("old", 1)], "lt-web (web), version 4, and by others\n"),
])
def test_named_by_templates(amiwright, ec2, templates, text):
    ami, other = image(ec2), image(ec2, "other")
    ec2.templates = [(name, ami, version) for name, version in templates]
    assert text in amiwright("deregister", ami, status=3).stderr and not ec2.changes()
    amiwright("deregister", other)
    amiwright("deregister", ami, "--include-used")
    assert not ec2.images


@pytest.mark.parametrize("call", ["DescribeInstances", "DescribeLaunchTemplateVersions"])
def test_who_uses_it_may_not_be_listed(amiwright, ec2, call):
    ami = image(ec2)
    ec2.denied[call] = "UnauthorizedOperation"
    out = amiwright("deregister", ami, status=4)
    assert "cannot be found out (--include-used does not ask)" in out.stderr and ami in ec2.images
    assert f"{call} {ami}" in out.stderr and "UnauthorizedOperation" in out.stderr
    amiwright("deregister", ami, "--include-used")


def test_snapshot_cannot_be_deleted(amiwright, ec2):
    ami = image(ec2)
    ec2.denied["DeleteSnapshot"] = "UnauthorizedOperation"
    out = amiwright("deregister", ami, "--delete-snapshots", status=4)
    assert "is deregistered, but 1 of its snapshots stay" in out.stderr and out.stdout == f"{ami}\n"


def test_deregister_dry_run(amiwright, ec2):
    ami = image(ec2)
    out = amiwright("deregister", ami, "--delete-snapshots", "--dry-run")
    assert ami in out.stdout and ami in ec2.images and not ec2.changes()
    ec2.denied["DeregisterImage"] = "UnauthorizedOperation"
    assert amiwright("deregister", ami, "--dry-run", status=4).stdout == "" and ami in ec2.images


@pytest.mark.parametrize("lost", [1, 2, 100])
def test_lost_answer(amiwright, ec2, lost):
    """The retry hears that the AMI is not there: that is what was asked for."""
    ami = image(ec2)
    ec2.lost["DeregisterImage"] = lost
    out = amiwright("deregister", ami, "--delete-snapshots", "--max-attempts", "3")
    assert not ec2.images and not ec2.snapshots and len(out.stdout.splitlines()) == 2


@pytest.mark.parametrize("sig, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("command", [["deregister", "AMI", "--delete-snapshots"],
                                     ["prune", "--name", "web-*", "--keep", "1", "--delete"]])
def test_ended_while_it_is_deregistered(amiwright, ec2, command, sig, status):
    """What goes with the AMI is said, and found again when the AMI is gone."""
    ami = ec2.add_image("web-1", [ec2.add_snapshot(), ec2.add_snapshot()])
    snapshots = list(ec2.snapshots)
    kept = image(ec2, "web-2")
    out = interrupted(amiwright, ec2, "DeregisterImage", *(ami if c == "AMI" else c for c in command), sig=sig)
    assert out[2] == status and list(ec2.images) == [kept] and len(ec2.snapshots) == 3
    if sig == signal.SIGINT:
        assert "may be deregistered or not" in out[1] and all(s in out[1] for s in snapshots)
        assert "removed" not in out[0] and f"deregister {ami} --delete-snapshots" in out[1]
    assert amiwright("deregister", ami, "--delete-snapshots").stdout.split() == snapshots
    assert len(ec2.snapshots) == 1
    assert "does not exist" in amiwright("deregister", ami, "--delete-snapshots", status=4).stderr


def test_rest_that_another_image_has(amiwright, ec2):
    ami = image(ec2)
    (snapshot,) = ec2.snapshots
    ec2.denied["DeleteSnapshot"] = "UnauthorizedOperation"
    amiwright("deregister", ami, "--delete-snapshots", status=4)
    ec2.denied.clear()
    ec2.add_image("other", [snapshot])
    out = amiwright("deregister", ami, "--delete-snapshots")
    assert out.stdout == "" and snapshot in ec2.snapshots and "has it too" in out.stderr


def test_ended_while_a_snapshot_is_deleted(amiwright, ec2):
    """One is gone and nobody was told, two were not tried."""
    ami = ec2.add_image("web", [ec2.add_snapshot() for _ in range(3)])
    first, *others = ec2.snapshots
    out, err, status = interrupted(amiwright, ec2, "DeleteSnapshot", "deregister", ami, "--delete-snapshots", "--json")
    assert status == 130 and list(ec2.snapshots) == others
    assert f"2 of its snapshots stay ({', '.join(others)}), and 1 may stay ({first})" in err
    rows = json.loads(out)["images"][0]["snapshots"]
    assert [r["fate"] for r in rows] == ["unknown", "untried", "untried"] and all(r["why"] for r in rows)
    amiwright("deregister", ami, "--delete-snapshots")
    assert not ec2.snapshots


def test_marks_may_be_denied(amiwright, ec2):
    ami = image(ec2)
    ec2.denied["CreateTags"] = "UnauthorizedOperation"
    out = amiwright("deregister", ami, "--delete-snapshots")
    assert "cannot be marked" in out.stderr and not ec2.snapshots


def test_named_twice(amiwright, ec2):
    ami = image(ec2)
    assert amiwright("deregister", ami, ami, "--dry-run").stdout.count(ami) == 1
    assert amiwright("deregister", ami, ami).stdout == f"{ami}\n" and not ec2.images


# deprecate

def test_deprecate(amiwright, ec2):
    ami = image(ec2)
    assert amiwright("deprecate", ami, "--at", "2030-01-31T12:00:30Z").stdout == f"{ami} 2030-01-31T12:01:00Z\n"
    assert ec2.images[ami]["deprecation"] == "2030-01-31T12:01:00Z"
    amiwright("deprecate", ami, "--in", "90d")
    wanted = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=90)
    assert ec2.images[ami]["deprecation"][:10] == wanted.strftime("%Y-%m-%d")
    assert amiwright("deprecate", ami, "--cancel").stdout == f"{ami} never\n" and not ec2.images[ami]["deprecation"]


@pytest.mark.parametrize("args, text", [
    ([], "needs one of"),
    (["--in", "1d", "--cancel"], "needs one of"),
    (["--at", "2020-01-01"], "is not in the future"),
    (["--in", "11y"], "within ten years"),
    (["--in", "soon"], "is no span of time"),
])
def test_deprecate_usage(amiwright, ec2, args, text):
    assert text in amiwright("deprecate", "ami-1", *args, status=2).stderr and not ec2.requests


def test_public_images_last_two_years(amiwright, ec2):
    ami = image(ec2, shared=[("group", "all")], created=ago(10))
    assert "two years after its creation" in amiwright("deprecate", ami, "--in", "3y", status=2).stderr
    amiwright("deprecate", ami, "--in", "1y")


# protect

def test_protect(amiwright, ec2):
    ami = image(ec2)
    assert amiwright("protect", ami).stdout == f"{ami} enabled-without-cooldown\n"
    amiwright("deregister", ami, status=3)
    assert amiwright.json("protect", ami, "--cooldown") == {ami: "enabled-with-cooldown"}
    assert amiwright("protect", ami, "--off", "--dry-run").stdout == f"{ami} enabled-with-cooldown\n"
    assert amiwright("protect", ami, "--off").stdout == f"{ami} disabled\n"
    amiwright("deregister", ami)


@pytest.mark.parametrize("command", [["protect"], ["deprecate", "--in", "90d"]])
@pytest.mark.parametrize("bad, status", [("theirs", 3), ("bogus", 2)])
def test_all_are_checked_first(amiwright, ec2, command, bad, status):
    ami, theirs = image(ec2), image(ec2, "theirs", owner=OTHER)
    amiwright(*command, ami, theirs if bad == "theirs" else bad, status=status)
    assert not ec2.changes()


# prune

@pytest.fixture
def five(ec2):
    """web-1 … web-5, made 100, 80, 60, 40 and 20 days ago."""
    return [image(ec2, f"web-{n}", created=ago(120 - 20 * n)) for n in range(1, 6)]


def verdicts(doc):
    return {i["name"]: i["verdict"] for i in doc["images"]}


def test_plan_only(amiwright, ec2, five):
    image(ec2, "database", created=ago(500))
    out = amiwright("prune", "--name", "web-*", "--keep", "2", "--older-than", "50d")
    assert [line.split()[0] for line in out.stdout.splitlines()] == ["keep"] * 2 + ["remove"] * 3
    assert "nothing was removed" in out.stderr and not ec2.changes() and "database" not in out.stdout


def test_delete(amiwright, ec2, five):
    shared = ec2.images[five[0]]["mapping"][0][1]
    ec2.add_image("database", [shared])
    doc = amiwright.json("prune", "--name", "web-*", "--keep", "2", "--older-than", "70d", "--delete")
    assert verdicts(doc) == {"web-5": "keep", "web-4": "keep", "web-3": "keep", "web-2": "removed", "web-1": "removed"}
    assert five[0] not in ec2.images and five[1] not in ec2.images and five[2] in ec2.images
    # Snapshots go with them, but for the one that another AMI has.
    assert shared in ec2.snapshots and len(ec2.snapshots) == 4


def test_the_newest_stays(amiwright, ec2, five):
    amiwright("prune", "--name", "web-*", "--older-than", "1d", "--delete")
    assert list(ec2.images) == [five[4]]


@pytest.mark.parametrize("knob, flag, text", [
    (lambda ec2, ami: ec2.images[ami]["shared"].append(("userId", OTHER)), "--include-shared", "is shared with"),
    (lambda ec2, ami: ec2.images[ami]["shared"].append(("group", "all")), "--include-shared", "is public"),
    (lambda ec2, ami: ec2.snapshots[ec2.images[ami]["mapping"][0][1]]["shared"].append(("userId", OTHER)),
     "--include-shared", "has snapshot"),
    (lambda ec2, ami: ec2.instances.update({ami: "running"}), "--include-used", "is used by instance"),
    (lambda ec2, ami: ec2.images[ami].update(launched=ago(3)), "--include-used", "was launched"),
    (lambda ec2, ami: ec2.templates.append(("web", ami, 1)), "--include-used", "is named by launch template lt-web"),
])
def test_shared_and_used_stay(amiwright, ec2, five, knob, flag, text):
    knob(ec2, five[0])
    command = ["prune", "--name", "web-*", "--keep", "3", "--delete"]
    out = amiwright(*command)
    assert text in out.stdout and five[0] in ec2.images and five[1] not in ec2.images
    amiwright(*command, flag)
    assert five[0] not in ec2.images


def test_launched_long_ago(amiwright, ec2, five):
    ec2.images[five[0]]["launched"] = ago(45)
    assert amiwright.json("prune", "--name", "web-*", "--keep", "4")["images"][4]["verdict"] == "remove"
    assert amiwright.json("prune", "--name", "web-*", "--keep", "4", "--used-within", "60d")["images"][4]["verdict"] == "keep"


def test_protected_stay_whatever_is_said(amiwright, ec2, five):
    ec2.images[five[0]]["protection"] = "enabled-without-cooldown"
    amiwright("prune", "--name", "web-*", "--keep", "1", "--include-shared", "--include-used", "--delete")
    assert list(ec2.images) == [five[0], five[4]]


def test_what_cannot_be_found_out_keeps(amiwright, ec2, five):
    ec2.denied["DescribeInstances"] = "UnauthorizedOperation"
    out = amiwright("prune", "--name", "web-*", "--keep", "1", "--delete")
    assert len(ec2.images) == 5 and "UnauthorizedOperation" in out.stdout


def test_prune_interrupted(amiwright, ec2, five):
    """Only what is gone is called removed."""
    out, _, status = interrupted(amiwright, ec2, "DescribeInstances", "prune", "--name", "web-*", "--keep", "3", "--delete")
    assert status == 130 and len(ec2.images) == 5 and "removed" not in out and out.count("untried") == 2
    doc, _, status = interrupted(amiwright, ec2, "DeregisterImage", "prune", "--name", "web-*", "--keep", "3", "--delete",
                                 "--json")
    assert status == 130 and verdicts(json.loads(doc)) == {
        "web-5": "keep", "web-4": "keep", "web-3": "keep", "web-2": "unknown", "web-1": "untried"}


def test_prune_failure_goes_on(amiwright, ec2, five):
    ec2.denied["DeleteSnapshot"] = "UnauthorizedOperation"
    out = amiwright("prune", "--name", "web-*", "--keep", "3", "--delete", status=4)
    assert "2 of 2 AMIs were not removed whole" in out.stderr and len(ec2.images) == 3
    assert out.stdout.count("failed") == 2


def test_groups(amiwright, ec2):
    for product in "ab":
        for n in range(3):
            image(ec2, f"{product}-{n}", tags={"product": product}, created=ago(50 - n))
    out = amiwright("prune", "--name", "*", "--keep", "1", status=2)
    assert "--group-by" in out.stderr
    doc = amiwright.json("prune", "--name", "*", "--group-by", "product", "--keep", "1")
    assert [n for n, v in verdicts(doc).items() if v == "keep"] == ["a-2", "b-2"]


def test_prune_dry_run(amiwright, ec2, five):
    amiwright("prune", "--name", "web-*", "--keep", "1", "--dry-run")
    assert len(ec2.images) == 5
    ec2.denied["DeregisterImage"] = "UnauthorizedOperation"
    assert "UnauthorizedOperation" in amiwright("prune", "--name", "web-*", "--keep", "1", "--dry-run", status=4).stderr


def test_others_are_never_seen(amiwright, ec2, five):
    ec2.images[five[0]]["owner"] = OTHER
    assert five[0] not in amiwright("prune", "--name", "web-*", "--keep", "1").stdout
