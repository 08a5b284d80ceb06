# SPDX-License-Identifier: Apache-2.0
"""EC2's image and snapshot calls of the local region under boto3."""
import datetime
import os

from region_clients import A, complete, make, refused, register


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
    twice = [{"Key": "c", "Value": "1"}, {"Key": "c", "Value": "2"}]
    with refused(400, "InvalidParameterValue", "Duplicate tag key 'c' specified."):
        ec2.create_tags(Resources=[snapshot], Tags=twice)
    with refused(400, "InvalidParameterValue", "Duplicate tag key 'c' specified."):
        ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=snapshot,
                          TagSpecifications=[{"ResourceType": "snapshot", "Tags": twice}])
    assert tags() == {"a": "2"}


def test_account_calls(ec2):
    names = [r["RegionName"] for r in ec2.describe_regions(RegionNames=["eu-west-1", "us-east-1"])["Regions"]]
    assert names == ["eu-west-1", "us-east-1"] and len(ec2.describe_regions()["Regions"]) > 30
    assert ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    with refused(400, "InvalidAction", "The action DescribeVpcs is not valid for this web service."):
        ec2.describe_vpcs()


def test_launch_templates_keep_their_image(ebs, ec2, region, amiwright):
    image = register(ec2, make(ebs, {0: A}), Name=f"lt-{os.urandom(6).hex()}")
    name = f"web-{os.urandom(6).hex()}"
    create = lambda title: ec2.create_launch_template(LaunchTemplateName=title, LaunchTemplateData={"ImageId": image})
    first = create(name)["LaunchTemplate"]["LaunchTemplateId"]
    with refused(400, "InvalidLaunchTemplateName.AlreadyExistsException"):
        create(name)
    create(name + "-2")
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        Versions=["$Latest", "$Default"], Filters=[{"Name": "image-id", "Values": [image]}], PaginationConfig={"PageSize": 1})
    found = [v for page in pages for v in page["LaunchTemplateVersions"]]
    assert [v["LaunchTemplateName"] for v in found] == [name, name + "-2"]
    assert found[0]["LaunchTemplateId"] == first and found[0]["LaunchTemplateData"] == {"ImageId": image}
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials"), "AWS_REGION": "us-east-1"}
    command = ("deregister", image, "--endpoint-url", region.endpoint)
    assert f"is named by launch template {first} ({name}), version 1, and by others" in \
        amiwright(*command, status=3, env=env).stderr
    ec2.delete_launch_template(LaunchTemplateId=first)
    ec2.delete_launch_template(LaunchTemplateName=name + "-2")
    with refused(400, "InvalidLaunchTemplateId.NotFound"):
        ec2.delete_launch_template(LaunchTemplateId=first)
    assert amiwright(*command, env=env).stdout == image + "\n"


def test_device_names_have_an_end(ebs, ec2):
    snapshot = make(ebs, {0: A})
    with refused(400, "InvalidBlockDeviceMapping", "Invalid device name"):
        register(ec2, snapshot, others=[{"DeviceName": "/dev/" + "x" * 5000, "VirtualName": "ephemeral0"}])
    with refused(400, "InvalidBlockDeviceMapping"):
        register(ec2, snapshot, RootDeviceName="/dev/" + "x" * 5000)
