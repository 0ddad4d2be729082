"""What the command line asks of live stores besides: what there is at all.

Under the credentials of whoever asks, since the roles of the workers reach only what the map names.
Never part of a function.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Store

_PREFIXES = 1000  # of a bucket; more are not told one by one anyway


@dataclass(frozen=True)
class Holdings:
    """What a store holds: the names of its tables, prefixes or pools."""

    names: tuple[str, ...]
    noun: str


def own(store: Store) -> Store:
    """The store as the caller's own credentials see it."""
    return replace(store, role="")


def look(store: Store) -> Holdings:
    """What the store holds, seen with the caller's own credentials.

    Raises ClientError, and what the database raises.
    """
    return _KINDS[store.kind](own(store))


def as_collection(store: Store, name: str) -> Collection | None:
    """A table that the map does not name, so that it can be sampled; None where its form is not known."""
    if store.kind not in ("dynamodb", "sql"):
        return None
    return Collection(store.name, name, name, (), (), {}, options={"table": name})


def _dynamodb(store: Store) -> Holdings:
    pages = client_as(store.access, "dynamodb").get_paginator("list_tables").paginate()
    return Holdings(tuple(name for page in pages for name in page["TableNames"]), "table")


def _s3(store: Store) -> Holdings:
    client = client_as(store.access, "s3")
    bucket = store.connection["bucket"]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/")
    prefixes = islice((p["Prefix"] for page in pages for p in page.get("CommonPrefixes", ())), _PREFIXES)
    return Holdings(tuple(prefixes), "prefix")


def _cognito(store: Store) -> Holdings:
    return Holdings((store.connection["user_pool"],), "pool")


def _sql(store: Store) -> Holdings:
    if "data_api" in store.connection:
        return Holdings((), "table")  # through that nobody can ask what there is
    from sqlalchemy import inspect

    from dsr.stores.sql.connecting import Connector

    engine, _ = Connector(store, replica=True).engine()  # where copies are read, if the map says so
    return Holdings(tuple(_tables(inspect(engine))), "table")


def _tables(seen: Any) -> Iterator[str]:
    default = seen.default_schema_name
    for schema in seen.get_schema_names():
        if schema != "information_schema" and not schema.startswith(("pg_", "mysql", "performance_", "sys")):
            for table in seen.get_table_names(schema):
                yield table if schema == default else f"{schema}.{table}"


_KINDS: dict[str, Callable[[Store], Holdings]] = {
    "dynamodb": _dynamodb,
    "s3": _s3,
    "lake": _s3,
    "cognito": _cognito,
    "sql": _sql,
}
