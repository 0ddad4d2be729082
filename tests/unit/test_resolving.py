"""Who is it, and what proof is asked: by the map, of everybody, and never less because a store was silent."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.case import REST, Case, Proof, Requester, Right, State
from dsr.casebook import Visit, now
from dsr.datamap.plan import Plan
from dsr.gathering import Gathering
from dsr.resolving import Account, age, decide, find_accounts, is_adult, resolve, without_answer
from dsr.taking_up import take_up
from tests.unit import world
from tests.unit.test_case import PLAN
from tests.unit.test_gathering import Fate, Shelves, _endless, a_case
from tests.unit.world import ADA, HEAD, STAGING, World, collection, compiled, store

TODAY = date(2026, 3, 2)
EMAIL = "identity: {is: email, normalise: lower, verified: true}"
MINE = Account("m1", frozenset({"sub-1"}), "1990-01-01")
STRANGER = Account("m2", frozenset({"sub-2"}), "1990-01-01")
SIGNED_IN = replace(ADA, account="sub-1")


def asking(default: str = "mailbox", account_holder: str = "account") -> Plan:
    said = {"default": default, "account_holder": account_holder}
    return replace(PLAN, requires={"access": said, "deletion": said})


def decided(
    plan: Plan, accounts: list[Account], requester: Requester = ADA, **fields: Any
) -> tuple[State, dict[str, Any]]:
    return decide(plan, a_case(plan, state=State.RESOLVING, **fields), requester, accounts, TODAY)


# -- the decision, row by row ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "accounts", "requester", "to"),
    [
        (asking(), [], ADA, State.VERIFIED),
        (asking(), [MINE], ADA, State.AWAITING_IDENTITY),
        (asking(), [MINE], SIGNED_IN, State.VERIFIED),
        (asking(), [STRANGER], SIGNED_IN, State.NEEDS_ATTENTION),
        (asking(), [Account("m3", frozenset(), "")], SIGNED_IN, State.NEEDS_ATTENTION),
        (asking(), [MINE, STRANGER], SIGNED_IN, State.NEEDS_ATTENTION),
        (asking(account_holder="mailbox"), [MINE], ADA, State.VERIFIED),
        (asking(default="account"), [], ADA, State.AWAITING_APPROVAL),
        (asking(default="account"), [], SIGNED_IN, State.AWAITING_APPROVAL),
        (asking(default="account"), [MINE], SIGNED_IN, State.VERIFIED),
    ],
)
def test_the_proof_that_the_map_asks_for(
    plan: Plan, accounts: list[Account], requester: Requester, to: State
) -> None:
    state, changes = decided(plan, accounts, requester)
    assert state is to
    if to is State.AWAITING_IDENTITY:
        assert changes == {"needs": "account"}
    if to is State.AWAITING_APPROVAL:
        assert changes == {"risk": ("no_sign_in",)}
    if to is State.NEEDS_ATTENTION:
        [point] = changes["attention"]
        assert point.reason == ("two_accounts" if len(accounts) > 1 else "sign_in_mismatch")


def test_two_accounts_stop_for_a_person_whatever_else_holds() -> None:
    for plan in (asking(), asking(account_holder="mailbox")):
        assert decided(plan, [MINE, STRANGER], SIGNED_IN, approved=True)[0] is State.NEEDS_ATTENTION
    joined = {"two_accounts": "include"}
    assert decided(asking(), [MINE, STRANGER], SIGNED_IN, decisions=joined)[0] is State.VERIFIED
    # That they are one person's says nothing about whose: the sign-in is asked for as ever.
    assert decided(asking(), [MINE, STRANGER], ADA, decisions=joined)[0] is State.AWAITING_IDENTITY
    other = replace(ADA, account="sub-9")
    assert decided(asking(), [MINE, STRANGER], other, decisions=joined)[0] is State.NEEDS_ATTENTION


@pytest.mark.parametrize(
    ("born", "minor"),
    [
        ("2008-03-02", False),  # eighteen today
        ("2008-03-03", True),
        ("2008-03-02T00:00:00+00:00", False),
        ("2020-02-29", True),
        ("1900-01-01", False),
        ("", False),  # not known: the map says nothing of it
        ("unknown", True),
        ("01.02.1990", True),
        ("12", True),
    ],
)
def test_a_child_needs_a_person_and_so_does_an_age_that_nobody_can_read(born: str, minor: bool) -> None:
    state, changes = decided(asking(), [replace(MINE, born=born)], SIGNED_IN)
    assert (state is State.AWAITING_APPROVAL) is minor
    assert changes == ({"risk": ("minor",)} if minor else {})
    approved = decided(asking(), [replace(MINE, born=born)], SIGNED_IN, approved=True)
    assert approved[0] is State.VERIFIED


@pytest.mark.parametrize("for_whom", ["child", "other"])
def test_who_asks_for_another_is_approved_by_a_person(for_whom: str) -> None:
    asked = replace(SIGNED_IN, for_whom=for_whom)
    state, changes = decided(asking(), [MINE], asked, risk=("minor",))
    assert state is State.AWAITING_APPROVAL
    assert set(changes["risk"]) == {"minor", for_whom}
    assert changes["risk"] == tuple(sorted(changes["risk"]))
    assert decided(asking(), [MINE], asked, approved=True)[0] is State.VERIFIED


@given(
    st.lists(
        st.sampled_from([MINE, STRANGER, Account("m3", frozenset(), "2020-01-01")]), max_size=2, unique=True
    ),
    st.sampled_from(["", "sub-1", "sub-2", "sub-9"]),
    st.sampled_from(["self", "child", "other"]),
    st.booleans(),
    st.sampled_from(["mailbox", "account"]),
    st.sampled_from(["mailbox", "account"]),
)
def test_nobody_is_verified_with_less_than_the_map_asks(
    accounts: list[Account], account: str, for_whom: str, approved: bool, default: str, holder: str
) -> None:
    requester = replace(ADA, account=account, for_whom=for_whom)
    state, _ = decided(asking(default, holder), accounts, requester, approved=approved)
    if state is State.VERIFIED:
        assert len(accounts) <= 1
        if not approved:
            needed = holder if accounts else default
            assert needed == "mailbox" or account in accounts[0].proves
            assert for_whom == "self"
            assert not any(a.born > "2008-03-02" for a in accounts)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 120))
def test_age_changes_on_the_birthday(born: date, years: int) -> None:
    born = born.replace(day=28) if (born.month, born.day) == (2, 29) else born
    birthday = born.replace(year=born.year + years)
    assert age(born, birthday) == years
    assert age(born, birthday - timedelta(days=1)) == years - 1


def test_who_is_born_on_a_leap_day_is_of_age_on_the_first_of_march() -> None:
    assert not is_adult("2008-02-29", date(2026, 2, 28))
    assert is_adult("2008-02-29", date(2026, 3, 1))


# -- what the stores say ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two stores that know accounts, and one that only holds notes."""
    people = collection(
        "people",
        {"id": "", "email": EMAIL, "sub": "proves: sign_in", "born": ""},
        "account: id",
        "born: born",
    )
    profiles = collection("profiles", {"member": "", "mail": EMAIL}, "account: member")
    notes = collection("notes", {"note": "", "owner": "references: a.people.id"})
    return compiled(tmp_path_factory.mktemp("map"), store("a", people, notes), store("b", profiles))


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        yield opened


PEOPLE = [{"id": "m1", "email": "ada@example.com", "sub": "sub-1", "born": "1990-01-01"}]
ROWS = {"a.people": PEOPLE, "b.profiles": [{"member": "m1", "mail": "ada@example.com"}]}


def answered(
    here: World, plan: Plan, rows: dict[str, list[dict[str, Any]]], silent: str = "", **fields: Any
) -> Case:
    """A case whose resolving visits are made, except `silent`."""
    case = here.case(State.RESOLVING, **fields)
    for visit in plan.visits:
        if visit.resolves and visit.visit != silent:
            shelves = Shelves(rows, _endless([3]), Fate())
            requester = here.book.requester(case)
            now = datetime(2026, 3, 2, tzinfo=UTC)
            worker = Gathering(plan, case, requester, visit, here.staging(case), shelves, now, float("inf"))
            result = worker.run()
            here.book.note_visit(case.case_id, Visit(visit.visit, visit.store, result.outcome, result.counts))
    return case


def outcome(case: Case) -> str:
    return resolve({"case_id": case.case_id})["outcome"]


def test_an_account_in_two_collections_is_one_with_all_its_proofs(here: World, plan: Plan) -> None:
    case = answered(here, plan, ROWS)
    [found] = find_accounts(plan, here.staging(case))
    assert found == Account("m1", frozenset({"sub-1"}), "1990-01-01")
    other = {**ROWS, "b.profiles": [{"member": "m9", "mail": "ada@example.com"}]}
    case = answered(here, plan, other)
    assert [a.account_id for a in find_accounts(plan, here.staging(case))] == ["m1", "m9"]
    assert outcome(case) == State.NEEDS_ATTENTION


def test_from_the_mailbox_to_the_sign_in_to_the_stores(here: World, plan: Plan) -> None:
    case = answered(here, plan, ROWS)
    assert outcome(case) == State.AWAITING_IDENTITY
    waiting = here.book.get(case.case_id)
    assert waiting.needs == "account"
    assert waiting.expires_at is not None, "who never signs in is not waited for for ever"
    assert timedelta(days=13) < waiting.expires_at - datetime.now(UTC) <= timedelta(days=14)
    sealed = here.book.seal_requester(waiting, SIGNED_IN)
    here.book.move(waiting, State.RESOLVING, "signed_in", "requester", sealed=sealed, expires_at=None)
    assert outcome(case) == State.VERIFIED
    verified = here.book.get(case.case_id)
    assert outcome(case) == State.VERIFIED, "called once more it changes nothing"
    assert here.book.get(case.case_id) == verified
    assert verified.subject
    assert "m1" not in verified.subject


def test_without_an_account_the_mailbox_suffices(here: World, plan: Plan) -> None:
    assert outcome(answered(here, plan, {})) == State.VERIFIED


@pytest.mark.parametrize("noted", [None, "pending", "continue", "needs_attention", "refused"])
def test_a_store_that_did_not_answer_makes_no_stranger_of_its_account_holder(
    here: World, plan: Plan, noted: str | None
) -> None:
    silent = plan.visit_of("a.people")
    case = answered(here, plan, {"b.profiles": []}, silent.visit)
    if noted:
        here.book.note_visit(case.case_id, Visit(silent.visit, "a", noted, reason="missing_index", about="i"))
    assert outcome(case) == State.NEEDS_ATTENTION
    stopped = here.book.get(case.case_id)
    assert stopped.resume is State.RESOLVING
    [point] = stopped.attention
    assert (point.visit, point.reason) == (silent.visit, "missing_index" if noted else "no_answer")
    assert here.names(case)[-1] == "needs_attention"


def test_only_what_tells_who_it_is_must_have_answered(plan: Plan) -> None:
    who = {v.visit: Visit(v.visit, v.store, "done") for v in plan.visits if v.resolves}
    assert set(who) < {v.visit for v in plan.visits}
    assert without_answer(plan, who) == ()
    assert len(without_answer(plan, {})) == len(who) == 2


def test_two_cases_of_one_person_are_told_by_the_hash_and_of_two_persons_not(here: World, plan: Plan) -> None:
    def subject(rows: dict[str, list[dict[str, Any]]], requester: Requester) -> str:
        case = answered(here, plan, rows, requester=requester)
        assert outcome(case) == State.VERIFIED
        return here.book.get(case.case_id).subject

    mine, again = subject(ROWS, SIGNED_IN), subject(ROWS, SIGNED_IN)
    assert mine == again
    nobody, capital = subject({}, ADA), subject({}, replace(ADA, contacts=("ADA@example.com",)))
    assert nobody == capital != mine
    assert subject({}, replace(ADA, contacts=("bob@example.com",))) != nobody


# -- taking up ---------------------------------------------------------------------------------------------


def taken_up(case: Case, attempt: int = 1) -> dict[str, Any]:
    return take_up({"case_id": case.case_id, "attempt": attempt})


def visits_in(answer: dict[str, Any]) -> list[list[str]]:
    return [[v["visit"] for v in wave["visits"]] for wave in answer["waves"]]


def test_each_state_is_told_its_step_and_its_visits(here: World, plan: Plan) -> None:
    who = sorted(v.visit for v in plan.visits if v.resolves)
    [[*told]] = visits_in(taken_up(here.case(State.RESOLVING)))
    assert sorted(told) == who
    waves = visits_in(taken_up(here.case(State.GATHERING)))
    assert [v for wave in waves for v in wave] == [v.visit for v in plan.visits]
    verified = here.case(State.VERIFIED)
    assert taken_up(verified)["step"] == "gather"
    assert here.book.get(verified.case_id).state is State.GATHERING
    ready = {"step": "announce", "waves": [], "notice": "ready", "version": 1}
    assert taken_up(here.case(State.READY)) == ready
    assert taken_up(here.case(State.READY, notices=("ready",)))["step"] == REST
    assert taken_up(here.case(State.NEEDS_ATTENTION))["step"] == REST


def test_what_was_erased_just_now_is_not_read_again_before_its_indexes_follow(here: World) -> None:
    erased = {"right": Right.DELETION, "updated_at": now()}
    assert taken_up(here.case(State.CONFIRMING, **erased))["step"] == "settle"
    erased["updated_at"] = now() - timedelta(seconds=10)
    assert taken_up(here.case(State.CONFIRMING, **erased))["step"] == "confirm"


def test_an_execution_of_an_earlier_attempt_rests(here: World) -> None:
    case = here.case(State.VERIFIED, attempt=2)
    assert taken_up(case, 1) == {"step": REST, "waves": []}
    assert here.book.get(case.case_id) == case
    assert taken_up(case, 2)["step"] == "gather"


def test_what_is_done_or_left_out_is_not_asked_again(here: World, plan: Plan) -> None:
    first, second, third = (v.visit for v in plan.visits)
    case = here.case(State.GATHERING, decisions={f"visit:{second}": "leave_out"})
    for outcome_, expected in [("done", [[third]]), ("needs_attention", None), ("pending", None)]:
        here.book.note_visit(case.case_id, Visit(first, "a", outcome_))
        assert visits_in(taken_up(case)) == (expected or [[first, third]])
    kinds = {v["kind"] for wave in taken_up(case)["waves"] for v in wave["visits"]}
    assert kinds == {"dynamodb"}


def test_a_map_deployed_meanwhile_leaves_a_case_the_one_that_it_began_with(
    here: World, plan: Plan, tmp_path: Path
) -> None:
    case = here.case(State.RECEIVED)
    assert taken_up(case)["step"] == "send_code"
    head = HEAD.replace("to serve you", "to serve you better")
    newer = compiled(tmp_path, store("z", collection("people", {"id": "", "email": EMAIL})), head=head)
    with world.shipped(newer):
        moved = here.book.move(here.book.get(case.case_id), State.RESOLVING, "contact_confirmed", "requester")
        assert moved.map_version == plan.version
        [[*told]] = visits_in(taken_up(case))
        assert set(told) <= {v.visit for v in plan.visits}
        # One that nothing was done for yet begins with the newer one.
        fresh = here.case(State.RECEIVED)
        assert taken_up(fresh)["step"] == "send_code"
        assert here.book.get(fresh.case_id).map_version == newer.version
        assert taken_up(fresh)["step"] == "send_code"
        assert here.names(fresh) == ["received", "map_updated"]


def test_plans_are_kept_under_their_version(here: World, plan: Plan) -> None:
    from dsr import plans

    assert plans.keep(STAGING) == plan.version
    with world.shipped(replace(plan, version="other")):
        plans._stored.cache_clear()
        assert plans.of_version(plan.version, STAGING) == plan
        assert plans.of_version("other", STAGING).version == "other"
        with pytest.raises(Exception, match="NoSuchKey"):
            plans.of_version("never", STAGING)
    with mock.patch("dsr.plans.load", side_effect=ModuleNotFoundError):
        assert plans.of_version(plan.version, STAGING) == plan


def test_an_unproven_mailbox_resolves_nothing(here: World, plan: Plan) -> None:
    """The visits are refused by the worker; without them the case stops for a person."""
    case = here.case(State.RESOLVING, proofs=[Proof.PENDING])
    assert outcome(case) == State.NEEDS_ATTENTION
    assert {p.reason for p in here.book.get(case.case_id).attention} == {"no_answer"}
