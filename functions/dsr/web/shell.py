"""What every set of pages stands in: its templates, the faults, the public address, the sign-in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dsr import parameters
from dsr.datamap.plan import Plan
from dsr.web import oidc
from dsr.web.http import Answer, Request
from dsr.web.templates import render


@dataclass(frozen=True)
class Shell:
    """`plan` names the company; the others are the SSM parameters of the public address and the sign-in."""

    plan: Callable[[], Plan]
    public_url_parameter: str
    sign_in_parameter: str
    folder: ClassVar[str] = ""  # of its templates

    def own(self) -> str:
        """The public address of these pages."""
        return parameters.public_url(self.public_url_parameter)

    def page(
        self, request: Request, page: str, answer: int = 200, form_to: tuple[str, ...] = (), **values: Any
    ) -> Answer:
        """The template `page` with its values; 422 where it shows errors and nothing else is said.

        `form_to`: origins beside our own that a form on it leads to.
        """
        values.setdefault("errors", {})
        values.setdefault("notice", "")
        answer = 422 if values["errors"] and answer == 200 else answer
        body = render(self.folder + page, base=request.base, controller=_controller(self.plan()), **values)
        return Answer(answer, body, form_to=form_to)

    def fault(self, status: int) -> Callable[[Request], Answer]:
        """The page for an error of this status."""

        def page(request: Request) -> Answer:
            headers = {"Retry-After": "3600"} if status == 429 else {}
            return replace(self.page(request, "fault", status, status=status), headers=headers)

        return page

    def sign_in(self) -> parameters.SignIn | None:
        """The sign-in, if one is configured."""
        return parameters.sign_in(self.sign_in_parameter)


def _controller(plan: Plan) -> dict[str, str]:
    return {"complaint": "", **plan.controller}


def origins(sign_in: parameters.SignIn | None) -> tuple[str, ...]:
    """The origins that a sign-in form leads to."""
    return (oidc.origin(sign_in.domain),) if sign_in else ()
