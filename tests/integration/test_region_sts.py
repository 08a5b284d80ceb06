# SPDX-License-Identifier: Apache-2.0
"""STS of the local region under boto3: identities, sessions of roles, and what an expired session is told."""
import datetime
import json

import botocore.config
import boto3
import pytest

from region_clients import A, make, refused


@pytest.fixture(scope="module")
def sts(region):
    return region.client("sts")


def role(region, name="builder", profile="default"):
    return f"arn:aws:iam::{region.account(profile)}:role/{name}"


def session_keys(answer):
    c = answer["Credentials"]
    return dict(aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"],
                aws_session_token=c["SessionToken"])


def test_identity(region, sts):
    shown = sts.get_caller_identity()
    assert shown["Account"] == region.account() and shown["Arn"] == f"arn:aws:iam::{region.account()}:user/default"
    assert region.client("sts", "second").get_caller_identity()["Account"] == region.account("second")


def test_assumed_roles(region, sts):
    answer = sts.assume_role(RoleArn=role(region, "path/builder", "second"), RoleSessionName="ci@1", DurationSeconds=900)
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 800 < left.total_seconds() <= 900
    keys = session_keys(answer)
    shown = region.client("sts", keys=keys).get_caller_identity()
    assert shown["Account"] == region.account("second")
    assert shown["Arn"] == f"arn:aws:sts::{region.account('second')}:assumed-role/builder/ci@1" == \
        answer["AssumedRoleUser"]["Arn"]
    snapshot = make(region.client("ebs", keys=keys), {0: A})
    mine = region.client("ec2", keys=keys).describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert [(s["SnapshotId"], s["OwnerId"]) for s in mine] == [(snapshot, region.account("second"))]
    again = region.client("sts", keys=keys).assume_role(RoleArn=role(region), RoleSessionName="chained")
    assert region.client("sts", keys=session_keys(again)).get_caller_identity()["Account"] == region.account()


def test_a_role_may_have_a_name_of_one_letter(region, sts):
    answer = sts.assume_role(RoleArn=role(region, "x"), RoleSessionName="s1")
    assert answer["AssumedRoleUser"]["Arn"].endswith(":assumed-role/x/s1")


def test_sessions_survive_a_restart(region, sts):
    keys = session_keys(sts.assume_role(RoleArn=role(region), RoleSessionName="before"))
    region.stop()
    region.start()
    assert region.client("sts", keys=keys).get_caller_identity()["Arn"].endswith("/before")


def test_refusals(region):
    sts = region.client("sts")
    assume = lambda **more: sts.assume_role(**{**dict(RoleArn=role(region), RoleSessionName="x1"), **more})
    with refused(403, "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource"):
        assume(RoleArn="arn:aws:iam::111122223333:role/builder")
    for wrong in (dict(RoleArn="builder"), dict(RoleSessionName="a b"), dict(DurationSeconds=899),
                  dict(DurationSeconds=43201)):
        with refused(400, "ValidationError"):
            assume(**wrong)
    (region.folder / "roles.json").write_text(json.dumps({role(region, "vendor"): {"externalId": "e-1"}}))
    for wrong in ({}, {"ExternalId": "e-2"}):
        with refused(403, "AccessDenied"):
            assume(RoleArn=role(region, "vendor"), **wrong)
    assert assume(RoleArn=role(region, "vendor"), ExternalId="e-1")["Credentials"]["SessionToken"]
    keys = session_keys(assume())
    for spoiled in (dict(keys, aws_session_token=keys["aws_session_token"][:-4] + "AAAA"),
                    dict(keys, aws_access_key_id="ASIAXXXXXXXXXXXXXXXX"), dict(keys, aws_session_token=None)):
        with refused(403, "InvalidClientTokenId"):
            region.client("sts", keys=spoiled).get_caller_identity()
    with refused(403, "SignatureDoesNotMatch"):
        region.client("sts", keys=dict(keys, aws_secret_access_key="x" * 40)).get_caller_identity()


def test_web_identity_is_not_signed(region):
    sts = boto3.client("sts", endpoint_url=region.endpoint, region_name="us-east-1",
                       config=botocore.config.Config(signature_version=botocore.UNSIGNED))
    answer = sts.assume_role_with_web_identity(RoleArn=role(region), RoleSessionName="web", WebIdentityToken="a.b.c")
    assert region.client("sts", keys=session_keys(answer)).get_caller_identity()["Arn"].endswith("/web")
    with refused(403, "MissingAuthenticationToken"):
        sts.get_caller_identity()
