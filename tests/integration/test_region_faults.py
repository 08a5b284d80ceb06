# SPDX-License-Identifier: Apache-2.0
"""Trouble that the local region makes on demand, as boto3 sees it, and as our own uploader lives through it."""
import concurrent.futures
import datetime
import email.utils
import os
import time
import urllib.error
import urllib.request

import botocore.exceptions
import botocore.parsers
import pytest

from region_clients import A, make, refused
from region_server import RegionServer


@pytest.fixture
def server(tmp_path):
    """Starts regions over one folder, with options."""
    running = []

    def start(*options):
        if running:
            running.pop().stop()
        running.append(RegionServer(tmp_path / "r", *options).start())
        return running[0]

    yield start
    for one in running:
        one.stop()


def test_throttle_and_error(server):
    region = server("--faults", "throttle=100%")
    with refused(400, "RequestThrottledException", reason="ACCOUNT_THROTTLED"):
        region.client("ebs").start_snapshot(VolumeSize=1)
    with refused(503, "RequestLimitExceeded"):
        region.client("ec2").describe_images()
    assert region.client("sts").get_caller_identity()["Account"]
    region = server("--faults", "error=100%")
    with refused(500, "InternalServerException"):
        region.client("ebs").start_snapshot(VolumeSize=1)
    with refused(500, "InternalError"):
        region.client("ec2").describe_images()


def test_reset_before_and_after_the_work(server):
    region = server("--faults", "reset=100%,seed=1")
    for _ in range(40):
        with pytest.raises(botocore.exceptions.ConnectionClosedError):
            region.client("ebs").start_snapshot(VolumeSize=1)
    made = len(server().client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"])
    assert 8 < made < 32


def test_truncate(server):
    snapshot = make(server().client("ebs"), {0: A})
    block = server().client("ebs").list_snapshot_blocks(SnapshotId=snapshot)["Blocks"][0]
    region = server("--faults", "truncate=100%")
    with pytest.raises((botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError)):
        region.client("ebs").get_snapshot_block(SnapshotId=snapshot, **block)["BlockData"].read()
    with pytest.raises((botocore.exceptions.HTTPClientError, botocore.exceptions.IncompleteReadError,
                        botocore.parsers.ResponseParserError)):
        region.client("ec2").describe_snapshots()


def test_slow_answers_do_not_wait_for_each_other(server):
    region = server("--faults", "slow=300ms")
    started = time.monotonic()
    requests = [urllib.request.Request(region.endpoint + "/snapshots/snap-01/blocks") for _ in range(8)]

    def ask(request):
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error.code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, requests)) == [403] * 8
    assert 0.3 <= time.monotonic() - started < 2


def test_skew_shows_in_the_date_header(server):
    region = server("--faults", "skew=3600")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(region.endpoint + "/")
    ahead = email.utils.parsedate_to_datetime(error.value.headers["Date"]) - datetime.datetime.now(datetime.timezone.utc)
    assert 3590 < ahead.total_seconds() < 3610
    with refused(403, "InvalidSignatureException", "Signature expired: "):
        region.client("ebs").start_snapshot(VolumeSize=1)
    with refused(400, "RequestExpired"):
        region.client("ec2").describe_images()


def test_sessions_that_expire(server):
    region = server("--faults", "expire=1s")
    answer = region.client("sts").assume_role(RoleArn=f"arn:aws:iam::{region.account()}:role/ci", RoleSessionName="ci")
    c = answer["Credentials"]
    keys = dict(aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"],
                aws_session_token=c["SessionToken"])
    time.sleep(max(0, c["Expiration"].timestamp() - time.time()) + 0.1)
    with refused(403, "ExpiredTokenException", "The security token included in the request is expired"):
        region.client("ebs", keys=keys).start_snapshot(VolumeSize=1)
    with refused(400, "RequestExpired", "Request has expired."):
        region.client("ec2", keys=keys).describe_images()
    with refused(403, "ExpiredToken"):
        region.client("sts", keys=keys).get_caller_identity()
    with refused(400, "ExpiredTokenException"):
        region.client("kms", keys=keys).list_aliases()


def test_quota(server):
    region = server("--quota", "start=2,ec2=1")
    ebs = region.client("ebs")
    answers = []
    for _ in range(6):
        try:
            answers.append(ebs.start_snapshot(VolumeSize=1)["Status"])
        except botocore.exceptions.ClientError as error:
            answers.append(error.response["Error"]["Code"])
    assert answers[:2] == ["pending"] * 2 and "RequestThrottledException" in answers[2:]
    ec2 = region.client("ec2")
    ec2.describe_regions()
    with refused(503, "RequestLimitExceeded"):
        for _ in range(5):
            ec2.describe_regions()
    region.client("ec2", "second").describe_regions()  # each account has its own


@pytest.mark.parametrize("option", [("--faults", "throttle=7"), ("--quota", "walks=3")])
def test_wrong_specifications(amiwright, tmp_path, option):
    assert "is not right" in amiwright("serve", tmp_path / "r", *option, status=2, timeout=30).stderr


def test_an_upload_lives_through_it(server, amiwright, tmp_path):
    """Throttling, errors, cut connections and answers, at rates no service has: the content arrives."""
    data = os.urandom(1 << 20) + bytes(3 << 20) + os.urandom(4 << 20)
    (tmp_path / "disk.raw").write_bytes(data)
    region = server("--faults", "throttle=5%,error=5%,reset=5%,truncate=3%,seed=11")
    env = dict(AWS_SHARED_CREDENTIALS_FILE=str(region.folder / "credentials"), AWS_REGION="us-east-1")
    result = amiwright("upload", "disk.raw", "--endpoint-url", region.endpoint, env=env, timeout=120)
    content = region.content(result.stdout.strip())
    with open(content, "rb") as f:
        assert f.read(len(data)) == data
