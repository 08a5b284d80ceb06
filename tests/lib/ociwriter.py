# SPDX-License-Identifier: Apache-2.0
"""A writer of OCI image layouts, for those that no tool would write: hostile, damaged, oddly ordered."""
import gzip
import hashlib
import io
import json
import subprocess
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
REF_NAME = "org.opencontainers.image.ref.name"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(*entries):
    """A tar of "dir/", ("file", content), ("link", "->", target), ("hard", "=", target), in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            entry = (entry,) if isinstance(entry, str) else entry
            info = tarfile.TarInfo(entry[0].rstrip("/"))
            info.mode, info.mtime, content = 0o644, 1700000000, b""
            if len(entry) == 3:
                info.type = tarfile.SYMTYPE if entry[1] == "->" else tarfile.LNKTYPE
                info.linkname = entry[2]
            elif entry[0].endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                content = entry[1].encode() if len(entry) == 2 else b""
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def packed(data, how):
    if how == "gzip":
        return gzip.compress(data, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


class Layout:
    """An image layout in a folder; blobs and descriptors can be made wrong at will."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.index = []

    def path(self, name):
        return self.folder / "blobs" / name.replace(":", "/")

    def blob(self, data, kind):
        """Its descriptor."""
        name = digest(data)
        self.path(name).write_bytes(data)
        return {"mediaType": kind, "digest": name, "size": len(data)}

    def json(self, value, kind):
        return self.blob(json.dumps(value).encode(), kind)

    def manifest(self, layers, arch="amd64", how="gzip", **config):
        """An image's manifest as a descriptor, in no index yet."""
        suffix = {"gzip": "+gzip", "zstd": "+zstd"}.get(how, "")
        value = {"architecture": arch, "os": "linux",
                 "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]}, **config}
        return self.json({"schemaVersion": 2, "mediaType": MANIFEST, "config": self.json(value, CONFIG),
                          "layers": [self.blob(packed(x, how), LAYER + suffix) for x in layers]}, MANIFEST)

    def name(self, descriptor, name=None, **more):
        """Puts it into index.json."""
        if name:
            descriptor = {**descriptor, "annotations": {REF_NAME: name}}
        self.index.append({**descriptor, **more})
        self.write()
        return self

    def write(self):
        (self.folder / "index.json").write_text(json.dumps(
            {"schemaVersion": 2, "manifests": self.index}))


def image(folder, *layers, **options):
    """A layout with one image, called "latest"."""
    layout = Layout(folder)
    return layout.name(layout.manifest(layers, **options), "latest")
