# SPDX-License-Identifier: Apache-2.0
"""`amiwright boot`: what it refuses, and machines that run a boot sector of a few instructions."""
import fcntl
import hashlib
import json
import os
import platform
import pty
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3wYSfbbuc7HPnEFp5CYpZP someone@here\n"

needs_qemu = pytest.mark.skipif(not shutil.which("qemu-system-x86_64") or not shutil.which("qemu-img"),
                                reason="qemu-system-x86 and qemu-utils are not installed")


def boot_sector(text, power_off=True):
    """Writes a sector to its own disk, then the text to the first serial port, then powers off or halts."""
    code = bytes.fromhex("31c08ed88ec0"          # ds = es = 0
                         "b80103b90200b600"      # int 13h write of one sector, the second of the disk
                         "bb007ccd13")
    rest = bytes.fromhex("baf803ac84c07403eeebf8")              # each byte to port 0x3f8
    rest += bytes.fromhex("ba0406b80020ef") if power_off else b""  # q35's ACPI: soft off
    rest += bytes.fromhex("f4ebfd")                             # hlt, for ever
    message = 0x7c00 + len(code) + 3 + len(rest)
    sector = code + b"\xbe" + struct.pack("<H", message) + rest + text.encode() + b"\0"
    assert len(sector) <= 440
    return sector.ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture
def disk(tmp_path):
    def make(text="hello from the disk\r\n", name="disk.raw", **kwargs):
        path = tmp_path / name
        path.write_bytes(boot_sector(text, **kwargs))
        os.truncate(path, 1 << 20)
        return path
    return make


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_wrong_usage(amiwright, disk, tmp_path):
    image = disk()
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    (tmp_path / "key.pub").write_text("nonsense\n")
    cases = [
        (["--initrd", "x"], "--initrd goes with --kernel"),
        (["--append", "x"], "--append goes with --kernel"),
        (["--json"], "--json needs --console FILE"),
        (["--memory", "1M"], "at least 128M"),
        (["--disk-size", "1000"], "whole sectors"),
        (["--disk-size", "512K"], "can only be made larger"),
        (["--expect", "("], "'(' is no extended regular expression"),
        (["--expect", "((((a{1,255}){1,255}){1,255}){1,255})"], "is too large: its repetitions"),
        (["--ssh", "70000"], "--ssh"),
        (["--ssh", "x"], "--ssh"),
        (["--ssh-key", "key"], "is a private key"),
        (["--ssh-key", "key.pub"], "is not one public key"),
        (["--tag", "x"], "not KEY=VALUE"),
        (["--tag", "a/b=c"], "cannot be seen in metadata"),
        (["--firmware", "coreboot"], "firmware"),
        (["--architecture", "arm64", "--firmware", "bios"], "arm64 has no BIOS"),
    ]
    for options, text in cases:
        assert text in amiwright("boot", image, *options, status=2).stderr, options


def test_missing_files(amiwright, disk, tmp_path):
    image = disk()
    (tmp_path / "large").write_bytes(b"x" * 16385)
    assert "No such file" in amiwright("boot", "absent.raw", status=1).stderr
    assert "No such file" in amiwright("boot", image, "--kernel", "absent", status=1).stderr
    assert "No such file" in amiwright("boot", image, "--ssh-key", "absent", status=1).stderr
    assert "16 KiB" in amiwright("boot", image, "--user-data", "large", status=1).stderr
    assert "absent.yaml" in amiwright("boot", "absent.yaml", status=1).stderr


def test_no_raw_image(amiwright, tmp_path):
    subprocess.run(["qemu-img", "create", "-q", "-f", "vdi", tmp_path / "a.raw", "1M"], check=True)
    assert "VDI" in amiwright("boot", "a.raw", status=1).stderr
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "b", "1M"], check=True)
    assert "neither a boot sector nor" in amiwright("boot", "b", status=1).stderr


@pytest.mark.parametrize("option", ["", "--disk", "--kernel", "--initrd", "--ssh-key", "--user-data"])
def test_console_is_no_input(amiwright, disk, tmp_path, option):
    image = disk()
    other = tmp_path / "input"
    other.write_bytes(KEY.encode() if option == "--ssh-key" else image.read_bytes()[:16000])
    victim = other if option else image
    (tmp_path / "link").symlink_to(victim)
    options = [option, other] if option else []
    if option == "--initrd":
        options += ["--kernel", image]
    before = victim.read_bytes()
    for name in (victim, "link"):
        error = amiwright("boot", image, *options, "--console", name, status=2).stderr
        assert f"--console: '{name}' is the " in error and "another name" in error
        assert victim.read_bytes() == before


def test_console_is_no_part_of_a_spec(amiwright, spec, tmp_path):
    for name in ("tiny.yaml", "tree/etc/hostname"):
        before = (tmp_path / name).read_bytes()
        error = amiwright("boot", "tiny.yaml", "--console", name, status=2).stderr
        assert f"--console: '{name}' " in error and "the spec" in error and "building" not in error
        assert (tmp_path / name).read_bytes() == before


def test_console_is_no_manifest_of_the_image(amiwright, disk, tmp_path):
    image = disk()
    (tmp_path / "disk.raw.manifest.json").write_text("{}")
    error = amiwright("boot", image, "--console", "disk.raw.manifest.json", status=2).stderr
    assert "is the manifest beside the image" in error


@pytest.fixture
def listener():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s.getsockname()[1]


def without(tmp_path, *programs):
    """A PATH that has all programs but these."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in os.listdir("/usr/bin"):
        if name not in programs:
            (path / name).symlink_to(f"/usr/bin/{name}")
    return {"PATH": str(path)}


@pytest.mark.skipif(platform.machine() != "x86_64" or not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="no KVM of x86")
def test_kvm_that_stands_still(amiwright, spec, tmp_path):
    """Where the trial passes, and the guest meets what KVM cannot run: QEMU would wait for ever."""
    env = without(tmp_path, "qemu-system-x86_64")
    qemu = tmp_path / "bin/qemu-system-x86_64"
    qemu.write_text('#!/bin/sh\ncase "$*" in *isa-debug-exit*) exit 85;; esac\n'
                    'echo "KVM internal error. Suberror: 1" >&2\nsleep 100\n')
    qemu.chmod(0o755)
    result = amiwright("boot", spec, "--firmware", "bios", "--expect", "login:", status=1, env=env, timeout=60)
    assert "running under KVM" in result.stderr and "--accel tcg" in result.stderr


def test_found_before_the_layers(amiwright, spec, tmp_path, listener):
    """The layers would fail, and say so."""
    spec.write_text(spec.read_text().replace("root:\n", "root:\n  - remove: /nothing\n"))
    large = tmp_path / "large.yaml"
    large.write_text(spec.read_text().replace("device: /dev/xvda", "device: /dev/xvda\n    size: 2G"))
    for name, options, status, text in (
            ("tiny.yaml", ["--ssh", listener], 1, f"--ssh: port {listener} of 127.0.0.1 is in use; --ssh 0 takes"),
            ("tiny.yaml", ["--console", tmp_path], 1, "Is a directory"),
            ("tiny.yaml", ["--console", "none/con"], 1, "cannot create 'none/con': No such file"),
            ("large.yaml", ["--disk-size", "1G"], 2, "--disk-size 1 GiB is less than the 2 GiB"),
            ("tiny.yaml", ["--firmware", "bios", "--architecture", "arm64"], 2, "arm64 has no BIOS")):
        error = amiwright("boot", name, *options, status=status).stderr
        assert text in error and "building" not in error and "nothing" not in error, error


def test_missing_programs_are_found_before_the_layers(amiwright, spec, disk, tmp_path):
    image = disk()
    env = without(tmp_path, "qemu-system-x86_64", "qemu-img")
    error = amiwright("boot", spec, status=2, env=env).stderr
    assert "qemu-system-x86" in error and "building" not in error
    assert "qemu-utils" in amiwright("boot", image, status=2, env=env).stderr


def test_size_is_found_before_the_disks_are_written(amiwright, spec):
    error = amiwright("boot", spec, "--disk-size", "512M", "-v", status=2).stderr
    planned = error.split("tree: ", 1)[1]
    assert "--disk-size 512 MiB is less" in planned and "write" not in planned and "%" not in planned


def test_spec_without_a_table(amiwright, spec):
    text = spec.read_text()
    spec.write_text(text[:text.index("disks:")] + "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n")
    error = amiwright("boot", spec, status=2).stderr
    assert "no partition table" in error and "--kernel" in error and "building" not in error


@pytest.mark.parametrize("content", [b"root:x:0:0:root:/root:/bin/bash\n" * 40, b"x"])
def test_what_no_firmware_starts(amiwright, tmp_path, content):
    (tmp_path / "passwd").write_bytes(content)
    error = amiwright("boot", "passwd", "--timeout", "5", status=1).stderr
    assert "'passwd' has neither a boot sector nor a partition table" in error and "--kernel" in error
    assert "seconds are over" not in error


def test_disk_goes_with_an_image(amiwright, spec, disk):
    result = amiwright("boot", spec, "--disk", disk(), status=2)
    assert "--disk goes with an image file" in result.stderr


def test_unknown_ami(amiwright):
    result = amiwright("boot", "ami-0123456789abcdef0", "--local", "region", status=4)
    assert "InvalidAMIID" in result.stderr


@needs_qemu
def test_runs_and_leaves_the_image_alone(amiwright, disk, tmp_path):
    image = disk()
    before = digest(image), image.stat().st_mtime_ns
    result = amiwright("boot", image, "--accel", "tcg")
    assert "hello from the disk" in result.stdout
    assert (digest(image), image.stat().st_mtime_ns) == before
    assert not list(tmp_path.glob(".amiwright-*"))


@needs_qemu
def test_accelerator_is_found_by_trying(amiwright, disk):
    result = amiwright("boot", disk(), "--expect", "hello", "--console", "con.txt")
    assert "running under" in result.stderr
    assert result.stdout == ""


@needs_qemu
def test_expect(amiwright, disk, tmp_path):
    image = disk("\033[1mready\033[0m: 7 > ", power_off=False)
    amiwright("boot", image, "--accel", "tcg", "--expect", "^ready: [0-9]+ >", "--timeout", "60")
    result = amiwright("boot", image, "--accel", "tcg", "--expect", "never", "--timeout", "8", status=1)
    assert "'never' was not seen on the console: 8 seconds are over" in result.stderr
    assert "  ready: 7 > \n" in result.stderr
    result = amiwright("boot", disk(), "--accel", "tcg", "--expect", "never", status=1)
    assert "the machine powered off" in result.stderr


@needs_qemu
def test_json_and_a_free_port(amiwright, disk):
    doc = amiwright.json("boot", disk(), "--accel", "tcg", "--console", "con.txt", "--ssh", "0")
    assert doc["firmware"] == "bios" and doc["architecture"] == "x86_64" and doc["accelerator"] == "tcg"
    assert doc["instance"].startswith("i-") and 1024 <= doc["ssh_port"] <= 65535


@needs_qemu
def test_a_given_port(amiwright, disk, listener):
    """One that nobody listens at goes to QEMU, though we hold it until then; one that is taken is told."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    result = amiwright("boot", disk(), "--accel", "tcg", "--console", "con.txt", "--ssh", port)
    assert result.stdout == f"{port}\n"
    error = amiwright("boot", disk(), "--accel", "tcg", "--ssh", listener, status=1).stderr
    assert f"port {listener} of 127.0.0.1 is in use" in error and "-netdev" not in error
    assert "the guest's ssh" not in error


@needs_qemu
def test_temporary_folder_with_odd_name(amiwright, disk, tmp_path):
    folder = tmp_path / "it's, a $(folder)"
    folder.mkdir()
    result = amiwright("boot", disk(), "--accel", "tcg", "--spool-dir", folder, "--disk", disk(name="b,c.raw"))
    assert "hello" in result.stdout
    assert not list(folder.iterdir())


def register(amiwright, image, other):
    snapshots = [amiwright("upload", i, "--local", "region").stdout.strip() for i in (image, other)]
    return amiwright("register", "--name", "web", "--local", "region", "--snapshot", snapshots[0],
                     "--map", f"/dev/sdb={snapshots[1]}", "--map", "/dev/sdc=:2", "--map",
                     "/dev/sdd=ephemeral0").stdout.strip()


@needs_qemu
def test_ami(amiwright, disk):
    ami = register(amiwright, disk("hello from the AMI\r\n"), disk("not the root\r\n", name="other.raw"))
    result = amiwright("boot", ami, "--local", "region", "--accel", "tcg", "-v")
    assert "hello from the AMI" in result.stdout
    assert result.stderr.count("nvme,drive=") == 4


@needs_qemu
def test_found_before_the_download(amiwright, disk, tmp_path):
    """Snapshots that are gone could not be downloaded, and would be the error."""
    ami = register(amiwright, disk("hello from the AMI\r\n"), disk("not the root\r\n", name="other.raw"))
    images = list(tmp_path.glob("region/**/snap-*.img"))
    assert images
    for path in images:
        path.unlink()
    error = amiwright("boot", ami, "--local", "region", "--disk-size", "512M", status=2).stderr
    assert "--disk-size 512 MiB is less than the 1 GiB" in error
    error = amiwright("boot", ami, "--local", "region", status=2, env=without(tmp_path, "qemu-system-x86_64")).stderr
    assert "qemu-system-x86" in error


@needs_qemu
def test_spec(amiwright, spec):
    """The spec has no boot loader; the firmware says so at the console."""
    if not os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd"):
        pytest.skip("ovmf is not installed")
    result = amiwright("boot", spec, "--accel", "tcg", "--firmware", "uefi", "--disk-size", "4G", "-v",
                       "--expect", "BdsDxe: ")
    assert "BdsDxe: " in result.stdout
    assert result.stderr.count("nvme,drive=") == 2


def children(pid):
    text = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [int(p) for p in text.split()]


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@needs_qemu
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan(amiwright, disk, tmp_path, how):
    program = subprocess.Popen([amiwright.path, "boot", disk("x\n", power_off=False), "--accel", "tcg", "--ssh", "0",
                                "--console", "con.txt", "--spool-dir", tmp_path], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert int(program.stdout.readline()) > 0
    qemu = children(program.pid)
    assert len(qemu) == 1
    program.send_signal(how)
    program.communicate()
    assert program.returncode == (-how if how == signal.SIGKILL else 130)
    end = time.monotonic() + 10
    while runs(qemu[0]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(qemu[0])
    assert how == signal.SIGKILL or not list(tmp_path.glob(".amiwright-*"))


def read_until(terminal, text):
    """What comes from a terminal until the text is there."""
    seen = b""
    while text not in seen:
        data = os.read(terminal, 4096)
        assert data, seen
        seen += data
    return seen


@needs_qemu
def test_keys_of_a_terminal(amiwright, disk):
    """ctrl-A X ends the machine, and the terminal is as it was."""
    terminal, ours = pty.openpty()
    before = termios.tcgetattr(ours)

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen([amiwright.path, "boot", disk(power_off=False), "--accel", "tcg"], stdin=ours,
                          stdout=ours, stderr=subprocess.PIPE, cwd=amiwright.folder,
                          preexec_fn=own_terminal) as program:
        read_until(terminal, b"hello from the disk")
        assert not termios.tcgetattr(ours)[3] & termios.ECHO
        os.write(terminal, b"abc\x03\x01b\x01\x01\x01x")
        assert program.wait(20) == 0
        assert b"ctrl-A X ends" in program.stderr.read()
    assert termios.tcgetattr(ours) == before
    os.close(terminal)
    os.close(ours)


def test_hidden_command_is_not_listed(amiwright):
    assert "imds-bridge" not in amiwright("help").stdout
    assert json.dumps(amiwright("help", "boot").stdout).count("--expect") >= 1
