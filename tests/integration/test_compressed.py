# SPDX-License-Identifier: Apache-2.0
"""Compressed images: ours by foreign programs, foreign ones by us."""
import hashlib
import os
import random
import resource
import subprocess

import pytest

PROGRAMS = ["gzip", "zstd", "xz", "bzip2", "lz4"]


@pytest.fixture
def image(tmp_path):
    """An ext4 of 40 MiB with some data, sparse, whose last piece is not a whole one."""
    path = tmp_path / "a.raw"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/random").write_bytes(random.Random(1).randbytes(3 << 20))
    (tmp_path / "in/text").write_text("all work and no play\n" * 100000)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "in", path, "40M"], check=True)
    with path.open("r+b") as out:
        out.truncate((40 << 20) + 1536)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix, program, top", [("gz", "gzip", 12), ("zst", "zstd", 19)])
def test_written(amiwright, image, tmp_path, suffix, program, top):
    amiwright("convert", image, f"b.raw.{suffix}", "-j1")
    amiwright("convert", image, f"c.img.{suffix}", "-j8")
    packed = tmp_path / f"b.raw.{suffix}"
    assert packed.read_bytes() == (tmp_path / f"c.img.{suffix}").read_bytes()
    piped = subprocess.run([amiwright.path, "convert", image, "-", "--to", f"raw.{suffix}"], cwd=tmp_path,
                           capture_output=True, check=True).stdout
    assert piped == packed.read_bytes()
    subprocess.run([program, "-qt", packed], check=True)
    with (tmp_path / "back").open("wb") as out:
        subprocess.run([program, "-dc", packed], stdout=out, check=True)
    assert sha256(tmp_path / "back") == sha256(image)
    amiwright("convert", packed, "again.raw")
    assert sha256(tmp_path / "again.raw") == sha256(image)
    assert os.stat(tmp_path / "again.raw").st_blocks <= os.stat(image).st_blocks + 8
    amiwright("convert", image, f"fast.raw.{suffix}", "--level", 1)
    amiwright("convert", image, f"small.raw.{suffix}", "--level", top)
    assert (tmp_path / f"small.raw.{suffix}").stat().st_size < (tmp_path / f"fast.raw.{suffix}").stat().st_size
    text = amiwright("convert", image, f"x.raw.{suffix}", "--level", top + 1, status=2).stderr
    assert f"from 1 to {top}" in text


def test_built(amiwright, spec, tmp_path):
    """build writes the same as convert, and its manifest has the blocks of the disk."""
    amiwright("build", spec, "-o", "b.raw.zst")
    amiwright("build", spec, "-o", "c.raw")
    amiwright("convert", "c.raw", "c.raw.zst")
    assert (tmp_path / "b.raw.zst").read_bytes() == (tmp_path / "c.raw.zst").read_bytes()
    assert (tmp_path / "b.raw.zst.manifest.json").read_bytes() == (tmp_path / "c.raw.manifest.json").read_bytes()


@pytest.mark.parametrize("program", [*PROGRAMS, "lz4 -l"])
def test_read(amiwright, image, tmp_path, program):
    with (tmp_path / "b").open("wb") as out:
        subprocess.run([*program.split(), "-c", image], stdout=out, check=True)
    told = amiwright.json("inspect", "b")
    assert told["size"] == image.stat().st_size and told["filesystem"]["type"] == "ext4"
    amiwright("convert", "b", "b.raw")
    assert sha256(tmp_path / "b.raw") == sha256(image)
    with (tmp_path / "b").open("rb") as file:
        amiwright("convert", "-", "c.raw", stdin=file)
    assert sha256(tmp_path / "c.raw") == sha256(image)
    (tmp_path / "twice").write_bytes(subprocess.run(["gzip", "-c", tmp_path / "b"], capture_output=True,
                                                    check=True).stdout)
    assert "compressed twice" in amiwright("convert", "twice", "d.raw", status=1).stderr


def test_frames_to_skip(amiwright, image, tmp_path):
    """pzstd puts one before each of its frames."""
    skip = b"\x5f\x2a\x4d\x18\x04\0\0\0abcd" * 3
    for name, command in (("a", "pzstd"), ("b", "zstd")):
        data = subprocess.run([command, "-q", "-c", image], capture_output=True, check=True).stdout
        (tmp_path / name).write_bytes(data if name == "a" else skip + data)
        assert amiwright.json("inspect", name)["format"] == "zstd"
        amiwright("convert", name, "back.raw", "--keep-unused")
        assert sha256(tmp_path / "back.raw") == sha256(image)
    (tmp_path / "c").write_bytes(skip)
    (tmp_path / "d").write_bytes(skip[:-8] + b"\xff\xff\xff\xffabcd")
    for name in "cd":
        assert amiwright.json("inspect", name)["format"] == "unknown"


@pytest.mark.parametrize("suffix, size", [("gz", 64 << 30), ("zst", 256 << 30)])
def test_large_and_empty(amiwright, tmp_path, suffix, size):
    """Pieces of zeros are compared, not decompressed: that would take half a minute and more of a processor."""
    with (tmp_path / "a").open("wb") as out:
        out.write(bytes(510) + b"\x55\xaa")
        out.seek(size - 5000)
        out.write(b"the end")
        out.truncate(size)
    amiwright("convert", "a", f"a.raw.{suffix}", "--keep-unused")

    def bounded():
        resource.setrlimit(resource.RLIMIT_CPU, (4, 4))
    amiwright("convert", f"a.raw.{suffix}", "b.raw", "--keep-unused", preexec_fn=bounded)
    assert (tmp_path / "b.raw").stat().st_size == size and (tmp_path / "b.raw").stat().st_blocks < 1000
    with (tmp_path / "b.raw").open("rb") as file:
        assert file.read(512).endswith(b"\x55\xaa")
        file.seek(size - 5000)
        assert file.read() == b"the end" + bytes(4993)


def test_wide_window(amiwright, tmp_path):
    """zstd --long: what the zstd command refuses too is not called damaged."""
    (tmp_path / "disk").write_bytes(b"x" * 5000 + bytes(3000000))
    for log, status in ((27, 0), (28, 1)):
        with (tmp_path / "disk").open("rb") as content:
            packed = subprocess.run(["zstd", "-q", "-1", f"--long={log}", "-c"], stdin=content, capture_output=True,
                                    check=True).stdout
        (tmp_path / "disk.zst").write_bytes(packed)
        said = amiwright("convert", "disk.zst", "out.raw", status=status).stderr
        assert ("decompress it first by zstd -d --long=31" in said) == (status == 1) and "damaged" not in said


@pytest.mark.parametrize("program, says", [("gzip", "ends too soon"), ("zstd", "ends too soon"), ("xz", "ends too soon"),
                                          ("bzip2", "truncated"), ("lz4", "truncated")])
def test_cut_off_is_said_so(amiwright, tmp_path, program, says):
    (tmp_path / "disk").write_bytes(os.urandom(300000))
    good = subprocess.run([program, "-c", tmp_path / "disk"], capture_output=True, check=True).stdout
    for length in (1000, 200000, len(good) - 1):
        (tmp_path / "bad").write_bytes(good[:length])
        assert says in amiwright("inspect", "bad", status=1).stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_damaged(amiwright, tmp_path, program):
    """Cut and changed files are errors or the right content; nothing is left behind."""
    draw = random.Random(5)
    content = bytes(draw.randrange(256) for _ in range(3000)) * 5 + bytes(70000)
    (tmp_path / "disk").write_bytes(content)
    good = subprocess.run([program, "-c", tmp_path / "disk"], capture_output=True, check=True).stdout
    spool = tmp_path / "spool"
    spool.mkdir()
    errors = 0
    for i in range(40):
        bad = bytearray(good)
        if i % 2:
            del bad[draw.randrange(8, len(bad)):]
        else:
            bad[draw.randrange(8, len(bad))] ^= 1 << draw.randrange(8)
        (tmp_path / "bad").write_bytes(bad)
        run = subprocess.run([amiwright.path, "convert", "bad", "out.raw", "--spool-dir", spool],
                             cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert run.returncode in (0, 1), run.stderr
        if run.returncode:
            errors += 1
            assert "'bad'" in run.stderr and not (tmp_path / "out.raw").exists()
        else:
            assert (tmp_path / "out.raw").read_bytes() == content
            (tmp_path / "out.raw").unlink()
        assert not os.listdir(spool)
    assert errors > 30
