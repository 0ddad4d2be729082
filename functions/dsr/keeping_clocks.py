"""The scheduled look at every open case: what has expired, lost its workflow, is to be destroyed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dsr import casebook
from dsr.aws import client
from dsr.case import REST, Attention, Case, State, next_step
from dsr.casebook import Casebook
from dsr.casekey import destroy
from dsr.errors import Conflict
from dsr.settings import read
from dsr.staging import remove_versions
from dsr.workflow import execution_name, start, wake


@dataclass(frozen=True)
class Settings:
    """Environment of keep_clocks."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    bundles_bucket: str
    request_workflow: str
    key_days: int = 30  # how long an ended case's content stays readable, for complaints
    most_attempts: int = 20  # executions of one case before a person must look


def keep_clocks(_: dict[str, Any]) -> dict[str, int]:
    """Do what is due. Returns how many cases were expired, closed, restarted and destroyed."""
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    clocks = Clocks(book, settings, casebook.now())
    for seen in book.open_cases():
        # The index may lag: decisions are made on the case itself.
        clocks.look_at(book.get(seen.case_id))
    return clocks.done


class Clocks:
    """One pass at the time `now`."""

    def __init__(self, book: Casebook, settings: Settings, now: datetime) -> None:
        self._book, self._settings, self._now = book, settings, now
        self.done = {"expired": 0, "closed": 0, "restarted": 0, "destroyed": 0}

    def look_at(self, case: Case) -> None:
        """Do the one thing that is due for the case; a case that somebody moves meanwhile is left alone."""
        try:
            if case.ended and next_step(case) == REST:
                self._destroy(case)
            elif self._due(case) and case.state in (State.AWAITING_IDENTITY, State.AWAITING_CONFIRMATION):
                self._expire(case)
            elif self._due(case) and case.state in (State.READY, State.DELIVERED):
                self._close(case)
            elif next_step(case) != REST:
                self._restart_if_lost(case)
        except Conflict:
            return

    def _due(self, case: Case) -> bool:
        return case.expires_at is not None and case.expires_at <= self._now

    def _expire(self, case: Case) -> None:
        self._book.move(case, State.EXPIRED, "expired", "clock", token="", expires_at=None)
        wake(case.token)
        self.done["expired"] += 1

    def _close(self, case: Case) -> None:
        remove_versions(self._settings.bundles_bucket, f"bundles/{case.case_id}/")
        remove_versions(self._settings.staging_bucket, f"cases/{case.case_id}/")
        self._book.move(case, State.CLOSED, "closed", "clock", expires_at=None, bundle={})
        self.done["closed"] += 1

    def _destroy(self, case: Case) -> None:
        if case.updated_at + timedelta(days=self._settings.key_days) > self._now:
            return
        remove_versions(self._settings.bundles_bucket, f"bundles/{case.case_id}/")
        remove_versions(self._settings.staging_bucket, f"cases/{case.case_id}/")
        destroy(case.case_id, self._settings.case_keys_table)
        self._book.move(case, case.state, "key_destroyed", "clock", key_destroyed=True)
        self.done["destroyed"] += 1

    def _restart_if_lost(self, case: Case) -> None:
        if start(case, self._settings.request_workflow):
            self.done["restarted"] += 1
            return
        if self._running(case):
            return
        if case.attempt >= self._settings.most_attempts:
            self._give_up(case)
            return
        again = self._book.move(
            case,
            case.state,
            "restarted",
            "clock",
            {"step": next_step(case)},
            attempt=case.attempt + 1,
            token="",
        )
        start(again, self._settings.request_workflow)
        self.done["restarted"] += 1

    def _give_up(self, case: Case) -> None:
        attention = (Attention("", "workflow_failed", next_step(case)),)
        self._book.move(
            case, State.NEEDS_ATTENTION, "needs_attention", "clock", {"reason": "workflow_failed"},
            attention=attention, resume=case.state,
        )  # fmt: skip

    def _running(self, case: Case) -> bool:
        # arn:…:stateMachine:NAME → arn:…:execution:NAME:EXECUTION
        machine = self._settings.request_workflow.replace(":stateMachine:", ":execution:")
        name = execution_name(case.case_id, case.attempt)
        status = client("stepfunctions").describe_execution(executionArn=f"{machine}:{name}")["status"]
        return bool(status == "RUNNING")
