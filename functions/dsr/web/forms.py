"""Forms: what was typed, what is wrong with it, and the way out. Nothing typed is lost.

Each error names its field, so that the summary above the page and the field say the same words.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dsr.case import Right, read_case_id
from dsr.identity import new_token, read_token
from dsr.phones import to_e164
from dsr.requests import RISKS, Submission

MOST_ADDRESSES = 5
MOST_EMAIL = 254  # RFC 3696 erratum 1690: the longest address that can be delivered to

WORDS = {
    "right_missing": "Choose what you would like us to do",
    "email_missing": "Enter your email address",
    "email_form": "Enter an email address like name@example.com",
    "email_long": "Enter an email address of at most 254 characters",
    "email_letters": "Enter another address: our mail cannot reach one with letters like é or ñ before the @",
    "other_emails": "Other addresses, line {line}: enter an email address like name@example.com",
    "other_emails_many": f"Enter at most {MOST_ADDRESSES - 1} other addresses, one on each line",
    "name_long": "Enter a name of at most 200 characters",
    "contract_number_long": "Enter a contract number of at most 80 characters",
    "phone_form": "Enter a phone number with digits, such as +44 20 7946 0123, or leave it empty",
    "phone_country": (
        "Enter the phone number with + and the code of its country, such as +44 7700 900123, or choose the "
        "country you live in below, or leave the number empty"
    ),
    "country_unknown": "Choose a country from the list, or “I’d rather not say”",
    "for_whom_unknown": "Choose whose data this is about",
    "reference_missing": "Enter your reference",
    "reference_form": "Enter a reference of 16 letters and digits, like K7Q2-9FXM-3TWD-5BHP",
    "code_missing": "Enter the code that we sent",
    "code_form": "Enter the 8 digits of the code that we sent, such as 1234 5678",
    "sure_missing": "Tick the box to say that you want this deleted",
    # One sentence for all of these: which it was would tell a stranger whether the reference exists.
    "code_wrong": (
        "This code does not work. It may be mistyped, older than 15 minutes, replaced by a newer one, "
        "used already, or tried too often. Use the newest code that we sent, or have a new one sent"
    ),
}


@dataclass
class Form:
    """What was typed, by field, and what is wrong with it."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """What was typed into the field, or nothing."""
        return self.values.get(name, "")

    def wrong(self, name: str, word: str, **parts: object) -> None:
        """Note the first thing that is wrong with a field."""
        self.errors.setdefault(name, WORDS[word].format(**parts))


@cache
def countries() -> dict[str, str]:
    """Names by ISO 3166-1 alpha-2 code, in the order of names."""
    lines = (Path(__file__).parent / "countries.tsv").read_text("utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")  # WHATWG's definition of a valid address
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def email_fault(text: str) -> str | None:
    """The word for what is wrong with an address, or None."""
    if len(text) > MOST_EMAIL:
        return "email_long"
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain or any(c.isspace() or not c.isprintable() for c in text):
        return "email_form"
    if not local.isascii():
        return "email_letters"
    try:
        labels = domain.encode("idna").decode("ascii").split(".")
    except UnicodeError:
        return "email_form"
    fits = _LOCAL.fullmatch(local) and len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    return None if fits else "email_form"


def _line(text: str) -> str:
    """One line of text without control characters and outer spaces."""
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


_FIELDS = (
    "submission", "right", "email", "other_emails", "name", "contract_number", "phone", "country", "for_whom",
)  # fmt: skip


def read_submission(said: dict[str, str], texts: bool) -> tuple[Form, Submission | None]:
    """The form of a request as it was typed, and the checked submission if nothing is wrong with it.

    `texts`: whether a phone number is proven by a text message. Then it is one of the contacts, the last.
    """
    form = Form({name: said.get(name, "") for name in _FIELDS})
    token = read_token(form.value("submission")) or new_token(16)
    form.values["submission"] = token
    if form.value("right") not in set(Right):
        form.wrong("right", "right_missing")
    email = form.value("email").strip()
    if not email:
        form.wrong("email", "email_missing")
    elif fault := email_fault(email):
        form.wrong("email", fault)
    others = _others(form)
    claims = _claims(form)
    country = form.value("country").upper()
    if country and country not in countries():
        form.wrong("country", "country_unknown")
    number = to_e164(claims["phone"], country) if texts and "phone" in claims else None
    if texts and "phone" in claims and number is None:
        form.wrong("phone", "phone_country")
    for_whom = form.value("for_whom") or "self"
    if for_whom not in RISKS:
        form.wrong("for_whom", "for_whom_unknown")
    if form.errors:
        return form, None
    contacts: dict[str, str] = {}
    for address in (email, *others):
        contacts.setdefault(address.lower(), address)
    named = (*contacts.values(), *([number] if number else []))
    submission = Submission(token, Right(form.value("right")), named, claims, country, for_whom)
    return form, submission


def _others(form: Form) -> list[str]:
    lines = [(number, line.strip()) for number, line in enumerate(form.value("other_emails").splitlines(), 1)]
    given = [(number, line) for number, line in lines if line]
    for number, line in given:
        if email_fault(line):
            form.wrong("other_emails", "other_emails", line=number)
    if len(given) >= MOST_ADDRESSES:
        form.wrong("other_emails", "other_emails_many")
    return [line for _, line in given]


def _claims(form: Form) -> dict[str, str]:
    name, number, phone = (_line(form.value(n)) for n in ("name", "contract_number", "phone"))
    if len(name) > 200:
        form.wrong("name", "name_long")
    if len(number) > 80:
        form.wrong("contract_number", "contract_number_long")
    if phone and (len(phone) > 40 or sum(c.isdigit() for c in phone) < 5):
        form.wrong("phone", "phone_form")
    return {key: value for key, value in (("name", name), ("reference", number), ("phone", phone)) if value}


def read_reference(said: dict[str, str]) -> tuple[Form, str | None]:
    """The form that asks for a reference, and the reference if it can be one."""
    form = Form({"reference": said.get("reference", "")})
    found = read_case_id(form.value("reference"))
    if not form.value("reference").strip():
        form.wrong("reference", "reference_missing")
    elif found is None:
        form.wrong("reference", "reference_form")
    return form, found
