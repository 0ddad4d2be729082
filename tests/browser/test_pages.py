"""The public pages in Chromium, without JavaScript: the whole way, and what each page needs for everybody."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dsr.case import State
from dsr.casebook import Visit, now
from tests.browser.looking import PROBE, context_for
from tests.browser.looking import faults as faults_of
from tests.browser.stage import ACCOUNT, stage
from tests.unit.front import Front, code_in

pytestmark = pytest.mark.browser

Look = Callable[[str], None]


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
def context(chromium: Browser) -> Iterator[BrowserContext]:
    # Without scripts, as a person may have set it; the pages must need none.
    made = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    made.set_default_timeout(10_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if "Failed to load" not in m.text else None)
    yield opened
    assert complaints == []


def ask(page: Page, base: str, email: str = "ada@example.com", others: str = "") -> str:
    """Fill in the form and send it; returns the case id."""
    page.goto(f"{base}/")
    page.get_by_label("Send me a copy of my data").check()
    page.get_by_label("Your email address").fill(email)
    if others:
        page.get_by_text("I have also used other addresses").click()
        page.get_by_label("Other email addresses").fill(others)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your request")
    page.get_by_role("button", name="Send request").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Confirm your email address")
    return page.url.rpartition("/")[2]


def prove(front: Front, page: Page, case_id: str) -> None:
    front.notice(case_id, "code")
    [mail] = front.mails()
    page.get_by_label("Code sent to").fill(code_in(mail).replace(" ", " - "))
    page.get_by_role("button", name="Confirm").click()


def test_from_the_form_to_the_file_with_an_account(front: Front, base: str, page: Page) -> None:
    case_id = ask(page, base)
    prove(front, page, case_id)
    expect(page.get_by_role("heading", level=1)).to_have_text("We are collecting your data")
    front.put(case_id, state=State.AWAITING_IDENTITY, needs="account")
    page.goto(f"{base}/requests/{case_id}")
    page.get_by_role("button", name="Sign in").click()  # the policy must allow a form that leads there
    expect(page).to_have_title("Log in")
    page.locator("#in").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("We are collecting your data")
    assert front.book.requester(front.book.get(case_id)).account == ACCOUNT
    front.put(case_id, state=State.READY, bundle={"key": "a.zip", "size": 10})
    page.goto(f"{base}/requests/{case_id}")
    page.get_by_role("link", name="Download your data").click()
    with page.expect_download() as caught:  # and the bucket
        page.get_by_role("button", name="Download").click()
    assert caught.value.suggested_filename == f"your-data-{case_id}.zip"
    assert Path(caught.value.path()).read_text() == "the bundle"
    page.goto(f"{base}/requests/{case_id}")
    expect(page.get_by_role("heading", level=1)).to_have_text("You have downloaded your data")


def test_back_on_another_device_with_the_reference(
    front: Front, base: str, page: Page, chromium: Browser
) -> None:
    case_id = ask(page, base)
    prove(front, page, case_id)
    front.put(case_id, state=State.READY, bundle={"key": "a.zip", "size": 10})
    other = chromium.new_context(java_script_enabled=False).new_page()
    other.goto(f"{base}/requests")
    other.get_by_label("Your reference").fill(case_id.lower().replace("-", " "))
    other.get_by_role("button", name="Continue").click()
    other.get_by_role("button", name="Send a code").click()
    expect(other.get_by_role("status")).to_contain_text("a new code is on its way")
    front.run_calls()
    [mail] = front.mails()
    other.get_by_label("Code from our mail").fill(code_in(mail))
    other.get_by_role("button", name="Confirm").click()
    other.get_by_role("link", name="Download your data").click()
    with other.expect_download():
        other.get_by_role("button", name="Download").click()
    other.context.close()


def test_the_link_in_the_mail_needs_its_button(
    front: Front, base: str, page: Page, chromium: Browser
) -> None:
    case_id = ask(page, base, "grace@example.com")
    front.notice(case_id, "code")
    [mail] = front.mails()
    [link] = [line for line in mail["text"].splitlines() if line.startswith(f"{base}/confirm/")]
    other = chromium.new_context(java_script_enabled=False).new_page()
    other.goto(link)
    assert front.book.get(case_id).state is State.AWAITING_IDENTITY
    other.get_by_role("button", name="Yes, it was me").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("We are collecting your data")
    other.context.close()
    # The browser that asked is not let in by what another proved.
    page.reload()
    expect(page.get_by_label("Code sent to grace@example.com")).to_be_visible()


def test_errors_take_the_focus_and_lead_to_their_fields(base: str, page: Page) -> None:
    page.goto(f"{base}/")
    page.get_by_label("Your email address").fill("ada")
    page.get_by_role("button", name="Continue").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary.get_by_role("link")).to_have_text(
        ["Choose what you would like us to do", "Enter an email address like name@example.com"]
    )
    expect(page.get_by_label("Your email address")).to_have_value("ada")
    summary.get_by_role("link").nth(1).click()
    expect(page.get_by_label("Your email address")).to_be_focused()
    assert page.title().startswith("Error: ")


def test_an_answer_is_changed_at_its_field(base: str, page: Page) -> None:
    page.goto(f"{base}/")
    page.get_by_label("Delete my data").check()
    page.get_by_label("Your email address").fill("ada@exmaple.com")
    page.get_by_label("Country you live in").select_option(label="Japan")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Change email address").click()
    expect(page.get_by_label("Your email address")).to_be_focused()
    expect(page.get_by_label("Delete my data")).to_be_checked()
    page.get_by_label("Your email address").fill("ada@example.com")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("ada@example.com").first).to_be_visible()
    expect(page.get_by_text("Japan")).to_be_visible()


def test_progress_renews_itself_until_told_not_to(front: Front, base: str, page: Page) -> None:
    case_id = ask(page, base, "margaret@example.com")
    prove(front, page, case_id)
    expect(page.get_by_text("0 of 2 places searched")).to_be_visible()
    front.book.note_visit(case_id, Visit("members", "members", "done"))
    front.book.note_visit(case_id, Visit("support", "support", "continue"))
    expect(page.get_by_text("1 of 2 places searched")).to_be_visible(timeout=9_000)
    page.get_by_role("link", name="Stop renewing").click()
    expect(page.get_by_role("link", name="Renew now")).to_be_visible()
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)


def test_withdrawing_asks_once_more(front: Front, base: str, page: Page) -> None:
    case_id = ask(page, base, "hedy@example.com")
    expect(page.get_by_role("button", name="Withdraw request")).not_to_be_visible()
    page.get_by_text("Withdraw this request", exact=True).click()
    page.get_by_role("button", name=f"Withdraw request {case_id}").click()
    assert front.book.get(case_id).state is State.WITHDRAWN


def test_the_keyboard_alone_gets_through(front: Front, base: str, page: Page) -> None:
    page.goto(f"{base}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("Send me a copy of my data")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("ada@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your request")


def every_page(front: Front, base: str, page: Page, look: Look) -> None:
    """Go through every page and look at each."""
    page.goto(f"{base}/")
    look("form")
    page.get_by_text("I have also used other addresses").click()
    look("form, opened")
    page.get_by_role("button", name="Continue").click()
    look("form with errors")
    case_id = ask(
        page, base, "ada.with.a.very.long.address.indeed@department.of.something.example.com", "b@c.example"
    )
    look("confirm")
    page.get_by_role("button", name="Confirm").first.click()
    look("confirm with error")
    front.notice(case_id, "code")
    first, second = front.mails()
    links = [next(w for w in m["text"].split() if "/confirm/" in w) for m in (first, second)]
    for number, link in enumerate(links):
        page.goto(link)
        look(f"link {number}")
    back = f"/sign-in/callback?code=a&state={'s' * 43}"
    unknown = "/requests/0000-0000-0000-0000"
    for path in ("/requests", "/nowhere", f"/confirm/{'a' * 22}", unknown, "/sign-in/callback", back):
        page.goto(f"{base}{path}")
        look(path)
    page.goto(f"{base}/requests/{case_id}")
    page.get_by_label("Code sent to ada").fill(code_in(first))
    page.get_by_role("button", name="Confirm").first.click()
    front.book.note_visit(case_id, Visit("members", "members", "done"))
    front.book.note_visit(case_id, Visit("support", "support", "needs_attention"))
    for state in State:
        bundle = {"key": "k", "size": 3_456_789, "expires_at": "2026-12-04T10:00:00+00:00"}
        front.put(case_id, state=state, bundle=bundle, outcome="delivered_in_part")
        page.goto(f"{base}/requests/{case_id}?still=1&sent=1")
        look(state.value)
    front.put(case_id, state=State.READY)
    page.goto(f"{base}/requests/{case_id}/download")
    look("download")
    with mock.patch("time.time", return_value=time.time() + 700):
        page.goto(f"{base}/requests/{case_id}/download")
        look("download behind a code")
    front.put(case_id, signed_in_at=now())
    page.goto(f"{base}/requests/{case_id}/download")
    look("download behind a sign-in")


def test_every_page_has_what_assistive_technology_and_weak_eyes_need(
    front: Front, base: str, chromium: Browser
) -> None:
    context = context_for(chromium)
    page, faults = context.new_page(), {}

    def look(name: str) -> None:
        if found := faults_of(page, with_axe=(390, "dark")):
            faults[name] = found

    every_page(front, base, page, look)
    context.close()
    assert faults == {}


def test_the_probe_finds_what_it_looks_for(chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.set_content(
        "<h1>One</h1><h3 id=a>Three</h3><p id=a style='color:#999'>grey</p><input><img src='data:,'>"
        "<div style='width:2000px'>wide</div><a href='#gone'></a><input type=checkbox aria-describedby=none>"
    )
    found = " ".join(page.evaluate(PROBE))
    for fault in ("no language", "no title", "not one main", "skipped", "an id twice", "no label", "no alt"):
        assert fault in found
    for fault in (
        "contrast 2.",
        "scrolls sideways",
        "leads nowhere",
        "describes by none",
        "a target of 13x13",
    ):
        assert fault in found
    page.close()


def test_each_width_and_colour_is_looked_at(chromium: Browser) -> None:
    context = context_for(chromium)
    page = context.new_page()
    page.set_content(
        "<!doctype html><style>@media (max-width: 350px) { #wide { width: 400px } }"
        "@media (min-width: 1000px) and (prefers-color-scheme: dark) { p { color: #999 } }</style>"
        "<p>grey</p><div id=wide>wide</div>"
    )
    found = faults_of(page, with_axe=(1280, "dark"))
    assert [f for f in found if "sideways" in f] == ["320 light: scrolls sideways: "]
    assert [f[:26] for f in found if "contrast" in f and "color-" not in f] == ["1280 dark: contrast 2.85: "]
    assert [f for f in found if "color-contrast" in f and f.startswith("1280 dark")]
    context.close()
