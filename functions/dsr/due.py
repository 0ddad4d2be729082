"""What is due for a case, by its dates alone. Pure: what is done about it is `dsr.keeping_clocks`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dsr.case import REST, Case, State, next_step, notice_of

# How long after a deletion its supplement is still mailed: backups mostly end before. Beyond, the certificate
# has told when it will be there, and nobody's address is kept only for that.
_KEY_WAITS = timedelta(days=90)


@dataclass(frozen=True)
class Dates:
    """At the time `now`: `reminder_days` before its removal a copy is told of once more, `key_days` after
    its end a case's content is destroyed."""

    now: datetime
    reminder_days: int
    key_days: int

    def rests(self, case: Case) -> bool:
        """Whether nothing can be due for the case: it waits for people, or for its key's last day."""
        return (
            next_step(case) == REST
            and not self.passed(case)
            and not self.reminds(case)
            and not self.adds(case)
            and not (case.ended and (self.destroys(case) or self.follows(case)))
        )

    def passed(self, case: Case) -> bool:
        """Whether the day is over until which the case waits, or is kept."""
        return case.expires_at is not None and case.expires_at <= self.now

    def is_over(self, until: str) -> bool:
        """Whether that time (ISO 8601) has come."""
        return datetime.fromisoformat(until) <= self.now

    def reminds(self, case: Case) -> bool:
        """Whether a copy that nobody has downloaded goes soon, and its person is not told yet."""
        if case.state is not State.READY or case.last_days or case.expires_at is None:
            return False
        if notice_of(case) not in case.notices:
            return False  # they do not even know that it is there
        kept = case.expires_at - case.updated_at
        # Of a copy that is kept for few days not at once, of one that is kept for one not at all.
        before = min(timedelta(days=self.reminder_days), kept / 2)
        return kept > timedelta(days=1) and case.expires_at - before <= self.now

    def adds(self, case: Case) -> bool:
        """Whether a copy in part is to be followed up: an answer has come since, or its time is over."""
        if case.state not in (State.READY, State.DELIVERED) or next_step(case) != REST:
            return False
        return bool(case.adding) or any(self.is_over(until) for until in case.late.values())

    def follows(self, case: Case) -> State | None:
        """Where a certified deletion is to go, now that its copies have caught up or ended."""
        if case.check_at:
            return State.CONFIRMING if case.check_at <= self.now else None
        due = case.supplement_at is not None and case.supplement_at <= self.now
        return State.CERTIFYING if due else None

    def destroys(self, case: Case) -> bool:
        """Whether an ended case's key is to go, whether or not its end could be announced: a mailbox that
        refuses keeps no key alive."""
        kept = case.updated_at + timedelta(days=self.key_days) <= self.now
        return kept and not case.key_destroyed and not case.check_at and not self._waits_to_be_told(case)

    def _waits_to_be_told(self, case: Case) -> bool:
        """Whether the key is kept for the mail that the supplement comes with: so long, but not for years."""
        if case.supplement_at is None or case.erased_at is None:
            return False
        return case.supplement_at - case.erased_at <= _KEY_WAITS


def is_told(case: Case) -> bool:
    """Whether its person knows what became of what was missing in their copy, or cannot be told."""
    return not case.follow_up or case.follow_up in case.notices or bool(case.attention)
