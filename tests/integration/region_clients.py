# SPDX-License-Identifier: Apache-2.0
"""What the tests of the local region share: blocks and their digests, snapshots and images made of them, refusals."""
import base64
import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions

BLOCK = 512 << 10
ZERO = bytes(BLOCK)


def text_block(name):
    line = f"stackd-ebs-synthetic-{name}\n".encode()
    return (line * (BLOCK // len(line) + 1))[:BLOCK]


A, B, C = map(text_block, "abc")


def digest(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def aggregate(blocks):
    """blocks: {index: content}."""
    return digest(b"".join(hashlib.sha256(blocks[i]).digest() for i in sorted(blocks)))


def put(ebs, snapshot, index, data, checksum=None, **more):
    return ebs.put_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockData=data,
                                  DataLength=more.pop("length", len(data)),
                                  Checksum=checksum or digest(data), ChecksumAlgorithm="SHA256", **more)


def complete(ebs, snapshot, count, checksum=None):
    trio = dict(Checksum=checksum, ChecksumAlgorithm="SHA256", ChecksumAggregationMethod="LINEAR")
    return ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=count, **(trio if checksum else {}))


def make(ebs, blocks, size=1, **more):
    """A completed snapshot with these blocks."""
    snapshot = ebs.start_snapshot(VolumeSize=size, **more)["SnapshotId"]
    for index, data in blocks.items():
        put(ebs, snapshot, index, data)
    complete(ebs, snapshot, len(blocks), aggregate(blocks))
    return snapshot


class refused:
    """The call inside must fail with this status, code and text."""

    def __init__(self, status, code, text="", reason=None):
        self.want, self.text, self.reason = (status, code), text, reason

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert kind and issubclass(kind, botocore.exceptions.ClientError), "it was not refused"
        answer = error.response
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == self.want, answer
        assert self.text in answer["Error"]["Message"], answer
        assert self.reason is None or answer["Reason"] == self.reason, answer
        return True


def register(ec2, snapshot, **more):
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, **more.pop("ebs", {})}}
    options = dict(Name=f"image {os.urandom(6).hex()}", Architecture="x86_64", VirtualizationType="hvm",
                   RootDeviceName="/dev/xvda", BlockDeviceMappings=[root, *more.pop("others", [])])
    return ec2.register_image(**{**options, **more})["ImageId"]


def query(server, action, profile="default", region="us-east-1", service="ec2", version="2016-11-15", keys=None,
          **params):
    """A call of the Query API by its wire names, for what an older botocore does not know: the answer's elements
    without namespaces; (status, code) when it was refused. "." is written "__"."""
    fields = {"Action": action, "Version": version, **{k.replace("__", "."): v for k, v in params.items()}}
    body = urllib.parse.urlencode(fields).encode()
    request = botocore.awsrequest.AWSRequest("POST", server.endpoint + "/", data=body, headers={
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*(keys or server.credentials(profile))),
                                     service, region)
    signer.add_auth(request)
    sent = urllib.request.Request(server.endpoint + "/", data=body, headers=dict(request.headers.items()))
    try:
        with urllib.request.urlopen(sent) as answer:
            root = xml.etree.ElementTree.fromstring(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, xml.etree.ElementTree.fromstring(error.read()).findtext(".//Code")
    for element in root.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
    return root
