# SPDX-License-Identifier: Apache-2.0
"""qcow2 images as QEMU makes them, read by us and by qemu-img. Damaged ones: tests/unit/test_qcow2.c."""
import gzip
import random
import subprocess

import pytest

SIZE = (10 << 20) + 1536


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


def make_content(path, seed=1):
    """Data of all kinds with holes between, whose end is not that of a cluster."""
    draw = random.Random(seed)
    with path.open("wb") as out:
        for _ in range(40):
            out.seek(draw.randrange(SIZE - (300 << 10)))
            kind = draw.randrange(3)
            length = draw.randrange(1, 200 << 10)
            out.write(draw.randbytes(length) if kind == 0 else bytes(length) if kind == 1 else b"words and " * (length // 10))
        out.seek(SIZE - 700)
        out.write(b"the end" * 100)
    assert path.stat().st_size == SIZE


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "content"
    make_content(path)
    return path


def same_as_qemu(amiwright, image, *options):
    """What both make of the image; returns it."""
    folder = amiwright.folder
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", folder / image, folder / "theirs")
    amiwright("convert", image, "ours.raw", *options)
    subprocess.run(["cmp", folder / "theirs", folder / "ours.raw"], check=True)
    return (folder / "ours.raw").read_bytes()


CASES = [
    ([], []),
    (["-c"], []),
    (["-c"], ["compression_type=zstd"]),
    (["-c"], ["compat=0.10"]),
    ([], ["compat=0.10"]),
    ([], ["lazy_refcounts=on"]),
    ([], ["preallocation=metadata"]),
    ([], ["preallocation=falloc"]),
    ([], ["preallocation=full"]),
]


@pytest.mark.parametrize("cluster", ["512", "4k", "64k", "2M"])
@pytest.mark.parametrize("flags, options", CASES, ids=lambda v: "".join(v))
def test_same_as_qemu(amiwright, content, tmp_path, cluster, flags, options):
    given = ",".join([f"cluster_size={cluster}", *options])
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *flags, "-o", given, content, tmp_path / "a.qcow2")
    assert same_as_qemu(amiwright, "a.qcow2", "-j4") == content.read_bytes()


def test_worked_with(amiwright, content, tmp_path):
    """An image that was written to in parts, discarded in parts, and has snapshots: what it holds now counts."""
    image = tmp_path / "a.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", content, image)
    draw = random.Random(2)
    for number in range(4):
        commands = []
        for _ in range(12):
            at, length = draw.randrange(SIZE - (1 << 20)), draw.randrange(1, 900 << 10)
            what = draw.choice([f"write -P {draw.randrange(256)}", "write -z", "write -z -u", "discard"])
            commands += ["-c", f"{what} {at} {length}"]
        run("qemu-io", "-d", "unmap", *commands, image)
        run("qemu-img", "snapshot", "-c", f"s{number}", image)
    run("qemu-io", "-c", "write -P 77 5M 2M", image)
    now = same_as_qemu(amiwright, image)
    assert now[6 << 20] == 77
    run("qemu-img", "snapshot", "-a", "s1", image)
    assert same_as_qemu(amiwright, image) != now


def test_resized_and_bitmaps(amiwright, content, tmp_path):
    image = tmp_path / "a.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", content, image)
    run("qemu-img", "bitmap", "--add", image, "b0")
    run("qemu-img", "resize", image, "400M")
    assert len(same_as_qemu(amiwright, image)) == 400 << 20
    run("qemu-img", "resize", "--shrink", image, "9M")
    assert len(same_as_qemu(amiwright, image)) == 9 << 20


def test_empty(amiwright, tmp_path):
    """64 TiB of nothing takes no time."""
    run("qemu-img", "create", "-f", "qcow2", tmp_path / "a.qcow2", "64T")
    told = amiwright.json("inspect", "a.qcow2")
    assert told["size"] == 64 << 40 and told["format"] == "qcow2"
    run("qemu-img", "create", "-f", "qcow2", tmp_path / "b.qcow2", "65T")
    assert "more than 64 TiB" in amiwright("inspect", "b.qcow2", status=1).stderr
    assert not list(tmp_path.glob("*.raw"))


def test_holes_stay(amiwright, tmp_path):
    """Clusters that are only allocated are known as zeros without being read."""
    run("qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata", tmp_path / "a.qcow2", "50G")
    amiwright("convert", "a.qcow2", "a.raw", timeout=20)
    assert (tmp_path / "a.raw").stat().st_size == 50 << 30 and (tmp_path / "a.raw").stat().st_blocks == 0


def test_compressed_outside(amiwright, content, tmp_path):
    """qcow2 in gzip, by standard input, and as the image of an upload."""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", content, tmp_path / "a.qcow2")
    (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a.qcow2").read_bytes()))
    amiwright("convert", "a.gz", "b.raw")
    assert (tmp_path / "b.raw").read_bytes() == content.read_bytes()
    with (tmp_path / "a.qcow2").open("rb") as file:
        amiwright("convert", "--from", "qcow2", "-", "c.raw", stdin=file)
    assert (tmp_path / "c.raw").read_bytes() == content.read_bytes()
    snapshot = amiwright("upload", "a.qcow2", "--local", "region").stdout.strip()
    amiwright("download", snapshot, "d.raw", "--local", "region")
    with (tmp_path / "d.raw").open("rb") as file:
        assert file.read(SIZE) == content.read_bytes()


def test_any_j_same_bytes(amiwright, content, tmp_path):
    """Clusters larger than what a worker takes at a time are shared between workers."""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "cluster_size=2M", content, tmp_path / "a.qcow2")
    for jobs in (1, 2, 8, 32):
        amiwright("convert", "a.qcow2", f"{jobs}.raw.zst", f"-j{jobs}")
        assert (tmp_path / f"{jobs}.raw.zst").read_bytes() == (tmp_path / "1.raw.zst").read_bytes()


def patch(path, at, data):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_refused(amiwright, tmp_path):
    run("qemu-img", "create", "-f", "raw", tmp_path / "base", "4M")
    refusals = {
        "backing": (["-F", "raw", "-b", "base"], "its backing file 'base'; make a whole one: qemu-img convert -O qcow2"),
        "data": (["-o", "data_file=outside"], "an external data file"),
        "extended": (["-o", "extended_l2=on"], "extended L2 entries (subclusters)"),
        "aes": (["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"], "encrypted qcow2 image (AES)"),
        "luks": ([], "encrypted qcow2 image (LUKS)"),
    }
    for name, (options, text) in refusals.items():
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, name, "4M"], cwd=tmp_path, check=True)
        if name == "luks":
            # By hand: qemu-img measures its key's iterations, and gives up on a busy machine.
            with (tmp_path / name).open("r+b") as file:
                file.seek(32)
                file.write((2).to_bytes(4, "big"))
        told = amiwright("convert", name, "out.raw", status=1).stderr
        assert text in told and f"'{name}'" in told, told
    assert not (tmp_path / "out.raw").exists()
    # As advised.
    run("qemu-img", "convert", "-O", "qcow2", tmp_path / "backing", tmp_path / "whole")
    amiwright("convert", "whole", "out.raw")


@pytest.mark.parametrize("at, data, text", [
    (79, b"\x02", "marked as corrupt"),
    (79, b"\x01", "not closed (dirty, without lazy refcounts)"),
    (72, b"\x40", "not known here (bit 62)"),
    (79, b"\x20", "not known here (bit 5)"),
    (79, b"\x08", "its compression is not that of its features"),
    (36, b"\x20\0\0\0", "more than 32 MiB"),
    (36, b"\0\0\0\0", "too small for its disk"),
    (36, b"\0\0\1\0", "cut off"),
    (40, b"\x7f", "cut off"),
    (47, b"\x10", "does not begin where a cluster does"),
    (20, b"\0\0\0\x40", "512 bytes to 2 MiB"),
    (20, b"\0\0\0\x08", "512 bytes to 2 MiB"),
    (24, b"\x7f", "more than 64 TiB"),
    (24, bytes(8), "a disk of 0 bytes"),
    (4, b"\0\0\0\1", "version 1"),
    (4, b"\0\0\0\4", "version 4"),
    (100, b"\xff\xff\xff\xf8", "longer than its first cluster"),
    (100, b"\0\0\0\x60", "the length of its header"),
    (116, b"\x7f\xff\xff\xff", "does not end"),
    (8, b"\x7f", "the name of its backing file"),
])
def test_lying_header(amiwright, tmp_path, at, data, text):
    image = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, "4M")
    patch(image, at, data)
    told = amiwright("convert", image, "out.raw", status=1).stderr
    assert text in told and str(image) in told, told
    assert not (tmp_path / "out.raw").exists()


def test_feature_is_named(amiwright, tmp_path):
    """Names come from the image and go to a terminal: what cannot be printed does not."""
    image = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, "4M")
    table = image.read_bytes().index(b"\x68\x03\xf8\x57") + 8
    patch(image, table, b"\0\x07" + b"teleport\x1b[2J".ljust(46, b"\0"))
    patch(image, 79, b"\x80")
    assert "(teleport?[2J, bit 7)" in amiwright("convert", image, "out.raw", status=1).stderr


def test_not_closed(amiwright, content, tmp_path):
    """With lazy refcounts, a machine that lost its power leaves a dirty image, which is right to read."""
    image = tmp_path / "a.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "lazy_refcounts=on", content, image)
    patch(image, 79, b"\x01")
    amiwright("convert", image, "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == content.read_bytes()


@pytest.mark.parametrize("flags", [[], ["-c"]], ids=["plain", "compressed"])
def test_cut(amiwright, content, tmp_path, flags):
    """A download that broke off is told as such, wherever it did."""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *flags, content, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for part in range(1, 20):
        (tmp_path / "a.qcow2").write_bytes(whole[:len(whole) * part // 20])
        told = amiwright("convert", "a.qcow2", "out.raw", status=1).stderr
        assert "'a.qcow2'" in told and ("cut off" in told or "cannot be decompressed" in told), told
        assert not (tmp_path / "out.raw").exists()
