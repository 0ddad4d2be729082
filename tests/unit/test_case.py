"""A case's states and references: what the table of moves promises, and what a person may type."""

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.case import (
    AWAIT_ANSWERS,
    ENDED,
    MOVES,
    REST,
    STEPS,
    WAITS,
    Proof,
    State,
    check_move,
    new_case_id,
    next_step,
    read_case_id,
)
from dsr.errors import Conflict
from tests.unit.test_gathering import a_case
from tests.unit.world import Plan

PLAN = Plan("v", {}, {}, {}, {}, {}, ())
EXAMPLE = "K7Q2-9FXM-3TWD-5BHP"


def reachable(start: State, without: Iterable[State] = ()) -> set[State]:
    seen: set[State] = set()
    todo = [start]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo.extend(MOVES[state] - set(without))
    return seen


def test_every_state_has_its_moves_and_none_is_out_of_reach() -> None:
    assert set(MOVES) == set(State)
    # What an earlier deletion kept begins by waiting.
    assert reachable(State.RECEIVED) | reachable(State.KEPT) == set(State)


def test_what_has_ended_stays_so_and_nothing_else_is_a_dead_end() -> None:
    # What is erased is looked for once more, and told once more, and comes back to where it was.
    looked_after = {State.ERASED, State.ERASED_IN_PART}
    for state in State:
        assert (state in ENDED - looked_after) == (not MOVES[state])
        if state in looked_after:
            assert MOVES[state] == {State.CONFIRMING, State.CERTIFYING}
        assert reachable(state) & ENDED, f"a case in {state} can never end"


def test_no_way_leads_around_the_proof() -> None:
    """To what discloses or erases, only through resolving (or an approval) and then gathering.

    Without the state that stops anywhere: it goes back to where it stopped.
    """
    for state in (State.BUNDLING, State.READY, State.ERASING, State.COOLING_OFF):
        around = reachable(State.RECEIVED, without=[State.GATHERING, State.NEEDS_ATTENTION])
        assert state not in around
    proof = [State.RESOLVING, State.AWAITING_APPROVAL]
    assert State.GATHERING not in reachable(State.RECEIVED, without=proof)
    assert State.ERASED not in reachable(State.RECEIVED, without=[State.CONFIRMING])


def test_a_case_stopped_for_attention_can_go_back_to_where_it_stopped() -> None:
    stopped = {state for state in State if State.NEEDS_ATTENTION in MOVES[state]}
    assert stopped == {s for s in MOVES[State.NEEDS_ATTENTION] if s not in ENDED}


@given(st.sampled_from(State), st.sampled_from(State))
def test_check_move_is_the_table(was: State, to: State) -> None:
    if to in MOVES[was]:
        check_move(was, to)
    else:
        with pytest.raises(Conflict, match=f"{was} to {to}"):
            check_move(was, to)


def test_each_state_that_needs_no_person_has_a_step_and_an_announcement_is_made_once() -> None:
    assert {s for s in State if s not in STEPS} - ENDED == {
        *(State.AWAITING_APPROVAL, State.DELIVERED, State.NEEDS_ATTENTION, State.KEPT)
    }
    assert set(STEPS.values()) >= WAITS - {AWAIT_ANSWERS}
    for state in State:
        step = STEPS.get(state, REST)
        assert next_step(a_case(PLAN, state=state)) in (step, "announce")
        told = a_case(PLAN, state=state, notices=("code", str(state)))
        assert next_step(told) == (REST if step == "announce" else step)
        waits = next_step(replace(told, waiting_for=("1-mailing",))) == AWAIT_ANSWERS
        assert waits == (step in ("gather", "erase", "confirm") and state is not State.VERIFIED)


# -- references ------------------------------------------------------------------------------------


@given(st.binary(min_size=10, max_size=10))
def test_a_reference_survives_being_written_down_by_hand(entropy: bytes) -> None:
    case_id = new_case_id(entropy)
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", case_id)
    assert new_case_id(entropy) == case_id
    for typed in (
        case_id,
        case_id.lower(),
        case_id.replace("-", ""),
        f"  {case_id.replace('-', ' ')} ",
        case_id.replace("0", "O").replace("1", "l"),
        case_id.replace("0", "o").replace("1", "I"),
    ):
        assert read_case_id(typed) == case_id


@given(st.sets(st.binary(min_size=10, max_size=10), min_size=2, max_size=50))
def test_other_entropy_is_another_reference(entropies: set[bytes]) -> None:
    assert len({new_case_id(e) for e in entropies}) == len(entropies)


def test_references_are_drawn_anew() -> None:
    assert len({new_case_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "K7Q2",
        EXAMPLE + "X",
        EXAMPLE[:-1],
        "K7Q2-9FXM-3TWD-5BHU",
        "K7Q2-9FXM-3TWD-5BH/",
        "Ｋ7Q2-9FXM-3TWD-5BHP",
    ],
)
def test_what_is_no_reference_is_none(typed: str) -> None:
    assert read_case_id(typed) is None


@given(st.text(max_size=24))
def test_whatever_is_typed_gives_a_reference_or_nothing(typed: str) -> None:
    read = read_case_id(typed)
    assert read is None or read_case_id(read) == read


# -- proofs ------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(Proof), min_size=1, max_size=4))
def test_the_mailbox_is_proven_when_the_first_is_and_no_other_is_open(proofs: list[Proof]) -> None:
    case = a_case(PLAN, contacts=tuple(proofs))
    expected = proofs[0] == "confirmed" and all(p in ("confirmed", "skipped") for p in proofs[1:])
    assert case.mailbox_proven == expected
