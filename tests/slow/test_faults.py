# SPDX-License-Identifier: Apache-2.0
"""Uploads to a server that checks everything and does what a bad day does: `make check-faults`."""
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from fault_server import FaultServer
from resume_tools import clean_up, kill_until_done, make_image
from strict_server import KEY, REGION, SECRET, StrictServer

AMIWRIGHT = os.environ["AMIWRIGHT"]
NR_BLOCKS = 300

THROTTLE = 400, {"x-amzn-ErrorType": "RequestThrottledException"}, b'{"message":"Rate exceeded"}'
BROKEN = 500, {"x-amzn-ErrorType": "InternalServerException"}, b'{"Message":"oops"}'
EXPIRED = 403, {"x-amzn-ErrorType": "ExpiredTokenException"}, b'{"message":"The security token is expired"}'


class BadDay(StrictServer):
    """10 % throttles, 5 % 500, 2 % resets, 1 % cut answers, 5 % slow ones; a clock of its own; tokens that end."""

    def __init__(self, seed, skew=0):
        super().__init__()
        self.rng, self.skew, self.troubles, self.expired = random.Random(seed), skew, 0, 0
        self.may_come_again = True
        self.puts, self.guard = [], threading.Lock()

    def now(self):
        return time.time() + self.skew

    def trouble(self, method, target, headers):
        with self.guard:
            dice = self.rng.random()
            if method == "PUT":
                self.puts.append(int(target.rsplit("/", 1)[1]))
            token = headers.get("X-Amz-Security-Token", "")
            if token.startswith("until-") and float(token[6:]) < time.time():
                self.expired += 1
                return EXPIRED if target != "/" else self.ec2_answer(400, "RequestExpired")
            for share, what in ((0.10, THROTTLE), (0.05, BROKEN), (0.02, "reset"), (0.01, "cut"), (0.05, "slow")):
                if dice < share:
                    self.troubles += what != "slow"
                    if isinstance(what, tuple) and target == "/":
                        return self.ec2_answer(503, "RequestLimitExceeded")
                    return what
                dice -= share
        return None

    @staticmethod
    def ec2_answer(status, code):
        return status, {}, (f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors>"
                            "</Response>").encode()


def run(server, *args, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return subprocess.run([AMIWRIGHT, *map(str, args)], capture_output=True, text=True, timeout=300,
                          env={**clean, "AWS_CONFIG_FILE": "/dev/null", **server.env(), **(env or {})})


def check(server, result, image):
    """Complete, the same bytes, and no block more often than the server's own troubles account for."""
    assert result.returncode == 0, result.stderr
    snapshot = server.snapshots[result.stdout.strip()]
    assert snapshot.status == "completed" and server.faults == []
    assert b"".join(snapshot.blocks[i] for i in sorted(snapshot.blocks)) == image.read_bytes()
    assert len(server.puts) <= NR_BLOCKS + server.troubles + server.expired
    assert server.troubles > NR_BLOCKS // 20


@pytest.fixture
def image(tmp_path):
    return make_image(tmp_path / "in.raw", NR_BLOCKS)


@pytest.mark.parametrize("seed, skew", [(1, 0), (2, 3600), (3, -3600)])
def test_a_bad_day(image, seed, skew):
    with BadDay(seed, skew) as server:
        check(server, run(server, "upload", image), image)


def test_credentials_that_keep_expiring(image, tmp_path):
    """A process that gives keys for a few seconds: the upload renews them, also when it is told too late."""
    give = tmp_path / "give.py"
    give.write_text("import json, time\nuntil = time.time() + 3\n"
                    f"print(json.dumps({{'Version': 1, 'AccessKeyId': '{KEY}', 'SecretAccessKey': '{SECRET}',\n"
                    "    'SessionToken': f'until-{until}', 'Expiration':\n"
                    "    time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(until + 1))}))\n")
    config = tmp_path / "config"
    config.write_text(f"[default]\nregion = {REGION}\ncredential_process = {sys.executable} {give}\n")
    env = {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
           "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
    with BadDay(4) as server:
        answer, begin = server.answer, time.monotonic()
        server.answer = lambda method, *rest: (time.sleep(0.1) if method == "PUT" else None) or answer(method, *rest)
        result = run(server, "upload", image, env=env)
        check(server, result, image)
        assert time.monotonic() - begin > 6  # longer than two sets of keys live


def test_killed_fifty_times(tmp_path):
    """At random moments from before the first request to after the last."""
    rng, image = random.Random(7), make_image(tmp_path / "in.raw", 120)
    killed = 0
    with FaultServer(lambda name, before: time.sleep(0.03) if name == "PutSnapshotBlock" else time.sleep(0.01)) as server:
        while killed < 50:
            _, more = kill_until_done(server, image, [rng.uniform(0, 0.7) for _ in range(10)])
            killed += more
        clean_up(server)
        # Each block once for each snapshot that was completed, and what was in flight when a process died.
        completed = sum(s["status"] != "deleted" for s in server.snapshots.values())
        assert server.count("PutSnapshotBlock") <= completed * 120 + killed * 64
        assert server.count("DeleteSnapshot") == 0
