"""Where free text seems to name another person: in a greeting, a signature, after a title or a kinship. Pure.

Only seems: what is found here is shown to a person, and never taken out by rule. Names that are known of
those who share a record with the subject are found wherever they stand; not found are names that nothing
announces.
"""

import re
from collections.abc import Collection, Iterator
from importlib import resources

# One to three words with a capital, particles between them allowed.
_WORD = r"(?:(?:[OD]['’])?[^\W\d_a-z][^\W\d_]*(?:['’\-][^\W\d_]+)*)"
_PARTICLES = r"(?:(?:van|von|de|del|della|di|da|dos|der|den|la|le|bin|al|el)[ \t]+)*"
_NAME = rf"(?P<name>{_WORD}\.?(?:[ \t]+{_PARTICLES}{_WORD}){{0,2}})"
_GREETING = (
    r"(?i:hi|hello|hey|dear|hallo|liebe[rs]?|guten tag|bonjour|salut|chers?|chère|hola|estimad[oa]|querid[oa]"
    r"|ciao|car[oa]|olá)"
)
_CLOSING = (
    r"(?i:(?:best|kind|warm|many)?[ \t]*regards|best(?: wishes)?|all the best|thanks(?: again| a lot)?"
    r"|thank you|many thanks|cheers|sincerely|yours(?: truly| sincerely| faithfully)?|love"
    r"|mit freundlichen grüßen|viele grüße|liebe grüße|beste grüße|mfg|lg|vg|cordialement|bien à vous|merci"
    r"|saludos|un saludo|gracias|cordiali saluti|grazie|obrigad[oa]|abraços)"
)
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herrn?|Frau|Señora?|Sra?|Mme|Mlle|Monsieur|Madame|Signora?)"
_WHOSE = (
    r"(?i:my|his|her|their|our)[ \t]+"
    r"(?:(?i:best|old|good|new|ex|late|older|younger|big|little|business)[ \t-]+)?"
)
_KIN = (
    r"(?i:friend|wife|husband|partner|spouse|brother|sister|mother|father|mum|mom|dad|son|daughter|uncle|aunt"
    r"|cousin|nephew|niece|colleague|coworker|boss|manager|assistant|neighbou?r|roommate|flatmate|landlord"
    r"|girlfriend|boyfriend|fianc[eé]e?)"
)
_PATTERNS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        rf"^[>\s]*{_GREETING}[ \t]+{_NAME}(?=[ \t]*(?:[,!.:;–—]|$))",
        rf"(?:^|[.!?][ \t]+)[>\s]*{_CLOSING}[ \t]*[,.!]?(?:[ \t]*\n[>\s]*|[ \t]+){_NAME}[ \t]*\.?[ \t]*$",
        rf"\b{_TITLE}\b\.?[ \t]+{_NAME}",
        rf"\b{_WHOSE}{_KIN}[ \t]*,?[ \t]+(?:(?i:is[ \t]+called|called|named)[ \t]+)?{_NAME}",
        rf"\b(?i:called|named|name[ \t]+is)[ \t]+{_NAME}",
        rf"^[>\s]*(?i:from|to|cc|von|an|de|à)[ \t]*:[ \t]*\"?{_NAME}(?=[ \t\"]*(?:[<\[,]|$))",
        rf"^[>\s]*(?:On|Am|Le)\b[^\n]{{4,60}}?,?[ \t]{_NAME}[ \t]+(?i:wrote|schrieb|a écrit)[ \t]*:",
    )
)


def _cues() -> tuple[frozenset[str], ...]:
    lines = resources.files("dsr.redaction").joinpath("cues.txt").read_text(encoding="utf-8").splitlines()
    words: dict[str, set[str]] = {"announces": set(), "headers": set(), "nobody": set()}
    for line in lines:
        kind, *said = line.split()
        if kind != "#":
            words[kind].update(said)
    return tuple(frozenset(said) for said in words.values())


# What every pattern needs one of: most texts hold none, and are done with in a moment.
_CUES, _HEADERS, _NOBODY = _cues()
_BETWEEN = ",.;:!?\"'()[]{}<>-–—’/"
_SPACED = {ord(c): " " for c in _BETWEEN}
# The same for texts in ASCII, as most are: by a table of bytes, in half the time.
_FLAT = bytes(ord(" ") if chr(b) in _BETWEEN else ord(chr(b).lower()) for b in range(128)) + bytes(128)
# Two words with a capital, not at the beginning of a sentence.
_FULL = re.compile(rf"(?<![.!?:\n>])(?:(?<=[ \t,;(<\"])){_WORD}[ \t]+{_WORD}\b")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, for `names` and `addresses.emails`, which need them both."""
    if text.isascii():
        return text.encode().translate(_FLAT).decode().split()
    return text.lower().translate(_SPACED).split()


def may_announce(text: str, said: list[str]) -> bool:
    """Whether something in the text may announce a name."""
    return not _CUES.isdisjoint(said) or (":" in text and not _HEADERS.isdisjoint(said))


def names(
    text: str, said: list[str], own: set[str], others: Collection[str] = (), beside: bool = False
) -> Iterator[tuple[int, int]]:
    """Where the text seems to name somebody who is not the subject: (start, end), in order.

    `said`: its words. `own`: the words of the subject's own names, case folded. `others`: names known of
    people who share a record with the subject. `beside`: the text holds another person's address, so
    whatever looks like a full name counts.
    """
    found: set[tuple[int, int]] = set()
    if may_announce(text, said):
        for pattern in _PATTERNS:
            found |= {m.span("name") for m in pattern.finditer(text)}
    if beside:
        found |= {m.span() for m in _FULL.finditer(text)}
    for name in filter(None, others):
        known = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
        found |= {m.span() for m in known.finditer(text)}
    past = 0
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        words = name_words(text[start:end])
        if start >= past and words and not words <= own and not words & _NOBODY:
            past = end
            yield start, end


def name_words(name: str) -> set[str]:
    """The words of a name, case folded."""
    return {word.strip("'’.-") for word in re.findall(r"[^\W\d_][\w'’\-]*", name.casefold())} - {""}
