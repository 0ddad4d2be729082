"""S3 objects: by a key that a template makes from a found value, or by the prefix it makes."""

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.stores.base import Cursor, Original, Page, Record, beyond, each_value

_FAULTS = {
    "NoSuchBucket": "missing_collection",
    "AccessDenied": "missing_permission",
    "403": "missing_permission",
    "Forbidden": "missing_permission",
}
_PAGE = 1000  # S3 lists at most 1,000 keys a call


class S3Store:
    """The bucket of one store. For access the current version of each object counts."""

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        self._bucket = store.connection["bucket"]

    def find(self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor) -> Iterator[Page]:
        """See `base.Store.find`. A record is an object with its size, time, type, metadata and tags."""
        exact = collection.options["match"] == "exact"
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

    def _record(self, collection: Collection, way: Way, value: Any, key: str) -> Record | None:
        try:
            head = self._call(collection, "head_object", Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return None  # removed since it was listed
            raise
        tags = self._call(collection, "get_object_tagging", Bucket=self._bucket, Key=key)["TagSet"]
        values = {
            way.field: value,
            "object_key": key,
            "size": head["ContentLength"],
            "content_type": head.get("ContentType"),
            "last_modified": head["LastModified"],
            "metadata": head.get("Metadata", {}),
            "tags": {t["Key"]: t["Value"] for t in tags},
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


def object_key(collection: Collection, way: Way, value: Any) -> str:
    """The key, or prefix, of the objects that belong to `value`.

    Raises StoreFault for an empty value: an empty prefix would be everybody's objects.
    """
    if not str(value):
        raise StoreFault("malformed_data", f"{collection.path}.{way.field}: an empty value finds everything")
    template: str = collection.options["key_template"]
    return template.replace("{" + way.field + "}", str(value))
