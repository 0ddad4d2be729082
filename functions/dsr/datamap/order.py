"""In which order the collections are read: each after all its parents; and which visits that makes."""

from collections.abc import Iterator

from dsr.datamap.plan import Collection, Store, VisitPlan, Way
from dsr.datamap.source import Problems


def visits_of(
    stores: dict[str, Store], collections: dict[str, Collection], problems: Problems
) -> Iterator[VisitPlan]:
    """A topological order over references: a collection waits for all its parents.

    Collections of one store follow each other within a visit; only a reference into another store
    costs a wave. A circle, and what no identity leads to, are mistakes.
    """
    waves = _waves(collections, problems)
    if waves is None:
        return
    resolving = _needed_for([p for p, c in collections.items() if c.account], collections)
    for path, collection in collections.items():
        here = _at(problems, path)
        _check_reach(here, collection)
        for way in collection.ways:
            _check_late(here, way, collection, collections)
            if path in resolving and way.identity and way.identity.kind == "sign_in":
                said = "who it is must be known before anybody is asked to sign in: find accounts by email"
                here.add(("fields", way.field, "identity", "is"), said)
    for wave in range(max(waves.values()) + 1):
        for held in stores.values():
            here_in = [
                p for p, number in waves.items() if number == wave and collections[p].store == held.name
            ]
            # What tells who the person is gets a visit of its own: it runs before the rest is allowed.
            for resolves in (True, False):
                paths = [p for p in here_in if (p in resolving) is resolves]
                if paths:
                    suffix = "-who" if resolves and len(paths) < len(here_in) else ""
                    names = tuple(collections[p].name for p in paths)
                    visit = f"{wave}-{held.name}{suffix}"
                    yield VisitPlan(visit, wave, held.name, held.kind, names, resolves)


def _at(problems: Problems, path: str) -> Problems:
    store, name = path.split(".")
    return problems.below("stores", store, "collections", name)


def _waves(collections: dict[str, Collection], problems: Problems) -> dict[str, int] | None:
    """Of each collection its wave, parents before children; None if references go in a circle."""
    waves: dict[str, int] = {}
    left = dict(collections)
    while left:
        ready = [p for p, c in left.items() if c.parents <= waves.keys()]
        if not ready:
            circle = _circle(left)
            told = " → ".join(f"`{p}`" for p in circle)
            said = (
                f"references go in a circle ({told}); remove one of them, or mark the one that is to be "
                "followed again when all else is read: `{to: …, late: true}`"
            )
            _at(problems, circle[0]).add((), said)
            return None
        for path in ready:
            collection = left.pop(path)
            waves[path] = max(
                (waves[p] + (collections[p].store != collection.store) for p in collection.parents),
                default=0,
            )
    return waves


def _check_late(
    problems: Problems, way: Way, collection: Collection, collections: dict[str, Collection]
) -> None:
    if not way.late:
        return
    if collection.path not in _needed_for([way.leads_from], collections):
        said = f"`late` closes a circle, and `{way.leads_from}` does not follow from here: leave it out"
        problems.add(("fields", way.field, "references"), said)


def _check_reach(problems: Problems, collection: Collection) -> None:
    """Something must lead here from outside, and not only in the end."""
    leads = [w for w in collection.ways if not w.own]
    if any(w.identity or not (w.late or collection.loops(w)) for w in leads):
        return
    only = " at first (what is `late`, or leads from its own records, needs others before)" if leads else ""
    problems.add((), f"no way to find a person here{only}: give a field an `identity` or `references`")


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
