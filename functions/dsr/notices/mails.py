"""The words of every mail. Pure: from the facts of a case to subject, text and HTML.

No subject says anything personal, and no mail says what is held: it is the status page's, behind
a proof of identity.
"""

from dataclasses import dataclass
from datetime import datetime
from html import escape

from dsr.case import Right
from dsr.notices.refusals import REFUSALS


@dataclass(frozen=True)
class Code:
    """A code, on a line of its own."""

    digits: str


@dataclass(frozen=True)
class Link:
    """An address, on a line of its own so that every mail program finds its end."""

    address: str


Part = str | Code | Link


@dataclass(frozen=True)
class Mail:
    """A mail: `parts` in order, a plain string being a paragraph."""

    subject: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The mail as plain text."""
        return "\n\n".join(_text(part) for part in self.parts) + "\n"

    @property
    def html(self) -> str:
        """The mail as HTML: one column, no images, nothing fetched."""
        body = "\n".join(_html(part) for part in self.parts)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{escape(self.subject)}</title></head>\n"
            '<body style="font-family:system-ui,-apple-system,Segoe UI,Roboto,Arial,sans-serif;'
            'font-size:16px;line-height:1.5;max-width:36em;margin:0 auto;padding:24px">\n'
            f"{body}\n</body></html>\n"
        )


def _text(part: Part) -> str:
    return part.digits if isinstance(part, Code) else part.address if isinstance(part, Link) else part


def _html(part: Part) -> str:
    if isinstance(part, Code):
        style = "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:28px;letter-spacing:2px"
        return f'<p style="{style}">{escape(part.digits)}</p>'
    if isinstance(part, Link):
        address = escape(part.address)
        return f'<p><a href="{address}">{address}</a></p>'
    return f"<p>{escape(part).replace(chr(10), '<br>')}</p>"


@dataclass(frozen=True)
class Facts:
    """What a mail may say: the company, the case's reference, the request, its page and its dates."""

    company: str
    contact: str
    complaint: str
    case_id: str
    right: Right
    page: str
    due_at: datetime
    expires_at: datetime | None = None
    in_part: bool = False
    reason: str = ""  # of a refusal

    @property
    def asked(self) -> str:
        """The request in the words of a sentence."""
        return "a copy of the data" if self.right is Right.ACCESS else "deletion of the data"

    @property
    def signed(self) -> tuple[str, ...]:
        """How every mail ends."""
        return (f"Reference: {self.case_id}", f"{self.company}\nQuestions: {self.contact}")

    @property
    def remedies(self) -> str:
        """How to object."""
        complain = f", or complain to {self.complaint}" if self.complaint else ""
        return f"If you do not agree, write to {self.contact}{complain}. You may also go to court."


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


_SHORT = "Code and link work once, for 15 minutes. A newer mail replaces them."
_YOURS = "Give the code to nobody, not even to us."


def _mail(facts: Facts, subject: str, *parts: Part) -> Mail:
    return Mail(f"{facts.company}: {subject}", (*parts, *facts.signed))


def confirm(facts: Facts, code: str, link: str) -> Mail:
    """To the first address, before it is proven."""
    return _mail(
        facts,
        "confirm your request",
        f"Somebody asked {facts.company} for {facts.asked} that we hold about the owner of this mailbox. "
        "If it was you, confirm it with this code:",
        Code(code),
        "Or open this page and press its button:",
        Link(link),
        f"{_SHORT} {_YOURS}",
        "If it was not you, do nothing. Without the code nothing is looked up, and the request ends itself.",
    )


def confirm_further(facts: Facts, code: str, link: str) -> Mail:
    """To a further address, whose owner may be somebody else than who asks."""
    return _mail(
        facts,
        "confirm this address",
        f"Somebody asked {facts.company} for {facts.asked} that we hold, and named this address as "
        "another of theirs. If it was you, enter this code in the browser where you sent the request:",
        Code(code),
        "Or open this page in that browser and press its button:",
        Link(link),
        _SHORT,
        "If it was not you, do nothing, and give the code to nobody: who has it could receive "
        "what we hold under your address.",
    )


def show(facts: Facts, code: str, link: str) -> Mail:
    """To the first address, once it is proven: to come back to the case, or to download."""
    return _mail(
        facts,
        "your code",
        "With this code you can see your request, or download what is ready for you:",
        Code(code),
        "Or open this page and press its button:",
        Link(link),
        f"{_SHORT} {_YOURS}",
        "If you did not ask for a code, do nothing.",
    )


def ready(facts: Facts) -> Mail:
    """The bundle can be downloaded."""
    until = f" The file stays there until {_day(facts.expires_at)}." if facts.expires_at else ""
    missing = "Some places could not be searched; the file says which, and why."
    return _mail(
        facts,
        "your data is ready",
        "The copy of your data that you asked for is ready. You can download it here:",
        Link(facts.page),
        f"We ask once more who you are before the download.{until}",
        *((missing,) if facts.in_part else ()),
    )


def nothing_found(facts: Facts) -> Mail:
    """We looked everywhere and hold nothing."""
    return _mail(
        facts,
        "the answer to your request",
        "We looked in every place where we keep data about people, and found nothing under what you "
        "confirmed.",
        "If you used another address with us, you may ask again with that one. "
        f"If you think that we overlooked something, write to {facts.contact}.",
        Link(facts.page),
        facts.remedies,
    )


def expired(facts: Facts) -> Mail:
    """Identity was never confirmed."""
    return _mail(
        facts,
        "your request has ended",
        f"We were asked for {facts.asked} that we hold about the owner of this mailbox. It was not confirmed "
        "in time that the request came from its owner, so we ended it.",
        "If it was you, you may ask again at any time. If it was not you, you need not do anything.",
        facts.remedies,
    )


def refused(facts: Facts) -> Mail:
    """A person decided that the request is not met, and why."""
    return _mail(
        facts,
        "the answer to your request",
        "We could not do what you asked.",
        *((REFUSALS[facts.reason],) if facts.reason in REFUSALS else ()),
        "This is your request:",
        Link(facts.page),
        facts.remedies,
    )


def needs_person(facts: Facts) -> Mail:
    """It takes longer than usual: a person looks at it."""
    return _mail(
        facts,
        "a person is looking at your request",
        "Your request needs a person before it goes on. You need not do anything. "
        f"We answer by {_day(facts.due_at)}. You can see here how far it is:",
        Link(facts.page),
    )


def reminder(facts: Facts) -> Mail:
    """Identity is still to be confirmed."""
    until = f" by {_day(facts.expires_at)}" if facts.expires_at else ""
    return _mail(
        facts,
        "your request waits for you",
        f"We were asked for {facts.asked} that we hold about the owner of this mailbox, and still need to "
        f"know that it was you. Please confirm it{until}; after that the request ends by itself:",
        Link(facts.page),
        "If it was not you, do nothing.",
    )


# The notices that are sent once per case, to the first address. A notice of what became of the case
# is called like the state it tells of.
ONCE = {
    "ready": ready,
    "nothing_found": nothing_found,
    "expired": expired,
    "refused": refused,
    "needs_person": needs_person,
    "reminder": reminder,
}
