# SPDX-License-Identifier: Apache-2.0
"""VMDKs and VHDs that we write, read by dissect.hypervisor, which shares no code with QEMU, VMware or Microsoft."""
import os
import pathlib
import random
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
INTEROP = pathlib.Path(os.environ["INTEROP"])


@pytest.mark.parametrize("kind", ["vmdk", "vmdk-sparse", "vhd", "vhd-fixed"])
def test_read(tmp_path, kind):
    rand = random.Random(3)
    content = bytearray(67 << 20)
    for length in (512, 70000, 300000, 1 << 20) * 3:
        at = rand.randrange(len(content) - length)
        content[at:at + length] = rand.randbytes(length)
    (tmp_path / "disk.raw").write_bytes(content)
    subprocess.run([os.environ["AMIWRIGHT"], "convert", "-q", "--from", "raw", "--to", kind, "disk.raw", "disk"],
                   cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    read = subprocess.run([INTEROP / "venv/bin/python", HERE / "disk_driver.py", kind.partition("-")[0],
                           tmp_path / "disk"], check=True, capture_output=True).stdout
    assert read[:len(content)] == content
    # A VHD is rounded up to cylinders.
    rest = read[len(content):]
    assert not any(rest) and len(rest) < 1 << 20 and (kind.startswith("vhd") or not rest)
