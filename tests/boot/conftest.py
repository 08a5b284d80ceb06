# SPDX-License-Identifier: Apache-2.0
"""What the tests share that boot images: images built once a session, and machines with a way in by ssh."""
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["AMIWRIGHT_BUILD"]) / "boot"
PROGRAM = os.environ["AMIWRIGHT"]

# Emulated machines are at the prompt after 40 to 100 s; one that shares its processors takes several times that.
BOOT_TIMEOUT = 900


class Image:
    """A built image of images/NAME, its further disks, and its spec."""

    def __init__(self, name):
        self.name = name
        spec = ROOT / "images" / name / "image.yaml"
        self.path = BUILD / f"{name}.raw"
        maker = spec.parent / "make-container"
        if maker.exists():
            subprocess.run([maker], check=True)
        result = subprocess.run([PROGRAM, "build", spec, "-o", self.path], capture_output=True, text=True)
        assert result.returncode == 0, f"{spec}: {result.stderr}"
        self.files = [Path(line) for line in result.stdout.splitlines()]
        self.spec = yaml.safe_load(spec.read_text())

    @property
    def size(self):
        return self.path.stat().st_size

    def file_systems(self):
        """{mount point: file system} of all disks, as the spec says it."""
        parts = [p for d in self.spec["disks"] for p in d.get("partitions", [])]
        parts += [d for d in self.spec["disks"] if "mount" in d]
        return {p["mount"]: p["filesystem"] for p in parts if "mount" in p and p["mount"] != "none"}


class Machine:
    """A machine that runs, reached as the image's default user."""

    def __init__(self, process, port, console, key):
        self.process, self.port, self.console, self.key = process, port, console, key

    def ssh(self, command, timeout=120):
        return subprocess.run(
            ["ssh", "-F", "none", "-p", str(self.port), "-i", self.key, "-o", "BatchMode=yes",
             "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "debian@127.0.0.1", command],
            capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def run(self, command, timeout=120, status=0):
        """What a command prints in the guest; its exit status must be as said (None: any)."""
        result = self.ssh(command, timeout)
        assert status is None or result.returncode == status, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout.strip()

    def tail(self):
        return self.console.read_text(errors="replace")[-3000:]

    def wait(self):
        """Until ssh gets in with the key that only the metadata service has told."""
        end = time.monotonic() + BOOT_TIMEOUT
        while time.monotonic() < end:
            assert self.process.poll() is None, f"it has ended: {self.tail()}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self.ssh("true", timeout=40).returncode == 0:
                    return
            time.sleep(3)
        raise AssertionError(f"no way in by ssh within {BOOT_TIMEOUT} s; the console's end:\n{self.tail()}")


@pytest.fixture(scope="session")
def built():
    """Builds images/NAME at its first use. A failure is kept, so that it is not tried again."""
    BUILD.mkdir(parents=True, exist_ok=True)
    images = {}

    def get(name):
        if name not in images:
            try:
                images[name] = Image(name)
            except AssertionError as fault:
                images[name] = fault
        if isinstance(images[name], AssertionError):
            raise AssertionError(f"images/{name} cannot be built") from images[name]
        return images[name]
    return get


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "check-boot", "-f", path], check=True)
    return path


@pytest.fixture
def boot(tmp_path, key):
    """boot(image, firmware=…, disk_size=…): a context with a Machine that ssh has got into."""
    @contextlib.contextmanager
    def start(image, firmware=None, disk_size=None, options=()):
        console = tmp_path / "console.txt"
        command = [PROGRAM, "boot", image.path, "--ssh", "0", "--ssh-key", f"{key}.pub", "--console", console,
                   "--tag", "test=boot", *options]
        for disk in image.files[1:]:
            command += ["--disk", disk]
        if firmware:
            command += ["--firmware", firmware]
        if disk_size:
            command += ["--disk-size", str(disk_size)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                machine = Machine(process, int(process.stdout.readline() or 0), console, key)
                machine.wait()
                yield machine
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.wait(30)
    return start


@pytest.fixture
def expect():
    """expect(image, regex): the console must show it."""
    def run(image, regex, *options, timeout=BOOT_TIMEOUT):
        result = subprocess.run([PROGRAM, "boot", image.path, "--expect", regex, "--timeout", str(timeout),
                                 *options], capture_output=True, text=True, errors="replace",
                                stdin=subprocess.DEVNULL)
        assert result.returncode == 0, result.stderr
        return result.stdout
    return run
