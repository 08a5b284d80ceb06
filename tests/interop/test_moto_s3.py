# SPDX-License-Identifier: Apache-2.0
"""Bundles and images to the S3 of moto, and back; boto3 looks what is there."""
import os
import subprocess

import botocore.exceptions
import pytest

import bundle_oracle as oracle
from s3_bundle import Bundle
from test_moto import ACCOUNT, Moto

MIB = 1 << 20


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture
def bucket():
    return f"b-{os.urandom(6).hex()}"


def write(bundle, folder):
    folder.mkdir()
    for name, data in bundle.objects("").items():
        (folder / name).write_bytes(data)
    return folder / f"{bundle.name}.manifest.xml"


def content(s3, bucket):
    return {o["Key"]: s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read()
            for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def readers(s3, bucket, key):
    return [g["Grantee"].get("DisplayName", g["Grantee"].get("URI", "")).rpartition("/")[2]
            for g in s3.get_object_acl(Bucket=bucket, Key=key)["Grants"] if g["Permission"] == "READ"]


def test_bundle_of_a_folder(moto, bucket, tmp_path):
    s3, bundle = moto.client("s3"), Bundle(ACCOUNT, 12, name="web é+1")
    manifest, url = write(bundle, tmp_path / "b"), f"s3://{bucket}/a b"
    assert "does not exist" in moto.run("upload-bundle", manifest, url, status=4)
    location = moto.run("upload-bundle", manifest, url, "--create-bucket").strip()
    assert location == f"{bucket}/a b/web é+1.manifest.xml" and content(s3, bucket) == bundle.objects("a b/")
    assert "AllUsers" not in readers(s3, bucket, "a b/web é+1.part.00")
    # What is there is seen, what is not is sent.
    s3.delete_object(Bucket=bucket, Key="a b/web é+1.part.03")
    moto.run("upload-bundle", manifest, url, "--public")
    assert content(s3, bucket) == bundle.objects("a b/")
    assert all(readers(s3, bucket, key) == ["AllUsers"] for key in bundle.objects("a b/"))
    # Another one of the name.
    other = Bundle(ACCOUNT, 2, name="web é+1", seed=1)
    second = write(other, tmp_path / "c")
    assert "--force" in moto.run("upload-bundle", second, url, status=3)
    moto.run("upload-bundle", second, url, "--force")
    assert content(s3, bucket) == other.objects("a b/")
    # And back.
    moto.run("download-bundle", location, "--out", tmp_path / "back")
    assert {p.name: p.read_bytes() for p in (tmp_path / "back").iterdir()} == other.objects("")
    ami = moto.run("register", "--name", bucket, "--manifest", location).strip()
    (image,) = moto.client().describe_images(ImageIds=[ami])["Images"]
    assert image["Name"] == bucket
    moto.run("delete-bundle", location, "--include-used", "--clear")
    with pytest.raises(botocore.exceptions.ClientError, match="404|NoSuchBucket"):
        s3.head_bucket(Bucket=bucket)


def test_bundle_while_it_is_made(moto, bucket, tmp_path):
    s3 = moto.client("s3", "eu-west-1")
    for name in ("user", "ec2"):
        oracle.make_pair(tmp_path, name)
    (tmp_path / "disk.img").write_bytes(os.urandom(25 * MIB))
    words = ["bundle", tmp_path / "disk.img", "--key", tmp_path / "user.key", "--cert", tmp_path / "user.crt", "--ec2-cert",
             tmp_path / "ec2.crt", "--user", ACCOUNT, "--region", "eu-west-1", "--upload", f"s3://{bucket}/x"]
    location = moto.run(*words, "--create-bucket").strip()
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "eu-west-1"
    assert len(content(s3, bucket)) == 4
    assert "is there" in moto.run(*words, status=3)
    moto.run("download-bundle", location, "--out", tmp_path / "back")
    _, image = oracle.take_apart(tmp_path / "back/disk.img.manifest.xml", tmp_path / "user.key", "user")
    assert image == (tmp_path / "disk.img").read_bytes()
    # The bucket's region is that of the bundle.
    assert "in eu-west-1, not in us-east-1" in moto.run(*words[:10], *words[12:], status=2)


@pytest.mark.parametrize("size", [MIB, 40 * MIB])
def test_image_as_object(moto, bucket, tmp_path, size):
    s3, disk = moto.client("s3"), tmp_path / "disk.raw"
    disk.write_bytes(os.urandom(size))
    s3.create_bucket(Bucket=bucket)
    moto.run("convert", disk, f"s3://{bucket}/a/disk é+.vmdk")
    assert "is there" in moto.run("convert", disk, f"s3://{bucket}/a/disk é+.vmdk", status=3)
    moto.run("convert", disk, f"s3://{bucket}/a/disk é+.vmdk", "--force")
    (tmp_path / "back.vmdk").write_bytes(content(s3, bucket)["a/disk é+.vmdk"])
    subprocess.run(["qemu-img", "compare", disk, tmp_path / "back.vmdk"], check=True, stdout=subprocess.DEVNULL)
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
