"""Recipients as deployed: asked by real HTTP, answered at once, later, by an agent of the desk, or too late.

The sample's own: its mailing provider, and the courier, who is asked of nobody but the persona `rewarded`
here (`couriered`). So no other story waits for an agent.
"""

import json

import pytest

from dsr.case import State
from dsr.certificate import verify
from infra.craftzone import load
from infra.craftzone.holdings import PARCELS, SUBSCRIPTIONS
from infra.local import desk
from infra.local.browser import Browser, Page
from tests.workflow.stage import Stage
from tests.workflow.story import Story, faults
from tests.workflow.test_desk import signed_in

pytestmark = pytest.mark.cloud

WHO = "rewarded"


def waits(stage: Stage, story: Story) -> str:
    """Until the case waits for the courier alone, with nothing running in its store; returns the visit."""
    visit = stage.visit_of("courier")
    stage.until(
        "the case to wait for the courier",
        lambda: story.case().waiting_for == (visit,) and story.case().token,
        case_id=story.case_id,
    )
    return visit


def at_the_task(stage: Stage, story: Story) -> tuple[Browser, Page]:
    browser, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    return browser, desk.open_task(browser, page, "courier")


def delivery_records(stage: Stage, page: Page) -> bytes:
    """What the courier sends of the numbers on the task's page."""
    held = load.held_by_others(stage.running.stores, PARCELS)
    found = [record for record in held if record["tracking_number"] in page.text]
    assert len(found) == 2
    return "".join(json.dumps(record) + "\n" for record in found).encode()


def test_a_copy_holds_what_recipients_answered(stage: Stage) -> None:
    """At once by the webhook; and by hand, a file byte by byte."""
    story = Story(stage, WHO).ask().prove()
    waits(stage, story)
    executions = stage.client("stepfunctions").list_executions(
        stateMachineArn=stage.outputs["RequestWorkflow"].replace("dsr-request", "dsr-store"),
        statusFilter="RUNNING",
    )["executions"]
    assert not [e for e in executions if story.case_id in e["name"]], "no store is held open meanwhile"
    browser, page = at_the_task(stage, story)
    assert "Swiftwing Parcel" in page.text
    sent, slip = delivery_records(stage, page), bytes(range(256)) * 4
    page = browser.upload(page, page.form(action="/file"), "records.jsonl", sent)
    page = browser.upload(page, page.form(action="/file"), "slip.pdf", slip)
    assert "3 handed in so far" in page.text or "2 handed in so far" in page.text
    desk.close_task(browser, page, "answered")
    bundle = story.download()
    assert bundle.files["files/courier/slip.pdf"][0] == len(slip)
    parcels = bundle.records[PARCELS]
    bundle.records[PARCELS] = [record for record in parcels if "file_in_bundle" not in record]
    assert len(parcels) == len(bundle.records[PARCELS]) + 1
    assert [f for f in faults(story.truth(), bundle) if "in the manifest" not in f] == []
    visits = stage.book.visits(story.case_id)
    told = {v.store: v.answer for v in visits.values() if v.asked_at}
    assert told == {"mailing": "answered", "courier": "answered"}
    assert all(v.asked_at <= v.answered_at < v.answer_by for v in visits.values() if v.asked_at)


def test_a_deletion_tells_recipients_and_asks_what_is_left(stage: Stage) -> None:
    """The webhook answers by a callback through the public API, the courier through the desk."""
    stores = stage.running.stores
    story = Story(stage, WHO).ask(right="deletion").prove()
    theirs = story.truth()
    others = len(load.held_by_others(stores, SUBSCRIPTIONS)) - len(theirs[SUBSCRIPTIONS])
    stage.reaches(story.case_id, State.AWAITING_CONFIRMATION)
    page = story.look()
    form = page.form(action="/confirm-deletion")
    ticked = {name: values[0] for name, values in form.choices.items() if values}
    assert len(load.held_by_others(stores, SUBSCRIPTIONS)) > others, "nobody is told before it is confirmed"
    story.browser.submit(page, form, **ticked)
    waits(stage, story)
    assert len(load.held_by_others(stores, SUBSCRIPTIONS)) == others
    browser, page = at_the_task(stage, story)
    assert "Ask them to delete" in page.text
    assert all(record["tracking_number"] in page.text for record in theirs[PARCELS])
    desk.close_task(browser, page, "erased", "deleted, says their Bob")
    case = stage.reaches(story.case_id, State.ERASED_IN_PART)
    told = {v.store: v.answer for v in stage.book.visits(story.case_id, "erase@0").values() if v.asked_at}
    assert told == {"mailing": "erased", "courier": "erased"}
    again = stage.book.visits(story.case_id, "gather@1")
    assert {v.store: v.answer for v in again.values() if v.asked_at} == {"mailing": "gone"}
    content = stage.client("s3").get_object(Bucket=stage.outputs["BundlesBucket"], Key=case.certificate)
    key = story.browser.get(f"{stage.url}/.well-known/dsr/certificate-key.pem").body
    said = verify(content["Body"].read(), key)
    assert {r["name"]: r["answer"] for r in said["recipients"]} == {
        "Letterbird": "erased", "Swiftwing Parcel": "erased",
    }  # fmt: skip
    erased = {c["store"]: c["erased"] for c in said["collections"]}
    assert (erased["mailing"], erased["courier"]) == (len(theirs[SUBSCRIPTIONS]), len(theirs[PARCELS]))
