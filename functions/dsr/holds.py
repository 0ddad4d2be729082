"""A hold: a legal reason not to erase yet, on a case, a person or a collection. Pure.

Why and by whom are fixed words and ids: what is kept here is proof, and proof holds no free text.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from dsr.case import Case, Right

HELD = "hold"  # why a visit waits; what it tells about is the id of the hold


class Scope(StrEnum):
    """What a hold is on."""

    CASE = "case"
    PERSON = "person"  # every deletion of the person, by the keyed hash that a case knows them by
    COLLECTION = "collection"  # of everybody's deletions and of the retention sweep, by `store.collection`


@dataclass(frozen=True)
class Reason:
    """Why something is held: as the requester reads it, and the law that allows it."""

    said: str
    law: str


REASONS: dict[str, Reason] = {
    "legal_claim": Reason("it is needed for a legal claim", "GDPR Art. 17(3)(e)"),
    "authority": Reason("an authority has ordered that it be kept", "GDPR Art. 17(3)(b)"),
    "legal_duty": Reason("a law obliges us to keep it for now", "GDPR Art. 17(3)(b)"),
    "investigation": Reason(
        "it is needed to find out about a breach of security", "GDPR Art. 17(3)(b), CCPA 1798.105(d)(2)"
    ),
    "open_order": Reason(
        "something that you ordered or won is still on its way", "GDPR Art. 17(1)(a), CCPA 1798.105(d)(1)"
    ),
}

# The number of a file at the lawyers' or an authority's: letters, digits and what stands between them.
_FILE = re.compile(r"[0-9A-Za-z][0-9A-Za-z ./_-]{0,39}")


@dataclass(frozen=True)
class Hold:
    """One hold. Ends on `until` by itself, or is open and looked at again on `review`: exactly one is set.

    `target`: the case's id, the keyed hash of the person, or `store.collection`. `told`: whether the
    requester may know. `case_id`: the case on whose page it was placed; "" for a collection. `also`:
    further hashes that records of a held person are told by (of their addresses). Lifted by whom (a subject
    id, or `clock`) and when, once it is over.
    """

    hold_id: str
    scope: Scope
    target: str
    reason: str
    told: bool
    placed_by: str
    placed_at: datetime
    review: date | None = None
    until: date | None = None
    file: str = ""
    case_id: str = ""
    also: tuple[str, ...] = ()
    lifted_by: str = ""
    lifted_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it still holds. What is to end on a day holds until somebody, or the clock, lifts it."""
        return self.lifted_at is None

    def ends(self, today: date) -> bool:
        """Whether its day has come: `until` is the last day that it holds."""
        return self.active and self.until is not None and self.until < today

    def to_review(self, today: date) -> bool:
        """Whether somebody should look if it is still needed."""
        return self.active and self.review is not None and self.review <= today


def new_hold_id() -> str:
    """An id of 40 random bits: holds are few."""
    return secrets.token_hex(5)


def fault(reason: str, ends: str, day: date | None, today: date, file: str) -> tuple[str, str]:
    """What is wrong with a hold that is to be placed: (field, fixed word); ("", "") if nothing is.

    `ends`: `review` or `until`, with its `day`. A hold without any day would be forgotten.
    """
    if reason not in REASONS:
        return "reason", "hold_reason"
    if ends not in ("review", "until"):
        return "ends", "hold_ends"
    if day is None or day <= today:
        return "day", "hold_day"
    if file and not _FILE.fullmatch(file):
        return "file", "hold_file"
    return "", ""


def scopes_of(case: Case) -> tuple[Scope, ...]:
    """What a hold can be on from where this case stands. Whom it is about is known once it is resolved."""
    person = (Scope.PERSON,) if case.subject else ()
    return (Scope.CASE, *person) if case.right is Right.DELETION and not case.ended else person


def targets_of(case: Case, paths: Iterable[str] = ()) -> list[tuple[Scope, str]]:
    """Everything on which a hold would stop this case, at the collections `paths` if any are given."""
    persons = [(Scope.PERSON, case.subject)] if case.subject else []
    return [(Scope.CASE, case.case_id), *persons, *((Scope.COLLECTION, path) for path in paths)]


def that_stop(holds: Iterable[Hold], case: Case, paths: Iterable[str] = ()) -> list[Hold]:
    """Of `holds` the active ones that stop this case, or the collections `paths` of it; oldest first."""
    wanted = set(targets_of(case, paths))
    found = [hold for hold in holds if hold.active and (hold.scope, hold.target) in wanted]
    return sorted(found, key=lambda hold: (hold.placed_at, hold.hold_id))


def told(holds: Iterable[Hold], case: Case) -> tuple[str, ...]:
    """What must wait, as the requester may read it: a sentence for each hold that they may know of."""
    from dsr.plan_in_words import day  # workers do not tell

    sentences = []
    for hold in that_stop(holds, case, case.plan):
        if hold.told:
            what = f"“{case.plan[hold.target]['title']}”" if hold.scope is Scope.COLLECTION else "All of it"
            ends = f"until the end of {day(hold.until)}" if hold.until else "until that is settled"
            reason = REASONS[hold.reason]
            sentences.append(f"{what} waits {ends}, since {reason.said} ({reason.law}).")
    return tuple(dict.fromkeys(sentences))
