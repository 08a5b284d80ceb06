# SPDX-License-Identifier: Apache-2.0
"""Bad input gets a clear error that names what, where and what would be right, and leaves nothing behind."""
import http.server
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

from strict_server import BLOCK, KEY, StrictServer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import nobody  # noqa: E402

AMIWRIGHT = os.environ["AMIWRIGHT"]

SPEC = """\
name: bad
version: "1"
architecture: x86_64
epoch: 1735689600
root:
{layers}
disks:
  - device: /dev/xvda
    size: {disk}
    table: gpt
    partitions:
      - {{name: root, type: root, filesystem: ext4, mount: /, size: {root}}}
ami:
  name: "{{name}}-{{version}}"
"""


def write_spec(folder, layers="  - write: {path: /a, content: x}", disk="auto", root="rest"):
    path = folder / "image.yaml"
    path.write_text(SPEC.format(layers=layers, disk=disk, root=root))
    return path


def run(*args, env=None, **kwargs):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return subprocess.run([AMIWRIGHT, *map(str, args)], capture_output=True, text=True,
                          env={**clean, **(env or {})}, **kwargs)


def files_of(folder):
    return sorted(p.name for p in folder.iterdir())


def refused(folder, result, status, *words):
    """Checks status and words, and that the folder has only what the test put there."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    for word in words:
        assert re.search(word, result.stderr), f"no {word!r} in {result.stderr!r}"
    assert not [n for n in files_of(folder) if n.startswith((".", "out"))], files_of(folder)


def test_three_mistakes_are_all_reported(tmp_path):
    spec = tmp_path / "image.yaml"
    spec.write_text(textwrap.dedent("""\
        name: bad
        version: "1"
        architecture: vax
        epoch: 1735689600
        root:
          - write: {path: /a, contents: x}
        disks:
          - device: /dev/xvda
            size: 10 bananas
            table: gpt
            partitions:
              - {name: root, type: root, filesystem: ext4, mount: /, size: rest}
        ami: {name: bad-1}
        """))
    result = run("build", spec, "-o", tmp_path / "out.raw")
    refused(tmp_path, result, 2, r"image\.yaml:3:15: .*x86_64", r"image\.yaml:6:23: .*content",
            r"image\.yaml:9:11: .*bananas")


def test_missing_source(tmp_path):
    spec = write_spec(tmp_path, "  - tar: nowhere.tar\n  - directory: nothing/")
    result = run("build", spec, "-o", tmp_path / "out.raw")
    refused(tmp_path, result, 2, r"image\.yaml:6:\d+: .*nowhere\.tar", r"image\.yaml:7:\d+: .*nothing")


def test_unreadable_file(tmp_path):
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/shadow").write_text("secret")
    (tree / "etc/shadow").chmod(0)
    spec = write_spec(tmp_path, "  - directory: tree")
    drop = tmp_path / "drop"
    drop.mkdir()
    command = [AMIWRIGHT, "build", str(spec), "-o", str(drop / "out.raw")]
    if os.getuid() == 0:
        # Root reads everything: be somebody else.
        nobody.open_way(tmp_path)
        os.chown(drop, nobody.NOBODY, nobody.NOBODY)
        command = [*nobody.PREFIX, nobody.reachable(AMIWRIGHT, tmp_path), *command[1:]]
    result = subprocess.run(command, capture_output=True, text=True)
    refused(tmp_path, result, 1, r"tree/etc/shadow'?: Permission denied")
    assert not files_of(drop)


def make_tar(entries):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def test_truncated_compressed_tar(tmp_path):
    tar = make_tar([(f"file{n}", os.urandom(50_000)) for n in range(20)])
    whole = subprocess.run(["zstd", "-c"], input=tar, capture_output=True, check=True).stdout
    (tmp_path / "cut.tar.zst").write_bytes(whole[:len(whole) * 2 // 3])
    spec = write_spec(tmp_path, "  - tar: cut.tar.zst")
    refused(tmp_path, run("build", spec, "-o", tmp_path / "out.raw"), 1, r"cut\.tar\.zst", "runcated|ended")


def test_tar_that_climbs_out(tmp_path):
    (tmp_path / "evil.tar").write_bytes(make_tar([("ok", b"1"), ("../../etc/passwd", b"root::0:0::/:\n")]))
    spec = write_spec(tmp_path, "  - tar: evil.tar")
    result = run("build", spec, "-o", tmp_path / "out.raw")
    refused(tmp_path, result, 1, r"evil\.tar", r"\.\./\.\./etc/passwd")


def test_tar_whose_names_steer_terminals(tmp_path):
    """Escapes, of one byte too, in what a message quotes."""
    (tmp_path / "evil.tar").write_bytes(make_tar([("../\x1b]0;x\x07\x9b31m\x7f\u00e9", b"1")]))
    spec = write_spec(tmp_path, "  - tar: evil.tar")
    result = run("build", spec, "-o", tmp_path / "out.raw")
    refused(tmp_path, result, 1, r"evil\.tar", r"'\.\./\?\]0;x\?\?\?31m\?\u00e9")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.stderr)


def test_full_disk(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "data").write_bytes(os.urandom(12 << 20))
    spec = write_spec(tmp_path, "  - directory: {path: tree, owner: root}")
    small = tmp_path / "small"
    small.mkdir()
    script = f"mount -t tmpfs -o size=6m none {small} && {AMIWRIGHT} build {spec} -o {small}/out.raw; " \
             f"status=$?; ls -A {small} >&2; exit $status"
    result = subprocess.run(["unshare", *([] if os.getuid() == 0 else ["-r"]), "-m", "sh", "-c", script],
                            capture_output=True, text=True)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip("no mount namespace here: " + result.stderr)
    refused(tmp_path, result, 1, r"small/out\.raw.*No space left on device")
    assert result.stderr.rstrip().endswith("No space left on device"), "something is left: " + result.stderr


def test_root_partition_one_mib_too_small(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "data").write_bytes(os.urandom(40 << 20))
    layers = "  - directory: {path: tree, owner: root}"
    # The program says what it needs; one MiB less must be refused, and that much must do.
    result = run("build", write_spec(tmp_path, layers, root="16M"), "-o", tmp_path / "out.raw")
    refused(tmp_path, result, 2, r"image\.yaml:\d+:\d+", r"'root'", r"needs", r"16(\.0)? MiB")
    needs = int(re.search(r"needs[^(]*\((\d+) bytes", result.stderr).group(1))
    mib = -(-needs // (1 << 20))
    spec = write_spec(tmp_path, layers, root=f"{mib - 1}M")
    refused(tmp_path, run("build", spec, "-o", tmp_path / "out.raw"), 2, r"'root'", "needs")
    result = run("build", write_spec(tmp_path, layers, root=f"{mib}M"), "-o", tmp_path / "out.raw")
    assert result.returncode == 0, result.stderr


def small_image(folder, blocks=8):
    image = folder / "in.raw"
    image.write_bytes(b"\0" * 510 + b"\x55\xaa" + os.urandom(blocks * BLOCK - 512))
    return image


def test_wrong_secret_key(tmp_path):
    region = tmp_path / "region"
    server = subprocess.Popen([AMIWRIGHT, "serve", region], stdout=subprocess.PIPE, text=True)
    try:
        endpoint = re.search(r"http://\S+", server.stdout.readline()).group()
        key = re.search(r"aws_access_key_id *= *(\S+)", (region / "credentials").read_text()).group(1)
        secret = "wrong/secret/wrong/secret/wrong/secret12"
        result = run("upload", small_image(tmp_path), "--endpoint-url", endpoint,
                     env={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
                          "AWS_REGION": "us-east-1"})
        refused(tmp_path, result, 4, "StartSnapshot", "InvalidSignatureException|SignatureDoesNotMatch")
        assert secret not in result.stderr
        assert not list((region / "snapshots").glob("*")), "something was made"
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0


class Always500(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.count += self.path == "/snapshots"
        self.send_response(500)
        self.send_header("x-amzn-ErrorType", "InternalServerException")
        self.send_header("Content-Length", "18")
        self.end_headers()
        self.wfile.write(b'{"Message":"oops"}')

    do_PUT = do_POST = do_GET = answer

    def log_message(self, *args):
        pass


def test_500_for_ever_ends(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Always500)
    server.count = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        result = run("upload", small_image(tmp_path), timeout=120,
                     env={"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": "x" * 20,
                          "AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "4",
                          "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"})
    finally:
        server.shutdown()
    refused(tmp_path, result, 4, "StartSnapshot", "4 attempts", "InternalServerException", "oops", "500")
    assert server.count == 4


class SlowServer(StrictServer):
    """Takes the first blocks and then dawdles."""

    def do_PutSnapshotBlock(self, value):
        result = super().do_PutSnapshotBlock(value)
        self.lock.release()
        time.sleep(0.3)
        self.lock.acquire()
        return result


def test_interrupt_names_the_snapshot(tmp_path):
    with SlowServer() as server:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        process = subprocess.Popen([AMIWRIGHT, "upload", str(small_image(tmp_path, 400))],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**clean, **server.env()})
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and \
                not any(name == "PutSnapshotBlock" for name, _ in server.requests):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert out == "" and "snap-00000000000000001" in err
        assert "rerun the same command to resume" in err and "--abandon" in err
        assert not server.faults
