# SPDX-License-Identifier: Apache-2.0
"""`convert`: where images come from and go to. Devices, pipes, links, odd names, full and closed folders."""
import contextlib
import hashlib
import os
import random
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import nobody  # noqa: E402

FORMATS = ["raw", "raw.gz", "raw.zst", "vmdk", "vmdk-sparse", "vhd", "vhd-fixed", "ova"]


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.img"
    with path.open("wb") as out:
        out.write(random.Random(1).randbytes(8 << 20))
        out.seek(510)
        out.write(b"\x55\xaa")
        out.truncate(12 << 20)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_small_folder(tmp_path, command):
    """Runs a command of the shell with the tmpfs `small` of 4 MiB. What lies in it afterwards is on stdout."""
    (tmp_path / "small").mkdir(exist_ok=True)
    script = f"mount -t tmpfs -o size=4m none small && {command} >/dev/null; status=$?; ls -A small; exit $status"
    result = subprocess.run(["unshare", *([] if os.getuid() == 0 else ["-r"]), "-m", "sh", "-c", script], cwd=tmp_path,
                            capture_output=True, text=True)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip("no mount namespace here: " + result.stderr)
    return result


@pytest.mark.parametrize("form", FORMATS)
def test_full_folder(amiwright, disk, tmp_path, form):
    result = in_small_folder(tmp_path, shlex.join([amiwright.path, "convert", str(disk), "small/out", "--to", form]))
    assert result.returncode == 1 and "'small/out'" in result.stderr and "No space left" in result.stderr, result
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["convert disk.img out.ova", "convert disk.gz out.raw", "inspect disk.gz",
                                     "convert - out.raw <disk.img"])
def test_full_spool(amiwright, disk, tmp_path, command):
    """The message names the folder that is full, which is not the output's."""
    (tmp_path / "disk.gz").write_bytes(subprocess.run(["gzip", "-c", disk], capture_output=True, check=True).stdout)
    result = in_small_folder(tmp_path, f"{shlex.quote(amiwright.path)} {command} --spool-dir small")
    assert result.returncode == 1 and "a temporary file in small'" in result.stderr, result
    assert result.stdout == "" and not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize("args", [("convert", "disk.img", "x.vhd"), ("inspect", "disk.img"), ("boot", "disk.img"),
                                  ("build", "no.yaml"), ("publish", "no.yaml"), ("bundle", "disk.img")])
def test_spool_that_is_none(amiwright, disk, tmp_path, args):
    """Said before work, whether it will be needed or not."""
    assert "--spool-dir: 'nothing': No such file" in amiwright(*args, "--spool-dir", "nothing", status=2).stderr
    assert "'disk.img' is no folder" in amiwright(*args, "--spool-dir", disk.name, status=2).stderr
    assert not (tmp_path / "x.vhd").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="root is who may become nobody")
def test_closed_folders(amiwright, disk, tmp_path):
    nobody.open_way(tmp_path)
    program = nobody.reachable(amiwright.path, tmp_path)
    (tmp_path / "closed").mkdir(mode=0o755)
    for args, says in ((("disk.img", "closed/x.vmdk"), "closed/x.vmdk"),
                       (("disk.img", "/dev/shm/x.ova", "--spool-dir", "closed"), "nothing can be made in 'closed'")):
        run = subprocess.run([*nobody.PREFIX, program, "convert", *args], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode in (1, 2) and says in run.stderr and "Permission denied" in run.stderr, run
    disk.chmod(0o600)
    run = subprocess.run([*nobody.PREFIX, program, "convert", "disk.img", "/dev/shm/x.raw"], cwd=tmp_path,
                         capture_output=True, text=True)
    assert run.returncode == 1 and "cannot open 'disk.img': Permission denied" in run.stderr
    assert not os.listdir(tmp_path / "closed")


@pytest.mark.parametrize("name", ["a b.VMDK", "ü ≠ 'x'.vhd", "-dash.Ova", "x.RAW.GZ", "new\nline.img"])
def test_odd_names(amiwright, disk, tmp_path, name):
    amiwright("convert", "--", disk, name)
    amiwright("convert", "--", name, "back.raw")
    assert sha256(tmp_path / "back.raw") == sha256(disk)
    if name.endswith("Ova"):
        with tarfile.open(tmp_path / name) as tar:
            assert not any(member.startswith("-") for member in tar.getnames())


def test_in_is_out(amiwright, disk, tmp_path):
    os.link(disk, tmp_path / "hard.img")
    (tmp_path / "soft.img").symlink_to("disk.img")
    before = sha256(disk)
    for name in ("disk.img", "./disk.img", "hard.img", "soft.img"):
        assert "is the image to convert" in amiwright("convert", disk, name, status=2).stderr
    assert sha256(disk) == before


def test_out_is_an_extent(amiwright, disk, tmp_path):
    """What a descriptor names is read too, and not replaced."""
    for kind, extent in (("monolithicFlat", "d-flat.vmdk"), ("twoGbMaxExtentSparse", "d-s001.vmdk")):
        subprocess.run(["qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={kind}", disk, tmp_path / "d.vmdk"],
                       check=True)
        before = sha256(tmp_path / extent)
        assert "is a part of the disk" in amiwright("convert", "d.vmdk", extent, status=2).stderr
        assert sha256(tmp_path / extent) == before
        amiwright("convert", "d.vmdk", "other.vmdk")


def test_pipes_and_devices(amiwright, disk, tmp_path):
    """An output is a new file. What is none is written through standard output."""
    os.mkfifo(tmp_path / "pipe.raw")
    for name in ("pipe.raw", "/dev/null"):
        text = amiwright("convert", disk, name, "--to", "raw", status=2).stderr
        assert "is no regular file: give - as OUT" in text
    assert (tmp_path / "pipe.raw").is_fifo()
    assert "neither a file nor a block device" in amiwright("convert", "pipe.raw", "x.raw", status=1).stderr
    assert "neither a file nor a block device" in amiwright("convert", ".", "x.raw", status=1).stderr


@contextlib.contextmanager
def loop_device(path):
    device = subprocess.run(["losetup", "-f", "--show", path], capture_output=True, text=True).stdout.strip()
    if not device:
        pytest.skip("no loop devices")
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=False)


@pytest.mark.skipif(os.getuid() != 0, reason="loop devices need root")
def test_block_devices(amiwright, disk, tmp_path):
    """Read as a file is; written by way of standard output, which is said."""
    target = tmp_path / "target"
    target.write_bytes(b"\xff" * disk.stat().st_size)
    with loop_device(disk) as source, loop_device(target) as sink:
        amiwright("convert", source, "a.vmdk")
        amiwright("convert", disk, "b.vmdk")
        assert sha256(tmp_path / "a.vmdk") == sha256(tmp_path / "b.vmdk")
        assert "is no regular file" in amiwright("convert", disk, sink, "--to", "raw", status=2).stderr
        with open(sink, "wb") as out:
            amiwright_raw = [amiwright.path, "convert", "a.vmdk", "-", "--to", "raw"]
            subprocess.run(amiwright_raw, cwd=tmp_path, stdout=out, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["cmp", disk, sink], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="loop devices need root")
def test_device_in_use(amiwright, tmp_path):
    """What a kernel may write to meanwhile is warned of, and read."""
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "fs.img", "16M"], check=True, cwd=tmp_path)
    (tmp_path / "at").mkdir()
    with loop_device(tmp_path / "fs.img") as device:
        assert "in use" not in amiwright("convert", device, "free.vmdk").stderr
        subprocess.run(["mount", device, "at"], check=True, cwd=tmp_path)
        try:
            for args in (("convert", device, "used.vmdk"), ("inspect", device)):
                assert f"'{device}' is in use (mounted" in amiwright(*args).stderr
        finally:
            subprocess.run(["umount", "at"], check=True, cwd=tmp_path)
    assert (tmp_path / "used.vmdk").exists()


def has_read(run, count):
    """Whether it has read so many bytes; true as well when it is over."""
    return run.poll() is not None or int(Path(f"/proc/{run.pid}/io").read_text().split()[1]) > count


@pytest.mark.parametrize("form", FORMATS)
def test_terminated(amiwright, disk, tmp_path, form):
    """Amid the work: nothing is left in the output's folder, nor in that of temporary data."""
    with disk.open("wb") as out:
        for i in range(96):
            out.write(random.Random(i).randbytes(2 << 20))
    (tmp_path / "out").mkdir()
    (tmp_path / "spool").mkdir()
    level = ["--level", "12"] if form not in ("raw", "vmdk-sparse", "vhd", "vhd-fixed") else []
    with subprocess.Popen([amiwright.path, "convert", "-j1", "disk.img", "out/x", "--to", form, *level, "--spool-dir",
                           "spool", "--digest"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
        while not has_read(run, 8 << 20):
            time.sleep(0.001)
        run.send_signal(signal.SIGTERM)
        text = run.communicate(timeout=60)[1]
    if run.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert run.returncode == 130, text
    assert not os.listdir(tmp_path / "out") and not os.listdir(tmp_path / "spool")
