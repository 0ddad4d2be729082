"""Gathering one visit of a case: from proven identities and earlier finds to sealed records in staging.

Works until its time budget ends and saves where it is; killed anywhere, the next call goes on from
the last saved place and writes the same parts again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dsr.case import Case, Proof, Requester
from dsr.datamap.plan import Collection, Plan, VisitPlan, Way
from dsr.errors import StoreFault
from dsr.matching import Known, is_sound, normalise, point
from dsr.records import at_path, from_lines, to_line
from dsr.staging import Staging
from dsr.stores.base import Record, Store

_PART_BYTES = 8 * 1024 * 1024  # of records per sealed object: bounds the memory of whoever reads it


@dataclass(frozen=True)
class Result:
    """What a call came to. `continue`: call again; `needs_attention`: `reason` and `about` say why."""

    outcome: str
    counts: dict[str, int]
    doubtful: dict[str, int]
    reason: str = ""
    about: str = ""


@dataclass
class _Progress:
    """Where the visit is; sealed in staging, since a cursor may hold a person's values."""

    collection: int = 0
    way: int = 0
    after: Any = None
    parts: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    doubtful: dict[str, int] = field(default_factory=dict)
    done: bool = False


class Gathering:
    """One visit of one case. `ends_at` is on the monotonic clock of `clock`, in seconds."""

    def __init__(
        self,
        plan: Plan,
        case: Case,
        requester: Requester,
        visit: VisitPlan,
        staging: Staging,
        store: Store,
        now: datetime,
        ends_at: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._case, self._requester = plan, case, requester
        self._visit, self._staging, self._store = visit, staging, store
        self._now, self._ends_at, self._clock = now, ends_at, clock
        self._known = Known()
        self._found: dict[str, list[Any]] = {}  # values per parent field
        self._buffers: dict[tuple[str, bool], list[bytes]] = {}
        self._buffered = 0

    def run(self) -> Result:
        """Gather until done or out of time. Exceptions other than StoreFault mean: try again."""
        progress = _Progress(**(self._staging.get_json(self._place) or {}))
        if progress.done:
            return self._result("done", progress)
        self._known = read_known(self._plan, self._requester, self._staging)
        try:
            finished = self._gather(progress)
        except StoreFault as fault:
            return self._result("needs_attention", progress, fault.code, fault.about)
        return self._result("done" if finished else "continue", progress)

    @property
    def _place(self) -> str:
        return f"progress/{self._visit.visit}"

    def _result(self, outcome: str, progress: _Progress, reason: str = "", about: str = "") -> Result:
        names = self._visit.collections
        return Result(
            outcome, {n: progress.counts.get(n, 0) for n in names}, dict(progress.doubtful), reason, about
        )

    def _gather(self, progress: _Progress) -> bool:
        collections = self._plan.collections_of(self._visit)
        while progress.collection < len(collections):
            collection = collections[progress.collection]
            while progress.way < len(collection.ways):
                if not self._follow(collection, progress):
                    return False
            # Children read the staged parts of their parents, so these are complete before.
            self._flush(progress)
            progress.collection, progress.way = progress.collection + 1, 0
        progress.done = True
        self._save(progress)
        return True

    def _follow(self, collection: Collection, progress: _Progress) -> bool:
        """Follow one way from where it stands to its end, or until time is up (False)."""
        way = collection.ways[progress.way]
        values = self._values(way)
        earlier = [(w, set(map(str, self._values(w)))) for w in collection.ways[: progress.way]]
        wanted = set(map(str, values))
        for page in self._store.find(collection, way, values, progress.after) if values else ():
            # An index folds case by its own rules: only what is equal by ours is a match.
            found = [r for r in page.records if not way.identity or _matches(way, r, wanted)]
            self._take(collection, way, earlier, found, progress)
            if page.after is None:
                break
            progress.after = page.after
            if self._late() or self._buffered >= _PART_BYTES:
                self._save(progress)
                if self._late():
                    return False
        progress.way, progress.after = progress.way + 1, None
        if self._late():
            self._save(progress)
            return False
        return True

    def _late(self) -> bool:
        return self._clock() >= self._ends_at

    def _take(
        self,
        collection: Collection,
        way: Way,
        earlier: list[tuple[Way, set[str]]],
        found: list[Record],
        progress: _Progress,
    ) -> None:
        included = self._case.decisions.get(collection.path) == "include"
        for record in found:
            if any(_matches(w, record, values) for w, values in earlier):
                continue  # found, and taken, by an earlier way
            sound = included or is_sound(collection, way, record.values, self._known, self._now)
            if sound:
                self._known.learn(collection, record.values)
            tally = progress.counts if sound else progress.doubtful
            tally[collection.name] = tally.get(collection.name, 0) + 1
            line = to_line(_staged(record))
            self._buffers.setdefault((collection.name, sound), []).append(line)
            self._buffered += len(line)

    def _flush(self, progress: _Progress) -> None:
        for (name, sound), lines in self._buffers.items():
            folder = f"{'staged' if sound else 'doubtful'}/{self._visit.store}/{name}/"
            part = progress.parts.get(folder, 0)
            self._staging.put(f"{folder}{part:06d}", b"".join(lines))
            progress.parts[folder] = part + 1
        self._buffers.clear()
        self._buffered = 0

    def _save(self, progress: _Progress) -> None:
        # Parts first, then the place: killed between the two, the same parts are written again.
        self._flush(progress)
        self._staging.put_json(self._place, vars(progress))

    # -- what is looked for ------------------------------------------------------------------

    def _values(self, way: Way) -> list[Any]:
        """The values to look for by `way`, distinct and in a fixed order, so that cursors stay true."""
        if way.identity:
            # No phone number is proven yet by any means, so only addresses find records.
            proven = proven_contacts(self._case, self._requester) if way.identity.kind == "email" else ()
            return sorted({normalise(contact, way.identity.normalise) for contact in proven})
        if way.parent not in self._found:
            store, name, path = way.parent.split(".", 2)
            found = {at_path(r["values"], path) for r in staged(self._staging, store, name)}
            self._found[way.parent] = sorted((v for v in found if v not in (None, "")), key=str)
        return self._found[way.parent]


def read_known(plan: Plan, requester: Requester, staging: Staging) -> Known:
    """What the requester typed to be compared, and what the sound records staged so far tell."""
    known = Known(points={kind: {point(kind, value)} for kind, value in requester.claims.items() if value})
    for collection in plan.collections.values():
        if Known.can_learn(collection):
            for record in staged(staging, collection.store, collection.name):
                known.learn(collection, record["values"])
    return known


def _matches(way: Way, record: Record, values: set[str]) -> bool:
    value = at_path(record.values, way.field)
    if way.identity:
        value = normalise(value, way.identity.normalise)
    return str(value) in values


def _staged(record: Record) -> dict[str, Any]:
    line: dict[str, Any] = {"values": record.values}
    if record.original:
        line["original"] = vars(record.original)
    return line


def proven_contacts(case: Case, requester: Requester) -> list[str]:
    """The addresses that the requester has proven: nothing that was merely typed finds records."""
    return [c for c, proof in zip(requester.contacts, case.contacts, strict=True) if proof is Proof.CONFIRMED]


def staged(staging: Staging, store: str, collection: str, folder: str = "staged") -> Iterator[dict[str, Any]]:
    """Every staged record of a collection, part by part: {"values": …, "original": …}."""
    for name in staging.names(f"{folder}/{store}/{collection}/"):
        content = staging.get(name)
        if content is None:
            raise RuntimeError(f"staged part {name} vanished")
        yield from from_lines(content)
