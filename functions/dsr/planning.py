"""The plan of a deletion: per collection how many records, what becomes of them, what stays and why."""

from collections.abc import Callable, Iterator
from typing import Any

from dsr.datamap.plan import Collection, Plan
from dsr.durations import later
from dsr.matching import as_time
from dsr.records import at_path

# What a deletion in a store of this kind waits for, whatever else it waits for.
WAITS = {"lake": "lake_run", "manual": "task", "webhook": "answer"}


def plan_of(
    plan: Plan, counts: dict[str, int], records: Callable[[str], Iterator[dict[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """What deletion will do, by collection path. Pure.

    Of each: title, records, treatment; by the treatment fields, pseudonymised, reason, law, until; `waits`,
    what it takes besides (a word of `WAITS`); `told`, who else holds it and will hear of the deletion
    (GDPR Art. 19). Of somebody else's the records are the locators that they are told.

    `counts`: records found, by path. `records` gives the located records of a path; only those that
    stay for a legal reason are read, for the day on which the last of them may go.
    """
    planned = {}
    for path, collection in plan.collections.items():
        if not counts.get(path):
            continue
        entry: dict[str, Any] = {"title": collection.title, "records": counts[path], **_treatment(collection)}
        store = plan.stores[collection.store]
        if collection.kept:
            entry["until"] = _until(collection, records(path))
        elif store.kind in WAITS:
            entry["waits"] = WAITS[store.kind]
        if store.recipient and not collection.kept:
            entry["told"] = store.recipient["name"]
        planned[path] = entry
    return planned


def _treatment(collection: Collection) -> dict[str, Any]:
    treatment = collection.on_deletion
    if collection.kept:
        return {"treatment": "keep", "reason": treatment["keep"], "law": treatment["law"]}
    for word in ("mask", "detach"):
        if word in treatment:
            hashed = sorted(n for n, t in collection.masks.items() if t.masking.how == "keyed_hash")
            # What is hashed can still be told to be of one person: it is not called erased.
            more = {"pseudonymised": hashed} if hashed else {}
            return {"treatment": word, "fields": sorted(treatment[word]), **more}
    return {"treatment": "delete"}


def _until(collection: Collection, records: Iterator[dict[str, Any]]) -> str:
    """The day on which the last of the records may go (ISO 8601)."""
    rule = collection.on_deletion["until"]
    begins = (as_time(at_path(record["values"], rule["from"])) for record in records)
    ends = [later(begin, rule["duration"]) for begin in begins if begin]
    return max(ends).date().isoformat() if ends else ""
