# SPDX-License-Identifier: Apache-2.0
"""Small files that claim disks of many TiB: each is told of or refused in a moment, in little memory."""
import resource
import struct
import subprocess

import pytest

TIB = 1 << 40
SECTOR = 512
CPU, MEMORY = 4, 512 << 20  # seconds; what a run may have of address space


def vmdk(path, *, grain, entries, tables, empty=False, capacity=64 * TIB):
    """A sparse extent whose directory names one and the same table everywhere, or none."""
    text = b'# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
    nr = capacity // SECTOR // grain // entries
    table = 3 + -(-nr * 4 // SECTOR)
    head = bytearray(SECTOR)
    struct.pack_into("<IIIQQQQIQQQ", head, 0, 0x564d444b, 1, 1, capacity // SECTOR, grain, 1, 2, entries, 0, 3, 16)
    head[73:77] = b"\n \r\n"
    with path.open("wb") as out:
        out.write(head + text.ljust(2 * SECTOR, b"\0"))
        if tables:
            out.write(struct.pack("<I", table) * nr)
            out.seek(table * SECTOR)
            out.write(struct.pack("<II", 0 if empty else table, 0) * (entries // 2))
        out.truncate(table * SECTOR + entries * 4 + grain * SECTOR)


def qcow2(path, *, bits, tables, empty=False, size=64 * TIB):
    cluster = 1 << bits
    nr = -(-size // cluster // (cluster // 8))
    behind = cluster * (1 + -(-nr * 8 // cluster))
    with path.open("wb") as out:
        out.write(struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, bits, size, 0, nr, cluster, 0, 0, 0, 0, 0, 0,
                              0, 4, 104))
        if tables:
            out.seek(cluster)
            out.write(struct.pack(">Q", behind) * nr)
            out.seek(behind)
            out.write(struct.pack(">QQ", 0 if empty else cluster, 0) * (cluster // 16))
        out.truncate(behind + cluster)


def with_sum(data, at):
    struct.pack_into(">I", data, at, ~sum(data) & 0xffffffff)
    return bytes(data)


def vhd(path, *, block, tables, size=64 * TIB):
    nr = size // block
    foot = bytearray(512)
    struct.pack_into(">8sIIQI4sI4sQQII", foot, 0, b"conectix", 2, 0x10000, 512, 0, b"win ", 0xa0000, b"Wi2k", size, size,
                     0, 3)
    head = bytearray(1024)
    struct.pack_into(">8sQQIII", head, 0, b"cxsparse", (1 << 64) - 1, 1536, 0x10000, nr, block)
    foot, head = with_sum(foot, 64), with_sum(head, 36)
    data = 1536 + nr * 4
    with path.open("wb") as out:
        out.write(foot + head)
        out.write(struct.pack(">II", 0xffffffff, data // SECTOR if tables else 0xffffffff) * (nr // 2))
        out.seek(data + (block + block // 4096 if tables else 0))
        out.write(foot)


def descriptor(path, parts):
    path.write_text('# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="custom"\n' +
                    f"RW {64 * TIB // SECTOR // parts} ZERO\n" * parts)


# What makes the file, and what its refusal says; None: it is a disk of zeros that is read.
LIARS = {
    "descriptor": (lambda p: descriptor(p, 1), None),
    "descriptor-of-many": (lambda p: descriptor(p, 1 << 14), None),
    "vmdk": (lambda p: vmdk(p, grain=2048, entries=65536, tables=False), None),
    "vmdk-grains-of-a-sector": (lambda p: vmdk(p, grain=1, entries=65536, tables=False), None),
    "vmdk-one-table": (lambda p: vmdk(p, grain=2048, entries=65536, tables=True, empty=True), "grain tables"),
    "vmdk-one-grain": (lambda p: vmdk(p, grain=2048, entries=65536, tables=True), "grain tables"),
    "vmdk-one-small-grain": (lambda p: vmdk(p, grain=1, entries=65536, tables=True), "grain tables"),
    "qcow2": (lambda p: qcow2(p, bits=21, tables=False), None),
    "qcow2-small-clusters": (lambda p: qcow2(p, bits=9, tables=False, size=TIB // 8), None),
    "qcow2-one-table": (lambda p: qcow2(p, bits=16, tables=True, empty=True), "L1 table"),
    "qcow2-one-cluster": (lambda p: qcow2(p, bits=16, tables=True), "L1 table"),
    "vhd": (lambda p: vhd(p, block=256 << 20, tables=False), None),
    "vhd-one-block": (lambda p: vhd(p, block=256 << 20, tables=True), "more blocks than it has"),
}


def bounded():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@pytest.mark.parametrize("liar", LIARS)
def test_liar(amiwright, tmp_path, liar):
    make, refusal = LIARS[liar]
    make(tmp_path / "liar")
    for args in (["inspect", "--json", "liar"], ["inspect", "--map", "--svg", "m.svg", "liar"],
                 ["convert", "liar", "out.vmdk", "-j1"]):
        run = subprocess.run([amiwright.path, *args], cwd=tmp_path, capture_output=True, text=True, preexec_fn=bounded)
        if refusal:
            assert run.returncode == 1 and refusal in run.stderr, (args, run)
        else:
            assert run.returncode == 0, (args, run)
