"""Mails: their words, and that each is sent when it must be and no more often."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from unittest import mock

import pytest

from dsr import aws
from dsr.boundary import StepFailed
from dsr.case import MOVES, STEPS, Proof, Right, State
from dsr.errors import Conflict
from dsr.notices import mails
from dsr.notices.refusals import REFUSALS
from tests.unit.front import PUBLIC_URL, Front, code_in, front_door_open, link_in

FACTS = mails.Facts(
    company="CraftZone",
    contact="privacy@craftzone.example",
    complaint="the authority",
    case_id="K7Q2-9FXM-3TWD-5BHP",
    right=Right.ACCESS,
    page=f"{PUBLIC_URL}/requests/K7Q2-9FXM-3TWD-5BHP",
    due_at=datetime(2026, 12, 4, tzinfo=UTC),
    expires_at=datetime(2026, 12, 6, tzinfo=UTC),
)
LINK = f"{PUBLIC_URL}/confirm/abc"
CODED = [kind(FACTS, "1234 5678", LINK) for kind in (mails.confirm, mails.confirm_further, mails.show)]
PLAIN = [kind(FACTS) for kind in mails.ONCE.values()]


@pytest.fixture
def front() -> Iterator[Front]:
    with front_door_open() as opened:
        yield opened


@pytest.mark.parametrize("mail", CODED + PLAIN, ids=lambda m: m.subject)
def test_every_mail_says_who_writes_and_about_what_and_nothing_personal_in_its_subject(
    mail: mails.Mail,
) -> None:
    assert mail.subject.startswith("CraftZone: ")
    assert "\n" not in mail.subject
    assert not any(c.isdigit() for c in mail.subject)
    for text in (mail.text, mail.html):
        assert "K7Q2-9FXM-3TWD-5BHP" in text
        assert "privacy@craftzone.example" in text
    assert "<script" not in mail.html
    assert "http-equiv" not in mail.html
    assert "<img" not in mail.html


@pytest.mark.parametrize("mail", CODED, ids=lambda m: m.subject)
def test_code_and_link_stand_on_lines_of_their_own(mail: mails.Mail) -> None:
    lines = mail.text.splitlines()
    assert lines.count("1234 5678") == 1
    assert lines.count(LINK) == 1
    assert "15 minutes" in mail.text


def test_words_of_the_company_are_escaped() -> None:
    facts = replace(FACTS, company="A<b> & Co", complaint="<i>us</i>")
    mail = mails.refused(facts)
    assert escape("A<b> & Co") in mail.html
    assert "<b>" not in mail.html
    assert "<i>" not in mail.html


def test_dates_and_gaps_are_told() -> None:
    assert "6 December 2026" in mails.ready(FACTS).text
    assert "Some places could not be searched" in mails.ready(replace(FACTS, in_part=True)).text
    assert "We remove it on 6 December 2026" in mails.last_days(FACTS).text
    assert "4 December 2026" in mails.needs_person(FACTS).text
    for word, sentence in REFUSALS.items():
        assert sentence in mails.refused(replace(FACTS, reason=word)).text
    assert "deletion of the data" in mails.confirm(replace(FACTS, right=Right.DELETION), "1", "2").text


def test_each_state_that_is_announced_has_its_mail() -> None:
    announced = {state.value for state, step in STEPS.items() if step == "announce"}
    assert announced <= mails.ONCE.keys()


def test_the_first_code_moves_the_case_and_a_retry_sends_another(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser, other_emails="two@example.com")
    assert front.notice(case_id, "code") == {"outcome": "done", "sent": 2}
    assert front.notice(case_id, "code") == {"outcome": "done", "sent": 2}
    sent = front.mails()
    assert [m["to"] for m in sent] == ["Ada@example.com", "two@example.com"] * 2
    assert [m["subject"] for m in sent[:2]] == [
        "CraftZone: confirm your request",
        "CraftZone: confirm this address",
    ]
    assert [e.name for e in front.book.events(case_id)] == ["received", "code_sent"]
    # Only the newest code counts.
    assert browser.post(f"/requests/{case_id}/confirm", {"code": code_in(sent[0])}).status == 422
    assert link_in(sent[2]).startswith("/confirm/")


def test_codes_go_only_where_something_is_to_be_proven(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser, other_emails="")
    assert front.notice(case_id, "code") == {"outcome": "done", "sent": 0}
    assert front.notice(case_id, "code", 1) == {"outcome": "done", "sent": 0}
    assert front.notice(case_id, "code", 0)["sent"] == 1
    assert front.notice(case_id, "download_code")["sent"] == 1
    assert {m["subject"] for m in front.mails()} == {"CraftZone: your code"}
    front.put(case_id, contacts=(Proof.CONFIRMED, Proof.SKIPPED), state=State.AWAITING_IDENTITY)
    assert front.notice(case_id, "code", 1)["sent"] == 0


def test_a_code_that_came_back_before_the_case_was_moved(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser)
    notices = front.notices._notices()
    with mock.patch.object(type(notices), "_await_identity"):
        front.notice(case_id, "code")
    [mail] = front.mails()
    assert front.book.get(case_id).state is State.RECEIVED
    assert browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)}).status == 303
    assert front.book.get(case_id).state is State.RESOLVING
    assert front.notice(case_id, "code")["sent"] == 0
    assert front.book.get(case_id).state is State.RESOLVING


@pytest.mark.parametrize("notice", mails.ONCE)
def test_every_other_notice_is_sent_once(front: Front, notice: str) -> None:
    case_id = front.submit(front.browser())
    if notice in MOVES:
        front.put(case_id, state=State(notice), contacts=(Proof.CONFIRMED,))
    assert front.notice(case_id, notice) == {"outcome": "done", "sent": 1}
    assert front.notice(case_id, notice) == {"outcome": "done", "sent": 0}
    assert [m["to"] for m in front.mails()] == ["Ada@example.com"]
    assert front.book.get(case_id).notices == (notice,)
    event = front.book.events(case_id)[-1]
    assert (event.name, event.about) == ("notice_sent", {"notice": notice, "outcome": "sent"})


def test_a_notice_whose_record_meets_another_writer_is_recorded_once(front: Front) -> None:
    case_id = front.submit(front.browser())
    real, calls = type(front.book).move, []

    def move(self: object, *rest: object, **more: object) -> object:
        calls.append(1)
        if len(calls) < 3:
            raise Conflict("somebody was first")
        return real(self, *rest, **more)  # type: ignore[arg-type]

    with mock.patch.object(type(front.book), "move", move):
        front.notice(case_id, "ready")
    assert front.book.get(case_id).notices == ("ready",)
    assert len(front.mails()) == 1


def test_a_mail_that_cannot_be_sent_now_is_tried_again_and_one_that_never_can_is_recorded(
    front: Front,
) -> None:
    case_id = front.submit(front.browser())
    with (
        mock.patch.object(front.mailbox, "send_email", side_effect=ConnectionError("to ada@example.com")),
        pytest.raises(StepFailed) as failed,
    ):
        front.notice(case_id, "ready")
    assert "ada" not in str(failed.value)
    assert front.book.get(case_id).notices == ()
    front.mailbox.refuses = True
    assert front.notice(case_id, "ready") == {"outcome": "done", "sent": 0}
    assert front.book.get(case_id).notices == ("ready",)
    assert front.book.events(case_id)[-1].about["outcome"] == "undeliverable"


def test_after_the_key_is_destroyed_nobody_can_be_written_to_and_the_workflow_goes_on(front: Front) -> None:
    case_id = front.submit(front.browser())
    aws.client("dynamodb").delete_item(TableName="dsr-case-keys", Key={"case_id": {"S": case_id}})
    from dsr import casekey

    casekey._identity.cache_clear()
    assert front.notice(case_id, "code", 0)["sent"] == 0
    assert front.notice(case_id, "expired")["sent"] == 0
    assert front.book.get(case_id).notices == ("expired",)


def test_an_unknown_case_gets_no_mail_and_an_unknown_notice_is_an_error(front: Front) -> None:
    assert front.notice("0000-0000-0000-0000", "code", 0) == {"outcome": "done", "sent": 0}
    with pytest.raises(StepFailed, match="ValueError"):
        front.notice("0000-0000-0000-0000", "greetings")
    assert front.mails() == []


def test_a_domain_in_other_letters_is_written_to_in_ascii(front: Front) -> None:
    case_id = front.submit(front.browser(), email="ada@bücher.example")
    front.notice(case_id, "code")
    [mail] = front.mails()
    assert mail["to"] == "ada@xn--bcher-kva.example"
