# SPDX-License-Identifier: Apache-2.0
"""`inspect --deep`: xfs and btrfs of foreign making, filled by their own mkfs, read by an appliance. Each takes its own
start, half a minute under emulation: one image with both serves all."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

MIB = 1 << 20
START, SIZE = 1 * MIB, 320 * MIB
RELEASE = 'ID=tiny\nVERSION_ID="7"\nPRETTY_NAME="Tiny 7"\n'
KERNEL = "6.1.0-99-cloud-amd64"


def need():
    guest = Path(os.environ["AMIWRIGHT_OBJECTS"]) / "bench_guest"
    for type_ in ("xfs", "btrfs"):
        result = subprocess.run([guest, "-t", type_], capture_output=True, text=True)
        if result.returncode:
            pytest.skip(result.stderr.strip())


def make_image(folder):
    """Partition 1: xfs with os-release behind an absolute link; partition 2: btrfs, as for /boot, with a kernel."""
    release, tree = folder / "release", folder / "tree"
    release.write_text(RELEASE)
    tree.mkdir()
    (tree / f"vmlinuz-{KERNEL}").write_bytes(b"not much of a kernel")
    (folder / "proto").write_text(f"""/
0 0
d--755 0 0
etc d--755 0 0
os-release l--777 0 0 /usr/lib/tiny-release
$
usr d--755 0 0
lib d--755 0 0
tiny-release ---644 0 0 {release}
$
$
$
""")
    xfs, btrfs, disk = folder / "xfs", folder / "btrfs", folder / "disk.img"
    for path in (xfs, btrfs):
        with path.open("wb") as out:
            out.truncate(SIZE)
    subprocess.run(["mkfs.xfs", "-q", "-p", folder / "proto", xfs], check=True)
    subprocess.run(["mkfs.btrfs", "-q", "--rootdir", tree, btrfs], check=True)
    with disk.open("wb") as out:
        out.truncate(2 * START + 2 * SIZE)
        for nr, path in enumerate((xfs, btrfs)):
            out.seek(START + nr * SIZE)
            out.write(path.read_bytes())
    subprocess.run(["sfdisk", "-q", disk], text=True, check=True,
                   input=f"label: gpt\nstart=1MiB,size={SIZE >> 20}MiB\nsize={SIZE >> 20}MiB\n")
    return disk


def test_reads_xfs_and_btrfs(amiwright, tmp_path):
    need()
    disk = make_image(tmp_path)
    before = disk.read_bytes()
    spool = tmp_path / "spool"
    spool.mkdir()
    shallow = amiwright.json("inspect", "disk.img")
    assert [p["filesystem"]["type"] for p in shallow["partitions"]] == ["xfs", "btrfs"]
    assert shallow["os"] is None and not shallow["kernels"]
    found = amiwright.json("inspect", "--deep", "--spool-dir", spool, "disk.img")
    assert found["os"] == {"id": "tiny", "version": "7", "name": "Tiny 7"}
    assert found["kernels"] == [KERNEL]
    for part in found["partitions"]:
        fs = part["filesystem"]
        assert "damage" not in fs, fs
        assert 0 < fs["used"] < fs["size"] <= SIZE and fs["free"] == fs["size"] - fs["used"]
    assert disk.read_bytes() == before and not list(spool.iterdir())


def test_says_what_is_missing(amiwright, tmp_path):
    if not shutil.which("mkfs.xfs"):
        pytest.skip("no mkfs.xfs")
    with (tmp_path / "a.img").open("wb") as out:
        out.truncate(SIZE)
    subprocess.run(["mkfs.xfs", "-q", tmp_path / "a.img"], check=True)
    result = amiwright("inspect", "--deep", "a.img", status=2, env={"LIBGUESTFS_PATH": "/nonexistent"})
    assert "install libguestfs0" in result.stderr
    assert "xfs" in amiwright("inspect", "a.img").stdout


def test_takes_no_spec(amiwright, spec):
    assert "--deep reads an image" in amiwright("inspect", "--deep", spec, status=2).stderr
