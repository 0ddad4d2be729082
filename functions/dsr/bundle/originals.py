"""Originals as they lie in a company's bucket, read under the role that its owner granted."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dsr.bundle.checksums import from_s3
from dsr.errors import StoreFault

_CHUNK = 256 * 1024
_GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "404", "405")
_CHANGED = ("PreconditionFailed", "InvalidRange", "412", "416")
_REFUSED = ("AccessDenied", "403", "Forbidden")


@dataclass(frozen=True)
class Head:
    """What S3 says of an object: its entity tag, and the checksums of the whole that it keeps, if any."""

    etag: str
    crc: int | None
    sha256: str


def read_head(s3: Any, path: str, original: dict[str, Any], etag: str = "") -> Head:
    """The head of an original of the collection `path`. Raises StoreFault where it is not as gathered."""
    said = _asked(path, s3.head_object, original, etag, ChecksumMode="ENABLED")
    if said["ContentLength"] != original["size"]:
        raise StoreFault("malformed_data", f"{path}: an original was changed meanwhile")
    # Of an object written in parts S3 may keep a checksum of the parts' checksums: no use here.
    whole = said["ChecksumType"] == "FULL_OBJECT" if "ChecksumType" in said else "-" not in said["ETag"]
    crc, sha256 = (said.get(name, "") if whole else "" for name in ("ChecksumCRC32", "ChecksumSHA256"))
    return Head(said["ETag"], from_s3(crc) if crc else None, base64.b64decode(sha256).hex())


def read_range(
    s3: Any, path: str, original: dict[str, Any], etag: str, start: int, end: int
) -> Iterator[bytes]:
    """The bytes of the original from `start` up to `end`. Raises StoreFault as `read_head` does."""
    part = {} if (start, end) == (0, original["size"]) else {"Range": f"bytes={start}-{end - 1}"}
    answer = _asked(path, s3.get_object, original, etag, **part)
    yield from answer["Body"].iter_chunks(_CHUNK)


def _asked(path: str, call: Any, original: dict[str, Any], etag: str, **more: str) -> Any:
    version = {"VersionId": original["version"]} if original["version"] else {}
    same = {"IfMatch": etag} if etag else {}
    try:
        return call(Bucket=original["bucket"], Key=original["object_key"], **version, **same, **more)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _GONE:
            raise StoreFault("malformed_data", f"{path}: an original was removed meanwhile") from None
        if code in _CHANGED:
            raise StoreFault("malformed_data", f"{path}: an original was changed meanwhile") from None
        if code in _REFUSED:
            raise StoreFault("missing_permission", f"{path}: GetObject") from None
        raise
