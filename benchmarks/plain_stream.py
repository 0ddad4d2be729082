"""What a bundle of large files is measured against: `python -m benchmarks.plain_stream ROOT`.

The least that hands over files through one process: each read from S3, stored into a zip that is written to
S3 in parts of 8 MiB. Nothing is hashed, listed, signed or resumable. AWS is the stand-in. Says in JSON what
it took.
"""

import json
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

from benchmarks import machine
from benchmarks.standin import StandIn

_PART = 8 * 1024 * 1024
_CHUNK = 1024 * 1024


class _Stream:
    """A file that is an upload in parts."""

    def __init__(self, s3: Any, key: str) -> None:
        self._s3, self._target = s3, {"Bucket": "bundles", "Key": key}
        self._target["UploadId"] = s3.create_multipart_upload(**self._target)["UploadId"]
        self._held, self._parts, self._written = bytearray(), list[dict[str, Any]](), 0

    def write(self, content: bytes) -> int:
        self._held += content
        self._written += len(content)
        while len(self._held) >= _PART:
            self._send(bytes(memoryview(self._held)[:_PART]))
            del self._held[:_PART]
        return len(content)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Parts are sent when they are full."""

    def finish(self) -> None:
        self._send(bytes(self._held))
        self._s3.complete_multipart_upload(**self._target, MultipartUpload={"Parts": self._parts})

    def _send(self, content: bytes) -> None:
        number = len(self._parts) + 1
        answer = self._s3.upload_part(**self._target, PartNumber=number, Body=content)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})


def stream(root: Path, bucket: str) -> None:
    """Put every object of the bucket into one zip."""
    stand_in = StandIn(root, json.loads((root / "secret.json").read_text()))
    stand_in.install()
    from dsr.aws import client

    with machine.spent() as taken:
        s3 = client("s3")
        upload = _Stream(s3, "plain.zip")
        with zipfile.ZipFile(cast(BinaryIO, upload), "w", zipfile.ZIP_STORED) as archive:
            for path in sorted((root / bucket).iterdir()):
                key = unquote(path.name)
                body = s3.get_object(Bucket=bucket, Key=key)["Body"]
                with archive.open(key.rpartition("/")[2], "w", force_zip64=True) as member:
                    for chunk in body.iter_chunks(_CHUNK):
                        member.write(chunk)
        upload.finish()
    machine.say(asdict(taken) | {"peak": machine.peak_memory(), "through": stand_in.through})


if __name__ == "__main__":
    stream(Path(sys.argv[1]), sys.argv[2])
