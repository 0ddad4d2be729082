"""Proving who one is: codes, mailed links, the company's sign-in."""

from dataclasses import dataclass, replace

from dsr.case import Case, Proof
from dsr.errors import Refused
from dsr.front_door import Session
from dsr.identity import Level, read_code, read_token
from dsr.log import logger
from dsr.requests import awaits_sign_in, has_bundle
from dsr.web import oidc
from dsr.web.downloading import Downloading
from dsr.web.following import Following
from dsr.web.forms import Form
from dsr.web.frame import Frame, Seen, case_id_of, contact_of, path_of, then_of
from dsr.web.http import Answer, Request, see
from dsr.web.router import Route


@dataclass(frozen=True)
class Proving:
    """The pages and buttons that prove something; they lead to the case's page or to the download."""

    frame: Frame
    following: Following
    downloading: Downloading

    def routes(self) -> tuple[Route, ...]:
        """The paths of these pages."""
        case = "/requests/{case_id}"
        return (
            Route("POST", f"{case}/code", self.send_code),
            Route("POST", f"{case}/confirm", self.confirm),
            Route("POST", f"{case}/sign-in", self.sign_in),
            Route("GET", "/confirm/{token}", self.link),
            Route("POST", "/confirm/{token}", self.use_link),
            Route("GET", "/sign-in/callback", self.sign_in_return),
            Route("POST", "/sign-in/callback", self.signed_in),
        )

    def send_code(self, request: Request) -> Answer:
        """Have a code sent. The same calls and answer for a reference that does not exist."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        if not self.frame.admitted(request):
            return self.frame.fault(429)(request)
        self.frame.requests.ask_for_code(case_id, contact_of(request))
        return see(request, f"{then_of(request, case_id)}?sent=1")

    def confirm(self, request: Request) -> Answer:
        """Take a code: it proves its contact, and the first contact's opens the case to this browser."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        contact, seen = contact_of(request), self.frame.seen(request, case_id)
        field = "code" if contact == 0 else f"code-{contact}"
        form = Form({field: request.form.get("code", "")})
        code = read_code(form.value(field))
        if not form.value(field).strip():
            form.wrong(field, "code_missing")
        elif code is None:
            form.wrong(field, "code_form")
        # A further address counts only in the browser that named it: its owner may be somebody
        # else, and must not be led to open their own data to who named it.
        elif (contact > 0 and seen.grant is None) or not self.frame.door.use_code(case_id, contact, code):
            form.wrong(field, "code_wrong")
        if form.errors:
            return self._confirm_again(request, case_id, seen, form)
        return self._proven(request, case_id, contact, seen.session)

    def _confirm_again(self, request: Request, case_id: str, seen: Seen, form: Form) -> Answer:
        if request.form.get("then") == "download" and seen.grant and seen.grant.level >= Level.MAILBOX:
            case = self.frame.case(case_id)
            if case and has_bundle(case):
                return self.downloading.show(request, case, seen.grant, form)
        return self.following.show(request, case_id, seen, form)

    def _proven(self, request: Request, case_id: str, contact: int, session: Session | None) -> Answer:
        self.frame.requests.confirm(case_id, contact)
        answer = see(request, then_of(request, case_id))
        if contact > 0:
            return answer
        return replace(answer, cookie=self.frame.door.raise_session(session, case_id, Level.MAILBOX))

    def link(self, request: Request) -> Answer:
        """The page behind a mailed link. Mail scanners open it too: only its button confirms."""
        found = self._find_link(request)
        if found is None:
            return self.frame.page(request, "link_used", 404)
        case, contact = found
        elsewhere = contact > 0 and self.frame.seen(request, case.case_id).grant is None
        return self.frame.page(
            request, "link", token=request.parameters["token"], elsewhere=elsewhere,
            pending=case.contacts[contact] is Proof.PENDING, right_asked=case.right,
        )  # fmt: skip

    def use_link(self, request: Request) -> Answer:
        """The button behind a mailed link."""
        found = self._find_link(request)
        if found is None:
            return self.frame.page(request, "link_used", 404)
        case, contact = found
        seen = self.frame.seen(request, case.case_id)
        if contact > 0 and seen.grant is None:
            return self.link(request)
        if self.frame.door.use_link(request.parameters["token"]) is None:
            return self.frame.page(request, "link_used", 404)
        return self._proven(request, case.case_id, contact, seen.session)

    def _find_link(self, request: Request) -> tuple[Case, int] | None:
        token = read_token(request.parameters["token"])
        found = self.frame.door.find_link(token) if token else None
        case = self.frame.case(found[0]) if found else None
        return (case, found[1]) if case and found else None

    def sign_in(self, request: Request) -> Answer:
        """Leave for the company's sign-in page."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        seen, sign_in = self.frame.seen(request, case_id), self.frame.sign_in()
        case = self.frame.case(case_id) if seen.grant and seen.grant.level >= Level.MAILBOX else None
        if not (case and seen.session and sign_in and (awaits_sign_in(case) or case.signed_in_at)):
            return see(request, f"/requests/{case_id}")
        state, nonce, challenge = self.frame.door.begin_sign_in(
            seen.session.id, case_id, request.form.get("then", "")
        )
        return Answer(303, location=oidc.leave(sign_in, self._back(), state, nonce, challenge))

    def sign_in_return(self, request: Request) -> Answer:
        """Where the sign-in page sends the browser: a page whose button goes on."""
        code, state = request.query.get("code", ""), read_token(request.query.get("state", ""))
        if not code or state is None:
            return self.frame.page(request, "sign_in_failed", 422, why="", case_id="")
        return self.frame.page(request, "sign_in_return", code=code, state=state)

    def signed_in(self, request: Request) -> Answer:
        """Exchange the code, and record or compare the account."""
        session, state = self.frame.session(request), read_token(request.form.get("state", ""))
        begun = self.frame.door.finish_sign_in(session.id, state) if session and state else None
        sign_in = self.frame.sign_in()
        if begun is None or sign_in is None:
            return self.frame.page(request, "sign_in_failed", 422, why="", case_id="")
        try:
            account = oidc.account(
                sign_in, self._back(), request.form.get("code", ""), begun.verifier, begun.nonce
            )
        except Refused as error:
            logger.warning("signing in failed", case_id=begun.case_id, reason=str(error))
            why = "stale" if isinstance(error, oidc.Stale) else ""
            return self.frame.page(request, "sign_in_failed", 422, why=why, case_id=begun.case_id)
        if not self.frame.requests.signed_in(begun.case_id, account):
            return self.frame.page(request, "sign_in_failed", 422, why="other", case_id=begun.case_id)
        cookie = self.frame.door.raise_session(
            session, begun.case_id, Level.ACCOUNT, self.frame.door.mac("account", account)
        )
        return replace(see(request, path_of(begun.then, begun.case_id)), cookie=cookie)

    def _back(self) -> str:
        return f"{self.frame.own()}/sign-in/callback"
