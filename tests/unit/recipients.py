"""Recipients as the tests run them: the example receiver as a real server, our API where it calls back."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dsr.signatures import secret_text
from dsr.taking_answers import take_answer
from infra.local.mailing import receiver

SECRET = secret_text(b"shared with the example receiver")


@contextmanager
def receiving(folder: Path, holdings: dict[str, list[dict[str, Any]]]) -> Iterator[Any]:
    """The example receiver on a free port, holding `holdings`."""
    module, path = receiver(), folder / "holdings.json"
    path.write_text(json.dumps(holdings))
    server = module.Receiver(0, SECRET, module.Holdings(path))
    server.path = path
    with running(server):
        yield server


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[int]:
    """The server, served by a thread; gives its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(5)


class Api(BaseHTTPRequestHandler):
    """What API Gateway does between a recipient and `take_answer`."""

    statuses: list[int]

    def do_POST(self) -> None:
        """Pass it on."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        answer = take_answer(
            {
                "pathParameters": {"question": self.path.rpartition("/")[2]},
                "headers": dict(self.headers.items()),
                "body": body,
            }
        )
        self.statuses.append(answer["statusCode"])
        self.send_response(answer["statusCode"])
        self.end_headers()
        self.wfile.write(answer["body"].encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def our_api() -> Iterator[tuple[str, list[int]]]:
    """Our API as recipients see it: its address, and the statuses it has answered with."""
    statuses: list[int] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Ours", (Api,), {"statuses": statuses}))
    with running(server) as port:
        yield f"http://127.0.0.1:{port}", statuses
