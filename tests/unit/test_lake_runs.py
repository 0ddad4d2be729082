"""Lake runs: many deletions, each file written anew once, and every one of them gets its answer."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from unittest import mock

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import lake_runs, lake_worker
from dsr.case import Case, Proof, Right, State
from dsr.datamap.plan import Plan
from dsr.finds import folder_of, place
from dsr.holdbook import Holdbook
from dsr.holds import Hold, Scope
from dsr.lake_runs import answered, batched
from dsr.lakebook import Answer, Batch, Entry, Lakebook, Progress
from dsr.records import to_line
from dsr.stores.lake.store import OBJECT, LakeStore
from tests.conftest import REGION
from tests.unit import world
from tests.unit.world import STAGING, Context, World, collection, compiled, store

EMAIL = "identity: {is: email, normalise: lower, verified: true}"
OPTIONS = ("prefix: visits/", "format: jsonl")
NOTES = ("prefix: notes/", "format: jsonl")
KEYS = [f"visits/{n}" for n in range(3)]
PLAN: dict[str, dict[str, Any]] = {"lake.visits": {"treatment": "delete"}}  # as it was shown
CONFIRMED = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("a", collection("people", {"id": "", "email": EMAIL})),
        store(
            "lake",
            collection("visits", {"id": "", "who": "references: a.people.id"}, *OPTIONS, table=False),
            collection("notes", {"id": "", "who": "references: a.people.id"}, *NOTES, table=False),
            kind="lake",
            connection="bucket: lake",
        ),
    )  # fmt: skip


@pytest.fixture
def here(cloud: None, plan: Plan) -> Iterator[World]:
    s3("create_bucket")
    with world.opened(plan) as opened:
        yield opened


@pytest.fixture(autouse=True)
def woken() -> Iterator[list[str]]:
    tokens: list[str] = []
    with mock.patch("dsr.waking.wake", tokens.append):
        yield tokens


def s3(verb: str, **arguments: Any) -> Any:
    return getattr(boto3.client("s3", region_name=REGION), verb)(Bucket="lake", **arguments)


def row(who: str, key: str) -> dict[str, Any]:
    return {"id": f"{who} {key}", "who": who}


def fill(*people: str, keys: list[str] = KEYS) -> None:
    for key in keys:
        s3("put_object", Key=key, Body=b"".join(to_line(row(who, key)) for who in people))


def left(key: str) -> list[str]:
    lines = s3("get_object", Key=key)["Body"].read().splitlines()
    return [json.loads(line)["who"] for line in lines]


def deletion(here: World, plan: Plan, who: str, keys: list[str] = KEYS, **fields: Any) -> Case:
    """A case that is to erase this person's records in these objects."""
    state = fields.pop("state", State.ERASING)
    case = here.case(state, right=Right.DELETION, confirmed_at=CONFIRMED, plan=PLAN, **fields)
    lines = b"".join(to_line({"values": {**row(who, key), OBJECT: key}}) for key in keys).decode()
    parts = {folder_of("staged", "lake.visits"): [lines] if keys else []}
    here.staging(case).put_json(place(visit(plan)), {"parts": parts, "done": True})
    return case


def visit(plan: Plan) -> str:
    return plan.visit_of("lake.visits").visit


def erase(plan: Plan, case: Case) -> str:
    event = {"case_id": case.case_id, "visit": visit(plan), "verb": "erase"}
    return lake_worker.work(event, Context())["outcome"]


def noted(here: World, plan: Plan, case: Case) -> Any:
    return here.book.visits(case.case_id, "erase@0")[visit(plan)]


def planned(execution: str = "one") -> dict[str, Any]:
    return lake_runs.plan_lake_run({"step": "plan", "execution": execution})


def rewritten(run: str, batch: int, context: Context | None = None) -> str:
    event = {"verb": "rewrite", "run": run, "batch": batch}
    return lake_worker.work(event, context or Context())["outcome"]


def lake_run(execution: str = "one") -> list[bool]:
    """What the state machine does; returns of each run whether it went well."""
    went = []
    while (made := planned(execution))["ours"]:
        for batch in made["batches"]:
            while rewritten(made["run"], batch) == "continue":
                pass
        said = lake_runs.plan_lake_run({"step": "conclude", "execution": execution, "run": made["run"]})
        went.append(said["well"])
        if not said["again"]:
            break
    return went


def runs_on(yes: bool) -> Any:
    return mock.patch.object(lake_runs, "_runs", return_value=yes)


# -- the way through -------------------------------------------------------------------------------


def test_many_people_and_each_file_is_written_once(here: World, plan: Plan) -> None:
    fill("ada", "bob", "eve")
    cases = [deletion(here, plan, "ada"), deletion(here, plan, "bob", KEYS[1:])]
    assert [erase(plan, case) for case in cases] == ["waiting", "waiting"]
    assert noted(here, plan, cases[0]).reason == "lake_run"
    with mock.patch.object(LakeStore, "rewrite", autospec=True, side_effect=LakeStore.rewrite) as rewrite:
        assert lake_run() == [True]
    assert [call.args[2] for call in rewrite.call_args_list] == KEYS
    assert [left(key) for key in KEYS] == [["bob", "eve"], ["eve"], ["eve"]]
    for case, count in zip(cases, (3, 2), strict=True):
        assert here.names(case)[-1] == "store_answered"
        assert erase(plan, case) == "done"
        assert noted(here, plan, case).counts == {"visits": count, "notes": 0}
    assert here.objects(STAGING, "lake/queue/") == []
    assert here.objects(STAGING, "lake/runs/") == []


def test_nothing_to_erase_waits_for_no_run(here: World, plan: Plan) -> None:
    assert erase(plan, deletion(here, plan, "ada", [])) == "done"
    assert planned()["ours"] is False


def test_queued_again_it_waits_once(here: World, plan: Plan) -> None:
    fill("ada")
    case = deletion(here, plan, "ada")
    assert [erase(plan, case), erase(plan, case)] == ["waiting", "waiting"]
    assert len(list(Lakebook(STAGING).queued())) == 1


def test_runs_begin_at_once_where_that_is_wanted(
    here: World, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("ada")
    monkeypatch.setenv("LAKE_WORKFLOW", "by schedule")
    begun: list[str] = []
    monkeypatch.setattr("dsr.lake_worker.begin_run", begun.append)
    assert erase(plan, deletion(here, plan, "ada")) == "waiting"
    assert begun == []
    monkeypatch.setenv("LAKE_WORKFLOW", "arn:aws:states:x")
    assert erase(plan, deletion(here, plan, "ada")) == "waiting"
    assert begun == ["arn:aws:states:x"]


def test_what_queues_up_meanwhile_is_done_by_the_same_execution(here: World, plan: Plan) -> None:
    fill("ada", "bob")
    first, second = deletion(here, plan, "ada"), deletion(here, plan, "bob")
    erase(plan, first)
    run = planned("one")
    erase(plan, second)
    with runs_on(True):
        assert planned("two")["ours"] is False  # it looks again at its end
    rewritten(run["run"], 0)
    said = lake_runs.plan_lake_run({"step": "conclude", "execution": "one", "run": run["run"]})
    assert said == {"again": True, "well": True}
    assert lake_run("one") == [True]
    assert [left(key) for key in KEYS] == [[], [], []]


# -- killed, late, twice ---------------------------------------------------------------------------


def test_a_lost_run_is_gone_on_with(here: World, plan: Plan) -> None:
    fill("ada")
    case = deletion(here, plan, "ada")
    erase(plan, case)
    run = planned("one")
    with runs_on(False):
        assert planned("two") == {**run, "batches": run["batches"]}
        assert lake_run("two") == [True]
    assert erase(plan, case) == "done"


def test_each_step_done_twice_changes_nothing(here: World, plan: Plan, woken: list[str]) -> None:
    fill("ada", "eve")
    case = deletion(here, plan, "ada")
    erase(plan, case)
    run = planned()
    assert planned() == run
    assert [rewritten(run["run"], 0), rewritten(run["run"], 0)] == ["done", "done"]
    conclude = {"step": "conclude", "execution": "one", "run": run["run"]}
    assert lake_runs.plan_lake_run(conclude) == lake_runs.plan_lake_run(conclude)
    assert rewritten(run["run"], 0) == "done"  # of a run that is over
    assert [left(key) for key in KEYS] == [["eve"]] * 3
    assert erase(plan, case) == "done"


def test_killed_between_the_answer_and_the_wake_it_is_told_later(here: World, plan: Plan) -> None:
    fill("ada")
    case = deletion(here, plan, "ada")
    erase(plan, case)
    run = planned()
    rewritten(run["run"], 0)
    with mock.patch.object(lake_runs, "_tell", side_effect=SystemExit), pytest.raises(SystemExit):
        lake_runs.plan_lake_run({"step": "conclude", "execution": "one", "run": run["run"]})
    assert "store_answered" not in here.names(case)
    with runs_on(False):
        lake_run("two")
    assert "store_answered" in here.names(case)
    assert erase(plan, case) == "done"


def test_out_of_time_it_goes_on_at_the_next_object(here: World, plan: Plan) -> None:
    fill("ada")
    erase(plan, deletion(here, plan, "ada"))
    run = planned()
    outcomes = [rewritten(run["run"], 0, Context(0)) for _ in KEYS]
    assert outcomes == ["continue", "continue", "done"]
    assert [left(key) for key in KEYS] == [[], [], []]


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_file_at_fault_stops_whom_it_concerns_and_nobody_else(here: World, plan: Plan) -> None:
    fill("ada", "bob", "eve")
    ada, bob = deletion(here, plan, "ada"), deletion(here, plan, "bob", KEYS[:1])
    for case in (ada, bob):
        erase(plan, case)
    s3("put_object", Key=KEYS[2], Body=b'{"who": "ada", \n')
    assert lake_run() == [False]
    assert erase(plan, bob) == "done"
    assert erase(plan, ada) == "needs_attention"
    made = noted(here, plan, ada)
    assert made.reason == "malformed_data"
    assert made.about.startswith("lake.visits: visits/2 has a line")
    # Mended and retried, it is queued anew.
    s3("put_object", Key=KEYS[2], Body=to_line(row("ada", KEYS[2])))
    assert erase(plan, ada) == "waiting"
    assert lake_run() == [True]
    assert erase(plan, ada) == "done"
    assert left(KEYS[2]) == []


def test_what_others_keep_writing_waits_for_the_next_run(here: World, plan: Plan) -> None:
    fill("ada", "bob")
    ada, bob = deletion(here, plan, "ada", KEYS[:2]), deletion(here, plan, "bob", KEYS[2:])
    for case in (ada, bob):
        erase(plan, case)
    rewrite = LakeStore.rewrite

    def busy(self: LakeStore, collection: Any, key: str, *more: Any) -> int:
        if key == KEYS[1]:
            raise lake_worker.BeingWritten
        return rewrite(self, collection, key, *more)

    with mock.patch.object(LakeStore, "rewrite", busy):
        assert lake_run() == [False]
    assert [erase(plan, ada), erase(plan, bob)] == ["waiting", "done"]
    assert lake_run() == [True]
    assert erase(plan, ada) == "done"


def held(here: World, scope: Scope, target: str) -> str:
    hold = Hold("h1", scope, target, "legal_claim", True, "agent", CONFIRMED, review=date(2027, 1, 1))
    Holdbook(here.book.cases).place(hold)
    return hold.hold_id


@pytest.mark.parametrize("scope", [Scope.CASE, Scope.COLLECTION])
def test_a_hold_stops_the_run_for_whom_it_is_placed(here: World, plan: Plan, scope: Scope) -> None:
    fill("ada", "bob")
    ada, bob = deletion(here, plan, "ada"), deletion(here, plan, "bob")
    for case in (ada, bob):
        erase(plan, case)
    hold = held(here, scope, ada.case_id if scope is Scope.CASE else "lake.visits")
    lake_run()
    assert [left(key) for key in KEYS] == [["ada"] if scope is Scope.CASE else ["ada", "bob"]] * 3
    assert erase(plan, ada) == "waiting"
    Holdbook(here.book.cases).lift(hold, "agent", CONFIRMED)
    lake_run()
    assert [left(key) for key in KEYS] == [[], [], []]
    assert [erase(plan, ada), erase(plan, bob)] == ["done", "done"]


def test_what_is_held_before_it_queues_is_not_queued(here: World, plan: Plan) -> None:
    fill("ada")
    case = deletion(here, plan, "ada")
    held(here, Scope.CASE, case.case_id)
    assert erase(plan, case) == "waiting"
    assert noted(here, plan, case).reason == "hold"
    assert planned()["ours"] is False


@pytest.mark.parametrize(
    "stands",
    [
        {"state": State.WITHDRAWN},
        {"state": State.CONFIRMING},
        {"right": Right.ACCESS},
        {"round": 1},
        {"confirmed_at": None},
        {"plan": {}},
        {"proofs": [Proof.PENDING]},
    ],
)
def test_who_does_not_ask_any_more_is_left_out(here: World, plan: Plan, stands: dict[str, Any]) -> None:
    fill("ada")
    given = {
        "right": Right.DELETION,
        "confirmed_at": CONFIRMED,
        "plan": PLAN,
        "state": State.ERASING,
    }
    given |= stands
    case = here.case(given.pop("state"), **given)
    Lakebook(STAGING).enqueue(Entry(case.case_id, "erase@0", visit(plan), "lake.visits", plan.version, KEYS))
    assert planned()["ours"] is False
    assert list(Lakebook(STAGING).queued()) == []
    assert left(KEYS[0]) == ["ada"]


# -- planning, by itself ---------------------------------------------------------------------------

ENTRIES = st.lists(
    st.builds(
        Entry,
        st.integers(0, 9).map(str),
        st.just("erase@0"),
        st.just("0-lake"),
        st.sampled_from(["lake.visits", "lake.notes"]),
        st.sampled_from(["v1", "v2"]),
        st.lists(st.integers(0, 60).map(lambda n: f"k{n:02d}"), unique=True, max_size=40),
    ),
    unique_by=lambda entry: entry.name,
    max_size=8,
)


@given(ENTRIES)
def test_every_object_is_in_one_batch_with_all_who_name_it(entries: list[Entry]) -> None:
    batches = list(batched(entries))
    seen: dict[tuple[str, str, str], set[str]] = {}
    for batch in batches:
        assert 0 < len(batch.objects) <= 20
        for key in batch.objects:
            at = (batch.collection, batch.map_version, key)
            assert at not in seen
            seen[at] = {e.case_id for e in batch.entries if key in e.objects}
    wanted: dict[tuple[str, str, str], set[str]] = {}
    for entry in entries:
        for key in entry.objects:
            wanted.setdefault((entry.collection, entry.map_version, key), set()).add(entry.case_id)
    assert seen == wanted


def test_a_run_of_any_size_fits_into_its_history() -> None:
    keys = [f"k{n:06d}" for n in range(100_000)]
    batches = list(batched([Entry("c", "erase@0", "0-lake", "lake.visits", "v", keys)]))
    assert len(batches) <= 400
    assert sum(len(b.objects) for b in batches) == len(keys)


def test_an_entry_is_done_once_all_its_objects_are() -> None:
    both, one = Entry("a", "w", "v", "l.c", "m", ["k1"]), Entry("b", "w", "v", "l.c", "m", ["k2"])
    first = Batch("l.c", "m", ["k1"], [both])
    second = Batch("l.c", "m", ["k2", "k3"], [Entry("a", "w", "v", "l.c", "m", ["k3"]), one])
    through = Progress(done=True)
    assert answered([(first, through), (second, Progress())]) == ([], {both.name, one.name}, False)
    answers, pending, well = answered([(first, through), (second, Progress(done=True, left=["k3"]))])
    assert ([e.name for e, _ in answers], pending, well) == ([one.name], {both.name}, False)
    faulty = Progress(done=True, faults={"k3": ["unsupported", "l.c: k3"]})
    answers, pending, well = answered([(first, through), (second, faulty)])
    assert [(e.name, a) for e, a in answers] == [
        (both.name, Answer("needs_attention", "unsupported", "l.c: k3")),
        (one.name, Answer("done")),
    ]
    assert (pending, well) == (set(), False)
