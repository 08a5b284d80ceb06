# SPDX-License-Identifier: Apache-2.0
"""`images` and the whole of `register` against the strict server."""
import base64

import pytest

from strict_images import OTHER, ec2  # noqa: F401


def image(ec2, name, region="eu-north-1", **more):
    return ec2.add_image(name, [ec2.add_snapshot(region)], region, **more)


def names(out):
    return [line.split()[-1] for line in out.stdout.splitlines()]


def test_oldest_first_and_own(amiwright, ec2):
    image(ec2, "young", created="2026-05-01T00:00:00.000Z")
    image(ec2, "old", created="2025-05-01T00:00:00.000Z")
    image(ec2, "theirs", owner=OTHER)
    assert names(amiwright("images")) == ["old", "young"]
    assert names(amiwright("images", "--owner", "any")) == ["old", "theirs", "young"]
    # Others' images are too many for one answer.
    assert [c.get("MaxResults") for c in ec2.calls("DescribeImages")] == [None, "1000"]


def test_filters(amiwright, ec2):
    ami = image(ec2, "web-1", tags={"team": "a"})
    image(ec2, "web-2", tags={"team": "b"}, arch="arm64")
    assert names(amiwright("images", "--filter", "tag:team=a")) == ["web-1"]
    assert names(amiwright("images", "--filter", "tag:team=*", "--filter", "architecture=arm64")) == ["web-2"]
    assert names(amiwright("images", "--name", "web-?", "--filter", "tag:team=a")) == ["web-1"]
    assert names(amiwright("images", "--id", ami)) == ["web-1"]
    assert "is not NAME=VALUE" in amiwright("images", "--filter", "team", status=2).stderr


def test_all_regions(amiwright, ec2):
    image(ec2, "here")
    image(ec2, "there", "us-west-2")
    out = amiwright("images", "--all-regions")
    assert [line.split()[0] for line in out.stdout.splitlines()] == ["eu-north-1", "us-west-2"]
    assert [i["region"] for i in amiwright.json("images", "--all-regions")["images"]] == ["eu-north-1", "us-west-2"]


def test_long(amiwright, ec2):
    ami = image(ec2, "web", tags={"team": "a"}, protection="enabled-without-cooldown", source=("us-west-2", "ami-0"),
                deprecation="2027-01-01T00:00:00.000Z", launched="2026-02-01T00:00:00Z")
    ec2.images[ami]["shared"] += [("userId", OTHER), ("organizationArn", "arn:aws:organizations::1:organization/o-x")]
    out = amiwright("images", "--long").stdout
    for text in ("deprecation  2027-01-01", "protection   enabled-without-cooldown", f"shared       account {OTHER}",
                 "shared       organization arn:", "copy of      us-west-2/ami-0", "tag          team=a", "/dev/xvda"):
        assert text in out
    doc = amiwright.json("images", "-l")["images"][0]
    assert doc["shared"]["accounts"] == [OTHER] and doc["protection"] == "enabled-without-cooldown"
    assert "shared" not in amiwright.json("images")["images"][0]


# register

def test_register_all(amiwright, ec2, tmp_path):
    root, data = ec2.add_snapshot(), ec2.add_snapshot()
    (tmp_path / "vars").write_bytes(b"AMZNUEFI" + bytes(range(200)))
    ami = amiwright("register", "--name", "web (1)", "--root-device", "/dev/sda1", "--snapshot", root,
                    "--map", f"/dev/sdf={data}:20:gp3:6000:500,keep", "--map", "/dev/sdg=:200:io2:9000,encrypted",
                    "--map", "/dev/sdh=:125:st1", "--map", "/dev/sdi=:10::,plain", "--map", "/dev/sdb=ephemeral0",
                    "--map", "/dev/sdc=none", "--arch", "arm64", "--boot-mode", "uefi", "--tpm", "v2.0",
                    "--imds", "v2.0", "--sriov", "--uefi-data", "vars", "--billing-product", "bp-1",
                    "--description", "all of it", "--tag", "team=a").stdout.strip()
    given = ec2.images[ami]["given"]
    mapping = {k: v for k, v in given.items() if k.startswith("BlockDeviceMapping")}
    rest = {k: v for k, v in given.items() if k not in mapping and not k.startswith("@")}
    assert rest == {
        "Name": "web (1)", "Description": "all of it", "Architecture": "arm64", "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/sda1", "EnaSupport": "true", "SriovNetSupport": "simple", "BootMode": "uefi",
        "TpmSupport": "v2.0", "ImdsSupport": "v2.0", "BillingProduct.1": "bp-1",
        "UefiData": base64.b64encode(b"AMZNUEFI" + bytes(range(200))).decode(),
        "TagSpecification.1.ResourceType": "image", "TagSpecification.1.Tag.1.Key": "team",
        "TagSpecification.1.Tag.1.Value": "a"}
    ebs = "BlockDeviceMapping.{}.Ebs."
    assert mapping == {
        "BlockDeviceMapping.1.DeviceName": "/dev/sda1", ebs.format(1) + "SnapshotId": root,
        "BlockDeviceMapping.2.DeviceName": "/dev/sdf", ebs.format(2) + "SnapshotId": data,
        ebs.format(2) + "VolumeSize": "20", ebs.format(2) + "VolumeType": "gp3", ebs.format(2) + "Iops": "6000",
        ebs.format(2) + "Throughput": "500", ebs.format(2) + "DeleteOnTermination": "false",
        "BlockDeviceMapping.3.DeviceName": "/dev/sdg", ebs.format(3) + "VolumeSize": "200",
        ebs.format(3) + "VolumeType": "io2", ebs.format(3) + "Iops": "9000", ebs.format(3) + "Encrypted": "true",
        "BlockDeviceMapping.4.DeviceName": "/dev/sdh", ebs.format(4) + "VolumeSize": "125",
        ebs.format(4) + "VolumeType": "st1",
        "BlockDeviceMapping.5.DeviceName": "/dev/sdi", ebs.format(5) + "VolumeSize": "10",
        ebs.format(5) + "Encrypted": "false",
        "BlockDeviceMapping.6.DeviceName": "/dev/sdb", "BlockDeviceMapping.6.VirtualName": "ephemeral0",
        "BlockDeviceMapping.7.DeviceName": "/dev/sdc", "BlockDeviceMapping.7.NoDevice": ""}


def test_uefi_data_as_text(amiwright, ec2, tmp_path):
    root = ec2.add_snapshot()
    (tmp_path / "vars").write_text("QU1a\nTlVF\n")
    ami = amiwright("register", "--name", "web", "-s", root, "--uefi-data", "vars").stdout.strip()
    assert ec2.images[ami]["given"]["UefiData"] == "QU1aTlVF"


def test_register_dry_run(amiwright, ec2):
    root = ec2.add_snapshot()
    out = amiwright("register", "--name", "web", "-s", root, "--dry-run")
    assert root in out.stdout and not ec2.images and not ec2.changes()
    ec2.denied["RegisterImage"] = "UnauthorizedOperation"
    assert "UnauthorizedOperation" in amiwright("register", "--name", "web", "-s", root, "-n", status=4).stderr


@pytest.mark.parametrize("args, text", [
    (["--map", "/dev/sdf=snap-1:8:gp3:1:2:3"], "--map"),
    (["--map", "/dev/sdf=snap-1:8:gp3,forever"], "--map"),
    (["--map", "/dev/sdf=snap-1:x"], "size in GiB"),
    (["--map", "/dev/sdf=snap-1,encrypted"], "takes the snapshot's"),
    (["--map", "/dev/sdf=:8:gp2:3000"], "iops cannot be set"),
    (["--map", "/dev/sdf=:8:io1"], "needs iops"),
    (["--map", "/dev/sdf=:8:gp3:3000:900"], "need at least 3600 IOPS"),
    (["--uefi-data", "vars"], "neither a variable store"),
    (["--boot-mode", "uefi-preferred", "--tpm", "v2.0"], "needs boot mode uefi"),
])
def test_register_refused_before_any_call(amiwright, ec2, tmp_path, args, text):
    (tmp_path / "vars").write_bytes(b"\x7fELF\0")
    out = amiwright("register", "--name", "web", "-s", "snap-0", *args, status=2)
    assert text in out.stderr and not ec2.requests
