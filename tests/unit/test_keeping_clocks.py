"""The scheduled look at every case: what is due is done once, what is lost comes back, nothing stays."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError

from dsr import keeping_clocks as clocks_module
from dsr.boundary import StepFailed, step
from dsr.case import (
    AWAIT_ANSWERS,
    ENDED,
    MOVES,
    REST,
    STEPS,
    WAITS,
    Attention,
    Case,
    State,
    next_step,
    notice_of,
)
from dsr.due import Dates
from dsr.errors import Conflict, NotFound
from dsr.keeping_clocks import Clocks, Settings, keep_clocks
from dsr.settings import read
from dsr.workflow import execution_name, start, wake
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_case import PLAN
from tests.unit.test_gathering import _deadly
from tests.unit.world import BUNDLES, STAGING, WORKFLOW, World

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)


@pytest.fixture(scope="module")
def here(shared_cloud: None) -> Iterator[World]:
    with world.opened(PLAN) as opened:
        world.workflow()
        yield opened


@pytest.fixture
def woken() -> Iterator[list[str]]:
    tokens: list[str] = []
    with mock.patch.object(clocks_module, "wake", tokens.append):
        yield tokens


def look(here: World, case: Case, now: datetime = NOW) -> dict[str, int]:
    """One look at the case; what it came to, without the zeros."""
    clocks = Clocks(here.book, read(Settings), now)
    clocks.look_at(case.case_id)
    assert clocks.failed == 0
    return {k: v for k, v in clocks.done.items() if v}


def execution(case: Case) -> str:
    machine = WORKFLOW.replace(":stateMachine:", ":execution:")
    return f"{machine}:{execution_name(case.case_id, case.attempt)}"


def begun(case: Case) -> Case:
    """The case with its execution running."""
    assert start(case, WORKFLOW)
    return case


def lost(case: Case) -> Case:
    """The case with an execution that was begun and is over."""
    begun(case)
    boto3.client("stepfunctions", region_name=REGION).stop_execution(executionArn=execution(case))
    return case


# -- copies that nobody fetches ------------------------------------------------------------------------


def test_who_has_not_downloaded_is_reminded_once_in_the_last_days(here: World) -> None:
    """The workflow begins again with the notice; it tells, and rests."""
    case = lost(
        here.case(State.READY, notices=("ready",), updated_at=NOW, expires_at=NOW + timedelta(days=14))
    )
    early = NOW + timedelta(days=11) - timedelta(seconds=1)
    assert look(here, case, early) == {}
    assert Clocks(here.book, read(Settings), early).dates.rests(case)
    due = NOW + timedelta(days=11)
    assert not Clocks(here.book, read(Settings), due).dates.rests(case)
    assert look(here, case, due) == {"restarted": 1}
    reminded = here.book.get(case.case_id)
    assert (reminded.state, reminded.last_days, reminded.attempt) == (State.READY, True, case.attempt + 1)
    assert (next_step(reminded), notice_of(reminded)) == ("announce", "last_days")
    assert here.names(case)[-2:] == ["reminder_due", "restarted"]
    told = here.book.move(reminded, State.READY, "notice_sent", "workflow", notices=("ready", "last_days"))
    assert next_step(told) == REST
    assert look(here, case, due + timedelta(days=1)) == {}
    assert look(here, case, NOW + timedelta(days=14)) == {"closed": 1}, "and then it goes"


@pytest.mark.parametrize(
    ("state", "kept", "at"),
    [
        (State.DELIVERED, 14, 13),  # they have it
        (State.READY, 2, 0.9),  # kept for two days: not before half of them
        (State.READY, 1, 0.9),
    ],
)
def test_nobody_is_reminded_who_need_not_be(here: World, state: State, kept: int, at: float) -> None:
    expires = NOW + timedelta(days=kept)
    case = here.case(state, notices=("ready", state.value), updated_at=NOW, expires_at=expires)
    assert look(here, case, NOW + timedelta(days=at)) == {}
    assert not here.book.get(case.case_id).last_days


# -- expiry --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.AWAITING_IDENTITY, State.AWAITING_CONFIRMATION])
def test_a_person_who_does_not_answer_in_time(here: World, woken: list[str], state: State) -> None:
    case = begun(here.case(state, expires_at=FUTURE, token="waiting"))
    assert look(here, case) == {}
    assert here.book.get(case.case_id) == case
    assert look(here, case, FUTURE) == {"expired": 1}, "the moment itself is too late"
    expired = here.book.get(case.case_id)
    assert (expired.state, expired.expires_at, expired.token) == (State.EXPIRED, None, "")
    assert woken == ["waiting"]
    assert here.names(case) == ["received", "expired"]
    assert "expired" not in look(here, case, FUTURE)


def test_who_answers_at_that_very_moment_is_not_expired(here: World, woken: list[str]) -> None:
    case = here.case(State.AWAITING_IDENTITY, expires_at=PAST, token="waiting")
    real = here.book.move

    def meanwhile(*arguments: Any, **changes: Any) -> Case:
        real(case, State.RESOLVING, "contact_confirmed", "requester", token="")
        return real(*arguments, **changes)

    clocks = Clocks(here.book, read(Settings), NOW)
    with mock.patch.object(type(here.book), "move", side_effect=meanwhile):
        clocks.look_at(case.case_id)
    assert (clocks.failed, clocks.done["expired"]) == (0, 0)
    assert here.book.get(case.case_id).state is State.RESOLVING
    assert woken == []


@pytest.mark.parametrize("state", [State.READY, State.DELIVERED])
def test_a_bundle_goes_on_its_day_in_all_its_versions(here: World, state: State) -> None:
    case = here.case(state, expires_at=FUTURE, bundle={"key": "k"}, notices=("ready",))
    s3 = boto3.client("s3", region_name=REGION)
    for _ in range(2):
        s3.put_object(Bucket=BUNDLES, Key=f"bundles/{case.case_id}/x.zip", Body=b"x")
        s3.put_object(Bucket=STAGING, Key=f"cases/{case.case_id}/left", Body=b"x")
    assert look(here, case) == {}
    assert len(here.objects(BUNDLES, f"bundles/{case.case_id}/")) == 2
    assert look(here, case, FUTURE) == {"closed": 1}
    closed = here.book.get(case.case_id)
    assert (closed.state, closed.bundle, closed.expires_at) == (State.CLOSED, {}, None)
    assert here.objects(BUNDLES, f"bundles/{case.case_id}/") == []
    assert here.objects(STAGING, f"cases/{case.case_id}/") == []


def test_no_other_state_expires(here: World) -> None:
    for state in (
        set(State)
        - ENDED
        - {*(s for s in State if STEPS.get(s) in WAITS), State.READY, State.DELIVERED, State.KEPT}
    ):
        case = begun(here.case(state, expires_at=PAST))
        assert look(here, case) == {}
        assert here.book.get(case.case_id) == case


# -- executions that were lost -----------------------------------------------------------------------------

WORKING = sorted(s for s in State if s in STEPS and s not in ENDED)


@pytest.mark.parametrize("state", WORKING)
def test_a_case_with_work_to_do_has_its_execution(here: World, woken: list[str], state: State) -> None:
    case = here.case(state)
    assert look(here, case) == {"restarted": 1}, "it was never begun"
    assert here.book.get(case.case_id) == case
    assert look(here, case) == {}, "it is running"
    boto3.client("stepfunctions", region_name=REGION).stop_execution(executionArn=execution(case))
    assert look(here, case) == {"restarted": 1}
    again = here.book.get(case.case_id)
    assert (again.state, again.attempt) == (state, 2)
    told = boto3.client("stepfunctions", region_name=REGION).describe_execution(executionArn=execution(again))
    assert told["status"] == "RUNNING"
    assert json.loads(told["input"]) == {"case_id": case.case_id, "attempt": 2}
    assert here.book.events(case.case_id)[-1].about["step"]
    assert look(here, again) == {}
    assert woken == []


def test_a_case_that_waits_for_an_agent_or_is_over_needs_none(here: World) -> None:
    for state in set(State) - set(WORKING):
        case = here.case(state, notices=(str(state),))
        assert look(here, case, world.RECEIVED) == {}
    told = here.case(State.READY, notices=("ready",))
    assert look(here, told) == {}


def test_whoever_moved_the_case_and_died_before_waking_it_is_made_good(here: World, woken: list[str]) -> None:
    case = begun(here.case(State.AWAITING_IDENTITY, token="waiting"))
    moved = here.book.move(case, State.RESOLVING, "contact_confirmed", "requester", token="")
    assert look(here, moved) == {}
    assert woken == ["waiting"]
    # While it waits again for something else, nobody shakes it.
    waits = here.book.move(moved, State.AWAITING_IDENTITY, "resolved", "workflow", needs="account")
    assert look(here, waits) == {}
    assert woken == ["waiting"]


@pytest.mark.parametrize("state", WORKING)
def test_it_is_given_up_after_so_many_attempts_and_a_person_is_told(here: World, state: State) -> None:
    case = lost(here.case(state, attempt=20))
    assert look(here, case) == {"given_up": 1}
    told = here.book.get(case.case_id)
    [point] = told.attention
    assert (point.visit, point.reason) == ("", "workflow_failed")
    stops = State.NEEDS_ATTENTION in MOVES[state]
    assert told.state is (State.NEEDS_ATTENTION if stops else state)
    assert told.resume is (state if stops else None)
    assert look(here, told) == {}, "once"
    assert here.names(case) == ["received", "needs_attention"]


def test_one_attempt_before_that_it_is_tried_again(here: World) -> None:
    case = lost(here.case(State.GATHERING, attempt=19))
    assert look(here, case) == {"restarted": 1}
    assert here.book.get(case.case_id).attempt == 20


def test_a_case_that_was_flagged_before_can_still_be_given_up(here: World) -> None:
    """Flagged while it waited for the person; then they confirmed, and the workflow is still gone."""
    flag = (Attention("", "workflow_failed", "await_identity"),)
    case = lost(here.case(State.RESOLVING, attempt=20, attention=flag))
    assert look(here, case) == {"given_up": 1}
    assert here.book.get(case.case_id).state is State.NEEDS_ATTENTION


# -- the end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(ENDED))
def test_an_ended_case_loses_its_key_and_all_that_lies_under_it(here: World, state: State) -> None:
    case = here.case(state, updated_at=NOW - timedelta(days=30), notices=(str(state),))
    s3 = boto3.client("s3", region_name=REGION)
    s3.put_object(Bucket=BUNDLES, Key=f"bundles/{case.case_id}/x.zip", Body=b"x")
    s3.put_object(Bucket=STAGING, Key=f"cases/{case.case_id}/left", Body=b"x")
    assert look(here, case, NOW - timedelta(seconds=1)) == {}
    assert here.book.requester(case) == world.ADA
    assert look(here, case) == {"destroyed": 1}
    ended = here.book.get(case.case_id)
    assert (ended.state, ended.key_destroyed) == (state, True)
    with pytest.raises(NotFound):
        here.book.requester(case)
    assert here.objects(BUNDLES, f"bundles/{case.case_id}/") == []
    assert here.objects(STAGING, f"cases/{case.case_id}/") == []
    assert case.case_id not in {c.case_id for c in here.book.open_cases()}


def test_a_mailbox_that_refuses_keeps_no_key_alive(here: World) -> None:
    """The end could never be announced, twenty times over: a person is told, and the key goes on its day."""
    case = lost(here.case(State.EXPIRED, attempt=20, updated_at=NOW))
    assert look(here, case) == {"given_up": 1}
    told = here.book.get(case.case_id)
    assert look(here, told) == {}
    assert look(here, told, told.updated_at + timedelta(days=30)) == {"destroyed": 1}


def test_an_end_that_is_still_to_be_announced_is(here: World) -> None:
    case = here.case(State.EXPIRED, updated_at=NOW)
    assert look(here, case) == {"restarted": 1}


def test_killed_while_destroying_the_next_pass_ends_it(here: World) -> None:
    for number in range(2, 9):
        case = here.case(State.CLOSED, updated_at=NOW - timedelta(days=31))
        here.staging(case).put("left", b"x")
        killer = mock.patch("botocore.client.BaseClient._make_api_call", _deadly([number], after=True))
        clocks = Clocks(here.book, read(Settings), NOW)
        with killer:
            clocks.look_at(case.case_id)
        assert clocks.failed + clocks.done["destroyed"] == 1
        look(here, case)
        assert here.book.get(case.case_id).key_destroyed
        assert here.objects(STAGING, f"cases/{case.case_id}/") == []
        with pytest.raises(NotFound):
            here.book.requester(case)


# -- a whole pass --------------------------------------------------------------------------------------------


def test_one_broken_case_stops_no_other_and_somebody_hears_of_it(here: World) -> None:
    broken = here.case(State.RESOLVING)
    due = here.case(State.AWAITING_IDENTITY, expires_at=PAST)
    rested = here.case(State.AWAITING_APPROVAL)
    real = here.book.get

    def get(_: Any, case_id: str) -> Case:
        if case_id == broken.case_id:
            raise ValueError("ada@example.com is no address")
        return real(case_id)

    book = type(here.book)
    listed = mock.patch.object(book, "open_cases", side_effect=lambda _: iter([broken, due, rested]))
    with listed, mock.patch.object(clocks_module, "wake"):
        with mock.patch.object(book, "get", get), pytest.raises(StepFailed) as raised:
            step(lambda event, _: keep_clocks(event))({}, None)
        assert "ada" not in str(raised.value)
        assert here.book.get(due.case_id).state is State.EXPIRED
        assert here.book.get(rested.case_id) == rested
        assert keep_clocks({})["restarted"] == 2  # the broken one, and the end of the expired
        assert keep_clocks({})["restarted"] == 0


def test_a_look_that_has_no_time_left_is_gone_on_with_by_the_next(here: World) -> None:
    """However many cases are open, all of them get their turn, and none twice before all others."""
    cases = [
        here.case(State.AWAITING_IDENTITY, expires_at=PAST, due_at=NOW + timedelta(days=n % 3))
        for n in range(7)
    ]
    mine, looked = {case.case_id for case in cases}, list[str]()
    with (
        mock.patch.object(Dates, "rests", lambda _, case: case.case_id not in mine),
        mock.patch.object(Clocks, "look_at", lambda _, case_id: looked.append(case_id)),
    ):
        for _ in range(7):  # no time at all: one case a look
            keep_clocks({}, ends_at=0.0)
        assert sorted(looked) == sorted(mine)
        keep_clocks({}, ends_at=0.0)  # the eighth finds nobody behind the seventh
        assert (len(looked), here.book.clock_place()) == (7, {})
        keep_clocks({}, ends_at=0.0)
        keep_clocks({})
        assert looked[7:] == looked[:7]
        keep_clocks({})
        assert looked[14:] == looked[:7], "from the beginning, since the last came to the end"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("expires_at", [None, PAST, FUTURE])
@pytest.mark.parametrize("old", [False, True])
def test_what_is_passed_over_has_nothing_due(
    here: World, woken: list[str], state: State, expires_at: datetime | None, old: bool
) -> None:
    notices = tuple(s.value for s in State)
    updated = NOW - timedelta(days=40 if old else 1)
    case = begun(here.case(state, expires_at=expires_at, updated_at=updated, notices=notices))
    rests = Clocks(here.book, read(Settings), NOW).dates.rests(case)
    came = look(here, case)
    assert not (rests and came)
    if state is State.AWAITING_APPROVAL and not expires_at:
        assert rests


def test_somebody_elses_move_is_no_failure(here: World) -> None:
    case = lost(here.case(State.GATHERING))
    clocks = Clocks(here.book, read(Settings), NOW)
    with mock.patch.object(type(here.book), "move", side_effect=Conflict("moved")):
        clocks.look_at(case.case_id)
    assert clocks.failed == 0
    assert not any(clocks.done.values())


# -- starting and waking ------------------------------------------------------------------------------


def test_one_attempt_is_started_once(here: World) -> None:
    case = here.case()
    states = boto3.client("stepfunctions", region_name=REGION)
    assert start(case, WORKFLOW)
    start(case, WORKFLOW)  # while it runs AWS takes the second call for the first
    all_of_them = states.list_executions(stateMachineArn=WORKFLOW)["executions"]
    assert len([e for e in all_of_them if case.case_id in e["name"]]) == 1
    told = states.describe_execution(executionArn=execution(case))
    assert set(json.loads(told["input"])) == {"case_id", "attempt"}
    states.stop_execution(executionArn=execution(case))
    assert not start(case, WORKFLOW)


def test_waking_who_waits_no_more_is_no_error() -> None:
    client = mock.Mock()
    names = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")
    for name in names:
        setattr(client.exceptions, name, type(name, (ClientError,), {}))
    with mock.patch("dsr.workflow.client", return_value=client):
        assert wake("token")
        assert client.send_task_success.call_args == mock.call(taskToken="token", output="{}")
        for name in names:
            client.send_task_success.side_effect = getattr(client.exceptions, name)({}, "SendTaskSuccess")
            assert not wake("token")
        client.send_task_success.side_effect = ClientError(
            {"Error": {"Code": "Throttling"}}, "SendTaskSuccess"
        )
        with pytest.raises(ClientError):
            wake("token")
        client.send_task_success.reset_mock()
        assert not wake("")
        assert not client.send_task_success.called


def test_steps_that_wait_are_known_as_such() -> None:
    assert {s for s in STEPS.values() if s.startswith(("await", "cool"))} == WAITS - {AWAIT_ANSWERS}
    assert REST not in STEPS.values()
