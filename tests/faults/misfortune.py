"""Between the deployed functions and what they call: some calls, chosen by a seed, fail in a chosen way.

A function is led to a proxy in front of AWS by its own environment, the database by its secret; no line of
the product knows of it. All attempts of one call fail alike (the SDK would mend it by itself), so that
the workflow's own retry is what is tried.
"""

import http.client
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil

from tests.matrix.gremlin import AFTER, Way

_KILLS = (Way.KILLED_BEFORE, Way.KILLED_AFTER)
_DATABASE = (Way.LOST_BEFORE, Way.LOST_AFTER, *_KILLS)  # a database has no word for the other two


class Dice:
    """Says which calls fail: about one of `every`, the same for the same seed, until `most` have failed."""

    def __init__(self, seed: int, every: int, most: int) -> None:
        self._seed, self._every, self._most = seed, every, most
        self._made: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.struck: list[str] = []

    def throw(self, function: str, call: str, ways: tuple[Way, ...]) -> Way | None:
        """How the next call of a function fails; None: it does not."""
        with self._lock:
            self._made[function] += 1
            chance = random.Random(f"{self._seed} {function} {self._made[function]}")
            if len(self.struck) >= self._most or chance.random() * self._every >= 1:
                return None
            way = chance.choice(ways)
            self.struck.append(f"{function} {call}: {way}")
            return way

    @property
    def made(self) -> int:
        """Calls made so far."""
        return self._made.total()


def kill_owner(port: int) -> None:
    """Kill the process that has a connection from this port, which is a function's worker."""
    for connection in psutil.net_connections("tcp4"):
        if connection.laddr.port == port and connection.pid:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(connection.pid).kill()
            return
    raise AssertionError(f"nobody has port {port}")


class _Server(ThreadingHTTPServer):
    """Stands before AWS for one function."""

    daemon_threads = True

    def __init__(self, function: str, cloud: int, dice: Dice) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.function, self.cloud, self.dice = function, cloud, dice
        self.fates: dict[str, Way] = {}  # of calls that the SDK tries again, by its id for the call


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def pass_on(self) -> None:
        """One request: answered, or not."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        way = self._fate(body)
        if way in (Way.THROTTLED, Way.BROKEN):
            self._refuse(way)
            return
        answer = self._ask(body) if way is None or way in AFTER else None
        if way in _KILLS:
            kill_owner(self.client_address[1])
        if way or answer is None:
            self.close_connection = True  # without an answer
            return
        self._answer(answer.status, dict(answer.getheaders()), answer.read())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self.pass_on
        raise AttributeError(name)

    def _fate(self, body: bytes) -> Way | None:
        server, call = self.server, self.headers.get("amz-sdk-invocation-id", "")
        way = server.fates.get(call) or server.dice.throw(server.function, self._name(body), tuple(Way))
        if way:
            server.fates[call] = way
        return way

    def _name(self, body: bytes) -> str:
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        if body.startswith(b"Action="):
            return body[7:40].split(b"&")[0].decode()
        return f"{self.command} s3"

    def _ask(self, body: bytes) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.cloud)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "connection")}
        connection.request(self.command, self.path, body, kept | {"Connection": "close"})
        return connection.getresponse()

    def _refuse(self, way: Way) -> None:
        throttled = way is Way.THROTTLED
        if self.headers.get("X-Amz-Target"):
            code = "ThrottlingException" if throttled else "InternalFailure"
            self._answer(400 if throttled else 500, {}, f'{{"__type": "{code}"}}'.encode())
        else:
            code = "SlowDown" if throttled else "InternalError"
            self._answer(503 if throttled else 500, {}, f"<Error><Code>{code}</Code></Error>".encode())

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        told = {name.lower(): value for name, value in headers.items()}
        length = told.get("content-length") if self.command == "HEAD" else None
        for name in ("transfer-encoding", "connection", "content-length"):
            told.pop(name, None)
        for name, value in told.items():
            self.send_header(name, value)
        self.send_header("content-length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""


@contextmanager
def before_aws(function: str, cloud: int, dice: Dice) -> Iterator[str]:
    """A proxy between one function and the cloud on that port: yields its address."""
    with _Server(function, cloud, dice) as server, ExitStack() as stack:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.shutdown)
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def before_database(port: int, dice: Dice) -> Iterator[int]:
    """A proxy between the SQL worker and the database on that port: yields its own port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, port, dice), daemon=True).start()
        yield listening.getsockname()[1]


def _accept(listening: socket.socket, port: int, dice: Dice) -> None:
    with suppress(OSError):  # closed
        while True:
            worker, (_, worker_port) = listening.accept()
            talk = _Talk(worker, worker_port, socket.create_connection(("127.0.0.1", port)), dice)
            for side in (talk.ask, talk.tell):
                threading.Thread(target=side, daemon=True).start()


class _Talk:
    """One connection of a worker to the database."""

    def __init__(self, worker: socket.socket, port: int, database: socket.socket, dice: Dice) -> None:
        self._worker, self._port, self._database, self._dice = worker, port, database, dice
        self._doomed, self._answered = threading.Event(), threading.Event()

    def ask(self) -> None:
        """What the worker says to the database: a call is what it sends at once."""
        with suppress(OSError):
            while said := self._worker.recv(1 << 16):
                way = self._dice.throw("store-sql", "statement", _DATABASE)
                if way in AFTER:
                    self._doomed.set()
                    self._database.sendall(said)
                    self._answered.wait(10)
                if way in _KILLS:
                    kill_owner(self._port)
                if way:
                    break
                self._database.sendall(said)
        self._close()

    def tell(self) -> None:
        """What the database answers, unless nobody is to hear it."""
        with suppress(OSError):
            while said := self._database.recv(1 << 16):
                if self._doomed.is_set():
                    self._answered.set()
                else:
                    self._worker.sendall(said)
        self._close()

    def _close(self) -> None:
        for side in (self._worker, self._database):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
