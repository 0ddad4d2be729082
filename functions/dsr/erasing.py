"""Erasing one visit of a case: what was gathered goes, record by record of the snapshot, and nothing else.

Leaves first: within a visit the collections in reverse order. Works until its time budget ends and
saves where it is; done again, a batch changes nothing, so being killed anywhere costs only time.
Before every batch it asks whether a hold stops it: what is held waits, the rest goes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from dsr.datamap.plan import Collection, Plan, VisitPlan, Way
from dsr.errors import StoreFault
from dsr.finds import parts_of, read_part, staged
from dsr.gathering import Result
from dsr.holds import HELD
from dsr.records import from_lines
from dsr.staging import Staging
from dsr.stores.base import FreezingStore, LinesStore, OrderingStore, Store
from dsr.treatments import Masking, Treatment, with_key


class _Late(Exception):
    """Time is up; what was done is to be saved."""


@dataclass
class _Progress:
    """Where the visit is: the collections that are through, and of others [part, records of that part]."""

    through: list[str] = field(default_factory=list)
    at: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    done: bool = False


class Erasing:
    """One visit of one case in the round `number`. `ends_at` is on the clock of `clock`, in seconds.

    `stopped_by` gives the id of a hold that stops erasing a collection now, or ""; `mask_key` the secret
    of keyed hashes, for workers whose stores can be masked so.
    """

    def __init__(
        self,
        plan: Plan,
        visit: VisitPlan,
        staging: Staging,
        store: Store,
        ends_at: float,
        number: int,
        stopped_by: Callable[[Collection], str],
        clock: Callable[[], float] = time.monotonic,
        mask_key: Callable[[], bytes] = bytes,
    ) -> None:
        self._plan, self._visit, self._staging, self._store = plan, visit, staging, store
        self._ends_at, self._number, self._clock = ends_at, number, clock
        self._stopped_by, self._mask_key = stopped_by, mask_key
        self._progress = _Progress()
        self._places: dict[str, Any] = {}

    def run(self) -> Result:
        """Erase until done or out of time. Exceptions other than StoreFault mean: try again."""
        self._progress = _Progress(**(self._staging.get_json(self._place) or {}))
        if self._progress.done:
            return self._result("done")
        try:
            holds = self._erase()
        except _Late:
            return self._result("continue")
        except StoreFault as fault:
            return self._result("needs_attention", fault.code, fault.about)
        return self._result("waiting", HELD, holds[0]) if holds else self._result("done")

    def freeze(self) -> Result:
        """Freeze what the map says is to be frozen: no sign-in, no session, no token, until all is erased."""
        for collection in self._plan.collections_of(self._visit):
            if collection.freeze or collection.revokes:
                records = [r["values"] for r in staged(self._staging, self._plan, collection.path)]
                try:
                    cast(FreezingStore, self._store).freeze(collection, records)
                except StoreFault as fault:
                    return self._result("needs_attention", fault.code, fault.about)
        return self._result("done")

    def restrict(self, lift: bool = False) -> Result:
        """Set what the map says while the deletion waits to begin; or `lift` it, once it is cancelled.

        Lifted is only what still says so: what the site has set meanwhile stays.
        """
        for collection in self._plan.collections_of(self._visit):
            if not collection.restrict:
                continue
            said, after = collection.restrict["set"], collection.restrict["lift"]
            masks = {
                name: Treatment(_left(after.get(name)) if lift else Masking("constant", value))
                for name, value in said.items()
            }
            # Told as it is before, so that a store that changes only what is not done yet changes it.
            before = said if lift else dict.fromkeys(said, "")
            asked = collection
            if lift:
                asked = replace(collection, ways=(*collection.ways, *map(Way, said)), account="")
            records = [r["values"] | before for r in staged(self._staging, self._plan, collection.path)]
            size = self._store.erase_at_once
            try:
                for start in range(0, len(records), size):
                    self._store.erase(asked, records[start : start + size], masks)
            except StoreFault as fault:
                return self._result("needs_attention", fault.code, fault.about)
        return self._result("done")

    @property
    def _place(self) -> str:
        return f"erased@{self._number}/{self._visit.visit}.json"

    def _result(self, outcome: str, reason: str = "", about: str = "") -> Result:
        counts = {n: self._progress.counts.get(n, 0) for n in self._visit.collections}
        return Result(outcome, counts, {}, reason, about)

    def _erase(self) -> list[str]:
        """Erase what no hold stops; returns the ids of the holds that stop the rest. Raises _Late."""
        holds = []
        for collection in self._order():
            if collection.name in self._progress.through:
                continue
            if hold := self._erase_collection(collection):
                holds.append(hold)
            else:
                self._progress.through.append(collection.name)
        self._progress.done = not holds
        self._save()
        return holds

    def _order(self) -> list[Collection]:
        """What is to be erased, from the leaves on: by the map, or by what the store itself knows.

        What is kept stays untouched, and is not counted as erased.
        """
        collections = list(reversed(self._plan.collections_of(self._visit)))
        found = [c for c in collections if not c.kept and self._parts(c)]
        if isinstance(self._store, OrderingStore) and len(found) > 1:
            return self._store.erase_order(found)
        return found

    def _parts(self, collection: Collection) -> list[str]:
        return parts_of(self._staging, self._plan, collection.path, "staged", self._number, self._places)

    def _erase_collection(self, collection: Collection) -> str:
        """Erase one collection from where it stands; the id of the hold that stops it. Raises _Late."""
        # What follows was found after what it follows: a foreign key lets the last go first.
        parts = self._parts(collection)
        parts = parts[::-1] if collection.descends else parts
        at = self._progress.at.setdefault(collection.name, [0, 0])
        while at[0] < len(parts):
            lines = read_part(self._staging, parts[at[0]]).rstrip(b"\n").split(b"\n")
            lines = lines[::-1] if collection.descends else lines
            for batch in _batches(lines, at[1], self._store.erase_at_once):
                if hold := self._stopped_by(collection):
                    return hold
                self._erase_lines(collection, batch)
                at[1] += len(batch)
                tally = self._progress.counts
                tally[collection.name] = tally.get(collection.name, 0) + len(batch)
                if self._clock() >= self._ends_at:
                    self._save()
                    raise _Late
            at[:] = [at[0] + 1, 0]
        return ""

    def _erase_lines(self, collection: Collection, lines: Sequence[bytes]) -> None:
        masks = with_key(collection.masks, self._mask_key)
        if isinstance(self._store, LinesStore):
            self._store.erase_lines(collection, lines, masks)
        else:
            values = [record["values"] for record in from_lines(b"\n".join(lines))]
            self._store.erase(collection, values, masks)

    def _save(self) -> None:
        self._staging.put_json(self._place, vars(self._progress))


def _left(value: str | None) -> Masking:
    return Masking("null") if value is None else Masking("constant", value)


def _batches(lines: Sequence[bytes], begin: int, size: int) -> Iterator[Sequence[bytes]]:
    """The lines from the one at `begin` on, `size` at a time."""
    for start in range(begin, len(lines), size):
        yield lines[start : start + size]
