# SPDX-License-Identifier: Apache-2.0
"""Uploads against a server that throttles, fails, cuts, resets, stalls, loses answers and has another clock: what can be
overcome is, and arrives whole; what cannot ends in bounded time, with a message, and leaves nothing behind."""
import os
import re
import signal
import subprocess
import time

import pytest

import fault_server as faults
from fault_server import BLOCK, FaultServer

AMIWRIGHT = os.environ["AMIWRIGHT"]
NR_BLOCKS = 24


@pytest.fixture
def image(tmp_path_factory):
    """Of its own for each test: what an upload leaves lies beside it."""
    path = tmp_path_factory.mktemp("faults") / "in.raw"
    path.write_bytes(b"".join(bytes([n + 1]) * BLOCK for n in range(NR_BLOCKS)))
    return path


def environment(attempts=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return {**clean, "AWS_ACCESS_KEY_ID": "AKIDFAULTS", "AWS_SECRET_ACCESS_KEY": "secret/of+faults",
            "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": "/dev/null",
            **({"AWS_MAX_ATTEMPTS": str(attempts)} if attempts else {})}


def run(server, *args, timeout=100, attempts=None):
    return subprocess.run([AMIWRIGHT, "--endpoint-url", server.url, *map(str, args)], capture_output=True, text=True,
                          env=environment(attempts), timeout=timeout)


def uploaded(server, image, *args):
    """Uploads, and checks that all of it came."""
    result = run(server, "upload", image, *args)
    assert result.returncode == 0, result.stderr
    snapshot = server.snapshots[result.stdout.strip()]
    got = b"".join(snapshot["blocks"][i] for i in sorted(snapshot["blocks"]))
    assert sorted(snapshot["blocks"]) == list(range(NR_BLOCKS))
    assert got == image.read_bytes()
    assert snapshot["polls"] >= 3
    return result


def every(operation, n, fault):
    """The fault for each n-th call of the operation."""
    return lambda name, before: fault if name == operation and before % n == n - 1 else None


def first(operation, n, fault):
    """The fault for the first n calls of the operation."""
    return lambda name, before: fault if name == operation and before < n else None


@pytest.mark.parametrize("fault", [faults.THROTTLE, faults.BROKEN, faults.DAMAGED, faults.SLOW_BODY, faults.CUT,
                                   faults.LOST, faults.RESET],
                         ids=["throttle", "500", "damaged", "slow-body", "cut", "lost", "reset"])
def test_blocks_that_fail_now_and_then(image, fault):
    with FaultServer(every("PutSnapshotBlock", 4, fault)) as server:
        uploaded(server, image)
        assert server.count("PutSnapshotBlock") > NR_BLOCKS
        assert server.count("DeleteSnapshot") == 0


@pytest.mark.parametrize("operation", ["StartSnapshot", "CompleteSnapshot", "DescribeSnapshots"])
@pytest.mark.parametrize("fault", [faults.LOST, faults.BROKEN, faults.CUT], ids=["lost", "500", "cut"])
def test_one_call_fails_once(image, operation, fault):
    with FaultServer(first(operation, 1, fault)) as server:
        uploaded(server, image)
        assert len(server.snapshots) == 1


def test_new_snapshot_is_not_known_at_once(image):
    with FaultServer(first("PutSnapshotBlock", 6, faults.UNKNOWN)) as server:
        uploaded(server, image)


@pytest.mark.parametrize("skew", [-7200, 86400])
def test_another_clock(image, skew):
    with FaultServer(skew=skew) as server:
        result = uploaded(server, image)
        assert "clock" in result.stderr
        # Noticed once, by the first call of all, not with every block.
        assert server.count("StartSnapshot") == 1
        assert server.count("PutSnapshotBlock") == NR_BLOCKS


def test_stalled_blocks_are_sent_again(image):
    with FaultServer(first("PutSnapshotBlock", 2, faults.STALL)) as server:
        uploaded(server, image)
        assert server.count("PutSnapshotBlock") == NR_BLOCKS + 2


def journal(image):
    return image.with_name("in.raw.local-us-east-1.amiwright-upload")


def failed(server, image, status, *words, kept=False, within=60, attempts=None):
    """It fails in time; what can be resumed is kept, and then goes through without a word about faults."""
    begin = time.monotonic()
    result = run(server, "upload", image, timeout=within + 30, attempts=attempts)
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    assert time.monotonic() - begin < within
    for word in [*words, "snap-0"]:
        assert re.search(word, result.stderr), f"no {word!r} in {result.stderr!r}"
    snapshot, = server.snapshots.values()
    assert (snapshot["status"] == "pending") == kept
    assert ("was deleted" in result.stderr) == (not kept)
    assert ("rerun the same command to resume" in result.stderr) == kept
    assert journal(image).exists() == kept
    if kept:
        server.plan = lambda name, before: None
        uploaded(server, image)
        assert len(server.snapshots) == 1
        assert not journal(image).exists()
    return result


def test_500_for_ever(image):
    with FaultServer(lambda name, before: faults.BROKEN if name == "PutSnapshotBlock" else None) as server:
        failed(server, image, 4, f"{NR_BLOCKS} of {NR_BLOCKS} blocks not sent", "--abandon",
               r"PutSnapshotBlock snap-\w+ block \d+ failed after 4 attempts: InternalServerException: oops "
               r"\(request id req-\d+, HTTP 500\)", kept=True, attempts=4)


def test_500_for_everything_after_the_start(image):
    with FaultServer(lambda name, before: faults.BROKEN if name != "StartSnapshot" else None) as server:
        failed(server, image, 4, "us-east-1", kept=True, attempts=3)


def test_throttled_for_ever(image):
    with FaultServer(lambda name, before: faults.THROTTLE if name == "PutSnapshotBlock" else None) as server:
        failed(server, image, 4, "RequestThrottledException", "L-1774F84A", "after 5 attempts", attempts=5, kept=True)


def test_expired_in_the_middle(image):
    """Nothing refreshes these credentials: what was sent stays, and the next run has others."""
    expired = (403, "ExpiredTokenException", "The security token included in the request is expired", None)
    with FaultServer(lambda name, before: expired if name == "PutSnapshotBlock" and before >= 5 else None) as server:
        failed(server, image, 4, "ExpiredTokenException", within=30, kept=True)
        assert server.count("PutSnapshotBlock") < 2 * NR_BLOCKS


def test_fatal_answers_stop_at_once(image):
    with FaultServer(lambda name, before: faults.DENIED if name == "PutSnapshotBlock" and before >= 5 else None) as server:
        failed(server, image, 4, r"AccessDeniedException \(UNAUTHORIZED_ACCOUNT\): not yours", within=10)
        assert server.count("PutSnapshotBlock") < NR_BLOCKS


def test_fatal_and_no_way_to_delete(image):
    denied = {"PutSnapshotBlock": faults.DENIED, "DeleteSnapshot": (403, "UnauthorizedOperation", "no", None)}
    with FaultServer(lambda name, before: denied.get(name)) as server:
        result = run(server, "upload", image)
        assert result.returncode == 4 and "is left in us-east-1 because it could not be deleted" in result.stderr
        assert journal(image).exists()
        server.plan = lambda name, before: None
        assert run(server, "upload", "--abandon", image).stdout.startswith("snap-")
        assert not journal(image).exists()
        assert [s["status"] for s in server.snapshots.values()] == ["deleted"]


def test_snapshot_that_turns_bad(image):
    with FaultServer() as server:
        def spoil(name, before):
            if name == "CompleteSnapshot":
                blocks = next(iter(server.snapshots.values()))["blocks"]
                blocks[3] = b"x" * BLOCK
        server.plan = spoil
        failed(server, image, 4, "Checksum mismatch for snapshot", within=20)


def test_connection_refused(image):
    with FaultServer() as server:
        url = server.url
    begin = time.monotonic()
    result = subprocess.run([AMIWRIGHT, "--endpoint-url", url, "upload", image], capture_output=True, text=True,
                            env=environment(4), timeout=100)
    assert result.returncode == 1, result.stderr
    assert "StartSnapshot failed after 4 attempts: no whole answer from 'http://127.0.0.1:" in result.stderr
    assert time.monotonic() - begin < 60


def test_interrupt_in_the_middle(image):
    with FaultServer(lambda name, before: faults.STALL if name == "PutSnapshotBlock" and before >= 3 else None) as server:
        process = subprocess.Popen([AMIWRIGHT, "--endpoint-url", server.url, "upload", str(image)], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        while server.count("PutSnapshotBlock") < 5:
            time.sleep(0.02)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - begin < 5
        assert (process.returncode, out) == (130, "")
        assert re.search(r"snap-\w+ in us-east-1 and '.*amiwright-upload' are kept: rerun the same command", err), err
        assert "amiwright upload --abandon '" in err
        server.plan = lambda name, before: None
        uploaded(server, image)
        assert len(server.snapshots) == 1


@pytest.mark.parametrize("fault", [faults.THROTTLE, faults.BROKEN, faults.CUT, faults.RESET],
                         ids=["throttle", "500", "cut", "reset"])
def test_download_overcomes(image, tmp_path, fault):
    with FaultServer() as server:
        snapshot = uploaded(server, image).stdout.strip()
        server.plan = every("GetSnapshotBlock", 3, fault)
        result = run(server, "download", snapshot, tmp_path / "back.raw")
        assert result.returncode == 0, result.stderr
        with open(tmp_path / "back.raw", "rb") as back:
            assert back.read(NR_BLOCKS * BLOCK) == image.read_bytes()
        assert (tmp_path / "back.raw").stat().st_size == 1 << 30


def test_download_of_damaged_blocks_leaves_nothing(image, tmp_path):
    with FaultServer(first("none", 0, None)) as server:
        snapshot = uploaded(server, image).stdout.strip()
        lie = faults.Handler.GetSnapshotBlock

        def damaged(self, body):
            status, data, headers = lie(self, body)
            return status, b"x" + data[1:], headers

        faults.Handler.GetSnapshotBlock = damaged
        try:
            result = run(server, "download", snapshot, tmp_path / "back.raw")
        finally:
            faults.Handler.GetSnapshotBlock = lie
        assert result.returncode == 4, result.stderr
        assert "the block's SHA-256 is" in result.stderr
        assert list(tmp_path.iterdir()) == []


def register(server, name="faulty", snapshot="snap-00000000000000001"):
    return run(server, "register", "--name", name, "--snapshot", snapshot)


@pytest.mark.parametrize("fault", [faults.LOST, faults.BROKEN, faults.CUT, faults.RESET],
                         ids=["lost", "500", "cut", "reset"])
def test_register_makes_one_image(fault):
    """RegisterImage knows no client token: the answer may be lost with or without the image having been made."""
    with FaultServer(first("RegisterImage", 1, fault)) as server:
        result = register(server)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == server.images["faulty"][0]
        assert len(server.images) == 1


def test_register_does_not_take_another_image():
    with FaultServer() as server:
        assert register(server).returncode == 0
        result = register(server, snapshot="snap-00000000000000002")
        assert result.returncode != 0 and result.stdout == ""
        assert server.images["faulty"][0] in result.stderr


KEY = "arn:aws:kms:us-east-1:111122223333:key/"
SHOWN = "<encrypted>true</encrypted><kmsKeyId>" + KEY + "{}</kmsKeyId>"


@pytest.mark.parametrize("answered,shown,puts,message", [
    ({"SseType": "none"}, "", False, "unencrypted, though"),
    ({}, "<encrypted>false</encrypted>", False, "unencrypted, though"),
    ({"KmsKeyArn": KEY + "b", "SseType": "sse-kms"}, SHOWN.format("b"), False, f"with {KEY}b and not with {KEY}a"),
    ({"SseType": "sse-kms"}, "<encrypted>false</encrypted>", True, "unencrypted, though"),
    ({"KmsKeyArn": KEY + "a"}, SHOWN.format("b"), True, f"with {KEY}b and not with {KEY}a"),
], ids=["answer", "described", "other-key", "in-the-end", "other-key-in-the-end"])
def test_a_snapshot_that_is_not_encrypted_as_asked_for(image, answered, shown, puts, message):
    with FaultServer() as server:
        server.encryption_answered, server.encryption_shown = answered, shown
        result = run(server, "upload", image, "--kms-key", KEY + "a")
        assert result.returncode == 4 and result.stdout == "", result.stderr
        assert message in result.stderr and "snapshot snap-00000000000000001 was deleted" in result.stderr
        assert not journal(image).exists()
        assert bool(server.count("PutSnapshotBlock")) == puts
        assert [s["status"] for s in server.snapshots.values()] == ["deleted"]


@pytest.mark.parametrize("answered", [{}, {"KmsKeyArn": KEY + "a", "SseType": "sse-kms"}], ids=["unsaid", "said"])
def test_a_snapshot_that_is_encrypted_as_asked_for(image, answered):
    with FaultServer() as server:
        server.encryption_answered, server.encryption_shown = answered, SHOWN.format("a")
        uploaded(server, image, "--kms-key", KEY + "a")
