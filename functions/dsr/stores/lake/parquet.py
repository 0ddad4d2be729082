"""Parquet: of a file only those row groups are read that may hold a person, and only those written anew.

What cannot hold one shows in the statistics of the footer, and else in the one column that says whose a
record is. Row groups without any of the wanted records are never decoded; when a file is written anew they
are copied as they are, byte for byte, by S3 itself where they are large.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsr.datamap.plan import Collection
from dsr.records import at_path
from dsr.stores.lake.columns import mask_of, rows, told, within
from dsr.stores.lake.footer import MAGIC, TAIL, Footer, Group
from dsr.stores.lake.objects import Bucket, LakeObject, Malformed
from dsr.stores.lake.row_groups import RowGroups
from dsr.stores.lake.upload import Upload
from dsr.stores.lake.wanted import Marked, Wanted
from dsr.treatments import Masks

_ROWS = 64 * 1024  # decoded at once, at most
_DECODED = 32 * 1024 * 1024
_KEPT_ROWS = 2 * 1024 * 1024
_WHOLE = 8 * 1024 * 1024  # of S3 at once: what is larger is read by pieces
_PIECE = 4 * 1024 * 1024
_LEAST_PIECE = 64 * 1024


class ParquetFile:
    """One file of a lake, opened. Raises Malformed for what is none, and for columns that it lacks."""

    def __init__(self, bucket: Bucket, collection: Collection, of: LakeObject, fields: Sequence[str]) -> None:
        self._of = of
        self._file = bucket.open(collection, of)
        with told():
            self._check_end()
            self._metadata = pq.read_metadata(self._python_file())
            self._schema = self._metadata.schema.to_arrow_schema()
        self._kept: tuple[int, dict[str, list[Any]]] = (-1, {})  # columns of a row group, decoded
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

    @property
    def columns(self) -> list[str]:
        """The columns of the first level."""
        return list(self._schema.names)

    def check(self, masks: Masks) -> None:
        """Raises Malformed if the file could not be written anew, or these masks not put into it."""
        if self._metadata.num_row_groups:
            RowGroups(self._metadata, self._schema, self._batches).check(0, masks)

    def first(self, count: int) -> Iterator[dict[str, Any]]:
        """The first `count` records, of the first row group that has any."""
        for group in range(self._metadata.num_row_groups):
            if self._metadata.row_group(group).num_rows:
                yield from rows(next(self._batches(group, None, max(1, count))))
                return

    def every(self, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All records, with the columns of these fields. Raises Malformed where those cannot be compared."""
        columns = sorted({name.partition(".")[0] for name in fields})
        compared = Wanted(dict.fromkeys(fields, frozenset()))
        for group in range(self._metadata.num_row_groups):
            for batch in self._batches(group, columns):
                mask_of(batch, compared)
                yield from rows(batch)

    # -- finding -----------------------------------------------------------------------------

    def found(self, wanted: Wanted, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        """The wanted records, with these columns (of the first level), or with all."""
        for group in range(self._metadata.num_row_groups):
            masks = self._masks(group, wanted)
            if masks is None:
                continue
            for batch, mask in zip(self._batches(group, columns), masks, strict=True):
                if mask.true_count:
                    yield from rows(batch.filter(mask))

    def _masks(self, group: int, wanted: Wanted) -> list[Any] | None:
        """Batch by batch which records are wanted; None if none is."""
        if not self._admits(group, wanted):
            return None
        columns = sorted({field.partition(".")[0] for field in wanted.fields})
        masks = [mask_of(batch, wanted) for batch in self._looked_at(group, columns)]
        return masks if any(mask.true_count for mask in masks) else None

    def _admits(self, group: int, wanted: Wanted) -> bool:
        """Whether the footer leaves it possible that the row group holds a wanted record."""
        if wanted.form:
            return True  # the statistics are of the values as they are written
        held = self._metadata.row_group(group)
        columns = [held.column(number) for number in range(held.num_columns)]
        ranges = {c.path_in_schema: c.statistics for c in columns if c.path_in_schema in wanted.texts}
        return any(
            field not in ranges or within(ranges[field], texts)
            for field, texts in wanted.texts.items()
            if texts
        )

    def _looked_at(self, group: int, columns: Sequence[str]) -> Iterator[Any]:
        """The columns that are looked at, batch by batch; kept where they are small, for what comes next."""
        held = self._metadata.row_group(group)
        if group != self._kept[0]:
            self._kept = (group, {})
        kept = self._kept[1]
        missing = [name for name in columns if name not in kept]
        if held.num_rows > _KEPT_ROWS or sum(self._size(held, name) for name in missing) > _DECODED:
            yield from self._batches(group, columns)
            return
        batches = list(self._batches(group, missing)) if missing else []
        kept |= {name: [batch.column(name) for batch in batches] for name in missing}
        schema = pa.schema([self._schema.field(name) for name in columns])
        for arrays in zip(*(kept[name] for name in columns), strict=True):
            yield pa.RecordBatch.from_arrays(list(arrays), schema=schema)

    @staticmethod
    def _size(held: Any, name: str) -> int:
        columns = (held.column(number) for number in range(held.num_columns))
        return sum(c.total_uncompressed_size for c in columns if c.path_in_schema.partition(".")[0] == name)

    def _batches(self, group: int, columns: Sequence[str] | None, count: int = 0) -> Iterator[Any]:
        """The row group by batches of `count` rows; of as many as fit well into memory, if it is 0."""
        if (
            not count
            and columns
            and group == self._kept[0]
            and all(name in self._kept[1] for name in columns)
        ):
            yield from self._looked_at(group, columns)
            return
        held = self._metadata.row_group(group)
        read = [held.column(number) for number in range(held.num_columns)]
        if columns is not None:
            read = [c for c in read if c.path_in_schema.partition(".")[0] in columns]
        whole = sum(column.total_compressed_size for column in read) <= _WHOLE
        piece = 0 if whole else max(_LEAST_PIECE, min(_PIECE, 4 * _PIECE // max(1, len(read))))
        count = count or min(_ROWS, max(1, held.num_rows * _DECODED // max(1, held.total_byte_size)))
        with told():
            reader = pq.ParquetFile(
                self._python_file(), metadata=self._metadata, buffer_size=piece, pre_buffer=whole
            )
            yield from reader.iter_batches(count, [group], columns, use_threads=False)

    # -- writing anew ------------------------------------------------------------------------

    def rewrite(self, upload: Upload, marked: Marked, masks: Masks) -> int:
        """Append the file without the marked records, or with their fields masked, to `upload`.

        Returns how many there were; 0: nothing was appended.
        """
        footer = self._footer()
        writer = RowGroups(self._metadata, self._schema, self._batches)
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
            kept += writer.anew(upload, number, group, positions, masks)
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
        for batch, mask in zip(self._looked_at(group, columns), found, strict=True):
            if mask.true_count:
                at = pc.indices_nonzero(mask).to_pylist()
                for place, values in zip(at, rows(batch.filter(mask)), strict=True):
                    open_ = not masks or any(
                        not t.is_done(at_path(values, name)) for name, t in masks.items()
                    )
                    if open_ and marked.holds(values):
                        positions.append(begin + place)
            begin += batch.num_rows
        return positions


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
