"""What ends by itself: a wait for proof, a bundle's days, the key under which the personal content lies."""

from datetime import UTC, datetime, timedelta

import pytest

from dsr import casekey
from dsr.case import Case, State
from dsr.errors import NotFound
from tests.workflow.stage import Stage
from tests.workflow.story import Story

pytestmark = pytest.mark.cloud


def _past(**passed: int) -> str:
    return (datetime.now(UTC) - timedelta(**passed)).isoformat()


def _object_places(stage: Stage, case: Case) -> list[str]:
    return [
        version
        for bucket, prefix in (("BundlesBucket", "bundles"), ("StagingBucket", "cases"))
        for version in stage.versions(stage.outputs[bucket], f"{prefix}/{case.case_id}/")
    ]


def test_a_request_that_nobody_confirms_ends_with_a_notice(stage: Stage) -> None:
    story = Story(stage, "account_only").ask()
    code = story.code()
    story.reaches(State.AWAITING_IDENTITY)
    stage.alter(story.case_id, expires_at=_past(seconds=1))
    stage.keep_clocks()
    assert "ask again at any time" in story.mail("your request has ended").text
    case = stage.settled(story.case_id)
    assert (case.state, case.notices) == (State.EXPIRED, ("expired",))
    assert stage.execution(case)["status"] == "SUCCEEDED"
    assert stage.book.visits(story.case_id) == {}  # nothing was looked up
    # A code that comes too late proves the mailbox and opens nothing.
    story.enter(code)
    assert story.case().state is State.EXPIRED
    stage.keep_clocks()
    assert len([mail for mail in story.mails() if "has ended" in mail.subject]) == 1


def test_a_bundle_is_removed_on_its_day_and_its_key_later(stage: Stage) -> None:
    story = Story(stage, "household_a").ask().prove()
    story.download()
    case = stage.settled(story.case_id)
    assert stage.versions(stage.outputs["BundlesBucket"], f"bundles/{story.case_id}/")
    stage.alter(story.case_id, expires_at=_past(seconds=1))
    stage.keep_clocks()
    closed = story.case()
    assert (closed.state, closed.bundle) == (State.CLOSED, {})
    assert _object_places(stage, case) == []
    page = story.browser.get(f"{stage.url}/requests/{story.case_id}/download")
    assert not page.has_form(action="/download")

    # Until its days are over the content stays readable: a complaint may need it.
    stage.keep_clocks()
    assert stage.book.requester(story.case()).contacts == (story.person.email,)
    stage.alter(story.case_id, updated_at=_past(days=31))
    stage.keep_clocks()
    end = story.case()
    assert (end.state, end.key_destroyed) == (State.CLOSED, True)
    casekey._identity.cache_clear()  # of this process, which opened the case above
    with pytest.raises(NotFound):
        stage.book.requester(end)
    keys = stage.client("dynamodb").get_item(
        TableName=stage.outputs["CaseKeysTable"], Key={"case_id": {"S": story.case_id}}, ConsistentRead=True
    )
    assert "Item" not in keys
    assert [event.name for event in stage.book.events(story.case_id)][-2:] == ["closed", "key_destroyed"]
    # And it is not looked at any more.
    assert story.case_id not in {case.case_id for case in stage.book.open_cases()}


def test_the_clock_runs_by_itself(stage: Stage) -> None:
    schedule = stage.client("scheduler").get_schedule(Name="dsr-keep-clocks")
    assert (schedule["State"], schedule["ScheduleExpression"]) == ("ENABLED", "rate(15 minutes)")
    assert schedule["Target"]["Arn"].endswith(":function:dsr-keep-clocks")
