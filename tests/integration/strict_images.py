# SPDX-License-Identifier: Apache-2.0
"""The strict server with images and snapshots in several regions: what copying, sharing and retiring ask for. Calls
that Debian 12's botocore does not know yet are held against the parameters written down here."""
import hashlib
import json
import re
import threading
import urllib.parse
from xml.sax.saxutils import escape

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

import strict_server
from strict_server import EC2_NS, KEY, SECRET, Fault, StrictServer, check_signature

ACCOUNT = "123456789012"
OTHER = "999988887777"
REGIONS = ("eu-north-1", "eu-west-1", "us-west-2")
KMS = "arn:aws:kms:{}:" + ACCOUNT + ":key/{}"

strict_server.NEWER_PARAMETERS.update({
    "CopyImage": r"TagSpecification\.1\.(ResourceType|Tag\.\d+\.(Key|Value))",
    "DescribeImages": r"MaxResults|NextToken|IncludeDisabled",
})
NEWER_CALLS = {
    "GetImageBlockPublicAccessState": set(),
    "GetSnapshotBlockPublicAccessState": set(),
    "EnableImageDeregistrationProtection": {"ImageId", "WithCooldown", "DryRun"},
    "DisableImageDeregistrationProtection": {"ImageId", "DryRun"},
}


class Refusal(Exception):
    """An error of EC2."""

    def __init__(self, code, message="no", status=400):
        super().__init__(message)
        self.code, self.status = code, status


def render(value):
    """XML of a value: dicts are elements, lists items; None is left out."""
    if isinstance(value, dict):
        return "".join(f"<{k}>{render(v)}</{k}>" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return "".join(f"<item>{render(v)}</item>" for v in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


def presigned(url, given, source, target):
    """The URL must be one of the source's region, carry the call's parameters, and be signed rightly."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    signature = query.pop("X-Amz-Signature")
    signed = {k: v for k, v in query.items() if not k.startswith("X-Amz-")}
    call = {k: v for k, v in given.items() if k != "PresignedUrl"}
    if signed != {**call, "Action": "CopySnapshot", "Version": "2016-11-15", "DestinationRegion": target}:
        raise Fault(f"the URL's parameters {signed} are not the call's {call}")
    scope = query["X-Amz-Credential"].split("/")
    if (scope[0], scope[2:]) != (KEY, [source, "ec2", "aws4_request"]) or query["X-Amz-SignedHeaders"] != "host":
        raise Fault(f"the URL's scope is {scope}")
    quote = urllib.parse.quote
    text = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(query.items()))
    request = botocore.awsrequest.AWSRequest(method="GET", url=url)
    request.context["timestamp"] = query["X-Amz-Date"]
    auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials(KEY, SECRET), "ec2", source)
    canonical = f"GET\n{parts.path}\n{text}\nhost:{parts.netloc}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    if auth.signature(auth.string_to_sign(request, canonical), request) != signature:
        raise Fault("the URL's signature differs")


class StrictImages(StrictServer):
    """images and snapshots: by id; each a dict with 'region'. Knobs are attributes."""

    regions = REGIONS

    def __init__(self):
        super().__init__()
        self.copy_polls = 2           # descriptions until a copy is whole
        self.default_on = set()       # regions with encryption by default
        self.templates = []           # (name, AMI, version)
        self.broken = {}              # region: why its copies fail
        self.denied = {}              # action: code
        self.blocked = {}             # "image" or "snapshot": state
        self.instances = {}           # AMI: state
        self.keys = {}                # ARN: KeyManager
        self.key_alias = {"alias/aws/ebs": "default", "alias/ami": "customer"}
        self.down = set()             # regions that take no calls
        self.full = 0                 # copies to refuse because of too many
        self.lose = 0                 # answers of CopySnapshot to lose
        self.lost = {}                # action: how many are done and answered by a failure of the server
        self.fail = {}                # action: how many are not done, and answered by a failure of the server
        self.hang = None              # the action that is done and not answered before go
        self.go = threading.Event()
        self.count = 0
        for region in REGIONS:
            self.keys[KMS.format(region, "default")] = "AWS"
            self.keys[KMS.format(region, "customer")] = "CUSTOMER"

    def env(self):
        return {**super().env(), "AWS_ENDPOINT_URL_KMS": self.endpoint, "AWS_ENDPOINT_URL_STS": self.endpoint}

    # What tests put there and look at.

    def new_id(self, prefix):
        self.count += 1
        return f"{prefix}-{self.count:017x}"

    def add_snapshot(self, region="eu-north-1", **more):
        name = self.new_id("snap")
        self.snapshots[name] = {"region": region, "status": "completed", "size": 1, "encrypted": False, "kms": None,
                                "owner": ACCOUNT, "tags": {}, "shared": [], "polls": 0, "description": "", **more}
        if self.snapshots[name]["encrypted"] and not self.snapshots[name]["kms"]:
            self.snapshots[name]["kms"] = KMS.format(region, "default")
        return name

    def add_image(self, name, snapshots, region="eu-north-1", **more):
        image = self.new_id("ami")
        self.images[image] = {
            "region": region, "name": name, "state": "available", "owner": ACCOUNT, "tags": {}, "shared": [],
            "polls": 0, "created": f"2026-01-01T00:00:{self.count:02}.000Z", "description": "", "protection": "disabled",
            "deprecation": None, "launched": None, "source": None, "codes": False, "reason": None,
            "arch": "x86_64", "mapping": [(f"/dev/xvd{'abcdef'[i]}", s) for i, s in enumerate(snapshots)], **more}
        return image

    def in_region(self, region):
        return {k: v for k, v in self.images.items() if v["region"] == region}

    def calls(self, *actions):
        return [given for action, given in self.requests if action in actions]

    def changes(self):
        """Names of calls that are not for reading, in order."""
        return [a for a, _ in self.requests if not re.match("Describe|Get", a)]

    # Protocol

    def answer(self, method, target, headers, body):
        try:
            if headers.get("X-Amz-Target"):
                return self.kms(method, target, headers, body)
        except Fault as fault:
            self.faults.append(str(fault))
            return 400, {}, b"{}"
        return super().answer(method, target, headers, body)

    def kms(self, method, target, headers, body):
        region = check_signature("kms", method, self.endpoint + target, headers, body, REGIONS)
        if headers["X-Amz-Target"] != "TrentService.DescribeKey" or \
                headers["Content-Type"] != "application/x-amz-json-1.1":
            raise Fault(f"{headers['X-Amz-Target']} {headers['Content-Type']}")
        self.requests.append(("DescribeKey", json.loads(body)))
        key = json.loads(body)["KeyId"]
        arn = KMS.format(region, self.key_alias[key]) if key in self.key_alias else key
        if "DescribeKey" in self.denied or arn not in self.keys:
            return 400, {}, json.dumps({"__type": self.denied.get("DescribeKey", "NotFoundException")}).encode()
        return 200, {}, json.dumps({"KeyMetadata": {"Arn": arn, "KeyId": arn.split("/")[1], "KeyState": "Enabled",
                                                    "KeyManager": self.keys[arn]}}).encode()

    def query(self, headers, body):
        action = urllib.parse.parse_qs(body.decode())["Action"][0]
        if action not in NEWER_CALLS:
            return super().query(headers, body)
        given = dict(urllib.parse.parse_qsl(body.decode()))
        given = {k: v for k, v in given.items() if k not in ("Action", "Version")}
        if set(given) - NEWER_CALLS[action]:
            raise Fault(f"{action}: unknown parameters {given}")
        return action, given, given

    def ec2(self, method, target, headers, body):
        region = check_signature("ec2", method, self.endpoint + target, headers, body, REGIONS)
        action, value, given = self.query(headers, body)
        with self.lock:
            self.region = region
            try:
                if self.fail.get(action):
                    self.fail[action] -= 1
                    raise Refusal("InternalError", "not done", 500)
                if given.get("DryRun") == "true" and action not in self.denied:
                    raise Refusal("DryRunOperation", "would have succeeded", 412)
                self.requests.append((action, {**given, "@region": region}))
                if action in self.denied or region in self.down:
                    raise Refusal(self.denied.get(action, "OptInRequired"))
                if action.startswith("Copy") and self.full:
                    self.full -= 1
                    raise Refusal("ResourceLimitExceeded", "too many copies")
                inner = render(getattr(self, "do_" + action)(value, given))
                if self.lost.get(action):
                    self.lost[action] -= 1
                    raise Refusal("InternalError", "lost", 500)
            except Refusal as no:
                return no.status, {}, (f"<Response><Errors><Error><Code>{no.code}</Code><Message>{escape(str(no))}"
                                       "</Message></Error></Errors><RequestID>r</RequestID></Response>").encode()
        if action == self.hang:
            self.go.wait(20)
        return 200, {"Content-Type": "text/xml;charset=UTF-8"}, (
            f'<?xml version="1.0"?><{action}Response xmlns="{EC2_NS}"><requestId>r</requestId>'
            f"{inner}</{action}Response>").encode()

    # Reading

    def image(self, name):
        image = self.images.get(name)
        if not image or image["region"] != self.region:
            raise Refusal("InvalidAMIID.NotFound", f"The image id '[{name}]' does not exist")
        return image

    def own_image(self, name):
        if self.image(name)["owner"] != ACCOUNT:
            raise Refusal("AuthFailure")
        return self.images[name]

    def snapshot(self, name):
        snapshot = self.snapshots.get(name)
        if not snapshot or snapshot["region"] != self.region:
            raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{name}' does not exist.")
        return snapshot

    def step(self, name):
        image = self.images[name]
        if image["state"] != "pending":
            return
        image["polls"] += 1
        whole = image["polls"] > self.copy_polls
        for _, s in image["mapping"]:
            self.snapshots[s]["status"] = "completed" if whole else "pending"
        if whole:
            image["state"] = "failed" if self.region in self.broken else "available"
            image["reason"] = self.broken.get(self.region)

    def matches(self, name, image, value):
        if image["region"] != self.region or ("self" in value.get("Owners", []) and image["owner"] != ACCOUNT):
            return False
        for f in value.get("Filters", []):
            key, values = f["Name"], f["Values"]
            have = {"name": [image["name"]], "image-id": [name], "architecture": [image["arch"]],
                    "block-device-mapping.snapshot-id": [s for _, s in image["mapping"]]}.get(key)
            if key.startswith("tag:"):
                have = [image["tags"].get(key[4:])]
            if have is None:
                raise Fault(f"filter {key}")
            patterns = [re.escape(v).replace(r"\*", ".*").replace(r"\?", ".") for v in values]
            if not any(h and re.fullmatch(p, h) for p in patterns for h in have):
                return False
        return True

    def do_DescribeImages(self, value, _given):
        for name in value.get("ImageIds", []):
            self.image(name)
            self.step(name)
        names = [n for n, i in self.images.items() if self.matches(n, i, value)
                 and n in value.get("ImageIds", [n])]
        return {"imagesSet": [self.describe(n, self.images[n]) for n in names]}

    def describe(self, name, i):
        return {"imageId": name, "imageState": i["state"], "name": i["name"], "imageOwnerId": i["owner"],
                "description": i["description"], "architecture": i["arch"], "creationDate": i["created"],
                "isPublic": ("group", "all") in i["shared"], "rootDeviceName": "/dev/xvda", "rootDeviceType": "ebs",
                "productCodes": [{"productCode": "p"}] if i["codes"] else [],
                "blockDeviceMapping": [{"deviceName": d, "ebs": {
                    "snapshotId": s, "volumeSize": self.snapshots[s]["size"],
                    "encrypted": self.snapshots[s]["encrypted"]}} for d, s in i["mapping"]],
                "tagSet": [{"key": k, "value": v} for k, v in i["tags"].items()],
                "stateReason": {"message": i["reason"]} if i["reason"] else None,
                "deregistrationProtection": i["protection"], "deprecationTime": i["deprecation"],
                "lastLaunchedTime": i["launched"],
                "sourceImageId": i["source"] and i["source"][1], "sourceImageRegion": i["source"] and i["source"][0]}

    def do_DescribeSnapshots(self, value, _given):
        for name in value.get("SnapshotIds", []):
            self.snapshot(name)
        found = []
        for name, s in self.snapshots.items():
            tags = [(f["Name"][4:], f["Values"][0]) for f in value.get("Filters", [])]
            if s["region"] != self.region or name not in value.get("SnapshotIds", [name]) or \
                    any(s["tags"].get(k) != v for k, v in tags):
                continue
            if s["status"] == "pending" and "source" in s:
                s["polls"] += 1
                if s["polls"] > self.copy_polls:
                    s["status"] = "error" if self.region in self.broken else "completed"
            found.append({"snapshotId": name, "status": s["status"], "progress": "100%" if s["status"] == "completed"
                          else "50%", "statusMessage": self.broken.get(self.region) if s["status"] == "error" else None,
                          "volumeSize": s["size"], "ownerId": s["owner"], "encrypted": s["encrypted"],
                          "description": s["description"], "kmsKeyId": s["kms"],
                          "tagSet": [{"key": k, "value": v} for k, v in s["tags"].items()]})
        return {"snapshotSet": found}

    def do_GetEbsEncryptionByDefault(self, *_):
        return {"ebsEncryptionByDefault": self.region in self.default_on}

    def do_GetEbsDefaultKmsKeyId(self, *_):
        return {"kmsKeyId": "alias/aws/ebs"}

    def do_DescribeRegions(self, *_):
        return {"regionInfo": [{"regionName": r} for r in REGIONS]}

    # Registering

    def do_RegisterImage(self, value, given):
        if value.get("VirtualizationType") != "hvm":
            raise Fault("paravirtual by omission")
        mapping = [(m["DeviceName"], m["Ebs"]["SnapshotId"]) for m in value.get("BlockDeviceMappings", [])
                   if m.get("Ebs", {}).get("SnapshotId")]
        for _, snapshot in mapping:
            if self.snapshots.get(snapshot, {}).get("region") != self.region:
                raise Refusal("InvalidSnapshotID.NotFound", f"The snapshot ID '{snapshot}' does not exist")
        if "ImageLocation" not in value and value["RootDeviceName"] not in dict(mapping):
            raise Refusal("InvalidBlockDeviceMapping", "No root snapshot specified in device mapping.")
        name = self.add_image(value["Name"], [], self.region, mapping=mapping, arch=value["Architecture"])
        self.images[name]["given"] = given
        return {"imageId": name}

    # Copying

    def key_of(self, value):
        """The key that new snapshots get, None for plain ones."""
        if value.get("KmsKeyId") and value.get("Encrypted") != "true":
            raise Refusal("InvalidParameterDependency")
        if value.get("KmsKeyId"):
            key = value["KmsKeyId"]
            return KMS.format(self.region, self.key_alias[key]) if key in self.key_alias else key
        if value.get("Encrypted") == "true" or self.region in self.default_on:
            return KMS.format(self.region, "default")
        return None

    def do_CopyImage(self, value, given):
        token = given.pop("ClientToken")
        if token in self.tokens:
            known, image = self.tokens[token]
            if known != given:
                raise Refusal("IdempotentParameterMismatch")
            return {"imageId": image}
        source = self.images[value["SourceImageId"]]
        if source["region"] != value["SourceRegion"]:
            raise Refusal("InvalidAMIID.NotFound")
        for name, image in self.in_region(self.region).items():
            if image["name"] == value["Name"]:
                raise Refusal("InvalidAMIName.Duplicate", f"AMI name is already in use by AMI {name}")
        tags = {given[k]: given[k[:-3] + "Value"] for k in given if re.fullmatch(r"TagSpecification\.1\.Tag\.\d+\.Key", k)}
        snapshots = []
        for _, s in source["mapping"]:
            old, key = self.snapshots[s], self.key_of(value)
            if old["encrypted"] and not key:
                if self.region != old["region"]:
                    raise Fault("an encrypted source leaves its region without a key")
                key = old["kms"]
            snapshots.append(self.add_snapshot(self.region, status="pending", encrypted=bool(key), kms=key,
                                               size=old["size"]))
        image = self.add_image(value["Name"], snapshots, self.region, state="pending", tags=tags,
                               source=(value["SourceRegion"], value["SourceImageId"]),
                               description=value.get("Description", ""))
        self.tokens[token] = given, image
        return {"imageId": image}

    def do_CopySnapshot(self, value, given):
        presigned(value["PresignedUrl"], given, value["SourceRegion"], self.region)
        old = self.snapshots[value["SourceSnapshotId"]]
        key = self.key_of(value)
        if old["encrypted"] and not key:
            raise Fault("an encrypted snapshot is copied without a key")
        tags = {t["Key"]: t["Value"] for spec in value.get("TagSpecifications", []) for t in spec["Tags"]}
        name = self.add_snapshot(self.region, status="pending", encrypted=bool(key), kms=key, size=old["size"],
                                 tags=tags, source=value["SourceSnapshotId"], description=value.get("Description", ""))
        if self.lose:
            self.lose -= 1
            raise Refusal("InternalError", "lost", 500)
        return {"snapshotId": name}

    def do_CreateTags(self, value, _given):
        for name in value["Resources"]:
            thing = self.image(name) if name.startswith("ami-") else self.snapshot(name)
            thing["tags"].update({t["Key"]: t.get("Value", "") for t in value["Tags"]})
        return {"return": True}

    # Sharing

    GRANTEES = {"UserId": "userId", "Group": "group", "OrganizationArn": "organizationArn",
                "OrganizationalUnitArn": "organizationalUnitArn"}

    def change(self, shared, changes):
        for how, items in changes.items():
            for item in items:
                (name, value), = item.items()
                entry = (self.GRANTEES[name], value)
                if how == "Add" and entry not in shared:
                    shared.append(entry)
                if how == "Remove" and entry in shared:
                    shared.remove(entry)
        return {"return": True}

    def do_ModifyImageAttribute(self, value, _given):
        return self.change(self.own_image(value["ImageId"])["shared"], value["LaunchPermission"])

    def do_ModifySnapshotAttribute(self, value, _given):
        if value.get("Attribute") != "createVolumePermission" or value["OperationType"] not in ("add", "remove"):
            raise Fault("an unclear change of a snapshot")
        items = [{"UserId": u} for u in value.get("UserIds", [])] + [{"Group": g} for g in value.get("GroupNames", [])]
        return self.change(self.snapshot(value["SnapshotId"])["shared"], {value["OperationType"].capitalize(): items})

    def do_DescribeImageAttribute(self, value, _given):
        return {"imageId": value["ImageId"],
                "launchPermission": [dict([e]) for e in self.own_image(value["ImageId"])["shared"]]}

    def do_DescribeSnapshotAttribute(self, value, _given):
        return {"createVolumePermission": [dict([e]) for e in self.snapshot(value["SnapshotId"])["shared"]]}

    def do_GetImageBlockPublicAccessState(self, *_):
        return {"imageBlockPublicAccessState": self.blocked.get("image", "unblocked")}

    def do_GetSnapshotBlockPublicAccessState(self, *_):
        return {"state": self.blocked.get("snapshot", "unblocked")}

    # Retiring

    def do_DeregisterImage(self, value, _given):
        if self.own_image(value["ImageId"])["protection"] != "disabled":
            raise Refusal("OperationNotPermitted")
        del self.images[value["ImageId"]]
        return {"return": True}

    def do_DeleteSnapshot(self, value, _given):
        self.snapshot(value["SnapshotId"])
        for name, image in self.images.items():
            if any(s == value["SnapshotId"] for _, s in image["mapping"]):
                raise Refusal("InvalidSnapshot.InUse", f"The snapshot is currently in use by {name}")
        del self.snapshots[value["SnapshotId"]]
        return {"return": True}

    def do_DescribeInstances(self, value, _given):
        (wanted,) = value["Filters"]
        states = [self.instances[i] for i in wanted["Values"] if i in self.instances]
        return {"reservationSet": [{"instancesSet": [{"instanceId": "i-1", "instanceState": {"name": s}}]}
                                   for s in states]}

    def do_DescribeLaunchTemplateVersions(self, value, _given):
        """templates: (template, image, version), of which the model knows nothing more; two entries a page."""
        assert sorted(value["Versions"]) == ["$Default", "$Latest"]
        (wanted,) = value["Filters"]
        assert wanted["Name"] == "image-id"
        found = [t for t in self.templates if t[1] in wanted["Values"]]
        first = int(value.get("NextToken", "0"))
        return {"launchTemplateVersionSet": [
                    {"launchTemplateId": "lt-" + name, "launchTemplateName": name, "versionNumber": str(version),
                     "launchTemplateData": {"imageId": ami}} for name, ami, version in found[first:first + 2]],
                "nextToken": str(first + 2) if first + 2 < len(found) else None}

    def do_EnableImageDeprecation(self, value, _given):
        self.own_image(value["ImageId"])["deprecation"] = value["DeprecateAt"]
        return {"return": True}

    def do_DisableImageDeprecation(self, value, _given):
        self.own_image(value["ImageId"])["deprecation"] = None
        return {"return": True}

    def do_EnableImageDeregistrationProtection(self, value, _given):
        self.own_image(value["ImageId"])["protection"] = \
            "enabled-with-cooldown" if value.get("WithCooldown") == "true" else "enabled-without-cooldown"
        return {"return": "true"}

    def do_DisableImageDeregistrationProtection(self, value, _given):
        self.own_image(value["ImageId"])["protection"] = "disabled"
        return {"return": "true"}


@pytest.fixture
def ec2(amiwright):
    """The server that the program's commands go to; nothing that it found wrong may be left. For import."""
    with StrictImages() as server:
        amiwright.env.update(server.env())
        yield server
        assert not server.faults
