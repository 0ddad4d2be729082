"""Before which day a store holds nothing of what is looked for, as the records that lead there tell. Pure."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from dsr.datamap.plan import Way
from dsr.matching import as_time
from dsr.records import as_text, each_at

_MARGIN = 1  # in days: a site's own day is up to 14 hours apart from UTC's


def first_day(way: Way, records: Iterable[dict[str, Any]], told: Iterable[Any], now: datetime) -> date | None:
    """The first day of which a record that `way` leads to can be, less a day; None if any day may be.

    `records`: the values of all that the way leads from; each that leads somewhere must say by `way.since`
    since when, at a time up to `now`. `told`: values that are looked for besides; a record must hold each.
    """
    unknown = {as_text(value) for value in told if value != ""}
    days = set[date]()
    for record in records:
        leading = {as_text(value) for value in each_at(record, way.parent.split(".", 2)[2])} - {""}
        if not leading:
            continue
        times = [as_time(value) for value in each_at(record, way.since)]
        known = [time for time in times if time and time <= now]
        if not known or len(known) < len(times):
            return None
        days.update(time.date() for time in known)
        unknown -= leading
    if unknown or not days:
        return None
    return date.fromordinal(max(1, min(days).toordinal() - _MARGIN))
