"""The files of one collection, written in one pass over its records, a slice at a time.

    data/STORE/COLLECTION.jsonl     every record, exact
    data/STORE/COLLECTION.csv       the same as a table, where it is one
    portable/STORE/COLLECTION.jsonl what the person provided (GDPR Art. 20)
    viewer/STORE/COLLECTION/N.js    the same records again, for the page: browsers let a page in a folder load
                                    scripts from beside it, and nothing else

A slice ends where memory has enough of it; the next one has `-2` after its name. Between slices the work can
be put aside. What stands in a JSON Lines file and in the page's scripts is compressed once.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from dsr.bundle import cells
from dsr.bundle.archive import Archive, Member
from dsr.bundle.packing import Packed, block_of, content_of
from dsr.datamap.plan import Collection
from dsr.records import from_lines, to_json_text, to_line, tree_of

# A page of the viewer: what a phone reads in a moment.
_PAGE_BYTES = 512 * 1024
_PAGE_RECORDS = 1000
# A slice: what is held compressed bounds the memory, and a spreadsheet has 1,048,576 rows.
_HELD_BYTES = 24 * 1024 * 1024
_SLICE_BYTES = 128 * 1024 * 1024
_SLICE_RECORDS = 1_000_000
# More columns make no table, but a heap: then the JSON Lines stand alone.
MOST_COLUMNS = 200

PREVIEW = 20  # records that the page shows without its script
_PREVIEW_COLUMNS = 12
_PREVIEW_LENGTH = 300

FILE = "file_in_bundle"  # the field that names a record's file, added by us

# What counts for the timeline: the time from which the record is kept, else the first that is named like one.
_TIMED = re.compile(r"(^|_)(at|on|time|date|timestamp)$")
_DAY = re.compile(r"(19[7-9]\d|20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
# Art. 20 holds for what is processed on these bases.
_PORTABLE = ("consent", "contract")


@dataclass
class Table:
    """What the bundle holds of one collection so far, as JSON knows it."""

    parts: int = 0  # staged parts that are in it
    records: int = 0
    portable: int = 0
    slices: list[dict[str, Any]] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)  # records in each
    columns: dict[str, list[str]] = field(default_factory=dict)  # kinds of values by name
    days: dict[str, int] = field(default_factory=dict)  # records by day
    preview: list[dict[str, str]] = field(default_factory=list)
    files: list[list[str]] = field(default_factory=list)  # path in the bundle, key of the original

    def is_flat(self) -> bool:
        """Whether it makes a table."""
        return len(self.columns) <= MOST_COLUMNS


class SliceWriter:
    """One slice of a collection's files, held compressed until `finish` writes it to the archive."""

    def __init__(self, archive: Archive, collection: Collection, table: Table) -> None:
        self._archive, self._collection, self._table = archive, collection, table
        self._number = len(table.slices) + 1
        self._timed = timed_fields(collection)
        provides = collection.basis in _PORTABLE
        self._provided = tree_of(n for n, f in collection.fields.items() if f.provided and provides)
        self._lines, self._csv, self._portable = Packed(), Packed(), Packed()
        self._csv_columns: list[str] | None = None
        self._csv_whole = True  # no column came later than the header
        self._pages: list[Packed] = []
        self._held = self._records = self._portable_records = 0
        self._page: list[dict[str, Any]] = []
        self._page_lines: list[bytes] = []
        self._page_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the slice should end."""
        return (
            self._held >= _HELD_BYTES or self._lines.size >= _SLICE_BYTES or self._records >= _SLICE_RECORDS
        )

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Take in the records of a part, as they may be disclosed."""
        self.add_written((record, None) for record in records)

    def add_written(self, records: Iterable[tuple[dict[str, Any], bytes | None]]) -> None:
        """The same, with each record's line where it is written already: that takes a fifth less."""
        for values, written in records:
            line = to_line(values) if written is None else written
            self._page.append(values)
            self._page_lines.append(line)
            self._page_bytes += len(line)
            if self._page_bytes >= _PAGE_BYTES or len(self._page) >= _PAGE_RECORDS:
                self._end_page()

    def finish(self) -> list[Member]:
        """Write the slice's files and note them in the table; returns what was written."""
        self._end_page()
        if not self._records:
            return []
        if self._table.is_flat() and not self._csv_whole:
            self._csv = self._csv_anew()
        where = f"{self._collection.store}/{self._collection.name}"
        ending = f"-{self._number}" if self._number > 1 else ""
        files = [("jsonl", f"data/{where}{ending}.jsonl", self._lines)]
        if self._table.is_flat():
            files.append(("csv", f"data/{where}{ending}.csv", self._csv))
        if self._portable.size:
            files.append(("portable", f"portable/{where}{ending}.jsonl", self._portable))
        members = [self._archive.add_packed(path, content) for _, path, content in files]
        first = len(self._table.pages) - len(self._pages)
        for number, page in enumerate(self._pages, first):
            members.append(self._archive.add_packed(page_path(self._collection, number), page))
        named = {kind: path for kind, path, _ in files}
        columns = len(self._table.columns)
        self._table.slices.append({"records": self._records, "columns": columns, **named})
        return members

    def _end_page(self) -> None:
        records = self._page
        if not records:
            return
        content = b"".join(self._page_lines)
        block = self._lines.add(content)
        self._pages.append(page_script(self._collection.path, len(self._table.pages), content, block))
        self._held += self._pages[-1].packed_size if self._pages[-1].blocks[1] is not block else 0
        self._held += len(block)
        self._records += len(records)
        self._table.records += len(records)
        self._table.pages.append(len(records))
        if len(self._table.preview) < PREVIEW:
            self._table.preview += map(_preview, records[: PREVIEW - len(self._table.preview)])
        self._add_table(records)
        if self._provided:
            self._add_portable(records)
        self._page, self._page_lines, self._page_bytes = [], [], 0

    # -- the table -------------------------------------------------------------------------------

    def _add_table(self, records: list[dict[str, Any]]) -> None:
        columns = self._table.columns
        if not self._table.is_flat():
            return
        for name in dict.fromkeys(chain.from_iterable(records)):
            columns.setdefault(name, [])
        if not self._table.is_flat():
            return
        names = list(columns)
        by_column, kinds = cells.columns_of(records, names)
        for name, found in zip(names, kinds, strict=True):
            if not found.issubset(columns[name]):
                columns[name] = sorted(found.union(columns[name]))
        timed = next((name for name in self._timed if name in columns), None)
        if timed:
            self._count_days(record.get(timed) for record in records)
        if self._csv_columns is None:
            self._csv_columns = names
            self._csv.add(cells.header_of(names))
        self._csv_whole = self._csv_whole and names == self._csv_columns
        if self._csv_whole:
            self._held += len(self._csv.add(cells.lines_of(by_column)))

    def _csv_anew(self) -> Packed:
        """The slice's table once all its columns are known: not every record has every field."""
        names = list(self._table.columns)
        table = Packed(cells.header_of(names))
        for block in self._lines.blocks:
            by_column, _ = cells.columns_of(list(from_lines(content_of(block))), names)
            table.add(cells.lines_of(by_column))
        return table

    def _count_days(self, values: Iterator[Any]) -> None:
        days = self._table.days
        for day, count in Counter(v[:10] for v in values if isinstance(v, str)).items():
            if _DAY.fullmatch(day):
                days[day] = days.get(day, 0) + count

    # -- what the person provided ----------------------------------------------------------------

    def _add_portable(self, records: list[dict[str, Any]]) -> None:
        lines = [to_line(given) for record in records if (given := self._given(record))]
        if lines:
            self._portable_records += len(lines)
            self._table.portable += len(lines)
            self._held += len(self._portable.add(b"".join(lines)))

    def _given(self, record: dict[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = _only(record, self._provided)
        if "content" in self._provided and FILE in record:
            given[FILE] = record[FILE]
        return given


def timed_fields(collection: Collection) -> list[str]:
    """The fields that may tell when a record came about, the likeliest first."""
    births = (collection.born, "birth_date", "date_of_birth")
    named = [n for n in collection.fields if _TIMED.search(n) and n not in births]
    likely = [str(collection.retention.get("from", "")), *named, "last_modified"]
    return [name for name in likely if name and "." not in name]


def page_path(collection: Collection, number: int) -> str:
    """Where a page of records for the viewer lies."""
    return f"viewer/{collection.store}/{collection.name}/{number}.js"


def page_script(path: str, number: int, lines: bytes, block: bytes) -> Packed:
    """A page of JSON lines as a script that hands them over as one text, for the viewer to parse.

    A text, since an object literal would take `__proto__` for more than a name. In `String.raw` only a
    backtick and `${` mean anything; both can stand in JSON only within a string, where it has another way to
    write them.
    """
    safe = lines.replace(b"`", rb"\u0060").replace(b"${", rb"\u0024{")
    script = Packed(b'dsr("%s",%d,String.raw`' % (path.encode(), number))
    script.add(safe, block if safe == lines else block_of(safe))
    script.add(b"`);\n")
    return script


def _preview(record: dict[str, Any]) -> dict[str, str]:
    names = list(record)[:_PREVIEW_COLUMNS]
    return {_short(name): _short(_as_text(record[name])) for name in names}


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json_text(value)


def _short(text: str) -> str:
    short = text if len(text) <= _PREVIEW_LENGTH else text[:_PREVIEW_LENGTH] + "…"
    return short.encode(errors="replace").decode()  # half a surrogate pair is no text


def _only(value: Any, tree: dict[str, Any]) -> Any:
    """What of the value is named in the tree, in each item where a list lies on the way."""
    if not tree:
        return value
    if isinstance(value, dict):
        kept = {name: _only(value[name], below) for name, below in tree.items() if name in value}
        return {name: v for name, v in kept.items() if v not in (None, {}, [])}
    return [_only(item, tree) for item in value] if isinstance(value, list) else value
