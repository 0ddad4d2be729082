"""The review of a copy: from what the builder finds, over the desk, to what stands in the zip."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from dsr.bundling import bundle
from dsr.case import Case, State
from dsr.deciding import Desk
from dsr.errors import Conflict
from dsr.redaction.review import PER_PART, Review
from dsr.web.desk.roles import Role
from tests.conftest import REGION
from tests.unit.bureau import Bureau, bureau_open
from tests.unit.world import BUNDLES, STAGING, WORKFLOW, Context

GROUP = "support.tickets|body|names"
CHARLES = {
    "id": "T-1",
    "opened_by": "Ada Lovelace",
    "body": "Hi Charles,\nthe <b>laser</b> stops",
    "note": "hidden",
}
MARY = {"id": "T-2", "body": "Dear Mrs. Somerville, write to bob@example.net or to ada@example.com"}
PLAIN = {"id": "T-3", "body": "It stops at ninety percent."}


@pytest.fixture(scope="module")
def bureau(shared_cloud: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with bureau_open(tmp_path_factory.mktemp("map")) as opened:
        yield opened


def built(bureau: Bureau, case: Case) -> zipfile.ZipFile:
    """The bundle, made to its end."""
    assert bundle({"case_id": case.case_id}, Context())["outcome"] == "done"
    assert bureau.world.book.get(case.case_id).state is State.READY
    key = f"bundles/{case.case_id}/{case.case_id}.zip"
    content = boto3.client("s3", region_name=REGION).get_object(Bucket=BUNDLES, Key=key)["Body"].read()
    return zipfile.ZipFile(io.BytesIO(content))


def bodies(opened: zipfile.ZipFile) -> dict[str, str]:
    lines = opened.read("data/support/tickets.jsonl").splitlines()
    return {record["id"]: record["body"] for record in map(json.loads, lines)}


def digests(page: Any) -> list[str]:
    return list(dict.fromkeys(re.findall(r'name="on-([0-9a-f]+)"', page.body)))


def test_without_anything_to_look_at_nothing_stops(bureau: Bureau) -> None:
    case = bureau.bundling([PLAIN])
    opened = built(bureau, case)
    assert bodies(opened) == {"T-3": PLAIN["body"]}
    report = json.loads(opened.read("redactions.json"))
    assert report["replaced"] == []
    assert report["left_out"] == [
        {"files": ["data/support/tickets.jsonl"], "field": "note", "why": "it names a colleague"}
    ]


def test_the_case_waits_and_says_nothing_personal(bureau: Bureau) -> None:
    case = bureau.reviewed([CHARLES, MARY, PLAIN])
    assert (case.state, case.resume) == (State.NEEDS_ATTENTION, State.BUNDLING)
    assert [(p.visit, p.reason, p.about) for p in case.attention] == [
        ("0-support", "review", "support.tickets")
    ]
    kept = json.dumps(
        [str(part) for name in ("case", "event#") for part in bureau.world.book.parts(case.case_id, name)]
    )
    assert not any(word in kept for word in ("Charles", "Somerville", "laser", "example"))
    s3 = boto3.client("s3", region_name=REGION)
    for key in bureau.world.objects(STAGING, f"cases/{case.case_id}/review/"):
        assert b"Charles" not in s3.get_object(Bucket=STAGING, Key=key)["Body"].read(), "sealed"
    assert bureau.world.objects(BUNDLES, f"bundles/{case.case_id}/") == [], "nothing is handed over"
    with pytest.raises(Conflict):
        Desk(bureau.world.book, STAGING, WORKFLOW, "a").retry(case)
    with pytest.raises(Conflict):
        Desk(bureau.world.book, STAGING, WORKFLOW, "a").leave_out(case, "0-support")


def test_an_agent_sees_each_place_in_its_record(bureau: Bureau) -> None:
    case = bureau.reviewed([CHARLES, MARY, PLAIN])
    looked = bureau.browser(Role.AUDITOR)
    case_page = looked.get(f"/desk/cases/{case.case_id}")
    assert "may be about other people" in case_page.text
    page = looked.get(f"/desk/cases/{case.case_id}/review")
    assert "<mark>Charles</mark>" in page.body
    assert "the &lt;b&gt;laser&lt;/b&gt; stops" in page.body
    assert "<mark>Mrs. Somerville</mark>" in page.body
    assert "[email address of another person removed] or to ada@example.com" in page.text
    assert "Ada Lovelace" in page.text, "the rest of the record"
    assert "hidden" not in page.body, "what nobody is handed"
    assert "bob@example.net" not in page.body
    assert "ninety percent" not in page.body
    assert "<button" not in page.body.partition("<main")[2]
    assert digests(page) == []
    looks = list(bureau.world.book.parts(case.case_id, "look#"))
    assert len(looks) == 1, "the look is on record"


def test_by_the_decisions_of_an_agent_the_copy_is_made(bureau: Bureau) -> None:
    case = bureau.reviewed([CHARLES, MARY, PLAIN])
    agent = bureau.browser(Role.AGENT)
    path = f"/desk/cases/{case.case_id}/review"
    first, second = digests(agent.get(path))
    sent = {"version": str(case.version), "group": GROUP, "part": "0", "number": "0"}
    page = agent.post(path, {**sent, f"on-{first}": "disclose"})
    assert page.location.endswith("/review?done=review-part&group=0&part=0")
    moved = bureau.world.book.get(case.case_id)
    assert moved.state is State.NEEDS_ATTENTION
    again = agent.get(path)
    assert "1 of 2" in again.text
    assert re.search(rf'id="disclose-{first}"[^>]* checked', again.body)
    # An old page, a place that is not there, a word that is none: nothing is decided.
    for stale, status in (
        ({**sent, f"on-{second}": "redact"}, 409),
        ({**sent, "version": str(moved.version), "on-0123": "redact"}, 409),
        ({**sent, "version": str(moved.version), "group": "x|y|z", "all": "redact"}, 409),
        ({**sent, "version": str(moved.version), f"on-{second}": "publish"}, 422),
        ({**sent, "version": str(moved.version)}, 422),
    ):
        assert agent.post(path, stale).status == status, stale
        assert bureau.world.book.get(case.case_id) == moved
    page = agent.post(path, {**sent, "version": str(moved.version), f"on-{second}": "redact"})
    assert page.location.endswith(f"/desk/cases/{case.case_id}?done=review")
    resumed = bureau.world.book.get(case.case_id)
    assert (resumed.state, resumed.attention, resumed.attempt) == (State.BUNDLING, (), case.attempt + 1)
    opened = built(bureau, resumed)
    assert bodies(opened) == {
        "T-1": CHARLES["body"],
        "T-2": "Dear [name of another person removed], write to [email address of another person removed] "
        "or to ada@example.com",
        "T-3": PLAIN["body"],
    }
    replaced = json.loads(opened.read("redactions.json"))["replaced"]
    assert [(r["field"], r["what"].split(" of ")[0], r["places"], r["decided_by"]) for r in replaced] == [
        ("body", "email addresses", 1, "rule"),
        ("body", "names", 1, "a person"),
    ]
    assert not any(b"bob" in opened.read(n) or b"Somerville" in opened.read(n) for n in opened.namelist())
    assert bureau.world.objects(STAGING, f"cases/{case.case_id}/") == []
    about = [e.about for e in bureau.world.book.events(case.case_id) if e.name == "reviewed"]
    assert about == [{"decision": "each", "records": "1"}] * 2


def test_many_are_decided_alike_and_found_page_by_page(bureau: Bureau) -> None:
    many = [{"id": f"T-{n}", "body": f"Hi Charles, the {n}th"} for n in range(PER_PART + 3)]
    case = bureau.reviewed(many)
    agent = bureau.browser(Role.AGENT)
    path = f"/desk/cases/{case.case_id}/review"
    pages = [agent.get(f"{path}?group=0&part={n}") for n in range(2)]
    assert [len(digests(page)) for page in pages] == [PER_PART, 3]
    assert len({*digests(pages[0]), *digests(pages[1])}) == len(many)
    assert agent.get(f"{path}?group=9&part=99").status == 200
    sent = {"version": str(case.version), "group": GROUP, "all": "redact"}
    assert agent.post(path, sent).location.endswith("?done=review")
    opened = built(bureau, case)
    assert set(bodies(opened).values()) == {
        f"Hi [name of another person removed], the {n}th" for n in range(23)
    }
    [event] = [e for e in bureau.world.book.events(case.case_id) if e.name == "reviewed"]
    assert event.about == {"decision": "redact", "records": str(len(many))}


def test_what_changes_before_the_copy_is_made_is_looked_at_again(bureau: Bureau) -> None:
    """A store is asked again after the decision: of what it then holds, the new waits, the old does not."""
    case = bureau.reviewed([CHARLES])
    staging = bureau.world.staging(case)
    [(finding, _)] = Review(staging).findings(GROUP, 0)
    Desk(bureau.world.book, STAGING, WORKFLOW, "a").review(case, GROUP, 0, {finding.digest: "disclose"})
    changed = bureau.reviewed([CHARLES, {**CHARLES, "body": "Hi Mary,\nit stops"}])
    other = bureau.world.staging(changed)
    other.put("review/decided.json", staging.get("review/decided.json") or b"")
    assert Review(other).decisions().single == {finding.digest: "disclose"}
    bureau.world.book.move(changed, State.BUNDLING, "review_done", "agent:a", attention=(), resume=None)
    assert bundle({"case_id": changed.case_id}, Context())["outcome"] == "needs_attention"
    [(left, said)] = Review(other).findings(GROUP, 0)
    assert (left.values["body"], said) == ("Hi Mary,\nit stops", "")
