"""DynamoDB: by partition key or by a declared index, page by page; never a Scan."""

import time
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.items import attribute, from_item, to_item
from dsr.stores.base import REDACTED, Cursor, Expired, Page, Record, beyond, each_value, expiring, sort_out

_BATCH = 25  # BatchWriteItem (AWS)
_DAYS = 100  # without a record in them, walked in one call
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between tries of what DynamoDB left unprocessed

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

    # BatchWriteItem takes 25 items a call (AWS); a multiple, so that every call is full.
    erase_at_once = 1000

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """See `base.Store.find`."""
        query = self._query(collection, way)
        if not whole:
            _project(query, collection.locating)
        for index, value, start in each_value(values, after):
            query["ExpressionAttributeValues"] = {":v": attribute(value)}
            while True:
                answer = self._call(
                    collection, "query", **query, **({"ExclusiveStartKey": start} if start else {})
                )
                start = answer.get("LastEvaluatedKey")
                records = [Record(from_item(item)) for item in answer["Items"]]
                yield Page(records, beyond(values, index, start))
                if not start:
                    break

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: dict[str, str]) -> None:
        """See `base.Store.erase`."""
        if masks:
            for record in records:
                self._change(collection, record, "update_item", _mask(masks))
        elif collection.guards:
            for record in records:
                self._change(collection, record, "delete_item", {})
        else:
            for start in range(0, len(records), _BATCH):
                self._delete(collection, records[start : start + _BATCH])

    def expired(
        self, collection: Collection, before: datetime, after: Cursor, limit: int, since: str = ""
    ) -> Expired:
        """See `base.ExpiringStore.expired`. The cursor is [day, where in it]; one Query per day and page."""
        query = self._by_day(collection)
        first = max(since, collection.options["expiry"]["since"])
        text, start = after if after is not None else (first, None)
        last = before.date() - timedelta(days=1)
        for _ in range(_DAYS):
            if date.fromisoformat(text) > last:
                return Expired([], None, day=text)
            query["ExpressionAttributeValues"] = to_item({":v": text})
            begin = {"ExclusiveStartKey": start} if start else {}
            answer = self._call(collection, "query", **query, **begin, Limit=limit)
            read = [from_item(item) for item in answer["Items"]]
            day, start = text, answer.get("LastEvaluatedKey")
            if not start:
                text = (date.fromisoformat(text) + timedelta(days=1)).isoformat()
            if read:
                records, undated = sort_out(collection, read, before)
                end = not start and date.fromisoformat(text) > last
                return Expired(records, None if end else [text, start], undated, day)
        return Expired([], [text, start], day=text)

    def _by_day(self, collection: Collection) -> dict[str, Any]:
        """The fixed part of the query of one day. Raises StoreFault where the index does not serve it."""
        table, expiry = collection.options["table"], collection.options.get("expiry")
        if expiry is None:
            raise StoreFault("missing_index", f"{collection.path}: the map declares no `expiry`")
        schema = self._schema(collection)
        index = _index(schema, expiry["index"], expiry["bucket"])
        if index is None or index.get("IndexStatus", "ACTIVE") != "ACTIVE":
            raise StoreFault("missing_index", f"{table}: index {expiry['index']} on {expiry['bucket']}")
        if {k["AttributeName"] for k in schema["KeySchema"]} != set(collection.key):
            raise StoreFault("missing_field", f"{table}: the map's `key` is not the table's")
        projected = index["Projection"]
        held = {k["AttributeName"] for k in (*schema["KeySchema"], *index["KeySchema"])}
        held |= set(projected.get("NonKeyAttributes", ()))
        if projected["ProjectionType"] != "ALL" and not held >= set(expiring(collection)):
            name = collection.retention["from"]
            raise StoreFault("missing_index", f"{table}: index {expiry['index']} must project {name}")
        query = {
            "TableName": table,
            "IndexName": expiry["index"],
            "KeyConditionExpression": "#f = :v",
            "ExpressionAttributeNames": {"#f": expiry["bucket"]},
        }
        _project(query, expiring(collection))
        return query

    def _delete(self, collection: Collection, records: Sequence[dict[str, Any]]) -> None:
        table = collection.options["table"]
        left = [{"DeleteRequest": {"Key": _key(collection, record)}} for record in records]
        for wait in _WAITS:
            answer = self._call(collection, "batch_write_item", RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table, [])
            if not left:
                return
            time.sleep(wait)
        raise TimeoutError(f"{collection.path}: DynamoDB kept {len(left)} deletions unprocessed")

    def _change(
        self, collection: Collection, record: dict[str, Any], verb: str, change: dict[str, Any]
    ) -> None:
        """One conditional write: only if the record is there and still belongs to whom it did."""
        names = {f"#g{n}": guard for n, guard in enumerate(collection.guards)}
        values = {f":g{n}": record.get(guard) for n, guard in enumerate(collection.guards)}
        held = [
            f"#g{n} = :g{n}" if values[f":g{n}"] is not None else f"attribute_not_exists(#g{n})"
            for n in range(len(names))
        ]
        first = collection.key[0]
        try:
            self._call(
                collection,
                verb,
                TableName=collection.options["table"],
                Key=_key(collection, record),
                ConditionExpression=" AND ".join(["attribute_exists(#k)", *held]),
                ExpressionAttributeNames={"#k": first, **names, **change.get("names", {})},
                **_values_of({**values, **change.get("values", {})}),
                **change.get("expression", {}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def _query(self, collection: Collection, way: Way) -> dict[str, Any]:
        """The fixed part of the query by `way.field`. Raises StoreFault where no key or index serves it."""
        table = collection.options["table"]
        schema = self._schema(collection)
        if {k["AttributeName"] for k in schema["KeySchema"]} != set(collection.key):
            raise StoreFault("missing_field", f"{table}: the map's `key` is not the table's")
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
        index = _index(schema, name, way.field)
        if index is None:
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


def _key(collection: Collection, record: dict[str, Any]) -> dict[str, Any]:
    return to_item({name: record[name] for name in collection.key})


def _values_of(values: dict[str, Any]) -> dict[str, Any]:
    item = to_item(values)
    return {"ExpressionAttributeValues": item} if item else {}


def _mask(masks: dict[str, str]) -> dict[str, Any]:
    """The update that masks: `null` takes the attribute away, `redacted` leaves the constant."""
    names: dict[str, str] = {}
    sets, removes = [], []
    for n, (path, treatment) in enumerate(masks.items()):
        parts = path.split(".")
        names |= {f"#m{n}_{m}": part for m, part in enumerate(parts)}
        target = ".".join(f"#m{n}_{m}" for m in range(len(parts)))
        if treatment == "null":
            removes.append(target)
        else:
            sets.append(f"{target} = :redacted")
    update = ("SET " + ", ".join(sets) if sets else "") + (" REMOVE " + ", ".join(removes) if removes else "")
    values = {":redacted": REDACTED} if sets else {}
    return {"names": names, "values": values, "expression": {"UpdateExpression": update.strip()}}


def _project(query: dict[str, Any], fields: Sequence[str]) -> None:
    names: dict[str, str] = {}
    paths = []
    for path in fields:
        parts = []
        for part in path.split("."):
            name = next((n for n, held in names.items() if held == part), f"#p{len(names)}")
            names[name] = part
            parts.append(name)
        paths.append(".".join(parts))
    query["ProjectionExpression"] = ", ".join(paths)
    query["ExpressionAttributeNames"] = query["ExpressionAttributeNames"] | names


def _index(schema: dict[str, Any], name: str, field: str) -> dict[str, Any] | None:
    """The global index of that name, if `field` is its partition key."""
    indexes = schema.get("GlobalSecondaryIndexes", ())
    return next((i for i in indexes if i["IndexName"] == name and _hash_key(i["KeySchema"]) == field), None)


def _hash_key(schema: list[dict[str, str]]) -> str:
    return next(k["AttributeName"] for k in schema if k["KeyType"] == "HASH")
