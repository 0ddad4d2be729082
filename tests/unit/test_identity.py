"""Codes, links, sessions, sign-ins under way and throttles, over a real table and key of moto."""

import json
import time
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import identity
from dsr.front_door import FrontDoor
from dsr.identity import Grant, Level, new_code, proven, read_code, show_code, window
from tests.unit.front import Front, front_door_open

CASE = "K7Q2-9FXM-3TWD-5BHP"
OTHER = "K7Q2-9FXM-3TWD-5BHQ"


@pytest.fixture
def front() -> Iterator[Front]:
    with front_door_open() as opened:
        yield opened


@pytest.fixture
def door(front: Front) -> FrontDoor:
    return front.public._pages().frame.door


# -- codes as people type them --------------------------------------------------------------------

BETWEEN = st.text(alphabet=" \t-–—\u00a0\u2009\u200b", max_size=3)


@given(st.integers(0, 10**8 - 1), st.lists(BETWEEN, min_size=9, max_size=9))
def test_a_code_reads_with_whatever_lies_between_its_digits(number: int, between: list[str]) -> None:
    code = f"{number:08d}"
    typed = "".join(b + d for b, d in zip(between, code, strict=False)) + between[8]
    assert read_code(typed) == code


@given(st.text(max_size=20))
def test_nothing_else_reads_as_a_code(text: str) -> None:
    code = read_code(text)
    assert code is None or (len(code) == 8 and code.isascii() and code.isdigit())


@pytest.mark.parametrize(
    "text", ["", "1234567", "123456789", "1234567a", "１２３４５６７８", "١٢٣٤٥٦٧٨", "+1234567"]
)
def test_what_is_no_code(text: str) -> None:
    assert read_code(text) is None


def test_codes_are_eight_digits_and_differ() -> None:
    codes = {new_code() for _ in range(2000)}
    assert all(read_code(c) == c and read_code(show_code(c)) == c for c in codes)
    assert len(codes) > 1990


# -- codes in the table -----------------------------------------------------------------------------


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


def test_a_code_works_once_and_uses_up_its_link(door: FrontDoor) -> None:
    code, link = door.new_code(CASE, 0)
    assert door.find_link(link) == (CASE, 0)
    assert door.use_code(CASE, 0, code)
    assert not door.use_code(CASE, 0, code)
    assert door.find_link(link) is None
    assert door.use_link(link) is None


def test_a_link_works_once_and_uses_up_its_code(door: FrontDoor) -> None:
    code, link = door.new_code(CASE, 2)
    assert door.use_link(link) == (CASE, 2)
    assert door.use_link(link) is None
    assert not door.use_code(CASE, 2, code)


def test_a_new_code_replaces_the_old_one_and_its_link(door: FrontDoor) -> None:
    old, old_link = door.new_code(CASE, 0)
    new, new_link = door.new_code(CASE, 0)
    assert door.find_link(old_link) is None
    assert door.use_link(old_link) is None
    assert old == new or not door.use_code(CASE, 0, old)
    assert door.use_link(new_link) == (CASE, 0)


def test_a_code_is_of_its_case_and_contact(door: FrontDoor) -> None:
    code, _ = door.new_code(CASE, 0)
    door.new_code(OTHER, 0)
    door.new_code(CASE, 1)
    assert not door.use_code(OTHER, 0, code)
    assert not door.use_code(CASE, 1, code)
    assert door.use_code(CASE, 0, code)


@pytest.mark.parametrize(("before", "works"), [(0, True), (4, True), (5, False), (8, False)])
def test_the_sixth_try_fails_whatever_it_is(door: FrontDoor, before: int, works: bool) -> None:
    code, link = door.new_code(CASE, 0)
    for _ in range(before):
        assert not door.use_code(CASE, 0, wrong(code))
    assert door.use_code(CASE, 0, code) is works
    if not works:
        # The link has 128 bits: guessing at the code does not take it from its owner.
        assert door.use_link(link) == (CASE, 0)


def test_tries_are_counted_before_they_are_judged(door: FrontDoor, front: Front) -> None:
    door.new_code(CASE, 0)
    for _ in range(9):
        door.use_code(CASE, 0, "00000000")
    [item] = [i for i in front.tables()["dsr-front-door"] if i["id"]["S"].startswith("code#")]
    assert item["attempts"] == {"N": "5"}


def test_codes_and_links_end_after_fifteen_minutes(door: FrontDoor) -> None:
    for seconds, works in ((14 * 60, True), (15 * 60 + 1, False)):
        code, _ = door.new_code(CASE, 0)
        _, link = door.new_code(CASE, 1)
        with mock.patch("time.time", return_value=time.time() + seconds):
            assert door.use_code(CASE, 0, code) is works
            assert (door.use_link(link) is not None) is works


def test_the_table_holds_no_secret_in_clear(door: FrontDoor, front: Front) -> None:
    code, link = door.new_code(CASE, 0)
    cookie = door.raise_session(None, CASE, Level.MAILBOX)
    session = door.session(cookie)
    assert session
    state, _, _ = door.begin_sign_in(session.id, CASE, "")
    door.admit("address", "ada@example.com", 5)
    door.admit("source", "203.0.113.7", 5)
    stored = json.dumps(front.tables(), default=str)
    for secret in (code, show_code(code), link, cookie, state, "ada@example.com", "203.0.113.7"):
        assert secret not in stored


# -- sessions ---------------------------------------------------------------------------------------


def test_a_session_gets_a_new_name_when_it_may_more(door: FrontDoor) -> None:
    first = door.raise_session(None, CASE, Level.SUBMITTED)
    second = door.raise_session(door.session(first), CASE, Level.MAILBOX)
    assert first != second
    assert door.session(first) is None
    session = door.session(second)
    assert session
    assert session.grants[CASE].level is Level.MAILBOX


def test_a_session_knows_many_cases_and_keeps_the_newest(door: FrontDoor) -> None:
    cookie = door.raise_session(None, CASE, Level.MAILBOX)
    for number in range(25):
        cookie = door.raise_session(door.session(cookie), f"case-{number}", Level.SUBMITTED)
    session = door.session(cookie)
    assert session
    assert len(session.grants) == 20
    assert CASE in session.grants  # proven, so worth more than what was only submitted
    assert "case-24" in session.grants


def test_a_session_ends(door: FrontDoor) -> None:
    cookie = door.raise_session(None, CASE, Level.MAILBOX)
    with mock.patch("time.time", return_value=time.time() + identity.SESSION_SECONDS + 1):
        assert door.session(cookie) is None
    assert door.session("x" * 43) is None


@given(st.lists(st.tuples(st.sampled_from(list(Level)), st.integers(0, 2000)), max_size=8))
def test_a_grant_never_falls_and_is_fresh_only_by_its_proof(proofs: list[tuple[Level, int]]) -> None:
    grant, now, last = None, 1_000_000.0, {level: float("-inf") for level in Level}
    for level, later in proofs:
        now += later
        before = grant
        grant = proven(grant, level, now)
        last[level] = now
        assert before is None or grant.level >= before.level
        for needed in (Level.MAILBOX, Level.ACCOUNT):
            reached = max(last[at] for at in Level if at >= needed)
            if grant.is_fresh(needed, now):
                assert now - reached < identity.FRESH_SECONDS
        assert level is Level.SUBMITTED or grant.is_fresh(level, now)


def test_a_submission_proves_nothing() -> None:
    assert not Grant(Level.SUBMITTED).is_fresh(Level.MAILBOX, 0)
    assert not proven(None, Level.SUBMITTED, 100).is_fresh(Level.MAILBOX, 100)


# -- signing in ---------------------------------------------------------------------------------------


def test_a_sign_in_is_finished_once_and_by_the_session_that_began_it(door: FrontDoor) -> None:
    mine = door.session(door.raise_session(None, CASE, Level.MAILBOX))
    theirs = door.session(door.raise_session(None, CASE, Level.MAILBOX))
    assert mine
    assert theirs
    state, nonce, challenge = door.begin_sign_in(mine.id, CASE, "download")
    assert door.finish_sign_in(theirs.id, state) is None
    begun = door.finish_sign_in(mine.id, state)
    assert begun
    assert (begun.case_id, begun.then, begun.nonce) == (CASE, "download", nonce)
    assert identity.challenge(begun.verifier) == challenge
    assert door.finish_sign_in(mine.id, state) is None


def test_a_sign_in_ends_after_ten_minutes(door: FrontDoor) -> None:
    session = door.session(door.raise_session(None, CASE, Level.MAILBOX))
    assert session
    state, _, _ = door.begin_sign_in(session.id, CASE, "")
    with mock.patch("time.time", return_value=time.time() + identity.SIGN_IN_SECONDS + 1):
        assert door.finish_sign_in(session.id, state) is None


def test_the_challenge_is_that_of_rfc_7636() -> None:
    # Appendix B of the RFC.
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert identity.challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


# -- throttles ----------------------------------------------------------------------------------------


def test_a_throttle_admits_so_many_in_a_window_and_then_again_in_the_next(door: FrontDoor) -> None:
    now = time.time()
    start = window(now)[1]  # the beginning of a window, so that none ends while we count
    with mock.patch("time.time", return_value=start + 1.0):
        assert [door.admit("address", "a@example.com", 3) for _ in range(5)] == [True] * 3 + [False] * 2
        assert door.admit("address", "b@example.com", 3)
        assert door.admit("source", "a@example.com", 3)
    with mock.patch("time.time", return_value=start + 3601.0):
        assert door.admit("address", "a@example.com", 3)


@given(st.floats(0, 4e9), st.integers(1, 86400))
def test_windows_follow_each_other(now: float, seconds: int) -> None:
    number, end = window(now, seconds)
    assert end > int(now) >= end - seconds
    assert window(end, seconds)[0] == number + 1
