"""A phone number is proven by a text message, where the deployment sends any; else it is only compared."""

import json
import re
from collections.abc import Iterator

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from dsr import aws
from dsr.boundary import StepFailed
from dsr.case import Proof, Requester, State
from tests.unit.front import FORM, REGION, Browser, Front, code_in, front_door_open

NUMBER = "+447700900123"
TYPED = {"phone": "07700 900123", "country": "GB"}


@pytest.fixture
def front() -> Iterator[Front]:
    with front_door_open(TEXT_MESSAGES="true") as opened:
        yield opened


def texts() -> list[tuple[str, str]]:
    """The text messages sent so far: to whom, and what."""
    return list(sns_backends[DEFAULT_ACCOUNT_ID][REGION].sms_messages.values())


def code_of(text: str) -> str:
    found = re.search(r": (\d{4} \d{4}) is your code", text)
    assert found, text
    return found[1]


def mailbox_proven(front: Front, browser: Browser, **form: str) -> str:
    case_id = front.submit(browser, **TYPED, **form)
    front.notice(case_id, "code")
    assert browser.post(f"/requests/{case_id}/confirm", {"code": code_in(front.mails()[0])}).status == 303
    front.run_calls()
    return case_id


def test_the_number_is_proven_by_the_code_texted_to_it_after_the_mailbox(front: Front) -> None:
    browser = front.browser()
    page = browser.post("/requests/check", FORM | TYPED)
    assert f"we send another by text message to {NUMBER}" in page.text
    case_id = front.submit(browser, **TYPED)
    front.notice(case_id, "code")
    case = front.book.get(case_id)
    assert front.book.requester(case).contacts == ("Ada@example.com", NUMBER)
    assert front.book.requester(case).claims == {"phone": "07700 900123"}
    page = browser.get(f"/requests/{case_id}")
    assert f"Then we send another code by text message to {NUMBER}" in page.text
    assert page.body.count('name="code"') == 1
    # Nobody gets a text at the word of who has not proven a mailbox.
    browser.post(f"/requests/{case_id}/code", {"contact": "1"})
    front.run_calls()
    assert front.notice(case_id, "code")["sent"] == 1
    assert texts() == []
    sent = front.mails()[-1]
    browser.post(f"/requests/{case_id}/confirm", {"code": code_in(sent)})
    front.run_calls()
    [(number, text)] = texts()
    assert number == NUMBER
    assert text.startswith("CraftZone: ")
    assert not any(said in text for said in (case_id, "Ada", NUMBER, "http"))
    page = browser.get(f"/requests/{case_id}")
    assert "Confirm your phone number" in page.text
    assert f"Code sent to {NUMBER}" in page.text
    assert "Go on without this number" in page.text
    assert "No mail?" not in page.text
    page = browser.post(f"/requests/{case_id}/confirm", {"code": "1111 2222", "contact": "1"})
    assert (page.status, "This code does not work" in page.text) == (422, True)
    browser.post(f"/requests/{case_id}/confirm", {"code": code_of(text), "contact": "1"})
    case = front.book.get(case_id)
    assert (case.state, case.contacts) == (State.RESOLVING, (Proof.CONFIRMED, Proof.CONFIRMED))
    proofs = [e.about["proof"] for e in front.book.events(case_id) if e.name == "contact_confirmed"]
    assert proofs == ["mailbox", "phone"]
    stored = json.dumps(front.tables(), default=str)
    assert NUMBER not in stored
    assert "7700" not in stored


def test_without_a_text_they_go_on_without_the_number(front: Front) -> None:
    browser = front.browser()
    case_id = mailbox_proven(front, browser)
    assert front.book.get(case_id).state is State.AWAITING_IDENTITY
    browser.post(f"/requests/{case_id}/skip", {"contact": "1"})
    case = front.book.get(case_id)
    assert (case.state, case.contacts) == (State.RESOLVING, (Proof.CONFIRMED, Proof.SKIPPED))
    assert front.notice(case_id, "code", 1)["sent"] == 0


def test_the_code_of_a_number_opens_nothing_elsewhere(front: Front) -> None:
    case_id = mailbox_proven(front, front.browser())
    [(_, text)] = texts()
    other = front.browser("198.51.100.9")
    page = other.post(f"/requests/{case_id}/confirm", {"code": code_of(text), "contact": "1"})
    assert (page.status, other.jar) == (422, {})
    assert front.book.get(case_id).contacts == (Proof.CONFIRMED, Proof.PENDING)


def test_the_page_of_who_only_sent_the_form_does_not_tell_that_the_mailbox_was_proven(front: Front) -> None:
    browser, owner = front.browser(), front.browser("198.51.100.9")
    case_id = front.submit(browser, **TYPED)
    front.notice(case_id, "code")
    before = browser.get(f"/requests/{case_id}").text
    [mail] = front.mails()
    owner.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)})
    assert f"Code sent to {NUMBER}" in owner.get(f"/requests/{case_id}").text
    after = browser.get(f"/requests/{case_id}").text
    assert after == before.replace(before[before.index("Withdraw this") : before.index("Questions?")], "")


def test_coming_back_with_a_code_texts_no_second_one(front: Front) -> None:
    case_id = mailbox_proven(front, front.browser())
    back = front.browser("198.51.100.9")
    back.post(f"/requests/{case_id}/code")
    front.run_calls()
    back.post(f"/requests/{case_id}/confirm", {"code": code_in(front.mails()[-1])})
    front.run_calls()
    assert len(texts()) == 1
    assert f"Code sent to {NUMBER}" in back.get(f"/requests/{case_id}").text


@pytest.mark.parametrize("typed", [{"phone": "07700 900123"}, {"phone": "12", "country": "GB"}])
def test_a_number_that_cannot_be_texted_is_told_at_its_field(front: Front, typed: dict[str, str]) -> None:
    page = front.browser().post("/requests/check", FORM | typed)
    assert page.status == 422
    told = (
        "Enter the phone number with + and the code of its country"
        if len(typed) == 1
        else "phone number with"
    )
    assert page.text.count(told) == 2  # in the summary, and at the field
    assert 'href="#phone"' in page.body
    assert f'value="{typed["phone"]}"' in page.body


def test_where_no_texts_are_sent_the_number_is_compared_and_nothing_says_otherwise() -> None:
    with front_door_open() as front:
        browser = front.browser()
        case_id = front.submit(browser, phone="0770 123", country="GB")
        case = front.book.get(case_id)
        assert case.contacts == (Proof.PENDING,)
        assert front.book.requester(case).claims == {"phone": "0770 123"}
        form = browser.get("/")
        pages = [form, browser.post("/requests/check", FORM | TYPED), browser.get(f"/requests/{case_id}")]
        assert not any("text message" in page.text for page in pages)
        assert form.body.count('name="phone"') == 1
        # Nor is one sent for a case that began while there were some.
        sealed = front.book.seal_requester(case, Requester(("Ada@example.com", NUMBER)))
        front.put(case_id, sealed=sealed, contacts=(Proof.CONFIRMED, Proof.PENDING))
        assert front.notice(case_id, "code", 1)["sent"] == 0
        assert texts() == []


def test_the_form_asks_for_the_number_once(front: Front) -> None:
    page = front.browser().get("/")
    assert page.body.count('name="phone"') == 1
    assert "We send a code to it by text message" in page.text


def test_a_number_gets_few_codes_a_day_and_the_answer_is_the_same() -> None:
    with front_door_open(TEXT_MESSAGES="true", THROTTLE_TEXTS="2") as front:
        browser = front.browser()
        case_id = mailbox_proven(front, browser)
        answers = set()
        for _ in range(3):
            page = browser.post(f"/requests/{case_id}/code", {"contact": "1"})
            front.run_calls()
            answers.add((page.status, page.location))
        assert len(answers) == 1
        assert len(texts()) == 2
        # Whoever asks for it, under whatever address.
        again = mailbox_proven(front, front.browser("198.51.100.9"), email="eve@example.com")
        assert front.notice(again, "code", 1)["sent"] == 0
        assert len(texts()) == 2


def test_one_network_address_names_few_numbers_an_hour() -> None:
    with front_door_open(TEXT_MESSAGES="true", THROTTLE_TEXTS="2") as front:
        answers = [front.browser().post("/requests", FORM | TYPED).status for _ in range(3)]
        assert answers == [303, 303, 429]
        assert front.browser().post("/requests", FORM).status == 303
        assert front.browser("198.51.100.9").post("/requests", FORM | TYPED).status == 303


def test_all_numbers_together_get_no_more_than_the_deployment_wants() -> None:
    with front_door_open(TEXT_MESSAGES="true", MOST_TEXTS="1") as front:
        mailbox_proven(front, front.browser())
        case_id = front.submit(front.browser(), phone="+49 151 23456789")
        front.put(case_id, contacts=(Proof.CONFIRMED, Proof.PENDING))
        assert front.notice(case_id, "code", 1)["sent"] == 0
        assert [number for number, _ in texts()] == [NUMBER]


def test_a_number_that_sns_refuses_is_no_failure_and_another_fault_is_tried_again(front: Front) -> None:
    case_id = mailbox_proven(front, front.browser())
    sns = aws.client("sns")
    said = {"Error": {"Code": "InvalidParameter", "Message": f"Invalid parameter: {NUMBER}"}}
    for error, sent in (
        (sns.exceptions.InvalidParameterException(said, "Publish"), 0),
        (sns.exceptions.InternalErrorException(said, "Publish"), None),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sns, "publish", lambda error=error, **_: (_ for _ in ()).throw(error))
            if sent is None:
                with pytest.raises(StepFailed) as failed:
                    front.notice(case_id, "code", 1)
                assert NUMBER not in str(failed.value)
            else:
                assert front.notice(case_id, "code", 1)["sent"] == sent


def test_a_deletion_to_come_is_mailed_not_texted(front: Front) -> None:
    browser = front.browser()
    case_id = mailbox_proven(front, browser, right="deletion")
    [(_, text)] = texts()
    browser.post(f"/requests/{case_id}/confirm", {"code": code_of(text), "contact": "1"})
    front.put(case_id, state=State.COOLING_OFF, plan={})
    front.mails()
    assert front.notice(case_id, "cooling_off")["sent"] == 1
    assert [mail["to"] for mail in front.mails()] == ["Ada@example.com"]
    assert len(texts()) == 1
