"""What every kind of store does: the same verbs, in pages, to the end, resumable, never silently partial."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol, overload, runtime_checkable

from dsr.datamap.plan import Collection, Way
from dsr.errors import StoreFault
from dsr.records import at_path
from dsr.retention import READS, moment
from dsr.treatments import Masks

# A place to go on from: anything that JSON can hold. None: from the beginning, or at the end.
Cursor = Any


@dataclass(frozen=True)
class Original:
    """A file that belongs to a record and is too large to be a value: where it lies."""

    bucket: str
    object_key: str
    version: str
    size: int


@dataclass(frozen=True)
class Record:
    """One record: the values by field name, and the file it stands for, if any.

    `line`: the values as the one JSON object that they were read from, where they were.
    """

    values: dict[str, Any]
    original: Original | None = None
    line: str = field(default="", compare=False, repr=False)


class Lines(Sequence[Record]):
    """Records that the store already gave as JSON objects, one text each, in the form of `dsr.records`.

    Whoever takes the texts as they are need not make a Python object of each record.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        if isinstance(at, slice):
            return [_read_line(line) for line in self.lines[at]]
        return _read_line(self.lines[at])


def _read_line(line: str) -> Record:
    return Record(json.loads(line), None, line)


@dataclass(frozen=True)
class Page:
    """Some records, and where to go on after them; `after` None means there is no more."""

    records: Sequence[Record]
    after: Cursor


@dataclass(frozen=True)
class Expired(Page):
    """Some expired records; a page may hold none and not be the last.

    `undated`: records that the page passed over since their time cannot be read. `day`: the day
    (YYYY-MM-DD) that the walk has come to: given as `since`, it goes on there, before or at the same place.
    """

    undated: int = 0
    day: str = ""


class Store(Protocol):
    """A store of one kind, opened for one store of the map."""

    erase_at_once: int

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """All records whose `way.field` equals one of `values`, in pages, from `after` on.

        Not `whole`: only the fields that locate and judge a record (`Collection.locating`), and of a
        file every version: what erasing needs. Raises StoreFault when the collection, its index or
        the permission is missing: what cannot be answered is an error, never an empty result.
        """
        ...

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        """Delete these records, found not `whole` before; or where there are `masks` (by field), mask them.

        Done again it changes nothing. A record that meanwhile belongs to somebody else (a field that
        led to it has another value) stays untouched. At most `erase_at_once` records a call. Raises
        StoreFault as `find` does.
        """
        ...

    def sample(self, collection: Collection, count: int) -> Sequence[Record]:
        """At most `count` records with all their fields, whichever are least work: to compare with the map.

        Of a collection without records one that holds nothing, where the store knows the fields. Asked under
        the credentials of whoever compares: the roles of the workers need not allow it. Raises StoreFault as
        `find` does.
        """
        ...


@runtime_checkable
class DatedStore(Store, Protocol):
    """A store whose records lie by day, so that a search can pass over days."""

    def find_since(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool, since: date
    ) -> Iterator[Page]:
        """What `find` does, where no such record is of a day before `since`."""
        ...


class FreezingStore(Store, Protocol):
    """A store whose records can be stopped from being used before they are erased."""

    def freeze(self, collection: Collection, records: Sequence[dict[str, Any]]) -> None:
        """No sign-in and no open session from now on. Done again it changes nothing."""
        ...


@runtime_checkable
class LinesStore(Store, Protocol):
    """A store that erases by the staged lines themselves, where it need not look at each."""

    def erase_lines(self, collection: Collection, lines: Sequence[bytes], masks: Masks) -> None:
        """What `erase` does with the records of these lines, of which each is {"values": …} as staged."""
        ...


@runtime_checkable
class OrderingStore(Store, Protocol):
    """A store that knows itself which collections must go before which."""

    def erase_order(self, collections: Sequence[Collection]) -> list[Collection]:
        """`collections`, which stand in the order of the map, as they can be erased."""
        ...


@runtime_checkable
class CheckingStore(Store, Protocol):
    """A store that can tell at once what is not as the map says."""

    def check(self, collection: Collection) -> list[StoreFault]:
        """All that would stop a case at this collection, without reading or changing a record."""
        ...


@runtime_checkable
class ListingStore(Store, Protocol):
    """A store that can be gone through from end to end."""

    def listing(self, collection: Collection, fields: Sequence[str], after: Cursor) -> Iterator[Page]:
        """Every record there is, of each at least `fields`, in pages, from `after` on. Raises StoreFault as
        `find` does. It reads all: for whoever looks for those who came back, never for a case."""
        ...


class ExpiringStore(Store, Protocol):
    """A store that can tell what has expired without looking at the rest."""

    def expired(
        self, collection: Collection, before: datetime, after: Cursor, limit: int, since: str = ""
    ) -> Expired:
        """At most `limit` records with `retention.from` before `before` (a midnight UTC), older days first.

        Only the key and that field. `since`: the day to begin at, for a store that walks day by day;
        "" for the very first. Records without the field do not expire. Raises StoreFault as `find` does.
        """
        ...


def expiring(collection: Collection) -> tuple[str, ...]:
    """The fields that `expired` reads: what names a record, what it is dated by, what a sweep asks for."""
    more = collection.options.get(READS, ())
    return tuple(dict.fromkeys((*collection.key, collection.retention["from"], *more)))


def sort_out(
    collection: Collection, values: Sequence[dict[str, Any]], before: datetime
) -> tuple[list[Record], int]:
    """Of what was read, the records that have expired, and how many have a time that cannot be read."""
    expired, undated = [], 0
    for record in values:
        held = at_path(record, collection.retention["from"])
        at = moment(held)
        undated += at is None and held is not None
        if at is not None and at < before:
            expired.append(Record(record))
    return expired, undated


def each_value(values: Sequence[Any], after: Cursor) -> Iterator[tuple[int, Any, Cursor]]:
    """For stores that ask once per value: (index, value, cursor within it), from `after` = [index, inner]."""
    start, inner = after if after is not None else (0, None)
    for index in range(start, len(values)):
        yield index, values[index], inner if index == start else None


def beyond(values: Sequence[Any], index: int, inner: Cursor) -> Cursor:
    """The cursor after a page of value `index`: within it, at the next value, or None at the end."""
    if inner is not None:
        return [index, inner]
    return [index + 1, None] if index + 1 < len(values) else None
