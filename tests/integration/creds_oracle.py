# SPDX-License-Identifier: Apache-2.0
"""What botocore makes of an environment: credentials, region and EC2's endpoint. Run as a program, it answers questions
(a line of JSON in, one out), for loading botocore and its models takes longer than all else. With "url", STS and single
sign-on are there, for versions that the environment cannot tell."""
import json
import os
import sys

import botocore.credentials
import botocore.loaders
import botocore.session
import botocore.tokens
from botocore.exceptions import BotoCoreError, ClientError

LOADER = botocore.loaders.Loader()


class Session(botocore.session.Session):
    url = None

    def create_client(self, service_name, *args, **kwargs):
        if service_name in ("sts", "sso", "sso-oidc") and self.url:
            kwargs["endpoint_url"] = self.url
        return super().create_client(service_name, *args, **kwargs)


def ec2_endpoint(session):
    client = session.create_client("ec2")
    if not hasattr(client, "_ruleset_resolver"):
        return client.meta.endpoint_url
    operation = client.meta.service_model.operation_model("DescribeImages")
    return client._ruleset_resolver.construct_endpoint(operation, {}, {}).url


def answer(question):
    os.environ.clear()
    os.environ.update(question["env"])
    # These were made when the modules were loaded, for another home.
    cache = os.path.expanduser(os.path.join("~", ".aws", "sso", "cache"))
    botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR = cache
    botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR = cache
    session = Session(profile=question["profile"])
    session.register_component("data_loader", LOADER)
    session.url = question["url"]
    try:
        found = session.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
        region = session.get_config_variable("region")
        endpoint = ec2_endpoint(session) if region and frozen else None
    except (BotoCoreError, ClientError, ValueError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"key": frozen and frozen.access_key, "secret": frozen and frozen.secret_key,
            "token": frozen and frozen.token, "region": region, "endpoint": endpoint, "version": botocore.__version__}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
