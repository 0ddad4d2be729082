"""A hold on a person keeps their records from the sweep: asked before every batch, in doubt all stay."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import sweeping
from dsr.datamap.plan import Collection, Plan
from dsr.holdbook import Holdbook
from dsr.holds import Hold, Scope, new_hold_id
from dsr.masking import person
from dsr.retention import ON, Known, Sweep, learn
from dsr.spared import Owner, owners_of, reading, spare
from dsr.stores.base import Expired, Record, expiring
from dsr.subjects import subject_of
from tests.unit.world import CASES, RECEIVED, World, collection, compiled, opened, store

MEMBER, MAIL = "references: members.members.id", "identity: {is: email, verified: true}"
RULE = "retention: {duration: P1Y, from: at}"


def dated(name: str, fields: dict[str, str], **more: Any) -> str:
    made = collection(name, {**fields, "at": ""}, **more)
    return made.replace("retention: {until: account_deleted}", RULE)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("members", collection("members", {"id": "", "email": MAIL, "sub": "proves: sign_in"},
                                    "indexes: {email: by-email}", "account: id"),
              dated("visits", {"member": MEMBER, "n": ""}, key="member, n"),
              dated("marks", {"n": "", "member": MEMBER})),
        store("shop", dated("orders", {"id": "", "member": MEMBER, "email": MAIL}),
              dated("lines", {"id": "", "order": "references: shop.orders.id"}),
              kind="sql", connection="secret: s"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with opened(plan) as world:
        yield world


def test_whose_a_record_is_is_told_by_itself_or_not_at_all(plan: Plan) -> None:
    def fields(path: str) -> list[str]:
        return [owner.field for owner in owners_of(plan, plan.collections[path])]

    assert fields("shop.orders") == ["email", "member"]
    assert fields("members.visits") == ["member"], "the table's own key, which every index has"
    assert fields("members.marks") == [], "an index by day need not have it"
    assert fields("shop.lines") == [], "only its order tells"
    orders = plan.collections["shop.orders"]
    assert expiring(orders) == ("id", "at")
    assert expiring(reading(orders, owners_of(plan, orders))) == ("id", "at", "email", "member")


def held(target: str, also: tuple[str, ...] = ()) -> Hold:
    return Hold(
        new_hold_id(), Scope.PERSON, target, "legal_claim", True, "sub", RECEIVED,
        review=date(2030, 1, 1), also=also,
    )  # fmt: skip


def test_of_two_holds_on_a_person_the_last_one_lets_them_go(here: World) -> None:
    book = Holdbook(CASES)
    one, two = held("ada", ("mail",)), held("ada")
    collection_hold = replace(held("shop.orders"), scope=Scope.COLLECTION)
    for hold in (one, two, collection_hold):
        book.place(hold)
    assert book.persons() == {"ada", "mail"}
    assert book.get(one.hold_id).also == ("mail",)
    book.lift(one.hold_id, "clock", RECEIVED)
    assert book.persons() == {"ada"}
    book.lift(two.hold_id, "clock", RECEIVED)
    book.lift(collection_hold.hold_id, "clock", RECEIVED)
    assert book.persons() == frozenset()


class Shelf:
    """A store in memory; somebody is held at the page `held_at`."""

    erase_at_once = 3

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records, self.pages = {r["id"]: r for r in records}, 0

    def expired(
        self, collection: Collection, before: datetime, after: Any, limit: int, since: str = ""
    ) -> Expired:
        del before, since
        self.pages += 1
        left = sorted(id_ for id_ in self.records if id_ > (after or ""))
        read = expiring(collection)
        page = [Record({name: self.records[id_].get(name) for name in read}) for id_ in left[:limit]]
        return Expired(page, left[limit - 1] if len(left) > limit else None)

    def erase(self, _: Collection, records: Sequence[dict[str, Any]], __: object) -> None:
        for record in records:
            self.records.pop(record["id"], None)


PEOPLE = ("ada", "bob", "eve")


@given(
    whose=st.lists(st.tuples(st.sampled_from(["", *PEOPLE]), st.sampled_from(["", *PEOPLE])), max_size=12),
    stops=st.dictionaries(st.sampled_from(PEOPLE), st.integers(0, 5)),
)
def test_no_record_of_a_held_person_goes_and_all_others_do(
    here: World, plan: Plan, whose: list[tuple[str, str]], stops: dict[str, int]
) -> None:
    key = os.environ["MAC_KEY"]
    orders, mails = plan.collections["shop.orders"], {n: f"{n}@Example.com" for n in PEOPLE} | {"": ""}
    records = [
        {"id": f"{n:03}", "member": m, "email": mails[e], "at": "2020"} for n, (m, e) in enumerate(whose)
    ]
    shelf, owners = Shelf(records), owners_of(plan, orders)

    def persons() -> frozenset[str]:
        names = [n for n, page in stops.items() if shelf.pages > page]
        return frozenset({subject_of([n], "", key) for n in names}
                         | {subject_of([], f"{n}@example.com", key) for n in names})  # fmt: skip

    begun = Sweep("s", orders.path, "rule", ON, datetime(2026, 1, 1, tzinfo=UTC), 10**6)
    done = sweeping.run(
        begun, reading(orders, owners), shelf, lambda: False, lambda _: None, 1e9,  # type: ignore[arg-type]
        clock=lambda: 0, allowed=spare(owners, persons, person),
    )  # fmt: skip
    for n, (member, mail) in enumerate(whose):
        page = n // 3 + 1
        names = {member, mail} - {""}
        anybody = any(page > first for first in stops.values())
        stays = any(page > stops[name] for name in names & stops.keys()) or (anybody and not names)
        assert (f"{n:03}" in shelf.records) == stays
    assert (done.records, done.held) == (len(whose) - len(shelf.records), len(shelf.records))
    if done.held:
        assert learn(Known(), replace(done, rule="")) == Known(), "the next walk meets them again"


def test_an_account_is_told_by_its_own_id(plan: Plan) -> None:
    assert owners_of(plan, replace(plan.collections["shop.lines"], account="id")) == (Owner("id", True),)


def test_nobody_held_costs_no_hash(plan: Plan, tmp_path: Path) -> None:
    def fails(*_: object) -> str:
        raise AssertionError("no key is asked for")

    allowed = spare(owners_of(plan, plan.collections["shop.orders"]), frozenset, fails)
    assert allowed([Record({"id": "1", "member": "ada"})]) == [Record({"id": "1", "member": "ada"})]
