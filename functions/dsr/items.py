"""Python values to and from DynamoDB's attribute values; one place, so that types survive both ways."""

from collections.abc import Callable
from decimal import Clamped, Context, Decimal, Inexact, Overflow, Rounded, Underflow
from typing import Any

# DynamoDB holds 38 digits and exponents from -128 to 126; what does not fit is refused, not rounded.
_NUMBERS = Context(Emin=-128, Emax=126, prec=38, traps=[Clamped, Inexact, Overflow, Rounded, Underflow])


def to_item(values: dict[str, Any]) -> dict[str, Any]:
    """A DynamoDB item of `values`; None is left out."""
    return {name: attribute(value) for name, value in values.items() if value is not None}


def from_item(item: dict[str, Any]) -> dict[str, Any]:
    """The values of a DynamoDB item: whole numbers as int, others as Decimal, binaries as bytes."""
    return {name: _value(held) for name, held in item.items()}


def attribute(value: Any) -> dict[str, Any]:
    """The attribute value of a Python value. Raises TypeError for a type that DynamoDB does not have.

    A float is one: it would become a number that is not quite it. An empty set is another.
    """
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, (int, Decimal)):
        return {"N": _number(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, (bytes, bytearray)):
        return {"B": bytes(value)}
    if isinstance(value, dict):
        return {"M": {name: attribute(held) for name, held in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"L": [attribute(held) for held in value]}
    if isinstance(value, (set, frozenset)) and value:
        kinds = {kind for held in value for kind in attribute(held)}
        if len(kinds) == 1 and kinds <= {"N", "S", "B"}:
            [kind] = kinds
            return {f"{kind}S": [attribute(held)[kind] for held in value]}
    raise TypeError(f"DynamoDB has no type for {type(value).__name__}")


def _number(value: int | Decimal) -> str:
    number = str(_NUMBERS.create_decimal(value))
    if number in ("Infinity", "-Infinity", "NaN"):
        raise TypeError("DynamoDB has no infinite numbers")
    return number


def _value(held: dict[str, Any]) -> Any:
    [(kind, value)] = held.items()
    return _READERS[kind](value)


def _from_number(text: str) -> int | Decimal:
    number = _NUMBERS.create_decimal(text)
    exponent = number.as_tuple().exponent
    return int(number) if isinstance(exponent, int) and exponent >= 0 else number


_READERS: dict[str, Callable[[Any], Any]] = {
    "NULL": lambda _: None,
    "BOOL": bool,
    "N": _from_number,
    "S": str,
    "B": bytes,
    "NS": lambda held: {_from_number(text) for text in held},
    "SS": set,
    "BS": set,
    "M": from_item,
    "L": lambda held: [_value(inner) for inner in held],
}
