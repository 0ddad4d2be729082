"""Partitions by date: which have wholly passed."""

from datetime import UTC, date, datetime, timedelta

from dsr.datamap.plan import Collection
from dsr.errors import StoreFault
from dsr.stores.lake.objects import day_of


def ends(collection: Collection, key: str) -> tuple[date, datetime]:
    """The first day of the partition that `key` lies in, and the moment at which it is over (UTC).

    Raises StoreFault for a date that there is not.
    """
    parts = day_of(collection, key)
    try:
        if parts is None:
            raise ValueError
        year, month, day = parts
        first = date(year, month or 1, day or 1)
        if day:
            after = first + timedelta(days=1)
        elif month:
            after = date(year + month // 12, month % 12 + 1, 1)
        else:
            after = date(year + 1, 1, 1)
    except (ValueError, OverflowError):
        raise StoreFault("malformed_data", f"{collection.path}: {key}: no date in its folder") from None
    return first, datetime(after.year, after.month, after.day, tzinfo=UTC)


def is_before(collection: Collection, key: str, since: date) -> bool:
    """Whether the partition that `key` lies in was over before the day `since`; not where it has no date."""
    if "partition" not in collection.options:
        return False
    try:
        return ends(collection, key)[1].date() <= since
    except StoreFault:
        return False


def in_order(collection: Collection) -> bool:
    """Whether keys in their order are also in the order of time."""
    layout = collection.options["partition"]["layout"]
    places = [layout.find(f"%{sign}") for sign in "Ymd" if f"%{sign}" in layout]
    return places == sorted(places)
