"""Following a case: its page in every state, and the buttons that skip an address, withdraw, ask a person."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr.case import Case, Proof, State
from dsr.casebook import Visit
from dsr.errors import NotFound, Refused
from dsr.identity import Grant, Level
from dsr.language import FALLBACK, Words
from dsr.log import logger
from dsr.missing import Missing, missing_of
from dsr.notices.refusals import REFUSALS
from dsr.phones import number_in
from dsr.requests import awaits_sign_in, has_begun, has_bundle, may_withdraw, zips_of
from dsr.web.forms import Form
from dsr.web.frame import Frame, Seen, case_id_of, contact_of, size_of, told
from dsr.web.http import Answer, Request, see
from dsr.web.places import Place, refreshing
from dsr.web.router import Route
from dsr.web.shell import origins
from dsr.web.telling import Telling

# Which page shows a case in which state, once the mailbox is proven; those of deletion: `Telling`.
_SHOWN: dict[State, str] = {
    State.RECEIVED: "confirm",
    State.AWAITING_IDENTITY: "confirm",
    State.RESOLVING: "working",
    State.AWAITING_APPROVAL: "person",
    State.VERIFIED: "working",
    State.GATHERING: "working",
    State.BUNDLING: "working",
    State.READY: "ready",
    State.DELIVERED: "ready",
    State.NEEDS_ATTENTION: "person",
    State.NOTHING_FOUND: "nothing_found",
    State.CLOSED: "closed",
    State.KEPT: "closed",  # nobody's page: its case knows no address
    State.EXPIRED: "expired",
    State.WITHDRAWN: "withdrawn",
    State.REFUSED: "refused",
}
# Where on the way (ask, confirm, collect, download) a page is; ended cases show no way.
_STEP = {"confirm": 2, "sign_in": 2, "working": 3, "person": 3, "ready": 4}
_RUNNING = frozenset({State.RESOLVING, State.VERIFIED, State.GATHERING, State.BUNDLING})

# How a visit's outcome is told: a mark for the style sheet, and the word.
_OUTCOMES = {
    "pending": ("later", "Not started"),
    "continue": ("now", "Searching"),
    "waiting": ("now", "Asked, not answered yet"),
    "done": ("done", "Searched"),
    "needs_attention": ("stuck", "A person is looking"),
    "refused": ("stuck", "A person is looking"),
}


@dataclass(frozen=True)
class Following:
    """The page of a case."""

    frame: Frame

    def routes(self) -> tuple[Route, ...]:
        """The paths of these pages; a reload of the answer to a POST leads back to the case's page."""
        case = "/requests/{case_id}"
        return (
            Route("GET", case, self.status),
            Route("POST", f"{case}/skip", self.skip),
            Route("POST", f"{case}/withdraw", self.withdraw),
            Route("POST", f"{case}/no-sign-in", self.no_sign_in),
            Route("GET", f"{case}/{{action}}", self.to_status),
        )

    def status(self, request: Request) -> Answer:
        """Where the case stands, as far as this browser may see it."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        return self.show(request, case_id, self.frame.seen(request, case_id))

    def to_status(self, request: Request) -> Answer:
        """Back to the case's page."""
        case_id = case_id_of(request)
        return see(request, f"/requests/{case_id}") if case_id else self.frame.fault(404)(request)

    def show(self, request: Request, case_id: str, seen: Seen, form: Form | None = None) -> Answer:
        """The case's page for who was seen; `form` is a code that was typed wrong."""
        case = self.frame.case(case_id) if seen.grant else None
        shared: dict[str, Any] = {"case_id": case_id, **told(request, form)}
        if case is None or seen.grant is None:
            # The same page for a case that is not there and one that is not yours.
            return self.frame.page(request, "locked", **shared)
        shared |= {"case": case, "right": case.right, "can_withdraw": may_withdraw(case, seen.grant)}
        if seen.grant.level < Level.MAILBOX:
            return self.frame.page(request, "confirm", step=2, **self._sent_to(case), **shared)
        page, more = Telling(self.frame).page(request, case, seen.grant) or self._page(request, case)
        return self.frame.page(request, page, **shared, **more)

    def _page(self, request: Request, case: Case) -> tuple[str, dict[str, Any]]:
        """The template for the case and its values."""
        # A copy that was handed over is there for its person whatever is added to it meanwhile.
        page = "ready" if has_bundle(case) else _SHOWN[case.state]
        if page == "confirm" and case.mailbox_proven:
            page = "sign_in" if awaits_sign_in(case) else "working"
        more: dict[str, Any] = getattr(self, f"_{page}", _nothing)(request, case)
        return page, ({"step": _STEP[page]} if page in _STEP else {}) | more

    def _confirm(self, _request: Request, case: Case) -> dict[str, Any]:
        open_ = _still_open(case, self.frame.requests.book.requester(case).contacts)
        return {"open": open_, "number": "", "texted": int(bool(number_in(open_.values())))}

    def _sign_in(self, _request: Request, _case: Case) -> dict[str, Any]:
        sign_in = self.frame.sign_in()
        return {"sign_in": bool(sign_in), "form_to": origins(sign_in)}

    def _working(self, request: Request, case: Case) -> dict[str, Any]:
        places = self._places(case)
        done = sum(place.mark == "done" for place in places)
        return {"places": places, "done": done, **refreshing(request, case, case.state in _RUNNING)}

    def _person(self, _request: Request, case: Case) -> dict[str, Any]:
        begun = has_begun(case)
        return {"begun": begun, "step": 5 if begun else _STEP["person"]}

    def _expired(self, _request: Request, case: Case) -> dict[str, Any]:
        return {"planned": bool(case.plan)}

    def _ready(self, _request: Request, case: Case) -> dict[str, Any]:
        until = case.bundle.get("expires_at")
        in_part = case.outcome == "delivered_in_part"
        missing: list[Missing] = []
        if in_part:
            visits = self.frame.requests.book.visits(case.case_id)
            missing = missing_of(self.frame.plan(), case, visits)
        return {
            "available": has_bundle(case),
            "size": size_of(case),
            "until": datetime.fromisoformat(until) if isinstance(until, str) else until,
            "in_part": in_part,
            "missing": [said.sentence(Words(FALLBACK)) for said in missing],
            "supplements": has_bundle(case) and any("supplement" in zipped for zipped in zips_of(case)),
            "adding": case.follow_up == "adding",
        }

    def _refused(self, _request: Request, case: Case) -> dict[str, Any]:
        return {"reason": REFUSALS.get(case.outcome, "")}

    def _places(self, case: Case) -> list[Place]:
        plan, visits = self.frame.plan(), self.frame.requests.book.visits(case.case_id)
        planned = {v.visit: " · ".join(c.title for c in plan.collections_of(v)) for v in plan.visits}
        # A case that began with an earlier map may have visits that the plan no longer names.
        titles = {name: planned.get(name, visit.store) for name, visit in visits.items()} or planned
        order = list(planned)
        names = sorted(titles, key=lambda n: (order.index(n) if n in order else len(order), n))
        return [Place(titles[n], *_OUTCOMES[visits.get(n, Visit(n, "")).outcome]) for n in names]

    def _sent_to(self, case: Case) -> dict[str, Any]:
        """For a browser that sent the form and proved nothing: the addresses, and the number to come."""
        contacts = self.frame.requests.book.requester(case).contacts
        number = number_in(contacts)
        open_ = {0: contacts[0]} | _still_open(case, contacts)
        return {"open": {i: c for i, c in open_.items() if c != number}, "number": number, "texted": 0}

    def skip(self, request: Request) -> Answer:
        """Go on without a further address."""
        return self._act(request, lambda case_id, _: self.frame.requests.skip(case_id, contact_of(request)))

    def withdraw(self, request: Request) -> Answer:
        """End the case."""
        return self._act(request, self.frame.requests.withdraw)

    def no_sign_in(self, request: Request) -> Answer:
        """Ask for a person, since signing in is not possible."""
        return self._act(
            request, lambda case_id, _: self.frame.requests.cannot_sign_in(case_id), Level.MAILBOX
        )

    def _act(
        self, request: Request, action: Callable[[str, Grant], Case], needed: Level = Level.SUBMITTED
    ) -> Answer:
        """Take an action if this browser may; in any case back to the page, which says what is so."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        grant = self.frame.seen(request, case_id).grant
        if grant and grant.level >= needed:
            try:
                action(case_id, grant)
            except (Refused, NotFound) as error:
                logger.info("the action was refused", case_id=case_id, reason=type(error).__name__)
        return see(request, f"/requests/{case_id}")


def _still_open(case: Case, contacts: tuple[str, ...]) -> dict[int, str]:
    """The contacts that a code may be entered for."""
    return {i: contacts[i] for i, proof in enumerate(case.contacts) if proof is Proof.PENDING}


def _nothing(_request: Request, _case: Case) -> dict[str, Any]:
    return {}
