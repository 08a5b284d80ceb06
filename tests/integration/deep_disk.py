# SPDX-License-Identifier: Apache-2.0
"""A disk with a partition of each kind that only an appliance looks into, filled by the file systems' own programs."""
import os
import shutil
import subprocess
from pathlib import Path

import volumes

MIB = 1 << 20
KERNEL = "6.1.0-99-cloud-amd64"
RELEASE = 'ID=tiny\nVERSION_ID="7"\nPRETTY_NAME="Tiny \x1b[31m7"\n'
PASSPHRASE = "open sesame"


def missing():
    """What there is to say when no appliance can be made here; "" when one can."""
    guest = Path(os.environ["AMIWRIGHT_OBJECTS"]) / "bench_guest"
    for type_ in ("xfs", "btrfs"):
        result = subprocess.run([guest, "-t", type_], capture_output=True, text=True)
        if result.returncode:
            return result.stderr.strip()
    for program in ("mkfs.f2fs", "mkfs.ntfs", "mksquashfs", "qemu-img"):
        if not shutil.which(program):
            return f"no {program}"
    return ""


def run(*command):
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sparse(path, size):
    with path.open("wb") as out:
        out.truncate(size)
    return path


def make_xfs(path, folder):
    """os-release behind an absolute link, and one that leads out of the file system."""
    (folder / "release").write_text(RELEASE)
    (folder / "proto").write_text(f"""/
0 0
d--755 0 0
etc d--755 0 0
os-release l--777 0 0 /usr/lib/tiny-release
passwd l--777 0 0 ../../../../etc/passwd
$
usr d--755 0 0
lib d--755 0 0
tiny-release ---644 0 0 {folder / "release"}
$
$
$
""")
    run("mkfs.xfs", "-q", "-L", "system", "-p", folder / "proto", sparse(path, 320 * MIB))


def make_files(folder):
    """A file for each partition, by what is in it."""
    tree = folder / "tree"
    tree.mkdir()
    (tree / f"vmlinuz-{KERNEL}").write_bytes(b"not much of a kernel")
    files = {name: folder / name for name in ("xfs", "btrfs", "squashfs", "lvm", "raid", "luks", "f2fs", "ntfs", "iso9660",
                                              "swap", "damaged")}
    make_xfs(files["xfs"], folder)
    run("mkfs.btrfs", "-q", "-L", "butter", "--rootdir", tree, sparse(files["btrfs"], 160 * MIB))
    run("mksquashfs", tree, files["squashfs"], "-quiet", "-no-progress")
    ext4, data = folder / "ext4", folder / "data"
    run("mke2fs", "-q", "-t", "ext4", "-L", "wurzel\x1b[2J", "-d", tree, ext4, "12M")
    run("mksquashfs", tree, data, "-quiet", "-no-progress")
    swap = sparse(folder / "swapfile", 4 * MIB)
    run("mkswap", "-L", "tausch", swap)
    volumes.lvm(files["lvm"], "vg0", [("root", ext4), ("data", data), ("swap", swap)], other_disk="gone")
    volumes.raid_member(files["raid"], ext4)
    volumes.luks(files["luks"], ext4, PASSPHRASE)
    run("mkfs.f2fs", "-q", "-l", "flash", sparse(files["f2fs"], 64 * MIB))
    run("mkfs.ntfs", "-q", "-Q", "-F", "-L", "fenster", sparse(files["ntfs"], 16 * MIB))
    volumes.iso9660(files["iso9660"], "MEDIA", {"etc/motd": b"hello\n"})
    run("mkswap", "-L", "swap", sparse(files["swap"], 4 * MIB))
    shutil.copyfile(files["xfs"], files["damaged"])
    with files["damaged"].open("r+b") as out:
        out.seek(512)
        out.write(b"\xa5" * (60 * MIB))
    return files


def make(disk, folder, names=None):
    """The disk, with these partitions or all; gives their names in order."""
    folder.mkdir()
    files = make_files(folder)
    files = {name: path for name, path in files.items() if not names or name in names}
    script, at = "label: gpt\n", MIB
    with disk.open("wb") as out:
        for path in files.values():
            out.seek(at)
            size = -(-path.stat().st_size // MIB) * MIB
            data = path.read_bytes()
            for off in range(0, len(data), 64 << 10):
                piece = data[off:off + (64 << 10)]
                if piece.count(0) != len(piece):
                    out.seek(at + off)
                    out.write(piece)
            script += f"start={at // MIB}MiB,size={size // MIB}MiB,name={path.name}\n"
            at += size
        out.truncate(at + MIB)
    subprocess.run(["sfdisk", "-q", "--wipe-partitions", "never", disk], text=True, check=True, input=script,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)
    return list(files)
