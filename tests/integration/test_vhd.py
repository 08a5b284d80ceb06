# SPDX-License-Identifier: Apache-2.0
"""VHD images: ours read by qemu-img, its own read by us, damaged ones refused."""
import hashlib
import json
import os
import random
import subprocess

import pytest


def qemu_img(*args):
    return subprocess.run(["qemu-img", *map(str, args)], check=True, capture_output=True, text=True).stdout


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def disk(tmp_path):
    """24 MiB and a bit: blocks with data, without, partly; the last one is not whole."""
    path = tmp_path / "disk.img"
    draw = random.Random(3)
    with path.open("wb") as out:
        out.truncate((24 << 20) + 3 * 512)
        for off, size in ((0, 512), (5 << 20, 3 << 20), ((12 << 20) + 700, 1), ((24 << 20) + 512, 1024)):
            out.seek(off)
            out.write(draw.randbytes(size))
    return path


@pytest.mark.parametrize("to, subformat", [("vhd", "dynamic"), ("vhd-fixed", "fixed")])
def test_written(amiwright, disk, tmp_path, to, subformat):
    said = amiwright("convert", disk, "a.vhd", "--to", to, "-j1", "--keep-unused").stderr
    assert "the disk has 26214400 bytes" in said and "instead of 25167360" in said
    amiwright("convert", disk, "b.vhd", "--to", to, "-j8", "--keep-unused")
    assert sha256(tmp_path / "a.vhd") == sha256(tmp_path / "b.vhd")
    piped = subprocess.run([amiwright.path, "convert", disk, "-", "--to", to, "--keep-unused"], cwd=tmp_path,
                           capture_output=True, check=True).stdout
    assert piped == (tmp_path / "a.vhd").read_bytes()
    info = json.loads(qemu_img("info", "--output=json", "-f", "vpc", tmp_path / "a.vhd"))
    assert info["virtual-size"] == 25 << 20
    qemu_img("convert", "-f", "vpc", "-O", "raw", tmp_path / "a.vhd", tmp_path / "back")
    with disk.open("r+b") as out:
        out.truncate(25 << 20)
    assert sha256(tmp_path / "back") == sha256(disk)
    told = amiwright.json("inspect", "a.vhd")
    assert told["format"] == "vhd" and told["variant"] == subformat and told["size"] == 25 << 20
    amiwright("convert", "a.vhd", "again.raw", "--keep-unused")
    assert sha256(tmp_path / "again.raw") == sha256(disk)
    if subformat == "dynamic":
        # Five blocks of 2 MiB hold something: 0, 2, 3, 6 and the last.
        assert (tmp_path / "a.vhd").stat().st_size == 512 + 1024 + 512 + 5 * (512 + (2 << 20)) + 512
    else:
        assert (tmp_path / "a.vhd").stat().st_size == (25 << 20) + 512
        assert (tmp_path / "a.vhd").stat().st_blocks * 512 < 6 << 20


def test_ids_and_times(amiwright, disk, tmp_path):
    """Unique id by content, time by SOURCE_DATE_EPOCH; both checksums as the specification has them."""
    amiwright("convert", disk, "a.vhd")
    amiwright("convert", disk, "b.vhd", env={"SOURCE_DATE_EPOCH": "946684900"})
    a, b = (tmp_path / "a.vhd").read_bytes(), (tmp_path / "b.vhd").read_bytes()
    assert a[:512] == a[-512:] and b[:512] == b[-512:]
    assert a[24:28] == bytes(4) and b[24:28] == bytes([0, 0, 0, 100])
    assert a[68:84] == b[68:84] != bytes(16)
    for head, at in ((b[:512], 64), (b[512:1536], 36)):
        total = sum(head) - sum(head[at:at + 4])
        assert int.from_bytes(head[at:at + 4], "big") == ~total & 0xffffffff
    with disk.open("r+b") as out:
        out.write(b"!")
    amiwright("convert", disk, "c.vhd")
    assert (tmp_path / "c.vhd").read_bytes()[68:84] != a[68:84]


@pytest.mark.parametrize("options", ["subformat=dynamic", "subformat=fixed", "subformat=dynamic,force_size=on"])
def test_read(amiwright, disk, tmp_path, options):
    with disk.open("r+b") as out:
        out.truncate(32 << 20)
    qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", options, disk, tmp_path / "q.vhd")
    qemu_img("convert", "-f", "vpc", "-O", "raw", tmp_path / "q.vhd", tmp_path / "want")
    amiwright("convert", "q.vhd", "got.raw", "--keep-unused")
    got, want = (tmp_path / "got.raw").read_bytes(), (tmp_path / "want").read_bytes()
    # Without force_size qemu-img reads its own files by their geometry, the specification by their size.
    size = min(len(got), len(want))
    assert got[:size] == want[:size] and not any(got[size:]) and len(got) >= 32 << 20


def test_built_and_uploaded(amiwright, spec, tmp_path):
    """build and upload's readers take it whole: table, file systems, unused blocks."""
    amiwright("build", spec, "-o", "a.vhd")
    amiwright("build", spec, "-o", "a.raw")
    assert (tmp_path / "a.vhd.manifest.json").read_text() == (tmp_path / "a.raw.manifest.json").read_text()
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "vpc", tmp_path / "a.raw", tmp_path / "a.vhd")
    assert amiwright("diff", "a.raw", "a.vhd").stdout == ""
    snapshot = amiwright("--local", "region", "upload", "a.vhd").stdout.strip()
    amiwright("--local", "region", "verify", snapshot, "a.raw")


def test_refused(amiwright, tmp_path):
    qemu_img("create", "-q", "-f", "vpc", tmp_path / "base.vhd", "8M")
    data = bytearray((tmp_path / "base.vhd").read_bytes())
    for at in (0, len(data) - 512):
        footer = data[at:at + 512]
        footer[60:64] = (4).to_bytes(4, "big")
        footer[64:68] = bytes(4)
        footer[64:68] = (~sum(footer) & 0xffffffff).to_bytes(4, "big")
        data[at:at + 512] = footer
    (tmp_path / "child.vhd").write_bytes(data)
    assert "differencing VHD" in amiwright("convert", "child.vhd", "x.raw", status=1).stderr
    with (tmp_path / "big").open("wb") as out:
        out.truncate((2040 << 30) + 1)
    assert "at most 2040 GiB" in amiwright("convert", "big", "x.vhd", status=1).stderr
    assert not (tmp_path / "x.vhd").exists()


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_damaged(amiwright, disk, tmp_path, subformat):
    """Cut, flipped and lying files: an error that names the file, or something read in bounded time."""
    draw = random.Random(subformat)
    amiwright("convert", disk, "good.vhd", "--to", "vhd" if subformat == "dynamic" else "vhd-fixed")
    good = (tmp_path / "good.vhd").read_bytes()
    for i in range(60):
        bad = bytearray(good)
        if i % 3 == 0:
            del bad[draw.randrange(1, len(bad)):]
        elif i % 3 == 1:
            for _ in range(4):
                bad[draw.choice((draw.randrange(2048), len(bad) - 1 - draw.randrange(512)))] ^= 1 << draw.randrange(8)
        else:
            # A lie with a right checksum: some field of both footers, or of the header.
            at, size, check = draw.choice(((0, 512, 64), (512, 1024, 36)))
            field = draw.choice((16, 28, 32, 48, 60))
            bad[at + field:at + field + 4] = draw.randbytes(4)
            bad[at + check:at + check + 4] = bytes(4)
            bad[at + check:at + check + 4] = (~sum(bad[at:at + size]) & 0xffffffff).to_bytes(4, "big")
            if at == 0:
                bad[-512:] = bad[:512]
        (tmp_path / "bad.vhd").write_bytes(bad)
        run = subprocess.run([amiwright.path, "inspect", "bad.vhd"], cwd=tmp_path, capture_output=True,
                             text=True, timeout=60)
        assert run.returncode in (0, 1) and (run.returncode == 0 or "bad.vhd" in run.stderr), run.stderr
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".amiwright")]
