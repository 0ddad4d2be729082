"""One POST to an address that somebody else runs, with nothing left to them: where, how long, how much.

The host is resolved here, every address it has must be a public one, and the connection goes to just that
address: a name that answers otherwise the next moment (DNS rebinding) reaches nothing. TLS is checked
against the name. Redirects are not followed, the answer is bounded in bytes and time.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

CONNECT_SECONDS = 5
ANSWER_SECONDS = 20  # for the whole answer, however slowly it drips
_CHUNK = 64 * 1024

Resolve = Callable[[str, int], list[str]]


class Unsafe(Exception):
    """An address that is not called; the text says why, without the address."""


class Unreachable(Exception):
    """Nobody answered, or not in time: trying again may help."""


class TooMuch(Exception):
    """The answer is longer than what is taken."""


@dataclass(frozen=True)
class Posted:
    """The answer."""

    status: int
    body: bytes
    retry_after: int = 0  # seconds, if the answer asks for it


def resolve(host: str, port: int) -> list[str]:
    """Every address of the host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address may be called: one of the internet, and no wrapping of another in it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip in _ASSIGNED or (isinstance(ip, ipaddress.IPv6Address) and _wraps(ip)):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


_ASSIGNED = ipaddress.ip_network("192.0.0.0/24")  # RFC 6890; older Pythons call parts of it global
# IPv6 forms that carry an IPv4 address: NAT64 (RFC 6052, 8215), 6to4, Teredo, and those that are out of use.
_WRAPPED = [
    ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
]


def _wraps(ip: ipaddress.IPv6Address) -> bool:
    return ip.ipv4_mapped is not None or any(ip in net for net in _WRAPPED)


def post(
    url: str,
    headers: dict[str, str],
    body: bytes,
    most: int,
    local: bool = False,
    resolving: Resolve = resolve,
    trusting: ssl.SSLContext | None = None,
) -> Posted:
    """Send `body`, and read at most `most` bytes of the answer.

    `local`: also to private addresses and without TLS, for trying it out on one machine. Raises Unsafe,
    Unreachable, TooMuch.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise Unsafe("only https is called")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    ends_at = time.monotonic() + CONNECT_SECONDS + ANSWER_SECONDS
    connection = _Pinned(host, port, _addresses(host, port, local, resolving))
    if parts.scheme == "https":
        connection.tls = trusting or ssl.create_default_context()
    # A socket's own timeout counts from byte to byte: who drips is cut off by the clock.
    clock = threading.Timer(ends_at - time.monotonic(), connection.cut)
    clock.daemon = True
    clock.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        content = b"".join(_read(answer, most))
        if time.monotonic() >= ends_at:
            raise TimeoutError
        return Posted(answer.status, content, _seconds(answer.getheader("Retry-After", "")))
    except ssl.SSLCertVerificationError:
        raise Unsafe("its certificate does not hold") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(type(error).__name__) from None
    finally:
        clock.cancel()
        connection.close()


def _addresses(host: str, port: int, local: bool, resolving: Resolve) -> list[str]:
    try:
        found = resolving(host, port)
    except (OSError, UnicodeError):
        raise Unreachable("the name is not known") from None
    if not found:
        raise Unreachable("the name is not known")
    if not local and not all(map(is_public, found)):
        raise Unsafe("its address is not one of the internet")
    return found


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked, whatever the name says by now."""

    tls: ssl.SSLContext | None = None

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self._addresses = addresses
        self._live: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the first address that lets us."""
        *others, last = self._addresses
        for address in others:
            try:
                self._connect_to(address)
            except OSError:
                continue
            return
        self._connect_to(last)

    def _connect_to(self, address: str) -> None:
        made = socket.create_connection((address, self.port), CONNECT_SECONDS)
        try:
            self.sock = self.tls.wrap_socket(made, server_hostname=self.host) if self.tls else made
        except OSError:
            made.close()
            raise
        self.sock.settimeout(ANSWER_SECONDS)
        self._live = self.sock

    def cut(self) -> None:
        """End it now, whoever reads."""
        if self._live:
            with suppress(OSError):  # it has ended by itself
                self._live.shutdown(socket.SHUT_RDWR)


def _read(answer: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
    size = 0
    while chunk := answer.read1(_CHUNK):
        size += len(chunk)
        if size > most:
            raise TooMuch(f"more than {most} bytes")
        yield chunk
    if answer.length:
        raise http.client.IncompleteRead(b"")


def _seconds(header: str | None) -> int:
    return int(header) if header and header.isascii() and header.isdigit() and len(header) < 6 else 0
