"""What proves who somebody is, and for how long: codes, links, grants, throttles. Pure.

A code sent by mail proves control of a mailbox, not who one is; a sign-in proves the account.
Figures: a code has at least 20 random bits, is used once, lives 10 to 15 minutes and, below 64 bits,
is throttled (NIST SP 800-63B, OWASP's cheat sheets on authentication and forgotten passwords).
"""

import base64
import hashlib
import re
import secrets
import string
from dataclasses import dataclass, replace
from enum import IntEnum

CODE_DIGITS = 8  # 26.6 bits
CODE_SECONDS = 15 * 60
CODE_ATTEMPTS = 5
LINK_BYTES = 16  # 128 bits
SESSION_SECONDS = 12 * 3600
FRESH_SECONDS = 10 * 60  # a download needs a proof no older than this
SIGN_IN_SECONDS = 10 * 60  # from leaving for the sign-in page to coming back
THROTTLE_SECONDS = 3600
DAY_SECONDS = 24 * 3600


def new_code() -> str:
    """A one-time code of 8 digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def show_code(code: str) -> str:
    """The code as people read it: `1234 5678`."""
    return f"{code[:4]} {code[4:]}"


# What people and mail programs put between digits: spaces of any kind, hyphens and dashes of any kind.
BETWEEN = re.compile(r"[\s\u200b\u200c\u200d\u2060\ufeff\u00ad\-\u2010-\u2015\u2212]+")


def read_code(text: str) -> str | None:
    """The 8 digits of what was typed or pasted, spaces and hyphens ignored; None if it is no code."""
    plain = BETWEEN.sub("", text)
    return plain if len(plain) == CODE_DIGITS and all(c in string.digits for c in plain) else None


def new_token(size: int = 32) -> str:
    """A random word for links (16 bytes), sessions and states (32), safe in addresses."""
    return secrets.token_urlsafe(size)


_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,90}")


def read_token(text: str) -> str | None:
    """The token, if it looks like one of ours; None otherwise."""
    return text if _TOKEN.fullmatch(text) else None


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (PKCE, RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Level(IntEnum):
    """What a browser has proven about one case. More includes less."""

    SUBMITTED = 1  # it sent the form: may enter codes, learns nothing about what is held
    MAILBOX = 2  # it entered a code sent to the first address, or pressed the button of its link
    ACCOUNT = 3  # it also signed in with the account


@dataclass(frozen=True)
class Grant:
    """What one session may do with one case. `fresh_until` (epoch seconds) is that of `fresh_as`'s proof.

    `account` is the MAC of the account that signed in here: another browser of the same case may
    have signed in with another.
    """

    level: Level
    fresh_until: int = 0
    fresh_as: Level = Level.SUBMITTED
    account: str = ""

    def is_fresh(self, needed: Level, now: float) -> bool:
        """Whether a proof of at least `needed` was given within the last minutes."""
        return self.fresh_as >= needed and self.fresh_until > now


def proven(grant: Grant | None, level: Level, now: float, account: str = "") -> Grant:
    """The grant after a proof of `level` at `now`: never lower, and never less fresh, than before."""
    was = grant or Grant(level)
    grown = replace(was, level=max(was.level, level), account=account or was.account)
    if level is Level.SUBMITTED or (level is Level.MAILBOX and was.is_fresh(Level.ACCOUNT, now)):
        return grown
    return replace(grown, fresh_until=int(now) + FRESH_SECONDS, fresh_as=level)


def window(now: float, seconds: int = THROTTLE_SECONDS) -> tuple[int, int]:
    """The number of the fixed window `now` lies in, and its end in epoch seconds."""
    number = int(now) // seconds
    return number, (number + 1) * seconds
