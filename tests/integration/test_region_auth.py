# SPDX-License-Identifier: Apache-2.0
"""Signatures that the local region must refuse: requests signed by botocore by hand, then spoiled."""
import datetime
import hashlib
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from region_clients import A, BLOCK, digest, refused


def raw(region, service, method, path, body=b"", headers=None, change=None, scope=("us-east-1", None), when=None):
    """A request signed by botocore by hand; `change` may spoil its headers after that. (status, code, text)"""
    request = botocore.awsrequest.AWSRequest(method, region.endpoint + path, headers=dict(headers or {}), data=body)
    credentials = botocore.credentials.Credentials(*region.credentials())
    signer = botocore.auth.SigV4Auth(credentials, scope[1] or service, scope[0])
    if when:
        real = botocore.auth.datetime
        fixed = datetime.datetime.utcnow() + when
        botocore.auth.datetime = type("D", (), {"datetime": type("T", (), {
            "utcnow": staticmethod(lambda: fixed), "strptime": real.datetime.strptime})})
        try:
            signer.add_auth(request)
        finally:
            botocore.auth.datetime = real
    else:
        signer.add_auth(request)
    sent = dict(request.headers.items())
    if change:
        change(sent)
    try:
        with urllib.request.urlopen(urllib.request.Request(region.endpoint + path, data=body or None, headers=sent,
                                                           method=method)) as answer:
            return answer.status, None, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("x-amzn-ErrorType"), error.read().decode()


FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
QUERY = b"Action=DescribeImages&Version=2016-11-15"


def test_wrong_credentials(region):
    access, secret = region.credentials()
    wrong = dict(aws_access_key_id=access, aws_secret_access_key="x" * 40)
    with refused(403, "InvalidSignatureException", "The request signature we calculated does not match"):
        region.client("ebs", keys=wrong).start_snapshot(VolumeSize=1)
    with refused(403, "SignatureDoesNotMatch"):
        region.client("ec2", keys=wrong).describe_images()
    unknown = dict(aws_access_key_id="AKIAUNKNOWNUNKNOWNUN", aws_secret_access_key=secret)
    with refused(403, "UnrecognizedClientException", "The security token included in the request is invalid."):
        region.client("ebs", keys=unknown).start_snapshot(VolumeSize=1)
    with refused(401, "AuthFailure"):
        region.client("ec2", keys=unknown).describe_images()


def test_expired_and_future_signatures(region):
    old = datetime.timedelta(minutes=-16)
    status, code, text = raw(region, "ebs", "GET", "/snapshots/snap-0123456789abcdef0/blocks", when=old)
    assert (status, code) == (403, "InvalidSignatureException") and "Signature expired: " in text
    assert "- 15 min.)" in text
    status, _, text = raw(region, "ec2", "POST", "/", QUERY, FORM, when=old)
    assert status == 400 and "<Code>RequestExpired</Code>" in text
    status, code, text = raw(region, "ebs", "GET", "/snapshots/snap-0123456789abcdef0/blocks", when=-old)
    assert (status, code) == (403, "InvalidSignatureException") and "Signature not yet current" in text
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, when=datetime.timedelta(minutes=-13))[0] == 200


def test_signatures_that_do_not_cover(region):
    def later(headers):
        headers["x-amz-extra"] = "1"

    def spoiled_hash(headers):
        headers["X-Amz-Content-SHA256"] = hashlib.sha256(b"other").hexdigest()

    def none(headers):
        del headers["Authorization"]

    def broken(headers):
        headers["Authorization"] = headers["Authorization"].replace("Signature=", "Signature=0")

    def other_day(headers):
        headers["X-Amz-Date"] = "20200101T000000Z"

    assert raw(region, "ec2", "POST", "/", QUERY, FORM)[0] == 200
    status, _, text = raw(region, "ec2", "POST", "/", QUERY, FORM, change=later)
    assert status == 403 and "'x-amz-extra' must be a 'SignedHeader'" in text.lower().replace("signedh", "SignedH")
    hashed = dict(FORM, **{"X-Amz-Content-SHA256": hashlib.sha256(QUERY).hexdigest()})
    assert raw(region, "ec2", "POST", "/", QUERY, hashed)[0] == 200
    assert raw(region, "ec2", "POST", "/", QUERY, hashed, change=spoiled_hash)[0] == 403
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, change=none)[0] == 401
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, change=broken)[0] == 400
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, change=other_day)[0] == 403
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, scope=("mars-north-1", None))[0] == 403
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, scope=("us-east-1", "ebs"))[0] == 403
    path = "/snapshots/snap-0123456789abcdef0/blocks"
    assert raw(region, "ebs", "GET", path, change=none)[:2] == (403, "MissingAuthenticationTokenException")


def test_checksum_headers_may_be_unsigned(region, ebs):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]

    def add(headers):
        headers.update({"x-amz-Checksum": digest(A), "x-amz-Checksum-Algorithm": "SHA256"})

    status, _, text = raw(region, "ebs", "PUT", f"/snapshots/{snapshot}/blocks/0", A,
                          {"x-amz-Data-Length": str(BLOCK)}, change=add)
    assert status == 201, text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"VolumeSize": "1"}', b'{"VolumeSize": 0}',
                                  b'{"VolumeSize": 65537}', b'{"VolumeSize": 1, "Timeout": 5}', b"\xff\xfe",
                                  b'{"VolumeSize": 1, "Tags": 7}', b'{"VolumeSize": 1, "Encrypted": "yes"}',
                                  b'{"VolumeSize": 1, "ClientToken": "a b"}', b"[" * 100000])
def test_start_with_a_damaged_body(region, body):
    status, code, _ = raw(region, "ebs", "POST", "/snapshots", body, {"Content-Type": "application/json"})
    assert status == 400 and code in ("SerializationException", "ValidationException")


def test_unknown_paths_and_parameters(region):
    assert raw(region, "ebs", "DELETE", "/snapshots/snap-01")[0] == 404
    assert raw(region, "ebs", "GET", "/elsewhere")[0] == 404
    assert raw(region, "ebs", "GET", "/snapshots/..%2f..%2fetc/blocks")[0] == 400
    status, _, text = raw(region, "ec2", "POST", "/", QUERY + b"&Colour=red", FORM)
    assert status == 400 and "<Code>UnknownParameter</Code>" in text
