"""What the words of a map say together: whether it holds, and the way out where it does not."""

from collections.abc import Iterable, Iterator

from dsr.datamap.categories import CATEGORIES, identifies
from dsr.datamap.kinds import KINDS
from dsr.datamap.kinds.base import Kind, needs_field
from dsr.datamap.parts import SOURCES, IdentityField, Keep, MapCollection, MapField, MapStore
from dsr.datamap.plan import Collection
from dsr.datamap.schema import DataMap
from dsr.datamap.source import Problems, suggest


def check_collection(
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
    for name, field in collection.fields.items():
        if field.revoke and not kind.revokes:
            kinds = ", ".join(k for k, v in KINDS.items() if v.revokes)
            problems.add(("fields", name, "revoke"), f"only {kinds} stores have tokens revoked")
    _check_restrict(problems, kind, collection)
    _check_sign_in(problems, collection, data_map)
    _check_treatment(problems, kind, collection)
    _check_leftovers(problems, path, collection, data_map)
    _check_around(problems, kind, collection, data_map)
    retention = collection.retention
    if bool(retention.until) == bool(retention.duration) or bool(retention.duration) != bool(retention.from_):
        problems.add(("retention",), "give either `duration` and `from`, or `until: account_deleted`")


def _check_restrict(problems: Problems, kind: Kind, collection: MapCollection) -> None:
    """What is set meanwhile must not be what finds the record, and must be able to be lifted."""
    if collection.restrict is None:
        return
    if not kind.restricts:
        able = ", ".join(k for k, v in KINDS.items() if v.restricts)
        problems.add(("restrict",), f"a {kind.name} store cannot set fields of a record; {able} can")
    for name in collection.restrict.set_:
        needs_field(collection, problems, ("restrict", "set", name), name)
        field = collection.fields.get(name)
        if "." in name or name in collection.key or (field and (field.references or field.identity)):
            said = "finds or names the record, or is nested: take a field of its own"
            problems.add(("restrict", "set", name), said)
    for name in collection.restrict.lift:
        if name not in collection.restrict.set_:
            problems.add(("restrict", "lift", name), "is not set, so there is nothing to lift")


def _check_asked(problems: Problems, path: str, collection: MapCollection) -> None:
    """Of whoever is asked by one message: nothing in the answer may be needed for the question."""
    if collection.account:
        problems.add(("account",), "only what is searched here can tell who a person is")
    if isinstance(collection.on_deletion, Keep):
        said = (
            "their records are never seen here, so nobody could tell when the time is over: say `delete`, "
            "and what the law makes them keep they answer (`cannot`)"
        )
        problems.add(("on_deletion", "keep"), said)
    home = path.partition(".")[0]
    for name, field in collection.fields.items():
        if any((path_of(r.to, home) or [""])[0] == home for r in field.references):
            said = "leads from the same recipient: give them a locator that you hold yourselves"
            problems.add(("fields", name, "references"), said)


def _check_field(problems: Problems, path: str, name: str, field: MapField, data_map: DataMap) -> None:
    if field.category not in CATEGORIES:
        hint = suggest(field.category, CATEGORIES)
        problems.add(("category",), f"`{field.category}` is none of the Fides taxonomy{hint}")
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
    if identity.is_ == "account_id" and not account_fields(data_map):
        problems.add(("is",), "no collection has an `account` whose id this could be")
    if not identity.verified and identity.since:
        problems.add(("since",), "`since` says when the value was verified: set `verified: true`")
    if identity.valid and not identity.recorded:
        problems.add(("valid",), "counts from when the value was written down: name that field in `recorded`")


def account_fields(data_map: DataMap) -> list[str]:
    """Where the ids of accounts stand: store.collection.field."""
    held = ((f"{s}.{n}", c.account) for s, x in data_map.stores.items() for n, c in x.collections.items())
    return [f"{path}.{account}" for path, account in held if account]


def _check_treatment(problems: Problems, kind: Kind, collection: MapCollection) -> None:
    """What a deletion is to do must be within what a store of that kind can do."""
    if isinstance(collection.on_deletion, Keep):
        until = collection.on_deletion.until
        given = [until.duration is not None, until.from_ is not None, until.date is not None]
        if given not in ([True, True, False], [False, False, True]):
            problems.add(("on_deletion", "until"), "give either `duration` and `from`, or a `date`")
    for word in ("mask", "detach"):
        for name, masking in getattr(collection.on_deletion, word, {}).items():
            how = masking if isinstance(masking, str) else next(iter(masking.model_fields_set))
            if how not in kind.masks:
                if kind.masks:
                    said = f"a {kind.name} store can {' and '.join(sorted(kind.masks))}, not `{how}`"
                else:
                    said = f"a {kind.name} store can only delete or keep whole records"
                problems.add(("on_deletion", word, name), said)


def _check_leftovers(problems: Problems, path: str, collection: MapCollection, data_map: DataMap) -> None:
    """A record that stays must not lead to the person any more: by what is left in it, or by another.

    A key of ours that nothing else resolves, and a reference to what is deleted, lose their meaning.
    Of a record that several people share only what led to this one is looked at.
    """
    shared = hasattr(collection.on_deletion, "detach")
    masks = getattr(collection.on_deletion, "detach" if shared else "mask", None)
    if masks is None or masks.keys() - collection.fields.keys():
        return  # nothing is masked, or a mask is misspelt, which is told by itself
    for name, field in collection.fields.items():
        leads = bool(field.identity or field.references or field.second_point or field.provided)
        if not identifies(field.category) or (shared and not leads):
            continue
        if any(name == masked or name.startswith(masked + ".") for masked in masks):
            continue
        if _loses_meaning(path, name, field, collection, data_map):
            continue
        said = f"`{field.category}` still identifies after the deletion: mask it too, or delete the record"
        problems.add(("fields", name), said)


def _loses_meaning(
    path: str, name: str, field: MapField, collection: MapCollection, data_map: DataMap
) -> bool:
    if field.identity or not field.category.startswith("user.unique_id"):
        return False
    if not field.references:
        return name in collection.key
    home = path.partition(".")[0]
    return all(_is_deleted(path_of(reference.to, home), path, data_map) for reference in field.references)


def _is_deleted(parts: tuple[str, str, str] | None, path: str, data_map: DataMap) -> bool:
    """Whether the records that a reference leads to are gone after a deletion, or are these themselves."""
    if parts is None or parts[0] not in data_map.stores:
        return True  # told as a mistake of its own
    target = data_map.stores[parts[0]].collections.get(parts[1])
    return target is None or target.on_deletion == "delete" or f"{parts[0]}.{parts[1]}" == path


def _check_around(problems: Problems, kind: Kind, collection: MapCollection, data_map: DataMap) -> None:
    """Where the data comes from and goes to besides: sources, recipients, copies, what expires by itself."""
    sources = {*SOURCES, *data_map.sources}
    said = [((), collection.source), *((("fields", n), f.source) for n, f in collection.fields.items())]
    for at, source in said:
        if source and source not in sources:
            hint = suggest(source, sources)
            problems.add(
                (*at, "source"), f"`{source}` is neither {_listing(SOURCES)} nor one of `sources`{hint}"
            )
    for number, name in enumerate(collection.recipients):
        if name not in data_map.recipients:
            hint = suggest(name, data_map.recipients)
            problems.add(("recipients", str(number)), f"`{name}` is none of `recipients`{hint}")
    for number, copy in enumerate(collection.copies if collection.copies != "none" else ()):
        if not (copy.lag or copy.expires):
            said_copy = "say its `lag` (until a deletion reaches it) or when it `expires`"
            problems.add(("copies", str(number)), said_copy)
    if collection.expires_by and collection.may_be_held and not kind.suspends:
        problems.add(
            ("expires_by",),
            f"{collection.expires_by} deletes what a hold is to keep, and a {kind.name} store cannot suspend "
            "it: say `may_be_held: false`, or let the sweep delete by `retention` instead",
        )


def _listing(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def check_whole(problems: Problems, data_map: DataMap) -> None:
    """What a map declares and nothing uses is a misspelt word, or a promise without data."""
    fields = [f for s in data_map.stores.values() for c in s.collections.values() for f in c.fields.values()]
    held = [c for s in data_map.stores.values() for c in s.collections.values()]
    for name in data_map.recipients:
        if not any(name in c.recipients for c in held):
            problems.add(("recipients", name), "no collection goes to this recipient: name it where it does")
    named = {*(c.source for c in held), *(f.source for f in fields)}
    for name in data_map.sources:
        if name in SOURCES:
            problems.add(("sources", name), f"is a word of its own: {SOURCES[name]}")
        elif name not in named:
            problems.add(("sources", name), "nothing comes from this source: name it where it does")


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
    if isinstance(c.on_deletion, Keep) and c.on_deletion.until.from_:
        yield ("on_deletion", "until", "from"), c.on_deletion.until.from_
    for word in ("mask", "detach"):
        yield from ((("on_deletion", word, name), name) for name in getattr(c.on_deletion, word, {}))
    for name, field in c.fields.items():
        for word in ("since", "recorded"):
            if field.identity and getattr(field.identity, word):
                yield ("fields", name, "identity", word), getattr(field.identity, word)


def check_since(problems: Problems, collection: MapCollection, made: Collection, data_map: DataMap) -> None:
    """What says since when a person has records here must lead to them, and say the same after a deletion.

    `made`: the collection as it is compiled.
    """
    if not collection.begins:
        return
    here = problems.below("partition", "since")
    _check_reference(here, made.store, "", collection.begins, data_map)
    parts = path_of(collection.begins, made.store)
    source = parts and parts[0] in data_map.stores and data_map.stores[parts[0]].collections.get(parts[1])
    if not parts or not source:
        return  # told already
    path = f"{parts[0]}.{parts[1]}"
    if path == made.path or not any(way.since for way in made.ways):
        here.add((), f"`{path}` does not lead here: name a field of a collection that fields here reference")
    masks = {**getattr(source.on_deletion, "mask", {}), **getattr(source.on_deletion, "detach", {})}
    if any(parts[2] == name or parts[2].startswith(name + ".") for name in masks):
        here.add((), "is masked by a deletion, and would then say another time: name a field that stays")


def _check_reference(problems: Problems, home: str, own: str, target: str, data_map: DataMap) -> None:
    """`home`: the store of the field `own` (a whole path) that says it."""
    parts = path_of(target, home)
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


def path_of(target: str, home: str) -> tuple[str, str, str] | None:
    """Store, collection and field of a reference that stands in the store `home`; None if it is none."""
    first, *rest = target.split(".")
    if not all((first, *rest)) or not rest:
        return None
    return (home, first, rest[0]) if len(rest) == 1 else (first, rest[0], ".".join(rest[1:]))
