"""JSON lines and CSV, plain or gzipped, as a stream: searched as bytes, read where it may be worth it."""

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dsr.datamap.plan import Collection
from dsr.records import at_path
from dsr.stores.lake.objects import Malformed
from dsr.stores.lake.wanted import Marked, Wanted
from dsr.treatments import Masks, Treatment

_BLOCK = 4 * 1024 * 1024
_MOST = 64 * 1024 * 1024  # of one record: a file without line ends must not fill the memory
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_CODECS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Layout(Protocol):
    """How records stand in a file."""

    def cut(self, content: bytes) -> int:
        """The end of the last whole record in `content`; 0 if there is none."""
        ...

    def split(self, block: bytes) -> list[bytes]:
        """The records of a block, as they stand in it, with their line ends."""
        ...

    def begin(self, first: bytes) -> None:
        """Take note of the file's first record. Raises Malformed for a column that is not there."""
        ...

    def check(self, block: bytes) -> None:
        """Raises Malformed for what shows, without reading each record, to be none of the format."""
        ...

    def read(self, record: bytes) -> dict[str, Any] | None:
        """The record; None for a line that holds none. Raises Malformed."""
        ...

    def masked(self, record: bytes, masks: Masks) -> bytes:
        """The record with these fields masked, in the same form."""
        ...


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a file, unzipped if it is gzipped. Raises Malformed."""
    chunks = iter(chunks)
    head = next(chunks, b"")
    for sign, name in _CODECS.items():
        if head.startswith(sign):
            raise Malformed(f"is {name}, which is not read here", "unsupported")
    if not head.startswith(_GZIP):
        yield head
        yield from chunks
        return
    yield from _gunzipped(head, chunks)


def _gunzipped(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    reader = zlib.decompressobj(wbits=31)
    left: bytes | None = head
    while left is not None:
        while left:
            if reader.eof:  # a file may be several, one after the other
                reader = zlib.decompressobj(wbits=31)
            try:
                yield reader.decompress(left, _BLOCK)
            except zlib.error:
                raise Malformed("is damaged: its gzip does not fit its checksum or its form") from None
            left = reader.unused_data if reader.eof else reader.unconsumed_tail
        left = next(chunks, None)
    while more := reader.decompress(b"", _BLOCK):  # what did not fit into the last answer
        yield more
    if not reader.eof:
        raise Malformed("is cut off in the middle of its gzip")


def is_gzipped(head: bytes) -> bool:
    """Whether a file that begins so is gzipped."""
    return head.startswith(_GZIP)


def blocks(content: Iterable[bytes], layout: Layout) -> Iterator[bytes]:
    """The content in pieces of whole records. Raises Malformed."""
    held = b""
    for chunk in content:
        held += chunk
        if len(held) < _BLOCK:
            continue
        end = layout.cut(held)
        if end:
            yield held[:end]
            held = held[end:]
        elif len(held) > _MOST:
            raise Malformed(f"has a record of more than {_MOST >> 20} MB")
    while end := layout.cut(held):
        yield held[:end]
        held = held[end:]
    if held:
        # What has no line end at its end is a record all the same, if it is whole.
        layout.check(held)
        layout.read(held)
        yield held


def found(
    content: Iterable[bytes], layout: Layout, wanted: Wanted, collection: Collection
) -> Iterator[dict[str, Any]]:
    """The wanted records of a file."""
    seen = _Seen(collection, wanted)
    for block in _begun(content, layout):
        seen.look(block)
        if wanted.may_be_in(block):
            for record in layout.split(block):
                if wanted.may_be_in(record):
                    values = layout.read(record)
                    if values is not None and wanted.fits(values):
                        yield values
    seen.conclude()


def every(
    content: Iterable[bytes], layout: Layout, fields: Sequence[str], collection: Collection
) -> Iterator[dict[str, Any]]:
    """All records of a file. Raises Malformed for one that does not name these fields at all."""
    seen = _Seen(collection, Wanted(dict.fromkeys(fields, frozenset())))
    for block in _begun(content, layout):
        seen.look(block)
        for record in layout.split(block):
            if (values := layout.read(record)) is not None:
                yield values
    seen.conclude()


def records(content: Iterable[bytes], layout: Layout) -> Iterator[dict[str, Any]]:
    """All records of a file, from the first on."""
    for block in _begun(content, layout):
        for record in layout.split(block):
            if (values := layout.read(record)) is not None:
                yield values


def rewritten(
    content: Iterable[bytes], layout: Layout, marked: Marked, masks: Masks, tell: Callable[[], None]
) -> Iterator[bytes]:
    """The content of a file without the marked records, or with their fields masked.

    `tell` is called for each. All else stays as it stands, byte for byte.
    """
    for block in _begun(content, layout):
        if not marked.wanted.may_be_in(block):
            yield block
            continue
        kept = []
        for record in layout.split(block):
            values = layout.read(record) if marked.wanted.may_be_in(record) else None
            if values is None or not marked.wanted.fits(values) or not marked.holds(values):
                kept.append(record)
            elif not masks:
                tell()
            elif any(not t.is_done(at_path(values, name)) for name, t in masks.items()):
                tell()
                kept.append(layout.masked(record, masks))
            else:
                kept.append(record)
        yield b"".join(kept)


def _begun(content: Iterable[bytes], layout: Layout) -> Iterator[bytes]:
    begun = False
    for block in blocks(content, layout):
        if not begun:
            layout.begin(layout.split(block)[0])
            begun = True
        layout.check(block)
        yield block


@dataclass
class _Seen:
    """Whether a file names the fields at all that its records are found by."""

    collection: Collection
    wanted: Wanted
    missing: set[bytes] = field(default_factory=set)
    rows: bool = False

    def __post_init__(self) -> None:
        if self.collection.options["format"] == "jsonl" and not self.collection.options.get("sparse"):
            leaves = (name.rpartition(".")[2] for name in self.wanted.fields)
            self.missing = {json.dumps(leaf).encode() for leaf in leaves}

    def look(self, block: bytes) -> None:
        self.rows = self.rows or bool(block.strip())
        self.missing = {name for name in self.missing if name not in block}

    def conclude(self) -> None:
        if self.rows and self.missing:
            name = min(self.missing).decode().strip('"')
            raise Malformed(f"has no record with `{name}`", "missing_field")


# -- JSON lines ----------------------------------------------------------------------------------


class JSONLines:
    """An object of JSON a line."""

    def cut(self, content: bytes) -> int:
        """See `Layout`."""
        return content.rfind(b"\n") + 1

    def split(self, block: bytes) -> list[bytes]:
        """See `Layout`."""
        return block.splitlines(keepends=True) if b"\r" not in block else _lines(block)

    def begin(self, first: bytes) -> None:
        """See `Layout`: nothing stands before the records."""

    def check(self, block: bytes) -> None:
        """See `Layout`: each line begins and ends like an object."""
        ends = block.count(b"\n")
        if block.startswith(b"{") and block.endswith(b"}\n") and block.count(b"}\n{") == ends - 1:
            return
        for line in _lines(block):
            line = line.removeprefix(_BOM).strip()
            if line and not (line.startswith(b"{") and line.endswith(b"}")):
                raise Malformed("has a line that is no object of JSON")

    def read(self, record: bytes) -> dict[str, Any] | None:
        """See `Layout`."""
        text = record.removeprefix(_BOM).strip()
        if not text:
            return None
        try:
            values = json.loads(text)
        except ValueError:
            raise Malformed("has a line that is no JSON") from None
        if not isinstance(values, dict):
            raise Malformed("has a line that is no object of JSON")
        return values

    def masked(self, record: bytes, masks: Masks) -> bytes:
        """See `Layout`."""
        values = self.read(record) or {}
        for name, treatment in masks.items():
            if values.get(name) is not None:
                values[name] = _treated(treatment, name, values[name])
        end = b"\n" if record.endswith(b"\n") else b""
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + end


def _treated(treatment: Treatment, name: str, value: Any) -> Any:
    try:
        return treatment.apply(value)
    except ValueError as error:
        raise Malformed(f"has a field `{name}` that cannot be masked: {error}") from None


def _lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    ended = [line + b"\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


# -- CSV -----------------------------------------------------------------------------------------


class CSV:
    """Columns, quoted by RFC 4180: a quote within quotes is doubled. An empty column is nothing."""

    def __init__(self, collection: Collection, fields: Iterable[str]) -> None:
        self._collection = collection
        self._columns: list[str] = list(collection.options.get("columns", ()))
        self._delimiter: str = collection.options.get("delimiter") or ","
        self._needs = tuple(fields)
        self._header = b""

    def cut(self, content: bytes) -> int:
        """See `Layout`: after a line end that stands outside of quotes."""
        end = content.rfind(b"\n")
        while end >= 0 and content.count(b'"', 0, end) % 2:
            end = content.rfind(b"\n", 0, end)
        return end + 1

    def split(self, block: bytes) -> list[bytes]:
        """See `Layout`."""
        lines = _lines(block)
        if b'"' not in block:
            return lines
        records, held = list[bytes](), b""
        for line in lines:
            held += line
            if held.count(b'"') % 2 == 0:
                records.append(held)
                held = b""
        return [*records, held] if held else records

    def begin(self, first: bytes) -> None:
        """See `Layout`."""
        if not self._columns:
            self._columns = self._cells(first.removeprefix(_BOM))
            self._header = first
        for name in self._needs:
            if name not in self._columns:
                raise Malformed(f"has no column `{name}`", "missing_field")

    def check(self, block: bytes) -> None:
        """See `Layout`."""
        if block.count(b'"') % 2:
            raise Malformed("has a quote that is not closed")

    def read(self, record: bytes) -> dict[str, Any] | None:
        """See `Layout`."""
        if record == self._header or not record.strip():
            return None
        cells = self._cells(record)
        if len(cells) != len(self._columns):
            raise Malformed(f"has a record of {len(cells)} columns, not {len(self._columns)}")
        return {name: cell or None for name, cell in zip(self._columns, cells, strict=True)}

    def masked(self, record: bytes, masks: Masks) -> bytes:
        """See `Layout`."""
        values = self.read(record) or {}
        cells = [
            _treated(masks[name], name, values[name]) if name in masks else values[name]
            for name in self._columns
        ]
        end = "\r\n" if record.endswith(b"\r\n") else "\n" if record.endswith(b"\n") else ""
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self._delimiter, lineterminator=end).writerow(cells)
        return text.getvalue().encode()

    def _cells(self, record: bytes) -> list[str]:
        try:
            text = io.StringIO(record.decode(), newline="")
            return next(csv.reader(text, delimiter=self._delimiter, strict=True), [])
        except (ValueError, csv.Error):
            raise Malformed("has a record that is no CSV") from None


def layout_of(collection: Collection, fields: Iterable[str]) -> Layout:
    """How records stand in the files of the collection; `fields`: those that must be there."""
    return JSONLines() if collection.options["format"] == "jsonl" else CSV(collection, fields)
