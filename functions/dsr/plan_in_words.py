"""What a deletion does, in words: the same before and after, on the page and by mail. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dsr.datamap.plan import Collection, Plan
from dsr.durations import parts

# How a detail is called whose category (Fideslang's name) begins so; the longest that fits counts.
_DETAILS = {
    "user.contact": "contact details",
    "user.contact.address": "postal address",
    "user.contact.email": "email address",
    "user.contact.phone_number": "phone number",
    "user.content": "what you wrote or posted",
    "user.demographic": "facts about you",
    "user.demographic.date_of_birth": "date of birth",
    "user.device": "device",
    "user.device.ip_address": "IP address",
    "user.location": "location",
    "user.name": "name",
    "user.unique_id": "number that stands for you",
}


@dataclass(frozen=True)
class Gone:
    """Records that are deleted; with `details` or `hashed`, records that stay and lose these."""

    title: str
    records: int
    details: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()  # and of these keep a hash by which nobody is named
    shared: bool = False  # with other people
    in_a_run: bool = False  # goes in the next run over the archives, with what of others goes there


@dataclass(frozen=True)
class Kept:
    """Records that stay: why, by which law, until when (None where no record tells the day)."""

    title: str
    records: int
    reason: str
    law: str
    until: date | None

    @property
    def sentence(self) -> str:
        """The whole of it, as one line of a mail."""
        ends = f"until {day(self.until)}" if self.until else "until the law lets us delete it"
        return f"{self.title}: {ends}, since {self.reason} ({self.law})."


@dataclass(frozen=True)
class Copy:
    """A copy elsewhere that follows by itself, and within which time."""

    name: str
    within: str


@dataclass(frozen=True)
class Told:
    """Somebody else who holds records, and is told of the deletion (GDPR Art. 19)."""

    name: str
    titles: tuple[str, ...]


@dataclass(frozen=True)
class InWords:
    """A plan, sorted by what becomes of the records."""

    deleted: tuple[Gone, ...] = ()
    stripped: tuple[Gone, ...] = ()
    kept: tuple[Kept, ...] = ()
    told: tuple[Told, ...] = ()
    copies: tuple[Copy, ...] = ()
    signs_in: bool = False  # there is a sign-in, and it is disabled first
    restricts: bool = False  # until it begins, the records are only stored


def in_words(planned: Mapping[str, dict[str, Any]], plan: Plan | None = None) -> InWords:
    """The plan of a case (`Case.plan`) in words, in the order in which the map's collections are visited.

    What the map does not know (an older case, or no map at all) is told without the names of details
    and without copies.
    """
    known = plan.collections if plan else {}
    visited = [c.path for visit in plan.visits for c in plan.collections_of(visit)] if plan else []
    order = {path: number for number, path in enumerate(visited)}
    paths = sorted(planned, key=lambda path: (order.get(path, len(order)), path))
    going = [path for path in paths if planned[path]["treatment"] != "keep"]
    here = [path for path in going if not planned[path].get("told")]  # theirs are told of, not counted
    copies = {
        c["name"]: Copy(c["name"], period(c.get("expires") or c.get("lag") or ""))
        for path in going
        if path in known
        for c in known[path].copies
    }
    return InWords(
        deleted=tuple(_gone(planned[p]) for p in here if planned[p]["treatment"] == "delete"),
        stripped=tuple(_gone(planned[p], known.get(p)) for p in here if planned[p]["treatment"] != "delete"),
        kept=tuple(_kept(planned[path]) for path in paths if planned[path]["treatment"] == "keep"),
        told=_told([planned[path] for path in going]),
        copies=tuple(copies.values()),
        signs_in=any(path in known and known[path].freeze for path in going),
        restricts=any(path in known and bool(known[path].restrict) for path in planned),
    )


def _gone(entry: dict[str, Any], collection: Collection | None = None) -> Gone:
    hashed = entry.get("pseudonymised", ())
    names = [name for name in entry.get("fields", ()) if name not in hashed]
    lost, kept = (tuple(dict.fromkeys(_detail(n, collection) for n in some)) for some in (names, hashed))
    in_a_run = entry.get("waits") == "lake_run"
    return Gone(entry["title"], int(entry["records"]), lost, kept, entry["treatment"] == "detach", in_a_run)


def _told(entries: list[dict[str, Any]]) -> tuple[Told, ...]:
    titles: dict[str, list[str]] = {}
    for entry in entries:
        if name := entry.get("told"):
            titles.setdefault(name, []).append(entry["title"])
    return tuple(Told(name, tuple(titles[name])) for name in sorted(titles))


def _kept(entry: dict[str, Any]) -> Kept:
    until = entry.get("until")
    return Kept(
        entry["title"],
        int(entry["records"]),
        entry["reason"],
        entry["law"],
        date.fromisoformat(until) if until else None,
    )


def _detail(name: str, collection: Collection | None) -> str:
    category = collection.fields[name].category if collection and name in collection.fields else ""
    while category:
        if category in _DETAILS:
            return _DETAILS[category]
        category = category.rpartition(".")[0]
    return name.replace("_", " ").replace(".", " ")


def locator(collection: Collection) -> str:
    """What finds the records of a collection, as one says it of one: `email address`, `number`; `value` where
    it is of several kinds, or of another."""
    kinds = {_locator(way.field, collection) for way in collection.ways}
    return kinds.pop() if len(kinds) == 1 else "value"


def _locator(name: str, collection: Collection) -> str:
    category = collection.fields[name].category if name in collection.fields else ""
    if category.startswith("user.contact."):
        return _detail(name, collection)
    return "number" if category.startswith("user.unique_id") else "value"


def period(duration: str) -> str:
    """An ISO 8601 duration as people say it (`PT24H`: `24 hours`); empty for none."""
    return " and ".join(counted(number, unit) for number, unit in parts(duration)) if duration else ""


def hours(number: int) -> str:
    """So many hours as people say it: whole days as days."""
    return counted(number // 24, "day") if number and number % 24 == 0 else counted(number, "hour")


def counted(number: int, thing: str) -> str:
    """`1 day`, `2,000 days`, `2 addresses`."""
    many = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{'' if number == 1 else many}"


def day(moment: date) -> str:
    """A date as people write it: `4 December 2026`."""
    return f"{moment.day} {moment:%B %Y}"
