"""Starting and waking the workflow of a case."""

import json

from dsr.aws import client
from dsr.case import Case


def execution_name(case_id: str, attempt: int) -> str:
    """The name of an execution: unique per attempt, so that the same attempt can start only once."""
    return f"{case_id}-{attempt}"


def start(case: Case, workflow: str) -> bool:
    """Start the execution of the case's attempt; False if that attempt was started before.

    `workflow` is the state machine's ARN. A name is taken for 90 days after its execution ended.
    """
    states = client("stepfunctions")
    try:
        states.start_execution(
            stateMachineArn=workflow,
            name=execution_name(case.case_id, case.attempt),
            input=json.dumps({"case_id": case.case_id, "attempt": case.attempt}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        return False
    return True


def wake(token: str) -> bool:
    """Tell the waiting execution to look at the case again; False if it waits no more.

    An empty token means that the workflow had not begun to wait: its own condition sends it on.
    A lost execution is found and started again by the reconciler.
    """
    if not token:
        return False
    states = client("stepfunctions")
    try:
        states.send_task_success(taskToken=token, output="{}")
    except (
        states.exceptions.TaskTimedOut,
        states.exceptions.TaskDoesNotExist,
        states.exceptions.InvalidToken,
    ):
        return False
    return True
