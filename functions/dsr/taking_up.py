"""Taking up a case: where does it stand, and what is the workflow's next step? The one place that routes."""

from dataclasses import dataclass
from typing import Any

from dsr import plans
from dsr.case import REST, Case, State, next_step
from dsr.casebook import Casebook, Visit
from dsr.datamap.plan import Plan, VisitPlan
from dsr.settings import read


@dataclass(frozen=True)
class Settings:
    """Environment of take_up_case."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str


def take_up(event: dict[str, Any]) -> dict[str, Any]:
    """The next step of the case: {"step", "waves", "notice"}; `waves` are the visits
    still to be made, in order; `notice` is what an `announce` step is to send.

    `event`: `case_id`, `attempt`. An execution of an earlier attempt is told to rest. Raises NotFound.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    case = book.get(event["case_id"])
    if case.attempt != event["attempt"]:
        return {"step": REST, "waves": []}
    step = next_step(case)
    if case.state is State.RECEIVED:
        # Kept before anything is done by it: another map may be deployed before the person answers.
        version = plans.keep(settings.staging_bucket)
        if case.map_version != version:
            book.move(case, case.state, "map_updated", "workflow", map_version=version)
    if step in ("resolve", "gather"):
        plan = plans.of_version(case.map_version, settings.staging_bucket)
        if case.state is State.VERIFIED:
            case = book.move(case, State.GATHERING, "gathering_started", "workflow")
        visits = [v for v in plan.visits if v.resolves or step == "gather"]
        return {"step": step, "waves": waves(plan, visits, book.visits(case.case_id), case)}
    # The notice that tells the person of a state is called like the state.
    return {"step": step, "waves": [], "notice": case.state.value}


def waves(plan: Plan, visits: list[VisitPlan], known: dict[str, Visit], case: Case) -> list[dict[str, Any]]:
    """The visits that are not done and not left out by decision, grouped by wave."""
    open_visits = [
        v
        for v in visits
        if known.get(v.visit, _NEW).outcome != "done"
        and case.decisions.get(f"visit:{v.visit}") != "leave_out"
    ]
    return [
        {"visits": [{"visit": v.visit, "kind": v.kind} for v in wave]} for wave in plan.waves(open_visits)
    ]


_NEW = Visit("", "")
