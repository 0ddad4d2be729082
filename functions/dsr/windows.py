"""The copies of what was erased: which still hold it, and until when. Pure.

A copy that *lags* follows its source by itself, but may bring back what was cleaned meanwhile (a nightly
export that is read in again): when the longest lag is over, all is read once more. One that *expires*
(a backup, a cache) holds what it held until then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dsr.datamap.plan import Plan
from dsr.durations import later


@dataclass(frozen=True)
class Window:
    """A copy, the collections (paths) that it is of, and the time from which it holds nothing of them any
    more; None where the data map names no end."""

    kind: str
    name: str
    collections: tuple[str, ...]
    until: datetime | None

    def said(self) -> dict[str, Any]:
        """As a certificate says it."""
        until = self.until.isoformat() if self.until else ""
        return {
            "kind": self.kind,
            "name": self.name,
            "collections": list(self.collections),
            "holds_until": until,
        }


def windows(plan: Plan, paths: Iterable[str], erased_at: datetime) -> list[Window]:
    """The copies of these collections."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path in sorted(paths):
        for copy in plan.collections[path].copies if path in plan.collections else ():
            ends = copy.get("expires") or copy.get("lag") or ""
            found.setdefault((copy["kind"], copy["name"]), []).append((path, ends))
    return [
        Window(
            kind,
            name,
            tuple(path for path, _ in of),
            max((later(erased_at, ends) for _, ends in of if ends), default=None)
            if all(ends for _, ends in of)
            else None,
        )
        for (kind, name), of in sorted(found.items())
    ]


def check_at(plan: Plan, paths: Iterable[str], erased_at: datetime) -> datetime | None:
    """When all is to be read once more: after the longest lag; None where no copy lags."""
    lags = [
        later(erased_at, copy["lag"])
        for path in paths
        if path in plan.collections
        for copy in plan.collections[path].copies
        if copy.get("lag")
    ]
    return max(lags, default=None)


def last_end(found: Iterable[Window], *also: datetime | None) -> datetime | None:
    """When the last of them has ended; None where there is nothing to wait for."""
    return max([end for end in (*(w.until for w in found), *also) if end], default=None)
