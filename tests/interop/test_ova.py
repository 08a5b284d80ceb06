# SPDX-License-Identifier: Apache-2.0
"""OVA archives between us and two that import and rewrite them: virt-v2v, and the Common OVF Tool (COT)."""
import os
import pathlib
import random
import subprocess
import sys

import pytest

COT = pathlib.Path(os.environ["INTEROP"]) / "venv/bin/cot"


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.raw"
    with path.open("wb") as out:
        out.truncate(48 << 20)
        out.seek(9 << 20)
        out.write(random.Random(5).randbytes(2 << 20))
    return path


@pytest.fixture
def convert(tmp_path):
    def run(*args):
        return subprocess.run([os.environ["AMIWRIGHT"], "convert", "-q", "--keep-unused", *args], cwd=tmp_path,
                              check=True, capture_output=True, text=True)
    return run


def import_source(path):
    """What virt-v2v has understood of the machine, or why it refuses the archive."""
    env = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    return subprocess.run(["virt-v2v", "-i", "ova", path, "--print-source"], env=env, capture_output=True, text=True)


@pytest.mark.parametrize("options, says", [
    ([], ["firmware: bios", "0 [scsi]"]),
    (["--firmware", "efi"], ["firmware: uefi", "0 [scsi]"]),
    (["--adapter", "ide"], ["firmware: bios", "0 [ide]"]),
], ids=["plain", "efi", "ide"])
def test_virt_v2v(convert, disk, tmp_path, options, says):
    convert(disk, "web.ova", *options)
    seen = import_source(tmp_path / "web.ova")
    assert seen.returncode == 0, seen.stderr
    for line in ["source name: web", f"memory: {1 << 30} (bytes)", "nr vCPUs: 1", '"VM Network" [vmxnet3]', *says]:
        assert line in seen.stdout


def test_virt_v2v_holds_it_against_the_manifest(convert, disk, tmp_path):
    convert(disk, "web.ova")
    assert "checksum" not in import_source(tmp_path / "web.ova").stderr
    data = bytearray((tmp_path / "web.ova").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "web.ova").write_bytes(data)
    seen = import_source(tmp_path / "web.ova")
    assert seen.returncode and "checksum" in seen.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="COT wants distutils, which Python had until 3.11")
def test_cot(convert, disk, tmp_path):
    """It lists our disk; with two processors more it writes an archive of its own, which holds the same disk."""
    convert(disk, "web.ova")
    listed = subprocess.run([COT, "info", "web.ova"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "48 MiB harddisk @ SCSI 0:0" in listed and "vmx-10" in listed
    subprocess.run([COT, "-f", "edit-hardware", "web.ova", "-o", "more.ova", "--cpus", "3"], cwd=tmp_path, check=True,
                   capture_output=True)
    convert("more.ova", "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == disk.read_bytes()
    seen = import_source(tmp_path / "more.ova")
    assert "nr vCPUs: 3" in seen.stdout, seen.stderr
