"""A picture of the map, as Mermaid: stores, collections, what leads where, and the order. Pure."""

import re
from collections.abc import Iterator

from dsr.datamap.plan import Collection, Plan, Way

_IDENTITIES = {"email": "proven address", "phone": "proven phone", "sign_in": "sign-in"}


def mermaid(plan: Plan) -> str:
    """A flowchart: boxes are collections with the number of their wave, arrows are references."""
    return "\n".join(["flowchart LR", *_boxes(plan), *_arrows(plan)]) + "\n"


def _boxes(plan: Plan) -> Iterator[str]:
    for store in plan.stores.values():
        yield f'    subgraph {store.name}["{store.name}: {store.kind}"]'
        for collection in plan.collections.values():
            if collection.store == store.name:
                wave = plan.visit_of(collection.path).wave
                fate = _fate(collection)
                yield f'        {_id(collection.path)}["{wave} · {collection.name}{fate}"]'
        yield "    end"
    for kind in dict.fromkeys(
        w.identity.kind for c in plan.collections.values() for w in c.ways if w.identity
    ):
        yield f'    by_{kind}(["{_IDENTITIES.get(kind, kind)}"])'


def _fate(collection: Collection) -> str:
    said = (
        "kept"
        if collection.kept
        else next((w for w in ("mask", "detach") if w in collection.on_deletion), "")
    )
    return f"<br/>{said} on deletion" if said else ""


def _arrows(plan: Plan) -> Iterator[str]:
    for collection in plan.collections.values():
        here = _id(collection.path)
        for way in collection.ways:
            if way.own:
                continue
            line = "-.->" if way.late or _is_doubtful(way) else "-->"
            label = f"{way.field}, late" if way.late else way.field
            label += ", unverified" if _is_doubtful(way) else ""
            start = f"by_{way.identity.kind}" if way.identity else _id(way.leads_from)
            yield f'    {start} {line}|"{label}"| {here}'


def _is_doubtful(way: Way) -> bool:
    return way.identity is not None and not way.identity.verified


def _id(path: str) -> str:
    return re.sub(r"\W", "__", path)
