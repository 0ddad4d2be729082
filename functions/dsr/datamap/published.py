"""What the published privacy notice promises, as a list beside the map; and whether the map keeps to it.

A purpose or recipient that people were not told of must not begin before they are told, or have agreed.
"""

import json
from pathlib import Path
from typing import Any

from dsr.datamap.plan import Collection, Plan
from dsr.errors import MapError


def promised(plan: Plan) -> dict[str, Any]:
    """What the notice of this plan names: purposes in its words, recipients by name."""
    used = {f.purpose for c in plan.collections.values() for f in c.fields.values()}
    return {
        "controller": plan.controller["name"],
        "purposes": {name: said for name, said in plan.purposes.items() if name in used},
        "recipients": {name: told["name"] for name, told in recipients(plan).items()},
    }


def recipients(plan: Plan) -> dict[str, dict[str, Any]]:
    """Everybody who receives data: those whom the map lists, and the stores that others keep.

    Of a store that is listed too, by the same name, what the list says (country, safeguard, consent) holds.
    """
    kept_by_others = {
        name: {**plan.recipients.get(name, {}), **s.recipient}
        for name, s in plan.stores.items()
        if s.recipient
    }
    return {**plan.recipients, **kept_by_others}


def check_published(plan: Plan, data_map: Path) -> None:
    """Raises MapError if the map goes beyond the notice that it names as published; it may name none."""
    if "published" not in plan.notice:
        return
    path = data_map.parent / plan.notice["published"]
    how = f"`dsr notice {data_map} --publish` writes it once people are told"
    try:
        notice = json.loads(path.read_text(encoding="utf-8"))
        told_purposes, told_recipients = dict(notice["purposes"]), dict(notice["recipients"])
    except FileNotFoundError:
        raise MapError(f"{path}:1: there is no such list of what the notice says; {how}") from None
    except (ValueError, KeyError, TypeError):
        raise MapError(f"{path}:1: no list of what the notice says; {how}") from None
    beyond = [
        *_new_purposes(plan, told_purposes),
        *(
            f"recipient `{name}` ({told['name']}) is not in the published notice, and no consent covers it"
            for name, told in recipients(plan).items()
            if told_recipients.get(name) != told["name"] and not told.get("consent")
        ),
    ]
    if beyond:
        raise MapError("\n".join(f"{path}:1: {said}; {how}" for said in beyond))


def _new_purposes(plan: Plan, told: dict[str, str]) -> list[str]:
    said = []
    for name, words in plan.purposes.items():
        uses = [c for c in plan.collections.values() if _uses(c, name)]
        unasked = [c.path for c in uses if c.basis != "consent"]
        if told.get(name) == words or not unasked:
            continue
        was = f"says “{told[name]}” for it" if name in told else "lacks it"
        where = ", ".join(f"`{path}`" for path in unasked)
        said.append(
            f"purpose `{name}` (“{words}”): the published notice {was}, and no consent covers it in {where}"
        )
    return said


def _uses(collection: Collection, purpose: str) -> bool:
    return any(f.purpose == purpose for f in collection.fields.values())
