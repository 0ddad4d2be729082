"""What the desk's pages stand in: the book of cases, the door, the frame around."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from dsr.case import Case, read_case_id
from dsr.casebook import Casebook
from dsr.errors import NotFound
from dsr.web.desk.door import Agent, DeskDoor
from dsr.web.http import Answer, Request
from dsr.web.shell import Shell, origins


@dataclass(frozen=True)
class DeskFrame(Shell):
    """`workflow` is the ARN of the state machine of cases, `case_key` the KMS key of case keys."""

    folder: ClassVar[str] = "desk/"
    book: Casebook
    door: DeskDoor
    staging_bucket: str
    workflow: str
    case_key: str

    def page(
        self, request: Request, page: str, answer: int = 200, form_to: tuple[str, ...] = (), **values: Any
    ) -> Answer:
        """The template of the desk; without `agent` it is shown to nobody in particular."""
        values.setdefault("agent", None)
        return super().page(request, page, answer, form_to, **values)

    def page_for(self, agent: Agent, request: Request, page: str, answer: int = 200, **values: Any) -> Answer:
        """The template, for who is signed in; its button to sign out leads to the sign-in page."""
        return self.page(request, page, answer, origins(self.sign_in()), agent=agent, **values)

    def case(self, request: Request) -> Case | None:
        """The case that the path names, or None."""
        case_id = read_case_id(request.parameters["case_id"])
        if case_id is None:
            return None
        try:
            return self.book.get(case_id)
        except NotFound:
            return None


_THEN = re.compile(r"/desk/cases/([0-9A-Z-]{19})(?:/[a-z0-9_/-]+)?")


def then_of(path: str) -> str:
    """Where to go after signing in: the page of a case, or the list. Nothing else is taken over."""
    found = _THEN.fullmatch(path)
    return f"/desk/cases/{found[1]}" if found and read_case_id(found[1]) == found[1] else "/desk"
