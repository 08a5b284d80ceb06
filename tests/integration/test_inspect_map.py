# SPDX-License-Identifier: Apache-2.0
"""`inspect`: operating system, how a disk starts, its map as text, picture and numbers. dumpe2fs, blkid and an XML
parser are the judges."""
import os
import pty
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

UNIT = 64 << 10

SPEC = """\
name: tiny
version: "1"
architecture: x86_64
epoch: 1735689600
root:
  - directory: {path: tree, owner: root}
  - symlink: {path: /etc/os-release, target: ../usr/lib/os-release}
disks:
  - device: /dev/xvda
    table: gpt
    partitions:
      - {name: efi, type: esp, filesystem: vfat, mount: /boot/efi, size: 64M}
      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}
"""


def kernel():
    """What a bzImage for x86-64 looks like to those who read its header."""
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    head[0x236] = 1
    return bytes(head)


@pytest.fixture
def system(tmp_path):
    """A spec with an operating system's names, and no boot loader of ours."""
    tree = tmp_path / "tree"
    for name in ("usr/lib", "boot/efi/EFI/BOOT", "usr/bin", "usr/share"):
        (tree / name).mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian \\"12\\" & <co>"\n')
    for version in ("6.1.0-9-amd64", "6.1.0-40-amd64"):
        (tree / f"boot/vmlinuz-{version}").write_bytes(kernel())
    (tree / "boot/efi/EFI/BOOT/BOOTX64.EFI").write_bytes(b"MZ" * 400)
    (tree / "usr/share/blob").write_bytes(random.Random(1).randbytes(9 << 20))
    path = tmp_path / "system.yaml"
    path.write_text(SPEC)
    return path


def cells(found):
    """The kind of each unit, from the run lengths."""
    out = []
    for run in found["map"]["runs"]:
        assert run["first"] == len(out)
        out += [(run["kind"], run.get("changed"))] * run["count"]
    assert len(out) == found["map"]["units"] == -(-found["size"] // UNIT)
    for kind in ("used", "zero", "unused"):
        assert found["map"][kind] == sum(k == kind for k, _ in out)
    return out


def test_operating_system_and_start(amiwright, system):
    amiwright("build", system, "-o", "a.raw", "-q")
    found = amiwright.json("inspect", "a.raw")
    assert found["os"] == {"id": "debian", "version": "12", "name": 'Debian "12" & <co>'}
    assert found["kernels"] == ["6.1.0-40-amd64", "6.1.0-9-amd64"]
    assert found["architecture"] == "x86_64"
    assert found["boot_modes"] == ["uefi"] and found["boot_mode"] == "uefi"
    assert found["file"]["size"] == found["size"] and found["file"]["on_disk"] < 64 << 20
    assert 9 << 20 < found["allocated"] < 64 << 20
    text = amiwright("inspect", "a.raw").stdout
    assert "system: Debian" in text and "starts: uefi\n" in text and "kernels: 6.1.0-40-amd64, 6.1.0-9-amd64\n" in text


def test_a_bios_needs_code_and_a_place(amiwright, tmp_path):
    image = tmp_path / "mbr.img"
    image.write_bytes(bytes(8 << 20))
    subprocess.run(["sfdisk", "-q", image], input=b"label: dos\n2048,8192,83,*\n", check=True, capture_output=True)
    assert amiwright.json("inspect", image)["boot_mode"] is None
    with image.open("r+b") as out:
        out.write(b"\xeb\x63\x90")
    found = amiwright.json("inspect", image)
    assert found["boot_modes"] == ["legacy-bios"] and found["boot_mode"] == "legacy-bios"


def test_program_says_the_architecture(amiwright, tmp_path):
    tree = tmp_path / "tree"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/bin").mkdir()
    (tree / "bin").symlink_to("/usr/bin")
    (tree / "usr/lib/os-release").write_text("ID=alpine\n")
    (tree / "usr/bin/sh").write_bytes(b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little") + bytes(4096))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, tmp_path / "fs.img", "16M"], check=True,
                   capture_output=True)
    found = amiwright.json("inspect", "fs.img")
    assert found["architecture"] == "arm64" and found["os"]["id"] == "alpine" and found["kernels"] == []


def test_terminals_are_told_nothing_to_obey(amiwright, tmp_path):
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/os-release").write_bytes(b"ID=x\nPRETTY_NAME=\"a\x1b[31mb\"\n")
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, tmp_path / "fs.img", "16M"], check=True,
                   capture_output=True)
    assert amiwright.json("inspect", "fs.img")["os"]["name"] == "a?[31mb"


def free_bytes(image, offset):
    """Ranges of free bytes as dumpe2fs has them."""
    text = subprocess.run(["dumpe2fs", f"{image}?offset={offset}" if offset else image], capture_output=True,
                          text=True, check=True).stdout
    block = int(re.search(r"Block size: +(\d+)", text)[1])
    for line in re.findall(r"^  Free blocks: (.*)$", text, re.M):
        for part in filter(None, line.split(", ")):
            first, _, last = part.partition("-")
            yield int(first) * block, (int(last or first) + 1) * block


def test_unused_is_what_dumpe2fs_calls_free(amiwright, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "blob").write_bytes(random.Random(2).randbytes(5 << 20))
    image = tmp_path / "fs.img"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree, image, "64M"], check=True,
                   capture_output=True)
    free = bytearray(64 << 20 >> 12)
    for first, end in free_bytes(image, 0):
        free[first >> 12:end >> 12] = b"\1" * ((end - first) >> 12)
    for i, (kind, _) in enumerate(cells(amiwright.json("inspect", image))):
        assert (kind == "unused") == all(free[i * 16:i * 16 + 16]), i


def test_against_counts_what_differs(amiwright, system, tmp_path):
    amiwright("build", system, "-o", "a.raw", "-q")
    shutil.copyfile(tmp_path / "a.raw", tmp_path / "b.raw")
    one = cells(amiwright.json("inspect", "a.raw"))
    used = [i for i, (kind, _) in enumerate(one) if kind == "used"]
    hit = [used[3], used[50], used[51]]
    with (tmp_path / "b.raw").open("r+b") as out:
        for i in hit:
            out.seek(i * UNIT + 1234)
            byte = out.read(1)
            out.seek(-1, os.SEEK_CUR)
            out.write(bytes([byte[0] ^ 1]))
    found = amiwright.json("inspect", "a.raw", "--against", "b.raw")
    assert found["map"]["changed"] == 3
    assert [i for i, (_, changed) in enumerate(cells(found)) if changed] == hit
    assert "3 blocks of 64 KiB (192 KiB) differ" in amiwright("inspect", "a.raw", "--against", "b.raw").stdout
    # A rebuild of the spec is the image to the bit.
    assert amiwright.json("inspect", system, "--against", "a.raw", "-q")["disks"][0]["map"]["changed"] == 0


def test_against_a_disk_of_another_size(amiwright, tmp_path):
    (tmp_path / "a.img").write_bytes(b"a" * (1 << 20))
    (tmp_path / "b.img").write_bytes(b"a" * (3 << 20))
    assert "  32 blocks of 64 KiB (2 MiB) differ from 'b.img', which is larger: 3 MiB\n" in \
        amiwright("inspect", "a.img", "--against", "b.img").stdout
    assert "differ from 'a.img', which is smaller: 1 MiB\n" in amiwright("inspect", "b.img", "--against", "a.img").stdout


def test_planned_and_found_map_agree(amiwright, system):
    amiwright("build", system, "-o", "a.raw", "-q")
    planned = amiwright.json("inspect", system, "--map", "-q")["disks"][0]
    found = amiwright.json("inspect", "a.raw")
    assert "map" not in amiwright.json("inspect", system, "-q")["disks"][0]
    assert [k == "used" for k, _ in cells(planned)] == [k == "used" for k, _ in cells(found)]


def test_map_as_text(amiwright, system):
    amiwright("build", system, "-o", "a.raw", "-q")
    assert "a cell is" not in amiwright("inspect", "a.raw").stdout
    plain = amiwright("inspect", "a.raw", "--map", env={"LC_ALL": "C", "COLUMNS": "100"}).stdout
    assert plain.isascii() and "  1 efi" in plain and "#" in plain and "a cell is" in plain
    assert max(map(len, plain.splitlines())) <= 110
    assert "█" in amiwright("inspect", "a.raw", "--map", env={"LC_ALL": "C.UTF-8"}).stdout


def test_names_with_spaces_in_the_map(amiwright, tmp_path):
    with (tmp_path / "a.img").open("wb") as out:
        out.truncate(8 << 20)
    subprocess.run(["sfdisk", "-q", tmp_path / "a.img"], input='label: gpt\nname="EFI System"\n', text=True,
                   check=True, capture_output=True)
    assert "   1 EFI System " in amiwright("inspect", "a.img", "--map").stdout


def on_terminal(program, *args, **env):
    main, side = pty.openpty()
    with subprocess.Popen([program.path, *args], cwd=program.folder, stdout=side, stderr=subprocess.DEVNULL,
                          env={**program.env, "TERM": "xterm", "LC_ALL": "C.UTF-8", **env}) as process:
        os.close(side)
        out = b""
        try:
            while piece := os.read(main, 65536):
                out += piece
        except OSError:
            pass
        assert process.wait() == 0
    os.close(main)
    return out.decode()


def test_terminals_get_the_map_in_colours(amiwright, system):
    amiwright("build", system, "-o", "a.raw", "-q")
    assert "\033[34m█" in on_terminal(amiwright, "inspect", "a.raw")
    dull = on_terminal(amiwright, "inspect", "a.raw", NO_COLOR="1")
    assert "\033" not in dull and "█" in dull


def test_picture(amiwright, system, tmp_path):
    amiwright("build", system, "-o", "a.raw", "-q")
    for name in ("a.svg", "b.svg"):
        amiwright("inspect", "a.raw", "--svg", name)
    picture = (tmp_path / "a.svg").read_bytes()
    assert picture == (tmp_path / "b.svg").read_bytes()
    root = ET.fromstring(picture)
    name = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img" and root.find(f"{name}title").text == "Map of a.raw"
    assert "Debian" in root.find(f"{name}desc").text
    texts = " ".join("".join(t.itertext()) for t in root.iter(f"{name}text"))
    for word in ("efi", "root-x86-64", "vfat", "ext4", "used", "unused", "zeros", 'Debian "12" & <co>'):
        assert word in texts, word
    assert b"prefers-color-scheme:dark" in picture
    assert (tmp_path / "a.svg").stat().st_mode & 0o777 == 0o644


def test_picture_on_standard_output(amiwright, tmp_path):
    """It has it for itself: `-` is no file, and no other result is mixed in."""
    image = tmp_path / "a.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", image, "8M"], check=True)
    amiwright("inspect", image, "--svg", "a.svg")
    assert amiwright("inspect", image, "--svg", "-").stdout == (tmp_path / "a.svg").read_text()
    assert not (tmp_path / "-").exists()
    for other in ("--json", "--map"):
        result = amiwright("inspect", image, "--svg", "-", other, status=2)
        assert f"beside {other}" in result.stderr and not result.stdout



def test_picture_of_hostile_names(amiwright, tmp_path):
    image = tmp_path / "a<b>&\"\x01\udce9\udcef\udcbf.img"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "<&\"\x1b\ufffe>", image, "16M"], check=True,
                   capture_output=True)
    amiwright("inspect", image, "--svg", "x.svg", "-q")
    ET.parse(tmp_path / "x.svg")


def test_picture_costs_no_input_and_leaves_nothing(amiwright, tmp_path):
    image = tmp_path / "fs.img"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", image, "16M"], check=True, capture_output=True)
    before = sorted(os.listdir(tmp_path))
    assert "the image" in amiwright("inspect", image, "--svg", image, status=2).stderr
    amiwright("inspect", image, "--svg", "none/x.svg", status=1)
    amiwright("inspect", image, "--svg", "x.svg", "--against", "none.raw", status=1)
    assert sorted(os.listdir(tmp_path)) == before


def test_damage_ends_in_a_word(amiwright, system, tmp_path):
    """Of a hundred damaged images each is told about, or refused with a reason."""
    amiwright("build", system, "-o", "a.raw", "-q")
    whole = (tmp_path / "a.raw").open("rb")
    rand = random.Random(7)
    places = [0, 512, 1024, 1 << 20, 1 << 20 | 0x4000, (65 << 20) + 1024, (65 << 20) + 4096, (1 << 30) - 512]
    for _ in range(100):
        patches = []
        with (tmp_path / "a.raw").open("r+b") as image:
            for _ in range(rand.randint(1, 12)):
                at = rand.choice(places) + rand.randrange(512)
                if at >= 1 << 30:
                    continue
                whole.seek(at)
                patches.append((at, whole.read(1)))
                image.seek(at)
                image.write(bytes([rand.randrange(256)]))
        result = subprocess.run([amiwright.path, "inspect", "a.raw", "-q"], cwd=tmp_path, env=amiwright.env,
                                capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode in (0, 1) and (result.stdout or result.stderr), result
        with (tmp_path / "a.raw").open("r+b") as image:
            for at, byte in reversed(patches):
                image.seek(at)
                image.write(byte)
    whole.close()


def test_a_damaged_file_system_is_said_so(amiwright, tmp_path):
    image = tmp_path / "fs.img"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", image, "16M"], check=True, capture_output=True)
    with image.open("r+b") as out:
        out.truncate(12 << 20)
    assert "damage" in amiwright.json("inspect", image)["filesystem"]
