"""Calling an address that somebody else runs: hostile servers, real sockets."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dsr import posting
from dsr.posting import Posted, TooMuch, Unreachable, Unsafe, is_public, post

Talk = Callable[[socket.socket], None]
MOST = 1000


@contextmanager
def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that reads one request and then does `talk`; gives its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    if tls:
                        connection = tls.wrap_socket(connection, server_side=True)
                    connection.recv(65536)
                    talk(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


def says(text: str) -> Talk:
    return lambda connection: connection.sendall(text.encode())


def sent(port: int, scheme: str = "http", host: str = "127.0.0.1", **more: object) -> Posted:
    return post(f"{scheme}://{host}:{port}/x?y=1", {"a": "b"}, b"{}", MOST, True, **more)  # type: ignore[arg-type]


OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_an_answer_is_read_to_its_end() -> None:
    seen: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    with serving(talk) as port:
        assert sent(port) == Posted(503, b"abcde", 7)
    assert seen == []


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    reached: list[bool] = []
    with serving(lambda _: reached.append(True)) as inside:
        away = f"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{inside}/\r\nContent-Length: 0\r\n\r\n"
        with serving(says(away)) as port:
            assert sent(port).status == 307
    assert reached == []


LENGTHS = [f"Content-Length: {MOST + 1}", "Connection: close", "Transfer-Encoding: chunked"]
DRIPPING = ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", ""]


@pytest.mark.parametrize(
    "head", [f"Content-Length: {MOST + 1}", "Connection: close", "Transfer-Encoding: chunked"]
)
def test_more_than_is_taken_is_refused(head: str) -> None:
    body = "x" * (MOST + 1)
    body = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n" if "chunked" in head else body
    with serving(says(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")) as port, pytest.raises(TooMuch):
        sent(port)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "not http at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 200 + "\r\n",
    ],
)
def test_half_an_answer_is_none(said: str) -> None:
    with serving(says(said)) as port, pytest.raises(Unreachable):
        sent(port)


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", ""]
)
def test_who_drips_is_cut_off_by_the_clock(monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    monkeypatch.setattr(posting, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.3)
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(head.encode())
        while not done.wait(0.05):
            connection.sendall(b"x")

    with serving(drip) as port:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            sent(port)
        assert time.monotonic() - began < 3
        done.set()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable):
        sent(port)
    for unknown in (lambda *_: [], lambda *_: (_ for _ in ()).throw(socket.gaierror())):
        with pytest.raises(Unreachable, match="not known"):
            sent(port, resolving=unknown)


# -- where ---------------------------------------------------------------------------------------------

INSIDE = [
    *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.0.0.8"),  # noqa: S104
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:1::",
        "::7f00:1",
    ),
]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_no_address_of_the_internet_is_never_called(address: str) -> None:
    assert not is_public(address)
    for found in ([address], ["93.184.215.14", address]):
        with pytest.raises(Unsafe, match="not one of the internet"):
            post("https://mail.example/", {}, b"", MOST, resolving=lambda *_, f=found: f)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_the_internet_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "[::1]"])
def test_other_spellings_of_this_machine_are_seen_through(host: str) -> None:
    with pytest.raises((Unsafe, Unreachable)):
        post(f"https://{host}/", {}, b"", MOST)


def test_plain_http_needs_leave() -> None:
    with pytest.raises(Unsafe, match="only https"):
        post("http://mail.example/", {}, b"", MOST, resolving=lambda *_: ["93.184.215.14"])
    with pytest.raises(Unsafe, match="only https"):
        post("file:///etc/passwd", {}, b"", MOST, True)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers otherwise the next moment reaches nothing: it is not asked again."""
    called: list[tuple[str, int]] = []

    def connect(to: tuple[str, int], _: float) -> socket.socket:
        called.append(to)
        raise ConnectionRefusedError

    monkeypatch.setattr(posting.socket, "create_connection", connect)
    monkeypatch.setattr(posting.socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked again"))
    with pytest.raises(Unreachable):
        post("https://mail.example/", {}, b"", MOST, resolving=lambda *_: ["93.184.215.14", "8.8.8.8"])
    assert called == [("93.184.215.14", 443), ("8.8.8.8", 443)]


# -- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `mail.example`, by nobody whom anybody trusts; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


def test_a_certificate_must_hold_for_the_name(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    here = {"resolving": lambda *_: ["127.0.0.1"]}
    with serving(says(OK), server) as port:
        assert sent(port, "https", "mail.example", trusting=trusting, **here).body == b"ok"
        for host, context in (("mail.example", None), ("other.example", trusting)):
            with pytest.raises(Unsafe, match="certificate"):
                sent(port, "https", host, trusting=context, **here)
