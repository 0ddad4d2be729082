"""What a deletion keeps by law goes by itself when its time is over, whoever has forgotten it by then."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import boto3
import jsonschema
import psycopg
import pytest

from dsr import casebook, casekey, taking_up
from dsr.canonical import digest
from dsr.case import Case, State
from dsr.datamap.plan import Plan
from dsr.errors import NotFound
from dsr.keeping_clocks import keep_clocks
from tests.conftest import REGION, aws_in_process
from tests.matrix import inside
from tests.matrix import scene as scenes
from tests.matrix.scene import Scene, scene
from tests.unit import world
from tests.unit.world import BUNDLES, CASES, KEYS

SCHEMA = json.loads(Path("docs/certificate.schema.json").read_text(encoding="utf-8"))


FILES = "files.pictures"


def with_kept_files(plan: Plan) -> Plan:
    """The pictures are kept as well, for seven years from when each was stored."""
    until = {"duration": "P7Y", "from": "last_modified"}
    kept = replace(plan.collections[FILES], on_deletion={"keep": "tax", "law": "a law", "until": until})
    return replace(plan, collections={**plan.collections, FILES: kept})


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made, world.signing():
        world.workflow()
        yield made


def deleted(company: Scene) -> Case:
    case_id = company.ask()
    company.work(case_id)
    case = company.world.book.get(case_id)
    assert case.state is State.ERASED_IN_PART, case.attention
    return case


def clock(company: Scene, moment: datetime) -> dict[str, int]:
    with mock.patch.object(casebook, "now", return_value=moment):
        return keep_clocks({})


def finish(company: Scene, case_id: str) -> Case:
    company.work(case_id)
    case = company.world.book.get(case_id)
    if case.state is State.COOLING_OFF:
        about = {"notice": "cooling_off", "outcome": "undeliverable"}
        company.world.book.move(case, case.state, "notice_sent", "workflow", about, notices=("cooling_off",))
        company.work(case_id)
    return company.world.book.get(case_id)


def certificate(case: Case) -> dict[str, object]:
    body = boto3.client("s3", REGION).get_object(Bucket=BUNDLES, Key=case.certificate)["Body"].read()
    signed = json.loads(body)
    jsonschema.validate(signed, SCHEMA)
    return signed["certificate"]  # type: ignore[no-any-return]


def invoices(company: Scene) -> list[tuple[str, str]]:
    return [row[:2] for row in company.rows()["invoices"]]


def test_it_waits_knowing_only_keys_and_deletes_what_is_due_on_its_day(company: Scene) -> None:
    with psycopg.connect(company.uri) as connection:
        connection.execute("INSERT INTO invoices VALUES ('number-99', 'ada', '2026-03-01T00:00:00Z')")
    book, before = company.world.book, invoices(company)
    case = deleted(company)
    waiting = [book.get(case_id) for case_id in case.followed_by]
    assert {(c.state, c.follows, c.channel) for c in waiting} == {(State.KEPT, case.case_id, "kept")}
    last = waiting[-1]
    assert last.expires_at == datetime(2033, 3, 2, tzinfo=UTC), "the told day is kept as a whole"
    assert case.plan["shop.invoices"]["until"] == "2033-03-01"
    raw = boto3.client("dynamodb", REGION).scan(TableName=CASES)["Items"]
    held = [item for item in raw if item["case_id"]["S"] == last.case_id]
    assert any(item["part"]["S"].startswith("kept#") for item in held)
    assert "number-99" not in str(held), "what it knows is sealed"
    assert book.requester(last).contacts == ()

    # The key of the case that kept them is destroyed; theirs stay.
    casekey.destroy(case.case_id, KEYS)
    assert clock(company, last.expires_at - timedelta(days=1))["kept_ended"] == len(waiting) - 1
    assert clock(company, last.expires_at)["kept_ended"] == 1
    ends = [finish_at(company, c.case_id, last.expires_at) for c in waiting]
    assert {c.state for c in ends} == {State.ERASED}
    assert invoices(company) == [row for row in before if row[1] != "ada"], "nobody else's"
    said = certificate(ends[-1])
    assert said["follows"] == {"case": case.case_id, "certificate": digest(certificate(case))}
    assert said["collections"][0]["erased"] == 1  # type: ignore[index]
    for ended in ends:
        casekey.destroy(ended.case_id, KEYS)
        with pytest.raises(NotFound):
            book.requester(ended)


def finish_at(company: Scene, case_id: str, moment: datetime) -> Case:
    with (
        mock.patch.object(casebook, "now", return_value=moment),
        mock.patch.object(taking_up, "now", return_value=moment),
    ):
        return finish(company, case_id)


def test_one_whose_date_was_moved_waits_for_a_person_and_what_is_gone_is_no_fault(company: Scene) -> None:
    case = deleted(company)
    [waiting] = [company.world.book.get(case_id) for case_id in case.followed_by]
    assert waiting.expires_at
    with psycopg.connect(company.uri) as connection:
        connection.execute("UPDATE invoices SET at = at + interval '1 year' WHERE member = 'ada'")
    clock(company, waiting.expires_at)
    stopped = finish_at(company, waiting.case_id, waiting.expires_at)
    assert stopped.state is State.NEEDS_ATTENTION
    assert [(p.reason, p.about) for p in stopped.attention] == [("unverified_match", "shop.invoices")]


def test_what_the_sweep_has_taken_meanwhile_is_nothing_found(company: Scene) -> None:
    case = deleted(company)
    [waiting] = [company.world.book.get(case_id) for case_id in case.followed_by]
    assert waiting.expires_at
    with psycopg.connect(company.uri) as connection:
        connection.execute("DELETE FROM invoices WHERE member = 'ada'")
    clock(company, waiting.expires_at)
    assert finish_at(company, waiting.case_id, waiting.expires_at).state is State.NOTHING_FOUND


def test_kept_files_go_with_all_their_versions_and_nobody_elses(postgres: str, tmp_path: Path) -> None:
    plan = with_kept_files(scenes.a_plan(tmp_path))
    kept = mock.patch.object(scenes, "a_plan", return_value=plan)
    with aws_in_process(), kept, scene(tmp_path, postgres) as company, world.signing():
        world.workflow()
        before = company.stores()
        case = deleted(company)
        held = company.stores()
        assert (held["files"], held["markers"]) == (before["files"], before["markers"])
        waiting = [company.world.book.get(case_id) for case_id in case.followed_by]
        last = max(waiting, key=lambda c: c.expires_at or c.received_at)
        assert last.expires_at
        assert "p/ada/" not in str(inside.items(CASES)), "what it knows is sealed"
        clock(company, last.expires_at)
        ended = finish_at(company, last.case_id, last.expires_at)
        assert ended.state is State.ERASED
        held = company.stores()
        assert held["files"] == [one for one in before["files"] if "/bob/" in one[0]]
        assert held["markers"] == [key for key in before["markers"] if "/bob/" in key]
        [entry] = certificate(ended)["collections"]  # type: ignore[misc]
        gone = len(before["files"]) // 2 + len(before["markers"]) // 2
        assert (entry["collection"], entry["found"], entry["erased"]) == ("pictures", gone, gone)  # type: ignore[index]
