# SPDX-License-Identifier: Apache-2.0
"""`images` and the whole of `register` against the strict server."""
import pytest

from strict_images import OTHER, StrictImages


@pytest.fixture
def ec2(amiwright):
    with StrictImages() as server:
        amiwright.env.update(server.env())
        yield server
        assert not server.faults


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
