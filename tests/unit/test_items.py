"""Attribute values: what goes in comes out, in the form that AWS's own library gives it."""

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from dsr.items import attribute, from_item, to_item

WHOLE = st.integers(-(10**37), 10**37)
NUMBERS = WHOLE | st.builds(lambda n, places: Decimal(n).scaleb(-places), WHOLE, st.integers(0, 60))
SETS = st.sets(WHOLE, min_size=1) | st.sets(st.text(), min_size=1) | st.sets(st.binary(), min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | st.binary() | SETS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(VALUES)
def test_values_are_written_as_by_awss_own_library(value: Any) -> None:
    assert _ordered(attribute(value)) == _ordered(TypeSerializer().serialize(value))


@given(st.dictionaries(st.text(), VALUES.filter(lambda value: value is not None)))
def test_what_goes_in_comes_out(values: dict[str, Any]) -> None:
    assert from_item(to_item(values)) == values


@pytest.mark.parametrize("text", ["0", "-0", "1E+2", "1.50", "-7", "12345678901234567890123456789012345678"])
def test_numbers_keep_their_value_and_whole_ones_are_int(text: str) -> None:
    read = from_item({"n": {"N": text}})["n"]
    assert read == TypeDeserializer().deserialize({"N": text})
    assert isinstance(read, int) is (text != "1.50")


@pytest.mark.parametrize(
    "value",
    [1.5, Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity"), set(), {1, "1"}, {(1, 2)}, object()],
)
def test_what_dynamodb_does_not_have_is_refused_without_being_quoted(value: Any) -> None:
    with pytest.raises(TypeError) as refused:
        to_item({"x": value})
    assert repr(value) not in str(refused.value)


@pytest.mark.parametrize("number", [10**38 + 1, Decimal("1e127"), Decimal("0e-200")])
def test_a_number_that_would_be_rounded_is_refused(number: int | Decimal) -> None:
    with pytest.raises(ArithmeticError):
        to_item({"x": number})


def _ordered(held: Any) -> Any:
    """The attribute value with sets in one order."""
    if isinstance(held, dict):
        return {
            k: sorted(v) if k in ("NS", "SS", "BS") and isinstance(v, list) else _ordered(v)
            for k, v in held.items()
        }
    return [_ordered(inner) for inner in held] if isinstance(held, list) else held
