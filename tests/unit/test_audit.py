"""The audit trail: whoever alters, drops, reorders, cuts off or appends anything is found out, by place."""

import ast
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dsr import aws, signing_key
from dsr.audit import Broken, History, Replay, SignedHead, chained, part_name, part_of
from dsr.canonical import canonical, digest
from dsr.case import Event, State
from dsr.casebook import now
from dsr.errors import Conflict
from dsr.events import EVENTS
from dsr.heads import Locked, write_head
from dsr.signing import document, key_id, to_pem
from dsr_cli.main import main
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_case import PLAN
from tests.unit.world import CASES, KEYS, RECEIVED, World

KEY = ec.generate_private_key(ec.SECP256R1())
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PEM = to_pem(DER).encode()
CASE_IDS = ("AAAA-AAAA-AAAA-AAAA", "BBBB-BBBB-BBBB-BBBB", "CCCC-CCCC-CCCC-CCCC")


# -- pure ------------------------------------------------------------------------------------------


def history(case_id: str, events: int, minutes: int = 0) -> History:
    """A case with so many events, a minute apart, the first so many minutes after the beginning."""
    made: list[Event] = []
    for number in range(1, events + 1):
        at = RECEIVED + timedelta(minutes=minutes + number)
        event = Event(case_id, number, at, "gathered", "workflow", State.GATHERING, State.GATHERING)
        event = replace(event, about={"records": str(number)})
        made.append(chained(event, made[-1].hash if made else ""))
    return History(case_id, events, made[-1].hash, tuple(made))


def signed(number: int, since: str, until: str, previous: str, cases: list[History]) -> SignedHead:
    part = part_of((h.case_id, h.version, h.head) for h in cases)
    content = {
        "kind": "audit_head", "version": 1, "number": number, "previous": previous,
        "taken_at": until, "since": since, "until": until,
        "cases": len(cases), "parts": [{"sha256": part_name(part), "cases": len(cases)}],
    }  # fmt: skip
    signature = KEY.sign(canonical(content), ec.ECDSA(SHA256()))
    return SignedHead(document("head", content, signature, key_id(DER)), {part_name(part): part})


def cut(whole: History, events: int) -> History:
    """The case as it was after so many events."""
    return History(whole.case_id, events, whole.events[events - 1].hash, whole.events[:events])


def trail() -> tuple[list[SignedHead], list[History]]:
    """Three cases, the last of them younger than all heads; two heads."""
    first, second, young = (
        history(CASE_IDS[0], 6),
        history(CASE_IDS[1], 4),
        history(CASE_IDS[2], 3, minutes=100),
    )
    half, end = ((RECEIVED + timedelta(minutes=m)).isoformat() for m in (3, 50))
    one = signed(1, "", half, "", [cut(first, 3), cut(second, 3)])
    two = signed(2, half, end, digest(json.loads(one.content)["head"]), [first, second])
    return [one, two], [first, second, young]


HEADS, HISTORIES = trail()


def broken(heads: list[SignedHead], cases: list[History]) -> list[Broken]:
    seen = Replay(PEM)
    found = [b for head in heads for b in seen.head(head)]
    found += [b for h in cases for b in seen.case(h)]
    return [*found, *seen.end()]


def test_what_nobody_touched_holds() -> None:
    assert broken(HEADS, HISTORIES) == []
    assert broken([], HISTORIES) == []  # before the first head the chains speak for themselves
    seen = Replay(PEM)
    for head in HEADS:
        assert list(seen.head(head)) == []
    assert seen.until == (RECEIVED + timedelta(minutes=50)).isoformat()


def relinked(whole: History, events: tuple[Event, ...]) -> History:
    """The events with all hashes made anew, as one who knows how would, and the case's own word with them."""
    made: list[Event] = []
    for number, event in enumerate(events, 1):
        made.append(chained(replace(event, number=number), made[-1].hash if made else ""))
    return History(whole.case_id, len(made), made[-1].hash if made else "", tuple(made))


@given(st.data())
def test_every_change_to_an_event_is_found_at_its_place(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, 1))
    whole = HISTORIES[which]
    at = data.draw(st.integers(0, len(whole.events) - 1))
    event = whole.events[at]
    changed = data.draw(
        st.sampled_from(
            [
                replace(event, about={"records": "999"}),
                replace(event, actor="clock"),
                replace(event, name="bundled"),
                replace(event, now=State.READY),
                replace(event, at=event.at + timedelta(seconds=1)),
                replace(event, previous="0" * 64),
            ]
        )
    )
    events = (*whole.events[:at], changed, *whole.events[at + 1 :])
    altered = replace(whole, events=events)
    cases = [altered if h is whole else h for h in HISTORIES]
    [found] = broken(HEADS, cases)
    assert found.where == f"case {whole.case_id}, event {at + 1}"
    # With all hashes made anew only the heads tell, and they do.
    again = relinked(whole, events)
    if again == whole:
        return  # a `previous` alone is put right by that
    [found] = broken(HEADS, [again if h is whole else h for h in HISTORIES])
    assert found.where.startswith(f"case {whole.case_id}, event ")
    assert int(found.where.rsplit(" ", 1)[1]) > at


@given(st.data())
def test_every_missing_swapped_or_added_event_is_found(data: st.DataObject) -> None:
    whole = HISTORIES[data.draw(st.integers(0, 1))]
    events = whole.events
    at = data.draw(st.integers(0, len(events) - 2))
    extra = replace(events[-1], number=len(events) + 1)
    for changed in (
        (*events[:at], *events[at + 1 :]),  # dropped
        events[: at + 1],  # cut off
        (*events[:at], events[at + 1], events[at], *events[at + 2 :]),  # reordered
        (*events, extra),  # appended
        (*events[:at], events[at], *events[at:]),  # doubled
    ):
        for forged in (replace(whole, events=changed), relinked(whole, changed)):
            found = broken(HEADS, [forged if h is whole else h for h in HISTORIES])
            assert len(found) == 1, changed
            assert found[0].where.startswith(f"case {whole.case_id}, event ")


def test_a_case_that_is_gone_or_made_up_is_found() -> None:
    assert [b.where for b in broken(HEADS, HISTORIES[1:])] == [f"case {CASE_IDS[0]}"]
    made_up = history("DDDD-DDDD-DDDD-DDDD", 2)
    [found] = broken(HEADS, [*HISTORIES, made_up])
    assert str(found) == "case DDDD-DDDD-DDDD-DDDD, event 1: is older than head 2, which lacks it"


def test_the_case_itself_must_say_what_its_events_say() -> None:
    young = HISTORIES[2]
    for forged in (replace(young, head="0" * 64), replace(young, version=2), replace(young, events=())):
        [found] = broken(HEADS, [*HISTORIES[:2], forged])
        assert found.where.startswith(f"case {young.case_id}, event 3")


def test_every_change_to_the_heads_is_found() -> None:
    one, two = HEADS
    assert [b.where for b in broken([two], HISTORIES)] == ["head 1"]
    assert next(b.where for b in broken([two, one], HISTORIES)) == "head 1"
    said = json.loads(two.content)
    said["head"]["cases"] = 5
    [found] = broken([one, replace(two, content=json.dumps(said).encode())], HISTORIES)
    assert (found.where, "does not fit" in found.why) == ("head 2", True)
    other = {name: part.replace(b" 6 ", b" 5 ") for name, part in two.parts.items()}
    assert "was changed" in str(broken([one, replace(two, parts=other)], HISTORIES)[0])
    assert "is missing" in str(broken([one, replace(two, parts={})], HISTORIES)[0])
    # A second head in the place of the true one, well signed: it does not follow the first.
    half = json.loads(one.content)["head"]["until"]
    forged = signed(2, half, json.loads(two.content)["head"]["until"], "0" * 64, list(HISTORIES[:2]))
    assert [str(b) for b in broken([one, forged], HISTORIES)] == [
        "head 2: does not follow the head before it"
    ]


def test_a_head_under_another_key_counts_for_nothing() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    seen = Replay(pem)
    [found] = seen.head(HEADS[0])
    assert "of another key" in found.why


# -- as deployed -----------------------------------------------------------------------------------

PROOF = "dsr-proof"


@pytest.fixture
def here(cloud: None) -> Iterator[World]:
    with world.opened(PLAN) as opened, world.signing():
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket=PROOF, ObjectLockEnabledForBucket=True)
        yield opened


@pytest.fixture
def keys() -> str:
    return "newest,earlier"


def head(keys: str, size: int = 100, ends_at: float | None = None) -> dict[str, int]:
    later = now() + timedelta(minutes=10)  # all that is there has settled
    ends = time.monotonic() + 60 if ends_at is None else ends_at
    return write_head(CASES, Locked(PROOF), keys, later, ends, size)


def replayed(here: World, keys: str) -> list[Broken]:
    seen = Replay(signing_key.public_keys(keys).encode())
    found = [b for h in Locked(PROOF).heads() for b in seen.head(h)]
    case_ids = {item["case_id"]["S"] for item in items()}
    found += [b for c in sorted(case_ids) for b in seen.case(here.book.history(c))]
    return [*found, *seen.end()]


def items() -> list[dict[str, Any]]:
    answer = boto3.client("dynamodb", region_name=REGION).scan(TableName=CASES)
    return [item for item in answer["Items"] if item["part"]["S"] in ("case", "event#000001")]


def test_heads_list_what_moved_since_the_last_one_and_no_more(here: World, keys: str) -> None:
    with mock.patch("dsr.heads._SETTLED", timedelta()):
        still = [here.case(State.GATHERING, updated_at=RECEIVED) for _ in range(3)]
        moving = here.book.move(still[0], State.GATHERING, "gathered", "workflow", {"records": "1"})
        assert write_head(CASES, Locked(PROOF), keys, now(), time.monotonic() + 60, 2) == {
            "number": 1, "cases": 3,
        }  # fmt: skip
        moving = here.book.move(moving, State.GATHERING, "gathered", "workflow", {"records": "2"})
        assert head(keys) == {"number": 2, "cases": 1}
        assert head(keys) == {"number": 3, "cases": 0}
    assert replayed(here, keys) == []
    said = [json.loads(h.content)["head"] for h in Locked(PROOF).heads()]
    assert [h["number"] for h in said] == [1, 2, 3]
    assert said[1]["since"] == said[0]["until"]
    assert len(said[0]["parts"]) == 2


def test_what_is_too_much_for_one_call_is_the_next_heads(here: World, keys: str) -> None:
    cases = [here.case(State.GATHERING, received_at=now(), updated_at=now()) for _ in range(5)]
    listed: set[str] = set()
    for _ in range(6):
        head(keys, size=2, ends_at=0)  # out of time at once, after a part
    for h in Locked(PROOF).heads():
        listed |= {line.split()[0] for part in h.parts.values() for line in part.decode().splitlines()}
    assert listed == {case.case_id for case in cases}
    assert replayed(here, keys) == []


def test_of_two_heads_with_one_number_one_is_written(here: World, keys: str) -> None:
    head(keys)
    with pytest.raises(Conflict):
        Locked(PROOF).put_head(1, b"{}")
    # Nor does an object that somebody put above the first, or a delete marker, count.
    s3 = boto3.client("s3", region_name=REGION)
    s3.put_object(Bucket=PROOF, Key="heads/000001.json", Body=b"{}")
    s3.delete_object(Bucket=PROOF, Key="heads/000001.json")
    assert replayed(here, keys) == []


def alter(case_id: str, part: str, **values: str) -> None:
    boto3.client("dynamodb", region_name=REGION).update_item(
        TableName=CASES,
        Key={"case_id": {"S": case_id}, "part": {"S": part}},
        UpdateExpression="SET " + ", ".join(f"#{n} = :{n}" for n in values),
        ExpressionAttributeNames={f"#{n}": n for n in values},
        ExpressionAttributeValues={f":{n}": {"S": v} for n, v in values.items()},
    )


def stack(**outputs: str) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="dsr", TemplateBody=json.dumps(template))


def test_the_command_names_the_first_broken_link_here_and_without_aws(
    here: World, keys: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack(CasesTable=CASES, CaseKeysTable=KEYS, ProofBucket=PROOF, SigningKeyArns=keys)
    case = here.case(State.GATHERING)
    for n in range(3):
        case = here.book.move(case, case.state, "gathered", "workflow", {"records": str(n)})
    head(keys)
    file, key = tmp_path / "trail.jsonl", tmp_path / "key.pem"
    key.write_text(signing_key.public_keys(keys))
    assert main(["audit", "export", "--out", str(file)]) == 0
    assert main(["audit", "verify"]) == 0
    assert "1 heads, 1 cases, 4 events" in capsys.readouterr().out
    offline = ["audit", "verify", "--export", str(file), "--key", str(key)]
    no_aws = mock.patch.object(
        aws, "_session", side_effect=EndpointConnectionError(endpoint_url="https://aws")
    )
    with no_aws:
        aws.client.cache_clear()
        assert main(offline) == 0
        assert "The trail holds." in capsys.readouterr().out
        text = file.read_text()
        file.write_text(text.replace('"records": "1"', '"records": "7"'))
        assert main(offline) == 1
        assert f"broken at case {case.case_id}, event 3: was changed" in capsys.readouterr().err
        file.write_text(text.splitlines()[0] + "\n")
        assert main(offline) == 1
        assert f"case {case.case_id}: is missing" in capsys.readouterr().err
        assert main(offline[:-2]) == 1
        assert "needs --key" in capsys.readouterr().err
        aws.client.cache_clear()
    alter(case.case_id, "event#000002", actor="clock")
    assert main(["audit", "verify"]) == 1
    assert f"broken at case {case.case_id}, event 2: was changed" in capsys.readouterr().err
    boto3.client("dynamodb", region_name=REGION).delete_item(
        TableName=CASES, Key={"case_id": {"S": case.case_id}, "part": {"S": "event#000002"}}
    )
    assert main(["audit", "verify"]) == 1
    assert f"case {case.case_id}, event 2: is missing; 3 follows" in capsys.readouterr().err


def test_an_export_that_is_none_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, key = tmp_path / "trail.jsonl", tmp_path / "key.pem"
    file.write_text("nonsense\n")
    key.write_bytes(PEM)
    assert main(["audit", "verify", "--export", str(file), "--key", str(key)]) == 1
    assert "line 1: is no line of an export" in capsys.readouterr().err


def test_every_event_that_the_code_writes_has_its_row() -> None:
    """By name and fields, as far as they stand in the code as words."""
    found: dict[str, set[str]] = {}
    for path in Path("functions/dsr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = {"move": 2, "_resume": 2, "_Change": 1, "_tell": 2}.get(called)
            if place is None or len(node.args) <= place or not isinstance(node.args[place], ast.Constant):
                continue
            said = {
                key.value
                for argument in node.args
                if isinstance(argument, ast.Dict)
                for key in argument.keys
                if isinstance(key, ast.Constant)
            }
            if called in ("move", "_resume"):
                found.setdefault(str(node.args[place].value), set()).update(map(str, said))
            else:
                found.setdefault(str(node.args[place].value), set())
    assert len(found) > 30
    assert found.keys() <= EVENTS.keys()
    for name, fields in found.items():
        assert fields <= EVENTS[name].keys(), name
