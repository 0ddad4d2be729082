"""What a deletion never does: take an error for nothing, succeed while a store is silent, erase unplanned."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr import confirming
from dsr.case import Case, Right, State
from dsr.casebook import Visit, now, work_name
from dsr.confirming import conclude_erasing
from dsr.datamap.plan import Plan
from dsr.errors import Refused
from dsr.store_worker import check_allowed
from tests.unit import world
from tests.unit.world import World, collection, compiled, store

DSR = Path(confirming.__file__).parent
STEPS = (
    "store_worker", "gathering", "erasing", "confirming", "concluding", "certifying", "staging", "late",
    "lake_worker", "lake_runs", "asking", "answers", "holdbook", "subjects", "suppression",
)  # fmt: skip
# Who catches an error on the way from a store to the certificate, and what becomes of it. All else raises.
CATCHES = {
    # told as what needs attention, in words
    ("asking", "_answered", "StoreFault"),
    ("erasing", "run", "StoreFault"),
    ("erasing", "freeze", "StoreFault"),
    ("erasing", "restrict", "StoreFault"),
    ("gathering", "run", "StoreFault"),
    ("lake_worker", "_rewrite", "StoreFault"),
    ("stores.lake.newest", "faults", "StoreFault"),
    ("stores.sql.store", "check", "StoreFault"),
    # its place is saved, and it is called again
    ("erasing", "run", "_Late"),
    ("lake_worker", "_rewrite", "BeingWritten"),
    # tried again: in smaller pages, after a pause, on the version that is there now; then raised
    ("stores.sql.store", "_found", "AnswerTooLarge"),
    ("stores.sql.store", "_patiently", "OperationalError"),
    ("stores.dynamodb", "_transact", "ClientError"),
    ("stores.webhook", "_post", "Unreachable"),
    ("stores.revoking", "revoke", "Unreachable"),
    ("stores.lake.store", "rewrite", "Changed"),
    # what the service itself says of a thing that is not there; any other of its errors is raised
    ("stores.cognito", "_of_user", "ClientError"),
    ("stores.s3", "_abort", "ClientError"),
    ("stores.lake.objects", "head", "Changed"),
    ("staging", "_read", "s3.exceptions.NoSuchKey"),
    ("answers", "_put_new", "dynamodb.exceptions.ConditionalCheckFailedException"),
    ("lake_runs", "_runs", "states.exceptions.ExecutionDoesNotExist"),
    ("lake_runs", "may_erase", "NotFound"),
    ("lake_runs", "_tell", "NotFound"),
    ("subjects", "claim_deletion", "dynamodb.exceptions.ConditionalCheckFailedException"),
    # nothing of a store's answer: a transaction that is over anyway, words that are no JSON, no moment
    ("stores.sql.data_api", "rollback", "OperationalError"),
    ("stores.revoking", "_is_invalid", "ValueError"),
    ("stores.lake.columns", "_nanoseconds", "pa.ArrowInvalid"),
    # a partition that does not say its time is read
    ("stores.lake.partitions", "is_before", "StoreFault"),
}  # fmt: skip


def catches() -> Iterator[tuple[str, str, str]]:
    """Every handler that does not end by raising: module, function, what it catches."""
    files = [*sorted((DSR / "stores").rglob("*.py")), *(DSR / f"{name}.py" for name in STEPS)]
    for file in files:
        module = ".".join(file.relative_to(DSR).with_suffix("").parts)
        functions = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)]
        for function in functions:
            for handler in (n for n in ast.walk(function) if isinstance(n, ast.ExceptHandler)):
                if not isinstance(handler.body[-1], ast.Raise):
                    yield module, function.name, ast.unparse(handler.type) if handler.type else "everything"


def test_no_handler_turns_an_error_of_a_store_into_an_answer() -> None:
    found = set(catches())
    assert found - CATCHES == set(), "say above what becomes of the error, if it is not for nothing left"
    assert CATCHES - found == set(), "no longer there: take it off the list"
    assert not any("suppress(" in path.read_text() for path in (DSR / "stores").rglob("*.py"))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(
        tmp_path_factory.mktemp("map"),
        store(
            "a",
            collection(
                "people",
                {"id": "", "email": "identity: {is: email, verified: true}", "sub": "proves: sign_in"},
                "account: id",
            ),
        ),
        store("b", collection("x", {"k": "references: a.people.id"})),
        store("c", collection("y", {"k": "references: b.x.k"})),
    )


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        yield opened


@pytest.fixture(scope="module")
def draft(here: World) -> Case:
    return here.draft()


OUTCOMES = st.sampled_from(["none", "pending", "continue", "waiting", "needs_attention", "refused", "done"])


@given(st.lists(st.tuples(OUTCOMES, st.sampled_from([0, 0, 3])), min_size=3, max_size=3), st.booleans())
@settings(max_examples=40)
def test_it_goes_on_only_when_every_store_has_answered_and_certifies_only_nothing(
    here: World, plan: Plan, answers: list[tuple[str, int]], confirm: bool
) -> None:
    state = State.CONFIRMING if confirm else State.ERASING
    case = here.case(state, right=Right.DELETION, plan={"b.x": {"records": 1}}, confirmed_at=now())
    work = work_name("gather", 1) if confirm else work_name("erase", 0)
    for visit, (outcome, left) in zip(plan.visits, answers, strict=True):
        if outcome != "none":
            counts = dict.fromkeys(visit.collections, left)
            here.book.note_visit(case.case_id, Visit(visit.visit, visit.store, outcome, counts, {}), work)
    conclude_erasing({"case_id": case.case_id, "step": "confirm" if confirm else "erase"})
    found = here.book.get(case.case_id)
    answered = all(outcome == "done" for outcome, _ in answers)
    nothing = not any(left for _, left in answers)
    if confirm:
        assert (found.state is State.CERTIFYING) == (answered and nothing)
        assert (found.state is State.ERASING) == (answered and not nothing)
    else:
        assert (found.state is State.CONFIRMING) == answered


@given(st.sampled_from(State), st.sampled_from(Right), st.booleans(), st.booleans())
def test_nothing_is_erased_without_a_recorded_plan_that_somebody_wanted(
    plan: Plan, draft: Case, state: State, right: Right, planned: bool, confirmed: bool
) -> None:
    asked = replace(
        draft,
        state=state,
        right=right,
        plan={"b.x": {}} if planned else {},
        confirmed_at=now() if confirmed else None,
    )
    allowed = True
    try:
        check_allowed(asked, plan.visits[0], "erase")
    except Refused:
        allowed = False
    assert allowed == (state is State.ERASING and right is Right.DELETION and planned and confirmed)
