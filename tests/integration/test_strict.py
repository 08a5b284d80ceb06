# SPDX-License-Identifier: Apache-2.0
"""Our client against a server that checks every request with botocore's models and signer."""
import json
import os
import subprocess
import textwrap

import pytest

from strict_server import BLOCK, StrictServer

AMIWRIGHT = os.environ["AMIWRIGHT"]


@pytest.fixture
def strict():
    with StrictServer() as server:
        yield server
        assert not server.faults


def run(server, *args, check=True):
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    result = subprocess.run([AMIWRIGHT, *map(str, args)], capture_output=True, text=True,
                            env={**env, **server.env(), "SOURCE_DATE_EPOCH": "1735689600"})
    assert not check or result.returncode == 0, result.stderr
    return result


def content(snapshot, size):
    """What a volume made from the snapshot holds."""
    image = bytearray(size)
    for index, block in snapshot.blocks.items():
        image[index * BLOCK:(index + 1) * BLOCK] = block
    return bytes(image)


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "files").mkdir()
    for number in range(40):
        (tmp_path / f"files/data-{number}").write_bytes(os.urandom(100_000 + number))
    path = tmp_path / "image.yaml"
    path.write_text(textwrap.dedent("""\
        name: strict
        version: "1"
        architecture: x86_64
        root:
          - directory: {path: files, owner: root}
        disks:
          - device: /dev/xvda
            size: auto
            table: gpt
            partitions:
              - {name: root, type: root, filesystem: ext4, mount: /, size: rest}
            ebs: {type: gp3, iops: 3000, throughput: 125, delete_on_termination: true}
          - {device: /dev/sdf, ephemeral: 0}
        boot: {mode: uefi-preferred}
        ami:
          name: "{name}-{version}/(x).1"
          imds: v2.0
          tags: {team: "plat & form", "key:with/odd=signs": "é +%"}
        """))
    return path


def test_publish_is_what_build_writes(strict, spec, tmp_path):
    image = tmp_path / "image.raw"
    run(strict, "build", spec, "-o", image)
    ami = run(strict, "publish", spec).stdout.strip()
    given = strict.images[ami]
    snapshot = strict.snapshots[given["BlockDeviceMapping.1.Ebs.SnapshotId"]]
    assert snapshot.status == "completed"
    assert content(snapshot, 1 << 30) == image.read_bytes()
    assert given["BootMode"] == "uefi-preferred" and given["ImdsSupport"] == "v2.0"
    assert given["EnaSupport"] == "true" and given["Name"] == "strict-1/(x).1"
    assert given["BlockDeviceMapping.2.VirtualName"] == "ephemeral0"
    assert given["BlockDeviceMapping.1.Ebs.Throughput"] == "125"
    # Only blocks that somebody reads were sent.
    assert len(snapshot.blocks) < 400


def test_publish_again_makes_nothing(strict, spec):
    first = run(strict, "publish", spec).stdout
    made = [name for name, _ in strict.requests if name in ("StartSnapshot", "RegisterImage")]
    assert run(strict, "publish", spec).stdout == first
    again = [name for name, _ in strict.requests if name in ("StartSnapshot", "RegisterImage")]
    assert again == made


def test_upload_download_roundtrip(strict, tmp_path):
    image = tmp_path / "in.raw"
    with image.open("wb") as out:
        out.write(b"\0" * 510 + b"\x55\xaa")
        for number in range(260):
            out.seek(number * 3 * BLOCK + 1000)
            out.write(os.urandom(3000))
        out.truncate(900 * BLOCK + 1000)
    snapshot = run(strict, "upload", image, "--skip", "zeros", "--tag", "a=b").stdout.strip()
    assert content(strict.snapshots[snapshot], 1 << 30)[:900 * BLOCK + 1000] == image.read_bytes()
    assert len(strict.snapshots[snapshot].blocks) == 260
    back = tmp_path / "out.raw"
    run(strict, "download", snapshot, back)
    assert back.stat().st_size == 1 << 30
    assert back.read_bytes()[:900 * BLOCK + 1000] == image.read_bytes()


def test_register_by_hand(strict, tmp_path):
    image = tmp_path / "in.raw"
    image.write_bytes(b"\0" * 510 + b"\x55\xaa" + os.urandom(BLOCK))
    snapshot = run(strict, "upload", image).stdout.strip()
    result = run(strict, "register", "--name", "by-hand", "--arch", "arm64", "--root-device", "/dev/xvda",
                 "--snapshot", snapshot, "--json")
    ami = json.loads(result.stdout)["ami"]
    assert strict.images[ami]["Architecture"] == "arm64"
    assert run(strict, "images", "--id", ami).stdout.count(ami) == 1
