# SPDX-License-Identifier: Apache-2.0
"""Bundles in folders: runs that were killed, runs at the same time, names that would cost an input."""
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import bundle_oracle as oracle

MIB = 1024 * 1024


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(2).randbytes(25 * MIB))
    return path


@contextlib.contextmanager
def locked(folder):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def start_and_stop(amiwright, keys, tmp_path, image, *more):
    """A run that stands still amid its work, and its temporary folder."""
    folders = set((tmp_path / "out").glob(".amiwright*"))
    process = subprocess.Popen([amiwright.path, "bundle", image, *keys, *more], cwd=tmp_path, env=amiwright.env,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not (new := set((tmp_path / "out").glob(".amiwright*")) - folders):
        assert process.poll() is None
        time.sleep(0.01)
    # Not while it has the folder: the next run would wait for ever.
    with locked(tmp_path / "out"):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    return process, new.pop()


def test_waiting_for_the_folder_ends_by_a_signal(amiwright, keys, image, tmp_path):
    """And what only its owner may touch is left alone."""
    (tmp_path / "out/.amiwright-bundle-x").mkdir()
    with locked(tmp_path / "out"):
        process = subprocess.Popen([amiwright.path, "bundle", image, *keys], cwd=tmp_path, env=amiwright.env,
                                   stderr=subprocess.PIPE, text=True)
        while not re.search(rf"-> FLOCK +ADVISORY +WRITE {process.pid} ", Path("/proc/locks").read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "waiting for another bundle in 'out': interrupted" in said
    assert os.listdir(tmp_path / "out") == [".amiwright-bundle-x"]


def test_what_a_killed_run_left_is_removed(amiwright, keys, image, tmp_path):
    killed, left = start_and_stop(amiwright, keys, tmp_path, image)
    killed.kill()
    killed.communicate()
    living, kept = start_and_stop(amiwright, keys, tmp_path, image, "--prefix", "other")
    assert not left.exists() and kept.exists()
    amiwright("bundle", "disk.img", *keys)
    assert kept.exists()
    living.send_signal(signal.SIGCONT)
    assert living.communicate()[0] == "out/other.manifest.xml\n"
    assert not list((tmp_path / "out").glob(".amiwright*"))
    for name in ("disk.img", "other"):
        assert oracle.take_apart(tmp_path / f"out/{name}.manifest.xml", tmp_path / "user.key")[1] == \
            image.read_bytes()


def test_the_slower_of_two_runs_does_not_replace(amiwright, keys, image, tmp_path):
    slow = start_and_stop(amiwright, keys, tmp_path, image)[0]
    amiwright("bundle", "disk.img", *keys)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}
    slow.send_signal(signal.SIGCONT)
    assert "--force" in slow.communicate()[1] and slow.returncode == 3
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_an_input_is_no_part(amiwright, keys, image, tmp_path):
    """It would be replaced, or removed as a part of an older bundle."""
    for name in ("web.part.00", "web.part.77"):
        source = tmp_path / "out" / name
        shutil.copy(image, source)
        failed = amiwright("bundle", source, *keys, "--prefix", "web", "--force", status=2)
        assert "name of a part" in failed.stderr
        assert source.read_bytes() == image.read_bytes()
        source.rename(tmp_path / name)
        amiwright("bundle", name, *keys, "--prefix", "web", "--force")


def test_little_room_is_no_refusal(amiwright, keys, tmp_path):
    """A part that compresses well may fit where a whole one would not."""
    room = tmp_path / "room"
    room.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", room], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tmp_path / "text.img").write_bytes(b"all the same " * MIB)
        done = amiwright("bundle", "text.img", *keys, "--out", "room")
        assert "2 MiB left" in done.stderr
        (tmp_path / "noise.img").write_bytes(random.Random(3).randbytes(5 * MIB))
        assert "No space left" in amiwright("bundle", "noise.img", *keys, "--out", "room", status=1).stderr
        assert sorted(p.name for p in room.iterdir()) == ["text.img.manifest.xml", "text.img.part.00"]
    finally:
        subprocess.run(["umount", room], check=True)


def test_secrets_are_in_no_core_and_no_arguments(amiwright, keys, image, tmp_path):
    """A limit of 1 is no core, whatever program cores are led to; the kernel knows the secrets of no process."""
    (tmp_path / "pass").write_text("open sesame\n")
    oracle.openssl("rsa", "-aes128", "-in", tmp_path / "user.key", "-out", tmp_path / "locked.key", "-passout",
                   "pass:open sesame")
    process = start_and_stop(amiwright, keys, tmp_path, image, "--key", "locked.key", "--key-pass-file", "pass")[0]
    folder = f"/proc/{process.pid}"
    with open(f"{folder}/limits", encoding="ascii") as limits:
        (soft, hard), = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
    assert soft == "1" or hard == "0"
    for name in ("cmdline", "environ"):
        with open(f"{folder}/{name}", "rb") as f:
            assert b"open sesame" not in f.read()
    process.kill()
    process.communicate()


def test_verdict_as_json(amiwright, keys, image, tmp_path):
    amiwright("bundle", "disk.img", *keys)
    wanted = {"manifest": "out/disk.img.manifest.xml", "name": "disk.img", "user": "111122223333",
              "architecture": "x86_64", "size": 25 * MIB, "parts": 3, "content": False,
              "bundled_size": sum(p.stat().st_size for p in (tmp_path / "out").glob("*.part.*"))}
    check = ["bundle", "--verify", "out/disk.img.manifest.xml", "--cert", "user.crt", "--json"]
    assert json.loads(amiwright(*check).stdout) == wanted
    assert json.loads(amiwright(*check, "--key", "user.key").stdout) == {**wanted, "content": True}


def test_an_unbundled_image_is_its_owners(amiwright, keys, image, tmp_path):
    amiwright("bundle", "disk.img", *keys)
    amiwright("unbundle", "out/disk.img.manifest.xml", "--key", "user.key", "--out", "back.img")
    assert (tmp_path / "back.img").stat().st_mode & 0o777 == 0o600
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "out").iterdir()} == {0o644}


def test_what_no_instance_starts_is_warned_of(amiwright, keys, image, spec):
    assert "R3" not in amiwright("bundle", "disk.img", *keys).stderr
    assert "none of which is arm64" in amiwright("bundle", "disk.img", *keys, "--arch", "arm64", "--force").stderr
    assert "R3" not in amiwright("bundle", spec, *keys).stderr
    spec.write_text(spec.read_text() + "boot: {loader: none, mode: uefi}\n")
    assert "by UEFI alone" in amiwright("bundle", spec, *keys, "--force").stderr


def test_standard_input_is_told(amiwright, keys, tmp_path):
    assert "from standard input" in amiwright("bundle", "-", *keys, "--prefix", "x", status=2).stderr
    assert not os.listdir(tmp_path / "out")
