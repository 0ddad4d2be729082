"""Deadlines by law. The regimes are a table of data, the arithmetic is pure; times are UTC.

The figures are those of the laws named beside them. They are not legal advice: the deploying
company reviews the table.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Regime:
    """How long an answer may take: `months`, or `days` (calendar), or `working_days`."""

    name: str
    source: str
    months: int = 0
    days: int = 0
    working_days: int = 0
    rolls_to_working_day: bool = False


REGIMES: dict[str, Regime] = {
    r.name: r
    for r in (
        Regime("gdpr", "GDPR Art. 12(3); Reg. 1182/71 Art. 3(4)", months=1, rolls_to_working_day=True),
        Regime("uk_gdpr", "UK GDPR Art. 12A", months=1, rolls_to_working_day=True),
        Regime("ccpa", "11 CCR 7021(b)", days=45),
        Regime("us_state", "other US states, mostly", days=45),
        Regime("lgpd", "LGPD Art. 19", days=15),
        Regime("pipl", "PIPL Art. 50; account cancellation in apps", working_days=15),
        Regime("pipa", "Korea PIPA, to be confirmed", days=10),
    )
}

# The Union's members, and Iceland, Liechtenstein and Norway (EEA Joint Committee Decision 154/2018).
_GDPR = (
    *("AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV"),
    *("LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO"),
)
_BY_COUNTRY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_GDPR, ("gdpr",)),
    "GB": ("uk_gdpr",),
    "US": ("ccpa", "us_state"),  # a country does not tell a state
    "BR": ("lgpd",),
    "CN": ("pipl",),
    "KR": ("pipa",),
}


def regimes_for(country: str) -> tuple[str, ...]:
    """The names of the regimes that may apply to a resident of `country` (ISO 3166 alpha-2).

    All of them when the country is unknown or has none here: the strictest that may apply rules.
    """
    return _BY_COUNTRY.get(country.upper(), tuple(REGIMES))


def plus_months(start: datetime, months: int) -> datetime:
    """The same day `months` later, or the last day of that month where it is shorter (Reg. 1182/71)."""
    index = start.month - 1 + months
    year, month = start.year + index // 12, index % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def _plus_working_days(start: datetime, days: int) -> datetime:
    while days:
        start += timedelta(days=1)
        days -= start.weekday() < 5
    return start


def deadline(received_at: datetime, regimes: tuple[str, ...]) -> datetime:
    """By when the case must be answered: the end of the day (UTC) of the earliest regime's term.

    Weekends are not working days; public holidays differ by country and never move it later here,
    which errs on the early side. Raises KeyError for an unknown regime and ValueError for none.
    """
    ends = []
    for regime in (REGIMES[name] for name in regimes):
        if regime.months:
            end = plus_months(received_at, regime.months)
        elif regime.working_days:
            end = _plus_working_days(received_at, regime.working_days)
        else:
            end = received_at + timedelta(days=regime.days)
        while regime.rolls_to_working_day and end.weekday() >= 5:
            end += timedelta(days=1)
        ends.append(end)
    if not ends:
        raise ValueError("a case needs at least one regime")
    return min(ends).astimezone(UTC).replace(hour=23, minute=59, second=59, microsecond=0)
