#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures amiwright beside its peers: medians of several runs, the peers' runs between ours, ratios in one run.

CPU is user + system seconds of the process and what it waited for; memory is the peak resident set of the
process. Usage: bench.py --build DIR --objects DIR [--runs N] [NAME...]
"""
import argparse
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import debian_tree  # noqa: E402

GIB = 1 << 30
BLOCK = 512 << 10


class Run:
    """One finished process."""

    def __init__(self, command, env=None):
        start = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=env)
        self.output = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.monotonic() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.rss = usage.ru_maxrss * 1024
        if process.returncode:
            sys.exit(f"{command[0]} failed ({process.returncode}): {self.output[-2000:]}")


def median(runs, name):
    return statistics.median(getattr(r, name) for r in runs)


def alternate(count, commands, clean=(), warm_up=1):
    """Runs the commands in turn, count times each after a warm-up; a list of runs for each name."""
    results = {name: [] for name in commands}
    for turn in range(count + warm_up):
        for name, command in commands.items():
            for path in clean:
                Path(path).unlink(missing_ok=True)
            run = Run(command)
            if turn >= warm_up:
                results[name].append(run)
    return results


def table(title, results, base):
    print(f"\n## {title}\n")
    print(f"| what | CPU s | wall s | peak RSS MiB | CPU against {base} | wall against {base} |")
    print("|---|---|---|---|---|---|")
    for name, runs in results.items():
        cpu, wall = median(runs, "cpu"), median(runs, "wall")
        print(f"| {name} | {cpu:.2f} | {wall:.2f} | {median(runs, 'rss') / 2**20:.0f} "
              f"| {median(results[base], 'cpu') / cpu:.2f} × less "
              f"| {median(results[base], 'wall') / wall:.2f} × less |")


def mke2fs(source, out, size):
    return ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=1",
            "-d", source, out, f"{size // 1024}k"]


class Bench:
    def __init__(self, args):
        self.args = args
        self.build = Path(args.build).resolve()  # the spec of a publish is read from its own folder
        self.work = self.build / "bench"
        self.work.mkdir(parents=True, exist_ok=True)
        self.out = self.work / "out.img"
        self.amiwright = self.build / "amiwright"
        self.ext4_program = Path(args.objects) / "bench_ext4"

    def root(self):
        """The Debian tree as tar and as a folder."""
        tar = debian_tree.debian_tar(self.build)
        folder = self.work / "root"
        if not folder.exists():
            part = self.work / "root.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            subprocess.run(["tar", "-xf", tar, "-C", part, "--exclude=./dev/*", "--numeric-owner"],
                           check=True)
            subprocess.run(["chmod", "-R", "u+rX", part], check=True)
            part.rename(folder)
        return tar, folder

    def ext4(self, kind, source, size):
        return [self.ext4_program, kind, source, self.out, str(size)]

    def bench_ext4_root(self):
        tar, folder = self.root()
        size = 2 * GIB
        results = alternate(self.args.runs, {
            "mke2fs -d folder": mke2fs(folder, self.out, size),
            "amiwright from folder": self.ext4("dir", folder, size),
            "amiwright from tar": self.ext4("tar", tar, size),
        }, clean=[self.out])
        table("ext4 of the Debian tree (2 GiB)", results, "mke2fs -d folder")

    def bench_ext4_big_folder(self):
        folder = self.work / "flat-40000"
        if not folder.exists():
            part = self.work / "flat.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for number in range(40000):
                (part / f"file-{number:06d}").write_text(f"{number}\n")
            part.rename(folder)
        # mke2fs takes a minute a run here: one is enough for a factor like this.
        results = alternate(1, {
            "mke2fs -d folder": mke2fs(folder, self.out, GIB),
            "amiwright from folder": self.ext4("dir", folder, GIB),
        }, clean=[self.out], warm_up=0)
        table("ext4 of 40,000 files in one folder", results, "mke2fs -d folder")

    def serve(self):
        region = self.work / "region"
        shutil.rmtree(region, ignore_errors=True)
        server = subprocess.Popen([str(self.amiwright), "serve", str(region)], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        line = server.stdout.readline()
        return server, re.search(r"http://\S+", line).group(), region

    def upload_image(self):
        """A file of 2 GiB of data, no holes."""
        image = self.work / "upload.img"
        if not image.exists() or image.stat().st_size != 2 * GIB:
            with image.open("wb") as out:
                out.write(b"\0" * 510 + b"\x55\xaa")
                for _ in range(2 * GIB // (8 << 20)):
                    out.write(os.urandom(8 << 20))
                out.truncate(2 * GIB)
        return image

    def bench_upload(self):
        """2 GiB against the local region on the same machine; coldsnap too, when it is there."""
        image = self.upload_image()
        server, endpoint, region = self.serve()
        env = {**self.region_env(region), "AWS_ENDPOINT_URL": endpoint}
        commands = {"amiwright": [self.amiwright, "upload", image, "-q"]}
        if coldsnap := shutil.which("coldsnap"):
            commands["coldsnap"] = [coldsnap, "--endpoint", endpoint, "--region", "us-east-1", "upload", "--no-progress",
                                    "--wait", image]
        print("\n## Upload of 2 GiB over loopback, server on the same machine\n")
        print("| what | MiB/s | blocks/s | client CPU s per GiB | server CPU s per GiB | client peak RSS MiB |")
        print("|---|---|---|---|---|---|")
        try:
            for name, command in commands.items():
                runs, server_cpu = [], []
                for turn in range(self.args.runs + 1):
                    before = cpu_of(server.pid)
                    run = Run(command, env=env)
                    if turn:
                        runs.append(run)
                        server_cpu.append(cpu_of(server.pid) - before)
                    forget_blocks(region)
                wall, cpu = median(runs, "wall"), median(runs, "cpu")
                print(f"| {name} | {2048 / wall:.0f} | {4096 / wall:.0f} | {cpu / 2:.2f} "
                      f"| {statistics.median(server_cpu) / 2:.2f} | {median(runs, 'rss') / 2**20:.0f} |")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()

    def bench_download(self):
        """A snapshot of 64 GiB with 2 GiB of data, from the local region on the same machine. coldsnap is measured, too,
        when it is in PATH; it has no option for the endpoint, but AWS's own variable."""
        image = self.upload_image()
        server, endpoint, region = self.serve()
        env = self.region_env(region)
        env.update(AWS_ENDPOINT_URL=endpoint, AWS_EC2_METADATA_DISABLED="true")
        try:
            snapshot = Run([self.amiwright, "upload", image, "--endpoint-url", endpoint, "-q", "--size", "64G"],
                           env=env).output.split()[-1]
            commands = {
                "download": [self.amiwright, "download", snapshot, self.out, "--endpoint-url", endpoint, "-q"],
                "verify": [self.amiwright, "verify", snapshot, image, "--endpoint-url", endpoint, "-q"],
            }
            if shutil.which("coldsnap"):
                commands["coldsnap download"] = ["coldsnap", "download", "--force", snapshot, self.out]
            results = {name: [] for name in commands}
            for turn in range(self.args.runs + 1):
                for name, command in commands.items():
                    if name != "verify":
                        self.out.unlink(missing_ok=True)
                    run = Run(command, env=env)
                    if turn:
                        results[name].append(run)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            shutil.rmtree(region)
        print("\n## A 64 GiB snapshot with 2 GiB of data over loopback, server on the same machine\n")
        print("| what | MiB/s | client CPU s per GiB | peak RSS MiB |\n|---|---|---|---|")
        for name, runs in results.items():
            print(f"| {name} | {2048 / median(runs, 'wall'):.0f} | {median(runs, 'cpu') / 2:.2f} "
                  f"| {median(runs, 'rss') / 2**20:.0f} |")

    def bench_sparse(self):
        """A sparse file of 64 GiB with 2 GiB of data in pieces, without its zeros; coldsnap too, when it is there."""
        image = self.work / "sparse.img"
        if not image.exists():
            with image.open("wb") as out:
                out.truncate(64 * GIB)
                for number in range(512):
                    out.seek(number * 128 << 20)
                    out.write(os.urandom(4 << 20))
        server, endpoint, region = self.serve()
        env = {**self.region_env(region), "AWS_ENDPOINT_URL": endpoint}
        commands = {"amiwright": [self.amiwright, "upload", image, "--skip", "zeros", "-q"]}
        if coldsnap := shutil.which("coldsnap"):
            commands["coldsnap"] = [coldsnap, "--endpoint", endpoint, "--region", "us-east-1", "upload", "--no-progress",
                                    "--omit-zero-blocks", "--wait", image]
        print("\n## Upload of a sparse 64 GiB file with 2 GiB of data over loopback\n")
        print("| what | blocks/s | CPU s per GiB of data | wall s | peak RSS MiB |")
        print("|---|---|---|---|---|")
        try:
            for name, command in commands.items():
                runs = []
                for _ in range(self.args.runs):
                    runs.append(Run(command, env=env))
                    forget_blocks(region)
                print(f"| {name} | {4096 / median(runs, 'wall'):.0f} | {median(runs, 'cpu') / 2:.2f} "
                      f"| {median(runs, 'wall'):.1f} | {median(runs, 'rss') / 2**20:.0f} |")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()

    def bench_bundle(self):
        """An ext4 image of the Debian tree as a bundle, against euca2ools' pipe of programs: the same steps, no manifest."""
        tar, _ = self.root()
        image = self.work / "bundle.img"
        if not image.exists():
            subprocess.run([self.ext4_program, "tar", tar, image, str(2 * GIB)], check=True)
        folder = self.work / "bundle"
        for name in ("user", "ec2"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                            self.work / f"{name}.key", "-out", self.work / f"{name}.crt", "-subj", f"/CN={name}"],
                           check=True, capture_output=True)
        keys = ["--key", self.work / "user.key", "--cert", self.work / "user.crt", "--ec2-cert",
                self.work / "ec2.crt", "--user", "111122223333"]
        pipe = f"""set -e -o pipefail; rm -rf {folder}; mkdir {folder}; cd {folder}
            tar -c -C {self.work} bundle.img | tee >(sha1sum >digest) | pigz |
                openssl enc -e -aes-128-cbc -K {'0' * 32} -iv {'0' * 32} | split -b 10M -d - bundle.img.part.
            sha1sum bundle.img.part.* >digests; du -sb . >&2"""
        ours = ("rm -rf {0}; mkdir {0}; exec " + " ".join(str(a) for a in [
            self.amiwright, "bundle", image, *keys, "--out", "{0}", "-q"]) + " {1}").format
        commands = {"tar, pigz, openssl, split": ["bash", "-c", pipe],
                    "amiwright": ["bash", "-c", ours(folder, "")],
                    "amiwright --level 6": ["bash", "-c", ours(folder, "--level 6")]}
        sizes = {}
        for name, command in commands.items():
            Run(command)
            sizes[name] = sum(p.stat().st_size for p in folder.iterdir()) / 2**20
        table("A bundle of a 2 GiB image", alternate(self.args.runs, commands), "tar, pigz, openssl, split")
        print("\nsizes: " + ", ".join(f"{name} {size:.1f} MiB" for name, size in sizes.items()))

    def data_folder(self):
        """4 GiB in 50,000 files that do not compress and are not alike."""
        folder = self.work / "data-4g"
        if folder.exists():
            return folder
        part = self.work / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        for number in range(50000):
            if number % 500 == 0:
                (part / f"d{number // 500:03d}").mkdir(parents=True)
                noise = os.urandom(86000)
            (part / f"d{number // 500:03d}/f{number:05d}").write_bytes(
                number.to_bytes(8, "little") + noise)
        part.rename(folder)
        return folder

    def bench_publish_memory(self):
        """Peak memory of a streamed publish: an 8 GiB volume with 4 GiB of data in 50,000 files."""
        spec = self.work / "publish.yaml"
        spec.write_text(f"""\
name: bench-publish
version: "{time.time_ns()}"
architecture: x86_64
epoch: 1735689600
root:
  - directory: {{path: "{self.data_folder()}", owner: root}}
disks:
  - device: /dev/xvda
    size: 8G
    table: gpt
    partitions:
      - {{name: root, type: root, filesystem: ext4, mount: /, size: rest}}
ami: {{name: "{{name}}-{{version}}"}}
""")
        server, endpoint, region = self.serve()
        try:
            run = Run([self.amiwright, "publish", spec, "--endpoint-url", endpoint, "-q"],
                      env=self.region_env(region))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            shutil.rmtree(region)
        budget = 128 * 2**20 + 250 * 50000
        print("\n## Publish, streamed: 8 GiB volume, 4 GiB of data, 50,000 files\n")
        print("| peak RSS MiB | budget MiB | client CPU s | wall s |\n|---|---|---|---|")
        print(f"| {run.rss / 2**20:.0f} | {budget / 2**20:.0f} | {run.cpu:.1f} | {run.wall:.1f} |")

    def vmdk_image(self):
        """A raw image of 4 GiB with about 1.4 GiB of data: the Debian tree three times, on ext4."""
        image = self.work / "vmdk.raw"
        if image.exists():
            return image
        _, folder = self.root()
        tree = self.work / "vmdk-tree"
        shutil.rmtree(tree, ignore_errors=True)
        for name in "abc":
            shutil.copytree(folder, tree / name, symlinks=True)
        spec = self.work / "vmdk.yaml"
        spec.write_text(f"""\
name: bench-vmdk
version: "1"
architecture: x86_64
epoch: 1735689600
root:
  - directory: {{path: "{tree}", owner: root}}
disks:
  - device: /dev/xvda
    size: 4G
    table: gpt
    partitions:
      - {{name: root, type: root, filesystem: ext4, mount: /, size: rest}}
ami: {{name: "{{name}}-{{version}}"}}
""")
        Run([self.amiwright, "build", spec, "-o", image, "-q"])
        shutil.rmtree(tree)
        return image

    def bench_vmdk(self):
        """streamOptimized beside qemu-img: time and size of the files. And back."""
        image = self.vmdk_image()
        ours, theirs, back = (self.work / name for name in ("ours.vmdk", "qemu.vmdk", "back.raw"))
        convert = [self.amiwright, "convert", "-q"]
        results = alternate(self.args.runs, {
            "qemu-img convert": ["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
                                 image, theirs],
            "amiwright convert": [*convert, "--to", "vmdk", image, ours],
        })
        table("streamOptimized VMDK of a Debian image with 1.4 GiB of data", results, "qemu-img convert")
        print(f"\nsize: qemu-img {theirs.stat().st_size / 2**20:.1f} MiB, "
              f"amiwright {ours.stat().st_size / 2**20:.1f} MiB")
        results = alternate(self.args.runs, {
            "qemu-img convert": ["qemu-img", "convert", "-O", "raw", ours, back],
            "amiwright convert": [*convert, "--to", "raw", ours, back],
        }, clean=[back])
        table("and back to raw", results, "qemu-img convert")

    @staticmethod
    def region_env(region):
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return {**env, "AWS_SHARED_CREDENTIALS_FILE": str(region / "credentials"), "AWS_REGION": "us-east-1"}


def forget_blocks(region):
    """The content of the region's snapshots: the disk would fill."""
    for path in region.rglob("*.img"):
        path.chmod(0o600)
        path.write_bytes(b"")


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--objects", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    bench = Bench(args)
    known = {n[6:]: getattr(bench, n) for n in dir(bench) if n.startswith("bench_")}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in args.names or known:
        if name not in known:
            sys.exit(f"unknown benchmark '{name}': there are {', '.join(known)}")
        known[name]()


if __name__ == "__main__":
    main()
