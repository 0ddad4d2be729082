"""Records as JSON lines without loss: decimals keep their digits, times their zone, binaries their bytes."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any
from uuid import UUID

# Set in a record that holds nothing itself and goes with its key: S3's delete markers and half-done uploads.
NOTHING = "holds_nothing"

_AS_TEXT = (Decimal, UUID, IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)
_LINES_BYTES = 64 * 1024  # that are read at once
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


def _writer(escaped: bool) -> Callable[[Any], str]:
    settings: dict[str, Any] = {"default": _plain, "ensure_ascii": escaped, "allow_nan": False}
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # another Python than CPython
        return json.JSONEncoder(**settings, separators=(",", ":")).encode
    # JSONEncoder makes its writer anew for every value, which takes half as long as to write a small record.
    text = json.encoder.encode_basestring_ascii if escaped else json.encoder.encode_basestring
    write = make(None, _plain, text, None, ":", ",", False, False, False)
    return lambda value: "".join(write(value, 0))


_WRITERS = {escaped: _writer(escaped) for escaped in (False, True)}
_read = json.JSONDecoder().raw_decode


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
    """The records of JSON lines. Raises ValueError for what is no JSON, or more than one record in a line."""
    return (record for record, _ in with_text(content))


def with_text(content: bytes) -> Iterator[tuple[dict[str, Any], str]]:
    """Each record as `from_lines` gives it, with the text of its line."""
    begin = 0
    while begin < len(content):
        # Some lines at a time: each alone takes longer to decode, and all at once four times the memory.
        end = content.find(b"\n", begin + _LINES_BYTES)
        end = len(content) if end < 0 else end
        text, at = content[begin:end].decode(), 0
        while at < len(text):
            # Only the line feed ends a line here: str.splitlines would also cut at U+2028 within a text.
            if text[at] == "\n":
                at += 1
                continue
            start = at
            record, at = _read(text, at)
            if at < len(text) and text[at] != "\n":
                raise ValueError("a line holds more than one record")
            yield record, text[start:at]
        begin = end


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


def tree_of(paths: Iterable[str]) -> dict[str, Any]:
    """`a.b` and `a.c` as {"a": {"b": {}, "c": {}}}; a name that is there as a whole has nothing below."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len):
        *way, last = path.split(".")
        below = tree
        for name in way:
            if below.get(name) == {}:
                break
            below = below.setdefault(name, {})
        else:
            below[last] = {}
    return tree


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
