"""The desk as deployed: the hosted page with PKCE, roles from groups, decisions under the function's role."""

import pytest

from dsr.case import Attention, State
from infra.local import desk
from infra.local.browser import Browser, Page
from tests.workflow.stage import Stage
from tests.workflow.story import Story, faults

pytestmark = pytest.mark.cloud


def signed_in(stage: Stage, group: str, path: str = "/desk") -> tuple[Browser, Page]:
    """A browser of the desk's person in that group, and the page that they wanted."""
    browser = Browser()
    return browser, desk.sign_in(browser, stage.url, group, path)


def test_an_approver_signs_in_refuses_and_signs_out(stage: Stage) -> None:
    story = Story(stage, "account_only").ask()
    stage.until("the workflow to wait", lambda: stage.book.get(story.case_id).token, case_id=story.case_id)
    browser, page = signed_in(stage, "approvers", f"/desk/cases/{story.case_id}")
    assert page.url == f"{stage.url}/desk/cases/{story.case_id}"
    assert story.person.email in page.text
    page = browser.submit(page, page.form("reason"), reason="unfounded")
    assert "Refused: the requester is told" in page.text
    case = stage.reaches(story.case_id, State.REFUSED)
    events = stage.book.events(story.case_id)
    (refusal,) = [event for event in events if event.name == "refused"]
    assert refusal.actor.startswith("agent:")
    assert "@" not in refusal.actor
    assert "refused" in stage.settled(case.case_id).notices
    out = browser.submit(page, page.form(action="/desk/sign-out"))
    assert out.url == f"{stage.url}/desk/sign-in"
    assert browser.get(f"{stage.url}/desk").url.startswith(f"{stage.url}/desk/sign-in")


def test_an_auditor_sees_the_case_and_no_button(stage: Stage) -> None:
    story = Story(stage, "account_only").ask()
    browser, page = signed_in(stage, "auditors")
    assert story.case_id in page.text
    page = browser.get(f"{stage.url}/desk/cases/{story.case_id}")
    assert {form.action.rpartition("/")[2] for form in page.forms} == {"sign-out"}


def test_an_agent_judges_doubtful_records_until_the_case_goes_on(stage: Stage) -> None:
    story = Story(stage, "recycled_mailbox").ask().prove()
    stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    browser, page = signed_in(stage, "agents")
    while stage.settled(story.case_id).state is State.NEEDS_ATTENTION:
        page = browser.get(f"{stage.url}/desk/cases/{story.case_id}")
        (form, *_) = (f for f in page.forms if f.fields.get("decision") == "exclude")
        page = browser.submit(page, form)
        assert "Your decision is recorded" in page.text
    assert set(story.case().decisions.values()) == {"exclude"}
    assert faults(story.truth(), story.download()) == []


def test_an_agent_has_a_store_asked_again(stage: Stage) -> None:
    story = Story(stage, "recycled_mailbox").ask().prove()
    case = stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    visit = case.attention[0].visit
    # As if the store had been out of reach as well.
    down = Attention(visit, "missing_connection", "secret")
    stage.settled(case.case_id)
    points = (*case.attention, down)
    stage.book.move(case, case.state, "needs_attention", "workflow", {}, attention=points)
    browser, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    assert "refuses the login" in page.text
    page = browser.submit(page, page.form(action="/retry"))
    assert "goes on from where it stopped" in page.text
    again = stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    stage.settled(again.case_id)
    assert again.attention == case.attention
