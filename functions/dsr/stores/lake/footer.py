"""The footer of a Parquet file: read without loss, moved to where its data comes to lie, written.

The footer is a Thrift structure (compact protocol). It is kept as it is read, field by field, those that are
not known here included, and only the places of the data are changed. Names by parquet.thrift:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TException, TType
from thrift.transport.TTransport import TMemoryBuffer

from dsr.stores.lake.objects import Malformed

MAGIC = b"PAR1"
TAIL = 8  # the footer's length and the magic

# FileMetaData
_SCHEMA, _NUM_ROWS, _ROW_GROUPS, _ENCRYPTION = 2, 3, 4, 8
# RowGroup
_COLUMNS, _BYTES, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_COMPRESSED, _ORDINAL = 1, 2, 3, 5, 6, 7
# ColumnChunk
_FILE_PATH, _CHUNK_OFFSET, _META = 1, 2, 3
_OFFSET_INDEX, _COLUMN_INDEX = (4, 5), (6, 7)
# ColumnMetaData
_PATH, _UNCOMPRESSED, _COMPRESSED, _DATA, _INDEX, _DICTIONARY, _BLOOM = 3, 6, 7, 9, 10, 11, (14, 15)
_SIZES, _TEXT_BYTES = 16, 1  # SizeStatistics, and how many bytes its texts are when decoded

# A structure as it was read: (id, type, value) in order. A list: (type of its items, items).
Struct = list[tuple[int, int, Any]]


@dataclass(frozen=True)
class Chunk:
    """One column of a row group: where its data lies in its file."""

    raw: Struct
    start: int
    end: int

    @property
    def field(self) -> str:
        """The column of the first level that it is, or is a part of."""
        path: bytes = _get(self._meta, _PATH)[1][0]
        return path.decode()

    @property
    def has_dictionary(self) -> bool:
        """Whether its values stand in a dictionary, if not all."""
        return bool(_get(self._meta, _DICTIONARY))

    @property
    def decoded(self) -> int | None:
        """How many bytes its texts are when decoded, where the file says so."""
        sizes = _get(self._meta, _SIZES)
        return _get(sizes, _TEXT_BYTES) if sizes else None

    @property
    def sizes(self) -> tuple[int, int]:
        """Its bytes, uncompressed and as they are."""
        return _get(self._meta, _UNCOMPRESSED), _get(self._meta, _COMPRESSED)

    @property
    def _meta(self) -> Struct:
        found: Struct = _get(self.raw, _META)
        return found

    def moved(self, by: int) -> "Chunk":
        """The chunk whose data lies `by` bytes further on.

        Page indexes and Bloom filters lie apart from the data and are not brought along: readers do without.
        """
        meta = self._meta
        for place in (_DATA, _INDEX, _DICTIONARY):
            if (at := _get(meta, place)) is not None:
                # 0 is how some writers say that there is none.
                meta = _with(meta, place, TType.I64, at + by if at else 0)
        meta = _without(meta, _BLOOM)
        raw = _without(_with(self.raw, _META, TType.STRUCT, meta), (*_OFFSET_INDEX, *_COLUMN_INDEX))
        # Where a second copy of the metadata stands, by older writers: there is none. 0 says so.
        raw = _with(raw, _CHUNK_OFFSET, TType.I64, 0)
        return Chunk(raw, self.start + by, self.end + by)


@dataclass(frozen=True)
class Group:
    """A row group: its columns in the order of the schema, how many rows it has."""

    raw: Struct
    chunks: tuple[Chunk, ...]
    rows: int

    @property
    def start(self) -> int:
        """Where its data begins."""
        return min((chunk.start for chunk in self.chunks), default=0)

    @property
    def end(self) -> int:
        """Where its data ends."""
        return max((chunk.end for chunk in self.chunks), default=0)

    def moved(self, by: int) -> "Group":
        """The group whose data lies `by` bytes further on."""
        return self.of([chunk.moved(by) for chunk in self.chunks], self.rows)

    def of(self, chunks: Sequence[Chunk], rows: int) -> "Group":
        """The group with these columns instead; what else is said of it stays, such as how it is sorted."""
        uncompressed, compressed = (sum(sizes) for sizes in zip(*(c.sizes for c in chunks), strict=True))
        raw = _with(self.raw, _COLUMNS, TType.LIST, (TType.STRUCT, [chunk.raw for chunk in chunks]))
        raw = _with(raw, _BYTES, TType.I64, uncompressed)
        raw = _with(raw, _GROUP_ROWS, TType.I64, rows)
        if _get(raw, _GROUP_OFFSET) is not None:
            raw = _with(raw, _GROUP_OFFSET, TType.I64, min(chunk.start for chunk in chunks))
        if _get(raw, _GROUP_COMPRESSED) is not None:
            raw = _with(raw, _GROUP_COMPRESSED, TType.I64, compressed)
        return Group(raw, tuple(chunks), rows)

    def as_number(self, number: int) -> "Group":
        """The group as the one of that number in its file."""
        raw = self.raw
        if _get(raw, _ORDINAL) is not None:
            raw = _with(raw, _ORDINAL, TType.I16, number) if number < 2**15 else _without(raw, (_ORDINAL,))
        return replace(self, raw=raw)


@dataclass(frozen=True)
class Footer:
    """What a file says of itself, and its row groups in the order of their data."""

    raw: Struct
    groups: list[Group]

    @classmethod
    def read(cls, content: bytes) -> "Footer":
        """From its bytes, without length and magic. Raises Malformed."""
        try:
            raw = _read_struct(TCompactProtocol(TMemoryBuffer(content)))
            if _get(raw, _ENCRYPTION) is not None:
                raise Malformed("is encrypted by its columns", "unsupported")
            listed = _get(raw, _ROW_GROUPS)
            groups = [_group(group) for group in listed[1]] if listed else []
        except (TException, EOFError, TypeError, ValueError, IndexError, KeyError):
            raise Malformed("has a footer that cannot be read") from None
        for earlier, later in pairwise(group for group in groups if group.rows):
            if later.start < earlier.end:
                raise Malformed("has row groups that lie within each other", "unsupported")
        return cls(raw, groups)

    def written(self, groups: list[Group]) -> bytes:
        """The end of a file with these row groups instead: footer, length and magic."""
        numbered = [group.as_number(number) for number, group in enumerate(groups)]
        raw = _with(self.raw, _NUM_ROWS, TType.I64, sum(group.rows for group in groups))
        raw = _with(raw, _ROW_GROUPS, TType.LIST, (TType.STRUCT, [group.raw for group in numbered]))
        buffer = TMemoryBuffer()
        _write_struct(TCompactProtocol(buffer), raw)
        content: bytes = buffer.getvalue()
        return content + len(content).to_bytes(4, "little") + MAGIC


def _group(raw: Struct) -> Group:
    rows = _get(raw, _GROUP_ROWS)
    if not rows:
        return Group(raw, (), 0)  # without data, and without a place
    columns, starts, ends = _get(raw, _COLUMNS)[1], list[int](), list[int]()
    for column in columns:
        if _get(column, _FILE_PATH):
            raise Malformed("keeps its columns in other files", "unsupported")
        meta = _get(column, _META)
        if meta is None:
            raise Malformed("is encrypted by its columns", "unsupported")
        # The dictionary comes first where there is one.
        starts.append(min(at for at in (_get(meta, _DATA), _get(meta, _DICTIONARY)) if at))
        ends.append(starts[-1] + _get(meta, _COMPRESSED))
    # Old writers do not count the head of the dictionary: a column goes on to where the next one begins.
    following = dict(pairwise(sorted([*starts, max(ends)])))
    return Group(raw, tuple(map(Chunk, columns, starts, (following[at] for at in starts))), rows)


def _get(struct: Struct, number: int) -> Any:
    return next((value for name, _, value in struct if name == number), None)


def _with(struct: Struct, number: int, kind: int, value: Any) -> Struct:
    """The structure with that field, in the order of the numbers."""
    rest = [entry for entry in struct if entry[0] != number]
    return sorted([*rest, (number, kind, value)], key=lambda entry: entry[0])


def _without(struct: Struct, numbers: tuple[int, ...]) -> Struct:
    return [entry for entry in struct if entry[0] not in numbers]


def _read_struct(protocol: Any) -> Struct:
    fields: Struct = []
    protocol.readStructBegin()
    while True:
        _, kind, number = protocol.readFieldBegin()
        if kind == TType.STOP:
            break
        fields.append((number, kind, _read(protocol, kind)))
        protocol.readFieldEnd()
    protocol.readStructEnd()
    return fields


def _read(protocol: Any, kind: int) -> Any:
    if kind == TType.STRUCT:
        return _read_struct(protocol)
    if kind in (TType.LIST, TType.SET):
        inner, count = protocol.readListBegin()
        items = [_read(protocol, inner) for _ in range(count)]
        protocol.readListEnd()
        return inner, items
    return getattr(protocol, _VERBS[kind][0])()


def _write_struct(protocol: Any, fields: Struct) -> None:
    protocol.writeStructBegin("")
    for number, kind, value in fields:
        protocol.writeFieldBegin("", kind, number)
        _write(protocol, kind, value)
        protocol.writeFieldEnd()
    protocol.writeFieldStop()
    protocol.writeStructEnd()


def _write(protocol: Any, kind: int, value: Any) -> None:
    if kind == TType.STRUCT:
        _write_struct(protocol, value)
    elif kind in (TType.LIST, TType.SET):
        inner, items = value
        protocol.writeListBegin(inner, len(items))
        for item in items:
            _write(protocol, inner, item)
        protocol.writeListEnd()
    else:
        getattr(protocol, _VERBS[kind][1])(value)


_VERBS = {
    TType.BOOL: ("readBool", "writeBool"),
    TType.BYTE: ("readByte", "writeByte"),
    TType.I16: ("readI16", "writeI16"),
    TType.I32: ("readI32", "writeI32"),
    TType.I64: ("readI64", "writeI64"),
    TType.DOUBLE: ("readDouble", "writeDouble"),
    TType.STRING: ("readBinary", "writeBinary"),
}
