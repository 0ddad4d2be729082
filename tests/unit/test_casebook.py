"""The casebook: a move and its event together or not at all, one writer of two, the table of moves always."""

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from dsr import aws
from dsr.audit import History, chain_breaks
from dsr.case import ENDED, MOVES, Attention, Case, Proof, State, check_move
from dsr.casebook import Visit, now
from dsr.errors import Conflict, NotFound
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_case import PLAN
from tests.unit.world import CASES, World


@pytest.fixture(scope="module")
def here(shared_cloud: None) -> Iterator[World]:
    with world.opened(PLAN) as opened:
        yield opened


def store_token(case: Case, token: str) -> None:
    """As the workflow does: no version, no event."""
    boto3.client("dynamodb", region_name=REGION).update_item(
        TableName=CASES,
        Key={"case_id": {"S": case.case_id}, "part": {"S": "case"}},
        UpdateExpression="SET #t = :t",
        ExpressionAttributeNames={"#t": "token"},
        ExpressionAttributeValues={":t": {"S": token}},
    )


def as_the_workflow(name: str, case: Case, part: str, **said: str) -> None:
    """The write that a workflow makes to the table, with `said` for what its expressions would give."""
    asl = json.loads(Path(f"workflows/{name}.asl.json").read_text(encoding="utf-8"))
    [asked] = [s["Arguments"] for s in asl["States"].values() if "dynamodb:" in s.get("Resource", "")]
    values = {
        key: {kind: said[key[1:]] if "{%" in value else value}
        for key, typed in asked["ExpressionAttributeValues"].items()
        for kind, value in typed.items()
    }
    boto3.client("dynamodb", region_name=REGION).update_item(
        **asked
        | {
            "TableName": CASES,
            "Key": {"case_id": {"S": case.case_id}, "part": {"S": part}},
            "ExpressionAttributeValues": values,
        }
    )


SAID: dict[str, Any] = {
    "contacts": (Proof.CONFIRMED, Proof.SKIPPED),
    "risk": ("minor", "no_sign_in"),
    "resume": State.GATHERING,
    "attention": (Attention("1-events", "missing_index", "t: i"), Attention("", "two_accounts")),
    "decisions": {"a.b": "include", "visit:1-c": "leave_out"},
    "notices": ("code", "ready"),
    "bundle": {"key": "k", "size": 2**40, "expires_at": "2026-01-01"},
}


def something_in_every_field() -> dict[str, Any]:
    """For each field of Case that may be left out a value that is not its default, new ones included."""
    made = dict(SAID)
    for each in fields(Case):
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if default is MISSING or each.name in made:
            continue
        match default:
            case bool():
                made[each.name] = not default
            case int():
                made[each.name] = default + 7
            case str():
                made[each.name] = default + "x"
            case dict():
                made[each.name] = {"a": {"b": 1}}
            case None:
                made[each.name] = datetime(2026, 3, 1, 1, 2, 3, 4000, UTC)
    return made


def test_a_case_comes_back_as_it_was(here: World) -> None:
    plain = here.case()
    assert here.book.get(plain.case_id) == plain
    full = here.case(State.NEEDS_ATTENTION, **something_in_every_field())
    assert here.book.get(full.case_id) == full
    with pytest.raises(NotFound):
        here.book.get("0000-0000-0000-0000")


def test_opening_twice_keeps_the_first(here: World) -> None:
    case = here.case()
    again = replace(case, regimes=("ccpa",), version=1)
    assert not here.book.open(again, "web")
    assert here.book.get(case.case_id) == case
    [event] = here.book.events(case.case_id)
    assert (event.number, event.name, event.about) == (1, "received", {"right": "access", "channel": "web"})


def test_the_history_is_complete_and_in_order_beyond_a_page(here: World) -> None:
    case = here.case(State.GATHERING)
    for n in range(105):
        case = here.book.move(case, case.state, "gathered", "clock", {"records": str(n)})
    events = here.book.events(case.case_id)
    assert [e.number for e in events] == list(range(1, 107))
    assert [e.about["records"] for e in events[1:]] == [str(n) for n in range(105)]
    assert all(a.at <= b.at for a, b in itertools.pairwise(events[1:]))
    assert here.book.get(case.case_id).version == 106


@pytest.mark.parametrize(
    ("name", "actor", "about"),
    [
        ("withdrawn", "requester", {"email": "ada@example.com"}),
        ("withdrawn", "requester", {"reason": "deletion"}),  # a word of another event
        ("closed", "clock", {"reason": "Ada asked for it"}),
        ("gathered", "workflow", {"records": "12 of Ada"}),
        ("needs_attention", "workflow", {"reason": "no_answer", "visit": "Ada Lovelace"}),
        ("overtaken", "workflow", {"joined": "ada@example.com"}),
        ("approved", "agent:ada@example.com", {}),
        ("approved", "Ada", {}),
        ("anything", "clock", {}),
    ],
)
def test_an_event_says_nothing_that_is_not_listed(
    here: World, name: str, actor: str, about: dict[str, str]
) -> None:
    case = here.case()
    with pytest.raises(ValueError, match=r"may not|no event") as said:
        here.book.move(case, State.WITHDRAWN, name, actor, about)
    assert "Ada" not in str(said.value)
    assert "ada@" not in str(said.value)
    assert here.book.get(case.case_id) == case


def test_neither_the_move_nor_the_event_alone(here: World) -> None:
    """An event of that number stands there already (a table restored in part): then no move either."""
    case = here.case()
    item = here.book.events(case.case_id)[0]
    boto3.client("dynamodb", region_name=REGION).put_item(
        TableName=CASES,
        Item={
            "case_id": {"S": case.case_id},
            "part": {"S": "event#000002"},
            "at": {"S": item.at.isoformat()},
            "name": {"S": "forged"},
            "actor": {"S": "x"},
            "was": {"S": "received"},
            "now": {"S": "received"},
        },
    )
    with pytest.raises(Conflict):
        here.book.move(case, State.WITHDRAWN, "withdrawn", "requester")
    assert here.book.get(case.case_id) == case
    assert here.names(case) == ["received", "forged"]


# -- two writers -------------------------------------------------------------------------------------


def test_of_two_who_read_the_same_one_gets_through(here: World) -> None:
    case = here.case(State.READY)
    moved = here.book.move(case, State.DELIVERED, "downloaded", "requester")
    for to in (State.DELIVERED, State.CLOSED, State.READY):
        with pytest.raises(Conflict):
            here.book.move(case, to, "closed", "clock")
    assert here.book.get(case.case_id) == moved
    assert here.names(case) == ["received", "downloaded"]


def test_many_at_once_make_one_move(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # moto checks and writes without a lock, which DynamoDB does not: here each transaction is made whole.
    whole, transact = threading.Lock(), aws.client("dynamodb").transact_write_items

    def one_by_one(**arguments: Any) -> Any:
        with whole:
            return transact(**arguments)

    monkeypatch.setattr(aws.client("dynamodb"), "transact_write_items", one_by_one)
    case = here.case(State.READY)
    won: list[str] = []
    lost: list[str] = []
    ready = threading.Barrier(6)

    def write(name: str) -> None:
        ready.wait()
        try:
            here.book.move(case, State.CLOSED, "closed", f"agent:{name}")
            won.append(name)
        except Conflict:
            lost.append(name)

    threads = [threading.Thread(target=write, args=(f"writer-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert [e.actor for e in here.book.events(case.case_id)[1:]] == [f"agent:{name}" for name in won]


def test_a_token_stored_in_between_is_not_put_out_again(here: World) -> None:
    """The workflow stores its token without a version: a writer who read just before must read again."""
    case = here.case(State.AWAITING_IDENTITY)
    store_token(case, "waiting-1")
    with pytest.raises(Conflict):
        here.book.move(
            case, State.AWAITING_IDENTITY, "contact_confirmed", "requester", contacts=case.contacts
        )
    assert here.book.get(case.case_id).token == "waiting-1"
    read = here.book.get(case.case_id)
    store_token(case, "waiting-2")  # a new attempt of the workflow waits
    with pytest.raises(Conflict):
        here.book.move(read, State.RESOLVING, "contact_confirmed", "requester", token="")
    kept = here.book.get(case.case_id)
    assert (kept.token, kept.state, kept.version) == ("waiting-2", State.AWAITING_IDENTITY, 1)
    moved = here.book.move(kept, State.RESOLVING, "contact_confirmed", "requester", token="")
    assert (moved.token, moved.woken) == ("", "waiting-2")
    assert here.book.get(case.case_id) == moved


def test_the_workflow_begins_to_wait_only_while_there_is_something_to_wait_for(here: World) -> None:
    case = here.case(State.AWAITING_IDENTITY, attempt=2)
    wait = partial(as_the_workflow, "request", case, "case", state="awaiting_identity")
    wait(token="two", attempt="2", version="1")
    waiting = here.book.get(case.case_id)
    assert waiting == replace(case, token="two")
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        wait(token="one", attempt="1", version="1")
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        wait(token="one", attempt="2", version="2")
    here.book.move(waiting, State.RESOLVING, "contact_confirmed", "requester", token="")
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        wait(token="three", attempt="2", version="2")
    assert here.book.get(case.case_id).token == ""


def test_the_workflow_gives_up_no_visit_that_is_done(here: World) -> None:
    case = here.case(State.GATHERING)
    here.book.note_visit(case.case_id, Visit("2-c", "c", "done", {"x": 1}))
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        as_the_workflow("store", case, "visit#2-c", error="States.TaskFailed", store="c")
    assert here.book.visits(case.case_id)["2-c"].outcome == "done"


def test_the_token_taken_off_is_kept_until_the_next(here: World) -> None:
    case = here.case(State.AWAITING_IDENTITY, token="one")
    case = here.book.move(case, State.RESOLVING, "signed_in", "requester", token="")
    case = here.book.move(case, State.AWAITING_IDENTITY, "resolved", "workflow", token="")
    assert case.woken == "one"
    store_token(case, "two")
    case = here.book.move(here.book.get(case.case_id), State.RESOLVING, "signed_in", "requester", token="")
    assert case.woken == "two"


class Cancelled(Exception):
    """A transaction that DynamoDB cancelled."""

    def __init__(self, *codes: str) -> None:
        super().__init__()
        self.response = {"CancellationReasons": [{"Code": c} for c in codes]}


@pytest.mark.parametrize(
    ("codes", "raised"),
    [
        (("ConditionalCheckFailed", "None"), Conflict),
        (("None", "ConditionalCheckFailed"), Conflict),
        (("TransactionConflict", "None"), Conflict),
        (("ThrottlingError", "None"), Cancelled),
        (("ValidationError",), Cancelled),
    ],
)
def test_a_throttled_write_is_not_taken_for_a_lost_one(
    here: World, codes: tuple[str, ...], raised: type[Exception]
) -> None:
    case = here.case()
    dynamodb = mock.Mock()
    dynamodb.exceptions.TransactionCanceledException = Cancelled
    dynamodb.transact_write_items.side_effect = Cancelled(*codes)
    with mock.patch("dsr.casebook.client", return_value=dynamodb), pytest.raises(raised):
        here.book.move(case, State.WITHDRAWN, "withdrawn", "requester")


def test_a_new_case_that_clashes_with_its_double_is_tried_again(here: World) -> None:
    draft = here.draft()
    dynamodb = mock.Mock()
    dynamodb.exceptions.TransactionCanceledException = Cancelled
    clash = Cancelled("TransactionConflict", "None")
    for outcomes, opened in [
        ([clash, None], True),
        ([clash, Cancelled("ConditionalCheckFailed", "None")], False),
    ]:
        dynamodb.transact_write_items.side_effect = outcomes
        with mock.patch("dsr.casebook.client", return_value=dynamodb), mock.patch("time.sleep"):
            assert here.book.open(draft, "web") is opened
    dynamodb.transact_write_items.side_effect = [clash] * 9
    with (
        mock.patch("dsr.casebook.client", return_value=dynamodb),
        mock.patch("time.sleep"),
        pytest.raises(Cancelled),
    ):
        here.book.open(draft, "web")


# -- visits, and the index of open cases -----------------------------------------------------------------


def test_visits_come_back_as_noted_and_as_the_workflow_notes_them(here: World) -> None:
    case = here.case(State.GATHERING)
    full = Visit("1-b", "b", "continue", {"x": 3, "y": 0}, {"x": 1}, "missing_index", "t", 4)
    here.book.note_visit(case.case_id, full)
    here.book.note_visit(case.case_id, Visit("1-b-who", "b"))
    as_the_workflow("store", case, "visit#2-c", error="States.TaskFailed", store="c")
    visits = here.book.visits(case.case_id)
    assert list(visits) == ["1-b", "1-b-who", "2-c"]
    noted = visits["1-b"]
    assert noted.updated_at is not None
    assert now() - noted.updated_at < timedelta(minutes=1)
    assert replace(noted, updated_at=None) == full
    assert replace(visits["1-b-who"], updated_at=None) == Visit("1-b-who", "b")
    assert (visits["2-c"].outcome, visits["2-c"].reason, visits["2-c"].counts) == (
        "needs_attention", "step_failed", None,
    )  # fmt: skip
    assert here.book.visits(here.case().case_id) == {}


def test_open_cases_are_those_with_something_left_to_do_by_deadline(here: World) -> None:
    others = {c.case_id for c in here.book.open_cases()}
    late = here.case(State.GATHERING, due_at=world.RECEIVED + timedelta(days=45))
    soon = here.case(State.DELIVERED, due_at=world.RECEIVED + timedelta(days=10))
    ended = here.case(State.CLOSED, due_at=world.RECEIVED + timedelta(days=20))
    here.case(State.CLOSED, key_destroyed=True)

    def listed() -> list[str]:
        return [c.case_id for c in here.book.open_cases() if c.case_id not in others]

    assert listed() == [soon.case_id, ended.case_id, late.case_id]
    here.book.move(ended, ended.state, "key_destroyed", "clock", key_destroyed=True)
    assert listed() == [soon.case_id, late.case_id]


# -- random walks ----------------------------------------------------------------------------------------


class Walk(RuleBasedStateMachine):
    """Writers with old and new pages in hand try every move; the book must keep to the table."""

    here: World  # set by the test
    pages: Bundle[Case] = Bundle("pages")

    @initialize(target=pages, state=st.sampled_from(State))
    def begin(self, state: State) -> Case:
        self.case = self.here.case(state)
        self.written = 1
        return self.case

    @rule(
        target=pages,
        page=pages,
        to=st.sampled_from(State),
        token=st.sampled_from([None, "", "t"]),
        attempt=st.integers(1, 3),
    )
    def write(self, page: Case, to: State, token: str | None, attempt: int) -> Case:
        changes = {"attempt": attempt} | ({"token": token} if token is not None else {})
        current = self.here.book.get(self.case.case_id)
        allowed = to is page.state or to in MOVES[page.state]
        fresh = page.version == current.version and page.token == current.token
        try:
            moved = self.here.book.move(page, to, "restarted", "clock", **changes)
        except Conflict:
            assert not (allowed and fresh)
            assert self.here.book.get(self.case.case_id) == current
            return current
        assert allowed
        assert fresh
        assert moved == self.here.book.get(self.case.case_id)
        assert (moved.state, moved.attempt) == (to, attempt)
        self.written += 1
        return moved

    @rule(target=pages, token=st.sampled_from(["t", "u"]))
    def wait(self, token: str) -> Case:
        store_token(self.case, token)
        return self.here.book.get(self.case.case_id)

    @invariant()
    def the_book_is_whole(self) -> None:
        if not hasattr(self, "case"):
            return
        case = self.here.book.get(self.case.case_id)
        events = self.here.book.events(case.case_id)
        assert case.version == len(events) == self.written
        assert [e.number for e in events] == list(range(1, len(events) + 1))
        assert events[-1].now is case.state
        history = History(case.case_id, case.version, case.head, tuple(events))
        assert list(chain_breaks(history)) == []
        for before, after in itertools.pairwise(events):
            assert after.was is before.now
            if after.was is not after.now:
                check_move(after.was, after.now)
            if after.was in ENDED and not MOVES[after.was]:
                assert after.now is after.was


def test_random_walks_keep_to_the_table(here: World) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Walk.here = here
    run_state_machine_as_test(Walk, settings=settings(max_examples=10, stateful_step_count=10))  # type: ignore[no-untyped-call]
