"""Deleting: the button below the plan; afterwards the certificate and the key to check it with."""

import json
import time
from dataclasses import dataclass

from dsr.case import Case, State
from dsr.errors import NotFound, Refused
from dsr.identity import Level, read_token
from dsr.log import logger
from dsr.requests import has_begun
from dsr.signing_key import public_keys
from dsr.web.following import Following
from dsr.web.forms import Form
from dsr.web.frame import Frame, case_id_of
from dsr.web.http import Answer, Request, see
from dsr.web.router import Route
from dsr.web.telling import KEY_PATH


@dataclass(frozen=True)
class Deleting:
    """What is done on the pages of a deletion."""

    frame: Frame
    following: Following

    def routes(self) -> tuple[Route, ...]:
        """The paths of it."""
        case = "/requests/{case_id}"
        return (
            Route("POST", f"{case}/confirm-deletion", self.confirm),
            Route("GET", f"{case}/certificate", self.certificate),
            Route("GET", f"{case}/certificate/print", self.to_print),
            Route("GET", f"{case}/supplement", self.supplement),
            Route("GET", KEY_PATH, self.key),
            Route("GET", "/cancel/{token}", self.cancel_link),
            Route("POST", "/cancel/{token}", self.cancel),
        )

    def confirm(self, request: Request) -> Answer:
        """Confirm the plan (`sure`), or afterwards only that the copy is not waited for (`waive`)."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        seen = self.frame.seen(request, case_id)
        case = self.frame.case(case_id) if seen.grant and seen.grant.level >= Level.MAILBOX else None
        if case is None or seen.grant is None:
            return see(request, f"/requests/{case_id}")
        waive = request.form.get("waive") == "yes"
        asked = case.state is State.AWAITING_CONFIRMATION and request.form.get("sure") != "yes"
        if asked and self.frame.requests.is_proven(case, seen.grant, time.time()):
            form = Form({"waive": "yes" if waive else ""})
            form.wrong("sure", "sure_missing")
            return self.following.show(request, case_id, seen, form)
        try:
            self.frame.requests.confirm_deletion(case_id, seen.grant, waive)
        except (Refused, NotFound) as error:
            # The page asks for what was missing: a proof that is fresh.
            logger.info("the deletion was not confirmed", case_id=case_id, reason=type(error).__name__)
        return see(request, f"/requests/{case_id}")

    def cancel_link(self, request: Request) -> Answer:
        """The page behind the link of a mail that announces a deletion. Only its button cancels."""
        case = self._to_cancel(request)
        if case is None:
            return self.frame.page(request, "link_used", 404)
        token = request.parameters["token"]
        return self.frame.page(
            request, "cancel", case=case, token=token, too_late=has_begun(case) or case.ended
        )

    def cancel(self, request: Request) -> Answer:
        """Cancel: whoever reads the mail of the account may, since it can only keep what there is."""
        case = self._to_cancel(request)
        if case is None:
            return self.frame.page(request, "link_used", 404)
        try:
            self.frame.requests.cancel(case.case_id)
        except Refused:
            logger.info("too late to cancel", case_id=case.case_id)
        return see(request, f"/cancel/{request.parameters['token']}")

    def _to_cancel(self, request: Request) -> Case | None:
        token = read_token(request.parameters["token"])
        found = self.frame.door.find_cancel(token) if token else None
        return self.frame.case(found) if found else None

    def certificate(self, request: Request) -> Answer:
        """The certificate as a file, to who may see the case."""
        return self._file(request, "certificate")

    def supplement(self, request: Request) -> Answer:
        """What followed it, as a file."""
        return self._file(request, "supplement")

    def _file(self, request: Request, name: str) -> Answer:
        content = self._content(request, name == "supplement")
        if isinstance(content, Answer):
            return content
        named = {"Content-Disposition": f'attachment; filename="{name}.json"'}
        return Answer(200, content, "application/json; charset=utf-8", headers=named)

    def _content(self, request: Request, supplement: bool) -> str | Answer:
        """The signed file, or the answer to whom it is not given."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        grant = self.frame.seen(request, case_id).grant
        case = self.frame.case(case_id) if grant and grant.level >= Level.MAILBOX else None
        if case is None or not (case.supplement if supplement else case.certificate):
            return see(request, f"/requests/{case_id}")
        try:
            return self.frame.requests.certificate(case, supplement)
        except NotFound:
            return self.frame.fault(404)(request)

    def to_print(self, request: Request) -> Answer:
        """The certificate as a page to read and print; what is signed is the file."""
        content = self._content(request, supplement=False)
        if isinstance(content, Answer):
            return content
        signed = json.loads(content)
        return self.frame.page(
            request, "certificate", said=signed["certificate"], signature=signed["signature"],
            here=f"{request.base}/requests/{case_id_of(request)}",
        )  # fmt: skip

    def key(self, _request: Request) -> Answer:
        """The public keys that certificates are checked with, the newest first."""
        # An hour: should the key ever be replaced, nobody checks with the old one for longer.
        kept = {"Cache-Control": "public, max-age=3600"}
        return Answer(200, public_keys(self.frame.signing_keys), "application/x-pem-file", headers=kept)
