"""The copies of what was erased: which end when, and when all is read once more."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dsr.datamap.plan import Collection
from dsr.windows import check_at, last_end, windows
from tests.unit.test_case import PLAN as EMPTY

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
PLAN = replace(
    EMPTY, collections={f"s.{n}": Collection("s", n, f"Your {n}", ("id",), (), {}) for n in ("a", "b")}
)
PATHS = sorted(PLAN.collections)


def with_copies(*copies: dict[str, Any]) -> Any:
    first = PLAN.collections[PATHS[0]]
    return replace(PLAN, collections={**PLAN.collections, first.path: replace(first, copies=copies)})


def test_without_copies_nothing_is_waited_for() -> None:
    assert windows(PLAN, PATHS, AT) == []
    assert check_at(PLAN, PATHS, AT) is None
    assert last_end([]) is None


def test_the_longest_lag_and_the_last_end_count() -> None:
    plan = with_copies(
        {"kind": "export", "name": "e", "lag": "P1D"},
        {"kind": "warehouse", "name": "w", "lag": "PT36H"},
        {"kind": "backup", "name": "b", "expires": "P1M"},
    )
    found = windows(plan, PATHS, AT)
    assert [(w.name, w.until) for w in found] == [
        ("b", datetime(2026, 2, 28, 12, tzinfo=UTC)),  # by the calendar
        ("e", datetime(2026, 2, 1, 12, tzinfo=UTC)),
        ("w", datetime(2026, 2, 2, 0, tzinfo=UTC)),
    ]
    assert check_at(plan, PATHS, AT) == datetime(2026, 2, 2, 0, tzinfo=UTC)
    assert last_end(found) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert windows(plan, PATHS[1:], AT) == []


def test_a_copy_without_an_end_is_told_and_not_waited_for() -> None:
    plan = with_copies({"kind": "index", "name": "i"})
    [window] = windows(plan, PATHS, AT)
    assert window.said()["holds_until"] == ""
    assert last_end([window]) is None
