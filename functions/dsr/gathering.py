"""Gathering one visit of a case: from proven identities and earlier finds to sealed records in staging.

Works until its time budget ends and saves where it is. The saved place also lists the parts that
belong to it, each written once under a name of its own: so a worker killed anywhere, or a second one
at the same visit, leaves at most parts that nobody reads, and whoever saves first goes on. What is too
little for an object of its own lies in the place itself: most people's records are one object per visit.
"""

import secrets
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from dsr import late
from dsr.case import Case, Requester, Right
from dsr.contacts import proven_contacts
from dsr.datamap.plan import Collection, Plan, VisitPlan, Way
from dsr.errors import StoreFault
from dsr.finds import folder_of, place, read_parts, staged
from dsr.first_day import first_day
from dsr.matching import Known, came_after, is_sound, normalise, point
from dsr.records import as_text, each_at, to_line
from dsr.staging import Staging
from dsr.stores.base import DatedStore, Lines, Page, Record, Store
from dsr.values import Values

_PART_BYTES = 8 * 1024 * 1024  # of records per sealed object: bounds the memory of whoever reads it
_PLACE_BYTES = 64 * 1024  # of records that lie in the place itself
_KNOWN = "known.json"
Judge = Callable[[Collection, dict[str, Any]], bool | None]
# How often what a collection's own records lead to is followed: a thread of this many generations.
_MOST_LOOPS = 100
_BETWEEN = '}\n{"values":'  # two lines of values that are JSON already


@dataclass(frozen=True)
class Result:
    """What a call came to. `continue`: call again; `needs_attention`: `reason` and `about` say why.

    `waiting`: the store answers later, and `waking.wake_visit` has the worker called again. `noted`:
    what the visit keeps of asking (`question`, `asked_at`, `answer_by`, `answered_at`, `answer`).
    """

    outcome: str
    counts: dict[str, int]
    doubtful: dict[str, int]
    reason: str = ""
    about: str = ""
    noted: dict[str, str] = field(default_factory=dict)


@dataclass
class _Progress:
    """Where the visit is; sealed in staging, since a cursor may hold a person's values.

    `loops`: of a collection that leads to itself, how many parts of it were there as each round of
    following its own records began: what it looked for before is what these parts say.
    """

    collection: int = 0
    way: int = 0
    after: Any = None
    parts: dict[str, list[str]] = field(default_factory=dict)  # by folder, in order: names, or lines
    counts: dict[str, int] = field(default_factory=dict)
    doubtful: dict[str, int] = field(default_factory=dict)
    loops: list[int] = field(default_factory=list)
    done: bool = False


class Gathering:
    """One visit of one case. `ends_at` is on the monotonic clock of `clock`, in seconds.

    For a deletion only what locates a record is gathered. `number` counts the rounds: those after the
    first look for what erasing has left or what has come since, and pass over what may stay. `judge`
    says of each record whether it is sound, doubtful (False), or none of this case's (None), where that
    does not follow from how it was found.
    """

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
        number: int = 0,
        judge: Judge | None = None,
    ) -> None:
        self._plan, self._case, self._requester = plan, case, requester
        self._judge = judge
        self._visit, self._staging, self._store = visit, staging, store
        self._now, self._ends_at, self._clock = now, ends_at, clock
        self._number = number
        self._whole = case.right is Right.ACCESS
        self._known = Known()
        self._progress, self._tag = _Progress(), ""
        self._writer = secrets.token_hex(4)
        self._found: dict[Way, Values] = {}  # values by the way they are looked for
        self._places: dict[str, Any] = {}  # of other visits, as they were first read
        self._buffers: dict[tuple[str, bool], list[bytes]] = {}
        self._buffered = 0

    def run(self) -> Result:
        """Gather until done or out of time. Exceptions other than StoreFault mean: try again."""
        self._load()
        if self._progress.done:
            return self._result("done")
        if any(way.identity for c in self._plan.collections_of(self._visit) for way in c.ways):
            # What is found by a reference is sound by itself: nothing is compared then.
            self._known = read_known(self._plan, self._requester, self._staging, self._number, self._places)
        try:
            finished = self._gather()
        except StoreFault as fault:
            self._load()  # only what is saved counts
            return self._result("needs_attention", fault.code, fault.about)
        return self._result("done" if finished else "continue")

    def asked(self) -> dict[str, dict[str, list[Any]]]:
        """What is looked for here: by collection and field the values; only where there are some."""
        collections = self._plan.collections_of(self._visit)
        looked_for = {c.name: {w.field: list(self._values(c, w)) for w in c.ways} for c in collections}
        there = {n: {f: vs for f, vs in fields.items() if vs} for n, fields in looked_for.items()}
        return {name: fields for name, fields in there.items() if fields}

    def _load(self) -> None:
        saved, self._tag = self._staging.read_json(place(self._visit.visit, self._number))
        self._progress = _Progress(**(saved or {}))

    def _result(self, outcome: str, reason: str = "", about: str = "") -> Result:
        counts = {n: self._progress.counts.get(n, 0) for n in self._visit.collections}
        return Result(outcome, counts, dict(self._progress.doubtful), reason, about)

    def _gather(self) -> bool:
        progress = self._progress
        collections = self._plan.collections_of(self._visit)
        while progress.collection < len(collections):
            collection = collections[progress.collection]
            while progress.way < len(collection.ways) or self._loops_on(collection):
                if not self._follow(collection):
                    return False
            # Children read the staged parts of their parents, so these are complete before.
            self._flush()
            progress.collection, progress.way, progress.loops = progress.collection + 1, 0, []
        progress.done = True
        self._save()
        return True

    def _follow(self, collection: Collection) -> bool:
        """Follow one way from where it stands to its end, or until time is up (False)."""
        progress = self._progress
        way = collection.ways[progress.way]
        if collection.loops(way) and not progress.loops:
            self._begin_loop(collection)
        values = self._values(collection, way)
        asked = [self._asked(collection, n) for n in range(len(collection.ways))]
        ways = list(zip(collection.ways, asked, strict=True))
        for page in self._pages(collection, way, values) if values else ():
            self._take(collection, ways, page.records)
            if page.after is None:
                break
            progress.after = page.after
            if not self._save_when_due():
                return False
        progress.way, progress.after = progress.way + 1, None
        return self._save_when_due()

    def _pages(self, collection: Collection, way: Way, values: Sequence[Any]) -> Iterator[Page]:
        asked = collection, way, values, self._progress.after, self._whole
        if way.since and isinstance(self._store, DatedStore):
            told = self._requester.locators.get(way.parent, ())
            since = first_day(way, (r["values"] for r in self._parents(way)), told, self._now)
            if since:
                return self._store.find_since(*asked, since)
        return self._store.find(*asked)

    # -- collections that lead to themselves ---------------------------------------------------

    def _begin_loop(self, collection: Collection) -> None:
        """Mark what is found so far: its values are looked for now, those of later finds the next time."""
        self._flush()
        self._progress.loops.append(len(self._own_parts(collection)))

    def _loops_on(self, collection: Collection) -> bool:
        """Whether the last round of following its own records found more of them: then once again."""
        looping = [n for n, way in enumerate(collection.ways) if collection.loops(way)]
        if not looping:
            return False
        self._flush()
        if len(self._own_parts(collection)) == self._progress.loops[-1] and not self._settle(collection):
            return False
        if len(self._progress.loops) >= _MOST_LOOPS:
            raise StoreFault("endless_references", f"{collection.path}.{collection.ways[looping[0]].field}")
        self._begin_loop(collection)
        self._progress.way = looping[0]
        return True

    def _settle(self, collection: Collection) -> bool:
        """Whether its own sound records lead to some that were taken as doubtful: they are sound then."""
        folder = folder_of("doubtful", collection.path, self._number)
        own, end = [w for w in collection.ways if collection.loops(w)], self._progress.loops[-1]
        ways = [(w, set(map(as_text, self._told_by_own(collection, w, 0, end)))) for w in own]
        doubtful = list(read_parts(self._staging, self._progress.parts.get(folder, ())))
        led = [any(_matches(w, Record(r["values"]), values) for w, values in ways) for r in doubtful]
        if not any(led):
            return False
        # Written anew under other names: until the place is saved, the old parts are what counts.
        self._writer = secrets.token_hex(4)
        self._progress.parts[folder] = []
        self._progress.doubtful.pop(collection.name)
        for record, sound in zip(doubtful, led, strict=True):
            self._put_by(collection, record, sound)
        self._flush()
        return True

    def _own_parts(self, collection: Collection) -> list[str]:
        return self._progress.parts.get(folder_of("staged", collection.path, self._number), [])

    def _asked(self, collection: Collection, number: int) -> Container[str]:
        """As text, the values that the way of that number looks for; of one that leads from its own
        records those that it has looked for before the present step."""
        way, loops = collection.ways[number], self._progress.loops
        if not collection.loops(way):
            values = self._values(collection, way)
            return values if isinstance(values, Values) else set(map(as_text, values))
        began = loops if number < self._progress.way else loops[:-1]
        return {as_text(v) for v in self._told_by_own(collection, way, 0, began[-1])} if began else set()

    def _told_by_own(self, collection: Collection, way: Way, begin: int, end: int) -> set[Any]:
        """What the collection's own records say, those of the parts from `begin` to `end`."""
        parts = self._own_parts(collection)[begin:end]
        path = way.parent.split(".", 2)[2]
        return self._distinct(way, (r["values"] for r in read_parts(self._staging, parts)), path)

    # -- what is found -------------------------------------------------------------------------

    def _save_when_due(self) -> bool:
        """Save when memory or time asks for it; False if it is time."""
        late = self._clock() >= self._ends_at
        if late or self._buffered >= _PART_BYTES:
            self._save()
        return not late

    def _take(
        self, collection: Collection, ways: list[tuple[Way, Container[str]]], found: Sequence[Record]
    ) -> None:
        if isinstance(found, Lines) and self._need_not_look(collection):
            self._put_all(collection, found)
            return
        now = self._progress.way
        # Of a reference, that it led here is the store's word, whatever type that gives the value.
        told = ways[now][0].identity is None
        asked = [(n, *way) for n, way in enumerate(ways) if n != now or not told or collection.loops(way[0])]
        included = self._case.decisions.get(collection.path) == "include"
        tells = Known.can_learn(collection)
        for record in found:
            if self._number and may_stay(collection, record.values):
                continue
            led = [n for n, w, values in asked if _matches(w, record, values)]
            if any(n < now or collection.loops(ways[n][0]) for n in led):
                continue  # found, and taken, by an earlier way, or in an earlier round of this one
            if told:
                led.append(now)
            elif now not in led:
                continue  # an index folds case by its own rules: only what is equal by ours is a match
            found_by = [ways[n][0] for n in led]
            if self._judge:
                verdict = self._judge(collection, record.values)
                if verdict is not None:
                    self._put_by(collection, record, verdict or included)
                continue
            new: bool | None = False
            if self._case.erased_at and all(way.identity for way in found_by):
                # Looked for once more after it was erased: who signed up since is left alone.
                new = came_after(collection, found_by, record.values, self._case.erased_at)
                if new:
                    continue
            sound = included or (
                new is False
                and any(is_sound(collection, w, record.values, self._known, self._now) for w in found_by)
            )
            if sound and tells:
                self._known.learn(collection, record.values)
            self._put_by(collection, record, sound)

    def _need_not_look(self, collection: Collection) -> bool:
        """Whether each record found by the way at hand is staged as it is, whatever it says.

        What the first way finds, being a reference, is sound and not staged before; unless something is
        learnt of it, it may be one that stays, or the collection leads to itself.
        """
        if self._judge or self._progress.way or collection.ways[0].identity or Known.can_learn(collection):
            return False
        if any(collection.loops(way) for way in collection.ways):
            return False
        return not (self._number and (collection.kept or collection.masks))

    def _put_all(self, collection: Collection, found: Lines) -> None:
        if not found:
            return
        counts = self._progress.counts
        counts[collection.name] = counts.get(collection.name, 0) + len(found)
        content = f'{{"values":{_BETWEEN.join(found.lines)}}}\n'
        self._put_line((collection.name, True), content.encode())

    def _put_line(self, place: tuple[str, bool], content: bytes) -> None:
        self._buffers.setdefault(place, []).append(content)
        self._buffered += len(content)

    def _put_by(self, collection: Collection, record: Record | dict[str, Any], sound: bool) -> None:
        """Stage a record as it was found, or as it was staged before."""
        try:
            line = to_line(record) if isinstance(record, dict) else _line_of(record)
        except TypeError:
            raise StoreFault("unsupported", f"{collection.path}: a value without a JSON form") from None
        tally = self._progress.counts if sound else self._progress.doubtful
        tally[collection.name] = tally.get(collection.name, 0) + 1
        self._put_line((collection.name, sound), line)

    def _flush(self) -> None:
        held = sum(len(part) for parts in self._progress.parts.values() for part in parts)
        small = held + self._buffered <= _PLACE_BYTES
        for (name, sound), lines in self._buffers.items():
            path = f"{self._visit.store}.{name}"
            folder = folder_of("staged" if sound else "doubtful", path, self._number)
            parts = self._progress.parts.setdefault(folder, [])
            part = f"{folder}{len(parts):06d}-{self._writer}"
            if small:
                part = b"".join(lines).decode()
            else:
                self._staging.put(part, b"".join(lines))
            parts.append(part)
        self._buffers.clear()
        self._buffered = 0

    def _save(self) -> None:
        # Parts first, then the place: killed between the two, nobody ever reads these parts.
        self._flush()
        where = place(self._visit.visit, self._number)
        self._tag = self._staging.replace_json(where, vars(self._progress), self._tag)

    # -- what is looked for ------------------------------------------------------------------

    def _values(self, collection: Collection, way: Way) -> Sequence[Any]:
        """The values to look for by `way`, distinct and in a fixed order, so that cursors stay true."""
        if way.identity:
            proven = {normalise(seed, way.identity.normalise) for seed in self._seeds(way.identity.kind)}
            return sorted(proven)
        if collection.loops(way):
            began = [0, *self._progress.loops]
            before = self._told_by_own(collection, way, 0, began[-2])
            return _ordered(self._told_by_own(collection, way, began[-2], began[-1]) - before)
        if way.late:
            # What it leads from is read later: what that said when all was read before.
            return _ordered(set(late.kept(self._staging, way)))
        if way not in self._found:
            path = way.parent.split(".", 2)[2]
            told = self._requester.locators.get(way.parent, ())
            said = (value for record in self._parents(way) for value in each_at(record["values"], path))
            try:
                self._found[way] = Values(value for value in chain(told, said) if value != "")
            except TypeError:  # a mapping
                raise _several(way) from None
        return self._found[way]

    def _distinct(self, way: Way, records: Iterable[dict[str, Any]], path: str) -> set[Any]:
        try:
            return {value for record in records for value in each_at(record, path)} - {""}
        except TypeError:  # a mapping
            raise _several(way) from None

    def _seeds(self, kind: str) -> Iterable[str]:
        """What is proven of the person, by the kind of identity."""
        if kind == "sign_in":
            return [self._requester.account] if self._requester.account else []
        # In a case of the site's own, also what the account's record holds.
        proven = proven_contacts(self._case, self._requester, kind)
        if self._case.channel not in ("site", "restore") or self._visit.resolves:
            return proven
        return proven + account_contacts(self._plan, self._staging, kind)

    def _parents(self, way: Way) -> Iterator[dict[str, Any]]:
        """The records that `way` leads from, of this round and all before: their children outlive them."""
        path = way.leads_from
        if way.own:
            if self._number:
                yield from staged(self._staging, self._plan, path, number=self._number - 1)
            return
        if self._plan.visit_of(path) != self._visit:
            yield from staged(self._staging, self._plan, path, number=self._number, places=self._places)
            return
        if self._number:
            yield from staged(self._staging, self._plan, path, number=self._number - 1)
        here = folder_of("staged", path, self._number)
        yield from read_parts(self._staging, self._progress.parts.get(here, ()))


def may_stay(collection: Collection, values: dict[str, Any]) -> bool:
    """Whether erasing leaves the record as it is: kept for a legal reason, or masked already."""
    if collection.kept:
        return True
    masks = collection.masks
    return bool(masks) and all(t.is_done(v) for name, t in masks.items() for v in each_at(values, name))


def read_known(
    plan: Plan,
    requester: Requester,
    staging: Staging,
    number: int = 0,
    places: dict[str, Any] | None = None,
) -> Known:
    """What the requester typed to be compared, and what the sound records tell that are staged so far.

    `places`: see `parts_of`.
    """
    places = {} if places is None else places
    claims = {kind: point(kind, value) for kind, value in requester.claims.items()}
    known = Known(points={kind: {said} for kind, said in claims.items() if said})
    known.add(staging.get_json(_KNOWN) or {})
    for collection in plan.collections.values():
        if Known.can_learn(collection):
            for record in staged(staging, plan, collection.path, number=number, places=places):
                known.learn(collection, record["values"])
    return known


def keep_known(known: Known, staging: Staging) -> None:
    """Keep what is known for when the visits that told it are made again."""
    staging.put_json(_KNOWN, known.as_json())


def _several(way: Way) -> StoreFault:
    return StoreFault("malformed_data", f"{way.parent}: not a value but several")


def _ordered(values: set[Any]) -> list[Any]:
    return sorted(values, key=lambda v: (as_text(v), type(v).__name__))


def _matches(way: Way, record: Record, values: Container[str]) -> bool:
    """Whether the field, or one of several values in it, is among those looked for."""
    found = each_at(record.values, way.field)
    how = way.identity.normalise if way.identity else ""
    return any(as_text(normalise(value, how)) in values for value in found)


def _line_of(record: Record) -> bytes:
    return f'{{"values":{record.line}}}\n'.encode() if record.line else to_line(_staged(record))


def _staged(record: Record) -> dict[str, Any]:
    line: dict[str, Any] = {"values": record.values}
    if record.original:
        line["original"] = vars(record.original)
    return line


def account_contacts(plan: Plan, staging: Staging, kind: str) -> list[str]:
    """The verified addresses (`kind`: email) or numbers (phone) that the found account records hold."""
    return [
        str(contact)
        for account in plan.collections.values()
        if account.account
        for way in account.ways
        if way.identity and way.identity.kind == kind and way.identity.verified
        for record in staged(staging, plan, account.path)
        for contact in each_at(record["values"], way.field)
    ]
