"""Values of Parquet columns: which rows hold what is wanted, what a row is as a record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsr.records import each_at
from dsr.stores.lake.objects import Malformed
from dsr.stores.lake.wanted import Wanted


def mask_of(batch: Any, wanted: Wanted) -> Any:
    """Which rows of the batch are wanted."""
    mask: Any = None
    for field in wanted.fields:
        here = _mask_by(batch, field, wanted)
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


def _mask_by(batch: Any, field: str, wanted: Wanted) -> Any:
    """Which rows have one of the wanted values in that field."""
    column, texts = _column(batch, field), wanted.texts[field]
    kind = None if column is None else column.type
    if kind is not None and pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if kind is not None and is_bytes(kind):
        raise Malformed(f"has `{field}` as bytes that are not said to be text", "unsupported")
    if kind is not None and is_text(kind) and wanted.form in ("", "lower"):
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
    records = rows(batch.select([head]))
    return pa.array([any(wanted.has(field, v) for v in each_at(r, field)) for r in records], pa.bool_())


def _numbers(texts: frozenset[str], kind: Any) -> list[int]:
    """Those of the texts that are whole numbers of that kind, written as such."""
    bits = kind.bit_width
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if pa.types.is_signed_integer(kind) else (0, 2**bits)
    numbers = [int(t) for t in texts if t.removeprefix("-").isdecimal()]
    return sorted(n for n in numbers if least <= n < most and str(n) in texts)


def within(statistics: Any, texts: frozenset[str]) -> bool:
    """Whether a column with these statistics may hold one of the texts."""
    if statistics is None or not statistics.has_min_max:
        return True
    least, most = statistics.min, statistics.max
    if isinstance(least, str) and isinstance(most, str):
        return any(least <= text <= most for text in texts)
    if type(least) is int and type(most) is int:
        return any(least <= int(t) <= most for t in texts if t.removeprefix("-").isdecimal())
    return True


def rows(batch: Any) -> list[dict[str, Any]]:
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


def is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


@contextmanager
def told() -> Iterator[None]:
    """What the library finds wrong with a file, as Malformed: its own words may hold values."""
    try:
        yield
    except pa.ArrowNotImplementedError:
        raise Malformed("is written in a way that is not read here", "unsupported") from None
    except (pa.ArrowException, OSError):
        raise Malformed("cannot be read as Parquet") from None
