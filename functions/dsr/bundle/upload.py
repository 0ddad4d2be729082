"""A stream into one S3 object by multipart upload, in bounded memory, continued by the next invocation."""

from dataclasses import dataclass, field
from typing import Any

from dsr.aws import client
from dsr.bundle.copying import MOST_PARTS

# Parts grow with what is streamed, so that as many as S3 takes hold more than an object may have, while
# memory stays at one part.
_FIRST_PART = 8 * 1024 * 1024
_PARTS_PER_SIZE = 1000


def part_size(number: int) -> int:
    """The size in bytes of the streamed part `number` (from 1): doubles every 1,000 parts."""
    return _FIRST_PART << ((number - 1) // _PARTS_PER_SIZE)


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
        s3 = client("s3")
        for stale in s3.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", ()):
            s3.abort_multipart_upload(Bucket=bucket, Key=stale["Key"], UploadId=stale["UploadId"])
        # With a checksum per part: S3 then tells that of a part which it copies, too.
        made = s3.create_multipart_upload(
            Bucket=bucket, Key=key, ContentType="application/zip", ChecksumAlgorithm="CRC32"
        )
        return cls(bucket, key, UploadState(made["UploadId"]))

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
                self._send(self._taken())
        return len(content)

    def _taken(self) -> bytes:
        """What is buffered, which then is empty: no part is in memory twice while it is sent."""
        content = bytes(self._buffer)
        self._buffer = bytearray()
        return content

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

    def insert(self, head: bytes, copied: list[list[str]], length: int) -> None:
        """Append `head`, and then the parts that were copied to the numbers from `first_copied` on.

        `length`: their bytes. `head` has at least what S3 takes for a part.
        """
        self._buffer += head
        self._send(self._taken())
        self.state.streamed -= 1  # what grows with what is streamed must not grow with the files
        self.state.parts += copied
        self.state.written += len(head) + length

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
            self._send(self._taken())
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

    def _send(self, content: bytes) -> None:
        if len(self.state.parts) >= MOST_PARTS:
            raise RuntimeError(f"an object of {self.state.written:,} bytes has no more parts")
        answer = client("s3").upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self.state.upload_id,
            PartNumber=len(self.state.parts) + 1,
            Body=content,
            ChecksumAlgorithm="CRC32",
        )
        self.state.parts.append([answer["ETag"], answer["ChecksumCRC32"]])
        self.state.streamed += 1
