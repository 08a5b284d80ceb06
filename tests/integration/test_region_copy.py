# SPDX-License-Identifier: Apache-2.0
"""CopyImage and CopySnapshot of the local region: between Regions and accounts, with progress, over kill -9."""
import json
import os
import signal
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from region_clients import A, B, make, query, refused, register
from region_server import RegionServer

SECONDS = 2


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("slow") / "r", "--copy-seconds", str(SECONDS)) as server:
        yield server


def here(server, profile="default"):
    return server.client("ec2", profile)


def there(server, profile="default"):
    return server.client("ec2", profile, region="eu-west-1")


def made(server, **start):
    snapshot = make(server.client("ebs"), {0: A, 9: B}, **start)
    return register(here(server), snapshot), snapshot


def name():
    return f"copy-{os.urandom(6).hex()}"


def copy(ec2, image, **more):
    return ec2.copy_image(**{**dict(Name=name(), SourceImageId=image, SourceRegion="us-east-1"), **more})["ImageId"]


def shown(ec2, image):
    return ec2.describe_images(ImageIds=[image])["Images"][0]


def snapshot_of(ec2, image):
    one = shown(ec2, image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    return ec2.describe_snapshots(SnapshotIds=[one])["Snapshots"][0]


def test_copy_image_to_another_region(region):
    image, snapshot = made(region)
    here(region).create_tags(Resources=[image], Tags=[{"Key": "team", "Value": "a"}])
    here(region).modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"Group": "all"}]})
    ec2, wanted = there(region), name()
    new = copy(ec2, image, Name=wanted, Description="d", ClientToken="token-1")
    assert copy(ec2, image, Name=wanted, Description="d", ClientToken="token-1") == new
    with refused(400, "IdempotentParameterMismatch"):
        copy(ec2, image, Name=wanted, Description="other", ClientToken="token-1")
    with refused(400, "InvalidAMIName.Duplicate", f"AMI name {wanted} is already in use by AMI {new}"):
        copy(ec2, image, Name=wanted)
    one = shown(ec2, new)
    assert (one["State"], one["Name"], one["Description"], one["Public"]) == ("available", wanted, "d", False)
    assert "Tags" not in one and one["RootDeviceName"] == "/dev/xvda" and one["OwnerId"] == region.account()
    sources = query(region, "DescribeImages", region="eu-west-1", ImageId__1=new)
    assert (sources.findtext(".//sourceImageId"), sources.findtext(".//sourceImageRegion")) == (image, "us-east-1")
    there_snapshot = snapshot_of(ec2, new)
    assert there_snapshot["SnapshotId"] != snapshot and there_snapshot["Description"].startswith(
        f"Copied for DestinationAmi {new} from SourceAmi {image} for SourceSnapshot {snapshot}.")
    here(region).deregister_image(ImageId=image)
    here(region).delete_snapshot(SnapshotId=snapshot)
    ebs = region.client("ebs", region="eu-west-1")
    blocks = ebs.list_snapshot_blocks(SnapshotId=there_snapshot["SnapshotId"])["Blocks"]
    assert [b["BlockIndex"] for b in blocks] == [0, 9]
    assert ebs.get_snapshot_block(SnapshotId=there_snapshot["SnapshotId"], **blocks[1])["BlockData"].read() == B
    child = ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=there_snapshot["SnapshotId"])
    assert child["ParentSnapshotId"] == there_snapshot["SnapshotId"]


def test_tags_and_the_source_that_is_not_there(region):
    image, _ = made(region)
    here(region).create_tags(Resources=[image], Tags=[{"Key": "team", "Value": "a"}, {"Key": "x", "Value": "1"}])
    answer = query(region, "CopyImage", region="eu-west-1", Name=name(), SourceImageId=image, SourceRegion="us-east-1",
                   CopyImageTags="true", TagSpecification__1__ResourceType="image",
                   TagSpecification__1__Tag__1__Key="x", TagSpecification__1__Tag__1__Value="2",
                   TagSpecification__2__ResourceType="snapshot", TagSpecification__2__Tag__1__Key="s",
                   TagSpecification__2__Tag__1__Value="3")
    new = answer.findtext("imageId")
    assert {t["Key"]: t["Value"] for t in shown(there(region), new)["Tags"]} == {"team": "a", "x": "2"}
    assert snapshot_of(there(region), new)["Tags"] == [{"Key": "s", "Value": "3"}]
    with refused(400, "InvalidAMIID.NotFound"):
        copy(here(region), image, SourceRegion="eu-west-1")
    with refused(400, "InvalidParameterValue"):
        copy(here(region), image, SourceRegion="mars-north-1")
    with refused(412, "DryRunOperation"):
        copy(there(region), image, DryRun=True)
    with refused(400, "InvalidAMIName.Malformed"):
        copy(there(region), image, Name="x")
    again = copy(here(region), image)
    assert snapshot_of(here(region), again)["State"] == "completed"


def test_copy_by_another_account(region):
    image, snapshot = made(region)
    ec2, other = there(region, "second"), region.account("second")
    with refused(400, "InvalidAMIID.NotFound"):
        copy(ec2, image)
    here(region).modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": other}]})
    with refused(400, "InvalidRequest", "You do not have permission to access the storage of this ami"):
        copy(ec2, image)
    here(region).modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"UserId": other}]})
    new = copy(ec2, image)
    assert shown(ec2, new)["OwnerId"] == other and snapshot_of(ec2, new)["OwnerId"] == other
    with refused(400, "InvalidAMIID.NotFound"):
        there(region).describe_images(ImageIds=[new])


def test_encryption_of_copies(region):
    kms = region.client("kms", region="eu-west-1")
    managed = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
    own = kms.create_key()["KeyMetadata"]["Arn"]
    ec2 = there(region)
    plain, _ = made(region)
    sealed, _ = made(region, Encrypted=True)
    key = lambda image, **more: snapshot_of(ec2, copy(ec2, image, **more)).get("KmsKeyId")
    assert key(plain) is None and key(plain, Encrypted=True) == managed
    assert key(plain, Encrypted=True, KmsKeyId=own) == own == key(plain, Encrypted=True, KmsKeyId=own.split("/")[1])
    assert key(sealed) == managed and key(sealed, Encrypted=True, KmsKeyId=own) == own
    with refused(400, "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted"):
        copy(ec2, plain, KmsKeyId=own)
    with refused(400, "InvalidParameterValue"):
        copy(ec2, sealed, Encrypted=False)
    for wrong in ("alias/none", own.replace("eu-west-1", "us-east-1")):
        new = copy(ec2, plain, Encrypted=True, KmsKeyId=wrong)
        one = shown(ec2, new)
        assert (one["State"], one["StateReason"]["Message"]) == ("failed", "Given key ID is not accessible")
        assert snapshot_of(ec2, new)["StateMessage"] == "Given key ID is not accessible"
    mine = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    same, _ = made(region, KmsKeyArn=mine)
    assert snapshot_of(here(region), copy(here(region), same))["KmsKeyId"] == mine
    ec2.enable_ebs_encryption_by_default()
    try:
        assert key(plain) == managed
    finally:
        ec2.disable_ebs_encryption_by_default()


def test_a_shared_encrypted_image(region):
    """The other account copies it once the key's policy lets it, and then under its own key."""
    other, kms = region.account("second"), region.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    image, snapshot = made(region, KmsKeyArn=key)
    here(region).modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": other}]})
    here(region).modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"UserId": other}]})
    ec2 = here(region, "second")
    assert shown(ec2, copy(ec2, image))["StateReason"]["Message"] == "Given key ID is not accessible"
    statement = {"Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam::{other}:root"]}, "Action": "kms:*"}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Statement": statement}))
    managed = region.client("kms", "second").describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
    assert snapshot_of(ec2, copy(ec2, image))["KmsKeyId"] == managed


def presigned(region, url, query):
    request = botocore.awsrequest.AWSRequest("GET", url + query)
    keys = botocore.credentials.Credentials(*region.credentials())
    botocore.auth.SigV4QueryAuth(keys, "ec2", "us-east-1").add_auth(request)
    return request.url


def test_copy_snapshot_and_its_presigned_url(region):
    ebs, ec2 = region.client("ebs"), there(region)
    plain, sealed = make(ebs, {0: A}), make(ebs, {0: A, 3: B}, Encrypted=True)
    state = lambda snapshot: ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
    one = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=sealed, Description="d", TagSpecifications=[
        {"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}])
    assert one["Tags"] == [{"Key": "a", "Value": "b"}]
    shown = state(one["SnapshotId"])
    assert (shown["State"], shown["Encrypted"], shown["Description"]) == ("completed", True, "d")
    raw = lambda **more: query(region, "CopySnapshot", region="eu-west-1", SourceRegion="us-east-1", **more)
    assert raw(SourceSnapshotId=plain).findtext("snapshotId").startswith("snap-")
    assert raw(SourceSnapshotId=sealed) == (400, "MissingParameter")
    signed = here(region).generate_presigned_url("copy_snapshot", Params=dict(
        SourceRegion="us-east-1", SourceSnapshotId=sealed, DestinationRegion="eu-west-1"), HttpMethod="GET")
    for changed in (signed.replace(sealed, plain), signed.replace("DestinationRegion=eu-west-1",
                                                                  "DestinationRegion=eu-west-2")):
        assert raw(SourceSnapshotId=sealed, PresignedUrl=changed) == (400, "InvalidParameterValue")
    good = raw(SourceSnapshotId=sealed, PresignedUrl=signed).findtext("snapshotId")
    assert state(good)["State"] == "completed"
    host, _, rest = signed.removeprefix("http://").partition("/")
    portless = presigned(region, "https://" + host.partition(":")[0] + "/", rest.partition("&X-Amz-")[0])
    ported = portless.replace("//127.0.0.1/", "//" + host + "/")  # so the AWS SDK for JavaScript signs
    assert state(raw(SourceSnapshotId=sealed, PresignedUrl=ported).findtext("snapshotId"))["State"] == "completed"
    spoiled = signed[:-1] + ("0" if signed[-1] != "0" else "1")
    bad = raw(SourceSnapshotId=sealed, PresignedUrl=spoiled).findtext("snapshotId")
    assert (state(bad)["State"], state(bad)["StateMessage"]) == ("error", "The presigned URL of the request is not valid")
    with refused(400, "InvalidSnapshot.NotFound"):
        ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId="snap-0123456789abcdef0")
    with refused(400, "InvalidParameterValue"):
        ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=sealed, Encrypted=False)
    pending = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused(400, "IncorrectState"):
        ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=pending)


def test_progress_and_kill(slow):
    """A copy takes its time, says how far it is, and goes on under the next server."""
    image, _ = made(slow)
    ec2 = there(slow)
    new = copy(ec2, image)
    assert shown(ec2, new)["State"] == "pending"
    first = snapshot_of(ec2, new)
    assert first["State"] == "pending" and int(first["Progress"].rstrip("%")) < 99
    with refused(400, "InvalidAMIID.Unavailable"):
        ec2.modify_image_attribute(ImageId=new, LaunchPermission={"Add": [{"UserId": "111122223333"}]})
    with refused(400, "InvalidAMIID.Unavailable"):
        copy(ec2, new, SourceRegion="eu-west-1")
    orphan = slow.content("snap-0123456789abcdef0", "eu-west-1")
    slow.stop(signal.SIGKILL)
    orphan.write_bytes(b"linked, and killed before the record")
    slow.start()
    assert not orphan.exists()
    ec2, seen = there(slow), [int(first["Progress"].rstrip("%"))]
    for _ in range(100):
        seen.append(int(snapshot_of(ec2, new)["Progress"].rstrip("%")))
        if shown(ec2, new)["State"] != "pending":
            break
        time.sleep(0.1)
    assert shown(ec2, new)["State"] == "available" and snapshot_of(ec2, new)["Progress"] == "100%"
    assert seen == sorted(seen)


def test_limit_of_copies(tmp_path):
    with RegionServer(tmp_path / "r", "--copy-seconds", "60") as server:
        snapshot = make(server.client("ebs"), {0: A})
        ec2 = there(server)
        copies = [ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=snapshot)["SnapshotId"]
                  for _ in range(20)]
        with refused(400, "ResourceLimitExceeded"):
            ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=snapshot)
        ec2.delete_snapshot(SnapshotId=copies[0])
        ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=snapshot)


def test_our_copies_that_failed_are_replaced_whole(region, amiwright):
    """What EC2 had copied before it failed goes with it: AMI, snapshots, and a snapshot's own copy."""
    image, snapshot = made(region)
    ec2 = there(region)
    title = shown(here(region), image)["Name"]
    failed = copy(ec2, image, Name=title, Encrypted=True, KmsKeyId="alias/none")
    alone = ec2.copy_snapshot(SourceSnapshotId=snapshot, SourceRegion="us-east-1", Encrypted=True, KmsKeyId="alias/none",
                              TagSpecifications=[{"ResourceType": "snapshot", "Tags": [
                                  {"Key": "amiwright:copy-of", "Value": f"us-east-1/{snapshot}"}]}])["SnapshotId"]
    left = snapshot_of(ec2, failed)["SnapshotId"]
    there_now = lambda: {s["SnapshotId"] for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert {left, alone} <= there_now() and shown(ec2, failed)["State"] == "failed"
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials"), "AWS_REGION": "us-east-1"}
    endpoint = ("--endpoint-url", region.endpoint, "--to", "eu-west-1")
    out = amiwright("copy", image, *endpoint, env=env)
    new = out.stdout.split()[1]
    assert shown(ec2, new)["Name"] == title and "removing it with its snapshots" in out.stderr
    again = amiwright("copy", snapshot, *endpoint, env=env).stdout.split()[1]
    assert not {left, alone} & there_now() and {again, snapshot_of(ec2, new)["SnapshotId"]} <= there_now()
