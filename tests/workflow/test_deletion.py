"""Deletions through the deployed workflow, each followed by a look at every record of everybody."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from dsr.case import State
from dsr.casebook import now
from dsr.certificate import verify
from dsr.datamap.plan import to_json
from infra.craftzone import load
from infra.craftzone.load import Snapshot
from infra.local import checks, demo, erasure_checks, site
from infra.local.browser import Page
from tests.workflow.stage import Stage
from tests.workflow.story import Story, path_of
from tests.workflow.test_desk import signed_in

pytestmark = [pytest.mark.cloud]

LATE = "00000000-0000-4000-8000-000000000001"
ERASED = (State.ERASED, State.ERASED_IN_PART)


@pytest.fixture(autouse=True, scope="module")
def community_afterwards(stage: Stage) -> Iterator[None]:
    """Those who were deleted are put back for the tests that follow."""
    yield
    load.load(stage.community, stage.running.stores)


def snapshot(stage: Stage) -> Snapshot:
    return load.snapshot(stage.running.stores)


def faults(stage: Stage, who: str, before: Snapshot) -> list[str]:
    """What is wrong in the stores after the deletion of `who`."""
    truth = {c: list(records) for c, records in stage.community.records_of(who).items()}
    needles = checks.Needles(stage.community.personal_values_of(who))
    return erasure_checks.faults(stage.plan, truth, before, snapshot(stage), needles)


class Deletion(Story):
    """A request for deletion as its person lives it."""

    def ask(self, email: str = "", **answers: str) -> "Deletion":
        super().ask(email, right="deletion", **answers)
        return self

    def confirm_plan(self, wait: bool = False) -> Page:
        """Read the plan and confirm it; where a copy is not handed over yet, `wait` for it or do not.

        Other tests on this cloud leave copies of the same people behind.
        """
        self.reaches(State.AWAITING_CONFIRMATION)
        page = self.look()
        form = page.form("sure", action="/confirm-deletion")
        waive = {"waive": "yes"} if "waive" in form.choices and not wait else {}
        self.page = self.browser.submit(page, form, sure="yes", **waive)
        return self.page

    def certificate(self) -> dict[str, Any]:
        """Wait until all is erased; the certificate by the page's link, checked with the published key."""
        self.reaches(*ERASED)
        page = self.look()
        link = next(link for link in page.links if link.endswith("/certificate"))
        content = self.browser.get(demo.absolute(page, link)).body
        key = self.browser.get(f"{self.stage.url}/.well-known/dsr/certificate-key.pem").body
        return verify(content, key)


def test_exactly_what_is_theirs_is_gone_and_the_certificate_says_so(stage: Stage) -> None:
    # Two at a time: each case minds its own person, and everybody else is compared once.
    people = (
        "everything",
        "household_a",
        "shared_thread_a",
        "name_apostrophe",
        "name_arabic",
        "account_only",
    )
    before = snapshot(stage)
    with ThreadPoolExecutor(2) as pool:
        said = dict(zip(people, pool.map(lambda who: _deleted(stage, who), people), strict=True))
    assert erasure_checks.faults_of_all(stage.plan, stage.community, people, before, snapshot(stage)) == []
    # Of files every version is counted; all else is one to one.
    files = {("pictures", "pictures"), ("artwork", "originals")}
    for who in people:
        found = {(c["store"], c["collection"]): c["found"] for c in said[who]["collections"]}
        truth = stage.community.records_of(who)
        assert {c: n for c, n in found.items() if c not in files} == {
            c: len(records) for c, records in truth.items() if c not in files
        }, who


def _deleted(stage: Stage, who: str) -> dict[str, Any]:
    story = Deletion(stage, who).ask()
    story.prove()
    story.confirm_plan()
    said = story.certificate()
    assert stage.versions(stage.outputs["StagingBucket"], f"cases/{story.case_id}/") == []
    assert story.mail("deleted").subject
    return said


def test_a_strangers_record_under_their_address_stays(stage: Stage) -> None:
    before = snapshot(stage)
    story = Deletion(stage, "mistyped_victim").ask()
    story.prove()
    case = story.reaches(State.NEEDS_ATTENTION)
    for point in case.attention:
        stage.command("case", "judge", story.case_id, point.about, "--exclude")
    story.confirm_plan()
    story.certificate()
    assert faults(stage, "mistyped_victim", before) == []


def test_what_arrives_while_a_store_is_down_is_found_and_erased_too(stage: Stage) -> None:
    who = "household_b"
    before = snapshot(stage)
    story = Deletion(stage, who).ask()
    story.prove()
    story.reaches(State.AWAITING_CONFIRMATION)
    member = story.person.key
    with stage.renamed("site", "visits"):
        story.confirm_plan()
        case = story.reaches(State.NEEDS_ATTENTION)
        assert [(p.visit, p.reason) for p in case.attention] == [
            (stage.visit_of("site"), "missing_collection")
        ]
        # Their account is frozen and much of it gone; a job of the site writes on all the same.
        with stage.database("events") as events:
            events.execute(
                "INSERT INTO event_entries"
                " (entry_id, event, member_id, name, email, mailing_address, entered_at)"
                " VALUES (%s, 'Late', %s, 'Late', 'late@example.com', '{}', now())",
                (LATE, member),
            )
            events.execute(
                "INSERT INTO artworks (artwork_id, entry_id, title, object_key, posted_at)"
                " VALUES (999999999999, %s, 'Late', 'late/one.png', now())",
                (LATE,),
            )
        bucket = stage.running.stores.artwork_bucket
        stage.client("s3").put_object(Bucket=bucket, Key="late/one.png", Body=b"late")
    stage.command("case", "retry", story.case_id)
    story.certificate()
    assert "found_again" in {event.name for event in stage.book.events(story.case_id)}
    assert stage.versions(bucket, "late/") == []
    assert faults(stage, who, before) == []


def test_a_worker_killed_while_it_erases_leaves_nothing_and_takes_nothing_else(stage: Stage) -> None:
    who = "many_logs"
    before = snapshot(stage)
    story = Deletion(stage, who).ask()
    with stage.environment("store-sql", BUDGET_SECONDS="0"):
        story.prove()
        story.reaches(State.AWAITING_CONFIRMATION)
        with stage.held("site", "visits") as held:
            story.confirm_plan()
            for _ in range(2):
                held.let_one_pass()
            held.waiting().kill()
        story.certificate()
    erased = stage.book.visits(story.case_id, "erase@0")[stage.visit_of("site")]
    assert erased.calls > 5
    assert faults(stage, who, before) == []


def test_the_second_deletion_joins_the_first_and_the_copy_comes_before_both(stage: Stage) -> None:
    who = "name_chinese"
    before = snapshot(stage)
    copy = Story(stage, who).ask()
    copy.prove()
    copy.reaches(State.READY)
    first = Deletion(stage, who).ask()
    first.prove()
    first.confirm_plan(wait=True)
    second = Deletion(stage, who).ask()
    second.prove()
    assert second.reaches(State.CLOSED).joined == first.case_id
    # It waits for the copy, which is not handed over yet.
    stage.keep_clocks()
    assert first.case().state is State.COOLING_OFF
    assert copy.download().records
    stage.keep_clocks()
    first.certificate()
    assert faults(stage, who, before) == []
    # The copy that was handed over is not kept for download any longer than what it copied.
    assert copy.case().state is State.CLOSED
    assert stage.versions(stage.outputs["BundlesBucket"], f"bundles/{copy.case_id}/") == []


def test_who_does_not_want_to_wait_for_the_copy_does_not(stage: Stage) -> None:
    copy = Story(stage, "shared_thread_b").ask()
    copy.prove()
    copy.reaches(State.READY)
    before = snapshot(stage)
    story = Deletion(stage, "shared_thread_b").ask()
    story.prove()
    story.confirm_plan()
    story.certificate()
    assert faults(stage, "shared_thread_b", before) == []


RESTRICTED = "restricted"  # a map that marks the pages somebody opened while their deletion cools off


def test_neither_a_dry_run_nor_a_cancelled_deletion_deletes_anything(stage: Stage) -> None:
    before = snapshot(stage)
    story = Deletion(stage, "quoted").ask()
    story.prove()
    case = story.reaches(State.AWAITING_CONFIRMATION)
    agent, page = signed_in(stage, "agents", f"/desk/cases/{story.case_id}")
    page = agent.submit(page, page.form(action="/dry-run"))
    assert "The dry run has begun" in page.text
    dry_id = path_of(page).rpartition("/")[2]
    stage.cases.append(dry_id)
    dry = stage.reaches(dry_id, State.CLOSED)
    assert (dry.dry_run, dry.outcome, dry.plan) == (True, "planned", case.plan)
    stage.settled(dry_id)
    assert stage.versions(stage.outputs["StagingBucket"], f"cases/{dry_id}/") == []
    page = agent.get(f"{stage.url}/desk/cases/{dry_id}")
    assert "A dry run: nothing is frozen, told or deleted by it" in page.text
    assert all(entry["title"] in page.text for entry in case.plan.values())
    assert snapshot(stage) == before

    # While it cools off its person's records are marked; cancelled, they are as they were.
    opened = _pages(stage, story.person.key)
    [*_, one] = opened.values()
    restrict = {"set": {"page": "stored only"}, "lift": {"page": one}}
    _by_map(stage, story.case_id, RESTRICTED, restrict=restrict)
    with stage.environment("public-web", COOLING_HOURS="1"):
        story.confirm_plan()
        story.reaches(State.COOLING_OFF)
        marked = dict.fromkeys(opened, "stored only")
        stage.until("the records to be marked", lambda: _pages(stage, story.person.key) == marked)
        page = story.look()
        story.page = story.browser.submit(page, page.form(action="/withdraw"))
    story.reaches(State.WITHDRAWN)
    lifted = dict.fromkeys(opened, one)
    stage.until("the marks to be lifted", lambda: _pages(stage, story.person.key) == lifted)
    stage.settled(story.case_id)
    with stage.database("site") as database:
        for visit, page_was in opened.items():
            database.execute("UPDATE visits SET page = %s WHERE visit_id = %s", (page_was, visit))
    assert snapshot(stage) == before


def test_an_account_deleted_on_the_site_is_deleted_everywhere(stage: Stage) -> None:
    who = "quoted"
    before = snapshot(stage)
    stage.people.add(who)
    [case_id] = site.tell_deleted(stage.cloud, stage.community, [who]).values()
    stage.cases.append(case_id)
    stage.until("the case of the site's event", lambda: stage.opened(case_id))
    case = stage.reaches(case_id, *ERASED)
    assert (case.channel, case.contacts) == ("site", ())
    assert faults(stage, who, before) == []


LAGGED = "lagged"  # a map whose page views are exported every night
BACK = 999_999_999_999


def test_what_a_copy_brings_back_is_read_again_and_what_a_backup_brings_back_is_known(stage: Stage) -> None:
    who = "mixed_case"
    before = snapshot(stage)
    story = Deletion(stage, who).ask()
    story.prove()
    story.reaches(State.AWAITING_CONFIRMATION)
    export = {"kind": "export", "name": "nightly export", "lag": "P1D"}
    _by_map(stage, story.case_id, LAGGED, copies=(export,))
    story.confirm_plan()
    assert story.certificate()["verification"]["again_at"]
    case, staging = story.case(), stage.outputs["StagingBucket"]
    assert case.check_at
    assert stage.versions(staging, f"cases/{story.case_id}/"), "the snapshot waits for the copy"
    _bring_back(stage, story.person.key)
    stage.settled(story.case_id)
    stage.alter(story.case_id, check_at=now().isoformat())
    stage.keep_clocks()
    case = stage.until("the second read", lambda: found if (found := story.case()).checked_at else None)
    assert case.state in ERASED
    assert case.erased_at
    assert case.checked_at
    names = [event.name for event in stage.book.events(story.case_id)]
    assert [n for n in names[names.index("checking_again") :] if n != "notice_sent"] == [
        "checking_again", "found_again", "erased", "nothing_left", "checked_again",
    ]  # fmt: skip
    # What was checked is on the case a moment before the snapshot goes.
    stage.until("the snapshot to go", lambda: not stage.versions(staging, f"cases/{story.case_id}/"))
    assert faults(stage, who, before) == []

    # Long afterwards the table comes back from a backup, of all people.
    _bring_back(stage, story.person.key)
    known = {case.case_id for case in stage.book.open_cases()}
    others = stage.community.person("recycled_mailbox").key  # never deleted here
    locators = {"members.members.member_id": [others, story.person.key]}
    entry = {
        "EventBusName": "dsr-site", "Source": "craftzone.site", "DetailType": "collection.restored",
        "Detail": json.dumps({"collection": "site.visits", "locators": locators}),
    }  # fmt: skip
    stage.client("events").put_events(Entries=[entry])
    follow_up = stage.until(
        "a case for who came back",
        lambda: next((c for c in stage.book.open_cases() if c.case_id not in known), None),
    )
    stage.cases.append(follow_up.case_id)
    assert follow_up.channel == "restore"
    assert follow_up.erased_at
    assert case.erased_at < follow_up.erased_at <= case.checked_at, "erased last by the second read"
    stage.reaches(follow_up.case_id, *ERASED)
    assert faults(stage, who, before) == []


def _by_map(stage: Stage, case_id: str, version: str, **changes: Any) -> None:
    """From here on the case goes by a map that says something else of the pages that somebody opened."""
    collections = dict(stage.plan.collections)
    collections["site.visits"] = replace(collections["site.visits"], **changes)
    plan = replace(stage.plan, collections=collections, version=version)
    stage.client("s3").put_object(
        Bucket=stage.outputs["StagingBucket"], Key=f"plans/{version}.json", Body=to_json(plan).encode()
    )
    # Before it waits, a step may still write the case as it read it, and so the earlier map's name.
    stage.until("its workflow to wait", lambda: stage.book.get(case_id).token, case_id=case_id)
    stage.alter(case_id, map_version=version)


def _pages(stage: Stage, member: str) -> dict[int, str]:
    """The pages that somebody opened, by visit."""
    with stage.database("site") as database:
        return dict(
            database.execute("SELECT visit_id, page FROM visits WHERE member_id = %s", [member]).fetchall()
        )


def _bring_back(stage: Stage, member: str) -> None:
    with stage.database("site") as database:
        database.execute(
            "INSERT INTO visits (visit_id, member_id, at, page, device) VALUES (%s, %s, now(), '/', '{}')",
            (BACK, member),
        )
