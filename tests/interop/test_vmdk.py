# SPDX-License-Identifier: Apache-2.0
"""VMDKs that we write, read by dissect.hypervisor, which shares no code with QEMU or VMware."""
import hashlib
import os
import pathlib
import random
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
INTEROP = pathlib.Path(os.environ["INTEROP"])


@pytest.mark.parametrize("kind", ["vmdk", "vmdk-sparse"])
def test_dissect(tmp_path, kind):
    rand = random.Random(3)
    content = bytearray(67 << 20)
    for length in (512, 70000, 300000, 1 << 20) * 3:
        at = rand.randrange(len(content) - length)
        content[at:at + length] = rand.randbytes(length)
    (tmp_path / "disk.raw").write_bytes(content)
    subprocess.run([os.environ["AMIWRIGHT"], "convert", "-q", "--from", "raw", "--to", kind, "disk.raw", "disk.vmdk"],
                   cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    digest = subprocess.run([INTEROP / "venv/bin/python", HERE / "vmdk_driver.py", tmp_path / "disk.vmdk"], check=True,
                            capture_output=True, text=True).stdout.strip()
    assert digest == hashlib.sha256(content).hexdigest()
