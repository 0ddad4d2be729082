"""The retention sweep: as many expired, in stores that hold more and more beside them.

Measured: the worker's own loop (find a page, erase it, note it) over a PostgreSQL table of 10⁴ to 10⁶ rows,
by the clock; and over a DynamoDB table (simulated in this process, so without network) by its calls. What
is held must not matter: the figure is that of the largest store against that of the smallest.
"""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any
from unittest import mock

import boto3
import moto

from benchmarks import machine
from benchmarks.figures import Figure, figure
from dsr import aws
from dsr.datamap.plan import Collection, Field, Store, Way
from dsr.retention import ON, Known, Sweep, plan_collection
from dsr.stores.base import ExpiringStore
from dsr.stores.dynamodb import DynamoDBStore
from dsr.stores.sql import SQLStore
from dsr.sweeping import run
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "sweep"
EXPIRED = 4000  # in every store
ROWS = (10_000, 100_000, 1_000_000)
ITEMS = (500, 5000)
FLAT = (
    1.5  # × the smallest store: the noise of a few hundred milliseconds, far below the growth of what is held
)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/shop"


def measure(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each the median of `rounds`."""
    return [*_sql(rounds, say), *_dynamodb(say)]


def _collection(*key: str, **options: Any) -> Collection:
    fields = {name: Field("user.behavior", "p") for name in ("id", "member", "at", "day")}
    rule = {"duration": "P180D", "from": "at"}
    ways = (Way("member", parent="a.b.c"),)
    return Collection("shop", "visits", "Visits", key, ways, fields, retention=rule, options=options)


def _sweep(collection: Collection, kind: str, store: ExpiringStore) -> Sweep:
    """One sweep to its end. Raises BenchmarkError unless it took exactly what has expired."""
    planned = plan_collection("bench", collection, kind, NOW, ON, 10**9, Known())
    erasing = Sweep(**{**vars(planned), "mode": ON})
    done = run(erasing, collection, store, lambda: False, lambda _: None, time.monotonic() + 3600)
    if (done.outcome, done.records) != ("done", EXPIRED):
        raise machine.BenchmarkError(f"of {EXPIRED} expired records: {done}")
    return done


# -- SQL -------------------------------------------------------------------------------------------

_TABLE = """
DROP TABLE IF EXISTS visits;
CREATE TABLE visits (id bigint PRIMARY KEY, member text NOT NULL, at timestamptz NOT NULL, device text);
INSERT INTO visits SELECT n, 'm-' || n % 5000, timestamptz '2026-06-01' + n % 150 * interval '1 day',
    md5(n::text) FROM generate_series(1, {held}) AS n;
CREATE INDEX ON visits (at);
CREATE INDEX ON visits (member, id);
"""
_EXPIRE = """
INSERT INTO visits SELECT -n, 'm-' || n % 5000, timestamptz '2026-05-01' - n * interval '1 minute',
    md5(n::text) FROM generate_series(1, {expired}) AS n
"""


class _Database(SQLStore):
    """A store whose login is known."""

    def __init__(self, server: postgres.Server) -> None:
        super().__init__(Store("shop", "sql", "", {"region": REGION, "secret": "none"}))
        self._server = server

    def _secret(self, _: Collection) -> dict[str, Any]:
        known = {"engine": "postgres", "host": postgres.HOST, "port": self._server.port, "dbname": "postgres"}
        return {**known, "username": postgres.OWNER, "password": self._server.password}


def _sql(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    shutil.rmtree(ROOT, ignore_errors=True)
    home = Home(ROOT / "home")
    server = postgres.start(home)
    collection, taken = _collection("id", table="visits"), dict[int, float]()
    try:
        for held in ROWS:
            with server.connect(autocommit=True) as connection:
                connection.execute(_TABLE.format(held=held).encode())
            store, walls = _Database(server), list[float]()
            for _ in range(rounds):
                with server.connect(autocommit=True) as connection:
                    connection.execute(_EXPIRE.format(expired=EXPIRED).encode())
                    connection.execute("VACUUM ANALYZE visits")
                began = time.perf_counter()
                _sweep(collection, "sql", store)
                walls.append(time.perf_counter() - began)
            taken[held] = 1000 * median(walls)
            say(f"{EXPIRED:,} expired beside {held:,} rows: {taken[held]:.0f} ms")
    finally:
        postgres.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    return _compared("sweep, SQL", taken, "rows", "ms")


# -- DynamoDB --------------------------------------------------------------------------------------


def _dynamodb(say: Callable[[str], None]) -> list[Figure]:
    # With the time in the key nothing can change it: then 25 go in one call.
    collection = _collection(
        "id", "at", table="visits", expiry={"index": "by-day", "bucket": "day", "since": "2026-04-01"}
    )
    taken = dict[int, float]()
    for held in ITEMS:
        environment = {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": REGION,
        }
        with mock.patch.dict("os.environ", environment), moto.mock_aws():
            aws.client.cache_clear()
            _fill(held)
            counted = _Counted(Store("shop", "dynamodb", ROLE, {"region": REGION}, "bench"))
            _sweep(collection, "dynamodb", counted)
        aws.client.cache_clear()
        taken[held] = counted.calls
        say(f"{EXPIRED:,} expired beside {held:,} items: {counted.calls} calls")
    return _compared("sweep, DynamoDB", taken, "items", "calls")


class _Counted(DynamoDBStore):
    """Counts the calls that are made."""

    calls = 0

    def _call(self, collection: Collection, verb: str, **arguments: Any) -> dict[str, Any]:
        self.calls += 1
        return super()._call(collection, verb, **arguments)


def _fill(held: int) -> None:
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    dynamodb.create_table(
        TableName="visits",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("id", "at", "day")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    times = [
        *(f"2026-05-{1 + n % 20:02d}" for n in range(EXPIRED)),
        *(f"2026-07-{1 + n % 30:02d}" for n in range(held)),
    ]
    items = [
        {"id": f"v{n}", "at": f"{day}T12:00:00Z", "day": day, "member": "m-1"} for n, day in enumerate(times)
    ]
    for start in range(0, len(items), 25):
        puts = [
            {"PutRequest": {"Item": {k: {"S": v} for k, v in i.items()}}} for i in items[start : start + 25]
        ]
        dynamodb.batch_write_item(RequestItems={"visits": puts})  # type: ignore[dict-item]


def _compared(name: str, taken: dict[int, float], held: str, unit: str) -> list[Figure]:
    smallest = min(taken)
    found = [figure(f"{name}, {EXPIRED:,} expired of {smallest:,} {held} held", taken[smallest], unit)]
    for _, size in pairwise(sorted(taken)):
        about = f"{name}, {EXPIRED:,} expired of {size:,} {held} held"
        found.append(figure(about, taken[size], unit, baseline=taken[smallest], budget=FLAT))
    return found
