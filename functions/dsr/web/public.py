"""The public pages: what each shows, and which action each button takes. The rules are in dsr.requests."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dsr import parameters
from dsr.case import Case, Proof, State, read_case_id
from dsr.casebook import Visit
from dsr.datamap.plan import Plan
from dsr.errors import NotFound, Refused
from dsr.front_door import FrontDoor, Session
from dsr.identity import Grant, Level, read_code, read_token
from dsr.log import logger
from dsr.notices.refusals import REFUSALS
from dsr.requests import Requests, awaits_sign_in, has_bundle, level_needed, may_withdraw
from dsr.web.forms import Form, countries, read_reference, read_submission
from dsr.web.http import Answer, Request, see
from dsr.web.router import Faults, Route
from dsr.web.templates import render, size, static

REFRESH_SECONDS = 5
CODE_SENT = (
    "If there is such a request, a new code is on its way to the address given in it. "
    "Codes sent before stop working."
)

# Which page shows a case in which state, once the mailbox is proven.
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
    State.AWAITING_CONFIRMATION: "working",
    State.COOLING_OFF: "working",
    State.ERASING: "working",
    State.CONFIRMING: "working",
    State.NEEDS_ATTENTION: "person",
    State.ERASED: "closed",
    State.ERASED_IN_PART: "closed",
    State.NOTHING_FOUND: "nothing_found",
    State.CLOSED: "closed",
    State.EXPIRED: "expired",
    State.WITHDRAWN: "withdrawn",
    State.REFUSED: "refused",
}
# Where on the way (ask, confirm, collect, download) a page is; ended cases show no way.
_STEP = {"confirm": 2, "sign_in": 2, "working": 3, "person": 3, "ready": 4}
_RUNNING = frozenset(
    {State.RESOLVING, State.VERIFIED, State.GATHERING, State.BUNDLING, State.ERASING, State.CONFIRMING}
)

# How a visit's outcome is told: a mark for the style sheet, and the word.
_OUTCOMES = {
    "pending": ("later", "Not started"),
    "continue": ("now", "Searching"),
    "done": ("done", "Searched"),
    "needs_attention": ("stuck", "A person is looking"),
    "refused": ("stuck", "A person is looking"),
}


@dataclass(frozen=True)
class Place:
    """A line of the progress: the records of one visit, and how far it is."""

    title: str
    mark: str
    word: str


@dataclass(frozen=True)
class Seen:
    """Who asks: their session, if any, and what it may do with the case."""

    session: Session | None
    grant: Grant | None


@dataclass(frozen=True)
class PublicPages:
    """The pages, each a method from request to answer; `routes` is the table of them."""

    requests: Requests
    door: FrontDoor
    plan: Callable[[], Plan]
    most_per_source: int  # submissions and codes an hour from one address of the network
    public_url_parameter: str
    sign_in_parameter: str

    def routes(self) -> tuple[Route, ...]:
        """Every path and method. No GET changes state."""
        case = "/requests/{case_id}"
        return (
            Route("GET", "/", self.form),
            Route("POST", "/requests/check", self.check),
            Route("GET", "/requests/check", self.to_form),
            Route("POST", "/requests/change", self.change),
            Route("GET", "/requests/change", self.to_form),
            Route("POST", "/requests", self.submit),
            Route("GET", "/requests", self.find),
            Route("POST", "/requests/find", self.found),
            Route("GET", "/requests/find", self.find),
            Route("GET", case, self.status),
            Route("POST", f"{case}/code", self.send_code),
            Route("POST", f"{case}/confirm", self.confirm),
            Route("POST", f"{case}/skip", self.skip),
            Route("POST", f"{case}/withdraw", self.withdraw),
            Route("POST", f"{case}/sign-in", self.sign_in),
            Route("POST", f"{case}/no-sign-in", self.no_sign_in),
            Route("GET", f"{case}/download", self.download_page),
            Route("POST", f"{case}/download", self.download),
            # A reload of the answer to a POST comes as a GET: back to the page it belongs to.
            Route("GET", f"{case}/{{action}}", self.to_status),
            Route("GET", "/confirm/{token}", self.link),
            Route("POST", "/confirm/{token}", self.use_link),
            Route("GET", "/sign-in/callback", self.sign_in_return),
            Route("POST", "/sign-in/callback", self.signed_in),
            Route("GET", "/static/{file}", self.static),
            Route("GET", "/healthz", self.health),
        )

    def faults(self) -> Faults:
        """The pages for what goes wrong."""
        return Faults(self.fault(404), self.fault(405), self.fault(403), self.fault(500))

    def own(self) -> str:
        """The public address of these pages."""
        return parameters.public_url(self.public_url_parameter)

    # -- asking ---------------------------------------------------------------------------------

    def form(self, request: Request) -> Answer:
        """The form. `right` in the query chooses beforehand."""
        form, _ = read_submission({"right": request.query.get("right", "")})
        return self._page(request, "form", form=Form(form.values), focus="", countries=countries(), step=1)

    def to_form(self, request: Request) -> Answer:
        """Back to the form."""
        return see(request, "/")

    def check(self, request: Request) -> Answer:
        """What was typed, to be read once more; or the form with what is wrong. Stores nothing."""
        form, submission = read_submission(request.form)
        if submission is None:
            return self._form_again(request, form)
        return self._page(request, "check", form=form, countries=countries(), step=1, right=submission.right)

    def change(self, request: Request) -> Answer:
        """The form as it was typed, at the field to change."""
        form, _ = read_submission(request.form)
        focus = request.form.get("change", "")
        return self._page(request, "form", form=Form(form.values), focus=focus, countries=countries(), step=1)

    def submit(self, request: Request) -> Answer:
        """Open the case. The browser that sent it may enter codes, nothing more."""
        form, submission = read_submission(request.form)
        if submission is None:
            return self._form_again(request, form)
        if not self._admitted(request):
            return self.fault(429)(request)
        case_id = self.requests.open(submission, self.plan().version)
        session = self._session(request)
        cookie = self.door.raise_session(session, case_id, Level.SUBMITTED)
        return replace(see(request, f"/requests/{case_id}"), cookie=cookie)

    def _form_again(self, request: Request, form: Form) -> Answer:
        return self._page(
            request, "form", 422, form=form, focus="", countries=countries(), errors=form.errors, step=1
        )

    # -- finding one's way back ------------------------------------------------------------------

    def find(self, request: Request) -> Answer:
        """The page that asks for the reference."""
        return self._page(request, "find", form=Form())

    def found(self, request: Request) -> Answer:
        """On to the case's page, whether there is such a case or not."""
        form, case_id = read_reference(request.form)
        if case_id is None:
            return self._page(request, "find", 422, form=form, errors=form.errors)
        return see(request, f"/requests/{case_id}")

    # -- the case -------------------------------------------------------------------------------

    def status(self, request: Request) -> Answer:
        """Where the case stands, as far as this browser may see it."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        return self._status(request, case_id, self._seen(request, case_id))

    def to_status(self, request: Request) -> Answer:
        """Back to the case's page."""
        case_id = _case_id(request)
        return see(request, f"/requests/{case_id}") if case_id else self.fault(404)(request)

    def _status(self, request: Request, case_id: str, seen: Seen, form: Form | None = None) -> Answer:
        case = self._case(case_id) if seen.grant else None
        shared: dict[str, Any] = {"case_id": case_id, **_told(request, form)}
        if case is None or seen.grant is None:
            # The same page for a case that is not there and one that is not yours.
            return self._page(request, "locked", **shared)
        shared |= {"case": case, "right": case.right, "can_withdraw": may_withdraw(case, seen.grant)}
        if seen.grant.level < Level.MAILBOX:
            return self._page(request, "confirm", step=2, open=self._open_contacts(case, True), **shared)
        page = _SHOWN[case.state]
        if page == "confirm" and case.mailbox_proven:
            page = "sign_in" if awaits_sign_in(case) else "working"
        more = getattr(self, f"_{page}", _nothing)(request, case)
        form_to = more.pop("form_to", ())
        if page in _STEP:
            shared["step"] = _STEP[page]
        return self._page(request, page, form_to=form_to, **shared, **more)

    def _confirm(self, _request: Request, case: Case) -> dict[str, Any]:
        return {"open": self._open_contacts(case, False)}

    def _sign_in(self, _request: Request, _case: Case) -> dict[str, Any]:
        sign_in = parameters.sign_in(self.sign_in_parameter)
        return {"sign_in": bool(sign_in), "form_to": _origins(sign_in)}

    def _working(self, request: Request, case: Case) -> dict[str, Any]:
        places = self._places(case)
        refreshing = case.state in _RUNNING and "still" not in request.query
        return {
            "places": places,
            "done": sum(place.mark == "done" for place in places),
            "refresh": REFRESH_SECONDS if refreshing else 0,
            "here": f"{request.base}/requests/{case.case_id}",
        }

    def _ready(self, _request: Request, case: Case) -> dict[str, Any]:
        until = case.bundle.get("expires_at")
        return {
            "available": has_bundle(case),
            "size": _size(case),
            "until": datetime.fromisoformat(until) if isinstance(until, str) else until,
            "in_part": case.outcome == "delivered_in_part",
        }

    def _refused(self, _request: Request, case: Case) -> dict[str, Any]:
        return {"reason": REFUSALS.get(case.outcome, "")}

    def _places(self, case: Case) -> list[Place]:
        plan, visits = self.plan(), self.requests.book.visits(case.case_id)
        planned = {v.visit: " · ".join(c.title for c in plan.collections_of(v)) for v in plan.visits}
        # A case that began with an earlier map may have visits that the plan no longer names.
        titles = {name: planned.get(name, visit.store) for name, visit in visits.items()} or planned
        order = list(planned)
        names = sorted(titles, key=lambda n: (order.index(n) if n in order else len(order), n))
        return [Place(titles[n], *_OUTCOMES[visits.get(n, Visit(n, "")).outcome]) for n in names]

    def _open_contacts(self, case: Case, first_too: bool) -> dict[int, str]:
        """The contacts that a code may be entered for, with their addresses."""
        addresses = self.requests.book.requester(case).contacts
        return {
            i: addresses[i]
            for i, proof in enumerate(case.contacts)
            if proof is Proof.PENDING or (first_too and i == 0)
        }

    # -- proving --------------------------------------------------------------------------------

    def send_code(self, request: Request) -> Answer:
        """Have a code sent. The same calls and answer for a reference that does not exist."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        if not self._admitted(request):
            return self.fault(429)(request)
        self.requests.ask_for_code(case_id, _contact(request))
        return see(request, f"{_then(request, case_id)}?sent=1")

    def confirm(self, request: Request) -> Answer:
        """Take a code: it proves its contact, and the first contact's opens the case to this browser."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        contact, seen = _contact(request), self._seen(request, case_id)
        field = "code" if contact == 0 else f"code-{contact}"
        form = Form({field: request.form.get("code", "")})
        code = read_code(form.value(field))
        if not form.value(field).strip():
            form.wrong(field, "code_missing")
        elif code is None:
            form.wrong(field, "code_form")
        # A further address counts only in the browser that named it: its owner may be somebody
        # else, and must not be led to open their own data to who named it.
        elif (contact > 0 and seen.grant is None) or not self.door.use_code(case_id, contact, code):
            form.wrong(field, "code_wrong")
        if form.errors:
            return self._confirm_again(request, case_id, seen, form)
        return self._proven(request, case_id, contact, seen.session)

    def _confirm_again(self, request: Request, case_id: str, seen: Seen, form: Form) -> Answer:
        if request.form.get("then") == "download" and seen.grant and seen.grant.level >= Level.MAILBOX:
            case = self._case(case_id)
            if case and has_bundle(case):
                return self._download_page(request, case, seen.grant, form)
        return self._status(request, case_id, seen, form)

    def _proven(self, request: Request, case_id: str, contact: int, session: Session | None) -> Answer:
        self.requests.confirm(case_id, contact)
        answer = see(request, _then(request, case_id))
        if contact > 0:
            return answer
        return replace(answer, cookie=self.door.raise_session(session, case_id, Level.MAILBOX))

    def skip(self, request: Request) -> Answer:
        """Go on without a further address."""
        return self._act(request, lambda case_id, _: self.requests.skip(case_id, _contact(request)))

    def withdraw(self, request: Request) -> Answer:
        """End the case."""
        return self._act(request, self.requests.withdraw)

    def no_sign_in(self, request: Request) -> Answer:
        """Ask for a person, since signing in is not possible."""
        return self._act(request, lambda case_id, _: self.requests.cannot_sign_in(case_id), Level.MAILBOX)

    def _act(
        self, request: Request, action: Callable[[str, Grant], Case], needed: Level = Level.SUBMITTED
    ) -> Answer:
        """Take an action if this browser may; in any case back to the page, which says what is so."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        grant = self._seen(request, case_id).grant
        if grant and grant.level >= needed:
            try:
                action(case_id, grant)
            except (Refused, NotFound) as error:
                logger.info("the action was refused", case_id=case_id, reason=type(error).__name__)
        return see(request, f"/requests/{case_id}")

    def link(self, request: Request) -> Answer:
        """The page behind a mailed link. Mail scanners open it too: only its button confirms."""
        found = self._find_link(request)
        if found is None:
            return self._page(request, "link_used", 404)
        case, contact = found
        elsewhere = contact > 0 and self._seen(request, case.case_id).grant is None
        return self._page(
            request, "link", token=request.parameters["token"], elsewhere=elsewhere,
            pending=case.contacts[contact] is Proof.PENDING, right_asked=case.right,
        )  # fmt: skip

    def use_link(self, request: Request) -> Answer:
        """The button behind a mailed link."""
        found = self._find_link(request)
        if found is None:
            return self._page(request, "link_used", 404)
        case, contact = found
        seen = self._seen(request, case.case_id)
        if contact > 0 and seen.grant is None:
            return self.link(request)
        if self.door.use_link(request.parameters["token"]) is None:
            return self._page(request, "link_used", 404)
        return self._proven(request, case.case_id, contact, seen.session)

    def _find_link(self, request: Request) -> tuple[Case, int] | None:
        token = read_token(request.parameters["token"])
        found = self.door.find_link(token) if token else None
        case = self._case(found[0]) if found else None
        return (case, found[1]) if case and found else None

    # -- signing in -----------------------------------------------------------------------------

    def sign_in(self, request: Request) -> Answer:
        """Leave for the company's sign-in page."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        seen, sign_in = self._seen(request, case_id), parameters.sign_in(self.sign_in_parameter)
        case = self._case(case_id) if seen.grant and seen.grant.level >= Level.MAILBOX else None
        if not (case and seen.session and sign_in and (awaits_sign_in(case) or case.signed_in_at)):
            return see(request, f"/requests/{case_id}")
        state, nonce, challenge = self.door.begin_sign_in(seen.session, case_id, request.form.get("then", ""))
        from dsr.web import oidc

        return Answer(303, location=oidc.leave(sign_in, self._back(), state, nonce, challenge))

    def sign_in_return(self, request: Request) -> Answer:
        """Where the sign-in page sends the browser: a page whose button goes on."""
        code, state = request.query.get("code", ""), read_token(request.query.get("state", ""))
        if not code or state is None:
            return self._page(request, "sign_in_failed", 422, why="", case_id="")
        return self._page(request, "sign_in_return", code=code, state=state)

    def signed_in(self, request: Request) -> Answer:
        """Exchange the code, and record or compare the account."""
        session, state = self._session(request), read_token(request.form.get("state", ""))
        begun = self.door.finish_sign_in(session, state) if session and state else None
        sign_in = parameters.sign_in(self.sign_in_parameter)
        if begun is None or sign_in is None:
            return self._page(request, "sign_in_failed", 422, why="", case_id="")
        from dsr.web import oidc

        try:
            account = oidc.account(
                sign_in, self._back(), request.form.get("code", ""), begun.verifier, begun.nonce
            )
        except Refused as error:
            logger.warning("signing in failed", case_id=begun.case_id, reason=str(error))
            why = "stale" if isinstance(error, oidc.Stale) else ""
            return self._page(request, "sign_in_failed", 422, why=why, case_id=begun.case_id)
        if not self.requests.signed_in(begun.case_id, account):
            return self._page(request, "sign_in_failed", 422, why="other", case_id=begun.case_id)
        cookie = self.door.raise_session(
            session, begun.case_id, Level.ACCOUNT, self.door.mac("account", account)
        )
        return replace(see(request, _then_path(begun.then, begun.case_id)), cookie=cookie)

    def _back(self) -> str:
        return f"{self.own()}/sign-in/callback"

    # -- downloading ----------------------------------------------------------------------------

    def download_page(self, request: Request) -> Answer:
        """The download, behind a fresh proof of who asks."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        grant = self._seen(request, case_id).grant
        case = self._case(case_id) if grant and grant.level >= Level.MAILBOX else None
        if grant is None or case is None or not has_bundle(case):
            return see(request, f"/requests/{case_id}")
        return self._download_page(request, case, grant)

    def _download_page(self, request: Request, case: Case, grant: Grant, form: Form | None = None) -> Answer:
        fresh = self.requests.may_download(case, grant, time.time())
        needs_account = level_needed(case) is Level.ACCOUNT
        sign_in = parameters.sign_in(self.sign_in_parameter) if needs_account else None
        return self._page(
            request, "download", case=case, fresh=fresh, needs_account=needs_account, sign_in=bool(sign_in),
            size=_size(case), minutes=self.requests.link_seconds // 60, step=4, right=case.right,
            form_to=(self.requests.bundles_origin(),) if fresh else _origins(sign_in), **_told(request, form),
        )  # fmt: skip

    def download(self, request: Request) -> Answer:
        """On to the bundle, by a link of minutes."""
        case_id = _case_id(request)
        if case_id is None:
            return self.fault(404)(request)
        grant = self._seen(request, case_id).grant
        if grant is None or grant.level < Level.MAILBOX:
            return see(request, f"/requests/{case_id}")
        try:
            return Answer(303, location=self.requests.download(case_id, grant))
        except (Refused, NotFound):
            return see(request, f"/requests/{case_id}/download")

    # -- the rest -------------------------------------------------------------------------------

    def static(self, request: Request) -> Answer:
        """A file of the style."""
        found = static(request.parameters["file"])
        return Answer(200, found[0], found[1], cached=True) if found else self.fault(404)(request)

    def health(self, _request: Request) -> Answer:
        """Whether the function answers; asks nothing else."""
        return Answer(200, "ok\n", "text/plain; charset=utf-8")

    def fault(self, status: int) -> Callable[[Request], Answer]:
        """The page for an error of this status."""

        def page(request: Request) -> Answer:
            headers = {"Retry-After": "3600"} if status == 429 else {}
            return replace(self._page(request, "fault", status, status=status), headers=headers)

        return page

    def _page(
        self, request: Request, page: str, answer: int = 200, form_to: tuple[str, ...] = (), **values: Any
    ) -> Answer:
        values.setdefault("errors", {})
        values.setdefault("notice", "")
        answer = 422 if values["errors"] else answer
        body = render(page, base=request.base, controller=_controller(self.plan()), **values)
        return Answer(answer, body, form_to=form_to)

    def _session(self, request: Request) -> Session | None:
        cookie = read_token(request.cookie)
        return self.door.session(cookie) if cookie else None

    def _seen(self, request: Request, case_id: str) -> Seen:
        session = self._session(request)
        return Seen(session, session.grants.get(case_id) if session else None)

    def _case(self, case_id: str) -> Case | None:
        try:
            return self.requests.book.get(case_id)
        except NotFound:
            return None

    def _admitted(self, request: Request) -> bool:
        return self.door.admit("source", request.source, self.most_per_source)


def _nothing(_request: Request, _case: Case) -> dict[str, Any]:
    return {}


def _controller(plan: Plan) -> dict[str, str]:
    return {"complaint": "", **plan.controller}


def _case_id(request: Request) -> str | None:
    return read_case_id(request.parameters["case_id"])


def _contact(request: Request) -> int:
    said = request.form.get("contact", "0")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 3 else 0


def _then(request: Request, case_id: str) -> str:
    return _then_path(request.form.get("then", ""), case_id)


def _then_path(then: str, case_id: str) -> str:
    return f"/requests/{case_id}/download" if then == "download" else f"/requests/{case_id}"


def _told(request: Request, form: Form | None) -> dict[str, Any]:
    """What a page tells about the last thing done: a code sent, or a code that was wrong."""
    errors = form.errors if form else {}
    notice = CODE_SENT if "sent" in request.query and not errors else ""
    return {"errors": errors, "typed": form.values if form else {}, "notice": notice}


def _origins(sign_in: parameters.SignIn | None) -> tuple[str, ...]:
    from dsr.web import oidc

    return (oidc.origin(sign_in.domain),) if sign_in else ()


def _size(case: Case) -> str:
    found = case.bundle.get("size")
    return size(int(found)) if found else ""
