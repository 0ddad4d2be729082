"""Phone numbers: what is typed becomes one form or is refused, and the text message fits into one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr.identity import CODE_SECONDS
from dsr.notices.texts import GSM, ONE_MESSAGE, code_text
from dsr.phones import _countries, kind_of, number_in, to_e164
from dsr.web.forms import countries

LONDON = "+442079460123"


@pytest.mark.parametrize(
    "typed",
    [
        "+44 20 7946 0123",
        " +44 (0)20 7946-0123 ",
        "+44 020 7946 0123",
        "0044 20 7946 0123",
        "+44.20.7946.0123",
        "+44\u00a020\u20117946\u20110123",  # spaces and hyphens of other kinds
        "+٤٤٢٠٧٩٤٦٠١٢٣",  # digits of another script
    ],
)
def test_one_number_has_one_form_however_it_is_typed(typed: str) -> None:
    assert to_e164(typed) == to_e164(typed, "US") == LONDON


@pytest.mark.parametrize(
    ("country", "typed", "number"),
    [
        ("GB", "020 7946 0123", LONDON),
        ("GB", "07700 900123", "+447700900123"),
        ("DE", "0151 23456789", "+4915123456789"),
        ("US", "(312) 555-0142", "+13125550142"),
        ("US", "1 312 555 0142", "+13125550142"),
        ("FR", "06 39 98 01 17", "+33639980117"),
        ("IT", "02 1234 5678", "+390212345678"),  # no prefix there: the nought is part of the number
        ("HU", "06 20 123 4567", "+36201234567"),
        ("RU", "8 912 345-67-89", "+79123456789"),
        ("RU", "800 555 35 35", "+78005553535"),  # its 8 is no prefix
        ("ES", "612 34 56 78", "+34612345678"),
    ],
)
def test_a_number_without_its_country_is_one_of_the_country_that_they_live_in(
    country: str, typed: str, number: str
) -> None:
    assert to_e164(typed, country) == number
    assert to_e164(typed) is None  # nobody guesses which


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            "+",
            "+44",
            "n/a",
            "ada@example.com",
            "+44 20 7946 01",
            "+44 20 7946 012345",
            "112",
            "000000000000",
        ),
        *(
            "+999 1234 5678",
            "+44 20 7946 0123 x12",
            "+44 20 7946 o123",
            "+1234567890123456789",
            "020 7946 0123",
        ),
        "+44 20 7946 0123\n+44 20 7946 0124",
    ],
)
def test_what_is_no_number_is_none(typed: str) -> None:
    assert to_e164(typed, "FR") is None


@given(st.sampled_from(sorted(_countries())), st.text(st.sampled_from("0123456789 -()"), max_size=18))
def test_a_form_is_its_own_form_and_within_what_the_network_takes(country: str, typed: str) -> None:
    number = to_e164(typed, country)
    if number:
        assert number[0] == "+"
        assert number[1:].isdigit()
        assert 7 < len(number) <= 16
        assert to_e164(number) == to_e164(number, "GB") == number


def test_every_country_of_the_form_has_numbers_but_where_nobody_lives() -> None:
    assert countries().keys() - _countries().keys() == {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}
    assert not _countries().keys() - countries().keys()


def test_contacts_are_told_apart() -> None:
    assert kind_of("+44@example.com") == "email"
    assert kind_of(LONDON) == "phone"
    assert number_in(["+44@example.com", LONDON]) == LONDON
    assert number_in(["a@example.com"]) == ""


@given(st.text(max_size=200))
def test_the_text_is_one_message_whatever_the_company_is_called(company: str) -> None:
    text = code_text(company, "privacy@craftzone.example", "1234 5678")
    assert len(text) <= ONE_MESSAGE
    assert set(text) <= GSM
    assert text.find(": 1234 5678 is your code") > 0  # behind a name


@pytest.mark.parametrize(
    ("company", "named"),
    [
        ("CraftZone", "CraftZone"),
        ("Łódź Café", "odz Café"),
        ("株式会社", "craftzone.example"),
        ("A [b]", "A b"),
    ],
)
def test_the_text_names_who_sends_it_and_what_it_is_for(company: str, named: str) -> None:
    assert code_text(company, "privacy@craftzone.example", "1234 5678") == (
        f"{named}: 1234 5678 is your code to confirm this number for a request about your data. "
        f"It works for {CODE_SECONDS // 60} minutes. Not you? Give it to nobody."
    )
