"""Traversal of any map over any data: it gathers what a look at every record, over and over, would find."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr import gathering, late
from dsr.case import Case, Requester, State
from dsr.concluding import conclude
from dsr.datamap.plan import Collection, Plan, Way
from dsr.erasing import Erasing
from dsr.finds import folder_of, place, staged
from dsr.records import each_at
from dsr.resolving import resolve
from dsr.store_worker import work
from dsr.stores.base import Page, Record
from dsr.taking_up import visits_to_make
from tests.unit import world
from tests.unit.test_gathering import NEVER_LATE, Fate, Memory, a_case, gather, held, visits_of
from tests.unit.world import Context, World, collection, compiled, store

ADA = Requester(("ada@example.com",), account="sub-1")
IDENTITIES = {
    "email": "identity: {is: email, normalise: lower, verified: true}",
    "typed": "identity: {is: email, normalise: lower, verified: false}",
    "sub": "identity: {is: sign_in}",
}
# What others repeat: a value, a list, a value within a mapping, one within each mapping of a list.
NAMED = ("id", "ids", "deep.id", "many.id")
ROUNDS = 1000  # more than any data here can need

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Made:
    """A collection of a generated map: its identities, and what its fields reference (path, field, late)."""

    identities: tuple[str, ...]
    references: dict[str, list[tuple[str, str, bool]]] = field(default_factory=dict)


class Desk(Memory):
    """Staging in memory that can also take away."""

    def remove(self, prefix: str) -> None:
        """As `Staging.remove`."""
        for name in [n for n in self.held if n.startswith(prefix)]:
            del self.held[name], self._tags[name]


class Shelves:
    """A store that finds in lists and nested mappings too; its pages are as long as `sizes` says in turn."""

    def __init__(self, rows: Rows, sizes: list[int]) -> None:
        self._rows, self._sizes = rows, cycle(sizes)

    def find(
        self, found: Collection, way: Way, values: Sequence[Any], after: Any, whole: bool = True
    ) -> Iterator[Page]:
        """As `Store.find`."""
        rows = [r for r in self._rows[found.path] if set(each_at(r, way.field)) & set(values)]
        start, end = after or 0, -1
        while end < len(rows):
            end = start + next(self._sizes)
            yield Page([Record(dict(r)) for r in rows[start:end]], end if end < len(rows) else None)
            start = end


# -- any map, any data -------------------------------------------------------------------------------


@st.composite
def some_maps(draw: st.DrawFn) -> dict[str, Made]:
    """Up to six collections; references to earlier ones, to themselves, and late ones that close circles."""
    paths = [f"{draw(st.sampled_from('ab'))}.c{n}" for n in range(draw(st.integers(1, 6)))]
    made: dict[str, Made] = {}
    above: dict[str, set[str]] = {}

    def referring(to: list[str], is_late: bool, least: int = 0) -> list[tuple[str, str, bool]]:
        target = st.tuples(st.sampled_from(to), st.sampled_from(NAMED))
        targets = draw(st.lists(target, min_size=least, max_size=2, unique=True))
        return [(path, name, is_late) for path, name in targets]

    for n, path in enumerate(paths):
        identities = draw(st.sets(st.sampled_from(sorted(IDENTITIES))))
        references: dict[str, list[tuple[str, str, bool]]] = {}
        for number in range(draw(st.integers(0, 2)) if n else 0):
            references[f"r{number}"] = referring(paths[:n], False)
        if draw(st.booleans()):
            references["own"] = referring([path], False, 1)
        parents = {to for targets in references.values() for to, _, _ in targets} - {path}
        above[path] = {path}.union(*(above[p] for p in parents))
        if not parents and not identities:
            identities = {"email"}
        made[path] = Made(tuple(sorted(identities)), references)
    for path in paths:
        below = [other for other in paths if path in above[other] and other != path]
        if below:
            made[path].references["back"] = referring(below, True)
    return made


def plan_of(folder: Path, made: dict[str, Made]) -> Plan:
    stores: dict[str, list[str]] = {}
    for path, said in made.items():
        fields = dict.fromkeys(NAMED, "") | {name: IDENTITIES[name] for name in said.identities}
        for name, targets in said.references.items():
            listed = ", ".join(
                f"{{to: {to}.{f}, late: {str(is_late).lower()}}}" for to, f, is_late in targets
            )
            fields[name] = f"references: [{listed}]"
        where, name = path.split(".")
        stores.setdefault(where, []).append(collection(name, fields))
    return compiled(folder, *(store(where, *collections) for where, collections in stores.items()))


IDS = st.sampled_from([1, 2, 3, 4, 5, 6, "x", ""])
ROWS = st.fixed_dictionaries(
    {
        "id": IDS,
        "ids": st.lists(IDS, max_size=2),
        "deep": st.fixed_dictionaries({"id": IDS}) | st.none(),
        "many": st.lists(st.fixed_dictionaries({"id": IDS}), max_size=2),
        # Few are found by what is proven: most, if at all, by what others say.
        "email": st.sampled_from([None, "bob@example.com", "bob@example.com", "ada@example.com"]),
        "typed": st.sampled_from([None, "bob@example.com", "ada@example.com"]),
        "sub": st.sampled_from([None, "sub-2", "sub-2", "sub-1"]),
        "r0": IDS,
        "r1": st.lists(IDS, max_size=2),
        "own": IDS | st.none(),
        "back": IDS | st.lists(IDS, max_size=2),
    }
)


def some_rows(made: dict[str, Made]) -> st.SearchStrategy[Rows]:
    rows = st.lists(ROWS, min_size=3, max_size=8).map(
        lambda found: [{"n": n, **row} for n, row in enumerate(found)]
    )
    return st.fixed_dictionaries(dict.fromkeys(made, rows))


# -- by brute force ----------------------------------------------------------------------------------


def brute_force(made: dict[str, Made], rows: Rows) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """The person's records, and the doubtful ones: over and over every record, until nothing is added."""

    def says(path: str, n: int, name: str) -> set[Any]:
        return set(each_at(rows[path][n], name)) - {""}

    everything = [(path, n) for path in made for n in range(len(rows[path]))]
    sound = {
        (path, n)
        for path, n in everything
        if ("email" in made[path].identities and rows[path][n]["email"] == "ada@example.com")
        or ("sub" in made[path].identities and rows[path][n]["sub"] == "sub-1")
    }
    before = -1
    while len(sound) != before:
        before = len(sound)
        for path, n in everything:
            for name, targets in made[path].references.items():
                told = (says(p, m, f) for to, f, _ in targets for p, m in sound if p == to)
                if any(said & says(path, n, name) for said in list(told)):
                    sound.add((path, n))
    typed = {
        (path, n)
        for path, n in everything
        if "typed" in made[path].identities and rows[path][n]["typed"] == "ada@example.com"
    }
    return sound, typed - sound


def traversed(plan: Plan, rows: Rows, sizes: list[int], ticks: float = NEVER_LATE) -> Desk:
    """All visits in order, called until they are done; again while late references lead to more."""
    staging, case, shelves = Desk(Fate()), a_case(plan), Shelves(rows, sizes)
    for _ in range(ROUNDS):
        for visit in visits_of(plan):
            while (result := gather(plan, case, visit, staging, shelves, ticks, ADA)).outcome != "done":  # type: ignore[arg-type]
                assert result.outcome == "continue", result
        again = late.look(plan, staging, lambda path: staged(staging, plan, path))  # type: ignore[arg-type]
        if again is None:
            return staging
        assert not again.beyond
        for visit in {v.visit: v for path in again.paths for v in plan.from_visit(path)}.values():
            staging.remove(place(visit.visit))
            for name in visit.collections:
                for kind in ("staged", "doubtful"):
                    staging.remove(folder_of(kind, f"{visit.store}.{name}"))
        late.keep(staging, again)  # type: ignore[arg-type]
    raise AssertionError("it never ends")


def numbers(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, int]]:
    return sorted((path, record["n"]) for path, records in found.items() for record in records)


@given(data=st.data(), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_is_gathered_is_all_that_references_lead_to_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sizes: list[int]
) -> None:
    made = data.draw(some_maps())
    rows = data.draw(some_rows(made))
    plan = plan_of(tmp_path_factory.mktemp("map"), made)
    with (
        mock.patch.object(late, "MOST_ROUNDS", ROUNDS),
        mock.patch.object(gathering, "_PART_BYTES", data.draw(st.sampled_from([1, 200, 10**6]))),
        mock.patch.object(gathering, "_PLACE_BYTES", data.draw(st.sampled_from([0, 300, 10**6]))),
    ):
        staging = traversed(plan, rows, sizes, data.draw(st.sampled_from([0, 2, NEVER_LATE])))
    sound, doubtful = brute_force(made, rows)
    assert numbers(held(plan, staging)) == sorted(sound), "each once"
    assert numbers(held(plan, staging, "doubtful")) == sorted(doubtful)


# -- where it ends -----------------------------------------------------------------------------------


def chained(length: int) -> Rows:
    """Tickets of which each follows the one before; only the first is found by an address."""
    empty = {"ids": [], "deep": None, "many": [], "typed": None, "sub": None}
    rows = [{"n": n, "id": n, "own": n - 1, "email": None, **empty} for n in range(length)]
    rows[0] |= {"email": "ada@example.com", "own": None}
    return {"a.c0": rows}


def test_a_thread_is_followed_for_a_hundred_generations_and_no_further(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"a.c0": Made(("email",), {"own": [("a.c0", "id", False)]})})
    assert len(held(plan, traversed(plan, chained(100), [7]))["a.c0"]) == 100
    [visit] = plan.visits
    result = gather(plan, a_case(plan), visit, Desk(Fate()), Shelves(chained(102), [7]), requester=ADA)  # type: ignore[arg-type]
    assert (result.outcome, result.reason) == ("needs_attention", "endless_references")
    assert result.about == "a.c0.own"


class Strict(Shelves):
    """A store that lets no record go while another follows it, as a foreign key does; two a call."""

    erase_at_once = 2

    def __init__(self, rows: Rows, sizes: list[int]) -> None:
        super().__init__(rows, sizes)
        self.left = {row["id"]: row["own"] for row in rows["a.c0"]}

    def erase(self, _: Collection, records: Sequence[dict[str, Any]], _masks: dict[str, str]) -> None:
        """As `Store.erase`."""
        for record in records:
            del self.left[record["id"]]
        assert not {r["id"] for r in records} & set(self.left.values()), "still referenced"


@pytest.mark.parametrize("place_bytes", [0, 10**6])
def test_a_thread_is_erased_from_its_end(tmp_path: Path, place_bytes: int) -> None:
    plan = plan_of(tmp_path, {"a.c0": Made(("email",), {"own": [("a.c0", "id", False)]})})
    [visit] = plan.visits
    with mock.patch.object(gathering, "_PLACE_BYTES", place_bytes):
        staging = traversed(plan, chained(9), [2])
    store = Strict(chained(9), [2])
    for _ in range(20):
        ticks = iter(range(100))
        erasing = Erasing(plan, visit, staging, store, 1, 0, lambda _: "", lambda t=ticks: next(t))  # type: ignore[arg-type,misc]
        if erasing.run().outcome == "done":
            break
    assert store.left == {}


ACCOUNTS = collection(
    "people",
    {
        "id": "references: {to: b.entries.contact, late: true}",
        "email": IDENTITIES["email"],
        "sub": "proves: sign_in",
    },
    "account: id",
)
ENTRIES = collection("entries", {"entry": "", "owner": "references: a.people.id", "contact": ""})


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Accounts, and entries that name accounts again: what tells who it is may be found late."""
    return compiled(tmp_path_factory.mktemp("map"), store("a", ACCOUNTS), store("b", ENTRIES))


@pytest.fixture(scope="module")
def here(shared_cloud: None, circle: Plan) -> Iterator[World]:
    with world.opened(circle) as opened:
        yield opened


def settled(here: World, plan: Plan, rows: Rows, most: int = 60) -> Case:
    """A signed-in case as far as it goes by itself: the workflow's steps of resolving and gathering."""
    case_id = here.case(State.RESOLVING, requester=ADA).case_id
    with mock.patch("dsr.store_worker.open_store", return_value=Shelves(rows, [2])):
        for _ in range(most):
            case = here.book.get(case_id)
            if case.state is State.VERIFIED:
                here.book.move(case, State.GATHERING, "gathering_started", "workflow")
            elif case.state in (State.RESOLVING, State.GATHERING):
                step = "resolve" if case.state is State.RESOLVING else "gather"
                for wave in visits_to_make(plan, here.book, case, step)["waves"]:
                    for told in wave["visits"]:
                        event = {"case_id": case_id, "visit": told["visit"], "verb": "gather"}
                        assert work(event, Context())["outcome"] == "done"
                (resolve if step == "resolve" else conclude)({"case_id": case_id})
            else:
                return case
    return pytest.fail("it never comes to an end")


def person(number: int, email: str) -> dict[str, Any]:
    return {"n": number, "id": f"m{number}", "email": email, "sub": f"sub-{number}"}


def entry(number: int, owner: str, contact: str) -> dict[str, Any]:
    return {"n": number, "entry": f"e{number}", "owner": owner, "contact": contact}


def test_a_value_found_late_that_leads_to_the_same_account_changes_nothing(here: World, circle: Plan) -> None:
    rows = {"a.people": [person(1, "ada@example.com")], "b.entries": [entry(1, "m1", "m1")]}
    case = settled(here, circle, rows)
    assert case.state is State.BUNDLING
    assert here.names(case).count("found_late") == 1
    counts = {v.visit: v.counts for v in here.book.visits(case.case_id).values()}
    assert counts == {"0-a": {"people": 1}, "1-b": {"entries": 1}}


def test_a_value_found_late_that_leads_to_a_second_account_stops_for_a_person(
    here: World, circle: Plan
) -> None:
    rows = {
        "a.people": [person(1, "ada@example.com"), person(2, "bob@example.com")],
        "b.entries": [entry(1, "m1", "m2"), entry(2, "m2", "")],
    }
    case = settled(here, circle, rows)
    assert case.state is State.NEEDS_ATTENTION
    assert case.resume is State.RESOLVING
    assert [p.reason for p in case.attention] == ["two_accounts"]
    assert here.book.visits(case.case_id)["1-b"].outcome == "pending", "nothing of the second was read"


def test_values_that_lead_on_for_ever_stop_for_a_person_who_is_told_where(here: World, circle: Plan) -> None:
    rows = {
        "a.people": [person(1, "ada@example.com")],
        "b.entries": [entry(1, "m1", "x")],
    }
    with mock.patch.object(late, "MOST_ROUNDS", 0):
        case = settled(here, circle, rows)
    assert (case.state, case.resume) == (State.NEEDS_ATTENTION, State.GATHERING)
    [point] = case.attention
    assert (point.visit, point.reason, point.about) == ("1-b", "endless_references", "b.entries.contact")
