# SPDX-License-Identifier: Apache-2.0
"""boto3 of whatever Python runs this, driven over lines of JSON as js/driver.mjs is."""
import base64
import datetime
import json
import sys

import boto3
import botocore.exceptions
import botocore.response
from botocore import xform_name

CLIENTS = {}


def client_of(call):
    key = json.dumps([call[k] for k in ("service", "region", "endpoint", "keys")])
    if key not in CLIENTS:
        keys = dict(zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), call["keys"]))
        CLIENTS[key] = boto3.client(call["service"], region_name=call["region"], endpoint_url=call["endpoint"], **keys)
    return CLIENTS[key]


def decoded(value):
    if isinstance(value, dict):
        if "base64" in value:
            return base64.b64decode(value["base64"])
        return {k: decoded(v) for k, v in value.items()}
    return [decoded(v) for v in value] if isinstance(value, list) else value


def encoded(value):
    if isinstance(value, botocore.response.StreamingBody):
        value = value.read()
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {k: encoded(v) for k, v in value.items() if k != "ResponseMetadata"}
    return [encoded(v) for v in value] if isinstance(value, list) else value


def run(call):
    client, operation, params = client_of(call), call["operation"], decoded(call["params"])
    if operation.startswith("wait:"):
        waiter = client.get_waiter(xform_name(operation[5:]))
        waiter.wait(**params, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        return {"state": "SUCCESS"}
    method = getattr(client, xform_name(operation), None)
    return encoded(method(**params)) if method else {"unknown": True}


for line in sys.stdin:
    try:
        answer = {"value": run(json.loads(line))}
    except botocore.exceptions.ClientError as e:
        answer = {"error": {"code": e.response["Error"]["Code"], "message": e.response["Error"]["Message"],
                            "status": e.response["ResponseMetadata"]["HTTPStatusCode"],
                            "reason": e.response.get("Reason")}}
    except botocore.exceptions.ParamValidationError as e:
        answer = {"error": {"code": "ParamValidation", "message": str(e), "status": 0, "reason": None}}
    print(json.dumps(answer), flush=True)
