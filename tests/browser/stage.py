"""The public pages on a port of this machine, over moto: to look at them and to drive them in Chromium.

No API Gateway here: this only turns HTTP into the proxy events that it would send, on the host name
that a local cloud has, so that the browser's rules for cookies and forms are those of the real thing.
Other hosts of the same server play the company's sign-in page and the bucket.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from unittest import mock
from urllib.parse import parse_qs, quote, urlsplit

import boto3

from dsr.requests import Requests
from tests.unit.front import REGION, Front, front_door_open, proxy_event
from tests.unit.front import Page as Answered

HOST = "abc123.execute-api.localhost"
BUCKET = "bucket.localhost"
ACCOUNT = "sub-of-the-account"


@contextmanager
def stage(**environment: str) -> Iterator[tuple[Front, str]]:
    """The front door and the address of its pages."""
    with front_door_open(**environment) as front:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(front, threading.Lock()))
        port = server.server_port
        base = f"http://{HOST}:{port}/prod"
        ssm = boto3.client("ssm", region_name=REGION)
        sign_in = {"domain": f"http://localhost:{port}", "client_id": "client", "issuer": "issuer"}
        for name, value in (("public-url", base), ("member-sign-in", json.dumps(sign_in))):
            ssm.put_parameter(Name=f"/dsr/{name}", Value=value, Type="String", Overwrite=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def link(_: Requests, key: str, **more: str) -> str:
            disposition = quote(more.get("ResponseContentDisposition", ""))
            return f"http://{BUCKET}:{port}/{key}?response-content-disposition={disposition}"

        try:
            with mock.patch.object(Requests, "_link", link):
                yield front, base
        finally:
            server.shutdown()
            server.server_close()


def token_of(claims: dict[str, Any]) -> str:
    """The ID token of somebody who signs in just now."""
    at = int(time.time())
    said = {"iss": "issuer", "aud": "client", "sub": ACCOUNT, "iat": at, "exp": at + 60, "auth_time": at}
    return f"x.{base64.urlsafe_b64encode(json.dumps(said | claims).encode()).decode().rstrip('=')}.x"


class Answering(Protocol):
    """The function behind the pages."""

    def answer(self, event: dict[str, Any]) -> Answered:
        """What it says."""


def handler_of(
    front: Answering, lock: threading.Lock, claims_too: dict[str, Any] | None = None
) -> type[BaseHTTPRequestHandler]:
    """A server's handler. `claims_too`: what the token of who signs in says beside the usual."""
    nonces: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode() or None
            split = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(split.query).items()}
            if split.path == "/oauth2/authorize":
                nonces["newest"] = query["nonce"]
                back = f"{query['redirect_uri']}?code=the-code&state={query['state']}"
                self._write(200, f'<title>Log in</title><a id="in" href="{back}">Log in</a>', {})
            elif split.path == "/oauth2/token":
                token = token_of({"nonce": nonces["newest"], **(claims_too or {})})
                self._write(200, json.dumps({"id_token": token}), {})
            elif split.path == "/logout":
                self._write(302, "", {"Location": query["logout_uri"]})
            elif self.headers["Host"].startswith(BUCKET):
                named = {"Content-Disposition": query["response-content-disposition"]}
                self._write(200, "the bundle", named | {"Content-Type": "application/zip"})
            else:
                self._page(split.path.removeprefix("/prod") or "/", query, body)

        do_POST = do_GET  # noqa: N815  the name that the base class calls

        def _page(self, path: str, query: dict[str, str], body: str | None) -> None:
            event = proxy_event(self.command, path, query or None, None, dict(self.headers), "127.0.0.1")
            # Our own calls to /oauth2/token come in meanwhile, so only the function itself is locked.
            with lock:
                page = front.answer(event | {"body": body})
            self._write(page.status, page.body, page.headers, page.cookies)

        def _write(
            self, status: int, body: str, headers: dict[str, str], cookies: list[str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "text/html", **headers}.items():
                self.send_header(name, value)
            for cookie in cookies or []:
                self.send_header("Set-Cookie", cookie)
            content = body.encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    return Handler
