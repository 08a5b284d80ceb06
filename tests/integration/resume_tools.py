# SPDX-License-Identifier: Apache-2.0
"""Uploads that are killed: running them, reading their journals, and holding what the server saw against these."""
import os
import random
import re
import subprocess
import time

from fault_server import BLOCK, FaultServer

AMIWRIGHT = os.environ["AMIWRIGHT"]


def environment():
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return {**clean, "AWS_ACCESS_KEY_ID": "AKIDFAULTS", "AWS_SECRET_ACCESS_KEY": "secret/of+faults",
            "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": "/dev/null"}


def command(server, *args):
    return [AMIWRIGHT, "--endpoint-url", server.url, *map(str, args)]


def run(server, *args, status=0, **env):
    result = subprocess.run(command(server, *args), capture_output=True, text=True, timeout=100,
                            env={**environment(), **env})
    assert result.returncode == status, f"{args}: {result.returncode}: {result.stderr}"
    return result


def journal(image):
    return image.with_name(image.name + ".local-us-east-1.amiwright-upload")


def blocks_in(path, kind):
    """Indices of one kind of record, in the sound part of the file."""
    if not path.exists():
        return set()
    lines = path.read_text().split("\n")[:-1]
    return {int(line.split()[1]) for line in lines if re.match(rf"{kind} \d+ ", line)}


def slow(seconds):
    """A server that takes its time for each block, so that there is a middle to be killed in."""
    return FaultServer(lambda name, before: time.sleep(seconds) if name == "PutSnapshotBlock" else None)


def puts(server, since=0):
    """(snapshot, block) of each put that arrived, from the since-th request on."""
    with server.lock:
        return [re.match(r"/snapshots/([^/]+)/blocks/(\d+)", path).groups()
                for name, path, _ in server.log[since:] if name == "PutSnapshotBlock"]


def make_image(path, nr_blocks, seed=1):
    rng = random.Random(seed)
    path.write_bytes(b"".join(rng.randbytes(64) + bytes([n % 255 + 1]) * (BLOCK - 64) for n in range(nr_blocks)))
    return path


def check_content(server, snapshot, image):
    """Exactly the image's blocks (but those of zeros that were never sent), completed."""
    data, got = image.read_bytes(), server.snapshots[snapshot]
    assert got["status"] in ("completing", "completed")
    for index in range(len(data) // BLOCK):
        assert got["blocks"].get(index, b"\0" * BLOCK) == data[index * BLOCK:(index + 1) * BLOCK], index


def kill_when(server, image, come, *args):
    """SIGKILL of an upload once come() says so."""
    process = subprocess.Popen(command(server, "upload", image, *args), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=environment())
    while not come():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()


def kill_until_done(server, image, moments):
    """Kills upload after upload at these moments (seconds), each time holding the next run against the journal: what it
    says is there is not sent again, and never more than 64 blocks are in doubt. Gives the snapshot of the last run,
    which nobody kills, and how many runs died."""
    killed = 0
    for moment in moments:
        done, since = blocks_in(journal(image), "D"), len(server.log)
        process = subprocess.Popen(command(server, "upload", image), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment())
        try:
            out, err = process.communicate(timeout=moment)
            assert process.returncode == 0, err
            check_content(server, out.strip(), image)
            assert not journal(image).exists()
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        again = done & {int(index) for _, index in puts(server, since)}
        assert not again, f"sent again: {sorted(again)}"
        in_doubt = blocks_in(journal(image), "S") - blocks_in(journal(image), "D")
        assert len(in_doubt) <= 64
    done, since = blocks_in(journal(image), "D"), len(server.log)
    snapshot = run(server, "upload", image).stdout.strip()
    assert not done & {int(index) for _, index in puts(server, since)}
    check_content(server, snapshot, image)
    assert not journal(image).exists()
    return snapshot, killed


def clean_up(server):
    """Afterwards only completed snapshots are there."""
    run(server, "upload", "--cleanup")
    assert {s["status"] for s in server.snapshots.values()} <= {"completing", "completed", "deleted"}
