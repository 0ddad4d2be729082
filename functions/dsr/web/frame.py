"""What the public pages stand in: the session behind the cookie, the case, what was last done."""

from dataclasses import dataclass
from typing import Any

from dsr.case import Case, read_case_id
from dsr.errors import NotFound
from dsr.front_door import FrontDoor, Session
from dsr.identity import Grant, read_token
from dsr.requests import Requests
from dsr.web.forms import Form
from dsr.web.http import Request
from dsr.web.shell import Shell
from dsr.web.templates import size

CODE_SENT = "If there is such a request, a new code is on its way. Codes sent before stop working."


@dataclass(frozen=True)
class Seen:
    """Who asks: their session, if any, and what it may do with the case."""

    session: Session | None
    grant: Grant | None


@dataclass(frozen=True)
class Frame(Shell):
    """What the pages work with. `most_per_source`: submissions and codes an hour from one network address.

    `texts`: whether a phone number is proven by text message; `most_texts_per_source`: submissions an hour
    from one network address that name one.
    """

    requests: Requests
    door: FrontDoor
    most_per_source: int
    signing_keys: str  # of certificates
    texts: bool = False
    most_texts_per_source: int = 5

    def session(self, request: Request) -> Session | None:
        """The session of the browser's cookie."""
        cookie = read_token(request.cookie)
        return self.door.session(cookie) if cookie else None

    def seen(self, request: Request, case_id: str) -> Seen:
        """Who asks, as far as this case goes."""
        session = self.session(request)
        return Seen(session, session.grants.get(case_id) if session else None)

    def case(self, case_id: str) -> Case | None:
        """The case, or None if there is none."""
        try:
            return self.requests.book.get(case_id)
        except NotFound:
            return None

    def admitted(self, request: Request) -> bool:
        """Whether the sender's network address may ask for this much; counts it."""
        return self.door.admit("source", request.source, self.most_per_source)

    def admitted_text(self, request: Request) -> bool:
        """Whether the sender's network address may name one more phone number; counts it."""
        return self.door.admit("text source", request.source, self.most_texts_per_source)


def case_id_of(request: Request) -> str | None:
    """The reference in the path as we write it, or None if it cannot be one."""
    return read_case_id(request.parameters["case_id"])


def contact_of(request: Request) -> int:
    """Which contact a form is about; the first unless it says otherwise."""
    said = request.form.get("contact", "0")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 3 else 0


def then_of(request: Request, case_id: str) -> str:
    """Where a form wants to lead afterwards."""
    return path_of(request.form.get("then", ""), case_id)


def path_of(then: str, case_id: str) -> str:
    """The path of what comes next for the case: the download, or its page."""
    return f"/requests/{case_id}/download" if then == "download" else f"/requests/{case_id}"


def told(request: Request, form: Form | None) -> dict[str, Any]:
    """What a page tells about the last thing done: a code sent, or a code that was wrong."""
    errors = form.errors if form else {}
    notice = CODE_SENT if "sent" in request.query and not errors else ""
    return {"errors": errors, "typed": form.values if form else {}, "notice": notice}


def size_of(case: Case) -> str:
    """How large the bundle is, in words."""
    found = case.bundle.get("size")
    return size(int(found)) if found else ""
