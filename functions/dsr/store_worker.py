"""What the worker of every kind of store does with a visit: the kind is data, not a branch.

What only few calls need (a sweep, a question to a recipient, a list of what was kept) is imported by those.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from dsr import casebook, plans
from dsr.case import KEPT_CHANNEL, Case, Right, State
from dsr.casebook import WAITS, Casebook, Visit, work_name
from dsr.datamap.plan import Collection, Plan, VisitPlan
from dsr.erasing import Erasing
from dsr.errors import Refused
from dsr.gathering import Gathering, Result
from dsr.holdbook import Holdbook
from dsr.holds import targets_of
from dsr.settings import read
from dsr.spared import Person
from dsr.staging import Staging
from dsr.stores.base import Store
from dsr.stores.registry import open_store

if TYPE_CHECKING:
    from dsr.asking import Asking, Recipient

# Kept free at the end of an invocation to seal and store what was read, and the cursor.
_RESERVE_SECONDS = 30


@dataclass(frozen=True)
class Settings:
    """Environment of a store worker. `budget_seconds`: how long a call may work before it saves its place."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    budget_seconds: int = 240
    lake_workflow: str = ""  # of the worker of lakes, where lake runs begin at once: which state machine


def ends_at(settings: Settings, context: Any) -> float:
    """When the call is to save its place, on the monotonic clock."""
    remaining: float = context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS
    return time.monotonic() + min(settings.budget_seconds, remaining)


def work(
    event: dict[str, Any],
    context: Any,
    erasing: Callable[..., Erasing] = Erasing,
    person: Person | None = None,
) -> dict[str, str]:
    """Do one visit of one case, as far as time allows.

    `event`: `case_id`, `visit`, `verb` (gather, restrict, lift, freeze, erase), or what `sweeping.sweep`
    takes with the verb sweep. Returns {"outcome": continue | waiting | done | needs_attention}; all else
    stands in the casebook. `erasing` does a visit of the verb erase; `person`: see `sweeping.sweep`. Raises
    whatever may pass when tried again.
    """
    settings = read(Settings)
    until = ends_at(settings, context)
    if event.get("verb") == "sweep":
        from dsr.sweeping import sweep

        return sweep(event, settings.cases_table, until, person)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    plan = plans.of_case(case, settings.staging_bucket)
    visit, verb = plan.visit(event["visit"]), event["verb"]
    work = work_name(verb, _round(case, verb))
    made = book.visits(case.case_id, work)
    before = replace(made.get(visit.visit, Visit(visit.visit)), store=visit.store)
    if before.outcome == "done":
        return {"outcome": "done"}
    check_allowed(case, visit, verb)
    if verb == "gather" and (first := waits_for(plan, visit, made, case.decisions)):
        result = Result("needs_attention", {}, {}, WAITS, first)
    else:
        staging = Staging(settings.staging_bucket, settings.case_keys_table, case)
        result = _do(verb, case, plan, visit, before, book, staging, until, erasing)
    noted = _noted(before, result)
    if result.outcome == "waiting":
        # Answered while it was being asked: then there is nothing to wait for.
        waits = book.note_waiting(case.case_id, noted, work, before.woken_at)
        return {"outcome": "waiting" if waits else "continue"}
    book.note_visit(case.case_id, noted, work)
    return {"outcome": result.outcome}


def _round(case: Case, verb: str) -> int:
    """The round that a piece of work belongs to: confirming gathers what the next round would erase."""
    if verb == "gather":
        return case.round + 1 if case.state is State.CONFIRMING else 0
    return case.round if verb == "erase" else 0


def _do(
    verb: str,
    case: Case,
    plan: Plan,
    visit: VisitPlan,
    before: Visit,
    book: Casebook,
    staging: Staging,
    until: float,
    erasing: Callable[..., Erasing],
) -> Result:
    store, asks = open_store(plan.stores[visit.store]), bool(plan.stores[visit.store].recipient)
    number, now = _round(case, verb), casebook.now()
    asking = _asking(verb, case, plan, visit, before, book, staging, store, now) if asks else None
    if verb == "gather":
        requester, judge = book.requester(case), None
        if case.channel == KEPT_CHANNEL:
            from dsr.kept import Listed

            listed = Listed.of(book, case, now)
            requester, judge = replace(requester, locators=listed.locators(plan)), listed.judge()

        def gathering(source: Store) -> Gathering:
            return Gathering(
                plan, case, requester, visit, staging, source, now, until, number=number, judge=judge
            )

        return asking.gather(gathering, number) if asking else gathering(store).run()
    holds = Holdbook(book.cases)

    def stopped_by(collection: Collection) -> str:
        # A record that is held keeps those of its store that it hangs on: a database would not let them go.
        return holds.stops(targets_of(case, plan.hanging_on(collection.path)))

    if asking:
        return asking.erase(number, stopped_by)
    made = erasing(plan, visit, staging, store, until, number, stopped_by)
    if verb in ("restrict", "lift"):
        return made.restrict(lift=verb == "lift")
    return made.freeze() if verb == "freeze" else made.run()


def _asking(
    verb: str,
    case: Case,
    plan: Plan,
    visit: VisitPlan,
    before: Visit,
    book: Casebook,
    staging: Staging,
    store: Store,
    now: datetime,
) -> "Asking":
    """Whoever keeps the records, to be asked about all of them at once."""
    from dsr.answers import Answers
    from dsr.asking import Asking

    def note(asked: Visit) -> None:
        book.note_visit(case.case_id, asked, work_name(verb, _round(case, verb)))

    answers = Answers(book, staging, case)
    return Asking(plan, case, visit, before, staging, cast("Recipient", store), answers, note, now)


def check_allowed(case: Case, visit: VisitPlan, verb: str) -> None:
    """Raises Refused unless the proof given so far allows this: the rule holds here, whoever calls."""
    if verb == "gather":
        confirming = case.state is State.CONFIRMING and case.confirmed_at is not None
        resolving = case.state is State.RESOLVING and visit.resolves
        allowed = case.state is State.GATHERING or resolving or confirming
    elif verb in ("restrict", "lift"):
        waits, over = State.COOLING_OFF, (State.WITHDRAWN, State.REFUSED)
        allowed = case.state is waits if verb == "restrict" else case.state in over
        allowed = allowed and case.confirmed_at is not None and not case.dry_run
    else:
        deleting = case.state is State.ERASING and case.right is Right.DELETION
        # What it will do has been recorded, and somebody wanted it so.
        allowed = deleting and bool(case.plan) and case.confirmed_at is not None and not case.dry_run
    if not allowed or not (case.mailbox_proven or case.approved):
        raise Refused(f"{verb} of visit {visit.visit} of a case that is {case.state}")


def waits_for(plan: Plan, visit: VisitPlan, made: dict[str, Visit], decisions: dict[str, str]) -> str:
    """The visit that leads to this one and has no answer yet; "" if there is none. Pure.

    To look for what its records name would find nothing, and that would pass for an answer.
    """
    for path in sorted({path for c in plan.collections_of(visit) for path in c.parents}):
        leads = plan.visit_of(path)
        answered = leads == visit or (leads.visit in made and made[leads.visit].outcome == "done")
        if not answered and decisions.get(f"visit:{leads.visit}") != "leave_out":
            return leads.visit
    return ""


def _noted(before: Visit, result: Result) -> Visit:
    noted: dict[str, Any] = result.noted
    return replace(
        before,
        woken_at="",
        outcome=result.outcome,
        counts=result.counts,
        doubtful=result.doubtful,
        reason=result.reason,
        about=result.about,
        calls=before.calls + 1,
        **noted,
    )
