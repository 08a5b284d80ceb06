# SPDX-License-Identifier: Apache-2.0
"""`inspect` of images, ours and foreign ones, and of specs."""
import json
import os
import subprocess

import pytest


def test_image_is_what_the_spec_planned(amiwright, spec, tmp_path):
    amiwright("build", spec, "-o", "a.raw")
    found = amiwright.json("inspect", "a.raw")
    planned = amiwright.json("inspect", spec, "-q")["disks"][0]
    assert found["format"] == "raw" and found["size"] == 1 << 30
    assert found["table"] == planned["table"] == "gpt" and found["guid"] == planned["guid"]
    for one, two in zip(found["partitions"], planned["partitions"]):
        for key in ("number", "name", "type", "type_guid", "uuid", "offset", "size"):
            assert one[key] == two[key]
        for key in ("type", "label", "uuid", "size", "used", "free"):
            assert one["filesystem"][key] == two["filesystem"][key], key


def test_agrees_with_sfdisk(amiwright, spec, tmp_path):
    amiwright("build", spec, "-o", "a.raw")
    table = json.loads(subprocess.run(["sfdisk", "-J", tmp_path / "a.raw"], capture_output=True,
                                      check=True).stdout)["partitiontable"]
    found = amiwright.json("inspect", "a.raw")
    assert found["guid"].upper() == table["id"]
    assert [(p["name"], p["offset"], p["size"], p["uuid"].upper()) for p in found["partitions"]] == \
        [(p["name"], p["start"] * 512, p["size"] * 512, p["uuid"]) for p in table["partitions"]]


@pytest.mark.parametrize("script", [
    "label: gpt\n14: size=1M, type=21686148-6449-6E6F-744E-656564454649\n15: size=10M, type=U\n1: type=L\n",
    "label: dos\n1: size=10M, type=c\n2: size=10M\n3: type=5\n5: size=10M\n6: size=10M\n",
    "label: dos\n3: size=10M\n4: type=f\n5: size=10M\n"])
def test_numbers_are_the_kernel_s(amiwright, tmp_path, script):
    """Cloud images have partitions 1, 14 and 15; logical ones begin with 5 however few primary ones there are."""
    with (tmp_path / "a.img").open("wb") as out:
        out.truncate(100 << 20)
    subprocess.run(["sfdisk", "-q", tmp_path / "a.img"], input=script, text=True, check=True, capture_output=True)
    table = json.loads(subprocess.run(["sfdisk", "-J", tmp_path / "a.img"], capture_output=True,
                                      check=True).stdout)["partitiontable"]
    found = {p["number"]: p["offset"] for p in amiwright.json("inspect", "a.img")["partitions"]}
    assert found == {int(p["node"].split("img")[-1]): p["start"] * 512 for p in table["partitions"]}


@pytest.mark.parametrize("table", ["mbr", "hybrid"])
def test_planned_types(amiwright, spec, table):
    """What a spec's MBR says of its partitions is known before it is written; a hybrid table is read as a GPT."""
    spec.write_text(spec.read_text().replace("table: gpt", f"table: {table}"))
    planned = amiwright.json("inspect", spec, "-q")["disks"][0]["partitions"]
    amiwright("build", spec, "-o", "a.raw")
    found = amiwright.json("inspect", "a.raw")["partitions"]
    assert [{k: v for k, v in p.items() if k != "filesystem"} for p in planned] == \
        [{k: v for k, v in p.items() if k != "filesystem"} for p in found]
    assert planned[0]["type"] == ("0x83" if table == "mbr" else "linux")


def test_a_download_that_broke_off(amiwright, tmp_path):
    with (tmp_path / "a.img").open("wb") as out:
        out.truncate(64 << 20)
    subprocess.run(["sfdisk", "-q", tmp_path / "a.img"], input="label: gpt\ntype=L\n", text=True, check=True,
                   capture_output=True)
    os.truncate(tmp_path / "a.img", 40 << 20)
    said = amiwright.json("inspect", "a.img")["damage"]
    assert "\n  damaged GUID partition table: it is" in amiwright("inspect", "a.img").stdout
    assert "was cut off" in said and f"more than {(64 << 20) - 34 * 512} bytes" in said and str(40 << 20) in said
    assert "was cut off; it is uploaded as it is" in amiwright("upload", "a.img", "--local", "region").stderr


def test_a_table_without_protection(amiwright, tmp_path):
    """Nobody finds the partitions; what is in them is kept, and what an MBR lists instead is shown."""
    disk = tmp_path / "a.img"
    with disk.open("wb") as out:
        out.truncate(64 << 20)
    subprocess.run(["sfdisk", "-q", disk], input="label: gpt\ntype=L\n", text=True, check=True, capture_output=True)
    subprocess.run(["mke2fs", "-q", "-F", "-E", "offset=1048576", disk, "40M"], check=True, capture_output=True)
    with disk.open("r+b") as out:
        out.seek(30 << 20)
        out.write(b"deleted" * 1000)
    amiwright("convert", disk, "b.raw")
    assert (tmp_path / "b.raw").read_bytes() != disk.read_bytes()
    for entry in (bytes(16), bytes((0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x40, 1, 0))):
        with disk.open("r+b") as out:
            out.seek(446)
            out.write(entry)
        found = amiwright.json("inspect", disk)
        if any(entry):
            assert found["table"] == "mbr" and found["partitions"][0]["filesystem"]["type"] == "ext2"
            assert "damage" not in found
        else:
            assert "table is whole, but the first sector has no protective entry (type 0xee" in found["damage"]
            assert "pass over such a table" in amiwright("upload", disk, "--local", "region").stderr
        amiwright("convert", disk, "b.raw", "--force")
        assert (tmp_path / "b.raw").read_bytes() == disk.read_bytes()


def test_a_table_for_large_sectors(amiwright, tmp_path):
    """As sfdisk makes it on a disk whose logical sectors have 4096 bytes: told as what it is, its content kept."""
    one, large = tmp_path / "one.img", bytearray(64 << 20)
    with one.open("wb") as out:
        out.truncate(8 << 20)
    subprocess.run(["sfdisk", "-q", one], input="label: gpt\ntype=L\n", text=True, check=True, capture_output=True)
    table = one.read_bytes()
    large[:512] = table[:512]
    large[4096:4608] = table[512:1024]
    large[32 << 20:(32 << 20) + 5] = b"hello"
    (tmp_path / "a.img").write_bytes(large)
    assert "is for sectors of 4096 bytes" in amiwright.json("inspect", "a.img")["damage"]
    amiwright("convert", "a.img", "b.raw")
    assert (tmp_path / "b.raw").read_bytes() == large


def test_text(amiwright, spec):
    amiwright("build", spec, "-o", "a.raw")
    text = amiwright("inspect", "a.raw").stdout
    assert text.startswith("raw: 1 GiB, gpt ")
    assert "root-x86-64" in text and "'data'" in text and " used, " in text and " free" in text


def test_foreign_images(amiwright, tmp_path):
    image = tmp_path / "mbr.img"
    with image.open("wb") as out:
        out.truncate(64 << 20)
    subprocess.run(["sfdisk", "-q", image], input=b"label: dos\n2048,32768,83,*\n", check=True,
                   capture_output=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "foreign", "-E", "offset=1048576", image,
                    "16M"], check=True, capture_output=True)
    found = amiwright.json("inspect", image)
    assert found["table"] == "mbr"
    part = found["partitions"][0]
    assert part["type"] == "0x83" and part["bootable"] and part["offset"] == 1 << 20
    assert part["filesystem"]["label"] == "foreign" and part["filesystem"]["size"] == 16 << 20


def test_whole_disk_file_system(amiwright, tmp_path):
    image = tmp_path / "fs.img"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", image, "16M"], check=True, capture_output=True)
    found = amiwright.json("inspect", image)
    assert found["table"] is None and found["filesystem"]["type"] == "ext4"


def test_damage_is_shown(amiwright, spec, tmp_path):
    amiwright("build", spec, "-o", "a.raw", "--no-manifest")
    with (tmp_path / "a.raw").open("r+b") as image:
        for offset in (512 + 60, (1 << 30) - 512 + 60):
            image.seek(offset)
            image.write(b"garbage")
    result = amiwright.json("inspect", "a.raw")
    assert "damage" in result


def test_foreign_formats_are_named(amiwright, tmp_path):
    (tmp_path / "a.raw").write_bytes(b"\x1f\x8b\x08" + b"\0" * 5000)
    result = amiwright("inspect", "a.raw", status=1)
    assert "gzip" in result.stderr and result.stdout == ""
