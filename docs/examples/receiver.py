"""A recipient of data-subject requests, whole and in the standard library: copy it and put your own store in.

    python receiver.py --port 8080 --secret whsec_… --holdings holdings.json [--later]

`holdings.json` holds lists of records by collection. Each message is checked (signature, age), done once
however often it comes, and answered at once; with `--later` it is accepted and answered by a callback.
"""

import argparse
import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOLERANCE = 300  # seconds that a message may be old
PAGE = 500  # records of a page: a page has at most 1 MiB


def signature(secret: str, name: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `id.timestamp.body`, as https://www.standardwebhooks.com has it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def is_genuine(secret: str, headers: Any, body: bytes) -> bool:
    """Whether a message was signed by whoever shares the secret, and lately."""
    name, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    right = signature(secret, name, timestamp, body)
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(right.encode(), one.encode()) for one in given)


class Holdings:
    """Your store. Here: a file of lists of records by collection."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what the message asks; the answer, for each collection it names."""
        verb = message["type"].removeprefix("data_subject.")
        with self._lock:
            held = json.loads(self._path.read_text("utf-8"))
            answers = {}
            for asked in message["collections"]:
                records = held.get(asked["name"], [])
                theirs = [r for r in records if self._fits(r, asked["locators"])]
                if verb == "erase":
                    held[asked["name"]] = [r for r in records if r not in theirs]
                said: Any = theirs if verb == "find" else len(theirs)
                word = {"find": "records", "erase": "erased", "remaining": "remaining"}[verb]
                answers[asked["name"]] = {word: said}
            self._path.write_text(json.dumps(held), "utf-8")
        return {"collections": answers}

    @staticmethod
    def _fits(record: dict[str, Any], locators: dict[str, list[Any]]) -> bool:
        return any(record.get(field) in values for field, values in locators.items())


class Receiver(ThreadingHTTPServer):
    """The server. `later`: messages are answered by a callback."""

    daemon_threads = True

    def __init__(self, port: int, secret: str, holdings: Holdings, later: bool = False) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret, self.holdings, self.later = secret, holdings, later
        self.done: dict[str, dict[str, Any]] = {}  # yours outlives a restart
        self._lock = threading.Lock()

    def once(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a message, made once: sent again it is the same."""
        with self._lock:
            if message["id"] not in self.done:
                self.done[message["id"]] = self.holdings.answer(message)
            return self.done[message["id"]]

    def answers_later(self, message: dict[str, Any]) -> bool:  # noqa: ARG002  yours may depend on it
        """Whether this message is answered by a callback."""
        return self.later

    def call_back(self, message: dict[str, Any]) -> None:
        """Send the answer to where the message says, signed with the secret that it brought."""
        for page in pages(self.once(message)):
            body, timestamp = json.dumps(page).encode(), str(int(time.time()))
            to = message["callback"]
            request = urllib.request.Request(to["url"], data=body, method="POST")  # noqa: S310
            request.add_header("Content-Type", "application/json")
            request.add_header("webhook-id", message["id"])
            request.add_header("webhook-timestamp", timestamp)
            signed = signature(to["secret"], message["id"], timestamp, body)
            request.add_header("webhook-signature", signed)
            # Yours tries again where this fails.
            urllib.request.urlopen(request, timeout=20).close()  # noqa: S310


def pages(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer in pages; only records need more than one."""
    records = {name: said.get("records", []) for name, said in answer["collections"].items()}
    longest = max(map(len, records.values()), default=0)
    if longest <= PAGE:
        return [answer]
    begins = range(0, longest, PAGE)
    return [
        {
            "page": number,
            "more": begin + PAGE < longest,
            "collections": {n: {"records": held[begin : begin + PAGE]} for n, held in records.items()},
        }
        for number, begin in enumerate(begins, 1)
    ]


class Handler(BaseHTTPRequestHandler):
    """One message."""

    server: Receiver

    def do_POST(self) -> None:
        """Check it, do it, answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not is_genuine(self.server.secret, self.headers, body):
            return self.reply(401, {"error": "not signed by whom I know, or not lately"})
        message = json.loads(body)
        if self.server.answers_later(message):
            threading.Thread(target=self.server.call_back, args=(message,), daemon=True).start()
            return self.reply(202, {})
        return self.reply(200, self.server.once(message))

    def reply(self, status: int, said: dict[str, Any]) -> None:
        """Answer in JSON."""
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing: a log must not hold what people ask."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--holdings", type=Path, required=True)
    parser.add_argument("--later", action="store_true")
    told = parser.parse_args()
    Receiver(told.port, told.secret, Holdings(told.holdings), told.later).serve_forever()
