# SPDX-License-Identifier: Apache-2.0
"""What programs that we did not write say of an image file: partition table, each file system, dm-verity."""
import json
import re
import subprocess

COPY = 1 << 20

# Discoverable Partitions Specification: root and root-verity of x86-64 and of arm64.
VERITY = {
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE": "DF3300CE-D69F-4C92-978C-9BFB0F38D820",
}


def run(*command, status=(0,)):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace")
    assert result.returncode in status, f"{command}: {result.returncode}: {result.stdout}{result.stderr}"
    return result.stdout


def partitions(image):
    """(offset, length, type GUID or MBR type) in bytes."""
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    sector = table.get("sectorsize", 512)
    return table["label"], [(p["start"] * sector, p["size"] * sector, p["type"].upper())
                            for p in table["partitions"]]


def extract(image, offset, length, path):
    """One partition as a sparse file of its own."""
    with open(image, "rb") as source, open(path, "wb") as out:
        source.seek(offset)
        for start in range(0, length, COPY):
            data = source.read(min(COPY, length - start))
            if data.count(0) != len(data):
                out.seek(start)
                out.write(data)
        out.truncate(length)
    return path


def check_file_system(path):
    """Runs the checker of what is there; returns its kind, "" when it is none that has one."""
    kind = run("blkid", "-p", "-o", "value", "-s", "TYPE", path, status=(0, 2)).strip()
    if kind in ("ext2", "ext3", "ext4"):
        run("e2fsck", "-fn", path)
    elif kind == "vfat":
        run("fsck.fat", "-n", path)
    elif kind == "xfs":
        run("xfs_repair", "-n", "-f", path)
    elif kind == "squashfs":
        run("unsquashfs", "-s", path)
    return kind


def root_hash(image):
    """The root hash of a kernel command line in the image (a UKI's, or a boot loader entry's)."""
    with open(image, "rb") as source:
        tail = b""
        while data := source.read(COPY):
            found = re.search(rb"(?:roothash|usrhash)=([0-9a-f]{64})", tail + data)
            if found:
                return found.group(1).decode()
            tail = data[-128:]
    raise AssertionError(f"{image}: no roothash= in it")


def check_image(image, folder):
    """All of it; returns the kinds of file system found, in order of partitions."""
    if not run("blkid", "-p", "-o", "value", "-s", "PTTYPE", image, status=(0, 2)).strip():
        return [check_file_system(image)]
    run("sfdisk", "--verify", image)
    label, parts = partitions(image)
    if label == "gpt":
        said = run("sgdisk", "-v", image)
        assert "No problems found" in said, said
    by_type = {kind: extract(image, off, length, folder / f"part-{off}") for off, length, kind in parts}
    kinds = [check_file_system(folder / f"part-{off}") for off, _, _ in parts]
    for data, hashes in VERITY.items():
        if data in by_type and hashes in by_type:
            run("veritysetup", "verify", by_type[data], by_type[hashes], root_hash(image))
    for path in by_type.values():
        path.unlink()
    return kinds
