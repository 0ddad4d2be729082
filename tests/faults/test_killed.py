"""Every step can be cut anywhere and done again: out of time, killed, told twice. Nothing lost or doubled."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from dsr.case import State
from infra.craftzone.personas import MANY_LOGS
from tests.workflow.stage import Stage
from tests.workflow.story import Story, faults

pytestmark = [pytest.mark.cloud, pytest.mark.faults]

KILLS = 2  # of the five retries that a step has
PAGE = 2000  # rows that the SQL worker reads at once


@pytest.fixture(autouse=True, scope="module")
def out_of_time(stage: Stage) -> Iterator[None]:
    """Workers without any time: each call does the least it can and saves its place."""
    with ExitStack() as stack:
        for function in ("store-sql", "store-dynamodb", "build-bundle"):
            stack.enter_context(stage.environment(function, BUDGET_SECONDS="0"))
        yield


def test_a_worker_killed_in_the_middle_of_a_visit_leaves_no_gap_and_no_double(stage: Stage) -> None:
    story, visit = Story(stage, "many_logs").ask(), stage.visit_of("site")
    with stage.held("site", "visits") as held:
        story.prove()
        for _ in range(3):
            held.let_one_pass()
        worker = held.waiting()
        done = stage.book.visits(story.case_id)[visit]
        assert (done.outcome, done.counts) == ("continue", {"visits": 3 * PAGE})
        worker.kill()
        psutil.wait_procs([worker], timeout=10)
    bundle = story.download()
    assert faults(story.truth(), bundle) == []
    assert stage.book.visits(story.case_id)[visit].calls >= MANY_LOGS / PAGE
    assert len(stage.logged("build-bundle", story.case_id, "step done")) > 2


def test_two_workers_at_one_visit_disturb_nothing(stage: Stage) -> None:
    # As when a worker was taken for dead, another was sent, and the first one comes back.
    story, visit = Story(stage, "many_logs").ask(), stage.visit_of("site")
    with stage.held("site", "visits") as held, ThreadPoolExecutor(1) as pool:
        story.prove()
        held.waiting()
        second = pool.submit(
            stage.invoke, "store-sql", {"case_id": story.case_id, "visit": visit, "verb": "gather"}
        )
        held.waiting(2)
        held.let_go()
        bundle = story.download()
        told = second.result()
    # Whoever saves first goes on; the other one is overtaken.
    assert told.get("outcome") in ("continue", "done") or "Conflict" in told["errorMessage"]
    assert faults(story.truth(), bundle) == []


def test_a_bundle_whose_maker_is_killed_again_and_again_is_whole(stage: Stage) -> None:
    story = Story(stage, "everything").ask()
    progress = f"cases/{story.case_id}/bundle/progress"
    story.prove()
    stage.until(
        "the bundle to be begun",
        lambda: stage.versions(stage.outputs["StagingBucket"], progress),
        case_id=story.case_id,
    )
    killed: set[int] = set()
    while len(killed) < KILLS and story.case().state is State.BUNDLING:
        for worker in stage.workers("build-bundle"):
            if worker.pid not in killed:
                worker.kill()
                killed.add(worker.pid)
    bundle = story.download()
    assert killed
    assert faults(story.truth(), bundle) == []
    bundles = stage.outputs["BundlesBucket"]
    assert len(stage.versions(bundles, f"bundles/{story.case_id}/")) == 1
    unfinished = stage.client("s3").list_multipart_uploads(Bucket=bundles).get("Uploads", [])
    assert [upload["Key"] for upload in unfinished if story.case_id in upload["Key"]] == []


def test_steps_told_again_after_the_end_change_nothing(stage: Stage) -> None:
    story = Story(stage, "household_a").ask().prove()
    bundle = story.download()
    case, mails = stage.settled(story.case_id), len(story.mails())
    visits = stage.book.visits(story.case_id)
    event = {"case_id": story.case_id}
    assert stage.invoke("take-up-case", event | {"attempt": case.attempt})["step"] == "rest"
    for function in ("resolve-subject", "conclude-gathering", "build-bundle"):
        assert "errorType" not in stage.invoke(function, event), function
    for visit in visits.values():
        kind = stage.plan.stores[visit.store].kind
        assert stage.invoke(f"store-{kind}", event | {"visit": visit.visit, "verb": "gather"}) == {
            "outcome": "done"
        }
    assert stage.invoke("send-notice", event | {"notice": "ready"})["sent"] == 0
    assert stage.book.get(story.case_id) == case
    assert stage.book.visits(story.case_id) == visits
    assert len(story.mails()) == mails
    assert story.download().files.keys() == bundle.files.keys()
    assert json.dumps(story.case().bundle) == json.dumps(case.bundle)
