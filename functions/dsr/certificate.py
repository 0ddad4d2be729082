"""The certificate of a deletion: what went, what stays and why. Pure; signed as `dsr.signing` says."""

from datetime import datetime
from typing import Any

from dsr import signing
from dsr.case import Case

NAME = "certificate"  # of the content in its signed file


def certificate_of(
    case: Case, controller: dict[str, str], erased: dict[str, int], certified_at: datetime
) -> dict[str, Any]:
    """The content: no personal data. `erased`: records that went or were masked, by collection path."""
    collections = []
    for path in sorted(case.plan.keys() | erased.keys()):
        planned = case.plan.get(path, {"treatment": "delete", "records": 0})
        store, _, name = path.partition(".")
        entry = {
            "store": store,
            "collection": name,
            "treatment": planned["treatment"],
            "found": planned["records"],
            "erased": erased.get(path, 0),
            "remaining": 0,
        }
        if planned["treatment"] == "keep":
            entry |= {"kept": planned["records"], "reason": planned["reason"], "law": planned["law"]}
            entry |= {"until": planned.get("until", "")}
        elif planned["treatment"] != "delete":
            entry |= {"fields": list(planned.get("fields", ()))}
        collections.append(entry)
    return {
        "kind": "deletion",
        "version": 1,
        "case": case.case_id,
        "controller": controller["name"],
        "map_version": case.map_version,
        "requested_at": case.received_at.isoformat(),
        "confirmed_at": case.confirmed_at.isoformat() if case.confirmed_at else "",
        "verified_at": certified_at.isoformat(),
        "verification": {
            "method": "every collection was read again by every locator",
            "rounds": case.round + 1,
        },
        "outcome": "erased_in_part" if any("kept" in c for c in collections) else "erased",
        "collections": collections,
    }


def verify(content: bytes, pem: bytes) -> dict[str, Any]:
    """The certificate in the file `content`, if one of the keys signed it. Raises SignatureError."""
    return signing.verify(NAME, content, pem)
