"""What a field may hold, guessed from its name and from values: a category, and why. For the command line.

The addresses and numbers are found by what also takes others' out of copies (`dsr.redaction`); values
are looked at and forgotten: only what kind they are, and of how many, is told.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsr.redaction.addresses import emails, phones

# Parts of names that tell, the more telling first: (pattern, category).
_NAMES: tuple[tuple[str, str], ...] = (
    (r"password|passwd|secret|token|credential|otp\b", "user.authorization.credentials"),
    (r"e_?mail", "user.contact.email"),
    (r"phone|mobile|telefon|contact_number|\btel\b|\bfax\b|msisdn", "user.contact.phone_number"),
    (r"post_?code|zip|postal", "user.contact.address.postal_code"),
    (r"\bstreet|addr(ess)?_?line", "user.contact.address.street"),
    (r"\bcity\b|\btown\b", "user.contact.address.city"),
    (r"\bcountry", "user.contact.address.country"),
    (r"\bip\b|ip_?addr|remote_?addr", "user.device.ip_address"),
    (r"address", "user.contact.address"),
    (r"first_?name|given_?name|forename", "user.name.first"),
    (r"last_?name|sur_?name|family_?name", "user.name.last"),
    (r"birth|\bdob\b", "user.demographic.date_of_birth"),
    (r"gender|\bsex\b", "user.demographic.gender"),
    (r"iban|account_?number|bic\b", "user.financial.bank_account"),
    (r"card_?(number|no)\b|\bpan\b", "user.financial.credit_card"),
    (r"passport", "user.government_id.passport_number"),
    (r"\bssn\b|national_?id|tax_?(id|number)", "user.government_id.national_identification_number"),
    (r"device|user_?agent|browser", "user.device"),
    (r"\blat(itude)?\b|\blon(gitude)?\b|\bgeo", "user.location.precise"),
    (r"consent|opt_?(in|out)|preference", "user.privacy_preferences"),
    (r"\b(nick|user|display|full|real)?_?name\b|\blogin\b", "user.name"),
    (r"_at$|_on$|\b(date|time|timestamp|day|year)\b|^at$", "user.behavior"),
    (r"price|amount|total|paid|salary|invoice", "user.financial"),
    (r"body|message|comment|\btext\b|note|review|subject|content|description", "user.content.private"),
    (r"(^|_)(id|uuid|guid|sub|number|no)$|^id\b", "user.unique_id"),
)
_TOLD = {name: re.compile(pattern.replace(r"\b", r"(?:\b|_)"), re.IGNORECASE) for pattern, name in _NAMES}
_MOST_TELL = 0.6  # of the values that are there, so many must be of one kind


@dataclass(frozen=True)
class Guess:
    """A category of the taxonomy, and why; "" where nothing tells."""

    category: str
    why: str


def by_name(name: str) -> Guess:
    """By the last part of a field's name."""
    last = name.rpartition(".")[2]
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).lower().replace("-", "_")
    for category, pattern in _TOLD.items():
        if pattern.search(plain):
            return Guess(category, "by its name")
    return Guess("", "")


def by_values(values: Iterable[Any]) -> Guess:
    """By what most of the values are."""
    seen = [v for v in values if v not in (None, "")]
    kinds = Counter(kind for v in seen if (kind := _kind(str(v))))
    if not kinds:
        return Guess("", "")
    [(kind, number)] = kinds.most_common(1)
    if number < _MOST_TELL * len(seen):
        return Guess("", "")
    return Guess(kind, f"{number} of {len(seen)} values look so")


def guess(name: str, values: Iterable[Any] = ()) -> Guess:
    """By the values where they tell, else by the name."""
    told = by_values(values)
    return told if told.category else by_name(name)


def _kind(value: str) -> str:
    text = value.strip()
    if _is_whole(emails(text, []), text):
        return "user.contact.email"
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return "user.device.ip_address"
    if text.startswith("+") and _is_whole(phones(text), text):
        return "user.contact.phone_number"
    return ""


def _is_whole(spans: Iterable[Any], text: str) -> bool:
    return any(span.start == 0 and span.end == len(text) for span in spans)
