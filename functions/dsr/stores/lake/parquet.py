"""Parquet: of a file only those row groups are read that may hold a person, and only those written anew.

What cannot hold one shows in the statistics of the footer, and else in the one column that says whose a
record is. Row groups without any of the wanted records are never decoded; when a file is written anew they
are copied as they are, byte for byte, by S3 itself where they are large.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsr.datamap.plan import Collection
from dsr.records import at_path, each_at
from dsr.stores.lake.footer import MAGIC, TAIL, Footer, Group
from dsr.stores.lake.objects import Bucket, LakeObject, Malformed
from dsr.stores.lake.upload import Upload
from dsr.stores.lake.wanted import Marked, Wanted
from dsr.treatments import Masks, Treatment

_ROWS = 64 * 1024  # decoded at once
_STREAMED = 96 * 1024 * 1024  # a row group of more is read by pieces instead of by whole columns
_PIECE = 4 * 1024 * 1024
_COPIED = 1024 * 1024


class ParquetFile:
    """One file of a lake, opened. Raises Malformed for what is none, and for columns that it lacks."""

    def __init__(self, bucket: Bucket, collection: Collection, of: LakeObject, fields: Sequence[str]) -> None:
        self._of = of
        self._file = bucket.open(collection, of)
        with _told():
            self._check_end()
            self._metadata = pq.read_metadata(self._python_file())
            self._schema = self._metadata.schema.to_arrow_schema()
        for name in fields:
            if not self.has(name):
                raise Malformed(f"has no column `{name}`", "missing_field")

    def _check_end(self) -> None:
        if self._of.size < len(MAGIC) + TAIL:
            raise Malformed("is too short for a Parquet file")
        end = self._file.between(self._of.size - TAIL, self._of.size)
        if end.endswith(b"PARE"):
            raise Malformed("is encrypted", "unsupported")
        if not end.endswith(MAGIC):
            raise Malformed("does not end like a Parquet file")
        self._length = int.from_bytes(end[:4], "little")
        if self._length > self._of.size - TAIL:
            raise Malformed("is cut off")

    def _python_file(self) -> Any:
        return pa.PythonFile(self._file, mode="r")

    def has(self, field: str) -> bool:
        """Whether there is a column, or a part of one, of that name."""
        kind: Any = None
        for part in field.split("."):
            if kind is None:
                at = self._schema.get_field_index(part)
                kind = self._schema.field(at).type if at >= 0 else None
            elif pa.types.is_struct(kind):
                at = kind.get_field_index(part)
                kind = kind.field(at).type if at >= 0 else None
            else:
                return True  # of a list or map: what is in it shows in the records
            if kind is None:
                return False
        return True

    # -- finding -----------------------------------------------------------------------------

    def found(self, wanted: Wanted, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        """The wanted records, with these columns (of the first level), or with all."""
        for group in range(self._metadata.num_row_groups):
            masks = self._masks(group, wanted)
            if masks is None:
                continue
            for batch, mask in zip(self._batches(group, columns), masks, strict=True):
                if mask.true_count:
                    yield from _rows(batch.filter(mask))

    def _masks(self, group: int, wanted: Wanted) -> list[Any] | None:
        """Batch by batch which records are wanted; None if none is."""
        if not self._admits(group, wanted):
            return None
        columns = sorted({field.partition(".")[0] for field in wanted.fields})
        masks = [_mask(batch, wanted) for batch in self._batches(group, columns)]
        return masks if any(mask.true_count for mask in masks) else None

    def _admits(self, group: int, wanted: Wanted) -> bool:
        """Whether the footer leaves it possible that the row group holds a wanted record."""
        if wanted.form:
            return True  # the statistics are of the values as they are written
        held = self._metadata.row_group(group)
        columns = [held.column(number) for number in range(held.num_columns)]
        ranges = {c.path_in_schema: c.statistics for c in columns if c.path_in_schema in wanted.texts}
        return any(
            field not in ranges or _within(ranges[field], texts)
            for field, texts in wanted.texts.items()
            if texts
        )

    def _batches(self, group: int, columns: Sequence[str] | None) -> Iterator[Any]:
        size = self._metadata.row_group(group).total_byte_size
        with _told():
            reader = pq.ParquetFile(
                self._python_file(),
                metadata=self._metadata,
                buffer_size=_PIECE if size > 4 * _STREAMED else 0,
            )
            yield from reader.iter_batches(_ROWS, [group], columns)

    # -- writing anew ------------------------------------------------------------------------

    def rewrite(self, upload: Upload, marked: Marked, masks: Masks) -> int:
        """Append the file without the marked records, or with their fields masked, to `upload`.

        Returns how many there were; 0: nothing was appended.
        """
        footer = self._footer()
        kept: list[Group] = []  # row groups in their new places
        run: tuple[int, int, list[Group]] | None = None  # what is copied next: from, to, the groups in it
        changed = 0
        for number, group in enumerate(footer.groups):
            if not group.rows:
                continue
            positions = self._positions(number, marked, masks)
            if not positions:
                start = run[0] if run else group.start
                run = (start, group.end, [*(run[2] if run else []), group])
                continue
            kept += _copied(upload, run)
            run = None
            kept += self._anew(upload, number, group, positions, masks)
            changed += len(positions)
        if not changed:
            return 0
        kept += _copied(upload, run)
        upload.write(footer.written(kept))
        return changed

    def _footer(self) -> Footer:
        end = self._of.size - TAIL
        return Footer.read(self._file.between(end - self._length, end))

    def _positions(self, group: int, marked: Marked, masks: Masks) -> list[int]:
        """Which rows of the group are the marked ones, and not masked yet."""
        found = self._masks(group, marked.wanted)
        if found is None:
            return []
        needed = (*marked.fields, *marked.wanted.fields, *masks)
        columns = sorted({field.partition(".")[0] for field in needed})
        positions, begin = [], 0
        for batch, mask in zip(self._batches(group, columns), found, strict=True):
            if mask.true_count:
                at = pc.indices_nonzero(mask).to_pylist()
                for place, values in zip(at, _rows(batch.filter(mask)), strict=True):
                    open_ = not masks or any(
                        not t.is_done(at_path(values, name)) for name, t in masks.items()
                    )
                    if open_ and marked.holds(values):
                        positions.append(begin + place)
            begin += batch.num_rows
        return positions

    def _anew(
        self, upload: Upload, number: int, group: Group, positions: list[int], masks: Masks
    ) -> list[Group]:
        """Write a row group without these rows, or with them masked. Returns what it has become."""
        with TemporaryFile() as file:
            self._write_group(file, number, positions, masks)
            end = file.tell() - TAIL
            file.seek(end)
            length = int.from_bytes(file.read(4), "little")
            file.seek(end - length)
            made = Footer.read(file.read(length)).groups
            if not upload.at:
                upload.write(MAGIC)
            by = upload.at - len(MAGIC)
            file.seek(len(MAGIC))
            left = end - length - len(MAGIC)
            while left:
                content = file.read(min(left, _COPIED))
                upload.write(content)
                left -= len(content)
        # What was sorted stays so: records go, none changes its place.
        return [g.moved(by).as_number(0, group.sorting) for g in made if g.rows]

    def _write_group(self, file: IO[bytes], number: int, positions: list[int], masks: Masks) -> None:
        with _told(), pq.ParquetWriter(file, self._schema, **self._as_before(number)) as writer:
            begin = 0
            for batch in self._batches(number, None):
                inside = [p - begin for p in positions if begin <= p < begin + batch.num_rows]
                begin += batch.num_rows
                writer.write_batch(_changed(batch, inside, masks) if inside else batch)
        self._check_alike(file)

    def _as_before(self, number: int) -> dict[str, Any]:
        """How the columns of the row group are written, for the one that takes its place."""
        held = self._metadata.row_group(number)
        columns = [held.column(n) for n in range(held.num_columns)]
        physical = {column.physical_type for column in columns}
        decimals = any(
            str(self._metadata.schema.column(n).logical_type).startswith("Decimal")
            and self._metadata.schema.column(n).physical_type in ("INT32", "INT64")
            for n in range(held.num_columns)
        )
        codecs = {c.path_in_schema: _CODECS.get(c.compression, c.compression) for c in columns}
        return {
            "compression": codecs,
            "use_dictionary": [c.path_in_schema for c in columns if c.has_dictionary_page] or False,
            "version": "1.0" if self._metadata.format_version == "1.0" else "2.6",
            "use_deprecated_int96_timestamps": "INT96" in physical,
            "store_decimal_as_integer": decimals,
            "use_compliant_nested_type": any(".list.element" in c.path_in_schema for c in columns)
            or not any(".list." in c.path_in_schema for c in columns),
        }

    def _check_alike(self, file: IO[bytes]) -> None:
        """Raises Malformed if the new row group would not fit into the old file's schema."""
        at = file.tell()
        file.seek(0)
        with _told():
            made = pq.read_metadata(pa.PythonFile(file, mode="r")).schema
        file.seek(at)
        was = self._metadata.schema
        if len(was) == len(made):
            differing = [n for n in range(len(was)) if _leaf(was.column(n)) != _leaf(made.column(n))]
        else:
            differing = [0]
        if differing:
            name = was.column(differing[0]).path
            raise Malformed(f"has a column `{name}` of a kind that cannot be written again", "unsupported")


_CODECS = {"UNCOMPRESSED": "NONE", "LZ4": "LZ4_RAW"}


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


def _copied(upload: Upload, run: tuple[int, int, list[Group]] | None) -> list[Group]:
    """Copy what has stayed the same; returns its row groups in their new places."""
    if run is None:
        return []
    start, end, groups = run
    if not upload.at:
        start = 0  # the magic stands before the first data, and between the two there is room for no more
    by = upload.at - start
    upload.copy(start, end)
    return [group.moved(by) for group in groups]


def _changed(batch: Any, positions: list[int], masks: Masks) -> Any:
    """The batch without these rows, or with their fields masked."""
    stay = [True] * batch.num_rows
    for position in positions:
        stay[position] = False
    mask = pa.array(stay)
    if not masks:
        return batch.filter(mask)
    for name, treatment in masks.items():
        number = batch.schema.get_field_index(name)
        if number < 0:
            raise Malformed(f"has no column `{name}`", "missing_field")
        field = batch.schema.field(number)
        if treatment.masking.how == "null" and not field.nullable:
            raise Malformed(f"has a column `{name}` that must hold something", "unsupported")
        held = batch.column(number)
        if treatment.is_constant:
            if treatment.masking.how == "constant" and not _is_text(field.type):
                raise Malformed(f"has a column `{name}` that cannot be masked so", "unsupported")
            put = pa.scalar(treatment.masking.to, field.type)
            # What is nothing stays nothing.
            changed = pc.if_else(pc.or_(mask, pc.is_null(held)), held, put)
        else:
            changed = _treated(treatment, field, held, positions)
        batch = batch.set_column(number, field, changed)
    return batch


def _treated(treatment: Treatment, field: Any, held: Any, positions: list[int]) -> Any:
    """The column with the values of these rows as the treatment leaves them."""
    values = held.to_pylist()
    try:
        for position in positions:
            values[position] = treatment.apply(values[position])
        return pa.array(values, field.type)
    except (ValueError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError):
        said = f"has a column `{field.name}` whose values cannot be masked so"
        raise Malformed(said, "unsupported") from None


def _mask(batch: Any, wanted: Wanted) -> Any:
    """Which rows of the batch are wanted."""
    mask: Any = None
    for field in wanted.fields:
        here = _mask_of(batch, field, wanted)
        mask = here if mask is None else pc.or_(mask, here)
    return pa.array([False] * batch.num_rows) if mask is None else mask


def _column(batch: Any, field: str) -> Any:
    """The column of that name; of a nested one as far as structures go, then the part that is left."""
    head, *rest = field.split(".")
    column = batch.column(batch.schema.get_field_index(head))
    for part in rest:
        if not pa.types.is_struct(column.type):
            return None
        column = pc.struct_field(column, part)
    return column


def _mask_of(batch: Any, field: str, wanted: Wanted) -> Any:
    """Which rows have one of the wanted values in that field."""
    column, texts = _column(batch, field), wanted.texts[field]
    kind = None if column is None else column.type
    if kind is not None and pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if kind is not None and _is_bytes(kind):
        raise Malformed(f"has `{field}` as bytes that are not said to be text", "unsupported")
    if kind is not None and _is_text(kind) and wanted.form in ("", "lower"):
        if not wanted.form:
            return pc.is_in(column, value_set=pa.array(sorted(texts), kind))
        # By the library's folding first, since it is fast and finds more; then by ours, since it is exact.
        folded = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        rough = pc.is_in(folded, value_set=pa.array(sorted({t.lower() for t in texts}), kind))
        flags = [False] * len(column)
        for place in pc.indices_nonzero(rough).to_pylist():
            flags[place] = wanted.has(field, column[place].as_py())
        return pa.array(flags)
    if kind is not None and pa.types.is_integer(kind) and not wanted.form:
        return pc.is_in(column, value_set=pa.array(_numbers(texts, kind), kind))
    head = field.partition(".")[0]
    rows = _rows(batch.select([head]))
    return pa.array([any(wanted.has(field, v) for v in each_at(row, field)) for row in rows], pa.bool_())


def _numbers(texts: frozenset[str], kind: Any) -> list[int]:
    """Those of the texts that are whole numbers of that kind, written as such."""
    bits = kind.bit_width
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if pa.types.is_signed_integer(kind) else (0, 2**bits)
    numbers = [int(t) for t in texts if t.removeprefix("-").isdecimal()]
    return sorted(n for n in numbers if least <= n < most and str(n) in texts)


def _within(statistics: Any, texts: frozenset[str]) -> bool:
    """Whether a column with these statistics may hold one of the texts."""
    if statistics is None or not statistics.has_min_max:
        return True
    least, most = statistics.min, statistics.max
    if isinstance(least, str) and isinstance(most, str):
        return any(least <= text <= most for text in texts)
    if type(least) is int and type(most) is int:
        return any(least <= int(t) <= most for t in texts if t.removeprefix("-").isdecimal())
    return True


def _rows(batch: Any) -> list[dict[str, Any]]:
    """The rows as records. Times keep their digits, and those with a zone their moment."""
    for number, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type):
            column = batch.column(number)
            if field.type.tz:
                column = pc.cast(column, pa.timestamp(field.type.unit, "UTC"))
            if field.type.unit == "ns":
                column = _nanoseconds(column)
            batch = batch.set_column(number, field.name, column)
    try:
        found: list[dict[str, Any]] = batch.to_pylist()
    except ValueError:  # a time in a structure, finer than Python's
        raise Malformed("has nested times of nanoseconds", "unsupported") from None
    return found


def _nanoseconds(column: Any) -> Any:
    try:
        return pc.cast(column, pa.timestamp("us", column.type.tz))
    except pa.ArrowInvalid:
        return pc.cast(column, pa.string())


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


@contextmanager
def _told() -> Iterator[None]:
    """What the library finds wrong with a file, as Malformed: its own words may hold values."""
    try:
        yield
    except pa.ArrowNotImplementedError:
        raise Malformed("is written in a way that is not read here", "unsupported") from None
    except (pa.ArrowException, OSError):
        raise Malformed("cannot be read as Parquet") from None
