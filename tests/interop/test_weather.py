# SPDX-License-Identifier: Apache-2.0
"""Foreign clients in a local region that takes its time and has bad days: their waiters see it pending and then done, and
what it answers for trouble is what they know to try again."""
import time

import pytest

from conftest import CLIENTS
from region_clients import A, BLOCK, aggregate, digest
from region_server import RegionServer

DRIVEN = ["javascript", "boto3", "boto3-debian"]  # the aws command looks every 15 seconds only


def write(client, nr_blocks):
    snapshot = client.call("ebs", "StartSnapshot", VolumeSize=1)["SnapshotId"]
    for index in range(nr_blocks):
        client.call("ebs", "PutSnapshotBlock", SnapshotId=snapshot, BlockIndex=index, BlockData=A, DataLength=BLOCK,
                    Checksum=digest(A), ChecksumAlgorithm="SHA256")
    client.call("ebs", "CompleteSnapshot", SnapshotId=snapshot, ChangedBlocksCount=nr_blocks, ChecksumAlgorithm="SHA256",
                Checksum=aggregate(dict.fromkeys(range(nr_blocks), A)), ChecksumAggregationMethod="LINEAR")
    return snapshot


@pytest.fixture
def there(tmp_path, request):
    """(server, client) by the options and the client's name."""
    opened = []

    def new(name, *options, **settings):
        server = RegionServer(tmp_path / "r", *options).start()
        opened.append(server)
        client = CLIENTS[name](server, **settings)
        opened.insert(0, client)
        return client
    yield new
    for one in opened:
        one.stop() if isinstance(one, RegionServer) else one.close()


@pytest.mark.parametrize("name", DRIVEN)
def test_waiters(there, name):
    client = there(name, "--complete-delay", "1500", "--copy-seconds", "2")
    snapshot, began = write(client, 1), time.monotonic()
    state = lambda: client.call("ec2", "DescribeSnapshots", SnapshotIds=[snapshot])["Snapshots"][0]["State"]
    assert state() == "pending"
    client.call("ec2", "wait:SnapshotCompleted", SnapshotIds=[snapshot])
    assert state() == "completed" and time.monotonic() - began > 1.4
    image = client.call("ec2", "RegisterImage", Name="slow", Architecture="x86_64", VirtualizationType="hvm",
                        RootDeviceName="/dev/xvda", BlockDeviceMappings=[
                            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}])["ImageId"]
    where = dict(region="eu-west-1")
    copy = client.call("ec2", "CopyImage", Name="slow", SourceImageId=image, SourceRegion="us-east-1", **where)["ImageId"]
    state = lambda: client.call("ec2", "DescribeImages", ImageIds=[copy], **where)["Images"][0]["State"]
    assert state() == "pending"
    client.call("ec2", "wait:ImageAvailable", ImageIds=[copy], **where)
    assert state() == "available"


@pytest.mark.parametrize("name", DRIVEN)
def test_bad_days(there, name):
    client = there(name, "--faults", "throttle=15%,error=10%,reset=5%,seed=3", AWS_MAX_ATTEMPTS="12")
    snapshot = write(client, 30)
    client.call("ec2", "wait:SnapshotCompleted", SnapshotIds=[snapshot])
    listed = client.call("ebs", "ListSnapshotBlocks", SnapshotId=snapshot)["Blocks"]
    assert [b["BlockIndex"] for b in listed] == list(range(30))
    for block in listed[:10]:
        assert client.call("ebs", "GetSnapshotBlock", SnapshotId=snapshot, **block)["BlockData"] == A
