# SPDX-License-Identifier: Apache-2.0
"""Credentials over time: they end in mid-upload and others come; they are told to nobody; TLS is checked."""
import hashlib
import json
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from creds_server import IMDS_TOKEN, Surroundings, iso, on_a_terminal
from strict_server import BLOCK, KEY, REGION, SECRET, StrictServer


class ExpiringServer(StrictServer):
    """The strict one, for credentials whose session token says when they end ("tok-SECONDS"); a container's endpoint too."""

    def __init__(self, lifetime, told=None):
        super().__init__()
        self.lifetime, self.told = lifetime, told or lifetime
        self.refused, self.tokens_seen, self.issued = 0, set(), 0

    def answer(self, method, target, headers, body):
        if target == "/creds":
            self.issued += 1
            now = time.time()
            return 200, {}, json.dumps({"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": f"tok-{now + self.lifetime}",
                                        "Expiration": iso(now + self.told)}).encode()
        token = headers.get("X-Amz-Security-Token", "tok-0")
        if time.time() >= float(token.removeprefix("tok-")):
            with self.lock:
                self.refused += 1
            if target == "/":
                return 400, {}, (b"<Response><Errors><Error><Code>RequestExpired</Code><Message>Request has expired."
                                 b"</Message></Error></Errors><RequestID>r</RequestID></Response>")
            return 403, {"x-amzn-ErrorType": "ExpiredTokenException"}, \
                b'{"message":"The security token included in the request is expired"}'
        self.tokens_seen.add(token)
        return super().answer(method, target, headers, body)

    def do_PutSnapshotBlock(self, value):
        time.sleep(0.04)  # under the lock: one after another
        return super().do_PutSnapshotBlock(value)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.raw"
    path.write_bytes(b"".join(bytes([i + 1]) * BLOCK for i in range(120)))
    return path


def check_upload(server, image):
    assert not server.faults, server.faults
    snapshot, = server.snapshots.values()
    assert snapshot.status == "completed"
    assert b"".join(b for _, b in sorted(snapshot.blocks.items())) == image.read_bytes()


def container(server):
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.endpoint + "/creds", "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def test_upload_outlives_its_credentials(amiwright, image, tmp_path):
    """Renewed before their end: hardly any call is refused, and the source is not asked for each."""
    with ExpiringServer(lifetime=3) as server:
        amiwright("upload", image, env={**container(server), "HOME": str(tmp_path)})
        check_upload(server, image)
        assert len(server.tokens_seen) >= 2
        assert server.issued <= 10 and server.refused <= 4


def test_upload_whose_credentials_end_early(amiwright, image, tmp_path):
    """The service calls them expired long before they should be: renewed then, once for all calls."""
    with ExpiringServer(lifetime=1.5, told=3600) as server:
        amiwright("upload", image, env={**container(server), "HOME": str(tmp_path)})
        check_upload(server, image)
        assert server.refused >= 1 and 3 <= server.issued <= 12


PROCESS = """#!/bin/sh
end=$(($(date +%s) + 3))
echo "{{\\"Version\\": 1, \\"AccessKeyId\\": \\"{key}\\", \\"SecretAccessKey\\": \\"{secret}\\", \\"SessionToken\\": \\"tok-$end\\",
\\"Expiration\\": \\"$(date -u -d @$end +%Y-%m-%dT%H:%M:%SZ)\\"}}"
"""


def test_upload_with_a_process(amiwright, image, tmp_path):
    process = tmp_path / "process"
    process.write_text(PROCESS.format(key=KEY, secret=SECRET))
    process.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {process}\n")
    with ExpiringServer(lifetime=3) as server:
        amiwright("upload", image, env={"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_REGION": REGION,
                                        "AWS_ENDPOINT_URL": server.endpoint, "HOME": str(tmp_path)})
        check_upload(server, image)
        assert len(server.tokens_seen) >= 2


class MfaServer(ExpiringServer):
    """STS too; `codes` are those it was given."""

    def __init__(self, lifetime):
        super().__init__(lifetime)
        self.codes = []

    def answer(self, method, target, headers, body):
        form = dict(urllib.parse.parse_qsl(body.decode("latin-1"))) if target == "/" else {}
        if form.get("Action") != "AssumeRole":
            return super().answer(method, target, headers, body)
        self.codes.append(form["TokenCode"])
        end = time.time() + self.lifetime
        return 200, {"Content-Type": "text/xml"}, (
            f"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}"
            f"</SecretAccessKey><SessionToken>tok-{end}</SessionToken><Expiration>{iso(end)}</Expiration></Credentials>"
            "</AssumeRoleResult></AssumeRoleResponse>").encode()


def test_renewal_says_why_a_code_is_asked_for(amiwright, image, tmp_path):
    (tmp_path / "config").write_text("[default]\nsource_profile = b\nrole_arn = arn:aws:iam::111122223333:role/alpha\n"
                                     "mfa_serial = arn:aws:iam::1:mfa/me\n[profile b]\naws_access_key_id = AKIDSOURCE\n"
                                     "aws_secret_access_key = source/secret\n")
    with MfaServer(lifetime=3) as server:
        env = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_REGION": REGION, "AWS_ENDPOINT_URL": server.endpoint,
               "HOME": str(tmp_path)}
        status, prompts = on_a_terminal([amiwright.path, "upload", image], {**amiwright.env, **env})
        assert status == 0, prompts
        check_upload(server, image)
        assert len(prompts) >= 2 and server.codes == [str(100000 + i) for i in range(len(prompts))]
        assert "session has ended" not in prompts[0]
        assert all("session has ended" in prompt for prompt in prompts[1:])


def test_upload_with_a_file_that_others_renew(amiwright, image, tmp_path):
    """Keys of a file have no end that could be seen: it is read again when a service calls them expired."""
    file, done = tmp_path / "credentials", threading.Event()

    def write():
        fresh = tmp_path / "credentials.new"
        fresh.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
                         f"aws_session_token = tok-{time.time() + 2}\n")
        fresh.rename(file)

    def renew():
        while not done.wait(1):
            write()

    write()
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with ExpiringServer(lifetime=2) as server:
            amiwright("upload", image, env={"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_REGION": REGION,
                                            "AWS_ENDPOINT_URL": server.endpoint, "HOME": str(tmp_path)})
            check_upload(server, image)
            assert server.refused >= 1 and len(server.tokens_seen) >= 2
    finally:
        done.set()
        thread.join()


def test_no_newer_credentials(amiwright, image, tmp_path):
    """What the environment holds cannot be renewed: the message says what happened, the status that AWS said no."""
    with ExpiringServer(lifetime=1) as server:
        env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION, "HOME": str(tmp_path),
               "AWS_SESSION_TOKEN": f"tok-{time.time() + 1.5}", "AWS_ENDPOINT_URL": server.endpoint}
        result = amiwright("upload", image, status=4, env=env)
        assert "ExpiredTokenException" in result.stderr


# secrets

MARKERS = ["web-identity-token-marker", "container-token-marker", "sso-access-token-marker", "sso-refresh-token-marker",
           "sso-renewed-token-marker", "sso-next-refresh-marker", "client-secret-marker", IMDS_TOKEN,
           "static-secret-marker", "static-token-marker", "secret-marker", "token-marker/"]
STATIC = {"AKIDSTATIC": ("static-secret-marker", "static-token-marker")}
KEYS = "aws_access_key_id = AKIDSTATIC\naws_secret_access_key = static-secret-marker\naws_session_token = static-token-marker\n"
ROLE = "role_arn = arn:aws:iam::111122223333:role/alpha\n"


def sso_cache(home):
    path = home / ".aws/sso/cache" / (hashlib.sha1(b"work").hexdigest() + ".json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({
        "accessToken": "sso-access-token-marker", "refreshToken": "sso-refresh-token-marker", "clientId": "c",
        "clientSecret": "client-secret-marker", "expiresAt": iso(time.time() + 60), "region": "eu-west-1"}))


KINDS = {
    "environment": ({"AWS_ACCESS_KEY_ID": "AKIDSTATIC", "AWS_SECRET_ACCESS_KEY": "static-secret-marker",
                     "AWS_SESSION_TOKEN": "static-token-marker"}, ""),
    "file": ({}, "[default]\n" + KEYS),
    "role": ({}, "[default]\nsource_profile = default\n" + ROLE + KEYS),
    "web identity": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN", "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/web"}, ""),
    "single sign-on": ({}, "[default]\nsso_session = work\nsso_account_id = 1\nsso_role_name = r\n"
                       "[sso-session work]\nsso_start_url = u\nsso_region = eu-west-1\n"),
    "process": ({}, "[default]\ncredential_process = cat PROCESS\n"),
    "container": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "URL/container/creds",
                   "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token-marker"}, ""),
    "instance": ({}, ""),
}


class Run:
    """Runs the program; keeps the command lines of it and of all below it."""

    def __init__(self, argv, env, folder):
        self.lines, self.folder = set(), folder
        with subprocess.Popen(argv, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            watcher = threading.Thread(target=self.watch, args=(process,))
            watcher.start()
            self.out, self.err = process.communicate(timeout=60)
            watcher.join()
            self.status = process.returncode

    def watch(self, process):
        while process.poll() is None:
            for pid in [process.pid, *self.children(process.pid)]:
                try:
                    self.lines.add(Path(f"/proc/{pid}/cmdline").read_bytes())
                except OSError:
                    pass

    @staticmethod
    def children(pid):
        try:
            return [int(p) for t in Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()]
        except OSError:
            return []


def secrets_in(text, server):
    known = MARKERS + [text for known in server.keys.values() for text in known[:2] if text]
    return [marker for marker in known if marker.encode() in text]


@pytest.mark.parametrize("refuse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_secrets_are_told_to_nobody(amiwright, tmp_path, kind, refuse):
    env, config = KINDS[kind]
    home, work = tmp_path / "home", tmp_path / "work"
    (home / ".aws").mkdir(parents=True)
    work.mkdir()
    sso_cache(home)
    (home / "token").write_text("web-identity-token-marker")
    (home / "process").write_text(json.dumps({"Version": 1, "AccessKeyId": "AKIDSTATIC", "SessionToken": "static-token-marker",
                                              "SecretAccessKey": "static-secret-marker"}))
    (home / ".aws/config").write_text(config.replace("PROCESS", str(home / "process")))
    before = {p for p in home.rglob("*") if p.is_file()}
    with Surroundings(STATIC) as server:
        server.web_token, server.container["token"] = "web-identity-token-marker", "container-token-marker"
        server.echo = refuse
        env = {k: v.replace("TOKEN", str(home / "token")).replace("URL", server.url) if k != "AWS_CONTAINER_AUTHORIZATION_TOKEN"
               else v for k, v in env.items() if v}
        base = {k: v for k, v in amiwright.env.items() if k != "AWS_EC2_METADATA_DISABLED"}
        run = Run([amiwright.path, "images", "-v"], {
            **base, "HOME": str(home), "TMPDIR": str(work), "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url, **env}, work)
        assert run.status != 0 if refuse else run.status == 0, run.err
        # It was used and said something, else this would show nothing.
        assert b"credentials from" in run.err or refuse
        assert not secrets_in(run.out, server) and not secrets_in(run.err, server), run.err
        assert run.lines and not any(secrets_in(line, server) for line in run.lines)
        written = {p for folder in (home, work) for p in folder.rglob("*") if p.is_file()} - before
        assert not written


# TLS

def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "other"):
        openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name} of the tests",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl(folder, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
            "-out", "server.csr")
    (folder / "ext").write_text("subjectAltName = DNS:localhost\n")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "server.pem")
    return folder


def test_certificates_are_checked(amiwright, tmp_path, certificates):
    """Of the service and of STS; the bundle is named by environment or profile."""
    (tmp_path / "config").write_text("[default]\nsource_profile = default\n" + ROLE + KEYS)
    with Surroundings(STATIC, tls=(certificates / "server.pem", certificates / "server.key")) as server:
        env = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_REGION": "eu-west-1", "HOME": str(tmp_path),
               "AWS_ENDPOINT_URL": server.url}
        amiwright("images", env={**env, "AWS_CA_BUNDLE": str(certificates / "ca.pem")})
        assert server.calls("sts") and server.calls("ec2")
        seen = len(server.seen)
        for bundle in (str(certificates / "other.pem"), None):
            more = {"AWS_CA_BUNDLE": bundle} if bundle else {}
            result = amiwright("images", "--max-attempts", "1", status=1, env={**env, **more})
            assert "certificate" in result.stderr
        result = amiwright("images", "--max-attempts", "1", status=1,
                           env={**env, "AWS_CA_BUNDLE": str(certificates / "ca.pem"),
                                "AWS_ENDPOINT_URL": server.url.replace("localhost", "127.0.0.1")})
        assert "127.0.0.1" in result.stderr
        assert len(server.seen) == seen and not server.faults
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {certificates / 'ca.pem'}\n" + KEYS)
        amiwright("images", env=env)
