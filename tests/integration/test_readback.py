# SPDX-License-Identifier: Apache-2.0
"""`download`, `diff` and `verify` of snapshots that boto3 wrote, from the local region and from servers that misbehave."""
import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import time

import boto3
import pytest

import fault_server as faults
from fault_server import FaultServer
from region_server import RegionServer

BLOCK = 512 << 10
GIB = 1 << 30
ZEROS = bytes(BLOCK)


def content(seed, index):
    """512 KiB that are different for each block, made quickly."""
    return hashlib.shake_256(b"%d/%d" % (seed, index)).digest(4096) * (BLOCK // 4096)


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("readback") / "region") as server:
        yield server


class Snapshots:
    """Writes snapshots with boto3."""

    def __init__(self, region):
        key, secret = region.credentials()
        common = dict(endpoint_url=region.endpoint, region_name="us-east-1", aws_access_key_id=key,
                      aws_secret_access_key=secret)
        self.ebs, self.ec2 = boto3.client("ebs", **common), boto3.client("ec2", **common)

    def make(self, blocks, gib=1, **kwargs):
        started = self.ebs.start_snapshot(VolumeSize=gib, **kwargs)["SnapshotId"]
        for index, data in blocks.items():
            self.ebs.put_snapshot_block(SnapshotId=started, BlockIndex=index, BlockData=data, DataLength=BLOCK,
                                        Checksum=base64.b64encode(hashlib.sha256(data).digest()).decode(),
                                        ChecksumAlgorithm="SHA256")
        self.ebs.complete_snapshot(SnapshotId=started, ChangedBlocksCount=len(blocks))
        for _ in range(100):
            state = self.ec2.describe_snapshots(SnapshotIds=[started])["Snapshots"][0]["State"]
            if state == "completed":
                return started
            assert state == "pending"
            time.sleep(0.05)
        raise AssertionError("never completed")


@pytest.fixture(scope="module")
def snapshots(region):
    return Snapshots(region)


BLOCKS = {0: content(1, 0), 1: ZEROS, 2: content(1, 2), 700: content(1, 700), 2047: content(1, 2047)}


@pytest.fixture(scope="module")
def snapshot(snapshots):
    return snapshots.make(BLOCKS)


@pytest.fixture
def run(amiwright, region, tmp_path):
    """The program against the region's server."""
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials"), "HOME": str(tmp_path),
           "XDG_STATE_HOME": str(tmp_path / "state")}

    def call(*args, **kwargs):
        return amiwright("--endpoint-url", region.endpoint, "--region", "us-east-1", *args,
                         env={**env, **kwargs.pop("env", {})}, **kwargs)
    call.env = env
    return call


def data_blocks(fd, size):
    """Indices of the blocks that are not holes as a whole."""
    found, at = set(), 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, at, os.SEEK_HOLE)
        found.update(range(at // BLOCK, min(-(-end // BLOCK), size // BLOCK)))
        at = end
    return found


def holds(path, blocks, size=GIB):
    """Whether a file or device begins with a volume of these blocks, zeros elsewhere."""
    with open(path, "rb") as f:
        indices = data_blocks(f.fileno(), size) if os.path.isfile(path) else range(size // BLOCK)
        assert os.path.isfile(path) is False or os.path.getsize(path) == size
        for index in sorted(set(indices) | set(blocks)):
            f.seek(index * BLOCK)
            if f.read(BLOCK) != blocks.get(index, ZEROS):
                return False
    return True


def test_download_to_a_file(run, snapshot, tmp_path):
    result = json.loads(run("download", snapshot, "out.raw", "--json").stdout)
    assert holds(tmp_path / "out.raw", BLOCKS)
    assert (tmp_path / "out.raw").stat().st_size == GIB
    assert (tmp_path / "out.raw").stat().st_blocks * 512 <= 5 * BLOCK
    digests = b"".join(hashlib.sha256(BLOCKS[i]).digest() for i in sorted(BLOCKS))
    assert result["blocks_sha256"] == hashlib.sha256(digests).hexdigest()
    assert (result["blocks"], result["blocks_kept"], result["blocks_zero"], result["size_gib"]) == (5, 0, 1, 1)
    assert os.listdir(tmp_path) == ["out.raw"]


def test_download_to_a_pipe(run, snapshot, tmp_path, amiwright, region):
    with subprocess.Popen([amiwright.path, "--endpoint-url", region.endpoint, "--region", "us-east-1", "download", snapshot,
                           "-"], stdout=subprocess.PIPE, env={**amiwright.env, **run.env}) as process:
        index = 0
        while data := process.stdout.read(BLOCK):
            assert data == BLOCKS.get(index, ZEROS)
            index += 1
    assert process.returncode == 0 and index == GIB // BLOCK


def test_download_to_a_pipe_that_is_closed(run, snapshot, amiwright, region):
    process = subprocess.Popen([amiwright.path, "--endpoint-url", region.endpoint, "--region", "us-east-1", "download",
                                snapshot, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**amiwright.env, **run.env})
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(30) == 1 and "standard output" in error


def test_what_does_not_go_together(run, snapshot, tmp_path):
    assert "--json" in run("download", snapshot, "-", "--json", status=2).stderr
    assert "block devices" in run("download", snapshot, "x.raw", "--force", status=2).stderr
    os.mkfifo(tmp_path / "fifo")
    assert "neither a file nor a block device" in run("download", snapshot, "fifo", status=1).stderr
    run("download", snapshot, tmp_path, status=1)


def started(run, amiwright, region, snapshot, *args):
    return subprocess.Popen([amiwright.path, "--endpoint-url", region.endpoint, "--region", "us-east-1", "download",
                             snapshot, *args], env={**amiwright.env, **run.env}, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)


def records(path):
    """The number of blocks that a download's journal has."""
    data = path.read_bytes()[512:] if path.exists() else b""
    return sum(data[i:i + 32] != bytes(32) for i in range(0, len(data), 32))


@pytest.fixture(scope="module")
def large(snapshots):
    blocks = {i * 3: content(2, i) for i in range(500)}
    return snapshots.make(blocks), blocks


def test_killed_at_any_moment(run, amiwright, region, large, tmp_path):
    """kill -9 again and again: each run goes on, and the end is right."""
    snapshot, blocks = large
    out, journal = tmp_path / "big.raw", tmp_path / f"big.raw.{snapshot}.part.journal"
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng, kills, had = random.Random(seed), 0, 0
    for _ in range(8):
        process = started(run, amiwright, region, snapshot, str(out))
        wanted = had + rng.randrange(1, 120)
        while process.poll() is None and records(journal) < wanted:
            time.sleep(0.001)
        process.kill()
        process.wait()
        if out.exists():
            break
        kills += 1
        assert records(journal) >= had
        had = records(journal)
    assert kills >= 2
    if not out.exists():
        result = json.loads(run("download", snapshot, out, "--json").stdout)
        assert result["blocks_kept"] == had and result["blocks"] == 500
    assert holds(out, blocks)
    assert os.listdir(tmp_path) == ["big.raw"]


def interrupted(run, amiwright, region, snapshot, out, journal, at_least):
    process = started(run, amiwright, region, snapshot, str(out))
    while records(journal) < at_least:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    error = process.stderr.read().decode()
    assert process.wait(30) == 130, error
    assert "rerun the same command to resume" in error
    return records(journal)


def test_torn_blocks_are_noticed(run, amiwright, region, large, tmp_path):
    snapshot, blocks = large
    out, part = tmp_path / "t.raw", tmp_path / f"t.raw.{snapshot}.part"
    journal = tmp_path / f"t.raw.{snapshot}.part.journal"
    had = interrupted(run, amiwright, region, snapshot, out, journal, 20)
    data = journal.read_bytes()[512:]
    done = [i // 32 for i in range(0, len(data), 32) if data[i:i + 32] != bytes(32)]
    with open(part, "r+b") as f:
        f.seek(done[3] * BLOCK + 1234)
        f.write(b"torn")
    with open(journal, "r+b") as f:
        f.seek(512 + done[7] * 32 + 5)
        f.write(b"torn")
    result = run("download", snapshot, out, "--json")
    assert json.loads(result.stdout)["blocks_kept"] == had - 2
    assert "2 blocks of an earlier run are not whole" in result.stderr
    assert holds(out, blocks)


def test_leftovers_of_other_kinds_do_not_harm(run, snapshot, tmp_path):
    """A journal without its file, a file without its journal, a cut file, another snapshot's journal."""
    part = tmp_path / f"o.raw.{snapshot}.part"
    journal = tmp_path / f"o.raw.{snapshot}.part.journal"
    for prepare in (lambda: journal.write_bytes(b"x" * (512 + 2048 * 32)),
                    lambda: part.write_bytes(b"x" * (3 * BLOCK)),
                    lambda: (part.write_bytes(b"y" * 100), journal.write_bytes(b"z")),
                    lambda: (part.write_bytes(b"y" * 4 * BLOCK), os.truncate(part, GIB), journal.write_bytes(
                        b"amiwright download journal 1\nsnapshot snap-00000000000000001\n".ljust(512, b"\0") +
                        b"q" * (2048 * 32)))):
        prepare()
        run("download", snapshot, "o.raw")
        assert holds(tmp_path / "o.raw", BLOCKS)
        assert os.listdir(tmp_path) == ["o.raw"]
        os.unlink(tmp_path / "o.raw")


def test_two_at_once(run, amiwright, region, large, tmp_path):
    snapshot, blocks = large
    out, journal = tmp_path / "two.raw", tmp_path / f"two.raw.{snapshot}.part.journal"
    process = started(run, amiwright, region, snapshot, str(out))
    while records(journal) < 5:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    try:
        assert "another process writes" in run("download", snapshot, out, status=1).stderr
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    assert holds(out, blocks)


@pytest.fixture
def loop(tmp_path):
    """Loop devices for a size, detached at the end."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    made = []

    def make(size, junk=()):
        path = tmp_path / f"backing{len(made)}"
        with open(path, "wb") as f:
            f.truncate(size)
            for at in junk:
                f.seek(at)
                f.write(b"\xff" * (8 << 20))
        result = subprocess.run(["losetup", "-f", "--show", path], capture_output=True, text=True)
        if result.returncode != 0:
            pytest.skip("no loop devices: " + result.stderr)
        made.append(result.stdout.strip())
        return made[-1]
    yield make
    for device in made:
        subprocess.run(["losetup", "-d", device], check=True)


def test_download_to_a_device(run, snapshot, loop, tmp_path):
    """What the snapshot lacks reads as zeros, whatever was there."""
    device = loop(GIB + (8 << 20), [0, 300 << 20, GIB - (16 << 20), GIB])
    result = json.loads(run("download", snapshot, device, "--json").stdout)
    assert holds(device, BLOCKS)
    with open(device, "rb") as f:
        f.seek(GIB)
        assert f.read(8 << 20) == b"\xff" * (8 << 20)
    assert result["blocks"] == 5 and "blocks_sha256" in result
    assert list((tmp_path / "state/amiwright").iterdir()) == []


def test_download_to_a_device_is_resumed(run, amiwright, region, large, loop, tmp_path):
    snapshot, blocks = large
    device = loop(GIB)
    journal = tmp_path / f"state/amiwright/download-{snapshot}-{os.path.basename(device)}.journal"
    process = started(run, amiwright, region, snapshot, device)
    while records(journal) < 40:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    had = records(journal)
    result = json.loads(run("download", snapshot, device, "--json").stdout)
    assert result["blocks_kept"] == had
    assert holds(device, blocks)


def test_devices_that_are_refused(run, snapshot, loop, tmp_path):
    small = loop(GIB - BLOCK)
    assert "a larger device is needed" in run("download", snapshot, small, status=1).stderr
    held = loop(GIB)
    subprocess.run(["mke2fs", "-q", "-F", held, "64M"], check=True, capture_output=True)
    assert "--force overwrites it" in run("download", snapshot, held, status=3).stderr
    os.mkdir(tmp_path / "mnt")
    if subprocess.run(["mount", held, tmp_path / "mnt"]).returncode == 0:
        try:
            assert "in use" in run("download", snapshot, held, "--force", status=1).stderr
        finally:
            subprocess.run(["umount", tmp_path / "mnt"], check=True)
    run("download", snapshot, held, "--force")
    assert holds(held, BLOCKS)
