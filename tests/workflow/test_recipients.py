"""Recipients as deployed: asked by real HTTP, answered at once, later, by an agent of the desk, or too late.

The sample's own: its mailing provider, and the courier, who is asked of nobody but the persona `rewarded`
here (`couriered`). So no other story waits for an agent.
"""

import json
from hashlib import sha256

import pytest

from dsr.case import State
from dsr.casebook import now
from dsr.certificate import verify
from infra.craftzone import load
from infra.craftzone.holdings import PARCELS, REWARDS, SUBSCRIPTIONS
from infra.local import demo, desk
from infra.local.browser import Browser, Page
from infra.local.checks import record_faults
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


def test_a_copy_in_part_is_followed_by_what_the_courier_answers_late(stage: Stage) -> None:
    """The mailing provider answers at once, by webhook; the courier once the rest has been handed over.

    A file of bytes that are no text is handed in by tests/unit/test_tasks.py: the local cloud does not read
    the media types of an OpenAPI body.
    """
    story = Story(stage, WHO).ask().prove()
    visit = waits(stage, story)
    executions = stage.client("stepfunctions").list_executions(
        stateMachineArn=stage.outputs["RequestWorkflow"].replace("dsr-request", "dsr-store"),
        statusFilter="RUNNING",
    )["executions"]
    assert not [e for e in executions if story.case_id in e["name"]], "no store is held open meanwhile"
    agent, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    page = agent.submit(page, page.form("visit", action="/leave-out"))
    assert "goes on without this store" in page.text
    copy, whole = story.download(), story.truth()
    assert (copy.manifest["outcome"], copy.manifest["missing_why"]) == (
        "delivered_in_part", {"courier.parcels": "awaited"},
    )  # fmt: skip
    assert faults({c: r for c, r in whole.items() if c != PARCELS}, copy) == []
    page = story.look()
    assert "Parcels with your rewards: Swiftwing Parcel was asked and has not answered yet" in page.text

    agent, page = at_the_task(stage, story)
    assert "Swiftwing Parcel" in page.text
    sent, slip = delivery_records(stage, page), "délivré".encode() * 400
    page = agent.upload(page, page.form(action="/file"), "records.jsonl", sent)
    page = agent.upload(page, page.form(action="/file"), "slip.txt", slip)
    assert "2 handed in so far" in page.text
    desk.close_task(agent, page, "answered")
    assert demo.offers_download(story.look()), "the copy is there meanwhile"
    assert stage.keep_clocks()["followed_up"] == 1
    stage.reaches(story.case_id, State.READY)
    assert "supplement" in story.mail("the rest of your data is ready").text
    page = story.look()
    assert "What was missing in your copy has come" in page.text
    supplement = story.download(part=2)
    assert (supplement.manifest["supplement"], supplement.manifest["outcome"]) == (True, "delivered")
    assert supplement.files["files/courier/slip.txt"] == (len(slip), sha256(slip).hexdigest())
    records = [r for r in supplement.records[PARCELS] if "file_in_bundle" not in r]
    assert len(records) == len(supplement.records[PARCELS]) - 1
    supplement.records[PARCELS] = records
    assert record_faults({PARCELS: whole[PARCELS]}, supplement) == []
    visits = stage.book.visits(story.case_id)
    told = {v.store: v.answer for v in visits.values() if v.asked_at}
    assert told == {"mailing": "answered", "courier": "answered"}
    assert visits[visit].asked_at < visits[visit].answered_at < visits[visit].answer_by
    assert stage.versions(stage.outputs["StagingBucket"], f"cases/{story.case_id}/") == []


def test_a_deletion_tells_recipients_and_asks_what_is_left(stage: Stage) -> None:
    """The webhook answers by a callback through the public API, the courier through the desk."""
    stores = stage.running.stores
    story = Story(stage, WHO).ask(right="deletion").prove()
    theirs = story.truth()
    old, young = (record["reward_id"] for record in theirs[REWARDS])
    with stage.database("events") as database:  # so the law that keeps its papers has ended
        database.execute(
            "UPDATE rewards SET sent_at = sent_at - interval '8 years' WHERE reward_id = %s", [old]
        )
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
    told_of = {c["store"]: (c["found"], c["told"]["of"]) for c in said["collections"] if "told" in c}
    assert told_of == {"mailing": (1, "number"), "courier": (len(theirs[PARCELS]), "number")}

    # What the law kept until a day that is over goes by itself, once the clock sees it.
    kept = [stage.book.get(case_id) for case_id in case.followed_by]
    due = [k for k in kept if k.expires_at and k.expires_at <= now()]
    assert due
    assert len(due) < len(kept)
    stage.keep_clocks()
    for waiting in due:
        stage.cases.append(waiting.case_id)
        assert stage.reaches(waiting.case_id, State.ERASED).follows == case.case_id
    with stage.database("events") as database:
        left = database.execute("SELECT reward_id FROM rewards WHERE reward_id = ANY(%s)", [[old, young]])
        assert left.fetchall() == [(young,)]
