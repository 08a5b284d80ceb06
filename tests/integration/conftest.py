# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: the program, a small spec, a local region."""
import json
import os
import shlex
import shutil
import subprocess
import textwrap

import pytest

import bundle_oracle
from region_server import RegionServer

EPOCH = 1735689600


SPEC = """\
name: tiny
version: "1"
architecture: x86_64
epoch: 1735689600
root:
  - directory: {path: tree, owner: root}
  - write: {path: /etc/motd, content: "golden\\n", mode: "0600"}
disks:
  - device: /dev/xvda
    table: gpt
    partitions:
      - {name: data, type: linux, filesystem: ext4, mount: /srv/data, size: 64M}
      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}
    ebs: {type: gp3, iops: 3000}
  - {device: /dev/sdf, ephemeral: 0}
ami: {tags: {team: platform}}
"""


def said(args, result, wanted):
    """All that a run tells: what fails once a month has to be found by its first message."""
    ended = f"signal {-result.returncode}" if result.returncode < 0 else f"status {result.returncode}"
    return (f"amiwright {shlex.join(map(str, args))}\nended with {ended}, not with {wanted}\n"
            f"stdout:\n{result.stdout}\nstderr:\n{result.stderr}")


class Program:
    """The program in a folder, with an environment without AWS's variables."""

    def __init__(self, folder):
        self.path = os.environ["AMIWRIGHT"]
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("AWS_") and k != "SOURCE_DATE_EPOCH"}
        self.env["XDG_STATE_HOME"] = str(folder / "state")
        # The machine that the tests run on may be an instance itself.
        self.env["AWS_EC2_METADATA_DISABLED"] = "true"

    def __call__(self, *args, status=0, env=None, **kwargs):
        """Runs it; the exit status must be as said."""
        result = subprocess.run([self.path, *map(str, args)], capture_output=True, text=True,
                                cwd=self.folder, env={**self.env, **(env or {})}, **kwargs)
        assert result.returncode == status, said(args, result, status)
        return result

    def use(self, region, endpoint=None):
        """From now on it is the first account of a served region, asked there or at another endpoint before it."""
        key, secret = region.credentials()
        self.env.update(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_REGION="us-east-1",
                        AWS_ENDPOINT_URL=endpoint or region.endpoint, AWS_CONFIG_FILE="/dev/null",
                        AWS_SHARED_CREDENTIALS_FILE="/dev/null")

    def json(self, *args, **kwargs):
        """Runs it with --json; stdout must be one document."""
        return json.loads(self(*args, "--json", **kwargs).stdout)


@pytest.fixture
def amiwright(tmp_path):
    return Program(tmp_path)


@pytest.fixture
def spec(tmp_path):
    """A spec with two file systems and a small tree, in tmp_path."""
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("tiny\n")
    (tree / "srv/data").mkdir(parents=True)
    (tree / "srv/data/blob").write_bytes(bytes(range(256)) * 4000)
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def write_spec(tmp_path):
    """Writes a spec's text (dedented) under a name and gives its path."""
    def write(text, name="spec.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path
    return write


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """Two keys and their certificates for bundles, made once."""
    folder = tmp_path_factory.mktemp("pairs")
    bundle_oracle.make_pair(folder, "user")
    bundle_oracle.make_pair(folder, "ec2")
    return folder


@pytest.fixture
def keys(tmp_path, pairs):
    """Options that every bundle wants, with the files that they name."""
    for path in pairs.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "out").mkdir()
    return ["--key", "user.key", "--cert", "user.crt", "--ec2-cert", "ec2.crt", "--user", "1111-2222-3333",
            "--out", "out"]


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("region") / "r") as server:
        yield server


@pytest.fixture
def ebs(region):
    return region.client("ebs")


@pytest.fixture
def ec2(region):
    return region.client("ec2")
