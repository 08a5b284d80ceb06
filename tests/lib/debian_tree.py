# SPDX-License-Identifier: Apache-2.0
"""The tree of images/debian-minimal as a tar, made once by mmdebstrap and kept under the build folder."""
import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "images/debian-minimal/image.yaml"


def debian_layer():
    """The debian layer of the image's spec."""
    layers = yaml.safe_load(SPEC.read_text())["root"]
    return next(layer["debian"] for layer in layers if "debian" in layer)


def debian_tar(build):
    """Path of the tar; made when it is missing (about a minute, and a package mirror is asked)."""
    layer = debian_layer()
    key = hashlib.sha256(repr(sorted(layer.items())).encode()).hexdigest()[:12]
    tar = Path(build) / f"cache/debian-minimal-{key}.tar"
    if tar.exists():
        return tar
    tar.parent.mkdir(parents=True, exist_ok=True)
    with open(tar.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # pytest's workers share build/
        if not tar.exists():
            make_tar(layer, tar)
    return tar


def make_tar(layer, tar):
    part = tar.with_suffix(".part.tar")
    command = ["mmdebstrap", "--quiet", "--variant=" + layer.get("variant", "minbase"),
               "--include=" + ",".join(layer["packages"]), layer["suite"], str(part)]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1735689600"})
    part.rename(tar)
