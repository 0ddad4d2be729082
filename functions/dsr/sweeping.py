"""The retention sweep: plan it once a day, then take out, store by store, what has expired.

Nothing here needs to be finished in one call, or is harmed by a second one: what is erased is gone, the
plan with its cutoffs is stored, and a worker that comes again finds only what is left.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from dsr import casebook
from dsr.aws import client
from dsr.casebook import Casebook
from dsr.datamap.plan import Collection, Plan, Way, load
from dsr.errors import NotFound, Refused, StoreFault
from dsr.holdbook import Holdbook
from dsr.holds import Scope
from dsr.log import logger
from dsr.retention import DRY_RUN, ON, Sweep, as_of, learn, plan_collection, rule_of, sweepable
from dsr.settings import read
from dsr.spared import Person, owners_of, reading, spare
from dsr.stores.base import Cursor, ExpiringStore, Record
from dsr.stores.registry import open_store
from dsr.sweepbook import Header, Sweepbook

# Expired records that others still need, after which a person must look: each costs a statement of its own.
_MOST_LEFT = 1000
_NAME = re.compile(r"[0-9A-Za-z-]{1,60}")


# -- planning ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """Environment of plan_sweep. `sweep_mode`: dry-run or on; `sweep_limit`: records a collection and run."""

    cases_table: str
    case_keys_table: str
    sweep_mode: str = DRY_RUN
    sweep_limit: int = 100_000


def plan_sweep(event: dict[str, Any]) -> dict[str, Any]:
    """Plan today's sweep, or go on with it if it was planned and its execution is lost.

    `event`: `execution` (its ARN) and `input` (of the execution): `mode` to ask for a dry run whatever the
    settings say, `sweep` for a name other than the day. Returns {"sweep", "ours", "stores"}: whether this
    execution is to do it, and per store what is left: {"collections": [{"sweep", "collection", "kind"}]}.
    """
    settings = read(Settings)
    book = Sweepbook(settings.cases_table)
    now, asked = casebook.now(), event.get("input") or {}
    name = asked.get("sweep") or f"{now:%Y-%m-%d}"
    mode = DRY_RUN if asked.get("mode") == DRY_RUN else settings.sweep_mode
    if not _NAME.fullmatch(name) or mode not in (DRY_RUN, ON):
        raise Refused("no such sweep")
    plan = load()
    cases = Casebook(settings.cases_table, settings.case_keys_table).open_cases()
    header = Header(name, mode, now, as_of(now, cases), plan.version, event["execution"])
    if not book.begin(header):
        before = book.header(name)
        if before is None or not _is_ours(book, before, event["execution"]):
            return {"sweep": name, "ours": False, "stores": []}
        header = before
    _plan_collections(book, plan, header, settings.sweep_limit)
    return {"sweep": name, "ours": True, "stores": _left_to_do(book, plan, name)}


def _is_ours(book: Sweepbook, before: Header, execution: str) -> bool:
    """Whether this execution is to go on with a sweep that is there."""
    if before.concluded_at:
        return False
    if before.execution == execution:
        return True  # this very step, tried again
    if _runs(before.execution):
        return False  # the schedule was delivered twice
    return book.take_over(replace(before, execution=execution), before)


def _runs(execution: str) -> bool:
    states = client("stepfunctions")
    try:
        return bool(states.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except states.exceptions.ExecutionDoesNotExist:
        return False


def _plan_collections(book: Sweepbook, plan: Plan, header: Header, limit: int) -> None:
    """Store each collection's part of the plan, unless it stands already: what was planned stays planned."""
    planned = {sweep.collection for sweep in book.collections(header.sweep)}
    for collection in sweepable(plan):
        if collection.path not in planned:
            kind, known = plan.stores[collection.store].kind, book.known(collection.path)
            book.add(plan_collection(header.sweep, collection, kind, header.as_of, header.mode, limit, known))


def _left_to_do(book: Sweepbook, plan: Plan, name: str) -> list[dict[str, Any]]:
    """The stores with what is pending in each, in the order it is to be done in."""
    open_ = {s.collection for s in book.collections(name) if s.outcome in ("pending", "continue")}
    stores: dict[str, list[dict[str, str]]] = {}
    for collection in sweepable(plan):
        if collection.path in open_:
            work = {"sweep": name, "collection": collection.path, "kind": plan.stores[collection.store].kind}
            stores.setdefault(collection.store, []).append(work)
    return [{"collections": works} for works in stores.values()]


# -- working -------------------------------------------------------------------------------------


def sweep(
    event: dict[str, Any], cases_table: str, ends_at: float, person: Person | None = None
) -> dict[str, str]:
    """Sweep one collection as far as time allows; for the worker of the store's kind.

    `event`: `sweep`, `collection`; `ends_at` on the monotonic clock. Returns {"outcome": continue | done |
    needs_attention}; all else stands in the sweepbook. `person`: see `spared.spare`; without it, nobody can
    tell whose a record is. Raises whatever may pass when tried again.
    """
    book = Sweepbook(cases_table)
    planned = book.get(event["sweep"], event["collection"])
    if planned is None:
        raise NotFound("no such collection in no such sweep")
    if planned.outcome in ("done", "needs_attention"):
        return {"outcome": planned.outcome}
    plan = load()
    collection = plan.collections.get(planned.collection)
    if collection is None or rule_of(collection) != planned.rule:
        # A new map was deployed meanwhile: the next sweep goes by it.
        done = replace(planned, outcome="done", reason="rule_changed")
        book.note(done)
        return {"outcome": done.outcome}
    store = cast(ExpiringStore, open_store(plan.stores[collection.store]))
    holds = Holdbook(cases_table)
    target = [(Scope.COLLECTION, path) for path in plan.hanging_on(collection.path)]
    owners = owners_of(plan, collection) if person else ()

    def is_held() -> bool:
        return bool(holds.stops(target)) or (not owners and bool(holds.persons()))

    begun = replace(planned, calls=planned.calls + 1)
    allowed = spare(owners, holds.persons, person) if person and owners else list
    done = run(begun, reading(collection, owners), store, is_held, book.note, ends_at, allowed=allowed)
    if done.outcome == "done":
        book.keep(collection.path, learn(book.known(collection.path), done))
    book.note(done)
    logger.info("swept", collection=collection.path, records=done.records, outcome=done.outcome)
    return {"outcome": done.outcome}


def run(
    planned: Sweep,
    collection: Collection,
    store: ExpiringStore,
    is_held: Callable[[], bool],
    note: Callable[[Sweep], None],
    ends_at: float,
    clock: Callable[[], float] = time.monotonic,
    allowed: Callable[[Sequence[Record]], list[Record]] = list,
) -> Sweep:
    """Count, or erase, what has expired until it is through, the limit is reached or time is up.

    `note` is told after every page that was erased; whoever goes on from there loses nothing, and what
    is found a second time is gone. A dry run changes nothing and counts in one call. Asked before every
    batch, `is_held` says whether a hold stops it: then the sweep ends early, and another day's goes on.
    `allowed` leaves out of a batch what stays since its person is held.
    """
    # A walk that begins anew meets again what it left; what it erased it does not.
    done = planned if planned.reached else replace(planned, left=0, undated=0, held=0)
    done = replace(done, records=0) if planned.mode == DRY_RUN else done
    begin = done.reached or done.since
    after: Cursor = None
    while done.records < done.limit:
        limit = min(store.erase_at_once, done.limit - done.records)
        if done.mode == ON and is_held():
            return replace(_cut_short(done), reason="held")
        try:
            page = store.expired(collection, done.cutoff, after, limit, begin)
            going = allowed(page.records)
            left = _erase(store, collection, going) if done.mode == ON else 0
        except StoreFault as fault:
            return replace(done, outcome="needs_attention", reason=fault.code, about=fault.about)
        done = replace(
            done,
            records=done.records + len(going) - left,
            left=done.left + left,
            held=done.held + len(page.records) - len(going),
            undated=done.undated + page.undated,
            reached=page.day if done.mode == ON else "",
        )
        if page.after is None:
            return replace(done, outcome="done")
        if done.left > _MOST_LEFT:
            return _stuck(done)
        after = page.after
        if clock() >= ends_at:
            if done.mode == DRY_RUN:
                return _cut_short(done)
            further = (done.records, done.reached) != (planned.records, planned.reached)
            return replace(done, outcome="continue") if further else _stuck(done)
        if page.records and done.mode == ON:
            note(replace(done, outcome="continue"))
    return _cut_short(done)


def _cut_short(done: Sweep) -> Sweep:
    return replace(done, outcome="done", more=True)


def _stuck(done: Sweep) -> Sweep:
    """So much of what has expired cannot go that another call would get no further."""
    reason = "still_referenced" if done.left else "malformed_data"
    return replace(done, outcome="needs_attention", reason=reason, about=done.collection)


def _erase(store: ExpiringStore, collection: Collection, records: Sequence[Record]) -> int:
    """Delete them, those that others still refer to excepted. Returns how many those are."""
    # What guards a record here is its time, not its owner: one that was used again meanwhile stays.
    guarded = replace(collection, ways=(Way(collection.retention["from"]),), account="")
    return _erase_guarded(store, guarded, [record.values for record in records])


def _erase_guarded(store: ExpiringStore, collection: Collection, values: list[dict[str, Any]]) -> int:
    if not values:
        return 0
    try:
        store.erase(collection, values, {})
    except StoreFault as fault:
        if fault.code != "still_referenced":
            raise
        if len(values) == 1:
            return 1
        half = len(values) // 2
        return sum(_erase_guarded(store, collection, part) for part in (values[:half], values[half:]))
    return 0
