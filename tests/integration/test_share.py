# SPDX-License-Identifier: Apache-2.0
"""`share` and `unshare` against the strict server."""
import pytest

from strict_images import KMS, OTHER, ec2  # noqa: F401

A, B = "111122223333", "444455556666"
ORG = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111"


@pytest.fixture
def web(ec2):
    """An AMI of two snapshots: (ami, root, data)."""
    root, data = ec2.add_snapshot(), ec2.add_snapshot()
    return ec2.add_image("web", [root, data]), root, data


def shared(ec2, *ids):
    return [sorted(v for _, v in (ec2.images.get(i) or ec2.snapshots[i])["shared"]) for i in ids]


def test_accounts(amiwright, ec2, web):
    out = amiwright("share", web[0], "--account", A, "--account", B)
    assert shared(ec2, *web) == [[A, B]] * 3
    assert out.stdout == "".join(f"{i} account {a}\n" for i in web for a in (A, B))
    # A repeat changes nothing, and one more account is one more; one that is named twice is one.
    before = len(ec2.changes())
    assert amiwright("share", web[0], "--account", A, "--account", B).stdout == out.stdout
    assert len(ec2.changes()) == before
    amiwright("share", web[0], "--account", OTHER, "--account", OTHER)
    assert ec2.calls("ModifyImageAttribute")[-1]["LaunchPermission.Add.1.UserId"] == OTHER
    assert "LaunchPermission.Add.2.UserId" not in ec2.calls("ModifyImageAttribute")[-1]


def test_organizations(amiwright, ec2, web):
    out = amiwright("share", web[0], "--organization", ORG, "--organizational-unit", UNIT, "--account", A)
    assert shared(ec2, *web) == [sorted([A, ORG, UNIT]), [A], [A]]
    assert "snapshots cannot be shared with organizations" in out.stderr
    assert f"{web[0]} organizational unit {UNIT}\n" in out.stdout


def test_image_only(amiwright, ec2, web):
    amiwright("share", web[0], "--account", A, "--image-only")
    assert shared(ec2, *web) == [[A], [], []]


def test_public(amiwright, ec2, web):
    doc = amiwright.json("share", web[0], "--public")
    assert shared(ec2, *web) == [["all"]] * 3
    assert doc["shared"]["public"] and [s["shared"]["public"] for s in doc["snapshots"]] == [True, True]


@pytest.mark.parametrize("knob, args, text", [
    ({"image": "block-new-sharing"}, [], "block public access for AMIs is on"),
    ({"snapshot": "block-all-sharing"}, [], "block public access for snapshots is on"),
    ({"snapshot": "block-new-sharing"}, [], "--image-only"),
])
def test_public_access_is_blocked(amiwright, ec2, web, knob, args, text):
    ec2.blocked = knob
    out = amiwright("share", web[0], "--public", *args, status=3)
    assert text in out.stderr and not ec2.changes()


def test_blocked_snapshots_do_not_matter_for_the_image_alone(amiwright, ec2, web):
    ec2.blocked = {"snapshot": "block-all-sharing"}
    amiwright("share", web[0], "--public", "--image-only")
    assert shared(ec2, *web) == [["all"], [], []]


def test_state_of_the_switch_is_denied(amiwright, ec2, web):
    ec2.denied = {"GetImageBlockPublicAccessState": "UnauthorizedOperation"}
    out = amiwright("share", web[0], "--public")
    assert "is not known" in out.stderr and shared(ec2, web[0]) == [["all"]]


def encrypted(ec2, key, **more):
    return ec2.add_image("secret", [ec2.add_snapshot(encrypted=True, kms=KMS.format("eu-north-1", key))], **more)


def test_default_key_cannot_be_shared(amiwright, ec2):
    out = amiwright("share", encrypted(ec2, "default"), "--account", A, status=3)
    assert "a key that AWS manages" in out.stderr and "--kms-key" in out.stderr and not ec2.changes()


def test_customer_key(amiwright, ec2):
    ami = encrypted(ec2, "customer")
    out = amiwright("share", ami, "--account", A)
    assert shared(ec2, ami) == [[A]] and "kms:CreateGrant" in out.stderr


def test_key_that_may_not_be_described(amiwright, ec2):
    ec2.denied = {"DescribeKey": "AccessDeniedException"}
    ami = encrypted(ec2, "default")
    out = amiwright("share", ami, "--account", A)
    assert "is not known" in out.stderr and shared(ec2, ami) == [[A]]


@pytest.mark.parametrize("key", ["default", "customer"])
def test_encrypted_cannot_be_public(amiwright, ec2, key):
    assert "must be unencrypted" in amiwright("share", encrypted(ec2, key), "--public", status=3).stderr
    assert not ec2.changes()


def test_product_codes_cannot_be_public(amiwright, ec2):
    ami = ec2.add_image("market", [ec2.add_snapshot()], codes=True)
    assert "product codes" in amiwright("share", ami, "--public", status=3).stderr
    amiwright("share", ami, "--account", A)


def test_only_own_images(amiwright, ec2):
    ami = ec2.add_image("theirs", [ec2.add_snapshot()], owner=OTHER)
    assert f"belongs to account {OTHER}" in amiwright("share", ami, "--account", A, status=3).stderr
    assert "NotFound" in amiwright("share", "ami-00000000000000000", "--account", A, status=4).stderr


@pytest.mark.parametrize("args, text", [
    ([], "with whom?"),
    (["--account", "1234"], "12 digits"),
    (["--organization", UNIT], "is no ARN of an organization"),
    (["--organizational-unit", ORG], "is no ARN of an organizational unit"),
])
def test_usage(amiwright, ec2, args, text):
    assert text in amiwright("share", "ami-1", *args, status=2).stderr and not ec2.requests


def test_failure_in_the_middle(amiwright, ec2, web):
    ec2.denied = {"ModifySnapshotAttribute": "UnauthorizedOperation"}
    out = amiwright("share", web[0], "--account", A, status=4)
    assert f"{web[0]} changed already, the rest was not" in out.stderr and not out.stdout
    ec2.denied = {}
    amiwright("share", web[0], "--account", A)
    assert shared(ec2, *web) == [[A]] * 3


def test_dry_run(amiwright, ec2, web):
    out = amiwright("share", web[0], "--account", A, "--dry-run")
    assert f"{web[0]}: 1 permissions would change" in out.stdout and shared(ec2, *web) == [[]] * 3
    ec2.denied = {"ModifySnapshotAttribute": "UnauthorizedOperation"}
    out = amiwright("share", web[0], "--account", A, "--dry-run", status=4)
    assert "changed already" not in out.stderr


def test_unshare(amiwright, ec2, web):
    amiwright("share", web[0], "--account", A, "--account", B, "--organization", ORG)
    out = amiwright("unshare", web[0], "--account", A, "--organization", ORG)
    assert shared(ec2, *web) == [[B]] * 3 and A not in out.stdout
    before = len(ec2.changes())
    amiwright("unshare", web[0], "--account", A)
    assert len(ec2.changes()) == before
    assert amiwright("unshare", web[0], "--all").stdout == ""
    assert shared(ec2, *web) == [[]] * 3


def test_unshare_keeps_what_another_image_needs(amiwright, ec2, web):
    ami, root, data = web
    other = ec2.add_image("other", [root])
    amiwright("share", ami, "--account", A)
    amiwright("share", other, "--account", A)
    out = amiwright("unshare", ami, "--all")
    assert shared(ec2, *web) == [[], [A], []] and "stays shared" in out.stderr


@pytest.mark.parametrize("arn", ["arn::organization/o-", "arn:aws:organizations::1:organization/o-a",
                                 "arn:aws:organizations::111122223333:ou/o-a/ou-b", "arn:aws:iam::111122223333:role/x"])
def test_what_is_no_organization(amiwright, ec2, web, arn):
    assert "no ARN of an organization" in amiwright("share", web[0], "--organization", arn, status=2).stderr
    assert not ec2.changes()
