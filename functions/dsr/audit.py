"""The audit trail: each case's events are a chain of hashes, and signed heads hold all chains. Pure.

An event's hash is over all that it says, its number, its case and the hash of the event before. A *head*
lists cases with the number and hash of their last event; it is signed, holds the hash of the head before,
and lies where it can be neither changed nor deleted for years. So who may write to the table can change
only what came after the last head without being noticed.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dsr.canonical import digest
from dsr.case import Event, State
from dsr.signing import SignatureError, verify

_LINE = re.compile(r"(\S+) (\d+) ([0-9a-f]{64})")


def chained(event: Event, previous: str) -> Event:
    """The event as the next link after the one whose hash is `previous` ("" for the first)."""
    linked = replace(event, previous=previous, hash="")
    return replace(linked, hash=hash_of(linked))


def hash_of(event: Event) -> str:
    """What the event's `hash` must be."""
    return digest(
        {
            "case": event.case_id,
            "number": event.number,
            "at": event.at.isoformat(),
            "name": event.name,
            "actor": event.actor,
            "was": event.was.value,
            "now": event.now.value,
            "about": event.about,
            "previous": event.previous,
        }
    )


@dataclass(frozen=True)
class Broken:
    """A link that does not hold: where, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True)
class History:
    """One case: what it says of its last event (0 and "": it is not there), and its events, oldest first."""

    case_id: str
    version: int
    head: str
    events: tuple[Event, ...]


@dataclass(frozen=True)
class SignedHead:
    """A head as it lies in the bucket: the signed file, and its parts by their hash."""

    content: bytes
    parts: dict[str, bytes] = field(default_factory=dict)


def part_of(lines: Iterable[tuple[str, int, str]]) -> bytes:
    """A part of a head: a line for each case, its reference, the number and the hash of its last event."""
    return "".join(f"{case} {version} {head}\n" for case, version, head in lines).encode()


def part_name(part: bytes) -> str:
    """A part is called by its hash, so that writing it twice is writing it once."""
    return hashlib.sha256(part).hexdigest()


def chain_breaks(history: History) -> Iterator[Broken]:
    """Where the chain of one case does not hold, the first break first."""
    where, previous, number = f"case {history.case_id}", "", 0
    for number, event in enumerate(history.events, 1):
        at = f"{where}, event {number}"
        if event.number != number:
            yield Broken(at, f"is missing; {event.number} follows")
            return
        if event.previous != previous:
            yield Broken(at, "does not follow the event before it")
            return
        if event.hash != hash_of(event):
            yield Broken(at, "was changed")
            return
        previous = event.hash
    if (history.version, history.head) != (number, previous):
        last = f"{where}, event {max(number, history.version)}"
        yield Broken(last, f"the case ends with event {history.version}, its history with {number}")


@dataclass
class Replay:
    """Everything from the first event: heads in their order, then the cases, then what is missing.

    `pem`: the public keys. Each step yields what does not hold.
    """

    pem: bytes
    heads: int = 0
    cases: int = 0
    events: int = 0
    until: str = ""  # the time up to which the heads know every event
    _previous: str = ""
    # By case: the number of the head, and of what event it knows which hash.
    _known: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)

    def head(self, signed: SignedHead) -> Iterator[Broken]:
        """The next head."""
        where = f"head {self.heads + 1}"
        self.heads += 1
        try:
            head = verify("head", signed.content, self.pem)
        except SignatureError as error:
            yield Broken(where, str(error))
            return
        if head["number"] != self.heads:
            yield Broken(where, f"is missing; head {head['number']} follows")
            self.heads = head["number"]
        elif head["previous"] != self._previous:
            yield Broken(where, "does not follow the head before it")
        elif head["since"] != self.until:
            yield Broken(where, f"begins at {head['since']}, the one before it ends at {self.until}")
        self._previous, self.until = digest(head), head["until"]
        for listed in head["parts"]:
            part = signed.parts.get(listed["sha256"])
            if part is None or part_name(part) != listed["sha256"]:
                yield Broken(
                    where,
                    f"its part {listed['sha256'][:12]} {'is missing' if part is None else 'was changed'}",
                )
                continue
            for line in part.decode().splitlines():
                if match := _LINE.fullmatch(line):
                    known = (head["number"], int(match[2]), match[3])
                    self._known.setdefault(match[1], []).append(known)

    def case(self, history: History) -> Iterator[Broken]:
        """The next case; after all heads."""
        self.cases, self.events = self.cases + 1, self.events + len(history.events)
        known = self._known.pop(history.case_id, [])
        broken = next(chain_breaks(history), None) or next(self._unlike(history, known), None)
        if broken:
            yield broken  # what follows a broken link says nothing more

    def _unlike(self, history: History, known: list[tuple[int, int, str]]) -> Iterator[Broken]:
        where = f"case {history.case_id}"
        for number, version, head in known:
            if version > len(history.events):
                lost = f"{where}, event {len(history.events) + 1}"
                yield Broken(lost, f"is missing: head {number} knows {version} events")
            elif history.events[version - 1].hash != head:
                yield Broken(f"{where}, event {version}", f"is not the one that head {number} knows")
        sealed = max((version for _, version, _ in known), default=0)
        for event in history.events[sealed:]:
            if self.until and event.at.isoformat() <= self.until:
                yield Broken(
                    f"{where}, event {event.number}", f"is older than head {self.heads}, which lacks it"
                )

    def end(self) -> Iterator[Broken]:
        """What the heads know and nobody showed."""
        for case_id, known in sorted(self._known.items()):
            yield Broken(f"case {case_id}", f"is missing: head {known[0][0]} knows it")


def to_line(event: Event) -> dict[str, Any]:
    """An event as an export holds it."""
    return {
        "number": event.number, "at": event.at.isoformat(), "name": event.name, "actor": event.actor,
        "was": event.was.value, "now": event.now.value, "about": event.about,
        "previous": event.previous, "hash": event.hash,
    }  # fmt: skip


def read_line(case_id: str, said: dict[str, Any]) -> Event:
    """An event of an export. Whatever was changed in it, its hash tells: the words are not judged here."""
    return Event(
        case_id, int(said["number"]), datetime.fromisoformat(said["at"]), said["name"], said["actor"],
        State(said["was"]), State(said["now"]), said["about"], said["previous"], said["hash"],
    )  # fmt: skip
