"""S3 objects: by a key that a template makes from a found value, or by the prefix it makes."""

import random
import time
from collections.abc import Iterator, Sequence
from os.path import commonprefix
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.records import NOTHING
from dsr.stores.base import Cursor, Original, Page, Record, beyond, each_value
from dsr.treatments import Masks
from dsr.values import Values

_FAULTS = {
    "NoSuchBucket": "missing_collection",
    "AccessDenied": "missing_permission",
    "403": "missing_permission",
    "Forbidden": "missing_permission",
}
LAST_MODIFIED = "last_modified"
_PAGE = 1000  # S3 lists at most 1,000 keys a call
_GONE = {"404", "NoSuchKey", "NoSuchVersion"}
_AGAIN = {"InternalError", "SlowDown", "ServiceUnavailable", "OperationAborted"}
# At most so many seconds between tries of what S3 kept for the moment; any time up to that.
_WAITS = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


class S3Store:
    """The bucket of one store. For access the current version of each object counts."""

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        self._bucket = store.connection["bucket"]

    erase_at_once = 1000  # DeleteObjects (AWS)

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """See `base.Store.find`. A record is an object with its size, time, type, metadata and tags.

        Not `whole`: a record is a version of an object, a delete marker, or an upload left half-done.
        """
        if not whole:
            yield from self._versions(collection, way, values, after)
            return
        exact = _is_exact(collection, way)
        for index, value, start in each_value(values, after):
            prefix = object_key(collection, way, value)
            while True:
                arguments = {"Bucket": self._bucket, "Prefix": prefix, "MaxKeys": _PAGE}
                if start:
                    arguments["StartAfter"] = start
                answer = self._call(collection, "list_objects_v2", **arguments)
                found = [o for o in answer.get("Contents", ()) if not exact or o["Key"] == prefix]
                records = [r for o in found if (r := self._record(collection, way, value, o["Key"]))]
                # A listing by an exact key may go on with longer keys: the first page has it or none.
                more = answer["IsTruncated"] and not exact
                start = answer["Contents"][-1]["Key"] if more else None
                yield Page(records, beyond(values, index, start))
                if not start:
                    break

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        """See `base.Store.erase`."""
        if masks:
            raise StoreFault("unsupported", f"{collection.path}: a file is deleted or kept, not masked")
        versions = [
            {"Key": r["object_key"], "VersionId": r["version_id"]} for r in records if not r.get("upload_id")
        ]
        for start in range(0, len(versions), self.erase_at_once):
            self._delete(collection, versions[start : start + self.erase_at_once])
        for record in records:
            if record.get("upload_id"):
                self._abort(collection, record)

    def sample(self, collection: Collection, count: int) -> list[Record]:
        """See `base.Store.sample`."""
        way = collection.ways[0]
        before, after = _around(collection, way)
        exact = collection.options["match"] == "exact"
        answer = self._call(
            collection, "list_objects_v2", Bucket=self._bucket, Prefix=before, MaxKeys=min(count, _PAGE)
        )
        owners = {
            o["Key"]: next(_owners(o["Key"], before, after, exact), None) for o in answer.get("Contents", ())
        }
        records = (
            self._record(collection, way, owner, key) for key, owner in owners.items() if owner is not None
        )
        return [record for record in records if record is not None]

    def listing(
        self,
        collection: Collection,
        fields: Sequence[str],  # noqa: ARG002  of a key all is told anyway
        after: Cursor,
    ) -> Iterator[Page]:
        """See `base.ListingStore.listing`. What the template can make, a thousand keys a call; the cursor is
        the last key. Where a key may be of several values, the record has them all."""
        way = next(w for w in collection.ways if "{" + w.field + "}" in collection.options["key_template"])
        before, behind = _around(collection, way)
        exact = _is_exact(collection, way)
        while True:
            arguments = {"Bucket": self._bucket, "Prefix": before, "MaxKeys": _PAGE}
            if after is not None:
                arguments["StartAfter"] = after
            answer = self._call(collection, "list_objects_v2", **arguments)
            keys = [found["Key"] for found in answer.get("Contents", ())]
            owners = {key: [o for o in _owners(key, before, behind, exact) if o] for key in keys}
            after = keys[-1] if answer["IsTruncated"] else None
            records = [Record({way.field: o, "object_key": key}) for key, o in owners.items() if o]
            yield Page(records, after)
            if after is None:
                return

    def _delete(self, collection: Collection, versions: list[dict[str, str]]) -> None:
        """One call, and more for what S3 keeps for the moment. Raises RuntimeError if it keeps any."""
        waits = iter(_WAITS)
        while versions:
            answer = self._call(
                collection, "delete_objects", Bucket=self._bucket, Delete={"Objects": versions, "Quiet": True}
            )
            kept = answer.get("Errors", ())
            for refused in kept:
                if code := _FAULTS.get(refused["Code"]):
                    raise StoreFault(code, f"{collection.path}: DeleteObjects")
            longest = next(waits, None)
            if kept and (longest is None or {refused["Code"] for refused in kept} - _AGAIN):
                codes = ", ".join(sorted({refused["Code"] for refused in kept}))
                raise RuntimeError(f"{collection.path}: S3 kept {len(kept)} versions: {codes}")
            versions = [{"Key": r["Key"], "VersionId": r["VersionId"]} for r in kept]
            if versions and longest:
                time.sleep(random.uniform(0, longest))  # noqa: S311  no secret: it spreads the tries

    def _abort(self, collection: Collection, record: dict[str, Any]) -> None:
        arguments = {"Bucket": self._bucket, "Key": record["object_key"], "UploadId": record["upload_id"]}
        try:
            self._call(collection, "abort_multipart_upload", **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchUpload":
                raise

    def _versions(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor
    ) -> Iterator[Page]:
        exact, dated = _is_exact(collection, way), collection.on_deletion.get("until", {}).get("from", "")
        for index, value, start in each_value(values, after):
            prefix = object_key(collection, way, value)
            while True:
                answer = self._call(
                    collection, "list_object_versions", Bucket=self._bucket, Prefix=prefix, MaxKeys=_PAGE,
                    **({"KeyMarker": start[0], "VersionIdMarker": start[1]} if start else {}),
                )  # fmt: skip
                found = [
                    Record({way.field: value, **named})
                    for named in self._named(collection, answer, dated)
                    if not exact or named["object_key"] == prefix
                ]
                start = (
                    [answer["NextKeyMarker"], answer["NextVersionIdMarker"]]
                    if answer["IsTruncated"]
                    else None
                )
                if exact and start and start[0] != prefix:
                    start = None  # only longer keys follow
                if not start and index == len(values) - 1:
                    found += self._uploads(collection, way, values, exact)
                yield Page(found, beyond(values, index, start))
                if not start:
                    break

    def _named(self, collection: Collection, answer: dict[str, Any], dated: str) -> Iterator[dict[str, Any]]:
        """What a page of versions names, with the field `dated` of each where the map asks for its time."""
        for version in answer.get("Versions", ()):
            named = {"object_key": version["Key"], "version_id": version["VersionId"]}
            if dated == LAST_MODIFIED:
                named[LAST_MODIFIED] = version["LastModified"]
            elif dated:
                named |= self._described(collection, dated, version["Key"], version["VersionId"])
            yield named
        for marker in answer.get("DeleteMarkers", ()):
            yield {"object_key": marker["Key"], "version_id": marker["VersionId"], NOTHING: True}

    def _described(self, collection: Collection, dated: str, key: str, version: str) -> dict[str, Any]:
        """The metadata or the tags of one version, whichever `dated` stands in."""
        arguments = {"Bucket": self._bucket, "Key": key, "VersionId": version}
        try:
            if dated.startswith("tags."):
                return {"tags": _tags(self._call(collection, "get_object_tagging", **arguments))}
            return {"metadata": self._call(collection, "head_object", **arguments).get("Metadata", {})}
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return {}  # removed since it was listed
            raise

    def _uploads(
        self, collection: Collection, way: Way, values: Sequence[Any], exact: bool
    ) -> Iterator[Record]:
        """The uploads left half-done: parts are stored, and paid for, until they are aborted.

        All values are looked for at once under what their keys begin with alike: few uploads are open at
        any time, and a call for each value would double the calls.
        """
        before, after = _around(collection, way)
        first, last = (object_key(collection, way, value) for value in (values[0], values[-1]))
        # In the order of their texts, what the first and the last begin with alike, all do.
        alike = commonprefix([first, last]) if isinstance(values, Values) else before  # noqa: RUF071  signs
        marker: dict[str, str] = {}
        while True:
            answer = self._call(
                collection, "list_multipart_uploads", Bucket=self._bucket, Prefix=alike, **marker
            )
            for upload in answer.get("Uploads", ()):
                key = upload["Key"]
                owners = _owners(key, before, after, exact)
                value = next((value for value in owners if value in values), None)
                if value is not None:
                    found = {
                        "object_key": key,
                        "version_id": "",
                        "upload_id": upload["UploadId"],
                        NOTHING: True,
                    }
                    yield Record({way.field: value, **found})
            if not answer.get("IsTruncated"):
                return
            marker = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def _record(self, collection: Collection, way: Way, value: Any, key: str) -> Record | None:
        try:
            head = self._call(collection, "head_object", Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None  # removed since it was listed
            raise
        tags = self._call(collection, "get_object_tagging", Bucket=self._bucket, Key=key)
        values = {
            way.field: value,
            "object_key": key,
            "size": head["ContentLength"],
            "content_type": head.get("ContentType"),
            LAST_MODIFIED: head["LastModified"],
            "metadata": head.get("Metadata", {}),
            "tags": _tags(tags),
        }
        return Record(values, Original(self._bucket, key, head.get("VersionId", ""), head["ContentLength"]))

    def _call(self, collection: Collection, verb: str, **arguments: Any) -> dict[str, Any]:
        try:
            return getattr(client_as(self._store.access, "s3"), verb)(**arguments)  # type: ignore[no-any-return]
        except ClientError as error:
            code = _FAULTS.get(error.response["Error"]["Code"])
            if code:
                raise StoreFault(code, f"{collection.path}: {error.operation_name}") from None
            raise


def _by_own_key(way: Way) -> bool:
    """Whether the value looked for is an object's whole key, whatever the template says."""
    return way.own and way.field == "object_key"


def _is_exact(collection: Collection, way: Way) -> bool:
    return collection.options["match"] == "exact" or _by_own_key(way)


def _tags(answer: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def _around(collection: Collection, way: Way) -> tuple[str, str]:
    """What stands before and after the value in a key."""
    if _by_own_key(way):
        return "", ""
    before, _, after = collection.options["key_template"].partition("{" + way.field + "}")
    return before, after


def _owners(key: str, before: str, after: str, exact: bool) -> Iterator[str]:
    """The values, as text, that the template makes this key of, or a beginning of it."""
    if not key.startswith(before):
        return
    rest = key[len(before) :]
    if exact:
        if rest.endswith(after):
            yield rest[: len(rest) - len(after)]
        return
    end = rest.find(after)
    while end >= 0:
        yield rest[:end]
        end = rest.find(after, end + 1)


def object_key(collection: Collection, way: Way, value: Any) -> str:
    """The key, or prefix, of the objects that belong to `value`.

    Raises StoreFault for an empty value: an empty prefix would be everybody's objects.
    """
    if not str(value):
        raise StoreFault("malformed_data", f"{collection.path}.{way.field}: an empty value finds everything")
    if _by_own_key(way):
        return str(value)
    template: str = collection.options["key_template"]
    return template.replace("{" + way.field + "}", str(value))
