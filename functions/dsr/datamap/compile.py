"""From the YAML file to the plan that ships. Every mistake is told with file, line, path and the way out."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from dsr.datamap.kinds import KINDS
from dsr.datamap.kinds.base import Kind, needs_field
from dsr.datamap.mistakes import tell
from dsr.datamap.parts import Keep, MapCollection, MapField, MapStore, days
from dsr.datamap.plan import Collection, Field, Identity, Plan, Store, VisitPlan, Way, to_json
from dsr.datamap.schema import DataMap
from dsr.datamap.source import Problems, Source, suggest


def compile_file(path: Path | str, values: dict[str, str]) -> Plan:
    """The plan of the map at `path`, with `${name}` replaced from `values`.

    Raises MapError with every mistake of the stage that found one: the file, its words, what they say
    together, the order.
    """
    source = Source(Path(path))
    problems = Problems(source)
    raw = source.filled(values, problems)
    problems.stop_if_any()
    try:
        data_map = DataMap.model_validate(raw)
    except ValidationError as error:
        tell(error, source, problems)
        problems.stop_if_any()
        raise  # nothing of what it found was told
    return _compile(data_map, problems, values)


def _compile(data_map: DataMap, problems: Problems, values: dict[str, str]) -> Plan:
    stores = {
        name: Store(
            name, s.kind, s.access_role, s.connection.model_dump(mode="json", exclude_none=True),
            values.get("external_id", "dsr"), s.told,
        )
        for name, s in data_map.stores.items()
    }  # fmt: skip
    collections: dict[str, Collection] = {}
    for store_name, store in data_map.stores.items():
        for name, collection in store.collections.items():
            here = problems.below("stores", store_name, "collections", name)
            _check_collection(here, f"{store_name}.{name}", store, collection, data_map)
            collections[f"{store_name}.{name}"] = _collection(store, store_name, name, collection)
    problems.stop_if_any()
    collections = _with_feeds(collections)
    visits = tuple(_visits(stores, collections, problems))
    problems.stop_if_any()
    plan = Plan(
        version="",
        controller=data_map.controller.model_dump(),
        purposes=dict(data_map.purposes),
        requires=data_map.requires.model_dump(),
        stores=stores,
        collections=collections,
        visits=visits,
    )
    return replace(plan, version=hashlib.sha256(to_json(plan).encode()).hexdigest()[:16])


def _check_collection(
    problems: Problems, path: str, store: MapStore, collection: MapCollection, data_map: DataMap
) -> None:
    kind = KINDS[store.kind]
    for name, field in collection.fields.items():
        _check_field(problems.below("fields", name), path, field, data_map)
    for where, name in _named_fields(collection):
        needs_field(collection, problems, where, name)
    kind.check(collection, problems)
    if kind.asks:
        _check_asked(problems, path, collection)
    if collection.freeze and not kind.freezes:
        able = [k for k, v in KINDS.items() if v.freezes]
        problems.add(
            ("freeze",), f"a {store.kind} store cannot stop the use of records; {', '.join(able)} can"
        )
    _check_sign_in(problems, collection, data_map)
    _check_treatment(problems, kind, collection)
    retention = collection.retention
    if bool(retention.until) == bool(retention.duration) or bool(retention.duration) != bool(retention.from_):
        problems.add(("retention",), "give either `duration` and `from`, or `until: account_deleted`")


def _check_asked(problems: Problems, path: str, collection: MapCollection) -> None:
    """Of whoever is asked by one message: nothing in the answer may be needed for the question."""
    if collection.account:
        problems.add(("account",), "only what is searched here can tell who a person is")
    for name, field in collection.fields.items():
        if field.references and field.references.startswith(path.partition(".")[0] + "."):
            said = "leads from the same recipient: give them a locator that you hold yourselves"
            problems.add(("fields", name, "references"), said)


def _check_field(problems: Problems, path: str, field: MapField, data_map: DataMap) -> None:
    if field.purpose not in data_map.purposes:
        hint = suggest(field.purpose, data_map.purposes)
        problems.add(("purpose",), f"`{field.purpose}` is none of `purposes`{hint}")
    if field.disclose == "never" and not field.reason:
        problems.add((), "`disclose: never` needs a `reason` that the person will read")
    if field.references:
        _check_reference(problems.below("references"), field.references, data_map)
        if field.references.startswith(path + "."):
            said = "leads back to its own collection: a record would be found by itself"
            problems.add(("references",), said)
    if field.identity and not field.identity.verified and field.identity.since:
        said = "`since` says when the value was verified: set `verified: true`"
        problems.add(("identity", "since"), said)
    if field.identity and field.identity.valid and not field.identity.recorded:
        said = "counts from when the value was written down: name that field in `recorded`"
        problems.add(("identity", "valid"), said)


def _check_treatment(problems: Problems, kind: Kind, collection: MapCollection) -> None:
    """What a deletion is to do must be within what a store of that kind can do."""
    for word in ("mask", "detach"):
        for name, masking in getattr(collection.on_deletion, word, {}).items():
            if masking in kind.masks:
                continue
            can = (
                f"can {' and '.join(sorted(kind.masks))}"
                if kind.masks
                else "can only delete or keep whole records"
            )
            problems.add(("on_deletion", word, name), f"a {kind.name} store {can}")


def _check_sign_in(problems: Problems, collection: MapCollection, data_map: DataMap) -> None:
    """Where account holders are to sign in, something must tell whose sign-in proves which account."""
    asked = data_map.requires.access.account_holder, data_map.requires.deletion.account_holder
    everywhere = [c for s in data_map.stores.values() for c in s.collections.values() if c.account]
    proving = any(f.proves for c in everywhere for f in c.fields.values())
    if collection.account and "account" in asked and not proving:
        problems.add(("account",), "holders must sign in (`requires`), but no field has `proves: sign_in`")


def _named_fields(c: MapCollection) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every place where the collection names one of its own fields, with its path."""
    yield from ((("key",), name) for name in c.key)
    for word in ("account", "born"):
        if getattr(c, word):
            yield (word,), getattr(c, word)
    if c.retention.from_:
        yield ("retention", "from"), c.retention.from_
    if isinstance(c.on_deletion, Keep):
        yield ("on_deletion", "until", "from"), c.on_deletion.until.from_
    for word in ("mask", "detach"):
        yield from ((("on_deletion", word, name), name) for name in getattr(c.on_deletion, word, {}))
    for name, field in c.fields.items():
        for word in ("since", "recorded"):
            if field.identity and getattr(field.identity, word):
                yield ("fields", name, "identity", word), getattr(field.identity, word)


def _check_reference(problems: Problems, target: str, data_map: DataMap) -> None:
    match = re.fullmatch(r"([^.]+)\.([^.]+)\.(.+)", target)
    if not match:
        problems.add((), f"`{target}` must be store.collection.field")
        return
    store, collection, field = match.groups()
    if store not in data_map.stores:
        problems.add((), f"`{target}`: no store `{store}`{suggest(store, data_map.stores)}")
        return
    known = data_map.stores[store].collections
    if collection not in known:
        hint = suggest(collection, known)
        problems.add((), f"`{target}`: no collection `{collection}` in store `{store}`{hint}")
        return
    if field not in known[collection].fields:
        hint = suggest(field, known[collection].fields)
        problems.add((), f"`{target}`: no field `{field}` in collection `{store}.{collection}`{hint}")


def _collection(held: MapStore, store: str, name: str, c: MapCollection) -> Collection:
    # References come before identities: the records they find are certain, and give the second
    # matching points that less certain matches are compared with.
    ways = [Way(n, None, f.references) for n, f in c.fields.items() if f.references]
    if c.account and c.account == c.key[0]:
        # By its own key an account is found that the site names, and that one round of erasing knew.
        ways.insert(0, Way(c.account, None, f"{store}.{name}.{c.account}", own=True))
    for field_name, f in c.fields.items():
        if f.identity:
            i = f.identity
            valid = days(i.valid) if i.valid else 0
            ways.append(
                Way(
                    field_name,
                    Identity(i.is_, i.normalise, i.verified, i.since or "", i.recorded or "", valid),
                )
            )
    fields = {
        n: Field(
            f.category,
            f.purpose,
            f.disclose or "",
            f.reason,
            f.provided,
            f.second_point or "",
            f.proves or "",
            f.free_text,
        )
        for n, f in c.fields.items()
    }
    treatment = {"delete": True} if c.on_deletion == "delete" else c.on_deletion.model_dump(by_alias=True)
    return Collection(
        store, name, c.title, tuple(c.key), tuple(ways), fields,
        account=c.account or "", born=c.born or "", freeze=c.freeze, subjects=c.subjects, basis=c.basis,
        retention=c.retention.model_dump(by_alias=True, exclude_none=True),
        on_deletion=treatment,
        copies=() if c.copies == "none" else tuple(x.model_dump(exclude_none=True) for x in c.copies),
        options=KINDS[held.kind].options(c),
    )  # fmt: skip


def _with_feeds(collections: dict[str, Collection]) -> dict[str, Collection]:
    feeds: dict[str, set[str]] = {path: set() for path in collections}
    for collection in collections.values():
        for way in collection.ways:
            if way.parent:
                store, name, field = way.parent.split(".", 2)
                feeds[f"{store}.{name}"].add(field)
    return {path: replace(c, feeds=tuple(sorted(feeds[path]))) for path, c in collections.items()}


def _visits(
    stores: dict[str, Store], collections: dict[str, Collection], problems: Problems
) -> Iterator[VisitPlan]:
    """A topological order over references: a collection waits for all its parents.

    Collections of one store follow each other within a visit; only a reference into another store
    costs a wave. A circle, and what no identity leads to, are mistakes.
    """
    waves: dict[str, int] = {}
    order: list[str] = []
    left = dict(collections)
    while left:
        ready = [p for p, c in left.items() if c.parents <= waves.keys()]
        if not ready:
            circle = _circle(left)
            store, name = circle[0].split(".")
            problems.add(
                ("stores", store, "collections", name),
                f"references go in a circle ({' → '.join(f'`{p}`' for p in circle)}); remove one of them",
            )
            return
        for path in ready:
            collection = left.pop(path)
            leads = [w for w in collection.ways if not w.own]
            if not any(w.parent or (w.identity and w.identity.kind == "email") for w in leads):
                only = " (a phone number is not proven by any means yet)" if leads else ""
                problems.add(
                    ("stores", collection.store, "collections", collection.name),
                    f"no way to find a person here{only}: give a field an `identity` or `references`",
                )
            waves[path] = max(
                (waves[p] + (collections[p].store != collection.store) for p in collection.parents),
                default=0,
            )
            order.append(path)
    resolving = _needed_for([p for p, c in collections.items() if c.account], collections)
    for wave in range(max(waves.values()) + 1):
        for held in stores.values():
            here = [p for p in order if waves[p] == wave and collections[p].store == held.name]
            # What tells who the person is gets a visit of its own: it runs before the rest is allowed.
            for resolves in (True, False):
                paths = [p for p in here if (p in resolving) is resolves]
                if paths:
                    suffix = "-who" if resolves and len(paths) < len(here) else ""
                    names = tuple(collections[p].name for p in paths)
                    visit = f"{wave}-{held.name}{suffix}"
                    yield VisitPlan(visit, wave, held.name, held.kind, names, resolves)


def _circle(left: dict[str, Collection]) -> list[str]:
    """One circle among collections that all wait for another, from its first back to it."""
    path, seen = min(left), list[str]()
    while path not in seen:
        seen.append(path)
        path = min(left[path].parents & left.keys())
    return [*seen[seen.index(path) :], path]


def _needed_for(paths: list[str], collections: dict[str, Collection]) -> set[str]:
    needed: set[str] = set()
    while paths:
        path = paths.pop()
        if path not in needed:
            needed.add(path)
            paths.extend(collections[path].parents)
    return needed
