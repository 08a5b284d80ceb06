# SPDX-License-Identifier: Apache-2.0
"""A server that takes nothing on trust: every request is held against botocore's service models (operation, members,
types, patterns, ranges, enumerations, required ones, nothing unknown) and its signature is made again by botocore's
signer. What is wrong is kept in `faults`, so that a test fails even when the client would have retried."""
import base64
import functools
import hashlib
import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from email.utils import formatdate
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session

BLOCK = 512 << 10
KEY, SECRET = "AKIDSTRICTEXAMPLE", "strict/secret+for=tests"
REGION = "eu-north-1"
EC2_NS = "http://ec2.amazonaws.com/doc/2016-11-15/"


class Fault(Exception):
    pass


class Skewed(Fault):
    """Refused as AWS refuses it; a fault of the client's only when it does not help itself."""


class Signer(botocore.auth.SigV4Auth):
    """botocore's signer with the payload hash that the request itself claims."""

    def __init__(self, service, payload_hash, region=REGION):
        super().__init__(botocore.credentials.Credentials(KEY, SECRET), service, region)
        self.hash = payload_hash

    def payload(self, request):
        return self.hash


def check_signature(service, method, url, headers, body, regions=(REGION,), now=None):
    """Gives the region of the signature's scope."""
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                         r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
                         headers.get("Authorization", ""))
    if not match:
        raise Fault(f"Authorization is malformed: {headers.get('Authorization')}")
    key, date, region, name, signed, signature = match.groups()
    if (key, name) != (KEY, service) or region not in regions:
        raise Fault(f"scope is {key}/{region}/{name}")
    names = signed.split(";")
    if names != sorted(names) or "host" not in names:
        raise Fault(f"signed headers are not sorted or lack host: {signed}")
    unsigned = [h for h in headers if h.lower().startswith("x-amz-") and h.lower() not in names]
    if unsigned:
        raise Fault(f"unsigned x-amz headers: {unsigned}")
    stamp = headers.get("X-Amz-Date", "")
    if not stamp.startswith(date):
        raise Fault(f"date {stamp} is not of the scope {date}")
    age = abs((now or time.time()) - time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) + time.timezone)
    if age > 300:
        raise Skewed(f"signature is {age:.0f} s away")
    actual = hashlib.sha256(body).hexdigest()
    claimed = headers.get("X-Amz-Content-SHA256", actual)
    if claimed not in ("UNSIGNED-PAYLOAD", actual):
        raise Fault("x-amz-content-sha256 is not the body's")
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body)
    for header in names:
        request.headers[header] = headers[header]
    request.context["timestamp"] = stamp
    signer = Signer(service, claimed, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(text, request) != signature:
        raise Fault("signature differs; canonical request:\n" + signer.canonical_request(request))
    return region


def check_value(shape, value, where):
    """A text from the wire (or a JSON value) against a scalar, list or structure of the model."""
    kind, meta = shape.type_name, shape.metadata
    if kind == "structure":
        unknown = set(value) - set(shape.members)
        if unknown:
            raise Fault(f"{where}: unknown members {unknown}")
        for name in shape.required_members:
            if name not in value:
                raise Fault(f"{where}: '{name}' is required")
        for name, item in value.items():
            check_value(shape.members[name], item, f"{where}.{name}")
        return
    if kind == "list":
        for index, item in enumerate(value):
            check_value(shape.member, item, f"{where}[{index}]")
        return
    if kind in ("integer", "long"):
        if not re.fullmatch(r"-?\d+", str(value)) or isinstance(value, bool):
            raise Fault(f"{where}: '{value}' is not an integer")
        low, high, size = meta.get("min"), meta.get("max"), int(value)
    elif kind == "boolean":
        if value not in (True, False, "true", "false"):
            raise Fault(f"{where}: '{value}' is not a boolean")
        return
    elif kind == "string":
        if not isinstance(value, str):
            raise Fault(f"{where}: {value!r} is not a string")
        low, high, size = meta.get("min"), meta.get("max"), len(value)
        # The service's own tokens are URL-safe base64, which the model's pattern forgets.
        if meta.get("pattern") and "Token" not in where and not re.search(meta["pattern"].replace("\\p{", "p{"), value, re.S):
            raise Fault(f"{where}: '{value}' is not of the form {meta['pattern']}")
        if shape.enum and value not in shape.enum and (where, value) not in NEWER:
            raise Fault(f"{where}: '{value}' is none of {shape.enum}")
    else:
        return
    if (low is not None and size < low) or (high is not None and size > high):
        raise Fault(f"{where}: {value!r} is out of {low}..{high}")


# Values that the service takes and the model of Debian 12 does not know yet.
NEWER = {("RegisterImage.BootMode", "uefi-preferred")}
NEWER_PARAMETERS = {
    "RegisterImage": r"TagSpecification\.1\.(ResourceType|Tag\.\d+\.(Key|Value))",
    "DescribeImages": r"MaxResults|NextToken",
}


def query_members(shape, params, where):
    """The ec2 protocol's flat names as nested values; every name must be used up."""
    def wire(name, member):
        if "queryName" in member.serialization:
            return member.serialization["queryName"]
        location = member.serialization.get("name", name)
        return location[0].upper() + location[1:]

    def take(member, prefix):
        if member.type_name == "structure":
            result = {}
            for name, inner in member.members.items():
                value = take(inner, prefix + "." + wire(name, inner))
                if value is not None:
                    result[name] = value
            return result or None
        if member.type_name == "list":
            items = []
            while (item := take(member.member, f"{prefix}.{len(items) + 1}")) is not None:
                items.append(item)
            return items or None
        return params.pop(prefix, None)

    value = {}
    for name, member in shape.members.items():
        item = take(member, wire(name, member))
        if item is not None:
            value[name] = item
    for name in [n for n in params if re.fullmatch(NEWER_PARAMETERS.get(where, ""), n)]:
        params.pop(name)
    if params:
        raise Fault(f"{where}: unknown parameters {sorted(params)}")
    return value


@functools.lru_cache
def models():
    """Reading them takes longer than most tests."""
    session = botocore.session.get_session()
    return {name: session.get_service_model(name) for name in ("ebs", "ec2")}


class Snapshot:
    def __init__(self, size):
        self.size, self.blocks, self.status = size, {}, "pending"


class StrictServer:
    """Use as a context manager; `endpoint`, `faults`, `snapshots`, `images`, `requests` are for the test."""

    def __init__(self):
        self.models = models()
        self.faults, self.requests = [], []
        self.snapshots, self.images, self.tokens = {}, {}, {}
        self.lock = threading.Lock()
        self.may_come_again = False
        strict = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *args):
                pass

            def handle_one(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # the client went away
                    self.close_connection = True
                    return
                trouble = strict.trouble(self.command, self.path, self.headers)
                if trouble == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.rfile.close()
                    self.connection.close()
                    return
                status, headers, answer = trouble if isinstance(trouble, tuple) else \
                    strict.answer(self.command, self.path, self.headers, body)
                if trouble == "slow":
                    time.sleep(0.5)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("x-amzn-RequestId", "req-1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if trouble == "cut":
                    answer, self.close_connection = answer[:len(answer) // 2], True
                self.wfile.write(answer)

            def date_time_string(self, timestamp=None):
                return formatdate(strict.now(), usegmt=True)

            do_GET = do_PUT = do_POST = handle_one

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.http.shutdown()
        self.http.server_close()

    def env(self):
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION,
                "AWS_ENDPOINT_URL": self.endpoint}

    # For servers that misbehave on purpose (tests/slow).

    def now(self):
        return time.time()

    def trouble(self, method, target, headers):
        """None, an answer instead of the true one, or: reset, cut, slow."""

    def answer(self, method, target, headers, body):
        try:
            if target == "/" and b"Action=GetCallerIdentity" in body:
                return self.sts(method, target, headers, body)
            if target == "/":
                return self.ec2(method, target, headers, body)
            return self.ebs(method, target, headers, body)
        except Skewed as fault:
            code, answer = "InvalidSignatureException", json.dumps({"message": f"Signature expired: {fault}"})
            if target == "/":
                answer = f"<Response><Errors><Error><Code>AuthFailure</Code><Message>{fault}</Message></Error></Errors></Response>"
            return 403, {"x-amzn-ErrorType": code}, answer.encode()
        except Fault as fault:
            with self.lock:
                self.faults.append(f"{method} {target}: {fault}")
            answer = {"Message": str(fault), "Reason": "INVALID_PARAMETER_VALUE"}
            return 400, {"x-amzn-ErrorType": "ValidationException"}, json.dumps(answer).encode()

    # EBS direct: rest-json

    def operation(self, method, path):
        for name in self.models["ebs"].operation_names:
            model = self.models["ebs"].operation_model(name)
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(model.http["requestUri"]))
            match = re.fullmatch(pattern, path)
            if match and model.http["method"] == method:
                return model, match.groupdict()
        raise Fault("no such operation")

    def ebs(self, method, target, headers, body):
        url = urllib.parse.urlsplit(self.endpoint + target)
        check_signature("ebs", method, url.geturl(), headers, body, now=self.now())
        model, uri = self.operation(method, url.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        shape, value = model.input_shape, {}
        payload = shape.serialization.get("payload")
        content = json.loads(body) if body and not payload else {}
        for name, member in shape.members.items():
            place = member.serialization.get("location")
            wire = member.serialization.get("name", name)
            source = {"uri": uri, "querystring": query, "header": headers}.get(place, content)
            if name != payload and wire in source:
                value[name] = source.pop(wire) if place == "querystring" or source is content \
                    else source[wire]
        if query or content:
            raise Fault(f"unknown parameters {query} {content}")
        if payload:
            value[payload] = body
        check_value(shape, value, model.name)
        with self.lock:
            self.requests.append((model.name, value))
            return getattr(self, "do_" + model.name)(value)

    def do_StartSnapshot(self, value):
        token = value["ClientToken"]
        plain = {k: v for k, v in value.items()}
        if token in self.tokens:
            known, answer = self.tokens[token]
            if known != plain:
                return 409, {"x-amzn-ErrorType": "ConflictException"}, b'{"Message":"token"}'
            return 201, {}, answer
        name = f"snap-{len(self.snapshots) + 1:017x}"
        self.snapshots[name] = Snapshot(value["VolumeSize"])
        answer = json.dumps({"SnapshotId": name, "OwnerId": "123456789012", "Status": "pending",
                             "StartTime": 1.790337542341E9, "VolumeSize": value["VolumeSize"],
                             "BlockSize": BLOCK, "KmsKeyArn": None}).encode()
        self.tokens[token] = plain, answer
        return 201, {}, answer

    def do_PutSnapshotBlock(self, value):
        data, index = value["BlockData"], int(value["BlockIndex"])
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        snapshot = self.snapshots[value["SnapshotId"]]
        if len(data) != BLOCK or value["DataLength"] != str(BLOCK):
            raise Fault(f"block of {len(data)} bytes")
        if value["Checksum"] != digest:
            raise Fault("the block's checksum is wrong")
        if index >= snapshot.size * 2048:
            raise Fault(f"block {index} is beyond the volume")
        if index in snapshot.blocks and not self.may_come_again:
            raise Fault(f"block {index} is sent twice")
        snapshot.blocks[index] = data
        return 201, {"x-amz-Checksum": digest, "x-amz-Checksum-Algorithm": "SHA256"}, b"{}"

    def do_CompleteSnapshot(self, value):
        snapshot = self.snapshots[value["SnapshotId"]]
        digests = b"".join(hashlib.sha256(b).digest() for _, b in sorted(snapshot.blocks.items()))
        aggregate = base64.b64encode(hashlib.sha256(digests).digest()).decode()
        if int(value["ChangedBlocksCount"]) != len(snapshot.blocks):
            raise Fault("wrong number of changed blocks")
        if snapshot.blocks and (value.get("Checksum"), value.get("ChecksumAlgorithm"),
                                value.get("ChecksumAggregationMethod")) != (aggregate, "SHA256", "LINEAR"):
            raise Fault("wrong aggregate checksum")
        snapshot.status = "completed"
        return 202, {}, b'{"Status":"pending"}'

    def do_ListSnapshotBlocks(self, value):
        snapshot = self.snapshots[value["SnapshotId"]]
        first = int(value.get("NextToken", "p+/=0").split("=")[1])
        page = sorted(snapshot.blocks)[first:first + 100]
        more = first + 100 < len(snapshot.blocks)
        return 200, {}, json.dumps({
            "Blocks": [{"BlockIndex": i, "BlockToken": f"t-_+/={i}"} for i in page],
            "ExpiryTime": 1.790337542341E9, "VolumeSize": snapshot.size, "BlockSize": BLOCK,
            "NextToken": f"p+/={first + 100}" if more else None}).encode()

    def do_GetSnapshotBlock(self, value):
        index = int(value["BlockIndex"])
        if value["BlockToken"] != f"t-_+/={index}":
            raise Fault(f"token of another block: {value['BlockToken']}")
        data = self.snapshots[value["SnapshotId"]].blocks[index]
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return 200, {"x-amz-Data-Length": str(BLOCK), "x-amz-Checksum": digest,
                     "x-amz-Checksum-Algorithm": "SHA256"}, data

    # STS and EC2: query

    regions = (REGION,)

    def sts(self, method, target, headers, body):
        check_signature("sts", method, self.endpoint + target, headers, body, self.regions, now=self.now())
        return 200, {}, ("<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
                         "</GetCallerIdentityResult></GetCallerIdentityResponse>").encode()

    def query(self, headers, body):
        """A query's action, its members as the model names them, and its parameters as given."""
        if headers.get("Content-Type") != "application/x-www-form-urlencoded; charset=utf-8":
            raise Fault(f"content type {headers.get('Content-Type')}")
        pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
        params = dict(pairs)
        if len(params) != len(pairs) or params.pop("Version", None) != "2016-11-15":
            raise Fault("a parameter twice, or another version")
        action = params.pop("Action")
        given = dict(params)
        model = self.models["ec2"].operation_model(action)
        value = query_members(model.input_shape, params, action)
        check_value(model.input_shape, value, action)
        return action, value, given

    def ec2(self, method, target, headers, body):
        check_signature("ec2", method, self.endpoint + target, headers, body, now=self.now())
        action, value, given = self.query(headers, body)
        with self.lock:
            self.requests.append((action, given))
            inner = getattr(self, "do_" + action)(value, given)
        answer = f'<?xml version="1.0"?><{action}Response xmlns="{EC2_NS}"><requestId>r</requestId>' \
                 f'<surprise><item>new element</item></surprise>{inner}</{action}Response>'
        return 200, {"Content-Type": "text/xml;charset=UTF-8"}, answer.encode()

    def do_DescribeSnapshots(self, value, _given):
        wanted = value.get("SnapshotIds", [])  # none by tag: no upload here was ever lost
        items = "".join(
            f"<item><snapshotId>{n}</snapshotId><status>{s.status}</status><progress>100%</progress>"
            f"<volumeSize>{s.size}</volumeSize><ownerId>123456789012</ownerId><encrypted>false</encrypted>"
            "</item>" for n, s in self.snapshots.items() if n in wanted)
        return f"<snapshotSet>{items}</snapshotSet>"

    def do_DescribeImages(self, value, _given):
        names = [f["Values"] for f in value.get("Filters", []) if f["Name"] == "name"]
        items = ""
        for image, given in self.images.items():
            if (names and given["Name"] not in names[0]) or \
                    (value.get("ImageIds") and image not in value["ImageIds"]):
                continue
            snapshot = given.get("BlockDeviceMapping.1.Ebs.SnapshotId", "")
            tags = "".join(f"<item><key>{escape(given[k])}</key>"
                           f"<value>{escape(given[k[:-3] + 'Value'])}</value></item>"
                           for k in given if re.fullmatch(r"TagSpecification\.1\.Tag\.\d+\.Key", k))
            items += (f"<item><imageId>{image}</imageId><imageState>available</imageState>"
                      f"<name>{escape(given['Name'])}</name><imageOwnerId>123456789012</imageOwnerId>"
                      f"<architecture>{given['Architecture']}</architecture>"
                      f"<rootDeviceName>{given['RootDeviceName']}</rootDeviceName>"
                      "<blockDeviceMapping><item>"
                      f"<deviceName>{given['BlockDeviceMapping.1.DeviceName']}</deviceName>"
                      f"<ebs><snapshotId>{snapshot}</snapshotId><volumeSize>1</volumeSize></ebs>"
                      f"</item></blockDeviceMapping><tagSet>{tags}</tagSet></item>")
        return f"<imagesSet>{items}</imagesSet>"

    def do_RegisterImage(self, value, given):
        mapped = [m["DeviceName"] for m in value["BlockDeviceMappings"]]
        if value["RootDeviceName"] not in mapped:
            raise Fault("root device is not in the mapping")
        if value.get("VirtualizationType") != "hvm":
            raise Fault("paravirtual by omission")
        for mapping in value["BlockDeviceMappings"]:
            snapshot = mapping.get("Ebs", {}).get("SnapshotId")
            if snapshot and self.snapshots[snapshot].status != "completed":
                raise Fault("registered from a snapshot that is not completed")
        name = f"ami-{len(self.images) + 1:017x}"
        self.images[name] = given
        return f"<imageId>{name}</imageId>"

    def do_CreateTags(self, _value, _given):
        return "<return>true</return>"

    def do_DeleteSnapshot(self, value, _given):
        self.snapshots.pop(value["SnapshotId"])
        return "<return>true</return>"
