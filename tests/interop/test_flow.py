# SPDX-License-Identifier: Apache-2.0
"""The way of an image through a local region, gone by clients that others wrote, ours between them: what one writes the
others read, byte for byte."""
import datetime
import hashlib
import json
import os

import pytest

from clients import Refused, Unknown
from region_clients import A, B, BLOCK, C, ZERO, aggregate, digest

HERE, THERE = "us-east-1", "eu-west-1"


def put(client, snapshot, index, data, checksum=None):
    return client.call("ebs", "PutSnapshotBlock", SnapshotId=snapshot, BlockIndex=index, BlockData=data,
                       DataLength=len(data), Checksum=checksum or digest(data), ChecksumAlgorithm="SHA256")


def write(client, blocks, **start):
    """A completed snapshot of blocks, in the order given; a list has a block more than once: the last counts."""
    snapshot = client.call("ebs", "StartSnapshot", **{"VolumeSize": 1, **start})["SnapshotId"]
    for index, data in blocks:
        put(client, snapshot, index, data)
    final = dict(blocks)
    client.call("ebs", "CompleteSnapshot", SnapshotId=snapshot, ChangedBlocksCount=len(final),
                Checksum=aggregate(final), ChecksumAlgorithm="SHA256", ChecksumAggregationMethod="LINEAR")
    client.call("ec2", "wait:SnapshotCompleted", SnapshotIds=[snapshot])
    return snapshot


def read(client, snapshot, **where):
    """{index: content}."""
    listed = client.call("ebs", "ListSnapshotBlocks", SnapshotId=snapshot, **where)
    assert listed["BlockSize"] == BLOCK
    blocks = {}
    for block in listed["Blocks"]:
        got = client.call("ebs", "GetSnapshotBlock", SnapshotId=snapshot, BlockIndex=block["BlockIndex"],
                          BlockToken=block["BlockToken"], **where)
        assert got["Checksum"] == digest(got["BlockData"]) and int(got["DataLength"]) == BLOCK
        blocks[block["BlockIndex"]] = got["BlockData"]
    return blocks


def register(client, snapshot, name, **more):
    """`mapping` goes behind the root."""
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}
    mapping = [root, *more.pop("mapping", [])]
    return client.call("ec2", "RegisterImage", **{**dict(
        Name=name, Architecture="x86_64", VirtualizationType="hvm", RootDeviceName="/dev/xvda",
        BlockDeviceMappings=mapping), **more})["ImageId"]


def image_of(client, image, **where):
    return client.call("ec2", "DescribeImages", ImageIds=[image], **where)["Images"][0]


def snapshot_of(client, image, **where):
    return image_of(client, image, **where)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


def code(call, *args, **params):
    """What a call is refused with."""
    with pytest.raises(Refused) as refused:
        call(*args, **params)
    return refused.value.code


def tags(resource):
    return {t["Key"]: t["Value"] for t in resource.get("Tags", [])}


def test_blocks(client, amiwright, tmp_path):
    """Out of order, one rewritten; then a child with its changes; ours reads both."""
    blocks = [(9, B), (2047, C), (0, ZERO), (3, A), (0, A), (4, ZERO)]
    snapshot = client.call("ebs", "StartSnapshot", VolumeSize=1, Description='a "b" <c> & é',
                           Tags=[{"Key": "Name", "Value": "interop"}], Timeout=60)
    assert snapshot["Status"] == "pending" and snapshot["BlockSize"] == BLOCK
    snapshot = snapshot["SnapshotId"]
    assert code(put, client, snapshot, 0, A, digest(B)) == "InvalidSignatureException"
    assert code(put, client, snapshot, 2048, A) == "ValidationException"
    for index, data in blocks:
        assert put(client, snapshot, index, data)["Checksum"] == digest(data)
    final = dict(blocks)
    client.call("ebs", "CompleteSnapshot", SnapshotId=snapshot, ChangedBlocksCount=len(final), ChecksumAlgorithm="SHA256",
                Checksum=aggregate(final), ChecksumAggregationMethod="LINEAR")
    client.call("ec2", "wait:SnapshotCompleted", SnapshotIds=[snapshot])
    (shown,) = client.call("ec2", "DescribeSnapshots", SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["Progress"], shown["VolumeSize"], shown["Encrypted"]) == ("completed", "100%", 1, False)
    assert shown["Description"] == 'a "b" <c> & é' and tags(shown) == {"Name": "interop"}
    assert read(client, snapshot) == final

    child = write(client, [(9, ZERO), (5, B), (3, A)], ParentSnapshotId=snapshot)
    changed = client.call("ebs", "ListChangedBlocks", FirstSnapshotId=snapshot, SecondSnapshotId=child)["ChangedBlocks"]
    sides = {b["BlockIndex"]: ("FirstBlockToken" in b, "SecondBlockToken" in b) for b in changed}
    assert sides[9] == (True, True) and sides[5] == (False, True) and not sides.keys() & {0, 2047}
    token = next(b["FirstBlockToken"] for b in changed if b["BlockIndex"] == 9)
    for wrong in (dict(SnapshotId=child, BlockIndex=9), dict(SnapshotId=snapshot, BlockIndex=3)):
        assert code(client.call, "ebs", "GetSnapshotBlock", BlockToken=token, **wrong) == "ValidationException"

    for one, content in ((snapshot, final), (child, {**final, 9: ZERO, 5: B})):
        amiwright("download", one, tmp_path / one)
        amiwright("verify", one, tmp_path / one)
        assert (tmp_path / one).stat().st_size == 1 << 30
        with open(tmp_path / one, "rb") as image:
            for index in (*content, 1, 2046):
                image.seek(index * BLOCK)
                assert image.read(BLOCK) == content.get(index, ZERO), index
    assert [line.split("\t")[0] for line in amiwright("diff", snapshot, child, "--by-content", status=1).splitlines()] == \
        ["5..5", "9..9"]


def test_failed_completion(client):
    """The 202 comes all the same; the state says it."""
    snapshot = client.call("ebs", "StartSnapshot", VolumeSize=1)["SnapshotId"]
    put(client, snapshot, 0, A)
    client.call("ebs", "CompleteSnapshot", SnapshotId=snapshot, ChangedBlocksCount=2)
    (shown,) = client.call("ec2", "DescribeSnapshots", SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["StateMessage"]) == ("error", "Changed blocks count mismatch for snapshot")
    assert code(client.call, "ebs", "ListSnapshotBlocks", SnapshotId=snapshot) == "ResourceNotFoundException"


@pytest.fixture(scope="session")
def disk(tmp_path_factory):
    """A disk image with data, zeros and a hole."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with open(path, "wb") as f:
        f.write(os.urandom(BLOCK + 4096))
        f.truncate(20 * BLOCK)
        f.seek(17 * BLOCK)
        f.write(ZERO + b"end")
    return path


@pytest.fixture(scope="session")
def written(clients, amiwright, disk):
    """{writer: (snapshot, content)}: ours among the writers."""
    made = {}
    for name, client in clients.items():
        blocks = [(7, hashlib.sha512(name.encode()).digest() * (BLOCK // 64))]
        made[name] = write(client, blocks, ClientToken=f"written-by-{name}"), dict(blocks)
    content = disk.read_bytes()
    pieces = {i: content[i * BLOCK:(i + 1) * BLOCK].ljust(BLOCK, b"\0") for i in range(-(-len(content) // BLOCK))}
    made["amiwright"] = amiwright("upload", disk, "--skip", "zeros").strip(), {
        i: data for i, data in pieces.items() if data != ZERO}
    return made


def test_each_reads_what_all_wrote(client, written):
    for writer, (snapshot, content) in written.items():
        assert read(client, snapshot) == content, writer


def test_ours_reads_what_all_wrote(written, amiwright, tmp_path):
    for writer, (snapshot, content) in written.items():
        amiwright("download", snapshot, tmp_path / writer)
        with open(tmp_path / writer, "rb") as image:
            for index in (*content, 1000):
                image.seek(index * BLOCK)
                assert image.read(BLOCK) == content.get(index, ZERO), (writer, index)


def test_a_token_is_everyones(client, written):
    """The snapshot that a token stands for is the same whoever repeats the call; another request is refused."""
    for writer in ("javascript", "aws"):
        again = dict(VolumeSize=1, ClientToken=f"written-by-{writer}")
        assert client.call("ebs", "StartSnapshot", **again)["SnapshotId"] == written[writer][0]
    assert code(client.call, "ebs", "StartSnapshot", **{**again, "VolumeSize": 2}) == "ConflictException"


def pages(client, service, operation, key, **params):
    """What all pages have, and how much each has."""
    found, sizes, token = [], [], {}
    while token is not None:
        page = client.call(service, operation, **params, **token)
        found += page[key]
        sizes.append(len(page[key]))
        token = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
    return found, sizes


@pytest.fixture(scope="session")
def large(amiwright, tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.raw"
    with open(path, "wb") as f:
        for index in range(250):
            f.seek(3 * index * BLOCK)
            f.write(b"%d" % index)
    return amiwright("upload", path, "--skip", "zeros").strip()


def test_pages(client, large):
    listed, sizes = pages(client, "ebs", "ListSnapshotBlocks", "Blocks", SnapshotId=large, MaxResults=100)
    assert sizes == [100, 100, 50] and [b["BlockIndex"] for b in listed] == list(range(0, 750, 3))


SPEC = """\
name: NAME
version: "1"
architecture: x86_64
epoch: 1735689600
root:
  - write: {path: /etc/motd, content: "golden\\n"}
disks:
  - device: /dev/xvda
    table: gpt
    partitions:
      - {name: root, type: root, filesystem: ext4, mount: /, size: 64M}
    ebs: {type: gp3, iops: 3500, throughput: 200}
  - {device: /dev/sdh, empty: true, size: 2G}
  - {device: /dev/sdf, ephemeral: 0}
ami: {tags: {team: platform}}
"""


@pytest.fixture(scope="session")
def published(amiwright, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spec")
    (folder / "spec.yaml").write_text(SPEC.replace("NAME", "interop-published"))
    amiwright("build", folder / "spec.yaml", "-o", folder / "image.raw")
    return amiwright("publish", folder / "spec.yaml").strip(), folder / "image.raw"


def test_what_publish_makes(client, published):
    ami, path = published
    (image,) = client.call("ec2", "DescribeImages", Owners=["self"], Filters=[
        {"Name": "tag:team", "Values": ["platf*"]}, {"Name": "name", "Values": ["interop-publish?d-*"]}])["Images"]
    assert image["ImageId"] == ami and image["State"] == "available" and tags(image)["team"] == "platform"
    root, data, ephemeral = image["BlockDeviceMappings"]
    assert root["DeviceName"] == image["RootDeviceName"] == "/dev/xvda"
    assert (root["Ebs"]["VolumeType"], root["Ebs"]["Iops"], root["Ebs"]["Throughput"]) == ("gp3", 3500, 200)
    assert data["DeviceName"] == "/dev/sdh" and data["Ebs"]["VolumeSize"] == 2 and "SnapshotId" not in data["Ebs"]
    assert ephemeral == {"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}
    content = path.read_bytes()
    for index, block in read(client, root["Ebs"]["SnapshotId"]).items():
        assert content[index * BLOCK:(index + 1) * BLOCK].ljust(BLOCK, b"\0") == block, index


def test_image_with_a_full_mapping(client, written, amiwright, name):
    snapshot = written["javascript"][0]
    image = register(client, snapshot, name, Description="all & <more>", EnaSupport=True, BootMode="uefi",
                     ImdsSupport="v2.0", TpmSupport="v2.0", mapping=[
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250,
                                           "Encrypted": True, "DeleteOnTermination": False}},
        {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 100, "VolumeType": "io2", "Iops": 900}},
        {"DeviceName": "/dev/sdd", "VirtualName": "ephemeral1"},
        {"DeviceName": "/dev/sde", "NoDevice": ""}])
    client.call("ec2", "wait:ImageAvailable", ImageIds=[image])
    shown = image_of(client, image)
    assert (shown["State"], shown["Name"], shown["Description"]) == ("available", name, "all & <more>")
    assert (shown["BootMode"], shown["ImdsSupport"], shown["TpmSupport"]) == ("uefi", "v2.0", "v2.0")
    assert shown["EnaSupport"] is True and shown["Public"] is False and shown["RootDeviceType"] == "ebs"
    by_device = {m["DeviceName"]: m for m in shown["BlockDeviceMappings"]}
    assert list(by_device) == ["/dev/xvda", "/dev/sdb", "/dev/sdc", "/dev/sdd", "/dev/sde"]
    assert by_device["/dev/xvda"]["Ebs"] == {"SnapshotId": snapshot, "VolumeSize": 1, "VolumeType": "gp2",
                                             "Encrypted": False, "DeleteOnTermination": True}
    sdb = by_device["/dev/sdb"]["Ebs"]
    assert (sdb["VolumeType"], sdb["Iops"], sdb["Throughput"], sdb["Encrypted"], sdb["DeleteOnTermination"]) == \
        ("gp3", 4000, 250, True, False)
    assert by_device["/dev/sdd"]["VirtualName"] == "ephemeral1" and by_device["/dev/sde"]["NoDevice"] == ""
    ours = json.loads(amiwright("images", "--id", image, "--json"))["images"][0]
    assert ours["ami"] == image and ours["name"] == name and len(ours["mapping"]) == 5
    assert code(register, client, snapshot, name) == "InvalidAMIName.Duplicate"
    assert code(register, client, snapshot, name + "2", RootDeviceName="/dev/sda1") == "InvalidBlockDeviceMapping"
    assert code(register, client, "snap-0123456789abcdef0", name + "2") == "InvalidSnapshotID.NotFound"
    assert code(register, client, snapshot, name + "2", DryRun=True) == "DryRunOperation"


def test_tags(client, written, name):
    snapshot = written["javascript"][0]
    image = register(client, snapshot, name)
    client.call("ec2", "CreateTags", Resources=[image, snapshot],
                Tags=[{"Key": "path/é & +", "Value": "a b%c~"}, {"Key": name, "Value": ""}])
    assert tags(image_of(client, image)) == {"path/é & +": "a b%c~", name: ""}
    (found,) = client.call("ec2", "DescribeImages", Filters=[{"Name": "tag-key", "Values": [name]}])["Images"]
    assert found["ImageId"] == image
    client.call("ec2", "DeleteTags", Resources=[image, snapshot], Tags=[{"Key": name}])
    assert tags(image_of(client, image)) == {"path/é & +": "a b%c~"}
    try:
        tagged = register(client, snapshot, name + "-t", TagSpecifications=[
            {"ResourceType": "image", "Tags": [{"Key": "born", "Value": "with"}]}])
    except Unknown:
        return  # of 2024
    assert tags(image_of(client, tagged)) == {"born": "with"}


def test_copy_to_another_region_under_a_key(client, amiwright, name, tmp_path):
    key = client.call("kms", "CreateKey", region=THERE, Description=name)["KeyMetadata"]["Arn"]
    client.call("kms", "CreateAlias", region=THERE, AliasName=f"alias/{name}", TargetKeyId=key)
    snapshot = write(client, [(1, A), (0, B)])
    image = register(client, snapshot, name)
    copy = client.call("ec2", "CopyImage", region=THERE, Name=name, SourceImageId=image, SourceRegion=HERE,
                       Encrypted=True, KmsKeyId=f"alias/{name}", ClientToken=name)["ImageId"]
    client.call("ec2", "wait:ImageAvailable", region=THERE, ImageIds=[copy])
    assert code(image_of, client, copy) == "InvalidAMIID.NotFound"
    copied = snapshot_of(client, copy, region=THERE)
    (shown,) = client.call("ec2", "DescribeSnapshots", region=THERE, SnapshotIds=[copied])["Snapshots"]
    assert (shown["State"], shown["Encrypted"], shown["KmsKeyId"]) == ("completed", True, key)
    assert read(client, copied, region=THERE) == {0: B, 1: A}
    amiwright("download", copied, tmp_path / "copy", region=THERE)
    assert (tmp_path / "copy").read_bytes()[:2 * BLOCK] == B + A
    # Ours finds it where it looks for its own copies only by their tag.
    client.call("ec2", "CreateTags", region=THERE, Resources=[copy],
                Tags=[{"Key": "amiwright:copy-of", "Value": f"{HERE}/{image}"}])
    assert amiwright("copy", image, "--to", THERE, "--kms-key", key).split() == [THERE, copy]


def test_copy_snapshot(client):
    """The client makes the presigned URL; an encrypted source is refused without one."""
    snapshot = write(client, [(5, C)], Encrypted=True)
    copy = client.call("ec2", "CopySnapshot", region=THERE, SourceRegion=HERE, SourceSnapshotId=snapshot,
                       Description="from here", TagSpecifications=[
                           {"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}])["SnapshotId"]
    client.call("ec2", "wait:SnapshotCompleted", region=THERE, SnapshotIds=[copy])
    (shown,) = client.call("ec2", "DescribeSnapshots", region=THERE, SnapshotIds=[copy])["Snapshots"]
    assert shown["Encrypted"] is True and shown["Description"] == "from here" and tags(shown) == {"k": "v"}
    assert read(client, copy, region=THERE) == {5: C}


def test_shared_with_another_account(client, region, amiwright, name):
    other = region.account("second")
    snapshot = write(client, [(3, B)])
    image = register(client, snapshot, name)
    permission = dict(Attribute="createVolumePermission", SnapshotId=snapshot, UserIds=[other])
    assert code(image_of, client, image, profile="second") == "InvalidAMIID.NotFound"
    client.call("ec2", "ModifyImageAttribute", ImageId=image, LaunchPermission={"Add": [{"UserId": other}]})
    client.call("ec2", "ModifySnapshotAttribute", OperationType="add", **permission)
    assert f"{image} account {other}" in amiwright("share", image, "--account", other)  # ours sees it as it is
    shown = client.call("ec2", "DescribeImageAttribute", ImageId=image, Attribute="launchPermission")
    assert shown["LaunchPermissions"] == [{"UserId": other}]
    theirs = client.call("ec2", "DescribeImages", profile="second", ExecutableUsers=["self"],
                         Filters=[{"Name": "name", "Values": [name]}])["Images"]
    assert [(i["ImageId"], i["OwnerId"]) for i in theirs] == [(image, region.account())]
    assert read(client, snapshot, profile="second") == {3: B}
    copy = client.call("ec2", "CopyImage", profile="second", region="us-west-2", Name=name, SourceImageId=image,
                       SourceRegion=HERE)["ImageId"]
    client.call("ec2", "wait:ImageAvailable", profile="second", region="us-west-2", ImageIds=[copy])
    copied = snapshot_of(client, copy, profile="second", region="us-west-2")
    assert read(client, copied, profile="second", region="us-west-2") == {3: B}
    client.call("ec2", "ModifySnapshotAttribute", OperationType="remove", **permission)
    client.call("ec2", "ResetImageAttribute", ImageId=image, Attribute="launchPermission")
    assert code(image_of, client, image, profile="second") == "InvalidAMIID.NotFound"
    assert code(read, client, snapshot, profile="second") == "ResourceNotFoundException"
    assert image_of(client, copy, profile="second", region="us-west-2")["OwnerId"] == other


def protect(client, image):
    """Protection against deregistration, on and off, for a client that has it."""
    try:
        client.call("ec2", "EnableImageDeregistrationProtection", ImageId=image)
    except Unknown:
        return False
    assert code(client.call, "ec2", "DeregisterImage", ImageId=image) == "OperationNotPermitted"
    assert image_of(client, image)["DeregistrationProtection"] == "enabled-without-cooldown"
    client.call("ec2", "DisableImageDeregistrationProtection", ImageId=image)
    return True


def test_end_of_life(client, name, request):
    snapshot = write(client, [(0, A)])
    image = register(client, snapshot, name)
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=100)
    client.call("ec2", "EnableImageDeprecation", ImageId=image, DeprecateAt=at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert image_of(client, image)["DeprecationTime"] == at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    client.call("ec2", "DisableImageDeprecation", ImageId=image)
    assert code(client.call, "ec2", "DeleteSnapshot", SnapshotId=snapshot) == "InvalidSnapshot.InUse"
    if protect(client, image):
        answer = client.call("ec2", "DeregisterImage", ImageId=image, DeleteAssociatedSnapshots=True)
        assert answer["DeleteSnapshotResults"] == [{"SnapshotId": snapshot, "ReturnCode": "success"}]
    else:
        assert "debian" in request.node.name, "only Debian's clients are that old"
        client.call("ec2", "DeregisterImage", ImageId=image)
        client.call("ec2", "DeleteSnapshot", SnapshotId=snapshot)
    assert client.call("ec2", "DescribeImages", ImageIds=[image])["Images"] == []
    assert code(client.call, "ec2", "DeregisterImage", ImageId=image) == "InvalidAMIID.Unavailable"
    assert code(client.call, "ec2", "DescribeSnapshots", SnapshotIds=[snapshot]) == "InvalidSnapshot.NotFound"


def test_identities(client, region):
    assert client.call("sts", "GetCallerIdentity")["Account"] == region.account()
    other = region.account("second")
    answer = client.call("sts", "AssumeRole", RoleArn=f"arn:aws:iam::{other}:role/publisher", RoleSessionName="interop",
                         DurationSeconds=900)["Credentials"]
    keys = [answer[k] for k in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    shown = client.call("sts", "GetCallerIdentity", keys=keys)
    assert shown["Arn"] == f"arn:aws:sts::{other}:assumed-role/publisher/interop"
    snapshot = client.call("ebs", "StartSnapshot", keys=keys, VolumeSize=1)
    assert snapshot["OwnerId"] == other
    assert code(client.call, "sts", "GetCallerIdentity", keys=[*keys[:2], keys[2][:-4] + "AAAA"]) == "InvalidClientTokenId"
    assert code(client.call, "sts", "GetCallerIdentity", keys=[keys[0], "x" * 40, keys[2]]) == "SignatureDoesNotMatch"


def test_account_settings_and_regions(client):
    regions = {r["RegionName"] for r in client.call("ec2", "DescribeRegions")["Regions"]}
    assert {HERE, THERE, "us-west-2"} <= regions
    where = dict(profile="second", region="ap-south-1")
    assert client.call("ec2", "EnableEbsEncryptionByDefault", **where)["EbsEncryptionByDefault"] is True
    try:
        assert client.call("ebs", "StartSnapshot", VolumeSize=1, **where)["KmsKeyArn"].startswith("arn:aws:kms:ap-south-1:")
    finally:
        client.call("ec2", "DisableEbsEncryptionByDefault", **where)
    assert client.call("ec2", "GetEbsEncryptionByDefault", **where)["EbsEncryptionByDefault"] is False
