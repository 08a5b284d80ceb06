# SPDX-License-Identifier: Apache-2.0
"""Keys of the local region under boto3's KMS client, and what StartSnapshot does with them."""
import json

import pytest

from region_clients import A, make, refused, register


@pytest.fixture(scope="module")
def kms(region):
    return region.client("kms")


def test_the_managed_key_is_there(region, kms):
    shown = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
    assert (shown["KeyManager"], shown["KeyState"], shown["AWSAccountId"]) == ("AWS", "Enabled", region.account())
    assert kms.describe_key(KeyId=shown["Arn"])["KeyMetadata"]["KeyId"] == shown["KeyId"]
    assert [a["TargetKeyId"] for a in kms.list_aliases()["Aliases"]] == [shown["KeyId"]]
    with refused(400, "NotFoundException"):
        region.client("kms", "second").describe_key(KeyId=shown["Arn"])
    with refused(400, "NotFoundException"):
        region.client("kms", region="eu-west-1").describe_key(KeyId=shown["Arn"])
    assert region.client("ec2").get_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"


def test_customer_keys(region, kms, ebs):
    made = kms.create_key(Description="for images")["KeyMetadata"]
    assert (made["KeyManager"], made["Description"], made["Enabled"]) == ("CUSTOMER", "for images", True)
    kms.create_alias(AliasName="alias/ami", TargetKeyId=made["KeyId"])
    assert kms.describe_key(KeyId="alias/ami")["KeyMetadata"]["Arn"] == made["Arn"]
    with refused(400, "AlreadyExistsException"):
        kms.create_alias(AliasName="alias/ami", TargetKeyId=made["KeyId"])
    assert made["KeyId"] in [k["KeyId"] for k in kms.list_keys()["Keys"]]
    assert ebs.start_snapshot(VolumeSize=1, KmsKeyArn=made["Arn"])["KmsKeyArn"] == made["Arn"]
    kms.disable_key(KeyId=made["KeyId"])
    assert kms.describe_key(KeyId="alias/ami")["KeyMetadata"]["KeyState"] == "Disabled"
    with refused(400, "ValidationException", reason="INVALID_CUSTOMER_KEY"):
        ebs.start_snapshot(VolumeSize=1, KmsKeyArn=made["Arn"])
    kms.enable_key(KeyId="alias/ami")
    ec2 = region.client("ec2")
    assert ec2.modify_ebs_default_kms_key_id(KmsKeyId="alias/ami")["KmsKeyId"] == made["Arn"]
    assert ebs.start_snapshot(VolumeSize=1, Encrypted=True)["KmsKeyArn"] == made["Arn"]
    assert ec2.reset_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"
    with refused(400, "InvalidKmsKeyId.NotFound"):
        ec2.modify_ebs_default_kms_key_id(KmsKeyId="alias/none")


def test_a_key_of_another_account(region, kms):
    """It is used, and its snapshots are read, when its policy says so."""
    other = region.account("second")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    ebs, theirs = region.client("ebs"), region.client("ebs", "second")
    with refused(400, "ValidationException", reason="INVALID_CUSTOMER_KEY"):
        theirs.start_snapshot(VolumeSize=1, KmsKeyArn=key)
    snapshot = make(ebs, {0: A}, KmsKeyArn=key)
    ec2 = region.client("ec2")
    ec2.modify_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add",
                                  UserIds=[other])
    with refused(403, "AccessDeniedException", reason="DEPENDENCY_ACCESS_DENIED"):
        theirs.list_snapshot_blocks(SnapshotId=snapshot)
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other}:root"}, "Action": "kms:*", "Resource": "*"}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Statement": [statement]}))
    assert other in kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    assert [b["BlockIndex"] for b in theirs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]] == [0]
    assert theirs.start_snapshot(VolumeSize=1, KmsKeyArn=key)["KmsKeyArn"] == key
    image = register(ec2, snapshot)
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": other}]})
    with refused(400, "OperationNotPermitted"):
        ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"Group": "all"}]})


def test_encryption_by_default(region, ebs):
    ec2 = region.client("ec2")
    plain = make(ebs, {0: A})
    ec2.enable_ebs_encryption_by_default()
    try:
        key = region.client("kms").describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
        assert ebs.start_snapshot(VolumeSize=1)["KmsKeyArn"] == key
        for wrong in (dict(Encrypted=False), dict(ParentSnapshotId=plain)):
            with refused(400, "ValidationException", "Encryption by default is on"):
                ebs.start_snapshot(VolumeSize=1, **wrong)
        parent = make(ebs, {0: A}, Encrypted=True)
        assert ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)["KmsKeyArn"] == key
    finally:
        ec2.disable_ebs_encryption_by_default()


@pytest.mark.parametrize("policy,code", [
    ("{", "MalformedPolicyDocumentException"), ("[]", "MalformedPolicyDocumentException"),
    ('{"Statement": ' + "[" * 2000 + "]" * 2000 + "}", "MalformedPolicyDocumentException"),
    ('{"Statement": ' + '{"a":' * 17 + "1" + "}" * 18, "MalformedPolicyDocumentException"),
    (json.dumps({"Statement": [], "Id": "x" * 33000}), "LimitExceededException"),
], ids=["cut", "list", "deep", "levels", "long"])
def test_policies_that_are_none(kms, policy, code):
    """A new key's, and one that takes another's place; brackets in texts are no levels."""
    with refused(400, code):
        kms.create_key(Policy=policy)
    right = json.dumps({"Statement": [{"Sid": "\\" + "[" * 50 + '"{', "Effect": "Allow",
                                       "Condition": {"a": {"b": ["c"]}}}]})
    key = kms.create_key(Policy=right)["KeyMetadata"]["KeyId"]
    with refused(400, code):
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == right


def test_keys_survive(region, kms):
    key = kms.create_key()["KeyMetadata"]["Arn"]
    region.stop()
    region.start()
    assert region.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyManager"] == "CUSTOMER"
