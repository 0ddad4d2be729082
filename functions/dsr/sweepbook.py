"""Where sweeps are kept: in the table of cases, beside them, since it is recoverable and outlives the stack.

Partition `sweeps`: part `<sweep>` says when, by whom and how it was planned; part `<sweep>#<collection>`
what was to be done there and what was. Partition `sweep-rules`: per collection what earlier sweeps left
to know. One partition for all sweeps, so that the last ones can be listed; none of it is personal.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from dsr.aws import client
from dsr.items import from_item, to_item
from dsr.retention import Known, Sweep

_SWEEPS, _RULES = "sweeps", "sweep-rules"


@dataclass(frozen=True)
class Header:
    """A sweep as it was planned. `as_of`: the time that retention is judged by; `execution`: who runs it."""

    sweep: str
    mode: str
    planned_at: datetime
    as_of: datetime
    map_version: str
    execution: str
    concluded_at: str = ""  # when the workflow was through with it


class Sweepbook:
    """Reads and writes sweeps. `table` is the table of cases."""

    def __init__(self, table: str) -> None:
        self._table = table

    def begin(self, header: Header) -> bool:
        """Store a new sweep; False if there is one of that name."""
        return self._put(_of_header(header), "attribute_not_exists(part)")

    def take_over(self, header: Header, before: Header) -> bool:
        """Go on with a sweep whose execution is lost; False if somebody else already does."""
        return self._put(_of_header(header), "#e = :e", {"#e": "execution"}, {":e": before.execution})

    def header(self, sweep: str) -> Header | None:
        """The sweep of that name, read consistently."""
        item = self._get(_SWEEPS, sweep)
        return _to_header(item) if item else None

    def latest(self, count: int) -> list[Header]:
        """The last sweeps, the newest first."""
        found: list[Header] = []
        for item in self._query(_SWEEPS, "", forward=False):
            if "#" not in item["part"]:
                found.append(_to_header(item))
            if len(found) == count:
                break
        return found

    def collections(self, sweep: str) -> list[Sweep]:
        """Every collection of a sweep."""
        return [_to_sweep(item) for item in self._query(_SWEEPS, f"{sweep}#")]

    def add(self, sweep: Sweep) -> bool:
        """Store what is to be done with a collection; False if that was planned before."""
        return self._put(_of_sweep(sweep), "attribute_not_exists(part)")

    def get(self, sweep: str, collection: str) -> Sweep | None:
        """One collection of a sweep, read consistently."""
        item = self._get(_SWEEPS, f"{sweep}#{collection}")
        return _to_sweep(item) if item else None

    def note(self, sweep: Sweep) -> None:
        """Store how far a collection is; the last writer wins, since it has one worker at a time."""
        self._put(_of_sweep(sweep))

    def known(self, collection: str) -> Known:
        """What earlier sweeps of the collection left to know."""
        item = self._get(_RULES, collection)
        return Known(**{name: item[name] for name in asdict(Known())}) if item else Known()

    def keep(self, collection: str, known: Known) -> None:
        """Store it for the sweeps to come."""
        self._put({"case_id": _RULES, "part": collection, **asdict(known)})

    def _get(self, partition: str, part: str) -> dict[str, Any]:
        key = to_item({"case_id": partition, "part": part})
        answer = client("dynamodb").get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return from_item(answer.get("Item", {}))

    def _put(
        self,
        item: dict[str, Any],
        condition: str = "",
        names: dict[str, str] | None = None,
        values: dict[str, Any] | None = None,
    ) -> bool:
        dynamodb = client("dynamodb")
        given: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        given |= {"ExpressionAttributeNames": names} if names else {}
        given |= {"ExpressionAttributeValues": to_item(values)} if values else {}
        try:
            dynamodb.put_item(TableName=self._table, Item=to_item(item), **given)
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _query(self, partition: str, prefix: str, forward: bool = True) -> Iterator[dict[str, Any]]:
        begins = " AND begins_with(part, :p)" if prefix else ""
        values = {":c": partition} | ({":p": prefix} if prefix else {})
        pages = (
            client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self._table,
                KeyConditionExpression=f"case_id = :c{begins}",
                ExpressionAttributeValues=to_item(values),
                ConsistentRead=True,
                ScanIndexForward=forward,
            )
        )
        for page in pages:
            for item in page["Items"]:
                yield from_item(item)


def _of_header(header: Header) -> dict[str, Any]:
    values = asdict(header)
    times = {name: values[name].isoformat() for name in ("planned_at", "as_of")}
    return {**values, **times, "case_id": _SWEEPS, "part": header.sweep}


def _to_header(item: dict[str, Any]) -> Header:
    del item["case_id"], item["part"]
    times = {name: datetime.fromisoformat(item[name]) for name in ("planned_at", "as_of")}
    return Header(**{**item, **times})


def _of_sweep(sweep: Sweep) -> dict[str, Any]:
    part = f"{sweep.sweep}#{sweep.collection}"
    cutoff = sweep.cutoff.isoformat()
    return {**asdict(sweep), "cutoff": cutoff, "case_id": _SWEEPS, "part": part}


def _to_sweep(item: dict[str, Any]) -> Sweep:
    del item["case_id"], item["part"]
    return Sweep(**{**item, "cutoff": datetime.fromisoformat(item["cutoff"])})
