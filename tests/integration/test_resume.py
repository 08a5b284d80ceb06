# SPDX-License-Identifier: Apache-2.0
"""Uploads that end before their time and go on: nothing that arrived is sent again, and nothing is left behind."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import pytest

import fault_server as faults
from fault_server import BLOCK, FaultServer
from resume_tools import (AMIWRIGHT, blocks_in, check_content, clean_up, command, environment, journal,
                          kill_until_done, kill_when, make_image, puts, run, slow)

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "lib"))
import nobody  # noqa: E402

NR_BLOCKS = 40


@pytest.fixture
def image(tmp_path):
    return make_image(tmp_path / "in.raw", NR_BLOCKS)


def kill_in_the_middle(server, image, *args, after=10):
    """SIGKILL once so many blocks are noted as sent."""
    kill_when(server, image, lambda: len(blocks_in(journal(image), "D")) >= after, *args)
    return blocks_in(journal(image), "D")


def test_killed_again_and_again(image):
    rng = random.Random(3)
    with slow(0.05) as server:
        snapshot, killed = kill_until_done(server, image, [rng.uniform(0.05, 0.5) for _ in range(6)])
        assert killed >= 3
        clean_up(server)


def test_changed_image(image):
    """What has changed is sent anew, what is gone is overwritten with zeros, and the count is the service's."""
    with slow(0.05) as server:
        done = kill_in_the_middle(server, image)
        first, second = sorted(done)[:2]
        with image.open("r+b") as out:
            out.seek(first * BLOCK)
            out.write(b"changed")
            out.seek(second * BLOCK)
            out.write(bytes(BLOCK))
        since = len(server.log)
        result = run(server, "upload", image)
        assert "the image has changed since" in result.stderr
        again = {int(i) for _, i in puts(server, since)}
        assert {first, second} <= again and not (done - {first, second}) & again
        check_content(server, result.stdout.strip(), image)


def test_hole_where_data_was_sent(image):
    """With --skip zeros nobody would send these zeros, were they not data when they were sent."""
    with slow(0.05) as server:
        done = kill_in_the_middle(server, image, "--skip", "zeros")
        gone = min(done)
        subprocess.run(["fallocate", "--punch-hole", "-o", str(gone * BLOCK), "-l", str(BLOCK), image], check=True)
        result = run(server, "upload", image, "--skip", "zeros")
        snapshot = server.snapshots[result.stdout.strip()]
        assert snapshot["blocks"][gone] == bytes(BLOCK)
        check_content(server, result.stdout.strip(), image)


@pytest.mark.parametrize("fate", ["deleted", "error", "completed"])
def test_snapshot_is_gone_meanwhile(image, fate):
    with slow(0.05) as server:
        kill_in_the_middle(server, image)
        first, = server.snapshots
        server.snapshots[first]["status"] = fate
        result = run(server, "upload", image)
        assert "anew" in result.stderr
        assert result.stdout.strip() != first
        check_content(server, result.stdout.strip(), image)
        assert server.snapshots[first]["status"] == {"error": "deleted"}.get(fate, fate)


def test_killed_while_it_completes(image):
    """The blocks are all there: only the completion is asked for once more."""
    with FaultServer(lambda name, before: faults.STALL if name == "CompleteSnapshot" and before == 0 else None) as server:
        kill_when(server, image, lambda: server.count("CompleteSnapshot"))
        since = len(server.log)
        result = run(server, "upload", image)
        assert puts(server, since) == []
        check_content(server, result.stdout.strip(), image)


def test_killed_while_it_waits(image):
    with FaultServer() as server:
        waiting = lambda name, before: time.sleep(0.3) if server.count("CompleteSnapshot") else None
        server.plan = waiting
        # By then it asks again and again whether the snapshot is complete.
        kill_when(server, image, lambda: server.count("CompleteSnapshot") and not time.sleep(0.4))
        server.plan = lambda name, before: None
        for snapshot in server.snapshots.values():
            snapshot["status"] = "completed"
        since = len(server.log)
        result = run(server, "upload", image)
        assert puts(server, since) == [] and server.count("CompleteSnapshot") == 1
        check_content(server, result.stdout.strip(), image)


def test_killed_while_it_starts(image):
    """Nobody knows whether the snapshot was started: the same token asks for the same one."""
    with FaultServer(lambda name, before: faults.STALL if name == "StartSnapshot" and before == 0 else None) as server:
        kill_when(server, image, lambda: server.count("StartSnapshot"))
        result = run(server, "upload", image)
        assert len(server.tokens) == 1
        check_content(server, result.stdout.strip(), image)


def test_other_options_are_refused(image):
    with slow(0.05) as server:
        kill_in_the_middle(server, image)
        result = run(server, "upload", image, "--size", "3G", status=2)
        assert "size_gib is 1, now it is 3" in result.stderr
        assert journal(image).exists()
        assert run(server, "upload", image).returncode == 0


def test_one_upload_at_a_time(image):
    with slow(0.1) as server:
        process = subprocess.Popen(command(server, "upload", image), stdout=subprocess.DEVNULL, env=environment(),
                                   stderr=subprocess.DEVNULL)
        while not blocks_in(journal(image), "D"):
            time.sleep(0.01)
        assert "another process is uploading" in run(server, "upload", image, status=3).stderr
        assert "another process is uploading" in run(server, "upload", "--abandon", image, status=3).stderr
        assert process.wait(timeout=60) == 0


def test_abandon(image):
    with slow(0.05) as server:
        kill_in_the_middle(server, image)
        name, = server.snapshots
        assert run(server, "upload", "--abandon", image).stdout == name + "\n"
        assert server.snapshots[name]["status"] == "deleted"
        assert not journal(image).exists()
        assert "cannot open the journal" in run(server, "upload", "--abandon", image, status=1).stderr


def test_lost_journal(image):
    with slow(0.05) as server:
        kill_in_the_middle(server, image)
        name, = server.snapshots
        journal(image).unlink()
        result = run(server, "upload", image)
        assert f"{name} of the same image is pending since 2026" in result.stderr and "--cleanup" in result.stderr
        assert run(server, "upload", "--cleanup", image, "-n").stdout == name + "\n"
        assert server.snapshots[name]["status"] == "pending"
        other = make_image(image.with_name("other.raw"), 3)
        assert run(server, "upload", "--cleanup", other).stdout == ""
        assert run(server, "upload", "--cleanup", image).stdout == name + "\n"
        clean_up(server)
        check_content(server, result.stdout.strip(), image)


def test_journal_elsewhere(image, tmp_path):
    place = tmp_path / "else"
    with FaultServer(lambda name, before: faults.DENIED if name == "CompleteSnapshot" else None) as server:
        server.plan = lambda name, before: faults.BROKEN if name == "CompleteSnapshot" else None
        run(server, "upload", image, "--journal", place, "--max-attempts", "2", status=4)
        assert place.exists() and not journal(image).exists()
        server.plan = lambda name, before: None
        run(server, "upload", image, "--journal", place)
        assert not place.exists()


@pytest.fixture
def open_folder():
    """One that others may enter: pytest closes its own whenever it starts."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def test_folder_that_cannot_be_written(open_folder):
    """Then the journal is in the state folder, by the image's path."""
    home, closed, prefix, program = open_folder / "home", open_folder / "closed", [], AMIWRIGHT
    for folder in (home, closed):
        folder.mkdir()
    image = make_image(closed / "in.raw", 5)
    closed.chmod(0o555)
    if os.getuid() == 0:
        os.chown(home, nobody.NOBODY, nobody.NOBODY)
        prefix, program = nobody.PREFIX, nobody.reachable(AMIWRIGHT, open_folder)
    with FaultServer(lambda name, before: faults.BROKEN if name == "CompleteSnapshot" else None) as server:
        upload = [*prefix, program, "--endpoint-url", server.url, "upload", str(image), "--max-attempts", "2"]
        env = {**environment(), "HOME": str(home), "XDG_STATE_HOME": "", "TMPDIR": str(home)}
        result = subprocess.run(upload, capture_output=True, text=True, env=env)
        assert result.returncode == 4, result.stderr
        kept, = (home / ".local/state/amiwright").iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        server.plan = lambda name, before: None
        result = subprocess.run(upload, capture_output=True, text=True, env=env)
        assert result.returncode == 0, result.stderr
        assert not kept.exists()
        check_content(server, result.stdout.strip(), image)
    closed.chmod(0o755)


def test_what_is_no_journal_stays(image, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("words\n")
    with FaultServer() as server:
        assert "is not the journal" in run(server, "upload", image, "--journal", precious, status=1).stderr
        assert precious.read_text() == "words\n" and server.snapshots == {}


def test_journal_that_is_no_file(image):
    with FaultServer() as server:
        result = run(server, "upload", image, "--journal", "/dev/null", status=2)
        assert "'/dev/null' is not a regular file" in result.stderr and server.snapshots == {}


def test_as_many_tags_as_there_may_be(image):
    """Of the longest that EC2 takes, in characters of four bytes; in the journal, too."""
    tags = {f"{n:02}" + "\U0001d11e" * 126: "\U0001f600" * 256 for n in range(49)}
    args = [word for key, value in tags.items() for word in ("--tag", f"{key}={value}")]
    with slow(0.05) as server:
        kill_in_the_middle(server, image, *args)
        result = run(server, "upload", image, *args)
        got, = server.snapshots.values()
        assert got["tags"] == {**tags, "amiwright:upload": got["tags"]["amiwright:upload"]}
        check_content(server, result.stdout.strip(), image)


def test_interrupted_publish(tmp_path, spec):
    """The journal of what is streamed lies in the state folder."""
    state = tmp_path / "state"
    with slow(0.1) as server:
        publish = command(server, "publish", spec)
        env = {**environment(), "XDG_STATE_HOME": str(state)}
        process = subprocess.Popen(publish, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        while len(puts(server)) < 20:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 130 and "rerun the same command to resume" in err
        kept, = state.glob("amiwright/publish/*.upload")
        done, since = blocks_in(kept, "D"), len(server.log)
        assert done
        server.plan = lambda name, before: None
        result = subprocess.run(publish, capture_output=True, text=True, env=env, timeout=60)
        assert result.returncode == 0, result.stderr
        assert not done & {int(i) for _, i in puts(server, since)}
        assert not kept.exists() and len(server.snapshots) == 1
