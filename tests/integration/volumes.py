# SPDX-License-Identifier: Apache-2.0
"""Volumes as Linux has them, made without root and without a kernel's help: LVM's and md's metadata are written
here, by their formats (lvm2: lib/format_text/layout.h; Linux: uapi/linux/raid/md_p.h). The judges are LVM and md
themselves, in the appliance that reads them."""
import ctypes
import ctypes.util
import struct
import subprocess
import zlib

MIB = 1 << 20
EXTENT = 4 * MIB


def lvm_crc(data):
    """LVM begins with a value of its own, and does not turn the bits around at the end."""
    return ~zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) & 0xffffffff


def lvm_uuid(name):
    letters = (name * 32)[:32]
    return "-".join(letters[a:b] for a, b in ((0, 6), (6, 10), (10, 14), (14, 18), (18, 22), (22, 26), (26, 32)))


def lvm_text(group, pvs, volumes):
    """pvs: {name: extents}; volumes: [(name, PV's name, first extent, extents)]"""
    physical = "".join(f"""{name} {{
id = "{lvm_uuid(name)}"
device = "/dev/unknown"
status = ["ALLOCATABLE"]
flags = []
dev_size = {(EXTENT * nr + 2 * MIB) // 512}
pe_start = 2048
pe_count = {nr}
}}
""" for name, nr in pvs.items())
    logical = "".join(f"""{name} {{
id = "{lvm_uuid('lv' + name)}"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = 1735689600
creation_host = "test"
segment_count = 1
segment1 {{
start_extent = 0
extent_count = {nr}
type = "striped"
stripe_count = 1
stripes = ["{pv}", {first}]
}}
}}
""" for name, pv, first, nr in volumes)
    return f"""{group} {{
id = "{lvm_uuid('vg' + group)}"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = {EXTENT // 512}
max_lv = 0
max_pv = 0
metadata_copies = 0
physical_volumes {{
{physical}}}
logical_volumes {{
{logical}}}
}}
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "test"
creation_time = 1735689600
""".encode() + b"\0"


def lvm_head(name, extents, text):
    """The first MiB of a physical volume: a label in sector 1, metadata from 4 KiB on."""
    area = MIB - 4096
    size = EXTENT * extents + 2 * MIB
    header = (lvm_uuid(name).replace("-", "").encode() + struct.pack("<Q", size) +
              struct.pack("<4Q", MIB, 0, 0, 0) + struct.pack("<4Q", 4096, area, 0, 0) + struct.pack("<2I", 2, 1))
    label = struct.pack("<I8s", 32, b"LVM2 001") + header
    label += bytes(512 - 20 - len(label))
    label = b"LABELONE" + struct.pack("<QI", 1, lvm_crc(label)) + label
    where = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, 4096, area)
    where += struct.pack("<QQII", 512, len(text), lvm_crc(text), 0)
    where += bytes(512 - 4 - len(where))
    where = struct.pack("<I", lvm_crc(where)) + where
    return bytes(512) + label + bytes(4096 - 1024) + where + text + bytes(area - 512 - len(text))


def lvm(out, group, volumes, other_disk=None):
    """A physical volume that is a group of its own, into the file `out`. volumes: [(name, file)]; other_disk is the
    name of one more, on a disk that is not there."""
    placed, first = [], 0
    for name, path in volumes:
        nr = -(-path.stat().st_size // EXTENT)
        placed.append((name, "pv0", first, nr))
        first += nr
    pvs = {"pv0": first + 1}
    entries = list(placed)
    if other_disk:
        pvs["pv1"] = 2
        entries.append((other_disk, "pv1", 0, 2))
    with out.open("wb") as file:
        file.write(lvm_head("pv0", pvs["pv0"], lvm_text(group, pvs, entries)))
        for (_, path), (_, _, begin, _) in zip(volumes, placed):
            file.seek(MIB + begin * EXTENT)
            file.write(path.read_bytes())
        file.truncate(EXTENT * pvs["pv0"] + 2 * MIB)


def raid_member(out, content, level=1, name="box:0"):
    """The first of two members of an array; the other one is not there."""
    data = content.read_bytes()
    sectors = len(data) // 512
    uuid = bytes(range(0x30, 0x40))
    head = struct.pack("<IIII16s32sQiIQIIIIQ", 0xa92b4efc, 1, 0, 0, uuid, name.encode(), 1735689600, level, 0, sectors,
                       0, 2, 0, 0, 0)
    head = head[:128].ljust(128, b"\0")
    head += struct.pack("<QQQQIIQ", 2048, sectors, 8, 0, 0, 0, 0)[:40]
    head = head.ljust(168, b"\0") + bytes(range(16)) + bytes(8)
    head += struct.pack("<QQQII", 1735689600, 10, 0xffffffffffffffff, 0, 128) + bytes(32)
    roles = struct.pack("<HH", 0, 1).ljust(256, b"\xff")
    head = bytearray(head + roles)
    total = sum(struct.unpack(f"<{len(head) // 4}I", head))
    struct.pack_into("<I", head, 216, ((total & 0xffffffff) + (total >> 32)) & 0xffffffff)
    with out.open("wb") as file:
        file.seek(4096)
        file.write(head)
        file.seek(MIB)
        file.write(data)


def luks(out, content, passphrase):
    """LUKS 1 by qemu-img, which encrypts without a kernel. It measures the processor for that, and gives up where the
    time that it took went backwards, which happens in virtual machines."""
    secret = f"secret,id=key,data={passphrase}"
    for _ in range(5):
        result = subprocess.run(["qemu-img", "convert", "-O", "luks", "--object", secret, "-o",
                                 "key-secret=key,iter-time=10", content, out], capture_output=True, text=True)
        if "accurate CPU usage" not in result.stderr:
            break
    assert result.returncode == 0, result.stderr


def iso9660(out, label, files):
    """By libarchive, which is there anyway. files: {name: bytes}"""
    lib = ctypes.CDLL(ctypes.util.find_library("archive"))
    for function in ("archive_write_new", "archive_entry_new"):
        getattr(lib, function).restype = ctypes.c_void_p
    archive = ctypes.c_void_p(lib.archive_write_new())
    assert lib.archive_write_set_format_iso9660(archive) == 0
    assert lib.archive_write_set_options(archive, f"volume-id={label}".encode()) == 0
    assert lib.archive_write_open_filename(archive, str(out).encode()) == 0
    for name, data in files.items():
        entry = ctypes.c_void_p(lib.archive_entry_new())
        lib.archive_entry_set_pathname(entry, name.encode())
        lib.archive_entry_set_size(entry, ctypes.c_int64(len(data)))
        lib.archive_entry_set_filetype(entry, 0o100000)
        lib.archive_entry_set_perm(entry, 0o644)
        assert lib.archive_write_header(archive, entry) == 0
        lib.archive_write_data.restype = ctypes.c_ssize_t
        assert lib.archive_write_data(archive, data, ctypes.c_size_t(len(data))) == len(data)
        lib.archive_entry_free(entry)
    assert lib.archive_write_close(archive) == 0
    lib.archive_write_free(archive)
