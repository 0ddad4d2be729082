"""ISO 8601 durations: read in one place, whatever they are then used for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.durations import in_days, later, parts, subtract

MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
UNITS = {"Y": "year", "M": "month", "W": "week", "D": "day"}
TIMED = {"H": "hour", "M": "minute", "S": "second"}


@given(
    dated=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(sorted(UNITS)))),
    timed=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(sorted(TIMED)))),
)
def test_what_is_written_is_read(dated: list[tuple[int, str]], timed: list[tuple[int, str]]) -> None:
    text = "P" + "".join(f"{n}{u}" for n, u in dated)
    text += "T" + "".join(f"{n}{u}" for n, u in timed) if timed else ""
    if dated or timed:
        assert parts(text) == [*((n, UNITS[u]) for n, u in dated), *((n, TIMED[u]) for n, u in timed)]


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "1D", "P1", "PD", "P1DT", "P1H", "PT1D", "P-1D", "P1.5D", "P1D "]
)
def test_what_is_none_is_refused(text: str) -> None:
    for read in (parts, in_days, lambda t: later(MOMENT, t), lambda t: subtract(MOMENT, t)):
        with pytest.raises(ValueError, match="no duration"):
            read(text)


def test_minutes_are_no_months() -> None:
    assert later(MOMENT, "P1MT1M30S") == datetime(2026, 2, 28, 12, 1, 30, tzinfo=UTC)
    assert subtract(MOMENT, "PT36H") == MOMENT - timedelta(hours=36)
    assert in_days("P1Y2M1W3DT20H") == 365 + 60 + 7 + 3
