"""One harness per kind of store: the same questions, asked of each kind's own tables, buckets and pools."""

import csv
import gzip
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import boto3
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from dsr.aws import Access, client_as
from dsr.datamap.plan import Collection, Field, Identity, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.records import to_line
from dsr.stores.base import Record, Store
from dsr.stores.cognito import CognitoStore
from dsr.stores.dynamodb import DynamoDBStore
from dsr.stores.lake.store import LakeStore
from dsr.stores.s3 import S3Store
from dsr.stores.sql import SQLStore
from tests.stores import data_api, mariadb
from tests.tables import table

REGION = "us-east-1"
ME, NEIGHBOUR = "m-1", "m-11"  # one id begins like the other: no prefix may match


class Harness:
    """What the contract tests need of a kind of store."""

    store: Store
    collection: Collection
    way: Way
    named: str  # the field that tells records apart

    def add(self, owner: str, count: int) -> list[str]:
        """Put `count` records of `owner`; returns what `name` gives for each."""
        raise NotImplementedError

    def beside(self) -> list[str]:
        """The names of the records of somebody else that `add` put besides."""
        return []

    def name(self, record: Record) -> str:
        """What tells records apart."""
        return str(record.values[self.named])

    def values(self, *owners: str) -> list[Any]:
        """What to look for to find the records of `owners`."""
        return list(owners)

    def break_collection(self) -> None:
        """Take the table, bucket or pool away."""
        raise NotImplementedError


def plan(kind: str, **connection: str) -> StorePlan:
    return StorePlan(
        "shop", kind, "arn:aws:iam::123456789012:role/shop", {"region": REGION, **connection}, "dsr"
    )


def collection(name: str, key: str | tuple[str, ...], way: Way, **options: Any) -> Collection:
    keys = (key,) if isinstance(key, str) else key
    fields = {field: Field("user.unique_id", "p") for field in (way.field, *keys)}
    return Collection("shop", name, name.title(), keys, (way,), fields, options=options)


def _remove(bucket: str) -> None:
    client = boto3.client("s3", region_name=REGION)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=found["Key"])
    client.delete_bucket(Bucket=bucket)


class DynamoDBHarness(Harness):
    """A table read by its partition key."""

    named = "item"

    def __init__(self) -> None:
        self.way = Way("owner", parent="a.b.c")
        self.collection = collection("items", ("owner", "item"), self.way, table="items")
        self.store = DynamoDBStore(plan("dynamodb"))
        self._client = table("items", "owner", "item")

    def add(self, owner: str, count: int) -> list[str]:
        names = [f"{owner}/{n:05d}" for n in range(count)]
        for start in range(0, count, 25):
            puts = [
                {"PutRequest": {"Item": {"owner": {"S": owner}, "item": {"S": n}, "text": {"S": "x" * 2000}}}}
                for n in names[start : start + 25]
            ]
            self._client.batch_write_item(RequestItems={"items": puts})
        return names

    def break_collection(self) -> None:
        self._client.delete_table(TableName="items")


class DynamoDBIndexHarness(DynamoDBHarness):
    """A table read by a global index."""

    def __init__(self) -> None:
        self.way = Way("owner", Identity("email", "lower", verified=True))
        self.collection = collection("items", "item", self.way, table="items", indexes={"owner": "by-owner"})
        self.store = DynamoDBStore(plan("dynamodb"))
        self._client = table("items", "item", indexes={"by-owner": ("owner",)})


class S3Harness(Harness):
    """A bucket read by prefix."""

    named = "object_key"

    def __init__(self) -> None:
        self.way = Way("owner", parent="a.b.c")
        self.collection = collection(
            "files", "object_key", self.way, key_template="u/{owner}/", match="prefix"
        )
        self.store = S3Store(plan("s3", bucket="files"))
        self._client = boto3.client("s3", region_name=REGION)
        self._client.create_bucket(Bucket="files")

    def add(self, owner: str, count: int) -> list[str]:
        names = [f"u/{owner}/{n:05d}" for n in range(count)]
        for name in names:
            self._client.put_object(Bucket="files", Key=name, Body=name.encode())
        return names

    def break_collection(self) -> None:
        _remove("files")


class CognitoHarness(Harness):
    """A user pool read by address, which finds one user per value."""

    named = "email"

    def __init__(self) -> None:
        self.way = Way("email", Identity("email", verified=True))
        self.collection = collection("users", "sub", self.way)
        self._client = boto3.client("cognito-idp", region_name=REGION)
        self._pool = self._client.create_user_pool(PoolName="shop")["UserPool"]["Id"]
        self.store = CognitoStore(plan("cognito", user_pool=self._pool))
        self._added: dict[str, list[str]] = {}

    def add(self, owner: str, count: int) -> list[str]:
        names = [f"{n}.{owner}@example.com" for n in range(count)]
        for name in names:
            self._client.admin_create_user(
                UserPoolId=self._pool, Username=name, UserAttributes=[{"Name": "email", "Value": name}]
            )
        self._added[owner] = names
        return names

    def values(self, *owners: str) -> list[Any]:
        return [name for owner in owners for name in self._added.get(owner, [f"none.{owner}@example.com"])]

    def break_collection(self) -> None:
        self._client.delete_user_pool(UserPoolId=self._pool)


class LakeHarness(Harness):
    """Files by day, each with records of several people, in one format of a lake."""

    named = "id"

    def __init__(self, form: str, *, gzipped: bool = False) -> None:
        self.way = Way("owner", parent="a.b.c")
        self.collection = collection(
            "log", "id", self.way, prefix="t/log/", format=form,
            partition={"layout": "dt=%Y-%m-%d", "field": "at"},
        )  # fmt: skip
        self.store = LakeStore(plan("lake", bucket="lake"))
        self._form, self._gzipped = form, gzipped
        self._client = boto3.client("s3", region_name=REGION)
        self._client.create_bucket(Bucket="lake")
        self._files = 0
        self._beside: list[str] = []

    def beside(self) -> list[str]:
        """See `Harness`."""
        return self._beside

    def add(self, owner: str, count: int) -> list[str]:
        """A file for each ten of them, with as many of somebody else's."""
        names = [f"{owner}/{n:05d}" for n in range(count)]
        for start in range(0, count, 10):
            rows = [
                {"id": name, "owner": who, "at": f"2026-05-{start % 28 + 1:02d}T10:00:00Z", "text": "é" * 9}
                for n in names[start : start + 10]
                for name, who in ((n, owner), (f"other {self._files} {n}", "m-2"))
            ]
            self._beside += [str(row["id"]) for row in rows[1::2]]
            self.put(f"t/log/dt=2026-05-{start % 28 + 1:02d}/part-{self._files:04d}", rows)
            self._files += 1
        return names

    def put(self, key: str, rows: list[dict[str, Any]], **arguments: Any) -> None:
        """A file of these records."""
        self._client.put_object(Bucket="lake", Key=key, Body=self.written(rows), **arguments)

    def written(self, rows: list[dict[str, Any]]) -> bytes:
        """The file that holds these records."""
        buffer = io.BytesIO()
        if self._form == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=4)
            return buffer.getvalue()
        if self._form == "jsonl":
            content = b"".join(to_line(row) for row in rows)
        else:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
            content = text.getvalue().encode()
        return gzip.compress(content) if self._gzipped else content

    def break_collection(self) -> None:
        _remove("lake")


class SQLHarness(Harness):
    """A PostgreSQL table read by an indexed column; the key is a uuid, so pages go by another order."""

    named = "id"

    def __init__(self, uri: str) -> None:
        self.way = Way("owner", Identity("email", "lower", verified=True))
        self.collection = collection("rows", "id", self.way, table="rows")
        self.store = SQLStore(plan("sql", secret="shop/db"))
        self._uri = uri
        info = psycopg.conninfo.conninfo_to_dict(uri)
        secret = {
            "engine": "postgres",
            "host": info.get("host", "127.0.0.1"),
            "port": info.get("port", 5432),
            "dbname": info["dbname"],
            "username": info["user"],
            "password": info.get("password", ""),
        }
        boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name="shop/db", SecretString=json.dumps(secret)
        )
        self.execute("DROP TABLE IF EXISTS rows")
        self.execute(
            "CREATE TABLE rows (id uuid PRIMARY KEY, owner text, at timestamptz, amount numeric(20, 10))"
        )
        self.execute("CREATE INDEX rows_owner ON rows (lower(owner))")

    def execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            connection.execute(statement, values or None)  # type: ignore[arg-type]

    def add(self, owner: str, count: int) -> list[str]:
        names = [str(uuid.uuid4()) for _ in range(count)]
        statement = "COPY rows (id, owner, at, amount) FROM STDIN"
        with psycopg.connect(self._uri) as connection, connection.cursor().copy(statement) as copy:
            for name in names:
                copy.write_row((name, owner.title(), "2026-03-29 02:30:00+01", "1234567890.0123456789"))
        return names

    def break_collection(self) -> None:
        self.execute("DROP TABLE rows")


class DataAPIHarness(SQLHarness):
    """The same table, read through the RDS Data API: a stand-in of it, on the real PostgreSQL."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.api = data_api.DataAPI(uri)
        self.store = SQLStore(
            plan("sql", data_api=data_api.CLUSTER, secret=data_api.SECRET, database="postgres")
        )
        self._patch = mock.patch("dsr.stores.sql.connecting.client_as", self._client)
        self._patch.start()

    def _client(self, access: Access, service: str) -> Any:
        return self.api if service == "rds-data" else client_as(access, service)

    def close(self) -> None:
        """Give AWS back."""
        self._patch.stop()


class MariaDBHarness(Harness):
    """A MariaDB table read by an indexed column whose collation folds capitals."""

    named = "id"

    def __init__(self, server: mariadb.Server) -> None:
        self.way = Way("owner", Identity("email", "lower", verified=True))
        self.collection = collection("rows", "id", self.way, table="rows")
        self.store = SQLStore(plan("sql", secret="shop/db"))
        self.server = server
        secret = {"engine": "mariadb", "host": mariadb.HOST, "port": server.port, "dbname": mariadb.DATABASE}
        secret |= {"username": mariadb.USER, "password": mariadb.PASSWORD}
        boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name="shop/db", SecretString=json.dumps(secret)
        )
        for name in ("hanging", "rows"):
            self.execute(f"DROP TABLE IF EXISTS `{name}`")
        self.execute(
            "CREATE TABLE `rows` (id char(36) COLLATE ascii_bin PRIMARY KEY, owner varchar(200),"
            " at timestamp(6) NULL, amount decimal(20, 10), KEY by_owner (owner))"
        )

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Execute one statement."""
        return self.server.execute(statement, *values)

    def add(self, owner: str, count: int) -> list[str]:
        names = [str(uuid.uuid4()) for _ in range(count)]
        rows = [(n, owner.title(), "2026-03-29 01:30:00.5", "1234567890.0123456789") for n in names]
        self.server.execute("INSERT INTO `rows` VALUES (%s, %s, %s, %s)", many=rows)
        return names

    def break_collection(self) -> None:
        self.execute("DROP TABLE `rows`")


@contextmanager
def dispose(harness: Harness) -> Iterator[Harness]:
    """The harness, and its connections closed afterwards."""
    yield harness
    if isinstance(harness.store, SQLStore):
        harness.store.close()
    if isinstance(harness, DataAPIHarness):
        harness.close()
