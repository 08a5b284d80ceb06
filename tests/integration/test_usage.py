# SPDX-License-Identifier: Apache-2.0
"""Slips of somebody at a shell: what would do harm or be found out too late is refused at once."""
import os
import random
import signal
import subprocess
import time

import pytest

from region_server import RegionServer
from test_bad_input import AMIWRIGHT, refused, run, write_spec


def built(tmp_path):
    spec = write_spec(tmp_path)
    result = run("build", spec, "--no-manifest", "-o", tmp_path / "image.raw")
    assert result.returncode == 0, result.stderr
    return spec, tmp_path / "image.raw"


def head(path):
    with open(path, "rb") as file:
        return file.read(16 << 20)


def test_output_over_the_spec(tmp_path):
    spec = write_spec(tmp_path)
    before = spec.read_bytes()
    refused(tmp_path, run("build", spec, "-o", spec), 2, "image.yaml' is the spec", "another name")
    assert spec.read_bytes() == before


def test_output_over_a_source(tmp_path):
    (tmp_path / "motd").write_text("hello")
    spec = write_spec(tmp_path, "  - write: {path: /etc/motd, from: motd}")
    refused(tmp_path, run("build", spec, "-o", tmp_path / "motd"), 2, "motd' is read by the spec")
    assert (tmp_path / "motd").read_text() == "hello"


def test_output_that_cannot_be_is_found_before_the_layers(tmp_path):
    spec = write_spec(tmp_path, "  - remove: /nothing")
    (tmp_path / "folder").mkdir()
    refused(tmp_path, run("build", spec, "-o", tmp_path / "none/x.raw"), 1, "none/x.raw': No such file")
    refused(tmp_path, run("build", spec, "-o", tmp_path / "folder"), 1, "folder': Is a directory")


def test_image_given_as_spec(tmp_path):
    _, image = built(tmp_path)
    refused(tmp_path, run("build", image), 2, "larger than the 4 MiB", "is it an image")


@pytest.mark.parametrize("closed,status", [("<&- >&-", 1), ("<&- 2>&-", 0), ("<&- >&- 2>&-", 1)])
def test_closed_standard_streams(tmp_path, closed, status):
    """No message may end in the image because the image got a closed stream's number."""
    spec, image = built(tmp_path)
    again = tmp_path / "again.raw"
    command = f'exec "{AMIWRIGHT}" build "{spec}" --no-manifest -o "{again}" {closed}'
    assert subprocess.run(["sh", "-c", command], stdout=subprocess.DEVNULL).returncode == status
    assert again.stat().st_size == image.stat().st_size
    assert head(again) == head(image)


def test_cut_off_image(tmp_path):
    _, image = built(tmp_path)
    os.truncate(image, 600 << 20)
    result = run("upload", image, "--local", tmp_path / "region")
    assert result.returncode == 0, result.stderr
    assert "warning: " in result.stderr and "was cut off" in result.stderr


def test_cut_off_file_system(tmp_path):
    image = tmp_path / "whole.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", str(image), "64M"], check=True)
    os.truncate(image, 30 << 20)
    result = run("inspect", image)
    assert result.returncode == 0 and "damaged: it has 64 MiB where there are only 30 MiB" in result.stdout


def test_damaged_group_descriptors(tmp_path):
    image = tmp_path / "whole.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "1024", str(image), "64M"], check=True)
    with open(image, "r+b") as file:
        file.seek(2048)
        file.write(random.Random(7).randbytes(2048))
    result = run("inspect", image)
    assert result.returncode == 0 and "ext4" in result.stdout and "used" not in result.stdout
    assert result.stderr == ""


def test_port_and_folder_that_are_taken(tmp_path):
    with RegionServer(tmp_path / "region") as server:
        port = server.endpoint.rsplit(":", 1)[1]
        result = run("serve", "--port", port, tmp_path / "other", timeout=20)
        assert result.returncode == 1 and f"port {port}: Address already in use" in result.stderr
        result = run("serve", tmp_path / "region", timeout=20)
        assert result.returncode == 1 and "served by another process" in result.stderr


def test_interrupt_stops_mmdebstrap_and_what_it_runs(tmp_path):
    """Like mmdebstrap, this one ends when its child does; a signal that comes twice is one."""
    tools = tmp_path / "tools"
    tools.mkdir()
    # The second wait, behind the trap, ends when sleep has had the signal as well.
    (tools / "mmdebstrap").write_text(
        f"#!/bin/sh\ntrap : TERM INT\nsleep 60 &\ntouch {tmp_path}/begun\nwait $!\nwait $!\nexit 1\n")
    (tools / "mmdebstrap").chmod(0o755)
    spec = write_spec(tmp_path, "  - debian: {suite: bookworm}")
    process = subprocess.Popen([AMIWRIGHT, "build", str(spec), "-o", str(tmp_path / "out.raw")],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and out == "" and "interrupted" in err, err
    assert not (tmp_path / "out.raw").exists()


def waits(process, what):
    """Until the process sleeps in a system call of that kind."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with open(f"/proc/{process.pid}/wchan", encoding="ascii") as file:
            if what in file.read():
                return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize("writer", [False, True], ids=["nobody-writes", "a-silent-writer"])
def test_a_pipe_that_is_waited_for_can_be_interrupted(tmp_path, writer):
    """Neither "Interrupted system call" nor a process that needs a second signal."""
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.Popen([AMIWRIGHT, "build", str(tmp_path / "pipe"), "-o", str(tmp_path / "out.raw")],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    waits(process, "wait_for_partner")
    other = os.open(tmp_path / "pipe", os.O_WRONLY) if writer else None
    if writer:
        waits(process, "pipe_read")
    process.send_signal(signal.SIGTERM)
    try:
        _, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130 and "pipe': interrupted" in stderr, stderr
    assert not (tmp_path / "out.raw").exists()
    if writer:
        os.close(other)
