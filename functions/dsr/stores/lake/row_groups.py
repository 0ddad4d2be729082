"""A row group of Parquet written anew: a column after the other, as it was written before.

No more than one column is in memory at once, and what is written goes straight to the upload. Where only
fields are masked, the other columns are copied as they are, byte by byte. Parquet wants all columns of a row
group to have the same rows; one with a column too large for memory becomes several row groups of fewer rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsr.stores.lake.columns import is_bytes, is_text, told
from dsr.stores.lake.footer import MAGIC, TAIL, Chunk, Footer, Group
from dsr.stores.lake.objects import Malformed
from dsr.stores.lake.upload import Upload
from dsr.treatments import Masks, Treatment

DECODED = 48 * 1024 * 1024  # of one column at once; of a slice of all half as much
_MOST_ROWS = 64 * 1024 * 1024  # in a row group, as pyarrow writes them
_LEAST_ROWS = 256
_CODECS = {"UNCOMPRESSED": "NONE", "LZ4": "LZ4_RAW"}

# The batches of some columns (None: of all) of a row group, of so many rows (0: what is good for reading).
Batches = Callable[[int, Sequence[str] | None, int], Iterator[Any]]


class RowGroups:
    """Writes row groups of a file anew. `batches` reads them."""

    def __init__(self, metadata: Any, schema: Any, batches: Batches) -> None:
        self._metadata, self._schema, self._batches = metadata, schema, batches
        if len(set(schema.names)) < len(schema.names):
            raise Malformed("has two columns of one name", "unsupported")

    def check(self, number: int, masks: Masks) -> None:
        """Raises Malformed if the row group could not be written anew, or these masks not put into it."""
        self._check_alike(self._as_before(number))
        nothing = pa.RecordBatch.from_pylist([], self._schema)
        _masked(nothing, pa.array([], pa.bool_()), masks)

    def anew(
        self, upload: Upload, number: int, group: Group, positions: Sequence[int], masks: Masks
    ) -> list[Group]:
        """Append the row group `number` without these rows, or with them masked. Returns what it became."""
        if not upload.at:
            upload.write(MAGIC)
        if len(positions) == group.rows and not masks:
            return []
        writing = self._as_before(number)
        self._check_alike(writing)
        stay = _all_but(positions, group.rows)
        columns = {name: list(chunks) for name, chunks in groupby(group.chunks, lambda chunk: chunk.field)}
        if list(columns) != self._schema.names:
            raise Malformed("has row groups that lack columns", "unsupported")
        if missing := masks.keys() - columns.keys():
            raise Malformed(f"has no column `{min(missing)}`", "missing_field")
        sizes = {name: self._decoded(number, name, chunks) for name, chunks in columns.items()}
        if max(sizes.values()) > DECODED or group.rows > _MOST_ROWS:
            rows = min(max(_LEAST_ROWS, group.rows * DECODED // 2 // sum(sizes.values())), _MOST_ROWS)
            return list(self._in_slices(upload, number, group, rows, stay, masks, writing))
        made, rows = list[Chunk](), group.rows
        tables = self._ahead(number, {n: sizes[n] for n in columns if not masks or n in masks}, stay, masks)
        for name, chunks in columns.items():
            if masks and name not in masks:
                made += [_copied(upload, chunk) for chunk in chunks]
            else:
                written, rows = self._written(upload, next(tables), writing)
                made += written
        return [group.of(made, rows)]

    def _ahead(self, number: int, sizes: Mapping[str, int], stay: Any, masks: Masks) -> Iterator[Any]:
        """The columns, edited; while one is encoded the next is fetched and decoded, if both are small."""
        with ThreadPoolExecutor(1) as pool:
            reading: Future[Any] | None = None
            for name, following in pairwise([*sizes, ""]):
                table = reading.result() if reading else self._column(number, name, stay, masks)
                small = following and sizes[name] + sizes[following] <= DECODED
                reading = pool.submit(self._column, number, following, stay, masks) if small else None
                yield table
                del table  # before the next one

    def _column(self, number: int, name: str, stay: Any, masks: Masks) -> Any:
        wanted = {name: masks[name]} if masks else {}
        batches = _edited(self._batches(number, [name], 0), stay, wanted)
        return pa.Table.from_batches(batches, pa.schema([self._schema.field(name)]))

    def _in_slices(
        self,
        upload: Upload,
        number: int,
        group: Group,
        rows: int,
        stay: Any,
        masks: Masks,
        writing: dict[str, Any],
    ) -> Iterator[Group]:
        begin = 0
        for batch in self._batches(number, None, rows):
            held = stay.slice(begin, batch.num_rows)
            begin += batch.num_rows
            table = pa.Table.from_batches(_edited([batch], held, masks), self._schema)
            del batch
            if table.num_rows:
                yield group.of(*self._written(upload, table, writing))
            del table  # before the next one

    def _decoded(self, number: int, name: str, chunks: Sequence[Chunk]) -> int:
        """How many bytes the column takes in memory, at least as many."""
        kind = self._schema.field(name).type
        rows: int = self._metadata.row_group(number).num_rows
        if is_text(kind) or is_bytes(kind):
            if (texts := chunks[0].decoded) is not None:
                return texts + 4 * rows
            if chunks[0].has_dictionary:  # a long text may stand for itself by a few bits: it is looked
                return sum(batch.nbytes for batch in self._batches(number, [name], 0))
        wide = kind.bit_width // 8 * rows if pa.types.is_primitive(kind) else 0
        return max(wide, sum(chunk.sizes[0] for chunk in chunks))

    def _written(self, upload: Upload, table: Any, writing: Mapping[str, Any]) -> tuple[list[Chunk], int]:
        """Append these columns as one row group; returns them in their places, and how many rows it has."""
        begin = upload.at
        sink = _Data(upload)
        with told(), pq.ParquetWriter(sink, table.schema, **writing) as writer:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            sink.end()
        [group] = Footer.read(sink.footer[:-TAIL]).groups
        group = group.moved(begin - len(MAGIC))
        if (group.start, group.end) != (begin, upload.at):
            raise RuntimeError("a row group was not written where its footer says")
        return list(group.chunks), group.rows

    def _as_before(self, number: int) -> dict[str, Any]:
        """How the columns of the row group are written, for what takes its place."""
        held = self._metadata.row_group(number)
        columns = [held.column(n) for n in range(held.num_columns)]
        physical = {column.physical_type for column in columns}
        decimals = any(
            str(self._metadata.schema.column(n).logical_type).startswith("Decimal")
            and self._metadata.schema.column(n).physical_type in ("INT32", "INT64")
            for n in range(held.num_columns)
        )
        return {
            "compression": {c.path_in_schema: _CODECS.get(c.compression, c.compression) for c in columns},
            "use_dictionary": [c.path_in_schema for c in columns if c.has_dictionary_page] or False,
            "store_schema": False,
            "version": "1.0" if self._metadata.format_version == "1.0" else "2.6",
            "use_deprecated_int96_timestamps": "INT96" in physical,
            "store_decimal_as_integer": decimals,
            "use_compliant_nested_type": any(".list.element" in c.path_in_schema for c in columns)
            or not any(".list." in c.path_in_schema for c in columns),
        }

    def _check_alike(self, writing: Mapping[str, Any]) -> None:
        """Raises Malformed if what is written would not fit into the old file's schema."""
        sink = pa.BufferOutputStream()
        with told():
            pq.ParquetWriter(sink, self._schema, **writing).close()
            made = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
        was = self._metadata.schema
        if len(was) == len(made):
            differing = [n for n in range(len(was)) if _leaf(was.column(n)) != _leaf(made.column(n))]
        else:
            differing = [0]
        if differing:
            name = was.column(differing[0]).path
            raise Malformed(f"has a column `{name}` of a kind that cannot be written again", "unsupported")


class _Data:
    """Takes the file that a writer makes: its data goes on to the upload, its footer is kept."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._skip = len(MAGIC)
        self._ended = False
        self.footer = b""
        self.closed = False

    def write(self, content: Any) -> int:
        """As a file does."""
        size = len(content)
        if self._ended:
            self.footer += bytes(content)
            return size
        skipped = min(self._skip, size)
        self._skip -= skipped
        self._upload.write(memoryview(content)[skipped:])
        return size

    def end(self) -> None:
        """What comes now is the footer."""
        self._ended = True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """As a file does."""
        self.closed = True


def _copied(upload: Upload, chunk: Chunk) -> Chunk:
    by = upload.at - chunk.start
    upload.copy(chunk.start, chunk.end)
    return chunk.moved(by)


def _leaf(column: Any) -> tuple[Any, ...]:
    """What a column's bytes must agree in with the schema that they are read by."""
    return (
        column.path,
        column.physical_type,
        column.length,
        column.max_definition_level,
        column.max_repetition_level,
        # Older writers note the unit of an INT96 nowhere.
        str(column.logical_type) if column.physical_type != "INT96" else "",
    )


# -- rows that go, or are masked -------------------------------------------------------------------


def _all_but(positions: Sequence[int], count: int) -> Any:
    """Of `count` rows, which are not at these positions."""
    bits = bytearray(b"\xff") * (count // 8 + 1)
    for position in positions:
        bits[position // 8] &= ~(1 << position % 8)
    return pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(bits)])


def _edited(batches: Iterator[Any] | list[Any], stay: Any, masks: Masks) -> list[Any]:
    """The batches without the rows that do not stay, or with their fields masked."""
    edited, begin = [], 0
    for batch in batches:
        held = stay.slice(begin, batch.num_rows)
        begin += batch.num_rows
        if held.false_count:
            batch = _masked(batch, held, masks) if masks else batch.filter(held)
        edited.append(batch)
    return edited


def _masked(batch: Any, stay: Any, masks: Masks) -> Any:
    for name, treatment in masks.items():
        number = batch.schema.get_field_index(name)
        field = batch.schema.field(number)
        if treatment.masking.how == "null" and not field.nullable:
            raise Malformed(f"has a column `{name}` that must hold something", "unsupported")
        held = batch.column(number)
        if treatment.is_constant:
            if treatment.masking.how == "constant" and not is_text(field.type):
                raise Malformed(f"has a column `{name}` that cannot be masked so", "unsupported")
            put = pa.scalar(treatment.masking.to, field.type)
            # What is nothing stays nothing.
            changed = pc.if_else(pc.or_(stay, pc.is_null(held)), held, put)
        else:
            changed = _treated(treatment, field, held, stay)
        batch = batch.set_column(number, field, changed)
    return batch


def _treated(treatment: Treatment, field: Any, held: Any, stay: Any) -> Any:
    """The column with the values of the rows that do not stay as the treatment leaves them."""
    values = held.to_pylist()
    try:
        for position in pc.indices_nonzero(pc.invert(stay)).to_pylist():
            values[position] = treatment.apply(values[position])
        return pa.array(values, field.type)
    except (ValueError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError):
        said = f"has a column `{field.name}` whose values cannot be masked so"
        raise Malformed(said, "unsupported") from None
