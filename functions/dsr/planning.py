"""The plan of a deletion: per collection how many records, what becomes of them, what stays and why."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from dsr.datamap.plan import Collection, Plan, Store, Way
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
    """The day on which the last of the records may go (ISO 8601); "" where none tells its time."""
    ends = [end for record in records if (end := end_of(collection, record["values"]))]
    return max(ends).date().isoformat() if ends else ""


def end_of(collection: Collection, values: dict[str, Any]) -> datetime | None:
    """When the legal reason to keep a record ends; None where the record does not tell its time. Pure."""
    rule = collection.on_deletion["until"]
    if "date" in rule:
        return datetime.combine(date.fromisoformat(rule["date"]), time(), UTC)
    begin = as_time(at_path(values, rule["from"]))
    return later(begin, rule["duration"]) if begin else None


# The kinds whose records can be found again by their own keys, and tell their time.
KINDS = frozenset({"cognito", "dynamodb", "s3", "sql"})


def hindrance(collection: Collection, store: Store) -> str:
    """Why what is kept there does not go by itself when its time is over; "" if it does, or none is."""
    if collection.kept and store.kind not in KINDS:
        return f"{collection.path}: nothing in a {store.kind} store sees to it that a key names one record"
    return ""


def by_own_keys(plan: Plan) -> Plan:
    """The plan by which what was kept is deleted: these collections alone, found by their own keys."""
    collections = {
        path: replace(
            collection,
            ways=(Way(collection.key[0], None, f"{path}.{collection.key[0]}", own=True),),
            on_deletion={"delete": True, "until": collection.on_deletion["until"]},
            account="", feeds=(), starts=(), freeze=False, restrict={},
        )
        for path, collection in plan.collections.items()
        if collection.kept and not hindrance(collection, plan.stores[collection.store])
    }  # fmt: skip
    visits = [
        replace(visit, resolves=False, collections=names)
        for visit in plan.visits
        if (names := tuple(n for n in visit.collections if f"{visit.store}.{n}" in collections))
    ]
    return replace(plan, collections=collections, visits=tuple(visits))
