"""The list of cases by deadline, page by page, from the index of open cases.

Only what the list shows is read: neither the sealed content of a case nor its key is touched here.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr.aws import client
from dsr.case import ENDED, Attention, State, read_case_id
from dsr.items import from_item, to_item

PAGE = 50  # cases
_SHOWN = ("case_id", "right", "state", "due_at", "attention", "risk", "tasks", "dry_run")

# What the list can be narrowed to, beside each state by itself.
WORKING = frozenset(State) - ENDED
GROUPS: dict[str, frozenset[State]] = {
    "person": frozenset({State.NEEDS_ATTENTION, State.AWAITING_APPROVAL}),
    "open": WORKING,
    "ended": ENDED,
}


@dataclass(frozen=True)
class Row:
    """A case as the list shows it."""

    case_id: str
    right: str
    state: State
    due_at: datetime
    attention: tuple[Attention, ...]
    risk: tuple[str, ...]
    tasks: tuple[str, ...] = ()  # visits that an agent makes by hand
    dry_run: bool = False


def states_of(show: str) -> frozenset[State]:
    """The states that a choice of the list means; those of all open cases for a word that is none."""
    if show in GROUPS:
        return GROUPS[show]
    return frozenset({State(show)}) if show in set(State) else WORKING


def page(table: str, show: str, after: str) -> tuple[list[Row], str]:
    """The next cases of the choice `show`, earliest deadline first, after the place `after` ("": the top).

    Returns them and the place of the last one, if more may follow. The index may lag a moment.
    """
    states = sorted(state.value for state in states_of(show))
    names = {f":s{number}": state for number, state in enumerate(states)}
    wanted = f"#state IN ({', '.join(names)})"
    if show == "person":  # also what must be looked at though the case may go on, or has ended
        wanted += " OR size(#attention) > :none OR size(#tasks) > :none"
        names[":none"] = 0  # type: ignore[assignment]
    call: dict[str, Any] = {
        "TableName": table,
        "IndexName": "open-cases",
        "KeyConditionExpression": "#open = :yes",
        "FilterExpression": wanted,
        "ProjectionExpression": ", ".join(f"#{name}" for name in _SHOWN),
        "ExpressionAttributeNames": {"#open": "open"} | {f"#{name}": name for name in _SHOWN},
        "ExpressionAttributeValues": to_item({":yes": "yes", **names}),
    }
    call |= {"ExclusiveStartKey": start} if (start := _start(after)) else {}
    rows: list[Row] = []
    while True:
        answer = client("dynamodb").query(**call)
        rows += [_row(from_item(item)) for item in answer["Items"]]
        if len(rows) > PAGE or "LastEvaluatedKey" not in answer:
            break
        call["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    shown = rows[:PAGE]
    return shown, f"{shown[-1].due_at.isoformat()}~{shown[-1].case_id}" if len(rows) > PAGE else ""


def _row(item: dict[str, Any]) -> Row:
    return Row(
        item["case_id"],
        item["right"],
        State(item["state"]),
        datetime.fromisoformat(item["due_at"]),
        tuple(Attention(**point) for point in item["attention"]),
        tuple(item["risk"]),
        tuple(item.get("tasks", ())),
        item.get("dry_run", False),
    )


_PLACE = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+\+00:00)~([0-9A-Z-]{19})")


def _start(after: str) -> dict[str, Any] | None:
    """The key of a place in the list, or None for what cannot be one."""
    found = _PLACE.fullmatch(after)
    if not found or read_case_id(found[2]) != found[2]:
        return None
    return to_item({"open": "yes", "due_at": found[1], "case_id": found[2], "part": "case"})
