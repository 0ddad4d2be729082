"""A pass over the stores themselves: who in them is on the list of the erased, collection by collection.

For after a restore of which nobody knows what came with it. It reads every record of every store that can be
listed, so it runs for whoever holds that right, not for a function; from where the last call put it aside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dsr.datamap.plan import Collection, Plan
from dsr.records import each_at
from dsr.stores.base import ListingStore, Store
from dsr.suppression import Entry, Locator, Suppression, name_of

Place = dict[str, Any]  # by collection path: the cursor to go on from; "through" where it came to its end


@dataclass
class Passed:
    """What a call came to: counts, and by locator what is on the list."""

    records: int = 0
    pages: int = 0
    looked_up: int = 0
    erased: dict[Locator, Entry] = field(default_factory=dict)


def fields_of(collection: Collection) -> tuple[str, ...]:
    """The fields whose values are listed by the erased: of the account, and those that lead here. Pure.

    Addresses are left out: who is found by one alone may have signed up anew.
    """
    listed = [collection.account] if collection.account else []
    listed += [way.field for way in collection.ways if way.parent and not way.own]
    return tuple(dict.fromkeys(listed))


def left_of(plan: Plan, place: Place) -> list[str]:
    """The collections that are still to be gone through. What is kept is there by right. Pure."""
    found = [path for path, c in plan.collections.items() if not c.kept and fields_of(c)]
    return [path for path in sorted(found) if place.get(path) != "through"]


def go_through(
    plan: Plan,
    open_store: Callable[[Any], Store],
    suppression: Suppression,
    place: Place,
    is_late: Callable[[], bool],
) -> Iterator[tuple[str, Passed, str]]:
    """Collection after collection: its path, what was found, and why it could not be listed ("" if it could).

    Changes `place` after every page, so that whoever keeps it can go on. Ends early once `is_late`.
    """
    for path in left_of(plan, place):
        collection = plan.collections[path]
        fields = fields_of(collection)
        store = plan.stores[collection.store]
        opened = open_store(store)
        if not isinstance(opened, ListingStore):
            place[path] = "through"
            yield path, Passed(), f"a {store.kind} store is not listed: report what was restored there"
            continue
        done = Passed()
        for page in opened.listing(collection, fields, place.get(path)):
            values = dict.fromkeys(
                (name_of(plan, f"{path}.{name}"), value)
                for record in page.records
                for name in fields
                for value in each_at(record.values, name)
                if value != ""
            )
            done.erased |= dict(suppression.entries_of(values))
            done.records += len(page.records)
            done.pages += 1
            done.looked_up += len(values)
            place[path] = "through" if page.after is None else page.after
            if page.after is not None and is_late():
                break
        yield path, done, ""
        if is_late():
            return
