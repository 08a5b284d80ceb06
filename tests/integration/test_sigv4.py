# SPDX-License-Identifier: Apache-2.0
"""Our signer against botocore's on requests that were drawn at random: canonical request and Authorization header."""
import calendar
import hashlib
import os
import random
import subprocess
import time
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

SIGNER = os.path.join(os.environ["AMIWRIGHT_OBJECTS"], "test_sigv4")
PRINTABLE = "".join(map(chr, range(33, 127)))
TEXTS = ["", "a", "a b", "a+b", "a/b=c&d", "é€", "~-_.", "%41", "A" * 300, "a  b   c", "x=y", "*()'!"]
PATHS = ["", "/", "//", "/.", "/a/./b", "/a/../b/", "/a//b", "/a b", "/a%2Fb", "/é", "/snapshots/snap-1/blocks/7", "/a=b:c@d"]


def random_text(rng):
    if rng.random() < 0.5:
        return rng.choice(TEXTS)
    return "".join(rng.choice(PRINTABLE) for _ in range(rng.randrange(1, 20)))


def random_query(rng):
    pairs = [(encode(random_text(rng) or "k"), encode(random_text(rng))) for _ in range(rng.randrange(4))]
    if pairs and rng.random() < 0.3:
        pairs += [(pairs[0][0], encode(random_text(rng))) for _ in range(2)]
    return "&".join(f"{key}={value}" for key, value in pairs)


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def draw(rng):
    service = rng.choice(["ebs", "ec2", "sts", "s3"])
    path = urllib.parse.quote(rng.choice(PATHS), safe="/~%")
    if service == "s3" and not path:
        path = "/"
    query = random_query(rng)
    body = random_text(rng).encode()
    payload = rng.choice(["UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()])
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(rng.randrange(1, 2 ** 32)))
    headers = {"Host": "service.example.com:8443", "X-Amz-Date": stamp, "X-Amz-Content-SHA256": payload,
               "User-Agent": "never signed"}
    for n in range(rng.randrange(4)):
        value = "".join(c for c in random_text(rng) if ord(c) < 127) or "v"
        headers[rng.choice(["X-Amz-", "x-", "Content-"]) + f"H{n}"] = f" {value} "
    return {"method": rng.choice(["GET", "PUT", "POST", "DELETE"]), "path": path, "query": query, "payload": payload,
            "region": rng.choice(["us-east-1", "eu-west-1"]), "service": service, "stamp": stamp, "headers": headers,
            "key": "AKID%d" % rng.randrange(10 ** 9), "secret": "".join(rng.choice(PRINTABLE) for _ in range(40))}


def ours(cases):
    lines = []
    for c in cases:
        when = calendar.timegm(time.strptime(c["stamp"], "%Y%m%dT%H%M%SZ"))
        lines += [c["method"], c["path"], c["query"], c["payload"], c["region"], c["service"], str(when), c["key"],
                  c["secret"], str(len(c["headers"]))]
        for name, value in c["headers"].items():
            lines += [name, value]
    out = subprocess.run([SIGNER, "--sign"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    parts = out.stdout.split("\0")[:-1]
    return list(zip(parts[::2], parts[1::2]))


def botocores(c):
    signer = botocore.auth.S3SigV4Auth if c["service"] == "s3" else botocore.auth.SigV4Auth
    auth = signer(botocore.credentials.Credentials(c["key"], c["secret"]), c["service"], c["region"])
    url = "https://service.example.com:8443" + c["path"] + ("?" + c["query"] if c["query"] else "")
    request = botocore.awsrequest.AWSRequest(method=c["method"], url=url, headers=c["headers"])
    request.context["timestamp"] = c["stamp"]
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    names = ";".join(sorted(n.lower() for n in c["headers"] if n != "User-Agent"))
    return canonical, (f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, "
                       f"Signature={signature}")


def test_same_signatures_as_botocore():
    rng = random.Random(20261123)
    cases = [draw(rng) for _ in range(1000)]
    for case, (canonical, authorization) in zip(cases, ours(cases), strict=True):
        want, header = botocores(case)
        assert canonical == want, case
        assert authorization == header, case
