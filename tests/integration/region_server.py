# SPDX-License-Identifier: Apache-2.0
"""The local region as a process of its own, for foreign clients. REGION_SERVER names another program to run it
(DIR is put behind it); otherwise it is `amiwright serve`."""
import configparser
import os
import shlex
import signal
import socket
import subprocess
import time


class RegionServer:
    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self):
        command = os.environ.get("REGION_SERVER") or shlex.quote(os.environ["AMIWRIGHT"]) + " serve"
        self.log = open(f"{self.folder}.log", "ab")
        self.process = subprocess.Popen([*shlex.split(command), str(self.folder)],
                                        stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(500):
            if (self.folder / "endpoint").exists() and self._answers():
                return self
            assert self.process.poll() is None, "the server ended at once"
            time.sleep(0.02)
        raise AssertionError("the server does not say where it is")

    def _answers(self):
        """A killed server leaves its endpoint behind: only one that can be reached counts."""
        host, port = self.endpoint.removeprefix("http://").split(":")
        with socket.socket() as s:
            return s.connect_ex((host, int(port))) == 0

    @property
    def endpoint(self):
        return (self.folder / "endpoint").read_text().strip()

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.process.send_signal(sig)
            self.process.wait(30)
            self.process = None
            self.log.close()

    def credentials(self):
        ini = configparser.ConfigParser()
        ini.read(self.folder / "credentials")
        return ini["default"]["aws_access_key_id"], ini["default"]["aws_secret_access_key"]

    def env(self):
        """Environment for AWS clients: this region, one attempt, nothing of the user's."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        env.update(AWS_SHARED_CREDENTIALS_FILE=str(self.folder / "credentials"),
                   AWS_CONFIG_FILE="/dev/null", AWS_DEFAULT_REGION="us-east-1",
                   AWS_EC2_METADATA_DISABLED="true", AWS_MAX_ATTEMPTS="1", AWS_PAGER="")
        return env

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
