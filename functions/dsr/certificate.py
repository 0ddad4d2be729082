"""The certificate of a deletion, and its supplement: what went, what stays and why. Pure.

Neither names a person. What binds it to one is a commitment: the hash of a random word, which only they
are given, together with their address (or, where the company's site told only that, their account's id).
Signed as `dsr.signing` says; docs/certificate.schema.json describes both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dsr import signing
from dsr.canonical import digest
from dsr.case import Case
from dsr.datamap.plan import Collection, Plan
from dsr.matching import normalise
from dsr.plan_in_words import locator
from dsr.windows import Window

if TYPE_CHECKING:
    from dsr.casebook import Visit

NAME = "certificate"  # of the content in its signed file
VERSION = 1
METHOD = "every collection was read again by every locator"


@dataclass(frozen=True)
class Recipient:
    """Somebody else who held the data: when they were told, and what they answered."""

    name: str
    role: str
    told_at: str
    answered_at: str
    answer: str

    def said(self) -> dict[str, str]:
        """As the certificate says it."""
        return {
            "name": self.name, "role": self.role, "told_at": self.told_at,
            "answered_at": self.answered_at, "answer": self.answer,
        }  # fmt: skip


def recipients(plan: Plan, visits: Iterable["Visit"]) -> list[Recipient]:
    """Those whom the deletion asked, by the visits of its erasing."""
    told = {}
    for visit in visits:
        who = plan.stores[visit.store].recipient if visit.store in plan.stores else {}
        if who and visit.asked_at:
            told[who["name"]] = Recipient(
                who["name"], who.get("role", ""), visit.asked_at, visit.answered_at, visit.answer
            )
    return [told[name] for name in sorted(told)]


def commitment(nonce: str, identity: str) -> str:
    """What stands in the certificate for a person: nobody can try addresses without the nonce."""
    return digest([nonce, normalise(identity, "lower")])


def certificate_of(
    case: Case,
    plan: Plan,
    erased: dict[str, int],
    certified_at: datetime,
    copies: Iterable[Window] = (),
    told: Iterable[Recipient] = (),
    commitments: Iterable[str] = (),
    dates: tuple[datetime | None, datetime | None] = (None, None),
    follows: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The content. `erased`: records that went or were masked, by collection path. `dates`: of the read
    after the longest lag of a copy, and of the supplement. `follows`: the case that had kept by law what this
    one deleted, and the hash of its certificate."""
    collections = [
        _entry(path, case.plan.get(path), erased.get(path, 0), plan.collections.get(path))
        for path in sorted(case.plan.keys() | erased.keys())
    ]
    again, supplement = (at.isoformat() if at else "" for at in dates)
    return {
        "kind": "deletion",
        "version": VERSION,
        "case": case.case_id,
        "controller": plan.controller["name"],
        "complaint": plan.controller.get("complaint", ""),
        "map_version": case.map_version,
        "requested_at": case.received_at.isoformat(),
        "confirmed_at": case.confirmed_at.isoformat() if case.confirmed_at else "",
        "verified_at": certified_at.isoformat(),
        "verification": {"method": METHOD, "rounds": case.round + 1, "again_at": again},
        "outcome": "erased_in_part" if any("kept" in c for c in collections) else "erased",
        "collections": collections,
        "copies": [window.said() for window in copies],
        "recipients": [recipient.said() for recipient in told],
        "supplement_at": supplement,
        "subject": {"commitments": sorted(commitments)},
        **({"follows": follows} if follows else {}),
    }


def _entry(
    path: str, planned: dict[str, Any] | None, erased: int, collection: Collection | None
) -> dict[str, Any]:
    """One collection. What is kept is counted as it was found: its own fields are untouched, while a
    reference in it to a record that went may be empty now, as the database's foreign key says. Of what
    somebody else holds the number is of the locators that they were told: their records were never seen."""
    planned = planned or {"title": path, "treatment": "delete", "records": 0}
    store, _, name = path.partition(".")
    entry: dict[str, Any] = {
        "store": store,
        "collection": name,
        "title": planned["title"],
        "treatment": planned["treatment"],
        "found": planned["records"],
        "erased": erased,
        "remaining": 0,
    }
    if planned["treatment"] == "keep":
        entry |= {"kept": planned["records"], "reason": planned["reason"], "law": planned["law"]}
        entry |= {"until": planned.get("until", "")}
    elif planned["treatment"] != "delete":
        entry |= {"fields": list(planned.get("fields", ()))}
        if hashed := planned.get("pseudonymised"):
            entry |= {"pseudonymised": list(hashed)}
    if collection and planned.get("told"):
        fields = sorted({way.field for way in collection.ways})
        entry["told"] = {"name": planned["told"], "of": locator(collection), "fields": fields}
    return entry


def supplement_of(
    case: Case,
    plan: Plan,
    certificate: dict[str, Any],
    erased_again: dict[str, int],
    copies: Iterable[Window],
    at: datetime,
) -> dict[str, Any]:
    """What follows when the last copy has ended: that it has, and what the later read found."""
    return {
        "kind": "supplement",
        "version": VERSION,
        "case": case.case_id,
        "controller": plan.controller["name"],
        "certificate": digest(certificate),
        "issued_at": at.isoformat(),
        "verified_again_at": case.checked_at.isoformat() if case.checked_at else "",
        "erased_again": [{"collection": path, "erased": erased_again[path]} for path in sorted(erased_again)],
        "copies": [window.said() for window in copies],
    }


def verify(content: bytes, pem: bytes) -> dict[str, Any]:
    """The certificate in the file `content`, if one of the keys signed it. Raises SignatureError."""
    return signing.verify(NAME, content, pem)


def is_mine(certificate: dict[str, Any], nonce: str, identity: str) -> bool:
    """Whether the certificate is about who has this address (or account) and was given this word."""
    return commitment(nonce.strip(), identity) in certificate.get("subject", {}).get("commitments", ())
