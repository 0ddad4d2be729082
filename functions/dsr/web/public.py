"""The public pages, put together: every path and method, and what is shown when something goes wrong."""

from dataclasses import dataclass

from dsr.web.asking import Asking
from dsr.web.deleting import Deleting
from dsr.web.downloading import Downloading
from dsr.web.following import Following
from dsr.web.frame import Frame
from dsr.web.http import REQUESTERS, Answer, Cookie, Request
from dsr.web.policy import Policy
from dsr.web.proving import Proving
from dsr.web.router import Faults, Route
from dsr.web.templates import static


@dataclass(frozen=True)
class PublicPages:
    """The pages for requesters."""

    frame: Frame
    cookie: Cookie = REQUESTERS

    def routes(self) -> tuple[Route, ...]:
        """Every path and method, the first that fits wins. No GET changes state."""
        following, downloading = Following(self.frame), Downloading(self.frame)
        return (
            *Asking(self.frame).routes(),
            *downloading.routes(),
            *Deleting(self.frame, following).routes(),
            *Proving(self.frame, following, downloading).routes(),
            *following.routes(),
            *Policy(self.frame).routes(),
            Route("GET", "/static/{file}", self.static),
            Route("GET", "/healthz", self.health),
        )

    def faults(self) -> Faults:
        """The pages for what goes wrong."""
        fault = self.frame.fault
        return Faults(fault(404), fault(405), fault(403), fault(500))

    def own(self) -> str:
        """The public address of these pages."""
        return self.frame.own()

    def static(self, request: Request) -> Answer:
        """A file of the style."""
        found = static(request.parameters["file"])
        return Answer(200, found[0], found[1], cached=True) if found else self.frame.fault(404)(request)

    def health(self, _request: Request) -> Answer:
        """Whether the function answers; asks nothing else."""
        return Answer(200, "ok\n", "text/plain; charset=utf-8")
