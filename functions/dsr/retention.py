"""What the map's retention rules say has expired: durations by the calendar, cutoffs, what a sweep may touch.

Pure: no AWS, no clock of its own. Everything errs towards keeping a day longer, never a moment too short.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dsr.case import Case, Right, State
from dsr.datamap.plan import Collection, Plan
from dsr.durations import subtract

DRY_RUN, ON = "dry-run", "on"
READS = "sweep_reads"  # in the options of a collection: the fields that a sweep reads besides

# A person who asks for a copy gets what was held when they asked, also where retention ends meanwhile
# (EDPB Guidelines 01/2022 on access, 2.3.4); but no case keeps everybody's data longer than an answer
# may take by law without an extension (GDPR Art. 12(3)).
_HOLD_AT_MOST = "P1M"

# Days that a walk over day partitions goes through again: a site's own day is up to 14 hours apart
# from UTC's, and what was written late carries an older day.
_AGAIN = timedelta(days=3)
# So often a walk begins at the first day there can be: for what was imported with an old day.
_WHOLE_WALK_EVERY = timedelta(days=30)


def cutoff(as_of: datetime, duration: str) -> datetime:
    """The start of the UTC day of `as_of` less `duration`: what is older has expired."""
    return subtract(as_of.astimezone(UTC), duration).replace(hour=0, minute=0, second=0, microsecond=0)


def moment(value: Any) -> datetime | None:
    """The moment that a record's field holds: a time, a date (its start), ISO 8601 text; None for all else.

    What has no zone is UTC.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError:  # within hours of the first or last year there is
            return value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def as_of(now: datetime, cases: Iterable[Case]) -> datetime:
    """The time that retention is judged by: `now`, held back to when the oldest waiting person asked.

    A person waits from asking for a copy until it is gathered, once they have proven who they are: an
    unproven request holds nothing back. Never further back than a month.
    """
    asked = [case.received_at for case in cases if _waits_for_a_copy(case)]
    return max(min([now, *asked]), subtract(now, _HOLD_AT_MOST))


_GATHERED = frozenset({State.BUNDLING, State.READY, State.DELIVERED})


def _waits_for_a_copy(case: Case) -> bool:
    stands = case.resume or case.state
    proven = case.mailbox_proven or case.approved
    return case.right is Right.ACCESS and proven and not case.ended and stands not in _GATHERED


def rule_of(collection: Collection) -> str:
    """The collection's rule in one line, by which a changed rule is told; "" where the map sets no end."""
    retention = collection.retention
    if "duration" not in retention:
        return ""
    expiry = collection.options.get("expiry", {})
    table = collection.options.get("table") or collection.options.get("prefix", "")
    where = "".join(f" {word}={expiry[word]}" for word in sorted(expiry))
    return f"{retention['duration']} from {retention['from']} in {table}{where}"


def hindrance(collection: Collection, kind: str) -> tuple[str, str]:
    """Why a collection with a rule cannot be swept: (reason, about); ("", "") where it can."""
    if kind not in ("dynamodb", "sql", "lake"):
        return "unsupported", f"{collection.path}: retention is not swept in stores of kind {kind} yet"
    if kind == "dynamodb" and "expiry" not in collection.options:
        return "missing_index", f"{collection.path}: the map declares no `expiry`"
    if (
        kind == "lake"
        and collection.options.get("partition", {}).get("field") != collection.retention["from"]
    ):
        return (
            "missing_index",
            f"{collection.path}: the map declares no `partition` by the time it counts from",
        )
    return "", ""


@dataclass(frozen=True)
class Known:
    """What earlier sweeps of a collection left to know. Days as YYYY-MM-DD, "" for never.

    `rule`: the one they went by; `counted_on`: when a dry run under it was through; `walked_to`: the day
    before which every day has been walked; `whole_on`: when a walk from the very first day was through.
    """

    rule: str = ""
    counted_on: str = ""
    walked_to: str = ""
    whole_on: str = ""


@dataclass(frozen=True)
class Sweep:
    """One collection in one sweep: what is to be done, computed once, and how far it is. No personal data.

    `cutoff`: what is older has expired; `since`: the day that the walk begins at; `limit`: records at
    most. `records`: counted (dry run) or erased; `left`: expired, but other records still need them;
    `undated`: in an expired day, but with a time that cannot be read; `held`: expired, but their person is
    held; `more`: the limit, or the time of a dry run, ended it early; `reached`: the day that the walk has
    come to.
    """

    sweep: str
    collection: str
    rule: str
    mode: str
    cutoff: datetime
    limit: int
    since: str = ""
    outcome: str = "pending"  # pending | continue | done | needs_attention
    records: int = 0
    left: int = 0
    undated: int = 0
    held: int = 0
    more: bool = False
    reached: str = ""
    calls: int = 0
    reason: str = ""
    about: str = ""


def plan_collection(
    sweep: str, collection: Collection, kind: str, now: datetime, mode: str, limit: int, known: Known
) -> Sweep:
    """What a sweep will do with a collection that has a rule. `now` is the time retention is judged by.

    Nothing is erased under a rule before a dry run under that very rule has been through.
    """
    rule = rule_of(collection)
    reason, about = hindrance(collection, kind)
    if known.rule != rule:
        known = Known(rule)
    before = cutoff(now, collection.retention["duration"])
    return Sweep(
        sweep, collection.path, rule,
        ON if mode == ON and known.counted_on else DRY_RUN,
        before, limit, _first_day(known, before.date()) if kind == "dynamodb" else "",
        outcome="needs_attention" if reason else "pending", reason=reason, about=about,
    )  # fmt: skip


def _first_day(known: Known, before: date) -> str:
    """Where the walk begins: a little before where the last one ended; now and then at the beginning."""
    if not known.walked_to or not known.whole_on:
        return ""
    if date.fromisoformat(known.whole_on) + _WHOLE_WALK_EVERY <= before:
        return ""
    return (min(date.fromisoformat(known.walked_to), before) - _AGAIN).isoformat()


def learn(known: Known, done: Sweep) -> Known:
    """What is known after a sweep of a collection is through. A walk that was cut short teaches nothing."""
    if known.rule != done.rule:
        known = Known(done.rule)
    day = done.cutoff.date().isoformat()
    if done.mode == DRY_RUN:
        return Known(done.rule, day, known.walked_to, known.whole_on)
    if done.more or done.held:
        return known
    return Known(done.rule, known.counted_on, day, known.whole_on if done.since else day)


def sweepable(plan: Plan) -> list[Collection]:
    """The collections with a rule, those that others are found through last."""
    paths = [f"{visit.store}.{name}" for visit in plan.visits for name in visit.collections]
    return [plan.collections[path] for path in reversed(paths) if rule_of(plan.collections[path])]
