"""The newest files of a table: by some of what they hold, the map is compared with what is written today."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from dsr.datamap.plan import Collection
from dsr.errors import StoreFault
from dsr.stores.lake import texts
from dsr.stores.lake.objects import Bucket, LakeObject, Malformed, naming
from dsr.stores.lake.parquet import ParquetFile

_FILES = 5  # at most so many are opened: a table may be of very small ones
_SEEN = 100  # records in which a field must show


def sample(bucket: Bucket, collection: Collection, count: int) -> list[dict[str, Any]]:
    """At most `count` records; of files without any one that names their fields. Raises StoreFault."""
    found, fields = list[dict[str, Any]](), dict[str, None]()
    for of in islice(bucket.newest(collection), _FILES):
        with naming(collection, of.key):
            if collection.options["format"] == "parquet":
                file = ParquetFile(bucket, collection, of, ())
                fields.update(dict.fromkeys(file.columns))
                found += file.first(count - len(found))
            else:
                found += _of_text(bucket, collection, of, (), count - len(found))
        if len(found) >= count:
            break
    return found or ([fields] if fields else [])


def faults(bucket: Bucket, collection: Collection) -> list[StoreFault]:
    """What would stop a case at this table, by its newest file: nothing is written, and little read."""
    try:
        of = next(bucket.newest(collection), None)
        if of is None:
            return [StoreFault("missing_collection", f"{collection.path}: no file under the prefix")]
        bucket.call(collection, "list_object_versions", Prefix=of.key, MaxKeys=1)
        bucket.call(collection, "get_object_tagging", of.key)
    except StoreFault as fault:
        return [fault]
    # Each by itself, so that all are told at once.
    needed = dict.fromkeys((*collection.key, *(way.field for way in collection.ways), *collection.masks))
    found = dict[str, StoreFault]()
    for name in needed:
        try:
            with naming(collection, of.key):
                _look(bucket, collection, of, name)
        except StoreFault as fault:
            found.setdefault(str(fault), fault)
    return list(found.values())


def _look(bucket: Bucket, collection: Collection, of: LakeObject, name: str) -> None:
    """Raises Malformed unless the file has the field, and a mask of it can be written."""
    if collection.options["format"] == "parquet":
        masks = {name: collection.masks[name]} if name in collection.masks else {}
        ParquetFile(bucket, collection, of, (name,)).check(masks)
        return
    records = list(_of_text(bucket, collection, of, (name,), _SEEN))
    named = any(_has(record, name) for record in records)
    if records and not named and not collection.options.get("sparse"):
        raise Malformed(f"has no record with `{name}`", "missing_field")


def _of_text(
    bucket: Bucket, collection: Collection, of: LakeObject, fields: tuple[str, ...], count: int
) -> Iterator[dict[str, Any]]:
    layout = texts.layout_of(collection, fields)
    return islice(texts.records(texts.unpacked(bucket.stream(collection, of)), layout), count)


def _has(record: Any, name: str) -> bool:
    """Whether the record names the field, with a value or without."""
    head, _, rest = name.partition(".")
    if isinstance(record, list):
        return any(_has(item, name) for item in record)
    return isinstance(record, dict) and head in record and (not rest or _has(record[head], rest))
