"""DynamoDB in the data map: tables, the indexes that find, the index that expires."""

from datetime import date
from typing import Any, Literal

from pydantic import Field as Described

from dsr.datamap.kinds.base import ALL_MASKS, Kind, Statement, allow, needs_field
from dsr.datamap.parts import FieldName, MapCollection, Name, OwnedStore, RegionConnection, Strict
from dsr.datamap.plan import Collection, Store
from dsr.datamap.source import Problems


class Expiry(Strict):
    """DynamoDB: an index with a partition per day finds what has expired without reading the rest."""

    index: str = Described(description="the global index; it projects at least the key and `retention.from`")
    bucket: FieldName = Described(
        description="its partition key: the UTC day of `retention.from`, YYYY-MM-DD, written with the record"
    )
    since: date = Described(description="the first day that any record can carry")


class Scan(Strict):
    """DynamoDB: leave to read the whole table, for a field that neither the key nor an index finds by."""

    allowed: str = Described(
        min_length=10, description="why that may be: how large the table is, and is going to be"
    )


class DynamoDBCollection(MapCollection):
    """A table."""

    table: str = Described(description="dynamodb: the table's name")
    indexes: dict[FieldName, str] = Described(
        default_factory=dict, description="dynamodb: field → index that finds by it"
    )
    scan: Scan | None = Described(
        None, description="dynamodb: whether the whole table may be read, and why; it never is otherwise"
    )
    expiry: Expiry | None = Described(
        None, description="dynamodb: how the retention sweep finds what has expired"
    )


class DynamoDBStore(OwnedStore):
    """The tables of one owner in one region."""

    kind: Literal["dynamodb"]
    connection: RegionConnection
    collections: dict[Name, DynamoDBCollection] = Described(min_length=1)


def _check(collection: DynamoDBCollection, problems: Problems) -> None:
    for name in collection.indexes:
        needs_field(collection, problems, ("indexes", name), name)
    if collection.scan:
        leading = [name for name, field in collection.fields.items() if field.references or field.identity]
        if all(name == collection.key[0] or name in collection.indexes for name in leading):
            problems.add(
                ("scan",), "is not needed: the key and `indexes` find by every field that leads here"
            )
    if collection.expiry:
        needs_field(collection, problems, ("expiry", "bucket"), collection.expiry.bucket)
        if not collection.retention.from_ or "." in collection.retention.from_:
            problems.add(("expiry",), "is for a collection whose `retention` counts from a field of its own")


def _statements(store: Store, collections: list[Collection]) -> list[Statement]:
    region = store.connection["region"]
    base = f"arn:${{AWS::Partition}}:dynamodb:{region}:${{AWS::AccountId}}:table/"
    tables = [{"Fn::Sub": base + c.options["table"]} for c in collections]
    indexes = [{"Fn::Sub": f"{base}{c.options['table']}/index/{i}"} for c in collections for i in _indexes(c)]
    # What is kept goes as well, when its time is over.
    deleted = [t for t, c in zip(tables, collections, strict=True) if c.expires or not c.masks]
    masked = [t for t, c in zip(tables, collections, strict=True) if c.masks or c.restrict]
    granted: list[tuple[list[str], list[Any]]] = [
        (["dynamodb:DescribeTable"], tables),
        (["dynamodb:Query"], tables + indexes),
        (["dynamodb:BatchGetItem"], tables),
        (["dynamodb:Scan"], [t for t, c in zip(tables, collections, strict=True) if c.options.get("scan")]),
        # BatchWriteItem is checked as such, a transaction by what it does to each item.
        (["dynamodb:BatchWriteItem", "dynamodb:DeleteItem"], deleted),
        (["dynamodb:UpdateItem"], masked),
    ]
    return [allow(actions, resources) for actions, resources in granted if resources]


def _indexes(collection: Collection) -> list[str]:
    expiry = [collection.options["expiry"]["index"]] if collection.expires else []
    return list(dict.fromkeys([*collection.options.get("indexes", {}).values(), *expiry]))


KIND = Kind(
    DynamoDBStore,
    masks=ALL_MASKS,
    revokes=True,
    restricts=True,
    check=_check,
    workers=("store-dynamodb",),
    statements=_statements,
)
