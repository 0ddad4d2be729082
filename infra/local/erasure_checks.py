"""What a deletion must have done to the sample community's stores, and must not, record by record."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dsr.datamap.plan import Plan
from infra.craftzone.holdings import Collection, Record
from infra.craftzone.load import Snapshot, differences
from infra.craftzone.people import Community
from infra.local.checks import Needles

REDACTED = (None, "[deleted]")


def faults(
    plan: Plan, truth: Mapping[Collection, list[Record]], before: Snapshot, after: Snapshot, needles: Needles
) -> list[str]:
    """What is wrong after the deletion of the person whose records are `truth`, as sentences.

    Their records must be gone, masked or kept, each as the map says; every other record of everybody
    must be what it was, to the byte; and where something of theirs stays though it is not kept, none
    of the values that name them may stand in it.
    """
    found: list[str] = []
    changed = {(c, key): how for c, keys in differences(before, after).items() for key, how in keys.items()}
    for collection, records in truth.items():
        described = plan.collections[".".join(collection)]
        for key in _keys(plan, collection, records, before):
            how = changed.pop((collection, key), "unchanged")
            old, new = before[collection].get(key), after[collection].get(key)
            where = f"{'.'.join(collection)} {key}"
            if old is None:
                found.append(f"{where}: was not there before")
            elif described.kept:
                if new is None or _differing(old, new) - _nulled_references(plan, collection):
                    found.append(f"{where}: is to be kept as it was, and was {how}")
            elif described.masks:
                found += _mask_faults(where, old, new, described.masks, needles)
            elif how != "removed":
                found.append(f"{where}: is still there")
    found += [
        f"{'.'.join(c)} {key}: belongs to somebody else, and was {how}" for (c, key), how in changed.items()
    ]
    return found


def recipient_faults(plan: Plan, certificate: dict[str, Any]) -> list[str]:
    """Whom the certificate does not name as told and having erased, though they are in the map."""
    answers = {entry["name"]: entry["answer"] for entry in certificate["recipients"]}
    wanted = [store.recipient["name"] for store in plan.stores.values() if store.recipient]
    return [
        f"the certificate says of {name}: {answers.get(name, 'nothing')}"
        for name in wanted
        if answers.get(name) != "erased"
    ]


def faults_of_all(
    plan: Plan, community: Community, people: Iterable[str], before: Snapshot, after: Snapshot
) -> list[str]:
    """What is wrong after the deletion of all these people, as sentences."""
    truth: dict[Collection, list[Record]] = {}
    values: set[str] = set()
    for who in people:
        values |= community.personal_values_of(who)
        for collection, records in community.records_of(who).items():
            truth.setdefault(collection, []).extend(records)
    return faults(plan, truth, before, after, Needles(values))


def _mask_faults(
    where: str, old: str, new: str | None, masks: Mapping[str, object], needles: Needles
) -> Iterator[str]:
    if new is None:
        yield f"{where}: is shared, and was removed"
        return
    wrong = _differing(old, new) - masks.keys()
    if wrong:
        yield f"{where}: also lost {', '.join(sorted(wrong))}"
    left = [name for name in masks if json.loads(new).get(name) not in REDACTED]
    if left:
        yield f"{where}: still says {', '.join(left)}"
    for value in sorted(needles.in_text(new)):
        yield f"{where}: still holds {value!r}"


def _keys(plan: Plan, collection: Collection, records: list[Record], before: Snapshot) -> Iterator[str]:
    """The keys that a snapshot knows these records by; of a file every version."""
    described = plan.collections[".".join(collection)]
    kind = plan.stores[collection[0]].kind
    for record in records:
        if kind == "s3":
            prefix = f"{record['object_key']}?versionId="
            yield from [key for key in before[collection] if key.startswith(prefix)]
        elif kind == "cognito":
            yield record["username"]
        elif kind in ("sql", "lake", "webhook", "manual"):
            yield str(record[described.key[0]])
        else:
            yield "/".join(str(record[name]) for name in described.key)


def _differing(old: str, new: str) -> set[str]:
    was: dict[str, Any] = json.loads(old)
    now: dict[str, Any] = json.loads(new)
    return {name for name in was.keys() | now.keys() if was.get(name) != now.get(name)}


def _nulled_references(plan: Plan, collection: Collection) -> set[str]:
    # A kept record may lose the reference to one that is gone: the foreign key is set to null.
    ways = plan.collections[".".join(collection)].ways
    return {way.field for way in ways if way.parent.split(".")[0] == collection[0]}
