# SPDX-License-Identifier: Apache-2.0
"""Objects of a local region by `aws s3`, which moves files in parts, and by boto3, old and new: the newer ones add checksums
by themselves. What one writes the other reads."""
import base64
import os
import subprocess
import urllib.request
import zlib

import pytest

from clients import Refused
from s3_bundle import Bundle

PART = 5 << 20


@pytest.fixture(scope="module")
def bucket(clients):
    name = f"interop-{os.urandom(6).hex()}"
    clients["boto3"].call("s3", "CreateBucket", Bucket=name)
    return name


@pytest.fixture(params=["boto3", "boto3-debian"])
def boto3(request, clients):
    return clients[request.param]


@pytest.fixture(params=["aws", "aws-debian"])
def aws(request, clients, region, tmp_path):
    if request.param not in clients:
        pytest.skip("this system has no awscli package")

    # Version 1 presigns as of 2006 otherwise, which S3 does not take for buckets of today.
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  signature_version = s3v4\n")

    def run(*words):
        result = subprocess.run([clients[request.param].path, "--endpoint-url", region.endpoint, *map(str, words)],
                                env={**region.env(), "AWS_CONFIG_FILE": str(config)}, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout
    return run


def test_files_in_parts(aws, clients, bucket, tmp_path):
    data = os.urandom((20 << 20) + 5)
    (tmp_path / "disk.raw").write_bytes(data)
    aws("s3", "cp", "--quiet", tmp_path / "disk.raw", f"s3://{bucket}/a/disk é.raw")
    head = clients["boto3"].call("s3", "HeadObject", Bucket=bucket, Key="a/disk é.raw")
    assert head["ContentLength"] == len(data) and head["ETag"].endswith('-3"')
    aws("s3", "cp", "--quiet", f"s3://{bucket}/a/disk é.raw", tmp_path / "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == data
    listed = aws("s3", "ls", f"s3://{bucket}/a/")
    assert listed.split()[2:] == [str(len(data)), "disk", "é.raw"]
    url = aws("s3", "presign", f"s3://{bucket}/a/disk é.raw").strip()
    assert urllib.request.urlopen(url).read() == data
    aws("s3", "rm", "--quiet", f"s3://{bucket}/a/disk é.raw")
    with pytest.raises(Refused):
        clients["boto3"].call("s3", "HeadObject", Bucket=bucket, Key="a/disk é.raw")


def test_folders_and_a_bucket_elsewhere(aws, tmp_path):
    name = f"interop-{os.urandom(6).hex()}"
    aws("s3", "mb", f"s3://{name}", "--region", "eu-west-1")
    files = {"x": b"", "sub/y": b"1" * 1000, "sub/z +&": b"2"}
    for path, data in files.items():
        (tmp_path / "from" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / path).write_bytes(data)
    aws("s3", "sync", "--quiet", tmp_path / "from", f"s3://{name}/deep", "--region", "eu-west-1")
    aws("s3", "sync", "--quiet", f"s3://{name}/deep", tmp_path / "to", "--region", "eu-west-1")
    assert {str(p.relative_to(tmp_path / "to")): p.read_bytes() for p in (tmp_path / "to").rglob("*") if p.is_file()} == files
    for path in files:
        aws("s3", "rm", "--quiet", f"s3://{name}/deep/{path}", "--region", "eu-west-1")
    aws("s3", "rb", f"s3://{name}", "--region", "eu-west-1")


def test_objects_and_parts(boto3, clients, bucket, request):
    key, body = f"{request.node.name}/a b+c~é", b"123456789"
    call = lambda operation, who=boto3, **more: who.call("s3", operation, Bucket=bucket, Key=key, **more)
    put = call("PutObject", Body=body)
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    # Of 2025: a checksum without being asked for.
    assert put.get("ChecksumCRC32") == (None if "debian" in request.node.name else crc)
    for reader in ("boto3", "boto3-debian"):
        assert call("GetObject", clients[reader])["Body"] == body
    parts = [os.urandom(PART), b"end"]
    upload = call("CreateMultipartUpload", ContentType="x/y")["UploadId"]
    done = [{"PartNumber": n, "ETag": call("UploadPart", UploadId=upload, PartNumber=n, Body=p)["ETag"]}
            for n, p in enumerate(parts, 1)]
    call("CompleteMultipartUpload", UploadId=upload, MultipartUpload={"Parts": done})
    for reader in ("boto3", "boto3-debian"):
        got = call("GetObject", clients[reader])
        assert got["Body"] == b"".join(parts) and got["ContentType"] == "x/y"
    listed = boto3.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=request.node.name)["Contents"]
    assert [(o["Key"], o["Size"]) for o in listed] == [(key, PART + 3)]
    call("DeleteObject")


def test_acls_lists_and_deletes(boto3, clients, request):
    """What scripts do with a bucket: the older list too, many keys at once, keys that XML and URLs dislike."""
    bucket = f"interop-{os.urandom(6).hex()}"
    call = lambda operation, **more: boto3.call("s3", operation, Bucket=bucket, **more)
    call("CreateBucket", ObjectOwnership="ObjectWriter")
    names = sorted(["a/1", "a/2 +&<é>", "b", "c/%2F?#", "c/d/e"], key=str.encode)
    for name in names:
        call("PutObject", Key=name, Body=name.encode(), ACL="aws-exec-read")
    readers = lambda: [g["Permission"] for g in call("GetObjectAcl", Key="b")["Grants"]]
    assert readers() == ["FULL_CONTROL", "READ"]
    call("PutObjectAcl", Key="b", ACL="private")
    assert readers() == ["FULL_CONTROL"]
    for operation in ("ListObjects", "ListObjectsV2"):
        assert [o["Key"] for o in call(operation)["Contents"]] == names
        top = call(operation, Delimiter="/")
        assert [o["Key"] for o in top["Contents"]] == ["b"] and [p["Prefix"] for p in top["CommonPrefixes"]] == ["a/", "c/"]
    first = call("ListObjects", MaxKeys=2)
    assert first["IsTruncated"] and [o["Key"] for o in call("ListObjects", Marker=first["NextMarker"])["Contents"]] == names[2:]
    assert call("HeadObject", Key="b")["ContentLength"] == 1
    gone = call("DeleteObjects", Delete={"Objects": [{"Key": n} for n in names[:2] + ["none"]]})
    assert sorted(d["Key"] for d in gone["Deleted"]) == sorted(names[:2] + ["none"])
    assert "Deleted" not in call("DeleteObjects", Delete={"Objects": [{"Key": names[2]}], "Quiet": True})
    assert [o["Key"] for o in call("ListObjectsV2")["Contents"]] == names[3:]
    for operation in ("GetBucketPolicy", "GetBucketVersioning", "GetBucketLogging", "ListObjectVersions"):
        with pytest.raises(Refused, match="NotImplemented"):
            call(operation)
    call("DeleteObjects", Delete={"Objects": [{"Key": n} for n in names]})
    call("DeleteBucket")


def test_command(aws, tmp_path):
    """`aws s3` and `aws s3api` as they are called by hand; a body that is waited for by 100-continue."""
    name, data = f"interop-{os.urandom(6).hex()}", os.urandom(6 << 20)
    (tmp_path / "f").write_bytes(data)
    aws("s3", "mb", f"s3://{name}")
    aws("s3api", "put-object", "--bucket", name, "--key", "x/f", "--body", tmp_path / "f", "--checksum-algorithm", "SHA256")
    aws("s3api", "get-object", "--bucket", name, "--key", "x/f", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == data
    aws("s3", "cp", "--quiet", "--recursive", tmp_path, f"s3://{name}/all", "--exclude", "config")
    assert aws("s3api", "list-objects", "--bucket", name, "--query", "Contents[].Key", "--output", "text").split() == \
        ["all/f", "all/g", "x/f"]
    aws("s3", "rm", "--quiet", "--recursive", f"s3://{name}/all")
    aws("s3", "rb", "--force", f"s3://{name}")


def test_bundle_for_others(amiwright, clients, region, tmp_path):
    """What the program puts into a bucket, read by others; what they put there, by the program."""
    bucket, bundle = f"interop-{os.urandom(6).hex()}", Bundle(region.account(), 3, name="web é")
    for file, data in bundle.objects("").items():
        (tmp_path / file).write_bytes(data)
    location = amiwright("upload-bundle", tmp_path / "web é.manifest.xml", f"s3://{bucket}/x", "--create-bucket").strip()
    boto3 = clients["boto3"]
    assert {o["Key"]: boto3.call("s3", "GetObject", Bucket=bucket, Key=o["Key"])["Body"]
            for o in boto3.call("s3", "ListObjectsV2", Bucket=bucket)["Contents"]} == bundle.objects("x/")
    for key, data in bundle.objects("y/").items():
        boto3.call("s3", "PutObject", Bucket=bucket, Key=key, Body=data, ACL="aws-exec-read")
    amiwright("download-bundle", f"s3://{bucket}/y/web é.manifest.xml", "--out", tmp_path / "back")
    assert {p.name: p.read_bytes() for p in (tmp_path / "back").iterdir()} == bundle.objects("")
    for place in (location, f"{bucket}/y/web é.manifest.xml"):
        assert amiwright("register", "--name", os.urandom(4).hex(), "--manifest", place).startswith("ami-")
