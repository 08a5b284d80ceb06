# SPDX-License-Identifier: Apache-2.0
"""S3 of the local region under boto3: buckets, objects, listings, multipart uploads, checksums, Regions."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import signal
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from region_clients import refused
from region_server import RegionServer

PART = 5 << 20


@pytest.fixture(scope="module")
def s3(region):
    return client(region)


@pytest.fixture
def bucket(s3):
    name = f"b-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    return name


def client(region, profile="default", where="us-east-1", style="path", **more):
    return region.client("s3", profile, where, s3={"addressing_style": style}, **more)


def keys(answer):
    return [o["Key"] for o in answer.get("Contents", [])]


def test_objects(s3, bucket):
    body, key = os.urandom(700_000), "img/a b+c~é.part.00"
    put = s3.put_object(Bucket=bucket, Key=key, Body=body, ACL="aws-exec-read", ContentType="image/x",
                        Metadata={"One": "1"}, ContentMD5=base64.b64encode(hashlib.md5(body).digest()).decode())
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body and got["ContentType"] == "image/x" and got["Metadata"] == {"one": "1"}
    head = s3.head_object(Bucket=bucket, Key=key)
    assert (head["ContentLength"], head["ETag"]) == (len(body), put["ETag"])
    for wanted, piece in (("bytes=5-9", body[5:10]), ("bytes=699990-", body[699990:]), ("bytes=-7", body[-7:])):
        part = s3.get_object(Bucket=bucket, Key=key, Range=wanted)
        assert part["Body"].read() == piece and part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert part["ContentRange"] == "bytes 699993-699999/700000"
    with refused(416, "InvalidRange"):
        s3.get_object(Bucket=bucket, Key=key, Range="bytes=700000-")
    s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b""
    with refused(400, "BadDigest"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x", ContentMD5=base64.b64encode(bytes(16)).decode())
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_object(Bucket=bucket, Key=key)
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key=key)
    with refused(404, "404"):
        s3.head_object(Bucket=bucket, Key=key)
    with refused(400, "InvalidArgument"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"", ACL="everybody")


def test_checksums(s3, bucket):
    body = b"123456789"
    known = {"CRC32": ("ChecksumCRC32", 0xcbf43926, 4), "CRC32C": ("ChecksumCRC32C", 0xe3069283, 4)}
    for algorithm, (name, value, size) in known.items():
        text = base64.b64encode(value.to_bytes(size, "big")).decode()
        s3.put_object(Bucket=bucket, Key=algorithm, Body=body, ChecksumAlgorithm=algorithm, **{name: text})
        assert s3.head_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")[name] == text
        with refused(400, "BadDigest"):
            s3.put_object(Bucket=bucket, Key=algorithm, Body=body + b"0", **{name: text})
    for algorithm in ("SHA1", "SHA256"):
        digest = base64.b64encode(hashlib.new(algorithm.lower(), body).digest()).decode()
        assert s3.put_object(Bucket=bucket, Key="x", Body=body,
                             ChecksumAlgorithm=algorithm)["Checksum" + algorithm] == digest


def sent(region, method, path, body, headers, where="us-east-1"):
    """A request signed by botocore by hand, its payload hash as the headers say. (status, text)
    body may be a function of the signature and its time."""
    request = botocore.awsrequest.AWSRequest(method, region.endpoint + path, headers=headers)
    signer = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(*region.credentials()), "s3", where)
    signer.payload = lambda _: headers["X-Amz-Content-SHA256"]
    signer.add_auth(request)
    if callable(body):
        body = body(request.headers["Authorization"][-64:], request.headers["X-Amz-Date"])
    try:
        with urllib.request.urlopen(urllib.request.Request(region.endpoint + path, data=body, method=method,
                                                           headers=dict(request.headers.items()))) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def chunked(*pieces, trailer="x-amz-checksum-crc64nvme:rosUhgp5mIg="):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailer.encode() + b"\r\n\r\n"


def test_chunks_with_a_trailer(region, s3, bucket):
    """As current SDKs send it over TLS; the checksum is CRC-64/NVME of "123456789"."""
    headers = {"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked",
               "X-Amz-Trailer": "x-amz-checksum-crc64nvme", "X-Amz-Decoded-Content-Length": "9",
               "Content-Type": "text/plain"}
    put = lambda body, **more: sent(region, "PUT", f"/{bucket}/chunks", body, {**headers, **more})
    assert put(chunked(b"123456789"))[0] == 200
    assert s3.get_object(Bucket=bucket, Key="chunks")["Body"].read() == b"123456789"
    assert "BadDigest" in put(chunked(b"123456780"))[1]
    assert "IncompleteBody" in put(chunked(b"123456789"), **{"X-Amz-Decoded-Content-Length": "8"})[1]
    for damaged in (b"zz\r\n1\r\n0\r\n\r\n", b"ff\r\n1\r\n0\r\n\r\n", b"9\r\n123456789\r\n", b"",
                    b"8\r\n123456789\r\n0\r\n\r\n"):
        assert "IncompleteBody" in put(damaged)[1]
    # Nothing comes behind the trailers, and none replaces a checksum that was signed with the head.
    assert "IncompleteBody" in put(chunked(b"123456789") + b"more")[1]
    right, wrong = (base64.b64encode(hashlib.sha256(data).digest()).decode() for data in (b"123456789", b"123456780"))
    assert "IncompleteBody" in put(chunked(b"123456780", trailer=f"x-amz-checksum-sha256:{wrong}"), **{
        "X-Amz-Trailer": "x-amz-checksum-sha256", "X-Amz-Checksum-SHA256": right})[1]
    status, text = put(chunked(b"1234", b"56789"))
    assert status == 403 and "InvalidChunkSizeError" in text
    assert put(b"", **{"X-Amz-Content-SHA256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"})[0] == 501
    assert s3.get_object(Bucket=bucket, Key="chunks")["Body"].read() == b"123456789"
    assert len(list(region.folder.glob(f"regions/*/buckets/{bucket}/data/*"))) == 1  # nothing refused is left
    pieces = [os.urandom(8192), os.urandom(70000), b"end"]
    whole = base64.b64encode(hashlib.sha256(b"".join(pieces)).digest()).decode()
    assert put(chunked(*pieces, trailer=f"x-amz-checksum-sha256:{whole}"), **{
        "X-Amz-Trailer": "x-amz-checksum-sha256", "X-Amz-Decoded-Content-Length": "78195"})[0] == 200
    assert s3.get_object(Bucket=bucket, Key="chunks")["Body"].read() == b"".join(pieces)


def signed_chunks(region, pieces, trailer=None, spoil=lambda what, signature: signature):
    """A body after "Signature calculations ... (chunked upload)" in the S3 API Reference, for sent(). spoil(what, signature)
    may put another signature in the place of that of chunk 0, 1 ..., and of the "trailer"."""
    def body(seed, time):
        key = b"AWS4" + region.credentials()[1].encode()
        for part in (time[:8], "us-east-1", "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        digest = lambda data: hashlib.sha256(data).hexdigest()
        last, out = seed, b""

        def sign(kind, *digests):
            text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", time, f"{time[:8]}/us-east-1/s3/aws4_request", last, *digests))
            return hmac.digest(key, text.encode(), "sha256").hex()

        for i, piece in enumerate([*pieces, b""]):
            last = sign("PAYLOAD", digest(b""), digest(piece))
            out += b"%x;chunk-signature=%s\r\n" % (len(piece), spoil(i, last).encode())
            out += piece + b"\r\n" if piece else b""
        if trailer:
            last = sign("TRAILER", digest(trailer.encode() + b"\n"))
            out += f"{trailer}\r\nx-amz-trailer-signature:{spoil('trailer', last)}\r\n".encode()
        return out + b"\r\n"
    return body


@pytest.mark.parametrize("form", ["", "-TRAILER"])
def test_signed_chunks(region, s3, bucket, form):
    pieces = [os.urandom(8192), os.urandom(70000), b"end"]
    whole = b"".join(pieces)
    sums = [base64.b64encode(hashlib.sha256(data).digest()).decode() for data in (whole, b"other")]
    trailer, other = (f"x-amz-checksum-sha256:{text}" if form else None for text in sums)
    headers = {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + form, "Content-Encoding": "aws-chunked",
               "X-Amz-Decoded-Content-Length": str(len(whole)), "Content-Type": "text/plain"}
    if form:
        headers["X-Amz-Trailer"] = "x-amz-checksum-sha256"
    put = lambda body, key="k", **more: sent(region, "PUT", f"/{bucket}/{key}", body, {**headers, **more})
    assert put(signed_chunks(region, pieces, trailer))[0] == 200
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == whole and got.get("ChecksumSHA256") == (sums[0] if form else None)
    part = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    assert put(signed_chunks(region, pieces, trailer), f"parts?partNumber=1&uploadId={part}")[0] == 200
    s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=part)
    # Each signature counts, so does its place in the chain; bytes that came are gone again.
    for where in (0, 1, 3, *(["trailer"] if form else [])):
        for wrong in (lambda right: "0" * 64, lambda right: "", lambda right: right + "0"):
            status, text = put(signed_chunks(region, pieces, trailer, lambda what, right: wrong(right) if what == where else right))
            assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in text
    mixed = lambda seed, time: signed_chunks(region, pieces, trailer)(seed, time).replace(b"end", b"eND")
    assert "SignatureDoesNotMatch" in put(mixed)[1]
    assert "SignatureDoesNotMatch" in put(lambda seed, time: signed_chunks(region, pieces, trailer)("0" * 64, time))[1]
    if form:
        assert "BadDigest" in put(signed_chunks(region, pieces, other))[1]
        swapped = lambda seed, time: signed_chunks(region, pieces, other)(seed, time).replace(*(t.encode() for t in sums[::-1]))
        assert "SignatureDoesNotMatch" in put(swapped)[1]
        unsigned = lambda seed, time: signed_chunks(region, pieces)(seed, time)[:-2] + trailer.encode() + b"\r\n\r\n"
        assert "SignatureDoesNotMatch" in put(unsigned)[1]
    else:
        stowaway = lambda seed, time: signed_chunks(region, pieces)(seed, time)[:-2] + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
        assert "IncompleteBody" in put(stowaway)[1]
    assert "InvalidChunkSizeError" in put(signed_chunks(region, pieces[::-1], trailer))[1]
    assert "IncompleteBody" in put(signed_chunks(region, pieces, trailer), **{"X-Amz-Decoded-Content-Length": "9"})[1]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == whole
    assert len(list(region.folder.glob(f"regions/*/buckets/{bucket}/data/*"))) == 1
    document = signed_chunks(region, [b"<Delete><Object><Key>k</Key></Object></Delete>"], trailer)
    assert sent(region, "POST", f"/{bucket}?delete", document, headers)[0] == 501


def test_listing(s3, bucket):
    names = [f"a/{i:02}" for i in range(5)] + ["b", "c/x&y", "c/é ü"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == sorted(names, key=str.encode)
    assert keys(s3.list_objects_v2(Bucket=bucket, Prefix="c/")) == ["c/x&y", "c/é ü"]
    assert keys(s3.list_objects_v2(Bucket=bucket, StartAfter="a/03", MaxKeys=2)) == ["a/04", "b"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert keys(top) == ["b"] and [p["Prefix"] for p in top["CommonPrefixes"]] == ["a/", "c/"]
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}))
    assert [len(keys(p)) for p in pages] == [3, 3, 2] and sum(map(keys, pages), []) == names
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/",
                                                               PaginationConfig={"PageSize": 1}))
    assert [len(keys(p)) + len(p.get("CommonPrefixes", [])) for p in pages] == [1, 1, 1]
    old = list(s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}))
    assert [len(keys(p)) for p in old] == [3, 3, 2] and sum(map(keys, old), []) == names
    assert keys(s3.list_objects(Bucket=bucket, Marker="a/03")) == names[4:]
    one = s3.list_objects_v2(Bucket=bucket, Prefix="b")["Contents"][0]
    assert (one["Size"], one["ETag"], one["StorageClass"]) == (1, f'"{hashlib.md5(b"x").hexdigest()}"', "STANDARD")


def test_delete_many(s3, bucket):
    names = ["a", "b&<c>", "é ü"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    delete = lambda names, **more: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": n} for n in names], **more})
    assert [d["Key"] for d in delete(names[:2] + ["none"])["Deleted"]] == names[:2] + ["none"]
    versioned = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": names[2], "VersionId": "1"}]})
    assert versioned["Errors"][0]["Code"] == "NotImplemented" and keys(s3.list_objects_v2(Bucket=bucket)) == names[2:]
    assert "Deleted" not in delete(names[2:], Quiet=True) and keys(s3.list_objects_v2(Bucket=bucket)) == []
    for wrong in ([], [str(n) for n in range(1001)]):
        with refused(400, "MalformedXML"):
            delete(wrong)
    for call in (s3.get_bucket_logging, s3.get_bucket_policy, s3.get_bucket_versioning):
        with refused(501, "NotImplemented"):
            call(Bucket=bucket)


def test_multipart(region, s3, bucket):
    parts = [os.urandom(PART), os.urandom(PART), b"end"]
    upload = dict(Bucket=bucket, Key="big", UploadId=s3.create_multipart_upload(
        Bucket=bucket, Key="big", ACL="public-read", ContentType="x/y")["UploadId"])
    etags = [s3.upload_part(**upload, PartNumber=i, Body=p)["ETag"] for i, p in enumerate(parts, 1)]
    assert etags == [f'"{hashlib.md5(p).hexdigest()}"' for p in parts]
    assert [p["Size"] for p in s3.list_parts(**upload)["Parts"]] == [PART, PART, 3]
    listed = [{"PartNumber": i, "ETag": e} for i, e in enumerate(etags, 1)]
    complete = lambda parts: s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    with refused(400, "InvalidPartOrder"):
        complete([listed[1], listed[0]])
    with refused(400, "InvalidPart"):
        complete([{"PartNumber": 1, "ETag": etags[1]}])
    with refused(400, "EntityTooSmall"):
        complete([listed[0], listed[2], {"PartNumber": 9, "ETag": s3.upload_part(**upload, PartNumber=9, Body=b"")["ETag"]}])
    whole = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()
    assert complete(listed)["ETag"] == f'"{whole}-3"'
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"".join(parts)
    with refused(404, "NoSuchUpload"):
        s3.list_parts(**upload)
    other = dict(Bucket=bucket, Key="gone", UploadId=s3.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"])
    s3.upload_part(**other, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(**other)
    with refused(404, "NoSuchUpload"):
        s3.upload_part(**other, PartNumber=2, Body=b"x")
    assert len(list(region.folder.glob(f"regions/*/buckets/{bucket}/data/*"))) == 1
    assert client(region, "second").get_object(Bucket=bucket, Key="big")["ContentType"] == "x/y"


def test_preconditions(region, s3, bucket):
    """Only an object that is not there yet, only the object that was read before."""
    hashed = lambda body: {"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
    put = lambda body: sent(region, "PUT", f"/{bucket}/k", body, {**hashed(body), "If-None-Match": "*"})
    assert put(b"first")[0] == 200
    status, text = put(b"second")
    assert status == 412 and "<Code>PreconditionFailed</Code>" in text
    etag = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"first"
    with refused(412, "PreconditionFailed"):
        s3.get_object(Bucket=bucket, Key="k", IfMatch=etag.replace(etag[1], "z"))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"parts")["ETag"]
    body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>".encode()
    complete = lambda **more: sent(region, "POST", f"/{bucket}/k?uploadId={upload}", body, {**hashed(body), **more})
    assert complete(**{"If-None-Match": "*"})[0] == 412
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    assert complete()[0] == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"parts"
    assert len(list(region.folder.glob(f"regions/*/buckets/{bucket}/data/*"))) == 1  # nothing refused is left


def test_uploads_and_sums_of_parts(s3, bucket):
    uploads = lambda **more: [(u["Key"], u["UploadId"]) for u in s3.list_multipart_uploads(
        Bucket=bucket, **more).get("Uploads", [])]
    assert uploads() == []
    one, two = (s3.create_multipart_upload(Bucket=bucket, Key=k, ChecksumAlgorithm="SHA256")["UploadId"]
                for k in ("a/é", "b"))
    assert sorted(uploads()) == [("a/é", one), ("b", two)] and uploads(Prefix="a/") == [("a/é", one)]
    s3.abort_multipart_upload(Bucket=bucket, Key="b", UploadId=two)
    digests = [hashlib.sha256(p).digest() for p in (bytes(PART), b"end")]
    sums = [base64.b64encode(d).decode() for d in digests]
    parts = [dict(PartNumber=n, ChecksumSHA256=sums[n - 1], ETag=s3.upload_part(
        Bucket=bucket, Key="a/é", UploadId=one, PartNumber=n, Body=b, ChecksumSHA256=sums[n - 1])["ETag"])
        for n, b in enumerate((bytes(PART), b"end"), 1)]
    complete = lambda parts: s3.complete_multipart_upload(Bucket=bucket, Key="a/é", UploadId=one,
                                                          MultipartUpload={"Parts": parts})
    with refused(400, "InvalidPart"):
        complete([{**parts[0], "ChecksumSHA256": sums[1]}, parts[1]])
    whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode() + "-2"
    assert complete(parts)["ChecksumSHA256"] == whole and uploads() == []
    assert s3.head_object(Bucket=bucket, Key="a/é", ChecksumMode="ENABLED")["ChecksumSHA256"] == whole


def test_ten_thousand_parts(region, s3, bucket):
    """The list of as many parts as S3 allows, with checksums and indents; the parts are one, which its records call large."""
    digest = hashlib.sha256(b"part").digest()
    total, key = base64.b64encode(digest).decode(), dict(Bucket=bucket, Key="k")
    upload = dict(**key, UploadId=s3.create_multipart_upload(**key, ChecksumAlgorithm="SHA256")["UploadId"])
    etag = s3.upload_part(**upload, PartNumber=1, Body=b"part", ChecksumSHA256=total)["ETag"]
    [first] = region.folder.glob(f"regions/*/buckets/{bucket}/uploads/*/1.json")
    record = json.dumps({**json.loads(first.read_text()), "size": PART})
    for n in range(1, 10001):
        (first.parent / f"{n}.json").write_text(record)
    part = "  <Part>\n" + "".join(f"    <{name}>{value}</{name}>\n" for name, value in (
        ("ETag", etag.replace('"', "&quot;")), ("ChecksumCRC32", "AAAAAA=="), ("ChecksumCRC32C", "AAAAAA=="),
        ("ChecksumCRC64NVME", "AAAAAAAAAAA="), ("ChecksumSHA1", "A" * 27 + "="), ("ChecksumSHA256", total),
        ("PartNumber", "%d"))) + "  </Part>\n"

    def complete(nr):
        body = f"<CompleteMultipartUpload>\n{''.join(part % n for n in range(1, nr + 1))}</CompleteMultipartUpload>".encode()
        return sent(region, "POST", f"/{bucket}/k?uploadId={upload['UploadId']}", body,
                    {"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()})

    status, text = complete(10001)
    assert status == 400 and "<Code>MalformedXML</Code>" in text
    status, text = complete(10000)
    whole = base64.b64encode(hashlib.sha256(digest * 10000).digest()).decode() + "-10000"
    assert status == 200 and f"<ChecksumSHA256>{whole}</ChecksumSHA256>" in text
    assert s3.get_object(**key)["Body"].read() == b"part" * 10000


def test_large_bodies_are_refused_in_words_of_s3(region, bucket):
    """By the head alone when it says how long they are, else when they are there."""
    for method, path, code, body in (("PUT", f"/{bucket}/k", "EntityTooLarge", None),
                                     ("POST", f"/{bucket}?delete", "MaxMessageLengthExceeded", None),
                                     ("POST", f"/{bucket}?delete", "MaxMessageLengthExceeded", [bytes(1 << 20)] * 6)):
        request = botocore.awsrequest.AWSRequest(method, region.endpoint + path, data=b"")
        botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(*region.credentials()), "s3", "us-east-1").add_auth(request)
        line = http.client.HTTPConnection(region.endpoint.removeprefix("http://"), timeout=20)
        length = {"Transfer-Encoding": "chunked"} if body else {"Content-Length": str((5 << 30) + 1)}
        line.request(method, path, body=body, headers={**dict(request.headers.items()), **length}, encode_chunked=True)
        answer = line.getresponse()
        assert answer.status == 400 and f"<Code>{code}</Code>" in answer.read().decode()
        line.close()


def test_upload_file(s3, bucket, tmp_path):
    """boto3's own transfer: parts of 8 MiB from several threads."""
    data = os.urandom(20 << 20)
    (tmp_path / "f").write_bytes(data)
    s3.upload_file(str(tmp_path / "f"), bucket, "file")
    s3.download_file(bucket, "file", str(tmp_path / "g"))
    assert (tmp_path / "g").read_bytes() == data
    assert s3.head_object(Bucket=bucket, Key="file")["ETag"].endswith('-3"')


def test_buckets(region, s3, bucket):
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert bucket not in [b["Name"] for b in client(region, "second").list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    there = client(region, where="eu-west-1")
    name = f"eu-{os.urandom(6).hex()}"
    with refused(400, "IllegalLocationConstraintException"):
        there.create_bucket(Bucket=name)
    there.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert there.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert there.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "eu-west-1"
    for who, code in (("default", "BucketAlreadyOwnedByYou"), ("second", "BucketAlreadyExists")):
        with refused(409, code):
            client(region, who).create_bucket(Bucket=name)
    with refused(400, "InvalidBucketName"):
        s3.create_bucket(Bucket="Not_A_Name")
    with refused(404, "NoSuchBucket"):
        s3.list_objects_v2(Bucket="none-of-that-name")
    there.put_object(Bucket=name, Key="k", Body=b"x")
    with refused(409, "BucketNotEmpty"):
        there.delete_bucket(Bucket=name)
    there.delete_object(Bucket=name, Key="k")
    there.delete_bucket(Bucket=name)
    with refused(404, "404"):
        there.head_bucket(Bucket=name)
    with refused(501, "NotImplemented"):
        s3.get_bucket_policy(Bucket=bucket)


def test_another_region_is_named(region, s3):
    name = f"eu-{os.urandom(6).hex()}"
    client(region, where="eu-west-1").create_bucket(Bucket=name, CreateBucketConfiguration={
        "LocationConstraint": "eu-west-1"})
    status, text = sent(region, "PUT", f"/{name}/k", b"x", {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert status == 301 and "<Code>PermanentRedirect</Code>" in text and "<Region>eu-west-1</Region>" in text
    s3.put_object(Bucket=name, Key="k", Body=b"moved")  # botocore follows the header
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"moved"
    # The bucket's own host leads to its Region, which reads the signature.
    host = f"{name}.localhost:{region.endpoint.rpartition(':')[2]}"
    request = botocore.awsrequest.AWSRequest("GET", f"http://{host}/k", headers={"Host": host})
    botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(*region.credentials()), "s3", "us-east-1").add_auth(request)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(region.endpoint + "/k", headers=dict(request.headers.items())))
    assert error.value.code == 400 and error.value.headers["x-amz-bucket-region"] == "eu-west-1"
    text = error.value.read().decode()
    assert "<Code>AuthorizationHeaderMalformed</Code>" in text and "<Region>eu-west-1</Region>" in text


def test_acls_and_other_accounts(region, s3, bucket):
    theirs = client(region, "second")
    s3.put_object(Bucket=bucket, Key="private", Body=b"1")
    s3.put_object(Bucket=bucket, Key="exec", Body=b"2", ACL="aws-exec-read")
    s3.put_object(Bucket=bucket, Key="public", Body=b"3", ACL="public-read")
    for key in ("private", "exec", "missing"):
        with refused(403, "AccessDenied"):
            theirs.get_object(Bucket=bucket, Key=key)
    assert theirs.get_object(Bucket=bucket, Key="public")["Body"].read() == b"3"
    for call in (lambda: theirs.put_object(Bucket=bucket, Key="x", Body=b""), lambda: theirs.list_objects_v2(Bucket=bucket)):
        with refused(403, "AccessDenied"):
            call()
    enforced = f"b-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=enforced)
    with refused(400, "AccessControlListNotSupported"):
        s3.put_object(Bucket=enforced, Key="x", Body=b"", ACL="aws-exec-read")


def test_virtual_hosts_and_presigned_urls(region, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b", Body=b"by host")
    url = client(region, signature_version="s3v4").generate_presigned_url("get_object", Params=dict(Bucket=bucket, Key="a b"))
    assert urllib.request.urlopen(url).read() == b"by host"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert error.value.code == 403
    host = f"{bucket}.localhost:{region.endpoint.rpartition(':')[2]}"
    request = botocore.awsrequest.AWSRequest("GET", f"http://{host}/a%20b", headers={"Host": host})
    botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(*region.credentials()), "s3", "us-east-1").add_auth(request)
    with urllib.request.urlopen(urllib.request.Request(region.endpoint + "/a%20b",
                                                       headers=dict(request.headers.items()))) as answer:
        assert answer.read() == b"by host"


def test_refused_signatures(region, s3, bucket):
    access, secret = region.credentials()
    with refused(403, "SignatureDoesNotMatch"):
        region.client("s3", keys=dict(aws_access_key_id=access, aws_secret_access_key="x" * 40)).list_buckets()
    with refused(403, "InvalidAccessKeyId"):
        region.client("s3", keys=dict(aws_access_key_id="AKIAX", aws_secret_access_key=secret)).list_buckets()
    wrong = hashlib.sha256(b"other").hexdigest()
    assert sent(region, "PUT", f"/{bucket}/x", b"body", {"X-Amz-Content-SHA256": wrong})[0] == 400


def test_state_survives_kill(tmp_path):
    with RegionServer(tmp_path / "r") as server:
        s3 = client(server)
        s3.create_bucket(Bucket="kept-bucket")
        s3.put_object(Bucket="kept-bucket", Key="k", Body=b"kept")
        upload = dict(Bucket="kept-bucket", Key="p", UploadId=s3.create_multipart_upload(
            Bucket="kept-bucket", Key="p")["UploadId"])
        etag = s3.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]
        server.stop(signal.SIGKILL)
        server.start()
        s3 = client(server)
        assert s3.get_object(Bucket="kept-bucket", Key="k")["Body"].read() == b"kept"
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        assert s3.get_object(Bucket="kept-bucket", Key="p")["Body"].read() == b"part"


def test_faults(tmp_path):
    with RegionServer(tmp_path / "r", "--faults", "throttle=100%") as server:
        with refused(503, "SlowDown"):
            client(server).list_buckets()
    with RegionServer(tmp_path / "q", "--quota", "s3=1") as server:
        s3 = client(server)
        with refused(503, "SlowDown"):
            for _ in range(10):
                s3.list_buckets()
