# SPDX-License-Identifier: Apache-2.0
"""What the local region does before a request is whole: crowds of half requests, refusals by the head alone."""
import base64
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from region_clients import A, refused
from region_server import RegionServer

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
LIST = "/snapshots/snap-0123456789abcdef0/blocks"


def address(region):
    host, port = region.endpoint.removeprefix("http://").split(":")
    return host, int(port)


def connect(region, data=b""):
    s = socket.create_connection(address(region), timeout=20)
    s.sendall(data)
    return s


def signed(region, method, path, service, headers=(), body=b"", secret=None):
    """Headers of a request as botocore signs it."""
    access, right = region.credentials()
    request = botocore.awsrequest.AWSRequest(method, region.endpoint + path, headers=dict(headers), data=body)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(access, secret or right), service,
                            "us-east-1").add_auth(request)
    return {**dict(request.headers.items()), "Host": "%s:%d" % address(region)}


def head(method, path, headers):
    return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in headers.items()), "\r\n"]).encode()


def answer_of(s):
    """Status and text of the answer, which may come without the request's body having been sent."""
    answer = http.client.HTTPResponse(s)
    answer.begin()
    return answer.status, answer.read().decode()


@pytest.fixture
def own(tmp_path):
    with RegionServer(tmp_path / "r") as server:
        yield server


@pytest.fixture
def bucket(region):
    name = f"b-{os.urandom(6).hex()}"
    region.client("s3").create_bucket(Bucket=name)
    return name


def spooled(server):
    """Bytes that the server holds in files without a name."""
    folder = f"/proc/{server.process.pid}/fd"
    total = 0
    for fd in os.listdir(folder):
        try:
            if os.readlink(f"{folder}/{fd}").endswith("(deleted)"):
                total += os.stat(f"{folder}/{fd}").st_size
        except FileNotFoundError:
            pass
    return total


def test_a_thousand_half_requests_lock_nobody_out(own):
    aws = shutil.which("aws")
    crowd = [connect(own, HALF) for _ in range(1000)]
    started = time.monotonic()
    assert own.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    if aws:
        subprocess.run([aws, "--endpoint-url", own.endpoint, "ec2", "describe-images", "--owners", "self"],
                       env=own.env(), check=True, capture_output=True, timeout=60)
    for s in crowd[-100:]:  # those that came last may still be there, and go on one byte at a time
        try:
            s.sendall(b"x")
        except OSError:
            pass
    crowd += [connect(own, HALF) for _ in range(300)]
    assert own.client("ec2").describe_images(Owners=["self"])["Images"] == []
    assert time.monotonic() - started < 60
    own.stop()  # with the crowd outside
    for s in crowd:
        s.close()


def test_a_crowd_of_half_bodies(own):
    """Unsigned bodies that are let pass by are no way in either."""
    text = head("PUT", "/b/k", {"Host": "h", "Content-Length": 1000}) + b"half"
    crowd = [connect(own, text) for _ in range(1000)]
    assert own.client("ec2").describe_images(Owners=["self"])["Images"] == []
    for s in crowd:
        s.close()


def test_a_crowd_does_not_disturb_who_is_known(own):
    """A connection that brought a signed request outlives a thousand that did not."""
    known = http.client.HTTPConnection(*address(own), timeout=20)

    def ask():
        known.request("GET", LIST, headers=signed(own, "GET", LIST, "ebs"))
        answer = known.getresponse()
        return answer.status, answer.read()

    assert ask()[0] == 404
    local = known.sock.getsockname()
    crowd = [connect(own, HALF) for _ in range(1000)]
    assert ask()[0] == 404 and known.sock.getsockname() == local
    for s in crowd:
        s.close()


@pytest.mark.parametrize("expect", [True, False])
@pytest.mark.parametrize("how,status,code", [
    ("unsigned", 403, "SignatureDoesNotMatch"), ("wrong", 403, "SignatureDoesNotMatch"),
    ("nobody", 403, "InvalidAccessKeyId"), ("no digest", 400, "InvalidRequest"), ("old", 403, "RequestTimeTooSkewed")])
def test_large_upload_is_refused_by_its_head(region, bucket, how, status, code, expect):
    """The answer comes though not a byte of the gigabyte does."""
    headers = {"X-Amz-Content-SHA256": hashlib.sha256(b"x").hexdigest()}
    headers = {} if how == "no digest" else headers
    headers = signed(region, "PUT", f"/{bucket}/k", "s3", headers,
                     secret="x" * 40 if how in ("wrong", "nobody") else None)
    if how == "unsigned":
        headers["Authorization"] = headers["Authorization"][:-64] + "0" * 64
    if how == "nobody":
        headers["Authorization"] = headers["Authorization"].replace(region.credentials()[0], "AKIANOBODY")
    if how == "old":
        day = "20200101"
        headers["Authorization"] = headers["Authorization"].replace(headers["X-Amz-Date"][:8], day)
        headers["X-Amz-Date"] = f"{day}T000000Z"
    headers["Content-Length"] = 1 << 30
    if expect:
        headers["Expect"] = "100-continue"
    with connect(region, head("PUT", f"/{bucket}/k", headers)) as s:
        got, text = answer_of(s)
    assert got == status and f"<Code>{code}</Code>" in text


def test_nothing_of_a_refused_body_is_kept(own):
    name = f"b-{os.urandom(6).hex()}"
    own.client("s3").create_bucket(Bucket=name)
    path, digest = f"/{name}/k", hashlib.sha256(bytes(500_000)).hexdigest()
    for secret, kept in ((None, 400_000), ("x" * 40, 0)):
        headers = signed(own, "PUT", path, "s3", {"X-Amz-Content-SHA256": digest}, secret=secret)
        with connect(own, head("PUT", path, {**headers, "Content-Length": 500_000}) + bytes(400_000)) as s:
            for _ in range(100):
                if spooled(own) == kept and kept:
                    break
                time.sleep(0.02)
            assert spooled(own) == kept
            s.sendall(bytes(100_000))
            assert answer_of(s)[0] == (200 if kept else 403)


def test_small_refused_body_keeps_the_line(region, bucket):
    """Who does not wait for leave gets the answer after the body, and may go on."""
    line = http.client.HTTPConnection(*address(region), timeout=20)
    path = f"/{bucket}/k"
    line.request("PUT", path, body=A, headers=signed(region, "PUT", path, "s3", {
        "X-Amz-Content-SHA256": hashlib.sha256(A).hexdigest()}, secret="x" * 40))
    answer = line.getresponse()
    assert answer.status == 403 and b"SignatureDoesNotMatch" in answer.read()
    local = line.sock.getsockname()
    line.request("GET", LIST)
    assert line.getresponse().status == 403 and line.sock.getsockname() == local


def test_leave_is_given_to_the_signed(region, bucket):
    body, path = os.urandom(2 << 20), f"/{bucket}/k"
    headers = signed(region, "PUT", path, "s3", {"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()})
    with connect(region, head("PUT", path, {**headers, "Content-Length": len(body), "Expect": "100-continue"})) as s:
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(body)
        assert answer_of(s)[0] == 200
    with connect(region, head("PUT", path, {**headers, "Content-Length": len(body), "Expect": "100-continue"})) as s:
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(body[1:] + b"?")
        status, text = answer_of(s)
    assert status == 400 and "<Code>XAmzContentSHA256Mismatch</Code>" in text
    assert region.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_foreign_clients_understand_the_refusal(region, bucket, tmp_path):
    """boto3 and the aws command (which wait for leave), and curl (which waits with some bodies only)."""
    access = region.credentials()[0]
    body = tmp_path / "body"
    body.write_bytes(os.urandom(12 << 20))
    s3 = region.client("s3", keys=dict(aws_access_key_id=access, aws_secret_access_key="x" * 40))
    for size in (1000, 12 << 20):
        with refused(403, "SignatureDoesNotMatch"):
            s3.put_object(Bucket=bucket, Key="k", Body=body.read_bytes()[:size])
    ebs = region.client("ebs", keys=dict(aws_access_key_id=access, aws_secret_access_key="x" * 40))
    with refused(403, "InvalidSignatureException"):
        ebs.put_snapshot_block(SnapshotId="snap-0123456789abcdef0", BlockIndex=0, BlockData=A, DataLength=len(A),
                               Checksum=base64.b64encode(hashlib.sha256(A).digest()).decode(),
                               ChecksumAlgorithm="SHA256")
    if shutil.which("aws"):
        env = {**region.env(), "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": "x" * 40}
        result = subprocess.run(["aws", "--endpoint-url", region.endpoint, "s3api", "put-object", "--bucket", bucket,
                                 "--key", "k", "--body", body], env=env, capture_output=True, text=True)
        assert result.returncode != 0 and "SignatureDoesNotMatch" in result.stderr
    if shutil.which("curl"):
        for more in ([], ["-H", "Expect:"]):
            result = subprocess.run(["curl", "-s", "-S", "--upload-file", body, "-w", "%{http_code}", *more,
                                     "-H", "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/"
                                     f"aws4_request, SignedHeaders=host, Signature={'0' * 64}",
                                     "-H", "X-Amz-Date: 20260101T000000Z", f"{region.endpoint}/{bucket}/k"],
                                    capture_output=True, text=True, check=True)
            assert result.stdout.endswith("403") and "InvalidAccessKeyId" in result.stdout
