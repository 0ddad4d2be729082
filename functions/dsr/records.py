"""Records as JSON lines without loss: decimals keep their digits, times their zone, binaries their bytes."""

import base64
import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any
from uuid import UUID

_AS_TEXT = (Decimal, UUID, IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)


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
    return json.dumps(record, default=_plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def from_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """The records of JSON lines."""
    # Only the line feed ends a line here: str.splitlines would also cut at U+2028 within a text.
    for line in content.split(b"\n"):
        if line:
            yield json.loads(line)


def at_path(record: dict[str, Any], path: str) -> Any:
    """The value at `a.b.c` of nested records; None where there is none."""
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def without(record: dict[str, Any], path: str) -> dict[str, Any]:
    """A copy of the record without the value at `path`."""
    head, _, rest = path.partition(".")
    if head not in record:
        return record
    copy = dict(record)
    if not rest:
        del copy[head]
    elif isinstance(copy[head], dict):
        copy[head] = without(copy[head], rest)
    return copy
