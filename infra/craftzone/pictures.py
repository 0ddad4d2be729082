"""Pictures of the sample people: valid PNG files, made again from their key when needed."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import sin, tau
from random import Random

BIG_ARTWORK_BYTES = 300 * 1024 * 1024
BIG_ARTWORK_PART = 15 * 1024 * 1024  # divides the size above evenly, and is above S3's least part of 5 MiB


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def engraving_png(name: str, side: int) -> bytes:
    """A grey square of `side` pixels, waved lines as an engraver cuts them; about side * side bytes.

    Depends on `name` only, which also stands in it as a number: no two names give the same bytes.
    """
    chance = Random(name)
    turns, swing, phase = chance.randint(1, 3), chance.uniform(0.08, 0.3), chance.uniform(0, tau)
    lines, lean = chance.randint(6, 16), chance.choice((-1, 0, 1))
    cut = bytes(round(127.5 + 127.5 * sin(tau * lines * x / side)) for x in range(4 * side))
    starts = (
        int(side * (1.5 + swing * sin(tau * turns * y / side + phase) + lean * y / side)) for y in range(side)
    )
    rows = b"".join(b"\0" + cut[start : start + side] for start in starts)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"tEXt", b"Comment\0" + f"{chance.getrandbits(128):032x}".encode())
        + _chunk(b"IDAT", zlib.compress(rows, 0))
        + _chunk(b"IEND", b"")
    )


@dataclass(frozen=True, slots=True)
class Upload:
    """One S3 object of the sample: `store` is the store of the map it lies in (`pictures` or `artwork`)."""

    store: str
    object_key: str
    seed: int
    side: int

    def content(self) -> bytes:
        """The bytes of the object, the same on every call."""
        return engraving_png(f"{self.seed}/{self.store}/{self.object_key}", self.side)


def big_artwork_parts(seed: int) -> Iterator[bytes]:
    """The 300 MB artwork in parts, so that no one must hold it. No picture: only its size matters."""
    noise = Random(f"{seed}/big").randbytes(BIG_ARTWORK_PART - 8)
    for number in range(BIG_ARTWORK_BYTES // BIG_ARTWORK_PART):
        yield number.to_bytes(8, "big") + noise


def big_artwork_sha256(seed: int) -> str:
    """Hex SHA-256 of the 300 MB artwork (about half a second)."""
    digest = hashlib.sha256()
    for part in big_artwork_parts(seed):
        digest.update(part)
    return digest.hexdigest()
