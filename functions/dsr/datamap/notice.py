"""The privacy notice, from the data map: what is promised and what is run cannot drift apart. Pure.

GDPR Art. 13 and 14 say what it must tell; each part below names its paragraph. One content, several
forms: the public page, the printable file (`dsr_cli.print_notice`), the command line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from dsr.datamap.categories import CATEGORIES
from dsr.datamap.plan import Collection, Plan
from dsr.datamap.published import recipients
from dsr.plan_in_words import day, period

BASES = {
    "consent": "you agreed to it, and may withdraw that at any time (GDPR Art. 6(1)(a))",
    "contract": "we need it for the contract with you (Art. 6(1)(b))",
    "legal_obligation": "a law obliges us (Art. 6(1)(c))",
    "vital_interests": "somebody's life depends on it (Art. 6(1)(d))",
    "public_task": "it is a task in the public interest (Art. 6(1)(e))",
    "legitimate_interests": "we have a legitimate interest in it: you may object (Art. 6(1)(f))",
}
ROLES = {
    "processor": "works with it for us, on our instructions",
    "controller": "answers for it themselves",
    "authority": "an authority",
    "public": "open to whoever looks",
}
RIGHTS = (
    (
        "See it",
        "You may have a copy of your data, and know why we hold it, how long and who receives it (Art. 15).",
    ),
    ("Correct it", "You may have wrong data corrected and incomplete data completed (Art. 16)."),
    ("Delete it", "You may have your data deleted, but for what a law obliges us to keep (Art. 17)."),
    ("Restrict it", "You may have us do nothing but store it while a question is open (Art. 18)."),
    ("Take it along", "You may have what you provided in a form that machines read (Art. 20)."),
    (
        "Object",
        "You may object to what we do in our legitimate interest, and to direct marketing always (Art. 21).",
    ),
    ("Be decided on by people", "You may have a person look at what a computer decided alone (Art. 22)."),
    ("Change your mind", "You may withdraw a consent; what was done before stays lawful (Art. 7(3))."),
)


# How a category is called where the taxonomy's name is not a person's word for it.
_IN_WORDS = {
    "user.account": "what belongs to your account",
    "user.authorization": "what signs you in",
    "user.behavior": "what you did, and when",
    "user.contact.email": "email address",
    "user.contact.phone_number": "phone number",
    "user.contact.address": "postal address",
    "user.content.private": "what you wrote or uploaded",
    "user.content.public": "what you published",
    "user.device": "your device",
    "user.device.ip_address": "IP address",
    "user.privacy_preferences": "what you chose and agreed to",
    "user.unique_id": "numbers that stand for you",
}


@dataclass(frozen=True)
class Holding:
    """One kind of data: every promise about it, each a label and what is said."""

    title: str
    told: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Notice:
    """The whole notice, section by section."""

    controller: dict[str, str]
    version: str
    promises: tuple[str, ...]
    holdings: tuple[Holding, ...]
    recipients: tuple[str, ...]
    exceptions: tuple[str, ...]
    rights: tuple[tuple[str, str], ...] = RIGHTS
    deleted: str = ""
    requests: tuple[str, ...] = field(default_factory=tuple)
    children: str = ""

    @property
    def title(self) -> str:
        """Its heading."""
        return f"Privacy notice of {self.controller['name']}"


def notice_of(plan: Plan) -> Notice:
    """The notice that the plan amounts to."""
    ordered = [c for visit in plan.visits for c in plan.collections_of(visit)]
    texts = {word: str(plan.notice.get(word, "")) for word in ("address", "officer")}
    return Notice(
        controller={"complaint": "", **plan.controller, **texts},
        version=plan.version,
        promises=tuple(plan.notice.get("promises", ())),
        holdings=tuple(Holding(c.title, tuple(_told(plan, c))) for c in ordered),
        recipients=tuple(_recipients(plan)),
        exceptions=tuple(_exceptions(ordered)),
        deleted=_DELETED,
        requests=(_ASKED, _WHOSE),
        children=plan.notice.get("children", ""),
    )


# What answering requests holds by itself (README, "What it holds about people itself").
_ASKED = (
    "When you ask for a copy or for deletion, we keep that you asked, when, and how we answered, to be able "
    "to show it (Art. 5(2)). What you typed is destroyed some weeks after the request has ended."
)
_WHOSE = (
    "Who a request was about stays as a code computed from your account's number or your address, from which "
    "nobody can compute them back without our key: so requests of one person find each other."
)


# The list of the erased (`dsr.suppression`). 11 CCR 7022 lets a record be kept so that data stays deleted,
# and has the requester told; the template's `SuppressionDays` allows no longer than is said here.
_DELETED = (
    "So that what we deleted stays deleted, also when a backup is restored, we keep a list of what was "
    "deleted: codes computed from account numbers and addresses, with the time of the deletion, for at most "
    "ten years. Nobody can compute them back without our key. We may, since we must be able to show that "
    "your data is deleted and stays so (Art. 6(1)(c), 5(2) and 17(1); 11 CCR 7022)."
)


def _told(plan: Plan, collection: Collection) -> Iterator[tuple[str, str]]:
    """Art. 13(1)(c) and (d), (2)(a); 14(1)(d), (2)(f): what, why, by which right, how long, who, whence."""
    fields = collection.fields
    yield "What", _sentence(_what(collection))
    purposes = sorted({plan.purposes[f.purpose] for f in fields.values()})
    yield "Why", _sentence("; ".join(purposes))
    yield "Why we may", _sentence(BASES.get(collection.basis, collection.basis))
    yield "How long", _how_long(collection)
    yield "When you have it deleted", _on_deletion(collection)
    who = [plan.stores[collection.store].recipient.get("name", ""), *collection.recipients]
    yield "Who receives it", _sentence("; ".join(name for name in who if name) or "nobody but us")
    sources = sorted({f.source for f in fields.values() if f.source})
    yield "Where it comes from", " ".join(plan.sources.get(word, word) for word in sources)
    if collection.copies:
        yield "Copies elsewhere", _sentence("; ".join(_copy(copy) for copy in collection.copies))
    if collection.automated:
        yield "Decided by a computer", collection.automated
    if collection.never:
        withheld = "; ".join(f"{_label(name)}, since {why}" for name, why in sorted(collection.never.items()))
        yield "Never handed out", _sentence(withheld)


def _what(collection: Collection) -> str:
    """What the person provided, by its own name; of all else the category. Each once."""
    fields = collection.fields.items()
    given = sorted(_label(name.rpartition(".")[2]) for name, f in fields if f.provided)
    other = sorted(_category(f.category) for _, f in fields if not f.provided)
    return ", ".join(dict.fromkeys([*given, *other]))


def _category(name: str) -> str:
    return _IN_WORDS.get(name) or CATEGORIES.get(name, name).lower()


def _label(name: str) -> str:
    return name.replace(".", " ").replace("_", " ")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _how_long(collection: Collection) -> str:
    rule = collection.retention
    if "duration" not in rule:
        return "Until you delete your account."
    return f"{_sentence(period(rule['duration']))[:-1]}, counted from “{_label(rule['from'])}”."


def _on_deletion(collection: Collection) -> str:
    treatment = collection.on_deletion
    if collection.kept:
        until = treatment["until"]
        if "date" in until:
            stays = f"until {day(date.fromisoformat(until['date']))}"
        else:
            stays = f"for {period(until['duration'])} from “{_label(until['from'])}”"
        return f"It stays {stays}: {treatment['keep']} ({treatment['law']})."
    if collection.masks:
        shared = "since others share the record" if "detach" in treatment else "without what leads to you"
        return f"The record stays, {shared}; removed are: {', '.join(_label(n) for n in collection.masks)}."
    return "All of it is deleted and can no longer be retrieved."


def _copy(copy: dict[str, str]) -> str:
    within = copy.get("expires") or copy.get("lag") or ""
    return f"{copy['name']}, which follows within {period(within)}" if within else copy["name"]


def _recipients(plan: Plan) -> Iterator[str]:
    """Art. 13(1)(e) and (f)."""
    for _, told in sorted(recipients(plan).items()):
        parts = [f"{_sentence(told['name'])[:-1]}: {ROLES.get(told['role'], told['role'])}"]
        parts += [f"in {told['country']}"] if told.get("country") else []
        parts += [f"protected by {told['safeguard']}"] if told.get("safeguard") else []
        parts += ["only if you agreed"] if told.get("consent") else []
        yield _sentence(", ".join(parts))


def _exceptions(ordered: list[Collection]) -> Iterator[str]:
    """What stays although its person has everything deleted."""
    for collection in ordered:
        if collection.kept or collection.masks:
            yield f"{collection.title}: {_on_deletion(collection)}"
