"""Where holds are kept: in the table of cases, one partition for all of them, and a guard for each target.

    holds / hold#<id>              the hold, kept also when it is over
    hold#<scope>#<target> / guard  the ids of those that are active on it
    hold#persons / guard           of those on people the keyed hashes, each with the id of its hold

Who erases asks for the guards, by key and in one transaction: an answer as of one instant, at a price
that does not grow with the holds. Hold and guard are written together, or neither.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

from dsr.aws import client
from dsr.errors import Conflict, NotFound
from dsr.holds import Hold, Scope
from dsr.items import from_item, to_item

_ALL = "holds"
_PERSONS = "hold#persons"


class Holdbook:
    """Reads and writes holds. `table` is the table of cases."""

    def __init__(self, table: str) -> None:
        self._table = table

    def place(self, hold: Hold) -> None:
        """Store a new hold: from here on no batch begins that it stops. One that is under way ends first."""
        self._write(_to_values(hold), "attribute_not_exists(part)", "ADD", hold)

    def lift(self, hold_id: str, by: str, at: datetime) -> Hold:
        """End a hold; returns it as it then stands. Raises NotFound, or Conflict if it is over already."""
        hold = self.get(hold_id)
        lifted = replace(hold, lifted_by=by, lifted_at=at)
        if not hold.active:
            raise Conflict(f"hold {hold_id} is over")
        self._write(_to_values(lifted), "attribute_not_exists(lifted_at)", "DELETE", hold)
        return lifted

    def _of_persons(self, verb: str, hold: Hold) -> list[Any]:
        """What a sweep asks, who knows records and no targets: written with the rest, or not at all."""
        if hold.scope is not Scope.PERSON:
            return []
        update = {
            "TableName": self._table,
            "Key": _key(_PERSONS, "guard"),
            "UpdateExpression": f"{verb} #active :id",
            "ExpressionAttributeNames": {"#active": "active"},
            "ExpressionAttributeValues": to_item({":id": _of_person(hold)}),
        }
        return [{"Update": update}]

    def get(self, hold_id: str) -> Hold:
        """The hold. Raises NotFound."""
        answer = client("dynamodb").get_item(
            TableName=self._table, Key=_key(_ALL, f"hold#{hold_id}"), ConsistentRead=True
        )
        if "Item" not in answer:
            raise NotFound(f"no hold {hold_id}")
        return _to_hold(from_item(answer["Item"]))

    def all(self) -> Iterator[Hold]:
        """Every hold there is or was, to the last page."""
        pages = (
            client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self._table,
                KeyConditionExpression="case_id = :all AND begins_with(part, :hold)",
                ExpressionAttributeValues=to_item({":all": _ALL, ":hold": "hold#"}),
                ConsistentRead=True,
            )
        )
        for page in pages:
            for item in page["Items"]:
                yield _to_hold(from_item(item))

    def stops(self, targets: Iterable[tuple[Scope, str]]) -> str:
        """The id of a hold that is active on one of `targets`, or "": all of them at one instant."""
        gets: list[Any] = [
            {"Get": {"TableName": self._table, "Key": _key(_guard(scope, target), "guard")}}
            for scope, target in targets
        ]
        answer = client("dynamodb").transact_get_items(TransactItems=gets)
        for found in answer["Responses"]:
            if ids := from_item(found.get("Item", {})).get("active"):
                return str(min(ids))
        return ""

    def persons(self) -> frozenset[str]:
        """The keyed hashes of everybody who is held now: one look, by key."""
        answer = client("dynamodb").get_item(
            TableName=self._table, Key=_key(_PERSONS, "guard"), ConsistentRead=True
        )
        held = from_item(answer.get("Item", {})).get("active", ())
        return frozenset(entry.partition("|")[2] for entry in held)

    def _write(self, values: dict[str, Any], condition: str, verb: str, hold: Hold) -> None:
        dynamodb = client("dynamodb")
        try:
            dynamodb.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": to_item(values),
                            "ConditionExpression": condition,
                        }
                    },
                    {
                        "Update": {
                            "TableName": self._table,
                            "Key": _key(_guard(hold.scope, hold.target), "guard"),
                            "UpdateExpression": f"{verb} #active :id",
                            "ExpressionAttributeNames": {"#active": "active"},
                            "ExpressionAttributeValues": to_item({":id": {hold.hold_id}}),
                        }
                    },
                    *self._of_persons(verb, hold),
                ]
            )
        except dynamodb.exceptions.TransactionCanceledException as error:
            reasons = error.response.get("CancellationReasons", [])
            if any(
                reason.get("Code") in ("ConditionalCheckFailed", "TransactionConflict") for reason in reasons
            ):
                raise Conflict(f"hold {hold.hold_id} was changed by somebody else") from None
            raise


def _of_person(hold: Hold) -> set[str]:
    return {f"{hold.hold_id}|{told}" for told in (hold.target, *hold.also)}


def _guard(scope: Scope, target: str) -> str:
    return f"hold#{scope.value}#{target}"


def _key(case_id: str, part: str) -> dict[str, Any]:
    return to_item({"case_id": case_id, "part": part})


def _to_values(hold: Hold) -> dict[str, Any]:
    values = asdict(hold) | {"case_id": _ALL, "part": f"hold#{hold.hold_id}", "from_case": hold.case_id}
    for name in ("placed_at", "lifted_at", "review", "until"):
        values[name] = values[name] and values[name].isoformat()
    return values | {"scope": hold.scope.value, "also": list(hold.also)}


def _to_hold(values: dict[str, Any]) -> Hold:
    values.pop("part")
    values["case_id"] = values.pop("from_case")
    for name in ("placed_at", "lifted_at"):
        values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
    for name in ("review", "until"):
        values[name] = date.fromisoformat(values[name]) if values.get(name) else None
    return Hold(**{**values, "scope": Scope(values["scope"]), "also": tuple(values.get("also", ()))})
