"""Erasing a visit, killed and cut anywhere: what was staged goes, leaves first, and nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.case import Right, State
from dsr.datamap.plan import Collection, Plan
from dsr.erasing import Erasing
from dsr.errors import StoreFault
from dsr.gathering import Gathering, may_stay
from dsr.taking_up import erasing_order
from dsr.treatments import Masks
from tests.unit.test_gathering import Fate, Killed, Memory, Shelves, _endless, a_case
from tests.unit.world import ADA, collection, compiled, store

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ME = "references: a.people.id"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """An account, and in another store orders with lines, a shared list, and papers that are kept."""
    people = collection(
        "people",
        {
            "id": "",
            "email": "identity: {is: email, normalise: lower, verified: true}",
            "sub": "proves: sign_in",
        },
        "account: id",
    )
    orders = collection("orders", {"number": "", "person": ME})
    lines = collection("lines", {"line": "", "order": "references: b.orders.number"})
    shared = collection("shared", {"list": "", "person": ME, "said": ""}).replace(
        "on_deletion: delete", 'on_deletion: {detach: {person: "null", said: redacted}}'
    )
    papers = collection("papers", {"paper": "", "person": ME, "at": ""}).replace(
        "on_deletion: delete",
        "on_deletion: {keep: tax, law: the law, until: {duration: P7Y, from: at}}",
    )
    return compiled(
        tmp_path_factory.mktemp("map"), store("a", people), store("b", orders, lines, shared, papers)
    )


class Database(Shelves):
    """A store in memory that erases, at most three records a call, and may be killed at any call."""

    erase_at_once = 3

    def __init__(self, rows: dict[str, list[dict[str, Any]]], fate: Fate, pages: list[int]) -> None:
        super().__init__(rows, _endless(pages), fate)
        self.order: list[str] = []

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        assert len(records) <= self.erase_at_once
        self._fate.around(lambda: self._erase(collection, records, masks))

    def _erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        key = collection.key[0]
        chosen = {record[key] for record in records}
        held = self._rows[collection.path]
        self.order.append(collection.path)
        for row in list(held):
            if row[key] in chosen and masks:
                row.update({n: t.apply(row[n]) for n, t in masks.items()})
            elif row[key] in chosen:
                held.remove(row)


def rows_of(mine: int, theirs: int) -> dict[str, list[dict[str, Any]]]:
    """Records of Ada and of somebody else in every collection."""
    owners = ["1"] * mine + ["2"] * theirs
    return {
        "a.people": [{"id": "1", "email": "ada@example.com"}, {"id": "2", "email": "eve@example.com"}],
        "b.orders": [{"number": f"o{n}", "person": p} for n, p in enumerate(owners)],
        "b.lines": [{"line": f"l{n}", "order": f"o{n // 2}"} for n in range(2 * len(owners))],
        "b.shared": [{"list": f"s{n}", "person": p, "said": "x"} for n, p in enumerate(owners)],
        "b.papers": [{"paper": f"p{n}", "person": p, "at": "2026-01-01"} for n, p in enumerate(owners)],
    }


def run(
    plan: Plan, rows: dict[str, list[dict[str, Any]]], fates: list[int], budget: int, pages: list[int]
) -> Database:
    """Gather, then erase in order; killed as `fates` say, and cut after `budget` looks at the clock."""
    fate = Fate()
    staging, database = Memory(fate), Database(rows, fate, pages)
    case = a_case(plan, right=Right.DELETION, state=State.GATHERING)
    for visit in plan.visits:
        _until_done(lambda v=visit: Gathering(plan, case, ADA, v, staging, database, NOW, float("inf")))  # type: ignore[arg-type,misc]
    for visit in [v for wave in erasing_order(plan) for v in wave]:

        def erasing(v: Any = visit) -> Erasing:
            fate.countdown = fates.pop() if fates else -1
            fate.act = _kill
            ticks = iter(range(10**9))
            return Erasing(plan, v, staging, database, budget, 0, free, lambda: next(ticks))  # type: ignore[arg-type]

        _until_done(erasing)
    return database


def free(_: Collection) -> str:
    """No hold stops anything."""
    return ""


def _kill() -> None:
    raise Killed


def _until_done(make: Any) -> None:
    for _ in range(1000):
        try:
            if make().run().outcome == "done":
                return
        except Killed:
            continue
    raise AssertionError("never done")


@given(
    mine=st.integers(0, 12),
    theirs=st.integers(0, 5),
    fates=st.lists(st.integers(1, 8), max_size=10),
    budget=st.integers(0, 4),
    pages=st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_killed_and_cut_anywhere_exactly_what_is_theirs_is_erased(
    plan: Plan, mine: int, theirs: int, fates: list[int], budget: int, pages: list[int]
) -> None:
    before, rows = rows_of(mine, theirs), rows_of(mine, theirs)
    run(plan, rows, fates, budget, pages)
    assert rows["a.people"] == before["a.people"][1:]
    assert rows["b.orders"] == before["b.orders"][mine:]
    assert rows["b.lines"] == before["b.lines"][2 * mine :]
    assert rows["b.papers"] == before["b.papers"]
    masked = [{**row, "person": None, "said": "[deleted]"} for row in before["b.shared"][:mine]]
    assert rows["b.shared"] == masked + before["b.shared"][mine:]


def test_leaves_go_first_and_the_identity_last(plan: Plan) -> None:
    order = list(dict.fromkeys(run(plan, rows_of(3, 1), [], 10**6, [2]).order))
    assert order.index("b.lines") < order.index("b.orders") < order.index("a.people")
    assert order[-1] == "a.people"


def test_the_second_read_passes_over_what_may_stay_and_sees_what_came(plan: Plan) -> None:
    rows = rows_of(2, 1)
    fate = Fate()
    staging, database = Memory(fate), Database(rows, fate, [3])
    case = a_case(plan, right=Right.DELETION, state=State.GATHERING)

    def gather(number: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for visit in plan.visits:
            made = Gathering(
                plan,
                case,
                ADA,
                visit,
                staging,
                database,
                NOW,
                float("inf"),
                number=number,  # type: ignore[arg-type]
            ).run()
            counts |= {f"{visit.store}.{n}": c for n, c in made.counts.items() if c}
        return counts

    def erase(number: int) -> None:
        for visit in [v for wave in erasing_order(plan) for v in wave]:
            Erasing(plan, visit, staging, database, float("inf"), number, free).run()  # type: ignore[arg-type]

    assert gather(0)["b.papers"] == 2
    erase(0)
    assert gather(1) == {}
    # While it is erased the person writes on, and something hangs on what is gone already.
    rows["b.orders"].append({"number": "late", "person": "1"})
    rows["b.lines"] += [{"line": "late", "order": "late"}, {"line": "orphan", "order": "o0"}]
    staging.held = {k: v for k, v in staging.held.items() if "@1" not in k}
    staging._tags = {k: v for k, v in staging._tags.items() if "@1" not in k}
    assert gather(1) == {"b.orders": 1, "b.lines": 2}
    erase(1)
    assert gather(2) == {}
    assert rows["b.orders"] == [{"number": "o2", "person": "2"}]
    assert [row["line"] for row in rows["b.lines"]] == ["l4", "l5"]


def test_a_fault_stops_the_visit_and_says_which(plan: Plan) -> None:
    fate = Fate()
    staging, database = Memory(fate), Database(rows_of(2, 1), fate, [3])
    case = a_case(plan, right=Right.DELETION, state=State.GATHERING)
    for visit in plan.visits:
        Gathering(plan, case, ADA, visit, staging, database, NOW, float("inf")).run()  # type: ignore[arg-type]

    def refuse(*_: Any) -> None:
        raise StoreFault("missing_permission", "b.lines: Delete")

    database.erase = refuse  # type: ignore[method-assign]
    result = Erasing(plan, plan.visit_of("b.lines"), staging, database, float("inf"), 0, free).run()  # type: ignore[arg-type]
    assert (result.outcome, result.reason, result.about) == (
        "needs_attention",
        "missing_permission",
        "b.lines: Delete",
    )


def test_what_may_stay(plan: Plan) -> None:
    shared = plan.collections["b.shared"]
    assert may_stay(plan.collections["b.papers"], {"person": "1"})
    assert may_stay(shared, {"person": None, "said": "[deleted]"})
    assert not may_stay(shared, {"person": None, "said": "still here"})
    assert not may_stay(plan.collections["b.orders"], {"person": None})
