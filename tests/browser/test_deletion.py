"""A deletion in Chromium, without JavaScript: plan to certificate, and every page for everybody."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from playwright.sync_api import Browser, Page, expect

from dsr.case import Requester, State
from dsr.casebook import Visit, now
from dsr.certificate import verify
from dsr.subjects import Subjects
from tests.browser.looking import context_for
from tests.browser.looking import faults as faults_of
from tests.browser.stage import ACCOUNT, stage
from tests.unit import world
from tests.unit.front import Front, code_in
from tests.unit.test_deleting import PLAN, certified

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stood() -> Iterator[tuple[Front, str]]:
    with stage() as opened:
        yield opened


@pytest.fixture
def front(stood: tuple[Front, str]) -> Front:
    return stood[0]


@pytest.fixture
def base(stood: tuple[Front, str]) -> str:
    return stood[1]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    context.set_default_timeout(10_000)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if "Failed to load" not in m.text else None)
    yield opened
    context.close()
    assert complaints == []


def proven(front: Front, base: str, page: Page, right: str = "Delete my data") -> str:
    """Ask in the browser and prove the mailbox; returns the case id."""
    page.goto(f"{base}/")
    page.get_by_label(right).check()
    page.get_by_label("Your email address").fill("ada@example.com")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Send request").click()
    case_id = page.url.rpartition("/")[2]
    front.notice(case_id, "code")
    [mail] = front.mails()
    page.get_by_label("Code sent to").fill(code_in(mail))
    page.get_by_role("button", name="Confirm").click()
    return case_id


def plan_before(front: Front, case_id: str, **changes: Any) -> None:
    """Put the plan before the person."""
    until = now() + timedelta(days=14)
    front.put(case_id, state=State.AWAITING_CONFIRMATION, plan=PLAN, expires_at=until, **changes)


def copy_of(front: Front, base: str, page: Page, case_id: str) -> str:
    """Another request of the same person, for a copy that is ready."""
    copy = proven(front, base, page, "Send me a copy of my data")
    subject = f"subject of {case_id}"
    front.put(copy, state=State.READY, subject=subject, bundle={"key": "a.zip", "size": 10})
    front.put(case_id, subject=subject)
    Subjects(front.book).register(subject, front.book.get(copy))
    return copy


def test_an_account_holder_reads_signs_in_again_confirms_and_cancels(
    front: Front, base: str, page: Page
) -> None:
    case_id = proven(front, base, page)
    expect(page.get_by_role("heading", level=1)).to_have_text("We are looking for your data")
    case = front.book.get(case_id)
    sealed = front.book.seal_requester(case, Requester(("ada@example.com",), account=ACCOUNT))
    plan_before(front, case_id, signed_in_at=now(), sealed=sealed)
    page.goto(f"{base}/requests/{case_id}")
    expect(page.get_by_text("Your account", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#in").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Check what we will delete")
    page.get_by_role("button", name="Delete my data").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    summary.get_by_role("link").click()
    expect(page.get_by_label("I have read what will be deleted")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Delete my data").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data will be deleted")
    page.get_by_role("button", name="Cancel the deletion").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have withdrawn this request")
    assert front.book.get(case_id).state is State.WITHDRAWN


def test_who_comes_back_later_proves_the_mailbox_again_and_does_not_wait_for_the_copy(
    front: Front, base: str, page: Page
) -> None:
    case_id = proven(front, base, page)
    plan_before(front, case_id)
    copy = copy_of(front, base, page, case_id)
    with mock.patch("time.time", return_value=time.time() + 700):
        page.goto(f"{base}/requests/{case_id}")
        expect(page.get_by_role("button", name="Delete my data")).to_have_count(0)
        page.get_by_role("button", name="Send a code").click()
        front.run_calls()
        [mail] = front.mails()
        page.get_by_label("Code from our mail").fill(code_in(mail))
        page.get_by_role("button", name="Confirm").click()
        page.get_by_label("I have read what will be deleted").check()
        page.get_by_role("button", name="Delete my data").click()
        expect(page.get_by_role("link", name=copy)).to_be_visible()
        page.get_by_text("Delete without waiting for my copy").click()
        page.get_by_role("button", name="Do not wait for my copy").click()
        expect(page.get_by_role("link", name=copy)).to_have_count(0)
    assert front.book.get(case_id).waived


def test_progress_renews_itself_and_the_certificate_and_key_are_saved_as_files(
    front: Front, base: str, page: Page
) -> None:
    case_id = proven(front, base, page)
    plan_before(front, case_id)
    front.put(case_id, state=State.ERASING)
    page.goto(f"{base}/requests/{case_id}")
    front.book.note_visit(case_id, Visit("support", "support", "done", {"messages": 1203}), "erase@0")
    expect(page.get_by_text("Done, 1,203 records")).to_be_visible(timeout=9_000)
    front.put(case_id, state=State.ERASED_IN_PART)
    saved = []
    with world.signing():
        said = certified(front, case_id)
        page.goto(f"{base}/requests/{case_id}")
        page.get_by_text("Check the signature yourself").click()
        for link in ("Download the certificate", "public key"):
            with page.expect_download() as caught:
                page.get_by_role("link", name=link).click()
            saved.append((caught.value.suggested_filename, Path(caught.value.path()).read_bytes()))
    assert [name for name, _ in saved] == ["certificate.json", "certificate-key.pem"]
    assert verify(saved[0][1], saved[1][1]) == said == json.loads(saved[0][1])["certificate"]


def test_every_page_has_what_assistive_technology_and_weak_eyes_need(
    front: Front, base: str, chromium: Browser
) -> None:
    context = context_for(chromium)
    page, faults = context.new_page(), {}

    def look(name: str, **changes: Any) -> None:
        front.put(case_id, **changes)
        page.goto(f"{base}/requests/{case_id}?still=1")
        for details in page.locator("details").all():
            details.locator("summary").click()
        if found := faults_of(page, with_axe=(390, "dark")):
            faults[name] = found

    case_id = proven(front, base, page)
    plan_before(front, case_id)
    copy = copy_of(front, base, page, case_id)
    look("plan")
    page.get_by_role("button", name="Delete my data").click()
    if found := faults_of(page, with_axe=(390, "dark")):
        faults["plan with error"] = found
    look("plan behind a sign-in", signed_in_at=now())
    with mock.patch("time.time", return_value=time.time() + 700):
        look("plan behind a code", signed_in_at=None)
        look("cooling off, copy behind a code", state=State.COOLING_OFF)
    look("cooling off", state=State.COOLING_OFF)
    look("cooling off, due", expires_at=now())
    look("cooling off, about to begin", waived=True)
    front.book.note_visit(case_id, Visit("support", "support", "continue", {"messages": 400}), "erase@0")
    front.book.note_visit(case_id, Visit("members", "members", "needs_attention"), "erase@0")
    front.book.note_visit(case_id, Visit("members", "members", "done", {"members": 1}), "gather@1")
    for state in (State.ERASING, State.CONFIRMING, State.CERTIFYING, State.ERASED, State.ERASED_IN_PART):
        look(state.value, state=state, certificate="k")
    look("stopped", state=State.NEEDS_ATTENTION, resume=State.ERASING)
    for state in (State.GATHERING, State.NOTHING_FOUND, State.EXPIRED, State.WITHDRAWN):
        look(state.value, state=state, resume=None)
    look("joined", state=State.CLOSED, joined=copy)
    context.close()
    assert faults == {}
