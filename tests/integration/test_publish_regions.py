# SPDX-License-Identifier: Apache-2.0
"""`publish` as one transaction over several regions: copies, sharing, deprecation, resumption, cleanup, plan, policy.
boto3 looks at what came of it; a proxy listens to what was asked."""
import fnmatch
import json
import re
import signal
import subprocess
import time
import urllib.parse

import pytest

from creds_server import on_a_terminal
from pass_on import PassOn
from region_clients import A, make, query, register
from region_server import RegionServer

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")


@pytest.fixture
def region(tmp_path):
    with RegionServer(tmp_path / "region") as server:
        yield server


@pytest.fixture
def run(amiwright, region):
    def call(*args, endpoint=None, **kwargs):
        env = {"AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials")}
        return amiwright(*args, "--endpoint-url", endpoint or region.endpoint,
                         *(() if "--region" in args else ("--region", "us-east-1")), env=env, **kwargs)
    return call


@pytest.fixture
def ami(spec):
    """Replaces the spec's `ami` by the given text; gives the spec."""
    def write(text, version="1"):
        head = re.sub(r'version: "\d"', f'version: "{version}"', spec.read_text().split("ami:")[0])
        spec.write_text(head + "ami: " + text + "\n")
        return spec
    return write


def ids(result):
    return dict(line.split() for line in result.stdout.splitlines())


def images(region, name, profile="default"):
    """The images there, by id, as that account sees them."""
    found = region.client("ec2", region=name, profile=profile).describe_images(
        **({"Owners": ["self"]} if profile == "default" else {}))["Images"]
    return {i["ImageId"]: i for i in found}


def is_protected(region, name, image):
    """Debian's boto3 does not know of it."""
    found = query(region, "DescribeImages", region=name, ImageId__1=image)
    return found.findtext(".//deregistrationProtection") != "disabled"


def snapshots(region, name):
    return {s["SnapshotId"]: s for s in
            region.client("ec2", region=name).describe_snapshots(OwnerIds=["self"])["Snapshots"]}


def tags(thing):
    return {t["Key"]: t["Value"] for t in thing["Tags"]}


def everything(region):
    return {name: (sorted(images(region, name)), sorted(snapshots(region, name))) for name in REGIONS}


def key(region, name, alias="ami"):
    kms = region.client("kms", region=name)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=f"alias/{alias}", TargetKeyId=arn)
    return arn


def test_one_command_makes_it_everywhere(run, ami, region):
    arn = key(region, "us-west-2")
    other = region.account("second")
    spec = ami("{tags: {team: t}, protect: true, deprecate: {after_days: 30}, copies: [eu-west-1, "
               f"{{region: us-west-2, kms_key: alias/ami}}], share: {{accounts: ['{other}']}}}}")
    made = ids(run("publish", spec))
    assert list(made) == list(REGIONS)
    for name in REGIONS:
        image = images(region, name)[made[name]]
        assert image["Name"] == "tiny-1-x86_64" and is_protected(region, name, made[name])
        assert tags(image)["team"] == "t" and tags(image)["amiwright:name"] == "tiny"
        assert image["DeprecationTime"]
        # The other account sees it, and may copy it: its snapshots are shared too.
        assert made[name] in images(region, name, "second")
        snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        found = region.client("ec2", "second", name).describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        assert found["Encrypted"] == (name == "us-west-2")
        assert not found["Encrypted"] or found["KmsKeyId"] == arn
        assert tags(snapshots(region, name)[snapshot])["amiwright:content"]
    # Again: the same, and nothing new.
    before = everything(region)
    assert ids(run("publish", spec)) == made and everything(region) == before


def test_predecessors_are_deprecated(run, ami, region):
    first = ids(run("publish", ami("{copies: [eu-west-1]}")))
    time.sleep(1.1)  # creation dates are in seconds
    second = ids(run("publish", ami("{copies: [eu-west-1], deprecate: {old_after_days: 0}}", version="2")))
    for name in ("us-east-1", "eu-west-1"):
        found = images(region, name)
        assert found[first[name]].get("DeprecationTime") and not found[second[name]].get("DeprecationTime")


def test_a_failed_copy_is_gone_on_with(run, ami, region, tmp_path):
    # A key that is there and cannot be used: EC2 says so only when the copy has begun.
    arn = key(region, "us-west-2")
    spec = ami("{copies: [{region: us-west-2, kms_key: alias/ami}, eu-west-1]}")
    bad = ami("{copies: [{region: us-west-2, kms_key: alias/nowhere}, eu-west-1]}")
    before = everything(region)
    result = run("publish", bad, status=4)
    assert "alias/nowhere" in result.stderr and everything(region) == before
    text = bad.read_text()
    bad.write_text(text.replace("alias/nowhere", "alias/ami"))
    region.client("kms", region="us-west-2").disable_key(KeyId=arn)
    result = run("publish", bad, status=3)
    assert "Disabled" in result.stderr and everything(region) == before
    region.client("kms", region="us-west-2").enable_key(KeyId=arn)
    assert len(ids(run("publish", spec))) == 3
    assert not list((tmp_path / "state").rglob("*.json"))


def test_what_rules_forbid_changes_nothing(run, ami, region):
    before = everything(region)
    ec2 = region.client("ec2", region="eu-west-1")
    ec2.enable_ebs_encryption_by_default()
    result = run("publish", ami("{copies: [{region: eu-west-1, encrypt: false}]}"), status=3)
    assert "eu-west-1" in result.stderr and "building" not in result.stderr and everything(region) == before
    result = run("publish", ami("{copies: [eu-west-1], share: {public: true}}"), status=3)
    assert "encrypted" in result.stderr and everything(region) == before
    ec2.disable_ebs_encryption_by_default()
    query(region, "EnableImageBlockPublicAccess", ImageBlockPublicAccessState="block-new-sharing")
    result = run("publish", ami("{share: {public: true}}"), status=3)
    assert "block" in result.stderr and everything(region) == before
    region.client("ec2").enable_ebs_encryption_by_default()
    result = run("publish", ami("{encrypt: false}"), status=3)
    assert "encrypt: false" in result.stderr and everything(region) == before
    result = run("publish", ami("{copies: [cn-north-1]}"), status=3)
    assert "partition" in result.stderr and everything(region) == before
    result = run("publish", ami("{copies: [us-east-1]}"), status=2)
    assert "where the AMI is registered" in result.stderr


def test_encrypted_at_home(run, ami, region):
    arn = key(region, "us-east-1")
    made = run("publish", ami("{kms_key: alias/ami}")).stdout.strip()
    snapshot = images(region, "us-east-1")[made]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert snapshots(region, "us-east-1")[snapshot]["KmsKeyId"] == arn
    # An unencrypted wish does not take the encrypted snapshot, and the other way round.
    made = run("publish", ami("{name: again, kms_key: alias/ami}")).stdout.strip()
    assert snapshot in json.dumps(images(region, "us-east-1")[made], default=str)
    made = run("publish", ami("{name: plain}")).stdout.strip()
    assert snapshot not in json.dumps(images(region, "us-east-1")[made], default=str)
    # Unless the account encrypts everything.
    region.client("ec2").enable_ebs_encryption_by_default()
    made = run("publish", ami("{name: other}")).stdout.strip()
    assert snapshot in json.dumps(images(region, "us-east-1")[made], default=str)


class Slow(PassOn):
    """Between client and server: passes everything on, remembers what was asked, and can be slow or refuse."""

    REFUSAL = b"<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>"

    def __init__(self, endpoint):
        super().__init__(endpoint)
        self.actions, self.delay, self.refuse = [], 0, None
        self.refuse_in = self.kill = self.process = None

    def handle(self, method, path, headers, body):
        action = self.action(method, path, headers, body)
        scope = headers.get("Authorization", "//x/x").split("/")
        self.actions.append((action, scope[2]))
        time.sleep(self.delay if action == "ebs:PutSnapshotBlock" else 0)
        if self.kill == (action, False):
            return self.end()
        if action == self.refuse or (action, scope[2]) == self.refuse_in:
            answer = 403, [("Content-Length", len(self.REFUSAL))], self.REFUSAL
        else:
            answer = self.forward(method, path, headers, body)
        return self.end() if self.kill == (action, True) else answer

    def end(self):
        self.process.kill()
        self.process.wait()

    @staticmethod
    def action(method, path, headers, body):
        if headers.get("X-Amz-Target"):
            return "kms:" + headers["X-Amz-Target"].split(".")[1]
        if path == "/":
            form = dict(urllib.parse.parse_qsl(body.decode()))
            return ("sts:" if form["Version"].startswith("2011") else "ec2:") + form["Action"]
        if method == "PUT":
            return "ebs:PutSnapshotBlock"
        return "ebs:CompleteSnapshot" if "completion" in path else "ebs:StartSnapshot"


@pytest.fixture
def proxy(region):
    with Slow(region.endpoint) as thread:
        yield thread


def test_killed_in_the_upload(run, amiwright, ami, region, proxy):
    spec = ami("{}")
    proxy.delay = 0.3
    process = subprocess.Popen(
        [amiwright.path, "publish", spec, "--endpoint-url", proxy.endpoint, "--region", "us-east-1"],
        env={**amiwright.env, "AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials")})
    while len([a for a, _ in proxy.actions if a == "ebs:PutSnapshotBlock"]) < 80:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pending = [s for s, v in snapshots(region, "us-east-1").items() if v["State"] == "pending"]
    assert len(pending) == 1
    proxy.delay = 0
    del proxy.actions[:]
    run("publish", spec, endpoint=proxy.endpoint)
    assert list(snapshots(region, "us-east-1")) == pending
    assert ("ebs:StartSnapshot", "us-east-1") not in proxy.actions


def test_cleanup_leaves_nothing(run, amiwright, ami, region, proxy):
    before = everything(region)
    spec = ami("{copies: [eu-west-1], share: {accounts: ['" + region.account("second") + "']}}")
    proxy.refuse = "ec2:ModifyImageAttribute"
    result = run("publish", spec, endpoint=proxy.endpoint, status=4)
    assert "UnauthorizedOperation" in result.stderr and "--cleanup" in result.stderr
    left = everything(region)
    for name in ("us-east-1", "eu-west-1"):
        assert len(left[name][0]) == 1
        assert left[name][0][0] in result.stderr
    found = run("publish", spec, "--cleanup", "--dry-run").stdout.split()
    assert everything(region) == left
    deleted = run("publish", spec, "--cleanup").stdout.split()
    assert everything(region) == before
    assert sorted(deleted) == sorted(i for name in REGIONS for kind in left[name] for i in kind)
    assert set(found) >= {i for name in REGIONS for i in left[name][0]}
    assert run("publish", spec, "--cleanup").stdout == ""
    # What is finished is not touched.
    run("publish", spec)
    whole = everything(region)
    assert run("publish", spec, "--cleanup").stdout == "" and everything(region) == whole


def test_a_refused_step_is_gone_on_with(run, ami, region, proxy):
    spec = ami("{copies: [eu-west-1], protect: true}")
    proxy.refuse = "ec2:EnableImageDeregistrationProtection"
    run("publish", spec, endpoint=proxy.endpoint, status=4)
    left = everything(region)
    proxy.refuse = None
    made = ids(run("publish", spec, endpoint=proxy.endpoint))
    assert everything(region) == left
    assert all(is_protected(region, name, made[name]) for name in made)


def test_the_policy_is_what_is_asked(run, amiwright, ami, region, proxy):
    """Every call that is made is allowed, where it is made; every call that is allowed for this spec is made."""
    key(region, "us-west-2")
    spec = ami("{copies: [eu-west-1, {region: us-west-2, kms_key: alias/ami}], protect: true, "
               "deprecate: {after_days: 9, old_after_days: 1}, share: {accounts: ['" + region.account("second") + "']}}")
    policy = json.loads(amiwright("iam-policy", spec, "--region", "us-east-1").stdout)
    run("publish", spec, endpoint=proxy.endpoint)
    run("publish", spec, endpoint=proxy.endpoint)
    allowed = set()
    for statement in policy["Statement"]:
        where = statement.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion")
        for name in where or {r.split(":")[3] for r in statement["Resource"]}:
            allowed |= {(action, name) for action in statement["Action"]}
    asked = {a for a in proxy.actions if not a[0].startswith("sts:")}
    assert asked <= allowed, asked - allowed
    # KMS is asked by EBS for us; what is left is needed only after a failure.
    rest = {a for a, _ in allowed - asked if not a.startswith("kms:")}
    assert rest <= {"ec2:DeleteSnapshot", "ec2:DeregisterImage", "ec2:CopyImage", "ec2:CreateTags"}, rest


def test_plan(run, ami, region, proxy):
    key(region, "us-west-2")
    spec = ami("{copies: [eu-west-1, {region: us-west-2, kms_key: alias/ami}]}")
    before = everything(region)
    plan = json.loads(run("publish", spec, "--dry-run", "--json", endpoint=proxy.endpoint).stdout)
    assert everything(region) == before
    assert [r["encryption"] for r in plan["regions"]] == ["not encrypted", "not encrypted", "encrypted, the key given"]
    calls = {c["operation"]: c["count"] for c in plan["calls"]}
    del proxy.actions[:]
    run("publish", spec, endpoint=proxy.endpoint)
    for name, count in calls.items():
        service = "ebs" if name.endswith(("Snapshot", "Block")) else "ec2"
        assert len([a for a, _ in proxy.actions if a == f"{service}:{name}"]) == count, name
    assert plan["upload_bytes"] == calls["PutSnapshotBlock"] * (512 << 10)
    assert float(plan["estimated_usd"]) == pytest.approx(calls["PutSnapshotBlock"] * 0.000006, abs=1e-4)
    again = run("publish", spec, "--dry-run").stdout
    assert "already" in again and "StartSnapshot" not in again


def test_no_place_for_a_journal(run, ami, region, amiwright):
    amiwright.env["XDG_STATE_HOME"] = "/proc/none"
    result = run("publish", ami("{copies: [eu-west-1]}"))
    assert "no journal can be kept" in result.stderr and len(ids(result)) == 2


def test_predecessors_are_those_before_it(run, ami, region):
    text = "{deprecate: {old_after_days: 0}}"
    first = run("publish", ami(text)).stdout.strip()
    time.sleep(1.1)
    second = run("publish", ami(text, version="2")).stdout.strip()
    assert run("publish", ami(text, version="1")).stdout.strip() == first
    found = images(region, "us-east-1")
    assert found[first].get("DeprecationTime") and not found[second].get("DeprecationTime")


def test_a_name_that_is_taken_elsewhere(run, ami, region):
    made = run("publish", ami("{}"), "--region", "eu-west-1").stdout.strip()
    before = everything(region)
    result = run("publish", ami("{copies: [eu-west-1]}", version="1"), status=3)
    assert made in result.stderr and "raise 'version'" in result.stderr and everything(region) == before


def kill_at(amiwright, region, proxy, spec, action, after):
    """Publishes and kills it when the call comes, before or after the service has got it."""
    proxy.kill = (action, after)
    proxy.process = subprocess.Popen(
        [amiwright.path, "publish", spec, "--endpoint-url", proxy.endpoint, "--region", "us-east-1"],
        env={**amiwright.env, "AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials")})
    assert proxy.process.wait(60) == -signal.SIGKILL
    proxy.kill = None


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("action", ["ebs:StartSnapshot", "ebs:CompleteSnapshot", "ec2:RegisterImage", "ec2:CopyImage",
                                    "ec2:ModifyImageAttribute"])
@pytest.mark.parametrize("then", ["cleanup", "resume"])
def test_killed_at_a_call(run, amiwright, ami, region, proxy, action, after, then):
    before = everything(region)
    spec = ami("{protect: true, copies: [eu-west-1], share: {accounts: ['" + region.account("second") + "']}}")
    kill_at(amiwright, region, proxy, spec, action, after)
    if then == "cleanup":
        run("publish", spec, "--cleanup")
        assert everything(region) == before
    else:
        made = ids(run("publish", spec))
        assert {n: len(i) for n, (i, _) in everything(region).items()} == {"us-east-1": 1, "eu-west-1": 1, "us-west-2": 0}
        assert {n: len(s) for n, (_, s) in everything(region).items()} == {"us-east-1": 1, "eu-west-1": 1, "us-west-2": 0}
        assert made["eu-west-1"] in images(region, "eu-west-1", "second")
        assert run("publish", spec, "--cleanup").stdout == ""


def test_what_an_earlier_run_left_is_not_forgotten(run, ami, region, proxy, tmp_path):
    spec = ami("{copies: [eu-west-1, us-west-2], share: {accounts: ['" + region.account("second") + "']}}")
    proxy.refuse = "ec2:ModifyImageAttribute"
    run("publish", spec, endpoint=proxy.endpoint, status=4)
    proxy.refuse = None
    left, = images(region, "us-west-2")
    spec = ami("{copies: [eu-west-1], share: {accounts: ['" + region.account("second") + "']}}")
    result = run("publish", spec)
    assert left in result.stderr and "--cleanup" in result.stderr
    whole = {n: everything(region)[n] for n in ("us-east-1", "eu-west-1")}
    assert left in run("publish", spec, "--cleanup").stdout
    assert everything(region) == {**whole, "us-west-2": ([], [])}
    # Another content after a refused registration: the first snapshot is no longer needed.
    spec = ami("{}", version="2")
    proxy.refuse = "ec2:RegisterImage"
    run("publish", spec, endpoint=proxy.endpoint, status=4)
    (tmp_path / "tree/etc/hostname").write_text("changed\n")
    result = run("publish", spec)
    assert "left by an earlier run" in result.stderr
    assert run("publish", spec, "--cleanup").stdout.startswith("snap-")
    assert len(everything(region)["us-east-1"][1]) == 2


def test_new_wishes_after_a_refusal(run, ami, region, proxy):
    accounts = [region.account("second"), "222222222222"]
    proxy.refuse_in = ("ec2:ModifyImageAttribute", "eu-west-1")
    run("publish", ami(f"{{copies: [eu-west-1], share: {{accounts: ['{accounts[0]}']}}}}"), endpoint=proxy.endpoint, status=4)
    proxy.refuse_in = None
    made = ids(run("publish", ami(f"{{copies: [eu-west-1], share: {{accounts: {accounts}}}}}")))
    for name, image in made.items():
        allowed = region.client("ec2", region=name).describe_image_attribute(ImageId=image, Attribute="launchPermission")
        assert {p["UserId"] for p in allowed["LaunchPermissions"]} == set(accounts)


def test_two_at_once(amiwright, run, ami, region, proxy):
    spec = ami("{}")
    proxy.delay = 0.3
    command = [amiwright.path, "publish", spec, "--endpoint-url", proxy.endpoint, "--region", "us-east-1"]
    env = {**amiwright.env, "AWS_SHARED_CREDENTIALS_FILE": str(region.folder / "credentials")}
    first = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    while ("ebs:PutSnapshotBlock", "us-east-1") not in proxy.actions:
        time.sleep(0.02)
    for command in (["publish", spec], ["publish", spec, "--cleanup"], ["publish", spec]):
        assert "is being published by another process" in run(*command, status=3).stderr
    proxy.delay = 0
    assert first.communicate()[0].startswith("ami-") and first.returncode == 0


def test_no_wildcards_in_actions(amiwright, ami):
    policy = json.loads(amiwright("iam-policy", ami("{}"), "--region", "eu-central-1").stdout)
    actions = [a for s in policy["Statement"] for a in s["Action"]]
    assert actions and not any(fnmatch.fnmatch(a, "*[*]*") for a in actions)
    assert "arn:aws:ec2:eu-central-1::snapshot/*" in json.dumps(policy)


@pytest.mark.parametrize("command", ["copy", "publish"])
def test_mfa_code_is_asked_for_once(amiwright, ami, region, proxy, tmp_path, command):
    """One session signs for all regions, whatever the number of clients."""
    key, secret = region.credentials()
    (tmp_path / "config").write_text(
        f"[profile mfa]\nsource_profile = keys\nrole_arn = arn:aws:iam::{region.account()}:role/builder\n"
        "mfa_serial = arn:aws:iam::1:mfa/me\n"
        f"[profile keys]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    env = {**amiwright.env, "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
           "AWS_ENDPOINT_URL_STS": proxy.endpoint}
    if command == "copy":
        ec2 = region.client("ec2")
        args = ["copy", register(ec2, make(region.client("ebs"), {0: A}), Name="mfa"), "--to", "eu-west-1", "--to", "us-west-2"]
    else:
        args = ["publish", str(ami("{name: mfa, copies: [eu-west-1, us-west-2]}"))]
    status, prompts = on_a_terminal([amiwright.path, *args, "--endpoint-url", proxy.endpoint, "--region", "us-east-1",
                                     "--profile", "mfa"], env)
    assert status == 0 and len(prompts) == 1, prompts
    for name in REGIONS:
        image, = images(region, name).values()
        assert image["Name"] == "mfa"
