# SPDX-License-Identifier: Apache-2.0
"""A proxy between a client and a server over HTTP, for what watches calls or disturbs them."""
import http.client
import http.server
import threading


class PassOn(threading.Thread):
    """Passes everything on; handle() is there to be overridden. `with` runs it."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.host = endpoint.removeprefix("http://")
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = proxy.handle(self.command, self.path, self.headers, body)
                if not answer:
                    return
                status, headers, content = answer
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def handle(self, method, path, headers, body):
        """Status, headers and content of the answer; None: no answer."""
        return self.forward(method, path, headers, body)

    def forward(self, method, path, headers, body):
        upstream = http.client.HTTPConnection(self.host)
        upstream.request(method, path, body, dict(headers))
        response = upstream.getresponse()
        content = response.read()
        kept = [(k, v) for k, v in response.getheaders() if k.lower() not in ("connection", "transfer-encoding")]
        if not response.getheader("Content-Length"):
            kept.append(("Content-Length", len(content)))
        return response.status, kept, content

    def run(self):
        self.server.serve_forever()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
