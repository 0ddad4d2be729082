"""Records to lines and back, to items and back, and the paths into them: nothing lost, nothing mixed up."""

import base64
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from boto3.dynamodb.types import Binary
from hypothesis import given
from hypothesis import strategies as st

from dsr.items import from_item, to_item
from dsr.records import as_text, at_path, each_at, from_lines, to_line, with_text, without

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.text(), JSON, max_size=4)


@given(st.lists(RECORDS, max_size=5))
def test_lines_hold_what_went_in(records: list[dict[str, Any]]) -> None:
    lines = b"".join(map(to_line, records))
    assert list(from_lines(lines)) == records
    assert lines.count(b"\n") == len(records)
    assert [json.loads(line) for line in lines.decode().split("\n")[:-1]] == records


def test_a_line_ends_only_where_the_record_does() -> None:
    """Some tools also end a line at U+2028, U+0085 and others; inside a text they are letters."""
    record = {"text": "a\u2028b\u2029c\x85d\x0be\rf\ng\x1ch", "\u2028": 1}
    assert list(from_lines(to_line(record) * 2)) == [record, record]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("0.10"), "0.10"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (Decimal("NaN"), "NaN"),
        (datetime(2026, 3, 1, 12, 0, 0, 1, UTC), "2026-03-01T12:00:00.000001+00:00"),
        (datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T00:00:00+02:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (time(9, 30), "09:30:00"),
        (timedelta(days=1, microseconds=5), "PT86400.000005S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("2001:db8::1"), "2001:db8::1"),
        (b"\x00\xff", "AP8="),
        (memoryview(b"\x00\xff"), "AP8="),
        ({"b", "a"}, ["a", "b"]),
        ({Decimal(10), Decimal(9)}, ["10", "9"]),
        (float("nan"), "nan"),
        ([1.5, float("inf"), {"x": float("-inf")}], [1.5, "inf", {"x": "-inf"}]),
        (2**70, 2**70),
    ],
)
def test_what_databases_hold_keeps_its_digits_zones_and_bytes(value: Any, expected: Any) -> None:
    line = to_line({"v": value})
    assert json.loads(line, parse_constant=pytest.fail)["v"] == expected


def test_half_a_surrogate_pair_as_databases_take_it_in_json_does_not_stop_the_person() -> None:
    record = {"text": "\ud83d", "name": "\u738b\U0001f600"}
    assert list(from_lines(to_line(record))) == [record]


def test_a_type_without_a_lossless_form_is_refused_and_its_value_not_told() -> None:
    class Secret:
        def __repr__(self) -> str:
            return "ada@example.com"

    for odd in (Secret(), {("a", "b"): 1}):
        with pytest.raises(TypeError) as error:
            to_line({"v": odd})
        assert "ada" not in str(error.value)


@given(
    st.one_of(
        st.decimals(allow_nan=False),
        st.uuids(),
        st.binary(),
        st.datetimes(timezones=st.just(UTC)),
        st.dates(),
        st.ip_addresses(),
        st.text(),
        st.integers(),
        st.booleans(),
    )
)
def test_a_value_and_its_staged_form_have_one_text(value: Any) -> None:
    [record] = from_lines(to_line({"v": value}))
    assert as_text(record["v"]) == as_text(value)


# -- paths -----------------------------------------------------------------------------------------


@given(RECORDS, st.text(min_size=1).filter(lambda n: "." not in n), JSON)
def test_without_takes_one_value_and_changes_nothing_else(
    record: dict[str, Any], name: str, value: Any
) -> None:
    full = record | {name: value}
    before = json.dumps(full)
    assert without(full, name) == {k: v for k, v in record.items() if k != name}
    assert json.dumps(full) == before, "the record itself must stay as it is"


SECRET = "not for anybody's eyes"


@given(
    st.recursive(
        st.just({"token": SECRET, "kept": 1}), lambda inner: st.lists(inner, min_size=1), max_leaves=6
    )
)
def test_what_is_withheld_is_withheld_however_deep_in_lists(sign_ins: Any) -> None:
    text = json.dumps(without({"sign_ins": sign_ins, "token": "stays"}, "sign_ins.token"))
    assert SECRET not in text
    assert text.count('"kept": 1') == json.dumps(sign_ins).count('"kept": 1')
    assert "stays" in text


def test_without_passes_over_what_is_not_there() -> None:
    record = {"a": {"b": 1}, "c": "text", "d": [1, None]}
    for path in ("x", "a.x", "a.b.c", "c.x", "d.x", "x.y.z"):
        assert without(record, path) == record
    assert without(record, "a.b") == {"a": {}, "c": "text", "d": [1, None]}


def test_paths_lead_to_one_value_or_to_each() -> None:
    record = {"a": {"b": 1}, "l": [{"id": 1}, {"id": [2, 3]}, {"x": 4}, 5], "z": 0, "n": None}
    assert at_path(record, "a.b") == 1
    assert at_path(record, "z") == 0
    for nothing in ("x", "a.x", "a.b.c", "l.id", "n.x"):
        assert at_path(record, nothing) is None
    assert list(each_at(record, "l.id")) == [1, 2, 3]
    assert list(each_at(record, "a.b")) == [1]
    assert list(each_at(record, "z")) == [0]
    for nothing in ("x", "n", "a.x", "a.b.c", "l.y"):
        assert list(each_at(record, nothing)) == []


# -- DynamoDB's items --------------------------------------------------------------------------------

NUMBERS = st.integers(-(10**37), 10**37) | st.decimals(-1000, 1000, places=3)
ITEMS = st.dictionaries(
    st.text(min_size=1),
    st.recursive(
        st.booleans() | st.text() | NUMBERS | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(ITEMS)
def test_values_survive_the_table(values: dict[str, Any]) -> None:
    back = from_item(to_item(values))
    assert back == values
    assert to_line(back) == to_line(_whole(values))


def _whole(value: Any) -> Any:
    """Whole numbers are int, whatever they were."""
    if isinstance(value, dict):
        return {k: _whole(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_whole(v) for v in value]
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    return value


def test_sets_and_numbers_of_a_table_become_lines() -> None:
    item = {
        "binaries": {"BS": [b"\x00\xff", b"a"]},
        "numbers": {"NS": ["1", "2.50", "1E+2"]},
        "texts": {"SS": ["x"]},
        "binary": {"B": b"\xff"},
        "whole": {"N": "7"},
        "nothing": {"NULL": True},
        "deep": {"L": [{"M": {"b": {"B": b"\xff"}}}]},
    }
    values = from_item(item)
    assert values["numbers"] == {1, Decimal("2.50"), 100}
    assert not any(isinstance(v, Binary) for v in values["binaries"])
    said = json.loads(to_line(values))
    assert {base64.b64decode(v) for v in said["binaries"]} == {b"\x00\xff", b"a"}
    assert said["whole"] == 7
    assert said["nothing"] is None
    assert said["deep"] == [{"b": "/w=="}]


def test_nothing_is_left_out_and_not_stored_as_null() -> None:
    assert to_item({"a": None, "b": "", "c": 0, "d": False}) == {
        "b": {"S": ""},
        "c": {"N": "0"},
        "d": {"BOOL": False},
    }


@given(st.lists(st.dictionaries(st.text(), st.none() | st.floats() | st.integers() | st.text()), max_size=5))
def test_the_text_of_a_line_is_what_was_written(records: list[dict[str, Any]]) -> None:
    lines = [to_line(record) for record in records]
    told = list(with_text(b"".join(lines)))
    assert [text.encode() + b"\n" for _, text in told] == lines
    assert [to_line(record) for record, _ in told] == lines
