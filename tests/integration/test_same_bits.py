# SPDX-License-Identifier: Apache-2.0
"""The image is a function of the spec, its inputs and the epoch: two builds of the Debian tree from disturbed
surroundings have one digest; and what comes out satisfies e2fsck, sfdisk and the kernel."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import debian_tree  # noqa: E402
import nobody  # noqa: E402

AMIWRIGHT = os.environ["AMIWRIGHT"]
BUILD = Path(os.environ["AMIWRIGHT_BUILD"])


def sha256(path):
    return subprocess.run(["sha256sum", path], capture_output=True, text=True,
                          check=True).stdout.split()[0]


def spec_with(folder, source, boot=True):
    """images/debian-minimal with another source in place of its debian layer, in a folder of its own."""
    spec = yaml.safe_load(debian_tree.SPEC.read_text())
    if not boot:
        spec["boot"] = {"loader": "none"}
    spec["root"] = [source if "debian" in layer else layer for layer in spec["root"]]
    folder.mkdir(exist_ok=True)
    path = folder / "image.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def build(spec, out, *options, as_nobody=False, **env):
    clean = {k: v for k, v in os.environ.items() if k not in ("SOURCE_DATE_EPOCH", "TZ", "LANG", "LC_ALL")}
    command = [AMIWRIGHT, "build", str(spec), "-o", str(out), "-q", *options]
    if as_nobody:
        command = [*nobody.PREFIX, nobody.reachable(AMIWRIGHT, out.parent), *command[1:]]
    result = subprocess.run(command, capture_output=True, text=True, env={**clean, **env}, cwd=out.parent)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def tar():
    return debian_tree.debian_tar(BUILD)


@pytest.fixture(scope="module")
def image(tar, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    return build(spec_with(folder, {"tar": str(tar)}), folder / "out.raw", "-j", "1")


def test_surroundings_do_not_matter(tar, image, tmp_path):
    other = tmp_path / "another folder"
    other.mkdir()
    as_nobody = os.getuid() == 0
    source = str(tar)
    if as_nobody:
        os.chown(other, nobody.NOBODY, nobody.NOBODY)
        nobody.open_way(tmp_path)
        source = nobody.reachable(tar, tmp_path)
    spec = spec_with(other, {"tar": source})
    old = os.umask(0o077)
    try:
        second = build(spec, other / "b.raw", "-j", "4", as_nobody=as_nobody, TZ="Asia/Kathmandu",
                       LANG="tr_TR.UTF-8", LC_ALL="tr_TR.UTF-8", HOME="/nonexistent")
    finally:
        os.umask(old)
    assert sha256(second) == sha256(image)
    one, two = (json.loads(Path(f"{p}.manifest.json").read_text()) for p in (image, second))
    for manifest in (one, two):
        manifest.pop("inputs")
    assert one == two


def shuffled_copy(source, target, rng, links):
    """Copies a folder with entries made in another order, so that readdir order and inode numbers differ; links
    has the first copy of each file with several names."""
    target.mkdir()
    names = sorted(os.listdir(source))
    rng.shuffle(names)
    for name in names:
        a, b = source / name, target / name
        if a.is_symlink():
            os.symlink(os.readlink(a), b)
        elif a.is_dir():
            shuffled_copy(a, b, rng, links)
        elif a.stat().st_ino in links:
            os.link(links[a.stat().st_ino], b)
        else:
            shutil.copyfile(a, b)
            if a.stat().st_nlink > 1:
                links[a.stat().st_ino] = b
        shutil.copystat(a, b, follow_symlinks=False)
    shutil.copystat(source, target)


def test_readdir_order_and_inode_numbers_do_not_matter(tar, tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    subprocess.run(["tar", "-xf", tar, "-C", first, "--exclude=./dev/*", "--no-same-owner",
                    "./usr/lib/python3", "./etc", "./usr/share/zoneinfo", "./usr/bin"], check=True)
    subprocess.run(["chmod", "-R", "u+rwX", first], check=True)
    shuffled_copy(first, tmp_path / "second", random.Random(7), {})
    digests = set()
    for number, name in enumerate(["first", "second"]):
        spec = spec_with(tmp_path / f"spec{number}",
                         {"directory": {"path": str(tmp_path / name), "owner": "root"}}, boot=False)
        digests.add(sha256(build(spec, tmp_path / f"{name}.raw", "-j", str(number * 3 + 1))))
    assert len(digests) == 1


def test_manifest_digests(image):
    manifest = json.loads(Path(f"{image}.manifest.json").read_text())
    with image.open("rb") as content:
        block = content.read(512 << 10)
    assert hashlib.sha256(block).hexdigest() in json.dumps(manifest)


def test_tables_and_file_system_are_clean(image):
    checked = subprocess.run(["sfdisk", "--verify", image], capture_output=True, text=True)
    assert checked.returncode == 0 and "No errors detected" in checked.stdout, checked.stdout
    checked = subprocess.run(["sgdisk", "-v", image], capture_output=True, text=True)
    assert "No problems found" in checked.stdout, checked.stdout
    table = json.loads(subprocess.run(["sfdisk", "-J", image], capture_output=True, check=True).stdout)
    root = next(p for p in table["partitiontable"]["partitions"]
                if p["type"] == "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709")
    assert root["start"] * 512 % (1 << 20) == 0
    checked = subprocess.run(["e2fsck", "-fn", f"{image}?offset={root['start'] * 512}"],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="loop mounts need root")
def test_the_kernel_mounts_it(tar, image, tmp_path):
    table = json.loads(subprocess.run(["sfdisk", "-J", image], capture_output=True, check=True).stdout)
    start = max(p["start"] for p in table["partitiontable"]["partitions"]) * 512
    mounted = tmp_path / "mnt"
    mounted.mkdir()
    subprocess.run(["mount", "-o", f"ro,loop,offset={start}", image, mounted], check=True)
    try:
        for name in ["usr/bin/bash", "usr/lib/systemd/systemd", "etc/passwd"]:
            inside = subprocess.run(["tar", "-xOf", tar, f"./{name}"], capture_output=True, check=True)
            assert (mounted / name).read_bytes() == inside.stdout
        assert "\nUUID=" in (mounted / "etc/fstab").read_text()
    finally:
        subprocess.run(["umount", mounted], check=True)
