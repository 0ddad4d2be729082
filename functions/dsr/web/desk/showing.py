"""The page of one case: who, how sure, by when, what each store said, what is doubtful, what happened."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from dsr import casebook, plans
from dsr.case import ENDED, MOVES, Attention, Case, Requester, Right, State
from dsr.casebook import Visit, work_name
from dsr.clock import REGIMES
from dsr.datamap.plan import Collection, Plan
from dsr.deciding import waits_for_review
from dsr.dry_runs import may_dry_run
from dsr.errors import NotFound
from dsr.finds import parts_of, read_parts
from dsr.holdbook import Holdbook
from dsr.holds import REASONS, scopes_of, that_stop
from dsr.notices.refusals import REFUSALS
from dsr.records import at_path, without
from dsr.staging import Staging
from dsr.tasks import Tasks
from dsr.web.desk import words
from dsr.web.desk.door import Agent
from dsr.web.desk.frame import DeskFrame
from dsr.web.desk.looks import Look, Looks
from dsr.web.desk.queue import Row
from dsr.web.desk.roles import May, allowed
from dsr.web.forms import countries
from dsr.web.http import Answer, Request, see

MOST_RECORDS = 20  # doubtful ones shown of one collection
MOST_TEXT = 400  # characters shown of one value
SOON_DAYS = 5
_ANSWERED = frozenset({State.READY, State.DELIVERED})
_DECIDED_HERE = ("unverified_match", "two_accounts", "review")  # by buttons of their own
_ERASING = frozenset({State.ERASING, State.CONFIRMING})


@dataclass(frozen=True)
class Left:
    """How long there is: the words, and a mark for the style sheet (late, soon, fine, none)."""

    text: str
    mark: str


def left(state: State, due_at: datetime, now: datetime) -> Left:
    """What is left until the deadline, in calendar days (UTC). Pure."""
    if state in _ANSWERED or state in ENDED:
        return Left("Answered" if state in _ANSWERED else "Ended", "none")
    days = (due_at.date() - now.date()).days
    if due_at < now:
        late = max(1, -days)
        return Left(f"Overdue by {late} day{'s' if late > 1 else ''}", "late")
    if days == 0:
        return Left("Due today", "soon")
    return Left(f"{days} day{'s' if days > 1 else ''} left", "soon" if days <= SOON_DAYS else "fine")


def waits(row: Row) -> list[str]:
    """What the case waits for the desk for, each in a few words. Pure."""
    said = [_short(point) for point in row.attention]
    if row.state is State.AWAITING_APPROVAL:
        said += [words.say(words.RISKS, risk) for risk in row.risk] or ["Approval"]
    said += [f"Task: {visit.partition('-')[2]}" for visit in row.tasks]
    return list(dict.fromkeys(said))


_SHORT = {
    "unverified_match": "Doubtful records",
    "review": "Review of the copy",
    "two_accounts": "Two accounts",
    "sign_in_mismatch": "Signed in with another account",
    "no_answer": "No answer",
    "keeps_arriving": "Data keeps arriving",
    "not_in_map": "Not in the map any more",
    "step_failed": "The worker failed",
    "overdue": "Not answered in time",
    "declined": "They decline",
    "workflow_failed": "The workflow failed",
}


def _short(point: Attention) -> str:
    said = words.say(_SHORT, point.reason)
    return f"{said}: {point.visit.partition('-')[2] or point.visit}" if point.visit else said


@dataclass(frozen=True)
class Point:
    """Something that keeps the case from going on, and what may be done about it here."""

    store: str
    visit: str
    reason: str
    about: str
    fault: words.Fault
    can_leave_out: bool


@dataclass(frozen=True)
class Count:
    """Records of one collection: found, and doubtful."""

    title: str
    found: int
    doubtful: int


@dataclass(frozen=True)
class Line:
    """One visit of one piece of work."""

    store: str
    mark: str
    word: str
    counts: list[Count]
    fault: words.Fault | None
    about: str
    updated_at: datetime | None
    left_out: bool


@dataclass(frozen=True)
class Value:
    """A field of a doubtful record; `compare` is what the requester typed of the same kind."""

    name: str
    text: str
    compare: str = ""


@dataclass(frozen=True)
class Doubt:
    """The doubtful records of one collection, as far as they are shown."""

    path: str
    title: str
    store: str
    records: list[list[Value]]
    more: bool


@dataclass(frozen=True)
class Asked:
    """Somebody else who was asked. `by_hand`: it is a task of the desk."""

    visit: str
    name: str
    by_hand: bool
    answer_by: datetime
    overdue: bool
    can_leave_out: bool


@dataclass(frozen=True)
class Happened:
    """A line of the history."""

    at: datetime
    what: str
    who: str
    about: str


def may_refuse(case: Case) -> bool:
    """Whether the case can end as refused. One that is being erased cannot: half of it is gone already."""
    return State.REFUSED in MOVES[case.state] and case.resume not in _ERASING


@dataclass(frozen=True)
class Showing:
    """The page of a case."""

    frame: DeskFrame

    def case(self, request: Request, agent: Agent) -> Answer:
        """The case that the path names."""
        case = self.frame.case(request)
        return self.show(request, agent, case, {}, 200) if case else self.missing(request, agent)

    def to_case(self, request: Request, agent: Agent) -> Answer:
        """Back to the case's page."""
        case = self.frame.case(request)
        return see(request, f"/desk/cases/{case.case_id}") if case else self.missing(request, agent)

    def missing(self, request: Request, agent: Agent) -> Answer:
        """The page for a reference that no case has."""
        typed = request.parameters["case_id"]
        return self.frame.page_for(agent, request, "not_found", 404, typed=typed)

    def show(self, request: Request, agent: Agent, case: Case, errors: dict[str, str], status: int) -> Answer:
        """The page of the case for who is signed in. Who it is about is shown after the look is on record."""
        plan = plans.of_case(case, self.frame.staging_bucket)
        looks = Looks(self.frame.book)
        looks.note(case.case_id, agent.sub, casebook.now())
        requester = self._requester(case)
        notice = "" if errors else words.DONE.get(request.query.get("done", ""), "")
        return self.frame.page_for(
            agent, request, "case", status,
            case=case, errors=errors, notice=notice, words=words,
            left=left(case.state, case.due_at, casebook.now()),
            requester=requester,
            country=countries().get(requester.country, "") if requester else "",
            regimes=[REGIMES[name] for name in case.regimes if name in REGIMES],
            points=[_point(plan, case, point) for point in case.attention],
            can_retry=any(p.reason not in _DECIDED_HERE for p in case.attention),
            can_review=waits_for_review(case),
            can_join=any(p.reason == "two_accounts" for p in case.attention),
            can_sign_in_again=any(p.reason == "sign_in_mismatch" for p in case.attention),
            can_refuse=may_refuse(case),
            can_dry_run=may_dry_run(case),
            refusals=REFUSALS,
            doubts=self._doubts(plan, case, requester),
            tasks=self._tasks(plan, case) if requester else [],
            works=self._works(plan, case),
            decisions=[(_decided(plan, k), words.say(words.DECISIONS, d)) for k, d in case.decisions.items()],
            history=self._history(case, agent, looks.of(case.case_id)),
            others={path: _others(plan, path) for path in case.plan},
            holds=that_stop(Holdbook(self.frame.book.cases).all(), case, case.plan),
            hold_scopes=scopes_of(case),
            hold_errors=errors.keys() & {"scope", "reason", "ends", "day", "file"},
            reasons=REASONS,
            typed=typed(request),
            today=casebook.now().date(),
            works_here=allowed(agent.roles, May.WORK),
            decides_here=allowed(agent.roles, May.DECIDE),
        )  # fmt: skip

    def _requester(self, case: Case) -> Requester | None:
        try:
            return None if case.key_destroyed else self.frame.book.requester(case)
        except NotFound:
            return None  # its key is destroyed

    def _works(self, plan: Plan, case: Case) -> list[tuple[str, list[Line]]]:
        """Every piece of work on the stores with its visits, in the order it is done."""
        wanted = [("Asked", "gather", 0)]
        if case.confirmed_at or case.right is Right.DELETION:
            wanted.append(("Processing restricted until it begins", "restrict", 0))
            wanted.append(("Restriction lifted", "lift", 0))
            wanted.append(("Sign-in and sessions stopped", "freeze", 0))
            for number in range(case.round + 1):
                again = f", round {number + 1}" if number else ""
                wanted.append((f"Erased{again}", "erase", number))
                wanted.append((f"Asked again afterwards{again}", "gather", number + 1))
        works = []
        for title, verb, number in wanted:
            visits = self.frame.book.visits(case.case_id, work_name(verb, number))
            if visits:
                works.append((title, [_line(plan, case, v) for v in _in_order(plan, visits)]))
        return works

    def _tasks(self, plan: Plan, case: Case) -> list[Asked]:
        """The recipients whose answer is of use now."""
        staging = Staging(self.frame.staging_bucket, self.frame.book.keys, case)
        overdue = {p.visit for p in case.attention if p.reason == "overdue"}
        return [
            Asked(
                visit.visit,
                plan.stores[visit.store].recipient["name"],
                plan.stores[visit.store].kind == "manual",
                datetime.fromisoformat(visit.answer_by),
                visit.visit in overdue,
                case.right is Right.ACCESS and visit.visit in case.waiting_for,
            )
            for visit in Tasks(self.frame.book, staging, case, plan).open()
            if visit.answer_by
        ]

    def _doubts(self, plan: Plan, case: Case, requester: Requester | None) -> list[Doubt]:
        doubted = [p.about for p in case.attention if p.reason == "unverified_match"]
        if not doubted or requester is None:
            return []
        staging = Staging(self.frame.staging_bucket, self.frame.book.keys, case)
        # After erasing, the stores are asked once more: what is doubtful then was staged by that round.
        number = case.round + 1 if case.resume is State.CONFIRMING else 0
        return [
            _doubt(plan, staging, path, number, requester) for path in doubted if path in plan.collections
        ]

    def _history(self, case: Case, agent: Agent, looks: list[Look]) -> list[Happened]:
        lines = [
            Happened(
                event.at,
                words.say(words.EVENTS, event.name) + _moved(event.was, event.now),
                _who(event.actor, agent),
                ", ".join(f"{name}: {said.replace('_', ' ')}" for name, said in sorted(event.about.items())),
            )
            for event in self.frame.book.events(case.case_id)
        ]
        lines += [
            Happened(look.at, words.EVENTS["looked_at"], _who(f"agent:{look.agent}", agent), "")
            for look in looks
        ]
        return sorted(lines, key=lambda line: line.at, reverse=True)


def _others(plan: Plan, path: str) -> str:
    """Who else receives the records by the map, and is told nothing by us."""
    return ", ".join(plan.collections[path].recipients) if path in plan.collections else ""


def typed(request: Request) -> dict[str, str]:
    """What stands in the form of a hold, so that an error loses nothing."""
    names = ("path", "scope", "reason", "ends", "day", "file", "told")
    return {name: request.form.get(name, "") for name in names}


def _moved(was: State, now: State) -> str:
    return f" → {words.STATES.get(now, now.value)}" if was is not now else ""


def _who(actor: str, agent: Agent) -> str:
    kind, _, name = actor.partition(":")
    if kind != "agent":
        return {"clock": "The clock", "workflow": "The workflow", "requester": "The requester"}.get(
            kind, kind
        )
    return "You" if name == agent.sub else f"Desk, {name[:8]}"


def _decided(plan: Plan, key: str) -> str:
    if key == "two_accounts":
        return "Second account"
    kind, _, visit = key.partition(":")
    if kind == "visit":
        return next((v.store for v in plan.visits if v.visit == visit), visit)
    return plan.collections[key].title if key in plan.collections else key


def _point(plan: Plan, case: Case, point: Attention) -> Point:
    planned = next((v for v in plan.visits if v.visit == point.visit), None)
    can_leave_out = (
        planned is not None
        and not planned.resolves
        and case.right is Right.ACCESS
        and point.reason not in ("unverified_match", "review")
    ) or point.reason == "not_revoked"
    about = point.about
    if point.reason == "workflow_failed":
        about = f"step {about.replace('_', ' ')}"
    elif about in plan.collections:
        about = plan.collections[about].title
    return Point(
        planned.store if planned else "",
        point.visit,
        point.reason,
        about,
        words.fault(point.reason),
        can_leave_out,
    )


def _in_order(plan: Plan, visits: dict[str, Visit]) -> list[Visit]:
    order = {planned.visit: number for number, planned in enumerate(plan.visits)}
    return sorted(visits.values(), key=lambda v: (order.get(v.visit, len(order)), v.visit))


def _line(plan: Plan, case: Case, visit: Visit) -> Line:
    found, doubtful = visit.counts or {}, visit.doubtful or {}
    names = dict.fromkeys([*found, *doubtful])
    mark, word = words.OUTCOMES.get(visit.outcome, ("stuck", visit.outcome))
    counts = [
        Count(_title(plan, f"{visit.store}.{name}", name), found.get(name, 0), doubtful.get(name, 0))
        for name in names
    ]
    return Line(
        visit.store, mark, word, counts, words.fault(visit.reason) if visit.reason else None, visit.about,
        visit.updated_at, case.decisions.get(f"visit:{visit.visit}") == "leave_out",
    )  # fmt: skip


def _title(plan: Plan, path: str, name: str) -> str:
    return plan.collections[path].title if path in plan.collections else name


def _doubt(plan: Plan, staging: Staging, path: str, number: int, requester: Requester) -> Doubt:
    collection = plan.collections[path]
    parts = parts_of(staging, plan, path, "doubtful", number)
    records = list(islice(read_parts(staging, parts), MOST_RECORDS + 1))
    shown = [list(_values(collection, r["values"], requester)) for r in records[:MOST_RECORDS]]
    return Doubt(path, collection.title, collection.store, shown, len(records) > MOST_RECORDS)


def _values(collection: Collection, values: dict[str, Any], requester: Requester) -> Iterator[Value]:
    """The fields of a record: those that find or compare first, and none that is handed to nobody."""
    for path in collection.never:
        values = without(values, path)
    compared = {name: f.second_point for name, f in collection.fields.items() if f.second_point}
    telling = dict.fromkeys([*(way.field for way in collection.ways if way.identity), *compared])
    for name in telling:
        if (value := at_path(values, name)) is not None:
            yield Value(name, text_of(value), requester.claims.get(compared.get(name, ""), ""))
    for name, value in values.items():
        if name not in telling and value is not None:
            yield Value(name, text_of(value))


def text_of(value: Any, most: int = MOST_TEXT) -> str:
    """A value as it is shown, cut after `most` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"
