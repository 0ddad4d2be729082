"""The bundle's own page: opens from the unzipped folder, without network, server or script."""

from datetime import datetime

from jinja2 import Environment, PackageLoader

from dsr.bundle.datafiles import Table
from dsr.case import Case
from dsr.datamap.plan import Collection, Plan

_templates = Environment(
    loader=PackageLoader("dsr.bundle", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def render_index(
    plan: Plan, case: Case, tables: dict[str, Table], missing: list[str], made_at: datetime
) -> str:
    """The page as HTML. `tables` by collection path."""
    counts = {path: table.records for path, table in tables.items()}
    return _templates.get_template("index.html").render(
        plan=plan,
        case=case,
        collections=[c for c in plan.collections.values() if counts.get(c.path)],
        empty=[c for c in plan.collections.values() if not counts.get(c.path) and c.path not in missing],
        missing=[plan.collections[path] for path in missing],
        counts=counts,
        tables=tables,
        columns=_columns,
        total=sum(counts.values()),
        purposes_of=lambda c: sorted({plan.purposes[f.purpose] for f in c.fields.values()}),
        retention_of=_retention,
        made_at=made_at,
    )


def _columns(collection: Collection, records: list[dict[str, str]]) -> list[str]:
    """The fields that stand in at least one record, in the map's order, others after."""
    present = {name for record in records for name in record}
    mapped = [name for name in collection.fields if name in present]
    return mapped + sorted(present - set(mapped))


def _retention(collection: Collection) -> str:
    if collection.retention.get("until"):
        return "until your account is deleted"
    return f"{collection.retention['duration']} (ISO 8601) from {collection.retention['from']}"
