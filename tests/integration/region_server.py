# SPDX-License-Identifier: Apache-2.0
"""The local region as a process of its own, for foreign clients. REGION_SERVER names another program to run it
(DIR is put behind it); otherwise it is `amiwright serve`."""
import configparser
import json
import os
import shlex
import signal
import socket
import subprocess
import time

import boto3
import botocore.config


class RegionServer:
    def __init__(self, folder, *options):
        self.folder = folder
        self.options = options
        self.process = None

    def start(self):
        command = os.environ.get("REGION_SERVER") or shlex.quote(os.environ["AMIWRIGHT"]) + " serve"
        self.log = open(f"{self.folder}.log", "ab")
        self.process = subprocess.Popen([*shlex.split(command), str(self.folder), *self.options],
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

    def profile(self, name="default"):
        ini = configparser.ConfigParser()
        ini.read(self.folder / "credentials")
        return ini[name]

    def credentials(self, profile="default"):
        section = self.profile(profile)
        return section["aws_access_key_id"], section["aws_secret_access_key"]

    def account(self, profile="default"):
        return self.profile(profile)["aws_account_id"]

    def organization(self):
        """ARNs of the organization and of its unit (which the first account is not in)."""
        arns = json.loads((self.folder / "organizations.json").read_text())
        return sorted(arns, key=lambda arn: ":ou/" in arn)

    def client(self, service, profile="default", region="us-east-1", keys=None, **config):
        """A boto3 client of that account in that Region; one attempt, nothing validated before it is sent."""
        access, secret = self.credentials(profile)
        keys = keys or dict(aws_access_key_id=access, aws_secret_access_key=secret)
        return boto3.client(service, endpoint_url=self.endpoint, region_name=region, **keys,
                            config=botocore.config.Config(**{**dict(
                                retries={"total_max_attempts": 1}, parameter_validation=False), **config}))

    def content(self, snapshot, region="us-east-1", ext="img"):
        return self.folder / "regions" / region / "snapshots" / f"{snapshot}.{ext}"

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
