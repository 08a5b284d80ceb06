# SPDX-License-Identifier: Apache-2.0
"""`iam-policy --bundle` and `--object` against the calls that are made: none without its right, no right without a call."""
import fnmatch
import json
import os
import re
import urllib.parse

import pytest

from pass_on import PassOn
from s3_bundle import Bundle, make_bucket
from test_bundle_s3 import client, write


class Witness(PassOn):
    """Passes requests on and notes the (action, resource) that each needs."""

    def __init__(self, endpoint):
        super().__init__(endpoint)
        self.asked = set()

    def handle(self, method, path, headers, body):
        self.asked |= set(self.needs(method, path, headers, body))
        return self.forward(method, path, headers, body)

    @staticmethod
    def needs(method, path, headers, body):
        """"Required permissions for Amazon S3 API operations", S3 User Guide."""
        url = urllib.parse.urlsplit(path)
        bucket, _, key = urllib.parse.unquote(url.path[1:]).partition("/")
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        if not bucket:
            form = dict(urllib.parse.parse_qsl(body.decode()))
            if form["Action"] == "GetCallerIdentity":
                return
            yield f"ec2:{form['Action']}", "*" if form["Action"].startswith("Describe") else "arn:aws:ec2:us-east-1::image/ami-1"
            if any(k.startswith("TagSpecification") for k in form):
                yield "ec2:CreateTags", "arn:aws:ec2:us-east-1::image/ami-1"
        elif not key:
            yield "s3:GetBucketLocation" if "location" in query else "s3:ListBucket", f"arn:aws:s3:::{bucket}"
        else:
            arn = f"arn:aws:s3:::{bucket}/{key}"
            if method == "DELETE":
                yield "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", arn
            elif "acl" in query:
                yield "s3:PutObjectAcl", arn
            else:
                yield "s3:GetObject" if method in ("GET", "HEAD") else "s3:PutObject", arn
            if "x-amz-acl" in headers:
                yield "s3:PutObjectAcl", arn


@pytest.fixture
def witness(region):
    with Witness(region.endpoint) as proxy:
        yield proxy


@pytest.fixture
def program(amiwright, region, witness):
    amiwright.use(region, witness.endpoint)
    return amiwright


def matches(resource, arn):
    """As IAM: * and ? are wild, ${*}, ${?} and ${$} are not."""
    tokens = re.split(r"(\$\{[*?$]\})", resource)
    pattern = "".join({"${*}": "[*]", "${?}": "[?]", "${$}": "$"}.get(t, t) for t in tokens)
    return fnmatch.fnmatchcase(arn, pattern)


def compare(policy, asked, spare=()):
    allowed = [(a, s["Resource"]) for s in policy["Statement"] for a in s["Action"]]
    for action, arn in asked:
        assert any(action == a and matches(r, arn) for a, r in allowed), (action, arn)
    assert {a for a, _ in allowed} - {a for a, _ in asked} == set(spare)


def test_bundles(program, region, witness, tmp_path):
    s3 = client(region)
    bucket = make_bucket(s3)
    manifest = write(Bundle(region.account(), 4), tmp_path / "b")
    location = program("upload-bundle", manifest, f"s3://{bucket}/web").stdout.strip()
    program("upload-bundle", manifest, f"s3://{bucket}/web")
    program("download-bundle", location, "-o", "back")
    ami = program("register", "--name", f"p-{bucket}", "--manifest", location, "--tag", "a=b").stdout.strip()
    compare(program.json("iam-policy", "--bundle", f"s3://{bucket}/web"), witness.asked, ["s3:GetBucketLocation"])
    program("upload-bundle", manifest, f"s3://{bucket}/web", "--force")
    region.client("ec2").deregister_image(ImageId=ami)
    program("delete-bundle", location)
    compare(program.json("iam-policy", "--bundle", f"s3://{bucket}/web/", "--cleanup"), witness.asked,
            ["s3:GetBucketLocation"])
    elsewhere = program.json("iam-policy", "--bundle", f"s3://{bucket}/we")
    with pytest.raises(AssertionError):
        compare(elsewhere, witness.asked)


def test_object(program, region, witness, tmp_path):
    s3 = client(region)
    bucket, key = make_bucket(s3), "a*b?${x}/disk é.raw"
    (tmp_path / "d.raw").write_bytes(os.urandom(17 << 20))
    program("convert", "d.raw", f"s3://{bucket}/{key}")
    policy = program.json("iam-policy", "--object", f"s3://{bucket}/{key}")
    compare(policy, witness.asked, ["s3:GetBucketLocation", "s3:AbortMultipartUpload"])
    assert policy["Statement"][1]["Resource"] == f"arn:aws:s3:::{bucket}/a${{*}}b${{?}}${{$}}{{x}}/disk é.raw"


def test_usage(program):
    for args in ([], ["spec.yaml", "--bundle", "s3://bucket"], ["--bundle", "s3://b-x", "--object", "s3://b-x/y"],
                 ["--object", "s3://b-x"], ["--object", "s3://b-x/y", "--cleanup"], ["--bundle", "https://b-x"]):
        program("iam-policy", *args, status=2)
