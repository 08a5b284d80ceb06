# SPDX-License-Identifier: Apache-2.0
"""The ext4 writer before its last judge: the kernel mounts what it wrote (as root), and a walk of the mount equals the
source in every attribute; it grows; and e2fsck has nothing to say before and after."""
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

import gentree

PROGRAM = Path(os.environ["AMIWRIGHT_OBJECTS"]) / "bench_ext4"
CAP_SYS_RESOURCE = 24

root_only = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
                               reason="mounting needs root and loop devices")


def run(*command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def write(source, image, size, *options):
    run(PROGRAM, *options, "dir", source, image, size)
    run("e2fsck", "-fn", image)
    return image


def has_capability(number):
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("CapEff:"))
    return int(line.split()[1], 16) >> number & 1


@contextmanager
def mounted(image, folder, options="ro"):
    """Yields the loop device and the mount point. A mount that the kernel complains about fails."""
    folder.mkdir(exist_ok=True)
    device = run("losetup", "-f", "--show", image).strip()
    try:
        run("mount", "-o", options, device, folder)
        try:
            yield device, folder
        finally:
            run("umount", folder)
    finally:
        run("losetup", "-d", device)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "tree"
    folder.mkdir()
    gentree.make(os.fsencode(folder))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same for small blocks: a link's target, and extended attributes beyond the inode's, have to fit into one."""
    folder = tmp_path_factory.mktemp("source") / "tree"
    folder.mkdir()
    gentree.make(os.fsencode(folder))
    for link in (folder / "links").glob("link-*"):
        if len(os.readlink(link)) >= 1024:
            link.unlink()
    for file in (folder / "xattrs").iterdir():
        if sum(len(os.getxattr(file, name, follow_symlinks=False))
               for name in os.listxattr(file, follow_symlinks=False)) > 700:
            file.unlink()
    return folder


@pytest.fixture
def fitting(source, small, options):
    return small if "-b" in options else source


def assert_same(source, mount):
    differences = gentree.differences(gentree.listing(os.fsencode(source)), gentree.listing(os.fsencode(mount)))
    assert not differences, differences


@root_only
@pytest.mark.parametrize("options", [(), ("-b", "1024"), ("-b", "2048", "-n")], ids=str)
@pytest.mark.parametrize("size", ["min", "auto", "5000000000"])
def test_mount_equals_source(fitting, tmp_path, size, options):
    image = write(fitting, tmp_path / "image", size, *options)
    with mounted(image, tmp_path / "mount") as (_, mount):
        assert_same(fitting, mount)


@root_only
def test_holes_stay_holes(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "sparse", "wb") as f:
        f.truncate(1 << 34)
        for i in range(3000):
            f.seek(i * 5_000_000 // 4096 * 4096)
            f.write(b"x" * 4096)
    image = write(source, tmp_path / "image", "auto")
    with mounted(image, tmp_path / "mount") as (_, mount):
        have, want = (mount / "sparse").stat(), (source / "sparse").stat()
        assert have.st_size == want.st_size
        assert 3000 * 8 <= have.st_blocks <= 3000 * 8 + 100
        # Holes of both begin and end alike.
        with open(mount / "sparse", "rb") as f:
            assert os.lseek(f.fileno(), 4096, os.SEEK_DATA) == 5_000_000 // 4096 * 4096


@root_only
def test_200k_names(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for i in range(200_000):
        os.close(os.open(source / f"{i:x}-name", os.O_CREAT | os.O_WRONLY, 0o600))
    image = write(source, tmp_path / "image", "1G")
    with mounted(image, tmp_path / "mount", "rw") as (_, mount):
        assert sum(1 for _ in os.scandir(mount)) == 200_001
        # Each of them is found through the index, and the kernel can go on with it.
        for i in range(200_000):
            os.lstat(mount / f"{i:x}-name")
        for i in range(0, 200_000, 50):
            (mount / f"{i:x}-name").unlink()
            (mount / f"new-{i}").touch()
    run("e2fsck", "-fn", image)


@root_only
def test_kernel_uses_it(source, tmp_path):
    """Free space is free: filling it leaves what was there intact."""
    image = write(source, tmp_path / "image", "auto")
    with mounted(image, tmp_path / "mount", "rw") as (_, mount):
        with open(mount / "filler", "wb") as f, pytest.raises(OSError):
            while True:
                f.write(b"\xff" * (1 << 20))
                f.flush()
        (mount / "filler").unlink()
    run("e2fsck", "-fn", image)
    with mounted(image, tmp_path / "mount") as (_, mount):
        differences = gentree.differences(gentree.listing(os.fsencode(source)),
                                          gentree.listing(os.fsencode(mount)))
        # Only the root directory itself has a new time.
        assert all("mtime" in str(d) for d in differences) and len(differences) <= 1, differences


@root_only
@pytest.mark.skipif(not has_capability(CAP_SYS_RESOURCE), reason="growing online needs CAP_SYS_RESOURCE")
@pytest.mark.parametrize("options", [(), ("-r", "100G")], ids=str)
def test_grows_online(source, tmp_path, options):
    image = write(source, tmp_path / "image", "auto", *options)
    with mounted(image, tmp_path / "mount", "rw") as (device, mount):
        os.truncate(image, 20 << 30)
        run("losetup", "-c", device)
        run("resize2fs", device)
        assert os.statvfs(mount).f_blocks * 4096 > 19 << 30
    run("e2fsck", "-fn", image)


@pytest.mark.parametrize("options", [(), ("-b", "1024"), ("-r", "100G")], ids=str)
def test_grows_offline(fitting, tmp_path, options):
    image = write(fitting, tmp_path / "image", "auto", *options)
    os.truncate(image, 6 << 30)
    run("resize2fs", image)
    run("e2fsck", "-fn", image)
    assert "Reserved GDT blocks" in run("dumpe2fs", "-h", image)


def test_without_room_names_the_need(source, tmp_path):
    plan = dict(line.split() for line in run(PROGRAM, "-p", "dir", source, "-", "min").splitlines())
    result = subprocess.run([PROGRAM, "dir", source, tmp_path / "image", str(int(plan["min_size"]) - 4096)],
                            capture_output=True, text=True)
    assert result.returncode == 1
    assert f"({plan['min_size']} bytes)" in result.stderr
    assert not (tmp_path / "image").exists()
