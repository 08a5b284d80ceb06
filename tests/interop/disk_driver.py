# SPDX-License-Identifier: Apache-2.0
"""`disk_driver.py vmdk|vhd FILE` writes the disk in a file to standard output, as dissect.hypervisor reads it (the Python
of `setup` has it)."""
import sys

from dissect.hypervisor.disk.vhd import VHD
from dissect.hypervisor.disk.vmdk import VMDK

with open(sys.argv[2], "rb") as file:
    disk = {"vmdk": VMDK, "vhd": VHD}[sys.argv[1]](file)
    disk.seek(0)
    at = 0
    while at < disk.size:
        data = disk.read(min(1 << 20, disk.size - at))
        if not data:
            sys.exit(f"it ends after {at} of {disk.size} bytes")
        sys.stdout.buffer.write(data)
        at += len(data)
