"""A person's request as they live it: a form in a browser, mails, a sign-in, a page to follow, a download."""

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dsr.case import Case, State
from infra.craftzone.holdings import Person, Records
from infra.local import checks, demo
from infra.local.browser import FORM, Browser, Form, Page
from infra.local.cloud import Mail
from tests.workflow.stage import Stage

LINK = re.compile(r"^\s*(http\S+/confirm/\S+)\s*$", re.MULTILINE)
TEXTED = re.compile(r": (\d{4}) (\d{4}) is your code")
ENDS_WAIT = (State.AWAITING_IDENTITY, State.VERIFIED, State.GATHERING, State.BUNDLING, State.READY)


class NotingBrowser(Browser):
    """A browser that notes every address it opens or is sent to."""

    def __init__(self, noted: list[str]) -> None:
        super().__init__()
        self._noted = noted

    def _exchange(
        self, method: str, url: str, body: bytes | None, kind: str = FORM
    ) -> tuple[int, dict[str, str], bytes]:
        answer = super()._exchange(method, url, body, kind)
        self._noted += [url, answer[1].get("location", "")]
        return answer


@dataclass
class Story:
    """One request of one person, with their browser. Each step returns the page it ends on."""

    stage: Stage
    who: str
    browser: Browser = field(init=False)
    page: Page = field(init=False)
    case_id: str = field(init=False)
    _used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stage.people.add(self.who)
        self.browser = self.other_browser()

    @property
    def person(self) -> Person:
        return self.stage.community.person(self.who)

    def other_browser(self) -> Browser:
        """Another browser, on another device maybe, that knows nothing of this one."""
        return NotingBrowser(self.stage.addresses)

    # -- asking ----------------------------------------------------------------------------------

    def ask(self, email: str = "", **answers: str) -> "Story":
        """Fill in the form, read it once more, send it. Fields left out stay as the form has them."""
        answers = {"right": "access", "email": email or self.person.email, **answers}
        self.stage.typed |= {value for name, value in answers.items() if name in ("email", "name", "phone")}
        self.stage.typed |= set(answers.get("other_emails", "").split())
        self.page = self.browser.get(f"{self.stage.url}/")
        self.page = self.browser.submit(self.page, self.page.form("submission", "email"), **answers)
        self.page = self.browser.submit(self.page, self.page.form(action="/requests"))
        self.case_id = demo.case_of(self.page)
        self.stage.cases.append(self.case_id)
        return self

    # -- proving ---------------------------------------------------------------------------------

    def mails(self, address: str = "") -> list[Mail]:
        """The mails about this request to the person, or to another address of theirs; oldest first."""
        mails = self.stage.cloud.mails(address or self.person.email)
        return [mail for mail in mails if self.case_id in mail.text]

    def mail(self, subject: str, address: str = "") -> Mail:
        """The newest mail about this request whose subject ends so, waited for."""

        def look() -> Mail | None:
            found = [mail for mail in self.mails(address) if mail.subject.endswith(subject)]
            return found[-1] if found else None

        return self.stage.until(f"the mail '{subject}'", look, case_id=self.case_id)

    def code(self, address: str = "") -> str:
        """The newest code that was mailed or texted, neither used nor replaced in this story; waited for."""

        def look() -> str | None:
            codes = self._codes(address)
            return codes[-1] if codes and codes[-1] not in self._used else None

        return self.stage.until("a code", look, case_id=self.case_id)

    def _codes(self, address: str) -> list[str]:
        if address.startswith("+"):
            found = [TEXTED.search(text) for text in self.stage.cloud.texts(address)]
        else:
            found = [demo.CODE.search(mail.text) for mail in self.mails(address)]
        return ["".join(match.groups()) for match in found if match]

    def link(self, address: str = "") -> str:
        """The newest link that was mailed, waited for."""

        def look() -> str | None:
            links = [found[1] for m in self.mails(address) if (found := LINK.search(m.text))]
            return links[-1] if links else None

        return self.stage.until("a link", look, case_id=self.case_id)

    def enter(self, code: str, contact: int = 0) -> Page:
        """Type a code for one of the addresses."""
        self.page = self.browser.submit(self.page, self._of_contact("code", contact), code=code)
        return self.page

    def confirm(self, contact: int = 0, address: str = "") -> Page:
        """Enter the newest code that was mailed to an address, or texted to a number."""
        code = self.code(address)
        self._used.add(code)
        return self.enter(code, contact)

    def skip(self, contact: int) -> Page:
        """Go on without a further address."""
        self.page = self.browser.submit(self.page, self._of_contact("contact", contact, "/skip"))
        return self.page

    def new_code(self) -> Page:
        """Have a new code sent to the person's own address, in place of those before."""
        self._used |= set(self._codes(""))
        self.page = self.browser.submit(self.page, self._of_contact("contact", 0, "/code"))
        return self.page

    def _of_contact(self, name: str, contact: int, action: str = "") -> Form:
        for form in self.page.forms:
            fits = name in form.fields and form.action.endswith(action)
            if fits and form.fields.get("contact") == str(contact):
                return form
        raise AssertionError(f"{self.page.url} has no such form: {self.page.text[:400]}")

    def asked_to_sign_in(self) -> Page:
        """The page that asks for the account's sign-in, once the account is found."""

        def look() -> Page | None:
            case = self.stage.reaches(self.case_id, *ENDS_WAIT, State.RESOLVING)
            return self.look() if case.state is State.AWAITING_IDENTITY and case.needs == "account" else None

        return self.stage.until("the sign-in to be asked for", look, case_id=self.case_id)

    def sign_in(self, as_: str = "") -> Page:
        """Sign in with the account, or with somebody else's."""
        person = self.stage.community.person(as_ or self.who)
        self.page = demo.sign_in(self.browser, self.page, person)
        return self.page

    def prove(self) -> "Story":
        """All that an account holder, or somebody without an account, proves before anything is gathered."""
        self.confirm()
        if self.person.member:
            self.asked_to_sign_in()
            self.sign_in()
        return self

    # -- following -------------------------------------------------------------------------------

    def look(self) -> Page:
        """Open the page of the request."""
        self.page = self.browser.get(f"{self.stage.url}/requests/{self.case_id}")
        return self.page

    def case(self) -> Case:
        """The case as it stands."""
        return self.stage.book.get(self.case_id)

    def reaches(self, *states: State) -> Case:
        """The case once it stands in one of `states`."""
        return self.stage.reaches(self.case_id, *states)

    # -- receiving -------------------------------------------------------------------------------

    def download(self, part: int = 1) -> checks.Bundle:
        """Wait for the bundle, download it (that zip of it) by the page's own links, and read it."""
        self.reaches(State.READY, State.DELIVERED)
        page = self.look()
        assert demo.offers_download(page), page.text
        content = demo.download(self.browser, self.stage.cloud, page, self.person, part)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bundle.zip"
            path.write_bytes(content)
            return checks.read_bundle(path)

    def truth(self, also_proven: Iterable[str] = (), typed: Mapping[str, str] | None = None) -> Records:
        """What the bundle must hold."""
        return self.stage.community.records_of(self.who, also_proven=also_proven, typed=typed)

    def doubtful(self, also_proven: Iterable[str] = ()) -> Records:
        """What the bundle may hold only once somebody decided so."""
        return self.stage.community.doubtful_of(self.who, also_proven=also_proven)


def faults(truth: Mapping[Any, list[Any]], bundle: checks.Bundle) -> list[str]:
    """Where a bundle is not the truth, or not what its own manifest says."""
    return checks.manifest_faults(bundle) + checks.record_faults(truth, bundle)


def joined(*parts: Records) -> Records:
    """The records of all parts together."""
    whole: Records = {}
    for part in parts:
        for collection, records in part.items():
            whole[collection] = whole.get(collection, []) + records
    return whole


def path_of(page: Page) -> str:
    """The path of a page's address."""
    return urlsplit(page.url).path
