"""The objects of one collection of a lake: listed, read by ranges or as a stream, never half of one."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError

from dsr.datamap.plan import Collection
from dsr.errors import StoreFault

_FAULTS = {
    "NoSuchBucket": "missing_collection",
    "AccessDenied": "missing_permission",
    "403": "missing_permission",
    "Forbidden": "missing_permission",
}
_CHUNK = 1024 * 1024
_SMALL = 4 * 1024 * 1024  # a file that is fetched by one request
_END = 256 * 1024  # of a larger one, most footers

# Tables that keep a log of their own files: to write one of those anew behind its back breaks the table.
_LOGS = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}


class Changed(Exception):
    """The object is not the one that was looked at any more: somebody wrote it. Look again."""


class Malformed(Exception):
    """The file cannot be read as what the map says it is. Its text says why, and holds no value."""

    def __init__(self, why: str, code: str = "malformed_data") -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class LakeObject:
    """A version of an object. `version`: "" where only the current one counts; `size` in bytes."""

    key: str
    version: str
    etag: str
    size: int


class Bucket:
    """The bucket of a lake. `client` gives the S3 client under the store's role."""

    def __init__(self, name: str, client: Callable[[], Any]) -> None:
        self.name = name
        self._client = client

    def call(self, collection: Collection, verb: str, key: str = "", **arguments: Any) -> dict[str, Any]:
        """One call of S3. Raises StoreFault for what trying again will not help, Changed for a condition."""
        about = f"{collection.path}: {key}" if key else collection.path
        named = {"Key": key} if key else {}
        try:
            answer = getattr(self._client(), verb)(Bucket=self.name, **named, **arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
                raise Changed(about) from None
            if code in ("NoSuchKey", "NoSuchVersion", "404"):
                raise Changed(about) from None
            if code == "InvalidObjectState":
                said = f"{about} lies in an archive of S3: restore it, then retry"
                raise StoreFault("unsupported", said) from None
            if code in _FAULTS:
                raise StoreFault(_FAULTS[code], f"{about}: {error.operation_name}") from None
            raise
        return answer  # type: ignore[no-any-return]

    def listed(self, collection: Collection, after: str) -> Iterator[LakeObject]:
        """The current version of each file of the table, by key, those after the key `after`."""
        arguments = {"Prefix": collection.options["prefix"], **({"StartAfter": after} if after else {})}
        while True:
            answer = self.call(collection, "list_objects_v2", **arguments)
            for found in answer.get("Contents", ()):
                if is_file(collection, found["Key"], found["Size"]):
                    yield LakeObject(found["Key"], "", found["ETag"], found["Size"])
            if not answer["IsTruncated"]:
                return
            arguments["ContinuationToken"] = answer["NextContinuationToken"]

    def newest(self, collection: Collection) -> Iterator[LakeObject]:
        """The files of the last folder: by date the newest, at the price of a listing for each level."""
        prefix = collection.options["prefix"]
        while folders := self._folders(collection, prefix):
            prefix = folders[-1]
        listed = self.call(collection, "list_objects_v2", Prefix=prefix).get("Contents", ())
        for found in sorted(listed, key=lambda entry: entry["LastModified"], reverse=True):
            if is_file(collection, found["Key"], found["Size"]):
                yield LakeObject(found["Key"], "", found["ETag"], found["Size"])

    def _folders(self, collection: Collection, prefix: str) -> list[str]:
        """Those right below, in order, without the hidden ones."""
        found, arguments = list[str](), dict[str, str]()
        while True:
            answer = self.call(collection, "list_objects_v2", Prefix=prefix, Delimiter="/", **arguments)
            found += [folder["Prefix"] for folder in answer.get("CommonPrefixes", ())]
            if not answer["IsTruncated"]:
                return [name for name in found if not name[len(prefix) :].startswith(("_", "."))]
            arguments["ContinuationToken"] = answer["NextContinuationToken"]

    def versions(
        self, collection: Collection, after: str = "", prefix: str = ""
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each key after `after` with all its versions and delete markers, as S3 lists them."""
        arguments = {"Prefix": prefix or collection.options["prefix"]}
        if after:
            arguments["KeyMarker"] = after
        key, held = "", list[dict[str, Any]]()
        while True:
            answer = self.call(collection, "list_object_versions", **arguments)
            listed = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
            # Each of the two lists is by key; put together, the versions of a key are in one piece.
            for found in sorted(listed, key=lambda entry: str(entry["Key"])):
                if found["Key"] != key:
                    if held:
                        yield key, held
                    key, held = found["Key"], []
                held.append(found)
            if not answer["IsTruncated"]:
                break
            arguments["KeyMarker"] = answer["NextKeyMarker"]
            arguments["VersionIdMarker"] = answer["NextVersionIdMarker"]
        if held:
            yield key, held

    def head(self, collection: Collection, key: str) -> dict[str, Any] | None:
        """What S3 says of the current version; None if there is none."""
        try:
            return self.call(collection, "head_object", key)
        except Changed:
            return None

    def open(self, collection: Collection, of: LakeObject) -> "Ranges":
        """A file that reads `of` by ranges."""
        return Ranges(self, collection, of)

    def stream(self, collection: Collection, of: LakeObject) -> Iterator[bytes]:
        """The bytes of `of` from the first to the last."""
        body = self.call(collection, "get_object", of.key, **_exactly(of))["Body"]
        try:
            yield from body.iter_chunks(_CHUNK)
        finally:
            body.close()

    def read(self, collection: Collection, of: LakeObject, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`."""
        if start >= end:
            return b""
        answer = self.call(collection, "get_object", of.key, Range=f"bytes={start}-{end - 1}", **_exactly(of))
        content: bytes = answer["Body"].read()
        if len(content) != end - start:
            raise RuntimeError(f"S3 sent {len(content)} of {end - start} bytes")
        return content


@contextmanager
def naming(collection: Collection, key: str) -> Iterator[None]:
    """What is wrong with a file, as a fault that names it."""
    try:
        yield
    except Malformed as fault:
        raise StoreFault(fault.code, f"{collection.path}: {key} {fault}") from None


def _exactly(of: LakeObject) -> dict[str, str]:
    """That very version, or nothing: no file is read half old and half new."""
    return {"IfMatch": of.etag, **({"VersionId": of.version} if of.version else {})}


class Ranges:
    """An object as a file that can be read anywhere, by a request for each range.

    Its end, where a file says what is in it, is fetched once and kept: of a small one that is all.
    """

    def __init__(self, bucket: Bucket, collection: Collection, of: LakeObject) -> None:
        self._bucket, self._collection, self._of = bucket, collection, of
        self._at = 0
        self._kept = of.size - min(of.size, _SMALL if of.size <= _SMALL else _END)
        self._end: bytes | None = None
        self.closed = False

    def between(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`."""
        if start < self._kept:
            return self._bucket.read(self._collection, self._of, start, end)
        if self._end is None:
            self._end = self._bucket.read(self._collection, self._of, self._kept, self._of.size)
        return self._end[start - self._kept : end - self._kept]

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes from where one is."""
        end = self._of.size if count < 0 else min(self._of.size, self._at + count)
        try:
            content = self.between(self._at, end)
        except (OSError, HTTPClientError) as error:
            # Of the network: a reader must not take it for a fault of the file.
            raise RuntimeError(f"a range was not read: {type(error).__name__}") from None
        self._at += len(content)
        return content

    def seek(self, to: int, whence: int = 0) -> int:
        """Go to a place; returns it."""
        self._at = to + (0, self._at, self._of.size)[whence]
        return self._at

    def tell(self) -> int:
        """The place one is at."""
        return self._at

    def size(self) -> int:
        """How many bytes there are."""
        return self._of.size

    def close(self) -> None:
        """Nothing is held open."""
        self.closed = True

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """No."""
        return False


def is_file(collection: Collection, key: str, size: int) -> bool:
    """Whether a key names a file of the table, by the rules of Athena: empty and hidden ones are none.

    Raises StoreFault for a table that keeps a log of its files, and for a key that the map's layout of
    partitions does not fit.
    """
    below = key.removeprefix(collection.options["prefix"])
    parts = below.split("/")
    for part in parts:
        if part in _LOGS:
            raise StoreFault("unsupported", f"{collection.path}: {key}: a table of {_LOGS[part]}")
    if below.endswith(".metadata.json"):
        raise StoreFault("unsupported", f"{collection.path}: {key}: a table of Iceberg")
    if not size or any(part.startswith(("_", ".")) for part in parts):
        return False
    if "partition" in collection.options and not day_of(collection, key):
        layout = collection.options["partition"]["layout"]
        raise StoreFault("malformed_data", f"{collection.path}: {key}: no folder like {layout}")
    return True


_SIGNS = {"Y": r"(?P<Y>\d{4})", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})"}


def day_of(collection: Collection, key: str) -> tuple[int, int, int] | None:
    """The year, month and day in a key, 0 where the layout has none; None where it does not fit."""
    layout = re.escape(collection.options["partition"]["layout"])
    pattern = re.sub(r"%([Ymd])", lambda sign: _SIGNS[sign[1]], layout)
    found = re.match(f"{pattern}/", key.removeprefix(collection.options["prefix"]))
    if not found:
        return None
    parts = found.groupdict()
    return int(parts["Y"]), int(parts.get("m") or 0), int(parts.get("d") or 0)
