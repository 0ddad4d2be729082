"""After erasing: did every store answer, and does an independent second read find anything left?

What arrived meanwhile is erased in another round. A person who goes on writing ends in *needs
attention*, not in a loop.
"""

from dataclasses import dataclass
from typing import Any

from dsr import plans
from dsr.case import Attention, Case, State
from dsr.casebook import WAITS, Casebook, Visit, work_name
from dsr.datamap.plan import Plan, VisitPlan
from dsr.settings import read
from dsr.waking import wait_for, waiting_visits

MOST_ROUNDS = 4

# Seconds until a kind of store shows by every way what was written last: a global index follows its table in
# a moment (DynamoDB), a listing of users likewise (Cognito). S3 and databases show it at once.
SETTLES = {"dynamodb": 3, "cognito": 3}


def settles(plan: Plan) -> int:
    """How long after erasing the stores of a plan are left alone before they are read again. Pure."""
    kinds = {visit.kind for visit in plan.visits}
    return max((SETTLES.get(kind, 0) for kind in kinds), default=0)


@dataclass(frozen=True)
class Settings:
    """Environment of conclude_erasing."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str


def conclude_erasing(event: dict[str, Any]) -> dict[str, str]:
    """Move a case on that is being erased or confirmed. `event`: `case_id`, `step` that was made.

    Returns {"outcome": the state it is in}.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    plan = plans.of_case(case, settings.staging_bucket)
    step = event["step"]
    if (case.state, step) == (State.ERASING, "freeze"):
        points = unanswered(freezing(plan), book.visits(case.case_id, work_name("freeze", 0)))
        moved = _stop(book, case, points) if points else case
    elif (case.state, step) == (State.ERASING, "erase"):
        visits = book.visits(case.case_id, work_name("erase", case.round))
        if points := unanswered(plan.visits, visits):
            moved = _stop(book, case, points)
        elif waiting := waiting_visits(plan.visits, visits):
            return {"outcome": "waiting" if wait_for(book, case, plan, waiting) else "again"}
        else:
            moved = book.move(case, State.CONFIRMING, "erased", "workflow", attention=())
    elif (case.state, step) == (State.CONFIRMING, "confirm"):
        # Whom an agent goes on without is not asked again.
        without = [v for v in plan.visits if case.decisions.get(f"visit:{v.visit}") == "leave_out"]
        visits = {v.visit: Visit(v.visit, v.store, "done") for v in without}
        visits = book.visits(case.case_id, work_name("gather", case.round + 1)) | visits
        stops = unanswered(plan.visits, visits)
        if not stops and (waiting := waiting_visits(plan.visits, visits)):
            return {"outcome": "waiting" if wait_for(book, case, plan, waiting) else "again"}
        moved = _stop(book, case, stops) if stops else _confirm(book, case, plan, visits)
    else:
        moved = case  # somebody was here before
    return {"outcome": moved.state.value}


def freezing(plan: Plan) -> tuple[VisitPlan, ...]:
    """The visits that have something to freeze."""
    return tuple(v for v in plan.visits if any(c.freeze or c.revokes for c in plan.collections_of(v)))


def restricting(plan: Plan) -> tuple[VisitPlan, ...]:
    """The visits that have something to restrict while a deletion waits to begin."""
    return tuple(v for v in plan.visits if any(c.restrict for c in plan.collections_of(v)))


def unanswered(planned: tuple[VisitPlan, ...], visits: dict[str, Visit]) -> tuple[Attention, ...]:
    """The visits that are not through and wait for nothing, with the reason. Pure."""
    missing = Visit("", "", reason="no_answer")
    asked = [(p.visit, visits.get(p.visit, missing)) for p in planned]
    waiting = {v.visit for v in waiting_visits(planned, visits)}
    # What a waiting one leads to is looked for once it has answered.
    held_up = {n for n, v in asked if v.reason == WAITS and v.about in waiting}
    return tuple(
        Attention(n, v.reason or "no_answer", v.about)
        for n, v in asked
        if v.outcome != "done" and n not in waiting | held_up
    )


def _confirm(book: Casebook, case: Case, plan: Plan, visits: dict[str, Visit]) -> Case:
    points = _doubts(plan, case, visits)
    if points:
        return _stop(book, case, points)
    left = sum(sum((v.counts or {}).values()) for v in visits.values())
    if not left:
        return book.move(case, State.CERTIFYING, "nothing_left", "workflow", {"round": str(case.round)})
    if case.round + 1 - max(case.check_round, case.rounds_from) >= MOST_ROUNDS:
        arriving = [v for v in plan.visits if sum((visits[v.visit].counts or {}).values())]
        return _stop(book, case, tuple(Attention(v.visit, "keeps_arriving") for v in arriving))
    about = {"round": str(case.round + 1), "records": str(left)}
    return book.move(case, State.ERASING, "found_again", "workflow", about, round=case.round + 1)


def _doubts(plan: Plan, case: Case, visits: dict[str, Visit]) -> tuple[Attention, ...]:
    """Doubtful records about which nobody has decided yet."""
    return tuple(
        Attention(p.visit, "unverified_match", f"{p.store}.{name}")
        for p in plan.visits
        for name, number in (visits[p.visit].doubtful or {}).items()
        if number and f"{p.store}.{name}" not in case.decisions
    )


def _stop(book: Casebook, case: Case, points: tuple[Attention, ...]) -> Case:
    about = {"reason": points[0].reason, "visit": points[0].visit}
    return book.move(
        case, State.NEEDS_ATTENTION, "needs_attention", "workflow", about, attention=points, resume=case.state
    )
