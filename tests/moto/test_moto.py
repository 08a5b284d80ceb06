# SPDX-License-Identifier: Apache-2.0
"""Images against moto, which others wrote: `make check-moto`. It has no encryption rules, no KMS behind EBS and not all
calls; what it has must agree with us."""
import os
import socket
import subprocess
import time

import boto3
import pytest

ACCOUNT = "111122223333"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(tmp_path_factory.mktemp("moto") / "log", "wb") as log:
        process = subprocess.Popen([os.environ["MOTO"], "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
        try:
            for _ in range(600):
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def run(moto, *args, status=0):
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")}, **KEYS}
    result = subprocess.run([os.environ["AMIWRIGHT"], *args, "--endpoint-url", moto], env=env, capture_output=True,
                            text=True)
    assert result.returncode == status, result.stderr
    return result.stdout


def client(moto, region="us-east-1"):
    return boto3.client("ec2", endpoint_url=moto, region_name=region, aws_access_key_id="testing",
                        aws_secret_access_key="testing-secret")


@pytest.fixture
def snapshot(moto):
    ec2 = client(moto)
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    return ec2.create_snapshot(VolumeId=volume)["SnapshotId"]


@pytest.fixture
def image(moto, snapshot, request):
    return run(moto, "register", "--name", request.node.name, "--snapshot", snapshot, "--tag", "team=a").strip()


def test_register(moto, image):
    (found,) = client(moto).describe_images(ImageIds=[image])["Images"]
    assert found["Name"] == "test_register" and found["State"] == "available"
    assert image in run(moto, "images", "--filter", "name=test_register")


def test_copy_image(moto, image):
    lines = run(moto, "copy", image, "--to", "eu-west-1", "--to", "us-west-2").splitlines()
    for region, copy in map(str.split, lines):
        (found,) = client(moto, region).describe_images(ImageIds=[copy])["Images"]
        assert found["Name"] == "test_copy_image"
        tags = {t["Key"]: t["Value"] for t in found["Tags"]}
        assert tags["amiwright:copy-of"] == f"us-east-1/{image}"
    assert run(moto, "copy", image, "--to", "us-west-2", "--to", "eu-west-1").splitlines() == lines[::-1]


def test_copy_snapshot(moto, snapshot):
    region, copy = run(moto, "copy", snapshot, "--to", "eu-west-1").split()
    (found,) = client(moto, region).describe_snapshots(SnapshotIds=[copy])["Snapshots"]
    assert {"Key": "amiwright:copy-of", "Value": f"us-east-1/{snapshot}"} in found["Tags"]
    assert run(moto, "copy", snapshot, "--to", "eu-west-1").split() == [region, copy]


def test_share(moto, image):
    assert f"{image} account {ACCOUNT}" in run(moto, "share", image, "--account", ACCOUNT)
    ec2 = client(moto)
    attribute = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")
    assert attribute["LaunchPermissions"] == [{"UserId": ACCOUNT}]
    mapping = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]
    attribute = ec2.describe_snapshot_attribute(SnapshotId=mapping[0]["Ebs"]["SnapshotId"],
                                                Attribute="createVolumePermission")
    assert attribute["CreateVolumePermissions"] == [{"UserId": ACCOUNT}]
    run(moto, "unshare", image, "--account", ACCOUNT, "--image-only")
    attribute = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")
    assert attribute["LaunchPermissions"] == []


def test_deregister(moto, image):
    ec2 = client(moto)
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    run(moto, "deregister", image, status=3)
    ec2.terminate_instances(InstanceIds=[instance])
    assert run(moto, "deregister", image).strip() == image
    assert not ec2.describe_images(Filters=[{"Name": "name", "Values": ["test_deregister"]}])["Images"]
