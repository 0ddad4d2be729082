"""The schema of a bundle's data: a Data Package with Table Schemas (Frictionless, version 2).

One standard for JSON Lines and CSV, in one file at the root, where tools for it look: `datapackage.json`.
Types are those of the values that are there; what the map says of a field (category, purpose, whether the
person provided it) stands beside them.
"""

import json
from typing import Any

from dsr.bundle.datafiles import FILE, Table
from dsr.datamap.plan import Collection, Plan
from dsr.language import Words

PACKAGE = "datapackage.json"
_PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
_FORMS: dict[str, dict[str, Any]] = {
    "jsonl": {"format": "jsonl", "mediatype": "application/jsonl"},
    "csv": {
        "format": "csv",
        "mediatype": "text/csv",
        "dialect": {
            "delimiter": ",", "lineTerminator": "\r\n", "quoteChar": '"', "doubleQuote": True, "header": True,
        },
    },
    "portable": {"format": "jsonl", "mediatype": "application/jsonl"},
}  # fmt: skip


def data_package(plan: Plan, case_id: str, tables: dict[str, Table], words: Words) -> bytes:
    """The package of these tables, by collection path; what it explains in the language of `words`."""
    resources = [
        resource
        for path, table in tables.items()
        for resource in _resources(plan, plan.collections[path], table, words)
    ]
    package = {
        "$schema": _PROFILE,
        "name": case_id.lower(),
        "title": words("package.title", controller=plan.controller["name"]),
        "description": words("package.about"),
        "resources": resources,
    }
    return json.dumps(package, ensure_ascii=False, indent=1).encode(errors="replace")


def _resources(plan: Plan, collection: Collection, table: Table, words: Words) -> list[dict[str, Any]]:
    found = []
    for form, said in _FORMS.items():
        fields = [
            _field(plan, collection, name, kinds, words)
            for name, kinds in table.columns.items()
            if form != "portable" or name in _provided(collection)
        ]
        for number, slice_ in enumerate((s for s in table.slices if form in s), 1):
            found.append(
                {
                    "name": f"{form}-{collection.store}-{collection.name}-{number}",
                    "title": collection.title,
                    "path": slice_[form],
                    "encoding": "utf-8",
                    "description": words(f"package.{form}"),
                    **said,
                    # A line of JSON names its fields, in its own order, and need not have all.
                    "schema": {"fields": fields[: slice_["columns"]]}
                    if form == "csv"
                    else {"fields": fields, "fieldsMatch": "partial"},
                }
            )
    return found


def _provided(collection: Collection) -> set[str]:
    return {FILE, *(n.partition(".")[0] for n, f in collection.fields.items() if f.provided)}


def _field(plan: Plan, collection: Collection, name: str, kinds: list[str], words: Words) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, "type": _type(kinds)}
    known = collection.fields.get(name)
    if known:
        said |= {"category": known.category, "description": plan.purposes[known.purpose]}
        said |= {"provided": known.provided}
    elif name == FILE:
        said["description"] = words("package.file")
    return said


def _type(kinds: list[str]) -> str:
    """Table Schema's type for values of these kinds."""
    if len(kinds) == 1:
        return kinds[0]
    return "number" if set(kinds) == {"integer", "number"} else "any"
