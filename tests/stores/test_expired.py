"""What has expired is found exactly, by an index, in every kind of store that can tell; nothing else is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import boto3
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr.datamap.plan import Collection, Field, Way
from dsr.errors import StoreFault
from dsr.stores.base import Expired, ExpiringStore
from dsr.stores.dynamodb import DynamoDBStore
from dsr.stores.sql import SQLStore
from tests.stores.harness import REGION, SQLHarness, dispose, plan

BEFORE = datetime(2026, 5, 26, tzinfo=UTC)
SINCE = "2026-01-01"
SECOND = timedelta(seconds=1)


def dated(table: str, **options: Any) -> Collection:
    """A collection whose records are named by `id` and expire by `at`."""
    fields = {name: Field("user.behavior", "p") for name in ("id", "owner", "at", "day")}
    return Collection(
        "shop",
        table,
        table.title(),
        ("id",),
        (Way("owner", parent="a.b.c"),),
        fields,
        retention={"duration": "P180D", "from": "at"},
        options={"table": table, **options},
    )


class Harness(Protocol):
    """What the tests need of a kind of store."""

    store: ExpiringStore
    collection: Collection

    def put(self, name: str, at: datetime | str | None) -> None:
        """A record of that name and time, in place of what had the name."""
        ...

    def names(self) -> set[str]:
        """Every record that is there."""
        ...

    def empty(self) -> None:
        """Take every record out."""
        ...


class Items:
    """A DynamoDB table with an index that has a partition per day."""

    def __init__(self, projection: dict[str, Any] | None = None) -> None:
        expiry = {"index": "by-day", "bucket": "day", "since": SINCE}
        self.collection = dated("visits", expiry=expiry)
        self.store: ExpiringStore = DynamoDBStore(plan("dynamodb"))
        self.client = boto3.client("dynamodb", region_name=REGION)
        self.client.create_table(
            TableName="visits",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("id", "day")],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                    "Projection": projection or {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["at"]},  # type: ignore[typeddict-item]
                }
            ],
        )

    def put(self, name: str, at: datetime | str | None, day: str = "") -> None:
        item = {"id": name, "owner": "m-1"}
        if isinstance(at, datetime):
            item |= {"at": at.isoformat(), "day": f"{at.astimezone(UTC):%Y-%m-%d}"}
        elif at is not None:
            item |= {"at": at, "day": at[:10]}
        item |= {"day": day} if day else {}
        self.client.put_item(TableName="visits", Item={n: {"S": v} for n, v in item.items()})

    def names(self) -> set[str]:
        pages = self.client.get_paginator("scan").paginate(TableName="visits")
        return {item["id"]["S"] for page in pages for item in page["Items"]}

    def empty(self) -> None:
        for name in self.names():
            self.client.delete_item(TableName="visits", Key={"id": {"S": name}})


class Rows:
    """A table in a real PostgreSQL, dated by a column of the given type."""

    def __init__(self, uri: str, kind: str = "timestamptz") -> None:
        self._harness = SQLHarness(uri)  # makes the secret
        self.collection = dated("visits")
        self.store: ExpiringStore = SQLStore(plan("sql", secret="shop/db"))
        self._kind = kind
        self.execute("DROP TABLE IF EXISTS visits")
        self.execute(f'CREATE TABLE visits (id text COLLATE "C" PRIMARY KEY, owner text, at {kind})')
        self.execute("CREATE INDEX visits_at ON visits (at)")

    def execute(self, statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(self._harness._uri, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def put(self, name: str, at: datetime | str | None) -> None:
        if isinstance(at, datetime) and self._kind in ("text", "timestamp"):
            at = at.astimezone(UTC).isoformat()
            at = at.removesuffix("+00:00") if self._kind == "timestamp" else at
        statement = (
            "INSERT INTO visits VALUES (%s, 'm-1', %s) ON CONFLICT (id) DO UPDATE SET at = EXCLUDED.at"
        )
        self.execute(statement, name, at)

    def names(self) -> set[str]:
        return {row[0] for row in self.execute("SELECT id FROM visits")}

    def empty(self) -> None:
        self.execute("TRUNCATE visits")


@contextmanager
def made(kind: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The harness of a kind."""
    if kind == "dynamodb":
        yield Items()
        return
    harness = Rows(request.getfixturevalue("postgres"), kind)
    with dispose(harness):  # type: ignore[arg-type]
        yield harness


@pytest.fixture(params=["dynamodb", "timestamptz", "timestamp", "text"])
def store(request: pytest.FixtureRequest, cloud: None) -> Iterator[Any]:
    """One kind after the other; SQL with each way to hold a time."""
    with made(request.param, request) as harness:
        yield harness


@pytest.fixture(params=["dynamodb", "timestamptz"])
def kind(request: pytest.FixtureRequest, cloud: None) -> Iterator[Any]:
    """One kind after the other."""
    with made(request.param, request) as harness:
        yield harness


def walk(store: Harness, limit: int = 100, after: Any = None, before: datetime = BEFORE) -> list[Expired]:
    """Every page, each cursor put aside as JSON as another process would find it."""
    found = []
    while True:
        page = store.store.expired(store.collection, before, after, limit)
        assert len(page.records) <= limit
        found.append(page)
        if page.after is None:
            return found
        after = json.loads(json.dumps(page.after))


def ids(pages: list[Expired]) -> list[str]:
    return [record.values["id"] for page in pages for record in page.records]


def test_exactly_what_is_older_than_the_cutoff(store: Harness) -> None:
    expired = {
        "long ago": BEFORE - timedelta(days=100),
        "the day before": BEFORE - timedelta(hours=1),
        "a second before": BEFORE - SECOND,
    }
    held = {"at the cutoff": BEFORE, "a second after": BEFORE + SECOND, "later": BEFORE + timedelta(days=60)}
    for name, at in {**expired, **held}.items():
        store.put(name, at)
    store.put("undated", None)
    assert sorted(ids(walk(store))) == sorted(expired)


def test_only_the_key_and_the_time_are_read(store: Harness) -> None:
    store.put("a", BEFORE - SECOND)
    ((record,),) = [page.records for page in walk(store) if page.records]
    assert record.values.keys() == {"id", "at"}


def test_goes_on_after_every_page_without_loss_or_repetition(store: Harness) -> None:
    expected = [f"r{n:02d}" for n in range(23)]
    for n, name in enumerate(expected):
        store.put(name, BEFORE - timedelta(days=1 + n % 5))  # several at the very same moment
    pages = walk(store, limit=4)
    assert sorted(ids(pages)) == expected
    for number, page in enumerate(pages[:-1]):
        rest = walk(store, limit=4, after=json.loads(json.dumps(page.after)))
        assert sorted(ids(pages[: number + 1]) + ids(rest)) == expected


def test_nothing_has_expired_where_nothing_is_held(store: Harness) -> None:
    assert ids(walk(store)) == []


def test_what_was_found_is_erased_and_nothing_else(kind: Any) -> None:
    for n in range(30):
        kind.put(f"old {n}", BEFORE - timedelta(hours=1 + n))
        kind.put(f"new {n}", BEFORE + timedelta(hours=n))
    swept = replace(kind.collection, ways=(Way("at"),))
    for page in walk(kind, limit=7):
        kind.store.erase(swept, [r.values for r in page.records], {})
    assert kind.names() == {f"new {n}" for n in range(30)}


def test_a_record_that_was_used_again_meanwhile_stays(kind: Any) -> None:
    kind.put("again", BEFORE - SECOND)
    kind.put("gone", BEFORE - SECOND)
    records = [r.values for page in walk(kind) for r in page.records]
    kind.put("again", BEFORE + timedelta(days=180))
    kind.store.erase(replace(kind.collection, ways=(Way("at"),)), records, {})
    assert kind.names() == {"again"}


@given(
    days=st.lists(st.integers(-9, 9), max_size=12),
    limit=st.integers(1, 5),
    cut=st.integers(-9, 9),
)
@settings(max_examples=20)
def test_every_walk_finds_what_a_look_at_everything_finds(
    kind: Any, days: list[int], limit: int, cut: int
) -> None:
    kind.empty()
    before = BEFORE + timedelta(days=cut)
    times = {f"r{n}": BEFORE + timedelta(days=day, hours=n) for n, day in enumerate(days)}
    for name, at in times.items():
        kind.put(name, at)
    expired = sorted(name for name, at in times.items() if at < before)
    assert sorted(ids(walk(kind, limit, before=before))) == expired


# -- DynamoDB ------------------------------------------------------------------------------------


def test_a_day_that_the_site_counts_by_its_own_clock_is_judged_by_the_time(cloud: None) -> None:
    items = Items()
    items.put("not yet", BEFORE + timedelta(hours=3), day="2026-05-25")
    items.put("expired", BEFORE - timedelta(hours=3), day="2026-05-25")
    assert ids(walk(items)) == ["expired"]


def test_a_time_that_cannot_be_read_is_counted_and_not_taken_for_old(cloud: None) -> None:
    items = Items()
    items.put("broken", "2026-05-01 at noon")
    pages = walk(items)
    assert ids(pages) == []
    assert sum(page.undated for page in pages) == 1


def test_the_walk_goes_on_at_the_day_it_had_come_to(cloud: None) -> None:
    items = Items()
    for day in range(1, 5):
        items.put(f"r{day}", datetime(2026, 5, day, tzinfo=UTC))
    page = items.store.expired(items.collection, BEFORE, None, 100, since="2026-05-03")
    assert ids([page]) == ["r3"]
    assert page.day == "2026-05-03"


def test_empty_days_are_walked_within_bounds(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsr.stores.dynamodb._DAYS", 10)
    items = Items()
    items.put("old", BEFORE - SECOND)
    pages = walk(items)
    assert ids(pages) == ["old"]
    days = (BEFORE.date() - date.fromisoformat(SINCE)).days
    assert len(pages) == -(-days // 10)


@pytest.mark.parametrize(
    ("projection", "expiry"),
    [
        ({"ProjectionType": "KEYS_ONLY"}, {"index": "by-day", "bucket": "day", "since": SINCE}),
        (None, {"index": "by-month", "bucket": "day", "since": SINCE}),
        (None, {"index": "by-day", "bucket": "month", "since": SINCE}),
        (None, None),
    ],
)
def test_an_index_that_does_not_serve_is_a_fault(cloud: None, projection: Any, expiry: Any) -> None:
    items = Items(projection)
    options = {"table": "visits"} | ({"expiry": expiry} if expiry else {})
    items.collection = replace(items.collection, options=options)
    with pytest.raises(StoreFault) as fault:
        walk(items)
    assert fault.value.code == "missing_index"


def test_no_page_is_read_by_a_scan(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    items = Items()
    items.put("old", BEFORE - SECOND)
    called = set()
    call = DynamoDBStore._call

    def noting(self: DynamoDBStore, collection: Collection, verb: str, **arguments: Any) -> Any:
        called.add(verb)
        return call(self, collection, verb, **arguments)

    monkeypatch.setattr(DynamoDBStore, "_call", noting)
    walk(items)
    assert called == {"describe_table", "query"}


# -- SQL -----------------------------------------------------------------------------------------


def test_without_an_index_on_the_time_nothing_is_read(cloud: None, postgres: str) -> None:
    rows = Rows(postgres)
    with dispose(rows):  # type: ignore[arg-type]
        rows.execute("DROP INDEX visits_at")
        rows.execute("CREATE INDEX visits_owner_at ON visits (owner, at)")
        with pytest.raises(StoreFault) as fault:
            walk(rows)
    assert fault.value.code == "missing_index"


def test_a_number_is_no_time(cloud: None, postgres: str) -> None:
    rows = Rows(postgres, "bigint")
    with dispose(rows), pytest.raises(StoreFault) as fault:  # type: ignore[arg-type]
        walk(rows)
    assert fault.value.code == "unsupported"


def test_a_plain_date_expires_with_its_whole_day(cloud: None, postgres: str) -> None:
    rows = Rows(postgres, "date")
    with dispose(rows):  # type: ignore[arg-type]
        rows.put("the day before", "2026-05-25")
        rows.put("the day of the cutoff", "2026-05-26")
        assert ids(walk(rows)) == ["the day before"]


def test_text_with_a_zone_is_judged_by_the_moment(cloud: None, postgres: str) -> None:
    rows = Rows(postgres, "text")
    with dispose(rows):  # type: ignore[arg-type]
        rows.put("tokyo, expired", "2026-05-26T08:59:59+09:00")
        rows.put("tokyo, not yet", "2026-05-26T09:00:00+09:00")
        rows.put("new york, expired", "2026-05-25T19:59:59-04:00")
        rows.put("new york, not yet", "2026-05-25T20:00:00-04:00")
        rows.put("no date", "1999 or so")
        pages = walk(rows)
    assert sorted(ids(pages)) == ["new york, expired", "tokyo, expired"]
    assert sum(page.undated for page in pages) == 1


def test_a_time_that_python_cannot_hold_stops_nothing(cloud: None, postgres: str) -> None:
    rows = Rows(postgres)
    with dispose(rows):  # type: ignore[arg-type]
        rows.put("for ever", "infinity")
        rows.put("since ever", "-infinity")
        rows.put("old", BEFORE - SECOND)
        assert ids(walk(rows)) == ["old"]


def test_a_page_is_read_by_the_index(cloud: None, postgres: str) -> None:
    """However many are held: the plan of the very statement, as PostgreSQL makes it."""
    rows = Rows(postgres)
    with dispose(rows):  # type: ignore[arg-type]
        rows.execute(
            "INSERT INTO visits SELECT 'r' || n, 'm', timestamptz '2026-05-01' + n * interval '1 hour'"
            " FROM generate_series(1, 20000) AS n"
        )
        rows.execute("ANALYZE visits")
        page = rows.store.expired(rows.collection, BEFORE, None, 50)
        rows.store.expired(rows.collection, BEFORE, page.after, 50)
        first = "SELECT id, at FROM visits WHERE at >= '0001-01-01' AND at < '2026-05-26Z'"
        later = f"{first} AND at >= '2026-05-03Z' AND (at, id) > ('2026-05-03Z', 'r50')"
        for statement in (first, later):
            explained = "\n".join(
                row[0] for row in rows.execute(f"EXPLAIN {statement} ORDER BY at, id LIMIT 50")
            )
            assert "Index Scan using visits_at" in explained
            assert "Seq Scan" not in explained
