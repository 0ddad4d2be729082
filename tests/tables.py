"""DynamoDB tables for tests, in a line each."""

from collections.abc import Mapping
from typing import Any

import boto3

from tests.conftest import REGION


def table(name: str, *key: str, indexes: Mapping[str, tuple[str, ...]] = {}) -> Any:
    """Make a table; `key` and each index: the field of the hash, then of the range if there is one.

    All keys are strings; an index holds all fields. Returns the client.
    """
    fields = {*key, *(field for way in indexes.values() for field in way)}
    client = boto3.client("dynamodb", region_name=REGION)
    more: dict[str, Any] = {}
    if indexes:
        more["GlobalSecondaryIndexes"] = [
            {"IndexName": index, "KeySchema": _schema(way), "Projection": {"ProjectionType": "ALL"}}
            for index, way in indexes.items()
        ]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=_schema(key),
        AttributeDefinitions=[{"AttributeName": field, "AttributeType": "S"} for field in sorted(fields)],
        **more,
    )
    return client


def _schema(key: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"AttributeName": field, "KeyType": kind} for field, kind in zip(key, ("HASH", "RANGE"), strict=False)
    ]
