"""DynamoDB beyond the contract: full calls, indexes that hold little, whole tables by leave, nested
values."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr import aws
from dsr.datamap.plan import Collection, Field, Identity, Way
from dsr.errors import StoreFault
from dsr.gathering import may_stay
from dsr.items import from_item, to_item
from dsr.records import to_line
from dsr.stores import dynamodb
from dsr.stores.dynamodb import DynamoDBStore
from tests.stores.harness import ME, REGION, collection, plan

pytestmark = pytest.mark.usefixtures("cloud")

OWNER = Way("owner", Identity("email", "lower", verified=True))


def table(name: str, *key: str, index: dict[str, Any] | None = None) -> None:
    """A table with this key, and an index on `owner` that projects as `index` says."""
    used = dict.fromkeys((*key, *(["owner"] if index else [])))
    by_owner = {"IndexName": "by-owner", "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}]}
    boto3.client("dynamodb", region_name=REGION).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": n, "KeyType": kind}
            for n, kind in zip(key, ("HASH", "RANGE")[: len(key)], strict=True)
        ],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in used],
        **({"GlobalSecondaryIndexes": [by_owner | {"Projection": index}]} if index else {}),
    )


def put(name: str, *items: dict[str, Any]) -> None:
    client = boto3.client("dynamodb", region_name=REGION)
    for start in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": to_item(item)}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={name: puts})


def held(name: str) -> list[dict[str, Any]]:
    pages = boto3.client("dynamodb", region_name=REGION).get_paginator("scan").paginate(TableName=name)
    return [from_item(item) for page in pages for item in page["Items"]]


def found(
    store: DynamoDBStore, where: Collection, values: list[Any], *, whole: bool = True
) -> list[dict[str, Any]]:
    """What is found, through JSON as it is staged where it is not whole."""
    pages = store.find(where, where.ways[0], values, None, whole)
    records = [record.values for page in pages for record in page.records]
    return records if whole else [json.loads(to_line(record)) for record in records]


@contextmanager
def counted(store: DynamoDBStore) -> Iterator[Counter[str]]:
    """The calls that the store makes meanwhile, by operation."""
    calls: Counter[str] = Counter()

    def note(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    events = aws.client_as(store._store.access, "dynamodb").meta.events
    events.register("before-call.dynamodb", note)
    yield calls
    events.unregister("before-call.dynamodb", note)


# -- full calls ----------------------------------------------------------------------------------


def test_records_that_are_named_by_their_key_are_read_a_hundred_a_call() -> None:
    table("profiles", "owner")
    put("profiles", *({"owner": f"m-{n}", "name": f"n{n}"} for n in range(250)))
    where, store = collection("profiles", "owner", OWNER, table="profiles"), DynamoDBStore(plan("dynamodb"))
    asked = [f"m-{n}" for n in range(0, 500, 2)]  # half of them are not there
    with counted(store) as calls:
        pages = list(store.find(where, OWNER, asked, None))
    names = [record.values["name"] for page in pages for record in page.records]
    assert sorted(names) == sorted(f"n{n}" for n in range(0, 250, 2))
    assert calls == {"DescribeTable": 1, "BatchGetItem": 3}
    rest = list(store.find(where, OWNER, asked, json.loads(json.dumps(pages[0].after))))
    assert [len(page.records) for page in rest] == [len(page.records) for page in pages[1:]]


def test_what_may_go_only_on_a_condition_goes_a_hundred_a_call() -> None:
    table("orders", "order", index={"ProjectionType": "ALL"})
    put("orders", *({"order": f"o-{n}", "owner": ME} for n in range(250)))
    where = collection("orders", "order", OWNER, table="orders", indexes={"owner": "by-owner"})
    store = DynamoDBStore(plan("dynamodb"))
    records = found(store, where, [ME], whole=False)
    # Two have changed hands since, one is gone, and one is named twice.
    put("orders", {"order": "o-7", "owner": "m-2"}, {"order": "o-180", "owner": "m-2"})
    boto3.client("dynamodb", region_name=REGION).delete_item(
        TableName="orders", Key=to_item({"order": "o-9"})
    )
    with counted(store) as calls:
        store.erase(where, [*records, records[0]], {})
    assert {record["order"] for record in held("orders")} == {"o-7", "o-180"}
    assert calls["TransactWriteItems"] == 3 + 2  # 250 by 100, and those with a refused one again


def test_what_dynamodb_leaves_undone_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto throttles nobody: here the answers are cut to what half a table could take."""
    monkeypatch.setattr(dynamodb, "_WAITS", (0.0,) * 8)
    table("items", "owner", "item")
    put("items", *({"owner": ME, "item": f"{n}"} for n in range(60)))
    where = collection("items", ("owner", "item"), Way("owner", parent="a.b.c"), table="items")
    store = DynamoDBStore(plan("dynamodb"))
    client = aws.client_as(store._store.access, "dynamodb")
    write = client.batch_write_item

    def half(RequestItems: dict[str, list[Any]]) -> dict[str, Any]:  # noqa: N803  as boto3 calls it
        [(name, asked)] = RequestItems.items()
        done = asked[: (len(asked) + 1) // 2]
        write(RequestItems={name: done})
        return {"UnprocessedItems": {name: asked[len(done) :]} if asked[len(done) :] else {}}

    with mock.patch.object(client, "batch_write_item", half):
        store.erase(where, found(store, where, [ME], whole=False), {})
    assert held("items") == []

    nothing = mock.Mock(side_effect=lambda **asked: {"UnprocessedItems": asked["RequestItems"]})
    with mock.patch.object(client, "batch_write_item", nothing), pytest.raises(TimeoutError, match="1 items"):
        store.erase(where, [{"owner": ME, "item": "1"}], {})


def test_a_transaction_that_meets_another_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is too large for one call (4 MB) is made by halves. moto knows neither."""
    monkeypatch.setattr(dynamodb, "_WAITS", (0.0,) * 8)
    table("orders", "order", index={"ProjectionType": "ALL"})
    put("orders", *({"order": f"o-{n}", "owner": ME} for n in range(30)))
    where = collection("orders", "order", OWNER, table="orders", indexes={"owner": "by-owner"})
    store = DynamoDBStore(plan("dynamodb"))
    client = aws.client_as(store._store.access, "dynamodb")
    transact, sizes = client.transact_write_items, []

    def busy(TransactItems: list[Any]) -> Any:  # noqa: N803
        sizes.append(len(TransactItems))
        if len(TransactItems) > 20:
            raise ClientError({"Error": {"Code": "ValidationException"}}, "TransactWriteItems")
        if len(sizes) == 2:
            reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * (len(TransactItems) - 1)]
            answer: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(answer, "TransactWriteItems")
        return transact(TransactItems=TransactItems)

    with mock.patch.object(client, "transact_write_items", busy):
        store.erase(where, found(store, where, [ME], whole=False), {})
    assert sizes == [30, 15, 15, 15]
    assert held("orders") == []


# -- indexes that hold little ----------------------------------------------------------------------


def test_an_index_of_keys_tells_where_to_look() -> None:
    table("orders", "order", index={"ProjectionType": "KEYS_ONLY"})
    put("orders", *({"order": f"o-{n}", "owner": ME, "text": "x"} for n in range(120)))
    put("orders", {"order": "o-x", "owner": "m-2", "text": "y"})
    where = collection("orders", "order", OWNER, table="orders", indexes={"owner": "by-owner"})
    store = DynamoDBStore(plan("dynamodb"))
    with counted(store) as calls:
        records = found(store, where, [ME])
    assert sorted(r["order"] for r in records) == sorted(f"o-{n}" for n in range(120))
    assert all(r["text"] == "x" for r in records)
    assert calls == {"DescribeTable": 1, "Query": 1, "BatchGetItem": 2}
    with counted(store) as calls:  # the index holds what erasing needs
        assert len(found(store, where, [ME], whole=False)) == 120
    assert calls == {"Query": 1}


def test_what_the_index_still_shows_and_the_table_no_more_is_not_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table("orders", "order", index={"ProjectionType": "KEYS_ONLY"})
    put("orders", {"order": "o-1", "owner": ME}, {"order": "o-2", "owner": ME})
    where = collection("orders", "order", OWNER, table="orders", indexes={"owner": "by-owner"})
    store = DynamoDBStore(plan("dynamodb"))
    get = store._get

    def late(*asked: Any) -> Any:
        """Between the two answers it changes hands: moto's index is never late by itself."""
        put("orders", {"order": "o-1", "owner": "m-2"})
        return get(*asked)

    monkeypatch.setattr(store, "_get", late)
    assert [r["order"] for r in found(store, where, [ME])] == ["o-2"]


# -- whole tables, by leave -------------------------------------------------------------------------


def scanned(*, leave: bool, field: str = "owner") -> tuple[DynamoDBStore, Collection]:
    options = {"scan": {"allowed": "it holds some hundred letters, and is closed"}} if leave else {}
    where = collection("letters", "letter", Way(field, parent="a.b.c"), table="letters", **options)
    return DynamoDBStore(plan("dynamodb")), where


def test_a_whole_table_is_read_only_by_leave() -> None:
    table("letters", "letter")
    put("letters", {"letter": "l-1", "owner": ME})
    store, where = scanned(leave=False)
    with counted(store) as calls, pytest.raises(StoreFault, match="missing_index"):
        found(store, where, [ME])
    assert "Scan" not in calls
    store, where = scanned(leave=True)
    assert [r["letter"] for r in found(store, where, [ME])] == ["l-1"]


def test_one_reading_of_the_table_serves_a_hundred_values_and_resumes_anywhere() -> None:
    table("letters", "letter")
    mine = [{"letter": f"l-{n:04}", "owner": f"m-{n}", "text": "x" * 4000} for n in range(600)]
    put("letters", *mine, *({"letter": f"z-{n}", "owner": "someone"} for n in range(5)))
    store, where = scanned(leave=True)
    asked = [f"m-{n}" for n in range(150)]
    with counted(store) as calls:
        pages = list(store.find(where, where.ways[0], asked, None))
    names = [[r.values["letter"] for r in page.records] for page in pages]
    assert sorted(chain(*names)) == [f"l-{n:04}" for n in range(150)]
    assert calls["Scan"] == len(pages) == 2 * 3  # 2.4 MB, a megabyte a page, twice
    for number, page in enumerate(pages[:-1]):
        after = json.loads(json.dumps(page.after))
        rest = [r.values["letter"] for p in store.find(where, where.ways[0], asked, after) for r in p.records]
        assert [*chain(*names[: number + 1]), *rest] == [*chain(*names)]


def test_a_nested_field_finds_where_the_table_may_be_read_and_guards_what_is_erased() -> None:
    table("letters", "letter")
    put("letters", *({"letter": n, "from": {"id": who}} for n, who in (("1", ME), ("2", ME), ("3", "m-2"))))
    store, where = scanned(leave=True, field="from.id")
    records = found(store, where, [ME], whole=False)
    assert sorted(r["letter"] for r in records) == ["1", "2"]
    put("letters", {"letter": "1", "from": {"id": "m-2"}})
    store.erase(where, records, {})
    assert sorted(r["letter"] for r in held("letters")) == ["1", "3"]


# -- nested values -----------------------------------------------------------------------------------

TEXTS = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=3)
CONTACT = st.fixed_dictionaries({}, optional={"phone": st.none() | TEXTS, "city": TEXTS})
SHAPES = st.fixed_dictionaries(
    {"note": st.none() | TEXTS},
    optional={
        "contact": CONTACT | st.none() | TEXTS,
        "contacts": st.lists(CONTACT, max_size=4),
        "phones": st.lists(TEXTS, max_size=3),
    },
)
MASKS = {"contact.phone": "null", "contacts.phone": "redacted", "phones": "null", "note": "redacted"}


def masked(item: dict[str, Any]) -> dict[str, Any]:
    """What an item must look like once its fields are masked: the same told by going through it."""

    def inner(value: Any, field: str, how: str) -> Any:
        if not isinstance(value, dict) or value.get(field) is None:
            return value
        kept = {name: held for name, held in value.items() if name != field}
        return kept if how == "null" else kept | {field: "[deleted]"}

    item = inner(inner(item, "phones", "null"), "note", "redacted")
    if "contact" in item:
        item = item | {"contact": inner(item["contact"], "phone", "null")}
    if "contacts" in item:
        item = item | {"contacts": [inner(c, "phone", "redacted") for c in item["contacts"]]}
    return item


@settings(max_examples=40)
@given(st.lists(SHAPES, min_size=1, max_size=5))
def test_masks_reach_through_maps_and_lists_and_touch_nothing_else(shapes: list[dict[str, Any]]) -> None:
    client = boto3.client("dynamodb", region_name=REGION)
    if "nested" in client.list_tables()["TableNames"]:
        client.delete_table(TableName="nested")
    table("nested", "owner", "item")
    items = [{"owner": ME, "item": str(n)} | shape for n, shape in enumerate(shapes)]
    put("nested", *items)
    where = collection("nested", ("owner", "item"), Way("owner", parent="a.b.c"), table="nested")
    fields = where.fields | {name: Field("user.contact", "p") for name in MASKS}
    where = replace(where, fields=fields, on_deletion={"mask": MASKS})
    store = DynamoDBStore(plan("dynamodb"))
    records = found(store, where, [ME], whole=False)
    for _ in range(2):  # done again it changes nothing
        store.erase(where, records, where.masks)
        assert held("nested") == [from_item(to_item(masked(item))) for item in items]
    assert all(may_stay(where, record) for record in found(store, where, [ME], whole=False))


def test_more_places_than_one_update_may_change_are_changed_by_several() -> None:
    table("nested", "owner", "item")
    put("nested", {"owner": ME, "item": "1", "contacts": [{"phone": str(n)} for n in range(120)]})
    where = collection("nested", ("owner", "item"), Way("owner", parent="a.b.c"), table="nested")
    where = replace(where, on_deletion={"mask": {"contacts.phone": "redacted"}})
    store = DynamoDBStore(plan("dynamodb"))
    store.erase(where, found(store, where, [ME], whole=False), where.masks)
    assert {c["phone"] for c in held("nested")[0]["contacts"]} == {"[deleted]"}
