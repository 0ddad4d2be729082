"""The words of the one text message: the code for a phone number. Pure.

It says nothing personal, and fits into one message of 160 characters of the GSM 7-bit alphabet (3GPP TS
23.038): what is longer, or holds one other letter, may be sent and paid as several.
"""

import unicodedata

from dsr.identity import CODE_SECONDS

ONE_MESSAGE = 160
# Without those that take the place of two.
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


def code_text(company: str, contact: str, code: str) -> str:
    """The text. `company` is named as far as it can be, else by the domain of its address `contact`."""
    said = (
        f": {code} is your code to confirm this number for a request about your data. "
        f"It works for {CODE_SECONDS // 60} minutes. Not you? Give it to nobody."
    )
    name = _plain(company) or _plain(contact.rpartition("@")[2])
    return f"{name[: ONE_MESSAGE - len(said)].rstrip()}{said}"


def _plain(text: str) -> str:
    """What of the text the alphabet has: letters without their accents where it lacks these."""
    kept = (c if c in GSM else unicodedata.normalize("NFKD", c) for c in text)
    return " ".join("".join(c for part in kept for c in part if c in GSM).split())
