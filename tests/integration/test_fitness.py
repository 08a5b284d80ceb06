# SPDX-License-Identifier: Apache-2.0
"""Initrds and fitness of a real Debian: what initramfs-tools sees in its initrd, and what is missing in the tree."""
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from debian_tree import debian_tar  # noqa: E402  pylint: disable=wrong-import-position

OBJECTS = Path(os.environ.get("AMIWRIGHT_OBJECTS", "build/obj/cc"))
CONSOLE = "root=UUID=1 console=ttyS0"


def names(path):
    """Names in an initrd, as our reader lists them."""
    out = subprocess.run([OBJECTS / "test_initrd", path], capture_output=True, text=True, check=True).stdout
    return sorted(line.rstrip("/") or "." for line in out.splitlines())


def points(tar, cmdline=CONSOLE, filesystem="ext4"):
    """{name: whole line} of the points of a tree."""
    out = subprocess.run([OBJECTS / "test_fitness", tar, cmdline, filesystem], capture_output=True, text=True,
                         check=True).stdout
    lines = [line for line in out.splitlines() if not line.startswith("- ")]
    return {line.removeprefix("fatal ").split(":")[0]: line for line in lines}


@pytest.fixture(scope="session")
def debian():
    for program in ("test_initrd", "test_fitness"):
        if not (OBJECTS / program).exists():
            pytest.skip(f"{program} is not built")
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed")
    return debian_tar(os.environ.get("AMIWRIGHT_BUILD", "build"))


@pytest.fixture(scope="session")
def initrd(debian, tmp_path_factory):
    """The initrd of the tree as a file."""
    path = tmp_path_factory.mktemp("initrd") / "initrd.img"
    with tarfile.open(debian) as tar:
        member = next(m for m in tar if "/boot/initrd.img-" in m.name)
        path.write_bytes(tar.extractfile(member).read())
    return path


def test_names_are_those_of_lsinitramfs(initrd):
    if not shutil.which("lsinitramfs"):
        pytest.skip("lsinitramfs (initramfs-tools-core) is not installed")
    listed = subprocess.run(["lsinitramfs", initrd], capture_output=True, text=True, check=True).stdout
    ours = names(initrd)
    assert len(ours) > 100
    assert ours == sorted(listed.splitlines())


@pytest.mark.parametrize("packer", ["gzip -1", "zstd -q -1", "lz4 -q -l -1", "xz -0 --check=crc32"])
def test_repacked_behind_microcode(initrd, tmp_path, packer):
    """The same in other dresses: early archives in front, another compression."""
    script = f"""
        mkdir -p early/kernel/x86/microcode && echo x >early/kernel/x86/microcode/AuthenticAMD.bin
        (cd early && find kernel | cpio -o -H newc --quiet) >out
        zcat -f {initrd} | {packer} >>out && head -c 512 /dev/zero >>out"""
    if subprocess.run(["gzip", "-t", initrd], capture_output=True, check=False).returncode:
        pytest.skip("the initrd is not packed by gzip")
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True)
    early = ["kernel", "kernel/x86", "kernel/x86/microcode", "kernel/x86/microcode/AuthenticAMD.bin"]
    assert names(tmp_path / "out") == sorted(names(initrd) + early)


def edit(debian, tmp_path, drop=(), add=None):
    """The tar without some members (by a part of their names), with others."""
    out = tmp_path / "edited.tar"
    with tarfile.open(debian) as old, tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            if any(part in member.name for part in drop):
                continue
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for name, data in (add or {}).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    return out


def test_a_debian_tree(debian):
    """mmdebstrap's tree lacks a renderer for cloud-init and has host keys; all drivers are there."""
    got = points(debian)
    assert sorted(got) == ["dhcp", "ssh-host-keys"]
    assert "systemd-networkd.service" in got["dhcp"]
    assert "serial-console" in points(debian, "quiet")
    # Not given: grub-cloud-amd64's /etc/default/grub has one.
    assert "serial-console" not in points(debian, "")


def test_a_driver_is_missing(debian, tmp_path):
    """Debian's cloud kernel has nvme and ext4 built in, ena and xfs in its initrd, squashfs as a file."""
    assert points(debian, filesystem="squashfs")["root-file-system"].startswith("fatal ")
    assert "root-file-system" not in points(debian, filesystem="xfs")
    got = points(edit(debian, tmp_path, drop=["boot/initrd.img-", "amazon/ena"]))
    assert got["ena"].startswith("fatal ")
    assert "linux-image-cloud-amd64" in got["ena"]
    assert "nvme" not in got


def test_a_broken_initrd(debian, initrd, tmp_path):
    name = next(m.name for m in tarfile.open(debian) if "/boot/initrd.img-" in m.name)
    tar = edit(debian, tmp_path, drop=["boot/initrd.img-"], add={name: initrd.read_bytes()[:-100000]})
    got = points(tar)
    assert got["initrd"].startswith("fatal ")
    assert "/boot/initrd.img-" in got["initrd"]
