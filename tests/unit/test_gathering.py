"""Gathering against a store in memory: whatever is killed, late or doubled, each record is staged once."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr import gathering
from dsr.case import Case, Proof, Requester, State
from dsr.casebook import Visit
from dsr.concluding import conclude
from dsr.contacts import proven_contacts
from dsr.datamap.plan import Collection, Plan, VisitPlan, Way
from dsr.errors import Conflict, Refused, StoreFault
from dsr.finds import place, staged
from dsr.gathering import Gathering, Result
from dsr.records import from_lines
from dsr.store_worker import work
from dsr.stores.base import Original, Page, Record
from tests.unit import world
from tests.unit.world import ADA, Context, World, collection, compiled, store

NOW = datetime(2026, 3, 2, tzinfo=UTC)
LONG_AGO = "2020-01-01T00:00:00+00:00"
EMAIL = "identity: {is: email, normalise: lower, "
NEVER_LATE = float("inf")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Three stores: references across and within them, two ways into one collection, doubtful identities."""
    people = collection(
        "people",
        {
            "id": "",
            "email": EMAIL + "verified: true, since: proven_at}",
            "proven_at": "",
            "sub": "proves: sign_in",
        },
        "account: id",
    )
    notes = collection(
        "notes", {"note": "", "owner": "references: a.people.id", "phone": "second_point: phone"}
    )
    entries = collection(
        "entries",
        {
            "entry": "",
            "owner": "references: a.people.id",
            "email": EMAIL + "verified: false, recorded: at}",
            "phone": "second_point: phone",
            "at": "",
        },
    )
    items = collection("items", {"item": "", "entry": "references: b.entries.entry"})
    tickets = collection(
        "tickets",
        {
            "ticket": "",
            "email": EMAIL + "verified: true, recorded: at, valid: P1Y}",
            "phone": "second_point: phone",
            "at": "",
        },
    )
    replies = collection(
        "replies",
        {"reply": "", "ticket": "references: c.tickets.ticket", "owner": "references: a.people.id"},
    )
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("a", people, notes),
        store("b", entries, items),
        store("c", tickets, replies),
    )


# -- a staging area and a store that fail on order -------------------------------------------------


class Killed(Exception):
    """The worker is gone: nothing of what it held in memory is left."""


@dataclass
class Fate:
    """What happens at the n-th call from here on: `act`, before or after the call took effect."""

    countdown: int = -1
    after: bool = False
    act: Callable[[], None] = lambda: None

    def around(self, effect: Callable[[], Any]) -> Any:
        """Make the call, or not."""
        self.countdown -= 1
        due = self.countdown == 0
        if due and not self.after:
            self.act()
        result = effect()
        if due and self.after:
            self.act()
        return result


class Memory:
    """`Staging` without S3 and sealing: the same names, conditions and errors."""

    def __init__(self, fate: Fate) -> None:
        self.fate, self.held = fate, dict[str, bytes]()
        self._tags: dict[str, str] = {}

    def put(self, name: str, content: bytes) -> None:
        self.fate.around(lambda: self._put(name, content))

    def _put(self, name: str, content: bytes) -> str:
        self.held[name] = content
        self._tags[name] = str(int(self._tags.get(name, "0")) + 1)
        return self._tags[name]

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.fate.around(lambda: self.held.get(name))
        return found

    def put_json(self, name: str, value: Any) -> None:
        self.put(name, json.dumps(value).encode())

    def get_json(self, name: str) -> Any:
        return self.read_json(name)[0]

    def read_json(self, name: str) -> tuple[Any, str]:
        content = self.get(name)
        return (None, "") if content is None else (json.loads(content), self._tags[name])

    def replace_json(self, name: str, value: Any, tag: str) -> str:
        def effect() -> str:
            if self._tags.get(name, "") != tag:
                raise Conflict("somebody else")
            return self._put(name, json.dumps(value).encode())

        written: str = self.fate.around(effect)
        return written


class Shelves:
    """A store in memory. `sizes` gives the length of each next page; an index may fold case as it likes."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]], sizes: Iterator[int], fate: Fate) -> None:
        self._rows, self._sizes, self._fate = rows, sizes, fate

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Any, whole: bool = True
    ) -> Iterator[Page]:
        rows = [r for v in values for r in self._rows.get(collection.path, ()) if _equal(r.get(way.field), v)]
        start = after or 0
        while True:
            end = start + next(self._sizes)
            records = self._fate.around(lambda a=start, b=end: [Record(dict(r)) for r in rows[a:b]])
            yield Page(records, end if end < len(rows) else None)
            if end >= len(rows):
                return
            start = end


def _equal(held: Any, wanted: Any) -> bool:
    return held is not None and str(held).casefold() == str(wanted).casefold()


def a_case(plan: Plan, **fields: Any) -> Case:
    version = plan.version
    case = Case("0", world.Right.ACCESS, State.GATHERING, 1, NOW, NOW, NOW, (), version, "", b"")
    return replace(case, **({"contacts": (Proof.CONFIRMED,)} | fields))


def visits_of(plan: Plan) -> list[VisitPlan]:
    """In the order of the workflow: first those that tell who it is, then wave by wave."""
    return sorted(plan.visits, key=lambda v: (not v.resolves, v.wave, v.visit))


def gather(
    plan: Plan,
    case: Case,
    visit: VisitPlan,
    staging: Memory,
    shelves: Shelves,
    ticks: float = NEVER_LATE,
    requester: Requester = ADA,
) -> Result:
    """One call of the worker; each look at the clock costs one tick."""
    time = iter(range(10**9))
    worker = Gathering(
        plan, case, requester, visit, staging, shelves, NOW, ticks, lambda: next(time)  # type: ignore[arg-type]
    )  # fmt: skip
    return worker.run()


def held(plan: Plan, staging: Memory, kind: str = "staged") -> dict[str, list[dict[str, Any]]]:
    """What a reader finds, per collection."""
    return {
        path: [r["values"] for r in staged(staging, plan, path, kind)]  # type: ignore[arg-type]
        for path in plan.collections
    }


# -- the same by brute force ---------------------------------------------------------------------


def brute_force(
    plan: Plan, rows: dict[str, list[dict[str, Any]]], address: str, phones: set[str]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    """Sound and doubtful records by the rules as the docs say them, one record at a time, in one go."""
    sound: dict[str, list[dict[str, Any]]] = {path: [] for path in plan.collections}
    doubtful: dict[str, list[dict[str, Any]]] = {path: [] for path in plan.collections}
    phones = set(phones)

    def verdict(path: str, row: dict[str, Any]) -> bool:
        match path:
            case "a.people":
                return True
            case "c.tickets":
                since = [p["proven_at"] for p in sound["a.people"] if p["proven_at"]]
                in_time = row["at"] >= max(since) if since else _age(row["at"]) <= timedelta(days=365)
                return in_time or row["phone"] in phones
            case _:
                return row["phone"] in phones

    def take(path: str, row: dict[str, Any], good: bool) -> None:
        (sound if good else doubtful)[path].append(row)
        if good and row.get("phone"):
            phones.add(row["phone"])

    for visit in visits_of(plan):
        for found in plan.collections_of(visit):
            taken: list[dict[str, Any]] = []
            for way in found.ways:
                for value in [address] if way.identity else _parents(sound, way.parent):
                    for row in rows.get(found.path, ()):
                        if row.get(way.field) is not None and row[way.field] == value and row not in taken:
                            taken.append(row)
                            take(found.path, row, way.identity is None or verdict(found.path, row))
    return sound, doubtful


def _parents(sound: dict[str, list[dict[str, Any]]], parent: str) -> list[Any]:
    path, _, name = parent.rpartition(".")
    return sorted({r[name] for r in sound[path] if r.get(name) not in (None, "")}, key=str)


def _age(at: str) -> timedelta:
    return NOW - datetime.fromisoformat(at)


# -- random data: few values, so that much meets ---------------------------------------------------

IDS = st.sampled_from(["1", "2", "11", 3, "", None])
EMAILS = st.sampled_from(["ada@example.com", "bob@example.com"])
PHONES = st.sampled_from(["1", "2", "3", ""])
TIMES = st.sampled_from([LONG_AGO, "2025-06-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"])
COLUMNS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "a.people": {"id": st.sampled_from(["1", "2", 3]), "email": EMAILS, "proven_at": TIMES | st.none()},
    "a.notes": {"owner": IDS, "phone": PHONES},
    "b.entries": {"entry": IDS, "owner": IDS, "email": EMAILS, "phone": PHONES, "at": TIMES},
    "b.items": {"entry": IDS},
    "c.tickets": {"ticket": IDS, "email": EMAILS, "phone": PHONES, "at": TIMES},
    "c.replies": {"ticket": IDS, "owner": IDS},
}


@st.composite
def some_rows(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Rows per collection, each with a number of its own so that none is mistaken for another."""
    return {
        path: [
            {"n": n, "text": "x" * 20, **row}
            for n, row in enumerate(draw(st.lists(st.fixed_dictionaries(columns), max_size=7)))
        ]
        for path, columns in COLUMNS.items()
    }


@given(
    rows=some_rows(),
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    ticks=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    kills=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=12),
    part_bytes=st.sampled_from([1, 150, 10**6]),
    place_bytes=st.sampled_from([0, 200, 10**6]),
)
@settings(max_examples=300)
def test_killed_late_and_cut_anywhere_it_stages_what_one_clean_run_would(
    plan: Plan,
    rows: dict[str, list[dict[str, Any]]],
    sizes: list[int],
    ticks: list[int],
    kills: list[tuple[int, bool]],
    part_bytes: int,
    place_bytes: int,
) -> None:
    fate = Fate(act=_kill)
    staging = Memory(fate)
    pages = _endless([*sizes, 1])
    budget = _endless(ticks)
    pending = iter(kills)
    results = []
    with mock.patch.multiple(gathering, _PART_BYTES=part_bytes, _PLACE_BYTES=place_bytes):
        for visit in visits_of(plan):
            for _ in range(400):
                fate.countdown, fate.after = next(pending, (-1, False))
                try:
                    result = gather(
                        plan, a_case(plan), visit, staging, Shelves(rows, pages, fate), next(budget)
                    )
                except Killed:
                    continue
                if result.outcome == "done":
                    break
                assert result.outcome == "continue"
            else:
                pytest.fail("it never came to an end")
            results.append(result)
    fate.countdown = -1
    sound, doubtful = brute_force(plan, rows, "ada@example.com", {"442079460000"})
    assert _sorted(held(plan, staging)) == _sorted(sound)
    assert _sorted(held(plan, staging, "doubtful")) == _sorted(doubtful)
    for visit, result in zip(visits_of(plan), results, strict=True):
        for name in visit.collections:
            path = f"{visit.store}.{name}"
            assert result.counts[name] == len(sound[path])
            assert result.doubtful.get(name, 0) == len(doubtful[path])


def _kill() -> None:
    raise Killed


def _endless(numbers: list[int]) -> Iterator[int]:
    while True:
        yield from numbers


def _sorted(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    return {path: sorted(json.dumps(r, sort_keys=True) for r in rows) for path, rows in found.items()}


MANY = {
    "a.people": [{"n": 0, "id": "1", "email": "ada@example.com", "proven_at": None}],
    "a.notes": [{"n": n, "owner": "1", "phone": ""} for n in range(9)],
}


@pytest.mark.parametrize("cut", [None, *range(4, 24)])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("place_bytes", [0, 10**6])
def test_two_workers_at_one_visit_lose_and_double_nothing(
    plan: Plan, cut: int | None, after: bool, place_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first is in the middle of any call, another works at the same visit, or is killed at it."""
    monkeypatch.setattr(gathering, "_PLACE_BYTES", place_bytes)
    case = a_case(plan)
    who, rest = visits_of(plan)[0], plan.visit_of("a.notes")
    for at in range(1, 30):
        fate = Fate()
        staging = Memory(fate)
        gather(plan, case, who, staging, Shelves(MANY, _endless([1]), Fate()))

        def somebody_else(at: int = at, staging: Memory = staging, fate: Fate = fate) -> None:
            fate.countdown, fate.act = cut or -1, _kill
            with contextlib.suppress(Killed):
                for _ in range(at % 7 + 1):  # up to its end, or only part of the way
                    gather(plan, case, rest, staging, Shelves(MANY, _endless([3]), fate), 1)
            fate.countdown = -1

        fate.countdown, fate.after, fate.act = at, after, somebody_else
        shelves = Shelves(MANY, _endless([1]), fate)
        for _ in range(40):
            try:
                if gather(plan, case, rest, staging, shelves, 3).outcome == "done":
                    break
            except Conflict:
                continue
        else:
            pytest.fail("it never came to an end")
        assert sorted(r["n"] for r in held(plan, staging)["a.notes"]) == list(range(9)), at


def test_a_worker_overtaken_by_a_reset_does_not_bring_the_old_place_back(plan: Plan) -> None:
    fate = Fate()
    staging = Memory(fate)
    case = a_case(plan)
    who, rest = visits_of(plan)[0], plan.visit_of("a.notes")
    gather(plan, case, who, staging, Shelves(MANY, _endless([5]), fate))

    def forget() -> None:
        staging.held.pop(place(rest.visit), None)
        staging._tags.pop(place(rest.visit), None)

    gather(plan, case, rest, staging, Shelves(MANY, _endless([1]), fate), 2)
    fate.countdown, fate.act = 6, forget
    with pytest.raises(Conflict):
        gather(plan, case, rest, staging, Shelves(MANY, _endless([1]), fate), 3)


def test_every_call_goes_on_by_a_page_at_least(plan: Plan) -> None:
    """With no time at all it still ends: a call that only looked at the clock would be called for ever."""
    staging = Memory(Fate())
    calls = 0
    for visit in visits_of(plan):
        while (
            gather(plan, a_case(plan), visit, staging, Shelves(MANY, _endless([1]), Fate()), 0).outcome
            != "done"
        ):
            calls += 1
            assert calls < 60
    assert len(held(plan, staging)["a.notes"]) == 9


def test_memory_is_bounded_by_parts_however_the_store_pages(plan: Plan) -> None:
    rows = {**MANY, "a.notes": [{"n": n, "owner": "1", "phone": "", "text": "x" * 1000} for n in range(50)]}
    staging = Memory(Fate())
    with mock.patch.multiple(gathering, _PART_BYTES=5000, _PLACE_BYTES=1000):
        for visit in visits_of(plan):
            gather(plan, a_case(plan), visit, staging, Shelves(rows, _endless([2]), Fate()))
    parts = [len(c) for n, c in staging.held.items() if n.startswith("staged/a/notes/")]
    assert len(parts) > 5
    assert max(parts) < 5000 + 2 * 1200


def test_little_lies_in_the_place_itself_and_much_beside_it(plan: Plan) -> None:
    staging = Memory(Fate())
    with mock.patch.object(gathering, "_PLACE_BYTES", 1000):
        for visit in visits_of(plan):
            gather(plan, a_case(plan), visit, staging, Shelves(MANY, _endless([9]), Fate()))
        assert not [name for name in staging.held if name.startswith("staged/")]
        assert len(held(plan, staging)["a.notes"]) == 9
        rows = {**MANY, "a.notes": [{"n": n, "owner": "1", "phone": "", "text": "x" * 50} for n in range(99)]}
        again = Memory(Fate())
        with mock.patch.object(gathering, "_PART_BYTES", 500):
            for visit in visits_of(plan):
                gather(plan, a_case(plan), visit, again, Shelves(rows, _endless([2]), Fate()))
    assert len(held(plan, again)["a.notes"]) == 99
    assert max(len(content) for name, content in again.held.items() if name.startswith("progress/")) < 6000


# -- what finds records, and what does not ---------------------------------------------------------


def test_only_proven_addresses_find_records(plan: Plan) -> None:
    two = Requester(("ada@example.com", "bob@example.com"), {})
    rows = {
        "a.people": [
            {"n": 0, "id": "1", "email": "ada@example.com"},
            {"n": 1, "id": "2", "email": "bob@example.com"},
        ]
    }
    for proofs, expected in [
        ((Proof.CONFIRMED, Proof.SKIPPED), [0]),
        ((Proof.CONFIRMED, Proof.PENDING), [0]),
        ((Proof.SKIPPED, Proof.CONFIRMED), [1]),
        ((Proof.CONFIRMED, Proof.CONFIRMED), [0, 1]),
        ((Proof.PENDING, Proof.PENDING), []),
    ]:
        case = a_case(plan, contacts=proofs)
        assert len(proven_contacts(case, two)) == len(expected)
        staging = Memory(Fate())
        shelves = Shelves(rows, _endless([9]), Fate())
        gather(plan, case, visits_of(plan)[0], staging, shelves, requester=two)
        assert [r["n"] for r in held(plan, staging)["a.people"]] == expected


PHONE = "identity: {is: phone, normalise: e164, unique: true, "
NUMBER = "+447700900123"


@pytest.fixture(scope="module")
def phone_plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """People by address or number, calls by the number alone, letters by a number that nobody verified."""
    fields = {"id": "", "email": EMAIL + "verified: true}", "phone": PHONE + "verified: true}"}
    people = collection("people", fields)
    calls = collection(
        "calls", {"call": "", "from": PHONE + "verified: true, recorded: at, valid: P1Y}", "at": ""}
    )
    letters = collection(
        "letters", {"letter": "", "phone": PHONE + "verified: false}", "name": "second_point: name"}
    )
    return compiled(tmp_path_factory.mktemp("map"), store("a", people, calls, letters))


PHONED: dict[str, list[dict[str, Any]]] = {
    "a.people": [
        {"id": "1", "email": "ada4412@example.com"},
        {"id": "2", "phone": "+4412"},
        {"id": "3", "phone": NUMBER},
    ],
    "a.calls": [
        {"call": "new", "from": NUMBER, "at": "2026-02-01T00:00:00+00:00"},
        {"call": "of who had the number before", "from": NUMBER, "at": LONG_AGO},
        {"call": "of another", "from": "+447700900124", "at": "2026-02-01T00:00:00+00:00"},
    ],
    "a.letters": [
        {"letter": "mistyped", "phone": NUMBER, "name": "Bob"},
        {"letter": "hers", "phone": NUMBER, "name": "ada LOVELACE"},
    ],
}


def _by_phone(
    plan: Plan, requester: Requester, **fields: Any
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Sound and doubtful, by collection the keys."""
    staging, case = Memory(Fate()), a_case(plan, **fields)
    for visit in visits_of(plan):
        gather(plan, case, visit, staging, Shelves(PHONED, _endless([9]), Fate()), requester=requester)
    sound, doubtful = held(plan, staging), held(plan, staging, "doubtful")
    return (
        {path: [str(next(iter(row.values()))) for row in rows] for path, rows in sound.items() if rows},
        {path: [str(next(iter(row.values()))) for row in rows] for path, rows in doubtful.items() if rows},
    )


@pytest.mark.parametrize("proof", [Proof.PENDING, Proof.SKIPPED, None])
def test_a_number_that_is_not_proven_finds_nothing(phone_plan: Plan, proof: Proof | None) -> None:
    """Neither one that was typed or given up, nor one made of the digits of a mailbox."""
    contacts = ("ada4412@example.com", *([NUMBER] if proof else []))
    requester = Requester(contacts, {"phone": NUMBER, "name": "Ada Lovelace"})
    proofs = (Proof.CONFIRMED, *([proof] if proof else []))
    assert _by_phone(phone_plan, requester, contacts=proofs) == ({"a.people": ["1"]}, {})


def test_a_proven_number_finds_what_the_map_lets_it(phone_plan: Plan) -> None:
    """As an address does: what nobody verified, or what is outlived, needs a second point or a person."""
    requester = Requester(("ada4412@example.com", NUMBER), {"name": "Ada Lovelace"})
    sound, doubtful = _by_phone(phone_plan, requester, contacts=(Proof.CONFIRMED, Proof.CONFIRMED))
    assert sound == {"a.people": ["1", "3"], "a.calls": ["new"], "a.letters": ["hers"]}
    assert doubtful == {"a.calls": ["of who had the number before"], "a.letters": ["mistyped"]}


def test_a_number_that_a_household_shares_finds_nothing_though_it_is_proven(tmp_path: Path) -> None:
    """It cannot be an identity (`test_datamap`): a record that has it in common is found by another way."""
    fields = {"id": "", "email": EMAIL + "verified: true}", "phone": "second_point: phone"}
    plan = compiled(tmp_path, store("a", collection("people", fields)))
    rows = {
        "a.people": [{"id": "1", "email": "ada@example.com", "phone": NUMBER}, {"id": "2", "phone": NUMBER}]
    }
    staging, requester = Memory(Fate()), Requester(("ada@example.com", NUMBER))
    case = a_case(plan, contacts=(Proof.CONFIRMED, Proof.CONFIRMED))
    gather(plan, case, plan.visits[0], staging, Shelves(rows, _endless([9]), Fate()), requester=requester)
    assert [r["id"] for r in held(plan, staging)["a.people"]] == ["1"]
    assert held(plan, staging, "doubtful")["a.people"] == []


def test_an_index_that_folds_more_than_we_do_leads_to_nobody_else(plan: Plan) -> None:
    rows = {
        "a.people": [
            {"n": 0, "id": "1", "email": "MARK@example.com"},
            {"n": 1, "id": "2", "email": "mar\u212a@example.com"},  # KELVIN SIGN
        ]
    }
    staging = Memory(Fate())
    mark = Requester(("mark@example.com",))
    result = gather(
        plan, a_case(plan), visits_of(plan)[0], staging, Shelves(rows, _endless([9]), Fate()), requester=mark
    )
    assert [r["n"] for r in held(plan, staging)["a.people"]] == [0]
    assert (result.counts, result.doubtful) == ({"people": 1}, {})


def test_a_decision_of_an_agent_makes_the_doubtful_sound_and_its_children_found(plan: Plan) -> None:
    rows = {
        "b.entries": [{"n": 0, "entry": "7", "email": "ada@example.com", "phone": "9", "at": LONG_AGO}],
        "b.items": [{"n": 1, "entry": "7"}],
    }
    for decisions, sound, doubtful in [({}, 0, 1), ({"b.entries": "include"}, 1, 0)]:
        staging = Memory(Fate())
        for visit in visits_of(plan):
            gather(
                plan, a_case(plan, decisions=decisions), visit, staging, Shelves(rows, _endless([9]), Fate())
            )
        assert len(held(plan, staging)["b.entries"]) == len(held(plan, staging)["b.items"]) == sound
        assert len(held(plan, staging, "doubtful")["b.entries"]) == doubtful


def test_a_record_that_several_identities_find_is_judged_by_the_best_of_them(tmp_path: Path) -> None:
    fields = {
        "id": "",
        "typed": EMAIL + "verified: false}",
        "proven": EMAIL + "verified: true}",
    }
    plan = compiled(tmp_path, store("a", collection("people", fields)))
    rows = {"a.people": [{"id": "1", "typed": "ada@example.com", "proven": "ada@example.com"}]}
    staging = Memory(Fate())
    result = gather(plan, a_case(plan), plan.visits[0], staging, Shelves(rows, _endless([9]), Fate()))
    assert (result.counts, result.doubtful) == ({"people": 1}, {})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["1", "2"], ["1", "2"]),
        (Decimal("1.50"), ["1.50"]),
        ({"7", None}, ["7"]),
        ([["1"], "2"], ["1", "2"]),
        (0, [0]),
        ("", []),
        (None, []),
    ],
)
def test_what_a_parent_says_is_looked_for_in_all_its_forms(
    tmp_path: Path, value: Any, found: list[Any]
) -> None:
    """A list of ids leads to each; what says nothing (an empty id) leads nowhere, and not to everybody."""
    people = collection("people", {"id": "", "email": EMAIL + "verified: true}", "pictures": ""})
    plan = compiled(
        tmp_path,
        store("a", people),
        store("b", collection("pictures", {"key": "references: a.people.pictures"})),
    )
    asked: list[Any] = []

    class Asked(Shelves):
        def find(
            self, collection: Collection, way: Way, values: Sequence[Any], after: Any, whole: bool = True
        ) -> Iterator[Page]:
            asked.extend(values if collection.name == "pictures" else ())
            yield from super().find(collection, way, values, after, whole)

    rows = {"a.people": [{"id": "1", "email": "ada@example.com", "pictures": value}]}
    staging = Memory(Fate())
    for visit in visits_of(plan):
        gather(plan, a_case(plan), visit, staging, Asked(rows, _endless([9]), Fate()))
    assert asked == found


def test_a_reference_within_nested_lists_is_followed(tmp_path: Path) -> None:
    people = collection("people", {"id": "", "email": EMAIL + "verified: true}", "orders.id": ""})
    plan = compiled(
        tmp_path,
        store("a", people),
        store("b", collection("parcels", {"order": "references: a.people.orders.id"})),
    )
    rows = {
        "a.people": [{"id": "1", "email": "ada@example.com", "orders": [{"id": "7"}, {"id": "8"}]}],
        "b.parcels": [{"n": 0, "order": "7"}, {"n": 1, "order": "8"}, {"n": 2, "order": "9"}],
    }
    staging = Memory(Fate())
    for visit in visits_of(plan):
        gather(plan, a_case(plan), visit, staging, Shelves(rows, _endless([9]), Fate()))
    assert [r["n"] for r in held(plan, staging)["b.parcels"]] == [0, 1]


class Odd:
    """A value of a type that no JSON has."""

    def __str__(self) -> str:
        return "ada@example.com"


def test_faults_are_told_with_what_is_saved_and_without_values(plan: Plan) -> None:
    class Broken(Shelves):
        def find(
            self, collection: Collection, way: Way, values: Sequence[Any], after: Any, whole: bool = True
        ) -> Iterator[Page]:
            yield next(super().find(collection, way, values, after, whole))
            raise StoreFault("missing_index", "a.people: by-email")

    staging = Memory(Fate())
    two = {"a.people": MANY["a.people"] * 2}
    result = gather(plan, a_case(plan), visits_of(plan)[0], staging, Broken(two, _endless([1]), Fate()))
    assert (result.outcome, result.reason, result.about) == (
        "needs_attention", "missing_index", "a.people: by-email",
    )  # fmt: skip
    assert result.counts == {"people": 0}, "what is not saved does not count"
    assert held(plan, staging)["a.people"] == []
    rows = {"a.people": [{"id": "1", "email": "ada@example.com", "odd": Odd()}]}
    result = gather(plan, a_case(plan), visits_of(plan)[0], staging, Shelves(rows, _endless([9]), Fate()))
    assert (result.outcome, result.reason) == ("needs_attention", "unsupported")
    assert "ada" not in result.about
    rows = {"a.people": [{"id": {"no": "value"}, "email": "ada@example.com"}]}
    for visit in visits_of(plan)[:2]:
        result = gather(plan, a_case(plan), visit, staging, Shelves(rows, _endless([9]), Fate()))
    assert (result.outcome, result.reason, result.about) == (
        "needs_attention", "malformed_data", "a.people.id: not a value but several",
    )  # fmt: skip


def test_an_original_is_staged_with_its_record(plan: Plan) -> None:
    class Files(Shelves):
        def find(
            self, collection: Collection, way: Way, values: Sequence[Any], after: Any, whole: bool = True
        ) -> Iterator[Page]:
            for page in super().find(collection, way, values, after, whole):
                yield Page(
                    [replace(r, original=Original("b", "k", "v", 7)) for r in page.records], page.after
                )

    staging = Memory(Fate())
    gather(plan, a_case(plan), visits_of(plan)[0], staging, Files(MANY, _endless([9]), Fate()))
    [record] = staged(staging, plan, "a.people")  # type: ignore[arg-type]
    assert record["original"] == {"bucket": "b", "object_key": "k", "version": "v", "size": 7}


# -- the worker and the conclusion, on moto ------------------------------------------------------------


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        yield opened


@pytest.fixture
def rows() -> dict[str, list[dict[str, Any]]]:
    return {path: list(held) for path, held in MANY.items()}


@pytest.fixture
def stores(rows: dict[str, list[dict[str, Any]]]) -> Iterator[None]:
    """All stores of the map are shelves."""
    with mock.patch("dsr.store_worker.open_store", return_value=Shelves(rows, _endless([2]), Fate())):
        yield


def call(case: Case, visit: VisitPlan, seconds: float = 300) -> str:
    event = {"case_id": case.case_id, "visit": visit.visit, "verb": "gather"}
    return work(event, Context(seconds))["outcome"]


@pytest.mark.usefixtures("stores")
def test_the_worker_notes_what_it_found_and_does_a_done_visit_no_second_time(here: World, plan: Plan) -> None:
    case = here.case(State.GATHERING)
    who, rest = visits_of(plan)[0], plan.visit_of("a.notes")
    assert call(case, who) == "done"
    assert call(case, rest, 0) == "continue"
    assert here.book.visits(case.case_id)[rest.visit].outcome == "continue"
    calls = 1
    while call(case, rest, 0) != "done":
        calls += 1
    assert calls > 2
    noted = here.book.visits(case.case_id)[rest.visit]
    assert (noted.outcome, noted.counts, noted.doubtful, noted.store) == ("done", {"notes": 9}, {}, "a")
    assert noted.calls == calls + 1
    before = here.objects(world.STAGING)
    assert call(case, rest) == "done"
    assert here.objects(world.STAGING) == before


@pytest.mark.usefixtures("stores")
def test_nothing_staged_can_be_read_without_the_key_of_the_case(here: World, plan: Plan) -> None:
    case = here.case(State.GATHERING)
    for visit in visits_of(plan):
        assert call(case, visit) == "done"
    s3 = world.boto3.client("s3")
    names = set(here.objects(world.STAGING, f"cases/{case.case_id}/"))
    assert names
    for name in names:
        sealed = s3.get_object(Bucket=world.STAGING, Key=name)["Body"].read()
        assert sealed.startswith(b"age-encryption.org/v1")
        assert b"ada@example.com" not in sealed
        assert "ada" not in name
    assert [r["values"]["id"] for r in staged(here.staging(case), plan, "a.people")] == ["1"]


@pytest.mark.parametrize(
    ("state", "proofs", "approved", "allowed"),
    [
        (State.GATHERING, [Proof.CONFIRMED], False, "all"),
        (State.RESOLVING, [Proof.CONFIRMED], False, "who"),
        (State.GATHERING, [Proof.PENDING], False, "none"),
        (State.GATHERING, [Proof.SKIPPED], False, "none"),
        (State.GATHERING, [Proof.PENDING], True, "all"),
        (State.AWAITING_IDENTITY, [Proof.CONFIRMED], False, "none"),
        (State.AWAITING_APPROVAL, [Proof.CONFIRMED], True, "none"),
        (State.READY, [Proof.CONFIRMED], True, "none"),
        (State.WITHDRAWN, [Proof.CONFIRMED], True, "none"),
    ],
)
@pytest.mark.usefixtures("stores")
def test_no_store_is_asked_before_the_proof_whoever_calls(
    here: World, plan: Plan, state: State, proofs: list[Proof], approved: bool, allowed: str
) -> None:
    case = here.case(state, proofs=proofs, approved=approved)
    for visit in visits_of(plan):
        if allowed == "all" or (allowed == "who" and visit.resolves):
            assert call(case, visit) == "done"
        else:
            with pytest.raises(Refused):
                call(case, visit)
            assert visit.visit not in here.book.visits(case.case_id)


@pytest.mark.usefixtures("stores")
def test_a_killed_worker_goes_on_where_the_last_one_saved(here: World, plan: Plan) -> None:
    """At every call to S3 and to the table of cases in turn."""
    for number in range(1, 25, 3):
        case = here.case(State.GATHERING)
        call(case, visits_of(plan)[0])
        rest = plan.visit_of("a.notes")
        countdown = [number]
        with mock.patch(
            "botocore.client.BaseClient._make_api_call", _deadly(countdown, after=number % 2 == 1)
        ):
            while True:
                try:
                    if call(case, rest, 30) == "done":
                        break
                except Killed:
                    continue
        found = [r["values"]["n"] for r in staged(here.staging(case), plan, "a.notes")]
        assert sorted(found) == list(range(9)), f"killed at call {number}"
        assert here.book.visits(case.case_id)[rest.visit].counts == {"notes": 9}


def _deadly(countdown: list[int], after: bool = False) -> Callable[..., Any]:
    from botocore.client import BaseClient

    real = BaseClient._make_api_call

    def make(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        countdown[0] -= 1
        if countdown[0] == 0:
            if after:
                real(self, operation, arguments)
            raise Killed
        return real(self, operation, arguments)

    return make


def run_through(case: Case, here: World, plan: Plan, most: int = 6) -> str:
    """The workflow from gathering on: all visits that are not done, then the conclusion, until it moves."""
    for _ in range(most):
        for visit in plan.visits:
            if here.book.visits(case.case_id).get(visit.visit, Visit("", "")).outcome != "done":
                while call(case, visit) == "continue":
                    pass
        outcome = conclude({"case_id": case.case_id})["outcome"]
        if outcome != "again":
            return outcome
    return pytest.fail("the stores are asked again and again")


TEACHER = {
    "a.people": [{"n": 0, "id": "1", "email": "ada@example.com", "proven_at": None}],
    # Found by reference, in a later wave than the tickets that they settle.
    "b.entries": [{"n": 1, "entry": "7", "owner": "1", "email": "x", "phone": "555 1", "at": LONG_AGO}],
    "c.tickets": [
        {"n": 2, "ticket": "70", "email": "ada@example.com", "phone": "(555)-1", "at": LONG_AGO},
        {"n": 3, "ticket": "71", "email": "ada@example.com", "phone": "999", "at": LONG_AGO},
    ],
    "c.replies": [{"n": 4, "ticket": "70"}, {"n": 5, "ticket": "71"}],
}


def test_what_a_later_store_tells_settles_the_doubt_of_an_earlier_one(here: World, plan: Plan) -> None:
    """And it comes to an end, though the teller is asked again too."""
    case = here.case(State.GATHERING, requester=replace(ADA, claims={}))
    with mock.patch("dsr.store_worker.open_store", return_value=Shelves(TEACHER, _endless([1]), Fate())):
        assert run_through(case, here, plan) == "needs_attention"
    staging = here.staging(case)
    assert [r["values"]["n"] for r in staged(staging, plan, "c.tickets")] == [2]
    assert [r["values"]["n"] for r in staged(staging, plan, "c.replies")] == [4]
    assert [r["values"]["n"] for r in staged(staging, plan, "c.tickets", "doubtful")] == [3]
    [point] = here.book.get(case.case_id).attention
    assert (point.reason, point.about) == ("unverified_match", "c.tickets")


def test_killed_while_visits_are_put_back_it_still_finds_all(here: World, plan: Plan) -> None:
    shelves = mock.patch("dsr.store_worker.open_store", return_value=Shelves(TEACHER, _endless([1]), Fate()))
    for number in range(2, 42, 7):
        case = here.case(State.GATHERING, requester=replace(ADA, claims={}))
        with shelves:
            for visit in plan.visits:
                call(case, visit)
            killer = mock.patch("botocore.client.BaseClient._make_api_call", _deadly([number]))
            with killer, contextlib.suppress(Killed):
                assert conclude({"case_id": case.case_id})["outcome"] == "again"
            assert run_through(case, here, plan) == "needs_attention"
        staging = here.staging(case)
        assert [r["values"]["n"] for r in staged(staging, plan, "c.replies")] == [4], number
        assert [r["values"]["n"] for r in staged(staging, plan, "b.entries")] == [1], number
        assert {p.reason for p in here.book.get(case.case_id).attention} == {"unverified_match"}, number


def test_lines_of_a_part_that_vanished_are_an_error_and_not_an_empty_collection(plan: Plan) -> None:
    staging = Memory(Fate())
    with mock.patch.object(gathering, "_PLACE_BYTES", 0):
        gather(plan, a_case(plan), visits_of(plan)[0], staging, Shelves(MANY, _endless([9]), Fate()))
    [part] = [n for n in staging.held if n.startswith("staged/")]
    assert len(list(from_lines(staging.held[part]))) == 1
    del staging.held[part]
    with pytest.raises(RuntimeError, match="vanished"):
        held(plan, staging)
