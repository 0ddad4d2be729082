"""DynamoDB: by key or by a declared index, in full calls; a Scan only where the map allows it."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from dsr.aws import client_as
from dsr.datamap.plan import Collection, Way
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.items import attribute, from_item, to_item
from dsr.records import as_text, at_path, each_at
from dsr.stores.base import Cursor, Expired, Page, Record, beyond, each_value, expiring, sort_out
from dsr.treatments import Masks, Treatment

# At most so many a call (AWS).
_WRITES = 25  # BatchWriteItem
_READS = 100  # BatchGetItem
_CHANGES = 100  # TransactWriteItems
_ONE_OF = 100  # operands of IN
_PLACES = 50  # masked by one update: an expression has at most 4 KB and 300 operators
_DAYS = 100  # without a record in them, walked in one call
# At most so many seconds between tries of what DynamoDB left undone; any time up to that, so that
# workers who were refused together do not come back together.
_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4)
# Why a part of a transaction may be refused: it is another's by now, or too much is asked at once.
_BUSY = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_EXPECTED = {"None", "ConditionalCheckFailed"} | _BUSY

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

    erase_at_once = 1000  # a multiple of what any call takes, so that every call is full

    def find(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, whole: bool = True
    ) -> Iterator[Page]:
        """See `base.Store.find`."""
        fields = () if whole else collection.locating
        schema = self._schema(collection)
        if {k["AttributeName"] for k in schema["KeySchema"]} != set(collection.key):
            raise StoreFault(
                "missing_field", f"{collection.options['table']}: the map's `key` is not the table's"
            )
        if collection.key == (way.field,):
            yield from self._by_key(collection, way, values, after, fields)
            return
        query = self._query(collection, way, fields)
        if query is None:
            yield from self._by_scan(collection, way, values, after, fields)
            return
        for index, value, start in each_value(values, after):
            asked = {**query.arguments, "ExpressionAttributeValues": {":v": attribute(value)}}
            while True:
                begin = {"ExclusiveStartKey": start} if start else {}
                answer = self._call(collection, "query", **asked, **begin)
                start, items = answer.get("LastEvaluatedKey"), answer["Items"]
                if query.keys_alone:
                    items = self._get(collection, items, fields)
                found = (from_item(item) for item in items)
                # An index is late: what the table says now may be another's.
                records = [Record(v) for v in found if not query.keys_alone or v.get(way.field) == value]
                yield Page(records, beyond(values, index, start))
                if not start:
                    break

    def listing(self, collection: Collection, fields: Sequence[str], after: Cursor) -> Iterator[Page]:
        """See `base.ListingStore.listing`. One Scan a page, of at most 1 MB."""
        query: dict[str, Any] = {"TableName": collection.options["table"]}
        _project(query, fields)
        while True:
            begin = {"ExclusiveStartKey": after} if after else {}
            answer = self._call(collection, "scan", **query, **begin)
            after = answer.get("LastEvaluatedKey")
            yield Page([Record(from_item(item)) for item in answer["Items"]], after)
            if not after:
                return

    def sample(self, collection: Collection, count: int) -> list[Record]:
        """See `base.Store.sample`."""
        answer = self._call(collection, "scan", TableName=collection.options["table"], Limit=count)
        return [Record(from_item(item)) for item in answer["Items"]]

    def _by_key(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, fields: Sequence[str]
    ) -> Iterator[Page]:
        """Records that each value names: a hundred a call, and no page within a value."""
        start = after[0] if after is not None else 0
        for index in range(start, len(values), _READS):
            keys = [{way.field: attribute(value)} for value in values[index : index + _READS]]
            records = [Record(from_item(item)) for item in self._get(collection, keys, fields)]
            last = min(index + _READS, len(values)) - 1
            yield Page(records, beyond(values, last, None))

    def _by_scan(
        self, collection: Collection, way: Way, values: Sequence[Any], after: Cursor, fields: Sequence[str]
    ) -> Iterator[Page]:
        """The whole table, read once for a hundred values. The cursor is [first of them, where in it]."""
        index, start = after if after is not None else (0, None)
        while index < len(values):
            wanted = values[index : index + _ONE_OF]
            operands = {f":v{n}": attribute(value) for n, value in enumerate(wanted)}
            field = {f"#f{n}": part for n, part in enumerate(way.field.split("."))}
            query = {
                "TableName": collection.options["table"],
                "FilterExpression": f"{'.'.join(field)} IN ({', '.join(operands)})",
                "ExpressionAttributeNames": field,
                "ExpressionAttributeValues": operands,
                "ConsistentRead": True,
            }
            _project(query, fields)
            answer = self._call(
                collection, "scan", **query, **({"ExclusiveStartKey": start} if start else {})
            )
            start = answer.get("LastEvaluatedKey")
            if not start:
                index += _ONE_OF
            records = [Record(from_item(item)) for item in answer["Items"]]
            yield Page(records, [index, start] if index < len(values) else None)

    def _get(
        self, collection: Collection, keys: Sequence[dict[str, Any]], fields: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The items of these keys, as far as there are any."""
        table = collection.options["table"]
        asked: dict[str, Any] = {"ConsistentRead": True}
        _project(asked, fields)
        for start in range(0, len(keys), _READS):
            left, waits = list(keys[start : start + _READS]), iter(_WAITS)
            while left:
                request = {table: asked | {"Keys": left}}
                answer = self._call(collection, "batch_get_item", RequestItems=request)
                yield from answer["Responses"].get(table, ())
                left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
                if left:  # throttled, or 16 MB are full
                    self._pause(waits, collection, len(left))

    def erase(self, collection: Collection, records: Sequence[dict[str, Any]], masks: Masks) -> None:
        """See `base.Store.erase`."""
        # The same record twice in one call is refused; an index shows one twice that moved while it was read.
        once = {_name_of(collection, record): record for record in records}.values()
        if masks:
            self._change(collection, [c for record in once for c in _masking(collection, record, masks)])
        elif collection.guards:
            self._change(collection, [_deleting(collection, record) for record in once])
        else:
            left = list(once)
            for start in range(0, len(left), _WRITES):
                self._delete(collection, left[start : start + _WRITES])

    def freeze(self, collection: Collection, records: Sequence[dict[str, Any]]) -> None:
        """See `base.FreezingStore.freeze`: what the map says is to be revoked is."""
        from dsr.stores.revoking import revoke  # few tables hold tokens

        for name, url in collection.revokes.items():
            for record in records:
                for token in each_at(record, name):
                    if token:
                        revoke(url, str(token), f"{collection.path}.{name}")

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
        if not _projects(schema, index, expiring(collection)):
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
        waits = iter(_WAITS)
        while left:
            answer = self._call(collection, "batch_write_item", RequestItems={table: left})
            left = answer.get("UnprocessedItems", {}).get(table, [])
            if left:
                self._pause(waits, collection, len(left))

    def _change(self, collection: Collection, waiting: "list[_Change]") -> None:
        """Conditional writes, a hundred a call: each only if the record still belongs to whom it did.

        A call is a transaction: one that is refused takes the others with it, and they are tried again
        without it. Two changes of one record go in two calls (AWS takes one of each).
        """
        while waiting:
            now: dict[tuple[str, ...], _Change] = {}
            later = []
            for change in waiting:
                if len(now) < _CHANGES and change.key not in now:
                    now[change.key] = change
                else:
                    later.append(change)
            self._transact(collection, list(now.values()))
            waiting = later

    def _transact(self, collection: Collection, changes: "list[_Change]") -> None:
        waits = iter(_WAITS)
        while changes:
            try:
                self._call(collection, "transact_write_items", TransactItems=[c.item for c in changes])
                return
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ValidationException" and len(changes) > 1:
                    # Together more than a transaction may hold (4 MB); or one of them is wrong by itself.
                    half = len(changes) // 2
                    self._transact(collection, changes[:half])
                    self._transact(collection, changes[half:])
                    return
                reasons = [reason["Code"] for reason in error.response.get("CancellationReasons", ())]
                if code != "TransactionCanceledException" or set(reasons) - _EXPECTED:
                    raise
            if "ConditionalCheckFailed" in reasons:
                left = zip(changes, reasons, strict=True)
                changes = [change for change, reason in left if reason != "ConditionalCheckFailed"]
            else:
                self._pause(waits, collection, len(changes))

    @staticmethod
    def _pause(waits: Iterator[float], collection: Collection, left: int) -> None:
        """Wait before the next try. Raises TimeoutError after the last of `waits`."""
        longest = next(waits, None)
        if longest is None:
            raise TimeoutError(f"{collection.path}: DynamoDB does not get through with {left} items")
        time.sleep(random.uniform(0, longest))  # noqa: S311  no secret: it spreads the tries

    def _query(self, collection: Collection, way: Way, fields: Sequence[str]) -> "_Query | None":
        """The query by `way.field`; None where the map allows to read the whole table instead.

        Raises StoreFault where no key or index serves it.
        """
        table, schema = collection.options["table"], self._schema(collection)
        query = {
            "TableName": table,
            "KeyConditionExpression": "#f = :v",
            "ExpressionAttributeNames": {"#f": way.field},
        }
        if _hash_key(schema["KeySchema"]) == way.field:
            _project(query, fields)
            return _Query(query | {"ConsistentRead": True})
        name = collection.options.get("indexes", {}).get(way.field)
        if not name:
            if collection.options.get("scan"):
                return None
            raise StoreFault("missing_index", f"{collection.path}.{way.field}: no index declared in the map")
        index = _index(schema, name, way.field)
        if index is None:
            raise StoreFault("missing_index", f"{table}: index {name} on {way.field}")
        # Where it holds less than what is asked, it only tells where to look.
        enough = _projects(schema, index, fields)
        _project(query, fields if enough else collection.key)
        return _Query(query | {"IndexName": name}, keys_alone=not enough)

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


@dataclass(frozen=True)
class _Query:
    """What finds by one field; `keys_alone`: the index holds too little, and the table is asked by key."""

    arguments: dict[str, Any]
    keys_alone: bool = False


@dataclass(frozen=True)
class _Change:
    """A part of a transaction, and the record that it changes."""

    key: tuple[str, ...]
    item: dict[str, Any]


def _key(collection: Collection, record: dict[str, Any]) -> dict[str, Any]:
    return to_item({name: record[name] for name in collection.key})


def _name_of(collection: Collection, record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(as_text(record[name]) for name in collection.key)


class _Paths:
    """Names and values of an expression, each under a sign of its own."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def path(self, steps: Sequence[str | int]) -> str:
        """`steps` in the expression: names of attributes, and places in lists."""
        return "".join(f"[{s}]" if isinstance(s, int) else f".{self._name(s)}" for s in steps)[1:]

    def value(self, value: Any) -> str:
        """`value` in the expression."""
        sign = f":v{len(self.values)}"
        self.values[sign] = value
        return sign

    def _name(self, name: str) -> str:
        return self.names.setdefault(name, f"#n{len(self.names)}")

    def arguments(self, condition: Sequence[str]) -> dict[str, Any]:
        """What goes beside the expressions, the condition included."""
        values = to_item(self.values)
        return {
            "ConditionExpression": " AND ".join(condition),
            "ExpressionAttributeNames": {sign: name for name, sign in self.names.items()},
            **({"ExpressionAttributeValues": values} if values else {}),
        }


def _still_theirs(collection: Collection, record: dict[str, Any], paths: _Paths) -> list[str]:
    """The conditions that the record is there, and belongs to whom it did."""
    held = [f"attribute_exists({paths.path([collection.key[0]])})"]
    for guard in collection.guards:
        place, value = paths.path(guard.split(".")), at_path(record, guard)
        if value is None:
            held.append(f"attribute_not_exists({place})")
        else:
            held.append(f"{place} = {paths.value(value)}")
    return held


def _deleting(collection: Collection, record: dict[str, Any]) -> _Change:
    paths = _Paths()
    conditions = _still_theirs(collection, record, paths)
    about = {"TableName": collection.options["table"], "Key": _key(collection, record)}
    return _Change(_name_of(collection, record), {"Delete": about | paths.arguments(conditions)})


def _masking(collection: Collection, record: dict[str, Any], masks: Masks) -> Iterator[_Change]:
    """The updates that mask what is not masked yet: `null` takes an attribute away, all else leaves a value.
    One update, unless lists hold more than one may change."""
    places = [
        place
        for field, treatment in masks.items()
        for place in _places(f"{collection.path}.{field}", record, field.split("."), treatment)
    ]
    for start in range(0, len(places), _PLACES):
        paths = _Paths()
        conditions = _still_theirs(collection, record, paths)
        sets, removes = [], []
        for steps, left in places[start : start + _PLACES]:
            place = paths.path(steps)
            if len(steps) > 1:
                conditions.append(f"attribute_exists({place})")
            if left is None:
                removes.append(place)
            else:
                sets.append(f"{place} = {paths.value(left)}")
        parts = [f"SET {', '.join(sets)}"] if sets else []
        parts += [f"REMOVE {', '.join(removes)}"] if removes else []
        about = {"TableName": collection.options["table"], "Key": _key(collection, record)}
        update = about | {"UpdateExpression": " ".join(parts)} | paths.arguments(conditions)
        yield _Change(_name_of(collection, record), {"Update": update})


def _places(
    about: str, value: Any, steps: Sequence[str], treatment: Treatment
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Where in a record `steps` leads to a value that is not masked yet, through lists on the way: and what
    it becomes."""
    if isinstance(value, list) and steps:
        for number, inner in enumerate(value):
            for rest, left in _places(about, inner, steps, treatment):
                yield (number, *rest), left
    elif not steps:
        if not treatment.is_done(value):
            try:
                yield (), treatment.apply(value)
            except ValueError as error:
                raise StoreFault("malformed_data", f"{about}: {error}") from None
    elif isinstance(value, dict) and steps[0] in value:
        for rest, left in _places(about, value[steps[0]], steps[1:], treatment):
            yield (steps[0], *rest), left


def _project(query: dict[str, Any], fields: Sequence[str]) -> None:
    """Ask for these fields alone; for all where there are none.

    Of `a.b` for the whole of `a`: a path leads to nothing where a list is on the way.
    """
    names = {f"#p{n}": head for n, head in enumerate(dict.fromkeys(f.partition(".")[0] for f in fields))}
    if names:
        query["ProjectionExpression"] = ", ".join(names)
        query["ExpressionAttributeNames"] = query.get("ExpressionAttributeNames", {}) | names


def _projects(schema: dict[str, Any], index: dict[str, Any], fields: Sequence[str]) -> bool:
    """Whether the index holds these fields; of no fields: all that there are."""
    projected = index["Projection"]
    if projected["ProjectionType"] == "ALL":
        return True
    held = {k["AttributeName"] for k in (*schema["KeySchema"], *index["KeySchema"])}
    held |= set(projected.get("NonKeyAttributes", ()))
    return bool(fields) and held >= {field.partition(".")[0] for field in fields}


def _index(schema: dict[str, Any], name: str, field: str) -> dict[str, Any] | None:
    """The global index of that name, if `field` is its partition key."""
    indexes = schema.get("GlobalSecondaryIndexes", ())
    return next((i for i in indexes if i["IndexName"] == name and _hash_key(i["KeySchema"]) == field), None)


def _hash_key(schema: list[dict[str, str]]) -> str:
    return next(k["AttributeName"] for k in schema if k["KeyType"] == "HASH")
