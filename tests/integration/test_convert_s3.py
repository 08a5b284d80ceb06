# SPDX-License-Identifier: Apache-2.0
"""`convert IN s3://BUCKET/KEY`: an image straight to S3, with boto3 as the other hand in the bucket."""
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time

import pytest

from region_server import RegionServer
from s3_bundle import make_bucket
from test_bundle_s3 import client, keys

MIB = 1 << 20


@pytest.fixture
def serve(amiwright, tmp_path):
    """Starts a region, and makes a bucket that is called images there."""
    def start(*options, bucket=True):
        server = RegionServer(tmp_path / "r", *options).start()
        servers.append(server)
        amiwright.use(server)
        if bucket:
            client(server).create_bucket(Bucket="images")
        return server
    servers = []
    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def disk(tmp_path):
    """50 MiB that are not to be compressed: four parts."""
    (tmp_path / "disk.raw").write_bytes(random.Random(7).randbytes(50 * MIB) + bytes(4 * MIB))
    return "disk.raw"


def read(server, key, bucket="images"):
    return client(server).get_object(Bucket=bucket, Key=key)["Body"].read()


def unfinished(server):
    """Keys of uploads that are paid for and are no objects."""
    return [u["Key"] for u in client(server).list_multipart_uploads(Bucket="images").get("Uploads", [])]


@pytest.mark.parametrize("suffix", ["vmdk", "raw", "vhd", "ova", "raw.gz"])
def test_same_bytes_as_a_file(amiwright, serve, disk, tmp_path, suffix):
    server = serve()
    name = f"a b+c~é//x.{suffix}" if suffix == "raw" else f"deep/disk.{suffix}"
    url = f"s3://images/{name}"
    more = ["--name", "disk"] if suffix == "ova" else []
    local = amiwright.json("convert", disk, f"file.{suffix}", *more)
    wanted = (tmp_path / f"file.{suffix}").read_bytes()
    assert amiwright("convert", disk, url, "--digest", *more).stdout == f"{hashlib.sha256(wanted).hexdigest()}  {url}\n"
    assert read(server, name) == wanted and unfinished(server) == []
    # Taken is taken, and before the image is read.
    result = amiwright("convert", disk, url, status=3)
    assert f"{url} is there: give --force" in result.stderr and "MiB/s" not in result.stderr
    assert amiwright.json("convert", disk, url, "--force", *more) == {**local, "file": url, "region": "us-east-1"}
    assert read(server, name) == wanted


def test_small_and_empty(amiwright, serve, tmp_path):
    """One PutObject: no upload is begun that a kill could leave."""
    server = serve()
    (tmp_path / "small.raw").write_bytes(b"x" * MIB)
    amiwright("convert", "small.raw", "s3://images/small.raw", "--from", "raw")
    assert read(server, "small.raw") == b"x" * MIB
    head = client(server).head_object(Bucket="images", Key="small.raw")
    assert "-" not in head["ETag"] and head["ContentType"] == "application/octet-stream"
    amiwright("convert", "-", "s3://images/piped.raw", "--from", "raw", input="y" * 512)
    assert read(server, "piped.raw") == b"y" * 512


def test_what_is_wrong_is_told_before_work(amiwright, serve, disk):
    server = serve()
    for url, status, words in (
            ("s3://images/", 2, "names no object"), ("s3://images", 2, "names no object"), ("s3:///x.raw", 2, "no place in S3"),
            ("s3://images/a/", 2, "names no object"), ("s3://Images/x.raw", 2, "a-z"), ("s3://images//x.raw", 2, "begins with '/'"),
            ("s3://images/x.tar", 2, "says no image format"), ("s3://no-such-bucket/x.raw", 4, "does not exist"),
            (f"s3://{make_bucket(client(server, profile='second'))}/x.raw", 4, "another account's")):
        result = amiwright("convert", disk, url, status=status)
        assert words in result.stderr and "MiB/s" not in result.stderr, url
    assert keys(client(server), "images") == []


def test_bucket_elsewhere(amiwright, serve, disk):
    server = serve()
    there = client(server, "eu-west-1")
    bucket = make_bucket(there, "eu-west-1")
    assert amiwright.json("convert", disk, f"s3://{bucket}/disk.vmdk")["region"] == "eu-west-1"
    assert keys(there, bucket) == ["disk.vmdk"]
    # By host too, where the refusal is another one.
    config = amiwright.folder / "config"
    config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    host = server.endpoint.replace("127.0.0.1", "localhost")
    amiwright("convert", disk, f"s3://{bucket}/2.vmdk", "--endpoint-url", host, env={"AWS_CONFIG_FILE": str(config)})
    assert keys(there, bucket) == ["2.vmdk", "disk.vmdk"]


def begun(amiwright, server, *args):
    """A conversion of which some parts have arrived."""
    process = subprocess.Popen([amiwright.path, "convert", *args], cwd=amiwright.folder, env=amiwright.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(server.folder.glob("regions/*/buckets/images/uploads/*/1.json")):
        time.sleep(0.01)
    assert process.poll() is None, "it was over too early"
    return process


@contextlib.contextmanager
def held(process):
    """Stands still, so that what is done meanwhile is done in its middle on any machine."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_interrupted(amiwright, serve, disk):
    server = serve("--faults", "slow=300ms")
    process = begun(amiwright, server, disk, "s3://images/disk.raw")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "interrupted" in said
    assert unfinished(server) == [] and keys(client(server), "images") == []
    assert list(server.folder.glob("regions/*/buckets/images/data/*")) == []


def test_killed(amiwright, serve, disk, tmp_path):
    """What nobody could abort is seen by others; no object appears, and a rerun makes it."""
    server = serve("--faults", "slow=300ms")
    process = begun(amiwright, server, disk, "s3://images/disk.raw")
    process.kill()
    process.communicate()
    assert unfinished(server) == ["disk.raw"] and keys(client(server), "images") == []
    amiwright("convert", disk, "s3://images/disk.raw")
    assert read(server, "disk.raw") == (tmp_path / disk).read_bytes()


def test_two_at_once(amiwright, serve, disk, tmp_path):
    """Both saw that the key is free: who is later leaves nothing and changes nothing."""
    server = serve("--faults", "slow=300ms")
    process = begun(amiwright, server, disk, "s3://images/disk.raw")
    with held(process):
        client(server).put_object(Bucket="images", Key="disk.raw", Body=b"another's")
    _, said = process.communicate()
    assert process.returncode == 3 and "s3://images/disk.raw is there" in said
    assert read(server, "disk.raw") == b"another's" and unfinished(server) == []


def test_the_same_twice_at_once(amiwright, serve, disk, tmp_path):
    """Both made the same object: that is no conflict, and nothing of the later one stays."""
    server = serve("--faults", "slow=300ms")
    process = begun(amiwright, server, disk, "s3://images/disk.raw")
    with held(process):
        amiwright("convert", disk, "s3://images/disk.raw")
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert read(server, "disk.raw") == (tmp_path / disk).read_bytes() and unfinished(server) == []


def test_faults(amiwright, serve, disk, tmp_path):
    serve().stop()
    server = serve("--faults", "throttle=10%,error=5%,reset=5%,truncate=5%,seed=3", bucket=False)
    amiwright("convert", disk, "s3://images/disk.raw")
    server.stop()
    assert read(serve(bucket=False), "disk.raw") == (tmp_path / disk).read_bytes()
