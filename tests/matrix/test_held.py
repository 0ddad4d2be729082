"""A hold while a deletion is under way: what it is on stays, all else goes, its end is enough to go on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dsr.case import State
from dsr.casebook import now
from dsr.holdbook import Holdbook
from dsr.holds import Hold, Scope, new_hold_id
from dsr.keeping_clocks import Clocks, Settings
from tests.conftest import aws_in_process
from tests.matrix.scene import ORDERS, Scene, scene
from tests.unit.world import BUNDLES, CASES, KEYS, STAGING, WORKFLOW, workflow


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made:
        yield made


def hold(scope: Scope, target: str, told: bool = True) -> Hold:
    placed = Hold(new_hold_id(), scope, target, "authority", told, "sub-1", now(), until=now().date())
    Holdbook(CASES).place(placed)
    return placed


def look(company: Scene, days: int) -> Clocks:
    """The clock's look at the company's cases, so many days from now."""
    settings = Settings(CASES, KEYS, STAGING, BUNDLES, WORKFLOW)
    workflow()
    clocks = Clocks(company.world.book, settings, now() + timedelta(days=days))
    clocks.end_holds()
    for case in company.world.book.open_cases():
        clocks.look_at(case.case_id)
    assert clocks.failed == 0
    return clocks


def test_what_is_held_stays_with_what_it_hangs_on_and_goes_when_the_day_is_over(company: Scene) -> None:
    case_id = company.ask()
    hold(Scope.COLLECTION, "shop.lines")
    company.work(case_id)
    case = company.world.book.get(case_id)
    assert (case.state, case.waiting_for) == (State.ERASING, ("1-shop",))
    held = company.stores()
    assert len(held["lines"]) == len(held["orders"]) == 2 * ORDERS, "what a held line refers to stays"
    assert [row for row in held["tickets"] if row[1] == "ada"] == []
    assert not any("ada" in str(held[store]) for store in ("members", "devices", "files", "users"))
    assert look(company, days=0).done["taken_up"] == 0, "its last day is not over yet"
    done = look(company, days=1).done
    assert (done["holds_ended"], done["taken_up"]) == (1, 1)
    company.work(case_id)
    assert company.world.book.get(case_id).state is State.ERASED_IN_PART
    left = company.stores()
    assert len(left["lines"]) == len(left["orders"]) == ORDERS
    assert not any("ada" in str(row) for row in (*left["lines"], *left["orders"]))


@pytest.mark.parametrize("scope", [Scope.CASE, Scope.PERSON])
def test_a_hold_on_the_case_or_its_person_stops_every_store(company: Scene, scope: Scope) -> None:
    case_id = company.ask()
    before = company.stores()
    steps = company.steps(case_id)
    next(steps)()  # erasing has begun
    hold(scope, case_id if scope is Scope.CASE else "ada")
    for step in steps:
        step()
    held = company.stores()
    assert {**held, "users": None} == {**before, "users": None}, "sign-in is stopped, nothing is erased"
    assert set(company.world.book.get(case_id).waiting_for) == {v.visit for v in company.world.plan.visits}
    look(company, days=1)
    company.work(case_id)
    assert company.world.book.get(case_id).state is State.ERASED_IN_PART
