# SPDX-License-Identifier: Apache-2.0
"""guestfish opens each format that we write: QEMU's drivers and the kernel in its appliance read what is in it."""
import hashlib
import os
import random
import subprocess

FORMATS = [("vmdk", "vmdk"), ("vmdk-sparse", "vmdk"), ("vhd", "vpc"), ("vhd-fixed", "vpc")]


def test_guestfish_reads_what_is_written(amiwright, tmp_path):
    content = random.Random(5).randbytes(5 << 20) + bytes(3 << 20) + b"end"
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/blob").write_bytes(content)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", "tree", "disk.img", "32M"], check=True, cwd=tmp_path)
    argv, commands = ["guestfish", "--ro"], ["run"]
    for letter, (name, driver) in zip("abcd", FORMATS):
        amiwright("convert", "disk.img", f"disk.{name}", "--to", name)
        argv += [f"--format={driver}", "-a", f"disk.{name}"]
        commands += [f"mount-ro /dev/sd{letter} /", "checksum sha256 /blob", "umount /"]
    env = {**os.environ, "LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    found = subprocess.run(argv, input="\n".join(commands), text=True, check=True, capture_output=True, cwd=tmp_path, env=env)
    assert found.stdout.split() == [hashlib.sha256(content).hexdigest()] * len(FORMATS)
