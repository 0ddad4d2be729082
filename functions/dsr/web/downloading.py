"""Downloading: the bundle, behind a fresh proof of who asks."""

import time
from dataclasses import dataclass

from dsr.case import Case
from dsr.errors import NotFound, Refused
from dsr.identity import Grant, Level
from dsr.requests import has_bundle, level_needed, zips_of
from dsr.web.forms import Form
from dsr.web.frame import Frame, case_id_of, size_of, told
from dsr.web.http import Answer, Request, see
from dsr.web.router import Route
from dsr.web.shell import origins
from dsr.web.templates import size


@dataclass(frozen=True)
class Downloading:
    """The page of the download and its button."""

    frame: Frame

    def routes(self) -> tuple[Route, ...]:
        """The paths of these pages."""
        path = "/requests/{case_id}/download"
        return (Route("GET", path, self.page), Route("POST", path, self.download))

    def page(self, request: Request) -> Answer:
        """The download, behind a fresh proof of who asks."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        grant = self.frame.seen(request, case_id).grant
        case = self.frame.case(case_id) if grant and grant.level >= Level.MAILBOX else None
        if grant is None or case is None or not has_bundle(case):
            return see(request, f"/requests/{case_id}")
        return self.show(request, case, grant)

    def show(self, request: Request, case: Case, grant: Grant, form: Form | None = None) -> Answer:
        """The page for this grant; `form` is a code that was typed wrong."""
        requests = self.frame.requests
        fresh = requests.may_download(case, grant, time.time())
        needs_account = level_needed(case) is Level.ACCOUNT
        sign_in = self.frame.sign_in() if needs_account else None
        return self.frame.page(
            request,
            "download",
            case=case,
            right=case.right,
            step=4,
            fresh=fresh,
            needs_account=needs_account,
            sign_in=bool(sign_in),
            size=size_of(case),
            zips=[size(int(z["size"])) for z in zips_of(case) if "supplement" not in z],
            supplements=[size(int(z["size"])) for z in zips_of(case) if "supplement" in z],
            minutes=requests.link_seconds // 60,
            form_to=(requests.bundles_origin(),) if fresh else origins(sign_in),
            **told(request, form),
        )

    def download(self, request: Request) -> Answer:
        """On to the bundle, by a link of minutes."""
        case_id = case_id_of(request)
        if case_id is None:
            return self.frame.fault(404)(request)
        grant = self.frame.seen(request, case_id).grant
        if grant is None or grant.level < Level.MAILBOX:
            return see(request, f"/requests/{case_id}")
        part = request.form.get("part", "1")
        number = int(part) if part.isascii() and part.isdigit() and len(part) < 6 else 0
        try:
            return Answer(303, location=self.frame.requests.download(case_id, grant, number))
        except (Refused, NotFound):
            return see(request, f"/requests/{case_id}/download")
