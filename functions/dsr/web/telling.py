"""What the page of a deletion tells: the plan, when it begins, how far it is, what became of the data."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dsr.case import Case, State
from dsr.casebook import Visit, now, work_name
from dsr.datamap.plan import Collection
from dsr.holdbook import Holdbook
from dsr.holds import HELD, told
from dsr.identity import Grant, Level
from dsr.plan_in_words import InWords, counted, hours, in_words
from dsr.requests import level_needed
from dsr.web.frame import Frame
from dsr.web.http import Request
from dsr.web.places import Place, refreshing
from dsr.web.shell import origins

KEY_PATH = "/.well-known/dsr/certificate-key.pem"
Values = dict[str, Any]
# How a visit's outcome is told while data is deleted, and while it is looked for again.
_DELETING = {
    "pending": ("later", "Not started"),
    "continue": ("now", "Under way"),
    "waiting": ("now", "Told, not answered yet"),
    "done": ("done", "Done"),
    "needs_attention": ("stuck", "A person is looking"),
    "refused": ("stuck", "A person is looking"),
}
_LOOKING = _DELETING | {"continue": ("now", "Looking"), "done": ("done", "Nothing left")}


@dataclass(frozen=True)
class Telling:
    """The pages of a deletion's states."""

    frame: Frame

    def page(self, request: Request, case: Case, grant: Grant) -> tuple[str, Values] | None:
        """The template for the case and its values; None for states that all rights share."""
        tell: dict[State, Callable[[Request, Case, Grant], tuple[str, Values]]] = {
            State.AWAITING_CONFIRMATION: self._plan,
            State.COOLING_OFF: self._cooling_off,
            State.ERASING: self._erasing,
            State.CONFIRMING: self._erasing,
            State.CERTIFYING: self._erasing,
            State.ERASED: self._erased,
            State.ERASED_IN_PART: self._erased,
        }
        if case.state is State.CLOSED and case.joined:
            return "joined", {}
        if case.certificate and case.state is not State.NEEDS_ATTENTION:
            return self._erased(request, case, grant)  # also while it is looked for once more
        return tell[case.state](request, case, grant) if case.state in tell else None

    def _plan(self, _request: Request, case: Case, grant: Grant) -> tuple[str, Values]:
        proof = self._proof(case, grant)
        if not self.frame.requests.may_see_plan(case, grant):
            return "sign_in_again", proof | {"step": 4}
        cooling = self.frame.requests.cooling_hours
        return "plan", proof | {
            "step": 4,
            "words": self._words(case),
            "held": self._held(case),
            "copies": self.frame.requests.copies_under_way(case),
            "cooling": hours(cooling) if cooling else "",
        }

    def _cooling_off(self, request: Request, case: Case, grant: Grant) -> tuple[str, Values]:
        seen = self.frame.requests.may_see_plan(case, grant)
        due = case.expires_at is None or case.expires_at <= now()
        copies = [] if case.waived else self.frame.requests.copies_under_way(case)
        return "cooling_off", self._proof(case, grant) | {
            "step": 5,
            "words": self._words(case) if seen else None,
            "copies": copies,
            "held": self._held(case) if due else (),
            "due": due,
            **refreshing(request, case, due and not copies),
        }

    def _proof(self, case: Case, grant: Grant) -> Values:
        """Whether the button may be shown, or else what proves anew who asks."""
        fresh = self.frame.requests.is_proven(case, grant, time.time())
        needs_account = level_needed(case) is Level.ACCOUNT
        sign_in = self.frame.sign_in() if needs_account and not fresh else None
        return {
            "fresh": fresh,
            "needs_account": needs_account,
            "sign_in": bool(sign_in),
            "form_to": origins(sign_in),
        }

    def _erasing(self, request: Request, case: Case, _grant: Grant) -> tuple[str, Values]:
        words = self._words(case)
        frozen = self.frame.requests.book.visits(case.case_id, work_name("freeze", 0)).values()
        again = self._looked_at_again(case) if case.state is not State.ERASING else []
        return "erasing", {
            "step": 5,
            "signs_in": words.signs_in,
            "frozen": bool(frozen) and all(visit.outcome == "done" for visit in frozen),
            "places": self._erased_so_far(case),
            "again": again,
            "held": self._held(case),
            "looked": sum(place.mark == "done" for place in again),
            **refreshing(request, case, True),
        }

    def _erased(self, request: Request, case: Case, _grant: Grant) -> tuple[str, Values]:
        return "erased", {
            "words": self._words(case),
            "secret": self.frame.requests.secret(case),
            "key": f"{self.frame.own()}{KEY_PATH}",
            "here": f"{request.base}/requests/{case.case_id}",
        }

    def _held(self, case: Case) -> tuple[str, ...]:
        """What a hold makes wait, as far as the person may know."""
        return told(Holdbook(self.frame.requests.book.cases).all(), case)

    def _words(self, case: Case) -> InWords:
        return in_words(case.plan, self.frame.plan())

    # -- progress -------------------------------------------------------------------------------

    def _erased_so_far(self, case: Case) -> list[Place]:
        """A line for each visit that has something to delete, in the order in which it is done."""
        book, plan = self.frame.requests.book, self.frame.plan()
        visits = book.visits(case.case_id, work_name("erase", case.round))
        planned = self._planned(case)
        places = []
        for visit in sorted(plan.visits, key=lambda v: (v.resolves, -v.wave)):
            held = [c for c in plan.collections_of(visit) if planned.get(c.path)]
            if held:
                made = visits.get(visit.visit, Visit(visit.visit, visit.store))
                places.append(_place(held, made, sum(planned[c.path] for c in held)))
        return places

    def _planned(self, case: Case) -> dict[str, int]:
        """How many records are to go in this round, by collection path."""
        if case.round == 0:
            return {path: int(p["records"]) for path, p in case.plan.items() if p["treatment"] != "keep"}
        found = self.frame.requests.book.visits(case.case_id, work_name("gather", case.round))
        return {
            f"{v.store}.{name}": count for v in found.values() for name, count in (v.counts or {}).items()
        }

    def _looked_at_again(self, case: Case) -> list[Place]:
        book, plan = self.frame.requests.book, self.frame.plan()
        visits = book.visits(case.case_id, work_name("gather", case.round + 1))
        return [
            _looked(plan.collections_of(v), visits.get(v.visit, Visit(v.visit, v.store))) for v in plan.visits
        ]


def _place(held: list[Collection], visit: Visit, planned: int) -> Place:
    mark, word = _DELETING[visit.outcome]
    if visit.outcome == "waiting" and visit.reason == HELD:
        word = "Waits"
    gone = sum((visit.counts or {}).get(c.name, 0) for c in held)
    if visit.outcome == "done":
        word = f"{word}, {counted(gone, 'record')}"
    elif gone:
        word = f"{word}, {gone:,} of {counted(max(gone, planned), 'record')}"
    return Place(_titles(held), mark, word)


def _looked(held: list[Collection], visit: Visit) -> Place:
    if visit.outcome == "done" and any((visit.counts or {}).values()):
        return Place(_titles(held), "now", "Something arrived")
    return Place(_titles(held), *_LOOKING[visit.outcome])


def _titles(collections: list[Collection]) -> str:
    return " · ".join(c.title for c in collections)
