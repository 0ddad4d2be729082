"""Settings: read whole at start, each missing one named."""

import os
from dataclasses import dataclass
from unittest import mock

import pytest

from dsr.errors import SettingMissing
from dsr.settings import read


@dataclass(frozen=True)
class Example:
    cases_table: str
    seconds: int
    days: int = 14
    sender: str = "nobody"


def given(**environment: str) -> Example:
    with mock.patch.dict(os.environ, environment, clear=True):
        return read(Example)


def test_each_field_comes_from_the_variable_of_its_name() -> None:
    assert given(CASES_TABLE="t", SECONDS="0030", DAYS="-1", SENDER="s") == Example("t", 30, -1, "s")


def test_what_has_a_default_may_be_left_out_or_empty() -> None:
    assert given(CASES_TABLE="t", SECONDS="1", DAYS="", SENDER="") == Example("t", 1)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SECONDS": "1"}, "CASES_TABLE is not set"),
        ({"CASES_TABLE": "", "SECONDS": "1"}, "CASES_TABLE is not set"),
        ({"CASES_TABLE": "t"}, "SECONDS is not set"),
        ({"CASES_TABLE": "t", "SECONDS": "1.5"}, "SECONDS is no whole number"),
        ({"CASES_TABLE": "t", "SECONDS": "1", "DAYS": "x"}, "DAYS is no whole number"),
        ({"cases_table": "t", "SECONDS": "1"}, "CASES_TABLE is not set"),
    ],
)
def test_a_missing_or_malformed_one_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingMissing, match=named):
        given(**environment)


def test_a_malformed_value_is_not_quoted() -> None:
    with pytest.raises(SettingMissing) as error:
        given(CASES_TABLE="t", SECONDS="secret")
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__
