"""Erasing one visit of a case: what was gathered goes, record by record of the snapshot, and nothing else.

Leaves first: within a visit the collections in reverse order. Works until its time budget ends and
saves where it is; done again, a batch changes nothing, so being killed anywhere costs only time.
Before every batch it asks whether a hold stops it: what is held waits, the rest goes.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from dsr.datamap.plan import Collection, Plan, VisitPlan
from dsr.errors import StoreFault
from dsr.gathering import Result, parts_of, read_parts, staged
from dsr.staging import Staging
from dsr.stores.base import FreezingStore, Store

HELD = "hold"  # why a visit waits; what it tells about is the id of the hold


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

    `stopped_by` gives the id of a hold that stops erasing a collection now, or "".
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
    ) -> None:
        self._plan, self._visit, self._staging, self._store = plan, visit, staging, store
        self._ends_at, self._number, self._clock = ends_at, number, clock
        self._stopped_by = stopped_by
        self._progress = _Progress()

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
        """Freeze what the map says is to be frozen: no sign-in, no session, until all is erased."""
        for collection in self._plan.collections_of(self._visit):
            if collection.freeze:
                records = [r["values"] for r in staged(self._staging, self._plan, collection.path)]
                try:
                    cast(FreezingStore, self._store).freeze(collection, records)
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
        for collection in reversed(self._plan.collections_of(self._visit)):
            if collection.name in self._progress.through or collection.kept:
                continue  # what is kept stays untouched, and is not counted as erased
            if hold := self._erase_collection(collection):
                holds.append(hold)
            else:
                self._progress.through.append(collection.name)
        self._progress.done = not holds
        self._save()
        return holds

    def _erase_collection(self, collection: Collection) -> str:
        """Erase one collection from where it stands; the id of the hold that stops it. Raises _Late."""
        parts = parts_of(self._staging, self._plan, collection.path, "staged", self._number)
        at = self._progress.at.setdefault(collection.name, [0, 0])
        while at[0] < len(parts):
            records = read_parts(self._staging, [parts[at[0]]])
            for batch in _batches(records, at[1], self._store.erase_at_once):
                if hold := self._stopped_by(collection):
                    return hold
                self._store.erase(collection, batch, collection.masks)
                at[1] += len(batch)
                tally = self._progress.counts
                tally[collection.name] = tally.get(collection.name, 0) + len(batch)
                if self._clock() >= self._ends_at:
                    self._save()
                    raise _Late
            at[:] = [at[0] + 1, 0]
        return ""

    def _save(self) -> None:
        self._staging.put_json(self._place, vars(self._progress))


def _batches(records: Iterator[dict[str, Any]], begin: int, size: int) -> Iterator[list[dict[str, Any]]]:
    """The values of `records` from the one at `begin` on, in lists of `size`."""
    values = (record["values"] for record in islice(records, begin, None))
    while batch := list(islice(values, size)):
        yield batch
