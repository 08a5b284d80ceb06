# SPDX-License-Identifier: Apache-2.0
"""
The images under images/ boot in QEMU as they would on EC2: login prompt, key from the metadata service, a
system that runs, the layout of the spec, a root that has grown, the firmware asked for.
"""
import json
import time

import pytest

from conftest import BOOT_TIMEOUT
from oracles import check_image

GIB = 1 << 30

# Units that may fail in QEMU though they would not on EC2, with the reason.
MAY_FAIL = {}


def check_system(machine):
    state = machine.run("systemctl is-system-running --wait", timeout=BOOT_TIMEOUT, status=None)
    failed = machine.run("systemctl --failed --plain --no-legend").splitlines()
    names = {line.split()[0] for line in failed}
    logs = machine.run(f"sudo journalctl -b --no-pager -n 40 -u {' -u '.join(names)}") if names else ""
    assert state in ("running", "degraded") and names <= set(MAY_FAIL), f"{state}: {failed}\n{logs}"


def check_cloud_init(machine):
    assert machine.run("sudo cloud-init status --wait | tail -n 1", timeout=BOOT_TIMEOUT, status=None) != ""
    assert machine.run("cloud-id") == "aws"
    result = json.loads(machine.run("cat /run/cloud-init/result.json"))["v1"]
    assert "Ec2" in result["datasource"] and result["errors"] == []


def check_layout(machine, image):
    for mount, kind in image.file_systems().items():
        if kind == "squashfs":
            # Under an overlay in memory, which is what findmnt shows.
            assert machine.run("lsblk --noheadings --output FSTYPE /dev/mapper/root") == kind
            continue
        # A folder that is mounted at first use is so after this.
        machine.run(f"sudo ls {mount} >/dev/null")
        found = machine.run(f"findmnt --noheadings --output FSTYPE {mount}").split()
        assert found and found[-1] == kind, f"{mount}: {found}, and {kind} by the spec"


def check_firmware(machine, firmware):
    efi = machine.ssh("test -d /sys/firmware/efi").returncode == 0
    assert efi == (firmware == "uefi")


def check_grown(machine, size):
    """Root has most of a disk that is larger than the image; an ESP may have 512 MiB of it."""
    have = int(machine.run("df -B1 --output=size / | tail -n 1"))
    assert have > size - size // 4, f"root has {have} bytes of a disk of {size}"


def check_prompt(machine):
    end = time.monotonic() + 120
    while "login: " not in machine.console.read_text(errors="replace"):
        assert time.monotonic() < end, machine.tail()
        time.sleep(1)


CASES = [
    # image, firmware, root grows
    ("debian-minimal", "bios", True),
    ("debian-minimal", "uefi", True),
    ("debian-systemd-boot", "uefi", True),
    ("debian-uki", "uefi", False),
    ("debian-xfs", "uefi", True),
    ("two-disks", None, False),
]


def of_image(name, *more):
    """A case, with all that are of the same image in one worker: it is built there, once."""
    return pytest.param(name, *more, marks=pytest.mark.xdist_group(name))


@pytest.mark.xdist_group("arm64")
def test_arm64_to_the_prompt(built, expect):
    """The first, since it takes longest: the scripts of its packages are emulated too."""
    expect(built("arm64"), "login:", timeout=2 * BOOT_TIMEOUT)


@pytest.mark.parametrize("name, firmware, grows", [of_image(*case) for case in CASES])
def test_boots(built, boot, name, firmware, grows):
    image = built(name)
    size = image.size + 2 * GIB if grows else None
    with boot(image, firmware=firmware, disk_size=size) as machine:
        check_system(machine)
        check_prompt(machine)
        check_cloud_init(machine)
        check_layout(machine, image)
        if firmware:
            check_firmware(machine, firmware)
        if grows:
            check_grown(machine, size)


@pytest.mark.parametrize("name", map(of_image, ["debian-minimal", "debian-systemd-boot", "debian-uki", "debian-xfs",
                                                "two-disks", "arm64", "from-oci"]))
def test_image_is_clean(built, tmp_path, name):
    image = built(name)
    kinds = [kind for file in image.files for kind in check_image(file, tmp_path)]
    wanted = image.file_systems().values()
    assert not set(wanted) - set(kinds), f"{kinds}, and {list(wanted)} by the spec"
