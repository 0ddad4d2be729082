"""What a requester does, through the real handler of the public pages: proxy events in, tables of moto."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from dsr import aws
from dsr.case import Proof, State
from dsr.casebook import Visit
from dsr.notices.refusals import REFUSALS
from dsr.web import forms
from tests.unit.front import (
    FORM,
    Front,
    code_in,
    front_door_open,
    link_in,
)

UNKNOWN = "0000-0000-0000-0000"
TOKEN = "t" * 22


@pytest.fixture
def front() -> Iterator[Front]:
    with front_door_open() as opened:
        yield opened


def test_from_the_form_to_the_collecting(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser, other_emails="", country="DE")
    assert front.states.started == [f"{case_id}-1"]
    assert front.book.get(case_id).state is State.RECEIVED
    assert "Enter the code" not in browser.get(f"/requests/{case_id}").text
    front.notice(case_id, "code")
    case = front.book.get(case_id)
    assert case.state is State.AWAITING_IDENTITY
    assert case.expires_at
    assert timedelta(days=13) < case.expires_at - datetime.now(UTC) <= timedelta(days=14)
    assert case.regimes == ("gdpr",)
    [mail] = front.mails()
    assert mail["to"] == "Ada@example.com"
    front.put(case_id, token="the-waiting-task")
    page = browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)})
    assert page.location == f"/prod/requests/{case_id}"
    case = front.book.get(case_id)
    assert (case.state, case.contacts, case.token) == (State.RESOLVING, (Proof.CONFIRMED,), "")
    assert case.expires_at is None
    assert front.states.woken == ["the-waiting-task"]
    assert "We are collecting your data" in browser.follow(page).text
    assert [e.name for e in front.book.events(case_id)] == ["received", "code_sent", "contact_confirmed"]


def test_what_is_typed_reaches_the_case_sealed(front: Front) -> None:
    case_id = front.submit(
        front.browser(),
        right="deletion",
        name="  Zoë\tO'Brien ",
        contract_number="C-77",
        phone="+49 30 1234567",
        country="de",
        for_whom="child",
        other_emails="old@example.org\r\n\r\nADA@example.com\r\nother@example.org\r\n",
    )
    case = front.book.get(case_id)
    requester = front.book.requester(case)
    assert requester.contacts == ("Ada@example.com", "old@example.org", "other@example.org")
    assert requester.claims == {"name": "Zoë O'Brien", "reference": "C-77", "phone": "+49 30 1234567"}
    assert (requester.country, requester.for_whom, case.risk) == ("DE", "child", ("minor",))
    assert case.contacts == (Proof.PENDING,) * 3
    stored = json.dumps(front.tables(), default=str)
    for value in ("Ada", "ada@", "old@", "Brien", "C-77", "1234567"):
        assert value not in stored


def test_a_submission_sent_twice_is_one_case(front: Front) -> None:
    browser, again = front.browser(), front.browser()
    form = FORM | {"submission": TOKEN}
    first, second = browser.post("/requests", form), again.post("/requests", form)
    assert first.location == second.location
    case_id = first.location.rpartition("/")[2]
    assert front.states.started == [f"{case_id}-1"]
    assert len(front.book.events(case_id)) == 1
    corrected = browser.post("/requests", form | {"email": "grace@example.com"})
    assert corrected.location != first.location


def test_writes_that_clash_at_the_same_instant_get_through(front: Front) -> None:
    real, clashes = aws.client("dynamodb").transact_write_items, []
    exceptions = aws.client("dynamodb").exceptions

    def write(**call: Any) -> Any:
        clashes.append(1)
        if len(clashes) % 2:
            said = {"Error": {"Code": "TransactionCanceledException"}}
            reasons = {"CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}]}
            raise exceptions.TransactionCanceledException(said | reasons, "TransactWriteItems")
        return real(**call)

    browser = front.browser()
    with mock.patch.object(aws.client("dynamodb"), "transact_write_items", write):
        case_id = front.submit(browser)
        front.notice(case_id, "code")
        [mail] = front.mails()
        assert browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)}).status == 303
    assert front.book.get(case_id).state is State.RESOLVING
    assert len(front.book.events(case_id)) == 3


def test_a_submission_cut_off_before_its_workflow_started_is_taken_up_by_the_next(front: Front) -> None:
    form = FORM | {"submission": TOKEN}
    with mock.patch("dsr.workflow.start", side_effect=RuntimeError):
        assert front.browser().post("/requests", form).status == 500
    assert front.states.started == []
    page = front.browser().post("/requests", form)
    assert page.status == 303
    assert front.states.started == [page.location.rpartition("/")[2] + "-1"]


def test_the_browser_that_submitted_learns_nothing_before_the_code(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser)
    # Somebody proves the mailbox elsewhere, and the case goes its way.
    front.put(case_id, contacts=(Proof.CONFIRMED,))
    pages = set()
    for state in State:
        front.put(case_id, state=state, bundle={"key": "k", "size": 5}, signed_in_at=None)
        page = browser.get(f"/requests/{case_id}")
        assert page.status == 200
        assert "Code sent to Ada@example.com" in page.text
        pages.add(page.body)
        for path in ("download", "sign-in", "withdraw"):
            assert browser.post(f"/requests/{case_id}/{path}").location == f"/prod/requests/{case_id}"
        assert front.book.get(case_id).state is state
    assert len(pages) == 1


def test_a_strange_browser_sees_the_same_page_for_every_reference(front: Front) -> None:
    case_id = front.proven(front.browser())
    stranger = front.browser("198.51.100.1")
    known = stranger.get(f"/requests/{case_id}")
    unknown = stranger.get(f"/requests/{UNKNOWN}")
    assert known.status == unknown.status == 200
    assert known.body.replace(case_id, UNKNOWN) == unknown.body
    assert known.headers == unknown.headers
    assert known.cookies == unknown.cookies == []
    for path, form in (
        ("confirm", {"code": "0000 0000"}),
        ("confirm", {"code": ""}),
        ("confirm", {"code": "x", "contact": "1"}),
        ("confirm", {"code": "00000000", "contact": "1"}),
        ("code", {}),
        ("code", {"contact": "7"}),
        ("withdraw", {}),
        ("skip", {"contact": "1"}),
        ("sign-in", {}),
        ("no-sign-in", {}),
        ("download", {}),
        ("confirm-deletion", {"sure": "yes", "waive": "yes"}),
    ):
        one, two = (stranger.post(f"/requests/{c}/{path}", form) for c in (case_id, UNKNOWN))
        assert (one.status, one.body.replace(case_id, UNKNOWN)) == (two.status, two.body), path
        assert one.location.replace(case_id, UNKNOWN) == two.location
        assert {**one.headers, "Location": ""} == {**two.headers, "Location": ""}
        assert one.cookies == two.cookies == []
    for path in ("download", "certificate"):
        one, two = (stranger.get(f"/requests/{c}/{path}") for c in (case_id, UNKNOWN))
        assert one.location.replace(case_id, UNKNOWN) == two.location


def test_the_same_calls_are_made_for_a_known_and_an_unknown_reference(front: Front) -> None:
    case_id = front.submit(front.browser())
    front.notice(case_id, "code")
    stranger = front.browser("198.51.100.1")
    stranger.post(f"/requests/{UNKNOWN}/code")  # from now on the worker knows this source's MAC
    front.lambda_.calls.clear()
    made: list[str] = []
    from botocore.client import BaseClient

    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: Any, name: str, arguments: Any) -> Any:
        made.append(name)
        return real(self, name, arguments)

    with mock.patch.object(BaseClient, "_make_api_call", call):
        for path, form in (("confirm", {"code": "00000000"}), ("code", {}), ("withdraw", {})):
            seen = []
            for reference in (case_id, UNKNOWN):
                made.clear()
                stranger.post(f"/requests/{reference}/{path}", form)
                seen.append(list(made))
            assert seen[0] == seen[1], path
    # What is done later, out of sight, is asked for in both cases alike.
    assert [c["case_id"] for c in front.lambda_.calls] == [case_id, UNKNOWN]
    front.mails()
    front.run_calls()
    assert len(front.mails()) == 1


def test_known_and_unknown_addresses_are_answered_alike(front: Front) -> None:
    texts = []
    for email in ("known@example.com", "never-seen@example.net"):
        browser = front.browser()
        case_id = front.submit(browser, email=email)
        texts.append(browser.get(f"/requests/{case_id}").body.replace(case_id, "X").replace(email, "E"))
    assert texts[0] == texts[1]


def test_a_wrong_code_is_said_at_the_field_and_kept(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser)
    front.notice(case_id, "code")
    page = browser.post(f"/requests/{case_id}/confirm", {"code": "12-34 56 7"})
    assert page.status == 422
    assert page.text.count(forms.WORDS["code_form"]) == 2
    assert 'value="12-34 56 7"' in page.body
    [mail] = front.mails()
    wrong = f"{(int(code_in(mail).replace(' ', '')) + 1) % 10**8:08d}"
    page = browser.post(f"/requests/{case_id}/confirm", {"code": wrong})
    assert (page.status, page.text.count(forms.WORDS["code_wrong"])) == (422, 2)
    assert page.cookies == []
    assert front.book.get(case_id).state is State.AWAITING_IDENTITY


def test_after_five_wrong_codes_the_right_one_is_too_late_and_a_new_one_works(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser)
    front.notice(case_id, "code")
    [mail] = front.mails()
    code = code_in(mail).replace(" ", "")
    for step in range(1, 6):
        wrong = f"{(int(code) + step) % 10**8:08d}"
        assert browser.post(f"/requests/{case_id}/confirm", {"code": wrong}).status == 422
    assert browser.post(f"/requests/{case_id}/confirm", {"code": code}).status == 422
    page = browser.follow(browser.post(f"/requests/{case_id}/code"))
    assert "a new code is on its way" in page.text
    front.run_calls()
    [mail] = front.mails()
    typed = f" {code_in(mail)[:4]}-{code_in(mail)[5:]} "
    assert browser.post(f"/requests/{case_id}/confirm", {"code": typed}).status == 303
    assert front.book.get(case_id).state is State.RESOLVING


def test_a_code_is_used_once_expires_and_is_of_one_case(front: Front) -> None:
    mine, other = front.browser(), front.browser()
    case_id, other_case = front.submit(mine), front.submit(other, email="grace@example.com")
    front.notice(case_id, "code")
    front.notice(other_case, "code")
    first, _ = front.mails()
    code = code_in(first)
    assert other.post(f"/requests/{other_case}/confirm", {"code": code}).status == 422
    with mock.patch("time.time", return_value=time.time() + 901):
        assert mine.post(f"/requests/{case_id}/confirm", {"code": code}).status == 422
    assert mine.post(f"/requests/{case_id}/confirm", {"code": code}).status == 303
    assert mine.post(f"/requests/{case_id}/confirm", {"code": code}).status == 422
    assert front.browser().post(f"/requests/{case_id}/confirm", {"code": code}).status == 422


def test_a_link_opens_a_page_and_only_its_button_confirms(front: Front) -> None:
    case_id = front.submit(front.browser())
    front.notice(case_id, "code")
    [mail] = front.mails()
    elsewhere, before = front.browser("198.51.100.9"), front.tables()
    for _ in range(3):  # scanners come as often as they like
        page = elsewhere.get(link_in(mail))
        assert (page.status, page.cookies) == (200, [])
        assert "Yes, it was me" in page.text
    assert front.tables() == before
    page = elsewhere.post(link_in(mail))
    assert page.location == f"/prod/requests/{case_id}"
    assert "We are collecting your data" in elsewhere.follow(page).text
    assert front.book.get(case_id).state is State.RESOLVING
    for method in (elsewhere.get, elsewhere.post, front.browser().post):
        page = method(link_in(mail))
        assert page.status == 404
        assert "does not work any more" in page.text
    used = front.browser().post(f"/requests/{case_id}/confirm", {"code": code_in(mail)})
    assert used.status == 422
    unknown = front.browser().get("/confirm/" + "A" * 22)
    assert unknown.body == front.browser().get(link_in(mail)).body


def test_further_addresses_are_proven_or_given_up_one_by_one(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser, other_emails="two@example.com\nthree@example.com")
    front.notice(case_id, "code")
    mails = front.mails()
    assert [m["to"] for m in mails] == ["Ada@example.com", "two@example.com", "three@example.com"]
    # The owner of a further address may be somebody else: their browser cannot open the case, and
    # a press on a button alone must not hand their data to who named them.
    stranger = front.browser("198.51.100.9")
    page = stranger.get(link_in(mails[1]))
    assert "go back to the browser where you sent the request" in page.text
    assert "<button" not in page.body
    assert stranger.post(link_in(mails[1])).status == 200
    assert (
        stranger.post(f"/requests/{case_id}/confirm", {"code": code_in(mails[1]), "contact": "1"}).status
        == 422
    )
    assert stranger.jar == {}
    assert front.book.get(case_id).contacts == (Proof.PENDING,) * 3
    # In the browser that asked, in any order.
    page = browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mails[1]), "contact": "1"})
    assert (page.status, page.cookies) == (303, [])
    assert "We are collecting" not in browser.follow(page).text
    page = browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mails[0]), "contact": "0"})
    text = browser.follow(page).text
    assert "three@example.com" in text
    assert "two@example.com" not in text
    assert front.book.get(case_id).state is State.AWAITING_IDENTITY
    browser.post(f"/requests/{case_id}/skip", {"contact": "0"})
    browser.post(f"/requests/{case_id}/skip", {"contact": "9"})
    assert front.book.get(case_id).state is State.AWAITING_IDENTITY
    browser.post(f"/requests/{case_id}/skip", {"contact": "2"})
    case = front.book.get(case_id)
    assert (case.state, case.contacts) == (
        State.RESOLVING,
        (Proof.CONFIRMED, Proof.CONFIRMED, Proof.SKIPPED),
    )


def test_the_owner_of_a_further_address_gets_no_say_over_the_case(front: Front) -> None:
    case_id = front.submit(front.browser(), other_emails="two@example.com")
    front.notice(case_id, "code")
    _, mail = front.mails()
    browser = front.browser()
    for path, form in (("withdraw", {}), ("skip", {"contact": "1"}), ("download", {}), ("no-sign-in", {})):
        browser.post(f"/requests/{case_id}/{path}", form)
    browser.post(link_in(mail))
    assert front.book.get(case_id).version == 2
    assert "Ada" not in browser.get(f"/requests/{case_id}").text


def test_a_code_entered_while_others_write_gets_through(front: Front) -> None:
    browser = front.browser()
    case_id = front.submit(browser)
    front.notice(case_id, "code")
    [mail] = front.mails()
    book = front.book
    real, clashes = type(book).move, []

    def move(self: Any, case: Any, *rest: Any, **more: Any) -> Any:
        if len(clashes) < 3:
            clashes.append(1)
            front.put(case_id, token=f"token-{len(clashes)}")  # the workflow begins to wait just now
        return real(self, case, *rest, **more)

    with mock.patch.object(type(book), "move", move):
        assert browser.post(f"/requests/{case_id}/confirm", {"code": code_in(mail)}).status == 303
    assert front.book.get(case_id).state is State.RESOLVING
    assert front.states.woken == ["token-3"]


def test_a_case_withdrawn_is_over(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    front.put(case_id, state=State.GATHERING)
    assert "You have withdrawn" in browser.follow(browser.post(f"/requests/{case_id}/withdraw")).text
    assert front.book.get(case_id).state is State.WITHDRAWN
    assert browser.post(f"/requests/{case_id}/withdraw").status == 303
    assert "Withdraw this request" not in browser.get(f"/requests/{case_id}").text


def test_too_late_to_withdraw(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    front.put(case_id, state=State.BUNDLING)
    assert "Withdraw this request" not in browser.get(f"/requests/{case_id}").text
    assert browser.post(f"/requests/{case_id}/withdraw").status == 303
    assert front.book.get(case_id).state is State.BUNDLING


def test_progress_names_each_place_and_how_far_it_is(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    front.book.note_visit(case_id, Visit("members", "members", "done", {"members": 3}))
    front.book.note_visit(case_id, Visit("support", "support", "continue"))
    front.book.note_visit(case_id, Visit("gone-from-the-map", "old-store", "needs_attention"))
    front.put(case_id, state=State.GATHERING)
    page = browser.get(f"/requests/{case_id}")
    assert "1 of 3 places searched" in page.text
    assert "Your account Searched" in page.text
    assert "What you asked us · Messages with support Searching" in page.text
    assert "old-store A person is looking" in page.text
    assert '<meta http-equiv="refresh" content="5">' in page.body
    assert "Stop renewing" in page.text
    still = browser.get(f"/requests/{case_id}?still=1")
    assert "http-equiv" not in still.body
    assert "Renew now" in still.text
    front.put(case_id, state=State.NEEDS_ATTENTION)
    assert "http-equiv" not in browser.get(f"/requests/{case_id}").body


def test_a_bundle_in_part_and_a_refusal_say_so(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    front.put(case_id, state=State.READY, outcome="delivered_in_part", bundle={"key": "k", "size": 1})
    assert "Some of it is missing" in browser.get(f"/requests/{case_id}").text
    for word, sentence in REFUSALS.items():
        front.put(case_id, state=State.REFUSED, outcome=word)
        assert sentence in browser.get(f"/requests/{case_id}").text


def test_a_copy_in_part_tells_what_is_missing_and_what_follows(front: Front) -> None:
    browser = front.browser()
    case_id = front.proven(browser)
    bundle = {"key": "k", "size": 9_000_000, "expires_at": "2026-12-04T10:00:00+00:00"}
    without = {"visit:support": "leave_out"}
    front.book.note_visit(case_id, Visit("support", "support", "needs_attention", reason="unreachable"))
    front.put(
        case_id, state=State.READY, outcome="delivered_in_part", bundle=bundle, decisions=without,
    )  # fmt: skip
    text = browser.get(f"/requests/{case_id}").text
    assert "What you asked us, Messages with support: we could not search there" in text
    assert "complain to the data protection authority" in text
    front.put(case_id, late={"support": "2026-12-11T10:00:00+00:00"})
    assert "If they answer by 11 December 2026, you receive it" in browser.get(f"/requests/{case_id}").text
    # While it is added, the copy can be had, and nothing be withdrawn.
    front.put(case_id, state=State.GATHERING, late={}, adding=("support",), follow_up="adding", decisions={})
    page = browser.get(f"/requests/{case_id}")
    assert "More has come since" in page.text
    assert "is missing" not in page.text
    assert "Withdraw" not in page.text
    assert browser.post(f"/requests/{case_id}/download").location.startswith("https://")
    assert front.book.get(case_id).state is State.GATHERING
    more = bundle | {"supplements": [{"key": "s", "size": 4_000}]}
    front.put(case_id, state=State.READY, outcome="delivered", bundle=more, adding=(), follow_up="followed")
    assert "What was missing in your copy has come" in browser.get(f"/requests/{case_id}").text
    offered = browser.get(f"/requests/{case_id}/download").text
    assert "Download the copy (ZIP, 9.0 MB)" in offered
    assert "Download the supplement (ZIP, 4.0 KB)" in offered
    link = browser.post(f"/requests/{case_id}/download", {"part": "2"}).location
    assert "/s?" in link
    assert f"your-data-{case_id}-supplement-1.zip" in link
    assert browser.post(f"/requests/{case_id}/download", {"part": "3"}).location.endswith("/download")


def test_a_source_that_asks_too_often_gets_a_page_that_says_so() -> None:
    with front_door_open(THROTTLE_SOURCE="3") as front:
        browser = front.browser()
        case_id = front.submit(browser)
        browser.post(f"/requests/{case_id}/code")
        browser.post(f"/requests/{UNKNOWN}/code")
        calls = len(front.lambda_.calls)
        for path, form in (("/requests", FORM), (f"/requests/{case_id}/code", {})):
            page = browser.post(path, form)
            assert (page.status, page.headers["Retry-After"]) == (429, "3600")
            assert "Too many requests from your network" in page.text
        assert len(front.lambda_.calls) == calls
        assert browser.post("/requests/check", FORM).status == 200
        assert front.browser("198.51.100.77").post("/requests", FORM).status == 303


def test_an_address_that_had_enough_codes_gets_the_same_page_and_no_mail() -> None:
    with front_door_open(THROTTLE_ADDRESS="2") as front:
        pages = []
        for address in ("ada@example.com", "ADA@Example.com", "Ada@example.com"):
            browser = front.browser()
            case_id = front.submit(browser, email=address)
            front.notice(case_id, "code")
            pages.append(browser.get(f"/requests/{case_id}").body.replace(case_id, "").replace(address, ""))
            assert front.book.get(case_id).state is State.AWAITING_IDENTITY
        assert len(front.mails()) == 2
        assert len(set(pages)) == 1
