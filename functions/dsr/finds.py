"""What was found of a person: the names under which it is staged, and reading it.

Written by `dsr.gathering`; each visit of each round has a place of its own, which lists its parts.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from dsr.datamap.plan import Plan
from dsr.records import from_lines
from dsr.staging import Staging


def place(visit: str, number: int = 0) -> str:
    """The name under which the progress of a visit is staged, in the round `number`."""
    return f"progress/{visit}.json" if number == 0 else f"progress@{number}/{visit}.json"


def folder_of(kind: str, path: str, number: int = 0) -> str:
    """The folder of the records of a collection (`kind`: staged or doubtful), in the round `number`."""
    return f"{kind if number == 0 else f'{kind}@{number}'}/{path.replace('.', '/')}/"


def staged(
    staging: Staging,
    plan: Plan,
    path: str,
    kind: str = "staged",
    number: int = 0,
    places: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Every staged record of the collection `path`, part by part: {"values": …, "original": …}.

    `kind`: staged for the sound ones, doubtful for those that a person must judge. Those of the round
    `number` and all before. `places`: see `parts_of`.
    """
    for earlier in range(number + 1):
        yield from read_parts(staging, parts_of(staging, plan, path, kind, earlier, places))


def parts_of(
    staging: Staging, plan: Plan, path: str, kind: str, number: int, places: dict[str, Any] | None = None
) -> list[str]:
    """The staged parts of a collection in the round `number`, in order, for `read_parts`.

    `places` takes in what is read on the way, for the next one who asks within the same step.
    """
    places = {} if places is None else places
    name = place(plan.visit_of(path).visit, number)
    if name not in places:
        places[name] = staging.get_json(name) or {}
    return list(places[name].get("parts", {}).get(folder_of(kind, path, number), ()))


def read_parts(staging: Staging, parts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records of these parts. Raises RuntimeError if one is not there."""
    for part in parts:
        yield from from_lines(read_part(staging, part))


def read_part(staging: Staging, part: str) -> bytes:
    """The lines of a part. Raises RuntimeError if it is not there."""
    content = part.encode() if part.startswith("{") else staging.get(part)
    if content is None:
        raise RuntimeError(f"staged part {part} vanished")
    return content
