# SPDX-License-Identifier: Apache-2.0
"""No output replaces what the run reads, nor another output: found before any work, and nothing is lost."""
import os
import resource
import subprocess
import tarfile

import pytest

HEAD = """\
name: x
version: "1"
architecture: x86_64
epoch: 1735689600
"""
ROOT = "{device: /dev/xvda, table: gpt, partitions: [{name: root, type: root, filesystem: ext4, mount: /, size: rest}]}"
DATA = "{device: %s, filesystem: ext4, mount: /srv, size: 1G}"


@pytest.fixture
def make_spec(tmp_path):
    def make(root="write: {path: /a, content: x}", disks=(ROOT,), tail=""):
        path = tmp_path / "spec.yaml"
        path.write_text(f"{HEAD}root:\n  - {root}\ndisks: [{', '.join(disks)}]\n{tail}")
        return path
    return make


def make_tar(path):
    (path.parent / "content").write_text("content\n")
    with tarfile.open(path, "w") as tar:
        tar.add(path.parent / "content", "content")
    return path.read_bytes()


def refused(amiwright, path, *args, status=2):
    """The file stays as it is, and is named."""
    before = path.read_bytes()
    error = amiwright("build", *args, status=status).stderr
    assert f"{path.name}' is read by the spec" in error and "another name" in error, error
    assert path.read_bytes() == before
    assert "building" not in error, "work was begun: " + error


def test_default_name_is_a_layer(amiwright, make_spec, tmp_path):
    make_tar(tmp_path / "x-1-x86_64.raw")
    refused(amiwright, tmp_path / "x-1-x86_64.raw", make_spec("tar: x-1-x86_64.raw"))


def test_further_disk_is_a_layer(amiwright, make_spec, tmp_path):
    make_tar(tmp_path / "o-sdf.raw")
    refused(amiwright, tmp_path / "o-sdf.raw", make_spec("tar: o-sdf.raw", (ROOT, DATA % "/dev/sdf")),
            "-o", "o.raw")


def test_manifest_is_a_source(amiwright, make_spec, tmp_path):
    path = tmp_path / "o.raw.manifest.json"
    path.write_text("{}")
    spec = make_spec("write: {path: /a, from: o.raw.manifest.json}")
    refused(amiwright, path, spec, "-o", "o.raw")
    amiwright("build", spec, "-o", "o.raw", "--no-manifest")


def test_output_is_an_oci_archive(amiwright, make_spec, tmp_path):
    make_tar(tmp_path / "img.tar")
    for ref in ("oci-archive:img.tar", "img.tar", "docker-archive:img.tar:latest"):
        refused(amiwright, tmp_path / "img.tar", make_spec(f"oci: '{ref}'"), "-o", "img.tar")


def test_output_is_the_signing_key(amiwright, make_spec, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout",
                    "k.pem", "-out", "c.pem"], cwd=tmp_path, check=True, capture_output=True)
    esp = "{name: esp, type: esp, filesystem: vfat, mount: /boot/efi, size: 64M}, "
    spec = make_spec(disks=(ROOT.replace("[", "[" + esp),),
                     tail="boot: {loader: uki, sign: {key: k.pem, certificate: c.pem}}\n")
    for name in ("k.pem", "c.pem"):
        refused(amiwright, tmp_path / name, spec, "-o", name)


def test_other_names_of_a_file(amiwright, make_spec, tmp_path):
    make_tar(tmp_path / "in.tar")
    (tmp_path / "link").symlink_to("in.tar")
    os.link(tmp_path / "in.tar", tmp_path / "hard")
    for name in ("link", "hard", "./in.tar", tmp_path / "in.tar"):
        error = amiwright("build", make_spec("tar: in.tar"), "-o", name, status=2).stderr
        assert "is read by the spec as a tar layer" in error


def test_output_in_a_folder_that_is_read(amiwright, make_spec, tmp_path):
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/motd").write_text("hello\n")
    spec = make_spec("directory: {path: tree, owner: root}")
    error = amiwright("build", spec, "-o", "tree/etc/motd", status=2).stderr
    assert "lies in the folder" in error and (tmp_path / "tree/etc/motd").read_text() == "hello\n"
    amiwright("build", spec, "-o", "tree-2.raw", "--no-manifest")


def test_one_device_under_two_names(amiwright, make_spec):
    for one, other in (("/dev/sdf", "sdf"), ("sdf", "/dev/sdf")):
        spec = make_spec(disks=(ROOT, DATA % one, (DATA % other).replace("/srv", "/home")))
        error = amiwright("build", spec, "-o", "o.raw", status=2).stderr
        assert f"device '{other}' is there already, in line 7" in error, error


def test_file_has_the_root_disk(amiwright, make_spec, tmp_path):
    """Whatever the order of the disks; and it is printed first."""
    spec = make_spec(disks=(DATA % "/dev/sdf", ROOT))
    out = amiwright("build", spec, "-o", "o.raw").stdout
    assert out.splitlines() == ["o.raw", "o-sdf.raw"]
    assert b"EFI PART" == (tmp_path / "o.raw").open("rb").read(520)[512:]
    assert [d["file"] for d in amiwright.json("build", spec, "-o", "o.raw")["images"]] == ["o-sdf.raw", "o.raw"]


def test_later_failure_takes_the_first_file_away(amiwright, make_spec, tmp_path):
    spec = make_spec(disks=(ROOT, (DATA % "/dev/sdf").replace("1G", "3G")))
    limit = 2 << 30
    result = subprocess.run([amiwright.path, "build", spec, "-o", "o.raw"], cwd=tmp_path, env=amiwright.env,
                            capture_output=True, text=True, restore_signals=False,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert result.returncode == 1 and "o-sdf.raw" in result.stderr and "File too large" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spec.yaml"]
