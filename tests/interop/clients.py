# SPDX-License-Identifier: Apache-2.0
"""The foreign clients, each behind one method: call(service, "Operation", **params). Members are named as in AWS's
models; bytes are bytes; a refusal is `Refused`; an operation or parameter that an older client does not have is `Unknown`."""
import base64
import json
import os
import re
import subprocess
import tempfile

from botocore import xform_name


class Refused(Exception):
    def __init__(self, code, message, status=None):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Unknown(Exception):
    """This client is older than that."""


def plain(value):
    """For JSON: bytes as {"base64": ...}."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def raw(value):
    if isinstance(value, dict):
        if value.keys() == {"base64"}:
            return base64.b64decode(value["base64"])
        return {k: raw(v) for k, v in value.items()}
    return [raw(v) for v in value] if isinstance(value, list) else value


class Driven:
    """A client in a process of its own that speaks lines of JSON."""

    def __init__(self, server, *command, **settings):
        self.server = server
        env = {**server.env(), "NODE_NO_WARNINGS": "1", **settings}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def call(self, service, operation, profile="default", region="us-east-1", keys=None, **params):
        json.dump(dict(service=service, operation=operation, region=region, endpoint=self.server.endpoint,
                       keys=list(keys or self.server.credentials(profile)), params=plain(params)), self.process.stdin)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            error = answer["error"]
            if error["code"] == "ParamValidation" and "Unknown parameter" in error["message"]:
                raise Unknown(error["message"])
            raise Refused(error["code"], error["message"], error["status"])
        if answer["value"] == {"unknown": True}:
            raise Unknown(operation)
        return raw(answer["value"])

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Command:
    """The aws command. A process a call; options are made of the parameters as a user would write them."""

    def __init__(self, server, path):
        self.server, self.path = server, path

    def options(self, params, folder):
        for name, value in params.items():
            option = "--" + xform_name(name, "-")
            if isinstance(value, bytes):
                path = os.path.join(folder, name)
                with open(path, "wb") as f:
                    f.write(value)
                yield from (option, path)
            elif isinstance(value, bool):
                yield option if value else option.replace("--", "--no-", 1)
            elif isinstance(value, list) and not any(isinstance(v, (dict, list)) for v in value):
                yield from (option, *map(str, value))
            else:
                yield from (option, json.dumps(value) if isinstance(value, (dict, list)) else str(value))

    def call(self, service, operation, profile="default", region="us-east-1", keys=None, **params):
        env = self.server.env()
        if keys:
            env.update(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), keys))
        else:
            env["AWS_PROFILE"] = profile
        words = ["wait", operation[5:]] if operation.startswith("wait:") else [operation]
        with tempfile.TemporaryDirectory() as folder:
            out = [os.path.join(folder, "out")] if operation == "GetSnapshotBlock" else []
            result = subprocess.run(
                [self.path, "--endpoint-url", self.server.endpoint, "--region", region, "--output", "json", service,
                 *(xform_name(w, "-") for w in words), *self.options(params, folder), *out],
                env=env, capture_output=True, text=True)
            if result.returncode:
                self.fail(result.stderr)
            answer = json.loads(result.stdout) if result.stdout.strip() else {}
            if out:
                with open(out[0], "rb") as f:
                    answer["BlockData"] = f.read()
            return answer

    @staticmethod
    def fail(stderr):
        refused = re.search(r"An error occurred \((\S+)\) when calling the \w+ operation[^:]*: (.*)", stderr, re.S)
        if refused:
            raise Refused(refused[1], refused[2].strip())
        if "Unknown options" in stderr or "Invalid choice" in stderr or "invalid choice" in stderr:
            raise Unknown(stderr)
        raise AssertionError(stderr)

    def close(self):
        pass
