"""What becomes of a field: nothing of the value is left that the treatment takes, and twice is once."""

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.treatments import Masking, Treatment, with_key

KEY = hashlib.sha256(b"a key of the tests").digest()
GROUPS = {"to": {"Vienna": "AT", "Graz": "AT"}, "otherwise": "elsewhere"}
AT = datetime(2026, 7, 19, 23, 45, 30, 5, UTC)


def treat(how: str, to: Any = None) -> Treatment:
    return Treatment(Masking(how, to), KEY)


@pytest.mark.parametrize(
    ("how", "to", "value", "left"),
    [
        ("null", None, "ada@example.com", None),
        ("constant", "[deleted]", 17, "[deleted]"),
        ("truncate", "year", AT, datetime(2026, 1, 1, tzinfo=UTC)),
        ("truncate", "month", AT, datetime(2026, 7, 1, tzinfo=UTC)),
        ("truncate", "day", AT, datetime(2026, 7, 19, tzinfo=UTC)),
        ("truncate", "hour", AT, datetime(2026, 7, 19, 23, tzinfo=UTC)),
        ("truncate", "month", date(2026, 7, 19), date(2026, 7, 1)),
        ("truncate", "hour", date(2026, 7, 19), date(2026, 7, 19)),
        ("truncate", "year", "2026-07-19", "2026-01-01"),
        ("truncate", "day", "2026-07-19T23:45:30+02:00", "2026-07-19T00:00:00+02:00"),
        ("truncate", "ip", "203.0.113.77", "203.0.113.0"),
        ("truncate", "ip", "2001:db8:1:2:3::9", "2001:db8:1::"),
        ("generalise", {"band": 10}, 34, 30),
        ("generalise", {"band": 10}, -1, -10),
        ("generalise", {"band": 10}, "34", "30 to 39"),
        ("generalise", {"band": 5}, Decimal("17.80"), Decimal(15)),
        ("generalise", GROUPS, "Graz", "AT"),
        ("generalise", GROUPS, "Oslo", "elsewhere"),
    ],
)
def test_what_is_left(how: str, to: Any, value: Any, left: Any) -> None:
    treatment = treat(how, to)
    got = treatment.apply(value)
    assert got == left
    assert type(got) is type(left)
    assert treatment.is_done(got)
    assert not treatment.is_done(value) or value == left


@pytest.mark.parametrize(
    ("how", "to", "value"),
    [
        ("truncate", "month", "soon"),
        ("truncate", "day", 20260719),
        ("truncate", "ip", "somewhere"),
        ("generalise", {"band": 10}, "many"),
        ("generalise", {"band": 10}, "NaN"),
        ("generalise", {"band": 10}, True),
        ("generalise", {"band": 10}, ["34"]),
    ],
)
def test_what_is_not_of_the_kind_is_an_error_and_never_passes_for_treated(
    how: str, to: Any, value: Any
) -> None:
    assert not treat(how, to).is_done(value)
    with pytest.raises(ValueError):
        treat(how, to).apply(value)


def test_a_keyed_hash_depends_on_value_and_key_and_shows_neither() -> None:
    hashed = treat("keyed_hash").apply("ada@example.com")
    assert hashed == treat("keyed_hash").apply("ada@example.com")
    assert hashed != treat("keyed_hash").apply("bob@example.com")
    assert hashed != Treatment(Masking("keyed_hash"), hashlib.sha256(b"another").digest()).apply(
        "ada@example.com"
    )
    assert "ada" not in hashed
    # Not the plain hash that a dictionary undoes.
    assert hashlib.sha256(b"ada@example.com").hexdigest() not in hashed


def test_without_a_key_nothing_is_hashed() -> None:
    with pytest.raises(RuntimeError):
        Treatment(Masking("keyed_hash")).apply("ada@example.com")


def test_the_key_is_asked_for_only_where_it_is_needed() -> None:
    def no_key() -> bytes:
        raise AssertionError("asked")

    assert with_key({"a": Treatment(Masking("null"))}, no_key)["a"].apply("x") is None
    assert with_key({"a": Treatment(Masking("keyed_hash"))}, lambda: KEY)["a"].apply("x").startswith("hmac-")


VALUES = st.one_of(
    st.none(), st.text(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.dates(),
    st.datetimes(timezones=st.just(UTC)), st.ip_addresses().map(str), st.sampled_from(["Vienna", "AT", "34"]),
)  # fmt: skip
HOW = st.sampled_from(
    [
        ("null", None), ("constant", "[deleted]"), ("keyed_hash", None), ("generalise", {"band": 7}),
        ("generalise", GROUPS), *(("truncate", unit) for unit in ("year", "month", "day", "hour", "ip")),
    ]
)  # fmt: skip


@given(HOW, VALUES)
def test_twice_is_once_and_nothing_stays_nothing(how: tuple[str, Any], value: Any) -> None:
    treatment = treat(*how)
    try:
        once = treatment.apply(value)
    except ValueError:
        assert value is not None
        return
    assert treatment.is_done(once)
    assert treatment.apply(once) == once
    assert value is not None or once is None
