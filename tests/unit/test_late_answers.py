"""What was missing in a copy: taken in when it comes after all, and told when it does not."""

# ruff: noqa: F401, F811  fixtures of another module

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import boto3
import pytest

from dsr import casebook, certifying
from dsr.bundling import bundle
from dsr.case import Attention, Case, Right, State, next_step, notice_of
from dsr.concluding import conclude
from dsr.deciding import Desk
from dsr.errors import Conflict
from dsr.keeping_clocks import Clocks, Settings
from dsr.language import Words
from dsr.missing import missing_of
from dsr.notices import mails
from dsr.requests import has_bundle, zips_of
from dsr.settings import read
from dsr.subjects import Subjects
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_asking import (
    ADAS,
    WHOLE,
    a_case,
    answered,
    fresh,
    here,
    plan,
    receiver,
    visited,
    waiting,
)
from tests.unit.world import BUNDLES, STAGING, WORKFLOW, Context, World

MAIL = "1-mail"
NOTHING = {"collections": {"lists": {"records": []}, "notes": {"records": []}}}


@pytest.fixture(scope="module", autouse=True)
def running(here: World) -> Iterator[None]:
    world.workflow()
    with world.signing():
        yield


@pytest.fixture
def released(here: World, waiting: Case) -> Case:
    """A case whose copy went out without the recipient, and whose person was told."""
    return release(here, waiting)


def release(here: World, case: Case) -> Case:
    case = Desk(here.book, STAGING, WORKFLOW, "ann").leave_out(case, MAIL)
    assert conclude({"case_id": case.case_id})["outcome"] == "bundling"
    return bundled(here, case)


def bundled(here: World, case: Case) -> Case:
    assert bundle({"case_id": case.case_id}, Context()) == {"outcome": "done"}
    return announced(here, case)


def announced(here: World, case: Case) -> Case:
    """The case once its workflow has told all there is to tell."""
    case = here.book.get(case.case_id)
    while next_step(case) == "announce":
        notices = (*case.notices, notice_of(case))
        case = here.book.move(case, case.state, "notice_sent", "workflow", notices=notices)
    return case


def looked_at(here: World, case: Case, now: datetime | None = None) -> Case:
    """The case after a look of the clock at it."""
    clocks = Clocks(here.book, read(Settings), now or casebook.now())
    seen = here.book.get(case.case_id)
    if clocks.dates.rests(seen):
        return seen
    clocks.look_at(case.case_id)
    assert clocks.failed == 0
    return here.book.get(case.case_id)


def taken_in(here: World, case: Case) -> Case:
    """The case once the clock has begun the supplement and the recipient's worker was called."""
    case = looked_at(here, case)
    assert (case.state, case.follow_up) == (State.GATHERING, "adding")
    visited(here, case)
    return case


def zipped(case: Case, number: int) -> zipfile.ZipFile:
    content = boto3.client("s3", region_name=REGION).get_object(
        Bucket=BUNDLES, Key=zips_of(case)[number]["key"]
    )
    return zipfile.ZipFile(io.BytesIO(content["Body"].read()))


def manifest(case: Case, number: int) -> dict[str, Any]:
    read_: dict[str, Any] = json.loads(zipped(case, number).read("manifest.json"))
    return read_


def sentences(here: World, case: Case) -> list[str]:
    found = missing_of(here.plan, case, here.book.visits(case.case_id))
    return [said.sentence(Words("en")) for said in found]


def test_a_copy_in_part_says_what_is_missing_why_and_until_when_it_may_follow(
    here: World,
    released: Case,
) -> None:
    until = here.book.visits(released.case_id)[MAIL].answer_by
    assert (released.state, released.outcome, released.late) == (
        State.READY, "delivered_in_part", {MAIL: until},
    )  # fmt: skip
    said = manifest(released, 0)
    assert said["missing_why"] == dict.fromkeys(["mail.lists", "mail.notes"], "awaited")
    [line] = sentences(here, released)
    assert line.startswith("Your lists, Your notes: Letterbird was asked and has not answered yet.")
    assert Words("en").day(datetime.fromisoformat(until)) in line
    assert line in zipped(released, 0).read("index.html").decode()
    assert "questions/1-mail/find@0.json" in " ".join(here.objects(STAGING, f"cases/{released.case_id}/"))


def test_what_comes_late_is_a_supplement(here: World, released: Case) -> None:
    assert answered(here, released, WHOLE)["statusCode"] == 200
    case = here.book.get(released.case_id)
    assert (case.state, case.late, case.adding) == (State.READY, {}, (MAIL,))
    case = taken_in(here, case)
    assert has_bundle(case), "the copy can be downloaded meanwhile"
    assert conclude({"case_id": case.case_id})["outcome"] == "bundling"
    assert has_bundle(here.book.get(case.case_id))
    case = bundled(here, case)
    assert (case.state, case.outcome, case.follow_up) == (State.READY, "delivered", "followed")
    assert case.notices.count("followed") == 1
    assert [z.get("supplement", False) for z in zips_of(case)] == [False, True]
    assert manifest(case, 0)["case"] == manifest(case, 1)["case"]
    said = manifest(case, 1)
    assert (said["supplement"], said["missing"], said["outcome"]) == (True, [], "delivered")
    assert {c["collection"]: c["records"] for c in said["collections"]} == {"lists": 2, "notes": 0}
    lines = zipped(case, 1).read("data/mail/lists.jsonl").splitlines()
    assert [json.loads(line) for line in lines] == ADAS
    page = zipped(case, 1).read("index.html").decode()
    assert "This is a supplement to the copy that you received before" in page
    assert "Your people" not in page, "the rest is in the copy"
    assert here.objects(STAGING, f"cases/{case.case_id}/") == []
    again = answered(here, case, NOTHING)
    assert (again["statusCode"], json.loads(again["body"])) == (200, {"status": "answered before"})
    told = [e.about.get("notice") for e in here.book.events(case.case_id) if e.name == "notice_sent"]
    assert len(told) == 2, "of the copy, and of the supplement"
    assert "supplement_begun" in here.names(case)


def test_who_answers_late_that_they_hold_nothing_ends_it(here: World, released: Case) -> None:
    answered(here, released, NOTHING)
    case = taken_in(here, released)
    assert conclude({"case_id": case.case_id})["outcome"] == "ready"
    case = announced(here, case)
    assert (case.outcome, case.follow_up, len(zips_of(case))) == ("delivered", "nothing_more", 1)
    assert "nothing_more" in case.notices
    assert case.expires_at == released.expires_at
    assert here.objects(STAGING, f"cases/{case.case_id}/") == []


def test_who_declines_late_stops_only_the_rest(here: World, released: Case) -> None:
    answered(here, released, {"cannot": "we lost it"})
    case = taken_in(here, released)
    assert conclude({"case_id": case.case_id})["outcome"] == "needs_attention"
    case = here.book.get(case.case_id)
    assert has_bundle(case)
    desk = Desk(here.book, STAGING, WORKFLOW, "ann")
    with pytest.raises(Conflict, match="handed over"):
        desk.refuse(case, "unfounded")
    case = desk.leave_out(case, MAIL)
    assert conclude({"case_id": case.case_id})["outcome"] == "ready"
    case = announced(here, case)
    assert (case.outcome, case.follow_up) == ("delivered_in_part", "not_following")
    [line] = sentences(here, case)
    assert "answered that they cannot give it" in line


def test_what_does_not_come_is_told(here: World, released: Case) -> None:
    until = datetime.fromisoformat(released.late[MAIL])
    assert looked_at(here, released, until - timedelta(seconds=1)) == released
    case = announced(here, looked_at(here, released, until))
    assert (case.state, case.late, case.follow_up) == (State.READY, {}, "not_following")
    assert "not_following" in case.notices
    [line] = sentences(here, case)
    assert "did not answer in time" in line
    assert answered(here, case, WHOLE)["statusCode"] == 410
    assert here.objects(STAGING, f"cases/{case.case_id}/") == []
    assert has_bundle(case)


def test_an_answer_while_a_person_still_looks_at_the_copy_waits_for_it(
    here: World,
    waiting: Case,
) -> None:
    case = Desk(here.book, STAGING, WORKFLOW, "ann").leave_out(waiting, MAIL)
    conclude({"case_id": case.case_id})
    case = here.book.get(case.case_id)
    look = (Attention("0-a", "review", "a.people"),)
    stopped = here.book.move(
        case, State.NEEDS_ATTENTION, "needs_attention", "workflow", {"reason": "review"},
        attention=look, resume=State.BUNDLING,
    )  # fmt: skip
    assert answered(here, stopped, WHOLE)["statusCode"] == 200
    stopped = here.book.get(case.case_id)
    assert (stopped.state, stopped.attention) == (State.NEEDS_ATTENTION, look)
    here.book.move(stopped, State.BUNDLING, "review_done", "agent:ann", attention=(), resume=None)
    case = bundled(here, case)
    assert (case.state, case.adding, case.follow_up) == (State.READY, (MAIL,), "")
    assert manifest(case, 0)["missing"] == ["mail.lists", "mail.notes"]
    case = taken_in(here, case)
    assert conclude({"case_id": case.case_id})["outcome"] == "bundling"
    assert len(zips_of(bundled(here, case))) == 2


def test_the_supplement_comes_alone_where_the_copy_is_removed(here: World, released: Case) -> None:
    later = (released.expires_at or casebook.now()) + timedelta(seconds=1)
    far = (later + timedelta(days=9)).isoformat()
    released = here.book.move(released, released.state, "restarted", "clock", late={MAIL: far})
    case = looked_at(here, released, later)
    assert (case.state, case.bundle, has_bundle(case)) == (State.READY, {}, False)
    assert here.objects(BUNDLES, f"bundles/{case.case_id}/") == []
    assert answered(here, case, WHOLE)["statusCode"] == 200
    case = taken_in(here, case)
    conclude({"case_id": case.case_id})
    case = bundled(here, case)
    assert [z["supplement"] for z in zips_of(case)] == [True]
    assert manifest(case, 0)["supplement"]
    # Nothing more is to come: the case ends like any other.
    assert looked_at(here, case, (case.expires_at or later) + timedelta(seconds=1)).state is State.CLOSED


def test_a_case_whose_copy_is_removed_ends_once_the_rest_is_given_up(
    here: World,
    released: Case,
) -> None:
    later = (released.expires_at or casebook.now()) + timedelta(days=9)
    case = here.book.move(released, released.state, "restarted", "clock", late={MAIL: later.isoformat()})
    case = looked_at(here, case, later - timedelta(days=1))
    case = looked_at(here, case, later)
    assert (case.state, next_step(case), notice_of(case)) == (State.READY, "announce", "not_following")
    assert looked_at(here, case, later).state is State.READY, "the person is told first"
    assert looked_at(here, announced(here, case), later).state is State.CLOSED


def test_who_is_overdue_when_the_rest_is_released_gets_as_much_time_again(
    here: World,
    waiting: Case,
) -> None:
    late = datetime.fromisoformat(here.book.visits(waiting.case_id)[MAIL].answer_by)
    with mock.patch("dsr.casebook.now", return_value=late):
        visited(here, waiting)
        here.book.move(
            waiting, State.NEEDS_ATTENTION, "needs_attention", "workflow", {"reason": "overdue"},
            attention=(Attention(MAIL, "overdue", "Letterbird"),), resume=State.GATHERING, waiting_for=(),
        )  # fmt: skip
        case = release(here, here.book.get(waiting.case_id))
    assert datetime.fromisoformat(case.late[MAIL]) == late + timedelta(days=7)
    assert answered(here, case, WHOLE)["statusCode"] == 200


def test_a_deletion_of_the_same_person_ends_it(here: World, released: Case) -> None:
    Subjects(here.book).register("them", released)
    deletion = here.case(State.CERTIFYING, right=Right.DELETION, subject="them")
    certifying.Certifying(read(certifying.Settings), here.book, here.plan, float("inf"))._revoke_copies(
        deletion
    )
    case = here.book.get(released.case_id)
    assert (case.state, case.bundle, case.late) == (State.CLOSED, {}, {})
    assert here.objects(STAGING, f"cases/{case.case_id}/") == []
    assert answered(here, case, WHOLE)["statusCode"] == 410


@pytest.mark.parametrize("name", ["followed", "nothing_more", "not_following"])
@pytest.mark.parametrize("in_part", [False, True])
def test_the_mails_say_that_something_was_missing_and_nothing_personal(name: str, in_part: bool) -> None:
    facts = mails.Facts(
        "Shop", "privacy@shop.example", "the authority", "K7Q2-9FXM-3TWD-5BHP", Right.ACCESS,
        "https://shop.example/requests/x", world.RECEIVED, in_part=in_part,
    )  # fmt: skip
    mail = mails.ONCE[name](facts)
    assert facts.page in mail.text
    assert "was not complete" in mail.text
    assert "Letterbird" not in mail.text
    assert ("still missing" in mail.text) == (in_part and name != "not_following")
