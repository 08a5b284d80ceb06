# SPDX-License-Identifier: Apache-2.0
"""The local region under clients that are not ours: snapshots by the aws command and boto3, and a killed server."""
import datetime
import json
import os
import shutil
import signal
import subprocess

import pytest

from region_clients import A, B, BLOCK, C, ZERO, aggregate, complete, digest, make, put, refused, register
from region_server import RegionServer


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

# The command takes its time to start: one of it does, and calls that boto3's tests do not show.
@pytest.mark.parametrize("aws", AWS[:1], indirect=True)
def test_aws_command_shares_and_copies(aws, region):
    """A launch permission, and another account's copy into another Region under its key."""
    mine, other = region.client("ec2"), region.account("second")
    snapshot = make(region.client("ebs"), {0: A})
    image = register(mine, snapshot)
    mine.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"UserId": other}]})
    aws("ec2", "modify-image-attribute", "--image-id", image, "--launch-permission", f"Add=[{{UserId={other}}}]")
    there = ("--profile", "second", "--region", "eu-west-1")
    key = region.client("kms", "second", "eu-west-1").create_key()["KeyMetadata"]["Arn"]
    copy = aws("ec2", "copy-image", "--name", f"copy-{os.urandom(6).hex()}", "--source-image-id", image,
               "--source-region", "us-east-1", "--encrypted", "--kms-key-id", key, *there)["ImageId"]
    seen = region.client("ec2", "second", "eu-west-1").describe_images(ImageIds=[copy])["Images"][0]
    assert seen["State"] == "available" and seen["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
    one = aws("ec2", "copy-snapshot", "--source-region", "us-east-1", "--source-snapshot-id", snapshot, *there)
    assert one["SnapshotId"].startswith("snap-")


@pytest.mark.parametrize("aws", AWS[:1], indirect=True)
def test_aws_command_s3(aws, region, tmp_path):
    (tmp_path / "part").write_bytes(A)
    bucket = f"b-{os.urandom(6).hex()}"
    region.client("s3").create_bucket(Bucket=bucket)
    aws("s3api", "put-object", "--bucket", bucket, "--key", "x/part.0", "--body", tmp_path / "part")
    aws("s3api", "get-object", "--bucket", bucket, "--key", "x/part.0", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == A


def test_known_aggregate_and_content_file(region, ebs, ec2):
    """The vector that AWS accepted; and the .img is the volume."""
    blocks = {0: B, 3: A, 7: ZERO, 2047: C}
    assert aggregate(blocks) == "Pq34jf4xh07iqiQpo/morRl/xL06mqy1ERimH+Hypi8="
    snapshot = make(ebs, blocks)
    assert ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed"
    assert [b["BlockIndex"] for b in ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]] == [0, 3, 7, 2047]
    path = region.content(snapshot)
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


def test_start_encryption(region, ebs, ec2):
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
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
    assert not list(region.folder.glob(f"regions/*/snapshots/{parent}.*"))
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


def test_kill_and_go_on(tmp_path):
    """State survives kill -9 in the middle of an upload, credentials and account too."""
    server = RegionServer(tmp_path / "r").start()
    ebs = server.client("ebs")
    token = "resumed"
    snapshot = ebs.start_snapshot(VolumeSize=1, ClientToken=token)["SnapshotId"]
    put(ebs, snapshot, 0, A)
    put(ebs, snapshot, 1, B)
    put(ebs, snapshot, 1, C)
    done = make(ebs, {4: C})
    credentials = server.credentials()
    server.stop(signal.SIGKILL)
    with open(server.content(snapshot), "r+b") as content:
        content.seek(3 * BLOCK)
        content.write(b"written, and killed before the record")
    with open(server.content(snapshot, ext="map"), "ab") as records:
        records.write(b"torn")
    with server:
        assert server.credentials() == credentials
        ebs, ec2 = server.client("ebs"), server.client("ec2")
        assert ebs.start_snapshot(VolumeSize=1, ClientToken=token)["SnapshotId"] == snapshot
        put(ebs, snapshot, 2, A)
        complete(ebs, snapshot, 3, aggregate({0: A, 1: C, 2: A}))
        image = register(ec2, snapshot)
        server.stop(signal.SIGKILL)
        server.start()
        ebs, ec2 = server.client("ebs"), server.client("ec2")
        assert ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available"
        for one, want in ((snapshot, {0: A, 1: C, 2: A}), (done, {4: C})):
            listed = ebs.list_snapshot_blocks(SnapshotId=one)["Blocks"]
            assert {b["BlockIndex"]: ebs.get_snapshot_block(SnapshotId=one, **b)["BlockData"].read()
                    for b in listed} == want
        with open(server.content(snapshot), "rb") as content:
            content.seek(3 * BLOCK)
            assert content.read(BLOCK) == ZERO
    assert not (tmp_path / "r/endpoint").exists()


@pytest.mark.parametrize("encrypted", [False, True])
def test_volume_of_a_snapshot(region, ebs, amiwright, tmp_path, encrypted):
    """Absent blocks: zeros, or random bytes that no reader of blocks is shown; zeros that were sent stay zeros."""
    snapshot = make(ebs, {0: A, 5: ZERO, 2047: C}, Encrypted=encrypted)
    export = lambda name: amiwright("serve", region.folder, "--volume", snapshot, "-o", name)
    ec2 = region.client("ec2")
    assert ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed"
    assert export("volume").stdout == "volume\n"
    assert (tmp_path / "volume").stat().st_size == 1 << 30
    with open(tmp_path / "volume", "rb") as volume:
        block = lambda index: (volume.seek(index * BLOCK), volume.read(BLOCK))[1]
        assert (block(0), block(5), block(2047)) == (A, ZERO, C)
        absent = [block(1), block(2), block(2046)]
    if not encrypted:
        assert absent == [ZERO] * 3 and (tmp_path / "volume").stat().st_blocks * 512 < 8 * BLOCK
        return
    assert all(len(set(data)) == 256 and abs(sum(data) / len(data) - 127.5) < 1 for data in absent)
    assert len(set(absent)) == 3
    assert [b["BlockIndex"] for b in ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]] == [0, 5, 2047]
    pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    for wrong in (pending, "snap-0123456789abcdef0", "../x"):
        amiwright("serve", region.folder, "--volume", wrong, "-o", "none", status=2)
    assert not (tmp_path / "none").exists()
