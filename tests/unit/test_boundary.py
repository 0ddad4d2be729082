"""The edge of a workflow function: nothing of a person leaves by an exception or a log line."""

import io
import json
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from dsr.boundary import StepFailed, step
from dsr.errors import StoreFault
from dsr.log import logger

EVENT = {"case_id": "K7Q2-9FXM-3TWD-5BHP", "visit": "1-events", "email": "ada@example.com"}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the logger writes."""
    out = io.StringIO()
    with mock.patch.object(logger.handlers[0], "stream", out):
        yield out


class Quoting(Exception):
    """As databases do it: the value stands in the text, and in the cause."""


def failing(error: Exception) -> Any:
    @step
    def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
        try:
            raise ValueError(f"{event['email']}: invalid")
        except ValueError as cause:
            raise error from cause

    return handler


ERRORS = [
    Quoting("invalid input for type uuid: 'ada@example.com'"),
    ClientError({"Error": {"Code": "ThrottlingException", "Message": "ada@example.com"}}, "Query"),
    StoreFault("malformed_data", "ada@example.com"),
    KeyError("ada@example.com"),
    UnicodeDecodeError("utf-8", b"ada@example.com\xff", 15, 16, "invalid start byte"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_only_the_class_and_the_place_leave(error: Exception, lines: io.StringIO) -> None:
    with pytest.raises(StepFailed) as raised:
        failing(error)(EVENT, None)
    # What Lambda's runtime puts into the log and into the execution's history.
    shown = "".join(traceback.format_exception(raised.value))
    for said in (shown, str(raised.value), lines.getvalue()):
        assert "ada" not in said
        assert "example.com" not in said
    assert type(error).__name__ in str(raised.value)
    assert "test_boundary.py:" in str(raised.value)
    line = json.loads(lines.getvalue())
    assert line["message"] == "step failed"
    assert (line["case_id"], line["visit"]) == (EVENT["case_id"], EVENT["visit"])
    assert line["error"] == type(error).__name__


def test_the_code_of_an_aws_error_is_told_so_that_one_can_act_on_it(
    lines: io.StringIO,
) -> None:
    with pytest.raises(StepFailed):
        failing(ERRORS[1])(EVENT, None)
    assert json.loads(lines.getvalue())["error_code"] == "ThrottlingException"


def test_what_went_well_is_logged_with_its_outcome_alone(lines: io.StringIO) -> None:
    @step
    def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
        return {"outcome": "done", "who": event["email"]}

    assert handler(EVENT, None) == {"outcome": "done", "who": "ada@example.com"}
    line = json.loads(lines.getvalue())
    assert line["message"] == "step done"
    assert line["outcome"] == "done"
    assert "ada" not in json.dumps(line)


@pytest.mark.parametrize("result", [None, [], "text", {"outcome": ["x"]}, {}])
def test_any_result_passes_through(result: Any) -> None:
    assert step(lambda _event, _context: result)({}, None) == result


def test_stopping_the_worker_is_no_failure_of_the_step() -> None:
    @step
    def handler(event: dict[str, Any], _: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        handler({}, None)


@given(st.dictionaries(st.sampled_from(["case_id", "visit", "notice", "name"]), st.integers() | st.emails()))
def test_a_line_never_holds_an_address_whatever_the_event_says(event: dict[str, Any]) -> None:
    out = io.StringIO()
    with mock.patch.object(logger.handlers[0], "stream", out):
        step(lambda _event, _context: None)(event, None)
    assert "@" not in out.getvalue()
    assert out.getvalue()
