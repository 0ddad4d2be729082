"""Stores that answer later: the case waits without anything running, and whoever has the answer wakes it.

A worker says `waiting`, and its visit is noted so. Once nothing but such answers is missing, the case
says for which visits (`waiting_for`), and its workflow stores its token and waits. Waking is in this
order: the visit is marked, then the case gets an event. So whoever concludes at the same instant either
sees the mark, or finds the case moved and looks again; no answer is ever passed by.
"""

import random
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dsr.case import WORKS, Case, State
from dsr.casebook import Casebook, Visit, work_name
from dsr.datamap.plan import Plan, VisitPlan
from dsr.errors import Conflict
from dsr.workflow import wake

_TRIES = 8


def wake_visit(book: Casebook, case_id: str, visit: str, work: str, actor: str = "workflow") -> bool:
    """The store of `visit` has what its worker waits for: have it called again.

    `work` is what the visit is filed under (`casebook.work_name(verb, round)`, for a lake's erasing
    `erase@0`); `actor` who tells: recipient, workflow, agent:<id>. Told twice it changes nothing. False if
    the case no longer asks for it: it ended, or went on without. Raises NotFound without such a case.
    """
    for attempt in range(_TRIES):
        case = book.get(case_id)
        if not asks_for(case, visit, work):
            return False
        book.wake_visit(case_id, visit, work)
        to = case.resume if only_overdue(case, visit) and case.resume else case.state
        try:
            book.move(case, to, "store_answered", actor, {"visit": visit}, **_changes(case, visit, to))
        except Conflict:
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  apart from the other writer
            continue
        # A case that had stopped for nothing but this, or has handed over its copy in part, has no execution:
        # the clock starts the next one.
        if visit not in case.late:
            wake(case.token)
        return True
    raise Conflict(f"case {case_id} would not hold still")


def _changes(case: Case, visit: str, to: State) -> dict[str, Any]:
    """What the answer changes of the case besides."""
    if visit in case.late:
        late = {name: until for name, until in case.late.items() if name != visit}
        tasks = tuple(name for name in case.tasks if name != visit)
        return {"late": late, "adding": (*case.adding, visit), "tasks": tasks}
    stays = to is case.state
    return {
        "waiting_for": (), "tasks": (), "expires_at": None, "token": "",
        "attention": case.attention if stays else (), "resume": case.resume if stays else None,
    }  # fmt: skip


def asks_for(case: Case, visit: str, work: str) -> bool:
    """Whether the case is at this very work, running or stopped for a person, and with this visit; or has
    handed over a copy without it, and still takes the answer. Pure."""
    if visit in case.late:
        return work == work_name("gather", 0) and not case.ended
    at = case.resume if case.state is State.NEEDS_ATTENTION else case.state
    if at not in WORKS or case.decisions.get(f"visit:{visit}") == "leave_out":
        return False
    now = {
        State.GATHERING: work_name("gather", 0),
        State.ERASING: work_name("erase", case.round),
        State.CONFIRMING: work_name("gather", case.round + 1),
    }
    return now[at] == work


def only_overdue(case: Case, visit: str) -> bool:
    """Whether the case has stopped for nothing but this visit's answer, which came too late. Pure."""
    stops = [(p.visit, p.reason) for p in case.attention]
    return case.state is State.NEEDS_ATTENTION and stops == [(visit, "overdue")]


def waiting_visits(planned: Iterable[VisitPlan], visits: Mapping[str, Visit]) -> list[Visit]:
    """The visits that wait for an answer. Pure."""
    found = (visits.get(p.visit) for p in planned)
    return [v for v in found if v is not None and v.outcome == "waiting"]


def wait_for(book: Casebook, case: Case, plan: Plan, waiting: list[Visit]) -> bool:
    """Have the case wait for these visits; False if one of them was woken meanwhile: look again.

    Raises Conflict if the case moved, as it does with every answer: then look again too.
    """
    if any(v.woken_at for v in waiting):
        return False
    by = [datetime.fromisoformat(v.answer_by) for v in waiting if v.answer_by]
    book.move(
        case, case.state, "waits_for_stores", "workflow", {"visit": waiting[0].visit},
        attention=(), waiting_for=tuple(v.visit for v in waiting), expires_at=min(by, default=None), token="",
        tasks=tuple(v.visit for v in waiting if plan.visit(v.visit).kind == "manual" and v.answer_by),
    )  # fmt: skip
    return True
