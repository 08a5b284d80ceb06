# SPDX-License-Identifier: Apache-2.0
"""Our client against moto, which others wrote: what it has must agree with us. What it lacks, or takes where AWS refuses,
is asserted as it is: a newer moto that knows better shows red, and the test can be made to use it."""
import json
import os
import re
import socket
import subprocess
import time

import boto3
import botocore.config
import botocore.exceptions
import pytest

from conftest import HERE, INTEROP
from region_clients import A, B, BLOCK, aggregate, digest

ACCOUNT = "111122223333"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret", "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true"}


class Moto:
    def __init__(self, folder, **env):
        self.folder = folder
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen([INTEROP / "venv/bin/python", "-B", HERE / "moto_server.py",
                                             "-H", "127.0.0.1", "-p", str(port)],
                                            stdout=log, stderr=log, env={**os.environ, **env})
        for _ in range(600):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("moto does not answer")

    def run(self, *args, status=0, attempts=4):
        """amiwright: what it prints, or its messages when it is to fail."""
        env = {**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, **KEYS,
               "XDG_STATE_HOME": str(self.folder)}
        result = subprocess.run([os.environ["AMIWRIGHT"], *map(str, args), "--endpoint-url", self.endpoint,
                                 "--max-attempts", str(attempts)], env=env, capture_output=True, text=True)
        assert result.returncode == status, result.stderr
        return result.stderr if status else result.stdout

    def lacks(self, *args, status=4):
        """moto has no such call or filter: its answer is a 500."""
        assert "HTTP 500" in self.run(*args, status=status, attempts=1)

    def client(self, service="ec2", region="us-east-1"):
        return boto3.client(service, endpoint_url=self.endpoint, region_name=region, aws_access_key_id="testing",
                            aws_secret_access_key="testing-secret",
                            config=botocore.config.Config(retries={"total_max_attempts": 1}))

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.write_bytes(os.urandom(3 * BLOCK) + bytes(2 * BLOCK) + os.urandom(BLOCK // 2))
    return path


@pytest.fixture
def snapshot(moto, disk):
    return moto.run("upload", disk, "--tag", "disk=root").strip()


@pytest.fixture
def image(moto, snapshot, request):
    return moto.run("register", "--name", request.node.name, "--snapshot", snapshot, "--tag", "team=a").strip()


def shown(moto, ami, region="us-east-1"):
    (found,) = moto.client(region=region).describe_images(ImageIds=[ami])["Images"]
    return found


def test_as_it_is(tmp_path, disk):
    """moto says that blocks have 512 bytes; ours does not go on then, and leaves nothing."""
    server = Moto(tmp_path, MOTO_AS_IT_IS="1")
    try:
        said = server.run("upload", disk, status=4)
        assert "StartSnapshot wants blocks of 512 bytes" in said
        started = re.search(r"snap-[0-9a-f]+", said)[0]
        with pytest.raises(botocore.exceptions.ClientError, match="InvalidSnapshot.NotFound"):
            server.client().describe_snapshots(SnapshotIds=[started])
    finally:
        server.stop()


def test_upload_and_back(moto, snapshot, disk, tmp_path):
    content = disk.read_bytes().ljust(6 * BLOCK, b"\0")
    ebs = moto.client("ebs")
    blocks = ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]
    assert [b["BlockIndex"] for b in blocks] == list(range(6))  # the zeros too: who knows who reads them
    for block in blocks:
        at = block["BlockIndex"] * BLOCK
        got = ebs.get_snapshot_block(SnapshotId=snapshot, **block)
        assert got["BlockData"].read() == content[at:at + BLOCK] and got["Checksum"] == digest(content[at:at + BLOCK])
    (found,) = moto.client().describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert {"Key": "disk", "Value": "root"} in found["Tags"] and found["VolumeSize"] == 1
    moto.run("download", snapshot, tmp_path / "back")
    assert (tmp_path / "back").stat().st_size == 1 << 30
    with open(tmp_path / "back", "rb") as back:
        assert back.read(6 * BLOCK) == content
    moto.run("verify", snapshot, disk)
    assert moto.run("diff", snapshot, disk) == ""
    other = tmp_path / "other"
    other.write_bytes(content[:BLOCK] + B + content[2 * BLOCK:])
    assert "1 block" in moto.run("verify", snapshot, other, status=1)


def test_children_are_not_moto_s(moto, snapshot, disk, tmp_path):
    """ParentSnapshotId is ignored: the child has what was sent and not what its parent has. And ListChangedBlocks leaves out
    what only the second snapshot has."""
    other = tmp_path / "other.raw"
    other.write_bytes(disk.read_bytes()[:BLOCK] + B + disk.read_bytes()[2 * BLOCK:] + A)
    child = moto.run("upload", other, "--parent", snapshot, "--parent-image", disk).strip()
    ebs = moto.client("ebs")
    sent = [b["BlockIndex"] for b in ebs.list_snapshot_blocks(SnapshotId=child)["Blocks"]]
    assert 1 in sent and 0 not in sent  # of AWS all blocks would be listed
    changed = ebs.list_changed_blocks(FirstSnapshotId=snapshot, SecondSnapshotId=child)["ChangedBlocks"]
    assert max(b["BlockIndex"] for b in changed) < max(sent)


def test_what_moto_takes(moto):
    """Digests, counts, aggregates, the encryption and the signature are not looked at. AWS refuses each of these."""
    ebs, ec2 = moto.client("ebs"), moto.client()
    one = ebs.start_snapshot(VolumeSize=1, Encrypted=True)
    assert "KmsKeyArn" not in one
    ebs.put_snapshot_block(SnapshotId=one["SnapshotId"], BlockIndex=5000, BlockData=A, DataLength=BLOCK,
                           Checksum=digest(B), ChecksumAlgorithm="SHA256")
    assert ec2.describe_snapshots(SnapshotIds=[one["SnapshotId"]])["Snapshots"][0]["State"] == "completed"  # already
    ebs.complete_snapshot(SnapshotId=one["SnapshotId"], ChangedBlocksCount=77, Checksum=aggregate({0: B}),
                          ChecksumAlgorithm="SHA256", ChecksumAggregationMethod="LINEAR")
    (found,) = ec2.describe_snapshots(SnapshotIds=[one["SnapshotId"]])["Snapshots"]
    assert (found["State"], found["Encrypted"]) == ("completed", False)
    token = dict(VolumeSize=1, ClientToken="same")
    assert ebs.start_snapshot(**token)["SnapshotId"] != ebs.start_snapshot(**token)["SnapshotId"]
    nobody = boto3.client("ec2", endpoint_url=moto.endpoint, region_name="us-east-1", aws_access_key_id="unknown",
                          aws_secret_access_key="wrong")
    assert nobody.describe_snapshots(SnapshotIds=[one["SnapshotId"]])["Snapshots"]
    first, second = (ec2.register_image(Name="x", BlockDeviceMappings=[
        {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}])["ImageId"] for _ in "12")
    assert first != second  # no such snapshot, and the name twice


def test_register(moto, image, snapshot):
    found = shown(moto, image)
    assert found["Name"] == "test_register" and found["State"] == "available"
    assert image in moto.run("images", "--filter", "name=test_register")
    # The mapping is not kept: an AMI of moto has a volume of its own.
    (root,) = found["BlockDeviceMappings"]
    assert root["DeviceName"] == "/dev/sda1" and root["Ebs"]["VolumeSize"] == 15
    assert root["Ebs"]["SnapshotId"] != snapshot


def test_publish(moto, tmp_path):
    """moto does not keep the tags of RegisterImage, nor what the image is made of: so a second run cannot know it again, and
    refuses instead of guessing."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("""\
name: moto
version: "1"
architecture: x86_64
epoch: 1735689600
root:
  - write: {path: /etc/motd, content: "golden"}
disks:
  - device: /dev/xvda
    table: gpt
    partitions:
      - {name: root, type: root, filesystem: ext4, mount: /, size: 64M}
ami: {tags: {team: platform}}
""")
    moto.run("build", spec, "-o", tmp_path / "image.raw")
    made = json.loads(moto.run("publish", spec, "--json"))
    found = shown(moto, made["ami"])
    assert found["Name"] == "moto-1-x86_64" and not found["Tags"]
    moto.run("verify", made["snapshots"][0]["snapshot"], tmp_path / "image.raw")
    assert "does not say what it holds" in moto.run("publish", spec, status=3)


def test_copy_image(moto, image):
    lines = moto.run("copy", image, "--to", "eu-west-1", "--to", "us-west-2").splitlines()
    for region, copy in map(str.split, lines):
        found = shown(moto, copy, region)
        assert found["Name"] == "test_copy_image"
        tags = {t["Key"]: t["Value"] for t in found["Tags"]}
        assert tags["amiwright:copy-of"] == f"us-east-1/{image}"
    assert moto.run("copy", image, "--to", "us-west-2", "--to", "eu-west-1").splitlines() == lines[::-1]


def test_encrypted_copies_are_not(moto, image):
    """moto takes Encrypted and KmsKeyId, any of them, and copies unencrypted: we see that it is not what was asked for."""
    asked = ("copy", image, "--to", "eu-west-1", "--kms-key", "alias/none")
    message = moto.run(*asked, status=4)
    assert "has been made and not encrypted" in message
    copy = re.search(r"ami-[0-9a-f]+ has been", message).group().split()[0]
    assert not shown(moto, copy, "eu-west-1")["BlockDeviceMappings"][0]["Ebs"].get("Encrypted")
    # It drops the tags of CopyImage, too: the copy does not say whose it is.
    assert f"is taken by {copy}, which is no copy" in moto.run(*asked, status=3)


def test_copy_snapshot(moto, snapshot, tmp_path):
    region, copy = moto.run("copy", snapshot, "--to", "eu-west-1").split()
    (found,) = moto.client(region=region).describe_snapshots(SnapshotIds=[copy])["Snapshots"]
    assert {"Key": "amiwright:copy-of", "Value": f"us-east-1/{snapshot}"} in found["Tags"]
    assert moto.run("copy", snapshot, "--to", "eu-west-1").split() == [region, copy]
    # The blocks do not go with it.
    moto.lacks("download", copy, tmp_path / "copy", "--region", region)


def test_share(moto, image):
    assert f"{image} account {ACCOUNT}" in moto.run("share", image, "--account", ACCOUNT)
    ec2 = moto.client()
    attribute = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")
    assert attribute["LaunchPermissions"] == [{"UserId": ACCOUNT}]
    snapshot = shown(moto, image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    attribute = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    assert attribute["CreateVolumePermissions"] == [{"UserId": ACCOUNT}]
    moto.run("unshare", image, "--account", ACCOUNT, "--image-only")
    attribute = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")
    assert attribute["LaunchPermissions"] == []


def test_share_with_an_organization_and_everybody(moto, image):
    organization = f"arn:aws:organizations::{ACCOUNT}:organization/o-abcdefghij"
    assert f"{image} organization {organization}" in moto.run("share", image, "--organization", organization)
    # There is no block public access to ask for: that is a warning, no reason to stop.
    assert f"{image} public" in moto.run("share", image, "--public", attempts=1)
    assert shown(moto, image)["Public"] is True
    # Who else uses a snapshot is not to be found out without the filter block-device-mapping.snapshot-id.
    moto.lacks("unshare", image, "--all")


def test_end_of_life(moto, image):
    for call in (("deprecate", image, "--at", "2031-01-01"), ("protect", image)):
        moto.lacks(*call)
    moto.lacks("deregister", image, "--delete-snapshots")  # the filter again
    assert shown(moto, image)["State"] == "available"
    ec2 = moto.client()
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    moto.run("deregister", image, status=3)
    ec2.terminate_instances(InstanceIds=[instance])
    assert moto.run("deregister", image).strip() == image
    assert not ec2.describe_images(Filters=[{"Name": "name", "Values": ["test_end_of_life"]}])["Images"]
