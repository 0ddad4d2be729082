"""What the benchmarks of whole cases share: waiting for one, and what it took by its own history."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from benchmarks import histories, machine
from infra.local import processes
from infra.local.home import Home
from infra.local.up import Running

PATIENCE = 60.0  # seconds that any one thing may take


@dataclass(frozen=True)
class Run:
    """One request: seconds, processor seconds by who spent them, what it counted, where the time went."""

    seconds: float
    cpu: dict[str, float]
    counts: histories.Counts
    path: histories.Path


def finished(running: Running, case: str, *states: str) -> str:
    """Wait for the end of the request's execution; returns its ARN.

    Raises BenchmarkError if it failed, or the case is in none of `states` then.
    """
    workflows = running.cloud.client("stepfunctions")
    machines = workflows.list_state_machines()["stateMachines"]
    own = next(m["stateMachineArn"] for m in machines if m["name"] == "dsr-request")
    arn = f"{own.replace(':stateMachine:', ':execution:')}:{case}-1"
    # Seldom: whoever asks takes processor time from what is measured.
    wait(
        lambda: workflows.describe_execution(executionArn=arn)["status"] != "RUNNING",
        f"case {case} ends",
        0.25,
    )
    status = workflows.describe_execution(executionArn=arn)["status"]
    reached = case_item(running, case)["state"]["S"]
    if status != "SUCCEEDED" or reached not in states:
        raise machine.BenchmarkError(f"case {case} ended {reached} ({status}), not {states}")
    return arn


def case_item(running: Running, case: str) -> dict[str, Any]:
    """The case as it stands in its table."""
    table = running.cloud.client("dynamodb")
    key = {"case_id": {"S": case}, "part": {"S": "case"}}
    item: dict[str, Any] = table.get_item(TableName="dsr-cases", Key=key, ConsistentRead=True)["Item"]
    return item


def case_state(running: Running, case: str) -> str:
    """The state of a case; "" while it is not there yet."""
    table = running.cloud.client("dynamodb")
    key = {"case_id": {"S": case}, "part": {"S": "case"}}
    item: dict[str, Any] = table.get_item(TableName="dsr-cases", Key=key, ConsistentRead=True).get("Item", {})
    return str(item["state"]["S"]) if item else ""


def moments(running: Running, case: str, counted: str) -> tuple[dict[str, datetime], int]:
    """When each event of the case was, by its name; and how many records the event `counted` tells of."""
    items = running.cloud.client("dynamodb").query(
        TableName="dsr-cases",
        KeyConditionExpression="case_id = :case AND begins_with(part, :event)",
        ExpressionAttributeValues={":case": {"S": case}, ":event": {"S": "event#"}},
    )["Items"]
    when = {item["name"]["S"]: datetime.fromisoformat(item["at"]["S"]) for item in items}
    told = next(item for item in items if item["name"]["S"] == counted)
    return when, int(told["about"]["M"]["records"]["S"])


def executions(running: Running, arn: str) -> tuple[list[histories.Event], list[list[histories.Event]]]:
    """The events of a request's execution, and those of each execution that it started."""
    states = running.cloud.client("stepfunctions")

    def events(execution: str) -> list[histories.Event]:
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    own = events(arn)
    outputs = [
        json.loads(e["taskSucceededEventDetails"]["output"]) for e in own if e["type"] == "TaskSucceeded"
    ]
    return own, [
        events(out["ExecutionArn"]) for out in outputs if isinstance(out, dict) and "ExecutionArn" in out
    ]


def cpu(running: Running) -> dict[str, float]:
    """Processor seconds so far of the local cloud itself, of the functions, and of the database."""
    spent = {"the local cloud": 0.0, "the functions": 0.0, "the database": 0.0}
    ours = set(processes.left_over(running.home))
    for process in psutil.process_iter(["pid", "name", "cmdline", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is None:
            continue
        if process.info["pid"] in ours:
            cloud = (process.info["cmdline"] or [])[-2:] == ["-m", "ministack"]
            spent["the local cloud" if cloud else "the functions"] += times.user + times.system
        elif process.info["name"] == "postgres" and _of_home(process, running.home):
            # Of children too: a connection's own process is gone once it is closed.
            spent["the database"] += times.user + times.system + times.children_user + times.children_system
    return spent


def _of_home(process: psutil.Process, home: Home) -> bool:
    try:
        parents = [process, *process.parents()]
        return any(str(home.database.resolve()) in parent.cmdline() for parent in parents)
    except psutil.Error:
        return False


def wait(condition: Callable[[], object], what: str, every: float = 0.1, seconds: float = PATIENCE) -> None:
    """Wait until the condition holds. Raises BenchmarkError if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise machine.BenchmarkError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(every)
