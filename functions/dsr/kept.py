"""What a deletion keeps by law is deleted when its time is over, by a case of its own that waits for the day.

All that such a case knows are the own keys of the records that stay, sealed under its own key: the names
and addresses of their person go with the key of the case that kept them. What ends in the same month goes
together.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from dsr.case import KEPT_CHANNEL, Case, Requester, State
from dsr.casebook import Casebook
from dsr.casekey import seal, unseal
from dsr.datamap.plan import Collection, Plan
from dsr.opening import Opening
from dsr.planning import by_own_keys, end_of
from dsr.records import NOTHING, as_text, at_path

_PART = "kept#"  # of a case: its list, in pieces
_PER_PART = 2000  # keys: sealed far below the 400 KB of an item
_TO_ANSWER = timedelta(days=30)  # from the day on: what follows is nobody's request

Key = list[Any]
Keys = dict[str, list[Key]]  # by collection path


@dataclass
class Ending:
    """What ends in one month: the last day of it, and the keys of the records."""

    until: datetime
    keys: Keys = field(default_factory=dict)


def endings(plan: Plan, records: Callable[[str], Iterable[dict[str, Any]]]) -> dict[str, Ending]:
    """By month (`2033-12`) what of the kept records ends in it. `records`: the staged ones of a path. Pure.

    A record without a readable time has no end that anybody could know, and stays. What is several records
    under one key, as the versions of a file, goes as a whole when the last of them may.
    """
    found: dict[str, Ending] = {}
    for path, collection in by_own_keys(plan).collections.items():
        for end, key in _ends(collection, records(path)):
            # Its last day is kept as a whole.
            until = datetime.combine(end.astimezone(UTC).date(), time(), UTC) + timedelta(days=1)
            month = found.setdefault(f"{end:%Y-%m}", Ending(until))
            month.until = max(month.until, until)
            month.keys.setdefault(path, []).append(key)
    return found


def _ends(collection: Collection, records: Iterable[dict[str, Any]]) -> Iterable[tuple[datetime, Key]]:
    """Each key once, with the latest end of the records that it names."""
    latest: dict[tuple[str, ...], tuple[datetime, Key]] = {}
    for record in records:
        end = end_of(collection, record["values"])
        key = [at_path(record["values"], name) for name in collection.key]
        named = tuple(map(as_text, key))
        if end and (named not in latest or latest[named][0] < end):
            latest[named] = end, key
    return latest.values()


def schedule(
    opening: Opening, case: Case, plan: Plan, records: Callable[[str], Iterator[dict[str, Any]]]
) -> list[str]:
    """Open the cases that delete what `case` keeps, each on its day; returns their ids.

    Done again it opens the same ones.
    """
    made = []
    for month, ending in sorted(endings(plan, records).items()):
        waits = opening.made(
            f"kept|{case.case_id}|{month}", Requester(()), KEPT_CHANNEL,
            state=State.KEPT, subject=case.subject, confirmed_at=case.confirmed_at, follows=case.case_id,
            expires_at=ending.until, due_at=ending.until + _TO_ANSWER, regimes=case.regimes,
        )  # fmt: skip
        # The list first: a case that is there has it.
        for number, content in enumerate(_pieces(ending.keys)):
            sealed = seal(waits.recipient, content)
            opening.book.keep_part(waits.case_id, f"{_PART}{number:06d}", {"sealed": sealed})
        opening.book.open(waits, KEPT_CHANNEL, "workflow")
        made.append(waits.case_id)
    return made


def _pieces(keys: Keys) -> Iterator[bytes]:
    for path in sorted(keys):
        for start in range(0, len(keys[path]), _PER_PART):
            yield json.dumps([path, keys[path][start : start + _PER_PART]]).encode()


@dataclass(frozen=True)
class Listed:
    """The list of a case: which records it is about, and whether their time is over now."""

    keys: Keys
    now: datetime

    @classmethod
    def of(cls, book: Casebook, case: Case, now: datetime) -> "Listed":
        """The list of the case, unsealed. Raises NotFound once its key is destroyed."""
        keys: Keys = {}
        for part in book.parts(case.case_id, _PART):
            path, some = json.loads(unseal(case.case_id, book.keys, part["sealed"]))
            keys.setdefault(path, []).extend(some)
        return cls(keys, now)

    def locators(self, plan: Plan) -> dict[str, list[Any]]:
        """What finds the records, by `store.collection.field`."""
        known = {path: plan.collections[path] for path in self.keys if path in plan.collections}
        return {f"{path}.{c.key[0]}": [key[0] for key in self.keys[path]] for path, c in known.items()}

    def missing(self, plan: Plan) -> tuple[str, ...]:
        """The collections that the map of today does not know, or no longer keeps."""
        return tuple(sorted(self.keys.keys() - plan.collections.keys()))

    def judge(self) -> Callable[[Collection, dict[str, Any]], bool | None]:
        """Says of a record found by a key's first field: is it to go (True), does a person decide since its
        time is not over after all (False), or is it another one (None)?"""
        listed = {path: {tuple(map(as_text, key)) for key in keys} for path, keys in self.keys.items()}

        def says(collection: Collection, values: dict[str, Any]) -> bool | None:
            key = tuple(as_text(at_path(values, name)) for name in collection.key)
            if key not in listed.get(collection.path, ()):
                return None
            if values.get(NOTHING):
                return True
            end = end_of(collection, values)
            return end is not None and end <= self.now

        return says
