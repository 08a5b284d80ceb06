# SPDX-License-Identifier: Apache-2.0
"""`upload`, `download`, `register`, `images` and `serve` by the local region, and by the aws command."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

BLOCK = 512 << 10


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "in.raw"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", path, "64M"], check=True, capture_output=True)
    return path


@pytest.fixture
def server(amiwright, tmp_path):
    process = subprocess.Popen([amiwright.path, "serve", "region", "-q"], stdout=subprocess.PIPE, text=True,
                               cwd=tmp_path)
    endpoint, credentials = (process.stdout.readline().strip() for _ in range(2))
    yield endpoint, tmp_path / credentials
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_roundtrip(amiwright, image, tmp_path):
    result = amiwright("upload", image, "--local", "region", "--name", "x", "--tag", "a=b=c")
    snapshot = result.stdout.strip()
    assert re.fullmatch(r"snap-[0-9a-f]{17}", snapshot)
    amiwright("download", snapshot, "out.raw", "--local", "region")
    content = (tmp_path / "out.raw").read_bytes()
    assert len(content) == 1 << 30 and content[:64 << 20] == image.read_bytes()
    subprocess.run(["e2fsck", "-fn", tmp_path / "out.raw"], capture_output=True, check=True)


def test_unused_blocks_stay_out(amiwright, image):
    few = amiwright.json("upload", image, "--local", "region")
    many = amiwright.json("upload", image, "--local", "region", "--skip", "never", "--size", "2G")
    assert few["size_gib"] == 1 and many["size_gib"] == 2
    assert few["blocks_unused"] > 0 and few["blocks_sent"] < 128
    assert many["blocks_sent"] == 4096 and many["blocks_unused"] == 0


def test_size_below_the_image_is_refused(amiwright, tmp_path):
    with (tmp_path / "big.raw").open("wb") as out:
        out.write(b"\0" * 510 + b"\x55\xaa")
        out.truncate(3 << 30)
    amiwright("upload", "big.raw", "--local", "region", "--size", "1G", status=2)


def test_what_is_no_raw_image_is_refused(amiwright, tmp_path):
    (tmp_path / "disk.raw").write_bytes(b"QFI\xfb" + b"\0" * 100000)
    result = amiwright("upload", "disk.raw", "--local", "region", status=1)
    assert "qcow2" in result.stderr and not list((tmp_path / "region").glob("regions/*/snapshots/*"))


def test_register_and_images(amiwright, image):
    snapshot = amiwright("upload", image, "--local", "region").stdout.strip()
    ami = amiwright("register", "--local", "region", "--name", "by-hand", "--snapshot", snapshot,
                    "--map", f"/dev/sdg={snapshot}:3:gp2", "--map", "/dev/sdh=:5:gp3", "--map",
                    "/dev/sdf=ephemeral1", "--map", "/dev/sdz=none", "--boot-mode", "uefi", "--imds", "v2.0",
                    "--tag", "k=v", "--description", "d").stdout.strip()
    found = amiwright.json("images", "--local", "region", "--id", ami)["images"][0]
    assert found["name"] == "by-hand" and found["boot_mode"] == "uefi" and found["imds"] == "v2.0"
    assert found["tags"] == {"k": "v"} and found["description"] == "d" and found["ena"]
    by_device = {m["device"]: m for m in found["mapping"]}
    assert by_device["/dev/xvda"]["ebs"]["snapshot"] == snapshot
    assert by_device["/dev/sdg"]["ebs"]["size_gib"] == 3
    assert by_device["/dev/sdh"]["ebs"]["type"] == "gp3"
    assert by_device["/dev/sdf"]["virtual_name"] == "ephemeral1"
    assert amiwright("images", "--local", "region", "--name", "nothing*").stdout == ""
    assert ami in amiwright("images", "--local", "region", "--name", "by-*").stdout
    again = amiwright("register", "--local", "region", "--name", "by-hand", "--snapshot", snapshot, status=4)
    assert "InvalidAMIName.Duplicate" in again.stderr


def test_register_dry_run(amiwright, image):
    snapshot = amiwright("upload", image, "--local", "region").stdout.strip()
    result = amiwright("register", "--local", "region", "--name", "dry", "--snapshot", snapshot, "-n")
    assert "/dev/xvda" in result.stdout and amiwright("images", "--local", "region").stdout == ""


def test_unknown_ids(amiwright):
    result = amiwright("download", "snap-00000000000000001", "out.raw", "--local", "region", status=4)
    assert "snap-00000000000000001" in result.stderr
    result = amiwright("images", "--id", "ami-00000000000000001", "--local", "region", status=4)
    assert "InvalidAMIID.NotFound" in result.stderr


def test_two_processes_share_a_region(amiwright, image, server):
    snapshot = amiwright("upload", image, "--local", "region").stdout.strip()
    endpoint, credentials = server
    result = amiwright("register", "--endpoint-url", endpoint, "--region", "us-east-1", "--name", "shared",
                       "--snapshot", snapshot, env={"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    assert result.stdout.strip() in amiwright("images", "--local", "region").stdout


def test_the_aws_command_sees_it(amiwright, image, server, tmp_path):
    if not shutil.which("aws"):
        pytest.skip("no aws command")
    endpoint, credentials = server
    snapshot = amiwright("upload", image, "--local", "region", "--description", "words").stdout.strip()
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
           "AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_DEFAULT_REGION": "us-east-1",
           "HOME": str(tmp_path)}
    result = subprocess.run(["aws", "--endpoint-url", endpoint, "ec2", "describe-snapshots", "--snapshot-ids",
                             snapshot, "--output", "json"], capture_output=True, text=True, check=True,
                            env=env)
    found = json.loads(result.stdout)["Snapshots"][0]
    assert found["State"] == "completed" and found["Description"] == "words" and found["VolumeSize"] == 1


def test_serve_says_json_and_ends_on_interrupt(amiwright, tmp_path):
    process = subprocess.Popen([amiwright.path, "serve", "r", "--json", "--region", "eu-west-1"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    lines = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    said = json.loads("".join(lines))
    assert said["region"] == "eu-west-1" and said["endpoint"].startswith("http://127.0.0.1:")
    assert (tmp_path / said["credentials"]).stat().st_mode & 0o777 == 0o600
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
