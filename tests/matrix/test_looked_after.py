"""After the certificate: what copies bring back is found and erased, who signs up anew is left alone, the
supplement follows when the last copy has ended."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import psycopg
import pytest

from dsr import certificate, signing_key
from dsr.audit import chain_breaks
from dsr.case import Case, State
from tests.conftest import REGION, aws_in_process
from tests.matrix.scene import ORDERS, Scene, scene
from tests.matrix.test_held import look
from tests.unit import world
from tests.unit.world import BUNDLES, STAGING

SCHEMA = json.loads(Path("docs/certificate.schema.json").read_text(encoding="utf-8"))
EXPORT = {"kind": "export", "name": "nightly export", "lag": "P1D"}
BACKUP = {"kind": "backup", "name": "point-in-time recovery", "expires": "P35D"}


@pytest.fixture
def company(postgres: str, tmp_path: Path) -> Iterator[Scene]:
    with aws_in_process(), scene(tmp_path, postgres) as made, world.signing():
        yield made


def copied(company: Scene, path: str, *copies: dict[str, Any]) -> None:
    collections = company.world.plan.collections
    collections[path] = replace(collections[path], copies=copies)


def erased(company: Scene) -> Case:
    case_id = company.ask()
    company.work(case_id)
    return reached(company, case_id, State.ERASED_IN_PART)


def reached(company: Scene, case_id: str, state: State) -> Case:
    case = company.world.book.get(case_id)
    assert case.state is state, case.attention
    return case


def signed(key: str) -> dict[str, Any]:
    """What a file says, once it fits the schema and the signature fits it."""
    content = boto3.client("s3", REGION).get_object(Bucket=BUNDLES, Key=key)["Body"].read()
    jsonschema.validate(json.loads(content), SCHEMA, cls=jsonschema.Draft202012Validator)
    pem = signing_key.public_keys(world.os.environ["SIGNING_KEYS"]).encode()
    return certificate.verify(content, pem)


def bring_back(company: Scene, *rows: tuple[str, tuple[Any, ...]]) -> None:
    with psycopg.connect(company.uri) as connection:
        for table, row in rows:
            marks = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608


def test_what_an_export_refilled_is_erased_when_its_lag_is_over(company: Scene) -> None:
    copied(company, "shop.orders", EXPORT)
    copied(company, "members.members", BACKUP)
    case = erased(company)
    assert case.erased_at
    assert case.check_at
    said = signed(case.certificate)
    assert said["verification"]["again_at"] == case.check_at.isoformat()
    assert [(c["name"], c["collections"]) for c in said["copies"]] == [
        ("point-in-time recovery", ["members.members"]),
        ("nightly export", ["shop.orders"]),
    ]
    assert (case.check_at - case.erased_at).days == 1
    assert company.world.objects(STAGING, f"cases/{case.case_id}/"), "the snapshot stays sealed until then"
    bring_back(company, ("orders", ("ada-0", "ada")), ("lines", ("ada-0-1", "ada-0", "a reel")))
    assert look(company, days=0).done["checked_again"] == 0
    assert look(company, days=2).done["checked_again"] == 1
    company.work(case.case_id)
    case = reached(company, case.case_id, State.ERASED_IN_PART)
    held = company.stores()
    assert len(held["orders"]) == len(held["lines"]) == ORDERS
    assert case.checked_at
    assert case.check_at is None
    assert company.world.objects(STAGING, f"cases/{case.case_id}/") == []
    # The key waits for the mail that tells it; then it goes as any other.
    assert look(company, days=32).done["destroyed"] == 0
    assert look(company, days=36).done["supplemented"] == 1
    company.work(case.case_id)
    case = reached(company, case.case_id, State.ERASED_IN_PART)
    supplement = signed(case.supplement)
    assert supplement["verified_again_at"] == case.checked_at.isoformat()
    assert supplement["erased_again"] == [
        {"collection": "shop.lines", "erased": 1},
        {"collection": "shop.orders", "erased": 1},
    ]
    assert supplement["certificate"] == certificate.digest(said)
    assert look(company, days=36 + 31).done["destroyed"] == 1
    assert list(chain_breaks(company.world.book.history(case.case_id))) == []
    names = company.world.names(case)
    assert names[names.index("certified") :] == [
        "certified", "checking_again", "found_again", "erased", "nothing_left", "checked_again",
        "supplement_due", "supplemented", "key_destroyed",
    ]  # fmt: skip
    assert case.case_id not in {c.case_id for c in company.world.book.open_cases()}, "it rests for good"


def test_the_account_that_comes_back_goes_and_the_new_one_stays(company: Scene) -> None:
    copied(company, "shop.orders", EXPORT)
    before = company.stores()
    case = erased(company)
    dynamodb = boto3.client("dynamodb", REGION)

    def account(name: str, sub: str) -> None:
        values = {"id": name, "email": "ada@example.com", "sub": sub}
        dynamodb.put_item(TableName="members", Item={k: {"S": v} for k, v in values.items()})
        dynamodb.put_item(TableName="devices", Item={"member": {"S": name}, "device": {"S": "phone"}})

    account("ada", "old-sub")  # restored
    account("ada-2", "new-sub")  # she came back of her own will
    bring_back(company, ("orders", ("new-0", "ada-2")))
    look(company, days=2)
    company.work(case.case_id)
    reached(company, case.case_id, State.ERASED_IN_PART)
    held = company.stores()
    members = [json.loads(m)["id"]["S"] for m in held["members"]]
    assert sorted(members) == ["ada-2", "bob"]
    assert sorted(json.loads(d)["member"]["S"] for d in held["devices"]) == ["ada-2", "bob", "bob"]
    assert [row for row in held["orders"] if "ada" in row[1]] == [("new-0", "ada-2")]
    assert len(before["orders"]) == 2 * ORDERS


def test_without_copies_nothing_follows_and_the_snapshot_goes_at_once(company: Scene) -> None:
    case = erased(company)
    assert (case.check_at, case.supplement_at) == (None, None)
    said = signed(case.certificate)
    assert (said["copies"], said["supplement_at"], said["verification"]["again_at"]) == ([], "", "")
    assert company.world.objects(STAGING, f"cases/{case.case_id}/") == []
    assert look(company, days=31).done["destroyed"] == 1


def test_the_certificate_is_its_persons_and_nobody_elses(company: Scene) -> None:
    case = erased(company)
    said = signed(case.certificate)
    nonce = company_secret(company, case)
    assert certificate.is_mine(said, nonce, "Ada@Example.com ")
    assert not certificate.is_mine(said, nonce, "bob@example.com")
    assert not certificate.is_mine(said, "x" + nonce, "ada@example.com")
    assert "ada" not in json.dumps(said).lower()


def company_secret(company: Scene, case: Case) -> str:
    from base64 import b64decode

    from dsr.casekey import unseal

    return unseal(case.case_id, company.world.book.keys, b64decode(case.secret)).decode()


def test_the_plan_is_in_the_trail_before_anything_is_deleted(company: Scene) -> None:
    case = erased(company)
    events = company.world.book.events(case.case_id)
    plans = [(e.name, e.about["plan"]) for e in events if "plan" in e.about]
    assert [name for name, _ in plans] == ["planned", "erasing_started"]
    assert {digest for _, digest in plans} == {certificate.digest(case.plan)}
