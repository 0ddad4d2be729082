"""A data lake on S3: records in files, found by reading as little as can be, erased by writing files anew."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from zlib import compressobj

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.stores.base import Cursor, Expired, Page, Record
from dsr.stores.lake import newest, partitions, texts
from dsr.stores.lake.objects import Bucket, Changed, LakeObject, is_file, naming
from dsr.stores.lake.parquet import ParquetFile
from dsr.stores.lake.upload import Upload
from dsr.stores.lake.wanted import Marked, Wanted
from dsr.treatments import Masks

# Beside a found record's fields: the key of the object that holds it. No field of a map is called so.
OBJECT = "@object"
_PAGE = 1000
_TRIES = 3  # to write an object anew that others write as well


class BeingWritten(RuntimeError):
    """Others write the object as fast as we do: try again later."""


class LakeStore:
    """The tables of one bucket.

    Where it is deployed, erasing does not write one object anew for each person: what is to be erased waits
    for a lake run, which writes it once for all (`dsr.lake_runs`).
    """

    erase_at_once = 1000

    def __init__(self, store: StorePlan) -> None:
        self._bucket = Bucket(store.connection["bucket"], lambda: client_as(store.access, "s3"))

    # -- finding -----------------------------------------------------------------------------

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """See `base.Store.find`. All values are looked for in one pass over the files."""
        return self.find_since(collection, way, values, after, whole, date.min)

    def find_since(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool, since: date
    ) -> Iterator[Page]:
        """See `base.DatedStore.find_since`. Files of partitions that were over before are listed, not opened.

        Not `whole`: in every version of each file, and with the key of its object. A cursor is the last key
        that is through, the one that is being read, and how many of its records were handed over: others'
        records may go from a file meanwhile, but the order of the rest stays.
        """
        wanted, done = Wanted.by(collection, way, values), after[0] if after else ""
        objects = self._versions(collection, done) if not whole else self._current(collection, done)

        def read(of: LakeObject) -> Iterator[dict[str, Any]]:
            if not partitions.is_before(collection, of.key, since):
                for found in self._records(collection, of, wanted, whole):
                    yield found if whole else {**found, OBJECT: of.key}

        return self._pages(collection, objects, after, read)

    def listing(self, collection: Collection, fields: Sequence[str], after: Cursor) -> Iterator[Page]:
        """See `base.ListingStore.listing`. Of each file only these columns, as its format lets it; the
        cursor is one of `find`."""
        objects = self._current(collection, after[0] if after else "")
        return self._pages(collection, objects, after, partial(self._all, collection, fields))

    def _pages(
        self,
        collection: Collection,
        objects: Iterator[tuple[str, list[LakeObject]]],
        after: Cursor,
        read: Callable[[LakeObject], Iterator[dict[str, Any]]],
    ) -> Iterator[Page]:
        done, current, taken = after or ("", "", 0)
        found_any = bool(after)
        for key, versions, last in _with_last(objects):
            found_any = True
            passed = taken if key == current else 0
            page, count = list[Record](), 0
            for of in versions:
                for values in read(of):
                    count += 1
                    if count > passed:
                        page.append(Record(values))
                    if len(page) >= _PAGE:
                        yield Page(page, [done, key, count])
                        page = []
            done = key
            yield Page(page, None if last else [done, "", 0])
        if not found_any:
            raise StoreFault("missing_collection", f"{collection.path}: no file under the prefix")
        if after and done == after[0]:
            yield Page([], None)  # what was left to read is gone

    def _current(self, collection: Collection, after: str) -> Iterator[tuple[str, list[LakeObject]]]:
        for of in self._bucket.listed(collection, after):
            yield of.key, [of]

    def _versions(self, collection: Collection, after: str) -> Iterator[tuple[str, list[LakeObject]]]:
        for key, held in self._bucket.versions(collection, after):
            versions = [
                LakeObject(key, v["VersionId"], v["ETag"], v["Size"])
                for v in held
                if "ETag" in v and is_file(collection, key, v["Size"])
            ]
            if versions:
                yield key, versions

    def _records(
        self, collection: Collection, of: LakeObject, wanted: Wanted, whole: bool
    ) -> Iterator[dict[str, Any]]:
        columns = None
        needed = tuple(dict.fromkeys((*collection.key, *wanted.fields)))
        if not whole:
            columns = list(dict.fromkeys(name.partition(".")[0] for name in collection.locating))
        with naming(collection, of.key):
            if collection.options["format"] == "parquet":
                file = ParquetFile(self._bucket, collection, of, needed)
                yield from file.found(wanted, columns and [c for c in columns if file.has(c)])
                return
            layout = texts.layout_of(collection, needed)
            content = texts.unpacked(self._bucket.stream(collection, of))
            for values in texts.found(content, layout, wanted, collection):
                yield values if columns is None else {c: values[c] for c in columns if c in values}

    def _all(self, collection: Collection, fields: Sequence[str], of: LakeObject) -> Iterator[dict[str, Any]]:
        with naming(collection, of.key):
            if collection.options["format"] == "parquet":
                yield from ParquetFile(self._bucket, collection, of, fields).every(fields)
                return
            content = texts.unpacked(self._bucket.stream(collection, of))
            yield from texts.every(content, texts.layout_of(collection, fields), fields, collection)

    # -- erasing -----------------------------------------------------------------------------

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        """See `base.Store.erase`: each object that holds some is written anew, once for all of them."""
        by_object: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            by_object.setdefault(record[OBJECT], []).append(record)
        for key, held in by_object.items():
            if any(record.get("@passed") for record in held):
                self._remove(collection, key, all_of_it=True)
            else:
                self.rewrite(collection, key, held, masks)

    def rewrite(
        self, collection: Collection, key: str, records: Sequence[dict[str, Any]], masks: Masks
    ) -> int:
        """Write one object anew without these records, or with their fields masked.

        Its old versions go. Returns how many it held. Raises BeingWritten if others keep writing it.
        """
        marked = Marked(collection, records)
        for _ in range(_TRIES):
            try:
                changed = self._rewrite(collection, key, marked, masks)
            except Changed:
                continue  # look again: it is another file now, or gone
            self._remove(collection, key)
            return changed
        raise BeingWritten(f"{collection.path}: {key} is being written by others")

    def _rewrite(self, collection: Collection, key: str, marked: Marked, masks: Masks) -> int:
        head = self._bucket.head(collection, key)
        if head is None:
            return 0
        of = LakeObject(key, "", head["ETag"], head["ContentLength"])
        if not is_file(collection, key, of.size):
            return 0
        upload = Upload(self._bucket, collection, of, head)
        changed = 0
        try:
            with naming(collection, key):
                needed = tuple(dict.fromkeys((*marked.fields, *marked.wanted.fields)))
                if collection.options["format"] == "parquet":
                    changed = ParquetFile(self._bucket, collection, of, needed).rewrite(upload, marked, masks)
                else:
                    changed = self._rewrite_text(collection, of, upload, marked, masks)
            if changed:
                upload.finish()
        finally:
            upload.abandon()
        return changed

    def _rewrite_text(
        self, collection: Collection, of: LakeObject, upload: Upload, marked: Marked, masks: Masks
    ) -> int:
        counted = 0

        def tell() -> None:
            nonlocal counted
            counted += 1

        gzipped = texts.is_gzipped(self._bucket.read(collection, of, 0, min(2, of.size)))
        layout = texts.layout_of(collection, dict.fromkeys((*marked.fields, *marked.wanted.fields)))
        content = texts.unpacked(self._bucket.stream(collection, of))
        packer = compressobj(wbits=31) if gzipped else None
        for block in texts.rewritten(content, layout, marked, masks, tell):
            upload.write(packer.compress(block) if packer else block)
        if packer:
            upload.write(packer.flush())
        return counted

    def _remove(self, collection: Collection, key: str, *, all_of_it: bool = False) -> None:
        """Remove the versions under the current one; of an object that was deleted, or is to be, all."""
        for listed, held in self._bucket.versions(collection, prefix=key):
            if listed != key:
                break
            deleted = all_of_it or any(v["IsLatest"] and "ETag" not in v for v in held)
            old = [{"Key": key, "VersionId": v["VersionId"]} for v in held if deleted or not v["IsLatest"]]
            for start in range(0, len(old), 1000):
                self._delete(collection, key, old[start : start + 1000])

    def _delete(self, collection: Collection, key: str, versions: list[dict[str, str]]) -> None:
        answer = self._bucket.call(collection, "delete_objects", Delete={"Objects": versions, "Quiet": True})
        for refused in answer.get("Errors", ()):
            if refused["Code"] == "AccessDenied":
                said = f"{collection.path}: {key}: a version may not be deleted (Object Lock?)"
                raise StoreFault("missing_permission", said)
            raise RuntimeError(f"{collection.path}: S3 kept versions: {refused['Code']}")

    # -- looking -----------------------------------------------------------------------------

    def sample(self, collection: Collection, count: int) -> list[Record]:
        """See `base.Store.sample`: of the newest files."""
        return [Record(values) for values in newest.sample(self._bucket, collection, count)]

    def check(self, collection: Collection) -> list[StoreFault]:
        """See `base.CheckingStore.check`. Whether files may be written shows in the role alone."""
        return newest.faults(self._bucket, collection)

    # -- retention ---------------------------------------------------------------------------

    def expired(
        self, collection: Collection, before: datetime, after: Cursor, limit: int, since: str = ""
    ) -> Expired:
        """See `base.ExpiringStore.expired`. A record here is a whole object, of a partition that is over.

        Partitions are judged by the date in their key, which is that of the records in them.
        """
        del since  # what went before is gone, so each walk begins where there is something left
        partition = collection.options.get("partition")
        if not partition or partition["field"] != collection.retention["from"]:
            said = f"{collection.path}: no `partition` by {collection.retention['from']}"
            raise StoreFault("missing_index", said)
        found, day, ordered = list[Record](), "", partitions.in_order(collection)
        for key, _ in self._versions(collection, after or ""):
            first, over = partitions.ends(collection, key)
            if over <= before:
                day = f"{first:%Y-%m-%d}"
                found.append(Record({OBJECT: key, "@passed": True, collection.retention["from"]: day}))
                if len(found) == limit:
                    return Expired(found, key, day=day)
            elif ordered:
                break  # all that follows is younger
        return Expired(found, None, day=day)


def _with_last(
    objects: Iterator[tuple[str, list[LakeObject]]],
) -> Iterator[tuple[str, list[LakeObject], bool]]:
    """Each of them, and whether it is the last one."""
    held = next(objects, None)
    while held is not None:
        following = next(objects, None)
        yield *held, following is None
        held = following
