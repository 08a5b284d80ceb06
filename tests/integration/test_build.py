# SPDX-License-Identifier: Apache-2.0
"""`build`: files, names, manifest; what comes out is judged by sfdisk, e2fsck and debugfs."""
import hashlib
import json
import os
import subprocess

import pytest

BLOCK = 512 << 10


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def partitions(image):
    table = subprocess.run(["sfdisk", "-J", image], capture_output=True, check=True).stdout
    return {p["name"]: p for p in json.loads(table)["partitiontable"]["partitions"]}


def debugfs(image, part, command):
    offset = partitions(image)[part]["start"] * 512
    result = subprocess.run(["debugfs", "-R", command, f"{image}?offset={offset}"], capture_output=True,
                            check=True)
    return result.stdout


def test_names_and_outputs(amiwright, spec, tmp_path):
    result = amiwright("build", spec)
    assert result.stdout == "tiny-1-x86_64.raw\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "tiny-1-x86_64.raw", "tiny-1-x86_64.raw.manifest.json", "tiny.yaml", "tree"]


def test_what_comes_out(amiwright, spec, tmp_path):
    image = tmp_path / "out.raw"
    amiwright("build", spec, "-o", image)
    assert image.stat().st_size == 1 << 30
    assert image.stat().st_blocks * 512 < 20 << 20
    checked = subprocess.run(["sfdisk", "--verify", image], capture_output=True, text=True, check=True)
    assert "No errors detected" in checked.stdout
    for part in partitions(image).values():
        subprocess.run(["e2fsck", "-fn", f"{image}?offset={part['start'] * 512}"], capture_output=True,
                       check=True)
    assert debugfs(image, "root", "cat /etc/motd") == b"golden\n"
    assert debugfs(image, "data", "cat /blob") == (tmp_path / "tree/srv/data/blob").read_bytes()
    # The mounted partition's files are not in the parent's file system as well.
    assert b"blob" not in debugfs(image, "root", "ls /srv/data")
    inode = debugfs(image, "root", "stat /etc/motd").decode()
    assert "Mode:  0600" in inode and "User:     0" in inode


def test_fstab_names_the_file_systems(amiwright, spec, tmp_path):
    image = tmp_path / "out.raw"
    amiwright("build", spec, "-o", image)
    found = {}
    for line in debugfs(image, "root", "cat /etc/fstab").decode().splitlines():
        if not line.startswith("#"):
            uuid, mount = line.split()[:2]
            found[mount] = uuid
    for mount, part in (("/", "root"), ("/srv/data", "data")):
        stats = debugfs(image, part, "stats -h").decode()
        assert found[mount].removeprefix("UUID=") in stats


def test_several_disks(amiwright, spec, tmp_path):
    text = spec.read_text().replace("  - {device: /dev/sdf, ephemeral: 0}\n",
                                    "  - {device: /dev/sdg, filesystem: ext4, mount: /var, size: 1G}\n")
    spec.write_text(text)
    result = amiwright("build", spec, "-o", "a.img")
    assert result.stdout == "a.img\na-sdg.img\n"
    subprocess.run(["e2fsck", "-fn", tmp_path / "a-sdg.img"], capture_output=True, check=True)
    manifest = json.loads((tmp_path / "a.img.manifest.json").read_text())
    assert [d["device"] for d in manifest["disks"]] == ["/dev/xvda", "/dev/sdg"]


def test_manifest_blocks_are_the_image(amiwright, spec, tmp_path):
    amiwright("build", spec, "-o", "a.raw")
    image = (tmp_path / "a.raw").read_bytes()
    blocks = json.loads((tmp_path / "a.raw.manifest.json").read_text())["disks"][0]["blocks"]
    aggregate = hashlib.sha256()
    digests = {int(k): v for k, v in blocks["digests"].items()}
    assert list(digests) == sorted(digests) and len(digests) == blocks["count"]
    for index in range(len(image) // BLOCK):
        data = image[index * BLOCK:(index + 1) * BLOCK]
        if index in digests:
            assert hashlib.sha256(data).hexdigest() == digests[index]
            aggregate.update(bytes.fromhex(digests[index]))
        else:
            assert not data.strip(b"\0")
    assert aggregate.hexdigest() == blocks["sha256"]


def test_same_bits_and_unique(amiwright, spec, tmp_path):
    amiwright("build", spec, "-o", "a.raw", "-j", "1")
    amiwright("build", spec, "-o", "b.raw", "-j", "5", "--no-manifest")
    amiwright("build", spec, "-o", "c.raw", "--unique")
    assert sha256(tmp_path / "a.raw") == sha256(tmp_path / "b.raw") != sha256(tmp_path / "c.raw")
    assert not (tmp_path / "b.raw.manifest.json").exists()
    assert "salt" in json.loads((tmp_path / "c.raw.manifest.json").read_text())


def test_json(amiwright, spec):
    document = amiwright.json("build", spec, "-q")
    assert document["images"][0]["file"] == "tiny-1-x86_64.raw"
    assert document["images"][0]["partitions"][1]["filesystem"]["mount"] == "/"
    assert document["timings"]["total_ms"] >= document["timings"]["layers_ms"]


def test_inline_layers(amiwright, write_spec, tmp_path):
    (tmp_path / "big").write_bytes(b"0123456789abcdef" * 50000)
    spec = write_spec("""\
        name: inline
        version: "1"
        architecture: arm64
        epoch: 1735689600
        root:
          - write: {path: /etc/passwd, content: "joe:x:1000:1001::/:/bin/sh\\n"}
          - write: {path: /etc/group, content: "staff:x:50:\\n"}
          - mkdir: {path: /home/joe/deep, owner: "joe:staff", mode: "0750"}
          - write: {path: /big, from: big, owner: joe}
          - symlink: {path: /sh, target: bin/sh}
          - write: {path: /var/a.log, content: ""}
          - write: {path: /var/b.log, content: ""}
          - remove: /var/*.log
          - remove: {path: /nothing, missing_ok: true}
          - chmod: {path: /etc, mode: "0700", recursive: true}
        disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]
        """)
    amiwright("build", spec, "-o", "i.raw")

    def run(command):
        return subprocess.run(["debugfs", "-R", command, tmp_path / "i.raw"], capture_output=True,
                              check=True).stdout
    assert run("cat /big") == (tmp_path / "big").read_bytes()
    deep = run("stat /home/joe/deep").decode()
    assert "Mode:  0750" in deep and "User:  1000" in deep and "Group:    50" in deep
    assert "Group:  1001" in run("stat /big").decode()
    assert b"bin/sh" in run("stat /sh")
    assert b".log" not in run("ls /var")
    assert "Mode:  0700" in run("stat /etc/passwd").decode()


def test_layer_errors_name_their_place(amiwright, write_spec):
    head = "name: x\nversion: '1'\narchitecture: x86_64\nepoch: 1\n" \
           "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\nroot:\n"
    for layer, words in (("remove: /none", "none"), ("chown: {path: /, owner: nobody}", "nobody")):
        result = amiwright("build", write_spec(f"{head}  - {layer}\n"), status=1)
        assert f"spec.yaml:7:5: {layer.split(':')[0]}: " in result.stderr and words in result.stderr


def test_failure_leaves_nothing(amiwright, spec, tmp_path):
    # The second disk's name is taken by a folder: the first one's file must go again.
    spec.write_text(spec.read_text().replace(
        "  - {device: /dev/sdf, ephemeral: 0}\n", "  - {device: /dev/sdg, filesystem: ext4, size: 1G}\n"))
    (tmp_path / "a-sdg.raw").mkdir()
    amiwright("build", spec, "-o", "a.raw", status=1)
    assert not (tmp_path / "a.raw").exists() and not list(tmp_path.glob("*.json"))


@pytest.mark.skipif(os.getuid() != 0, reason="loop mounts need root")
def test_the_kernel_mounts_it(amiwright, spec, tmp_path):
    amiwright("build", spec, "-o", "a.raw")
    start = partitions(tmp_path / "a.raw")["root"]["start"] * 512
    mounted = tmp_path / "mnt"
    mounted.mkdir()
    subprocess.run(["mount", "-o", f"ro,loop,offset={start}", tmp_path / "a.raw", mounted], check=True)
    try:
        assert (mounted / "etc/hostname").read_text() == "tiny\n"
        assert (mounted / "etc/motd").stat().st_mtime == 1735689600
    finally:
        subprocess.run(["umount", mounted], check=True)
