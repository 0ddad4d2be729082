"""References that close a circle: followed again once all else is read, until they lead to nothing new.

What they say is kept beside the staged records, since the visits that told it are made again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dsr.datamap.plan import Collection, Plan, Way
from dsr.records import each_at
from dsr.staging import Staging

_PLACE = "late.json"
MOST_ROUNDS = 10  # beyond, it is no circle that closes: somebody shares values with everybody

Records = Callable[[str], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Again:
    """What is to be read again: collections (paths) that late ways lead to; what is to be kept of it.

    `beyond`: the reference that would need more rounds than are made; "" where none does.
    """

    paths: tuple[str, ...]
    keep: dict[str, Any]
    beyond: str = ""


def kept(staging: Staging, way: Way) -> list[Any]:
    """The values that a late way leads from, as far as they are known."""
    found: list[Any] = (staging.get_json(_PLACE) or {}).get("values", {}).get(way.parent, [])
    return found


def look(plan: Plan, staging: Staging, records: Records) -> Again | None:
    """Whether late ways lead from values that were not looked for yet; None if not.

    `records`: the sound records of a collection (path), as staged.
    """
    late = [(c, way) for c in plan.collections.values() for way in c.ways if way.late]
    if not late:
        return None
    known = staging.get_json(_PLACE) or {"rounds": 0, "values": {}}
    values, found = dict(known["values"]), list[tuple[Collection, Way]]()
    for collection, way in late:
        field = way.parent.split(".", 2)[2]
        said = {value for record in records(way.leads_from) for value in each_at(record["values"], field)}
        before = known["values"].get(way.parent, [])
        if new := said - set(before) - {""}:
            values[way.parent] = [*before, *sorted(new, key=str)]
            found.append((collection, way))
    if not found:
        return None
    paths = tuple(dict.fromkeys(collection.path for collection, _ in found))
    beyond = found[0][1].parent if known["rounds"] >= MOST_ROUNDS else ""
    return Again(paths, {"rounds": known["rounds"] + 1, "values": values}, beyond)


def keep(staging: Staging, again: Again) -> None:
    """Keep the values for when the collections are read again."""
    staging.put_json(_PLACE, again.keep)
