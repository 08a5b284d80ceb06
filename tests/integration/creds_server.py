# SPDX-License-Identifier: Apache-2.0
"""All that gives credentials, on one loopback server: STS, the portal and token service of single sign-on, a container's
endpoint, the instance metadata service; and EC2, which notes who signed. Each holds what it is asked against what its
contract demands, and signatures against botocore's signer. What is wrong is kept in `faults`."""
import json
import os
import pty
import re
import ssl
import threading
import time
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

import botocore.auth
import botocore.awsrequest
import botocore.credentials

STS_NS = "https://sts.amazonaws.com/doc/2011-06-15/"
EC2_NS = "http://ec2.amazonaws.com/doc/2016-11-15/"
ACCOUNT = "111122223333"
IMDS_TOKEN = "imds-session-token-marker"


class Fault(Exception):
    pass


def on_a_terminal(args, env):
    """Runs a program that has a terminal and answers each question for an MFA code: 100000, 100001 ... Its wait status, and
    what was shown before each answer (behind the last one)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(args[0], args, env)
    prompts, shown = [], b""
    try:
        while chunk := os.read(terminal, 1000):
            shown += chunk
            if re.search(rb"MFA code of .*: $", shown):
                os.write(terminal, b"%d\n" % (100000 + len(prompts)))
                prompts.append(shown.decode())
                shown = b""
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(terminal)
    return os.waitpid(pid, 0)[1], prompts


def iso(when):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


class Surroundings:
    """Use as a context manager. keys: access key -> (secret, token or None) that may sign; issue() adds one."""

    def __init__(self, keys=None, lifetime=3600, skew=0, tls=None):
        self.keys = dict(keys or {})
        self.lifetime, self.skew = lifetime, skew
        self.faults, self.seen = [], []  # seen: (what, details)
        self.lock = threading.Lock()
        self.issued = 0
        # What tests change.
        self.imds = {"v1": False, "v2": True, "role": "the-role", "zone": "eu-west-3b", "token_status": 200}
        self.container = {"token": None, "fail": 0}
        self.web_token = None
        self.sso = {"access": "sso-access-token-marker", "refresh": "sso-refresh-token-marker"}
        self.sts_fail = 0
        self.echo = False  # refuse everything and say all that was sent, as a careless service might
        surroundings = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *args):
                pass

            def date_time_string(self, timestamp=None):
                return formatdate(time.time() + surroundings.skew, usegmt=True)

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    status, headers, answer = surroundings.answer(self.command, self.path, self.headers, body)
                except Fault as fault:
                    with surroundings.lock:
                        surroundings.faults.append(f"{self.command} {self.path}: {fault}")
                    status, headers, answer = 400, {}, b"fault"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = handle_one

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.url = f"https://localhost:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.http.shutdown()
        self.http.server_close()

    def now(self):
        return time.time() + self.skew

    def note(self, what, **details):
        with self.lock:
            self.seen.append((what, details))

    def calls(self, what):
        return [details for name, details in self.seen if name == what]

    def issue(self, kind):
        """New credentials: they may sign until their end."""
        with self.lock:
            self.issued += 1
            key = f"AKID{kind.upper()}{self.issued}"
            self.keys[key] = (f"secret-marker/{kind}+{self.issued}", f"token-marker/{kind}={self.issued}",
                              self.now() + self.lifetime)
            return key, *self.keys[key]

    def signer(self, service, method, target, headers, body):
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                             r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", headers.get("Authorization", ""))
        if not match:
            raise Fault(f"Authorization is malformed: {headers.get('Authorization')}")
        key, _date, region, name, signed, signature = match.groups()
        if name != service or key not in self.keys:
            raise Fault(f"scope is {key} {name}")
        secret, token = self.keys[key][:2]
        if headers.get("X-Amz-Security-Token") != token:
            raise Fault(f"{key} comes with token {headers.get('X-Amz-Security-Token')}")
        request = botocore.awsrequest.AWSRequest(method=method, url=self.url + target, data=body)
        for header in signed.split(";"):
            request.headers[header] = headers[header]
        if token and "x-amz-security-token" not in signed:
            raise Fault("the token is not signed")
        request.context["timestamp"] = headers["X-Amz-Date"]
        auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret), service, region)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        if auth.signature(text, request) != signature:
            raise Fault(f"signature of {key} differs")
        return key, region

    def is_past(self, key):
        known = self.keys[key]
        return len(known) > 2 and self.now() >= known[2]

    def answer(self, method, target, headers, body):
        path = urllib.parse.urlsplit(target).path
        said = "; ".join([target, *headers.values(), urllib.parse.unquote(body.decode())])
        if self.echo and method == "POST" and path == "/":
            outer = "ErrorResponse" if "2011-06-15" in body.decode() else "Response><Errors"
            inner = "ErrorResponse" if outer == "ErrorResponse" else "Errors></Response"
            return 403, {}, (f"<{outer}><Error><Code>Denied</Code><Message>{escape(said)}</Message></Error>"
                             f"</{inner}>").encode()
        if self.echo:
            return 403, {"x-amzn-ErrorType": "Denied"}, json.dumps({"message": said}).encode()
        if path == "/latest/api/token" or path.startswith("/latest/meta-data/"):
            return self.answer_imds(method, path, headers)
        if path == "/federation/credentials":
            return self.answer_portal(method, target, headers)
        if path == "/token":
            return self.answer_oidc(method, headers, body)
        if path == "/container/creds":
            return self.answer_container(headers)
        if method == "POST" and path == "/":
            form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
            if form.get("Version") == "2011-06-15":
                return self.answer_sts(method, target, headers, body, form)
            return self.answer_ec2(method, target, headers, body, form)
        raise Fault("nobody lives here")

    # STS

    def answer_sts(self, method, target, headers, body, form):
        action = form["Action"]
        if self.sts_fail:
            self.sts_fail -= 1
            return 503, {}, b""
        if action == "AssumeRoleWithWebIdentity":
            if "Authorization" in headers:
                raise Fault("AssumeRoleWithWebIdentity is signed")
            if form.pop("WebIdentityToken") != self.web_token:
                raise Fault("another web identity token")
            self.note("web", **form)
        else:
            key, region = self.signer("sts", method, target, headers, body)
            if abs(self.now() - time.mktime(time.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")) + time.timezone) > 300:
                return self.error(403, "SignatureDoesNotMatch", "Signature expired: it is old")
            if self.is_past(key):
                return self.error(403, "ExpiredToken", "The security token included in the request is expired")
            self.note("sts", by=key, region=region, **form)
        if not re.fullmatch(r"[\w+=,.@-]{2,64}", form["RoleSessionName"]) or not form["RoleArn"].startswith("arn:aws:iam::"):
            raise Fault(f"{form}")
        key, secret, token, end = self.issue(form["RoleArn"].rsplit("/")[-1])
        return 200, {"Content-Type": "text/xml"}, (
            f'<{action}Response xmlns="{STS_NS}"><{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId>'
            f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
            f"<Expiration>{iso(end)}</Expiration></Credentials></{action}Result></{action}Response>").encode()

    @staticmethod
    def error(status, code, message):
        return status, {}, (f'<ErrorResponse xmlns="{STS_NS}"><Error><Type>Sender</Type><Code>{code}</Code><Message>'
                            f"{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>").encode()

    # EC2: notes who signed

    def answer_ec2(self, method, target, headers, body, form):
        key, region = self.signer("ec2", method, target, headers, body)
        self.note("ec2", by=key, region=region, host=headers["Host"])
        if self.is_past(key):
            return 400, {}, (b"<Response><Errors><Error><Code>RequestExpired</Code><Message>Request has expired."
                             b"</Message></Error></Errors><RequestID>r-1</RequestID></Response>")
        return 200, {}, (f'<{form["Action"]}Response xmlns="{EC2_NS}"><requestId>r</requestId><imagesSet/>'
                         f'</{form["Action"]}Response>').encode()

    # single sign-on

    def answer_portal(self, method, target, headers):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
        if method != "GET" or "Authorization" in headers:
            raise Fault("GetRoleCredentials is an unsigned GET")
        if headers.get("x-amz-sso_bearer_token") != self.sso["access"]:
            return 401, {"x-amzn-ErrorType": "UnauthorizedException"}, b'{"message":"Session token not found or invalid"}'
        self.note("portal", **query)
        key, secret, token, end = self.issue("sso")
        return 200, {}, json.dumps({"roleCredentials": {
            "accessKeyId": key, "secretAccessKey": secret, "sessionToken": token,
            "expiration": int(end * 1000)}}).encode()

    def answer_oidc(self, method, headers, body):
        form = json.loads(body)
        if method != "POST" or "Authorization" in headers or \
                headers.get("Content-Type", "").split(";")[0] not in ("application/json", "application/x-amz-json-1.1"):
            raise Fault(f"CreateToken is an unsigned POST of JSON, not {headers.get('Content-Type')}")
        if set(form) != {"clientId", "clientSecret", "grantType", "refreshToken"} or form["grantType"] != "refresh_token":
            raise Fault(f"CreateToken: {sorted(form)}")
        if form["refreshToken"] != self.sso["refresh"]:
            return 400, {"x-amzn-ErrorType": "InvalidGrantException"}, b'{"error":"invalid_grant","error_description":"no"}'
        self.sso = {"access": "sso-renewed-token-marker", "refresh": "sso-next-refresh-marker"}
        self.note("oidc", client=form["clientId"])
        return 200, {}, json.dumps({"accessToken": self.sso["access"], "expiresIn": 28800, "tokenType": "Bearer",
                                    "refreshToken": self.sso["refresh"]}).encode()

    # container

    def answer_container(self, headers):
        if self.container["fail"]:
            self.container["fail"] -= 1
            return 500, {}, b"oops"
        if headers.get("Authorization") != self.container["token"]:
            return 401, {}, b'{"message":"who are you"}'
        self.note("container")
        key, secret, token, end = self.issue("container")
        return 200, {}, json.dumps({"AccessKeyId": key, "SecretAccessKey": secret, "Token": token,
                                    "Expiration": iso(end), "RoleArn": "arn"}).encode()

    # instance metadata

    def answer_imds(self, method, path, headers):
        if path == "/latest/api/token":
            if method != "PUT" or not headers.get("x-aws-ec2-metadata-token-ttl-seconds", "").isdigit():
                raise Fault("a session token is asked for by PUT, with its lifetime")
            self.note("imds-token")
            if not self.imds["v2"]:
                return 404, {}, b""
            return self.imds["token_status"], {}, IMDS_TOKEN.encode()
        token = headers.get("x-aws-ec2-metadata-token")
        if token is None and not self.imds["v1"] or token is not None and token != IMDS_TOKEN:
            return 401, {}, b""
        self.note("imds", path=path, v1=token is None)
        if path == "/latest/meta-data/placement/availability-zone/":
            return 200, {}, self.imds["zone"].encode()
        base = "/latest/meta-data/iam/security-credentials/"
        if path == base:
            return (200, {}, (self.imds["role"] + "\n").encode()) if self.imds["role"] else (404, {}, b"")
        if path != base + (self.imds["role"] or ""):
            raise Fault("no such role")
        key, secret, token, end = self.issue("imds")
        return 200, {}, json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": secret,
                                    "Token": token, "Expiration": iso(end), "LastUpdated": iso(self.now())}).encode()
