"""Phone numbers: which contact is one, and the one form (E.164) that a typed one has. Pure.

A number is never guessed: what fits no country's numbers, or only with a country that nobody named, is none.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dsr.identity import BETWEEN

MOST_DIGITS = 15  # ITU-T E.164, 6.1


@dataclass(frozen=True)
class _Country:
    code: str
    trunk: str
    lengths: frozenset[int]  # of what follows the calling code


def kind_of(contact: str) -> str:
    """Which kind of identity a contact is, as the data map calls it: email, or phone."""
    return "email" if "@" in contact else "phone"


def number_in(contacts: Iterable[str]) -> str:
    """The phone number among the contacts; "" if there is none."""
    return next((contact for contact in contacts if kind_of(contact) == "phone"), "")


def to_e164(typed: str, country: str = "") -> str | None:
    """The number as +, calling code and the rest, of what a person typed; None where it is none.

    `country`: where its owner lives (ISO 3166-1 alpha-2), for a number without calling code.
    """
    text = re.sub(r"\(\s*0\s*\)", "", typed.strip())  # as in +44 (0)20 …
    abroad = text.startswith("+")
    plain = BETWEEN.sub("", re.sub(r"[./()]", "", text.removeprefix("+")))
    if not plain.isdecimal() or len(plain) > MOST_DIGITS + 3:
        return None
    digits = "".join(str(int(c)) for c in plain)  # those of other scripts are the same digits
    if abroad or digits.startswith(
        "00"
    ):  # ITU-T E.123 and E.164: + stands for the prefix, which mostly is 00
        return _of_the_world(digits.removeprefix("00") if not abroad else digits)
    return _of(_countries().get(country), digits)


def _of_the_world(digits: str) -> str | None:
    for size in (1, 2, 3):  # no calling code begins with another
        if users := _by_code().get(digits[:size]):
            return next((found for user in users if (found := _of(user, digits[size:]))), None)
    return None


def _of(country: _Country | None, digits: str) -> str | None:
    if country is None:
        return None
    trunk = country.trunk
    inner = digits.removeprefix(trunk)
    # Where 0 is the trunk prefix no number begins with it; where it is another digit, numbers may.
    fits = inner if inner != digits and len(inner) in country.lengths else digits
    if len(fits) not in country.lengths or (trunk == "0" and fits.startswith("0")):
        return None
    return f"+{country.code}{fits}"


@cache
def _countries() -> dict[str, _Country]:
    lines = (Path(__file__).parent / "calling_codes.tsv").read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {
        iso: _Country(code, "" if trunk == "-" else trunk, frozenset(map(int, lengths.split(","))))
        for iso, code, trunk, lengths in rows
    }


@cache
def _by_code() -> dict[str, list[_Country]]:
    users = defaultdict(list)
    for country in _countries().values():
        users[country.code].append(country)
    return dict(users)
