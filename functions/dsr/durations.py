"""ISO 8601 durations (P6M, P1Y, P90D, PT12H), read in this one place, by the calendar. Pure."""

import calendar
import re
from datetime import datetime, timedelta

from dsr.clock import plus_months

_DATED = {"Y": "year", "M": "month", "W": "week", "D": "day"}
_TIMED = {"H": "hour", "M": "minute", "S": "second"}
_MONTHS = {"year": 12, "month": 1}
_SECONDS = {"week": 604_800, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}
_PART = re.compile(r"(\d+)([A-Z])")


def parts(duration: str) -> list[tuple[int, str]]:
    """Its numbers and units (year, month, week, day, hour, minute, second), as they stand there.

    Raises ValueError for no duration.
    """
    dated, t, timed = duration[1:].partition("T")
    found = [(n, unit, _DATED) for n, unit in _PART.findall(dated)]
    found += [(n, unit, _TIMED) for n, unit in _PART.findall(timed)]
    written = "".join(n + unit for n, unit, names in found if names is _DATED)
    written += t + "".join(n + unit for n, unit, names in found if names is _TIMED)
    known = all(unit in names for _, unit, names in found)
    if not duration.startswith("P") or written != duration[1:] or not (timed if t else dated) or not known:
        raise ValueError(f"{duration!r} is no duration")
    return [(int(n), names[unit]) for n, unit, names in found]


def later(moment: datetime, duration: str) -> datetime:
    """`moment` plus a duration; a day that the month lacks becomes its last."""
    months, exact = _sums(duration)
    return plus_months(moment, months) + exact


def subtract(moment: datetime, duration: str) -> datetime:
    """`moment` less a duration.

    Days and hours go first, then months: so that adding the duration to anything before the result never
    comes out after `moment`, whatever the lengths of the months. A day that the month lacks becomes its
    last. Before the year 1 there is only its first moment. Raises ValueError for no duration.
    """
    months, exact = _sums(duration)
    try:
        earlier = moment - exact
        year, month = divmod(earlier.year * 12 + earlier.month - 1 - months, 12)
        day = min(earlier.day, calendar.monthrange(year, month + 1)[1])
        return earlier.replace(year=year, month=month + 1, day=day)
    except (OverflowError, ValueError):
        return datetime.min.replace(tzinfo=moment.tzinfo)


def in_days(duration: str) -> int:
    """Whole days, a year as 365, a month as 30: for windows, not for deadlines of law."""
    days = {"year": 365, "month": 30, "week": 7, "day": 1}
    return sum(number * days.get(unit, 0) for number, unit in parts(duration))


def _sums(duration: str) -> tuple[int, timedelta]:
    """The months of a duration, and the rest of it."""
    read = parts(duration)
    months = sum(number * _MONTHS.get(unit, 0) for number, unit in read)
    try:
        return months, timedelta(seconds=sum(number * _SECONDS.get(unit, 0) for number, unit in read))
    except OverflowError:
        return months, timedelta.max
