"""The privacy notice as a page of the public site, and as a file to print."""

from dataclasses import dataclass
from importlib import resources

from dsr.web.http import Answer, Request
from dsr.web.router import Route
from dsr.web.shell import Shell


@dataclass(frozen=True)
class Policy:
    """Both forms of the notice, from the plan that this deployment ships."""

    shell: Shell

    def routes(self) -> tuple[Route, ...]:
        """The paths of these pages."""
        return (
            Route("GET", "/policy", self.page),
            Route("GET", "/policy.pdf", self.printable),
        )

    def page(self, request: Request) -> Answer:
        """The page."""
        from dsr.datamap.notice import notice_of  # no other page needs the list of categories

        return self.shell.page(request, "policy", told=notice_of(self.shell.plan()))

    def printable(self, request: Request) -> Answer:
        """The file, made when the deployment was built."""
        try:
            # Printed in ASCII, so that it passes API Gateway as text: no setting for all paths is needed.
            content = resources.files("dsr_plan").joinpath("policy.pdf").read_text("ascii")
        except (FileNotFoundError, ModuleNotFoundError):
            return self.shell.fault(404)(request)
        named = {"Content-Disposition": 'inline; filename="privacy-notice.pdf"'}
        return Answer(200, content, "application/pdf", headers=named)
