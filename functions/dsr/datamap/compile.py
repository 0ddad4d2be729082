"""From the YAML file to the plan that ships. Every mistake is told with file, line, path and the way out."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from dsr.datamap.kinds import KINDS
from dsr.datamap.kinds.base import Kind, needs_field
from dsr.datamap.mistakes import tell
from dsr.datamap.order import visits_of
from dsr.datamap.parts import IdentityField, Keep, MapCollection, MapField, MapStore, days
from dsr.datamap.plan import Collection, Field, Identity, Plan, Store, Way, to_json
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
    accounts = _account_fields(data_map)
    for store_name, store in data_map.stores.items():
        for name, collection in store.collections.items():
            here = problems.below("stores", store_name, "collections", name)
            _check_collection(here, f"{store_name}.{name}", store, collection, data_map)
            collections[f"{store_name}.{name}"] = _collection(store, store_name, name, collection, accounts)
    problems.stop_if_any()
    collections = _with_feeds(collections)
    visits = tuple(visits_of(stores, collections, problems))
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
        _check_field(problems.below("fields", name), path, name, field, data_map)
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
    home = path.partition(".")[0]
    for name, field in collection.fields.items():
        if any((_path_of(r.to, home) or [""])[0] == home for r in field.references):
            said = "leads from the same recipient: give them a locator that you hold yourselves"
            problems.add(("fields", name, "references"), said)


def _check_field(problems: Problems, path: str, name: str, field: MapField, data_map: DataMap) -> None:
    if field.purpose not in data_map.purposes:
        hint = suggest(field.purpose, data_map.purposes)
        problems.add(("purpose",), f"`{field.purpose}` is none of `purposes`{hint}")
    if field.disclose == "never" and not field.reason:
        problems.add((), "`disclose: never` needs a `reason` that the person will read")
    for number, reference in enumerate(field.references):
        here = problems.below("references", *([str(number)] if len(field.references) > 1 else []))
        _check_reference(here, path.partition(".")[0], f"{path}.{name}", reference.to, data_map)
    if field.identity:
        _check_identity(problems.below("identity"), field.identity, data_map)


def _check_identity(problems: Problems, identity: IdentityField, data_map: DataMap) -> None:
    contact = identity.is_ in ("email", "phone")
    if contact and identity.verified is None:
        problems.add(("verified",), "is missing: say whether you proved it to be the person's")
    if not contact and (identity.verified is not None or identity.recorded or identity.since):
        problems.add((), f"`is: {identity.is_}` is proven by signing in: it takes only `normalise`")
    if identity.is_ == "phone" and not identity.unique:
        said = (
            "a household shares a phone: say `unique: true` if yours are not, else make it a `second_point`"
        )
        problems.add((), said)
    if identity.is_ == "account_id" and not _account_fields(data_map):
        problems.add(("is",), "no collection has an `account` whose id this could be")
    if not identity.verified and identity.since:
        problems.add(("since",), "`since` says when the value was verified: set `verified: true`")
    if identity.valid and not identity.recorded:
        problems.add(("valid",), "counts from when the value was written down: name that field in `recorded`")


def _account_fields(data_map: DataMap) -> list[str]:
    """Where the ids of accounts stand: store.collection.field."""
    held = ((f"{s}.{n}", c.account) for s, x in data_map.stores.items() for n, c in x.collections.items())
    return [f"{path}.{account}" for path, account in held if account]


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


def _check_reference(problems: Problems, home: str, own: str, target: str, data_map: DataMap) -> None:
    """`home`: the store of the field `own` (a whole path) that says it."""
    parts = _path_of(target, home)
    if parts is None:
        problems.add((), f"`{target}` must be store.collection.field, or collection.field of the same store")
        return
    store, collection, field = parts
    if store not in data_map.stores:
        problems.add((), f"`{target}`: no store `{store}`{suggest(store, data_map.stores)}")
        return
    known = data_map.stores[store].collections
    if collection not in known:
        hint = suggest(collection, known)
        problems.add((), f"`{target}`: no collection `{collection}` in store `{store}`{hint}")
    elif field not in known[collection].fields:
        hint = suggest(field, known[collection].fields)
        problems.add((), f"`{target}`: no field `{field}` in collection `{store}.{collection}`{hint}")
    elif ".".join(parts) == own:
        problems.add((), "leads from the field to itself: every record would be found by itself")


def _path_of(target: str, home: str) -> tuple[str, str, str] | None:
    """Store, collection and field of a reference that stands in the store `home`; None if it is none."""
    first, *rest = target.split(".")
    if not all((first, *rest)) or not rest:
        return None
    return (home, first, rest[0]) if len(rest) == 1 else (first, rest[0], ".".join(rest[1:]))


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
            target = ".".join(_path_of(reference.to, store) or ())
            way = Way(name, None, target, late=reference.late)
            (looping if way.leads_from == path else plain).append(way)
        if f.identity and f.identity.is_ == "account_id":
            plain += [Way(name, None, account) for account in accounts]
    for name, f in c.fields.items():
        if f.identity and f.identity.is_ != "account_id":
            i = f.identity
            valid = days(i.valid) if i.valid else 0
            proven = bool(i.verified) or i.is_ == "sign_in"
            identity = Identity(i.is_, i.normalise, proven, i.since or "", i.recorded or "", valid)
            plain.append(Way(name, identity))
    return (*plain, *looping)


def _collection(held: MapStore, store: str, name: str, c: MapCollection, accounts: list[str]) -> Collection:
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
        store, name, c.title, tuple(c.key), _ways(store, f"{store}.{name}", c, accounts), fields,
        account=c.account or "", born=c.born or "", freeze=c.freeze, subjects=c.subjects, basis=c.basis,
        retention=c.retention.model_dump(by_alias=True, exclude_none=True),
        on_deletion=treatment,
        copies=() if c.copies == "none" else tuple(x.model_dump(exclude_none=True) for x in c.copies),
        recipients=tuple(c.recipients), source=c.source, automated=c.automated,
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
