"""What the command line asks of live stores besides: what there is at all, and some records of it.

Under the credentials of whoever asks, since the roles of the workers reach only what the map names.
Never part of a function.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from dsr.aws import client_as
from dsr.datamap.plan import Store
from dsr.items import from_item

_PREFIXES = 1000  # of a bucket; more are not told one by one anyway


@dataclass(frozen=True)
class Holdings:
    """What a store holds. `names`: its tables, prefixes or pools; `sample`: some records of one of them."""

    names: tuple[str, ...]
    sample: Callable[[str, int], list[dict[str, Any]]]
    noun: str


def look(store: Store) -> Holdings | None:
    """What the store holds, seen with the caller's own credentials; None for a kind that cannot be looked at.

    Raises ClientError, and what the database raises.
    """
    seen = _KINDS.get(store.kind)
    if seen is None or "data_api" in store.connection:  # through that nobody can ask what there is
        return None
    return seen(replace(store, role=""))


def _dynamodb(store: Store) -> Holdings:
    client = client_as(store.access, "dynamodb")
    pages = client.get_paginator("list_tables").paginate()

    def sample(name: str, count: int) -> list[dict[str, Any]]:
        return [from_item(item) for item in client.scan(TableName=name, Limit=count)["Items"]]

    return Holdings(tuple(n for page in pages for n in page["TableNames"]), sample, "table")


def _s3(store: Store) -> Holdings:
    client = client_as(store.access, "s3")
    bucket = store.connection["bucket"]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/")
    prefixes = islice((p["Prefix"] for page in pages for p in page.get("CommonPrefixes", ())), _PREFIXES)
    return Holdings(tuple(prefixes), lambda _name, _count: [], "prefix")


def _cognito(store: Store) -> Holdings:
    client = client_as(store.access, "cognito-idp")
    pool = store.connection["user_pool"]

    def sample(_name: str, count: int) -> list[dict[str, Any]]:
        users = client.list_users(UserPoolId=pool, Limit=min(count, 60))["Users"]
        return [{a["Name"]: a["Value"] for a in user.get("Attributes", ())} for user in users]

    return Holdings((pool,), sample, "pool")


def _sql(store: Store) -> Holdings:
    from sqlalchemy import MetaData, Table, inspect, select

    from dsr.stores.sql.connecting import Connector

    engine, _ = Connector(store, replica=True).engine()  # where copies are read, if the map says so
    seen = inspect(engine)
    default = seen.default_schema_name

    def names() -> Iterator[str]:
        for schema in seen.get_schema_names():
            if schema != "information_schema" and not schema.startswith(
                ("pg_", "mysql", "performance_", "sys")
            ):
                for table in seen.get_table_names(schema):
                    yield table if schema == default else f"{schema}.{table}"

    def sample(name: str, count: int) -> list[dict[str, Any]]:
        schema, _, plain = name.rpartition(".")
        table = Table(plain, MetaData(), schema=schema or None, autoload_with=engine, resolve_fks=False)
        with engine.connect() as connection:
            rows = connection.execute(select(table).limit(count)).mappings()
            # A table without rows tells its columns all the same.
            return [dict(row) for row in rows] or [dict.fromkeys(table.columns.keys())]

    return Holdings(tuple(names()), sample, "table")


_KINDS: dict[str, Callable[[Store], Holdings]] = {
    "dynamodb": _dynamodb,
    "s3": _s3,
    "lake": _s3,
    "cognito": _cognito,
    "sql": _sql,
}
