"""DynamoDB: by partition key or by a declared index, page by page; never a Scan."""

from collections.abc import Iterator, Sequence
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.items import from_item
from dsr.stores.base import Cursor, Page, Record, beyond, each_value

_FAULTS = {
    "ResourceNotFoundException": "missing_collection",
    "AccessDeniedException": "missing_permission",
    "AccessDenied": "missing_permission",
}


class DynamoDBStore:
    """Tables of one store. Reads strongly consistent by key; an index is eventually consistent (AWS)."""

    def __init__(self, store: StorePlan) -> None:
        self._store = store
        self._schemas: dict[str, dict[str, Any]] = {}

    def find(self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor) -> Iterator[Page]:
        """See `base.Store.find`."""
        query = self._query(collection, way)
        for index, value, start in each_value(values, after):
            query["ExpressionAttributeValues"] = {":v": TypeSerializer().serialize(value)}
            while True:
                answer = self._call(
                    collection, "query", **query, **({"ExclusiveStartKey": start} if start else {})
                )
                start = answer.get("LastEvaluatedKey")
                records = [Record(from_item(item)) for item in answer["Items"]]
                yield Page(records, beyond(values, index, start))
                if not start:
                    break

    def _query(self, collection: Collection, way: Way) -> dict[str, Any]:
        """The fixed part of the query by `way.field`. Raises StoreFault where no key or index serves it."""
        table = collection.options["table"]
        schema = self._schema(collection)
        query = {
            "TableName": table,
            "KeyConditionExpression": "#f = :v",
            "ExpressionAttributeNames": {"#f": way.field},
        }
        if _hash_key(schema["KeySchema"]) == way.field:
            return query | {"ConsistentRead": True}
        name = collection.options.get("indexes", {}).get(way.field)
        if not name:
            raise StoreFault("missing_index", f"{collection.path}.{way.field}: no index declared in the map")
        index = next((i for i in schema.get("GlobalSecondaryIndexes", ()) if i["IndexName"] == name), None)
        if index is None or _hash_key(index["KeySchema"]) != way.field:
            raise StoreFault("missing_index", f"{table}: index {name} on {way.field}")
        if index["Projection"]["ProjectionType"] != "ALL":
            raise StoreFault("missing_index", f"{table}: index {name} must project all attributes")
        return query | {"IndexName": name}

    def _schema(self, collection: Collection) -> dict[str, Any]:
        table = collection.options["table"]
        if table not in self._schemas:
            self._schemas[table] = self._call(collection, "describe_table", TableName=table)["Table"]
        return self._schemas[table]

    def _call(self, collection: Collection, verb: str, **arguments: Any) -> dict[str, Any]:
        try:
            dynamodb = client_as(self._store.access, "dynamodb")
            return getattr(dynamodb, verb)(**arguments)  # type: ignore[no-any-return]
        except ClientError as error:
            code = _FAULTS.get(error.response["Error"]["Code"])
            if code:
                raise StoreFault(code, f"{collection.path}: {error.operation_name}") from None
            raise


def _hash_key(schema: list[dict[str, str]]) -> str:
    return next(k["AttributeName"] for k in schema if k["KeyType"] == "HASH")
