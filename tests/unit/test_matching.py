"""Whose record is it? The rules of proof, each with the stranger who must not get in by it."""

import itertools
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.datamap.plan import Collection, Field, Identity, Way
from dsr.matching import Known, as_time, has_second_point, is_sound, normalise, point

NOW = datetime(2026, 3, 2, tzinfo=UTC)
EMAIL = Identity("email", "lower", verified=True)
FIELDS = {
    "email": Field("user.contact.email", "p"),
    "phone": Field("user.contact.phone_number", "p", second_point="phone"),
    "name": Field("user.name", "p", second_point="name"),
    "address.name": Field("user.name", "p", second_point="name"),
}
ADDRESSES = st.emails() | st.text(min_size=1, max_size=8)


def a_collection(identity: Identity | None) -> tuple[Collection, Way]:
    way = Way("email", identity, "" if identity else "a.b.c")
    return Collection("s", "c", "C", ("email",), (way,), FIELDS), way


def sound(identity: Identity | None, record: dict[str, Any], known: Known | None = None) -> bool:
    collection, way = a_collection(identity)
    return is_sound(collection, way, {"email": "ada@example.com"} | record, known or Known(), NOW)


# -- normalising -----------------------------------------------------------------------------------


@given(ADDRESSES)
def test_normalising_twice_is_normalising_once(address: str) -> None:
    assert normalise(normalise(address, "lower"), "lower") == normalise(address, "lower")


@given(st.sampled_from("abcdefghijklmnopqrstuvwxyzäéøñчσ"), st.booleans())
def test_capitals_are_the_same_letter(letter: str, twice: bool) -> None:
    assert normalise(letter.upper() * (1 + twice), "lower") == letter * (1 + twice)


def test_no_letter_of_any_script_becomes_another_persons_ascii_letter() -> None:
    """Over all of Unicode: only A to Z turn into a to z; a look-alike stays what it is."""
    for code in itertools.chain(range(0x80, 0xD800), range(0xE000, 0x110000)):
        low = normalise("x" + chr(code) + "x", "lower")
        assert not low.isascii(), f"{unicodedata.name(chr(code), hex(code))} became {low!r}"


@given(st.characters(exclude_categories=["Cs"]), st.characters(exclude_categories=["Cs"]))
def test_two_letters_are_equal_only_as_capital_and_small_of_one(one: str, other: str) -> None:
    if normalise(f"x{one}x", "lower") == normalise(f"x{other}x", "lower"):
        assert one == other or one.lower() == other or one == other.lower()


def test_phones_and_forms() -> None:
    assert normalise("+44 (20) 7946-0000", "e164") == "+442079460000"
    assert normalise(" Ada@Example.COM ", "") == " Ada@Example.COM "
    assert normalise(7, "") == 7
    with pytest.raises(ValueError, match="rot13"):
        normalise("x", "rot13")


# -- the rules, one by one -----------------------------------------------------------------------


def test_what_the_persons_own_records_lead_to_is_theirs() -> None:
    assert sound(None, {})


def test_a_verified_address_suffices_and_an_unverified_one_does_not() -> None:
    assert sound(EMAIL, {})
    assert not sound(replace(EMAIL, verified=False), {})
    # However fresh: nobody ever checked that it was typed right.
    fresh = replace(EMAIL, verified=False, recorded="at", valid_days=365)
    assert not sound(fresh, {"at": NOW.isoformat()})


@pytest.mark.parametrize(
    ("age", "valid", "expected"),
    [
        (timedelta(days=364), 365, True),
        (timedelta(days=365), 365, True),
        (timedelta(days=365, seconds=1), 365, False),
        (timedelta(0), 365, True),
        (timedelta(seconds=1), 0, False),
        (timedelta(days=-1), 365, True),
    ],
)
def test_an_address_counts_only_as_long_as_the_map_trusts_it(
    age: timedelta, valid: int, expected: bool
) -> None:
    identity = replace(EMAIL, recorded="at", valid_days=valid)
    assert sound(identity, {"at": (NOW - age).isoformat()}) is expected


@pytest.mark.parametrize("at", [None, "", "yesterday", "2024-13-01", 10**18, {"no": "time"}, Decimal("NaN")])
def test_without_a_readable_time_nobody_knows_whose_address_it_was(at: Any) -> None:
    assert not sound(replace(EMAIL, recorded="at", valid_days=365), {"at": at})


def test_a_recycled_mailbox_reaches_only_what_was_written_since() -> None:
    """Whoever held the address before keeps their records, though the company had verified it then too."""
    identity = replace(EMAIL, recorded="at", valid_days=3650)
    known = Known(since={"ada@example.com": "2025-06-01T00:00:00+00:00"})
    assert sound(identity, {"at": "2025-06-01T00:00:00Z"}, known)
    assert sound(identity, {"at": "2025-06-01T02:00:00+02:00"}, known)
    assert not sound(identity, {"at": "2025-05-31T23:59:59Z"}, known)
    assert not sound(identity, {"at": "2025-06-01T01:00:00+02:00"}, known)
    # And since then it is theirs for good, however long the map trusts an address by itself.
    assert sound(replace(identity, valid_days=1), {"at": "2025-06-02T00:00:00Z"}, known)
    assert sound(replace(identity, valid_days=0), {"email": "ADA@example.com", "at": NOW.isoformat()}, known)


# -- second points ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ({"phone": "+44 20 7946 0000"}, {"phone": "0044-20 79460000"}, False),  # E.164 is not guessed
        ({"phone": "+44 20 7946 0000"}, {"phone": "+44 (20) 7946-0000"}, True),
        ({"phone": "\u0664\u0664"}, {"phone": "44"}, True),  # Arabic digits are digits
        ({"phone": "n/a"}, {"phone": "-"}, False),
        ({"phone": "none"}, {"phone": "none"}, False),
        ({"phone": "\u00b2"}, {"phone": "\u00b2"}, False),
        ({"name": "Ada  Lovelace"}, {"name": "ADA LOVELACE "}, True),
        ({"name": "Ada Lovelace"}, {"address": {"name": "ada lovelace"}}, True),
        ({"name": "Ada Lovelace"}, {"name": "Ada L"}, False),
        ({"name": "Ada"}, {"phone": "Ada"}, False),
        ({"name": " "}, {"name": "\t"}, False),
        ({"name": ""}, {"name": ""}, False),
        ({"name": None}, {"name": None}, False),
        ({"name": "王小明"}, {"name": "王小明"}, True),
        ({"name": "Strauß"}, {"name": "STRAUSS"}, True),
        ({"name": "Jose"}, {"name": "José"}, False),
    ],
)
def test_a_second_point_must_say_something_and_be_equal(
    mine: dict[str, Any], theirs: dict[str, Any], expected: bool
) -> None:
    unproven = replace(EMAIL, verified=False)
    known = Known()
    known.learn(a_collection(unproven)[0], mine)
    assert has_second_point(a_collection(unproven)[0], theirs, known) is expected
    assert sound(unproven, theirs, known) is expected


@given(st.text(max_size=6), st.text(max_size=6), st.sampled_from(["name", "phone", "reference"]))
def test_equal_points_are_equal_texts_but_for_case_space_and_punctuation_of_phones(
    one: str, other: str, kind: str
) -> None:
    if point(kind, one) and point(kind, one) == point(kind, other):
        strip = str.isdecimal if kind == "phone" else lambda c: not c.isspace()
        plain = ["".join(c for c in t.casefold() if strip(c)) for t in (one, other)]
        as_digits = [[unicodedata.digit(c) for c in p] for p in plain] if kind == "phone" else plain
        assert as_digits[0] == as_digits[1]


def test_points_of_one_kind_never_stand_for_another() -> None:
    collection, _ = a_collection(EMAIL)
    known = Known(points={"reference": {point("reference", "12345")}})
    assert not has_second_point(collection, {"phone": "12345", "name": "12345"}, known)


# -- what is learnt ----------------------------------------------------------------------------------

TELLING = Identity("email", "lower", verified=True, since="since")
SINCES = ["2024-01-01T00:00:00Z", "2025-06-01T00:00:00+02:00", "2025-06-01", None, "soon"]


@given(st.permutations(SINCES))
def test_of_two_holders_of_one_address_the_later_counts_in_whatever_order_they_are_read(
    order: list[str | None],
) -> None:
    known = Known()
    for since in order:
        known.learn(a_collection(TELLING)[0], {"email": "Ada@example.com", "since": since})
    assert known.since == {"ada@example.com": "2025-06-01T00:00:00+00:00"}


def test_an_unverified_address_tells_nothing_about_since_when_it_is_held() -> None:
    known = Known()
    known.learn(
        a_collection(replace(TELLING, verified=False))[0],
        {"email": "ada@example.com", "since": "2025-06-01T00:00:00Z"},
    )
    assert known.since == {}


@given(
    st.dictionaries(st.sampled_from("ab"), st.sampled_from(["2024-01-01", "2025-01-01"])),
    st.dictionaries(st.sampled_from(["name", "phone"]), st.sets(st.text(max_size=3))),
)
def test_what_is_known_survives_being_kept(since: dict[str, str], points: dict[str, set[str]]) -> None:
    known, other = Known(dict(since), {k: set(v) for k, v in points.items()}), Known()
    other.add(known.as_json())
    assert other == known
    other.add(known.as_json())
    assert other == known


def test_only_collections_that_tell_something_are_read() -> None:
    plain = Collection("s", "c", "C", ("email",), (Way("email", EMAIL),), {"email": Field("user", "p")})
    assert not Known.can_learn(plain)
    assert Known.can_learn(replace(plain, ways=(Way("email", TELLING),)))
    assert Known.can_learn(replace(plain, fields=FIELDS))


# -- times -------------------------------------------------------------------------------------------


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_is_the_same_in_all_its_forms(at: datetime) -> None:
    at = at.replace(microsecond=0)
    seconds = int(at.timestamp())
    for form in (at, at.isoformat(), seconds, float(seconds), Decimal(seconds), at.replace(tzinfo=None)):
        assert as_time(form) == at
    assert as_time(str(at.date())) == at.replace(hour=0, minute=0, second=0)
