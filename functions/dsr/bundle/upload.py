"""A stream into one S3 object by multipart upload, in bounded memory, continued by the next invocation."""

from dataclasses import dataclass, field
from typing import Any

from dsr.aws import client

# S3: parts of 5 MiB to 5 GiB, at most 10,000 of them. Parts grow with the object, so that
# 10,000 of them hold more than the 5 TB an object may have, while memory stays at one part.
_FIRST_PART = 8 * 1024 * 1024
_PARTS_PER_SIZE = 1000


def part_size(number: int) -> int:
    """The size in bytes of part `number` (from 1): doubles every 1,000 parts."""
    return _FIRST_PART << ((number - 1) // _PARTS_PER_SIZE)


@dataclass
class UploadState:
    """Where the upload stands. `rest`: bytes too few for a part yet."""

    upload_id: str
    parts: list[str] = field(default_factory=list)  # entity tags, in order
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
        made = s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType="application/zip")
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
        self._buffer += content
        self.state.written += len(content)
        while len(self._buffer) >= (size := part_size(len(self.state.parts) + 1)):
            self._send(bytes(memoryview(self._buffer)[:size]))
            del self._buffer[:size]
        return len(content)

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
            self._send(bytes(self._buffer))
            self._buffer.clear()
        numbered: list[dict[str, Any]] = [
            {"PartNumber": number, "ETag": tag} for number, tag in enumerate(self.state.parts, 1)
        ]
        client("s3").complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self.state.upload_id,
            MultipartUpload={"Parts": numbered},
        )

    def _send(self, content: bytes) -> None:
        answer = client("s3").upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self.state.upload_id,
            PartNumber=len(self.state.parts) + 1,
            Body=content,
        )
        self.state.parts.append(answer["ETag"])
