# SPDX-License-Identifier: Apache-2.0
"""`convert`: what holds for all formats. Each format's own tests are in a file of its name."""
import hashlib
import json
import lzma
import os
import subprocess
import zipfile

import pytest


@pytest.fixture
def image(amiwright, spec):
    amiwright("build", spec, "-o", "a.raw", "--no-manifest")
    return amiwright.folder / "a.raw"


def test_raw_keeps_bytes_and_holes(amiwright, image):
    assert amiwright("convert", image, "b.img").stdout == "b.img\n"
    copy = amiwright.folder / "b.img"
    subprocess.run(["cmp", image, copy], check=True)
    assert os.stat(copy).st_blocks <= os.stat(image).st_blocks


def test_pipe_and_digest(amiwright, image):
    said = amiwright("convert", image, "b.raw", "--digest").stdout
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    assert said == f"{digest}  b.raw\n"
    piped = subprocess.run([amiwright.path, "convert", image, "-", "--to", "raw", "--digest"],
                           cwd=amiwright.folder, capture_output=True, check=True)
    assert hashlib.sha256(piped.stdout).hexdigest() == digest
    assert f"{digest}  -\n" in piped.stderr.decode()
    quiet = [amiwright.path, "convert", image, "-", "--to", "vmdk", "-q", "--digest"]
    piped = subprocess.run(quiet, cwd=amiwright.folder, capture_output=True, check=True)
    vmdk = hashlib.sha256(piped.stdout).hexdigest()
    assert piped.stderr.decode() == f"{vmdk}  -\n"
    piped = subprocess.run([*quiet, "--json"], cwd=amiwright.folder, capture_output=True, check=True)
    assert json.loads(piped.stderr)["sha256"] == vmdk and hashlib.sha256(piped.stdout).hexdigest() == vmdk
    told = amiwright.json("convert", image, "b.raw", "--digest")
    assert told == {"file": "b.raw", "format": "raw", "from": "raw", "size": 1 << 30,
                    "file_size": 1 << 30, "sha256": digest}


def test_build_into_a_pipe(amiwright, spec, image):
    built = subprocess.run([amiwright.path, "build", spec, "-o", "-", "--no-manifest"],
                           cwd=amiwright.folder, capture_output=True, check=True)
    assert built.stdout == image.read_bytes()
    assert "wants --no-manifest" in amiwright("build", spec, "-o", "-", status=2).stderr
    assert "--json" in amiwright("build", spec, "-o", "-", "--no-manifest", "--json", status=2).stderr
    spec.write_text(spec.read_text().replace(
        "  - {device: /dev/sdf, ephemeral: 0}",
        "  - device: /dev/sdf\n    table: gpt\n"
        "    partitions: [{name: x, type: linux, filesystem: ext4, mount: /x}]"))
    text = amiwright("build", spec, "-o", "-", "--no-manifest", status=2).stderr
    assert "several disks with content" in text, text
    assert not (amiwright.folder / "-").exists()


def test_unused_blocks_are_left_out(amiwright, tmp_path):
    """A deleted file's bytes are gone, unless they are asked for."""
    disk = tmp_path / "disk.img"
    with disk.open("wb") as out:
        out.truncate(32 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", disk], check=True)
    secret = b"secret of a deleted file" * 200
    (tmp_path / "file").write_bytes(secret)
    subprocess.run(["debugfs", "-w", "-f", "-", disk], input=f"write {tmp_path}/file f\nrm f\n",
                   text=True, check=True, capture_output=True)
    assert secret[:4096] in disk.read_bytes()
    amiwright("convert", disk, "a.raw")
    assert secret[:24] not in (tmp_path / "a.raw").read_bytes()
    subprocess.run(["e2fsck", "-fn", tmp_path / "a.raw"], check=True, capture_output=True)
    amiwright("convert", disk, "b.raw", "--keep-unused")
    assert (tmp_path / "b.raw").read_bytes() == disk.read_bytes()


def test_from(amiwright, image, tmp_path):
    text = amiwright("convert", "--from", "vmdk", image, "b.raw", status=1).stderr
    assert f"'{image}' is no vmdk by its content (raw)" in text
    amiwright("convert", "--from", "raw", image, "b.raw")
    assert "it takes raw, vmdk" in amiwright("convert", "--from", "bogus", image, "b.raw", status=2).stderr
    amiwright("convert", image, "c.ova")
    amiwright("convert", "--from", "ova", "c.ova", "b.raw")
    assert "is no qcow2" in amiwright("convert", "--from", "qcow2", "c.ova", "b.raw", status=1).stderr
    # What looks like something else is taken as it is when that is said.
    odd = tmp_path / "odd"
    odd.write_bytes(b"\x1f\x8b\x08" + bytes(5000))
    amiwright("convert", "--from", "raw", "odd", "c.raw")
    assert (tmp_path / "c.raw").read_bytes() == odd.read_bytes()


def test_foreign_containers_are_no_disks(amiwright, image, tmp_path):
    """An upload of one would be a snapshot that nothing starts from."""
    for form, title in (("vdi", "VDI"), ("vhdx", "VHDX"), ("qed", "QED"), ("parallels", "Parallels")):
        subprocess.run(["qemu-img", "convert", "-O", form, image, tmp_path / "a"], check=True)
        for command in (("upload", "a", "--local", "region"), ("boot", "a"), ("boot", image, "--disk", "a")):
            text = amiwright(*command, status=1).stderr
            assert f"'a' is a {title} image, not a raw disk; convert it first: qemu-img convert" in text
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.write(image, "disk.raw")
    for command in (("convert", "a.zip", "b.raw"), ("upload", "a.zip", "--local", "region"), ("inspect", "a.zip")):
        assert "a ZIP archive, not a raw disk; unpack it first" in amiwright(*command, status=1).stderr


def test_what_has_no_magic_is_no_disk_either(amiwright, image, tmp_path):
    amiwright("convert", image, "a.ova")
    subprocess.run(["tar", "-xf", "a.ova"], cwd=tmp_path, check=True)
    subprocess.run(["tar", "--format=v7", "-cf", "v7.tar", "a.ovf"], cwd=tmp_path, check=True)
    assert b"ustar" not in (tmp_path / "v7.tar").read_bytes()[:512]
    (tmp_path / "a.lzma").write_bytes(lzma.compress(image.read_bytes(), format=lzma.FORMAT_ALONE, preset=0))
    subprocess.run(["tar", "--format=v7", "-cf", "files.tar", "a.lzma"], cwd=tmp_path, check=True)
    for name, says in (("a.lzma", "compressed by lzma, not a raw disk; decompress it first: xz -dc --format=lzma"),
                       ("a.ovf", "OVF descriptor of a machine, not a raw disk; give the .ova, or the disk beside it"),
                       ("v7.tar", "a damaged OVA: it lacks its disk 'a-disk1.vmdk'"),
                       ("files.tar", "a tar archive, not a disk")):
        for command in (("convert", name, "b.raw"), ("upload", name, "--local", "region"), ("inspect", name)):
            assert says in amiwright(*command, status=1).stderr
    subprocess.run(["tar", "--format=v7", "-cf", "v7.ova", "a.ovf", "a-disk1.vmdk"], cwd=tmp_path, check=True)
    amiwright("convert", "v7.ova", "b.raw")
    assert (tmp_path / "b.raw").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("args, says", [
    (("a.raw", "b.xyz"), "the name 'b.xyz' says no image format: give --to one of raw"),
    (("a.raw", "-"), "the name '-' says no image format"),
    (("a.raw", "./a.raw"), "'./a.raw' is the image to convert"),
    (("nothing.raw", "b.raw"), "nothing.raw"),
    (("a.raw", "no/b.raw"), "no/b.raw"),
    (("a.raw", "b.raw", "--level", "3"), "--level says nothing to the format 'raw'"),
    (("a.raw", "b.raw", "--name", "x"), "--name says nothing to the format 'raw'"),
    (("a.raw", "b.raw", "--geometry", "1/2"), "--geometry says nothing to the format 'raw'"),
    ((".", "b.raw"), "'.'"),
])
def test_bad_input(amiwright, image, args, says):
    before = image.read_bytes()
    result = subprocess.run([amiwright.path, "convert", *args], cwd=amiwright.folder,
                            capture_output=True, text=True)
    assert result.returncode in (1, 2) and says in result.stderr, result.stderr
    assert image.read_bytes() == before and not (amiwright.folder / "b.raw").exists()


def test_interrupted(amiwright, tmp_path):
    """Nothing is left of an output that was not finished."""
    with (tmp_path / "big").open("wb") as out:
        out.write(os.urandom(1 << 20) * 400)
    before = sorted(os.listdir(tmp_path))
    with subprocess.Popen([amiwright.path, "convert", "--digest", "big", "b.raw"], cwd=tmp_path,
                          stderr=subprocess.PIPE) as run:
        run.terminate()
        assert run.wait(20) in (130, -15)
    assert sorted(os.listdir(tmp_path)) == before
