# SPDX-License-Identifier: Apache-2.0
"""A small EBS and EC2 that misbehaves on purpose. `plan` is called for every request with the operation and how often it
was called before; it answers None (behave) or one of the faults below. What arrived is kept for the test to look at."""
import base64
import fnmatch
import hashlib
import http.server
import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from email.utils import formatdate

BLOCK = 512 << 10
XMLNS = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
ACCOUNT = "111122223333"
NOT_FOUND = ("<Response><Errors><Error><Code>InvalidSnapshot.NotFound</Code><Message>The snapshot does not exist.</Message>"
             "</Error></Errors></Response>")

# Faults: an error answer, or one of these.
LOST = "lost"          # the work is done, the connection closed without an answer
CUT = "cut"            # the answer ends in its middle
RESET = "reset"        # a TCP reset before the body was read
STALL = "stall"        # nothing ever comes
THROTTLE = (400, "RequestThrottledException", "Rate exceeded", "RESOURCE_LEVEL_THROTTLE")
BROKEN = (500, "InternalServerException", "oops", None)
DENIED = (403, "AccessDeniedException", "not yours", "UNAUTHORIZED_ACCOUNT")
UNKNOWN = (404, "ResourceNotFoundException", "The snapshot does not exist.", "SNAPSHOT_NOT_FOUND")
DAMAGED = (403, "InvalidSignatureException",
           "The value passed in as x-amz-Checksum does not match the computed checksum.", None)
WRONG_KEY = (401, "AuthFailure", "AWS was not able to validate the provided access credentials", None)
EXPIRED_REQUEST = (400, "RequestExpired", "Request has expired.", None)
LIMITED = (400, "RequestLimitExceeded", "Request limit exceeded.", None)
SLOW_BODY = (400, "ValidationException", "Failed to read block data", "INVALID_PARAMETER_VALUE")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return formatdate(time.time() + self.server.fault.skew, usegmt=True)

    def send(self, status, body, headers=(), cut=False):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "req-%d" % self.number)
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def fail(self, status, code, message, reason):
        if self.operation[0] == "ec2":
            self.send(status, f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                              f"<RequestID>req-{self.number}</RequestID></Response>")
        else:
            self.send(status, json.dumps({"Message": message, "Reason": reason}), [("x-amzn-ErrorType", code)])

    def read_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def name(self):
        if self.path == "/":
            return "ec2", None
        rules = [("POST", r"/snapshots", "StartSnapshot"), ("PUT", r"/snapshots/[^/]+/blocks/\d+", "PutSnapshotBlock"),
                 ("POST", r"/snapshots/completion/.+", "CompleteSnapshot"),
                 ("GET", r"/snapshots/[^/]+/blocks\?.*", "ListSnapshotBlocks"),
                 ("GET", r"/snapshots/[^/]+/changedblocks\?.*", "ListChangedBlocks"),
                 ("GET", r"/snapshots/[^/]+/blocks/\d+\?.*", "GetSnapshotBlock")]
        for method, pattern, name in rules:
            if self.command == method and re.fullmatch(pattern, self.path):
                return "ebs", name
        return "ebs", "Unknown"

    def account(self):
        key = re.search(r"Credential=([^/]+)/", self.headers["Authorization"])[1]
        return self.server.fault.accounts.get(key, ACCOUNT)

    def is_known(self, snap):
        """To the account that asks: another account's snapshot is as if it were not there."""
        snapshot = self.server.fault.snapshots.get(snap)
        return snapshot and snapshot["status"] != "deleted" and snapshot.get("owner", ACCOUNT) == self.account()

    def handle_any(self):
        state = self.server.fault
        kind, name = self.name()
        body = self.read_body() if kind == "ec2" else None
        params = dict(urllib.parse.parse_qsl((body or b"").decode(), keep_blank_values=True))
        name = name or params["Action"]
        self.operation = kind, name
        with state.lock:
            self.number = len(state.log) + 1
            before = state.count(name)
            state.log.append((name, self.path, time.monotonic()))
        fault = state.plan(name, before)
        if fault == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.rfile.close()
            self.connection.close()
            return
        if body is None:
            body = self.read_body()
        if fault == STALL:
            state.stop.wait(60)
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            self.fail(*fault)
            return
        stamp = time.strptime(re.search(r"\d{8}T\d{6}Z", self.headers["X-Amz-Date"])[0], "%Y%m%dT%H%M%SZ")
        if abs(time.time() + state.skew - (time.mktime(stamp) - time.timezone)) > 300:
            self.fail(403, "InvalidSignatureException", "Signature expired", None)
            return
        with state.lock:
            answer = getattr(self, "ec2_" + name)(params) if kind == "ec2" else getattr(self, name)(body)
        if fault == LOST:
            self.close_connection = True
            return
        status, text, headers = (*answer, ())[:3]
        self.send(status, text, headers, fault == CUT)

    do_GET = do_POST = do_PUT = handle_any

    # --- EBS

    def StartSnapshot(self, body):
        state, wanted = self.server.fault, json.loads(body)
        snap = state.tokens.setdefault(wanted["ClientToken"], "snap-%017x" % (len(state.tokens) + 1))
        state.snapshots.setdefault(snap, {"blocks": {}, "status": "pending", "gib": wanted["VolumeSize"], "polls": 0,
                                          "tags": {t["Key"]: t["Value"] for t in wanted.get("Tags", [])},
                                          "wanted": wanted, "base": self.parent(wanted), "owner": self.account()})
        return 201, json.dumps({"SnapshotId": snap, "OwnerId": self.account(), "VolumeSize": wanted["VolumeSize"], "BlockSize": BLOCK,
                                "Status": "pending", "StartTime": time.time(), **state.encryption_answered})

    def parent(self, wanted):
        """The whole content of the parent's volume."""
        if "ParentSnapshotId" not in wanted:
            return {}
        assert "Encrypted" not in wanted and "KmsKeyArn" not in wanted
        parent = self.server.fault.snapshots[wanted["ParentSnapshotId"]]
        assert parent["status"] == "completed" and wanted["VolumeSize"] >= parent["gib"]
        return self.server.fault.content(wanted["ParentSnapshotId"])

    def PutSnapshotBlock(self, body):
        _, _, snap, _, index = self.path.split("/")
        assert len(body) == BLOCK
        assert self.headers["x-amz-Checksum"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        self.server.fault.snapshots[snap]["blocks"][int(index)] = body
        return 201, "{}"

    def CompleteSnapshot(self, body):
        snapshot = self.server.fault.snapshots[self.path.split("/")[-1]]
        digests = b"".join(hashlib.sha256(snapshot["blocks"][i]).digest() for i in sorted(snapshot["blocks"]))
        aggregate = base64.b64encode(hashlib.sha256(digests).digest()).decode() if snapshot["blocks"] else None
        good = (int(self.headers["x-amz-ChangedBlocksCount"]) == len(snapshot["blocks"]) and
                self.headers.get("x-amz-Checksum") == aggregate)
        snapshot["status"] = "completing" if good else "error"
        return 202, '{"Status":"pending"}'

    def ListSnapshotBlocks(self, body):
        name = self.path.split("?")[0].split("/")[2]
        snapshot, content = self.server.fault.snapshots[name], self.server.fault.content(name)
        query = dict(urllib.parse.parse_qsl(self.path.split("?")[1]))
        start, size = int(query.get("startingBlockIndex", query.get("pageToken", 0))), self.server.fault.page
        wanted = [i for i in sorted(content) if i >= start]
        answer = {"Blocks": [{"BlockIndex": i, "BlockToken": f"t{i}+/="} for i in wanted[:size]],
                  "VolumeSize": snapshot["gib"], "BlockSize": BLOCK, "ExpiryTime": 2e9}
        if len(wanted) > size:
            answer["NextToken"] = str(wanted[size])
        return 200, json.dumps(answer)

    def ListChangedBlocks(self, body):
        """Lists all that either of them has, equal or not."""
        path, query = self.path.split("?")
        second = self.server.fault.snapshots[path.split("/")[2]]
        first = self.server.fault.snapshots[dict(urllib.parse.parse_qsl(query))["firstSnapshotId"]]
        entries = []
        for i in sorted(set(first["blocks"]) | set(second["blocks"])):
            entries.append({"BlockIndex": i})
            for key, side in (("FirstBlockToken", first), ("SecondBlockToken", second)):
                if i in side["blocks"]:
                    entries[-1][key] = f"t{i}+/="
        return 200, json.dumps({"ChangedBlocks": entries, "VolumeSize": second["gib"], "BlockSize": BLOCK, "ExpiryTime": 2e9})

    def GetSnapshotBlock(self, body):
        path, query = self.path.split("?")
        _, _, snap, _, index = path.split("/")
        assert query == f"blockToken=t{index}%2B%2F%3D"
        data = self.server.fault.content(snap)[int(index)]
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return 200, data, [("x-amz-Checksum", digest), ("x-amz-Checksum-Algorithm", "SHA256"),
                           ("x-amz-Data-Length", str(BLOCK))]

    # --- EC2

    def ec2_DescribeSnapshots(self, params):
        state = self.server.fault
        if "SnapshotId.1" in params:
            names = [params["SnapshotId.1"]]
            if not self.is_known(names[0]):
                return 400, NOT_FOUND
        else:
            assert params["Filter.1.Name"].startswith("tag:") and params["Owner.1"] == "self"
            key, value = params["Filter.1.Name"][4:], params["Filter.1.Value.1"]
            names = [n for n, s in state.snapshots.items() if self.is_known(n) and key in s["tags"] and
                     fnmatch.fnmatchcase(s["tags"][key], value)]
        return 200, (f"<DescribeSnapshotsResponse {XMLNS}><snapshotSet>{''.join(map(self.describe, names))}"
                     "</snapshotSet></DescribeSnapshotsResponse>")

    def describe(self, snap):
        snapshot = self.server.fault.snapshots[snap]
        status = snapshot["status"]
        if status == "completing":
            snapshot["polls"] += 1
            if snapshot["polls"] >= 3:
                snapshot["status"] = "completed"
            status = "pending" if snapshot["polls"] < 3 else "completed"
        why = "<statusMessage>Checksum mismatch for snapshot</statusMessage>" if status == "error" else ""
        return (f"<item><snapshotId>{snap}</snapshotId><status>{status}</status><volumeSize>{snapshot['gib']}</volumeSize>"
                f"<startTime>2026-01-02T03:04:05.000Z</startTime>{self.server.fault.encryption_shown}{why}</item>")

    def ec2_GetCallerIdentity(self, params):
        return 200, ("<GetCallerIdentityResponse><GetCallerIdentityResult><Account>" + self.account() +
                     "</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")

    def ec2_DeleteSnapshot(self, params):
        if not self.is_known(params["SnapshotId"]):
            return 400, NOT_FOUND
        self.server.fault.snapshots[params["SnapshotId"]]["status"] = "deleted"
        return 200, f"<DeleteSnapshotResponse {XMLNS}><return>true</return></DeleteSnapshotResponse>"

    def ec2_RegisterImage(self, params):
        state = self.server.fault
        if params["Name"] in state.images:
            return 400, ("<Response><Errors><Error><Code>InvalidAMIName.Duplicate</Code><Message>AMI name "
                         f"{params['Name']} is already in use by AMI {state.images[params['Name']][0]}</Message></Error>"
                         "</Errors></Response>")
        ami = "ami-%017x" % (len(state.images) + 1)
        state.images[params["Name"]] = ami, params
        return 200, f"<RegisterImageResponse {XMLNS}><imageId>{ami}</imageId></RegisterImageResponse>"

    def ec2_DescribeImages(self, params):
        items = ""
        for name, (ami, registered) in self.server.fault.images.items():
            items += (f"<item><imageId>{ami}</imageId><name>{name}</name><imageState>available</imageState>"
                      "<blockDeviceMapping><item><deviceName>"
                      f"{registered['BlockDeviceMapping.1.DeviceName']}</deviceName><ebs><snapshotId>"
                      f"{registered['BlockDeviceMapping.1.Ebs.SnapshotId']}</snapshotId></ebs></item>"
                      "</blockDeviceMapping></item>")
        return 200, f"<DescribeImagesResponse {XMLNS}><imagesSet>{items}</imagesSet></DescribeImagesResponse>"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Connections that are reset on purpose raise; a request that is wrong shows in the client's failure."""


class FaultServer:
    def __init__(self, plan=lambda name, before: None, skew=0):
        self.plan, self.skew = plan, skew
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.log, self.tokens, self.snapshots, self.images = [], {}, {}, {}
        self.accounts = {}  # by access key, where it is not ACCOUNT
        self.page = 10000  # entries of a list
        self.encryption_answered, self.encryption_shown = {}, ""  # of StartSnapshot; in DescribeSnapshots
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.fault = self
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def add(self, blocks, gib=1):
        """A completed snapshot of these blocks."""
        snap = "snap-%017x" % (len(self.snapshots) + 1)
        self.snapshots[snap] = {"blocks": blocks, "base": {}, "status": "completed", "gib": gib, "polls": 0}
        return snap

    def count(self, name):
        return sum(1 for entry in self.log if entry[0] == name)

    def content(self, name):
        """What a volume of this snapshot holds: blocks by index."""
        return {**self.snapshots[name]["base"], **self.snapshots[name]["blocks"]}

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
