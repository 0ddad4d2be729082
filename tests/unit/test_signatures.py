"""Signatures: those of the specification, in time, and nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.errors import Refused
from dsr.signatures import headers, read_secrets, secret_text, sign, verify

SECRET = b"0123456789abcdef01234567"
AT = 1674087231


def signed(body: bytes, at: int = AT, name: str = "q", secret: bytes = SECRET) -> dict[str, str]:
    return headers(name, at, [sign(secret, name, at, body)])


def test_the_example_of_the_specification() -> None:
    """https://github.com/standard-webhooks/standard-webhooks, the libraries' shared test values."""
    [secret] = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    name = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert sign(secret, name, 1614265330, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.binary(min_size=24, max_size=64))
def test_what_was_signed_holds_and_nothing_near_it(body: bytes, secret: bytes) -> None:
    given_headers = signed(body, secret=secret)
    verify(secret, "q", given_headers, body, AT)
    for wrong in (
        lambda: verify(secret, "q", given_headers, body + b" ", AT),
        lambda: verify(secret + b"x", "q", given_headers, body, AT),
        lambda: verify(secret, "r", given_headers, body, AT),
        lambda: verify(secret, "r", {**given_headers, "webhook-id": "r"}, body, AT),
        lambda: verify(secret, "q", {**given_headers, "webhook-timestamp": str(AT + 1)}, body, AT),
        lambda: verify(secret, "q", {}, body, AT),
    ):
        with pytest.raises(Refused):
            wrong()


@pytest.mark.parametrize("late", [-301, 301])
def test_a_message_is_good_for_minutes(late: int) -> None:
    with pytest.raises(Refused, match="seconds off"):
        verify(SECRET, "q", signed(b"x"), b"x", AT + late)
    verify(SECRET, "q", signed(b"x"), b"x", AT + (late // abs(late)) * 300)


@pytest.mark.parametrize("timestamp", ["", "-5", "1e9", "٣", "9" * 13, "soon"])
def test_a_timestamp_is_a_number(timestamp: str) -> None:
    with pytest.raises(Refused, match="not a number"):
        verify(SECRET, "q", {**signed(b"x"), "webhook-timestamp": timestamp}, b"x", AT)


def test_one_of_several_signatures_is_enough_while_a_secret_is_replaced() -> None:
    old, new = b"o" * 24, b"n" * 24
    both = headers("q", AT, [sign(old, "q", AT, b"x"), "v1a,unknown", sign(new, "q", AT, b"x")])
    for secret in (old, new):
        verify(secret, "q", both, b"x", AT)
    assert read_secrets(f"{secret_text(old)}  {secret_text(new)}\n") == [old, new]


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_****", "whsec_" + base64.b64encode(b"x" * 23).decode()]
)
def test_what_is_no_secret_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError):
        read_secrets(text)
