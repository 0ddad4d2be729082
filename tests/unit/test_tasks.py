"""Tasks of the desk, through its real handler: what is asked, what is handed in, how it is taken in."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr import casebook
from dsr.bundling import bundle
from dsr.case import Attention, Case, State, next_step
from dsr.casebook import Visit
from dsr.concluding import conclude
from dsr.confirming import conclude_erasing
from dsr.datamap.plan import Plan
from dsr.finds import staged
from dsr.stores import registry
from dsr.tasks import MOST_UPLOAD
from dsr.web.desk.roles import Role
from dsr.web.uploads import File, read_multipart
from tests.conftest import REGION
from tests.unit import test_asking, world
from tests.unit.bureau import Bureau, bureau_open
from tests.unit.front import HOST, proxy_event
from tests.unit.test_asking import ADAS, outside, visited
from tests.unit.test_outside_map import IDENTITY
from tests.unit.world import World, collection, compiled, store

MAIL = "1-mail"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    people = store("a", collection("people", {"id": "", "email": IDENTITY}))
    return compiled(tmp_path_factory.mktemp("map"), people, outside("manual", 0))


@pytest.fixture(scope="module")
def bureau(shared_cloud: None, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    registry._open.clear()
    with bureau_open(tmp_path_factory.mktemp("desk")) as opened, world.shipped(plan):
        opened.world.plan = plan
        yield opened
    registry._open.clear()


@pytest.fixture
def here(bureau: Bureau) -> World:
    return bureau.world


@pytest.fixture
def case(here: World) -> Case:
    """A case that waits for nothing but the task."""
    made = test_asking.a_case(here)
    assert visited(here, made).outcome == "waiting"
    assert conclude({"case_id": made.case_id})["outcome"] == "waiting"
    return here.book.get(made.case_id)


def path(case: Case, action: str = "") -> str:
    return f"/desk/cases/{case.case_id}/tasks/{MAIL}{action and '/' + action}"


def hand_in(bureau: Bureau, case: Case, name: str, content: bytes, to: str = "lists", *roles: Role) -> Any:
    """The form with a file, as a browser sends it."""
    mark = "----WebKitFormBoundaryABC"
    head = f'--{mark}\r\nContent-Disposition: form-data; name="collection"\r\n\r\n{to}\r\n--{mark}\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: x/y\r\n\r\n'
    body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
    browser = bureau.browser(*(roles or (Role.AGENT,)))
    sent = {
        "Host": HOST,
        "Cookie": "; ".join(f"{n}={v}" for n, v in browser.jar.items()),
        "Content-Type": f"multipart/form-data; boundary={mark}",
        "Sec-Fetch-Site": "same-origin",
    }
    event = proxy_event("POST", path(case, "file"), None, {}, sent, browser.source)
    # As API Gateway passes on what is listed in its binary media types.
    return bureau.answer({**event, "body": base64.b64encode(body).decode(), "isBase64Encoded": True})


def answer(bureau: Bureau, case: Case, said: str, text: str = "") -> Any:
    return bureau.browser(Role.AGENT).post(path(case, "answer"), {"said": said, "text": text})


def found(here: World, case: Case, name: str = "lists") -> list[dict[str, Any]]:
    return [r["values"] for r in staged(here.staging(case), here.plan, f"mail.{name}")]


# -- what an agent sees ------------------------------------------------------------------------------


def test_the_desk_lists_the_task_and_shows_whom_to_ask_by_what(bureau: Bureau, case: Case) -> None:
    browser = bureau.browser(Role.AGENT)
    assert case.tasks == (MAIL,)
    listed = browser.get("/desk?show=person")
    assert case.case_id in listed.body
    assert "Task: mail" in listed.text
    page = browser.get(f"/desk/cases/{case.case_id}")
    assert f'href="/prod{path(case)}"' in page.body
    task = browser.get(path(case))
    assert task.status == 200
    for said in ("Letterbird", "Ask them.", "ada@example.com", "Your lists", "4 MB"):
        assert said in task.text
    looked = [p["part"] for p in bureau.world.book.parts(case.case_id, "look#")]
    assert any("sub-agent" in part for part in looked)


def test_only_agents_do_it(bureau: Bureau, case: Case) -> None:
    browser = bureau.browser(Role.AUDITOR)
    page = browser.get(path(case))
    assert "An agent does this." in page.text
    assert '<form method="post" action="/prod/desk/cases/' not in page.body
    assert browser.post(path(case, "answer"), {"said": "nothing_held"}).status == 403
    assert hand_in(bureau, case, "a.csv", b"x", "lists", Role.AUDITOR, Role.APPROVER).status == 403
    assert bureau.world.book.get(case.case_id) == case


# -- what is handed in -------------------------------------------------------------------------------


def test_records_and_files_become_part_of_the_copy(bureau: Bureau, here: World, case: Case) -> None:
    lines = b"".join(json.dumps(r).encode() + b"\n" for r in ADAS[:1])
    picture = bytes(range(256)) * 3 + b"\r\n--\r\n\x00"
    assert hand_in(bureau, case, "one.jsonl", lines).location.endswith("?done=handed-in")
    table = '\ufeffaddress,topic\r\nada@example.com,"engines"\r\n'.encode()
    assert hand_in(bureau, case, "two.csv", table).status == 303
    assert hand_in(bureau, case, "../scan of ada.png", picture, "notes").status == 303
    assert "3 handed in so far" in bureau.browser(Role.AGENT).get(path(case)).text
    assert here.book.get(case.case_id).waiting_for, "nothing goes on before the task is closed"
    assert answer(bureau, case, "answered", "They <wrote> too").location.endswith("?done=task")
    visit = visited(here, case)
    assert (visit.outcome, visit.answer, visit.counts) == ("done", "answered", {"lists": 3, "notes": 1})
    assert found(here, case) == [*ADAS, {"address": "ada@example.com", "statement": "They <wrote> too"}]
    [file] = list(staged(here.staging(case), here.plan, "mail.notes"))
    assert file["values"] == {"member": "7", "file": "../scan of ada.png"}
    assert here.staging(case).get(file["original"]["version"]) == picture
    assert conclude({"case_id": case.case_id})["outcome"] == State.BUNDLING
    assert bundle({"case_id": case.case_id}, world.Context())["outcome"] == "done"
    made = here.book.get(case.case_id).bundle["key"]
    content = boto3.client("s3", region_name=REGION).get_object(Bucket=world.BUNDLES, Key=made)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        [name] = [n for n in zipped.namelist() if n.startswith("files/")]
        assert name == "files/mail/scan of ada.png"
        assert zipped.read(name) == picture
        assert b"They <wrote> too" in zipped.read("data/mail/lists.jsonl")
    assert here.objects(world.STAGING, f"cases/{case.case_id}/") == []


UNFIT = {
    "another's record": ("a.csv", b"address,topic\nbob@example.com,x\n", "Record 1: give in"),
    "no JSON": ("a.jsonl", b'{"address": "ada@example.com"}\n{', "Line 2 is not JSON"),
    "no record": ("a.jsonl", b"[1]\n", "Line 1 is no record"),
    "columns without names": ("a.csv", b"address,,\nada@example.com,1,2\n", "each column a name of its own"),
    "a column twice": ("a.csv", b"address,address\na,b\n", "each column a name of its own"),
    "a row too long": ("a.csv", b"address\nada@example.com,x\n", "more or fewer values"),
    "a row too short": ("a.csv", b"address,topic\nada@example.com\n", "more or fewer values"),
    "half a quote": ("a.csv", b'address\n"ada', "is not CSV"),
    "another encoding": ("a.csv", "address\nJosé\n".encode("latin-1"), "Save the file as UTF-8"),
    "only a head": ("a.csv", b"address,topic\n", "no record in the file"),
    "empty": ("a.pdf", b"", "not empty"),
    "too large": ("a.pdf", b"x" * (MOST_UPLOAD + 1), "at most 4 MB"),
    "none": ("", b"", "Choose a file"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_told_and_not_kept(bureau: Bureau, here: World, case: Case, name: str) -> None:
    file, content, said = UNFIT[name]
    page = hand_in(bureau, case, file, content)
    assert (page.status, said in page.text) == (422, True), page.text
    assert list(here.book.parts(case.case_id, "answer")) == []


def test_a_column_that_can_only_mean_one_is_filled_in(bureau: Bureau, here: World, case: Case) -> None:
    assert hand_in(bureau, case, "a.csv", b"topic\nlooms\n").status == 303
    answer(bureau, case, "answered")
    visited(here, case)
    assert found(here, case) == [{"topic": "looms", "address": "ada@example.com"}]


def test_many_records_come_in_pages(bureau: Bureau, here: World, case: Case) -> None:
    line = b'{"address": "ada@example.com", "n": %d, "x": "%s"}\n'
    lines = b"".join(line % (n, b"y" * 1000) for n in range(1500))
    assert hand_in(bureau, case, "many.jsonl", lines).status == 303
    answer(bureau, case, "answered")
    assert visited(here, case).counts == {"lists": 1500, "notes": 0}
    assert [r["n"] for r in found(here, case)] == list(range(1500))


# -- how it is closed --------------------------------------------------------------------------------


def test_nothing_held(bureau: Bureau, here: World, case: Case) -> None:
    assert answer(bureau, case, "nothing_held").status == 303
    visit = visited(here, case)
    assert (visit.outcome, visit.answer) == ("done", "nothing_held")
    again = answer(bureau, case, "answered", "x")
    assert (again.status, "this task is closed" in again.text) == (409, True)


@pytest.mark.parametrize(
    ("said", "text", "told"),
    [
        ("", "", "Choose what they answered"),
        ("erased", "", "Choose what they answered"),
        ("cannot", " ", "Write why they cannot"),
        ("answered", "", "Hand in what they sent first"),
        ("answered", "x" * 2001, "at most 2000 characters"),
    ],
)
def test_a_form_that_says_too_little_is_shown_again(
    bureau: Bureau, case: Case, said: str, text: str, told: str
) -> None:
    page = answer(bureau, case, said, text)
    assert (page.status, told in page.text) == (422, True)


def test_that_they_cannot_stops_the_case_and_the_reason_is_sealed(
    bureau: Bureau, here: World, case: Case
) -> None:
    assert answer(bureau, case, "cannot", "Ada Lovelace owes us").status == 303
    assert visited(here, case).reason == "declined"
    conclude({"case_id": case.case_id})
    stopped = here.book.get(case.case_id)
    assert stopped.attention == (Attention(MAIL, "declined", "Letterbird"),)
    every = [list(here.book.parts(case.case_id, p)) for p in ("answer", "case", "event", "visit")]
    assert "owes" not in json.dumps(every, default=list)
    assert "Ada Lovelace owes us" in bureau.browser(Role.AGENT).get(path(case)).text


def test_the_rest_is_released_while_they_have_not_answered(bureau: Bureau, here: World, case: Case) -> None:
    page = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}")
    assert "Release without Letterbird" in page.text
    sent = {"version": str(case.version), "visit": MAIL}
    assert bureau.browser(Role.AGENT).post(f"/desk/cases/{case.case_id}/leave-out", sent).status == 303
    at = here.book.get(case.case_id)
    assert (at.state, at.waiting_for, at.expires_at, next_step(at)) == (State.GATHERING, (), None, "gather")
    assert conclude({"case_id": case.case_id})["outcome"] == State.BUNDLING
    assert here.book.get(case.case_id).outcome == "delivered_in_part"
    assert answer(bureau, case, "nothing_held").status == 409


def test_an_agent_may_go_on_waiting(bureau: Bureau, here: World, case: Case) -> None:
    late = casebook.now() + timedelta(days=8)
    with mock.patch("dsr.casebook.now", return_value=late):
        assert visited(here, case).reason == "overdue"
        here.book.move(case, case.state, "answer_due", "clock", waiting_for=(), tasks=(), expires_at=None)
        conclude({"case_id": case.case_id})
        at = here.book.get(case.case_id)
        assert at.attention == (Attention(MAIL, "overdue", "Letterbird"),)
        page = bureau.browser(Role.AGENT).get(f"/desk/cases/{case.case_id}")
        assert "Go on waiting for Letterbird" in page.text
        sent = {"version": str(at.version), "visit": MAIL}
        assert bureau.browser(Role.AGENT).post(f"/desk/cases/{case.case_id}/wait", sent).status == 303
        asked = here.book.visits(case.case_id)[MAIL].question
        assert visited(here, case).outcome == "waiting"
        assert conclude({"case_id": case.case_id})["outcome"] == "waiting"
        assert here.book.visits(case.case_id)[MAIL].question == asked, "nobody is asked again"
        assert here.book.get(case.case_id).expires_at == late + timedelta(days=7)


# -- deletion ----------------------------------------------------------------------------------------


@pytest.fixture
def erasing(here: World) -> Case:
    made = test_asking.deletion(here, State.GATHERING)
    visited(here, made)
    made = here.book.move(made, State.COOLING_OFF, "planned", "workflow")
    made = here.book.move(made, State.ERASING, "erasing_started", "workflow")
    here.book.note_visit(made.case_id, Visit("0-a", "a", "done", {"people": 1}), "erase@0")
    assert visited(here, made, "erase", "erase@0").outcome == "waiting"
    ask = {"case_id": made.case_id, "step": "erase"}
    assert conclude_erasing(ask)["outcome"] == "waiting"
    return here.book.get(made.case_id)


def test_that_it_is_erased_is_stated(bureau: Bureau, here: World, erasing: Case) -> None:
    assert "Ask them to delete" in bureau.browser(Role.AGENT).get(path(erasing)).text
    assert hand_in(bureau, erasing, "a.csv", b"address\nada@example.com\n").status == 422
    assert answer(bureau, erasing, "erased", "on Monday, says Bob").status == 303
    visit = visited(here, erasing, "erase", "erase@0")
    assert (visit.outcome, visit.answer, visit.counts) == ("done", "erased", {"lists": 1, "notes": 1})
    ask = {"case_id": erasing.case_id, "step": "erase"}
    assert conclude_erasing(ask)["outcome"] == State.CONFIRMING
    assert visited(here, erasing, work="gather@1").outcome == "done", "what was stated is not examined"


def test_a_deletion_goes_on_without_whoever_does_not_answer(
    bureau: Bureau, here: World, erasing: Case
) -> None:
    late = casebook.now() + timedelta(days=8)
    with mock.patch("dsr.casebook.now", return_value=late):
        visited(here, erasing, "erase", "erase@0")
    here.book.move(erasing, erasing.state, "answer_due", "clock", waiting_for=(), tasks=(), expires_at=None)
    conclude_erasing({"case_id": erasing.case_id, "step": "erase"})
    at = here.book.get(erasing.case_id)
    sent = {"version": str(at.version), "visit": MAIL}
    assert bureau.browser(Role.AGENT).post(f"/desk/cases/{at.case_id}/leave-out", sent).status == 303
    noted = here.book.visits(at.case_id, "erase@0")[MAIL]
    assert (noted.outcome, noted.answer, bool(noted.asked_at)) == ("done", "no_answer", True)
    assert conclude_erasing({"case_id": at.case_id, "step": "erase"})["outcome"] == State.CONFIRMING
    confirmed = conclude_erasing({"case_id": at.case_id, "step": "confirm"})
    assert confirmed["outcome"] == State.CERTIFYING


# -- forms with files --------------------------------------------------------------------------------


NAMES = st.text(st.characters(exclude_characters='"\r\n\\', exclude_categories=("Cs",)))
KINDS = ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x"]


@given(st.binary(max_size=300), NAMES)
def test_a_file_comes_through_byte_by_byte(content: bytes, name: str) -> None:
    mark = "x-7MA4YWxk"
    body = f'--{mark}\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode()
    body += content + f"\r\n--{mark}--\r\n".encode()
    fields, files = read_multipart(f"multipart/form-data; boundary={mark}", body)
    if f"\r\n--{mark}".encode() not in content:
        assert (fields, files) == ({}, {"f": File(name.replace("%22", '"'), content)})


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_nothing_breaks_it(body: bytes, kind: str) -> None:
    read_multipart(kind, body)
