"""The desk in Chromium, without JavaScript: signing in and out, the queue, a case, the decisions."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dsr.case import Attention, Right, State
from dsr.casebook import Visit, now, work_name
from dsr.web.templates import static
from tests.browser.looking import context_for
from tests.browser.looking import faults as faults_of
from tests.browser.stage import HOST, handler_of
from tests.conftest import REGION, aws_in_process
from tests.unit.bureau import ADA, Bureau, bureau_open
from tests.unit.front import Page as Answered

pytestmark = pytest.mark.browser

TICKET = {
    "id": "T-1",
    "opened_email": "ada@work.example",
    "opened_by": "Augusta King <countess>",
    "text": "My engraver stopped in the middle of a plate. " * 12,
    "note": "ask Bob",
}
Look = Callable[[str], None]


class WithStyle:
    """The desk's function, and the public one's style files beside it, as the API has them."""

    def __init__(self, bureau: Bureau) -> None:
        self.bureau = bureau

    def answer(self, event: dict[str, Any]) -> Answered:
        """What the API says."""
        if event["path"].startswith("/static/") and (found := static(event["path"].removeprefix("/static/"))):
            return Answered(200, {"Content-Type": found[1]}, found[0], [])
        return self.bureau.answer(event)


@contextmanager
def desk_stage(folder: Path) -> Iterator[tuple[Bureau, str, dict[str, Any]]]:
    """The desk, its address, and the claims of who signs in next."""
    claims: dict[str, Any] = {"cognito:groups": ["agents"]}
    with bureau_open(folder) as bureau:
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), handler_of(WithStyle(bureau), threading.Lock(), claims)
        )
        port = server.server_port
        base = f"http://{HOST}:{port}/prod"
        ssm = boto3.client("ssm", region_name=REGION)
        sign_in = {"domain": f"http://localhost:{port}", "client_id": "client", "issuer": "issuer"}
        for name, value in (("public-url", base), ("desk-sign-in", json.dumps(sign_in))):
            ssm.put_parameter(Name=f"/dsr/{name}", Value=value, Type="String", Overwrite=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield bureau, base, claims
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bureau, str, dict[str, Any]]]:
    with aws_in_process(), desk_stage(tmp_path_factory.mktemp("map")) as opened:
        yield opened


@pytest.fixture
def bureau(staged: tuple[Bureau, str, dict[str, Any]]) -> Bureau:
    return staged[0]


@pytest.fixture
def base(staged: tuple[Bureau, str, dict[str, Any]]) -> str:
    return staged[1]


@pytest.fixture
def claims(staged: tuple[Bureau, str, dict[str, Any]]) -> dict[str, Any]:
    return staged[2]


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    made.set_default_timeout(10_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def sign_in(page: Page, address: str, claims: dict[str, Any], *groups: str) -> None:
    """Go to an address of the desk and sign in on the way."""
    claims["cognito:groups"] = list(groups)
    page.goto(address)
    page.get_by_role("button", name="Sign in").click()  # the policy must let the form lead there
    expect(page).to_have_title("Log in")
    page.locator("#in").click()
    page.get_by_role("button", name="Continue").click()


def test_an_agent_signs_in_judges_and_signs_out(
    bureau: Bureau, base: str, claims: dict[str, Any], page: Page
) -> None:
    case = bureau.doubtful([TICKET])
    sign_in(page, f"{base}/desk/cases/{case.case_id}", claims, "agents")
    expect(page.get_by_role("heading", level=1)).to_contain_text(case.case_id)
    expect(page.get_by_text("Augusta King <countess>")).to_be_visible()
    expect(page.get_by_text("The requester typed: Ada Lovelace")).to_be_visible()
    expect(page.get_by_text("ask Bob")).to_have_count(0)
    page.get_by_role("button", name="No, leave them out").click()
    expect(page.get_by_role("status")).to_contain_text("Your decision is recorded")
    assert bureau.world.book.get(case.case_id).decisions == {"support.tickets": "exclude"}
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to the desk")
    page.goto(f"{base}/desk")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to the desk")


HELLO = {"id": "T-2", "body": "Hi Charles,\nmy brother Georg has seen it <b>too</b>."}
DEAR = {"id": "T-3", "body": "Dear Mrs. Somerville, write to bob@example.net"}


def test_an_agent_decides_what_of_others_goes_into_a_copy(
    bureau: Bureau, base: str, claims: dict[str, Any], page: Page
) -> None:
    case = bureau.reviewed([HELLO, DEAR])
    sign_in(page, f"{base}/desk/cases/{case.case_id}", claims, "agents")
    page.get_by_role("link", name="Look at what may be about others").click()
    first, second = (page.get_by_role("group", name=f"Place {n} of 2") for n in (1, 2))
    expect(first.locator("mark")).to_have_text(["Charles", "Georg"])
    expect(first).to_contain_text("<b>too</b>")
    expect(second).to_contain_text("[email address of another person removed]")
    record = page.get_by_role("button", name="Record these decisions")
    record.click()
    expect(page.get_by_role("alert")).to_contain_text("choose redact or disclose")
    first.get_by_label("Disclose").check()
    record.click()
    expect(page.get_by_role("status")).to_contain_text("The copy waits for the rest")
    expect(page.get_by_text("1 of 2", exact=True)).to_be_visible()
    expect(first.get_by_label("Disclose")).to_be_checked()
    second.get_by_label("Redact").check()
    record.click()
    expect(page.get_by_role("status")).to_contain_text("All is decided: the copy is made")
    assert bureau.world.book.get(case.case_id).state is State.BUNDLING


def test_an_approver_refuses_with_a_reason(
    bureau: Bureau, base: str, claims: dict[str, Any], page: Page
) -> None:
    case = bureau.world.case(State.AWAITING_APPROVAL, requester=ADA, risk=("child",))
    sign_in(page, f"{base}/desk", claims, "approvers")
    page.get_by_label("Reference").fill(case.case_id.lower().replace("-", " "))
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("button", name="Approve: they may ask this")).to_be_visible()
    page.get_by_text("End the case with a refusal").click()
    page.get_by_role("button", name=f"Refuse {case.case_id}").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    page.get_by_label("We were not shown that you may act").check()
    page.get_by_role("button", name=f"Refuse {case.case_id}").click()
    expect(page.get_by_role("status")).to_contain_text("Refused")
    assert bureau.world.book.get(case.case_id).state is State.REFUSED


def test_who_came_too_late_sees_how_the_case_stands_now(
    bureau: Bureau, base: str, claims: dict[str, Any], page: Page
) -> None:
    case = bureau.stuck()
    sign_in(page, f"{base}/desk/cases/{case.case_id}", claims, "agents")
    bureau.world.book.move(case, State.GATHERING, "retried", "agent:other", attention=(), resume=None)
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("alert")).to_contain_text("the case has changed")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.goto(page.url)  # what the address bar does with the answer to a button
    expect(page).to_have_url(f"{base}/desk/cases/{case.case_id}")


def furnish(bureau: Bureau) -> dict[str, str]:
    """Cases of every kind; returns their ids by what is to be seen on them."""
    book = bureau.world.book
    doubtful = bureau.doubtful([TICKET, TICKET | {"opened_by": "Bob"}], due_at=now().replace(hour=23))
    stuck = bureau.stuck()
    approval = bureau.world.case(
        State.AWAITING_APPROVAL,
        requester=ADA,
        risk=("minor", "no_sign_in"),
        regimes=("gdpr", "ccpa", "lgpd"),
        due_at=now().replace(year=now().year + 1),
    )
    accounts = bureau.world.case(
        State.NEEDS_ATTENTION, attention=(Attention("", "two_accounts"),), resume=State.RESOLVING
    )
    erasing = bureau.world.case(
        State.ERASING,
        right=Right.DELETION,
        confirmed_at=now(),
        plan={
            "members.members": {"title": "Your account", "records": 1, "treatment": "delete"},
            "support.tickets": {
                "title": "Tickets",
                "records": 3,
                "treatment": "detach",
                "fields": ["opened_by"],
            },
            "screening.flags": {
                "title": "Flags",
                "records": 2,
                "treatment": "keep",
                "reason": "needed to answer claims",
                "law": "GDPR Art. 17(3)(e)",
                "until": "2029-11-22",
            },
        },
    )
    for store, count in (("members", 1), ("screening", 2)):
        visit = "1-screening" if store == "screening" else f"0-{store}"
        name = {"members": "members", "screening": "flags"}[store]
        book.note_visit(erasing.case_id, Visit(visit, store, "done", {name: count}))
        book.note_visit(erasing.case_id, Visit(visit, store, "continue", {name: 0}), work_name("erase", 0))
    gone = bureau.world.case(State.CLOSED, key_destroyed=True)
    for state in (State.READY, State.GATHERING, State.WITHDRAWN):
        bureau.world.case(state)
    bureau.world.book.note_visit(
        stuck.case_id, Visit("0-members", "members", "done", {"members": 1}, updated_at=now())
    )
    reviewed = bureau.reviewed([HELLO, DEAR, *({**HELLO, "id": f"T-{n}"} for n in range(4, 25))])
    return {
        "reviewed": reviewed.case_id,
        "doubtful": doubtful.case_id,
        "stuck": stuck.case_id,
        "approval": approval.case_id,
        "accounts": accounts.case_id,
        "erasing": erasing.case_id,
        "gone": gone.case_id,
    }


def every_page(bureau: Bureau, base: str, claims: dict[str, Any], page: Page, look: Look) -> None:
    """Go through every page and look at each."""
    cases = furnish(bureau)
    page.goto(f"{base}/desk")
    look("sign-in")
    page.goto(f"{base}/desk/sign-in?why=ended")
    look("sign-in after the session ended")
    page.goto(f"{base}/desk/sign-in/callback?code=a&state={'s' * 43}")
    look("back from the sign-in page")
    page.goto(f"{base}/desk/sign-in/callback")
    look("sign-in failed")
    sign_in(page, f"{base}/desk", claims)
    look("no role")
    sign_in(page, f"{base}/desk", claims, "agents", "approvers")
    for show in ("open", "person", "ended", "erasing", "bundling"):
        page.goto(f"{base}/desk?show={show}")
        look(f"list {show}")
    for name, case_id in cases.items():
        page.goto(f"{base}/desk/cases/{case_id}?done=retry")
        look(f"case {name}")
    page.goto(f"{base}/desk/cases/{cases['approval']}")
    page.get_by_text("End the case with a refusal").click()
    page.get_by_role("button", name="Refuse").click()
    look("refused without a reason")
    for part in (0, 1):
        page.goto(f"{base}/desk/cases/{cases['reviewed']}/review?group=0&part={part}")
        look(f"review, part {part}")
    page.get_by_role("button", name="Record these decisions").click()
    look("review without a decision")
    for path in ("/desk/cases/0000-0000-0000-ZZZZ", "/desk/nowhere/at/all", "/desk/find?reference=x"):
        page.goto(f"{base}{path}")
        look(path)


def test_every_page_has_what_assistive_technology_and_weak_eyes_need(
    bureau: Bureau, base: str, claims: dict[str, Any], chromium: Browser
) -> None:
    context = context_for(chromium)
    page, faults = context.new_page(), {}

    def look(name: str) -> None:
        found = faults_of(page, with_axe=(1280, "light"))
        if found or "Something went wrong" in page.title():
            faults[name] = found or ["an error of ours"]

    every_page(bureau, base, claims, page, look)
    context.close()
    assert faults == {}
