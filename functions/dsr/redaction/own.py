"""What is the subject's own: the addresses, numbers and names that stay where they stand. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dsr.datamap.plan import Collection, Field
from dsr.records import each_at
from dsr.redaction.addresses import EMAIL, PHONE, Span, email_form, emails, own_part, phone_form, same_phone
from dsr.redaction.names import name_words, words_of

NAME = "name"
_KINDS = (("user.contact.email", EMAIL), ("user.contact.phone", PHONE), ("user.name", NAME))
_MOST = 20_000  # values of one kind: more are no person's own


@dataclass
class Own:
    """The subject's own. `emails` and `phones` in the form they are compared in, `names` word by word.

    `others`: names of people who share a record with the subject.
    """

    emails: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def is_own(self, span: Span) -> bool:
        """Whether what was found in a text is the subject's own address or number."""
        if span.kind == EMAIL:
            return span.value in self.emails or own_part(span.value, self.emails) > 0
        return span.value in self.phones or any(same_phone(span.value, own) for own in self.phones)

    def add(self, kind: str, value: Any) -> None:
        """Take in a value of the subject's."""
        text = value if isinstance(value, str) else str(value)
        if kind == NAME:
            held, forms = self.names, name_words(text)
        elif kind == PHONE:
            held, forms = self.phones, {form} if len(form := phone_form(text)) >= 7 else set()
        else:
            held, forms = self.emails, {email_form(text), *(s.value for s in emails(text, words_of(text)))}
        if len(held) < _MOST:
            held |= forms

    def learn(self, collection: Collection, values: dict[str, Any]) -> None:
        """Take in what a record of the subject's tells, as `telling` says."""
        for path, kind in telling(collection):
            for value in each_at(values, path):
                if not isinstance(value, dict):
                    self.add(kind, value)
        for path in naming_others(collection):
            self.others |= {v for v in each_at(values, path) if isinstance(v, str) and len(v) > 2}

    def as_json(self) -> dict[str, list[str]]:
        """All of it, to be kept."""
        return {name: sorted(held) for name, held in vars(self).items()}

    @staticmethod
    def of(kept: dict[str, list[str]]) -> "Own":
        """What `as_json` gave."""
        return Own(**{name: set(held) for name, held in kept.items()})

    def settle(self) -> None:
        """All is read: the subject is none of the others."""
        self.others = {other for other in self.others if not name_words(other) <= self.names}


def _kind(f: Field) -> str:
    if f.second_point in (PHONE, NAME):
        return f.second_point
    return next((kind for category, kind in _KINDS if f.category.startswith(category)), "")


def telling(collection: Collection) -> list[tuple[str, str]]:
    """The fields of a collection whose values are the subject's own: (path, kind).

    Of a record that several people share only those by which it is the subject's: that found it, or are
    detached when its subject goes.
    """
    mine = {w.field for w in collection.ways if w.identity} | collection.on_deletion.get("detach", {}).keys()
    identities = {w.field: w.identity.kind for w in collection.ways if w.identity}
    told = []
    for path, f in collection.fields.items():
        kind = identities.get(path) or _kind(f)
        if kind and f.disclose != "never" and (collection.subjects == "one" or path in mine):
            told.append((path, kind))
    return told


def naming_others(collection: Collection) -> list[str]:
    """The fields of a shared record that name the others in it."""
    if collection.subjects == "one":
        return []
    own = {path for path, _ in telling(collection)}
    return [p for p, f in collection.fields.items() if f.category.startswith("user.name") and p not in own]


def must_read(collections: Iterable[Collection]) -> list[Collection]:
    """The collections to be read for what is the subject's own.

    Not those in which it is only what found them: those values were proven, and are known.
    """
    needed = []
    for c in collections:
        known = {w.field for w in c.ways if w.identity} if all(w.identity for w in c.ways) else set()
        if any(path not in known for path, _ in telling(c)) or naming_others(c):
            needed.append(c)
    return needed
