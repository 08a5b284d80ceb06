# SPDX-License-Identifier: Apache-2.0
"""`copy` against the strict server: requests by botocore's models, signatures and presigned URLs by its signer."""
import signal
import subprocess
import time

import pytest

from strict_images import KMS, OTHER, ec2  # noqa: F401


def two_disks(ec2, **more):
    root = ec2.add_snapshot(tags={"disk": "root", "team": "a"}, **more)
    data = ec2.add_snapshot(tags={"disk": "data"}, **more)
    return ec2.add_image("web-1", [root, data], tags={"team": "platform", "aws:x": "y"}, description="web"), root, data


def test_to_many_regions(amiwright, ec2):
    ami, root, data = two_disks(ec2)
    out = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2", "--tag", "stage=live")
    lines = dict(line.split() for line in out.stdout.splitlines())
    assert list(lines) == ["eu-west-1", "us-west-2"]
    for region, name in lines.items():
        copy = ec2.images[name]
        assert (copy["region"], copy["state"], copy["name"], copy["description"]) == (region, "available", "web-1", "web")
        assert copy["tags"] == {"team": "platform", "stage": "live", "amiwright:copy-of": f"eu-north-1/{ami}"}
        snapshots = [ec2.snapshots[s] for _, s in copy["mapping"]]
        assert [s["tags"] for s in snapshots] == [
            {"disk": "root", "team": "a", "stage": "live", "amiwright:copy-of": f"eu-north-1/{root}"},
            {"disk": "data", "stage": "live", "amiwright:copy-of": f"eu-north-1/{data}"}]
        assert not any(s["encrypted"] for s in snapshots)
    # Both were begun before either was waited for.
    actions = [a for a, _ in ec2.requests]
    second = len(actions) - 1 - actions[::-1].index("CopyImage")
    assert ec2.images[lines["eu-west-1"]]["polls"] > 0 and actions[second + 1:].count("DescribeImages") >= 4


def test_repeat_makes_nothing_new(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    first = amiwright.json("copy", ami, "--to", "eu-west-1")
    again = amiwright.json("copy", ami, "--to", "eu-west-1")
    assert again["copies"][0]["ami"] == first["copies"][0]["ami"]
    assert (first["copies"][0]["existing"], again["copies"][0]["existing"]) == (False, True)
    assert len(ec2.calls("CopyImage")) == 1


def test_tags_of_users_stay(amiwright, ec2):
    """A repeat gives what is missing and does not undo what somebody changed."""
    ami, *_ = two_disks(ec2)
    copy = amiwright.json("copy", ami, "--to", "eu-west-1")["copies"][0]["ami"]
    ec2.images[copy]["tags"] = {"team": "changed"}
    amiwright("copy", ami, "--to", "eu-west-1")
    assert ec2.images[copy]["tags"] == {"team": "changed", "amiwright:copy-of": f"eu-north-1/{ami}"}


def test_one_region_fails(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    ec2.broken["eu-west-1"] = "Given key ID is not accessible"
    out = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2", status=4)
    assert "1 of 2 copies failed" in out.stderr and "Given key ID is not accessible" in out.stderr
    good = [line for line in out.stdout.splitlines() if line.startswith("us-west-2")]
    assert len(good) == 1
    # A rerun begins the failed one afresh, with another token, and finds the other. Nothing of the failed one stays.
    failed, = ec2.in_region("eu-west-1")
    left = {s for _, s in ec2.images[failed]["mapping"]}
    assert len(left) == 2 and left <= set(ec2.snapshots)
    ec2.broken.clear()
    again = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2")
    assert good[0] in again.stdout.splitlines() and len(ec2.calls("CopyImage")) == 3
    assert not left & set(ec2.snapshots) and failed not in ec2.images
    assert len([s for s in ec2.snapshots.values() if s["region"] == "eu-west-1"]) == 2


def test_failed_copy_whose_snapshots_are_shared_or_stay(amiwright, ec2):
    """A snapshot that another AMI has stays; who may not delete has his copy all the same, and is told."""
    ami, *_ = two_disks(ec2)
    ec2.broken["eu-west-1"] = "Given key ID is not accessible"
    amiwright("copy", ami, "--to", "eu-west-1", status=4)
    ec2.broken.clear()
    failed, = ec2.in_region("eu-west-1")
    snapshots = [s for _, s in ec2.images[failed]["mapping"]]
    ec2.add_image("other", [snapshots[0]], region="eu-west-1")
    ec2.denied["DeleteSnapshot"] = "UnauthorizedOperation"
    out = amiwright("copy", ami, "--to", "eu-west-1")
    assert out.stdout.startswith("eu-west-1 ami-") and failed not in ec2.images
    assert f"1 of its snapshots stay ({snapshots[1]})" in out.stderr and set(snapshots) <= set(ec2.snapshots)
    del ec2.denied["DeleteSnapshot"]
    amiwright("deregister", failed, "--delete-snapshots", "--region", "eu-west-1")
    assert snapshots[0] in ec2.snapshots and snapshots[1] not in ec2.snapshots


@pytest.mark.parametrize("action, stay", [("DeregisterImage", 2), ("DeleteSnapshot", 1)])
def test_killed_while_a_failed_copy_is_removed(amiwright, ec2, action, stay):
    """A rerun finds the snapshots, which no AMI leads to any more; others that are to go elsewhere are not its business."""
    ami, root, data = two_disks(ec2)
    ec2.broken["eu-west-1"] = "Given key ID is not accessible"
    amiwright("copy", ami, "--to", "eu-west-1", status=4)
    ec2.broken.clear()
    failed, = ec2.in_region("eu-west-1")
    left = {s for _, s in ec2.images[failed]["mapping"]}
    others = {ec2.add_snapshot(region="eu-west-1", tags={"amiwright:retire": "ami-0123456789abcdef0"}),
              ec2.add_snapshot(region="eu-west-1", tags={"amiwright:copy-of": f"eu-north-1/{root}"}),
              ec2.add_snapshot(region="eu-west-1", tags={"amiwright:copy-of": f"eu-north-1/{ami}"})}
    ec2.hang = action
    with subprocess.Popen([amiwright.path, "copy", ami, "--to", "eu-west-1"], env=amiwright.env) as process:
        while failed in ec2.images or len(left & set(ec2.snapshots)) > stay:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    ec2.hang = None
    ec2.go.set()
    amiwright("copy", ami, "--to", "eu-west-1", "--dry-run")
    assert len(left & set(ec2.snapshots)) == stay
    out = amiwright("copy", ami, "--to", "eu-west-1")
    assert out.stdout.startswith("eu-west-1 ami-")
    assert not left & set(ec2.snapshots) and others <= set(ec2.snapshots)


def test_rest_of_a_failed_copy_that_cannot_be_deleted(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    rest = ec2.add_snapshot(region="eu-west-1", tags={"amiwright:retire": "ami-0123456789abcdef0",
                                                      "amiwright:copy-of": f"eu-north-1/{ami}"})
    ec2.denied["DeleteSnapshot"] = "UnauthorizedOperation"
    out = amiwright("copy", ami, "--to", "eu-west-1")
    assert out.stdout.startswith("eu-west-1 ami-") and rest in out.stderr and rest in ec2.snapshots


@pytest.mark.parametrize("args", [[], ["--no-encrypt"]])
def test_region_that_takes_no_calls(amiwright, ec2, args):
    ami, *_ = two_disks(ec2)
    ec2.down.add("eu-west-1")
    out = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2", *args, status=4)
    assert "OptInRequired" in out.stderr and out.stdout.startswith("us-west-2 ami-")


def test_too_many_copies_at_a_time(amiwright, ec2):
    """Those that find no room wait until there is."""
    ami, *_ = two_disks(ec2)
    ec2.full = 5
    out = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2")
    assert len(out.stdout.splitlines()) == 2 and len(ec2.in_region("eu-west-1")) == 1


def test_too_many_copies_and_no_wait(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    ec2.full = 1
    out = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2", "--no-wait", status=4)
    assert "eu-west-1: the copy was not begun" in out.stderr and out.stdout.startswith("us-west-2 ami-")


def test_deregistered_copy_is_made_again(amiwright, ec2):
    """EC2 remembers the token of the first copy and answers with an AMI that is gone."""
    ami, *_ = two_disks(ec2)
    first = amiwright.json("copy", ami, "--to", "eu-west-1")["copies"][0]["ami"]
    ec2.images[first]["name"] = "renamed-for-the-test"
    ec2.images[first]["state"] = "deregistered"
    second = amiwright.json("copy", ami, "--to", "eu-west-1")["copies"][0]["ami"]
    assert second != first and ec2.images[second]["state"] == "available"


@pytest.mark.parametrize("args, source, status, text", [
    (["--no-encrypt"], {"encrypted": True}, 3, "no unencrypted copy of an encrypted snapshot"),
    (["--no-encrypt"], {}, 3, "encryption by default is on in eu-west-1"),
    (["--no-encrypt", "--encrypt"], {}, 2, "excludes"),
    (["--kms-key", KMS.format("us-west-2", "customer")], {}, 2, "is not of region eu-west-1"),
    (["--kms-key", "us-west-2=alias/ami"], {}, 2, "to which nothing is copied"),
    (["--to", "cn-north-1"], {}, 3, "nothing is copied from one partition to another"),
    (["--to", "eu-north-1"], {}, 2, "give --name"),
    (["--to", "eu-west-1"], {}, 2, "given twice"),
])
def test_refused_before_any_change(amiwright, ec2, args, source, status, text):
    ami, *_ = two_disks(ec2, **source)
    ec2.default_on.add("eu-west-1")
    out = amiwright("copy", ami, "--to", "eu-west-1", *args, status=status)
    assert text in out.stderr and not out.stdout and not ec2.changes()


@pytest.mark.parametrize("args, source, key", [
    ([], {}, None),
    (["--no-encrypt"], {}, None),
    (["--encrypt"], {}, "default"),
    (["--kms-key", "alias/ami"], {}, "customer"),
    (["--kms-key", "alias/aws/ebs", "--kms-key", "eu-west-1=alias/ami"], {}, "customer"),
    ([], {"encrypted": True}, "default"),
    (["--encrypt"], {"encrypted": True}, "default"),
    (["--kms-key", KMS.format("eu-west-1", "customer")], {"encrypted": True}, "customer"),
])
def test_encryption(amiwright, ec2, args, source, key):
    ami, *_ = two_disks(ec2, **source)
    copy = amiwright.json("copy", ami, "--to", "eu-west-1", *args)["copies"][0]
    snapshots = [ec2.snapshots[s] for _, s in ec2.images[copy["ami"]]["mapping"]]
    assert [s["kms"] for s in snapshots] == [key and KMS.format("eu-west-1", key)] * 2
    assert copy["encrypted"] == bool(key)


def test_same_region_keeps_or_changes_the_key(amiwright, ec2):
    ami, *_ = two_disks(ec2, encrypted=True, kms=KMS.format("eu-north-1", "customer"))
    kept = amiwright.json("copy", ami, "--to", "eu-north-1", "--name", "kept")["copies"][0]["ami"]
    other = amiwright.json("copy", ami, "--to", "eu-north-1", "--name", "other", "--kms-key", "alias/aws/ebs")
    assert ec2.snapshots[ec2.images[kept]["mapping"][0][1]]["kms"].endswith("customer")
    assert ec2.snapshots[ec2.images[other["copies"][0]["ami"]]["mapping"][0][1]]["kms"].endswith("default")


@pytest.mark.parametrize("args, text", [
    (["--encrypt"], "is there already and not encrypted"),
    (["--kms-key", "alias/ami"], "is there already and not encrypted"),
])
def test_copy_with_other_encryption_is_there(amiwright, ec2, args, text):
    ami, *_ = two_disks(ec2)
    amiwright("copy", ami, "--to", "eu-west-1")
    out = amiwright("copy", ami, "--to", "eu-west-1", *args, status=3)
    assert text in out.stderr and len(ec2.calls("CopyImage")) == 1


@pytest.mark.parametrize("first, then, text", [
    ([], ["--encrypt"], "and not encrypted"),
    (["--encrypt"], ["--no-encrypt"], "and encrypted"),
    (["--encrypt"], ["--kms-key", "alias/ami"], "and not with alias/ami"),
])
def test_pending_copy_with_other_encryption(amiwright, ec2, first, then, text):
    """Nobody can tell before it is available; then it is looked at."""
    ami, *_ = two_disks(ec2)
    ec2.copy_polls = 2
    amiwright("copy", ami, "--to", "eu-west-1", "--no-wait", *first)
    out = amiwright("copy", ami, "--to", "eu-west-1", *then, status=3)
    assert text in out.stderr and len(ec2.calls("CopyImage")) == 1


def test_copy_with_another_key_is_there(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    amiwright("copy", ami, "--to", "eu-west-1", "--encrypt")
    amiwright("copy", ami, "--to", "eu-west-1", "--kms-key", "alias/aws/ebs")
    out = amiwright("copy", ami, "--to", "eu-west-1", "--kms-key", "alias/ami", status=3)
    assert "default and not with alias/ami" in out.stderr


def test_name_of_another_image(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    ec2.add_image("web-1", [ec2.add_snapshot("eu-west-1")], "eu-west-1")
    out = amiwright("copy", ami, "--to", "eu-west-1", status=3)
    assert "is taken by" in out.stderr
    # Another region goes on, and then something was changed.
    out = amiwright("copy", ami, "--to", "eu-west-1", "--to", "us-west-2", status=4)
    assert out.stdout.startswith("us-west-2 ami-") and len(ec2.in_region("us-west-2")) == 1


def test_image_of_another_account(amiwright, ec2):
    root = ec2.add_snapshot(encrypted=True, owner=OTHER, kms=f"arn:aws:kms:eu-north-1:{OTHER}:key/theirs")
    ami = ec2.add_image("theirs", [root], owner=OTHER)
    copy = amiwright.json("copy", ami, "--to", "eu-north-1", "--name", "ours")["copies"][0]["ami"]
    assert ec2.snapshots[ec2.images[copy]["mapping"][0][1]]["kms"] == KMS.format("eu-north-1", "default")


def test_dry_run(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    out = amiwright("copy", ami, "--to", "eu-west-1", "--kms-key", "alias/ami", "--dry-run")
    assert out.stdout == "eu-west-1 would be copied, encrypted with alias/ami\n"
    assert not ec2.changes() and not ec2.in_region("eu-west-1")
    ec2.denied["CopyImage"] = "UnauthorizedOperation"
    out = amiwright("copy", ami, "--to", "eu-west-1", "--dry-run", status=4)
    assert "UnauthorizedOperation" in out.stderr and not ec2.in_region("eu-west-1")


def test_no_wait_and_timeout(amiwright, ec2):
    ami, *_ = two_disks(ec2)
    ec2.copy_polls = 10**6
    out = amiwright("copy", ami, "--to", "eu-west-1", "--no-wait", "--json")
    assert '"pending"' in out.stdout
    # kill -INT while it waits: what goes on is said, and a rerun finds it.
    process = subprocess.Popen([amiwright.path, "copy", ami, "--to", "eu-west-1"], env=amiwright.env,
                               stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert "go on in AWS" in process.communicate(timeout=20)[1] and process.returncode == 130
    ec2.copy_polls = 0
    assert amiwright.json("copy", ami, "--to", "eu-west-1")["copies"][0]["existing"]
    assert len(ec2.calls("CopyImage")) == 1


def test_snapshot(amiwright, ec2):
    source = ec2.add_snapshot(tags={"disk": "root"}, description="made here")
    out = amiwright("copy", source, "--to", "eu-west-1", "--to", "us-west-2")
    copies = dict(line.split() for line in out.stdout.splitlines())
    assert [ec2.snapshots[s]["region"] for s in copies.values()] == ["eu-west-1", "us-west-2"]
    for name in copies.values():
        copy = ec2.snapshots[name]
        assert copy["tags"] == {"disk": "root", "amiwright:copy-of": f"eu-north-1/{source}"}
        assert copy["description"] == "made here"
    assert amiwright("copy", source, "--to", "eu-west-1").stdout.split()[1] == copies["eu-west-1"]
    # Another encryption is another copy; snapshots have no names to quarrel about.
    other = amiwright.json("copy", source, "--to", "eu-west-1", "--kms-key", "alias/ami")["copies"][0]
    assert other["snapshot"] != copies["eu-west-1"] and other["encrypted"]
    assert len(ec2.calls("CopySnapshot")) == 3


def test_encrypted_snapshot_gets_a_key(amiwright, ec2):
    source = ec2.add_snapshot(encrypted=True)
    copy = amiwright.json("copy", source, "--to", "eu-west-1")["copies"][0]
    assert ec2.snapshots[copy["snapshot"]]["kms"] == KMS.format("eu-west-1", "default")
    assert "no unencrypted copy" in amiwright("copy", source, "--to", "eu-west-1", "--no-encrypt", status=3).stderr


def test_lost_answer_of_copy_snapshot(amiwright, ec2):
    source = ec2.add_snapshot()
    ec2.lose = 1
    amiwright("copy", source, "--to", "eu-west-1")
    assert len(ec2.calls("CopySnapshot")) == 1


def test_copy_snapshot_is_tried_again(amiwright, ec2):
    source = ec2.add_snapshot()
    ec2.fail["CopySnapshot"] = 2
    amiwright("copy", source, "--to", "eu-west-1")
    assert len(ec2.snapshots) == 2


def test_failed_snapshot(amiwright, ec2):
    source = ec2.add_snapshot()
    ec2.broken["eu-west-1"] = "Given key ID is not accessible"
    assert "Given key ID" in amiwright("copy", source, "--to", "eu-west-1", status=4).stderr
    failed, = set(ec2.snapshots) - {source}
    ec2.broken.clear()
    amiwright("copy", source, "--to", "eu-west-1")
    assert failed not in ec2.snapshots and len(ec2.snapshots) == 2


def test_what_is_no_region(amiwright, ec2):
    result = amiwright("copy", ec2.add_image("web", [ec2.add_snapshot()]), "--to", "mars-1", status=2)
    assert "'mars-1' is no AWS region" in result.stderr and not ec2.requests
