"""Stores that answer later: whenever the answer comes, it is taken in, and nothing runs meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from dsr import store_worker, waking
from dsr.case import Attention, Case, Right, State, next_step
from dsr.casebook import Casebook, Visit, work_name
from dsr.concluding import conclude
from dsr.confirming import conclude_erasing
from dsr.datamap.plan import Plan
from dsr.errors import Conflict
from dsr.gathering import Result
from dsr.keeping_clocks import Clocks, Settings
from dsr.settings import read
from dsr.taking_up import take_up
from dsr.waking import wake_visit
from dsr.workflow import start
from tests.unit import world
from tests.unit.world import Context, World, collection, compiled, store

EMAIL = "identity: {is: email, normalise: lower, verified: true}"
BY = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("a", collection("people", {"id": "", "email": EMAIL})),
        store("b", collection("late", {"k": "references: a.people.id"})),
        store("c", collection("after", {"k": "references: b.late.k"})),
    )


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        world.workflow()
        yield opened


@pytest.fixture
def woken() -> Iterator[list[str]]:
    tokens: list[str] = []
    with ExitStack() as stack:
        for module in ("dsr.waking", "dsr.keeping_clocks"):
            stack.enter_context(mock.patch(f"{module}.wake", tokens.append))
        yield tokens


def late(plan: Plan) -> str:
    """The visit whose store answers later."""
    return plan.visit_of("b.late").visit


class Recipient:
    """The store `b`, whose answer is there once it `has` it. `meanwhile` happens while it is asked."""

    def __init__(self) -> None:
        self.has, self.meanwhile = False, lambda: None

    def __call__(self, verb: str, _case: Case, _plan: Plan, visit: Any, *_: Any) -> Result:
        has = self.has or visit.store != "b"
        self.meanwhile()
        counts = dict.fromkeys(visit.collections, 1)
        if has:
            return Result("done", counts, {}, noted={"answered_at": "2026-03-03"})
        return Result("waiting", counts, {}, noted={"asked_at": "2026-03-02", "answer_by": BY.isoformat()})


def visits_made(here: World, case: Case, verb: str = "gather") -> None:
    """All that the workflow does in one step: every open visit, again while its worker says so."""
    for wave in take_up({"case_id": case.case_id, "attempt": case.attempt})["waves"]:
        for visit in wave["visits"]:
            event = {"case_id": case.case_id, "visit": visit["visit"], "verb": verb}
            while store_worker.work(event, Context())["outcome"] == "continue":
                pass


def gathering(here: World) -> Case:
    return here.case(State.GATHERING)


NEVER, ASKED, NOTED, CONCLUDING, WAITING = "never", "asked", "noted", "concluding", "waiting"


@pytest.mark.parametrize("when", [NEVER, ASKED, NOTED, CONCLUDING, WAITING])
def test_whenever_the_answer_comes_the_case_goes_on(
    here: World, plan: Plan, woken: list[str], when: str
) -> None:
    case, recipient = gathering(here), Recipient()

    def answers() -> None:
        recipient.has, recipient.meanwhile = True, lambda: None
        assert wake_visit(here.book, case.case_id, late(plan), "visit", "recipient")

    if when == ASKED:
        recipient.meanwhile = answers
    with mock.patch.object(store_worker, "_do", recipient):
        visits_made(here, case)
        if when == NOTED:
            answers()
        with during_the_move(answers if when == CONCLUDING else None):
            try:
                said = conclude({"case_id": case.case_id})["outcome"]
            except Conflict:  # the workflow tries again
                said = conclude({"case_id": case.case_id})["outcome"]
        at = here.book.get(case.case_id)
        if when == ASKED:
            assert (said, at.state) == (State.BUNDLING, State.BUNDLING), "the worker looked once more"
            return
        if when in (NOTED, CONCLUDING):
            assert (said, next_step(at), at.waiting_for) == ("again", "gather", ())
        else:
            assert (said, next_step(at), at.waiting_for) == ("waiting", "await_answers", (late(plan),))
            assert at.expires_at == BY
            told = take_up({"case_id": case.case_id, "attempt": case.attempt})
            assert (told["step"], told["waves"], told["version"]) == ("await_answers", [], at.version)
        if when == NEVER:
            return
        if when == WAITING:
            stored(here, at, "token")
            answers()
            assert woken == ["token"]
            at = here.book.get(case.case_id)
            assert (at.waiting_for, at.expires_at, at.token) == ((), None, "")
        visits_made(here, case)
        assert conclude({"case_id": case.case_id})["outcome"] == State.BUNDLING
    made = here.book.visits(case.case_id)
    assert {v.outcome for v in made.values()} == {"done"}, "also what hangs on the answer"
    noted = made[late(plan)]
    assert (noted.asked_at, noted.answered_at, noted.woken_at) == ("2026-03-02", "2026-03-03", "")


def stored(here: World, case: Case, token: str) -> None:
    """The workflow's waiting state stores its token, as its ASL says: on the condition of the version."""
    from dsr.aws import client

    client("dynamodb").update_item(
        TableName=here.book.cases,
        Key={"case_id": {"S": case.case_id}, "part": {"S": "case"}},
        UpdateExpression="SET #token = :token",
        ConditionExpression="version = :version",
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues={":token": {"S": token}, ":version": {"N": str(case.version)}},
    )


def during_the_move(happens: Callable[[], None] | None) -> Any:
    """Between what a step has read and its move."""
    if happens is None:
        return ExitStack()
    real, done = Casebook.move, []

    def move(book: Casebook, *arguments: Any, **changes: Any) -> Case:
        if not done:
            done.append(True)
            happens()
        return real(book, *arguments, **changes)

    return mock.patch.object(Casebook, "move", move)


def test_what_is_wrong_elsewhere_is_told_before_the_answer_is_there(
    here: World, plan: Plan, woken: list[str]
) -> None:
    case = gathering(here)
    first = plan.visit_of("a.people").visit
    here.book.note_visit(case.case_id, Visit(first, "a", "done", {"people": 1}))
    here.book.note_visit(case.case_id, Visit(late(plan), "b", "waiting", answer_by=BY.isoformat()))
    other = plan.visit_of("c.after").visit
    here.book.note_visit(case.case_id, Visit(other, "c", "needs_attention", reason="missing_index"))
    assert conclude({"case_id": case.case_id})["outcome"] == State.NEEDS_ATTENTION
    at = here.book.get(case.case_id)
    assert [(p.visit, p.reason) for p in at.attention] == [(other, "missing_index")]
    assert wake_visit(here.book, case.case_id, late(plan), "visit")
    stopped = here.book.get(case.case_id)
    assert (stopped.state, stopped.attention) == (State.NEEDS_ATTENTION, at.attention), "not by an answer"


@pytest.mark.parametrize("step", ["erase", "confirm"])
def test_a_deletion_waits_likewise(here: World, plan: Plan, woken: list[str], step: str) -> None:
    state = {"erase": State.ERASING, "confirm": State.CONFIRMING}[step]
    verb = {"erase": "erase", "confirm": "gather"}[step]
    entry = {"title": "Your late", "records": 1, "treatment": "delete"}
    case = here.case(state, right=Right.DELETION, confirmed_at=BY, round=1, plan={"b.late": entry})
    work, recipient = work_name(verb, {"erase": 1, "confirm": 2}[step]), Recipient()
    ask = {"case_id": case.case_id, "step": step}
    at_once = mock.patch("dsr.taking_up.settles", return_value=0)
    with mock.patch.object(store_worker, "_do", recipient), at_once:
        visits_made(here, case, verb)
        assert conclude_erasing(ask)["outcome"] == "waiting"
        assert not wake_visit(here.book, case.case_id, late(plan), work_name(verb, 0)), "of another round"
        assert here.book.get(case.case_id).waiting_for == (late(plan),)
        recipient.has = True
        assert wake_visit(here.book, case.case_id, late(plan), work)
        visits_made(here, case, verb)
    to = {"erase": State.CONFIRMING, "confirm": State.ERASING}[step]  # where all found one record
    assert conclude_erasing(ask)["outcome"] == to


def test_too_late_is_for_the_worker_to_say_and_an_answer_after_that_still_counts(
    here: World, plan: Plan, woken: list[str]
) -> None:
    case, recipient = gathering(here), Recipient()
    start(case, world.WORKFLOW)
    with mock.patch.object(store_worker, "_do", recipient):
        visits_made(here, case)
        conclude({"case_id": case.case_id})
        stored(here, here.book.get(case.case_id), "token")
        for now, overdue in ((BY - timedelta(seconds=1), 0), (BY, 1), (BY, 0)):
            clocks = Clocks(here.book, read(Settings), now)
            clocks.look_at(case.case_id)
            assert (clocks.done["overdue"], clocks.failed) == (overdue, 0)
            if now < BY:
                assert woken == []
        assert woken == ["token"] * 2, "told again, lest whoever told it first was killed"
        at = here.book.get(case.case_id)
        assert (at.state, next_step(at)) == (State.GATHERING, "gather")
    visit = here.book.visits(case.case_id)[late(plan)]
    here.book.note_visit(case.case_id, replace(visit, outcome="needs_attention", reason="overdue"))
    assert conclude({"case_id": case.case_id})["outcome"] == State.NEEDS_ATTENTION
    at = here.book.get(case.case_id)
    assert at.attention == (Attention(late(plan), "overdue", ""),)
    assert wake_visit(here.book, case.case_id, late(plan), "visit")
    at = here.book.get(case.case_id)
    assert (at.state, at.attention, at.resume, next_step(at)) == (State.GATHERING, (), None, "gather")


def test_an_answer_that_nobody_waits_for_moves_nothing(here: World, plan: Plan, woken: list[str]) -> None:
    for case in (
        here.case(State.WITHDRAWN),
        here.case(State.DELIVERED),
        here.case(State.GATHERING, decisions={f"visit:{late(plan)}": "leave_out"}),
    ):
        assert not wake_visit(here.book, case.case_id, late(plan), "visit")
        assert here.book.get(case.case_id) == case
        assert here.book.visits(case.case_id) == {}


def test_two_who_answer_at_once_both_count(here: World, plan: Plan, woken: list[str]) -> None:
    case = gathering(here)
    real, others = Casebook.move, [plan.visit_of("c.after").visit]

    def move(book: Casebook, *arguments: Any, **changes: Any) -> Case:
        if others:
            wake_visit(book, case.case_id, others.pop(), "visit")
        return real(book, *arguments, **changes)

    with mock.patch.object(Casebook, "move", move), mock.patch.object(waking, "_TRIES", 2):
        assert wake_visit(here.book, case.case_id, late(plan), "visit")
    assert here.names(case).count("store_answered") == 2
    assert all(v.woken_at for v in here.book.visits(case.case_id).values())
