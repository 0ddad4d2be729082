"""The words of every mail. Pure: from the facts of a case to subject, text and HTML.

No subject says anything personal, and no mail says what is held: it is the status page's, behind
a proof of identity. Only of what a deletion leaves, the mail says the kind, the reason, the law and
the end, since the person must be told (GDPR Art. 12(4), 11 CCR 7022(f)).
"""

from dataclasses import dataclass
from datetime import datetime
from html import escape

from dsr.case import Right
from dsr.notices.refusals import REFUSALS
from dsr.plan_in_words import day


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
    planned: bool = False  # there is a plan of a deletion
    waits: bool = False  # the deletion waits for the person's copy
    cancel: str = ""  # the page that cancels a deletion
    by_site: bool = False  # the account was deleted on the company's own site
    kept: tuple[str, ...] = ()  # what the deletion leaves, a sentence each
    held: tuple[str, ...] = ()  # what must wait, a sentence each
    joined: str = ""  # the reference of the request that does what this one asked for

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
    until = f" The file stays there until {day(facts.expires_at)}." if facts.expires_at else ""
    missing = (
        "Some places could not be searched, or have not answered yet. The file and your request's page say "
        "which, why, and what follows."
    )
    return _mail(
        facts,
        "your data is ready",
        "The copy of your data that you asked for is ready. You can download it here:",
        Link(facts.page),
        f"We ask once more who you are before the download.{until}",
        *((missing,) if facts.in_part else ()),
    )


_PART = (
    "The copy of your data that we made for you was not complete: somebody else who holds data for us, or "
    "received it from us, had been asked and had not answered."
)


def followed(facts: Facts) -> Mail:
    """What was missing in a copy has come."""
    until = f" The file stays there until {day(facts.expires_at)}." if facts.expires_at else ""
    return _mail(
        facts,
        "the rest of your data is ready",
        f"{_PART} The answer has come since. You can download it here, as a supplement:",
        Link(facts.page),
        f"We ask once more who you are before the download.{until}",
        *(
            ("Something is still missing: the page says what, why, and what follows.",)
            if facts.in_part
            else ()
        ),
    )


def nothing_more(facts: Facts) -> Mail:
    """Those who had not answered hold nothing."""
    still = "Something else is still missing: the page says what, why, and what follows."
    return _mail(
        facts,
        "an answer to your request has come",
        f"{_PART} They have answered now: they hold nothing about you. So nothing follows from them.",
        *((still,) if facts.in_part else ()),
        "This is your request:",
        Link(facts.page),
    )


def not_following(facts: Facts) -> Mail:
    """What was missing in a copy does not come."""
    return _mail(
        facts,
        "a part of your data does not follow",
        f"{_PART} They did not answer in the time that we gave them, or answered that they cannot. So that "
        "part does not follow by itself. The page of your request says what it is:",
        Link(facts.page),
        f"You may ask again at any time, and write to {facts.contact} about it.",
        facts.remedies,
    )


def last_days(facts: Facts) -> Mail:
    """The bundle was not downloaded, and will not stay for long."""
    until = f" on {day(facts.expires_at)}" if facts.expires_at else " soon"
    return _mail(
        facts,
        "your data is about to be removed",
        f"The copy of your data that you asked for has not been downloaded yet. We remove it{until}. "
        "Until then you can download it here:",
        Link(facts.page),
        "We ask once more who you are before the download.",
        "If you do not want it any more, do nothing. You may ask again at any time.",
    )


def nothing_found(facts: Facts) -> Mail:
    """We looked everywhere and hold nothing."""
    nothing = " So there was nothing to delete, and nothing was changed."
    return _mail(
        facts,
        "the answer to your request",
        "We looked in every place where we keep data about people, and found nothing under what you "
        f"confirmed.{nothing if facts.right is Right.DELETION else ''}",
        "If you used another address with us, you may ask again with that one. "
        f"If you think that we overlooked something, write to {facts.contact}.",
        Link(facts.page),
        facts.remedies,
    )


def expired(facts: Facts) -> Mail:
    """Identity, or the plan of a deletion, was never confirmed."""
    if facts.planned:
        return _mail(
            facts,
            "your request has ended",
            "You asked us to delete the data that we hold about you, and did not confirm in time what we "
            "would delete. So we ended the request. Nothing was deleted.",
            "You may ask again at any time.",
            facts.remedies,
        )
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
        f"We answer by {day(facts.due_at)}. You can see here how far it is:",
        Link(facts.page),
    )


def reminder(facts: Facts) -> Mail:
    """Identity is still to be confirmed."""
    until = f" by {day(facts.expires_at)}" if facts.expires_at else ""
    return _mail(
        facts,
        "your request waits for you",
        f"We were asked for {facts.asked} that we hold about the owner of this mailbox, and still need to "
        f"know that it was you. Please confirm it{until}; after that the request ends by itself:",
        Link(facts.page),
        "If it was not you, do nothing.",
    )


def awaiting_confirmation(facts: Facts) -> Mail:
    """The plan of a deletion waits for the person's word."""
    until = f" until {day(facts.expires_at)}" if facts.expires_at else ""
    return _mail(
        facts,
        "confirm what we delete",
        "You asked us to delete your data. We have looked for it, and nothing is deleted yet. "
        "Please see what we would delete and what we must keep, and confirm it:",
        Link(facts.page),
        "We ask once more who you are.",
        f"If you do nothing{until}, the request ends and nothing is deleted.",
        f"If you did not ask for this, withdraw the request there, or write to {facts.contact}.",
    )


def cooling_off(facts: Facts) -> Mail:
    """The deletion is confirmed; to every address of the person, since it may not have been them."""
    when = f"on {day(facts.expires_at)} at {facts.expires_at:%H:%M} UTC" if facts.expires_at else "at once"
    waits = ", or later, once you have downloaded the copy that you asked for" if facts.waits else ""
    confirmed = "Your account was deleted on our site" if facts.by_site else "You confirmed the deletion"
    return _mail(
        facts,
        "your data will be deleted",
        f"{confirmed}. We delete the data that we hold about you. This begins {when}{waits}. "
        "Once it has begun it cannot be stopped or undone.",
        "Until then you can cancel it here, without signing in:",
        Link(facts.cancel or facts.page),
        "Here you see what will be deleted, once you have shown who you are:",
        Link(facts.page),
        "If it was not you, cancel it at once, change the password of your account and of your mailbox, "
        f"and write to {facts.contact}.",
    )


def withdrawn(facts: Facts) -> Mail:
    """A confirmed deletion was cancelled; to everybody who was told of it."""
    return _mail(
        facts,
        "the deletion is cancelled",
        "We told you that we would delete the data that we hold about you. This was cancelled before it "
        "began: by you, or by whoever else read that mail. Nothing was deleted, and the request has ended.",
        f"If you want your data to be deleted, you may ask again at any time. Questions: {facts.contact}.",
    )


def held(facts: Facts) -> Mail:
    """The deletion, or a part of it, must wait for a legal reason."""
    return _mail(
        facts,
        "the deletion must wait",
        "We may not delete all of your data yet:",
        *facts.held,
        "As soon as we may, we go on by ourselves and write to you again. What need not wait does not. Here "
        "you see how far it is:",
        Link(facts.page),
        facts.remedies,
    )


_GONE = "We looked everywhere again afterwards: nothing of what was to be deleted is left."
_CERTIFICATE = (
    "We ask for a code before we show the page. Please keep the certificate that you find there: after "
    "some weeks we no longer know who you are, and cannot open the page for you any more."
)


def erased(facts: Facts) -> Mail:
    """Everything is deleted."""
    return _mail(
        facts,
        "your data is deleted",
        f"We deleted the data that we held about you. {_GONE}",
        "Here you see what was deleted, and can download a signed certificate of it:",
        Link(facts.page),
        _CERTIFICATE,
    )


def erased_in_part(facts: Facts) -> Mail:
    """Everything is deleted but what the law has us keep."""
    return _mail(
        facts,
        "your data is deleted, except for what we must keep",
        f"We deleted the data that we held about you, except for what we must keep. {_GONE}",
        "This we keep. When its time is over, we delete it by ourselves:",
        *facts.kept,
        "Here you see it all, and can download a signed certificate of it:",
        Link(facts.page),
        _CERTIFICATE,
        facts.remedies,
    )


def supplement(facts: Facts) -> Mail:
    """The last copy of what was deleted has ended."""
    return _mail(
        facts,
        "the last copies of your data are gone",
        "When we deleted your data, some copies of it (in backups, for example) were still to end by "
        "themselves. The last of them has ended now, and we have looked again where copies could have "
        "brought something back.",
        "A signed supplement to your certificate says so. You can download it here:",
        Link(facts.page),
        "Please keep it with the certificate: soon we no longer know who you are, and cannot open the page "
        "for you any more.",
    )


def joined(facts: Facts) -> Mail:
    """Another request of the same person does what this one asks, or came before it."""
    if facts.right is Right.ACCESS:
        why = (
            "The deletion of your data began before the copy that you asked for was whole. So there is no "
            "copy any more, and this request ends."
        )
    else:
        why = (
            "You asked us for deletion before, and that request is still under way. So this one ends, and "
            "that one goes on."
        )
    return _mail(
        facts,
        "another request of yours goes on",
        why,
        f"The reference of the other request: {facts.joined}",
        "If that one ends without deleting your data, you may ask again. This is your request:",
        Link(facts.page),
    )


# The notices that are sent once per case, to the first address. A notice of what became of the case
# is called like the state it tells of.
ONCE = {
    "ready": ready,
    "last_days": last_days,
    "followed": followed,
    "nothing_more": nothing_more,
    "not_following": not_following,
    "nothing_found": nothing_found,
    "expired": expired,
    "refused": refused,
    "needs_person": needs_person,
    "reminder": reminder,
    "awaiting_confirmation": awaiting_confirmation,
    "cooling_off": cooling_off,
    "held": held,
    "withdrawn": withdrawn,
    "erased": erased,
    "erased_in_part": erased_in_part,
    "supplement": supplement,
    "joined": joined,
}
