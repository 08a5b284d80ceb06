# SPDX-License-Identifier: Apache-2.0
"""Runs that come back to an interrupted upload and cannot find out what became of it: they leave it as it is, say so, and
the next run that can goes on."""
import re
import shlex

import pytest

import fault_server as faults
from fault_server import ACCOUNT, FaultServer
from resume_tools import blocks_in, check_content, journal, kill_when, make_image, puts, run, slow

SECOND = "444455556666"
OTHERS = {"AWS_ACCESS_KEY_ID": "AKIDOTHERS"}


@pytest.fixture
def image(tmp_path):
    return make_image(tmp_path / "in.raw", 30)


@pytest.fixture
def interrupted(image):
    """A server with a pending snapshot of the image, and its name."""
    with slow(0.05) as server:
        kill_when(server, image, lambda: len(blocks_in(journal(image), "D")) >= 8)
        server.accounts = {"AKIDOTHERS": SECOND}
        name, = server.snapshots
        yield server, name


def goes_on(server, name, image, done):
    """Nothing was lost: what was sent then is not sent again."""
    server.plan, since = lambda operation, before: None, len(server.log)
    assert run(server, "upload", image).stdout.strip() == name
    assert not done & {int(i) for _, i in puts(server, since)}
    check_content(server, name, image)


@pytest.mark.parametrize("fault", [faults.WRONG_KEY, faults.EXPIRED_REQUEST, faults.LIMITED,
                                   (403, "OptInRequired", "not subscribed", None)],
                         ids=["key", "expired", "throttled", "fatal"])
def test_credentials_that_tell_nothing(interrupted, image, fault):
    server, name = interrupted
    done = blocks_in(journal(image), "D")
    for operations in [{"DescribeSnapshots"}, {"DescribeSnapshots", "PutSnapshotBlock", "DeleteSnapshot"}]:
        server.plan = lambda operation, before, bad=operations: fault if operation in bad else None
        result = run(server, "upload", image, "--max-attempts", "2", status=4)
        assert fault[1] in result.stderr and name in result.stderr and "are kept" in result.stderr
        result = run(server, "upload", "--abandon", image, "--max-attempts", "2", status=4)
        assert "is kept" in result.stderr and name in result.stderr
        assert server.snapshots[name]["status"] == "pending" and journal(image).exists()
    goes_on(server, name, image, done)


def test_refused_before_the_snapshot_is_known(image):
    """Killed in StartSnapshot: the journal holds the token, and the token is all that finds the snapshot."""
    with FaultServer(lambda name, before: faults.LOST if name == "StartSnapshot" else None) as server:
        kill_when(server, image, lambda: server.snapshots)
        name, = server.snapshots
        for fault in (faults.WRONG_KEY, faults.DENIED):
            server.plan = lambda operation, before, f=fault: f if operation == "StartSnapshot" else None
            result = run(server, "upload", image, "--max-attempts", "2", status=4)
            assert f"'{journal(image)}' is kept" in result.stderr
        goes_on(server, name, image, set())


def test_refused_from_the_start(image):
    """Nothing was begun, nothing stays."""
    with FaultServer(lambda name, before: faults.DENIED if name == "StartSnapshot" else None) as server:
        run(server, "upload", image, status=4)
        assert not journal(image).exists()


def test_another_account(interrupted, image):
    """To which the first one's snapshot looks as if it were gone."""
    server, name = interrupted
    done = blocks_in(journal(image), "D")
    for args in [("upload", image), ("upload", "--abandon", image)]:
        result = run(server, *args, status=3, **OTHERS)
        assert ACCOUNT in result.stderr and SECOND in result.stderr and name in result.stderr
        assert result.stdout == "" and "kept" in result.stderr and "not there any more" not in result.stderr
        assert journal(image).exists() and list(server.snapshots) == [name]
    goes_on(server, name, image, done)


def test_another_account_that_may_not_look(interrupted, image):
    """It finds out when it sends; what it cannot see is not called deleted."""
    server, name = interrupted
    done = blocks_in(journal(image), "D")
    answers = {"DescribeSnapshots": (403, "UnauthorizedOperation", "no", None), "PutSnapshotBlock": faults.DENIED}
    server.plan = lambda operation, before: answers.get(operation)
    result = run(server, "upload", image, status=4, **OTHERS)
    assert "was deleted" not in result.stderr and f"{name} is left" in result.stderr and SECOND in result.stderr
    goes_on(server, name, image, done)


def test_nobody_tells_whose_credentials(interrupted, image):
    server, name = interrupted
    done = blocks_in(journal(image), "D")
    server.plan = lambda operation, before: faults.BROKEN if operation == "GetCallerIdentity" else None
    for args in [("upload", image), ("upload", "--abandon", image)]:
        result = run(server, *args, "--max-attempts", "2", status=4, **OTHERS)
        assert "GetCallerIdentity" in result.stderr and "kept" in result.stderr and name in result.stderr
    goes_on(server, name, image, done)


def lose_a_record(path, which="D"):
    """One in the middle, as a bad sector or an editor does it."""
    lines = path.read_text().split("\n")
    at = [n for n, line in enumerate(lines) if line.startswith(which + " ")][0 if which == "N" else 2]
    lines[at] = lines[at][:5] + "~" + lines[at][6:]
    path.write_text("\n".join(lines))


def test_damaged_in_the_middle(interrupted, image):
    """What the record told is lost, so the count would be a guess: the snapshot is given up for another one."""
    server, name = interrupted
    lose_a_record(journal(image))
    server.plan = lambda operation, before: faults.WRONG_KEY if operation == "DescribeSnapshots" else None
    run(server, "upload", image, "--max-attempts", "2", status=4)
    server.plan = lambda operation, before: None
    result = run(server, "upload", image)
    assert "is damaged" in result.stderr and name in result.stderr and "anew" in result.stderr
    assert server.snapshots[name]["status"] == "deleted" and result.stdout.strip() != name
    check_content(server, result.stdout.strip(), image)


def test_damaged_and_given_up(interrupted, image):
    server, name = interrupted
    lose_a_record(journal(image))
    assert run(server, "upload", "--abandon", image).stdout.strip() == name
    assert server.snapshots[name]["status"] == "deleted" and not journal(image).exists()


def test_damaged_beyond_use(interrupted, image):
    """The snapshot's id is lost; the text says how to go on, and doing that works."""
    server, name = interrupted
    lose_a_record(journal(image), "N")
    server.plan = lambda operation, before: None
    for args in [("upload", image), ("upload", "--abandon", image)]:
        result = run(server, *args, status=1)
        assert "is damaged" in result.stderr and "move it away" in result.stderr
    journal(image).rename(image.with_name("away"))
    assert run(server, "upload", "--cleanup", image).stdout.strip() == name
    check_content(server, run(server, "upload", image).stdout.strip(), image)


def test_damaged_shard(image, tmp_path):
    """The snapshot is not the shard's to remove."""
    digests = tmp_path / "digests"
    with slow(0.05) as server:
        name = run(server, "upload", "--start", image).stdout.strip()
        shard = ["--shard", "1/1", "--snapshot", name, "--digests", digests]
        kill_when(server, image, lambda: len(blocks_in(digests, "D")) >= 8, *shard)
        lose_a_record(digests)
        before = digests.read_text()
        for args in [(image, *shard), ("--finish", "--snapshot", name, digests)]:
            result = run(server, "upload", *args, status=1)
            assert "is damaged" in result.stderr and f"{name} is left" in result.stderr and "--cleanup" in result.stderr
            assert "rerun" not in result.stderr
        assert digests.read_text() == before and server.snapshots[name]["status"] == "pending"


def test_finish_that_fails(image, tmp_path):
    """What is left is named, with what deletes it, and that works."""
    digests = tmp_path / "digests"
    with FaultServer() as server:
        name = run(server, "upload", "--start", image).stdout.strip()
        run(server, "upload", image, "--shard", "1/1", "--snapshot", name, "--digests", digests)
        finish = ["upload", "--finish", "--snapshot", name, digests]
        server.plan = lambda operation, before: faults.DENIED if operation == "CompleteSnapshot" else None
        result = run(server, *finish, status=4)
        assert "AccessDenied" in result.stderr and f"{name} is left in us-east-1: finish it again" in result.stderr
        server.plan = lambda operation, before: None
        server.snapshots[name]["blocks"][77] = b"x" * faults.BLOCK
        result = run(server, *finish, status=4)
        assert "Checksum mismatch" in result.stderr and f"{name} is left in us-east-1: delete it" in result.stderr
        assert run(server, "upload", "--cleanup", image).stdout.strip() == name


def test_hint_as_it_is_typed(image, tmp_path):
    """With the journal where the user wants it."""
    place = tmp_path / "another place"
    with FaultServer(lambda name, before: faults.BROKEN if name == "CompleteSnapshot" else None) as server:
        result = run(server, "upload", image, "--journal", place, "--max-attempts", "2", status=4)
        hint = shlex.split(re.search("give this upload up: amiwright (.*)", result.stderr)[1])
        assert run(server, *hint).stdout.strip() in server.snapshots
        assert not place.exists()
