"""Email addresses and phone numbers in free text, as people write them. Pure.

Certain enough to act on without a person: so order numbers, dates, prices, IP addresses and the like are
none. Both directions are measured on a labelled sample in the tests.

No library: libphonenumber takes 2.4 ms for a text that holds digits (a rule here some microseconds) and
136 ms to load, and passes over numbers that are not in use.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

EMAIL, PHONE = "email", "phone"


@dataclass(frozen=True)
class Span:
    """What stands at text[start:end]: its kind, and the form in which it is compared with others."""

    start: int
    end: int
    kind: str
    value: str


# -- email addresses -----------------------------------------------------------------------------------

# What may stand before the sign: letters of any script with their marks, and what addresses use in practice.
_LOCAL = r"[^\s\x00-\x1f<>()\[\]{}\"“”„«»,;:@＠=/?&|\\^`*$!#%，。、；：（）《》「」…]"
_LABEL = r"[^\W_](?:[\w\-·]{0,61}[^\W_])?"
# Latin or of another script, but not both: what follows an address without a space is no part of it.
_TOP = r"(?:xn--[a-z0-9-]{2,59}|[a-z]{2,24}|[^\W\d_a-z]{2,24})"
_SAID = r"(?:dot|punkt|punto|point)"
_DOT = rf"(?:\.|．|。|\s?[(\[{{]\s?(?:\.|{_SAID})\s?[)\]}}]\s?)"
_SAID_DOT = rf"(?:\s+{_SAID}\s+)"
_DOMAIN = re.compile(rf"(?:{_LABEL}{_DOT}){{1,8}}{_TOP}(?![a-z0-9])", re.IGNORECASE)
_SAID_DOMAIN = re.compile(
    rf"(?!(?:the|an?|this|that|every)\s)(?:{_LABEL}(?:{_DOT}|{_SAID_DOT})){{1,8}}{_TOP}(?![a-z0-9])",
    re.IGNORECASE,
)
_BETWEEN = rf"\s?[(\[{{]\s?{_SAID}\s?[)\]}}]\s?"
_BEFORE = re.compile(
    rf"(?:\"[^\"\n]{{1,64}}\"|{_LOCAL}{{1,64}}(?:{_BETWEEN}{_LOCAL}{{1,64}})*)$", re.IGNORECASE
)
_BEFORE_SAID = re.compile(rf"{_LOCAL}{{1,64}}(?:{_SAID_DOT}{_LOCAL}{{1,64}}){{0,2}}$", re.IGNORECASE)
_ANY_DOT = re.compile(rf"{_SAID_DOT}|{_DOT}", re.IGNORECASE)
# The sign itself, and how people hide it from machines.
_SIGN = re.compile(
    r"(?P<plain>\s?[@＠﹫]\s?|%40|&#(?:64|x40);|&commat;)"
    r"|(?P<hidden>\s?[(\[{<]\s?(?:at|@|ät|arroba|chez)\s?[)\]}>]\s?)"
    r"|(?P<loud>(?<=\S)\s+AT\s+)"
    r"|(?P<said>(?<=\S)\s+at\s+(?=\S+\s+(?:dot|punkt|punto)\s))",
)
# `picture@2x.png` names a file.
_FILES = frozenset(
    (
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "pdf",
        "js",
        "css",
        "json",
        "html",
        "htm",
        "txt",
        "xml",
        "zip",
    )
)
# Scripts that put no spaces between words.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)


def email_form(address: str) -> str:
    """The form in which addresses are compared: no case, the domain as IDNA, a `+tag` as it is written."""
    plain = unicodedata.normalize("NFKC", address).strip().strip("<>").casefold()
    local, _, domain = plain.rpartition("@")
    with contextlib.suppress(UnicodeError):  # a label that is empty, or too long
        domain = domain.encode("idna").decode("ascii")
    return f"{local.strip(chr(34))}@{domain}"


# One of these words, or a sign: most texts hold none, and are done with.
_AT_WORDS = frozenset(("at", "arroba", "ät", "chez"))


def may_hold_email(text: str, said: list[str]) -> bool:
    """Whether `emails` need look at all: most texts hold no sign of one. `said`: see `names.words_of`."""
    return (
        "@" in text
        or "%40" in text
        or "&" in text
        or not _AT_WORDS.isdisjoint(said)
        or (not text.isascii() and ("＠" in text or "﹫" in text))
    )


def may_hold_phone(text: str) -> bool:
    """Whether `phones` need look at all."""
    if text.isascii():
        return _SEVEN_OF_ASCII.search(text.encode().translate(_DIGITS)) is not None
    return _SEVEN_DIGITS.search(text) is not None


def emails(text: str, said: list[str]) -> Iterator[Span]:
    """Every email address in the text, from left to right. `said`: its words, see `names.words_of`."""
    if not may_hold_email(text, said):
        return
    past = 0
    for sign in _SIGN.finditer(text):
        if sign.start() < past:
            continue
        spoken = sign["said"] or sign["loud"] or sign["hidden"]
        domain = (_SAID_DOMAIN if spoken else _DOMAIN).match(text, sign.end())
        window = max(past, sign.start() - 140)
        before = (_BEFORE_SAID if sign["said"] else _BEFORE).search(text[window : sign.start()])
        if not domain or not before:
            continue
        start = window + before.start()
        while start < sign.start() and text[start] in "'’‘.-–—~_+•":
            start += 1
        host = _ANY_DOT.sub(".", domain[0])
        if start == sign.start() or host.rpartition(".")[2].casefold() in _FILES:
            continue
        local = _ANY_DOT.sub(".", text[start : sign.start()])
        past = domain.end()
        yield Span(start, past, EMAIL, email_form(f"{local}@{host}"))


def own_part(form: str, own: set[str]) -> int:
    """Where in `form` one of `own` begins, after letters of a script without spaces; else -1."""
    for at in range(1, form.find("@")):
        if not _UNSPACED.match(form[at - 1]):
            return -1
        if form[at:] in own:
            return at
    return -1


# -- phone numbers -------------------------------------------------------------------------------------

_LETTER = r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # or digit, of a script with spaces
_NUMBER = re.compile(
    rf"(?<![/#=@&$€£¥₩%*.,:\-])(?<!{_LETTER})[+＋(]{{0,2}}\d"
    rf"(?:[ \t\u00a0\u2009\u202f.\-–‑/()]{{0,3}}\d){{6,33}}(?!{_LETTER})(?![@%]|[.,:\-/]\d)"
)
_CUE = re.compile(
    r"(?:\b(?:tele?phon\w*|phone|tel|telefon\w*|t[ée]l[ée]phone|t[ée]l|tel[ée]fono|mobile?|m[oó]vil|cell(?:phone)?"
    r"|handy|portable|whats\s?app|sms|fax|viber|signal|telegram|wechat|call(?:ed|ing)?|ring|dial|text(?:ed|ing)?"
    r"|reach(?:ed)?|hotline|телефон\w*|тел)\b"
    r"|电话|手机|微信|電話|携帯|전화|휴대폰|هاتف|جوال)",
    re.IGNORECASE,
)
_NUMBER_OF = re.compile(r"\b(?:(?:my|his|her|their|whose) number|number is|numéro)\b", re.IGNORECASE)
_OTHER = re.compile(
    r"(?:\b(?:orders?|invoices?|tickets?|tracking|parcel|shipment|consignment|reference|ref|case|contract|customer"
    r"|member|account|acct|serial|model|part|item|article|sku|isbn|issn|ean|upc|imei|iban|bic|card|version|build"
    r"|firmware|transaction|receipt|batch|lot|id|uid|no|nr|bestell\w*|rechnung\w*|kunden\w*|sendung\w*|commande"
    r"|facture|pedido|factura|total|sum|amount|price)\b|№|#|订单|单号|编号|注文|주문|송장)",
    re.IGNORECASE,
)
_AFTER_CUE = re.compile(r"\s?\(?(?:mobile|cell|tel|phone|handy|home|work|office|fax)\b", re.IGNORECASE)
_AFTER_OTHER = re.compile(
    r"\s?(?:€|\$|£|¥|USD|EUR|GBP|JPY|kr\b|px|mm|cm|km|kg|[kKMG]?B\b|bytes?\b|ms\b|points?\b|records?\b|rows?\b"
    r"|times\b|views?\b|[x×]\s?\d)"
)
_MONEY_BEFORE = re.compile(r"(?:[€$£¥₩]|\b(?:USD|EUR|GBP|JPY|CHF))\s?$")
_DATE = re.compile(
    r"(?:(?:19|20)\d\d([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)?\d\d(?:[ \-–]|$)"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[ \-.]|$)"
    r"|(?:19|20)\d\d\s?[-–/]\s?(?:19|20)\d\d(?!\d))"
)
_IP = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?:/\d+)?")
_SHAPES = re.compile(
    r"(?:1[ .\-])?\(?[2-9]\d\d\)?[ .\-]{1,2}[2-9]\d\d[ .\-]\d{4}"  # North America
    r"|\(?0[1-9]\d{0,4}\)?(?:[ .\-/\u00a0]{1,2}\d{2,8}){1,4}"  # a trunk zero: most of Europe, Korea, Japan
    r"|\(0?\d{2,5}\)[ ]?\d{3,5}[ .\-]?\d{3,4}"  # an area code in brackets
    r"|00[1-9]\d{0,2}(?:[ .\-/()]{1,2}\d{1,8}){2,5}"  # international, dialled with 00
)  # fmt: skip
_CHINA = re.compile(r"1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}")
_NEAR = 40  # characters before a number in which a word says what it is


def phone_form(number: str) -> str:
    """The digits of a number, by which it is compared."""
    return "".join(str(unicodedata.digit(c)) for c in number if c.isdigit())


def same_phone(one: str, other: str) -> bool:
    """Whether two numbers (digits) may be one, written with and without country code and trunk zeros."""
    short, long = sorted((one.lstrip("0"), other.lstrip("0")), key=len)
    return short == long or (len(short) >= 8 and len(long) - len(short) <= 3 and long.endswith(short))


_SEVEN_DIGITS = re.compile(r"\d(?:\D{0,4}\d){6}")
# The same for texts in ASCII, as most are, in a fifth of the time: every digit a nought, all else a space.
_DIGITS = bytes(ord("0") if chr(b) in "0123456789" else ord(" ") for b in range(256))
_SEVEN_OF_ASCII = re.compile(rb"0" + rb" {0,4}0" * 6)


def phones(text: str) -> Iterator[Span]:
    """Every phone number in the text, from left to right."""
    if not may_hold_phone(text):
        return
    for found in _NUMBER.finditer(text):
        at = found.start()
        whole = _candidate(found[0], at)
        if _is_phone(text, *whole):
            yield _phone(*whole)
        elif "/" in found[0]:  # two of them, `(415) 555-0133/555-0134`
            for piece in found[0].split("/"):
                half = _candidate(piece, at)
                at += len(piece) + 1
                if _is_phone(text, *half):
                    yield _phone(*half)


def _candidate(raw: str, start: int) -> tuple[str, int]:
    """What may be a number, and where, without a bracket that belongs to the text: `(see 0171 2345678)`."""
    kept = raw.rstrip(" \t.-–/(")
    if kept.count("(") < kept.count(")"):
        kept = kept[: kept.rindex(")")]
    elif kept.startswith("(") and kept.count("(") > kept.count(")"):
        return kept[1:], start + 1
    return kept, start


def _phone(raw: str, start: int) -> Span:
    return Span(start, start + len(raw), PHONE, phone_form(raw))


def _is_phone(text: str, raw: str, start: int) -> bool:
    end, digits = start + len(raw), phone_form(raw)
    if not digits:
        return False
    if raw[0] in "+＋" or raw.startswith("(+"):
        return 8 <= len(digits) <= 15
    if not 7 <= len(digits) <= 15:
        return False
    ascii_raw = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in raw)
    before = text[max(0, start - _NEAR) : start].rpartition("\n")[2]
    after = text[end : end + 12]
    if (
        _IP.fullmatch(ascii_raw)
        or _DATE.match(ascii_raw)
        or _MONEY_BEFORE.search(before)
        or _AFTER_OTHER.match(after)
    ):
        return False
    cue, other = _last(_CUE, before), _last(_OTHER, before)
    if cue >= 0 or _AFTER_CUE.match(after):
        # `phone no. …` is one; `call about order …` is none.
        return other <= cue or bool(
            re.fullmatch(r"\W*(?:no|nr|#|№)\W*", before[cue:].lstrip(), re.IGNORECASE)
        )
    if other < 0 and _NUMBER_OF.search(before):
        return True
    if other >= 0 or re.fullmatch(r"97[89]\d{10}", digits):
        return False
    if _SHAPES.fullmatch(ascii_raw) and 9 <= len(digits.removeprefix("00")) <= 14:
        return True
    return bool(_CHINA.fullmatch(ascii_raw)) and bool(_UNSPACED.search(before + after))


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last match ends, or -1."""
    return max((m.end() for m in pattern.finditer(text)), default=-1)
