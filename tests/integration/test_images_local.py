# SPDX-License-Identifier: Apache-2.0
"""Images through their life in a local region of several Regions and accounts; boto3 looks at what came of it."""
import os
import signal
import subprocess
import time

import botocore.exceptions
import pytest

from region_clients import query
from region_server import RegionServer


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("images") / "region", "--copy-seconds", "1") as server:
        yield server


@pytest.fixture
def run(amiwright, region):
    """amiwright in that region, as the first account or as `profile`."""
    def call(*args, profile="default", **kwargs):
        env = {"AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials")}
        return amiwright(*args, "--endpoint-url", region.endpoint, "--profile", profile,
                         *(() if "--region" in args else ("--region", "us-east-1")), env=env, **kwargs)
    return call


@pytest.fixture
def image(run, tmp_path, request):
    """An AMI with a name of its own: (id, snapshot)."""
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(1 << 20))
    snapshot = run("upload", path, "--tag", "disk=root").stdout.strip()
    name = request.node.name.replace("[", ".").replace("]", "")
    return run("register", "--name", name, "--snapshot", snapshot, "--tag", "team=a").stdout.strip(), snapshot


def copies(out):
    return dict(line.split() for line in out.stdout.splitlines())


def describe(region, where, ami, **more):
    (image,) = region.client("ec2", region=where, **more).describe_images(ImageIds=[ami])["Images"]
    return image


def test_copies(run, region, image):
    key = region.client("kms", region="eu-west-1").create_key()["KeyMetadata"]["Arn"]
    made = copies(run("copy", image[0], "--to", "eu-west-1", "--to", "us-west-2", "--kms-key", f"eu-west-1={key}"))
    for where, encrypted in (("eu-west-1", True), ("us-west-2", False)):
        copy = describe(region, where, made[where])
        assert copy["State"] == "available"
        assert {t["Key"]: t["Value"] for t in copy["Tags"]} == {"team": "a", "amiwright:copy-of": f"us-east-1/{image[0]}"}
        ebs = copy["BlockDeviceMappings"][0]["Ebs"]
        assert ebs["Encrypted"] == encrypted
        snapshot = region.client("ec2", region=where).describe_snapshots(SnapshotIds=[ebs["SnapshotId"]])["Snapshots"][0]
        assert {"Key": "disk", "Value": "root"} in snapshot["Tags"]
        assert snapshot.get("KmsKeyId") == (key if encrypted else None)
    assert copies(run("copy", image[0], "--to", "us-west-2", "--to", "eu-west-1", "--kms-key", f"eu-west-1={key}")) == made


def test_killed_and_rerun(run, region, image, amiwright):
    env = {**amiwright.env, "AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials"), "AWS_PROFILE": "default"}
    process = subprocess.Popen([amiwright.path, "copy", image[0], "--to", "ap-south-1", "--region", "us-east-1",
                                "--endpoint-url", region.endpoint], env=env, stderr=subprocess.PIPE, text=True)
    began = process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    out = run("copy", image[0], "--to", "ap-south-1")
    assert "is there already" in out.stderr and copies(out)["ap-south-1"] in began
    assert len(region.client("ec2", region="ap-south-1").describe_images(Owners=["self"])["Images"]) == 1


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("wish", [[], ["--encrypt"], ["--no-encrypt"]])
def test_matrix(run, region, tmp_path, encrypted, wish):
    """What we foresee is what the region does."""
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(1 << 20))
    source = run("upload", path, *(["--encrypt"] if encrypted else [])).stdout.strip()
    if encrypted and wish == ["--no-encrypt"]:
        assert "no unencrypted copy" in run("copy", source, "--to", "eu-west-1", *wish, status=3).stderr
        return
    copy = copies(run("copy", source, "--to", "eu-west-1", *wish))["eu-west-1"]
    snapshot = region.client("ec2", region="eu-west-1").describe_snapshots(SnapshotIds=[copy])["Snapshots"][0]
    assert snapshot["State"] == "completed" and snapshot["Encrypted"] == (encrypted or wish == ["--encrypt"])


def test_unusable_key(run, region, image):
    """EC2 takes it, and the copy fails by itself."""
    lost = f"arn:aws:kms:eu-west-1:{region.account()}:key/11111111-2222-3333-4444-555555555555"
    out = run("copy", image[1], "--to", "eu-west-1", "--kms-key", lost, status=4)
    assert "Given key ID is not accessible" in out.stderr


def test_default_key_is_not_shared(run, region, image):
    made = copies(run("copy", image[0], "--to", "eu-north-1", "--encrypt"))["eu-north-1"]
    second = region.account("second")
    out = run("share", made, "--account", second, "--region", "eu-north-1", status=3)
    assert "a key that AWS manages" in out.stderr
    # The region would have said so too.
    snapshot = describe(region, "eu-north-1", made)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    with pytest.raises(botocore.exceptions.ClientError, match="OperationNotPermitted"):
        region.client("ec2", region="eu-north-1").modify_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", UserIds=[second])


def test_shared_with_another_account(run, region, image):
    second = region.account("second")
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidAMIID"):
        region.client("ec2", "second").describe_images(ImageIds=[image[0]])
    run("share", image[0], "--account", second)
    assert describe(region, "us-east-1", image[0], profile="second")["OwnerId"] == region.account()
    # It can copy what it may read; it cannot share what it does not own.
    name = f"theirs-{image[0]}"
    copy = copies(run("copy", image[0], "--to", "us-west-2", "--name", name, profile="second"))["us-west-2"]
    assert describe(region, "us-west-2", copy, profile="second")["OwnerId"] == second
    assert "belongs to account" in run("share", image[0], "--account", second, profile="second", status=3).stderr
    run("unshare", image[0], "--account", second)
    run("copy", image[0], "--to", "eu-west-1", profile="second", status=4)


def test_organizations_and_public(run, region, image):
    organization, unit = region.organization()
    out = run("share", image[0], "--organization", organization, "--organizational-unit", unit, "--public")
    assert f"{image[0]} public\n" in out.stdout and f"{image[1]} public\n" in out.stdout
    attribute = region.client("ec2").describe_image_attribute(ImageId=image[0], Attribute="launchPermission")
    assert {"OrganizationArn": organization} in attribute["LaunchPermissions"]
    assert run("unshare", image[0], "--all").stdout == ""
    query(region, "EnableImageBlockPublicAccess", ImageBlockPublicAccessState="block-new-sharing")
    assert "block public access for AMIs" in run("share", image[0], "--public", status=3).stderr
    query(region, "DisableImageBlockPublicAccess")


def test_end_of_life(run, region, image):
    ami, snapshot = image
    assert run("deprecate", ami, "--at", "2031-01-31").stdout == f"{ami} 2031-01-31T00:00:00Z\n"
    assert describe(region, "us-east-1", ami)["DeprecationTime"].startswith("2031-01-31T00:00:00")
    run("protect", ami)
    assert "is protected" in run("deregister", ami, "--delete-snapshots", status=3).stderr
    run("protect", ami, "--off")
    assert run("deregister", ami, "--delete-snapshots", "-n").stdout == f"{ami}\n{snapshot}\n"
    assert run("deregister", ami, "--delete-snapshots").stdout == f"{ami}\n{snapshot}\n"
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidSnapshot.NotFound"):
        region.client("ec2").describe_snapshots(SnapshotIds=[snapshot])


def test_prune(run, region, image):
    made = [run("register", "--name", f"prune-{n}", "--snapshot", image[1]).stdout.strip() for n in range(3)]
    time.sleep(1.1)  # creation dates have seconds
    made.append(run("register", "--name", "prune-3", "--snapshot", image[1]).stdout.strip())
    out = run("prune", "--name", "prune-*", "--keep", "1", "--delete")
    assert out.stdout.splitlines()[0].startswith(f"keep     {made[3]}") and out.stdout.count("removed") == 3
    # The snapshot is another AMI's too.
    assert region.client("ec2").describe_snapshots(SnapshotIds=[image[1]])["Snapshots"]
    assert [i["ImageId"] for i in region.client("ec2").describe_images(
        Filters=[{"Name": "name", "Values": ["prune-*"]}])["Images"]] == [made[3]]
