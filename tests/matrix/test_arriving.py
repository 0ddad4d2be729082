"""A person for whom something is written again and again ends with somebody who looks, not in a loop."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dsr.case import State
from dsr.confirming import MOST_ROUNDS
from dsr.deciding import Desk
from tests.conftest import aws_in_process
from tests.matrix.scene import ORDERS, Scene, scene
from tests.unit.world import STAGING, WORKFLOW, workflow


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made:
        workflow()
        yield made


def test_who_writes_for_ever_needs_attention_and_is_erased_once_they_stop(company: Scene) -> None:
    case_id = company.ask()
    book = company.world.book
    for number, step in enumerate(company.steps(case_id)):
        if book.get(case_id).state in (State.ERASING, State.CONFIRMING):
            with psycopg.connect(company.uri) as connection:
                connection.execute("INSERT INTO orders VALUES (%s, 'ada')", (f"late-{number:03}",))
        step()
    case = book.get(case_id)
    assert case.state is State.NEEDS_ATTENTION
    assert {(p.visit.split("-")[1], p.reason) for p in case.attention} == {("shop", "keeps_arriving")}
    assert case.round + 1 == MOST_ROUNDS
    assert case.certificate == ""
    # Whoever found what wrote stops it and has it tried again.
    Desk(book, STAGING, WORKFLOW, "tester").retry(case)
    company.work(case_id)
    case = book.get(case_id)
    assert case.state is State.ERASED_IN_PART, case.attention
    assert len(company.stores()["orders"]) == ORDERS
