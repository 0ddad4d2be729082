"""While a deletion waits, what the map names is set on its person's records; cancelled, it is lifted."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import psycopg
import pytest

from dsr.case import Case, Requester, Right, State
from dsr.casebook import now
from dsr.deciding import Desk
from dsr.errors import Refused, StoreFault
from dsr.store_worker import check_allowed
from dsr.stores.sql.store import SQLStore
from tests.conftest import REGION, aws_in_process
from tests.matrix import scene as scenes
from tests.matrix.scene import Scene, scene
from tests.unit import world
from tests.unit.world import STAGING, WORKFLOW, collection


def restricted(name: str, fields: dict[str, str], *more: str, **options: Any) -> str:
    """The scene's collections, of which two say how they are restricted."""
    if name == "members":
        return collection(
            name, {**fields, "mark": ""}, *more, "restrict: {set: {mark: stored only}}", **options
        )
    if name == "tickets":
        lift = "restrict: {set: {topic: stored only}, lift: {topic: free}}"
        return collection(name, fields, *more, lift, **options)
    return collection(name, fields, *more, **options)


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with (
        mock.patch.object(scenes, "collection", restricted),
        aws_in_process(),
        scene(tmp_path, postgres) as made,
        world.signing(),
    ):
        world.workflow()
        yield made


def confirmed(company: Scene) -> Case:
    """A deletion whose person may think it over for a day."""
    book, asked = company.world.book, Requester(("ada@example.com",))
    case = company.world.case(State.GATHERING, requester=asked, right=Right.DELETION, subject="ada")
    company.work(case.case_id)
    return book.move(
        book.get(case.case_id), State.COOLING_OFF, "deletion_confirmed", "requester", {"proof": "mailbox"},
        confirmed_at=now(), expires_at=now() + timedelta(days=1), notices=("cooling_off",),
    )  # fmt: skip


def marks(company: Scene) -> dict[str, str]:
    items = boto3.client("dynamodb", REGION).scan(TableName="members")["Items"]
    return {item["id"]["S"]: item.get("mark", {"S": ""})["S"] for item in items}


def topics(company: Scene, member: str) -> set[str]:
    with psycopg.connect(company.uri) as connection:
        rows = connection.execute("SELECT topic FROM tickets WHERE member = %s", [member]).fetchall()
    return {row[0] for row in rows}


def cancel(company: Scene, case: Case) -> None:
    book = company.world.book
    book.move(book.get(case.case_id), State.WITHDRAWN, "cancelled", "requester", expires_at=None)
    company.work(case.case_id)


def test_what_is_set_is_lifted_when_it_is_cancelled_and_what_the_site_set_since_stays(company: Scene) -> None:
    before, bobs = company.stores(), topics(company, "bob")
    case = confirmed(company)
    company.work(case.case_id)
    assert marks(company) == {"ada": "stored only", "bob": ""}
    assert topics(company, "ada") == {"stored only"}
    assert topics(company, "bob") == bobs, "nobody else's"
    restricted_so = company.stores()
    company.work(case.case_id)
    assert company.stores() == restricted_so
    assert company.world.book.get(case.case_id).state is State.COOLING_OFF

    with psycopg.connect(company.uri) as connection:
        connection.execute("UPDATE tickets SET topic = 'sold' WHERE member = 'ada'")
    cancel(company, case)
    assert marks(company) == {"ada": "", "bob": ""}
    assert topics(company, "ada") == {"sold"}
    assert {k: v for k, v in company.stores().items() if k != "tickets"} == {
        k: v for k, v in before.items() if k != "tickets"
    }


def test_it_is_set_before_anything_is_erased_however_short_it_waits(company: Scene) -> None:
    case_id = company.ask()
    with psycopg.connect(company.uri) as connection:
        connection.execute("DELETE FROM invoices")
    company.work(case_id)
    book = company.world.book
    assert book.get(case_id).state in (State.ERASED, State.ERASED_IN_PART)
    assert {v.outcome for v in book.visits(case_id, "restrict@0").values()} == {"done"}
    assert book.visits(case_id, "lift@0") == {}


def test_what_cannot_be_set_is_told_at_the_desk_and_tried_again_there(company: Scene) -> None:
    case, book = confirmed(company), company.world.book
    fault = StoreFault("missing_permission", "UPDATE")
    with mock.patch.object(SQLStore, "erase", side_effect=fault):
        company.work(case.case_id)
    stuck = book.get(case.case_id)
    assert (stuck.state, [p.reason for p in stuck.attention]) == (State.COOLING_OFF, ["missing_permission"])
    assert company.world.objects(STAGING, f"cases/{case.case_id}/"), "what was found stays"
    with mock.patch("dsr.deciding.start"):
        Desk(book, STAGING, WORKFLOW, "sub").retry(stuck)
    company.work(case.case_id)
    assert book.get(case.case_id).attention == ()
    assert topics(company, "ada") == {"stored only"}
    cancel(company, case)
    assert topics(company, "ada") == {"free"}


@pytest.mark.parametrize(
    ("verb", "allowed"),
    [("restrict", {State.COOLING_OFF}), ("lift", {State.WITHDRAWN, State.REFUSED})],
)
def test_each_belongs_to_its_states(company: Scene, verb: str, allowed: set[State]) -> None:
    visit = company.world.plan.visits[0]
    for state in State:
        case = company.world.draft(state, right=Right.DELETION, confirmed_at=now(), plan={"a": {}})
        if state in allowed:
            check_allowed(case, visit, verb)
        else:
            with pytest.raises(Refused):
                check_allowed(case, visit, verb)
    unconfirmed = company.world.draft(next(iter(allowed)), right=Right.DELETION)
    with pytest.raises(Refused):
        check_allowed(unconfirmed, visit, verb)
