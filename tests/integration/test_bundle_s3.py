# SPDX-License-Identifier: Apache-2.0
"""Bundles in S3: fetched, registered and deleted by the program, with boto3 as the other hand in the bucket."""
import os
import subprocess

import pytest

from region_clients import refused
from region_server import RegionServer
from s3_bundle import Bundle, make_bucket


@pytest.fixture(scope="module")
def s3(region):
    return client(region)


def client(region, where="us-east-1", profile="default", style="path"):
    return region.client("s3", profile, where, s3={"addressing_style": style})


@pytest.fixture
def bucket(s3):
    return make_bucket(s3)


@pytest.fixture
def program(amiwright, region):
    """The program as the first account of the served region."""
    amiwright.use(region)
    return amiwright


def keys(s3, bucket):
    return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_download(program, region, s3, bucket, tmp_path):
    bundle = Bundle(region.account(), 11)
    location = bundle.put(s3, bucket)
    out = program("download-bundle", f"s3://{location}", "--out", "got").stdout
    assert out == "got/disk.manifest.xml\n"
    assert {p.name: p.read_bytes() for p in (tmp_path / "got").iterdir()} == \
        {k.removeprefix("web/"): v for k, v in bundle.objects().items()}
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "got").iterdir()} == {0o644}
    # A rerun fetches what is damaged or missing alone.
    damaged, missing = tmp_path / "got/disk.part.03", tmp_path / "got/disk.part.07"
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    missing.unlink()
    for key in list(bundle.objects())[:3]:
        s3.delete_object(Bucket=bucket, Key=key)
    result = program("download-bundle", location, "--out", "got")
    assert "9 of 11 parts were there already" in result.stderr
    assert damaged.read_bytes() == bundle.parts["disk.part.03"]
    assert missing.read_bytes() == bundle.parts["disk.part.07"]
    # Another bundle of that name is not written over this one unasked.
    Bundle(region.account(), 2, seed=1).put(s3, bucket)
    assert "another bundle" in program("download-bundle", location, "--out", "got", status=3).stderr
    program("download-bundle", location, "--out", "got", "--force")


def test_download_of_other_content(program, region, s3, bucket, tmp_path):
    bundle = Bundle(region.account())
    location = bundle.put(s3, bucket)
    s3.put_object(Bucket=bucket, Key="web/disk.part.01", Body=b"something else")
    result = program("download-bundle", location, "--out", "got", status=1)
    assert "web/disk.part.01 is not what the manifest says" in result.stderr
    assert "rerun the same command" in result.stderr
    assert not (tmp_path / "got/disk.part.01").exists() and not (tmp_path / "got/disk.manifest.xml").exists()


def test_hostile_manifests(program, region, s3, bucket, tmp_path):
    good = Bundle(region.account()).manifest
    for damage in (good.replace(b"disk.part.01", b"../../evil"), good.replace(b"disk.part.01", b"disk.part.00"),
                   good.replace(b"disk.part.01", b""), good[:-30], good.replace(b"<size>", b"<sice>"), b"",
                   good.replace(b"<?xml version='1.0'?>", b"<!DOCTYPE x [<!ENTITY a 'b'>]>"),
                   good.replace(b"<user>", b"<user>1")):
        s3.put_object(Bucket=bucket, Key="x.manifest.xml", Body=damage)
        result = program("download-bundle", f"{bucket}/x.manifest.xml", "--out", "deep/er", status=1)
        assert "no manifest of a bundle" in result.stderr, damage
    assert not (tmp_path / "evil").exists()


def test_bad_names(program, bucket):
    for name, words in (("s3://UPPER/x.manifest.xml", "a-z"), ("s3://a/x.manifest.xml", "3 to 63"),
                        ("http://h/x.manifest.xml", "no place in S3"), (f"s3://{bucket}/x.xml", "not the manifest"),
                        (f"s3://{bucket}", "not the manifest"), ("s3://1.2.3.4/x.manifest.xml", "IP address"),
                        (f"s3://{bucket}//x.manifest.xml", "begins with '/'"),
                        (f"s3://{bucket}/{'k' * 1025}.manifest.xml", "1 to 1024")):
        assert words in program("download-bundle", name, status=2).stderr, name
    assert "does not exist" in program("download-bundle", "s3://no-such-bucket-here/x.manifest.xml", status=4).stderr
    assert "NoSuchKey" in program("download-bundle", f"s3://{bucket}/x.manifest.xml", status=4).stderr


def test_bucket_elsewhere(program, region):
    """The Region is found by the answers, whatever is asked first."""
    there = client(region, "eu-west-1")
    bucket = make_bucket(there, "eu-west-1")
    location = Bundle(region.account()).put(there, bucket)
    assert program.json("download-bundle", location, "--out", "got")["region"] == "eu-west-1"
    result = program("register", "--name", "there", "--manifest", location, status=2)
    assert f"bucket '{bucket}' is in eu-west-1" in result.stderr and "--region eu-west-1" in result.stderr
    ami = program("register", "--name", "there", "--manifest", location, "--region", "eu-west-1").stdout.strip()
    image = region.client("ec2", region="eu-west-1").describe_images(ImageIds=[ami])["Images"][0]
    assert image["ImageLocation"] == location


def test_hosts(program, region, s3, bucket, tmp_path):
    """Virtual-hosted style at a given endpoint, by the profile as for the AWS SDKs."""
    location = Bundle(region.account()).put(client(region, style="virtual"), bucket)
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    host = region.endpoint.replace("127.0.0.1", "localhost")
    result = program("-v", "download-bundle", location, "--out", "got", "--endpoint-url", host,
                     env={"AWS_CONFIG_FILE": str(config)})
    assert (tmp_path / "got/disk.part.02").exists(), result.stderr
    config.write_text("[default]\ns3 =\n  addressing_style = sideways\n")
    assert "addressing_style" in program("download-bundle", location, "--endpoint-url", host, status=2,
                                         env={"AWS_CONFIG_FILE": str(config)}).stderr


def test_delete(program, region, s3, bucket):
    location = Bundle(region.account()).put(s3, bucket)
    s3.put_object(Bucket=bucket, Key="web/other", Body=b"stays")
    listed = program("delete-bundle", "--dry-run", location).stdout.split()
    assert len(listed) == 4 and listed[-1].endswith(".manifest.xml") and len(keys(s3, bucket)) == 5
    ami = program("register", "--name", f"d-{bucket}", "--manifest", location).stdout.strip()
    assert f"{ami} is made of this bundle" in program("delete-bundle", location, status=3).stderr
    result = program("deregister", ami)
    assert f"amiwright delete-bundle s3://{location}" in result.stderr
    s3.delete_object(Bucket=bucket, Key="web/disk.part.00")  # an earlier run was cut off
    assert program("delete-bundle", location).stdout.split()[-1] == f"s3://{location}"
    assert keys(s3, bucket) == ["web/other"]


def test_register(program, region, s3, bucket, ec2):
    location = Bundle(region.account(), root="/dev/sda1").put(s3, bucket)
    name = f"r-{bucket}"
    result = program("register", "--name", name, "--manifest", location, "--map", "/dev/sdb=ephemeral0", "--map",
                     "/dev/sdc=none", "--map", "/dev/sdf=:10:gp3", "--tag", "team=web", "-d", "a bundle")
    assert "C3, D2, G2, I2, M3 and R3" in result.stderr
    image = ec2.describe_images(Filters=[{"Name": "manifest-location", "Values": [location]}])["Images"][0]
    assert image["ImageId"] == result.stdout.strip()
    wanted = dict(Name=name, ImageLocation=location, RootDeviceType="instance-store", Architecture="x86_64",
                  VirtualizationType="hvm", RootDeviceName="/dev/sda1", State="available", Description="a bundle",
                  Tags=[{"Key": "team", "Value": "web"}])
    assert {k: image[k] for k in wanted} == wanted and "EnaSupport" not in image
    assert [m["DeviceName"] for m in image["BlockDeviceMappings"]] == ["/dev/sdb", "/dev/sdc", "/dev/sdf"]
    assert image["BlockDeviceMappings"][0]["VirtualName"] == "ephemeral0"
    # A repeat names the AMI that has the name.
    assert image["ImageId"] in program("register", "--name", name, "--manifest", location, status=4).stderr
    pv = program("register", "--name", name + "pv", "--manifest", location, "--virtualization",
                 "paravirtual").stdout.strip()
    assert ec2.describe_images(ImageIds=[pv])["Images"][0]["VirtualizationType"] == "paravirtual"
    program("register", "--name", name + "3", "--manifest", location, "--dry-run")
    shown = program("images", "--id", image["ImageId"], "--long")
    assert f"bundle       {location}" in shown.stdout
    listed = program.json("images", "--id", image["ImageId"])["images"][0]
    assert (listed["root_type"], listed["location"]) == ("instance-store", location)
    with refused(400, "UnsupportedOperation"):
        ec2.copy_image(Name="copy", SourceImageId=image["ImageId"], SourceRegion="us-east-1")


def test_refused_before_ec2_is_asked(program, region, s3, bucket):
    account = region.account()
    good = Bundle(account).put(s3, bucket)
    large = Bundle(account, name="large", size=(10 << 30) + 1).put(s3, bucket)
    cut = Bundle(account, name="cut").put(s3, bucket)
    s3.delete_object(Bucket=bucket, Key="web/cut.part.02")
    short = Bundle(account, name="short").put(s3, bucket)
    s3.put_object(Bucket=bucket, Key="web/short.part.02", Body=b"")
    for status, words, *args in (
            (2, "UEFI and a TPM need an EBS-backed AMI", good, "--boot-mode", "uefi"),
            (2, "the root is in the bundle", good, "--snapshot", "snap-0123456789abcdef0"),
            (2, "the root is in the bundle", good, "--root-device", "/dev/xvda", "--map", "/dev/xvda=ephemeral0"),
            (2, "manifest says x86_64", good, "--arch", "arm64"),
            (2, "needs virtualization hvm", good, "--virtualization", "paravirtual", "--sriov"),
            (1, "at most 10 GiB", large), (1, "cut.part.02, a part of the bundle, is not there", cut),
            (1, "its manifest says", short)):
        assert words in program("register", "--name", "web", "--manifest", *args, status=status).stderr, args


def register(ec2, location, **more):
    return ec2.register_image(**{**dict(Name=f"n-{os.urandom(6).hex()}", ImageLocation=location,
                                        VirtualizationType="hvm"), **more})["ImageId"]


def test_what_ec2_checks(region, s3, bucket, ec2):
    account = region.account()
    good = Bundle(account)
    location = good.put(s3, bucket)
    assert register(ec2, location).startswith("ami-")
    assert register(ec2, good.put(s3, bucket, "public/", "public-read")).startswith("ami-")

    def invalid(words, where, code="InvalidManifest", **more):
        with pytest.raises(Exception, match=words) as caught:
            register(ec2, where, **more)
        assert caught.value.response["Error"]["Code"] == code

    invalid("403", good.put(s3, bucket, "private/", "private"))
    invalid("404", f"{bucket}/no.manifest.xml")
    invalid("404", "no-such-bucket/no.manifest.xml")
    invalid("not of the form", f"{bucket}/x.xml")
    invalid("not of the form", f"s3://{bucket}/x.manifest.xml")
    invalid("not the account", Bundle(region.account("second")).put(s3, bucket, "other/"), "AuthFailure")
    invalid("10 GiB", Bundle(account, size=11 << 30).put(s3, bucket, "large/"))
    invalid("architecture", location, Architecture="arm64")
    invalid("EBS-backed", location, "InvalidParameterCombination", BootMode="uefi")
    partly = Bundle(account).put(s3, bucket, "partly/")
    s3.put_object(Bucket=bucket, Key="partly/disk.part.01", Body=good.parts["disk.part.01"])
    invalid("403", partly)
    s3.delete_object(Bucket=bucket, Key="partly/disk.part.01")
    invalid("404", partly)
    s3.put_object(Bucket=bucket, Key="partly/disk.part.01", Body=b"short", ACL="aws-exec-read")
    invalid("bundled_size", partly)
    there = client(region, "eu-west-1")
    elsewhere = make_bucket(there, "eu-west-1")
    invalid("301", Bundle(account).put(there, elsewhere))


def write(bundle, folder):
    folder.mkdir(exist_ok=True)
    for name, data in bundle.objects("").items():
        (folder / name).write_bytes(data)
    return folder / f"{bundle.name}.manifest.xml"


def grants(s3, bucket, key):
    return [(g["Grantee"].get("URI", g["Grantee"].get("ID"))[-8:], g["Permission"])
            for g in s3.get_object_acl(Bucket=bucket, Key=key)["Grants"]][1:]


def test_upload(program, region, s3, bucket, ec2, tmp_path):
    bundle = Bundle(region.account(), 23)
    manifest = write(bundle, tmp_path / "b")
    assert "location" in program.json("upload-bundle", manifest, f"s3://{bucket}/a/b/", "--dry-run")
    assert keys(s3, bucket) == []
    location = program("upload-bundle", manifest, f"s3://{bucket}/a/b/").stdout.strip()
    assert location == f"{bucket}/a/b/disk.manifest.xml"
    for key, data in bundle.objects("a/b/").items():
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == data
        assert grants(s3, bucket, key) == [("2ec6b97c", "READ")]
    assert register(ec2, location).startswith("ami-")
    # A rerun looks instead of sending; what is another's or gone is sent, and ACLs are set right.
    s3.put_object(Bucket=bucket, Key="a/b/disk.part.04", Body=bytes(len(bundle.parts["disk.part.04"])))
    s3.delete_object(Bucket=bucket, Key="a/b/disk.part.05")
    s3.put_object_acl(Bucket=bucket, Key="a/b/disk.part.06", ACL="private")
    assert grants(s3, bucket, "a/b/disk.part.06") == []
    result = program("upload-bundle", manifest, f"s3://{bucket}/a/b", "--public")
    assert "21 of 23 parts were there already" in result.stderr
    for key, data in bundle.objects("a/b/").items():
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == data
        assert grants(s3, bucket, key) == [("AllUsers", "READ")]


def test_replace(program, region, s3, bucket, tmp_path):
    """Another bundle of the name is kept, or goes wholly: no part of it stays to be paid for."""
    old, new = Bundle(region.account(), 23), Bundle(region.account(), 5, seed=1)
    program("upload-bundle", write(old, tmp_path / "old"), f"s3://{bucket}/web")
    for key in ("disk.part.99", "disk.part.of.mine", "disk2.part.00", "other"):
        s3.put_object(Bucket=bucket, Key=f"web/{key}", Body=b"x")
    manifest = write(new, tmp_path / "new")
    for more in ((), ("--dry-run",)):
        result = program("upload-bundle", manifest, f"s3://{bucket}/web", *more, status=3)
        assert f"s3://{bucket}/web/disk.manifest.xml is there" in result.stderr and "--force" in result.stderr
    assert s3.get_object(Bucket=bucket, Key="web/disk.part.00")["Body"].read() == old.parts["disk.part.00"]
    program("upload-bundle", manifest, f"s3://{bucket}/web", "--force")
    assert keys(s3, bucket) == sorted([*new.objects(), "web/disk.part.of.mine", "web/disk2.part.00", "web/other"])
    # The same bundle is no other one, and is not deleted.
    program("upload-bundle", manifest, f"s3://{bucket}/web")
    program("upload-bundle", manifest, f"s3://{bucket}/web", "--force")
    assert len(keys(s3, bucket)) == 9
    # What has the name need be no manifest, and need not name parts like parts.
    s3.put_object(Bucket=bucket, Key="web/disk.manifest.xml", Body=b"no manifest")
    program("upload-bundle", manifest, f"s3://{bucket}/web", "--force")
    odd = old.manifest.replace(b"disk.part.07", b"odd name")
    s3.put_object(Bucket=bucket, Key="web/disk.manifest.xml", Body=odd)
    s3.put_object(Bucket=bucket, Key="web/odd name", Body=b"x")
    program("upload-bundle", manifest, f"s3://{bucket}/web", "--force")
    assert len(keys(s3, bucket)) == 9


def test_delete_what_has_no_manifest(program, region, s3, bucket, tmp_path):
    """An upload that was cut off; the bucket too when it is empty."""
    bundle, other = Bundle(region.account(), 4), Bundle(region.account(), 4, seed=2)
    manifest, url = write(bundle, tmp_path / "b"), f"s3://{bucket}/web/disk.manifest.xml"
    other.put(s3, bucket)
    assert "another bundle's" in program("delete-bundle", "--manifest", manifest, url, status=3).stderr
    bundle.put(s3, bucket)
    s3.delete_object(Bucket=bucket, Key="web/disk.manifest.xml")
    s3.put_object(Bucket=bucket, Key="mine", Body=b"stays")
    assert "NoSuchKey" in program("delete-bundle", url, status=4).stderr
    assert "cannot open" in program("delete-bundle", "-m", "nothing", url, status=1).stderr
    program("delete-bundle", "-m", manifest, url, "--dry-run", "--clear")
    assert len(keys(s3, bucket)) == 5
    result = program("delete-bundle", "-m", manifest, url, "--clear")
    assert keys(s3, bucket) == ["mine"] and f"the bucket '{bucket}' stays: other objects are in it" in result.stderr
    s3.delete_object(Bucket=bucket, Key="mine")
    assert "deleted the bucket" in program("delete-bundle", "-m", manifest, url, "--clear").stderr
    assert bucket not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def test_upload_of_parts_that_are_not_right(program, region, s3, bucket, tmp_path):
    manifest = write(Bundle(region.account()), tmp_path / "b")
    (tmp_path / "b/disk.part.01").write_bytes(b"x")
    assert "disk.part.01' is not the part" in program("upload-bundle", manifest, f"s3://{bucket}", status=1).stderr
    (tmp_path / "b/disk.part.01").unlink()
    assert "cannot open" in program("upload-bundle", manifest, f"s3://{bucket}", status=1).stderr
    assert keys(s3, bucket) == []


def test_buckets(program, region, s3, tmp_path):
    manifest = write(Bundle(region.account()), tmp_path / "b")
    name = f"b-{os.urandom(6).hex()}"
    assert "--create-bucket" in program("upload-bundle", manifest, f"s3://{name}/x", status=4).stderr
    program("upload-bundle", manifest, f"s3://{name}/x", "--create-bucket", "--dry-run")
    assert name not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    program("upload-bundle", manifest, f"s3://{name}/x", "--create-bucket", "--region", "eu-west-1")
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert "EC2 registers bundles of its own region only" in program("upload-bundle", manifest, f"s3://{name}/x",
                                                                     status=2).stderr
    # A bucket as consoles make them takes no ACLs; the remedy works.
    plain = make_bucket(s3, ownership="BucketOwnerEnforced")
    result = program("upload-bundle", manifest, f"s3://{plain}", status=4)
    assert "takes no ACLs" in result.stderr and "ObjectOwnership=ObjectWriter" in result.stderr
    assert keys(s3, plain) == []
    rules = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    s3.put_bucket_ownership_controls(Bucket=plain, OwnershipControls=rules)
    assert s3.get_bucket_ownership_controls(Bucket=plain)["OwnershipControls"] == rules
    program("upload-bundle", manifest, f"s3://{plain}")
    dotted = f"b.{os.urandom(6).hex()}.c"
    program("upload-bundle", manifest, f"s3://{dotted}", "--create-bucket")
    theirs = make_bucket(client(region, profile="second"))
    assert "another account's" in program("upload-bundle", manifest, f"s3://{theirs}", status=4).stderr
    assert "exclude each other" in program("upload-bundle", manifest, f"s3://{plain}", "--public", "--acl", "private",
                                           status=2).stderr


def test_two_at_once(amiwright, tmp_path):
    """The same bundle from two machines: neither is in the other's way."""
    with RegionServer(tmp_path / "r", "--faults", "slow=300ms") as server:
        amiwright.use(server)
        bundle = Bundle(server.account(), 8)
        manifest = write(bundle, tmp_path / "b")
        client(server).create_bucket(Bucket="shared", ObjectOwnership="ObjectWriter")
        runs = [subprocess.Popen([amiwright.path, "upload-bundle", manifest, "s3://shared/x"], env=amiwright.env,
                                 cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [run.communicate()[0] for run in runs] == ["shared/x/disk.manifest.xml\n"] * 2
        assert [run.returncode for run in runs] == [0, 0]


FAULTS = "throttle=10%,error=3%,reset=3%,truncate=3%,seed=5"


def test_faults(amiwright, tmp_path):
    """10 % SlowDown, 500s, resets before and after the work, cut answers: what arrives is what was sent."""
    with RegionServer(tmp_path / "r", "--faults", FAULTS) as server:
        amiwright.use(server)
        bundle = Bundle(server.account(), 60)
        manifest = write(bundle, tmp_path / "b")
        location = amiwright("upload-bundle", manifest, "s3://faulty/x", "--create-bucket").stdout.strip()
        amiwright("register", "--name", "web", "--manifest", location)
        amiwright("download-bundle", location, "-o", tmp_path / "back")
        again = amiwright("upload-bundle", manifest, "s3://faulty/x")
        assert "60 of 60 parts were there already" in again.stderr
        amiwright("upload-bundle", manifest, "s3://faulty/y")
        gone = amiwright("delete-bundle", "s3://faulty/y/disk.manifest.xml").stdout.split()
        assert gone == [f"s3://faulty/{key}" for key in bundle.objects("y/")]
    for name, data in bundle.objects("").items():
        assert (tmp_path / "back" / name).read_bytes() == data
    # What lies in the bucket, by a server without faults.
    with RegionServer(tmp_path / "r") as server:
        s3 = client(server)
        assert {o: s3.get_object(Bucket="faulty", Key=o)["Body"].read() for o in keys(s3, "faulty")} == \
            bundle.objects("x/")


def test_bucket_that_is_full_of_trouble(amiwright, tmp_path):
    with RegionServer(tmp_path / "r", "--faults", "throttle=100%") as server:
        amiwright.use(server)
        manifest = write(Bundle(server.account()), tmp_path / "b")
        result = amiwright("upload-bundle", manifest, "s3://some-bucket", "--max-attempts", "2", status=4)
        assert "HeadBucket some-bucket failed after 2 attempts" in result.stderr
