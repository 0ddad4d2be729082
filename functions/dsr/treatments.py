"""What becomes of a field of a record that stays though its person goes. Pure.

A keyed hash still tells that two records are of one person: it is pseudonymised (GDPR Art. 4(5)), not erased.
Hashes without a key are no treatment: a dictionary of addresses or numbers undoes them.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from ipaddress import ip_interface
from typing import Any

from dsr.records import as_text

REDACTED = "[deleted]"
_HASHED = re.compile(r"hmac-[A-Za-z0-9_-]{43}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]|$)")
_BAND = re.compile(r"-?\d+ to -?\d+")
# What is left of an address: its network, of a size that many people share.
_NETWORK = {4: 24, 6: 48}


@dataclass(frozen=True)
class Masking:
    """What becomes of a field of a record that stays.

    `how`: null; constant (`to`: the text); keyed_hash; truncate (`to`: year, month, day, hour, ip);
    generalise (`to`: {"band": width}, or {"to": {value: group}, "otherwise": group}).
    """

    how: str
    to: Any = None

    @classmethod
    def of(cls, said: Any) -> "Masking":
        """The treatment as the compiled map says it: a word, or a mapping of one."""
        if said == "redacted":
            return cls("constant", REDACTED)
        if isinstance(said, str):
            return cls(said)
        [(how, to)] = said.items()
        return cls(how, to)


@dataclass(frozen=True)
class Treatment:
    """A field's treatment. `key`: 32 secret bytes, for a keyed hash alone."""

    masking: Masking
    key: bytes = b""

    @property
    def is_constant(self) -> bool:
        """Whether the outcome is the same for every value."""
        return self.masking.how in ("null", "constant")

    @property
    def longest(self) -> int:
        """How many characters what it leaves may have; 0 if no more than there were."""
        to = self.masking.to
        if self.masking.how == "constant":
            return len(to)
        if self.masking.how == "keyed_hash":
            return len("hmac-") + 43
        return max(map(len, (*to["to"].values(), to["otherwise"]))) if self._groups else 0

    @property
    def _groups(self) -> bool:
        return self.masking.how == "generalise" and "to" in self.masking.to

    def apply(self, value: Any) -> Any:
        """The value after the treatment; nothing stays nothing, and done again it changes nothing.

        Raises ValueError for a value that is not of the treatment's kind (no time, no address, no number).
        """
        if self.is_done(value):
            return value
        return _FORMS[self.masking.how](self.masking.to, self.key, value)

    def is_done(self, value: Any) -> bool:
        """Whether the value is what the treatment leaves."""
        how, to = self.masking.how, self.masking.to
        if value is None or how == "null":
            return value is None
        if how == "constant":
            return bool(value == to)
        if how == "keyed_hash":
            return isinstance(value, str) and bool(_HASHED.fullmatch(value))
        if self._groups:
            return value in (*to["to"].values(), to["otherwise"])
        if how == "generalise" and isinstance(value, str) and _BAND.fullmatch(value):
            return True
        try:
            return bool(_FORMS[how](to, self.key, value) == value)
        except ValueError:
            return False


def _hash(_: Any, key: bytes, value: Any) -> str:
    if len(key) != hashlib.sha256().digest_size:
        raise RuntimeError("a keyed hash without its key would be none")
    mac = hmac.digest(key, as_text(value).encode(), "sha256")
    return "hmac-" + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _truncate(to: str, _: bytes, value: Any) -> Any:
    if to == "ip":
        return _network(value)
    if isinstance(value, date):
        return _begin(value, to)
    text = str(value).strip()
    if not _TIME.match(text):
        raise ValueError("no time in the form of ISO 8601")
    read = date if len(text) == len("2026-07-19") else datetime
    return _begin(read.fromisoformat(text), to).isoformat()


def _generalise(to: dict[str, Any], _: bytes, value: Any) -> Any:
    if "to" in to:
        return to["to"].get(as_text(value), to["otherwise"])
    try:
        low = int(Decimal(as_text(value).strip()) // 1)
    except (ArithmeticError, ValueError):
        raise ValueError("not a number") from None
    low -= low % to["band"]
    # A number stays one, since its column holds nothing else: the lower end of its band.
    return f"{low} to {low + to['band'] - 1}" if isinstance(value, str) else type(value)(low)


def _network(value: Any) -> str:
    """The first address of the network that an address lies in. Raises ValueError for no address."""
    address = ip_interface(as_text(value).strip()).ip
    return str(ip_interface(f"{address}/{_NETWORK[address.version]}").network.network_address)


def _begin(value: date, unit: str) -> date:
    """The first moment of the year, month, day or hour of its own zone; of a date its first day."""
    if unit in ("year", "month"):
        value = value.replace(day=1, month=1 if unit == "year" else value.month)
    if not isinstance(value, datetime):
        return value
    hour = value.hour if unit == "hour" else 0
    return value.replace(hour=hour, minute=0, second=0, microsecond=0)


_FORMS: dict[str, Callable[[Any, bytes, Any], Any]] = {
    "null": lambda _to, _key, _value: None,
    "constant": lambda to, _key, _value: to,
    "keyed_hash": _hash,
    "truncate": _truncate,
    "generalise": _generalise,
}


Masks = dict[str, Treatment]  # by field


def with_key(masks: Masks, key: Callable[[], bytes]) -> Masks:
    """The treatments with their secret; `key` is asked for only where one of them needs it."""
    return {
        name: replace(treatment, key=key()) if treatment.masking.how == "keyed_hash" else treatment
        for name, treatment in masks.items()
    }
