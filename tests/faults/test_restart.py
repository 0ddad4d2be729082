"""The whole cloud stops in the middle of cases and starts again: the reconciler takes every case up."""

import pytest

from dsr.case import State
from tests.workflow.stage import Stage
from tests.workflow.story import Story, faults

pytestmark = [pytest.mark.cloud, pytest.mark.faults]


def test_cases_that_a_stop_cut_off_go_on_from_where_they_stood(stage: Stage) -> None:
    waiting = Story(stage, "account_only").ask()
    code = waiting.code()
    waiting.reaches(State.AWAITING_IDENTITY)
    signing_in = Story(stage, "household_b").ask()
    signing_in.confirm()
    signing_in.asked_to_sign_in()
    gathering = Story(stage, "everything").ask()
    with stage.held("site", "visits") as held:
        gathering.prove()
        held.waiting()
        stage.stop_and_start()
    assert gathering.case().state is State.GATHERING
    assert stage.execution(gathering.case())["status"] != "RUNNING"
    # Whoever proves who they are before the reconciler comes loses nothing by it.
    waiting.enter(code)
    assert waiting.case().state is State.RESOLVING
    stage.keep_clocks()  # unless the scheduler, which starts anew as well, was quicker
    assert faults(gathering.truth(), gathering.download()) == []
    waiting.asked_to_sign_in()
    waiting.sign_in()
    assert faults(waiting.truth(), waiting.download()) == []
    signing_in.look()
    signing_in.sign_in()
    assert faults(signing_in.truth(), signing_in.download()) == []
    for story in (gathering, waiting, signing_in):
        assert "restarted" in {event.name for event in stage.book.events(story.case_id)}
    # What runs is left alone.
    again = Story(stage, "account_only").ask()
    again.reaches(State.AWAITING_IDENTITY)
    stage.keep_clocks()
    assert stage.executions(again.case_id) == [f"{again.case_id}-1"]
