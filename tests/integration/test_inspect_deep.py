# SPDX-License-Identifier: Apache-2.0
"""`inspect --deep`: a disk of foreign making, looked into by one appliance, which takes half a minute under emulation: one
start serves all that can be told of a disk that is in order. Starts that do not come about take no time; those that
are broken off, and other formats, are in tests/deep."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

import deep_disk

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    why = deep_disk.missing()
    if why:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("disk")
    deep_disk.make(folder / "disk.img", folder / "parts")
    return folder / "disk.img"


def leftovers():
    """Ours; libguestfs's own folders do not tell whose they are, and others may use it at the same time."""
    return {name for name in os.listdir("/tmp") if name.startswith(".amiwright-")}


def kinds(fs):
    """A file system's type, with those of the volumes in it."""
    return {fs["type"]: {v["name"]: v["filesystem"] and v["filesystem"]["type"] for v in fs["volumes"]}} \
        if "volumes" in fs else fs["type"]


@pytest.mark.appliance
def test_looks_into_all(amiwright, disk, tmp_path):
    qcow2, before = tmp_path / "disk.qcow2", disk.read_bytes()
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, qcow2], check=True)
    spool, passphrase, picture = tmp_path / "spool", tmp_path / "pass", tmp_path / "picture.svg"
    spool.mkdir()
    passphrase.write_text(deep_disk.PASSPHRASE + "\n")
    there = leftovers()
    result = amiwright("inspect", "--deep", "--luks-pass-file", passphrase, "--spool-dir", spool, "--svg", picture, "-v",
                       qcow2, "--json")
    assert not list(spool.iterdir()) and leftovers() == there
    assert deep_disk.PASSPHRASE not in result.stderr
    assert disk.read_bytes() == before
    found = json.loads(result.stdout)
    systems = {p["name"]: p["filesystem"] for p in found["partitions"]}
    assert {name: kinds(fs) for name, fs in systems.items()} == {
        "xfs": "xfs", "btrfs": "btrfs", "squashfs": "squashfs", "f2fs": "f2fs", "ntfs": "ntfs", "iso9660": "iso9660",
        "swap": "swap", "damaged": "xfs",
        "lvm": {"LVM2_member": {"vg0/root": "ext4", "vg0/data": "squashfs", "vg0/swap": "swap", "vg0/gone": None}},
        "raid": {"linux_raid_member": {"md127": "ext4"}},
        "luks": {"crypto_LUKS": {None: "ext4"}},
    }
    volumes = {v["name"]: v for fs in systems.values() for v in fs.get("volumes", [])}
    read = [systems[n] for n in ("xfs", "btrfs", "squashfs", "ntfs", "iso9660")]
    read += [volumes[n]["filesystem"] for n in ("vg0/root", "vg0/data", "md127", None)]
    for fs in read:
        assert "damage" not in fs and "unread" not in fs, fs
        assert 0 < fs["used"] <= fs["size"] and fs["free"] == fs["size"] - fs["used"]
    assert volumes["vg0/root"]["size"] == 12 << 20 and volumes["vg0/root"]["filesystem"]["label"] == "wurzel\x1b[2J"
    assert volumes["vg0/gone"]["size"] is None and "parts of it are missing" in volumes["vg0/gone"]["unread"]
    assert systems["lvm"]["group"] == "vg0" and systems["raid"]["group"] == "md127"
    assert "Structure needs cleaning" in systems["damaged"]["damage"] and "used" not in systems["damaged"]
    # What a kernel lacks is no damage: Debian's cloud kernel has no f2fs.
    assert "damage" not in systems["f2fs"] and ("used" in systems["f2fs"] or "kernel" in systems["f2fs"]["unread"])
    assert found["os"] == {"id": "tiny", "version": "7", "name": "Tiny ?[31m7"}
    assert found["kernels"] == [deep_disk.KERNEL]
    drawn = picture.read_text()
    assert not CONTROLS.search(drawn) and "vg0/root" in drawn and "md127" in drawn


def test_what_is_said_is_harmless(amiwright, disk):
    """Labels and names of the image's own, as text."""
    text = amiwright("inspect", disk, "--map").stdout
    assert "LVM2_member" in text and not CONTROLS.search(text)


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return {"LIBGUESTFS_HV": str(path)}


def processes(path):
    """Those that were started by that path."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if os.fsencode(path) in file.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def test_says_what_is_missing(amiwright, disk, tmp_path):
    result = amiwright("inspect", "--deep", disk, status=2, env={"LIBGUESTFS_PATH": "/nonexistent"})
    assert "install libguestfs0" in result.stderr and not result.stdout
    result = amiwright("inspect", "--deep", disk, status=2, env={"LIBGUESTFS_HV": "/nonexistent/qemu"})
    assert "/nonexistent/qemu" in result.stderr and "install qemu-system-x86" in result.stderr
    (tmp_path / "libguestfs.so.0").write_bytes(b"\x7fELF no library")
    result = amiwright("inspect", "--deep", disk, status=2, env={"LD_LIBRARY_PATH": str(tmp_path)})
    assert "cannot load libguestfs" in result.stderr and "install libguestfs0" in result.stderr


def test_says_why_it_does_not_start(amiwright, disk, tmp_path):
    """That says nothing about the disk: it is not damaged."""
    env = program(tmp_path / "hv", "echo \"qemu: cannot set up guest memory 'pc.ram': Cannot allocate memory\" >&2; exit 1")
    result = amiwright("inspect", "--deep", disk, status=1, env=env)
    assert "cannot start an appliance" in result.stderr and "Cannot allocate memory" in result.stderr
    assert "-v shows" in result.stderr and not result.stdout


def test_does_not_wait_for_ever(amiwright, disk, tmp_path):
    there, hv = leftovers(), tmp_path / "hv"
    result = amiwright("inspect", "--deep", "--timeout", 1, disk, status=1, env=program(hv, f"sleep 1000; : {hv}"))
    assert "not done after 1 seconds" in result.stderr and "--timeout" in result.stderr
    assert leftovers() == there and not processes(hv)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_at_once(amiwright, disk, tmp_path, number):
    there, hv = leftovers(), tmp_path / "hv"
    env = {**amiwright.env, **program(hv, f"sleep 1000; : {hv}")}
    with subprocess.Popen([amiwright.path, "inspect", "--deep", disk], env=env, stderr=subprocess.PIPE, text=True) as process:
        while not processes(hv):
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(20) == 130
        assert "interrupted" in process.stderr.read()
    assert leftovers() == there and not processes(hv)


def test_needs_no_appliance_for_what_is_read_without(amiwright, tmp_path):
    subprocess.run(["mke2fs", "-q", "-t", "ext4", tmp_path / "ext4", "8M"], check=True)
    amiwright("inspect", "--deep", "ext4", env={"LIBGUESTFS_PATH": "/nonexistent"})


def test_options_that_do_not_fit(amiwright, disk, spec):
    assert "--deep reads an image" in amiwright("inspect", "--deep", spec, status=2).stderr
    assert "for --deep alone" in amiwright("inspect", "--timeout", 5, disk, status=2).stderr
    assert "for --deep alone" in amiwright("inspect", "--luks-pass-file", "p", disk, status=2).stderr


def test_a_passphrase_that_is_none(amiwright, disk, tmp_path):
    (tmp_path / "empty").write_text("\n")
    result = amiwright("inspect", "--deep", "--luks-pass-file", "empty", disk, status=1)
    assert "is no passphrase" in result.stderr
