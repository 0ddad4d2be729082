"""What is missing in a copy that goes out in part: why, and whether it follows. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from dsr.case import Case
from dsr.casebook import Visit
from dsr.datamap.plan import Plan
from dsr.language import Words


@dataclass(frozen=True)
class Missing:
    """The collections (paths) that one visit would have read, or led to.

    `why`: awaited (asked, the answer is taken `until`), never (not answered in time), declined (by `who` was
    asked), failed (a store that could not be searched).
    """

    paths: tuple[str, ...]
    titles: tuple[str, ...]
    why: str
    who: str = ""
    until: datetime | None = None

    def sentence(self, words: Words) -> str:
        """As the person reads it."""
        until = words.day(self.until) if self.until else ""
        return words(f"missing.{self.why}", what=", ".join(self.titles), who=self.who, until=until)


def missing_of(plan: Plan, case: Case, visits: Mapping[str, Visit]) -> list[Missing]:
    """What an agent left out, and what is found only through it. `visits`: how each went."""
    return [_why(plan, case, visit, paths, visits.get(visit)) for visit, paths in _left_out(plan, case)]


def _left_out(plan: Plan, case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    """By visit that was left out what is missing with it."""
    found: dict[str, list[str]] = {}
    because: dict[str, str] = {}  # by collection path, the visit
    for planned in plan.visits:
        out = case.decisions.get(f"visit:{planned.visit}") == "leave_out"
        for collection in plan.collections_of(planned):
            through = next((because[p] for p in sorted(collection.parents) if p in because), "")
            if visit := planned.visit if out else through:
                because[collection.path] = visit
                found.setdefault(visit, []).append(collection.path)
    yield from ((visit, tuple(paths)) for visit, paths in found.items())


def _why(plan: Plan, case: Case, visit: str, paths: tuple[str, ...], noted: Visit | None) -> Missing:
    titles = tuple(plan.collections[path].title for path in paths)
    who = plan.stores[plan.visit(visit).store].recipient.get("name", "")
    if visit in case.late:
        return Missing(paths, titles, "awaited", who, datetime.fromisoformat(case.late[visit]))
    if who and noted and noted.answer == "declined":
        return Missing(paths, titles, "declined", who)
    if who and noted and noted.outcome == "waiting":
        return Missing(paths, titles, "never", who)
    return Missing(paths, titles, "failed", who)
