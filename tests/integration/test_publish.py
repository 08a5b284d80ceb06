# SPDX-License-Identifier: Apache-2.0
"""`publish` against the local region: the AMI, its snapshot, repetition, refusals."""
import json
import re
import subprocess


def publish(amiwright, spec, *args, **kwargs):
    return amiwright.json("publish", spec, "--local", "region", *args, **kwargs)


def state(tmp_path):
    return sorted(p.relative_to(tmp_path).as_posix() for p in (tmp_path / "region").rglob("*")
                  if p.suffix in (".json", ".img"))


def test_ami_snapshot_and_mapping(amiwright, spec, tmp_path):
    result = publish(amiwright, spec)
    assert re.fullmatch(r"ami-[0-9a-f]{17}", result["ami"]) and not result["existing"]
    assert result["region"] == "us-east-1" and result["name"] == "tiny-1-x86_64"
    snapshot = result["snapshots"][0]["snapshot"]
    assert result["mapping"] == [
        {"device": "/dev/xvda", "ebs": {"snapshot": snapshot, "type": "gp3", "iops": 3000}},
        {"device": "/dev/sdf", "virtual_name": "ephemeral0"}]
    image = amiwright.json("images", "--local", "region")["images"][0]
    assert image["ami"] == result["ami"] and image["tags"]["team"] == "platform"
    assert image["tags"]["amiwright:content"] and image["root_device"] == "/dev/xvda"
    # What was streamed is what build writes.
    amiwright("build", spec, "-o", "a.raw")
    amiwright("download", snapshot, "b.raw", "--local", "region")
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "b.raw").read_bytes()


def test_stdout_is_the_id(amiwright, spec):
    first = amiwright("publish", spec, "--local", "region")
    assert re.fullmatch(r"ami-[0-9a-f]{17}\n", first.stdout)
    assert "where time went" in first.stderr and "/dev/sdf" in first.stderr


def test_again_makes_nothing(amiwright, spec, tmp_path):
    first = publish(amiwright, spec)
    before = state(tmp_path)
    second = publish(amiwright, spec)
    assert second["ami"] == first["ami"] and second["existing"]
    assert second["mapping"] == first["mapping"]
    assert state(tmp_path) == before


def test_same_content_under_another_name_reuses_the_snapshot(amiwright, spec):
    first = publish(amiwright, spec)
    spec.write_text(spec.read_text().replace("ami: {", 'ami: {name: "other-{version}", '))
    second = publish(amiwright, spec)
    assert second["ami"] != first["ami"]
    assert second["snapshots"][0]["reused"]
    assert second["snapshots"][0]["snapshot"] == first["snapshots"][0]["snapshot"]


def test_other_content_under_the_same_name_is_refused(amiwright, spec, tmp_path):
    first = publish(amiwright, spec)
    before = state(tmp_path)
    (tmp_path / "tree/etc/hostname").write_text("changed\n")
    result = amiwright("publish", spec, "--local", "region", status=3)
    assert first["ami"] in result.stderr and "raise 'version'" in result.stderr and result.stdout == ""
    assert state(tmp_path) == before
    # So is another mapping of the same content.
    (tmp_path / "tree/etc/hostname").write_text("tiny\n")
    spec.write_text(spec.read_text().replace("iops: 3000", "iops: 4000"))
    amiwright("publish", spec, "--local", "region", status=3)
    # And other tags: a spec's change is never dropped in silence.
    spec.write_text(spec.read_text().replace("iops: 4000", "iops: 3000").replace("platform", "other"))
    amiwright("publish", spec, "--local", "region", status=3)
    spec.write_text(spec.read_text().replace('version: "1"', 'version: "2"'))
    assert publish(amiwright, spec)["ami"] != first["ami"]


def test_dry_run_changes_nothing(amiwright, spec, tmp_path):
    result = amiwright("publish", spec, "--local", "region", "--dry-run")
    assert result.stdout.startswith("would register tiny-1-x86_64\n") and "/dev/sdf" in result.stdout
    assert not (tmp_path / "region").exists()
    plan = amiwright.json("publish", spec, "--local", "region", "-n")
    assert plan["ami_name"] == "tiny-1-x86_64" and len(plan["mapping"]) == 2


def test_what_ec2_would_refuse_is_found_first(amiwright, spec):
    spec.write_text(spec.read_text().replace("ami: {", 'ami: {name: "bad?name", '))
    result = amiwright("publish", spec, "--local", "region", status=2)
    assert re.search(r"tiny\.yaml:16:13: AMI name 'bad\?name' has", result.stderr)


def test_wrong_credentials_show_before_the_work(amiwright, spec, write_spec, tmp_path):
    publish(amiwright, spec)
    credentials = tmp_path / "wrong"
    credentials.write_text("[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrongwrong\n")
    server = subprocess.Popen([amiwright.path, "serve", tmp_path / "region"], stdout=subprocess.PIPE, text=True)
    try:
        endpoint = server.stdout.readline().strip()
        result = amiwright("publish", spec, "--endpoint-url", endpoint, "--region", "us-east-1", status=4,
                           env={"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
        assert "DescribeImages" in result.stderr and "building" not in result.stderr
        assert "wrongwrong" not in result.stderr
    finally:
        server.terminate()
        assert server.wait() == 0


def test_two_disks(amiwright, spec):
    spec.write_text(spec.read_text().replace(
        "  - {device: /dev/sdf, ephemeral: 0}\n",
        "  - {device: /dev/sdg, filesystem: ext4, mount: /var, size: 1G}\n"
        "  - {device: /dev/sdh, empty: true, size: 2G}\n"))
    result = publish(amiwright, spec)
    assert [s["device"] for s in result["snapshots"]] == ["/dev/xvda", "/dev/sdg"]
    assert result["mapping"][2] == {"device": "/dev/sdh", "ebs": {"size_gib": 2, "type": "gp3"}}
    assert json.dumps(result)
