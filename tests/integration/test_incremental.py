# SPDX-License-Identifier: Apache-2.0
"""Uploads of what differs from a parent snapshot, and uploads that several machines share."""
import json
import subprocess
import threading
import time

import pytest

from fault_server import BLOCK, FaultServer
from resume_tools import blocks_in, command, environment, journal, make_image, puts, run, slow

NR_BLOCKS = 30


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def image(tmp_path):
    return make_image(tmp_path / "in.raw", NR_BLOCKS)


def upload(server, image, *args):
    result = json.loads(run(server, "upload", image, "--json", *args).stdout)
    server.snapshots[result["snapshot"]]["status"] = "completed"
    return result


def derive(image, name, changes):
    """A copy with other bytes at (offset, bytes)."""
    copy = image.with_name(name)
    copy.write_bytes(image.read_bytes())
    with copy.open("r+b") as out:
        for offset, data in changes:
            out.seek(offset)
            out.write(data)
    return copy


def differing(one, two):
    """Blocks in which cmp finds a difference."""
    result = subprocess.run(["cmp", "-l", one, two], capture_output=True, text=True)
    return {(int(line.split()[0]) - 1) // BLOCK for line in result.stdout.splitlines()}


def sent(server, result):
    return set(server.snapshots[result["snapshot"]]["blocks"])


def holds(server, result, image):
    data, content = image.read_bytes(), server.content(result["snapshot"])
    for index in range(-(-len(data) // BLOCK)):
        block = data[index * BLOCK:(index + 1) * BLOCK].ljust(BLOCK, b"\0")
        assert content.get(index, bytes(BLOCK)) == block, index


def test_only_what_differs(server, image):
    first = upload(server, image)
    second_image = derive(image, "second.raw", [(7 * BLOCK + 5, b"x"), (20 * BLOCK - 1, b"yz"), (4 * BLOCK, bytes(BLOCK))])
    second = upload(server, second_image, "--parent", first["snapshot"])
    assert sent(server, second) == differing(image, second_image) == {4, 7, 19, 20}
    assert second["blocks_same"] == NR_BLOCKS - 4
    holds(server, second, second_image)
    # What counts is the whole content of the parent's volume, not what was written to it.
    third_image = derive(second_image, "third.raw", [(9 * BLOCK, b"x")])
    third = upload(server, third_image, "--parent", second["snapshot"])
    assert sent(server, third) == {9}
    holds(server, third, third_image)


def test_nothing_differs(server, image):
    first = upload(server, image)
    second = upload(server, image, "--parent", first["snapshot"])
    assert sent(server, second) == set()
    holds(server, second, image)


@pytest.mark.parametrize("skip", ["unused", "zeros"])
def test_stale_blocks_become_zeros(server, image, skip):
    """The new image is shorter, and a hole where the parent has data."""
    first = upload(server, image)
    short = image.with_name("short.raw")
    with short.open("wb") as out:
        data = image.read_bytes()
        out.write(data[:5 * BLOCK])
        out.seek(8 * BLOCK)
        out.write(data[8 * BLOCK:10 * BLOCK])
    second = upload(server, short, "--parent", first["snapshot"], "--skip", skip)
    assert sent(server, second) == {5, 6, 7} | set(range(10, NR_BLOCKS))
    content = server.content(second["snapshot"])
    assert all(content[i] == bytes(BLOCK) for i in sent(server, second))
    holds(server, second, short)


def ext4(path, size="200M"):
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", path, size], check=True, capture_output=True)


def debugfs(image, request):
    result = subprocess.run(["debugfs", "-w", "-R", request, image], capture_output=True, check=True)
    return result.stdout


def test_a_package_more_in_a_file_system(server, tmp_path):
    image, package = tmp_path / "fs.raw", tmp_path / "package"
    ext4(image)
    package.write_bytes(bytes(range(256)) * 20000)
    debugfs(image, f"write {package} one")
    first = upload(server, image)
    second_image = derive(image, "second.raw", [])
    debugfs(second_image, f"write {package} two")
    second = upload(server, second_image, "--parent", first["snapshot"])
    assert sent(server, second) <= differing(image, second_image)
    assert 5 <= second["blocks_sent"] <= 16
    content = server.content(second["snapshot"])
    back = tmp_path / "back.raw"
    with back.open("wb") as out:
        out.truncate(200 << 20)
        for index, data in content.items():
            out.seek(index * BLOCK)
            out.write(data)
        out.truncate(200 << 20)
    subprocess.run(["e2fsck", "-fn", back], check=True, capture_output=True)
    assert debugfs(back, "cat two") == package.read_bytes()


def test_digests_from_the_image(server, image):
    first = upload(server, image)
    second_image = derive(image, "second.raw", [(3 * BLOCK, b"x")])
    before = server.count("GetSnapshotBlock")
    second = upload(server, second_image, "--parent", first["snapshot"], "--parent-image", image)
    assert sent(server, second) == {3}
    assert 0 < server.count("GetSnapshotBlock") - before <= 24
    holds(server, second, second_image)


def test_another_image_is_refused(server, image):
    first = upload(server, image)
    other = make_image(image.with_name("other.raw"), NR_BLOCKS, seed=2)
    started = server.count("StartSnapshot")
    result = run(server, "upload", other, "--parent", first["snapshot"], "--parent-image", other, status=3)
    assert "the parent's image is not of snap-" in result.stderr
    assert server.count("StartSnapshot") == started


def test_digests_from_a_manifest(server, spec, tmp_path):
    run(server, "build", spec, "-o", tmp_path / "one.raw")
    (tmp_path / "tree/etc/new").write_text("a line more\n")
    run(server, "build", spec, "-o", tmp_path / "two.raw")
    one, two = tmp_path / "one.raw", tmp_path / "two.raw"
    first = upload(server, one)
    by_reading = upload(server, two, "--parent", first["snapshot"])
    before = server.count("GetSnapshotBlock")
    by_manifest = upload(server, two, "--parent", first["snapshot"], "--parent-manifest", tmp_path / "one.raw.manifest.json")
    assert server.count("GetSnapshotBlock") - before <= 48
    assert sent(server, by_reading) == sent(server, by_manifest)
    assert sent(server, by_manifest) <= differing(one, two) and by_manifest["blocks_sent"] < first["blocks_sent"]
    wrong = tmp_path / "two.raw.manifest.json"
    result = run(server, "upload", two, "--parent", first["snapshot"], "--parent-manifest", wrong, status=3)
    assert "manifest is not of snap-" in result.stderr
    cut = tmp_path / "cut.json"
    document = json.loads(wrong.read_text())
    document["disks"][0]["blocks"]["digests"].popitem()
    cut.write_text(json.dumps(document))
    result = run(server, "upload", two, "--parent", first["snapshot"], "--parent-manifest", cut, status=1)
    assert "its digests are not those that it was written with" in result.stderr


def test_sizes(server, image, tmp_path):
    large = upload(server, image, "--size", "3G")
    assert upload(server, image, "--parent", large["snapshot"])["size_gib"] == 3
    result = run(server, "upload", image, "--parent", large["snapshot"], "--size", "2G", status=2)
    assert "is smaller than its parent" in result.stderr
    small = upload(server, image)
    assert upload(server, image, "--parent", small["snapshot"], "--size", "2G")["size_gib"] == 2


@pytest.mark.parametrize("args", [("--encrypt",), ("--kms-key", "arn:aws:kms:us-east-1:1:key/x"),
                                  ("--parent-image", "x", "--parent-manifest", "y")])
def test_what_does_not_go_with_a_parent(server, image, args):
    run(server, "upload", image, "--parent", "snap-1", *args, status=2)
    assert server.log == []


def test_killed_and_resumed_with_a_parent(image, tmp_path):
    second_image = make_image(tmp_path / "second.raw", NR_BLOCKS, seed=2)
    with slow(0.05) as server:
        first = upload(server, image)
        args = ("upload", second_image, "--parent", first["snapshot"])
        process = subprocess.Popen(command(server, *args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=environment())
        while len(blocks_in(journal(second_image), "D")) < 8:
            time.sleep(0.01)
        process.kill()
        process.wait()
        done, since = blocks_in(journal(second_image), "D"), len(server.log)
        second = upload(server, second_image, "--parent", first["snapshot"])
        assert not done & {int(i) for _, i in puts(server, since)}
        assert second["blocks_resumed"] == len(done)
        holds(server, second, second_image)


# --- several machines


@pytest.fixture
def wide(tmp_path):
    """Over several of the runs that shards take in turn."""
    return make_image(tmp_path / "wide.raw", 230)


def shard(server, number, snapshot, image, *args, status=0):
    return run(server, "upload", "--shard", number, "--snapshot", snapshot, "--digests",
               image.with_name(f"digests.{number.replace('/', '.')}"), image, *args, status=status)


def digests(image, nr):
    return [image.with_name(f"digests.{i}.{nr}") for i in range(1, nr + 1)]


def finish(server, snapshot, files, status=0):
    return run(server, "upload", "--finish", "--snapshot", snapshot, *files, status=status)


@pytest.mark.parametrize("with_parent", [False, True])
def test_shards(server, wide, with_parent):
    target, args = wide, ()
    if with_parent:
        args = ("--parent", upload(server, wide)["snapshot"])
        target = derive(wide, "target.raw", [(i * 33 * BLOCK, b"other") for i in range(6)])
    snapshot = run(server, "upload", "--start", target, *args).stdout.strip()
    threads = [threading.Thread(target=shard, args=(server, f"{i}/3", snapshot, target, *args)) for i in (3, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second, third = digests(target, 3)
    assert finish(server, snapshot, [third, first, second]).stdout == snapshot + "\n"
    assert server.snapshots[snapshot]["status"] == "completed"
    holds(server, {"snapshot": snapshot}, target)
    if with_parent:
        assert sent(server, {"snapshot": snapshot}) == differing(wide, target)


def test_shards_that_do_not_fit(server, wide, tmp_path):
    snapshot = run(server, "upload", "--start", wide).stdout.strip()
    shard(server, "1/2", snapshot, wide)
    one, two = digests(wide, 2)
    assert "shard 2 of 2 is missing" in finish(server, snapshot, [one], status=1).stderr
    assert "is there twice" in finish(server, snapshot, [one, one], status=1).stderr
    assert "cannot open the journal" in finish(server, snapshot, [one, two], status=1).stderr
    other = derive(wide, "other.raw", [(1000, b"different")])
    shard(server, "2/2", snapshot, other)
    assert "another image or with other options" in finish(server, snapshot, [one, two], status=1).stderr
    two.unlink()
    shard(server, "2/2", snapshot, wide)
    assert "of snapshot" in finish(server, "snap-00000000000000009", [one, two], status=1).stderr
    # One that was not finished.
    lines = two.read_text().splitlines(keepends=True)
    two.write_text("".join(lines[:-2]))
    assert "has not ended" in finish(server, snapshot, [one, two], status=1).stderr
    since = len(server.log)
    shard(server, "2/2", snapshot, wide)
    assert len(puts(server, since)) == 1
    finish(server, snapshot, [one, two])
    holds(server, {"snapshot": snapshot}, wide)
    assert "is completed" in shard(server, "2/2", snapshot, wide, status=1).stderr


@pytest.mark.parametrize("args", [("--shard", "3/2", "--snapshot", "snap-1", "--digests", "d"), ("--shard", "1/2"),
                                  ("--shard", "1/2", "--snapshot", "snap-1"), ("--start", "--cleanup"), ("--digests", "x"),
                                  ("--snapshot", "snap-1"), ("--finish", "--snapshot", "snap-1", "--journal", "x"), ("-n",)])
def test_wrong_usage(server, image, args):
    run(server, "upload", image, *args, status=2)
    assert server.log == []
