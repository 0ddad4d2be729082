"""Deadlines: the examples that the laws' own guidance gives, and properties that hold for every day."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsr.clock import REGIMES, deadline, regimes_for

TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SOME_REGIMES = st.lists(st.sampled_from(sorted(REGIMES)), min_size=1, max_size=7).map(tuple)


def due(received: str, *regimes: str) -> str:
    """The day on which what was received on that day, at noon, is due."""
    return deadline(datetime.fromisoformat(received + "T12:00+00:00"), regimes).date().isoformat()


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        # EDPB Guidelines 01/2022 on access, paragraphs 159 and 160 (there without weekends).
        ("2026-03-05", "2026-04-06"),  # 5 April 2026 is a Sunday: the next working day
        ("2024-03-05", "2024-04-05"),
        ("2022-08-31", "2022-09-30"),  # no 31 September
        ("2021-08-31", "2021-09-30"),
        ("2026-01-30", "2026-03-02"),  # 28 February 2026 is a Saturday
        ("2026-01-31", "2026-03-02"),
        ("2024-01-30", "2024-02-29"),  # a leap year
        ("2024-01-31", "2024-02-29"),
        ("2023-01-31", "2023-02-28"),
        ("2024-02-29", "2024-03-29"),
        ("2025-11-30", "2025-12-30"),
        ("2025-12-31", "2026-02-02"),  # across the year; 31 January 2026 is a Saturday
        ("2025-12-01", "2026-01-01"),  # a holiday, which differs by country: the early side
    ],
)
def test_one_month_by_regulation_1182_71(received: str, expected: str) -> None:
    assert due(received, "gdpr") == due(received, "uk_gdpr") == expected


@pytest.mark.parametrize(
    ("received", "regime", "expected"),
    [
        ("2026-01-01", "ccpa", "2026-02-15"),  # 45 calendar days, a Sunday stays
        ("2024-01-16", "ccpa", "2024-03-01"),  # over 29 February
        ("2023-01-16", "ccpa", "2023-03-02"),
        ("2026-01-01", "us_state", "2026-02-15"),
        ("2026-02-20", "lgpd", "2026-03-07"),  # 15 days, a Saturday stays
        ("2026-03-02", "pipl", "2026-03-23"),  # a Monday and 15 working days
        ("2026-03-06", "pipl", "2026-03-27"),  # a Friday
        ("2026-03-07", "pipl", "2026-03-27"),  # a Saturday and a Sunday count from the Monday
        ("2026-03-08", "pipl", "2026-03-27"),
        ("2026-03-02", "pipa", "2026-03-12"),
    ],
)
def test_days_by_the_other_laws(received: str, regime: str, expected: str) -> None:
    assert due(received, regime) == expected


def test_the_figures_are_those_of_the_laws() -> None:
    said = {n: (r.months, r.days, r.working_days) for n, r in REGIMES.items()}
    assert said == {
        "gdpr": (1, 0, 0),
        "uk_gdpr": (1, 0, 0),
        "ccpa": (0, 45, 0),
        "us_state": (0, 45, 0),
        "lgpd": (0, 15, 0),
        "pipl": (0, 0, 15),
        "pipa": (0, 10, 0),
    }
    assert all(r.source for r in REGIMES.values())
    assert all(name == r.name for name, r in REGIMES.items())


@given(TIMES, SOME_REGIMES)
def test_the_earliest_deadline_rules(received: datetime, regimes: tuple[str, ...]) -> None:
    together = deadline(received, regimes)
    assert together == min(deadline(received, (name,)) for name in regimes)
    assert together == deadline(received, tuple(reversed(regimes)))


@given(TIMES, SOME_REGIMES)
@example(datetime(2024, 2, 29, tzinfo=UTC), ("gdpr",))
def test_a_deadline_is_the_end_of_a_later_day(received: datetime, regimes: tuple[str, ...]) -> None:
    end = deadline(received, regimes)
    assert end.tzinfo is UTC
    assert (end.hour, end.minute, end.second, end.microsecond) == (23, 59, 59, 0)
    assert timedelta(days=10) <= end - received.replace(hour=23, minute=59, second=59, microsecond=0)
    assert end - received <= timedelta(days=46)


@given(TIMES, st.timedeltas(timedelta(0), timedelta(days=400)), SOME_REGIMES)
def test_what_is_received_later_is_never_due_earlier(
    received: datetime, by: timedelta, regimes: tuple[str, ...]
) -> None:
    assert deadline(received, regimes) <= deadline(received + by, regimes)


@given(TIMES)
@settings(max_examples=300)
def test_a_month_by_counting_days(received: datetime) -> None:
    """Day by day: the same number in the next month, or that month's last; then on past a weekend."""
    day = received.date()
    month = (day.month % 12) + 1
    while day.month != month:
        day += timedelta(days=1)
    while day.day != received.day and (day + timedelta(days=1)).month == month:
        day += timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    assert deadline(received, ("gdpr",)).date() == day


@given(TIMES)
def test_fifteen_working_days_by_counting_them(received: datetime) -> None:
    end = deadline(received, ("pipl",)).date()
    days = [received.date() + timedelta(days=n) for n in range(1, (end - received.date()).days + 1)]
    assert len([d for d in days if d.weekday() < 5]) == 15
    assert end.weekday() < 5


@given(TIMES, SOME_REGIMES, st.integers(-12, 14))
def test_the_zone_in_which_a_time_is_given_does_not_matter_within_the_day(
    received: datetime, regimes: tuple[str, ...], hours: int
) -> None:
    noon = received.replace(hour=12)
    assert deadline(noon, regimes).date() >= date(2000, 1, 1)
    elsewhere = noon.astimezone(timezone(timedelta(hours=hours)))
    if elsewhere.date() == noon.date():
        assert deadline(elsewhere, regimes).date() == deadline(noon, regimes).date()


def test_unknown_or_no_regimes_are_errors_and_not_endless_time() -> None:
    with pytest.raises(KeyError):
        deadline(datetime(2026, 1, 1, tzinfo=UTC), ("gdpr", "nowhere"))
    with pytest.raises(ValueError, match="at least one"):
        deadline(datetime(2026, 1, 1, tzinfo=UTC), ())


@pytest.mark.parametrize(
    ("country", "regimes"),
    [
        ("DE", ("gdpr",)),
        ("de", ("gdpr",)),
        ("NO", ("gdpr",)),
        ("GB", ("uk_gdpr",)),
        ("US", ("ccpa", "us_state")),
        ("BR", ("lgpd",)),
        ("CN", ("pipl",)),
        ("KR", ("pipa",)),
    ],
)
def test_the_regimes_of_a_country(country: str, regimes: tuple[str, ...]) -> None:
    assert regimes_for(country) == regimes


@given(st.sampled_from(["", "XX", "JP", "??", "EU", "germany", "CH"]))
def test_where_nobody_knows_the_strictest_rules(country: str) -> None:
    received = datetime(2026, 3, 2, tzinfo=UTC)
    assert set(regimes_for(country)) == set(REGIMES)
    assert deadline(received, regimes_for(country)) == min(deadline(received, (n,)) for n in REGIMES)


def test_all_of_the_union_and_the_area_are_under_the_gdpr() -> None:
    union = "ATBEBGHRCYCZDKEEFIFRDEGRHUIEITLVLTLUMTNLPLPTROSKSIESSE"
    countries = [union[n : n + 2] for n in range(0, len(union), 2)]
    assert len(countries) == 27
    assert all(regimes_for(c) == ("gdpr",) for c in [*countries, "IS", "LI", "NO"])
