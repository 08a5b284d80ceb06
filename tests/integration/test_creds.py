# SPDX-License-Identifier: Apache-2.0
"""Whose credentials sign, for which region, at which endpoint: botocore in the same surroundings must come to the same."""
import hashlib
import json
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from creds_server import Surroundings, iso

ORACLE = Path(__file__).with_name("creds_oracle.py")
STATIC = {"AKIDSTATICONE": ("static/secret+one", None), "AKIDSTATICTWO": ("static/secret+two", "static-token-two"),
          "AKIDENV": ("env-secret", None)}
ENV_KEYS = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}
ONE = "aws_access_key_id = AKIDSTATICONE\naws_secret_access_key = static/secret+one\n"
TWO = "aws_access_key_id = AKIDSTATICTWO\naws_secret_access_key = static/secret+two\naws_session_token = static-token-two\n"
ROLE = "role_arn = arn:aws:iam::111122223333:role/alpha\n"


class World:
    """A home folder, an environment, a server."""

    def __init__(self, amiwright, folder, server, oracle):
        self.run, self.home, self.server, self.ask = amiwright, folder / "home", server, oracle
        (self.home / ".aws").mkdir(parents=True)
        self.run.env["HOME"] = str(self.home)
        # Only what the test says; never a real instance.
        self.base = {"AWS_DEFAULT_REGION": "eu-north-1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url}

    def files(self, config="", credentials=""):
        (self.home / ".aws/config").write_text(config)
        (self.home / ".aws/credentials").write_text(credentials)

    def env(self, env):
        urls = {f"AWS_ENDPOINT_URL_{name}": self.server.url for name in ("STS", "EC2", "SSO", "SSO_OIDC")}
        return {k: v for k, v in {**self.base, **urls, **env}.items() if v is not None}

    def ours(self, env=None, profile=None, status=0, args=()):
        """Who signed DescribeImages, and the program's result."""
        before = len(self.server.seen)
        option = ["--profile", profile] if profile else []
        result = self.run("images", *option, *args, status=status, env=self.env(env or {}))
        assert not self.server.faults, self.server.faults
        calls = [d for what, d in self.server.seen[before:] if what == "ec2"]
        return (calls[-1] if calls else None), result

    def oracle(self, env=None, profile=None):
        found = self.ask({**self.run.env, **self.env(env or {})}, profile, self.server.url)
        assert not self.server.faults, self.server.faults
        return found


@pytest.fixture(scope="module")
def oracle():
    """Asks botocore."""
    with subprocess.Popen([sys.executable, "-B", ORACLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        def ask(env, profile=None, url=None):
            process.stdin.write(json.dumps({"env": env, "profile": profile, "url": url}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        yield ask


@pytest.fixture
def server():
    with Surroundings(STATIC) as surroundings:
        yield surroundings


@pytest.fixture
def world(amiwright, tmp_path, server, oracle):
    return World(amiwright, tmp_path, server, oracle)


# name: (environment, config file, credentials file, --profile)
TABLE = {
    "environment": (ENV_KEYS, "[default]\n" + ONE, "", None),
    "environment, AWS_PROFILE does not count": ({**ENV_KEYS, "AWS_PROFILE": "p"}, "[profile p]\n" + ONE, "", None),
    "--profile goes before the environment": (ENV_KEYS, "[profile p]\n" + ONE, "", "p"),
    "credentials file": ({}, "", "[default]\n" + ONE, None),
    "credentials file before config file": ({}, "[default]\n" + ONE, "[default]\n" + TWO, None),
    "config file": ({}, "[profile p]\nregion = ap-south-1\n" + TWO, "", "p"),
    "AWS_PROFILE": ({"AWS_PROFILE": "p"}, "[default]\n" + ONE + "[profile p]\n" + TWO, "", None),
    "AWS_DEFAULT_PROFILE": ({"AWS_DEFAULT_PROFILE": "p"}, "[default]\n" + ONE + "[profile p]\n" + TWO, "", None),
    "region of the profile": ({"AWS_DEFAULT_REGION": None}, "[default]\nregion = us-west-2\n" + ONE, "", None),
    "region of the credentials file": ({"AWS_DEFAULT_REGION": None}, "", "[default]\nregion = sa-east-1\n" + ONE, None),
    "role": ({}, "[profile r]\nsource_profile = b\n" + ROLE, "[b]\n" + ONE, "r"),
    "role of the default profile": ({}, "[default]\nsource_profile = b\n" + ROLE + "[profile b]\n" + ONE, "", None),
    "role by AWS_PROFILE beside keys": ({"AWS_PROFILE": "r"}, "[profile r]\nsource_profile = r\n" + ROLE + TWO, "", None),
    "role with all options": ({}, "[profile r]\nsource_profile = b\nexternal_id = ext/1:2\nduration_seconds = 1800\n"
                              "role_session_name = me@here\n" + ROLE, "[b]\n" + ONE, "r"),
    "role of a role": ({}, "[profile r]\nsource_profile = s\n" + ROLE + "[profile s]\nsource_profile = b\n"
                       "role_arn = arn:aws:iam::111122223333:role/beta\n", "[b]\n" + ONE, "r"),
    "role from the environment": (ENV_KEYS, "[profile r]\ncredential_source = Environment\n" + ROLE, "", "r"),
    "role from the instance": ({}, "[profile r]\ncredential_source = Ec2InstanceMetadata\n" + ROLE, "", "r"),
    "source profile with keys and a role": ({}, "[profile r]\nsource_profile = s\n" + ROLE + "[profile s]\n"
                                            "source_profile = b\n" + ROLE + ONE, "", "r"),
    "source profile with a process": ({}, "[profile r]\nsource_profile = s\n" + ROLE + "[profile s]\n"
                                      "credential_process = PROCESS\n", "", "r"),
    "role before keys in the same profile": ({}, "[profile r]\nsource_profile = b\n" + ROLE + TWO, "[b]\n" + ONE, "r"),
    "process": ({}, "[profile p]\ncredential_process = PROCESS\n", "", "p"),
    "process before keys in the config file": ({}, "[profile p]\ncredential_process = PROCESS\n" + ONE, "", "p"),
    "keys in the credentials file before process": ({}, "[profile p]\ncredential_process = PROCESS\n", "[p]\n" + ONE, "p"),
    "web identity": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN", "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/web"},
                     "", "", None),
    "web identity before keys": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN", "AWS_ROLE_SESSION_NAME": "who",
                                  "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/web"}, "", "[default]\n" + ONE, None),
    "web identity of the profile": ({}, "[profile w]\nweb_identity_token_file = TOKEN\n" + ROLE, "", "w"),
    "container": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "CONTAINER"}, "", "", None),
    "keys before container": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "CONTAINER"}, "", "[default]\n" + ONE, None),
    "instance": ({}, "", "", None),
    "profile without credentials: instance": ({"AWS_PROFILE": "p"}, "[profile p]\nregion = ca-central-1\n", "", None),
}


def fill(world, text):
    process = world.home / "process.sh"
    process.write_text("#!/bin/sh\necho '" + json.dumps({
        "Version": 1, "AccessKeyId": "AKIDSTATICTWO", "SecretAccessKey": "static/secret+two",
        "SessionToken": "static-token-two"}) + "'\n")
    process.chmod(0o755)
    token = world.home / "web token"
    token.write_text("web-identity-token-marker")
    world.server.web_token = "web-identity-token-marker"
    return text.replace("PROCESS", f'"{process}" \'an argument\'').replace("TOKEN", str(token)) \
        .replace("CONTAINER", world.server.url + "/container/creds")


def kind_of(key):
    """Issued keys are numbered."""
    return key.rstrip("0123456789") if key else key


@pytest.mark.parametrize("name", TABLE)
def test_as_botocore(world, name):
    env, config, credentials, profile = TABLE[name]
    env = {k: v and fill(world, v) for k, v in env.items()}
    world.files(fill(world, config), credentials)
    signed, _ = world.ours(env, profile)
    ours = [c for c in world.server.seen if c[0] in ("sts", "web")]
    before = len(world.server.seen)
    oracle = world.oracle(env, profile)
    theirs = [c for c in world.server.seen[before:] if c[0] in ("sts", "web")]
    assert "error" not in oracle, oracle
    assert kind_of(signed["by"]) == kind_of(oracle["key"])
    assert signed["region"] == oracle["region"]
    # The same calls of STS, but for who is numbered and named by time.
    for calls in (ours, theirs):
        for _, call in calls:
            call.pop("region", None)
            call["by"] = kind_of(call.get("by"))
            if call["RoleSessionName"].startswith(("amiwright-", "botocore-session-")):
                call["RoleSessionName"] = "default"
    assert ours == theirs


FAULTS = {
    "key without secret": ({"AWS_ACCESS_KEY_ID": "AKIDENV"}, "", "", None, "AWS_SECRET_ACCESS_KEY is not"),
    "no such profile": ({}, "", "", "gone", "no profile 'gone'"),
    "role without source": ({}, "[profile r]\n" + ROLE, "", "r", "neither source_profile nor"),
    "both sources": ({}, "[profile r]\nsource_profile = b\ncredential_source = Environment\n" + ROLE + "[profile b]\n" + ONE,
                     "", "r", "both source_profile and"),
    "no source profile": ({}, "[profile r]\nsource_profile = b\n" + ROLE, "", "r", "source_profile 'b' of profile 'r'"),
    "loop": ({}, "[profile r]\nsource_profile = s\n" + ROLE + "[profile s]\nsource_profile = r\n" + ROLE, "", "r",
             "leads back to profile 'r'"),
    "process fails": ({}, "[profile p]\ncredential_process = false\n", "", "p", "false failed (exit status 1)"),
    "process of another version": ({}, "[profile p]\ncredential_process = echo '{\"Version\": 2}'\n", "", "p",
                                   "Version is not 1"),
    "container elsewhere": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.7/x"}, "", "", None, "must be https"),
    "web identity without token": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token",
                                    "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/web"}, "", "", None,
                                   "cannot open '/nonexistent/token'"),
    "half a single sign-on": ({}, "[profile s]\nsso_account_id = 1\nsso_role_name = r\n", "", "s", "has no sso_start_url"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refused_as_by_botocore(world, name):
    env, config, credentials, profile, text = FAULTS[name]
    world.files(config, credentials)
    option = ["--profile", profile] if profile else []
    result = subprocess.run([world.run.path, "images", *option], capture_output=True, text=True,
                            env={**world.run.env, **world.env(env)})
    assert result.returncode in (1, 2) and text in result.stderr, result.stderr
    assert not world.server.calls("ec2")
    assert "error" in world.oracle(env, profile)


# single sign-on: botocore cannot renew a token without its own registration, so the cache is the contract

def sso_cache(world, key, **more):
    path = world.home / ".aws/sso/cache" / (hashlib.sha1(key.encode()).hexdigest() + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"startUrl": "https://start.example/", "region": "eu-west-1",
                                "accessToken": world.server.sso["access"], **more}))
    return path


LEGACY = ("[profile s]\nsso_start_url = https://start.example/\nsso_region = eu-west-1\nsso_account_id = 111122223333\n"
          "sso_role_name = Power User\n")
SESSION = ("[profile s]\nsso_session = work\nsso_account_id = 111122223333\nsso_role_name = Power User\n"
           "[sso-session work]\nsso_start_url = https://start.example/\nsso_region = eu-west-1\n")


@pytest.mark.parametrize("config,key", [(LEGACY, "https://start.example/"), (SESSION, "work")])
def test_single_sign_on(world, config, key):
    world.files(config)
    path = sso_cache(world, key, expiresAt=iso(time.time() + 3600))
    text = path.read_text()
    signed, _ = world.ours(profile="s")
    assert kind_of(signed["by"]) == "AKIDSSO"
    assert world.server.calls("portal") == [{"role_name": "Power User", "account_id": "111122223333"}]
    assert path.read_text() == text
    oracle = world.oracle(profile="s")
    assert kind_of(oracle.get("key")) == "AKIDSSO", oracle
    # Ended, and not to be renewed.
    sso_cache(world, key, expiresAt=iso(time.time() - 1))
    _, result = world.ours(profile="s", status=2)
    assert "has expired: run `aws sso login --profile s`" in result.stderr
    path.unlink()
    assert "is not there: run `aws sso login" in world.ours(profile="s", status=2)[1].stderr


REGISTERED = {"clientId": "client-1", "clientSecret": "client-secret-marker", "refreshToken": "sso-refresh-token-marker"}


def test_single_sign_on_renews(world):
    world.files(SESSION)
    path = sso_cache(world, "work", expiresAt=iso(time.time() + 300), **REGISTERED,
                     registrationExpiresAt=iso(time.time() + 86400))
    signed, _ = world.ours(profile="s")
    assert kind_of(signed["by"]) == "AKIDSSO" and world.server.calls("oidc") == [{"client": "client-1"}]
    stored = json.loads(path.read_text())
    assert stored["accessToken"] == "sso-renewed-token-marker" and stored["refreshToken"] == "sso-next-refresh-marker"
    assert stored["clientSecret"] == "client-secret-marker" and path.stat().st_mode & 0o777 == 0o600
    # The next run, and botocore, find the new one.
    world.ours(profile="s")
    assert len(world.server.calls("oidc")) == 1
    assert kind_of(world.oracle(profile="s").get("key")) == "AKIDSSO"
    assert len(world.server.calls("oidc")) == 1


def test_single_sign_on_that_cannot_renew_uses_what_holds(world):
    world.files(SESSION)
    world.server.sso["refresh"] = "another"
    sso_cache(world, "work", expiresAt=iso(time.time() + 300), **REGISTERED)
    assert kind_of(world.ours(profile="s")[0]["by"]) == "AKIDSSO"
    sso_cache(world, "work", expiresAt=iso(time.time() - 1), **REGISTERED)
    assert "could not be renewed: run `aws sso login" in world.ours(profile="s", status=2)[1].stderr
    sso_cache(world, "work", expiresAt=iso(time.time() + 3600))
    world.server.sso["access"] = "revoked-meanwhile"
    assert "is refused: run `aws sso login" in world.ours(profile="s", status=2)[1].stderr


# containers and instances

def test_container_token(world, tmp_path):
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": world.server.url + "/container/creds"}
    world.server.container["token"] = "container-token-marker"
    file = tmp_path / "token"
    file.write_text("container-token-marker")
    assert world.ours({**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token-marker"})[0]
    # The file goes before; a server that stumbles is asked again.
    world.server.container["fail"] = 2
    assert world.ours({**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)})[0]
    assert "401" in world.ours({**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x"}, status=4)[1].stderr
    file.write_text("container-token\nHost: evil")
    _, result = world.ours({**env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)}, status=2)
    assert "has a line break" in result.stderr


def test_instance_versions(world):
    imds = world.server.imds
    assert kind_of(world.ours()[0]["by"]) == "AKIDIMDS"
    assert [c["v1"] for c in world.server.calls("imds")] == [False, False]
    imds.update(v2=False, v1=True)
    assert kind_of(world.ours()[0]["by"]) == "AKIDIMDS"
    assert world.server.calls("imds")[-1]["v1"]
    assert "version 1 is switched off" in world.ours({"AWS_EC2_METADATA_V1_DISABLED": "true"}, status=1)[1].stderr
    imds.update(v2=True, token_status=400)
    assert "HTTP 400" in world.ours(status=1)[1].stderr
    imds.update(token_status=200, role=None)
    assert "this instance has no role" in world.ours(status=2)[1].stderr
    seen = len(world.server.seen)
    _, result = world.ours({"AWS_EC2_METADATA_DISABLED": "true"}, status=2)
    assert "no AWS credentials" in result.stderr and len(world.server.seen) == seen


@pytest.fixture(autouse=True)
def metadata_is_the_servers(request):
    """These tests have a metadata service of their own."""
    if "world" in request.fixturenames:
        request.getfixturevalue("world").run.env.pop("AWS_EC2_METADATA_DISABLED", None)


@pytest.mark.parametrize("zone,region", [("eu-west-3b", "eu-west-3"), ("us-west-2-lax-1a", "us-west-2"),
                                         ("us-gov-east-1c", "us-gov-east-1")])
def test_region_of_the_instance(world, zone, region):
    world.server.imds["zone"] = zone
    signed, _ = world.ours({**ENV_KEYS, "AWS_DEFAULT_REGION": None})
    assert signed["region"] == region
    signed, _ = world.ours({**ENV_KEYS, "AWS_DEFAULT_REGION": None, "AWS_REGION": "eu-south-1"})
    assert signed["region"] == "eu-south-1"
    _, result = world.ours({**ENV_KEYS, "AWS_DEFAULT_REGION": None, "AWS_EC2_METADATA_DISABLED": "true"}, status=2)
    assert "no region" in result.stderr


# MFA

def test_mfa_without_a_terminal(world):
    world.files("[profile r]\nsource_profile = b\nmfa_serial = arn:aws:iam::1:mfa/me\n" + ROLE, "[b]\n" + ONE)
    result = subprocess.run(["setsid", world.run.path, "images", "--profile", "r"], capture_output=True, text=True,
                            env={**world.run.env, **world.env({})}, stdin=subprocess.DEVNULL)
    assert result.returncode == 2 and "no terminal to ask on" in result.stderr
    assert not world.server.calls("sts")


def test_mfa_on_a_terminal(world):
    world.files("[profile r]\nsource_profile = b\nmfa_serial = arn:aws:iam::1:mfa/me\n" + ROLE, "[b]\n" + ONE)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(world.run.path, [world.run.path, "images", "--profile", "r"], {**world.run.env, **world.env({})})
    shown = b""
    while b"MFA code" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"123456\n")
    try:
        while chunk := os.read(terminal, 1000):
            shown += chunk
    except OSError:  # the other side is closed
        pass
    assert os.waitpid(pid, 0)[1] == 0, shown
    call, = world.server.calls("sts")
    assert call["TokenCode"] == "123456" and call["SerialNumber"] == "arn:aws:iam::1:mfa/me"
    assert kind_of(world.server.calls("ec2")[0]["by"]) == "AKIDALPHA"


def test_sts_that_stumbles_and_a_wrong_clock(world):
    """Retried like any call; the role's end is measured by the server's clock."""
    world.files("[profile r]\nsource_profile = b\n" + ROLE, "[b]\n" + ONE)
    world.server.sts_fail = 2
    assert kind_of(world.ours(profile="r")[0]["by"]) == "AKIDALPHA"
    world.server.skew = 7200
    assert kind_of(world.ours(profile="r")[0]["by"]) == "AKIDALPHA"


# endpoints, as seen by a proxy

class Proxy:
    """Notes who is to be connected to, and refuses. Use as a context manager."""

    def __init__(self):
        self.asked = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://proxyuser:proxy-password-marker@127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                text = b""
                while b"\r\n\r\n" not in text:
                    chunk = peer.recv(4096)
                    if not chunk:
                        break
                    text += chunk
                self.asked.append(text.decode())
                peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


# Of the partitions that are as old as the oldest botocore that this runs with.
REGIONS = ["us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "ap-south-2"]


@pytest.mark.parametrize("variant", ["", "fips", "dualstack"])
def test_endpoints_through_a_proxy(amiwright, tmp_path, oracle, variant):
    for region in REGIONS:
        env = {**ENV_KEYS, "AWS_DEFAULT_REGION": region, "HOME": str(tmp_path)}
        if variant:
            env[f"AWS_USE_{variant.upper()}_ENDPOINT"] = "true"
        with Proxy() as proxy:
            result = amiwright("images", "--max-attempts", "1", status=1, env={**env, "HTTPS_PROXY": proxy.url})
        connect = proxy.asked[0].splitlines()[0].split()
        assert connect[0] == "CONNECT" and "Proxy-Authorization: Basic" in proxy.asked[0]
        assert "proxy-password-marker" not in result.stderr and "proxyuser" not in result.stderr
        known = oracle({**amiwright.env, **env})
        # It had no such endpoints in the secret regions before.
        if "does not support DualStack" not in known.get("error", ""):
            assert f"https://{connect[1].removesuffix(':443')}" == known["endpoint"], known


def test_proxies(amiwright, tmp_path, server):
    env = {**ENV_KEYS, "AWS_DEFAULT_REGION": "eu-west-1", "HOME": str(tmp_path)}
    with Proxy() as proxy, Proxy() as other:
        amiwright("images", "--max-attempts", "1", status=1, env={**env, "ALL_PROXY": proxy.url})
        assert len(proxy.asked) == 1
        amiwright("images", "--max-attempts", "1", status=1,
                  env={**env, "https_proxy": proxy.url, "HTTPS_PROXY": other.url, "HTTP_PROXY": other.url})
        assert len(proxy.asked) == 2 and not other.asked
        # Neither hosts of NO_PROXY, nor this machine, nor what gives credentials.
        amiwright("images", "--max-attempts", "1", status=1, env={
            **env, "AWS_ENDPOINT_URL": "https://ec2.invalid", "HTTPS_PROXY": other.url, "NO_PROXY": ".invalid"})
        del amiwright.env["AWS_EC2_METADATA_DISABLED"]
        amiwright("images", env={"HOME": str(tmp_path), "HTTP_PROXY": other.url, "ALL_PROXY": other.url,
                                 "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.url,
                                 "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url})
        assert not other.asked
        # Not even when the metadata service is no loopback address; nobody answers at this one.
        amiwright("images", status=1, env={"HOME": str(tmp_path), "HTTP_PROXY": other.url, "AWS_REGION": "eu-west-1",
                                           "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1"})
        assert not other.asked


SERVICES = "[services s]\nec2 =\n  endpoint_url = http://127.0.0.1:1111\n[profile p]\nservices = s\n"

# environment, config file, and the host and port that is to be connected to (None: AWS's own)
ENDPOINTS = {
    "service before all": ({"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1", "AWS_ENDPOINT_URL": "http://127.0.0.1:2"},
                           SERVICES, "http://127.0.0.1:1"),
    "one for all": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:2"}, SERVICES, "http://127.0.0.1:2"),
    "services section": ({}, SERVICES + "endpoint_url = http://127.0.0.1:3\n", "http://127.0.0.1:1111"),
    "profile": ({}, "[profile p]\nendpoint_url = http://127.0.0.1:3\n", "http://127.0.0.1:3"),
    "ignored": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:2", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, SERVICES, None),
    "ignored by the profile": ({}, "[profile p]\nendpoint_url = http://127.0.0.1:3\n"
                               "ignore_configured_endpoint_urls = true\n", None),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_settings(world, name):
    env, config, url = ENDPOINTS[name]
    world.files(config, "[p]\n" + ONE)
    env = {**world.base, "AWS_PROFILE": "p", **env}
    with Proxy() as proxy:
        result = subprocess.run([world.run.path, "images", "--max-attempts", "1"], capture_output=True, text=True,
                                env={**world.run.env, **env, "HTTPS_PROXY": proxy.url})
    if url:
        assert f"'{url}'" in result.stderr and not proxy.asked
    else:
        assert "ec2.eu-north-1.amazonaws.com:443" in proxy.asked[0]
    world.env = lambda more: {**env, **more}
    oracle = world.oracle()
    if tuple(map(int, oracle["version"].split(".")[:2])) >= (1, 31):
        assert oracle["endpoint"] == (url or "https://ec2.eu-north-1.amazonaws.com")


@pytest.mark.parametrize("url", ["https://user:password-marker@h", "https://user:pass/word-marker@h",
                                 "user:password-marker@h", "https://h?password-marker"])
def test_passwords_in_endpoints_are_not_repeated(world, url):
    world.files("", "[default]\n" + ONE)
    for env, args in ({"AWS_ENDPOINT_URL": url}, []), ({}, ["--endpoint-url", url]):
        _, result = world.ours(env, status=2, args=["-v", *args])
        assert "endpoint '" in result.stderr and "word-marker" not in result.stderr


def test_ports_are_checked_before_any_work(world):
    world.files("", "[default]\n" + ONE)
    started = time.monotonic()
    for env in ({"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}, {"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:0"},
                {"HTTPS_PROXY": "http://127.0.0.1:65536", "AWS_ENDPOINT_URL_EC2": None}):
        _, result = world.ours(env, status=2)
        assert "port that is not a number from 1 to 65535" in result.stderr
    assert time.monotonic() - started < 3


def test_plain_http_must_be_meant(world):
    world.files("", "[default]\n" + ONE)
    far = "http://192.0.2.9:1"
    _, result = world.ours({"AWS_ENDPOINT_URL_EC2": far}, status=2)
    assert "without encryption" in result.stderr and "--endpoint-url" in result.stderr
    # A conflict is said, not decided.
    _, result = world.ours({"AWS_USE_FIPS_ENDPOINT": "true"}, status=2)
    assert "FIPS or dual-stack" in result.stderr
    # --endpoint-url goes before all settings.
    assert world.ours({"AWS_ENDPOINT_URL_EC2": far}, args=["--endpoint-url", world.server.url])[0]
