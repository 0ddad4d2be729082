"""From the YAML file to the plan that ships. Every error names file, line, path and the way out."""

import difflib
import hashlib
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dsr.datamap.plan import Collection, Field, Identity, Plan, Store, VisitPlan, Way, to_json
from dsr.datamap.schema import DataMap, Keep, MapCollection, MapField, MapStore, days
from dsr.errors import MapError

_KIND_NEEDS = {"dynamodb": ("table",), "sql": ("table",), "s3": ("key_template", "match"), "cognito": ()}
_CONNECTION_NEEDS = {
    "dynamodb": {"region"},
    "s3": {"region", "bucket"},
    "sql": {"region", "secret"},
    "cognito": {"region", "user_pool"},
}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class _Loader(
    yaml.reader.Reader,
    yaml.scanner.Scanner,
    yaml.parser.Parser,
    yaml.composer.Composer,
    yaml.constructor.SafeConstructor,
    yaml.resolver.Resolver,
):
    """YAML's safe loader, put together anew: other tools of the same process teach the shared one more."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.Resolver.__init__(self)


# What such tools take from the constructor itself, and with it from all loaders: to them a date is text.
_Loader.add_constructor(  # type: ignore[type-var]
    "tag:yaml.org,2002:timestamp", yaml.constructor.SafeConstructor.construct_yaml_timestamp
)


class _Source:
    """The file with the line of every path in it, so that an error can point."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines: dict[tuple[str, ...], int] = {}
        try:
            node = yaml.compose(text, Loader=_Loader)  # type: ignore[arg-type]
            if node is None or node.tag == "tag:yaml.org,2002:null":
                raise MapError(f"{path}:1: the file is empty")
            if not isinstance(node, yaml.MappingNode):
                raise MapError(f"{path}:{node.start_mark.line + 1}: not a mapping of keys to values")
            self._walk(node, (), ())
            self.content: dict[Any, Any] = yaml.load(text, Loader=_Loader)  # type: ignore[arg-type]  # noqa: S506
        except yaml.YAMLError as error:
            raise MapError(f"{path}:{_line(error, text)}: not YAML: {_problem(error)}") from None
        except ValueError as error:  # what looks like a date and is none
            raise MapError(f"{path}:1: a value looks like a date and is none: {error}; quote it") from None

    def _walk(self, node: yaml.Node, at: tuple[str, ...], above: tuple[yaml.Node, ...]) -> None:
        line = node.start_mark.line + 1
        if node in above:
            raise MapError(
                f"{self.path}:{line}: `{'.'.join(at)}` holds itself (an alias of what is around it)"
            )
        self.lines.setdefault(at, line)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise MapError(f"{self.path}:{line}: a key must be a plain word")
                if key.value in seen:
                    raise MapError(f"{self.path}:{line}: `{key.value}` stands here twice")
                seen.add(key.value)
                self.lines[(*at, key.value)] = line
                self._walk(value, (*at, key.value), (*above, node))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._walk(value, (*at, str(number)), (*above, node))

    def error(self, at: tuple[str, ...], message: str) -> MapError:
        """An error at that path, or at the nearest one above that stands in the file."""
        known = at
        while known and known not in self.lines:
            known = known[:-1]
        return MapError(f"{self.path}:{self.lines.get(known, 1)}: `{'.'.join(at)}`: {message}")


def compile_file(path: Path | str, values: dict[str, str]) -> Plan:
    """The plan of the map at `path`, with `${name}` replaced from `values`. Raises MapError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MapError(f"{path}:1: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise MapError(f"{path}:{line}: not UTF-8 text") from None
    source = _Source(path, text)
    raw = _fill(source.content, (), source, values)
    try:
        data_map = DataMap.model_validate(raw)
    except ValidationError as error:
        first = _most_telling(error.errors())
        # Between the words of the file pydantic names its own: which of several forms it tried.
        *above, last = (str(part) for part in first["loc"])
        at: tuple[str, ...] = ()
        for part in above:
            at = (*at, part) if (*at, part) in source.lines else at
        raise source.error((*at, last), _explain(first)) from None
    return _compile(data_map, source, values)


def _fill(value: Any, at: tuple[str, ...], source: _Source, values: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _fill(v, (*at, str(k)), source, values) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, (*at, str(n)), source, values) for n, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return string.Template(value).substitute(values)
    except KeyError as error:
        name = error.args[0]
        raise source.error(at, f"`${{{name}}}` has no value; give it with --set {name}=…") from None
    except ValueError:
        raise source.error(at, "a `$` that is no `${name}` must be written `$$`") from None


def _line(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark:
        return int(mark.line) + 1
    return text.count("\n", 0, getattr(error, "position", 0)) + 1  # of a character that YAML forbids


def _problem(error: yaml.YAMLError) -> str:
    said = getattr(error, "problem", None) or getattr(error, "reason", None)
    return str(said or error)


def _most_telling(errors: list[Any]) -> Any:
    """Of several errors the one to tell first.

    Of a value that may have several forms each form reports its own errors: the one it comes closest
    to has the fewest, and a word where a mapping could stand as well is taken for a word. Of a key
    that is missing and one that is unknown beside it, the unknown: it may be the missing one misspelt.
    """
    told = errors
    if errors[0]["type"] == "literal_error":
        place = errors[0]["loc"][:-1]
        forms: dict[Any, list[Any]] = {}
        for e in errors:
            if e["loc"][: len(place)] == place and len(e["loc"]) > len(place):
                forms.setdefault(e["loc"][len(place)], []).append(e)
        tried = [form for form in forms.values() if len(form[0]["loc"]) > len(place) + 1]
        told = min(tried, key=len) if tried else errors
    if told[0]["type"] == "missing":
        beside = [e for e in told if e["loc"][:-1] == told[0]["loc"][:-1]]
        told = [e for e in beside if e["type"] == "extra_forbidden"] or told
    return told[0]


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        word, known = str(error["loc"][-1]), _all_keys()
        return f"no such key here{', it belongs elsewhere' if word in known else _suggest(word, known)}"
    if error["type"] == "missing":
        return "is missing"
    return str(error["msg"])


def _all_keys() -> list[str]:
    from dsr.datamap import schema

    models = [m for m in vars(schema).values() if isinstance(m, type) and issubclass(m, schema.Strict)]
    return sorted({f.alias or name for m in models for name, f in m.model_fields.items()})


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _compile(data_map: DataMap, source: _Source, values: dict[str, str]) -> Plan:
    stores = {
        name: Store(name, s.kind, s.role, s.connection, values.get("external_id", "dsr"))
        for name, s in data_map.stores.items()
    }
    collections: dict[str, Collection] = {}
    for store_name, store in data_map.stores.items():
        _check_connection(store_name, store, source)
        for name, collection in store.collections.items():
            at = ("stores", store_name, "collections", name)
            _check_collection(at, store, collection, data_map, source)
            collections[f"{store_name}.{name}"] = _collection(store_name, name, collection)
    collections = _with_feeds(collections)
    plan = Plan(
        version="",
        controller=data_map.controller.model_dump(),
        purposes=dict(data_map.purposes),
        requires=data_map.requires.model_dump(),
        stores=stores,
        collections=collections,
        visits=tuple(_visits(stores, collections, source)),
    )
    return replace(plan, version=hashlib.sha256(to_json(plan).encode()).hexdigest()[:16])


def _check_connection(name: str, store: MapStore, source: _Source) -> None:
    at = ("stores", name, "connection")
    needs = _CONNECTION_NEEDS[store.kind]
    if missing := needs - store.connection.keys():
        raise source.error(at, f"a {store.kind} store needs {', '.join(sorted(missing))}")
    if unknown := store.connection.keys() - needs:
        word = min(unknown)
        raise source.error(
            (*at, word), f"no such key for a {store.kind} store{_suggest(word, sorted(needs))}"
        )


def _check_collection(
    at: tuple[str, ...], store: MapStore, collection: MapCollection, data_map: DataMap, source: _Source
) -> None:
    for word in _KIND_NEEDS[store.kind]:
        if getattr(collection, word) is None:
            raise source.error(at, f"a {store.kind} collection needs `{word}`")
    for name, field in collection.fields.items():
        _check_field((*at, "fields", name), field, data_map, source)
    for where, name in _named_fields(collection):
        if name not in collection.fields:
            hint = _suggest(name, list(collection.fields))
            raise source.error((*at, *where), f"no field `{name}` in this collection{hint}")
    _check_template(at, collection, source)
    _check_sign_in(at, collection, data_map, source)
    retention = collection.retention
    if bool(retention.until) == bool(retention.duration) or bool(retention.duration) != bool(retention.from_):
        raise source.error(
            (*at, "retention"), "give either `duration` and `from`, or `until: account_deleted`"
        )
    if collection.expiry and (store.kind != "dynamodb" or not retention.from_ or "." in retention.from_):
        raise source.error(
            (*at, "expiry"), "is for a dynamodb collection whose `retention` counts from a field of its own"
        )


def _check_field(here: tuple[str, ...], field: MapField, data_map: DataMap, source: _Source) -> None:
    if field.purpose not in data_map.purposes:
        hint = _suggest(field.purpose, list(data_map.purposes))
        raise source.error((*here, "purpose"), f"`{field.purpose}` is none of `purposes`{hint}")
    if field.disclose == "never" and not field.reason:
        raise source.error(here, "`disclose: never` needs a `reason` that the person will read")
    if field.references:
        _check_reference((*here, "references"), field.references, data_map, source)
        if here[1] == field.references.split(".")[0] and here[3] == field.references.split(".")[1]:
            at = (*here, "references")
            raise source.error(at, "leads back to its own collection: a record would be found by itself")
    if field.identity and not field.identity.verified and field.identity.since:
        at = (*here, "identity", "since")
        raise source.error(at, "`since` says when the value was verified: set `verified: true`")
    if field.identity and field.identity.valid and not field.identity.recorded:
        at = (*here, "identity", "valid")
        raise source.error(at, "counts from when the value was written down: name that field in `recorded`")


def _check_template(at: tuple[str, ...], collection: MapCollection, source: _Source) -> None:
    if collection.key_template is None:
        return
    here = (*at, "key_template")
    found = _PLACEHOLDER.findall(collection.key_template)
    if len(found) != 1 or re.search(r"[{}]", _PLACEHOLDER.sub("", collection.key_template)):
        raise source.error(here, "needs exactly one {field}, and no other braces")
    name = found[0]
    if name not in collection.fields or not collection.fields[name].references:
        hint = _suggest(name, [n for n, f in collection.fields.items() if f.references])
        raise source.error(here, f"`{{{name}}}` must be a field here with `references`{hint}")
    for other, field in collection.fields.items():
        if other != name and (field.references or field.identity):
            word = "references" if field.references else "identity"
            raise source.error((*at, "fields", other, word), f"finds no object: the key is made of `{name}`")
    after = collection.key_template.partition("{" + name + "}")[2]
    if collection.match == "prefix" and not re.match(r"[^A-Za-z0-9]", after):
        raise source.error(
            here, "goes on with a sign that no id holds, such as `/`: else 12 finds what belongs to 123"
        )


def _check_sign_in(
    at: tuple[str, ...], collection: MapCollection, data_map: DataMap, source: _Source
) -> None:
    """Where account holders are to sign in, something must tell whose sign-in proves which account."""
    asked = data_map.requires.access.account_holder, data_map.requires.deletion.account_holder
    everywhere = [c for s in data_map.stores.values() for c in s.collections.values() if c.account]
    proving = any(f.proves for c in everywhere for f in c.fields.values())
    if collection.account and "account" in asked and not proving:
        raise source.error(
            (*at, "account"), "holders must sign in (`requires`), but no field has `proves: sign_in`"
        )


def _named_fields(c: MapCollection) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every place where the collection names one of its own fields, with its path."""
    yield from ((("key",), name) for name in c.key)
    yield from ((("indexes", name), name) for name in c.indexes)
    for word in ("account", "born"):
        if getattr(c, word):
            yield (word,), getattr(c, word)
    if c.retention.from_:
        yield ("retention", "from"), c.retention.from_
    if c.expiry:
        yield ("expiry", "bucket"), c.expiry.bucket
    if isinstance(c.on_deletion, Keep):
        yield ("on_deletion", "until", "from"), c.on_deletion.until.from_
    for word in ("mask", "detach"):
        yield from ((("on_deletion", word, name), name) for name in getattr(c.on_deletion, word, {}))
    for name, field in c.fields.items():
        for word in ("since", "recorded"):
            if field.identity and getattr(field.identity, word):
                yield ("fields", name, "identity", word), getattr(field.identity, word)


def _check_reference(at: tuple[str, ...], target: str, data_map: DataMap, source: _Source) -> None:
    match = re.fullmatch(r"([^.]+)\.([^.]+)\.(.+)", target)
    if not match:
        raise source.error(at, f"`{target}` must be store.collection.field")
    store, collection, field = match.groups()
    if store not in data_map.stores:
        raise source.error(at, f"`{target}`: no store `{store}`{_suggest(store, list(data_map.stores))}")
    known = data_map.stores[store].collections
    if collection not in known:
        hint = _suggest(collection, list(known))
        raise source.error(at, f"`{target}`: no collection `{collection}` in store `{store}`{hint}")
    if field not in known[collection].fields:
        hint = _suggest(field, list(known[collection].fields))
        raise source.error(at, f"`{target}`: no field `{field}` in collection `{store}.{collection}`{hint}")


def _collection(store: str, name: str, c: MapCollection) -> Collection:
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
            f.category, f.purpose, f.disclose, f.reason, f.provided, f.second_point or "", f.proves or ""
        )
        for n, f in c.fields.items()
    }
    treatment = {"delete": True} if c.on_deletion == "delete" else c.on_deletion.model_dump(by_alias=True)
    options = {
        word: value for word in ("table", "indexes", "key_template", "match") if (value := getattr(c, word))
    }
    if c.expiry:
        options["expiry"] = c.expiry.model_dump(mode="json")
    return Collection(
        store, name, c.title, tuple(c.key), tuple(ways), fields,
        account=c.account or "", born=c.born or "", freeze=c.freeze, subjects=c.subjects, basis=c.basis,
        retention=c.retention.model_dump(by_alias=True, exclude_none=True),
        on_deletion=treatment,
        copies=() if c.copies == "none" else tuple(x.model_dump(exclude_none=True) for x in c.copies),
        options=options,
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
    stores: dict[str, Store], collections: dict[str, Collection], source: _Source
) -> Iterator[VisitPlan]:
    """A topological order over references: a collection waits for all its parents.

    Collections of one store follow each other within a visit; only a reference into another store
    costs a wave. Raises MapError for a cycle and for what no identity leads to.
    """
    waves: dict[str, int] = {}
    order: list[str] = []
    left = dict(collections)
    while left:
        ready = [p for p, c in left.items() if c.parents <= waves.keys()]
        if not ready:
            circle = _circle(left)
            store, name = circle[0].split(".")
            raise source.error(
                ("stores", store, "collections", name),
                f"references go in a circle ({' → '.join(f'`{p}`' for p in circle)}); remove one of them",
            )
        for path in ready:
            collection = left.pop(path)
            leads = [w for w in collection.ways if not w.own]
            if not any(w.parent or (w.identity and w.identity.kind == "email") for w in leads):
                only = " (a phone number is not proven by any means yet)" if leads else ""
                raise source.error(
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
