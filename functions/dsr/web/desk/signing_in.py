"""Signing in to the desk and out again: Cognito's hosted page, authorization code with PKCE."""

from dataclasses import dataclass, replace

from dsr.errors import Refused
from dsr.identity import read_token
from dsr.log import logger
from dsr.web import oidc
from dsr.web.desk.frame import DeskFrame, then_of
from dsr.web.desk.roles import roles_in
from dsr.web.http import Answer, Request, see
from dsr.web.router import Route
from dsr.web.shell import origins


@dataclass(frozen=True)
class SigningIn:
    """The pages that need no session."""

    frame: DeskFrame

    def routes(self) -> tuple[Route, ...]:
        """The paths of these pages."""
        return (
            Route("GET", "/desk/sign-in", self.ask),
            Route("POST", "/desk/sign-in", self.leave),
            Route("GET", "/desk/sign-in/callback", self.come_back),
            Route("POST", "/desk/sign-in/callback", self.signed_in),
            Route("GET", "/desk/sign-out", self.ask),
            Route("POST", "/desk/sign-out", self.sign_out),
        )

    def ask(self, request: Request) -> Answer:
        """The page with the button to sign in."""
        sign_in = self.frame.sign_in()
        then, why = then_of(request.query.get("then", "")), request.query.get("why", "")
        return self.frame.page(
            request, "sign_in", form_to=origins(sign_in), then=then, why=why, sign_in=bool(sign_in)
        )

    def leave(self, request: Request) -> Answer:
        """Leave for the hosted page."""
        sign_in = self.frame.sign_in()
        if sign_in is None:
            return see(request, "/desk/sign-in")
        then = then_of(request.form.get("then", ""))
        cookie, state, nonce, challenge = self.frame.door.leave(request.cookie, then)
        there = oidc.leave(sign_in, self._back(), state, nonce, challenge)
        return Answer(303, location=there, cookie=cookie)

    def come_back(self, request: Request) -> Answer:
        """Where the hosted page sends the browser: a page whose button goes on."""
        code, state = request.query.get("code", ""), read_token(request.query.get("state", ""))
        if not code or state is None:
            return self._failed(request, "")
        return self.frame.page(request, "sign_in_return", code=code, state=state)

    def signed_in(self, request: Request) -> Answer:
        """Exchange the code, and open the session with the roles that the groups give."""
        state, sign_in = read_token(request.form.get("state", "")), self.frame.sign_in()
        begun = self.frame.door.come_back(request.cookie, state) if state else None
        if begun is None or sign_in is None:
            return self._failed(request, "")
        try:
            code = request.form.get("code", "")
            sub, groups = oidc.member(sign_in, self._back(), code, begun.verifier, begun.nonce)
        except Refused as error:
            logger.warning("signing in to the desk failed", reason=str(error))
            return self._failed(request, "stale" if isinstance(error, oidc.Stale) else "")
        roles = roles_in(groups)
        if not roles:
            logger.warning("signing in to the desk failed", reason="in none of the groups")
            return self._failed(request, "no_role")
        return replace(see(request, begun.then), cookie=self.frame.door.open_session(sub, roles))

    def sign_out(self, request: Request) -> Answer:
        """End the session here and at the hosted page, which comes back to ours."""
        agent, sign_in = self.frame.door.agent(request.cookie), self.frame.sign_in()
        if agent:
            self.frame.door.close_session(agent)
        if sign_in is None:
            return replace(see(request, "/desk/sign-in"), cookie="")
        return Answer(303, location=oidc.sign_out(sign_in, f"{self.frame.own()}/desk/sign-in"), cookie="")

    def _failed(self, request: Request, why: str) -> Answer:
        status = 403 if why == "no_role" else 422
        return self.frame.page(request, "sign_in_failed", status, origins(self.frame.sign_in()), why=why)

    def _back(self) -> str:
        return f"{self.frame.own()}/desk/sign-in/callback"
