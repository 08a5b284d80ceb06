# SPDX-License-Identifier: Apache-2.0
"""Layouts, file systems and boot loaders over a small tree that has all that a Linux needs to start, judged by
sfdisk, sgdisk, fsck, veritysetup; the same bits from two surroundings; and what could not start is refused."""
import glob
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "boot"))
import nobody  # noqa: E402
import oracles  # noqa: E402

VERSION = "6.1.0-1-test"
KERNELS = sorted(glob.glob("/boot/vmlinuz-*-amd64"))
GRUB = Path("/usr/lib/grub/i386-pc/kernel.img").exists() and Path("/usr/lib/grub/x86_64-efi/moddep.lst").exists()
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub").exists()
BUILTIN = "\n".join(f"kernel/{name}.ko" for name in (
    "drivers/nvme/host/nvme", "drivers/nvme/host/nvme-core", "drivers/net/ethernet/amazon/ena/ena", "fs/ext4/ext4",
    "fs/squashfs/squashfs", "drivers/md/dm-mod", "drivers/md/dm-verity", "fs/overlayfs/overlay")) + "\n"

EMPTY_CPIO = b"070701" + b"0" * 32 + b"00000001" + b"0" * 48 + b"0000000b" + b"0" * 8 + b"TRAILER!!!\0\0\0\0"

ESP = {"name": "esp", "type": "esp", "filesystem": "vfat", "mount": "/boot/efi", "size": "64M"}
BIOS = {"name": "bios", "type": "bios-boot", "size": "1M"}
ROOT = {"name": "root", "type": "root", "filesystem": "ext4", "mount": "/", "size": "rest"}

pytestmark = pytest.mark.skipif(not KERNELS, reason="no kernel of Debian's in /boot (linux-image-cloud-amd64)")
needs_grub = pytest.mark.skipif(not GRUB, reason="needs grub-pc-bin and grub-efi-amd64-bin")
needs_stub = pytest.mark.skipif(not STUB, reason="needs systemd-boot-efi")


def write(path, text):
    return {"write": {"path": path, "content": text}}


@pytest.fixture
def make(tmp_path):
    """make(partitions, boot, table=…, drop=…): the spec file."""
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(Path(KERNELS[-1]).read_bytes())
    (tmp_path / "initrd").write_bytes(EMPTY_CPIO)

    def spec(partitions, boot, drop=(), more=(), disks=(), **disk):
        layers = {
            "kernel": {"write": {"path": f"/boot/vmlinuz-{VERSION}", "from": "vmlinuz"}},
            "initrd": {"write": {"path": f"/boot/initrd.img-{VERSION}", "from": "initrd"}},
            "modules": write(f"/usr/lib/modules/{VERSION}/modules.builtin", BUILTIN),
            "os": write("/etc/os-release", "ID=test\nPRETTY_NAME=\"Test 1\"\n"),
            "srv": write("/srv/data/file", "data\n"),
        }
        doc = {"name": "layout", "version": "1", "architecture": "x86_64", "epoch": 1735689600,
               "root": [layer for name, layer in layers.items() if name not in drop] + list(more),
               "disks": [{"device": "/dev/xvda", "table": "gpt", "partitions": partitions, **disk}, *disks],
               "boot": boot}
        path = tmp_path / "image.yaml"
        path.write_text(yaml.safe_dump(doc, sort_keys=False))
        return path
    return spec


def manifest(image):
    return json.loads(Path(f"{image}.manifest.json").read_text())


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def same_from_elsewhere(amiwright, spec, image, tmp_path):
    """Another user, place, umask, zone and number of threads."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in ("vmlinuz", "initrd", "image.yaml"):
        (other / name).write_bytes((tmp_path / name).read_bytes())
        (other / name).chmod(0o644)
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", amiwright.path, "build", "image.yaml", "-o", "out.raw",
               "-j", "4"]
    if os.geteuid() == 0:
        nobody.open_way(other)
        os.chown(other, nobody.NOBODY, nobody.NOBODY)
        command[4] = nobody.reachable(amiwright.path, other)
        command = [*nobody.PREFIX, *command]
    env = {**amiwright.env, "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", "TMPDIR": str(other)}
    result = subprocess.run(command, cwd=other, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert digest(other / "out.raw") == digest(image)
    assert not [p for p in other.iterdir() if p.name.startswith(".amiwright")]


@needs_grub
@pytest.mark.parametrize("table, partitions, mode", [
    ("gpt", [BIOS, ESP, ROOT], "uefi-preferred"),
    ("gpt", [BIOS, ROOT], "legacy-bios"),
    ("gpt", [ESP, ROOT], "uefi"),
    ("hybrid", [BIOS, ESP, ROOT], "uefi-preferred"),
    ("mbr", [ESP, ROOT], "uefi-preferred"),
])
def test_grub(amiwright, make, tmp_path, table, partitions, mode):
    spec = make(partitions, {"loader": "grub", "mode": "auto"}, table=table)
    image = tmp_path / "out.raw"
    amiwright("build", spec, "-o", image, "-j", "1")
    assert manifest(image)["boot_mode"] == mode
    kinds = oracles.check_image(image, tmp_path)
    assert "ext4" in kinds and ("vfat" in kinds) == (ESP in partitions)
    first = image.open("rb").read(512)
    assert (b"GRUB" in first) == (mode != "uefi")
    same_from_elsewhere(amiwright, spec, image, tmp_path)


@needs_stub
@pytest.mark.parametrize("root_fs", ["squashfs", "ext4"])
def test_verity(amiwright, make, tmp_path, root_fs):
    esp = {**ESP, "size": "auto"}
    del esp["mount"]
    spec = make([esp, {**ROOT, "filesystem": root_fs, "size": "auto"},
                 {"name": "hashes", "type": "root-verity", "verity": "root", "size": "auto"}],
                {"loader": "uki", "cmdline": "quiet"})
    image = tmp_path / "out.raw"
    amiwright("build", spec, "-o", image)
    assert manifest(image)["boot_mode"] == "uefi"
    # check_image() finds the root hash in the kernel's command line and runs veritysetup verify.
    kinds = oracles.check_image(image, tmp_path)
    assert root_fs in kinds and "vfat" in kinds
    parts = manifest(image)["disks"][0]["partitions"]
    by_table = (parts[1]["uuid"] + parts[2]["uuid"]).replace("-", "")
    assert by_table == oracles.root_hash(image)
    same_from_elsewhere(amiwright, spec, image, tmp_path)


@needs_stub
def test_systemd_boot_with_xbootldr(amiwright, make, tmp_path):
    boot = {"name": "boot", "type": "xbootldr", "filesystem": "vfat", "mount": "/boot", "size": "128M"}
    esp = {**ESP, "mount": "/efi"}
    spec = make([esp, boot, ROOT], {"loader": "systemd-boot", "mode": "uefi"})
    image = tmp_path / "out.raw"
    amiwright("build", spec, "-o", image)
    assert oracles.check_image(image, tmp_path).count("vfat") == 2
    same_from_elsewhere(amiwright, spec, image, tmp_path)


@needs_grub
def test_many_partitions_and_disks(amiwright, make, tmp_path):
    small = [{"name": n, "type": n, "filesystem": k, "mount": f"/{n}", "size": s} for n, k, s in
             (("home", "ext4", "10%"), ("var", "ext3", "64M"))]
    swap = {"name": "swap", "type": "swap", "filesystem": "swap", "size": "128M"}
    data = {"device": "/dev/sdf", "filesystem": "ext2", "label": "data", "mount": "/srv/data", "size": "1G"}
    more = [data, {"device": "/dev/sdg", "empty": True, "size": "5G"}, {"device": "/dev/sdb", "ephemeral": 0},
            {"device": "/dev/sdc", "no_device": True}]
    spec = make([BIOS, ESP, *small, swap, ROOT], {"loader": "grub"}, disks=more, size="2G")
    image = tmp_path / "out.raw"
    files = amiwright("build", spec, "-o", image).stdout.split()
    assert len(files) == 2
    assert {"vfat", "ext4", "ext3", "swap"} <= set(oracles.check_image(image, tmp_path))
    assert oracles.check_image(files[1], tmp_path) == ["ext2"]
    parts = {p["name"]: p for p in manifest(image)["disks"][0]["partitions"]}
    assert parts["home"]["size"] == 204 << 20
    same_from_elsewhere(amiwright, spec, image, tmp_path)


@needs_grub
@pytest.mark.parametrize("drop, more, text", [
    ("kernel", [], "there is no kernel in the tree (/boot/vmlinuz-VERSION): add a package such as "
               "linux-image-cloud-amd64"),
    ("modules", [write(f"/usr/lib/modules/{VERSION}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")], "nvme"),
])
def test_what_cannot_start_is_refused(amiwright, make, tmp_path, drop, more, text):
    spec = make([BIOS, ESP, ROOT], {"loader": "grub"}, drop=[drop], more=more)
    result = amiwright("build", spec, "-o", tmp_path / "out.raw", status=2)
    assert text in result.stderr and "image.yaml:" in result.stderr
    assert not (tmp_path / "out.raw").exists()


@needs_grub
def test_strict_makes_warnings_mistakes(amiwright, make, tmp_path):
    spec = make([BIOS, ESP, ROOT], {"loader": "grub"})
    points = amiwright.json("inspect", spec)["fitness"]
    assert {"dhcp", "ssh-key"} <= {p["name"] for p in points} and all(p["cure"] for p in points)
    spec.write_text(spec.read_text() + "strict: true\n")
    result = amiwright("build", spec, "-o", tmp_path / "out.raw", status=2)
    assert "dhcp" in result.stderr and not (tmp_path / "out.raw").exists()


def test_a_loader_for_uefi_alone_says_nothing_of_bios(amiwright, make):
    spec = make([ESP, ROOT], {"loader": "systemd-boot"}, more=[write("/etc/kernel/entry-token", "../x\n")])
    error = amiwright("build", spec, "-o", "a.raw", status=2).stderr
    assert "the image could not start: '../x' cannot be the name of boot entries" in error and "BIOS" not in error


@needs_grub
def test_a_firmware_that_falls_away_is_said(amiwright, make, tmp_path):
    """The layout has places for both: what the tree spoils for one of them is a warning, not silence."""
    broken = [write("/usr/lib/grub/i386-pc/kernel.img", "garbage"), write("/usr/lib/grub/i386-pc/moddep.lst", "")]
    image = tmp_path / "out.raw"
    result = amiwright("build", make([BIOS, ESP, ROOT], {"loader": "grub"}, more=broken), "-o", image)
    assert manifest(image)["boot_mode"] == "uefi"
    assert "the image starts on UEFI only: " in result.stderr


@needs_grub
def test_grub_looks_at_the_kernel(amiwright, make, tmp_path):
    spec = make([BIOS, ESP, ROOT], {"loader": "grub"}, more=[write(f"/boot/vmlinuz-{VERSION}", "garbage")])
    result = amiwright("build", spec, "-o", tmp_path / "out.raw", status=2)
    assert f"'/boot/vmlinuz-{VERSION}' is no kernel that GRUB could start" in result.stderr
    assert not (tmp_path / "out.raw").exists()


@needs_grub
def test_grub_with_a_squashfs_root(amiwright, make, tmp_path):
    """What the refusal of a squashfs under GRUB advises is accepted."""
    boot = {"name": "boot", "type": "linux", "filesystem": "ext4", "mount": "/boot", "size": "128M"}
    root = {**ROOT, "filesystem": "squashfs", "size": "auto"}
    result = amiwright("build", make([BIOS, root], {"loader": "grub"}), "-o", tmp_path / "no.raw", status=2)
    assert "put /boot on a partition of its own" in result.stderr
    image = tmp_path / "out.raw"
    amiwright("build", make([BIOS, boot, root], {"loader": "grub"}), "-o", image)
    assert {"ext4", "squashfs"} <= set(oracles.check_image(image, tmp_path))
