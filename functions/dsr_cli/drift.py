"""What live stores hold and the map does not mention, with a guess of what it is. No value is ever told."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from dsr.datamap.plan import Collection, Plan, Store
from dsr.errors import StoreFault
from dsr.stores.base import Store as Opened
from dsr.stores.looking import Holdings, as_collection, own
from dsr.stores.registry import open_store
from dsr_cli.guessing import guess

_SAMPLE = 50
_DEPTH = 3
# Keys of a mapping that are themselves data (ids, addresses) are not told.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}[0-9]{0,2}")
_MOST_KEYS = 40
# What AWS itself notes of each object or user: nobody added it.
_NOTED = {
    "s3": {"object_key", "size", "content_type", "last_modified"},
    "cognito": {"username", "status", "enabled", "created_at", "updated_at"},
}


def drift(plan: Plan, store: Store, held: Holdings, count: int = _SAMPLE) -> Iterator[str]:
    """One line for each thing of the store that the map does not mention.

    `held`: what there is at all, as far as the store tells. What the map names is sampled in any case.
    """
    opened = open_store(own(store))
    known: dict[str, list[Collection]] = defaultdict(list)
    for collection in plan.collections.values():
        if collection.store == store.name:
            known[_named(store, collection)].append(collection)
    for collections in known.values():
        try:
            records = opened.sample(collections[0], count)
        except StoreFault as fault:
            yield f"{collections[0].path}: not sampled: {fault}"
            continue
        yield from _fields(store, collections, [record.values for record in records])
    for holding in held.names:
        if not any(_covers(store, name, holding) for name in known):
            told = _hint(opened, store, holding, count)
            yield f"{store.name}: {held.noun} {holding} is not in the map{told}"


def _named(store: Store, collection: Collection) -> str:
    """How the store calls what the collection is."""
    match store.kind:
        case "s3":
            return str(collection.options["key_template"].partition("{")[0])
        case "lake":
            return str(collection.options["prefix"])
        case "cognito":
            return str(store.connection["user_pool"])
        case _:
            return str(collection.options["table"])


def _covers(store: Store, named: str, holding: str) -> bool:
    if store.kind in ("s3", "lake"):  # prefixes: what the map names may lie deeper, or be everything
        return named.startswith(holding) or holding.startswith(named)
    return named in (holding, f"public.{holding}")


def _hint(opened: Opened, store: Store, holding: str, count: int) -> str:
    """What the most telling fields of a holding seem to be."""
    collection = as_collection(store, holding)
    records = opened.sample(collection, count) if collection else ()
    told = [f"{name}: {said}" for name, said in _guesses([r.values for r in records]) if said]
    return f" ({'; '.join(told[:5])})" if told else ""


def _fields(store: Store, known: list[Collection], records: list[dict[str, Any]]) -> Iterator[str]:
    """Fields of the records that none of the collections there names, nor the fields above or below it."""
    mentioned = {name for c in known for name in (*c.fields, *c.key)} | _NOTED.get(store.kind, set())
    for name, said in _guesses(records):
        if not any(_within(name, m) or _within(m, name) for m in mentioned):
            seems = f", it seems to be {said}" if said else ""
            yield f"{known[0].path}: field {name} is not in the map{seems}"


def _within(name: str, other: str) -> bool:
    return name == other or name.startswith(other + ".")


def _guesses(records: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    values: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        for name, value in _flat(record, "", 1):
            values[name].append(value)
    for name, found in values.items():
        told = guess(name, found)
        yield name, f"{told.category}, {told.why}" if told.category else ""


def _flat(record: dict[str, Any], above: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Every field with its value, nested ones by their path, as far as keys are names and not data."""
    if above and (len(record) > _MOST_KEYS or not all(_PLAIN.fullmatch(str(key)) for key in record)):
        yield above.removesuffix("."), None
        return
    for key, value in record.items():
        name = f"{above}{key}" if _PLAIN.fullmatch(str(key)) else f"{above}(a key that is no name)"
        items = value if isinstance(value, (list, tuple, set)) else [value]
        for item in items or [None]:
            if isinstance(item, dict) and depth < _DEPTH:
                yield from _flat(item, f"{name}.", depth + 1)
            else:
                yield name, item
