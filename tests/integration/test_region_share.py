# SPDX-License-Identifier: Apache-2.0
"""Several accounts and Regions of one local region: who sees, uses and changes what."""
import datetime

import pytest

from region_clients import A, B, make, put, query, refused, register
from region_server import RegionServer


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    with RegionServer(tmp_path_factory.mktemp("region") / "r", "--accounts", "3") as server:
        yield server


@pytest.fixture(scope="module")
def mine(region):
    return region.client("ec2")


@pytest.fixture(scope="module")
def theirs(region):
    return region.client("ec2", "second")


@pytest.fixture
def image(region, mine):
    snapshot = make(region.client("ebs"), {0: A, 5: B})
    return register(mine, snapshot)


def snapshot_of(ec2, image):
    return ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


def permit(ec2, image, change="Add", **who):
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={change: [who]})


def permissions(ec2, image):
    return ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]


def test_ids_belong_to_their_region(region, mine, image):
    there = region.client("ec2", region="eu-west-1")
    with refused(400, "InvalidAMIID.NotFound"):
        there.describe_images(ImageIds=[image])
    with refused(400, "InvalidSnapshot.NotFound"):
        there.describe_snapshots(SnapshotIds=[snapshot_of(mine, image)])
    assert there.describe_images(Owners=["self"])["Images"] == []
    ebs = region.client("ebs", region="eu-west-1")
    with refused(404, "ResourceNotFoundException", reason="SNAPSHOT_NOT_FOUND"):
        ebs.list_snapshot_blocks(SnapshotId=snapshot_of(mine, image))
    made = make(ebs, {1: A})
    assert region.content(made, "eu-west-1").exists() and not region.content(made).exists()
    name = mine.describe_images(ImageIds=[image])["Images"][0]["Name"]
    assert register(there, made, Name=name)  # a name is taken in one Region only


def test_launch_permission_of_an_account(region, mine, theirs, image):
    owner, other = region.account(), region.account("second")
    mine.create_tags(Resources=[image], Tags=[{"Key": "secret", "Value": "1"}])
    with refused(400, "InvalidAMIID.NotFound"):
        theirs.describe_images(ImageIds=[image])
    permit(mine, image, UserId=other)
    permit(mine, image, UserId=other)
    assert permissions(mine, image) == [{"UserId": other}]
    seen = theirs.describe_images(ImageIds=[image])["Images"][0]
    assert (seen["OwnerId"], seen["Public"], seen.get("Tags")) == (owner, False, None)
    ids = lambda **by: [i["ImageId"] for i in theirs.describe_images(**by)["Images"]]
    assert image in ids(ExecutableUsers=["self"]) and image in ids(Owners=[owner])
    assert image not in ids(Owners=["self"]) and image not in ids(ExecutableUsers=["all"])
    assert ids(Filters=[{"Name": "tag:secret", "Values": ["1"]}]) == []
    for call in (lambda: permissions(theirs, image), lambda: theirs.deregister_image(ImageId=image),
                 lambda: permit(theirs, image, UserId=owner)):
        with refused(400, "AuthFailure"):
            call()
    third = region.client("ec2", "third")
    with refused(400, "InvalidAMIID.NotFound"):
        third.describe_images(ImageIds=[image])
    permit(mine, image, "Remove", UserId=other)
    with refused(400, "InvalidAMIID.NotFound"):
        theirs.describe_images(ImageIds=[image])


def test_launch_permission_of_organizations(region, mine, theirs, image):
    organization, unit = region.organization()
    permit(mine, image, OrganizationalUnitArn=unit)
    assert permissions(mine, image) == [{"OrganizationalUnitArn": unit}]
    assert [i["ImageId"] for i in theirs.describe_images(ExecutableUsers=["self"], ImageIds=[image])["Images"]] == [image]
    assert theirs.describe_images(ExecutableUsers=[region.account("second")], ImageIds=[image])["Images"]
    permit(mine, image, "Remove", OrganizationalUnitArn=unit)
    permit(mine, image, OrganizationArn=organization)
    assert theirs.describe_images(ImageIds=[image])["Images"]
    mine.reset_image_attribute(ImageId=image, Attribute="launchPermission")
    assert permissions(mine, image) == []
    with refused(400, "InvalidAMIAttributeItemValue"):
        permit(mine, image, OrganizationArn=unit)
    with refused(400, "InvalidRequest"):
        mine.reset_image_attribute(ImageId=image, Attribute="description")


def test_flat_form_of_permissions(region, mine, image):
    both = [region.account("second"), "111122223333"]
    mine.modify_image_attribute(ImageId=image, Attribute="launchPermission", OperationType="add", UserIds=both)
    assert permissions(mine, image) == [{"UserId": u} for u in both]
    mine.modify_image_attribute(ImageId=image, Attribute="launchPermission", OperationType="remove", UserIds=both[:1])
    assert permissions(mine, image) == [{"UserId": both[1]}]
    with refused(412, "DryRunOperation"):
        mine.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": both[0]}]}, DryRun=True)
    assert permissions(mine, image) == [{"UserId": both[1]}]


def test_public_and_the_block_of_it(region, mine, theirs, image):
    assert query(region, "GetImageBlockPublicAccessState").findtext("imageBlockPublicAccessState") == "unblocked"
    answer = query(region, "EnableImageBlockPublicAccess", ImageBlockPublicAccessState="block-new-sharing")
    assert answer.findtext("imageBlockPublicAccessState") == "block-new-sharing"
    with refused(400, "OperationNotPermitted"):
        permit(mine, image, Group="all")
    permit(mine, image, UserId=region.account("second"))
    assert query(region, "DisableImageBlockPublicAccess").findtext("imageBlockPublicAccessState") == "unblocked"
    permit(mine, image, Group="all")
    third = region.client("ec2", "third")
    assert third.describe_images(ImageIds=[image], ExecutableUsers=["all"])["Images"][0]["Public"] is True
    assert third.describe_images(Filters=[{"Name": "is-public", "Values": ["true"]}])["Images"]
    with refused(400, "InvalidAMIAttributeItemValue"):
        permit(mine, image, Group="some")


def test_image_attributes(mine, image):
    change = lambda **what: mine.modify_image_attribute(ImageId=image, **what)
    get = lambda name, key: mine.describe_image_attribute(ImageId=image, Attribute=name)[key]
    change(Description={"Value": "new & old"})
    assert get("description", "Description") == {"Value": "new & old"}
    change(Attribute="imdsSupport", Value="v2.0")
    assert mine.describe_images(ImageIds=[image])["Images"][0]["ImdsSupport"] == "v2.0"
    with refused(400, "InvalidParameterCombination", "No attributes specified."):
        change()
    with refused(400, "InvalidParameterCombination", "Fields for multiple attribute types specified: description, imds"):
        change(Description={"Value": "x"}, Attribute="imdsSupport", Value="v2.0")
    with refused(400, "MissingParameter"):
        change(Description={"Value": ""})
    with refused(400, "InvalidAMIAttributeItemValue"):
        permit(mine, image, UserId="123")
    with refused(400, "AuthFailure"):
        get("blockDeviceMapping", "BlockDeviceMappings")


def test_snapshot_permissions(region, mine, theirs, image):
    snapshot, other = snapshot_of(mine, image), region.account("second")
    ebs = region.client("ebs", "second")
    attribute = dict(SnapshotId=snapshot, Attribute="createVolumePermission")
    with refused(404, "ResourceNotFoundException"):
        ebs.list_snapshot_blocks(SnapshotId=snapshot)
    mine.modify_snapshot_attribute(**attribute, OperationType="add", UserIds=[other])
    assert mine.describe_snapshot_attribute(**attribute)["CreateVolumePermissions"] == [{"UserId": other}]
    assert theirs.describe_snapshots(RestorableByUserIds=["self"], SnapshotIds=[snapshot])["Snapshots"]
    assert theirs.describe_snapshots(OwnerIds=["self"], SnapshotIds=[snapshot])["Snapshots"] == []
    blocks = ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]
    assert ebs.get_snapshot_block(SnapshotId=snapshot, **blocks[0])["BlockData"].read() == A
    with refused(404, "ResourceNotFoundException"):
        ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=snapshot)
    with refused(404, "ResourceNotFoundException"):
        put(ebs, snapshot, 1, A)
    with refused(400, "InvalidParameterValue", "Snapshot does not belong to"):
        register(theirs, snapshot)
    with refused(400, "AuthFailure"):
        theirs.delete_snapshot(SnapshotId=snapshot)
    with refused(400, "InvalidParameterCombination"):
        mine.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={
            "Add": [{"UserId": other}], "Remove": [{"UserId": "111122223333"}]})
    mine.reset_snapshot_attribute(**attribute)
    with refused(400, "InvalidSnapshot.NotFound"):
        theirs.describe_snapshots(SnapshotIds=[snapshot])
    mine.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"Group": "all"}]})
    assert theirs.describe_snapshots(RestorableByUserIds=["all"])["Snapshots"]
    with refused(404, "ResourceNotFoundException"):  # the EBS direct APIs take no public snapshots
        ebs.list_snapshot_blocks(SnapshotId=snapshot)


def test_snapshot_block_public_access(region, mine, image):
    snapshot = snapshot_of(mine, image)
    assert query(region, "EnableSnapshotBlockPublicAccess", State="block-all-sharing").findtext("state") == \
        "block-all-sharing"
    with refused(400, "OperationNotPermitted"):
        mine.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"Group": "all"}]})
    assert query(region, "DisableSnapshotBlockPublicAccess").findtext("state") == "unblocked"
    assert query(region, "GetSnapshotBlockPublicAccessState").findtext("managedBy") == "account"


def test_encrypted_is_shared_under_own_keys_only(region, mine):
    ebs = region.client("ebs")
    snapshot = make(ebs, {0: A}, Encrypted=True)
    image = register(mine, snapshot)
    share = dict(SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add")
    with refused(400, "OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared"):
        mine.modify_snapshot_attribute(**share, UserIds=[region.account("second")])
    with refused(400, "OperationNotPermitted", "Encrypted snapshots cannot be shared publicly."):
        mine.modify_snapshot_attribute(**share, GroupNames=["all"])
    with refused(400, "OperationNotPermitted"):
        permit(mine, image, UserId=region.account("second"))
    with refused(400, "OperationNotPermitted"):
        permit(mine, image, Group="all")


def test_deprecation(region, mine, theirs, image):
    now = datetime.datetime.now(datetime.timezone.utc)
    permit(mine, image, UserId=region.account("second"))
    at = now + datetime.timedelta(days=700)
    mine.enable_image_deprecation(ImageId=image, DeprecateAt=at)
    assert mine.describe_images(ImageIds=[image])["Images"][0]["DeprecationTime"] == at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    with refused(400, "InvalidParameterValue"):
        mine.enable_image_deprecation(ImageId=image, DeprecateAt=now - datetime.timedelta(days=1))
    permit(mine, image, Group="all")
    with refused(400, "InvalidParameterValue"):
        mine.enable_image_deprecation(ImageId=image, DeprecateAt=now + datetime.timedelta(days=740))
    mine.disable_image_deprecation(ImageId=image)
    assert "DeprecationTime" not in mine.describe_images(ImageIds=[image])["Images"][0]


def test_deprecated_images_are_shown_on_request(region, mine, theirs, image):
    permit(mine, image, UserId=region.account("second"))
    mine.enable_image_deprecation(ImageId=image, DeprecateAt=datetime.datetime.now(datetime.timezone.utc)
                                  + datetime.timedelta(minutes=10))
    region.stop()
    record = region.folder / "regions/us-east-1/images" / f"{image}.json"
    text = record.read_text()
    year = datetime.datetime.now().year
    for later in (year, year + 1):
        text = text.replace(f'"deprecationTime": "{later}-', '"deprecationTime": "2020-')
    record.write_text(text)
    region.start()
    mine, theirs = region.client("ec2"), region.client("ec2", "second")
    listed = lambda ec2, **more: image in [i["ImageId"] for i in ec2.describe_images(**more)["Images"]]
    assert not listed(theirs) and listed(theirs, IncludeDeprecated=True) and listed(theirs, ImageIds=[image])
    assert listed(mine)


def test_deregistration_protection_and_disabling(region, tmp_path):
    mine = region.client("ec2")
    image = register(mine, make(region.client("ebs"), {0: A}))
    state = lambda: query(region, "DescribeImages", ImageId__1=image).findtext(".//deregistrationProtection")
    assert query(region, "EnableImageDeregistrationProtection", ImageId=image).findtext("return") == \
        "enabled-without-cooldown" == state()
    with refused(400, "OperationNotPermitted"):
        mine.deregister_image(ImageId=image)
    assert query(region, "DisableImageDeregistrationProtection", ImageId=image).findtext("return") == "disabled"
    other = register(mine, snapshot_of(mine, image))
    query(region, "EnableImageDeregistrationProtection", ImageId=other, WithCooldown="true")
    query(region, "DisableImageDeregistrationProtection", ImageId=other)
    with refused(400, "OperationNotPermitted", "disabled after"):
        mine.deregister_image(ImageId=other)
    permit(mine, image, UserId=region.account("second"))
    query(region, "DisableImage", ImageId=image)
    ids = lambda *more: [e.text for e in query(region, "DescribeImages", **dict(more)).iter("imageId")]
    assert image not in ids() and image in ids(("IncludeDisabled", "true"))
    with refused(400, "InvalidAMIID.NotFound"):
        region.client("ec2", "second").describe_images(ImageIds=[image])
    query(region, "EnableImage", ImageId=image)
    assert image in ids() and permissions(mine, image) == []
    answer = query(region, "DeregisterImage", ImageId=image, DeleteAssociatedSnapshots="true")
    assert [(e.findtext("snapshotId"), e.findtext("returnCode")) for e in answer.find("deleteSnapshotResultSet")] == \
        [(snapshot_of(mine, other), "skipped")]


def test_account_state_is_each_accounts_own(region):
    mine, theirs = region.client("ec2"), region.client("ec2", "second")
    with refused(412, "DryRunOperation"):
        mine.enable_ebs_encryption_by_default(DryRun=True)
    assert mine.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert mine.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert theirs.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert region.client("ec2", region="eu-west-1").get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert mine.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    zones = mine.describe_availability_zones()["AvailabilityZones"]
    assert [z["ZoneName"] for z in zones] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert mine.describe_instances()["Reservations"] == []
    assert mine.describe_fast_snapshot_restores()["FastSnapshotRestores"] == []


def test_an_older_folder_is_refused(tmp_path, amiwright):
    (tmp_path / "r/snapshots").mkdir(parents=True)
    result = amiwright("serve", tmp_path / "r", status=1, timeout=30)
    assert "is of an earlier version (it has 'snapshots')" in result.stderr


def test_accounts_are_kept_and_added(tmp_path):
    server = RegionServer(tmp_path / "r", "--accounts", "1")
    with server:
        first = dict(server.profile())
        with pytest.raises(KeyError):
            server.profile("second")
    server.options = ("--accounts", "4")
    with server:
        assert dict(server.profile()) == first
        ids = {server.account(p) for p in ("default", "second", "third", "fourth")}
        assert len(ids) == 4 and all(len(i) == 12 for i in ids)
        assert (tmp_path / "r/credentials").stat().st_mode & 0o777 == 0o600
