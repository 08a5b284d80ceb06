# SPDX-License-Identifier: Apache-2.0
"""`download`, `diff` and `verify` of snapshots that boto3 wrote, from the local region and from servers that misbehave."""
import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import boto3
import botocore
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
        where = () if "--endpoint-url" in args else ("--endpoint-url", region.endpoint, "--region", "us-east-1")
        return amiwright(*where, *args,
                         env={**env, **kwargs.pop("env", {})}, **kwargs)
    call.env, call.path = env, amiwright.path
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
    assert "OUT is ''" in run("download", snapshot, "", status=2).stderr
    os.unlink(tmp_path / "fifo")
    assert os.listdir(tmp_path) == []


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


def test_a_part_that_was_cut(run, amiwright, region, large, tmp_path):
    """It gets its size back, and what it lost is fetched again."""
    snapshot, blocks = large
    out, part = tmp_path / "c.raw", tmp_path / f"c.raw.{snapshot}.part"
    journal = tmp_path / f"c.raw.{snapshot}.part.journal"
    had = interrupted(run, amiwright, region, snapshot, out, journal, 20)
    os.truncate(part, 100)
    result = json.loads(run("download", snapshot, out, "--json").stdout)
    assert had > 0 and result["blocks_kept"] == 0
    assert holds(out, blocks)
    had = interrupted(run, amiwright, region, snapshot, out, journal, 20)
    os.truncate(part, GIB + 100)
    assert json.loads(run("download", snapshot, out, "--json").stdout)["blocks_kept"] == had
    assert holds(out, blocks)


def test_a_journal_that_cannot_be_opened(run, amiwright, region, large, tmp_path):
    """What an earlier run left is not thrown away for it."""
    snapshot, blocks = large
    out, part = tmp_path / "j.raw", tmp_path / f"j.raw.{snapshot}.part"
    journal = tmp_path / f"j.raw.{snapshot}.part.journal"
    had = interrupted(run, amiwright, region, snapshot, out, journal, 20)
    os.rename(journal, tmp_path / "aside")
    os.mkdir(journal)
    assert "Is a directory" in run("download", snapshot, out, status=1).stderr
    assert part.exists()
    os.rmdir(journal)
    os.rename(tmp_path / "aside", journal)
    assert json.loads(run("download", snapshot, out, "--json").stdout)["blocks_kept"] == had


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
    had = kill_at(run, amiwright, region, snapshot, device, tmp_path, 40)
    result = json.loads(run("download", snapshot, device, "--json").stdout)
    assert result["blocks_kept"] == had
    assert holds(device, blocks)


def noted(folder):
    """The blocks in the journals of devices, one number a journal."""
    return sorted(records(j) for j in (folder / "state/amiwright").glob("download-*.journal"))


def kill_at(run, amiwright, region, snapshot, device, folder, at_least):
    """Cuts a first download off; how many blocks it noted."""
    process = started(run, amiwright, region, snapshot, device)
    while sum(noted(folder)) < at_least:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    had, = noted(folder)
    return had


def attach(device, path):
    subprocess.run(["losetup", "-d", device], check=True)
    subprocess.run(["losetup", device, path], check=True)


def test_another_device_of_the_same_name_is_not_overwritten(run, amiwright, region, snapshots, loop, tmp_path):
    """What an earlier run wrote gives leave to go on, not the device's name."""
    blocks = {i * 3: content(12, i) for i in range(500)}
    blocks[0] = content(12, 0)[:510] + b"\x55\xaa" + content(12, 0)[512:]
    snapshot, device, other = snapshots.make(blocks), loop(GIB), tmp_path / "other"
    had = kill_at(run, amiwright, region, snapshot, device, tmp_path, 40)
    with open(other, "wb") as f:
        f.truncate(GIB)
    subprocess.run(["mke2fs", "-q", "-F", other, "64M"], check=True, capture_output=True)
    before = hashlib.sha256(other.read_bytes()).digest()
    attach(device, other)
    error = run("download", snapshot, device, status=3).stderr
    assert "--force overwrites it" in error and "rerun" not in error
    assert hashlib.sha256(other.read_bytes()).digest() == before and noted(tmp_path) == [had]
    attach(device, tmp_path / "backing0")
    # A file system made on it since then is not ours either.
    with open(tmp_path / "backing0", "r+b") as f:
        f.seek(3 * BLOCK)
        f.write(b"theirs")
    attach(device, tmp_path / "backing0")
    assert "--force overwrites it" in run("download", snapshot, device, status=3).stderr
    assert noted(tmp_path) == [had]
    with open(tmp_path / "backing0", "r+b") as f:
        f.seek(3 * BLOCK)
        f.write(blocks[3][:6])
    attach(device, tmp_path / "backing0")
    assert json.loads(run("download", snapshot, device, "--json").stdout)["blocks_kept"] == had
    assert holds(device, blocks)


def test_a_twin_under_the_same_name_is_not_overwritten(run, amiwright, region, snapshots, loop, tmp_path):
    """A clone of what the earlier run wrote is another device: only the one it was written to is gone on with."""
    blocks = {i * 3: content(13, i) for i in range(500)}
    blocks[0] = content(13, 0)[:510] + b"\x55\xaa" + content(13, 0)[512:]
    snapshot, device = snapshots.make(blocks), loop(GIB)
    ours, twin = tmp_path / "backing0", tmp_path / "twin"
    had = kill_at(run, amiwright, region, snapshot, device, tmp_path, 40)
    subprocess.run(["cp", "--sparse=always", ours, twin], check=True)
    with open(twin, "r+b") as f:  # what the journal does not have is somebody's
        f.seek(GIB - BLOCK)
        f.write(b"theirs")
    before = hashlib.sha256(twin.read_bytes()).digest()
    attach(device, twin)
    assert "--force overwrites it" in run("download", snapshot, device, status=3).stderr
    assert hashlib.sha256(twin.read_bytes()).digest() == before and noted(tmp_path) == [had]
    # The same file from another place on is another device, too; and it has no leave to be longer.
    subprocess.run(["losetup", "-d", device], check=True)
    subprocess.run(["losetup", "--sizelimit", str(GIB), device, ours], check=True)
    assert "--force overwrites it" in run("download", snapshot, device, status=3).stderr
    # Under another name it is still the same.
    attach(device, twin)
    again = subprocess.run(["losetup", "-f", "--show", ours], capture_output=True, text=True, check=True).stdout.strip()
    try:
        result = json.loads(run("download", snapshot, again, "--json").stdout)
    finally:
        subprocess.run(["losetup", "-d", again], check=True)
    assert result["blocks_kept"] == had and holds(ours, blocks) and noted(tmp_path) == []


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


# --- diff


def ranges(result):
    return [(r["first_block"], r["last_block"]) for r in result["ranges"]]


def test_diff_of_one_lineage(run, snapshots, snapshot):
    child = snapshots.make({1: content(9, 1), 2: content(9, 2), 3: content(9, 3), 2047: ZEROS}, ParentSnapshotId=snapshot)
    result = json.loads(run("diff", snapshot, child, "--json", status=1).stdout)
    assert ranges(result) == [(1, 3), (2047, 2047)]
    assert (result["same"], result["method"], result["blocks_changed"]) == (False, "list", 4)
    assert result["ranges"][0] == {"first_block": 1, "last_block": 3, "offset": BLOCK, "bytes": 3 * BLOCK}
    assert run("diff", snapshot, child, status=1).stdout == f"1..3\t{BLOCK}\t{3 * BLOCK}\n2047..2047\t{2047 * BLOCK}\t{BLOCK}\n"
    assert run("diff", snapshot, snapshot).stdout == ""
    result = json.loads(run("diff", snapshot, child, "--by-content", "--json", status=1).stdout)
    assert ranges(result) == [(1, 3), (2047, 2047)] and result["method"] == "list and content"


def test_diff_by_content_leaves_out_what_is_equal(run, tmp_path):
    """AWS may list what was written again with the same bytes, and zeros where there was nothing."""
    a = {0: content(3, 0), 5: content(3, 5), 6: content(3, 6)}
    b = {0: content(3, 0), 5: content(4, 5), 7: ZEROS, 9: content(4, 9)}
    with FaultServer() as server:
        one, two = server.add(a), server.add(b)
        args = ("--endpoint-url", server.url, "--region", "us-east-1", "--json")
        listed = json.loads(run("diff", one, two, *args, status=1).stdout)
        assert ranges(listed) == [(0, 0), (5, 7), (9, 9)]
        read = json.loads(run("diff", one, two, "--by-content", *args, status=1).stdout)
        assert ranges(read) == [(5, 6), (9, 9)]
        assert server.count("GetSnapshotBlock") == 7


def test_diff_of_unrelated_snapshots(run, snapshots, snapshot):
    other = snapshots.make({**BLOCKS, 700: content(5, 700), 1: content(5, 1), 3: ZEROS})
    result = run("diff", snapshot, other, "--json", status=1)
    assert "no common origin" in result.stderr
    result = json.loads(result.stdout)
    assert ranges(result) == [(1, 1), (700, 700)] and result["method"] == "content"
    same = snapshots.make({i: data for i, data in BLOCKS.items() if data != ZEROS})
    assert json.loads(run("diff", snapshot, same, "--json").stdout)["same"] is True
    larger = snapshots.make(BLOCKS, gib=2)
    assert json.loads(run("diff", snapshot, larger, "--json", status=1).stdout)["blocks_changed"] == 0


def write_image(path, blocks, size=GIB):
    with open(path, "wb") as f:
        f.truncate(size)
        for index, data in blocks.items():
            f.seek(index * BLOCK)
            f.write(data)
    return path


def test_diff_with_images(run, snapshot, tmp_path):
    same = write_image(tmp_path / "same.raw", BLOCKS)
    other = write_image(tmp_path / "other.raw", {**BLOCKS, 4: content(6, 4), 700: ZEROS})
    assert run("diff", snapshot, same).stdout == ""
    for pair in ((snapshot, other), (other, snapshot), (same, other)):
        assert ranges(json.loads(run("diff", *pair, "--json", status=1).stdout)) == [(4, 4), (700, 700)]
    short = write_image(tmp_path / "short.raw", {0: BLOCKS[0]}, 10 * BLOCK + 7)
    long = write_image(tmp_path / "long.raw", {0: BLOCKS[0]}, 10 * BLOCK + 8)
    assert json.loads(run("diff", short, long, "--json", status=1).stdout)["blocks_changed"] == 0
    assert "--by-content" in run("diff", short, long, "--by-content", status=2).stderr
    run("diff", short, tmp_path / "none", status=1)


# --- verify


@pytest.fixture
def ext4(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_bytes(content(7, 0) * 20)
    path = tmp_path / "ext4.raw"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / "files", path, "64M"], check=True,
                   capture_output=True)
    return path


def test_verify(run, ext4):
    uploaded = run("upload", ext4).stdout.strip()
    result = json.loads(run("verify", uploaded, ext4, "--json").stdout)
    assert result["same"] and result["blocks"] == result["blocks_read"] > 20 and result["blocks_wrong"] == 0
    where = ext4.read_bytes().index(content(7, 0)[:4096])
    with open(ext4, "r+b") as f:
        f.seek(where + 100)
        f.write(b"changed")
    result = run("verify", uploaded, ext4, status=1)
    index = (where + 100) // BLOCK
    assert result.stdout == f"block {index} at {index * BLOCK} differs\n"
    assert "does not hold" in result.stderr


def test_verify_unused_blocks_are_not_compared(run, ext4):
    uploaded = run("upload", ext4).stdout.strip()
    report = subprocess.run(["dumpe2fs", ext4], capture_output=True, text=True, check=True).stdout
    runs = [tuple(map(int, run.split("-"))) for line in report.splitlines() if line.startswith("  Free blocks: ")
            for run in line.split(": ")[1].split(", ") if "-" in run]
    first, last = max(runs, key=lambda run: run[1] - run[0])
    with open(ext4, "r+b") as f:
        f.seek((first + last) // 2 * 1024 // BLOCK * BLOCK)
        f.write(b"left by a file that was deleted")
    run("verify", uploaded, ext4)


def test_verify_what_is_missing_or_too_much(run, snapshots, tmp_path):
    image = write_image(tmp_path / "i.raw", {0: content(8, 0), 1: content(8, 1), 2: ZEROS}, 100 * BLOCK)
    lacks = snapshots.make({0: content(8, 0), 5: content(8, 5), 300: content(8, 300)})
    result = json.loads(run("verify", lacks, image, "--json", status=1).stdout)
    assert [(w["block"], w["what"]) for w in result["wrong"]] == [
        (1, "is missing"), (5, "differs"), (300, "has bytes where the image has none")]
    assert "less than the image" in run("verify", lacks, write_image(tmp_path / "big.raw", {}, GIB + 1), status=1).stderr


def test_verify_zeros_that_an_encrypted_volume_lacks(run, snapshots, tmp_path):
    """They read as random bytes there."""
    blocks = {i: content(8, i) for i in range(10) if i != 4}
    image = write_image(tmp_path / "i.raw", blocks, 10 * BLOCK)
    assert json.loads(run("verify", snapshots.make(blocks), image, "--json").stdout)["encrypted"] is False
    result = run("verify", snapshots.make(blocks, Encrypted=True), image, status=1)
    assert "block 4 at 2097152 is missing and reads as random bytes" in result.stdout
    run("verify", snapshots.make({**blocks, 4: ZEROS}, Encrypted=True), image)


def test_verify_a_sample(run, large, tmp_path):
    snapshot, blocks = large
    image = write_image(tmp_path / "large.raw", blocks)
    args = ("verify", snapshot, image, "--sample", "20%", "--json")
    first = json.loads(run(*args).stdout)
    assert 50 < first["blocks_read"] < 160 and first["blocks_read"] + first["blocks_not_sampled"] == 500
    write_image(image, {i: content(99, i) for i in blocks})
    wrong = json.loads(run(*args, status=1).stdout)
    assert wrong["blocks_wrong"] == first["blocks_read"]
    assert json.loads(run(*args, status=1).stdout) == wrong
    assert json.loads(run(*args, "--seed", "x", status=1).stdout)["wrong"] != wrong["wrong"]
    for bad in ("0", "101%", "x", "1e1", "", ".", "1.2.3%", "1%2", "5%%", "0.00001"):
        run("verify", snapshot, image, "--sample", bad, status=2)


def test_verify_by_manifest(run, amiwright, spec, snapshots):
    amiwright("build", spec, "-o", "d.raw")
    uploaded = run("upload", "d.raw").stdout.strip()
    result = json.loads(run("verify", uploaded, "--manifest", "d.raw.manifest.json", "--json").stdout)
    assert result["same"] and result["blocks_read"] > 5
    document = json.loads((spec.parent / "d.raw.manifest.json").read_text())
    digests = document["disks"][0]["blocks"]["digests"]
    wrong = snapshots.make({int(i): content(1, int(i)) for i in list(digests)[1:]} | {2000: content(1, 2000)})
    result = json.loads(run("verify", wrong, "--manifest", "d.raw.manifest.json", "--json", status=1).stdout)
    assert result["blocks_wrong"] == len(digests) + 1
    assert (result["wrong"][0]["block"], result["wrong"][0]["what"]) == (int(list(digests)[0]), "is missing")
    assert "one of the two" in run("verify", uploaded, "d.raw", "--manifest", "d.raw.manifest.json", status=2).stderr
    run("verify", uploaded, status=2)


def write_manifest(path, **disks):
    """A manifest as `build` writes it: disks by name, (size, blocks) each."""
    document = {"amiwright_manifest": 1, "disks": []}
    for name, (size, blocks) in disks.items():
        digests = {i: hashlib.sha256(data) for i, data in sorted(blocks.items())}
        document["disks"].append({"device": "/dev/" + name, "size": size, "blocks": {
            "size": BLOCK, "count": len(blocks), "digests": {str(i): d.hexdigest() for i, d in digests.items()},
            "sha256": hashlib.sha256(b"".join(d.digest() for d in digests.values())).hexdigest()}})
    path.write_text(json.dumps(document))
    return path


def test_verify_by_manifest_of_a_larger_disk(run, snapshot, tmp_path):
    """A volume that is too small does not hold it, wherever its last block is."""
    big = write_manifest(tmp_path / "big.json", xvda=(2 * GIB, {**BLOCKS, 3000: content(1, 3000)}))
    assert "less than the image's 2147483648 bytes" in run("verify", snapshot, "--manifest", big, status=1).stderr
    big = write_manifest(tmp_path / "big.json", xvda=(2 * GIB, BLOCKS))
    run("verify", snapshot, "--manifest", big, status=1)
    wrong = write_manifest(tmp_path / "wrong.json", xvda=(GIB, {**BLOCKS, 3000: content(1, 3000)}))
    assert "block 3000 lies behind the end" in run("verify", snapshot, "--manifest", wrong, status=1).stderr
    run("verify", snapshot, "--manifest", write_manifest(tmp_path / "right.json", xvda=(GIB - 5, BLOCKS)))


def test_a_disk_of_a_manifest(run, snapshot, snapshots, tmp_path):
    other = {i: content(14, i) for i in range(4)}
    manifest = write_manifest(tmp_path / "m.json", xvda=(GIB, BLOCKS), sdf=(GIB, other))
    error = run("verify", snapshot, "--manifest", manifest, status=1).stderr
    assert "several disks, name one of them: '/dev/xvda', '/dev/sdf'" in error
    assert json.loads(run("verify", snapshot, "--manifest", manifest, "--disk", "/dev/xvda", "--json").stdout)["same"]
    run("verify", snapshot, "--manifest", manifest, "--disk", "/dev/sdf", status=1)
    assert "no disk 'sdf'" in run("verify", snapshot, "--manifest", manifest, "--disk", "sdf", status=1).stderr
    assert "--disk wants --manifest" in run("verify", snapshot, "x.raw", "--disk", "/dev/sdf", status=2).stderr
    parent = snapshots.make(other)
    image = write_image(tmp_path / "i.raw", {**other, 2: content(14, 20)})
    args = ("upload", image, "--skip", "never", "--parent", parent, "--parent-manifest", manifest)
    assert "several disks" in run(*args, status=1).stderr
    result = json.loads(run(*args, "--parent-disk", "/dev/sdf", "--json").stdout)
    run("verify", result["snapshot"], image)
    run("upload", image, "--parent-disk", "/dev/sdf", status=2)


# --- a region's folder that is damaged

def test_damage_in_the_region_is_an_error(tmp_path, amiwright):
    """Missing records, missing content and missing accounts: told, not served."""
    folder = tmp_path / "region"
    with RegionServer(folder) as server:
        ids = [Snapshots(server).make({0: content(1, 0), 5: content(1, 5)}) for _ in range(2)]
    os.chmod(next(folder.glob(f"regions/*/snapshots/{ids[0]}.map")), 0o644)
    os.truncate(next(folder.glob(f"regions/*/snapshots/{ids[0]}.map")), 60)
    os.truncate(next(folder.glob(f"regions/*/snapshots/{ids[1]}.img")), 4 * BLOCK)
    with RegionServer(folder) as server:
        key, secret = server.credentials()
        ebs = boto3.client("ebs", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=key,
                           aws_secret_access_key=secret,
                           config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=5))
        with pytest.raises(botocore.exceptions.ClientError, match="Internal"):
            ebs.list_snapshot_blocks(SnapshotId=ids[0])
        blocks = ebs.list_snapshot_blocks(SnapshotId=ids[1])["Blocks"]
        get = lambda b: ebs.get_snapshot_block(SnapshotId=ids[1], BlockIndex=b["BlockIndex"], BlockToken=b["BlockToken"])
        assert get(blocks[0])["BlockData"].read() == content(1, 0)
        with pytest.raises(botocore.exceptions.ClientError, match="Internal"):
            get(blocks[1])
    (folder / "credentials").write_text("x\n")
    assert "has no account" in amiwright("--local", folder, "images", status=1).stderr
    assert (folder / "credentials").read_text() == "x\n"


# --- servers that misbehave

FEW = {i: content(3, i) for i in range(0, 120, 3)}
EXPIRED = (400, "ValidationException", "The token has expired.", "INVALID_BLOCK_TOKEN")
STALE = (400, "ValidationException", "The token has expired.", "INVALID_PAGE_TOKEN")


def at_fault(run, server, *args, **kwargs):
    return run(args[0], "--endpoint-url", server.url, "--region", "us-east-1", *args[1:], **kwargs)


@pytest.mark.parametrize("fault", [faults.THROTTLE, faults.BROKEN, faults.CUT, faults.RESET, EXPIRED],
                         ids=["throttle", "500", "cut", "reset", "expired"])
def test_faults_are_overcome(run, tmp_path, fault):
    with FaultServer() as server:
        snapshot = server.add(FEW)
        image = write_image(tmp_path / "few.raw", FEW)
        when = (10, 40) if fault == EXPIRED else range(3, 60, 7)
        server.plan = lambda name, before: fault if name == "GetSnapshotBlock" and before in when else None
        result = json.loads(at_fault(run, server, "verify", snapshot, image, "--json").stdout)
        assert result["blocks_read"] == len(FEW)
        assert server.count("GetSnapshotBlock") > len(FEW)
        pipe = subprocess.run([run.path, "--endpoint-url", server.url, "--region", "us-east-1", "download", snapshot, "-"],
                              stdout=subprocess.PIPE, env={**os.environ, **run.env}, check=True).stdout
        assert len(pipe) == GIB and all(pipe[i * BLOCK:(i + 1) * BLOCK] == FEW.get(i, ZEROS) for i in range(2048))


def test_page_tokens_that_expire(run, tmp_path):
    with FaultServer() as server:
        snapshot = server.add(FEW)
        server.page = 10
        server.plan = lambda name, before: STALE if name == "ListSnapshotBlocks" and before == 2 else None
        at_fault(run, server, "download", snapshot, "p.raw")
        assert holds(tmp_path / "p.raw", FEW)
        assert server.count("ListSnapshotBlocks") == 5


@pytest.mark.parametrize("command", ["verify", "diff"])
def test_a_server_that_lies_is_noticed(run, tmp_path, command, monkeypatch):
    honest = faults.Handler.GetSnapshotBlock

    def damaged(self, body):
        status, data, headers = honest(self, body)
        return status, data[:-1] + b"?" if "/blocks/9?" in self.path else data, headers

    with FaultServer() as server:
        snapshot = server.add(FEW)
        image = write_image(tmp_path / "few.raw", FEW)
        monkeypatch.setattr(faults.Handler, "GetSnapshotBlock", damaged)
        result = at_fault(run, server, command, snapshot, image, status=4)
        assert "block 9: the block's SHA-256 is" in result.stderr and result.stdout == ""


def test_what_came_stays_when_the_rest_is_refused(run, tmp_path):
    with FaultServer() as server:
        snapshot = server.add(FEW)
        server.plan = lambda name, before: faults.DENIED if name == "GetSnapshotBlock" and before == 30 else None
        result = at_fault(run, server, "download", snapshot, "d.raw", status=4)
        assert "rerun the same command to resume" in result.stderr and not (tmp_path / "d.raw").exists()
        server.plan = lambda name, before: None
        before = server.count("GetSnapshotBlock")
        kept = json.loads(at_fault(run, server, "download", snapshot, "d.raw", "--json").stdout)["blocks_kept"]
        assert kept > 0 and server.count("GetSnapshotBlock") - before == len(FEW) - kept
        assert holds(tmp_path / "d.raw", FEW)


def test_memory_does_not_grow_with_the_volume(run, snapshots, amiwright, region, tmp_path):
    blocks = {i * 327: content(4, i) for i in range(400)}
    snapshot = snapshots.make(blocks, gib=64)
    # By a small process: the peak of this one would count as the program's.
    measure = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    result = subprocess.run([sys.executable, "-c", measure, amiwright.path, "--endpoint-url", region.endpoint, "--region",
                             "us-east-1", "download", snapshot, str(tmp_path / "m.raw")], check=True, capture_output=True,
                            env={**amiwright.env, **run.env})
    peak = int(result.stdout) / 1024
    print(f"peak {peak:.0f} MiB")
    assert peak < 128
    assert holds(tmp_path / "m.raw", blocks, 64 * GIB)
