# SPDX-License-Identifier: Apache-2.0
"""`inspect --deep` at length: each test starts an appliance, half a minute under emulation; two workers may run at once."""
import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import deep_disk
import volumes

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
import nobody  # noqa: E402

LIMIT = ("--timeout", "900")


@pytest.fixture(scope="module", autouse=True)
def appliance():
    """`make check-deep` installs what makes one: where none can be made, that is what fails."""
    assert deep_disk.missing() == ""


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A small disk: LVM and squashfs."""
    folder = tmp_path_factory.mktemp("disk")
    deep_disk.make(folder / "disk.img", folder / "parts", ["lvm", "squashfs"])
    return folder / "disk.img"


def check_found(found):
    squashfs, lvm = [p["filesystem"] for p in found["partitions"]]
    assert squashfs["type"] == "squashfs" and squashfs["used"] > 0
    inside = {v["name"]: v["filesystem"] for v in lvm["volumes"]}
    assert inside["vg0/root"]["type"] == "ext4" and inside["vg0/root"]["used"] > 0
    assert found["kernels"] == [deep_disk.KERNEL]


@pytest.mark.parametrize("name", ["disk.img", "disk.qcow2", "disk.vmdk", "sparse.vmdk", "disk.vhd", "fixed.vhd", "disk.ova",
                                  "disk.raw.gz", "disk.raw.zst", "disk.raw.xz"])
def test_formats(amiwright, disk, tmp_path, name):
    to = {"sparse.vmdk": ("--to", "vmdk-sparse"), "fixed.vhd": ("--to", "vhd-fixed")}.get(name, ())
    if name == "disk.img":
        shutil.copyfile(disk, tmp_path / name)
    elif name.endswith("qcow2"):
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-c", disk, tmp_path / name], check=True)
    elif name.endswith("xz"):
        with (tmp_path / name).open("wb") as out:
            subprocess.run(["xz", "-0", "-c", disk], check=True, stdout=out)
    else:
        amiwright("convert", disk, name, *to)
    before = (tmp_path / name).read_bytes()
    check_found(amiwright.json("inspect", "--deep", *LIMIT, name))
    assert (tmp_path / name).read_bytes() == before


def folders_of_nobody():
    found = set()
    for path in Path("/tmp").glob(".amiwright-*"):
        with contextlib.suppress(FileNotFoundError):  # another worker's
            if path.owner() == "nobody":
                found.add(path)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_as_an_ordinary_user(amiwright, disk):
    """The appliance is made in that user's own cache, from a kernel that all may read."""
    there = folders_of_nobody()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copyfile(disk, folder / "disk.img")
        program = nobody.reachable(amiwright.path, folder)
        env = {**amiwright.env, "HOME": "/nonexistent", "LIBGUESTFS_CACHEDIR": name, "TMPDIR": name}
        result = subprocess.run([*nobody.PREFIX, program, "inspect", "--deep", *LIMIT, folder / "disk.img"],
                                env=env, cwd=folder, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    assert "vg0/root" in result.stdout and folders_of_nobody() == there


def qemu_of(pid):
    """The appliance's qemu, when it runs: not one that libguestfs asks what it can do."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"\nPPid:\t{pid}\n" in (entry / "status").read_text() and \
                    b"guestfsd.sock" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            pass
    return None


def start(amiwright, *args):
    return subprocess.Popen([amiwright.path, "inspect", "--deep", *map(str, args)], env=amiwright.env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_qemu(process, seconds):
    while not (qemu := qemu_of(process.pid)):
        assert process.poll() is None
        time.sleep(0.2)
    time.sleep(seconds)
    return qemu_of(process.pid)


def folder_of(pid):
    """Where it listens to its appliance."""
    mine = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    for line in Path("/proc/net/unix").read_text().splitlines():
        words = line.split()
        if f"socket:[{words[6]}]" in mine and words[-1].startswith("/tmp/.amiwright-"):
            return Path(words[-1]).parent
    raise AssertionError("no socket")


@pytest.mark.parametrize("number, seconds", [(signal.SIGINT, 2), (signal.SIGTERM, 8)])
def test_interrupted(amiwright, disk, number, seconds):
    with start(amiwright, disk) as process:
        qemu = wait_for_qemu(process, seconds)
        folder = folder_of(process.pid)
        process.send_signal(number)
        assert process.wait(60) == 130
        assert not Path(f"/proc/{qemu}").exists()
    assert not folder.exists()


@pytest.mark.skipif(platform.machine() != "x86_64" or not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="no KVM of x86")
def test_kvm_that_stands_still(amiwright, disk, tmp_path):
    """Where the trial passes, and the appliance does not come up: that start is ended, and the next one is emulated."""
    trial, hv = tmp_path / "qemu-system-x86_64", tmp_path / "hv"
    trial.write_text("#!/bin/sh\nexit 85\n")
    hv.write_text('#!/bin/sh\ncase "$*" in *accel=kvm*guestfsd.sock*) sleep 1000;; esac\n'
                  f'exec {shutil.which("qemu-system-x86_64")} "$@"\n')
    for path in (trial, hv):
        path.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LIBGUESTFS_HV": str(hv)}
    result = amiwright("inspect", "--deep", *LIMIT, disk, "--json", env=env)
    check_found(json.loads(result.stdout))
    assert "does not start with KVM; going on under emulation" in result.stderr


def test_an_appliance_that_ends_is_no_damage(amiwright, disk):
    with start(amiwright, disk) as process:
        os.kill(wait_for_qemu(process, 5), signal.SIGKILL)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 1 and "damage" not in out + err
    assert "cannot start an appliance" in err or "ended in the middle" in err


class Appliance:
    """libguestfs by itself, for what only a kernel makes."""

    def __init__(self, *disks):
        self.lib = ctypes.CDLL("libguestfs.so.0")
        self.lib.guestfs_create.restype = self.lib.guestfs_last_error.restype = ctypes.c_void_p
        self.handle = ctypes.c_void_p(self.lib.guestfs_create())
        self("set_backend", b"direct")
        self("set_backend_setting", b"force_tcg", b"1")
        for path in disks:
            self("add_drive_opts", str(path).encode(), 1, b"raw", -1)
        self("launch")

    def __call__(self, name, *args):
        if getattr(self.lib, f"guestfs_{name}")(self.handle, *args) < 0:
            raise OSError(ctypes.string_at(self.lib.guestfs_last_error(self.handle)))

    def end(self):
        self("umount_all")
        self("shutdown")
        self.lib.guestfs_close(self.handle)


def test_subvolumes_and_what_lies_in_arrays(amiwright, tmp_path):
    """btrfs as Fedora has it, with the system in a subvolume that is not the default one; LVM in LUKS in md."""
    butter, inner, group, luks, raid = [tmp_path / n for n in ("butter", "inner", "group", "luks", "raid")]
    deep_disk.run("mkfs.btrfs", "-q", deep_disk.sparse(butter, 160 << 20))
    made = Appliance(butter)
    made("mount", b"/dev/sda", b"/")
    for name in (b"/a,b", b'/a"b', b"/home", b"/root"):
        made("btrfs_subvolume_create_opts", name, -1)
    made("mkdir_p", b"/root/etc")
    made("write", b"/root/etc/os-release", b"ID=filz\n", ctypes.c_size_t(8))
    made.end()
    found = amiwright.json("inspect", "--deep", *LIMIT, butter)
    assert found["os"] == {"id": "filz", "version": None, "name": None} and "damage" not in found["filesystem"]
    deep_disk.run("mke2fs", "-q", "-t", "ext4", inner, "8M")
    volumes.lvm(group, "vg7", [("inner", inner)])
    volumes.luks(luks, group, "key")
    volumes.raid_member(raid, luks)
    (tmp_path / "pass").write_text("key\n")
    fs = amiwright.json("inspect", "--deep", "--luks-pass-file", tmp_path / "pass", *LIMIT, raid)["filesystem"]
    for type_, name in (("linux_raid_member", "md127"), ("crypto_LUKS", None), ("LVM2_member", "vg7/inner")):
        assert fs["type"] == type_ and len(fs["volumes"]) == 1
        assert fs["volumes"][0]["name"] == name
        fs = fs["volumes"][0]["filesystem"]
    assert fs["type"] == "ext4" and fs["used"] > 0
    (tmp_path / "pass").write_text("wrong\n")
    fs = amiwright.json("inspect", "--deep", "--luks-pass-file", tmp_path / "pass", *LIMIT, luks)["filesystem"]
    assert fs["unread"] == "encrypted, and the passphrase does not open it"
