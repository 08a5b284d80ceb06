# SPDX-License-Identifier: Apache-2.0
"""The local region under clients that are not ours: the aws command, boto3, and requests signed by botocore by hand."""
import base64
import datetime
import hashlib
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import pytest

from region_server import RegionServer

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


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("region") / "r") as server:
        yield server


def client(region, service, **keys):
    access, secret = region.credentials()
    return boto3.client(service, endpoint_url=region.endpoint, region_name="us-east-1",
                        aws_access_key_id=keys.get("access", access),
                        aws_secret_access_key=keys.get("secret", secret),
                        config=botocore.config.Config(retries={"total_max_attempts": 1}, parameter_validation=False,
                                                      signature_version="v4"))


@pytest.fixture
def ebs(region):
    return client(region, "ebs")


@pytest.fixture
def ec2(region):
    return client(region, "ec2")


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


# The aws command: each that is installed.
AWS = sorted({path for path in ("/usr/bin/aws", shutil.which("aws")) if path and os.access(path, os.X_OK)})


@pytest.fixture(params=AWS)
def aws(request, region):
    def run(*args, check=True):
        result = subprocess.run([request.param, "--endpoint-url", region.endpoint, "--output", "json",
                                 *map(str, args)], capture_output=True, text=True, env=region.env())
        if check:
            assert result.returncode == 0, result.stderr
            return json.loads(result.stdout) if result.stdout.strip() else None
        assert result.returncode != 0
        return result.stderr
    return run


def test_aws_command_whole_flow(aws, tmp_path):
    (tmp_path / "block").write_bytes(A)
    name = f"flow-{os.urandom(6).hex()}"
    snapshot = aws("ebs", "start-snapshot", "--volume-size", 1, "--description", 'two "words" & é',
                   "--tags", "Key=Name,Value=flow")["SnapshotId"]
    sent = ("--snapshot-id", snapshot, "--block-data", tmp_path / "block", "--data-length", BLOCK,
            "--checksum-algorithm", "SHA256")
    stderr = aws("ebs", "put-snapshot-block", *sent, "--block-index", 0, "--checksum", digest(B), check=False)
    assert "InvalidSignatureException" in stderr and f"expected checksum: {digest(B)}" in stderr
    answer = aws("ebs", "put-snapshot-block", *sent, "--block-index", 0, "--checksum", digest(A))
    assert answer["Checksum"] == digest(A)
    assert aws("ec2", "describe-snapshots", "--snapshot-ids", snapshot)["Snapshots"][0]["State"] == "pending"
    aws("ebs", "complete-snapshot", "--snapshot-id", snapshot, "--changed-blocks-count", 1, "--checksum",
        aggregate({0: A}), "--checksum-algorithm", "SHA256", "--checksum-aggregation-method", "LINEAR")
    shown = aws("ec2", "describe-snapshots", "--snapshot-ids", snapshot)["Snapshots"][0]
    assert (shown["State"], shown["Progress"], shown["VolumeId"]) == ("completed", "100%", "vol-ffffffff")
    assert shown["Description"] == 'two "words" & é' and shown["Tags"] == [{"Key": "Name", "Value": "flow"}]
    listed = aws("ebs", "list-snapshot-blocks", "--snapshot-id", snapshot)
    assert [b["BlockIndex"] for b in listed["Blocks"]] == [0] and listed["BlockSize"] == BLOCK
    got = aws("ebs", "get-snapshot-block", "--snapshot-id", snapshot, "--block-index", 0, "--block-token",
              listed["Blocks"][0]["BlockToken"], tmp_path / "got")
    assert got["Checksum"] == digest(A) and (tmp_path / "got").read_bytes() == A
    image = aws("ec2", "register-image", "--name", name, "--architecture", "x86_64", "--virtualization-type", "hvm",
                "--ena-support", "--root-device-name", "/dev/xvda", "--boot-mode", "uefi", "--block-device-mappings",
                json.dumps([{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}},
                            {"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}]))["ImageId"]
    shown = aws("ec2", "describe-images", "--owners", "self", "--filters", f"Name=name,Values={name[:-3]}*")["Images"]
    assert [i["ImageId"] for i in shown] == [image] and shown[0]["BootMode"] == "uefi"
    assert shown[0]["BlockDeviceMappings"] == [
        {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 1, "VolumeType": "gp3",
                                            "Encrypted": False, "DeleteOnTermination": True}},
        {"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}]
    aws("ec2", "create-tags", "--resources", image, snapshot, "--tags", "Key=team,Value=platform")
    assert aws("ec2", "describe-images", "--filters", "Name=tag:team,Values=plat*",
               f"Name=image-id,Values={image}")["Images"][0]["Tags"] == [{"Key": "team", "Value": "platform"}]
    assert "InvalidSnapshot.InUse" in aws("ec2", "delete-snapshot", "--snapshot-id", snapshot, check=False)
    aws("ec2", "deregister-image", "--image-id", image)
    assert aws("ec2", "describe-images", "--image-ids", image)["Images"] == []
    aws("ec2", "delete-snapshot", "--snapshot-id", snapshot)
    assert "InvalidSnapshot.NotFound" in aws("ec2", "describe-snapshots", "--snapshot-ids", snapshot, check=False)


def test_known_aggregate_and_content_file(region, ebs, ec2):
    """The vector that AWS accepted; and the .img is the volume."""
    blocks = {0: B, 3: A, 7: ZERO, 2047: C}
    assert aggregate(blocks) == "Pq34jf4xh07iqiQpo/morRl/xL06mqy1ERimH+Hypi8="
    snapshot = make(ebs, blocks)
    assert ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed"
    assert [b["BlockIndex"] for b in ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]] == [0, 3, 7, 2047]
    path = region.folder / "snapshots" / f"{snapshot}.img"
    assert path.stat().st_size == 1 << 30 and path.stat().st_blocks * 512 < 4 * BLOCK
    assert path.stat().st_mode & 0o777 == 0o444
    with open(path, "rb") as f:
        for index in (0, 1, 3, 7, 2047):
            f.seek(index * BLOCK)
            assert f.read(BLOCK) == blocks.get(index, ZERO)


@pytest.mark.parametrize("count,checksum,message", [
    (2, None, "Changed blocks count mismatch for snapshot"),
    (1, digest(b"".join([digest(A).encode()])), "Checksum mismatch for snapshot"),
])
def test_completion_that_fails(ebs, ec2, count, checksum, message):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, snapshot, 0, A)
    complete(ebs, snapshot, count, checksum)
    shown = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
    assert (shown["State"], shown["StateMessage"]) == ("error", message)
    assert complete(ebs, snapshot, 1)["Status"] == "error"
    with refused(404, "ResourceNotFoundException", reason="SNAPSHOT_NOT_FOUND"):
        ebs.list_snapshot_blocks(SnapshotId=snapshot)


def test_completion_again_and_put_after_it(ebs):
    snapshot = make(ebs, {0: A})
    assert complete(ebs, snapshot, 77)["Status"] == "completed"
    with refused(400, "ValidationException", "Snapshot is already completed", "INVALID_SNAPSHOT_ID"):
        put(ebs, snapshot, 1, A)


def test_completion_parameters(ebs):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused(400, "ValidationException", reason="INVALID_PARAMETER_VALUE"):
        ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0, Checksum=digest(b""))
    assert complete(ebs, snapshot, 0)["Status"] == "pending"


def test_put_refusals(ebs):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused(403, "InvalidSignatureException",
                 "The value passed in as x-amz-Checksum does not match the computed checksum. "
                 f"Computed checksum: {digest(A)} expected checksum: {digest(B)}"):
        put(ebs, snapshot, 0, A, digest(B))
    with refused(400, "ValidationException", "Block index 2048 is beyond the volume size extent", "INVALID_BLOCK"):
        put(ebs, snapshot, 2048, A)
    with refused(400, "ValidationException", "Block data length 1 is not valid, expected 524288", "INVALID_BLOCK"):
        put(ebs, snapshot, 0, A, length=1)
    with refused(400, "ValidationException", "Failed to read block data", "INVALID_PARAMETER_VALUE"):
        put(ebs, snapshot, 0, b"short", length=BLOCK)
    with refused(404, "ResourceNotFoundException", "The snapshot 'snap-0123456789abcdef0' does not exist.",
                 "SNAPSHOT_NOT_FOUND"):
        put(ebs, "snap-0123456789abcdef0", 0, A)
    assert complete(ebs, snapshot, 0)["Status"] == "pending"


def test_last_write_wins(ebs, region):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    for data in (A, B, ZERO, C, A, ZERO):
        put(ebs, snapshot, 5, data)
    put(ebs, snapshot, 6, ZERO)
    put(ebs, snapshot, 6, B)
    complete(ebs, snapshot, 2, aggregate({5: ZERO, 6: B}))
    listed = ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]
    got = {b["BlockIndex"]: ebs.get_snapshot_block(SnapshotId=snapshot, **b)["BlockData"].read() for b in listed}
    assert got == {5: ZERO, 6: B}


def test_client_tokens(ebs):
    token = f"tok-{os.urandom(8).hex()}"
    first = ebs.start_snapshot(VolumeSize=2, ClientToken=token, Description="d")
    complete(ebs, first["SnapshotId"], 0)
    again = ebs.start_snapshot(VolumeSize=2, ClientToken=token, Description="d")
    for answer in (first, again):
        answer.pop("ResponseMetadata")
    assert again == first and again["Status"] == "pending"
    with refused(409, "ConflictException", "Current request does not match request stored with this token."):
        ebs.start_snapshot(VolumeSize=3, ClientToken=token, Description="d")


def test_start_encryption(ebs, ec2):
    key = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
    snapshot = ebs.start_snapshot(VolumeSize=1, KmsKeyArn=key)
    assert snapshot["KmsKeyArn"] == key
    assert ec2.describe_snapshots(SnapshotIds=[snapshot["SnapshotId"]])["Snapshots"][0]["Encrypted"] is True
    assert ebs.start_snapshot(VolumeSize=1, Encrypted=True)["KmsKeyArn"].startswith("arn:aws:kms:us-east-1:")
    with refused(400, "ValidationException"):
        ebs.start_snapshot(VolumeSize=1, Encrypted=False, KmsKeyArn=key)
    parent = make(ebs, {0: A})
    with refused(400, "ValidationException"):
        ebs.start_snapshot(VolumeSize=1, Encrypted=True, ParentSnapshotId=parent)


def test_parent_and_changed_blocks(ebs, ec2, region):
    parent = make(ebs, {0: A, 1: B, 9: C})
    pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused(400, "ValidationException", f"Source snapshot ({pending}) is not complete.", "INVALID_SNAPSHOT_ID"):
        ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=pending)
    child = ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=parent)["SnapshotId"]
    put(ebs, child, 1, C)
    put(ebs, child, 9, ZERO)
    put(ebs, child, 3000, A)
    ec2.delete_snapshot(SnapshotId=parent)
    with refused(400, "InvalidSnapshot.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[parent])
    complete(ebs, child, 3, aggregate({1: C, 9: ZERO, 3000: A}))
    want = {0: A, 1: C, 9: ZERO, 3000: A}
    listed = ebs.list_snapshot_blocks(SnapshotId=child)["Blocks"]
    assert {b["BlockIndex"]: ebs.get_snapshot_block(SnapshotId=child, **b)["BlockData"].read() for b in listed} == want
    assert not list((region.folder / "snapshots").glob(f"{parent}.*"))
    grandchild = ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=child)["SnapshotId"]
    put(ebs, grandchild, 0, A)
    put(ebs, grandchild, 2, B)
    complete(ebs, grandchild, 2)
    changed = ebs.list_changed_blocks(FirstSnapshotId=child, SecondSnapshotId=grandchild)["ChangedBlocks"]
    assert [(b["BlockIndex"], "FirstBlockToken" in b, "SecondBlockToken" in b) for b in changed] == [(2, False, True)]
    with refused(400, "ValidationException", reason="UNRELATED_SNAPSHOTS"):
        ebs.list_changed_blocks(FirstSnapshotId=make(ebs, {0: A}), SecondSnapshotId=grandchild)
    with refused(400, "ValidationException", "First snapshot should not be empty or null", "INVALID_SNAPSHOT_ID"):
        ebs.list_changed_blocks(SecondSnapshotId=grandchild)


def test_list_pages_and_tokens(ebs):
    snapshot = make(ebs, {i * 3: ZERO for i in range(250)})
    seen, token = [], {}
    for expected in (100, 100, 50):
        page = ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100, **token)
        assert len(page["Blocks"]) == expected
        seen += page["Blocks"]
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
        assert all(len(b["BlockToken"]) <= 256 for b in page["Blocks"])
    assert token is None and [b["BlockIndex"] for b in seen] == [i * 3 for i in range(250)]
    assert 6 < (page["ExpiryTime"] - datetime.datetime.now(datetime.timezone.utc)).days + 1 <= 7
    starting = ebs.list_snapshot_blocks(SnapshotId=snapshot, StartingBlockIndex=700)["Blocks"]
    assert [b["BlockIndex"] for b in starting] == list(range(702, 750, 3))
    assert ebs.list_snapshot_blocks(SnapshotId=snapshot, StartingBlockIndex=99999)["Blocks"] == []
    for wrong in (99, 10001):
        with refused(400, "ValidationException", f"1 validation error detected: Value '{wrong}' at 'maxResults' failed"):
            ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=wrong)
    with refused(400, "ValidationException", reason="INVALID_PAGE_TOKEN"):
        ebs.list_snapshot_blocks(SnapshotId=snapshot, NextToken="AAAA")
    with refused(400, "ValidationException", reason="INVALID_BLOCK_TOKEN"):
        ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=3, BlockToken=seen[0]["BlockToken"])
    with refused(400, "ValidationException", reason="INVALID_BLOCK_TOKEN"):
        ebs.get_snapshot_block(SnapshotId=make(ebs, {0: A}), BlockIndex=0, BlockToken=seen[0]["BlockToken"])


def test_pending_is_not_read(ebs):
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused(404, "ResourceNotFoundException", reason="SNAPSHOT_NOT_FOUND"):
        ebs.list_snapshot_blocks(SnapshotId=snapshot)


def register(ec2, snapshot, **more):
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, **more.pop("ebs", {})}}
    options = dict(Name=f"image {os.urandom(6).hex()}", Architecture="x86_64", VirtualizationType="hvm",
                   RootDeviceName="/dev/xvda", BlockDeviceMappings=[root, *more.pop("others", [])])
    return ec2.register_image(**{**options, **more})["ImageId"]


def test_register_refusals(ebs, ec2):
    snapshot = make(ebs, {0: A}, size=2)
    pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    unknown = "snap-0123456789abcdef0"
    with refused(400, "InvalidAMIName.Malformed"):
        register(ec2, snapshot, Name="a*b")
    with refused(400, "InvalidAMIName.Malformed"):
        register(ec2, snapshot, Name="n" * 129)
    with refused(400, "InvalidSnapshotID.NotFound", f"The snapshot ID '{unknown}' does not exist"):
        register(ec2, unknown)
    with refused(400, "IncorrectState", pending):
        register(ec2, pending)
    with refused(400, "InvalidBlockDeviceMapping", "No root snapshot specified in device mapping."):
        register(ec2, snapshot, RootDeviceName="/dev/sda1")
    with refused(400, "InvalidBlockDeviceMapping", "is smaller than snapshot"):
        register(ec2, snapshot, ebs={"VolumeSize": 1})
    with refused(400, "InvalidParameter", "Parameter encrypted is invalid. You cannot specify the encrypted flag if "
                 "specifying a snapshot id in a block device mapping."):
        register(ec2, snapshot, ebs={"Encrypted": False})
    with refused(400, "InvalidParameterCombination", "iops"):
        register(ec2, snapshot, ebs={"Iops": 3000})
    with refused(400, "MissingParameter", "iops"):
        register(ec2, snapshot, ebs={"VolumeType": "io2", "VolumeSize": 4})
    with refused(400, "InvalidParameterCombination", "throughput"):
        register(ec2, snapshot, ebs={"Throughput": 125})
    with refused(400, "InvalidParameterValue"):
        register(ec2, snapshot, ebs={"VolumeType": "gp9"})
    with refused(400, "InvalidParameterCombination", "tpmSupport"):
        register(ec2, snapshot, TpmSupport="v2.0", BootMode="uefi-preferred")
    with refused(400, "MissingParameter", "size or snapshotId"):
        register(ec2, snapshot, others=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeType": "gp3"}}])
    with refused(400, "InvalidBlockDeviceMapping", "more than one"):
        register(ec2, snapshot, others=[{"DeviceName": "/dev/xvda", "VirtualName": "ephemeral0"}])
    with refused(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."):
        register(ec2, snapshot, DryRun=True)
    with refused(400, "InvalidAMIName.Malformed"):
        register(ec2, snapshot, DryRun=True, Name="x")


def test_register_and_describe_in_full(ebs, ec2):
    snapshot = make(ebs, {0: A})
    name = f"full {os.urandom(6).hex()}"
    image = register(ec2, snapshot, Name=name, Description="d & <e>", EnaSupport=True, SriovNetSupport="simple",
                     BootMode="uefi", TpmSupport="v2.0", ImdsSupport="v2.0",
                     ebs={"VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "VolumeSize": 9,
                          "DeleteOnTermination": False},
                     others=[{"DeviceName": "/dev/sdb", "NoDevice": ""},
                             {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 5, "Encrypted": True}}])
    with refused(400, "InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image}"):
        register(ec2, snapshot, Name=name)
    shown = ec2.describe_images(ImageIds=[image])["Images"][0]
    owner = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["OwnerId"]
    want = dict(ImageId=image, Name=name, Description="d & <e>", State="available", Public=False, EnaSupport=True,
                SriovNetSupport="simple", BootMode="uefi", TpmSupport="v2.0", ImdsSupport="v2.0", Hypervisor="xen",
                Architecture="x86_64", VirtualizationType="hvm", RootDeviceName="/dev/xvda", RootDeviceType="ebs",
                ImageLocation=f"{owner}/{name}", OwnerId=owner, ImageType="machine", PlatformDetails="Linux/UNIX",
                UsageOperation="RunInstances")
    assert {key: shown.get(key) for key in want} == want
    assert shown["BlockDeviceMappings"] == [
        {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 9, "VolumeType": "gp3", "Iops": 4000,
                                            "Throughput": 250, "Encrypted": False, "DeleteOnTermination": False}},
        {"DeviceName": "/dev/sdb", "NoDevice": ""},
        {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 5, "VolumeType": "gp2", "Encrypted": True,
                                           "DeleteOnTermination": True}}]
    datetime.datetime.strptime(shown["CreationDate"], "%Y-%m-%dT%H:%M:%S.000Z")


def test_describe_images_selection(ebs, ec2):
    snapshot, mark = make(ebs, {0: A}), os.urandom(6).hex()
    images = {register(ec2, snapshot, Name=f"{mark}-{i}") for i in range(12)}
    named = [{"Name": "name", "Values": [f"{mark}-?", f"{mark}-1*"]}]
    assert {i["ImageId"] for i in ec2.describe_images(Filters=named, Owners=["self"])["Images"]} == images
    assert ec2.describe_images(Filters=named, Owners=["amazon"])["Images"] == []
    by_mapping = [{"Name": "block-device-mapping.snapshot-id", "Values": [snapshot]}]
    assert len(ec2.describe_images(Filters=by_mapping)["Images"]) == 12
    with refused(400, "InvalidParameterValue", "The filter 'colour' is invalid"):
        ec2.describe_images(Filters=[{"Name": "colour", "Values": ["red"]}])
    with refused(400, "InvalidAMIID.NotFound"):
        ec2.describe_images(ImageIds=["ami-0123456789abcdef0"])
    with refused(400, "InvalidAMIID.Malformed", 'Invalid id: "ami-x"'):
        ec2.describe_images(ImageIds=["ami-x"])
    if "MaxResults" in ec2.meta.service_model.operation_model("DescribeImages").input_shape.members:
        seen = [[i["ImageId"] for i in page["Images"]] for page in ec2.get_paginator("describe_images").paginate(
            Filters=named, PaginationConfig={"PageSize": 5})]
        assert [len(page) for page in seen] == [5, 5, 2] and set(sum(seen, [])) == images
        with refused(400, "InvalidParameterValue", "Expecting a value greater than 5"):
            ec2.describe_images(MaxResults=4)


def test_describe_snapshots_selection(ebs, ec2):
    mark = os.urandom(6).hex()
    ids = [ebs.start_snapshot(VolumeSize=1, Description=mark, Tags=[{"Key": "mark", "Value": mark}])["SnapshotId"]
           for _ in range(7)]
    complete(ebs, ids[0], 0)
    for filters in ([{"Name": "description", "Values": [mark]}], [{"Name": "tag:mark", "Values": [mark[:4] + "*"]}]):
        assert {s["SnapshotId"] for s in ec2.describe_snapshots(Filters=filters)["Snapshots"]} == set(ids)
    done = filters + [{"Name": "status", "Values": ["completed"]}]
    assert [s["SnapshotId"] for s in ec2.describe_snapshots(Filters=done, OwnerIds=["self"])["Snapshots"]] == ids[:1]
    pages = ec2.get_paginator("describe_snapshots").paginate(Filters=filters, PaginationConfig={"PageSize": 5})
    assert [len(page["Snapshots"]) for page in pages] == [5, 2]


def test_deregister_and_delete(ebs, ec2):
    snapshot = make(ebs, {0: A})
    image = register(ec2, snapshot)
    with refused(400, "InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {image}"):
        ec2.delete_snapshot(SnapshotId=snapshot)
    ec2.deregister_image(ImageId=image)
    with refused(400, "InvalidAMIID.Unavailable", f"The image ID '{image}' is no longer available"):
        ec2.deregister_image(ImageId=image)
    ec2.delete_snapshot(SnapshotId=snapshot)
    with refused(400, "InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist."):
        ec2.delete_snapshot(SnapshotId=snapshot)


def test_tags(ebs, ec2):
    snapshot = ebs.start_snapshot(VolumeSize=1, Tags=[{"Key": "a", "Value": "1"}])["SnapshotId"]
    tags = lambda: {t["Key"]: t["Value"] for t in
                    ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0].get("Tags", [])}
    ec2.create_tags(Resources=[snapshot], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}])
    assert tags() == {"a": "2", "b": ""}
    ec2.delete_tags(Resources=[snapshot], Tags=[{"Key": "a", "Value": "other"}, {"Key": "b"}])
    assert tags() == {"a": "2"}
    described = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [snapshot]}])["Tags"]
    assert described == [{"ResourceId": snapshot, "ResourceType": "snapshot", "Key": "a", "Value": "2"}]
    with refused(400, "InvalidAMIID.NotFound"):
        ec2.create_tags(Resources=["ami-0123456789abcdef0"], Tags=[{"Key": "a", "Value": "1"}])


def test_account_calls(ec2):
    assert ec2.describe_regions()["Regions"][0]["RegionName"] == "us-east-1"
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    with refused(400, "InvalidAction", "The action DescribeVpcs is not valid for this web service."):
        ec2.describe_vpcs()


def test_wrong_credentials(region):
    wrong = dict(secret="x" * 40)
    with refused(403, "InvalidSignatureException", "The request signature we calculated does not match"):
        client(region, "ebs", **wrong).start_snapshot(VolumeSize=1)
    with refused(403, "SignatureDoesNotMatch"):
        client(region, "ec2", **wrong).describe_images()
    unknown = dict(access="AKIAUNKNOWNUNKNOWNUN")
    with refused(403, "UnrecognizedClientException", "The security token included in the request is invalid."):
        client(region, "ebs", **unknown).start_snapshot(VolumeSize=1)
    with refused(401, "AuthFailure"):
        client(region, "ec2", **unknown).describe_images()


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
    assert raw(region, "ec2", "POST", "/", QUERY, FORM, scope=("eu-west-1", None))[0] == 403
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


def test_kill_and_go_on(tmp_path):
    """State survives kill -9 in the middle of an upload, credentials and account too."""
    server = RegionServer(tmp_path / "r").start()
    ebs = client(server, "ebs")
    token = "resumed"
    snapshot = ebs.start_snapshot(VolumeSize=1, ClientToken=token)["SnapshotId"]
    put(ebs, snapshot, 0, A)
    put(ebs, snapshot, 1, B)
    put(ebs, snapshot, 1, C)
    done = make(ebs, {4: C})
    credentials = server.credentials()
    server.stop(signal.SIGKILL)
    with open(tmp_path / "r/snapshots" / f"{snapshot}.img", "r+b") as content:
        content.seek(3 * BLOCK)
        content.write(b"written, and killed before the record")
    with open(tmp_path / "r/snapshots" / f"{snapshot}.map", "ab") as records:
        records.write(b"torn")
    with server:
        assert server.credentials() == credentials
        ebs, ec2 = client(server, "ebs"), client(server, "ec2")
        assert ebs.start_snapshot(VolumeSize=1, ClientToken=token)["SnapshotId"] == snapshot
        put(ebs, snapshot, 2, A)
        complete(ebs, snapshot, 3, aggregate({0: A, 1: C, 2: A}))
        image = register(ec2, snapshot)
        server.stop(signal.SIGKILL)
        server.start()
        ebs, ec2 = client(server, "ebs"), client(server, "ec2")
        assert ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available"
        for one, want in ((snapshot, {0: A, 1: C, 2: A}), (done, {4: C})):
            listed = ebs.list_snapshot_blocks(SnapshotId=one)["Blocks"]
            assert {b["BlockIndex"]: ebs.get_snapshot_block(SnapshotId=one, **b)["BlockData"].read()
                    for b in listed} == want
        with open(tmp_path / "r/snapshots" / f"{snapshot}.img", "rb") as content:
            content.seek(3 * BLOCK)
            assert content.read(BLOCK) == ZERO
    assert not (tmp_path / "r/endpoint").exists()
