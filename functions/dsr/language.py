"""Words in the requester's language: one catalogue per language, English where a word is not translated yet.

A catalogue is `words/LANGUAGE.json`: texts by section and name, `{value}` for what is filled in. A text that
depends on a number has a form for `one` and for `other`. English is complete: what it lacks is a mistake.
"""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from dsr.durations import parts

_HERE = Path(__file__).parent / "words"
FALLBACK = "en"
# What is counted as one (CLDR's plural rules); another language adds its row.
_ONES: dict[str, tuple[int, ...]] = {"en": (1,), "de": (1,), "fr": (0, 1)}
LANGUAGES = tuple(_ONES)

_BLANK = re.compile(r"\{(\w+)\}")
_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*")
_UNITS = {"day": "day_count"}  # `form.day` is a date


def best_of(accepted: str) -> str:
    """The language that suits a browser's `Accept-Language` best; English if none does."""
    wishes = []
    for part in accepted[:500].split(","):
        wish = _RANGE.fullmatch(part)
        if wish and wish[1].lower() in LANGUAGES:
            wishes.append((float(wish[2] or 1), wish[1].lower()))
    liked = max(wishes, key=lambda wish: wish[0], default=(0.0, FALLBACK))  # the first of those liked most
    return liked[1] if liked[0] else FALLBACK


class Words:
    """The texts of one language. `words("bundle.title", name="Shop")`."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else FALLBACK

    @cached_property
    def _texts(self) -> dict[str, Any]:
        return {**catalogue(FALLBACK), **catalogue(self.language)}

    def __call__(self, name: str, /, **values: Any) -> str:
        """The text, with its blanks filled in; `count` also chooses the form. Raises KeyError."""
        text = self._texts[name]
        if isinstance(text, dict):
            text = text["one" if values["count"] in _ONES[self.language] else "other"]
        filled = {k: self.number(v) if isinstance(v, int) else str(v) for k, v in values.items()}
        return _BLANK.sub(lambda blank: filled[blank[1]], text)

    def has(self, name: str) -> bool:
        """Whether there is such a text."""
        return name in self._texts

    def section(self, name: str) -> dict[str, Any]:
        """All texts of a section, for a script that fills them in itself."""
        begin = f"{name}."
        return {k.removeprefix(begin): v for k, v in self._texts.items() if k.startswith(begin)}

    def number(self, number: int) -> str:
        """`12,000` as the language writes it."""
        return f"{number:,}".replace(",", self._texts["form.thousands"])

    def day(self, day: date) -> str:
        """`4 December 2026` as the language writes it."""
        month = self._texts["form.months"].split()[day.month - 1]
        return self("form.day", day=str(day.day), month=month, year=str(day.year))

    def moment(self, at: datetime) -> str:
        """`4 December 2026, 14:05 UTC`: `at` is of UTC."""
        return self("form.moment", day=self.day(at), time=f"{at:%H:%M}")

    def period(self, duration: str) -> str:
        """An ISO 8601 duration: `PT24H` as `24 hours`; empty for none."""
        read = parts(duration) if duration else ()
        counted = [self(f"form.{_UNITS.get(unit, unit)}", count=number) for number, unit in read]
        return str(self._texts["form.and"]).join(counted)

    def size(self, count: int) -> str:
        """So many bytes: `3.4 MB`."""
        number, unit = float(count), "bytes"
        for unit in ("bytes", "KB", "MB", "GB", "TB"):
            if number < 1000 or unit == "TB":
                break
            number /= 1000
        short = f"{number:.0f}" if unit == "bytes" or number >= 100 else f"{number:.1f}"
        return f"{short.replace('.', self._texts['form.point'])} {unit}"


@cache
def catalogue(language: str) -> dict[str, Any]:
    """The texts of a language by `section.name`."""
    return dict(_flat(json.loads((_HERE / f"{language}.json").read_text("utf-8"))))


def _flat(sections: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for section, texts in sections.items():
        for name, text in texts.items():
            yield f"{section}.{name}", text
