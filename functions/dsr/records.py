"""Records as JSON lines without loss: decimals keep their digits, times their zone, binaries their bytes."""

import base64
import json
import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any
from uuid import UUID

_AS_TEXT = (Decimal, UUID, IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)
_WITH_FORM = (*_AS_TEXT, datetime, date, time, timedelta, bytes, bytearray, memoryview)


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds()}S"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def to_line(record: dict[str, Any]) -> bytes:
    """One record as one line of JSON. Raises TypeError for a type that has no lossless form."""
    try:
        return _dump(record, False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, as databases take it in JSON: it stays an escape
        return _dump(record, True).encode() + b"\n"
    except ValueError:  # JSON knows no infinite numbers
        return to_line({name: _finite(value) for name, value in record.items()})


# Made once: to make one takes as long as to write a small record.
_WRITERS = {
    escaped: json.JSONEncoder(
        default=_plain, ensure_ascii=escaped, separators=(",", ":"), allow_nan=False
    ).encode
    for escaped in (False, True)
}
_read = json.JSONDecoder().decode


def to_json_text(value: Any) -> str:
    """A value of a record as JSON, without white space."""
    return _WRITERS[False](value)


def _dump(record: dict[str, Any], escaped: bool) -> str:
    return _WRITERS[escaped](record)


def _finite(value: Any) -> Any:
    """The value with what JSON has no number for as text: NaN, Infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_finite(v) for v in value]
    return value


def as_text(value: Any) -> str:
    """The text by which a value and its JSON form are equal."""
    return str(_plain(value)) if isinstance(value, _WITH_FORM) else str(value)


def from_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """The records of JSON lines."""
    # Only the line feed ends a line here: str.splitlines would also cut at U+2028 within a text.
    for line in content.split(b"\n"):
        if line:
            yield _read(line.decode())


def each_at(record: Any, path: str) -> Iterator[Any]:
    """Every value at `a.b.c`, through lists on the way and at its end; none where there is none."""
    head, _, rest = path.partition(".")
    if isinstance(record, (list, set, tuple)):
        for item in record:
            yield from each_at(item, path)
    elif not path:
        if record is not None:
            yield record
    elif isinstance(record, dict):
        yield from each_at(record.get(head), rest)


def at_path(record: dict[str, Any], path: str) -> Any:
    """The one value at `a.b.c` of nested records; None where there is none, or a list on the way."""
    if "." not in path:
        return record.get(path)
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def without(record: dict[str, Any], path: str) -> dict[str, Any]:
    """A copy of the record without the value at `path`, in each item where a list lies on the way."""
    head, _, rest = path.partition(".")
    if head not in record:
        return record
    copy = dict(record)
    if rest:
        copy[head] = _without(copy[head], rest)
    else:
        del copy[head]
    return copy


def _without(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return without(value, path)
    return [_without(item, path) for item in value] if isinstance(value, list) else value
