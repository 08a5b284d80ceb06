# SPDX-License-Identifier: Apache-2.0
"""OCI images as layers. Oracles: umoci's own unpacking, skopeo's conversions, a real registry."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import ociwriter  # noqa: E402
from ociwriter import INDEX, Layout, image, layer  # noqa: E402

SPEC = """\
name: from-oci
version: "1"
architecture: {arch}
epoch: 1735689600
root: [{layers}]
disks: [{{device: /dev/xvda, filesystem: ext4, mount: /}}]
"""


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def build(amiwright, ref, *more, arch="x86_64", out="out.raw", status=0):
    """Builds an image from one reference and more layers; the result of the program."""
    layers = ", ".join([f"{{oci: '{ref}'}}", *more])
    (amiwright.folder / "image.yaml").write_text(SPEC.format(arch=arch, layers=layers))
    return amiwright("build", "image.yaml", "-o", out, status=status)


def refused(amiwright, ref, *words, arch="x86_64", status=1):
    message = build(amiwright, ref, arch=arch, status=status).stderr
    for word in words:
        assert word in message, message
    assert not (amiwright.folder / "out.raw").exists()


def listing(folder):
    """What is in a folder: path → kind, permissions, content or target, first path of the same inode."""
    found, inodes = {}, {}
    for path in sorted(folder.rglob("*")):
        name, st = str(path.relative_to(folder)), path.lstat()
        if name == "lost+found":
            continue
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        same = inodes.setdefault(st.st_ino, name) if not path.is_dir() else name
        found[name] = (oct(st.st_mode), content, same)
    return found


def files(amiwright, out="out.raw"):
    """The files of a built image, by debugfs."""
    dump = amiwright.folder / f"dump-{out}"
    dump.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {dump}", out], cwd=amiwright.folder, check=True,
                   capture_output=True)
    # rdump makes a file of each name: hard links are compared by content. /etc has the fstab that build writes.
    return {name: found[:2] for name, found in listing(dump).items() if name not in ("etc", "etc/fstab")}


def bits(amiwright, out="out.raw"):
    """The digest of the disk's blocks: the file itself is a GiB of holes."""
    document = json.loads((amiwright.folder / f"{out}.manifest.json").read_text())
    return document["disks"][0]["blocks"]["sha256"]


def unpacked(amiwright, folder):
    """The files as umoci unpacks them."""
    out = amiwright.folder / "umoci"
    command = ["umoci", "raw", "unpack", *(["--rootless"] if os.getuid() else []),
               "--image", f"{folder}:latest", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return {name: found[:2] for name, found in listing(out).items()}


BASE = layer("a/", ("a/one", "1"), ("a/two", "2"), "a/sub/", ("a/sub/deep", "3"), "usr/", "usr/lib/",
             ("usr/lib/x", "x"), ("usr/lib/y", "y"), ("lib", "->", "usr/lib"), ("top", "t"))

# Each: the upper layer, and what of the base is to be gone.
CASES = {
    "file": [(".wh.top", "")],
    "in a folder": ["a/", ("a/.wh.one", "")],
    "without its folder's entry": [("a/.wh.one", "")],
    "folder": [(".wh.a", "")],
    "folder and made anew": [(".wh.a", ""), "a/", ("a/new", "n")],
    "file and made anew": [(".wh.top", ""), ("top", "new")],
    "opaque first": ["a/", ("a/.wh..wh..opq", ""), ("a/new", "n"), "a/sub/"],
    "opaque last": ["a/", ("a/new", "n"), "a/sub/", ("a/sub/fresh", "f"), ("a/.wh..wh..opq", "")],
    "opaque with a name of the base": ["a/", ("a/one", "other"), ("a/.wh..wh..opq", "")],
    "nothing there": [(".wh.none", ""), "a/", ("a/sub/none/.wh.x", "")],
    "aufs": ["a/", (".wh..wh.aufs", ""), ".wh..wh.plnk/", ".wh..wh.orph/"],
    "folder over a file": ["top/", ("top/in", "i")],
    "file over a folder": [("a", "now a file")],
    "link over a folder": [("a", "->", "usr")],
    "folder over a link": ["lib/", ("lib/z", "z")],
    "hard link": [("new", "n"), ("other", "=", "new")],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", ["gzip", "none"])
def test_whiteouts_as_umoci(amiwright, tmp_path, case, how):
    need("umoci")
    image(tmp_path / "layout", BASE, layer(*CASES[case]), how=how)
    build(amiwright, "layout")
    ours, theirs = files(amiwright), unpacked(amiwright, tmp_path / "layout")
    # umoci takes marks of aufs for files; the specification wants none left.
    assert ours == {k: v for k, v in theirs.items() if not os.path.basename(k).startswith(".wh.")}
    fsck = subprocess.run(["e2fsck", "-fn", tmp_path / "out.raw"], capture_output=True, check=False)
    assert fsck.returncode == 0, fsck.stdout


# What the specification says, and extractors that go entry by entry get wrong.
ORDERS = {
    "mark behind the file": ([("top", "new"), (".wh.top", "")], {"top": b"new"}),
    "mark behind the folder": (["a/", ("a/new", "n"), (".wh.a", "")], {"a/new": b"n", "a/one": None}),
    "mark behind a link": ([("lib/.wh.x", "")], {"usr/lib/x": None, "usr/lib/y": b"y"}),
    "mark in a folder over a link": (["lib/", ("lib/.wh.x", "")], {"usr/lib/x": b"x", "lib/x": None}),
    "the same, marks first": ([("lib/.wh.x", ""), "lib/"], {"usr/lib/x": b"x", "lib/x": None}),
    "all": ([(".wh..wh..opq", ""), ("only", "o")], {"only": b"o", "top": None, "a": None}),
}


@pytest.mark.parametrize("case", ORDERS)
def test_whiteouts_whatever_the_order(amiwright, tmp_path, case):
    upper, want = ORDERS[case]
    image(tmp_path / "layout", BASE, layer(*upper))
    build(amiwright, "layout")
    got = files(amiwright)
    assert {name: got.get(name, (None, None))[1] for name in want} == want
    assert not [name for name in got if ".wh." in name]


def test_whiteout_in_circles_of_links(amiwright, tmp_path):
    image(tmp_path / "layout", layer(("l", "->", "l")), layer(("l/.wh.x", "")))
    refused(amiwright, "layout", "loop")


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh.."])
def test_whiteout_of_no_file(amiwright, tmp_path, name):
    image(tmp_path / "layout", BASE, layer((name, "")))
    refused(amiwright, "layout", "names no file", name)


def test_forms_give_the_same_bits(amiwright, tmp_path):
    """Folder, archive, docker save, compressed archive, each compression: one image."""
    need("skopeo")
    layers = [BASE, layer((".wh.top", ""), ("big", "b" * 3000000))]
    for how in ("none", "gzip", "zstd"):
        image(tmp_path / how, *layers, how=how)
    copy = ["skopeo", "--insecure-policy", "copy", "-q"]
    subprocess.run([*copy, "oci:gzip", "oci-archive:a.tar:name"], cwd=tmp_path, check=True)
    subprocess.run([*copy, "oci:none", "docker-archive:d.tar:some/name:1"], cwd=tmp_path, check=True)
    (tmp_path / "d.tar.gz").write_bytes(ociwriter.packed((tmp_path / "d.tar").read_bytes(), "gzip"))
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(tmp_path / "none", ".")
    seen = set()
    for ref in ("none", "gzip", "zstd", "oci:gzip", "oci:gzip:latest", "a.tar", "oci-archive:a.tar",
                "oci-archive:a.tar:name", "d.tar", "d.tar.gz", "docker-archive:d.tar", "plain.tar",
                "docker-archive:d.tar:some/name:1", "docker-archive:d.tar:1", f"oci:{tmp_path}/zstd"):
        build(amiwright, ref)
        seen.add(bits(amiwright))
    assert len(seen) == 1


def test_layers_beside_it(amiwright, tmp_path):
    """Two images, two tars and a folder: later ones win, and know nothing of whiteouts."""
    image(tmp_path / "one", BASE)
    image(tmp_path / "two", layer(("top", "two"), (".wh.a", "")), how="none")
    (tmp_path / "x.tar").write_bytes(layer(("top", "x"), ("x", "x")))
    (tmp_path / "y.tar").write_bytes(layer(("top", "y"), ("y", "y")))
    (tmp_path / "over").mkdir()
    (tmp_path / "over/y").write_text("over")
    build(amiwright, "one", "{oci: {image: two}}", "{tar: x.tar}", "{tar: y.tar}", "{directory: over}")
    got = files(amiwright)
    assert [got[name][1] for name in ("top", "x", "y")] == [b"y", b"x", b"over"]
    assert "a/one" not in got and "usr/lib/x" in got


def test_manifest_has_the_digest(amiwright, tmp_path):
    layout = image(tmp_path / "layout", BASE)
    build(amiwright, "oci:layout:latest")
    document = json.loads((tmp_path / "out.raw.manifest.json").read_text())
    assert document["inputs"] == [{"layer": "oci", "image": "oci:layout:latest",
                                   "digest": layout.index[0]["digest"]}]


def platform(arch, variant=None):
    value = {"architecture": arch, "os": "linux"}
    return {"platform": {**value, "variant": variant} if variant else value}


def multi(folder):
    """As buildx writes it: an index in the index, with variants and what it attests."""
    layout = Layout(folder)
    images = [(layout.manifest([layer(("arch", arch + (variant or "")))], arch=arch), arch, variant)
              for arch, variant in (("arm", "v7"), ("amd64", "v3"), ("arm64", "v9"), ("arm64", "v8"),
                                    ("amd64", None))]
    attest = layout.manifest([], os="unknown")
    inner = [{**d, **platform(arch, variant)} for d, arch, variant in images]
    inner.append({**attest, **platform("unknown"),
                  "annotations": {"vnd.docker.reference.type": "attestation-manifest"}})
    return layout.name(layout.json({"schemaVersion": 2, "mediaType": INDEX, "manifests": inner}, INDEX),
                       "docker.io/library/x:1")


@pytest.mark.parametrize("arch,want", [("x86_64", b"amd64"), ("arm64", b"arm64v8")])
def test_platforms(amiwright, tmp_path, arch, want):
    multi(tmp_path / "layout")
    for ref in ("layout", "oci:layout:1", "oci:layout:x:1"):
        build(amiwright, ref, arch=arch)
    assert files(amiwright)["arch"][1] == want


def test_other_platforms_only(amiwright, tmp_path):
    image(tmp_path / "layout", BASE, arch="arm64", variant="v8")
    refused(amiwright, "layout", "no image for linux/amd64: it has linux/arm64/v8")
    if shutil.which("skopeo"):
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--override-arch=arm64", "oci:layout",
                        "docker-archive:d.tar:x:1"], cwd=tmp_path, check=True)
        refused(amiwright, "d.tar", "the image is for linux/arm64, not for linux/amd64")


def test_several_tags(amiwright, tmp_path):
    layout = Layout(tmp_path / "layout")
    for tag in ("one", "two"):
        layout.name(layout.manifest([layer(("tag", tag))]), tag)
    refused(amiwright, "layout", "choose one", "one, two", status=2)
    refused(amiwright, "oci:layout:three", "no image 'three': it has one, two", status=2)
    build(amiwright, "oci:layout:two")
    assert files(amiwright)["tag"][1] == b"two"
    layout.name(layout.index[0], "again")
    build(amiwright, "oci:layout:again")
    build(amiwright, "oci:layout:" + layout.index[1]["digest"])


def test_references_before_work(amiwright, tmp_path):
    image(tmp_path / "layout", BASE)
    for ref, words in (("none", "cannot read 'none'"), ("oci:none:tag", "cannot read 'none'"),
                       ("debian:12", "docker://NAME:TAG"), ("docker-daemon:x", "not supported"),
                       ("oci:", "names no image"), ("oci:layout:", "without a tag"),
                       ("docker://a b", "white space")):
        refused(amiwright, ref, "image.yaml:5:", words, status=2)


def test_paths_with_colons(amiwright, tmp_path):
    image(tmp_path / "a:b", layer(("f", "1")))
    image(tmp_path / "a", layer(("f", "2"))).name({**json.loads((tmp_path / "a/index.json").read_text())
                                                   ["manifests"][0]}, "localhost/n:b")
    for ref, want in (("oci:a:b", b"1"), ("oci:a:b:latest", b"1"), ("oci:a:localhost/n:b", b"2")):
        build(amiwright, ref, out=ref.replace("/", "") + ".raw")
        assert files(amiwright, ref.replace("/", "") + ".raw")["f"][1] == want


def damaged(layout, change):
    change(layout)
    layout.write()


def cut(layout, index):
    manifest = json.loads(layout.path(layout.index[0]["digest"]).read_text())
    path = layout.path([manifest["config"], *manifest["layers"]][index]["digest"])
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])


def rewrite(layout, change):
    """The manifest changed, with its right digest."""
    manifest = json.loads(layout.path(layout.index[0]["digest"]).read_text())
    change(manifest)
    layout.index = []
    layout.name(layout.json(manifest, ociwriter.MANIFEST), "latest")


def set_layer(**values):
    return lambda layout: rewrite(layout, lambda m: m["layers"][0].update(values))


def wrong_diff_id(layout):
    layout.index = []
    layout.name(layout.manifest([BASE], rootfs={"diff_ids": ["sha256:" + "0" * 64]}), "latest")


def index_of(layout, **values):
    layout.index[0].update(values)


def nested(layout):
    for _ in range(9):
        layout.index = [layout.json({"schemaVersion": 2, "manifests": layout.index}, INDEX)]


def bomb(layout):
    for _ in range(3):
        layout.index = [layout.json({"schemaVersion": 2, "manifests": layout.index * 100}, INDEX)]


DAMAGE = {
    "layer": (lambda x: cut(x, 1), "its digest is"),
    "config": (lambda x: cut(x, 0), "configuration is damaged"),
    "manifest": (lambda x: x.path(x.index[0]["digest"]).write_bytes(b"{" * x.index[0]["size"]),
                 "manifest is damaged"),
    "size of a layer": (set_layer(size=5), "is said to have 5"),
    "no size": (set_layer(size=None), "no size"),
    "size of the manifest": (lambda x: index_of(x, size=1), "is said to have 1"),
    "diff_id": (wrong_diff_id, "diff_id"),
    "fewer diff_ids": (lambda x: rewrite(x, lambda m: m["layers"].append(m["layers"][0])), "2 layers"),
    "traversal": (set_layer(digest="sha256:../../../../../../etc/passwd"), "no digest that is supported"),
    "algorithm": (set_layer(digest="../../secret:" + "0" * 64), "no digest that is supported"),
    "upper case": (set_layer(digest="sha256:" + "A" * 64), "no digest that is supported"),
    "traversal in the index": (lambda x: index_of(x, digest="sha256:../../x"), "no digest that is"),
    "missing blob": (set_layer(digest="sha256:" + "0" * 64), "lacks the blob"),
    "no image": (set_layer(mediaType="application/vnd.cncf.helm.chart.content.v1.tar+gzip"), "no file system"),
    "encrypted": (set_layer(mediaType=ociwriter.LAYER + "+gzip+encrypted"), "encrypted"),
    "nested": (nested, "nested more than 4 deep"),
    "many": (bomb, "more than 4096"),
    "no list": (lambda x: x.index.clear(), "no image for linux/amd64: it has none"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage(amiwright, tmp_path, case):
    change, words = DAMAGE[case]
    damaged(image(tmp_path / "layout", BASE), change)
    refused(amiwright, "layout", words)


def test_links_out_of_the_layout(amiwright, tmp_path):
    """A blob that is a symbolic link leads somewhere inside the layout, or nowhere."""
    layout = image(tmp_path / "layout", BASE)
    path = layout.path(layout.index[0]["digest"])
    path.rename(tmp_path / "outside")
    path.symlink_to("../../../outside")
    refused(amiwright, "layout", "lacks the blob")
    path.unlink()
    (tmp_path / "outside").rename(tmp_path / "layout/inside")
    path.symlink_to("../../inside")
    build(amiwright, "layout")


def test_no_layout(amiwright, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "root.tar").write_bytes(BASE)
    for ref in ("folder", "root.tar", "oci-archive:root.tar"):
        refused(amiwright, ref, "is no OCI image", "tar or directory layer")
    refused(amiwright, "docker-archive:root.tar", "not what `docker save` writes")


def docker_save(path, change=lambda item: None):
    """As docker before 25 wrote it: layers by folders, a duplicate as a link."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
        "diff_ids": [ociwriter.digest(BASE), ociwriter.digest(BASE)]}})
    name = ociwriter.digest(config.encode())[7:] + ".json"
    item = {"Config": name, "RepoTags": ["x:1", "y:2"], "Layers": ["aa/layer.tar", "bb/layer.tar"]}
    change(item)
    path.write_bytes(layer("aa/", ("bb/layer.tar", "->", "../aa/layer.tar"), ("aa/layer.tar", BASE.decode()),
                           (name, config), ("manifest.json", json.dumps([item]))))


def test_old_docker_save(amiwright, tmp_path):
    docker_save(tmp_path / "d.tar")
    build(amiwright, "docker-archive:d.tar:y:2")
    assert files(amiwright)["a/one"][1] == b"1"
    (tmp_path / "out.raw").unlink()
    docker_save(tmp_path / "d.tar", lambda item: item.update(Layers=["aa/layer.tar", "../../etc/passwd"]))
    refused(amiwright, "d.tar", "lacks the layer")
    docker_save(tmp_path / "d.tar", lambda item: item.update(Layers=["aa/layer.tar", item["Config"]]))
    refused(amiwright, "d.tar", "is")


@pytest.fixture
def registry(tmp_path):
    """A registry on this machine, over plain HTTP; its host:port."""
    need("docker-registry")
    need("skopeo")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: '127.0.0.1:%d'}\n"
                      % (tmp_path / "registry", port))
    with subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
        server.terminate()


def test_registry(amiwright, tmp_path, registry):
    layout = multi(tmp_path / "layout")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false",
                    "oci:layout:docker.io/library/x:1", f"docker://{registry}/some/x:1"], cwd=tmp_path,
                   check=True)
    build(amiwright, f"docker://{registry}/some/x:1", arch="arm64")
    assert files(amiwright)["arch"][1] == b"arm64v8"
    used = json.loads((tmp_path / "out.raw.manifest.json").read_text())["inputs"][0]
    assert layout.path(used["digest"]).exists() and used["image"] == f"docker://{registry}/some/x:1"
    fetched = bits(amiwright)
    for ref in ("layout", f"docker://{registry}/some/x@{used['digest']}"):
        build(amiwright, ref, arch="arm64")
        assert bits(amiwright) == fetched
    (tmp_path / "out.raw").unlink()
    refused(amiwright, f"docker://{registry}/some/x:2", f"docker://{registry}/some/x:2", "skopeo failed")


def pushed(folder, registry):
    """An image in the registry; its reference."""
    image(folder / "layout", BASE)
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "oci:layout",
                    f"docker://{registry}/x:1"], cwd=folder, check=True)
    return f"docker://{registry}/x:1"


def test_policy_holds(amiwright, tmp_path, registry):
    home = tmp_path / "home/.config/containers"
    home.mkdir(parents=True)
    (home / "policy.json").write_text('{"default": [{"type": "reject"}]}')
    amiwright.env["HOME"] = str(tmp_path / "home")
    refused(amiwright, pushed(tmp_path, registry), "rejected by policy")


def test_no_policy(amiwright, tmp_path, registry):
    """skopeo does nothing without a policy; where the machine has none, we go on without."""
    if os.getuid() != 0:
        pytest.skip("only root can take the machine's policy away")
    ref = pushed(tmp_path, registry)
    (tmp_path / "empty").mkdir()
    program = tmp_path / "without-policy"
    program.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {tmp_path}/empty /etc/containers && "
                       f"exec {amiwright.path} \"$@\"' sh \"$@\"\n")
    program.chmod(0o755)
    amiwright.path, amiwright.env["HOME"] = str(program), str(tmp_path)
    build(amiwright, ref)
    assert files(amiwright)["a/one"][1] == b"1"
