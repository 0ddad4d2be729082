"""What the worker of every kind of store does with a visit: the kind is data, not a branch."""

import time
from dataclasses import dataclass, replace
from typing import Any

from dsr import casebook, plans
from dsr.case import Case, State
from dsr.casebook import Casebook, Visit
from dsr.datamap.plan import VisitPlan
from dsr.errors import Refused
from dsr.gathering import Gathering, Result
from dsr.settings import read
from dsr.staging import Staging
from dsr.stores.registry import open_store

# Kept free at the end of an invocation to seal and store what was read, and the cursor.
_RESERVE_SECONDS = 30


@dataclass(frozen=True)
class Settings:
    """Environment of a store worker. `budget_seconds`: how long a call may work before it saves its place."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    budget_seconds: int = 240


def work(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Do one visit of one case, as far as time allows.

    `event`: `case_id`, `visit`. Returns {"outcome": continue | done | needs_attention}; all else stands
    in the casebook. Raises whatever may pass when tried again.
    """
    started = time.monotonic()
    settings = read(Settings)
    remaining = context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    plan = plans.of_version(case.map_version, settings.staging_bucket)
    visit = plan.visit(event["visit"])
    before = book.visits(case.case_id).get(visit.visit, Visit(visit.visit, visit.store))
    if before.outcome == "done":
        return {"outcome": "done"}
    _check_allowed(case, visit)
    gathering = Gathering(
        plan,
        case,
        book.requester(case),
        visit,
        Staging(settings.staging_bucket, settings.case_keys_table, case),
        open_store(plan.stores[visit.store]),
        casebook.now(),
        started + min(settings.budget_seconds, remaining),
    )
    result = gathering.run()
    book.note_visit(case.case_id, _noted(before, result))
    return {"outcome": result.outcome}


def _check_allowed(case: Case, visit: VisitPlan) -> None:
    """Raises Refused unless the proof given so far allows this visit: the rule holds here, whoever calls."""
    allowed = case.state is State.GATHERING or (case.state is State.RESOLVING and visit.resolves)
    if not allowed or not (case.mailbox_proven or case.approved):
        raise Refused(f"visit {visit.visit} of a case that is {case.state}")


def _noted(before: Visit, result: Result) -> Visit:
    return replace(
        before,
        outcome=result.outcome,
        counts=result.counts,
        doubtful=result.doubtful,
        reason=result.reason,
        about=result.about,
        calls=before.calls + 1,
    )
