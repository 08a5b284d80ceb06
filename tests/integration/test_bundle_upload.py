# SPDX-License-Identifier: Apache-2.0
"""`bundle --upload`: straight to S3, cut off and gone on with, and cleaned up."""
import os
import random
import signal
import subprocess
import time

import pytest

import bundle_oracle as oracle
from region_server import RegionServer
from test_bundle_s3 import client, grants, keys

MIB = 1 << 20


@pytest.fixture
def bundle(amiwright, tmp_path):
    """The command's words, for an image of eight parts."""
    oracle.make_pair(tmp_path, "user")
    oracle.make_pair(tmp_path, "ec2")
    (tmp_path / "disk.img").write_bytes(random.Random(3).randbytes(71 * MIB))

    def words(account, *more, key="user", image="disk.img"):
        return ["bundle", image, "--key", f"{key}.key", "--cert", f"{key}.crt", "--ec2-cert", "ec2.crt", "--user",
                account, "--upload", "s3://bucket/web", "--level", "1", *more]
    return words


@pytest.fixture
def served(amiwright, tmp_path):
    def serve(*options):
        server = RegionServer(tmp_path / "r", *options).start()
        servers.append(server)
        amiwright.use(server)
        return server
    servers = []
    yield serve
    for server in servers:
        server.stop()


def take_apart(amiwright, tmp_path):
    """What lies in the bucket, by the program and by others."""
    amiwright("download-bundle", "s3://bucket/web/disk.img.manifest.xml", "--out", "back", "--force")
    _, content = oracle.take_apart(tmp_path / "back/disk.img.manifest.xml", tmp_path / "user.key", "user")
    assert content == (tmp_path / "disk.img").read_bytes()


def journals(tmp_path):
    return list((tmp_path / "state").rglob("*.amiwright-bundle"))


def test_upload_and_register(amiwright, bundle, served, tmp_path):
    server = served()
    account = server.account()
    assert "--create-bucket" in amiwright(*bundle(account), status=4).stderr
    location = amiwright(*bundle(account, "--create-bucket")).stdout.strip()
    assert location == "bucket/web/disk.img.manifest.xml" and journals(tmp_path) == []
    s3 = client(server)
    assert len(keys(s3, "bucket")) == 9
    assert all(grants(s3, "bucket", key) == [("2ec6b97c", "READ")] for key in keys(s3, "bucket"))
    take_apart(amiwright, tmp_path)
    assert amiwright("register", "--name", "web", "--manifest", location).stdout.startswith("ami-")
    # A whole bundle is not written over, nor cleaned up.
    assert "--force" in amiwright(*bundle(account), status=3).stderr
    assert "the bundle is whole" in amiwright(*bundle(account, "--cleanup"), status=3).stderr
    amiwright(*bundle(account, "--force", "--public"))
    assert all(grants(s3, "bucket", key) == [("AllUsers", "READ")] for key in keys(s3, "bucket"))
    take_apart(amiwright, tmp_path)
    # A shorter one leaves nothing of the longer one.
    os.truncate(tmp_path / "disk.img", 15 * MIB)
    amiwright(*bundle(account, "--force"))
    assert len(keys(s3, "bucket")) == 3
    take_apart(amiwright, tmp_path)


def kill_midway(amiwright, bundle, server):
    process = subprocess.Popen([amiwright.path, *bundle(server.account(), "--create-bucket")], cwd=amiwright.folder,
                               env=amiwright.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = server.folder / "regions/us-east-1/buckets/bucket/objects"
    while process.poll() is None and not (folder.is_dir() and len(list(folder.glob("*.json"))) >= 2):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9, "it was over before it could be killed"
    time.sleep(1)  # what the server still had in its hands


def test_resume(amiwright, bundle, served, tmp_path):
    server = served("--faults", "slow=250ms")
    kill_midway(amiwright, bundle, server)
    [journal] = journals(tmp_path)
    assert journal.stat().st_mode & 0o777 == 0o600
    head = journal.read_text().partition("\n")[0].split(" ")
    assert head[:2] == ["amiwright-bundle", "2"] and head[3] == "s3://bucket/web/disk.img"
    before = {key: client(server).head_object(Bucket="bucket", Key=key)["LastModified"]
              for key in keys(client(server), "bucket")}
    assert 2 <= len(before) < 9
    time.sleep(1)
    result = amiwright(*bundle(server.account()))
    assert "going on with an earlier upload" in result.stderr and "parts were there already" in result.stderr
    after = {key: client(server).head_object(Bucket="bucket", Key=key)["LastModified"] for key in before}
    assert after == before and journals(tmp_path) == []
    take_apart(amiwright, tmp_path)


def test_another_image_or_key(amiwright, bundle, served, tmp_path):
    """One key is for one image; another's key cannot go on."""
    server = served("--faults", "slow=250ms")
    kill_midway(amiwright, bundle, server)
    oracle.make_pair(tmp_path, "other")
    result = amiwright(*bundle(server.account(), key="other"), status=2)
    assert "under another key" in result.stderr and "--cleanup" in result.stderr
    disk = tmp_path / "disk.img"
    data = disk.read_bytes()
    disk.write_bytes(b"x" + data[1:])
    result = amiwright(*bundle(server.account()), status=3)
    assert "not those of the earlier upload" in result.stderr
    s3 = client(server)
    s3.put_object(Bucket="bucket", Key="web/disk.img.part.of.mine", Body=b"stays")
    gone = amiwright(*bundle(server.account(), "--cleanup")).stdout.split()
    assert gone and journals(tmp_path) == [] and keys(s3, "bucket") == ["web/disk.img.part.of.mine"]
    amiwright(*bundle(server.account()))
    take_apart(amiwright, tmp_path)


def test_cleanup_cut_off(amiwright, bundle, served, tmp_path):
    """What had gone by then is told."""
    parts = [f"web/disk.img.part.{i:02}" for i in range(60)]
    with RegionServer(tmp_path / "r") as server:
        s3 = client(server)
        s3.create_bucket(Bucket="bucket")
        for key in parts:
            s3.put_object(Bucket="bucket", Key=key, Body=b"")
    server = served("--faults", "slow=250ms")
    folder = server.folder / "regions/us-east-1/buckets/bucket/objects"
    process = subprocess.Popen([amiwright.path, *bundle(server.account(), "--cleanup")], cwd=amiwright.folder,
                               env=amiwright.env, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(folder.glob("*.json"))) > 50:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[0].split()
    assert process.returncode == 130
    left = {f"s3://bucket/{key}" for key in keys(client(server), "bucket")}
    assert told and left and set(told) <= {f"s3://bucket/{key}" for key in parts} - left


def test_replacing_cut_off(amiwright, bundle, served, tmp_path):
    """The manifest that is there says nothing of its parts any more, and what is said helps."""
    server = served("--faults", "slow=700ms")
    disk, s3 = tmp_path / "disk.img", client(server)
    data = disk.read_bytes()
    os.truncate(disk, 5 * MIB)
    amiwright(*bundle(server.account(), "--create-bucket"))
    disk.write_bytes(data + data)
    process = subprocess.Popen([amiwright.path, *bundle(server.account(), "--force")], cwd=amiwright.folder,
                               env=amiwright.env, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(keys(s3, "bucket")) < 3:
        time.sleep(0.01)
    process.terminate()
    said = process.communicate()[1]
    url = "s3://bucket/web/disk.img.manifest.xml"
    assert process.returncode == 130 and f"'amiwright delete-bundle {url}', then --cleanup" in said
    said = amiwright(*bundle(server.account(), "--cleanup"), status=3).stderr
    assert "has not ended" in said and f"'amiwright delete-bundle {url}', then --cleanup" in said
    amiwright("delete-bundle", url)
    assert keys(s3, "bucket")
    amiwright(*bundle(server.account(), "--cleanup"))
    assert keys(s3, "bucket") == [] and journals(tmp_path) == []


def test_two_at_once(amiwright, bundle, served, tmp_path):
    """Whoever is not the first goes away, and so does who would clean up under it; the bundle is whole."""
    server = served("--faults", "slow=700ms")
    client(server).create_bucket(Bucket="bucket", ObjectOwnership="ObjectWriter")
    words = bundle(server.account())
    runs = [subprocess.Popen([amiwright.path, *words], cwd=amiwright.folder, env=amiwright.env, stderr=subprocess.PIPE,
                             text=True) for _ in range(4)]
    while not journals(tmp_path) and any(run.poll() is None for run in runs):
        time.sleep(0.01)
    assert "another process is uploading" in amiwright(*words, "--cleanup", status=3).stderr
    said = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 3, 3, 3], said
    assert sum("another process is uploading" in text for text in said) == 3
    take_apart(amiwright, tmp_path)
    # One that comes to a whole bundle leaves no note.
    amiwright(*words, status=3)
    assert journals(tmp_path) == []
    # Nor does one begin while another one cleans up, be it that there was nothing to clean.
    (tmp_path / "next.img").write_bytes(b"x" * MIB)
    words = bundle(server.account(), image="next.img")
    cleaning = subprocess.Popen([amiwright.path, *words, "--cleanup"], cwd=amiwright.folder, env=amiwright.env)
    while not journals(tmp_path) and cleaning.poll() is None:
        time.sleep(0.01)
    assert "or cleaning up there" in amiwright(*words, status=3).stderr
    assert cleaning.wait() == 0 and journals(tmp_path) == []


def test_faults(amiwright, bundle, served, tmp_path):
    server = served("--faults", "throttle=10%,error=3%,reset=3%,truncate=3%,seed=9")
    amiwright(*bundle(server.account(), "--create-bucket"))
    take_apart(amiwright, tmp_path)


def test_another_one_was_faster(amiwright, bundle, served, tmp_path):
    """The manifest that came meanwhile is not replaced unasked."""
    server = served("--faults", "slow=250ms")
    process = subprocess.Popen([amiwright.path, *bundle(server.account(), "--create-bucket")], cwd=amiwright.folder,
                               env=amiwright.env, stderr=subprocess.PIPE, text=True)
    folder = server.folder / "regions/us-east-1/buckets/bucket/objects"
    while process.poll() is None and not (folder.is_dir() and len(list(folder.glob("*.json"))) >= 2):
        time.sleep(0.01)
    client(server).put_object(Bucket="bucket", Key="web/disk.img.manifest.xml", Body=b"theirs")
    said = process.communicate()[1]
    assert process.returncode == 3 and "s3://bucket/web/disk.img.manifest.xml is there" in said
    assert client(server).get_object(Bucket="bucket", Key="web/disk.img.manifest.xml")["Body"].read() == b"theirs"
    amiwright(*bundle(server.account(), "--force"))
    take_apart(amiwright, tmp_path)


def test_failure_says_how_to_go_on(amiwright, bundle, served, tmp_path):
    server = served()
    client(server).create_bucket(Bucket="bucket", ObjectOwnership="BucketOwnerEnforced")
    result = amiwright(*bundle(server.account()), status=4)
    assert "takes no ACLs" in result.stderr and "rerun the same command" in result.stderr
    for words in (["--out", "out"], ["--acl", "private", "--public"]):
        assert "exclude each other" in amiwright(*bundle(server.account(), *words), status=2).stderr
