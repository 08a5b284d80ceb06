# SPDX-License-Identifier: Apache-2.0
"""`inspect` names members of volumes without looking into them, as blkid does."""
import json
import re
import subprocess

import pytest

import volumes

MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of each kind of volume over an ext4."""
    path = tmp_path_factory.mktemp("volumes")
    ext4 = path / "ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "inner", ext4, "8M"], check=True)
    volumes.lvm(path / "lvm", "vg0", [("root", ext4)])
    volumes.raid_member(path / "raid", ext4)
    volumes.luks(path / "luks1", ext4, "secret")
    return path


def blkid(path):
    out = subprocess.run(["blkid", "-p", "-o", "export", path], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in out.splitlines())


def inspect(amiwright, *args):
    return amiwright.json("inspect", *args)["filesystem"]


@pytest.mark.parametrize("name, type_", [("lvm", "LVM2_member"), ("raid", "linux_raid_member"), ("luks1", "crypto_LUKS")])
def test_as_blkid(amiwright, folder, name, type_):
    fs, theirs = inspect(amiwright, folder / name), blkid(folder / name)
    assert fs["type"] == theirs["TYPE"] == type_
    assert fs["uuid"] == theirs["UUID"] and fs["label"] == theirs.get("LABEL", "")
    assert "damage" not in fs and "volumes" not in fs


def move_to_end(path, level):
    """A member with its superblock at the end (version 1.0), its data from the first byte on."""
    data = bytearray(path.read_bytes())
    head = data[4096:4096 + 512]
    content = data[MIB:]
    size = len(content) + 64 * 1024
    place = (size // 512 - 16) & ~7
    head[72:76] = level.to_bytes(4, "little")
    head[144:152] = place.to_bytes(8, "little")
    head[128:136] = bytes(8)
    head[216:220] = bytes(4)
    total = sum(int.from_bytes(head[i:i + 4], "little") for i in range(0, len(head), 4))
    head[216:220] = ((total + (total >> 32)) & 0xffffffff).to_bytes(4, "little")
    out = path.with_name(f"end{level}")
    out.write_bytes(content + bytes(place * 512 - len(content)) + head + bytes(size - place * 512 - len(head)))
    return out


def test_superblock_at_the_end(amiwright, folder):
    """A stripe begins like a file system and is none; a mirror is one."""
    stripe, mirror = move_to_end(folder / "raid", 0), move_to_end(folder / "raid", 1)
    assert blkid(stripe)["TYPE"] == inspect(amiwright, stripe)["type"] == "linux_raid_member"
    fs = inspect(amiwright, mirror)
    assert (fs["type"], fs["label"]) == ("ext4", "inner") and "damage" not in fs


def test_luks_says_how(amiwright, folder):
    assert inspect(amiwright, folder / "luks1")["encryption"] == {"version": 1, "cipher": "aes-xts-plain64"}
    text = amiwright("inspect", folder / "luks1").stdout
    assert "version 1, aes-xts-plain64" in text


def luks2(path, area, size=16384):
    """The binary header, then JSON; keys and data do not matter here."""
    uuid = b"27513861-a035-4747-a47d-2faaacc8788b"
    head = b"LUKS\xba\xbe" + (2).to_bytes(2, "big") + size.to_bytes(8, "big") + bytes(8) + b"box".ljust(48, b"\0")
    head = head.ljust(168, b"\0") + uuid
    path.write_bytes(head.ljust(4096, b"\0") + area.ljust(12288, b"\0") + bytes(MIB))
    return path


@pytest.mark.parametrize("area, cipher", [
    (json.dumps({"segments": {"0": {"encryption": "serpent-xts-plain64"}}}).encode(), "serpent-xts-plain64"),
    (json.dumps({"segments": {"0": {"encryption": "x\x1b[2J" + "y" * 500}}}).encode(), None),
    (b'{"segments": [1, 2]}', ""), (b'{"segments": {"0": 7}}', ""), (b"{", ""), (b"\xff" * 12288, ""), (b"", ""),
])
def test_luks_2_headers(amiwright, tmp_path, area, cipher):
    fs = inspect(amiwright, luks2(tmp_path / "luks2", area))
    assert (fs["type"], fs["label"], fs["uuid"]) == ("crypto_LUKS", "box", "27513861-a035-4747-a47d-2faaacc8788b")
    if cipher is not None:
        assert fs["encryption"] == {"version": 2, "cipher": cipher or None}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", amiwright("inspect", tmp_path / "luks2").stdout)


def test_deep_says_that_it_cannot_decrypt(amiwright, folder):
    """No appliance is started for that."""
    fs = inspect(amiwright, folder / "luks1", "--deep")
    assert fs["unread"] == "encrypted: not looked into"
    assert "not read: encrypted" in amiwright("inspect", folder / "luks1", "--deep").stdout
