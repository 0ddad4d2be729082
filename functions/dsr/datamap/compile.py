"""From the YAML file to the plan that ships. Every mistake is told with file, line, path and the way out."""

import hashlib
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from dsr.datamap.checks import account_fields, check_collection, check_since, check_whole, path_of
from dsr.datamap.kinds import KINDS
from dsr.datamap.mistakes import tell
from dsr.datamap.order import visits_of
from dsr.datamap.parts import SOURCES, MapCollection
from dsr.datamap.plan import Collection, Field, Identity, Plan, Store, Way, to_json
from dsr.datamap.schema import DataMap
from dsr.datamap.source import Problems, Source
from dsr.durations import in_days


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
    accounts = account_fields(data_map)
    for store_name, store in data_map.stores.items():
        for name, collection in store.collections.items():
            here = problems.below("stores", store_name, "collections", name)
            check_collection(here, f"{store_name}.{name}", store, collection, data_map)
            made = _collection(data_map, store_name, name, collection, accounts)
            check_since(here, collection, made, data_map)
            collections[made.path] = made
    check_whole(problems, data_map)
    problems.stop_if_any()
    collections = _with_children(collections)
    visits = tuple(visits_of(stores, collections, problems))
    problems.stop_if_any()
    plan = Plan(
        version="",
        controller=data_map.controller.model_dump(),
        purposes=dict(data_map.purposes),
        sources={**SOURCES, **data_map.sources},
        recipients={n: r.model_dump(exclude_none=True) for n, r in data_map.recipients.items()},
        notice=data_map.notice.model_dump(exclude_none=True),
        requires=data_map.requires.model_dump(),
        stores=stores,
        collections=collections,
        visits=visits,
    )
    return replace(plan, version=hashlib.sha256(to_json(plan).encode()).hexdigest()[:16])


def _ways(store: str, path: str, c: MapCollection, accounts: list[str]) -> tuple[Way, ...]:
    """How records of the collection are found, in the order in which it is tried.

    References come before identities: the records they find are certain, and give the second matching
    points that less certain matches are compared with. What leads from the collection's own records is
    last: it begins with what all the others found.
    """
    plain, looping = list[Way](), list[Way]()
    if c.account and c.account == c.key[0]:
        # By its own key an account is found that the site names, and that one round of erasing knew.
        plain.append(Way(c.account, None, f"{path}.{c.account}", own=True))
    for name, f in c.fields.items():
        for reference in f.references:
            target = ".".join(path_of(reference.to, store) or ())
            way = Way(name, None, target, late=reference.late)
            (looping if way.leads_from == path else plain).append(way)
        if f.identity and f.identity.is_ == "account_id":
            plain += [Way(name, None, account) for account in accounts]
    for name, f in c.fields.items():
        if f.identity and f.identity.is_ != "account_id":
            i = f.identity
            valid = in_days(i.valid) if i.valid else 0
            proven = bool(i.verified) or i.is_ == "sign_in"
            identity = Identity(i.is_, i.normalise, proven, i.since or "", i.recorded or "", valid)
            plain.append(Way(name, identity))
    return tuple(_dated(way, store, c) for way in (*plain, *looping))


def _dated(way: Way, store: str, c: MapCollection) -> Way:
    """With the field that says since when, where the way leads from the collection that has it."""
    parts = path_of(c.begins, store)
    leads = parts and not way.late and way.leads_from == f"{parts[0]}.{parts[1]}"
    return replace(way, since=parts[2]) if parts and leads else way


def _collection(
    data_map: DataMap, store: str, name: str, c: MapCollection, accounts: list[str]
) -> Collection:
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
            f.source or ("person" if f.provided else c.source),
            f.revoke or "",
        )
        for n, f in c.fields.items()
    }
    known = data_map.recipients
    treatment = {"delete": True}
    if c.on_deletion != "delete":
        treatment = c.on_deletion.model_dump(mode="json", by_alias=True, exclude_none=True)
    restrict = c.restrict.model_dump(by_alias=True) if c.restrict else {}
    return Collection(
        store, name, c.title, tuple(c.key), _ways(store, f"{store}.{name}", c, accounts), fields,
        account=c.account or "", born=c.born or "", freeze=c.freeze, restrict=restrict, subjects=c.subjects,
        basis=c.basis,
        retention=c.retention.model_dump(by_alias=True, exclude_none=True),
        on_deletion=treatment,
        copies=() if c.copies == "none" else tuple(x.model_dump(exclude_none=True) for x in c.copies),
        recipients=tuple(known[name].name for name in c.recipients if name in known),
        source=data_map.sources.get(c.source, ""), automated=c.automated,
        may_be_held=c.may_be_held, expires_by=c.expires_by or "",
        options=KINDS[data_map.stores[store].kind].options(c),
    )  # fmt: skip


def _with_children(collections: dict[str, Collection]) -> dict[str, Collection]:
    """With the fields that each is asked for by those that it leads to."""
    feeds: dict[str, set[str]] = {path: set() for path in collections}
    starts: dict[str, set[str]] = {path: set() for path in collections}
    for collection in collections.values():
        for way in collection.ways:
            if way.parent:
                store, name, field = way.parent.split(".", 2)
                feeds[f"{store}.{name}"].add(field)
                starts[f"{store}.{name}"].update({way.since} - {""})
    return {
        path: replace(c, feeds=tuple(sorted(feeds[path])), starts=tuple(sorted(starts[path])))
        for path, c in collections.items()
    }
