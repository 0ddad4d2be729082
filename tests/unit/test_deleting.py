"""A deletion as its requester lives it, through the real handler: plan, progress, certificate, mails."""

import base64
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest

from dsr import aws, casekey
from dsr.canonical import digest
from dsr.case import Proof, Requester, State, next_step
from dsr.casebook import Visit, now
from dsr.certificate import certificate_of, verify
from dsr.datamap.plan import Collection, Field, Plan, Store, Way
from dsr.holdbook import Holdbook
from dsr.holds import Hold, Scope, new_hold_id
from dsr.identity import Level
from dsr.notices import mails
from dsr.plan_in_words import Copy, counted, hours, in_words, locator, period
from dsr.planning import plan_of
from dsr.requests import Requests
from dsr.signing import SignatureError
from dsr.signing_key import sign
from dsr.subjects import Subjects
from dsr.web import forms
from dsr.windows import Window
from dsr_cli.main import main
from tests.unit import world
from tests.unit.front import Browser, Front, a_plan, code_in, front_door_open

PLAN: dict[str, dict[str, Any]] = {
    "members.members": {"title": "Your account", "records": 1, "treatment": "delete"},
    "support.messages": {"title": "Messages with support", "records": 1200, "treatment": "delete"},
    "support.tickets": {
        "title": "What you asked us", "records": 3, "treatment": "detach", "fields": ["email", "how_called"],
    },
    "rewards.rewards": {
        "title": "Rewards sent to you", "records": 2, "treatment": "keep", "until": "2033-12-04",
        "reason": "invoices are kept for tax", "law": "GDPR Art. 17(3)(b)",
    },
}  # fmt: skip
ELEVEN_MINUTES = 660
SCHEMA = Path("docs/certificate.schema.json")


@pytest.fixture
def front() -> Iterator[Front]:
    with front_door_open() as opened:
        yield opened


def planned(front: Front, browser: Browser, **changes: Any) -> str:
    """A deletion whose plan waits for its requester, who has just proved their mailbox."""
    case_id = front.proven(browser, right="deletion")
    until = now() + timedelta(days=14)
    at = {"state": State.AWAITING_CONFIRMATION, "plan": PLAN, "expires_at": until, "token": "the-task"}
    front.put(case_id, **{**at, **changes})
    return case_id


def sign_in(front: Front, browser: Browser, case_id: str, account: str) -> None:
    """As after the company's sign-in page."""
    door = front.public._pages().frame.door
    session = door.session(browser.jar["__Host-dsr"])
    mac = door.mac("account", account)
    browser.jar["__Host-dsr"] = door.raise_session(session, case_id, Level.ACCOUNT, mac)


def of_account(front: Front, case_id: str, account: str) -> dict[str, Any]:
    """The fields of a case that rests on an account."""
    case = front.book.get(case_id)
    sealed = front.book.seal_requester(case, Requester(("Ada@example.com",), account=account))
    return {"signed_in_at": now(), "sealed": sealed}


def wants_copy(front: Front, case_id: str, state: State = State.READY) -> str:
    """Another case, for a copy, of the same person."""
    copy = front.submit(front.browser())
    front.put(copy, state=state, subject="somebody")
    front.put(case_id, subject="somebody")
    Subjects(front.book).register("somebody", front.book.get(copy))
    return copy


def confirm(browser: Browser, case_id: str, **form: str) -> Any:
    return browser.post(f"/requests/{case_id}/confirm-deletion", {"sure": "yes"} | form)


# -- the plan -----------------------------------------------------------------------------------


def test_the_plan_says_what_goes_what_stays_and_why(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    text = browser.get(f"/requests/{case_id}").text
    assert "Nothing is deleted yet" in text
    assert "What we delete Your account 1 record Messages with support 1,200 records" in text
    assert "What you asked us 3 records Other people share these." in text
    assert "We remove your email address and how called from them." in text
    assert (
        "Rewards sent to you 2 records Kept until 4 December 2033 , since invoices are kept for tax "
        "(GDPR Art. 17(3)(b))." in text
    )
    assert "You have 3 days to cancel" in text
    assert "First your account is closed" in text
    assert "cannot be stopped or undone" in text
    assert "If you do nothing until" in text
    assert "Delete without waiting" not in text


def test_a_plan_without_sign_in_shared_records_or_exceptions_says_nothing_of_them(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, plan={"support.messages": PLAN["support.messages"]}, expires_at=None)
    text = browser.get(f"/requests/{case_id}").text
    for words in ("What stays", "What we must keep", "your account is closed", "do nothing until"):
        assert words not in text


def test_confirming_takes_a_tick_and_a_button_and_starts_the_time_for_second_thoughts(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    page = browser.post(f"/requests/{case_id}/confirm-deletion")
    assert page.status == 422
    assert page.text.count(forms.WORDS["sure_missing"]) == 2
    assert '<a href="#sure">' in page.body
    assert front.book.get(case_id).state is State.AWAITING_CONFIRMATION
    page = confirm(browser, case_id)
    assert page.location == f"/prod/requests/{case_id}"
    case = front.book.get(case_id)
    assert (case.state, case.waived, case.token) == (State.COOLING_OFF, False, "")
    assert case.confirmed_at
    assert case.expires_at == case.confirmed_at + timedelta(hours=72)
    assert abs(case.confirmed_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert front.states.woken == ["the-task"]
    event = front.book.events(case_id)[-1]
    assert (event.name, event.actor, event.about) == (
        "deletion_confirmed", "requester", {"proof": "mailbox", "plan": digest(PLAN)},
    )  # fmt: skip
    text = browser.follow(page).text
    assert f"{case.expires_at:%H:%M} UTC" in text
    assert "Cancel the deletion" in text
    # Pressed again, reloaded, sent from another tab: nothing more happens.
    assert confirm(browser, case_id).location == page.location
    assert front.book.get(case_id) == case


def test_without_time_for_second_thoughts_it_begins_at_once() -> None:
    with front_door_open(COOLING_HOURS="0") as front:
        browser = front.browser()
        case_id = planned(front, browser)
        assert "The deletion begins at once" in browser.get(f"/requests/{case_id}").text
        text = browser.follow(confirm(browser, case_id)).text
        case = front.book.get(case_id)
        assert case.expires_at == case.confirmed_at
        assert "begins any moment now" in text


def test_a_proof_from_a_while_ago_shows_the_plan_but_confirms_nothing(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    with mock.patch("time.time", return_value=time.time() + ELEVEN_MINUTES):
        page = browser.get(f"/requests/{case_id}")
        assert "Your account 1 record" in page.text
        assert "confirm-deletion" not in page.body
        for form in ({"sure": "yes"}, {}):
            answer = browser.post(f"/requests/{case_id}/confirm-deletion", form)
            assert answer.location == f"/prod/requests/{case_id}"
        assert front.book.get(case_id).state is State.AWAITING_CONFIRMATION
        page = browser.post(f"/requests/{case_id}/confirm", {"code": "0000 0000"})
        assert (page.status, page.text.count(forms.WORDS["code_wrong"])) == (422, 2)
        assert "Check what we will delete" in page.text
        browser.post(f"/requests/{case_id}/code")
        front.run_calls()
        [mail] = front.mails()
        page = browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)})
        assert "confirm-deletion" in browser.follow(page).body
        confirm(browser, case_id)
    assert front.book.get(case_id).state is State.COOLING_OFF


def test_the_plan_of_an_account_is_shown_and_confirmed_by_its_sign_in_alone(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    front.put(case_id, **of_account(front, case_id, "sub-1"))
    for account in ("", "sub-2"):
        if account:
            sign_in(front, browser, case_id, account)
        page = browser.get(f"/requests/{case_id}")
        assert "Your account 1 record" not in page.text
        assert f'action="/prod/requests/{case_id}/sign-in"' in page.body
        assert "https://login.example" in page.headers["Content-Security-Policy"]
        confirm(browser, case_id)
        assert front.book.get(case_id).state is State.AWAITING_CONFIRMATION
    owner = front.browser()
    owner.jar = dict(browser.jar)
    sign_in(front, owner, case_id, "sub-1")
    assert "Your account 1 record" in owner.get(f"/requests/{case_id}").text
    with mock.patch("time.time", return_value=time.time() + ELEVEN_MINUTES):
        page = owner.get(f"/requests/{case_id}")
        assert "Your account 1 record" in page.text
        assert "confirm-deletion" not in page.body
        confirm(owner, case_id)
        assert front.book.get(case_id).state is State.AWAITING_CONFIRMATION
    confirm(owner, case_id)
    assert front.book.get(case_id).state is State.COOLING_OFF
    assert front.book.events(case_id)[-1].about == {"proof": "account", "plan": digest(PLAN)}


def test_who_only_sent_the_form_and_who_proved_nothing_can_do_nothing(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser, right="deletion")
    for state in (State.AWAITING_CONFIRMATION, State.COOLING_OFF, State.ERASED):
        front.put(case_id, state=state, plan=PLAN, contacts=(Proof.CONFIRMED,), certificate="k")
        for one in (browser, front.browser()):
            assert "Your account" not in one.get(f"/requests/{case_id}").text
            assert confirm(one, case_id, waive="yes").location == f"/prod/requests/{case_id}"
            assert one.post(f"/requests/{case_id}/withdraw").status == 303
            assert one.get(f"/requests/{case_id}/certificate").location == f"/prod/requests/{case_id}"
        assert front.book.get(case_id).state is state


def test_nothing_is_confirmed_in_another_state(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    for state in State:
        if state not in (State.AWAITING_CONFIRMATION, State.COOLING_OFF):
            front.put(case_id, state=state)
            before = front.book.get(case_id)
            assert confirm(browser, case_id, waive="yes").status == 303
            assert front.book.get(case_id) == before


def test_a_confirmation_while_others_write_gets_through_once(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    real, clashes = type(front.book).move, []

    def move(self: Any, case: Any, *rest: Any, **more: Any) -> Any:
        if len(clashes) < 3:
            clashes.append(1)
            front.put(case_id, token=f"token-{len(clashes)}")
        return real(self, case, *rest, **more)

    with mock.patch.object(type(front.book), "move", move):
        confirm(browser, case_id)
    assert front.book.get(case_id).state is State.COOLING_OFF
    assert front.states.woken == ["token-3"]


# -- second thoughts, and the copy --------------------------------------------------------------


def test_a_deletion_can_be_cancelled_until_it_begins_and_not_after(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    confirm(browser, case_id)
    front.put(case_id, token="second-task")
    text = browser.follow(browser.post(f"/requests/{case_id}/withdraw")).text
    assert "deleted nothing of what we hold about you" in text
    assert front.book.get(case_id).state is State.WITHDRAWN
    assert front.states.woken == ["the-task", "second-task"]
    stuck = {"state": State.NEEDS_ATTENTION, "resume": State.CONFIRMING}
    for changes in (
        {"state": State.ERASING},
        {"state": State.CONFIRMING},
        {"state": State.CERTIFYING},
        stuck,
    ):
        front.put(case_id, **changes)
        page = browser.get(f"/requests/{case_id}")
        assert "Cancel" not in page.text
        assert "/withdraw" not in page.body
        browser.post(f"/requests/{case_id}/withdraw")
        assert front.book.get(case_id).state is changes["state"]
    assert "The deletion stopped in one of the places" in page.text


def test_a_copy_that_is_not_handed_over_is_waited_for_unless_the_person_says_not_to(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    copy = wants_copy(front, case_id)
    page = browser.get(f"/requests/{case_id}")
    assert f"{copy} : ready to download" in page.text
    assert 'name="waive"' in page.body
    confirm(browser, case_id)
    assert front.book.get(case_id).waived is False
    text = browser.get(f"/requests/{case_id}").text
    assert "or later, once you have your copy" in text
    assert f"{copy} : ready to download" in text
    with mock.patch("time.time", return_value=time.time() + ELEVEN_MINUTES):
        browser.post(f"/requests/{case_id}/confirm-deletion", {"waive": "yes"})
        assert front.book.get(case_id).waived is False
        assert "For this we ask you once more who you are" in browser.get(f"/requests/{case_id}").text
    was = front.book.get(case_id)
    browser.post(f"/requests/{case_id}/confirm-deletion", {"waive": "yes"})
    browser.post(f"/requests/{case_id}/confirm-deletion", {"waive": "yes"})
    case = front.book.get(case_id)
    assert (case.waived, case.expires_at, case.version) == (True, was.expires_at, was.version + 1)
    assert "Delete without waiting" not in browser.get(f"/requests/{case_id}").text
    front.put(case_id, waived=False, expires_at=now())
    assert "begins as soon as you have your copy" in browser.get(f"/requests/{case_id}").text
    front.put(copy, state=State.DELIVERED)
    assert "begins any moment now" in browser.get(f"/requests/{case_id}").text


def test_the_copy_can_be_waived_with_the_confirmation(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    wants_copy(front, case_id, State.GATHERING)
    page = browser.post(f"/requests/{case_id}/confirm-deletion", {"waive": "yes"})
    assert page.status == 422
    assert re.search(r'name="waive" value="yes" checked', page.body)
    assert "being collected" in page.text
    confirm(browser, case_id, waive="yes")
    assert front.book.get(case_id).waived is True
    assert front.book.events(case_id)[-1].about == {
        "proof": "mailbox", "decision": "waive", "plan": digest(PLAN),
    }  # fmt: skip


def test_after_a_while_the_page_keeps_to_itself_what_is_held_for_an_account(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    front.put(case_id, state=State.COOLING_OFF, **of_account(front, case_id, "sub-1"))
    page = browser.get(f"/requests/{case_id}")
    assert "Your account" not in page.text
    assert "Cancel the deletion" in page.text  # whoever owns the mailbox may stop it


# -- progress -----------------------------------------------------------------------------------


def test_progress_of_deleting_counts_what_is_gone(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASING)
    page = browser.get(f"/requests/{case_id}")
    assert "Signing in to your account Being disabled" in page.text
    assert page.text.count("Not started") == 2
    assert '<meta http-equiv="refresh" content="5">' in page.body
    front.book.note_visit(case_id, Visit("members", "members", "done"), "freeze@0")
    front.book.note_visit(
        case_id, Visit("support", "support", "continue", {"messages": 400, "tickets": 2}), "erase@0"
    )
    text = browser.get(f"/requests/{case_id}").text
    assert "Signing in to your account Disabled" in text
    assert "What you asked us · Messages with support Under way, 402 of 1,203 records" in text
    assert text.index("What you asked us") < text.index("Your account Not started")
    front.book.note_visit(case_id, Visit("members", "members", "done", {"members": 1}), "erase@0")
    front.book.note_visit(case_id, Visit("support", "support", "needs_attention"), "erase@0")
    text = browser.get(f"/requests/{case_id}?still=1").text
    assert "Your account Done, 1 record " in text
    assert "A person is looking" in text
    assert "Rewards" not in text


def test_progress_of_looking_again_and_of_what_arrived_meanwhile(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.CONFIRMING)
    front.book.note_visit(case_id, Visit("members", "members", "done", {"members": 0}), "gather@1")
    front.book.note_visit(case_id, Visit("support", "support", "done", {"messages": 7}), "gather@1")
    text = browser.get(f"/requests/{case_id}").text
    assert "1 of 2 places show nothing any more" in text
    assert "Your account Nothing left" in text
    assert "Something arrived" in text
    front.put(case_id, state=State.ERASING, round=1)
    text = browser.get(f"/requests/{case_id}").text
    assert "new data arrived" in text
    assert "Messages with support Not started" in text
    assert "What you asked us" not in text


# -- the end ------------------------------------------------------------------------------------


@pytest.fixture
def signing() -> Iterator[None]:
    with world.signing():
        yield


def certified(
    front: Front,
    case_id: str,
    copies: Sequence[Window] = (),
    dates: tuple[datetime | None, datetime | None] = (None, None),
) -> dict[str, Any]:
    """Put a signed certificate where the workflow puts it; returns its content."""
    case = front.book.get(case_id)
    said = certificate_of(case, a_plan(), {"members.members": 1}, now(), copies, dates=dates)
    key = f"certificates/{case_id}/certificate.json"
    signed = sign("certificate", said, os.environ["SIGNING_KEYS"])
    aws.client("s3").put_object(Bucket="dsr-bundles", Key=key, Body=signed)
    front.put(case_id, certificate=key)
    return said


def test_the_certificate_is_handed_out_and_holds_under_the_published_key(front: Front, signing: None) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASED_IN_PART)
    said = certified(front, case_id)
    page = browser.get(f"/requests/{case_id}")
    assert "except for what we must keep" in page.text
    assert "What we deleted Your account 1 record" in page.text
    assert "Kept until 4 December 2033" in page.text
    assert "dsr certificate verify certificate.json --key certificate-key.pem" in page.text
    assert "complain to the data protection authority" in page.text
    assert f'href="/prod/requests/{case_id}/certificate"' in page.body
    file = browser.get(f"/requests/{case_id}/certificate")
    assert file.headers["Content-Type"] == "application/json; charset=utf-8"
    assert file.headers["Content-Disposition"] == 'attachment; filename="certificate.json"'
    assert file.headers["Cache-Control"] == "no-store"
    key = front.browser().get("/.well-known/dsr/certificate-key.pem")
    assert (key.status, key.headers["Content-Type"]) == (200, "application/x-pem-file")
    assert verify(file.body.encode(), key.body.encode()) == said
    with pytest.raises(SignatureError):
        verify(file.body.replace('"found": 1200', '"found": 1').encode(), key.body.encode())
    assert "https://abc123" in page.body  # the key's whole address, to be passed on


def test_it_can_be_printed_and_its_person_gets_the_word_and_the_supplement(
    front: Front, signing: None
) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASED_IN_PART)
    case = front.book.get(case_id)
    at = datetime(2026, 12, 4, tzinfo=UTC)
    certified(front, case_id, [Window("backup", "nightly backup", ("members.members",), at)], (None, at))
    word = base64.b64encode(casekey.seal(case.recipient, b"w0rd")).decode()
    front.put(case_id, secret=word, supplement_at=at)
    page = browser.get(f"/requests/{case_id}")
    assert "show that the certificate is about you" in page.text
    assert "w0rd" in page.text
    assert "On 4 December 2026 the last copy has ended" in page.text
    assert "download the supplement" not in page.text
    printed = browser.get(f"/requests/{case_id}/certificate/print").text
    for said in (
        "Certificate of deletion",
        "Your account 1 record found, 1 record deleted",
        "since invoices are kept for tax (GDPR Art. 17(3)(b))",
        "nightly backup until 4 December 2026",
        "A signed supplement follows on 4 December 2026",
        "may complain to the data protection authority",
    ):
        assert said in printed
    assert "w0rd" not in printed, "the certificate may be shown to others, the word not"
    stranger = front.browser().get(f"/requests/{case_id}/certificate/print")
    assert stranger.status == 303
    key = f"certificates/{case_id}/supplement.json"
    signed = sign("certificate", {"kind": "supplement", "case": case_id}, os.environ["SIGNING_KEYS"])
    aws.client("s3").put_object(Bucket="dsr-bundles", Key=key, Body=signed)
    front.put(case_id, supplement=key, supplement_at=None)
    assert "download the supplement" in browser.get(f"/requests/{case_id}").text
    file = browser.get(f"/requests/{case_id}/supplement")
    assert file.headers["Content-Disposition"] == 'attachment; filename="supplement.json"'
    assert json.loads(file.body)["certificate"]["kind"] == "supplement"
    # While it is looked for once more, the page stays what it was.
    front.put(case_id, state=State.CONFIRMING)
    assert "Your certificate" in browser.get(f"/requests/{case_id}").text


def with_a_recipient() -> Plan:
    """The small map, with newsletters that somebody else sends."""
    plan = a_plan()
    who = {"name": "Letterbird", "role": "processor", "answer_within": "P7D"}
    mailing = Store("mailing", "webhook", "", {}, recipient=who)
    fields = {name: Field("user.unique_id", "account") for name in ("id", "subscriber")}
    ways = (Way("subscriber", parent="members.members.id"),)
    letters = Collection("mailing", "letters", "Newsletters sent to you", ("id",), ways, fields)
    return replace(
        plan,
        stores={**plan.stores, "mailing": mailing},
        collections={**plan.collections, letters.path: letters},
    )


def test_what_somebody_else_was_told_is_not_called_found(
    front: Front, signing: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    browser, plan = front.browser(), with_a_recipient()
    case_id = planned(front, browser, state=State.ERASED)
    planned_ = plan_of(plan, {"members.members": 1, "mailing.letters": 2}, lambda _: iter(()))
    front.put(case_id, plan=planned_)
    said = certificate_of(front.book.get(case_id), plan, {"members.members": 1, "mailing.letters": 7}, now())
    key = f"certificates/{case_id}/certificate.json"
    signed = sign("certificate", said, os.environ["SIGNING_KEYS"])
    jsonschema.validate(json.loads(signed), json.loads(SCHEMA.read_text("utf-8")))
    aws.client("s3").put_object(Bucket="dsr-bundles", Key=key, Body=signed)
    front.put(case_id, certificate=key)
    printed = browser.get(f"/requests/{case_id}/certificate/print").text
    assert "Newsletters sent to you Letterbird was told of 2 numbers to find it by (subscriber)" in printed
    assert "Your account 1 record found, 1 record deleted" in printed
    assert "2 records found" not in printed
    (tmp_path / "key.pem").write_text(browser.get("/.well-known/dsr/certificate-key.pem").body)
    (tmp_path / "certificate.json").write_bytes(signed)
    files = [str(tmp_path / "certificate.json"), "--key", str(tmp_path / "key.pem")]
    assert main(["certificate", "verify", *files]) == 0
    assert "mailing.letters: Letterbird was told of 2 numbers to find it by (subscriber)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("categories", "number", "said"),
    [
        (["user.unique_id"], 1, "1 number"),
        (["user.contact.email"], 2, "2 email addresses"),
        (["user.contact.phone_number"], 2, "2 phone numbers"),
        (["user.contact.email", "user.unique_id"], 3, "3 values"),
        (["user.content.public"], 1, "1 value"),
    ],
)
def test_locators_are_said_in_plain_words(categories: list[str], number: int, said: str) -> None:
    fields = {f"f{n}": Field(category, "account") for n, category in enumerate(categories)}
    ways = tuple(Way(name, parent="a.b.c") for name in fields)
    assert counted(number, locator(Collection("a", "b", "B", ("f0",), ways, fields))) == said


def test_the_key_is_asked_for_once_per_worker(front: Front) -> None:
    from botocore.client import BaseClient

    made: list[str] = []
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: Any, name: str, arguments: Any) -> Any:
        made.append(name)
        return real(self, name, arguments)

    with mock.patch.object(BaseClient, "_make_api_call", call):
        for _ in range(3):
            front.browser().get("/.well-known/dsr/certificate-key.pem")
    assert made == ["GetPublicKey"]


def test_a_certificate_that_is_not_there_is_a_page(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASED)
    assert browser.get(f"/requests/{case_id}/certificate").status == 303
    assert "Your certificate" not in browser.get(f"/requests/{case_id}").text
    front.put(case_id, certificate="certificates/gone")
    assert browser.get(f"/requests/{case_id}/certificate").status == 404
    assert browser.get("/requests/x/certificate").status == 404
    assert browser.post("/requests/x/confirm-deletion").status == 404


def test_the_account_is_gone_and_its_owner_still_gets_to_the_certificate(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASED)
    front.put(case_id, **of_account(front, case_id, "sub-1"))
    certified(front, case_id)
    assert "What we deleted" in browser.get(f"/requests/{case_id}").text
    assert browser.get(f"/requests/{case_id}/certificate").status == 200
    aws.client("dynamodb").delete_item(TableName="dsr-case-keys", Key={"case_id": {"S": case_id}})
    casekey._identity.cache_clear()
    assert browser.get(f"/requests/{case_id}").status == 200


@pytest.mark.parametrize(
    ("right", "changes", "words"),
    [
        ("deletion", {"state": State.CLOSED, "joined": "AAAA"}, "You asked for deletion before"),
        ("access", {"state": State.CLOSED, "joined": "AAAA"}, "there is no copy any more"),
        ("access", {"state": State.CLOSED}, "Your data was ready for you"),
        ("deletion", {"state": State.NOTHING_FOUND}, "There is nothing to delete"),
        ("access", {"state": State.NOTHING_FOUND}, "We found no data about you"),
        ("deletion", {"state": State.EXPIRED, "plan": PLAN}, "You did not confirm the deletion in time"),
        ("deletion", {"state": State.EXPIRED}, "not confirmed in time that the request came from you"),
        ("deletion", {"state": State.GATHERING}, "Nothing is deleted yet"),
    ],
)
def test_other_ends_have_their_own_words(
    front: Front, right: str, changes: dict[str, Any], words: str
) -> None:
    browser = front.browser()
    case_id = front.proven(browser, right=right)
    front.put(case_id, **changes)
    page = browser.get(f"/requests/{case_id}")
    assert words in page.text
    assert ("/requests/AAAA" in page.body) == bool(changes.get("joined"))


def test_a_withdrawal_is_never_offered_to_a_stopped_deletion() -> None:
    case = mock.MagicMock(state=State.NEEDS_ATTENTION, resume=State.ERASING)
    from dsr.requests import may_withdraw

    assert not may_withdraw(case, mock.MagicMock(level=Level.ACCOUNT))
    case.resume = State.GATHERING
    assert may_withdraw(case, mock.MagicMock(level=Level.ACCOUNT))


# -- mails --------------------------------------------------------------------------------------


def test_the_plan_is_announced_without_what_it_says(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    assert front.notice(case_id, "awaiting_confirmation")["sent"] == 1
    [mail] = front.mails()
    assert "confirm what we delete" in mail["subject"]
    assert f"/prod/requests/{case_id}\n" in mail["text"]
    assert "the request ends and nothing is deleted" in mail["text"]
    assert "Your account" not in mail["text"]


def test_a_deletion_to_come_is_told_to_every_address_that_was_confirmed(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser, right="deletion", other_emails="b@example.com\nc@example.com")
    begins = datetime(2026, 12, 6, 14, 5, tzinfo=UTC)
    front.put(
        case_id, state=State.COOLING_OFF, plan=PLAN, expires_at=begins,
        contacts=(Proof.CONFIRMED, Proof.SKIPPED, Proof.CONFIRMED),
    )  # fmt: skip
    copy = wants_copy(front, case_id)
    assert front.notice(case_id, "cooling_off")["sent"] == 2
    sent = front.mails()
    assert [m["to"] for m in sent] == ["Ada@example.com", "c@example.com"]
    for mail in sent:
        assert "6 December 2026 at 14:05 UTC, or later, once you have downloaded the copy" in mail["text"]
        assert f"/prod/requests/{case_id}\n" in mail["text"]
        assert "/confirm/" not in mail["text"]
        assert copy not in mail["text"]
    assert front.notice(case_id, "cooling_off")["sent"] == 0


def test_what_is_kept_is_said_with_its_law_and_end(front: Front) -> None:
    case_id = planned(front, front.browser(), state=State.ERASED_IN_PART)
    front.notice(case_id, "erased_in_part")
    [mail] = front.mails()
    kept = "Rewards sent to you: until 4 December 2033, since invoices are kept for tax (GDPR Art. 17(3)(b))."
    assert kept in mail["text"].split("\n\n")
    assert "Rewards" not in mail["subject"]
    assert "You may also go to court" in mail["text"]
    assert "certificate" in mail["text"]


def test_a_case_of_the_site_without_an_address_is_no_failure(front: Front) -> None:
    case_id = planned(front, front.browser(), channel="site", state=State.COOLING_OFF)
    case = front.book.get(case_id)
    front.put(case_id, contacts=(), sealed=front.book.seal_requester(case, Requester(())))
    for notice in ("cooling_off", "erased", "nothing_found", "joined"):
        assert front.notice(case_id, notice) == {"outcome": "done", "sent": 0}
        assert front.book.events(case_id)[-1].about == {"notice": notice, "outcome": "undeliverable"}
    assert front.notice(case_id, "code", 0)["sent"] == 0


def test_a_case_of_the_site_says_where_it_comes_from(front: Front) -> None:
    case_id = planned(front, front.browser(), channel="site", state=State.COOLING_OFF)
    front.notice(case_id, "cooling_off")
    [mail] = front.mails()
    assert "Your account was deleted on our site" in mail["text"]


def test_the_other_request_is_named(front: Front) -> None:
    for right, words in (("deletion", "that one goes on"), ("access", "no copy any more")):
        case_id = front.proven(front.browser(), right=right)
        front.put(case_id, state=State.CLOSED, joined="AAAA-BBBB-CCCC-DDDD")
        front.notice(case_id, "joined")
        [mail] = front.mails()
        assert words in " ".join(mail["text"].split())
        assert "AAAA-BBBB-CCCC-DDDD" in mail["text"]
        assert "AAAA" not in mail["subject"]


def test_ends_of_a_deletion_are_told_in_its_words(front: Front) -> None:
    for notice, changes, words in (
        ("expired", {"plan": PLAN}, "Nothing was deleted."),
        ("nothing_found", {}, "nothing to delete"),
    ):
        case_id = front.proven(front.browser(), right="deletion")
        front.put(case_id, state=State(notice), **changes)
        front.notice(case_id, notice)
        [mail] = front.mails()
        assert words in mail["text"]


# -- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        ("PT24H", "24 hours"), ("P1D", "1 day"), ("P1Y6M", "1 year and 6 months"), ("P2W", "2 weeks"),
        ("PT1M", "1 minute"), ("P1DT12H", "1 day and 12 hours"), ("", ""),
    ],
)  # fmt: skip
def test_durations_as_people_say_them(duration: str, words: str) -> None:
    assert period(duration) == words


def test_hours_as_people_say_them() -> None:
    assert [hours(n) for n in (0, 1, 24, 36, 72)] == ["0 hours", "1 hour", "1 day", "36 hours", "3 days"]


def test_a_plan_the_map_no_longer_knows_is_told_all_the_same() -> None:
    words = in_words(PLAN)
    assert [g.title for g in words.deleted] == ["Your account", "Messages with support"]
    assert words.stripped[0].details == ("email", "how called")
    assert (words.copies, words.signs_in, words.kept[0].until) == ((), False, date(2033, 12, 4))
    assert in_words({}) == in_words({}, a_plan())
    open_end = in_words({"r.r": PLAN["rewards.rewards"] | {"until": ""}}).kept[0]
    assert "until the law lets us delete it" in open_end.sentence


def test_whom_else_we_tell_is_said_and_what_waits_for_a_run(front: Front) -> None:
    told = {"title": "Parcels", "records": 2, "treatment": "delete", "waits": "task", "told": "the courier"}
    lake = {"title": "Which pages you opened", "records": 7, "treatment": "delete", "waits": "lake_run"}
    plan = PLAN | {"courier.parcels": told, "courier.labels": told | {"title": "Labels"}, "lake.visits": lake}
    browser = front.browser()
    case_id = planned(front, browser, plan=plan)
    text = browser.get(f"/requests/{case_id}").text
    assert "Which pages you opened 7 records In an archive: it goes in the next run over its files" in text
    assert "Whom else we tell They hold data about you too. We ask them to delete it" in text
    assert "what it was. the courier Labels, Parcels" in text
    assert "Parcels 2 records" not in text, "of them we know no number"
    front.put(case_id, state=State.ERASED)
    text = browser.get(f"/requests/{case_id}").text
    assert "Whom else we told They hold data about you too, and we asked them" in text
    assert "what they answered. the courier Labels, Parcels" in text
    assert "In an archive" not in text


def test_what_is_held_is_said_before_it_is_confirmed(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser)
    hold = Hold(
        "ab" * 5, Scope.CASE, case_id, "legal_claim", True, "sub", now(), review=date(2027, 1, 1)
    )  # fmt: skip
    Holdbook(front.book.cases).place(hold)
    text = browser.get(f"/requests/{case_id}").text
    assert (
        "What must wait All of it waits until that is settled, since it is needed for a legal claim" in text
    )


def test_copies_of_what_goes_are_named_and_of_what_stays_are_not() -> None:
    plan = a_plan()
    from dataclasses import replace

    copies = ({"kind": "cdn", "name": "the CDN", "expires": "PT24H"}, {"kind": "stream", "name": "a stream"})
    known = {path: replace(c, copies=copies) for path, c in plan.collections.items()}
    plan = replace(plan, collections=known)
    assert in_words(PLAN, plan).copies == (Copy("the CDN", "24 hours"), Copy("a stream", ""))
    kept = {"members.members": PLAN["members.members"] | {"treatment": "keep", "reason": "r", "law": "l"}}
    assert in_words(kept, plan).copies == ()


def test_every_notice_of_a_state_of_deletion_has_its_mail() -> None:
    for notice in ("awaiting_confirmation", "cooling_off", "erased", "erased_in_part", "joined"):
        assert notice in mails.ONCE


def test_the_certificate_goes_through_the_page_as_it_lies_in_the_bucket(front: Front) -> None:
    key, content = "certificates/x/certificate.json", '{"name": "Zoë"}'
    aws.client("s3").put_object(Bucket="dsr-bundles", Key=key, Body=content.encode())
    requests: Requests = front.public._pages().frame.requests
    assert json.loads(requests.certificate(mock.MagicMock(certificate=key))) == {"name": "Zoë"}


# -- holds --------------------------------------------------------------------------------------------


def hold(target: str, **more: Any) -> None:
    """A hold on the collection until the end of 2033."""
    placed = Hold(
        new_hold_id(), Scope.COLLECTION, target, "authority", True, "sub-1", now(), until=date(2033, 12, 31)
    )
    Holdbook(os.environ["CASES_TABLE"]).place(replace(placed, **more))


def test_who_asked_reads_what_waits_why_and_until_when(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASING)
    hold("support.messages")
    waits = "“Messages with support” waits until the end of 31 December 2033, since an authority has ordered"
    assert waits in browser.get(f"/requests/{case_id}").text
    front.mails()
    assert front.notices.handler({"case_id": case_id, "notice": "held"}, None)["sent"] == 1
    [mail] = front.mails()
    assert waits in mail["text"].replace("\n", " ")
    assert "complain to" in mail["text"]
    assert "messages" not in mail["subject"].lower()


def test_a_hold_that_may_not_be_told_leaves_no_trace_on_the_page(front: Front) -> None:
    browser = front.browser()
    case_id = planned(front, browser, state=State.ERASING)
    before = browser.get(f"/requests/{case_id}").text
    hold("support.messages", told=False)
    assert browser.get(f"/requests/{case_id}").text == before


# -- cancelling by the link in the mail ----------------------------------------------------------------


def announced(front: Front, **more: Any) -> tuple[str, str]:
    """A deletion that cools off, announced: the case, and the path that its mail leads to for cancelling."""
    requester = Requester(("Ada@example.com",), account_contacts=("ada.home@example.com",))
    case_id = planned(front, front.browser())
    case = front.book.get(case_id)
    until = now() + timedelta(hours=72)
    front.put(
        case_id, state=State.COOLING_OFF, confirmed_at=now(), expires_at=until, notices=(),
        sealed=front.book.seal_requester(case, requester), **more,
    )  # fmt: skip
    front.mails()
    assert front.notices.handler({"case_id": case_id, "notice": "cooling_off"}, None)["sent"] == 2
    mails_ = front.mails()
    assert {mail["to"] for mail in mails_} == {"Ada@example.com", "ada.home@example.com"}
    [path] = {re.search(r"(/cancel/[A-Za-z0-9_-]+)", mail["text"])[1] for mail in mails_}  # type: ignore[index]
    return case_id, path


def test_a_deletion_is_announced_to_every_address_and_any_of_them_can_cancel_it(front: Front) -> None:
    case_id, path = announced(front)
    stranger = front.browser()  # with nothing but the mail
    page = stranger.get(path)
    assert "Cancel the deletion?" in page.text
    assert front.book.get(case_id).state is State.COOLING_OFF, "opening the page changes nothing"
    assert "Ada" not in page.text
    assert "The deletion is cancelled" in stranger.follow(stranger.post(path)).text
    case = front.book.get(case_id)
    assert (case.state, front.book.events(case_id)[-1].name) == (State.WITHDRAWN, "cancelled")
    assert next_step(case) == "announce"
    assert front.notices.handler({"case_id": case_id, "notice": "withdrawn"}, None)["sent"] == 2
    assert all("cancelled" in mail["subject"] for mail in front.mails())
    assert next_step(front.book.get(case_id)) == "rest"
    stranger.post(path)
    assert front.book.get(case_id).state is State.WITHDRAWN


def test_the_link_cancels_nothing_once_it_has_begun(front: Front) -> None:
    case_id, path = announced(front)
    front.put(case_id, state=State.ERASING, expires_at=None)
    stranger = front.browser()
    assert "It is too late to cancel" in stranger.follow(stranger.post(path)).text
    assert front.book.get(case_id).state is State.ERASING


def test_a_link_that_nobody_was_mailed_says_nothing(front: Front) -> None:
    for path in ("/cancel/x", f"/cancel/{'A' * 43}"):
        assert front.browser().get(path).status == 404
        assert front.browser().post(path).status == 404
