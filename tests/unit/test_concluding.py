"""After the stores were asked: nothing passes that a person must see, and nothing stops that need not."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.case import Case, State
from dsr.casebook import Visit
from dsr.concluding import conclude, open_points, outcome, records_found
from dsr.datamap.plan import Plan
from tests.unit import world
from tests.unit.test_gathering import a_case
from tests.unit.world import World, collection, compiled, store

EMAIL = "identity: {is: email, normalise: lower, verified: true}"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("a", collection("people", {"id": "", "email": EMAIL, "sub": "proves: sign_in"}, "account: id")),
        store("b", collection("x", {"k": "references: a.people.id"}), collection("y", {"k": EMAIL})),
        store("c", collection("z", {"k": "references: a.people.id"})),
    )


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        yield opened


def all_done(plan: Plan, count: int = 1, **others: Visit) -> dict[str, Visit]:
    return {
        v.visit: Visit(v.visit, v.store, "done", dict.fromkeys(v.collections, count), {}) for v in plan.visits
    } | {v.visit: v for v in others.values()}


def concluded(here: World, visits: dict[str, Visit], **fields: Any) -> Case:
    case = here.case(State.GATHERING, **fields)
    for visit in visits.values():
        here.book.note_visit(case.case_id, visit)
    moved = conclude({"case_id": case.case_id})["outcome"]
    found = here.book.get(case.case_id)
    assert moved == found.state
    return found


def test_with_all_answers_it_is_bundled(here: World, plan: Plan) -> None:
    case = concluded(here, all_done(plan, 3))
    assert (case.state, case.outcome, case.attention) == (State.BUNDLING, "delivered", ())
    assert here.book.events(case.case_id)[-1].about == {"records": "12"}
    assert conclude({"case_id": case.case_id})["outcome"] == State.BUNDLING
    assert here.book.get(case.case_id) == case


def test_without_any_record_nothing_is_found(here: World, plan: Plan) -> None:
    case = concluded(here, all_done(plan, 0))
    assert (case.state, case.outcome) == (State.NOTHING_FOUND, "delivered")


def test_nobody_is_told_that_there_is_nothing_where_a_store_was_not_asked(here: World, plan: Plan) -> None:
    left = plan.visit_of("c.z").visit
    case = concluded(here, all_done(plan, 0), decisions={f"visit:{left}": "leave_out"})
    assert (case.state, case.outcome) == (State.BUNDLING, "delivered_in_part")


@pytest.mark.parametrize(
    ("noted", "reason", "about"),
    [
        (Visit("", "c", "needs_attention", reason="missing_index", about="t: i"), "missing_index", "t: i"),
        (Visit("", "c", "needs_attention", reason="step_failed", about="x"), "step_failed", "x"),
        (Visit("", "c", "continue", {"z": 5}), "no_answer", ""),
        (Visit("", "c", "refused"), "no_answer", ""),
        (None, "no_answer", ""),
    ],
)  # fmt: skip
def test_a_store_without_answer_stops_the_case(
    here: World, plan: Plan, noted: Visit | None, reason: str, about: str
) -> None:
    silent = plan.visit_of("c.z").visit
    visits = all_done(plan)
    if noted:
        visits[silent] = replace(noted, visit=silent)
    else:
        del visits[silent]
    case = concluded(here, visits)
    assert (case.state, case.resume) == (State.NEEDS_ATTENTION, State.GATHERING)
    assert [(p.visit, p.reason, p.about) for p in case.attention] == [(silent, reason, about)]
    assert here.book.events(case.case_id)[-1].about == {"reason": reason, "visit": silent}


def test_doubtful_matches_are_named_one_by_one_and_only_until_they_are_judged(
    here: World, plan: Plan
) -> None:
    visit = plan.visit_of("b.x")
    other = plan.visit_of("b.y")
    visits = all_done(plan)
    visits[visit.visit] = replace(visits[visit.visit], doubtful={"x": 2, "y": 0})
    visits[other.visit] = replace(visits[other.visit], doubtful={"y": 1})
    assert {p.about for p in open_points(plan, a_case(plan), visits)} == {"b.x", "b.y"}
    for said in ("include", "exclude"):
        judged = a_case(plan, decisions={"b.x": said})
        assert [p.about for p in open_points(plan, judged, visits)] == ["b.y"]
    judged = a_case(plan, decisions={"b.x": "exclude", "b.y": "exclude"})
    assert open_points(plan, judged, visits) == ()


def test_a_visit_that_is_being_put_back_is_made_again_and_not_complained_of(here: World, plan: Plan) -> None:
    silent = plan.visit_of("c.z")
    case = here.case(State.GATHERING)
    for visit in all_done(plan, pending=Visit(silent.visit, "c")).values():
        here.book.note_visit(case.case_id, visit)
    assert conclude({"case_id": case.case_id}) == {"outcome": "again"}
    assert here.book.get(case.case_id) == case


def test_a_visit_that_is_left_out_is_waited_for_by_nobody(here: World, plan: Plan) -> None:
    """It may stand as put back: what another decision led to is asked again, and it is not asked."""
    left = plan.visit_of("c.z").visit
    pending = Visit(left, "c")
    case = concluded(here, all_done(plan, z=pending), decisions={f"visit:{left}": "leave_out"})
    assert (case.state, case.outcome) == (State.BUNDLING, "delivered_in_part")


@given(st.data())
def test_a_case_goes_on_only_if_every_visit_is_done_or_left_out(plan: Plan, data: st.DataObject) -> None:
    states = st.sampled_from(["done", "continue", "needs_attention", "pending", "refused", None])
    said = {
        v.visit: (data.draw(states), data.draw(st.booleans()), data.draw(st.booleans())) for v in plan.visits
    }
    visits = {
        n: Visit(n, "s", outcome_, {}, {plan.visit(n).collections[0]: 1} if doubtful else {})
        for n, (outcome_, doubtful, _) in said.items()
        if outcome_
    }
    decisions = {f"visit:{n}": "leave_out" for n, (_, _, left) in said.items() if left}
    points = open_points(plan, a_case(plan, decisions=decisions), visits)
    expected = {
        n for n, (outcome_, doubtful, left) in said.items() if not left and (outcome_ != "done" or doubtful)
    }
    assert {p.visit for p in points} == expected
    assert outcome(a_case(plan, decisions=decisions)) == ("delivered_in_part" if decisions else "delivered")


def test_records_are_counted_over_all_visits_and_their_collections() -> None:
    assert records_found({}) == 0
    assert records_found({"a": Visit("a", "s"), "b": Visit("b", "s", "done", {"x": 2, "y": 3})}) == 5
