"""Taking up a case: where does it stand, and what is the workflow's next step? The one place that routes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dsr import plans
from dsr.canonical import digest
from dsr.case import AWAIT_ANSWERS, KEPT_CHANNEL, REST, Case, State, next_step, notice_of
from dsr.casebook import Casebook, Visit, now, work_name
from dsr.confirming import freezing, restricting, settles, unanswered
from dsr.datamap.plan import Plan, VisitPlan
from dsr.holdbook import Holdbook
from dsr.holds import HELD, targets_of, that_stop
from dsr.settings import read
from dsr.subjects import Subjects

HELD_NOTICE = "held"


@dataclass(frozen=True)
class Settings:
    """Environment of take_up_case."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str


def take_up(event: dict[str, Any]) -> dict[str, Any]:
    """The next step of the case: {"step", "waves", "notice", "version"}; `waves` are the visits
    still to be made, in order; `notice` is what an `announce` step is to send; `version` that of
    the case, on which a step that waits depends.

    `event`: `case_id`, `attempt`. An execution of an earlier attempt is told to rest. Raises NotFound.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.attempt != event["attempt"]:
        return {"step": REST, "waves": []}
    step = next_step(case)
    # What was kept for years goes by the map of the day, or of the day on which that was mended.
    searching = case.state in (State.VERIFIED, State.GATHERING) and not case.plan
    waited = case.channel == KEPT_CHANNEL and searching
    if case.state is State.RECEIVED or waited or (case.dry_run and case.version == 1):
        # Kept before anything is done by it: another map may be deployed before the person answers.
        version = plans.keep(settings.staging_bucket)
        if case.map_version != version:
            case = book.move(case, case.state, "map_updated", "workflow", map_version=version)
    if case.confirmed_at and (restriction := _restriction(settings, book, case)):
        return restriction
    if step == "cool_off" and _may_begin(book, case):
        about = {"plan": digest(case.plan)}
        case = book.move(
            case, State.ERASING, "erasing_started", "workflow", about, token="", expires_at=None, attention=()
        )
        step = next_step(case)
    if step in ("cool_off", AWAIT_ANSWERS) and _hold_to_tell(book, case):
        return {"step": "announce", "waves": [], "notice": HELD_NOTICE, "version": case.version}
    if step in ("resolve", "gather", "erase", "confirm"):
        plan = plans.of_case(case, settings.staging_bucket)
        if step == "confirm" and case.updated_at + timedelta(seconds=settles(plan)) > now():
            return {"step": "settle", "waves": [], "version": case.version}
        if case.state is State.VERIFIED:
            case = book.move(case, State.GATHERING, "gathering_started", "workflow")
        return visits_to_make(plan, book, case, step)
    return {"step": step, "waves": [], "notice": notice_of(case), "version": case.version}


def _restriction(settings: Settings, book: Casebook, case: Case) -> dict[str, Any] | None:
    """The visits that restrict processing while a deletion waits to begin, or that lift it once it is
    cancelled; None if there are none to make. What went wrong is told at the desk, and stops nothing."""
    if case.state not in (State.COOLING_OFF, State.WITHDRAWN, State.REFUSED) or case.key_destroyed:
        return None
    verb = "restrict" if case.state is State.COOLING_OFF else "lift"
    wanted = restricting(plans.of_case(case, settings.staging_bucket))
    restricted = book.visits(case.case_id, work_name("restrict", 0)) if wanted else {}
    if verb == "lift":
        wanted = tuple(v for v in wanted if v.visit in restricted)
    made = restricted if verb == "restrict" or not wanted else book.visits(case.case_id, work_name(verb, 0))
    open_visits = [v for v in wanted if made.get(v.visit, _NEW).outcome in ("pending", "continue")]
    if open_visits:
        step = {"step": "restrict"} if verb == "restrict" else {"step": "lift"}
        return {**step, "waves": _told([open_visits], verb, 0), "version": case.version}
    stuck = unanswered(wanted, made)
    if stuck and not case.attention:
        about = {"reason": stuck[0].reason, "visit": stuck[0].visit}
        book.move(case, case.state, "needs_attention", "workflow", about, attention=stuck)
    return None


def _may_begin(book: Casebook, case: Case) -> bool:
    """Whether the time for second thoughts is over, no hold stops it, and the person has their copies."""
    due = case.expires_at is None or case.expires_at <= now()
    if not due or Holdbook(book.cases).stops(targets_of(case)):
        return False
    return case.waived or not case.subject or not Subjects(book).unfinished_access(case.subject)


def _hold_to_tell(book: Casebook, case: Case) -> bool:
    """Whether the deletion waits for a hold that its person may know of, and has not been told of."""
    if HELD_NOTICE in case.notices:
        return False
    if case.state is State.COOLING_OFF:
        due = case.expires_at is None or case.expires_at <= now()
        waits = due and bool(Holdbook(book.cases).stops(targets_of(case)))
    else:
        visits = book.visits(case.case_id, work_name("erase", case.round))
        waits = any(v.outcome == "waiting" and v.reason == HELD for v in visits.values())
    return waits and any(h.told for h in that_stop(Holdbook(book.cases).all(), case, case.plan))


def visits_to_make(plan: Plan, book: Casebook, case: Case, step: str) -> dict[str, Any]:
    """The step with the visits that are still to be made, wave after wave."""
    if step == "erase":
        if case.round == 0:
            frozen = book.visits(case.case_id, work_name("freeze", 0))
            to_freeze = [[v for v in freezing(plan) if frozen.get(v.visit, _NEW).outcome != "done"]]
            if any(to_freeze):
                return {"step": "freeze", "waves": _told(to_freeze, "freeze", 0)}
        done = book.visits(case.case_id, work_name("erase", case.round))
        waves = [
            [v for v in wave if done.get(v.visit, _NEW).outcome != "done"] for wave in erasing_order(plan)
        ]
        return {"step": step, "waves": _told(waves, "erase", case.round)}
    number = case.round + 1 if step == "confirm" else 0
    made = book.visits(case.case_id, work_name("gather", number))
    open_visits = [
        v
        for v in plan.visits
        if (v.resolves or step != "resolve")
        and made.get(v.visit, _NEW).outcome != "done"
        and case.decisions.get(f"visit:{v.visit}") != "leave_out"
    ]
    return {"step": step, "waves": _told(plan.waves(open_visits), "gather", number)}


def erasing_order(plan: Plan) -> list[list[VisitPlan]]:
    """The waves of erasing: leaves first, and last of all what tells who the person is."""
    rest = [v for v in plan.visits if not v.resolves]
    identity = [v for v in plan.visits if v.resolves]
    return [*reversed(plan.waves(rest)), *reversed(plan.waves(identity))]


def _told(waves: list[list[VisitPlan]], verb: str, number: int) -> list[dict[str, Any]]:
    """The waves as the workflow walks them. `record`: where a visit is noted if its worker fails for good."""
    work = work_name(verb, number)
    return [
        {
            "visits": [
                {"visit": v.visit, "kind": v.kind, "verb": verb, "record": f"{work}#{v.visit}"} for v in wave
            ]
        }
        for wave in waves
        if wave
    ]


_NEW = Visit("", "")
