"""What execution histories tell about one case: what AWS would count, and where the time went. Pure.

A request's execution starts one execution per visit of a store. The local cloud's histories list only the
tasks of what is inside a Map, not its states: those are told from the tasks and from the waves that go in.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_INVOKE = "lambda:invoke"
_ENDED = ("TaskSucceeded", "TaskFailed", "TaskTimedOut")

Event = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """What is billed per case: states entered (inside a Map too, each retry again), functions invoked."""

    transitions: int
    invocations: int


@dataclass
class Path:
    """Where the time between two moments went: in seconds, by what the request waited for.

    Where several visits ran at once, by the one that ended last.
    """

    steps: dict[str, float] = field(default_factory=dict)  # by state of the request
    visits: dict[str, float] = field(default_factory=dict)  # by visit
    starting: float = 0.0  # of executions, from being started to their first state
    between: float = 0.0  # all else: the state machine itself
    invocations: int = 0  # how many were waited for


def counts(executions: Iterable[Sequence[Event]]) -> Counts:
    """Count over the histories of all executions of a case, each with its events in order."""
    transitions = invocations = 0
    for events in executions:
        in_map, tasks = False, 0
        for event in events:
            kind = event["type"]
            if kind.endswith("StateEntered"):
                transitions += 1
                tasks = 0
                if kind == "MapStateEntered":
                    in_map = True
                    transitions += len(_input(event).get("waves", ()))
            elif kind == "MapStateExited":
                in_map = False
            elif kind == "TaskScheduled":
                invocations += event["taskScheduledEventDetails"]["resource"].endswith(_INVOKE)
                # The first task of a state belongs to its entry, each further one is a retry.
                transitions += in_map or tasks > 0
                tasks += 1
    return Counts(transitions, invocations)


def path(
    request: Sequence[Event], stores: Iterable[Sequence[Event]], began: datetime, ended: datetime
) -> Path:
    """What a request waited for from `began` to `ended`; `stores`: the histories of its visits."""
    found = Path()
    name, scheduled, in_map = "", began, True
    for event in request:
        kind, at = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            name, in_map = event["stateEnteredEventDetails"]["name"], kind == "MapStateEntered"
        elif kind == "TaskScheduled":
            scheduled = at
        elif kind in _ENDED and not in_map and began <= scheduled < ended:
            # The last one still works when what is waited for has come.
            found.steps[name] = found.steps.get(name, 0.0) + (min(at, ended) - scheduled).total_seconds()
            found.invocations += 1
    for events in _slowest(stores, began, ended):
        visit = str(_input(events[0])["visit"])
        first = next(e["timestamp"] for e in events if e["type"].endswith("StateEntered"))
        found.starting += (first - events[0]["timestamp"]).total_seconds()
        found.visits[visit] = (events[-1]["timestamp"] - first).total_seconds()
        found.invocations += 1
    spent = sum(found.steps.values()) + sum(found.visits.values()) + found.starting
    found.between = (ended - began).total_seconds() - spent
    return found


def _slowest(stores: Iterable[Sequence[Event]], began: datetime, ended: datetime) -> list[Sequence[Event]]:
    """Of each group of executions that ran at once, the one that ended last."""
    within = [e for e in stores if began <= e[0]["timestamp"] and e[-1]["timestamp"] <= ended]
    groups: list[Sequence[Event]] = []
    for events in sorted(within, key=lambda e: e[0]["timestamp"]):
        if groups and events[0]["timestamp"] < groups[-1][-1]["timestamp"]:
            groups[-1] = max(groups[-1], events, key=lambda e: e[-1]["timestamp"])
        else:
            groups.append(events)
    return groups


def _input(event: Event) -> dict[str, Any]:
    details = event.get("stateEnteredEventDetails") or event.get("executionStartedEventDetails") or {}
    given = json.loads(details.get("input") or "{}")
    return given if isinstance(given, dict) else {}
