# SPDX-License-Identifier: Apache-2.0
"""The local region with every foreign client, and the program itself in the same region. INTEROP is the folder that
`setup` has filled."""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

from region_server import RegionServer  # noqa: E402
from clients import Command, Driven  # noqa: E402

INTEROP = pathlib.Path(os.environ["INTEROP"])
CLIENTS = {
    "javascript": lambda server, **env: Driven(server, "node", INTEROP / "js/driver.mjs", **env),
    "boto3": lambda server, **env: Driven(server, INTEROP / "venv/bin/python", HERE / "boto3_driver.py", **env),
    "boto3-debian": lambda server, **env: Driven(server, sys.executable, HERE / "boto3_driver.py", **env),
    "aws": lambda server: Command(server, INTEROP / "venv/bin/aws"),
    "aws-debian": lambda server: Command(server, "/usr/bin/aws"),
}


class Program:
    """amiwright against a server."""

    def __init__(self, server, state):
        self.server = server
        self.env = {**server.env(), "XDG_STATE_HOME": str(state), "AWS_MAX_ATTEMPTS": "4"}

    def __call__(self, *args, profile="default", region="us-east-1", status=0):
        result = subprocess.run([os.environ["AMIWRIGHT"], *map(str, args), "--endpoint-url", self.server.endpoint,
                                 "--region", region, "--profile", profile], env=self.env, capture_output=True, text=True)
        assert result.returncode == status, f"{args}: {result.returncode}: {result.stderr}"
        return result.stdout


@pytest.fixture(scope="session")
def region(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("region") / "r") as server:
        yield server


@pytest.fixture(scope="session")
def amiwright(region, tmp_path_factory):
    return Program(region, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def clients(region):
    """All of them, by name."""
    made = {}
    try:
        for name, new in CLIENTS.items():
            if name != "aws-debian" or os.access("/usr/bin/aws", os.X_OK):
                made[name] = new(region)
        yield made
    finally:
        for client in made.values():
            client.close()


@pytest.fixture(params=list(CLIENTS), scope="session")
def client(request, clients):
    if request.param not in clients:
        pytest.skip("this system has no awscli package")
    return clients[request.param]


@pytest.fixture
def name(request):
    """A name of its own for the test."""
    return f"{request.node.name.replace('[', '.').rstrip(']')}-{os.urandom(4).hex()}"
