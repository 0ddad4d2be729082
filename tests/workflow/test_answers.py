"""What each person receives is the truth about them: by form, workflow and stores, down to the zip.

They ask at the same time, as people do, so that nothing of one case can hang on another's.
"""

import hashlib
import io
import os
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dsr.case import State
from infra.local.checks import Bundle, manifest_faults
from tests.workflow.stage import Stage
from tests.workflow.story import Story, faults

pytestmark = pytest.mark.cloud

Answers = dict[str, Future[tuple[Story, Bundle]]]

AT_ONCE = 2
# Whose records are all soundly theirs: nobody has to look.
PEOPLE = (
    "everything", "household_a", "household_b", "mixed_case", "name_chinese", "name_arabic",
    "name_apostrophe", "account_only", "many_logs", "quoted", "mistyped_author",
    "recycled_former", "shared_thread_a", "shared_thread_b", "same_original", "missing_original",
)  # fmt: skip


@pytest.fixture(scope="module")
def answers(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Answers]:
    """Everybody's request, under way; of those whose tests were chosen to run."""
    chosen = {item.callspec.params["who"] for item in request.session.items if _asks(item)}
    # Longest first.
    ordered = sorted(chosen, key=lambda who: (who != "many_logs", PEOPLE.index(who)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {who: pool.submit(_play, stage, who) for who in ordered}


def _asks(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and {"answers", "who"} <= set(item.fixturenames)


def _play(stage: Stage, who: str) -> tuple[Story, Bundle]:
    story = Story(stage, who).ask().prove()
    return story, story.download()


@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_receives_the_truth_about_themselves(stage: Stage, answers: Answers, who: str) -> None:
    story, bundle = answers[who].result()
    assert faults(story.truth(), bundle) == []
    assert story.case().state is State.DELIVERED
    assert bundle.manifest["case"] == story.case_id
    assert bundle.manifest["outcome"] == "delivered"
    assert "index.html" in bundle.files


def test_a_download_that_broke_off_goes_on_through_its_link(stage: Stage, answers: Answers) -> None:
    """By ranges, as browsers and download managers ask for what they have not got."""
    story, _ = next(iter(answers.values())).result()
    link = next(a for a in reversed(stage.addresses) if story.case_id in a and "X-Amz-Signature" in a)
    whole = _fetched(link, {})
    half = len(whole) // 2
    assert (
        _fetched(link, {"Range": f"bytes=0-{half - 1}"}) + _fetched(link, {"Range": f"bytes={half}-"})
        == whole
    )
    assert zipfile.is_zipfile(io.BytesIO(whole))


def _fetched(link: str, headers: dict[str, str]) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(link, headers=headers)) as answer:  # noqa: S310  the test's own
        assert answer.status == (206 if headers else 200)
        content: bytes = answer.read()
        return content


def test_a_large_file_passes_through_where_its_owner_does_not_let_s3_copy_it(stage: Stage) -> None:
    """The deployed roles grant no copy: S3 refuses once, and the person receives the file all the same."""
    story = Story(stage, "big_artwork")
    [member] = story.truth()["members", "members"]
    content = os.urandom(1024) * (17 * 1024)
    s3 = stage.cloud.client("s3")
    [bucket] = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].startswith("craftzone-pictures")]
    key = f"pictures/{member['member_id']}/film.bin"
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    try:
        bundle = story.ask().prove().download()
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
    assert bundle.files["files/pictures/film.bin"] == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest_faults(bundle) == []


def test_the_sample_is_what_the_tests_take_it_for(stage: Stage) -> None:
    for who in PEOPLE:
        assert not stage.community.doubtful_of(who), who
    everything = stage.community.records_of("everything")
    assert len({store for store, _ in everything}) == 10  # all but the courier
    assert sum(map(len, stage.community.records_of("many_logs").values())) > 20_000


def test_staging_is_empty_once_the_bundle_is_made(stage: Stage, answers: Answers) -> None:
    done = [future.result()[0] for future in answers.values()]
    for story in done:
        stage.settled(story.case_id)
        assert stage.versions(stage.outputs["StagingBucket"], f"cases/{story.case_id}/") == []
