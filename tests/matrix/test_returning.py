"""Who was erased and comes back with a backup is erased again; whoever else is in it is left alone."""

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import psycopg
import pytest

from dsr import certifying, site_events, suppression
from dsr.case import State
from dsr.stores.sql import store as sql_store
from dsr_cli import suppression_commands
from dsr_cli.main import main
from tests.conftest import REGION, aws_in_process
from tests.matrix.scene import ORDERS, Scene, scene
from tests.unit import world
from tests.unit.world import SUPPRESSION


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made, world.signing():
        world.workflow()
        case_key = mock.patch.dict(os.environ, {"CASE_KEY": made.world.kms_key})
        with case_key, mock.patch.object(site_events, "load", return_value=made.world.plan):
            yield made


def listed() -> list[dict[str, Any]]:
    return list(boto3.client("dynamodb", REGION).scan(TableName=SUPPRESSION)["Items"])


def restored(event_id: str, *members: str) -> list[str]:
    detail = {"collection": "members.members", "locators": {"members.members.id": list(members)}}
    event = {"id": event_id, "detail-type": "collection.restored", "detail": detail}
    found: list[str] = site_events.take_event(event)["case_ids"]
    return found


def finish(company: Scene, case_id: str) -> None:
    """Go on to the end; that it cools off is told to nobody, since nobody is known."""
    company.work(case_id)
    case = company.world.book.get(case_id)
    assert case.state is State.COOLING_OFF, case.attention
    about = {"notice": "cooling_off", "outcome": "undeliverable"}
    company.world.book.move(case, case.state, "notice_sent", "workflow", about, notices=("cooling_off",))
    company.work(case_id)


def account(name: str, address: str) -> None:
    values = {"id": name, "email": address, "sub": f"sub-{name}"}
    boto3.client("dynamodb", REGION).put_item(
        TableName="members", Item={k: {"S": v} for k, v in values.items()}
    )


def test_who_comes_back_with_a_backup_is_erased_again_and_nobody_else(company: Scene) -> None:
    first = company.ask()
    company.work(first)
    erased = company.stores()
    assert len(listed()) >= 3, "the account, its sign-in, its orders, its address"
    assert "ada" not in json.dumps(listed())
    account("ada", "ada@example.com")
    with psycopg.connect(company.uri) as connection:
        connection.execute("INSERT INTO orders VALUES ('ada-7', 'ada')")
        connection.execute("INSERT INTO lines VALUES ('ada-7-1', 'ada-7', 'a reel')")
    account("ada-2", "ada@example.com")  # signed up anew
    [case_id] = restored("event-1", "ada", "bob", "ada-2", "nobody")
    assert restored("event-1", "ada", "bob", "ada-2", "nobody") == [case_id], "delivered twice, one case"
    opened = company.world.book.get(case_id)
    assert opened.channel == "restore"
    assert opened.erased_at == company.world.book.get(first).erased_at
    finish(company, case_id)
    case = company.world.book.get(case_id)
    assert case.state is State.ERASED_IN_PART, case.attention  # the invoice is still kept by law
    held = company.stores()
    assert sorted(json.loads(m)["id"]["S"] for m in held["members"]) == ["ada-2", "bob"]
    assert len(held["orders"]) == len(held["lines"]) == ORDERS
    assert {k: v for k, v in held.items() if k != "members"} == {
        k: v for k, v in erased.items() if k != "members"
    }


def test_whom_the_list_does_not_know_is_forgotten_at_once(company: Scene) -> None:
    before = len(list(company.world.book.open_cases()))
    assert restored("event-2", "bob", "ada") == []
    assert len(list(company.world.book.open_cases())) == before


def test_what_is_kept_or_shared_is_not_on_the_list(company: Scene) -> None:
    from dsr.suppression import Suppression

    case_id = company.ask()
    company.work(case_id)
    found = Suppression(SUPPRESSION, os.environ["SUPPRESSION_KEY"])
    told = [
        ("members.members.id", "ada"),
        ("identity.email", "ada@example.com"),
        ("identity.phone", "+447700900123"),
        ("shop.orders.id", "ada-0"),
        ("shop.invoices.id", "ada-i"),
        ("shop.tickets.id", "ada-t"),
        ("members.members.id", "bob"),
    ]
    hits = {locator: entry.case_id for locator, entry in found.entries_of(told)}
    assert hits == dict.fromkeys(told[:4], case_id)


def test_the_command_passes_over_what_was_restored(
    company: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = company.ask()
    company.work(case_id)
    stack = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {
            name: {"Value": value}
            for name, value in {
                "CasesTable": "dsr-cases", "StagingBucket": "dsr-staging", "SiteEvents": "default",
                "SiteEventSource": "shop", "SuppressionTable": SUPPRESSION,
                "SuppressionKey": os.environ["SUPPRESSION_KEY"],
            }.items()
        },
    }  # fmt: skip
    boto3.client("cloudformation", REGION).create_stack(StackName="dsr", TemplateBody=json.dumps(stack))
    sent: list[Any] = []
    real = suppression_commands._report
    monkeypatch.setattr(suppression_commands, "_report", lambda *a: (sent.append(a[1:]), real(*a)))
    for options, events in (([], []), (["--erase"], [("members.members.id", ["ada"])])):
        monkeypatch.setattr("sys.stdin", io.StringIO("bob\nada\n\nnobody\n"))
        assert main(["suppression", "pass", "members.members.id", *options]) == 0
        said = capsys.readouterr().out
        assert "3 ids read, 1 on the list, of 1 deletions" in said
        assert "ada" not in said
        assert sent == events


def test_very_many_locators_are_entered_over_several_calls(company: Scene) -> None:
    case_id = company.ask()
    for step in company.steps(case_id):
        if company.world.book.get(case_id).state is State.CERTIFYING:
            break
        step()
    certify = {"case_id": case_id}
    late = mock.patch.object(suppression, "_WRITES", 2)
    at_once = mock.MagicMock(**{"get_remaining_time_in_millis.return_value": 0})
    with late:
        calls = 0
        while certifying.issue_certificate(certify, at_once)["outcome"] == "certifying":
            calls += 1
            assert calls < 50
            assert company.world.book.get(case_id).certificate == ""
    assert calls > 1
    assert company.world.book.get(case_id).state is State.ERASED_IN_PART
    times = {item["at"]["S"] for item in listed()}
    assert len(times) == 1, "one deletion, one time"
    assert {item["case"]["S"] for item in listed()} == {case_id}
    assert len(listed()) >= 3


def test_a_pass_over_the_stores_finds_who_came_back_and_goes_on_where_it_stopped(
    company: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = company.ask()
    company.work(first)
    account("ada", "ada@example.com")
    with psycopg.connect(company.uri) as connection:
        connection.execute("INSERT INTO orders VALUES ('ada-7', 'ada'), ('eve-1', 'eve'), ('eve-2', 'eve')")
    boto3.client("s3", REGION).put_object(Bucket="shop-files", Key="p/ada/face.png", Body=b"back again")
    stack = {"SuppressionTable": SUPPRESSION, "SuppressionKey": os.environ["SUPPRESSION_KEY"]}
    sent: list[Any] = []
    place = tmp_path / "place.json"
    with mock.patch.multiple(
        suppression_commands, outputs=lambda _: stack, plan_of=lambda _: company.world.plan,
        _report=lambda *a: sent.append(a[1:]),
    ), mock.patch.object(sql_store, "_LISTED", 2):  # fmt: skip
        said = ""
        for seconds in ["0"] * 40:
            options = ["map.yaml", "--place", str(place), "--seconds", seconds, "--erase"]
            assert main(["suppression", "scan", *options]) == 0
            now_said = capsys.readouterr().out
            said += now_said
            assert "ada" not in now_said
            if "Through" in now_said:
                break
            assert place.stat().st_mode & 0o077 == 0
    assert "Through" in said
    assert said.count("Put aside") > 3
    assert not place.exists()
    assert re.search(r"files.pictures: [1-9]\d* records in 1 pages, 2 looked up, 1 on the list", said)
    assert ("members.members.id", ["ada"]) in sent
    assert {value for _, values in sent for value in values} == {"ada"}, "only who was erased"
    assert not any("invoices" in line for line in said.splitlines()), "what is kept is there by right"
