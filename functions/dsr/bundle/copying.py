"""Large originals into the bundle without passing through: S3 copies them, part by part, into the upload.

What a zip needs to know of a stored file before its bytes is its name, size and CRC-32. The bytes are
copied first, to the part numbers that follow; S3 answers each copy with the CRC-32 of that part. Combined
with that of the first 5 MiB, which go through us together with the header, that is the CRC-32 of the file.
The part with the header, for which a number was left free, is sent last.

The manifest lists a SHA-256 of every file. Where S3 keeps none of the whole object, it is asked for one the
same way: the file is copied once more, into an upload made with that checksum, which never becomes an object.

That S3 says them: "This checksum is present if the multipart upload request was created with the CRC32
checksum algorithm", and likewise SHA256, of the part (AWS, Amazon S3 API Reference, CopyPartResult).

One principal must read the original and write the bundle: our own role, which the owner of a store may let
read its bucket (docs/stores/s3.md). Where it may not, the file passes through.
"""

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from dsr.aws import client
from dsr.bundle.checksums import crc32_combine, from_s3

# S3: a part has 5 MiB to 5 GiB but for the last, an upload at most 10,000 of them.
HEAD = 5 * 1024 * 1024  # of a file, that go through us: with them the part of the header is large enough
LEAST_PART, MOST_PART, MOST_PARTS = 5 * 1024 * 1024, 5 * 1024**3, 10_000
_PART = 128 * 1024 * 1024  # copied by one call: some seconds at most, of which several run at once
# Of a file, what has a SHA-256 of its own: S3 copies it within the time that a call may take, and so much
# passes through before the work may be put aside.
PIECE = 512 * 1024 * 1024
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
    piece = max(_PART, -(-rest // most))
    if piece > MOST_PART:
        return []
    number = -(-rest // piece)
    cuts = [HEAD + rest * n // number for n in range(number + 1)]
    return [(start, end - 1) for start, end in pairwise(cuts)]


def plan_sums(size: int) -> list[tuple[int, int]]:
    """The pieces of a file of `size` bytes that have a SHA-256 each, as `plan_copies` says ranges. Pure."""
    return [(start, min(start + PIECE, size) - 1) for start in range(0, size, PIECE)]


@dataclass
class Copying:
    """A copy under way, as JSON knows it.

    `etag`: of the original. `ranges` as planned, `copied` [entity tag, CRC-32 as S3 says it]. `pieces`: of
    which S3 is asked for a SHA-256. `sums`: those, or the one that S3 keeps of the whole.
    """

    etag: str
    ranges: list[list[int]]
    pieces: list[list[int]]
    copied: list[list[str]] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)

    @classmethod
    def plan(cls, size: int, most: int, etag: str, sha256: str) -> "Copying":
        """The copy of a file of `size` bytes in at most `most` parts; `sha256` as S3 keeps it, if it does.

        Raises CannotCopyError if it needs more parts than there are.
        """
        ranges, pieces = plan_copies(size, most), [] if sha256 else plan_sums(size)
        if not ranges or len(pieces) > MOST_PARTS:
            raise CannotCopyError("more parts than there are")
        return cls(etag, [list(r) for r in ranges], [list(p) for p in pieces], [], [sha256] if sha256 else [])

    @property
    def done(self) -> bool:
        """Whether all parts are copied, and all sums are known."""
        return len(self.copied) == len(self.ranges) and len(self.sums) >= len(self.pieces)

    def crc(self, head: int) -> int:
        """The CRC-32 of the whole file, `head` being that of its first bytes."""
        for (start, end), (_, said) in zip(self.ranges, self.copied, strict=True):
            head = crc32_combine(head, from_s3(said), end - start + 1)
        return head


def begin_upload(**asked: str) -> str:
    """Begin an upload, asked for as S3's own call says; what earlier attempts left there is thrown away."""
    s3 = client("s3")
    bucket = asked["Bucket"]
    for stale in s3.list_multipart_uploads(Bucket=bucket, Prefix=asked["Key"]).get("Uploads", ()):
        s3.abort_multipart_upload(Bucket=bucket, Key=stale["Key"], UploadId=stale["UploadId"])
    return str(s3.create_multipart_upload(**asked)["UploadId"])


class Copier:
    """Has S3 copy a file into `upload` (bucket, key and id), its parts from the number `first` on.

    `source`: the file, as UploadPartCopy takes it. Close it: what was copied for its sums is then gone.
    """

    def __init__(self, copying: Copying, upload: dict[str, Any], source: dict[str, Any], first: int) -> None:
        self._copying, self._upload, self._first = copying, upload, first
        self._source = {"CopySource": source, "CopySourceIfMatch": copying.etag}
        # Of a call's own, since what is summed is summed: a killed call's is thrown away by the next.
        self._beside = {"Bucket": upload["Bucket"], "Key": f"{upload['Key']}.sums"}

    def copy_some(self) -> None:
        """Copy the next parts, and have the next pieces summed, several at once.

        Raises CannotCopyError if S3 does not let us, takes too long, or the file is not what it was.
        """
        said = self._copying
        client("s3")  # made here, not by several at once
        parts = list(enumerate(said.ranges, self._first))[len(said.copied) :][:_AT_ONCE]
        pieces = list(enumerate(said.pieces, 1))
        pieces = pieces[len(said.sums) :][: _AT_ONCE - len(parts)] if pieces else []
        if pieces and "UploadId" not in self._beside:
            self._beside["UploadId"] = begin_upload(**self._beside, ChecksumAlgorithm="SHA256")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            copied = pool.map(partial(self._copy, self._upload, "ChecksumCRC32"), parts)
            summed = pool.map(partial(self._copy, self._beside, "ChecksumSHA256"), pieces)
            said.copied += copied
            said.sums += [base64.b64decode(sha256).hex() for _, sha256 in summed]

    def close(self) -> None:
        """Have S3 forget what was copied for its sums."""
        if "UploadId" in self._beside:
            client("s3").abort_multipart_upload(**self._beside)

    def _copy(self, upload: dict[str, Any], checksum: str, wanted: tuple[int, list[int]]) -> list[str]:
        number, (start, end) = wanted
        try:
            answer = client("s3").upload_part_copy(
                **upload, **self._source, PartNumber=number, CopySourceRange=f"bytes={start}-{end}"
            )["CopyPartResult"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("AccessDenied", "NoSuchKey", "PreconditionFailed"):
                raise CannotCopyError(error.response["Error"]["Code"]) from None
            raise
        except ReadTimeoutError:
            raise CannotCopyError("it takes too long") from None
        if checksum not in answer:
            raise CannotCopyError("no checksum")
        return [answer["ETag"], answer[checksum]]
