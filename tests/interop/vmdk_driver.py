# SPDX-License-Identifier: Apache-2.0
"""Prints the SHA-256 of the disk in a VMDK, read by dissect.hypervisor (the Python of `setup` has it)."""
import hashlib
import sys

from dissect.hypervisor.disk.vmdk import VMDK

digest = hashlib.sha256()
with open(sys.argv[1], "rb") as file:
    disk = VMDK(file)
    for offset in range(0, disk.size, 1 << 20):
        disk.seek(offset)
        digest.update(disk.read(min(1 << 20, disk.size - offset)))
print(digest.hexdigest())
