"""What a recipient is asked about one person, and what counts as an answer. Pure.

A question has a name of its own, the same however often it is sent: who gets it twice answers once. What
is asked anew with other locators is another question, with the next number.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from dsr.case import read_case_id
from dsr.casebook import work_name
from dsr.errors import DsrError

MOST_BYTES = 1024 * 1024  # of an answer, or of one page of it
MOST_PAGES = 1000
MOST_SAID = 2000  # characters of a reason

VERBS = ("find", "erase", "remaining")
# What an answer says of each collection, by the verb.
_SAYS = {"find": "records", "erase": "erased", "remaining": "remaining"}


class Malformed(DsrError):
    """An answer that is none; the message says what is wrong, without quoting a value."""


@dataclass(frozen=True)
class Name:
    """The name of a question, in its parts."""

    case_id: str
    visit: str
    verb: str
    round: int
    number: int

    def __str__(self) -> str:
        return f"{self.case_id}_{self.visit}_{self.verb}_{self.round}_{self.number}"

    @property
    def staged_at(self) -> str:
        """Where the question of the visit lies in staging, whatever its number."""
        return f"questions/{self.visit}/{self.verb}@{self.round}.json"

    @property
    def work(self) -> str:
        """What its visit is filed under."""
        return work_name("erase" if self.verb == "erase" else "gather", self.round)


_NAME = re.compile(r"([0-9A-Z-]{19})_(\d{1,3}-[a-z][a-z0-9_]{0,59}(?:-who)?)_([a-z]+)_(\d{1,2})_(\d{1,3})")


def read_name(text: str) -> Name | None:
    """The name that `text` spells, or None."""
    found = _NAME.fullmatch(text)
    if not found or read_case_id(found[1]) != found[1] or found[3] not in VERBS:
        return None
    return Name(found[1], found[2], found[3], int(found[4]), int(found[5]))


@dataclass(frozen=True)
class Question:
    """A question as it is kept, sealed: `locators` by collection and field are the person's."""

    name: str
    asked_at: str
    answer_by: str
    locators: dict[str, dict[str, list[Any]]]
    used: bool = False  # answered, and of no use: whoever asks next asks another question

    @property
    def parts(self) -> Name:
        """Its name in parts."""
        named = read_name(self.name)
        if named is None:
            raise ValueError("a question without a name")
        return named

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


@dataclass(frozen=True)
class Said:
    """One page of an answer: what it says of each collection, or why there is no answer (`cannot`).

    `files`, by collection, are what an agent handed in as files: the fields of `stores.base.Original`,
    without a bucket and with the staged part as the version.
    """

    page: int = 1
    more: bool = False
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cannot: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it is kept, sealed."""
        return asdict(self)


def read_answer(verb: str, body: bytes) -> Said:
    """The answer to a question of that verb. Raises Malformed."""
    if len(body) > MOST_BYTES:
        raise Malformed(f"more than {MOST_BYTES} bytes: answer in pages")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(said, dict):
        raise Malformed("not an object")
    if unknown := said.keys() - {"collections", "page", "more", "cannot"}:
        raise Malformed(f"{len(unknown)} keys beside `collections`, `page`, `more` and `cannot`")
    page, more = said.get("page", 1), said.get("more", False)
    if type(page) is not int or not 1 <= page <= MOST_PAGES or type(more) is not bool:
        raise Malformed(f"`page` is a number from 1 to {MOST_PAGES}, `more` true or false")
    if "cannot" in said:
        reason = said["cannot"]
        if not isinstance(reason, str) or not reason.strip() or len(reason) > MOST_SAID:
            raise Malformed(f"`cannot` is a reason of at most {MOST_SAID} characters")
        return Said(page, False, cannot=reason.strip())
    collections = said.get("collections")
    if not isinstance(collections, dict) or not all(isinstance(c, dict) for c in collections.values()):
        raise Malformed("`collections` is an object with one object for each collection asked about")
    if verb != "find" and (page, more) != (1, False):
        raise Malformed("only records come in pages")
    told = _each(verb, collections)
    return Said(page, more, records=told) if verb == "find" else Said(page, more, numbers=told)


def _each(verb: str, collections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    word = _SAYS[verb]
    for told in collections.values():
        if told.keys() != {word}:
            raise Malformed(f"each collection says `{word}`, and nothing else")
        value = told[word]
        if verb == "find":
            if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
                raise Malformed("`records` is a list of objects")
        elif type(value) is not int or not 0 <= value < 10**12:
            raise Malformed(f"`{word}` is a number")
    return {name: told[word] for name, told in collections.items()}


def complete(said: Said, asked: set[str]) -> None:
    """Raises Malformed unless the page speaks of every collection asked about, and of no other."""
    if said.cannot:
        return
    told = said.records.keys() | said.numbers.keys()
    if missing := asked - told:
        raise Malformed(f"nothing is said of: {', '.join(sorted(missing))}")
    if told - asked:
        raise Malformed("a collection that was not asked about")
