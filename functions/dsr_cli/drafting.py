"""A first draft of a data map, from what is there: a database's own tables, or a Fides dataset file.

What only a person can say is written as TODO with the question, and fails the check until it is answered.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dsr.datamap.categories import CATEGORIES
from dsr.errors import MapError
from dsr_cli.guessing import by_name

# Fides names kinds of identities so; what else it knows is no identity here.
_FIDES_IDENTITIES = {"email": "email", "phone_number": "phone"}


@dataclass
class DraftField:
    """A field: its category, what it references, which identity it may hold."""

    name: str
    category: str = ""
    why: str = ""
    references: list[str] = field(default_factory=list)
    identity: str = ""


@dataclass
class DraftCollection:
    """A table or the like."""

    name: str
    table: str
    key: list[str]
    fields: list[DraftField]


@dataclass
class Draft:
    """A store with its collections, as far as they are known."""

    store: str
    kind: str
    collections: list[DraftCollection]


# -- from a database ------------------------------------------------------------------------------------


def of_database(address: str) -> Draft:
    """The tables of a database, its keys and foreign keys. Raises MapError if it cannot be read."""
    from sqlalchemy import MetaData, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", address))
    tables = MetaData()
    try:
        tables.reflect(engine)
        store = _word(engine.url.database or "database")
    except SQLAlchemyError as error:
        raise MapError(f"the database cannot be read: {str(error).splitlines()[0]}") from None
    finally:
        engine.dispose()
    made = [
        DraftCollection(
            _word(table.name),
            table.fullname,
            [c.name for c in table.primary_key.columns],
            [_column(store, column) for column in table.columns],
        )
        for table in tables.sorted_tables
    ]
    return Draft(store, "sql", made)


def _column(store: str, column: Any) -> DraftField:
    told = by_name(column.name)
    targets = sorted(
        f"{store}.{_word(key.column.table.name)}.{key.column.name}" for key in column.foreign_keys
    )
    category = "user.unique_id" if targets or column.primary_key else told.category
    why = "it refers" if targets else "it is the key" if column.primary_key else told.why
    identity = "email" if category == "user.contact.email" else ""
    return DraftField(column.name, category, why, targets, identity)


# -- from a Fides dataset -------------------------------------------------------------------------------


def of_fides(path: Path) -> Draft:
    """The first dataset of a Fides dataset file. Raises MapError where it is none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        [dataset, *_] = content["dataset"]
        store = _word(dataset["fides_key"])
        made = [_fides_collection(c) for c in dataset["collections"]]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise MapError(f"{path}:1: no Fides dataset file: {type(error).__name__} {error}") from None
    return Draft(store, "sql", made)


def _fides_collection(raw: dict[str, Any]) -> DraftCollection:
    fields = [f for one in raw["fields"] for f in _fides_fields(one, "", raw.get("data_categories") or [])]
    keys = [one["name"] for one in raw["fields"] if _meta(one).get("primary_key")]
    return DraftCollection(_word(raw["name"]), raw["name"], keys, fields)


def _fides_fields(raw: dict[str, Any], above: str, inherited: list[str]) -> Iterable[DraftField]:
    name = f"{above}{raw['name']}"
    said = raw.get("data_categories") or inherited
    if raw.get("fields"):
        for inner in raw["fields"]:
            yield from _fides_fields(inner, f"{name}.", said)
        return
    known = [category for category in said if category in CATEGORIES]
    told = by_name(name)
    category, why = (known[0], "Fides says so") if known else (told.category, told.why)
    # Fides says a reference at either end; here it stands where the value is repeated.
    targets = [
        ".".join([_word(r["dataset"]), *r["field"].split(".")])
        for r in _meta(raw).get("references") or ()
        if r.get("direction") != "to"
    ]
    yield DraftField(name, category, why, targets, _FIDES_IDENTITIES.get(_meta(raw).get("identity", ""), ""))


def _meta(raw: dict[str, Any]) -> dict[str, Any]:
    return raw.get("fides_meta") or raw.get("fidesops_meta") or {}


def _word(name: str) -> str:
    """The name as a word of a map."""
    word = re.sub(r"\W+", "_", name.lower()).strip("_")
    return word if re.match(r"[a-z]", word) else f"t_{word}"


# -- written down ---------------------------------------------------------------------------------------

_HEAD = """\
# yaml-language-server: $schema=datamap.schema.json
# A draft. Every TODO is a question that only you can answer: `dsr map check` lists those that are left.
version: 1
controller: {name: TODO the company, contact: TODO privacy@…, complaint: TODO to whom people may complain}
purposes:
  purpose: TODO the end of the sentence "we hold this …"; name more as you need them
stores:
"""
_CONNECTIONS = {"sql": '{region: TODO, secret: "TODO its name in Secrets Manager"}'}


def to_yaml(draft: Draft) -> str:
    """The draft as a map."""
    lines = [
        f"  {draft.store}:",
        f"    kind: {draft.kind}",
        '    role: "arn:aws:iam::${account}:role/dsr-' + draft.store.replace("_", "-") + '"',
        f"    connection: {_CONNECTIONS[draft.kind]}",
        "    collections:",
    ]
    for collection in draft.collections:
        lines += _collection(collection)
    return _HEAD + "\n".join(lines) + "\n"


def _collection(c: DraftCollection) -> list[str]:
    key = f"[{', '.join(c.key)}]" if c.key else "[TODO the fields that together name one record]"
    return [
        f"      {c.name}:",
        "        title: TODO what the person reads above these records",
        f"        table: {c.table}",
        f"        key: {key}",
        "        subjects: TODO one or many people in a record; leave the table out if it is about nobody",
        "        basis: TODO contract, consent, legal_obligation or legitimate_interests",
        '        retention: {until: "TODO account_deleted, or duration and from"}',
        "        on_deletion: TODO delete, mask, detach or keep with its reason",
        "        copies: TODO none, or a list of copies elsewhere",
        "        fields:",
        *(f"          {f.name}: {_field(f)}" for f in c.fields),
    ]


def _field(f: DraftField) -> str:
    said = [f"category: {f.category or 'TODO'}", "purpose: purpose"]
    if f.references:
        said.append(f"references: {f.references[0] if len(f.references) == 1 else json.dumps(f.references)}")
    if f.identity:
        unique = ", unique: TODO" if f.identity == "phone" else ""
        said.append(f"identity: {{is: {f.identity}, verified: TODO{unique}}}")
    why = f"  # {f.why}" if f.why else ""
    return "{" + ", ".join(said) + "}" + why
