"""Large originals into the bundle without passing through: S3 copies them, part by part, into the upload.

What a zip needs to know of a stored file before its bytes is its name, size and CRC-32. The bytes are
copied first, to the part numbers that follow; S3 answers each copy with the CRC-32 of that part. Combined
with that of the first 5 MiB, which go through us together with the header, that is the CRC-32 of the file.
The part with the header, for which a number was left free, is sent last.

One principal must read the original and write the bundle: our own role, which the owner of a store may let
read its bucket (docs/stores/s3.md). Where it may not, the file passes through.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client
from dsr.bundle.checksums import crc32_combine, from_s3

# S3: a part has 5 MiB to 5 GiB but for the last, an upload at most 10,000 of them.
HEAD = 5 * 1024 * 1024  # of a file, that go through us: with them the part of the header is large enough
LEAST_PART, MOST_PART, MOST_PARTS = 5 * 1024 * 1024, 5 * 1024**3, 10_000
_PIECE = 128 * 1024 * 1024  # copied by one call: some seconds at most, of which several run at once
_AT_ONCE = 8
# From this size on a copy is worth its calls.
WORTH_COPYING = 16 * 1024 * 1024


class CannotCopyError(Exception):
    """S3 does not let us copy the file, or does not say its checksum: it has to pass through."""


def plan_copies(size: int, most: int) -> list[tuple[int, int]]:
    """The parts in which S3 copies a file of `size` bytes but for its first `HEAD`: [(first, last byte)].

    At most `most` of them, each as S3 allows it; none where the file is too small or needs more. Pure.
    """
    rest = size - HEAD
    if rest < LEAST_PART or most < 1:
        return []
    piece = max(_PIECE, -(-rest // most))
    if piece > MOST_PART:
        return []
    number = -(-rest // piece)
    cuts = [HEAD + rest * n // number for n in range(number + 1)]
    return [(start, end - 1) for start, end in pairwise(cuts)]


@dataclass
class Copying:
    """A copy under way, as JSON knows it. `etag`: of the original, `ranges` as planned, `copied` [entity tag,
    CRC-32 as S3 says it]."""

    etag: str
    ranges: list[list[int]]
    copied: list[list[str]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all parts are copied."""
        return len(self.copied) == len(self.ranges)

    def crc(self, head: int) -> int:
        """The CRC-32 of the whole file, `head` being that of its first bytes."""
        for (start, end), (_, said) in zip(self.ranges, self.copied, strict=True):
            head = crc32_combine(head, from_s3(said), end - start + 1)
        return head


def copy_some(copying: Copying, upload: dict[str, Any], source: dict[str, Any], first: int) -> None:
    """Copy the next parts, several at once. `upload`: bucket, key and id; `first`: the number of the first.

    Raises CannotCopyError if S3 does not let us, or the file is not what it was (`CopySourceIfMatch`).
    """
    begun = len(copying.copied)
    wanted = list(enumerate(copying.ranges[begun : begun + _AT_ONCE], begun))
    client("s3")  # made here, not by several at once
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        copying.copied += pool.map(partial(_copy, upload, source, first), wanted)


def _copy(
    upload: dict[str, Any], source: dict[str, Any], first: int, wanted: tuple[int, list[int]]
) -> list[str]:
    number, (start, end) = wanted
    try:
        answer = client("s3").upload_part_copy(
            **upload, **source, PartNumber=first + number, CopySourceRange=f"bytes={start}-{end}"
        )["CopyPartResult"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "NoSuchKey", "PreconditionFailed"):
            raise CannotCopyError(error.response["Error"]["Code"]) from None
        raise
    if "ChecksumCRC32" not in answer:
        raise CannotCopyError("no checksum")
    return [answer["ETag"], answer["ChecksumCRC32"]]
