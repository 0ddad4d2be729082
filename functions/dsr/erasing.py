"""Erasing one visit of a case: what was gathered goes, record by record of the snapshot, and nothing else.

Leaves first: within a visit the collections in reverse order. Works until its time budget ends and
saves where it is; done again, a batch changes nothing, so being killed anywhere costs only time.
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


@dataclass
class _Progress:
    """Where the visit is: the collection, its part, and how many records of that part are through."""

    collection: int = 0
    part: int = 0
    record: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    done: bool = False


class Erasing:
    """One visit of one case in the round `number`. `ends_at` is on the clock of `clock`, in seconds."""

    def __init__(
        self,
        plan: Plan,
        visit: VisitPlan,
        staging: Staging,
        store: Store,
        ends_at: float,
        number: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._visit, self._staging, self._store = plan, visit, staging, store
        self._ends_at, self._number, self._clock = ends_at, number, clock
        self._progress = _Progress()

    def run(self) -> Result:
        """Erase until done or out of time. Exceptions other than StoreFault mean: try again."""
        self._progress = _Progress(**(self._staging.get_json(self._place) or {}))
        if self._progress.done:
            return self._result("done")
        try:
            finished = self._erase()
        except StoreFault as fault:
            return self._result("needs_attention", fault.code, fault.about)
        return self._result("done" if finished else "continue")

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

    def _erase(self) -> bool:
        progress = self._progress
        collections = list(reversed(self._plan.collections_of(self._visit)))
        while progress.collection < len(collections):
            if not self._erase_collection(collections[progress.collection]):
                return False
            progress.collection, progress.part, progress.record = progress.collection + 1, 0, 0
        progress.done = True
        self._save()
        return True

    def _erase_collection(self, collection: Collection) -> bool:
        progress = self._progress
        if collection.kept:
            return True  # untouched, and not counted as erased
        parts = parts_of(self._staging, self._plan, collection.path, "staged", self._number)
        while progress.part < len(parts):
            records = read_parts(self._staging, [parts[progress.part]])
            for batch in _batches(records, progress.record, self._store.erase_at_once):
                self._store.erase(collection, batch, collection.masks)
                progress.record += len(batch)
                progress.counts[collection.name] = progress.counts.get(collection.name, 0) + len(batch)
                if self._clock() >= self._ends_at:
                    self._save()
                    return False
            progress.part, progress.record = progress.part + 1, 0
        return True

    def _save(self) -> None:
        self._staging.put_json(self._place, vars(self._progress))


def _batches(records: Iterator[dict[str, Any]], begin: int, size: int) -> Iterator[list[dict[str, Any]]]:
    """The values of `records` from the one at `begin` on, in lists of `size`."""
    values = (record["values"] for record in islice(records, begin, None))
    while batch := list(islice(values, size)):
        yield batch
