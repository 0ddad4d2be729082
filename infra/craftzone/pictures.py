"""Pictures of the sample people: valid PNG files of noise, made again from their key when needed."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

BIG_ARTWORK_BYTES = 300 * 1024 * 1024
BIG_ARTWORK_PART = 15 * 1024 * 1024  # divides the size above evenly, and is above S3's least part of 5 MiB


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def noise_png(name: str, side: int) -> bytes:
    """A grey square of `side` pixels whose noise depends on `name` only; about side * side bytes."""
    pixels = Random(name).randbytes(side * side)
    rows = b"".join(b"\0" + pixels[start : start + side] for start in range(0, side * side, side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
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
        return noise_png(f"{self.seed}/{self.store}/{self.object_key}", self.side)


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
