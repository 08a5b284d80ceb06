# SPDX-License-Identifier: Apache-2.0
"""`convert` to and from VMDK, judged by qemu-img; vmdk-convert (VMware's open-vmdk) too, where it is installed."""
import gzip
import hashlib
import json
import os
import random
import re
import resource
import shutil
import stat
import subprocess

import pytest


try:
    import pyvmdk
except ImportError:
    pyvmdk = None
try:
    import VMDKstream
except ImportError:
    VMDKstream = None

GRAIN = 65536
KINDS = {"vmdk": "streamOptimized", "vmdk-sparse": "monolithicSparse"}


def qemu(*args):
    return subprocess.run(["qemu-img", *map(str, args)], capture_output=True, text=True, check=True).stdout


def make_raw(path, size=67 << 20):
    """A disk with pieces of data all over, some of them hard to compress, and its last bytes used."""
    rand = random.Random(7)
    text = " ".join(str(rand.randrange(5000)) for _ in range(1 << 18)).encode()
    with path.open("wb") as out:
        out.truncate(size)
        out.write(b"\0" * 510 + b"\x55\xaa")
        for length in (1, 512, 70000, 300000, 4096, 1 << 20) * 4:
            out.seek(rand.randrange(size - length))
            out.write(rand.randbytes(length) if length % 3 else text[:length])
        out.seek(size - 4)
        out.write(b"last")
    return path


@pytest.fixture
def raw(tmp_path):
    return make_raw(tmp_path / "disk.raw")


@pytest.mark.parametrize("kind", KINDS)
def test_qemu_reads_what_we_write(amiwright, tmp_path, raw, kind):
    amiwright("convert", raw, "a.vmdk", "--to", kind)
    vmdk = tmp_path / "a.vmdk"
    assert "No errors" in qemu("check", vmdk)
    assert "identical" in qemu("compare", raw, vmdk)
    info = json.loads(qemu("info", "--output", "json", vmdk))
    assert info["virtual-size"] == raw.stat().st_size
    assert info["format-specific"]["data"]["create-type"] == KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_everywhere(amiwright, tmp_path, raw, kind):
    amiwright("convert", raw, "a.vmdk", "--to", kind, "-j", "1")
    amiwright("convert", raw, "b.vmdk", "--to", kind, "-j", "8")
    content = (tmp_path / "a.vmdk").read_bytes()
    assert content == (tmp_path / "b.vmdk").read_bytes()
    piped = subprocess.run([amiwright.path, "convert", raw, "-", "--to", kind, "-q"], env=amiwright.env,
                           stdout=subprocess.PIPE, check=True).stdout
    assert hashlib.sha256(piped).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("subformat", ["streamOptimized", "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                                       "twoGbMaxExtentFlat"])
@pytest.mark.parametrize("size", [67 << 20, (20 << 20) + 512 * 3])
def test_we_read_what_qemu_writes(amiwright, tmp_path, subformat, size):
    raw = make_raw(tmp_path / "disk.raw", size)
    qemu("convert", "-O", "vmdk", "-o", f"subformat={subformat}", raw, tmp_path / "q.vmdk")
    amiwright("convert", "q.vmdk", "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()


def test_several_extents_of_two_gigabytes(amiwright, tmp_path):
    with (tmp_path / "big.raw").open("wb") as out:
        out.truncate(5 << 30)
        for at in (0, (2 << 30) - 3, 3 << 30, (5 << 30) - 100):
            out.seek(at)
            out.write(b"data at the edges")
            out.truncate(5 << 30)
    qemu("convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", tmp_path / "big.raw", tmp_path / "q.vmdk")
    assert (tmp_path / "q-s003.vmdk").exists()
    amiwright("convert", "q.vmdk", "back.vmdk")
    assert "identical" in qemu("compare", tmp_path / "big.raw", tmp_path / "back.vmdk")
    # One of the parts is no disk; and the disk is none without it.
    refused = amiwright("convert", "q-s002.vmdk", "x.raw", status=1).stderr
    assert "name the descriptor" in refused
    (tmp_path / "q-s002.vmdk").rename(tmp_path / "elsewhere")
    refused = amiwright("convert", "q.vmdk", "x.raw", status=1).stderr
    assert "q-s002.vmdk" in refused and not (tmp_path / "x.raw").exists()


def test_more_extents_than_files_may_be_open(amiwright, tmp_path):
    """The soft limit is raised; where the hard one forbids it, that is what is said."""
    count, lines = 1500, []
    for i in range(count):
        (tmp_path / f"f{i}").write_bytes(i.to_bytes(4, "little") * 128)
        lines.append(f'RW 1 FLAT "f{i}" 0')
    (tmp_path / "many.vmdk").write_text("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                                        'createType="custom"\n' + "\n".join(lines) + "\n")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    amiwright("convert", "many.vmdk", "out.raw",
              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit)))
    assert (tmp_path / "out.raw").read_bytes() == b"".join(i.to_bytes(4, "little") * 128 for i in range(count))
    refused = amiwright("convert", "many.vmdk", "no.raw", status=1,
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)))
    assert "Too many open files" in refused.stderr and not (tmp_path / "no.raw").exists()


def test_zero_grains(amiwright, tmp_path):
    vmdk = tmp_path / "z.vmdk"
    qemu("create", "-f", "vmdk", "-o", "zeroed_grain=on", vmdk, "4M")
    subprocess.run(["qemu-io", "-f", "vmdk", "-c", "write -P 65 0 256k", "-c", "write -z 64k 64k", vmdk], check=True,
                   capture_output=True)
    amiwright("convert", vmdk, "back.raw")
    content = (tmp_path / "back.raw").read_bytes()
    assert len(content) == 4 << 20
    assert content[:4 * GRAIN] == b"A" * GRAIN + b"\0" * GRAIN + b"A" * 2 * GRAIN


def test_delta_disk_is_refused(amiwright, tmp_path, raw):
    qemu("convert", "-O", "vmdk", raw, tmp_path / "base.vmdk")
    qemu("create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", tmp_path / "delta.vmdk")
    assert "delta disk" in amiwright("convert", "delta.vmdk", "x.raw", status=1).stderr


@pytest.mark.parametrize("name", ["/etc/hostname", "../disk.raw", "a/../../disk.raw"])
def test_extents_stay_in_the_folder(amiwright, tmp_path, raw, name):
    (tmp_path / "evil.vmdk").write_text(f'# Disk DescriptorFile\nparentCID=ffffffff\nRW 1 FLAT "{name}" 0\n')
    assert "beside the descriptor" in amiwright("convert", "evil.vmdk", "x.raw", status=1).stderr
    assert not (tmp_path / "x.raw").exists()


@pytest.mark.parametrize("kind", ["link away", "link here", "fifo", "folder", "device"])
def test_extents_are_files(amiwright, tmp_path, raw, kind):
    """Whoever made the archive that a descriptor came in chooses no file elsewhere by way of a link."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    qemu("convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", raw, folder / "q.vmdk")
    flat = folder / "q-flat.vmdk"
    flat.rename((folder if kind == "link here" else tmp_path) / "other")
    if kind.startswith("link"):
        flat.symlink_to("other" if kind == "link here" else "../other")
    elif kind == "fifo":
        os.mkfifo(flat)
    elif kind == "folder":
        flat.mkdir()
    elif os.getuid() == 0:
        os.mknod(flat, 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    else:
        pytest.skip("device nodes need root")
    text = amiwright("convert", folder / "q.vmdk", "x.raw", status=1).stderr
    assert "must have its extents beside it as files" in text
    assert ("is a symbolic link" if "link" in kind else "is no regular file") in text
    assert not (tmp_path / "x.raw").exists()
    (tmp_path / "named.vmdk").symlink_to(folder / "q.vmdk")  # what the user names may be a link
    if kind == "link here":
        flat.unlink()
        (folder / "other").rename(tmp_path / "q-flat.vmdk")
        amiwright("convert", "named.vmdk", "x.raw")


def test_a_descriptor_claims_no_endless_disk(amiwright, tmp_path):
    """An extent of zeros has no file that would bound it."""
    (tmp_path / "z.vmdk").write_text("# Disk DescriptorFile\nparentCID=ffffffff\nRW 1000000000000000 ZERO\n")
    for command in (("inspect", "z.vmdk"), ("convert", "z.vmdk", "z.raw.gz")):
        assert "larger than 64 TiB" in amiwright(*command, status=1, timeout=20).stderr


def test_descriptors_text_is_harmless_to_a_terminal(amiwright, tmp_path):
    (tmp_path / "flat").write_bytes(bytes(GRAIN))
    head = "# Disk DescriptorFile\n"
    (tmp_path / "a.vmdk").write_text(f'{head}createType="mono\033[31m"\nRW 128 FLAT "flat" 0\n')
    (tmp_path / "b.vmdk").write_text(f'{head}parentCID=12\033[31m\nRW 128 FLAT "flat" 0\n')
    (tmp_path / "c.vmdk").write_text(f'{head}RW 128 FLAT "fl\033[31mat" 0\n')
    assert "vmdk (mono?[31m)" in amiwright("inspect", "a.vmdk").stdout
    assert "CID 12?[31m" in amiwright("inspect", "b.vmdk", status=1).stderr
    assert "fl?[31mat', which has a control character" in amiwright("inspect", "c.vmdk", status=1).stderr


def test_descriptors_without_a_folder_are_refused(amiwright, tmp_path):
    """In an archive or a pipe, a name would choose a file of whatever folder this runs in."""
    (tmp_path / "private").write_bytes(b"s" * 512)
    text = b'# Disk DescriptorFile\nparentCID=ffffffff\nRW 1 FLAT "private" 0\n'
    (tmp_path / "d.vmdk").write_bytes(text)
    (tmp_path / "d.vmdk.gz").write_bytes(gzip.compress(text))
    amiwright("convert", "d.vmdk", "a.raw")
    assert "names files beside it" in amiwright("convert", "d.vmdk.gz", "b.raw", status=1).stderr
    with (tmp_path / "d.vmdk").open() as file:
        assert "names files beside it" in amiwright("convert", "-", "b.raw", stdin=file, status=1).stderr
    assert not (tmp_path / "b.raw").exists()


def test_cut_file_is_refused(amiwright, tmp_path, raw):
    amiwright("convert", raw, "a.vmdk")
    whole = (tmp_path / "a.vmdk").read_bytes()
    for length in (600, 70000, len(whole) // 2, len(whole) - 512):
        (tmp_path / "cut.vmdk").write_bytes(whole[:length])
        assert "'cut.vmdk'" in amiwright("convert", "cut.vmdk", "x.raw", status=1).stderr
        assert not (tmp_path / "x.raw").exists()


def test_options_reach_the_descriptor(amiwright, tmp_path, raw):
    amiwright("convert", raw, "a.vmdk", "--adapter", "ide", "--hardware-version", "13", "--tools-version", "11333",
              "--geometry", "100/16/63")
    text = (tmp_path / "a.vmdk").read_bytes()[512:11 * 1024].rstrip(b"\0").decode()
    found = dict(re.findall(r'ddb\.(\S+) = "([^"]*)"', text))
    assert found["adapterType"] == "ide" and found["virtualHWVersion"] == "13" and found["toolsVersion"] == "11333"
    assert (found["geometry.cylinders"], found["geometry.heads"], found["geometry.sectors"]) == ("100", "16", "63")
    assert "lsilogic" in amiwright("convert", raw, "b.vmdk", "--adapter", "floppy", status=2).stderr
    small = amiwright.json("convert", raw, "c.vmdk", "--level", "12")["file_size"]
    assert small < amiwright.json("convert", raw, "d.vmdk", "--level", "1")["file_size"]


@pytest.mark.skipif(not pyvmdk, reason="libvmdk's Python binding (python3-libvmdk) is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_libvmdk(amiwright, tmp_path, raw, kind):
    amiwright("convert", raw, "disk.vmdk", "--to", kind)
    handle = pyvmdk.handle()
    handle.open(str(tmp_path / "disk.vmdk"))
    handle.open_extent_data_files()
    assert handle.read_buffer(handle.get_media_size()) == raw.read_bytes()
    handle.close()


@pytest.mark.skipif(not VMDKstream, reason="python3-vmdkstream is not installed")
def test_we_read_what_vmdkstream_writes(amiwright, tmp_path, raw):
    VMDKstream.convert_to_stream(str(raw), str(tmp_path / "s.vmdk"))
    amiwright("convert", "s.vmdk", "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()


@pytest.mark.skipif(not shutil.which("vmdk-convert"), reason="open-vmdk's vmdk-convert is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_open_vmdk(amiwright, tmp_path, kind):
    raw = make_raw(tmp_path / "odd.raw", (20 << 20) + 512 * 3)
    amiwright("convert", raw, "a.vmdk", "--to", kind)
    subprocess.run(["vmdk-convert", "a.vmdk", "b.vmdk"], cwd=tmp_path, check=True, timeout=120)
    amiwright("convert", "b.vmdk", "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes().ljust((20 << 20) + GRAIN, b"\0")
