"""Rendering: one template per page, which holds all words of that page."""

import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dsr.plan_in_words import counted, day

_HERE = Path(__file__).parent
_KINDS = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def moment(at: datetime) -> str:
    """A time as people write it: `4 December 2026, 14:05 UTC`."""
    return f"{day(at)}, {at:%H:%M} UTC"


def size(count: int) -> str:
    """A number of bytes as people read it: `3.4 MB`."""
    number, unit = float(count), "bytes"
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"


@cache
def _environment() -> Environment:
    # Everything is escaped, whatever the file's name; a name that a page forgot to pass is an error.
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"day": day, "moment": moment, "size": size, "counted": counted, "on_day": _on_day}
    return made


def _on_day(text: str) -> str:
    """The day of a time as files write it (ISO 8601)."""
    return day(datetime.fromisoformat(text))


def render(page: str, **values: Any) -> str:
    """The HTML of the template `page`."""
    return _environment().get_template(f"{page}.html").render(version=_version(), **values)


@cache
def static(name: str) -> tuple[str, str] | None:
    """Content and content type of a static file, or None. Only what lies in the folder has a name here."""
    for file in (_HERE / "static").iterdir():
        if file.name == name and file.suffix in _KINDS:
            return file.read_text("utf-8"), _KINDS[file.suffix]
    return None


@cache
def _version() -> str:
    # In the address of static files, so that they can be cached for ever and still change.
    content = b"".join(file.read_bytes() for file in sorted((_HERE / "static").iterdir()))
    return hashlib.sha256(content).hexdigest()[:10]
