"""The scheduled look at every open case: what has expired, lost its workflow, is to be destroyed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr import casebook
from dsr.aws import client
from dsr.case import (
    AWAIT_ANSWERS,
    FOLLOW_UPS,
    MOVES,
    REST,
    WAITS,
    Attention,
    Case,
    State,
    next_step,
)
from dsr.casebook import Casebook, work_name
from dsr.casekey import destroy
from dsr.due import Dates, is_told
from dsr.errors import Conflict
from dsr.holdbook import Holdbook
from dsr.holds import HELD
from dsr.log import describe, logger
from dsr.settings import read
from dsr.staging import remove_versions
from dsr.waking import wake_visit
from dsr.workflow import execution_name, start, wake


@dataclass(frozen=True)
class Settings:
    """Environment of keep_clocks."""

    cases_table: str
    case_keys_table: str
    staging_bucket: str
    bundles_bucket: str
    request_workflow: str
    reminder_days: int = 3  # how long before its removal a copy that nobody downloaded is told of again
    key_days: int = 30  # how long an ended case's content stays readable, for complaints
    most_attempts: int = 20  # executions of one case before a person must look


def keep_clocks(
    _: dict[str, Any], ends_at: float = float("inf"), clock: Callable[[], float] = time.monotonic
) -> dict[str, int]:
    """Do what is due. Returns how many holds ended, and how many cases met each of `Clocks.done`.

    Until `ends_at` on `clock`: the next look goes on where this one had to stop.
    Raises RuntimeError after the pass if some could not be looked at, so that somebody hears of it.
    """
    settings = read(Settings)
    book = Casebook(settings.cases_table, settings.case_keys_table)
    clocks = Clocks(book, settings, casebook.now())
    clocks.end_holds()
    place = book.clock_place()
    _look(clocks, book, place, ends_at, clock)
    if clocks.failed:
        raise RuntimeError(f"{clocks.failed} cases could not be looked at")
    return clocks.done


def _look(
    clocks: "Clocks", book: Casebook, place: dict[str, str], ends_at: float, clock: Callable[[], float]
) -> None:
    """Look at every open case behind `place`, and keep the place if time ends before they do."""
    for seen in book.open_cases(place):
        # The index may lag: decisions are made on the case itself. What rests costs no call.
        if not clocks.dates.rests(seen):
            clocks.look_at(seen.case_id)
            if clock() >= ends_at:
                book.keep_clock_place(book.place_of(seen))
                logger.info("the next look goes on from here", case_id=seen.case_id)
                return
    if place:
        book.keep_clock_place({})


class Clocks:
    """One pass at the time `now`."""

    def __init__(self, book: Casebook, settings: Settings, now: datetime) -> None:
        self._book, self._settings, self._now = book, settings, now
        self._holds = Holdbook(book.cases)
        self.dates = Dates(now, settings.reminder_days, settings.key_days)
        ends = ("holds_ended", "taken_up", "expired", "overdue", "followed_up", "closed", "checked_again")
        more = ("supplemented", "kept_ended", "restarted", "given_up", "destroyed")
        self.done = dict.fromkeys((*ends, *more), 0)
        self.failed = 0

    def end_holds(self) -> None:
        """End the holds whose last day is over: what they stopped is taken up in the same pass."""
        for hold in [h for h in self._holds.all() if h.ends(self._now.date())]:
            try:
                self._holds.lift(hold.hold_id, "clock", self._now)
            except Conflict:
                continue  # somebody lifted it just now
            self.done["holds_ended"] += 1

    def look_at(self, case_id: str) -> None:
        """Do the one thing that is due for the case; what goes wrong with it stops no other."""
        try:
            self._do_what_is_due(self._book.get(case_id))
        except Conflict:
            logger.info("somebody moves the case just now", case_id=case_id)
        except Exception as error:  # noqa: BLE001  counted and raised after the pass
            logger.error("a case could not be looked at", extra={"case_id": case_id} | describe(error))
            self.failed += 1

    def _do_what_is_due(self, case: Case) -> None:
        if case.ended and (follows := self.dates.follows(case)):
            self._follow_up(case, follows)
        elif case.ended and self.dates.destroys(case):
            self._destroy(case)
        elif self.dates.passed(case) and case.state is State.KEPT:
            self._take_up_kept(case)
        elif self.dates.passed(case) and case.state in (State.AWAITING_IDENTITY, State.AWAITING_CONFIRMATION):
            self._expire(case)
        elif self.dates.passed(case) and next_step(case) == AWAIT_ANSWERS:
            self._ask_again(case)
        elif next_step(case) == AWAIT_ANSWERS and (visit := self._no_longer_held(case)):
            wake_visit(self._book, case.case_id, visit, work_name("erase", case.round), "clock")
            self.done["taken_up"] += 1
        elif self.dates.adds(case):
            self._follow_late(case)
        elif self.dates.passed(case) and case.state in (State.READY, State.DELIVERED) and is_told(case):
            self._close(case)
        elif self.dates.reminds(case):
            # Told by the workflow, like everything that a person is told: it only has to begin again.
            self._restart_if_lost(self._book.move(case, case.state, "reminder_due", "clock", last_days=True))
        elif next_step(case) != REST:
            self._restart_if_lost(case)

    def _expire(self, case: Case) -> None:
        self._book.move(case, State.EXPIRED, "expired", "clock", token="", expires_at=None)
        wake(case.token)
        self.done["expired"] += 1

    def _no_longer_held(self, case: Case) -> str:
        """A visit that waits for a hold that is over, or "". Woken, it asks for all others by itself."""
        if case.state is not State.ERASING:
            return ""
        visits = self._book.visits(case.case_id, work_name("erase", case.round)).values()
        held = [v for v in visits if v.outcome == "waiting" and v.reason == HELD]
        return next((v.visit for v in held if not self._holds.get(v.about).active), "")

    def _ask_again(self, case: Case) -> None:
        """A store has not answered in time: its worker says what follows from that."""
        self._book.move(
            case, case.state, "answer_due", "clock", {"visit": case.waiting_for[0]},
            waiting_for=(), tasks=(), expires_at=None, token="",
        )  # fmt: skip
        wake(case.token)
        self.done["overdue"] += 1

    def _take_up_kept(self, case: Case) -> None:
        """The law that had something kept lets it go: its deletion begins."""
        changes: dict[str, Any] = {"attempt": case.attempt + 1, "token": "", "expires_at": None}
        moved = self._book.move(case, State.VERIFIED, "time_is_over", "clock", **changes)
        start(moved, self._settings.request_workflow)
        self.done["kept_ended"] += 1

    def _follow_late(self, case: Case) -> None:
        """Have the workflow take in what has come; or note that it has not, which the person is told."""
        # Each supplement is told of, and its last days are.
        changes: dict[str, Any] = {
            "notices": tuple(n for n in case.notices if n not in (*FOLLOW_UPS, "last_days")),
            "attempt": case.attempt + 1, "token": "", "last_days": False,
        }  # fmt: skip
        if case.adding:
            taken = {f"visit:{visit}" for visit in case.adding}
            decisions = {key: said for key, said in case.decisions.items() if key not in taken}
            moved = self._book.move(
                case, State.GATHERING, "supplement_begun", "clock", {"visit": case.adding[0]},
                decisions=decisions, follow_up="adding", expires_at=None, **changes,
            )  # fmt: skip
        else:
            late = {visit: until for visit, until in case.late.items() if not self.dates.is_over(until)}
            visit = next(v for v in case.late if v not in late)
            # Where the copy is removed already, only this is left to be told.
            expires_at = case.expires_at if case.bundle or late else self._now
            moved = self._book.move(
                case, case.state, "late_given_up", "clock", {"visit": visit},
                late=late, tasks=tuple(v for v in case.tasks if v in late), follow_up="not_following",
                expires_at=expires_at, **changes,
            )  # fmt: skip
            if not late:
                remove_versions(self._settings.staging_bucket, f"cases/{case.case_id}/")
        start(moved, self._settings.request_workflow)
        self.done["followed_up"] += 1

    def _close(self, case: Case) -> None:
        remove_versions(self._settings.bundles_bucket, f"bundles/{case.case_id}/")
        if case.late:
            # What was missing may still come: by what is staged it is taken in.
            self._book.move(case, case.state, "copy_removed", "clock", expires_at=None, bundle={})
            return
        remove_versions(self._settings.staging_bucket, f"cases/{case.case_id}/")
        self._book.move(case, State.CLOSED, "closed", "clock", expires_at=None, bundle={})
        self.done["closed"] += 1

    def _follow_up(self, case: Case, to: State) -> None:
        changes: dict[str, Any] = {"attempt": case.attempt + 1, "token": ""}
        if to is State.CONFIRMING:
            # A round of its own: what the last one read stays as it was certified.
            changes |= {"round": case.round + 1, "check_round": case.round + 1}
            moved = self._book.move(case, to, "checking_again", "clock", **changes)
        else:
            moved = self._book.move(case, to, "supplement_due", "clock", **changes)
        start(moved, self._settings.request_workflow)
        self.done["checked_again" if to is State.CONFIRMING else "supplemented"] += 1

    def _destroy(self, case: Case) -> None:
        remove_versions(self._settings.bundles_bucket, f"bundles/{case.case_id}/")
        remove_versions(self._settings.staging_bucket, f"cases/{case.case_id}/")
        destroy(case.case_id, self._settings.case_keys_table)
        self._book.move(case, case.state, "key_destroyed", "clock", key_destroyed=True)
        self.done["destroyed"] += 1

    def _restart_if_lost(self, case: Case) -> None:
        status = self._status(case)
        if status == "RUNNING" and case.state is State.COOLING_OFF and self.dates.passed(case):
            wake(case.token)  # the workflow looks whether it may begin
            return
        if status == "RUNNING":
            if case.woken and next_step(case) not in WAITS:
                wake(case.woken)  # for whoever was killed between moving the case and waking it
            return
        if status is not None:
            if case.attempt >= self._settings.most_attempts:
                self._give_up(case)
                return
            about = {"step": next_step(case)}
            case = self._book.move(
                case, case.state, "restarted", "clock", about, attempt=case.attempt + 1, token=""
            )
        start(case, self._settings.request_workflow)
        self.done["restarted"] += 1

    def _give_up(self, case: Case) -> None:
        """Have a person look; where the case may not stop (it has ended, it can be downloaded) only that."""
        stops = State.NEEDS_ATTENTION in MOVES[case.state]
        if case.attention and not stops:
            return
        attention = (Attention("", "workflow_failed", next_step(case)),)
        self._book.move(
            case, State.NEEDS_ATTENTION if stops else case.state, "needs_attention", "clock",
            {"reason": "workflow_failed"}, attention=attention, resume=case.state if stops else None,
        )  # fmt: skip
        self.done["given_up"] += 1

    def _status(self, case: Case) -> str | None:
        """Of the execution of the case's attempt; None if there never was one."""
        # arn:…:stateMachine:NAME → arn:…:execution:NAME:EXECUTION
        machine = self._settings.request_workflow.replace(":stateMachine:", ":execution:")
        name = execution_name(case.case_id, case.attempt)
        states = client("stepfunctions")
        try:
            return str(states.describe_execution(executionArn=f"{machine}:{name}")["status"])
        except states.exceptions.ExecutionDoesNotExist:
            return None
