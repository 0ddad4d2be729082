"""What agents decide: only what was asked, on the page as it stands, and nothing around the proof."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from dsr.case import MOVES, Attention, Case, Right, State
from dsr.casebook import Visit
from dsr.datamap.plan import Plan
from dsr.deciding import Desk
from dsr.errors import Conflict, Refused
from dsr.finds import staged
from dsr.gathering import Gathering
from tests.unit import world
from tests.unit.test_gathering import NOW, Fate, Killed, Shelves, _deadly, _endless
from tests.unit.world import ADA, STAGING, WORKFLOW, World, collection, compiled, store

EMAIL = "identity: {is: email, normalise: lower, verified: true}"
MATCH = "unverified_match"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(
        tmp_path_factory.mktemp("map"),
        store(
            "a",
            collection("people", {"id": "", "email": EMAIL, "sub": "proves: sign_in"}, "account: id"),
            collection("notes", {"note": "", "owner": "references: a.people.id"}),
        ),
        store("art", collection("works", {"work": "", "owner": "references: a.people.id"})),
        store("artists", collection("bios", {"bio": "", "owner": "references: a.people.id"})),
        store("artwork", collection("files", {"file": "references: art.works.work"})),
        store("z", collection("tickets", {"ticket": EMAIL})),
    )


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        world.workflow()
        yield opened


@pytest.fixture
def desk(here: World) -> Desk:
    return Desk(here.book, STAGING, WORKFLOW, "agent-7")


ROWS = {
    "a.people": [{"id": "m1", "email": "ada@example.com", "sub": "s"}],
    "a.notes": [{"note": "n", "owner": "m1"}],
    "art.works": [{"work": "w", "owner": "m1"}],
    "artists.bios": [{"bio": "b", "owner": "m1"}],
    "artwork.files": [{"file": "w"}],
    "z.tickets": [{"ticket": "ada@example.com"}],
}


def stopped(here: World, plan: Plan, *points: Attention, **fields: Any) -> Case:
    """A gathered case that needs attention for these points."""
    fields = {"attention": points, "resume": State.GATHERING, "attempt": 3} | fields
    case = here.case(State.NEEDS_ATTENTION, **fields)
    for visit in plan.visits:
        shelves = Shelves(ROWS, _endless([5]), Fate())
        Gathering(plan, case, ADA, visit, here.staging(case), shelves, NOW, float("inf")).run()
        here.book.note_visit(case.case_id, Visit(visit.visit, visit.store, "done"))
    return case


def done(here: World, case: Case) -> set[str]:
    return {n for n, v in here.book.visits(case.case_id).items() if v.outcome == "done"}


def held(here: World, plan: Plan, case: Case) -> set[str]:
    return {p for p in plan.collections if list(staged(here.staging(case), plan, p))}


def started(case: Case) -> bool:
    client = world.boto3.client("stepfunctions", region_name="us-east-1")
    names = {e["name"] for e in client.list_executions(stateMachineArn=WORKFLOW)["executions"]}
    return f"{case.case_id}-{case.attempt}" in names


def test_retry_asks_again_what_failed_and_that_alone(here: World, plan: Plan, desk: Desk) -> None:
    """`art` and `artists` begin alike, and so do their visits: one must not be taken for the other."""
    art = plan.visit_of("art.works").visit
    case = stopped(here, plan, Attention(art, "missing_index", "t"), Attention("1-x", MATCH, "a.notes"))
    moved = desk.retry(case)
    assert (moved.state, moved.resume, moved.attention, moved.attempt) == (State.GATHERING, None, (), 4)
    assert here.book.get(case.case_id) == moved
    assert started(moved)
    assert done(here, case) == {v.visit for v in plan.visits} - {art}
    assert held(here, plan, case) == set(plan.collections) - {"art.works"}
    event = here.book.events(case.case_id)[-1]
    assert (event.name, event.actor) == ("retried", "agent:agent-7")
    assert here.names(case) == ["received", "visits_put_back", "retried"]


def test_retry_goes_back_to_where_the_case_stopped(here: World, plan: Plan, desk: Desk) -> None:
    for state in (State.RESOLVING, State.GATHERING, State.BUNDLING):
        case = stopped(here, plan, Attention("", "workflow_failed", "x"), resume=state)
        assert desk.retry(case).state is state
        assert done(here, case) == {v.visit for v in plan.visits}


def test_retry_helps_a_case_that_could_not_be_announced_where_it_stands(here: World, desk: Desk) -> None:
    for state in (State.READY, State.EXPIRED):
        case = here.case(state, attention=(Attention("", "workflow_failed", "announce"),), attempt=20)
        moved = desk.retry(case)
        assert (moved.state, moved.attempt, moved.attention) == (state, 21, ())
        assert started(moved)


def test_including_the_doubtful_asks_all_that_may_follow_again(here: World, plan: Plan, desk: Desk) -> None:
    case = stopped(here, plan, Attention(plan.visit_of("art.works").visit, MATCH, "art.works"))
    moved = desk.judge(case, "art.works", include=True)
    assert (moved.state, moved.decisions) == (State.GATHERING, {"art.works": "include"})
    beside = {"a.people", "a.notes", "artists.bios", "z.tickets"}
    assert held(here, plan, case) == beside
    assert done(here, case) == {plan.visit_of(p).visit for p in beside}
    assert here.book.events(case.case_id)[-1].about == {"decision": "include"}


def test_excluding_them_asks_nothing_again(here: World, plan: Plan, desk: Desk) -> None:
    case = stopped(here, plan, Attention("x", MATCH, "art.works"), decisions={"z.tickets": "include"})
    moved = desk.judge(case, "art.works", include=False)
    assert moved.decisions == {"z.tickets": "include", "art.works": "exclude"}
    assert held(here, plan, case) == set(plan.collections)


def test_an_account_that_is_judged_to_be_theirs_still_asks_for_its_sign_in(
    here: World, plan: Plan, desk: Desk
) -> None:
    case = stopped(here, plan, Attention("x", MATCH, "a.people"))
    assert desk.judge(case, "a.people", include=True).state is State.RESOLVING
    assert held(here, plan, case) == set(), "all of it may follow from the account"


def test_a_store_is_left_out_by_name_and_never_one_that_tells_who_it_is(
    here: World, plan: Plan, desk: Desk
) -> None:
    art, who = plan.visit_of("art.works").visit, plan.visit_of("a.people").visit
    points = (Attention(art, "step_failed"), Attention(who, "step_failed"))
    case = stopped(here, plan, *points)
    with pytest.raises(Refused):
        desk.leave_out(case, who)
    with pytest.raises(Conflict):
        desk.leave_out(case, plan.visit_of("z.tickets").visit)
    assert here.book.get(case.case_id) == case
    moved = desk.leave_out(case, art)
    assert (moved.state, moved.decisions) == (State.GATHERING, {f"visit:{art}": "leave_out"})
    assert here.book.events(case.case_id)[-1].about == {"decision": "leave_out", "visit": art}


def test_a_deletion_goes_on_without_a_token_that_is_not_taken_back(
    here: World, plan: Plan, desk: Desk
) -> None:
    """The store is asked for what is left all the same."""
    visit = plan.visit_of("a.people").visit
    point = Attention(visit, "not_revoked", "a.people.token: accounts.example answers 401")
    case = stopped(here, plan, point, right=Right.DELETION, resume=State.ERASING)
    here.book.note_visit(case.case_id, Visit(visit, "a", "needs_attention", reason="not_revoked"), "freeze@0")
    case = desk.leave_out(case, visit)
    assert (case.state, case.decisions) == (State.ERASING, {})
    made = here.book.visits(case.case_id, "freeze@0")[visit]
    assert (made.outcome, made.answer) == ("done", "not_revoked")


def test_refusing_ends_the_case_and_the_execution_that_waits(here: World, plan: Plan, desk: Desk) -> None:
    case = here.case(State.AWAITING_IDENTITY, token="waiting")
    with mock.patch("dsr.deciding.wake") as wake:
        moved = desk.refuse(case, "unfounded")
    assert (moved.state, moved.outcome, moved.token) == (State.REFUSED, "unfounded", "")
    assert wake.call_args == mock.call("waiting")
    assert started(moved), "somebody has to tell them"


DECISIONS: dict[str, Callable[[Desk, Case], Case]] = {
    "retry": lambda d, c: d.retry(c),
    "judge": lambda d, c: d.judge(c, "art.works", include=True),
    "exclude": lambda d, c: d.judge(c, "art.works", include=False),
    "join": lambda d, c: d.join_accounts(c),
    "sign in again": lambda d, c: d.ask_sign_in_again(c),
    "leave out": lambda d, c: d.leave_out(c, "1-art"),
    "approve": lambda d, c: d.approve(c),
    "refuse": lambda d, c: d.refuse(c, "unfounded"),
}
ASKED = {
    "retry": lambda here, plan: stopped(here, plan, Attention("1-art", "step_failed")),
    "judge": lambda here, plan: stopped(here, plan, Attention("1-art", MATCH, "art.works")),
    "exclude": lambda here, plan: stopped(here, plan, Attention("1-art", MATCH, "art.works")),
    "join": lambda here, plan: stopped(here, plan, Attention("", "two_accounts"), resume=State.RESOLVING),
    "sign in again": lambda here, plan: stopped(
        here, plan, Attention("", "sign_in_mismatch"), resume=State.RESOLVING
    ),
    "leave out": lambda here, plan: stopped(here, plan, Attention("1-art", "step_failed")),
    "approve": lambda here, _: here.case(State.AWAITING_APPROVAL),
    "refuse": lambda here, plan: stopped(here, plan, Attention("1-art", "step_failed")),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_on_an_old_page_takes_nothing_away(here: World, plan: Plan, desk: Desk, name: str) -> None:
    """Somebody else decided, and the case went on to be bundled: what is staged is being read."""
    page: Case = ASKED[name](here, plan)
    here.book.move(page, page.state, "retried", "agent:other")
    before = (here.objects(STAGING, f"cases/{page.case_id}/"), here.book.visits(page.case_id))
    with pytest.raises(Conflict):
        DECISIONS[name](desk, page)
    assert (here.objects(STAGING, f"cases/{page.case_id}/"), here.book.visits(page.case_id)) == before
    assert here.names(page) == ["received", "retried"]


@pytest.mark.parametrize("state", State)
def test_nothing_is_decided_that_was_not_asked(here: World, desk: Desk, state: State) -> None:
    """Above all: no approval and no joining may carry a case past the proof."""
    case = here.case(state, resume=State.GATHERING if state is State.NEEDS_ATTENTION else None)
    for name in DECISIONS.keys() - {"refuse"} - ({"approve"} if state is State.AWAITING_APPROVAL else set()):
        with pytest.raises(Conflict):
            DECISIONS[name](desk, case)
        assert here.book.get(case.case_id) == case, name
    if State.REFUSED in MOVES[state]:
        assert desk.refuse(case, "unfounded").state is State.REFUSED
    else:
        with pytest.raises(Conflict):
            desk.refuse(case, "unfounded")
        assert here.book.get(case.case_id) == case


def test_what_is_killed_while_visits_are_put_back_is_decided_again(
    here: World, plan: Plan, desk: Desk
) -> None:
    """No visit may count as made while its records are gone."""
    for number in range(1, 24, 3):
        case = stopped(here, plan, Attention("1-art", MATCH, "art.works"))
        killer = mock.patch("botocore.client.BaseClient._make_api_call", _deadly([number]))
        with killer, contextlib.suppress(Killed):
            desk.judge(case, "art.works", include=True)
        made, found = done(here, case), held(here, plan, case)
        for visit in plan.visits:
            if visit.visit in made:
                assert {f"{visit.store}.{n}" for n in visit.collections} <= found, number
        again = here.book.get(case.case_id)
        if again.state is State.NEEDS_ATTENTION:
            assert desk.judge(again, "art.works", include=True).state is State.GATHERING
        assert not done(here, case) & {"1-art", "2-artwork"}
