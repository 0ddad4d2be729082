"""A stream into one S3 object by multipart upload, in bounded memory, continued by the next invocation.

Memory holds one part, once: what is written goes into one buffer, and the buffer itself is what is sent.
"""

import base64
import io
import zlib
from dataclasses import dataclass, field
from typing import Any

from dsr.aws import client
from dsr.bundle.copying import LEAST_PART, MOST_PARTS, begin_upload

# Parts are as small as S3 takes them for the first 10 GB, which a zip has by default; then they grow, so that
# as many as S3 takes hold more than an object may have.
_EVEN_PARTS = 2000
_PARTS_PER_SIZE = 800


def part_size(number: int) -> int:
    """The size in bytes of the streamed part `number` (from 1): doubles every 800 parts after the 2,000th."""
    return LEAST_PART << max(0, (number - 1 - _EVEN_PARTS) // _PARTS_PER_SIZE + 1)


class _Lying(io.RawIOBase):
    """A buffer as a file that is read where it lies: BytesIO would copy it."""

    def __init__(self, content: bytearray) -> None:
        self._content, self._at = memoryview(content), 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        taken = self._content[self._at : self._at + len(target)]
        target[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


@dataclass
class UploadState:
    """Where the upload stands. `rest`: bytes too few for a part yet."""

    upload_id: str
    parts: list[list[str]] = field(default_factory=list)  # entity tag and CRC-32 as S3 says it, in order
    streamed: int = 0  # how many of them went through us
    written: int = 0
    rest: bytes = b""


class Upload:
    """A writable, unseekable binary stream; knows its position across invocations."""

    def __init__(self, bucket: str, key: str, state: UploadState) -> None:
        self._bucket, self._key = bucket, key
        self.state = state
        self._buffer = bytearray(state.rest)

    @classmethod
    def begin(cls, bucket: str, key: str) -> "Upload":
        """Start a new object; what earlier attempts left half-done at this key is thrown away first."""
        # With a checksum per part: S3 then tells that of a part which it copies, too.
        made = begin_upload(Bucket=bucket, Key=key, ContentType="application/zip", ChecksumAlgorithm="CRC32")
        return cls(bucket, key, UploadState(made))

    def is_open(self) -> bool:
        """Whether S3 still holds what was sent: not once the object is made, or the parts have expired."""
        s3 = client("s3")
        try:
            s3.list_parts(Bucket=self._bucket, Key=self._key, UploadId=self.state.upload_id, MaxParts=1)
        except s3.exceptions.NoSuchUpload:
            return False
        return True

    def write(self, content: bytes) -> int:
        """Append `content`."""
        rest = memoryview(content)
        while rest:
            room = part_size(self.state.streamed + 1) - len(self._buffer)
            self._buffer += rest[:room]
            self.state.written += len(rest[:room])
            rest = rest[room:]
            if len(self._buffer) >= part_size(self.state.streamed + 1):
                self._send()
        return len(content)

    @property
    def target(self) -> dict[str, str]:
        """What a call names to put a part into it."""
        return {"Bucket": self._bucket, "Key": self._key, "UploadId": self.state.upload_id}

    def share(self, size: int, limit: int) -> int:
        """How many parts a file of `size` may be copied in, if enough are to be left for the rest.

        `limit`: the bytes that the object is to have at most.
        """
        left = MOST_PARTS // 2 - (len(self.state.parts) - self.state.streamed)
        # Its part of what is left, less one for its header.
        return max(1, left * size // max(size, limit - self.state.written) - 1) if left > 1 else 0

    @property
    def first_copied(self) -> int:
        """The number of the part after the one that `insert` sends."""
        return len(self.state.parts) + 2

    def insert(self, header: bytes, first: bytearray, copied: list[list[str]], length: int) -> None:
        """Append a header, `first`, and the parts that were copied to the numbers from `first_copied` on.

        `length`: of those parts. `first` has at least what S3 takes for a part; it becomes the buffer.
        """
        self.state.written += len(header) + len(first) + length
        first[:0] = self._buffer + header
        self._buffer = first
        self._send()
        self.state.streamed -= 1  # what grows with what is streamed must not grow with the files
        self.state.parts += copied

    def tell(self) -> int:
        """How many bytes were written in all."""
        return self.state.written

    def flush(self) -> None:
        """Nothing to do: parts are sent when they are full. Part of a stream's interface."""

    def pause(self) -> UploadState:
        """The state to continue from."""
        self.state.rest = bytes(self._buffer)
        return self.state

    def finish(self) -> None:
        """Send what is left and make the object."""
        if self._buffer or not self.state.parts:
            self._send()
        numbered: list[dict[str, Any]] = [
            {"PartNumber": number, "ETag": tag, "ChecksumCRC32": crc}
            for number, (tag, crc) in enumerate(self.state.parts, 1)
        ]
        client("s3").complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self.state.upload_id,
            MultipartUpload={"Parts": numbered},
        )

    def _send(self) -> None:
        """Send what is buffered as the next part."""
        if len(self.state.parts) >= MOST_PARTS:
            raise RuntimeError(f"an object of {self.state.written:,} bytes has no more parts")
        # Summed here, and botocore need not frame the part for a sum at its end.
        crc = base64.b64encode(zlib.crc32(self._buffer).to_bytes(4, "big")).decode()
        answer = client("s3").upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self.state.upload_id,
            PartNumber=len(self.state.parts) + 1,
            Body=_Lying(self._buffer),
            ChecksumCRC32=crc,
        )
        self._buffer = bytearray()
        self.state.parts.append([answer["ETag"], crc])
        self.state.streamed += 1
