"""Asking recipients: the example receiver as a real server; answers at once, later, never, by strangers."""

import base64
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import jsonschema
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from dsr import casebook, parameters, store_worker
from dsr.callbacks import callback_secret
from dsr.case import Case, Right, State, next_step
from dsr.casebook import Visit
from dsr.concluding import conclude
from dsr.datamap.plan import Plan
from dsr.finds import staged
from dsr.questions import MOST_BYTES, read_name
from dsr.signatures import headers, sign
from dsr.stores import registry, webhook
from dsr.taking_answers import take_answer
from tests.conftest import REGION
from tests.unit import recipients, world
from tests.unit.recipients import SECRET
from tests.unit.test_outside_map import IDENTITY
from tests.unit.world import BUNDLES, Context, World, collection, compiled, store  # noqa: F401

LISTS = collection("lists", {"address": "references: a.people.email", "topic": ""}, table=False)
NOTES = collection("notes", {"member": "references: a.people.id", "text": ""}, table=False)
HOLDINGS = {
    "lists": [
        {"address": "ada@example.com", "topic": "looms"},
        {"address": "bob@example.com", "topic": "bees"},
        {"address": "ada@example.com", "topic": "engines"},
    ],
    "notes": [{"member": "7", "text": "likes <b>looms</b>"}, {"member": "70", "text": "bob's"}],
}


def outside(kind: str, port: int, role: str = "processor") -> str:
    who = f"{{name: Letterbird, role: {role}, answer_within: P7D}}"
    if kind == "manual":
        return (
            f"  mail:\n    kind: manual\n    recipient: {who}\n    instructions: Ask them.\n"
            f"    collections:\n{LISTS}{NOTES}"
        )
    made = store(
        "mail", LISTS, NOTES, kind="webhook", connection=f'url: "http://127.0.0.1:{port}/dsr", secret: mail'
    )
    return made.replace("    collections:", f"    recipient: {who}\n    collections:")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with recipients.receiving(tmp_path_factory.mktemp("held"), HOLDINGS) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.path.write_text(json.dumps(HOLDINGS))
    receiver.done.clear()
    receiver.later = False
    monkeypatch.setattr(webhook, "WAITS", (0.0, 0.0))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, receiver: Any) -> Plan:
    people = store("a", collection("people", {"id": "", "email": IDENTITY}))
    return compiled(tmp_path_factory.mktemp("map"), people, outside("webhook", receiver.server_address[1]))


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened, recipients.our_api() as (url, statuses):
        boto3.client("ssm", region_name=REGION).put_parameter(Name="url", Value=url, Type="String")
        boto3.client("secretsmanager", region_name=REGION).create_secret(Name="mail", SecretString=SECRET)
        told = {"PUBLIC_URL_PARAMETER": "url", "LOCAL_RECIPIENTS": "true"}
        opened.statuses = statuses  # type: ignore[attr-defined]
        with mock.patch.dict(os.environ, told):
            parameters._kept.clear()
            registry._open.clear()
            yield opened
            parameters._kept.clear()


def a_case(here: World, state: State = State.GATHERING, ids: tuple[str, ...] = ("7",), **fields: Any) -> Case:
    """A case whose own store has answered with accounts of these ids, all under Ada's address."""
    case = here.case(state, **fields)
    lines = [json.dumps({"values": {"id": i, "email": "ada@example.com"}}) + "\n" for i in ids]
    place = {"parts": {"staged/a/people/": lines}, "done": True}
    here.staging(case).put_json("progress/0-a.json", place)
    here.book.note_visit(case.case_id, Visit("0-a", "a", "done", {"people": len(ids)}))
    for number in (1, 2):
        here.book.note_visit(case.case_id, Visit("0-a", "a", "done", {"people": 0}), f"gather@{number}")
    return case


def visited(here: World, case: Case, verb: str = "gather", work: str = "visit") -> Visit:
    """The visit to the recipient, made as often as its worker wants."""
    while (
        store_worker.work({"case_id": case.case_id, "visit": "1-mail", "verb": verb}, Context())["outcome"]
        == "continue"
    ):
        pass
    return here.book.visits(case.case_id, work)["1-mail"]


def found(here: World, case: Case, plan: Plan, name: str = "lists") -> list[dict[str, Any]]:
    return [r["values"] for r in staged(here.staging(case), plan, f"mail.{name}")]


ADAS = [r for r in HOLDINGS["lists"] if r["address"] == "ada@example.com"]


# -- access ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [False, True])
def test_what_they_hold_of_one_person_is_gathered_as_if_it_were_here(
    here: World, plan: Plan, receiver: Any, later: bool
) -> None:
    receiver.later = later
    case = a_case(here)
    visit = visited(here, case)
    if later:
        wait_until(lambda: here.book.visits(case.case_id)["1-mail"].woken_at)
        visit = visited(here, case)
    assert (visit.outcome, visit.counts) == ("done", {"lists": 2, "notes": 1})
    assert found(here, case, plan) == ADAS
    assert found(here, case, plan, "notes") == [HOLDINGS["notes"][0]]
    assert (visit.answer, bool(visit.asked_at), bool(visit.answered_at)) == ("answered", True, True)
    [asked] = receiver.done
    assert asked == f"{case.case_id}_1-mail_find_0_1" == visit.question


def wait_until(reached: Any) -> None:
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_they_are_told_the_locators_that_the_map_names_and_nothing_else(
    here: World, plan: Plan, receiver: Any
) -> None:
    sent: list[dict[str, Any]] = []
    real = receiver.holdings.answer

    def answer(message: dict[str, Any]) -> Any:
        sent.append(message)
        return real(message)

    case = a_case(here, ids=("7", "8"))
    with mock.patch.object(receiver.holdings, "answer", answer):
        visited(here, case)
    [message] = sent
    schema = json.loads(Path("docs/examples/webhook.schema.json").read_text())
    jsonschema.validate(message, schema | schema["$defs"]["message"])
    for said in (real(message), {"cannot": "we do not know them"}):
        jsonschema.validate(said, schema | schema["$defs"]["answer"])
    callback = message.pop("callback")
    assert message.pop("answer_by") > casebook.now().isoformat()
    assert message == {
        "type": "data_subject.find", "version": 1, "id": f"{case.case_id}_1-mail_find_0_1",
        "case": case.case_id, "controller": "Shop",
        "collections": [
            {"name": "lists", "title": "Your lists", "locators": {"address": ["ada@example.com"]}},
            {"name": "notes", "title": "Your notes", "locators": {"member": ["7", "8"]}},
        ],
    }  # fmt: skip
    assert callback["url"].endswith(f"/answers/{case.case_id}_1-mail_find_0_1")
    assert "ada" not in callback["url"]


def test_of_whom_nothing_is_known_nobody_is_told(here: World, receiver: Any) -> None:
    case = a_case(here, ids=())
    assert visited(here, case).outcome == "done"
    assert receiver.done == {}


def test_a_worker_killed_after_asking_asks_the_same_again(here: World, receiver: Any) -> None:
    case = a_case(here)
    dying = mock.patch.object(store_worker.Casebook, "note_visit", side_effect=[None, KeyboardInterrupt])
    with dying, pytest.raises(KeyboardInterrupt):
        visited(here, case)
    assert visited(here, case).outcome == "done"
    assert len(receiver.done) == 1


def test_who_is_asked_by_other_locators_is_asked_anew(here: World, receiver: Any) -> None:
    receiver.later = True
    with mock.patch.object(receiver, "call_back"):
        case = a_case(here)
        assert visited(here, case).outcome == "waiting"
        lines = [json.dumps({"values": {"id": i, "email": "ada@example.com"}}) + "\n" for i in ("7", "9")]
        place = {"parts": {"staged/a/people/": lines}, "done": True}
        here.staging(case).put_json("progress/0-a.json", place)
        assert visited(here, case).question.endswith("_find_0_2")
    old = answered(here, case, {"collections": {}}, f"{case.case_id}_1-mail_find_0_1")
    assert old["statusCode"] == 410


# -- what comes back ---------------------------------------------------------------------------------

NOBODYS = {"lists": {"records": [{"address": "bob@example.com"}]}, "notes": {"records": []}}
MORE = ("lists", "notes", "x")
MALFORMED = {
    "no JSON": b"<html>",
    "a list": b"[]",
    "another key": b'{"collections": {}, "x": 1}',
    "a collection less": json.dumps({"collections": {"lists": {"records": []}}}).encode(),
    "a collection more": json.dumps(
        {"collections": {n: {"records": []} for n in ("lists", "notes", "x")}}
    ).encode(),
    "no records": json.dumps({"collections": {"lists": {"count": 1}, "notes": {"records": []}}}).encode(),
    "somebody else's": json.dumps({"collections": NOBODYS}).encode(),
    "one page of several": json.dumps({"more": True, "collections": NOBODYS}).encode(),
    "too much": b'{"cannot": "' + b"x" * MOST_BYTES + b'"}',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_answer_is_a_fault_and_nothing_of_it_is_kept(
    here: World, plan: Plan, receiver: Any, name: str
) -> None:
    case = a_case(here)

    def post(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(MALFORMED[name])))
        handler.end_headers()
        handler.wfile.write(MALFORMED[name])

    with mock.patch.object(receiver.RequestHandlerClass, "do_POST", post):
        visit = visited(here, case)
    assert (visit.outcome, visit.reason) == ("needs_attention", "malformed_data")
    assert "example.com" not in visit.about
    assert found(here, case, plan) == []
    # Once they have mended it, they are asked anew.
    here.book.note_visit(case.case_id, Visit("1-mail", "mail"))
    assert visited(here, case).counts == {"lists": 2, "notes": 1}


UNABLE = [
    (503, "unreachable", 3),
    (429, "unreachable", 3),
    (401, "unreachable", 1),
    (302, "unsafe_address", 1),
]


@pytest.mark.parametrize(("status", "reason", "tries"), UNABLE)
def test_who_does_not_answer_is_asked_a_few_times(
    here: World, receiver: Any, status: int, reason: str, tries: int
) -> None:
    case, asked = a_case(here), []

    def post(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        asked.append(handler.headers["webhook-id"])
        handler.reply(status, {})

    with mock.patch.object(receiver.RequestHandlerClass, "do_POST", post):
        visit = visited(here, case)
    assert (visit.outcome, visit.reason) == ("needs_attention", reason)
    assert asked == [visit.question] * tries


def test_a_secret_that_they_do_not_share_is_refused_by_the_example(here: World, receiver: Any) -> None:
    case = a_case(here)
    with mock.patch.object(receiver, "secret", recipients.secret_text(b"another secret of some length")):
        visit = visited(here, case)
    assert (visit.outcome, visit.about) == ("needs_attention", "mail: answers 401")


@pytest.mark.parametrize("key", ["theirs", "another"])
def test_what_a_key_signs_the_recipient_checks_by_its_public_half(
    here: World, plan: Plan, receiver: Any, key: str
) -> None:
    """`v1ecdsa`, as docs/stores/webhook.md tells the recipient to check it; KMS is a key of this process."""
    arn = f"arn:aws:kms:{REGION}:123456789012:key/mail"
    mail = plan.stores["mail"]
    by_key = replace(mail, connection={"region": REGION, "url": mail.connection["url"], "key": arn})
    other = replace(plan, version=f"{plan.version[:-1]}k", stores={**plan.stores, "mail": by_key})
    signer = world.Signer()
    public = load_der_public_key(signer.get_public_key(arn if key == "theirs" else "another")["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)

    def is_genuine(_secret: str, given: Any, body: bytes) -> bool:
        version, _, text = given["webhook-signature"].partition(",")
        content = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + body
        assert version == "v1ecdsa"
        try:
            public.verify(base64.b64decode(text, validate=True), content, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return abs(time.time() - int(given["webhook-timestamp"])) < 300

    world.keep(other)
    case = a_case(here, map_version=other.version)
    checks = receiver.RequestHandlerClass.do_POST.__globals__
    with (
        mock.patch.dict(checks, is_genuine=is_genuine),
        mock.patch.object(webhook, "client_as", lambda _access, service: {"kms": signer}[service]),
    ):
        visit = visited(here, case)
    if key == "theirs":
        assert (visit.outcome, visit.counts, visit.answer) == ("done", {"lists": 2, "notes": 1}, "answered")
    else:
        assert (visit.outcome, visit.about, receiver.done) == ("needs_attention", "mail: answers 401", {})


def test_an_address_inside_is_not_called_without_leave(here: World, receiver: Any) -> None:
    case = a_case(here)
    with mock.patch.dict(os.environ, {"LOCAL_RECIPIENTS": "false"}):
        visit = visited(here, case)
    assert (visit.outcome, visit.reason) == ("needs_attention", "unsafe_address")
    assert receiver.done == {}


# -- later -------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(here: World, receiver: Any) -> Case:
    """A case that waits for nothing but the recipient."""
    receiver.later = True
    with mock.patch.object(receiver, "call_back"):
        case = a_case(here)
        assert visited(here, case).outcome == "waiting"
    assert conclude({"case_id": case.case_id})["outcome"] == "waiting"
    return here.book.get(case.case_id)


def answered(here: World, case: Case, said: Any, name: str = "", **changes: Any) -> dict[str, Any]:
    """A callback of the recipient, signed as it should be but for `changes` of headers."""
    name = name or f"{case.case_id}_1-mail_find_0_1"
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    now = int(time.time())
    secret = callback_secret(os.environ["MAC_KEY"], name)
    signed = headers(name, now, [sign(secret, name, now, body)]) | changes
    return take_answer(
        {
            "pathParameters": {"question": name},
            "headers": {n.title(): v for n, v in signed.items()},
            "body": body.decode(),
        }
    )


WHOLE = {"collections": {"lists": {"records": ADAS}, "notes": {"records": []}}}


def test_an_answer_that_comes_twice_counts_once(here: World, plan: Plan, waiting: Case) -> None:
    assert answered(here, waiting, WHOLE)["statusCode"] == 200
    events = here.names(waiting)
    other = {"collections": {"lists": {"records": []}, "notes": {"records": []}}}
    again = answered(here, waiting, other)
    assert (again["statusCode"], json.loads(again["body"])) == (200, {"status": "answered before"})
    assert here.names(waiting) == events
    assert next_step(here.book.get(waiting.case_id)) == "gather"
    assert visited(here, waiting).outcome == "done"
    assert found(here, waiting, plan) == ADAS


def test_pages_in_any_order_and_the_last_one_closes(here: World, plan: Plan, waiting: Case) -> None:
    def page(number: int, more: bool, *records: Any) -> dict[str, Any]:
        each = {"lists": {"records": list(records)}, "notes": {"records": []}}
        said = answered(here, waiting, {"page": number, "more": more, "collections": each})
        told: dict[str, Any] = json.loads(said["body"])
        return told

    assert page(2, True, ADAS[1]) == {"status": "page kept"}
    assert "pages are missing: 1" in page(3, False)["error"]
    assert here.book.get(waiting.case_id).waiting_for
    assert page(1, True, {"address": "bob@example.com"}) == {"status": "page kept"}
    assert page(1, True, ADAS[0]) == {"status": "page kept"}, "the newer one counts"
    assert page(3, False) == {"status": "answered"}
    assert visited(here, waiting).counts == {"lists": 2, "notes": 0}
    assert found(here, waiting, plan) == ADAS


FORGED = {
    "another secret": {"webhook-signature": sign(b"0" * 32, "x", 1, b"x")},
    "none": {"webhook-signature": ""},
    "another question": {"webhook-id": "K7Q2-9FXM-3TWD-5BHP_1-mail_find_0_1"},
    "replayed": {"webhook-timestamp": "1674087231"},
    "from tomorrow": {"webhook-timestamp": str(int(time.time()) + 86400)},
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_not_signed_for_this_question_changes_nothing(here: World, waiting: Case, name: str) -> None:
    assert answered(here, waiting, WHOLE, **FORGED[name])["statusCode"] == 401
    assert here.book.get(waiting.case_id) == waiting
    assert list(here.book.parts(waiting.case_id, "answer")) == []


def test_the_secret_of_one_question_is_no_good_for_another(here: World, waiting: Case) -> None:
    name = f"{waiting.case_id}_1-mail_find_0_1"
    body, now = json.dumps(WHOLE).encode(), int(time.time())
    for other in ("find_0_2", "erase_0_1", "remaining_1_1"):
        to = f"{waiting.case_id}_1-mail_{other}"
        signed = headers(to, now, [sign(callback_secret(os.environ["MAC_KEY"], name), to, now, body)])
        said = take_answer({"pathParameters": {"question": to}, "headers": signed, "body": body.decode()})
        assert said["statusCode"] == 401


def test_a_stranger_learns_nothing_of_which_cases_there_are(here: World, waiting: Case) -> None:
    said = [
        take_answer({"pathParameters": {"question": f"{case}_1-mail_find_0_1"}, "headers": {}, "body": "{}"})
        for case in (waiting.case_id, "K7Q2-9FXM-3TWD-5BHP")
    ]
    assert said[0] == said[1]
    for name in ("", "x", f"{waiting.case_id}_1-mail_sell_0_1", f"{waiting.case_id}_../x_find_0_1"):
        assert take_answer({"pathParameters": {"question": name}})["statusCode"] == 404


def test_what_is_wrong_with_an_answer_is_told_and_it_can_be_sent_again(here: World, waiting: Case) -> None:
    for said, status in (
        (b"x", 422), ({"collections": {}}, 422), ({"cannot": ""}, 422), ({**WHOLE, "page": 0}, 422),
        ({**WHOLE, "page": True}, 422), (b'{"cannot": "' + b"x" * MOST_BYTES + b'"}', 413),
    ):  # fmt: skip
        assert answered(here, waiting, said)["statusCode"] == status
    assert here.book.get(waiting.case_id) == waiting
    assert answered(here, waiting, WHOLE)["statusCode"] == 200


@pytest.mark.parametrize("state", [State.WITHDRAWN, State.BUNDLING])
def test_an_answer_after_the_case_went_on_is_told_so(here: World, waiting: Case, state: State) -> None:
    here.book.move(waiting, state, "withdrawn", "requester")
    assert answered(here, waiting, WHOLE)["statusCode"] == 410
    assert list(here.book.parts(waiting.case_id, "answer")) == []


def test_never_answered(here: World, waiting: Case) -> None:
    late = datetime.fromisoformat(here.book.visits(waiting.case_id)["1-mail"].answer_by)
    assert late - casebook.now() > timedelta(days=6)
    assert visited(here, waiting).outcome == "waiting"
    with mock.patch("dsr.casebook.now", return_value=late):
        visit = visited(here, waiting)
    assert (visit.outcome, visit.reason, visit.about) == ("needs_attention", "overdue", "Letterbird")


def test_who_declines_stops_the_case_with_their_reason_sealed(here: World, waiting: Case) -> None:
    assert answered(here, waiting, {"cannot": "Ada is unknown to us"})["statusCode"] == 200
    visit = visited(here, waiting)
    assert (visit.outcome, visit.reason, visit.answer) == ("needs_attention", "declined", "declined")
    item = json.dumps(
        [list(here.book.parts(waiting.case_id, part)) for part in ("answer", "case", "event", "visit")],
        default=list,
    )
    assert "Ada is unknown" not in item


# -- deletion ----------------------------------------------------------------------------------------


def deletion(here: World, state: State, **fields: Any) -> Case:
    plan = {"mail.lists": {"title": "Your lists", "records": 1, "treatment": "delete"}}
    return a_case(here, state, right=Right.DELETION, confirmed_at=casebook.now(), plan=plan, **fields)


def test_nobody_is_told_of_a_deletion_before_it_is_confirmed(here: World, plan: Plan, receiver: Any) -> None:
    case = deletion(here, State.GATHERING)
    visit = visited(here, case)
    assert (visit.outcome, visit.counts, receiver.done) == ("done", {"lists": 1, "notes": 1}, {})
    assert found(here, case, plan) == [{"address": "ada@example.com"}]


def test_told_they_erase_and_are_asked_what_is_left(here: World, plan: Plan, receiver: Any) -> None:
    case = deletion(here, State.GATHERING)
    visited(here, case)
    case = here.book.move(case, State.COOLING_OFF, "erased", "workflow")
    case = here.book.move(case, State.ERASING, "erased", "workflow")
    visit = visited(here, case, "erase", "erase@0")
    assert (visit.outcome, visit.counts, visit.answer) == ("done", {"lists": 2, "notes": 1}, "erased")
    held = json.loads(receiver.path.read_text())
    assert held == {"lists": [HOLDINGS["lists"][1]], "notes": [HOLDINGS["notes"][1]]}
    case = here.book.move(case, State.CONFIRMING, "erased", "workflow")
    visit = visited(here, case, work="gather@1")
    assert (visit.outcome, visit.counts, visit.answer) == ("done", {"lists": 0, "notes": 0}, "gone")
    asked = [read_name(name) for name in receiver.done]
    assert [name and name.verb for name in asked] == ["erase", "remaining"]


def test_what_they_still_hold_is_erased_in_another_round(here: World, receiver: Any) -> None:
    case = deletion(here, State.GATHERING)
    visited(here, case)
    case = here.book.move(case, State.COOLING_OFF, "erased", "workflow")
    case = here.book.move(case, State.ERASING, "erased", "workflow")
    visited(here, case, "erase", "erase@0")
    receiver.path.write_text(json.dumps({"lists": ADAS[:1], "notes": []}))
    case = here.book.move(case, State.CONFIRMING, "erased", "workflow")
    visit = visited(here, case, work="gather@1")
    assert (visit.counts, visit.answer) == ({"lists": 1, "notes": 0}, "still_held")
    case = here.book.move(case, State.ERASING, "found_again", "workflow", round=1)
    assert visited(here, case, "erase", "erase@1").counts == {"lists": 1, "notes": 0}
    assert json.loads(receiver.path.read_text())["lists"] == []


@pytest.mark.parametrize("role", ["processor", "controller"])
def test_a_controller_is_told_and_answers_for_itself(
    here: World, plan: Plan, receiver: Any, role: str
) -> None:
    mail = plan.stores["mail"]
    other = replace(
        plan, stores={**plan.stores, "mail": replace(mail, recipient={**mail.recipient, "role": role})}
    )
    case = deletion(here, State.GATHERING)
    with world.shipped(other):
        registry._open.clear()
        visited(here, case)
        case = here.book.move(case, State.COOLING_OFF, "erased", "workflow")
        case = here.book.move(case, State.ERASING, "erased", "workflow")
        with mock.patch.object(receiver, "once", return_value={"cannot": "we keep it"}):
            visit = visited(here, case, "erase", "erase@0")
        assert visit.answer == "declined"
        assert visit.outcome == ("done" if role == "controller" else "needs_attention")
        receiver.done.clear()
        case = here.book.move(case, State.CONFIRMING, "erased", "workflow")
        assert visited(here, case, work="gather@1").outcome == "done"
        assert bool(receiver.done) == (role == "processor")
    registry._open.clear()
