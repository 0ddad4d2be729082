"""A small company in one process: two people in a store of each kind, and the deletion of one of them.

AWS is moto's, the database a real PostgreSQL. The workflow is not Step Functions here but a loop that
calls the same steps in the same order and tries a failed one again, as `request.asl.json` does: so that
every call of every step can be made to fail one at a time. The deployed workflow has tests of its own.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import psycopg

from dsr import confirming, store_worker, taking_up
from dsr.aws import client
from dsr.bundling import bundle
from dsr.case import Requester, Right, State
from dsr.casebook import now
from dsr.certifying import issue_certificate
from dsr.concluding import conclude
from dsr.confirming import conclude_erasing
from dsr.datamap.plan import Plan
from dsr.resolving import resolve
from dsr.stores import registry
from tests.conftest import REGION
from tests.matrix import inside
from tests.matrix.gremlin import Killed
from tests.tables import table
from tests.unit.world import BUNDLES, CASES, KEYS, STAGING, World, collection, compiled, opened, store

TRIES = 6  # of a step, as in the workflow's Retry
PEOPLE = ("ada", "bob")
ORDERS = 5  # of each person
_SCHEMA = """
DROP TABLE IF EXISTS lines, orders, tickets, invoices;
CREATE TABLE orders (id text PRIMARY KEY, member text NOT NULL);
CREATE INDEX ON orders (member);
CREATE TABLE lines (id text PRIMARY KEY, "order" text NOT NULL REFERENCES orders, text text);
CREATE INDEX ON lines ("order");
CREATE TABLE tickets (id text PRIMARY KEY, member text, topic text, phone text);
CREATE INDEX ON tickets (member);
CREATE TABLE invoices (id text PRIMARY KEY, member text NOT NULL, at timestamptz NOT NULL);
CREATE INDEX ON invoices (member);
"""
_TABLES = ("orders", "lines", "tickets", "invoices")


def a_plan(folder: Path) -> Plan:
    """Every kind of store, and every treatment."""
    member = "references: members.members.id"
    return compiled(
        folder,
        store(
            "members",
            collection(
                "members",
                {"id": "", "email": "identity: {is: email, verified: true}", "sub": "proves: sign_in"},
                "indexes: {email: by-email}",
                "account: id",
            ),
            collection("devices", {"member": member, "device": ""}, key="member, device"),
        ),
        store(
            "signin",
            collection("users", {"sub": "references: members.members.sub"}, "freeze: true", table=False),
            kind="cognito",
            connection="user_pool: POOL",
        ),
        store(
            "files",
            collection(
                "pictures",
                {"object_key": "", "member": member},
                'key_template: "p/{member}/"',
                "match: prefix",
                table=False,
            ),
            kind="s3",
            connection="bucket: shop-files",
        ),
        store(
            "shop",
            collection("orders", {"id": "", "member": member}),
            collection("lines", {"id": "", "order": "references: shop.orders.id", "text": ""}),
            collection("tickets", {"id": "", "member": member, "topic": "", "phone": ""}).replace(
                "on_deletion: delete", 'on_deletion: {detach: {member: "null", phone: redacted}}'
            ),
            collection("invoices", {"id": "", "member": member, "at": ""}).replace(
                "on_deletion: delete",
                "on_deletion: {keep: tax, law: GDPR Art. 17(3)(b), until: {duration: P7Y, from: at}}",
            ),
            kind="sql",
            connection="secret: shop/db",
        ),
    )


@dataclass
class Scene:
    """The company. `uri` is its database's."""

    world: World
    uri: str
    pool: str

    def ask(self) -> str:
        """A deletion of ada's, confirmed and cooled off; returns the case's id."""
        requester = Requester(("ada@example.com", "+447700900123"))
        case = self.world.case(State.GATHERING, requester=requester, right=Right.DELETION, subject="ada")
        self.work(case.case_id)
        self.confirm(case.case_id)
        return case.case_id

    def confirm(self, case_id: str, waive: bool = False) -> None:
        """Its person says yes to the plan, and the time to think it over is over at once."""
        case = self.world.book.get(case_id)
        assert case.state is State.AWAITING_CONFIRMATION, case.attention
        self.world.book.move(
            case, State.COOLING_OFF, "deletion_confirmed", "requester", {"proof": "mailbox"},
            confirmed_at=now(), expires_at=now(), notices=("cooling_off",), waived=waive,
        )  # fmt: skip

    def work(self, case_id: str) -> None:
        """Go on with the case until a person must act or it has ended."""
        for step in self.steps(case_id):
            step()

    def steps(self, case_id: str) -> Iterator[Callable[[], Any]]:
        """The calls of functions that the workflow makes, in order, each to be made when it comes."""
        while True:
            told: dict[str, Any] = {}
            attempt = self.world.book.get(case_id).attempt
            yield lambda told=told, attempt=attempt: told.update(  # type: ignore[misc]
                again(lambda: taking_up.take_up({"case_id": case_id, "attempt": attempt}))
            )
            for wave in told["waves"]:
                for visit in wave["visits"]:
                    yield lambda visit=visit: self._visit(case_id, visit)  # type: ignore[misc]
            event = {"case_id": case_id, "step": told["step"]}
            if told["step"] == "resolve":
                yield lambda event=event: again(lambda: resolve(event))  # type: ignore[misc]
            elif told["step"] in ("gather", "restrict", "lift"):
                yield lambda event=event: again(lambda: conclude(event))  # type: ignore[misc]
            elif told["step"] in ("freeze", "erase", "confirm"):
                yield lambda event=event: again(lambda: conclude_erasing(event))  # type: ignore[misc]
            elif told["step"] == "certify":
                yield lambda event=event: again(lambda: issue_certificate(event, _Context()))  # type: ignore[misc]
            elif told["step"] == "bundle":
                yield lambda event=event: again(lambda: bundle(event, _Context()))  # type: ignore[misc]
            else:
                return

    def _visit(self, case_id: str, visit: dict[str, str]) -> None:
        event = {"case_id": case_id, "visit": visit["visit"], "verb": visit["verb"]}
        while again(lambda: store_worker.work(event, _Context()))["outcome"] == "continue":
            pass

    # -- what there is ---------------------------------------------------------------------------

    def stores(self) -> dict[str, Any]:
        """Everything that every store holds, old versions included."""
        held: dict[str, Any] = {
            table: sorted(json.dumps(item, sort_keys=True) for item in inside.items(table))
            for table in ("members", "devices")
        }
        listed = client("s3").list_object_versions(Bucket="shop-files")
        held["files"] = sorted((v["Key"], v["Size"]) for v in listed.get("Versions", ()))
        held["markers"] = sorted(v["Key"] for v in listed.get("DeleteMarkers", ()))
        users = client("cognito-idp").list_users(UserPoolId=self.pool)["Users"]
        held["users"] = sorted((u["Username"], u["Enabled"]) for u in users)
        return held | self.rows()

    def rows(self) -> dict[str, Any]:
        """Every row of the database."""
        with psycopg.connect(self.uri) as connection:
            return {t: sorted(connection.execute(f"SELECT * FROM {t}").fetchall()) for t in _TABLES}  # noqa: S608

    def put_rows(self, rows: dict[str, Any]) -> None:
        """Have the database hold these rows and no others."""
        with psycopg.connect(self.uri) as connection:
            connection.execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
            for table in _TABLES:
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    for row in rows[table]:
                        copy.write_row(row)

    def standing(self, case_id: str) -> dict[str, Any]:
        """All on which the rest of the case depends, but for times: what stands alike ends alike."""
        case, book = self.world.book.get(case_id), inside.Parts(CASES, KEYS)
        kept = vars(case) | {
            "version": 0,
            "sealed": "",
            "updated_at": "",
            "expires_at": "",
            "certificate": "",
            "erased_at": "",
            "head": "",
            "secret": "",
        }
        held = self.stores() | {
            "case": {name: str(value) for name, value in kept.items()},
            "events": [
                (e.name, e.was, e.now, {k: v for k, v in e.about.items() if k != "certificate"})
                for e in book.events(case_id)
            ],
            "staged": inside.Staged(STAGING, KEYS, case).all(),
        }
        for work in ("visit", "freeze@", "erase@", "gather@"):
            held[work] = [
                {k: v for k, v in part.items() if k not in ("updated_at", "calls")}
                for part in book.parts(case_id, work)
            ]
        if case.certificate:
            certificate = json.loads(inside.objects(BUNDLES)[case.certificate])["certificate"]
            # What binds it to its person is another word each time.
            held["certificate"] = {
                k: v for k, v in certificate.items() if not k.endswith("_at") and k != "subject"
            }
        return json.loads(json.dumps(held, default=str, sort_keys=True))  # type: ignore[no-any-return]


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        """As Lambda gives it."""
        return 300_000


def again(step: Callable[[], Any]) -> Any:
    """Try a step as the workflow does: what it raises means once more, in a new process if it was killed."""
    for left in range(TRIES, 0, -1):
        try:
            return step()
        except Killed:
            forget()
        except Exception:
            if left == 1:
                raise
    raise AssertionError("a step was killed every time")


def forget() -> None:
    """What a process holds ends with it: its connections, and what they had not committed."""
    hang_up()
    registry._open.clear()


def hang_up() -> None:
    """Close every connection, so that a copy of this process shares none; what was learnt of tables stays."""
    for opened_ in registry._open.values():
        engine = getattr(opened_, "_engine", None)
        if engine is not None:
            engine.dispose()


@contextmanager
def scene(folder: Path, uri: str) -> Iterator[Scene]:
    """The company with its people; moto must be running."""
    cognito = boto3.client("cognito-idp", REGION)
    pool = cognito.create_user_pool(PoolName="shop")["UserPool"]["Id"]
    plan = a_plan(folder)
    plan.stores["signin"].connection["user_pool"] = pool
    kms = boto3.client("kms", REGION)
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    # The simulation's indexes follow at once.
    at_once = mock.patch.dict(confirming.SETTLES, clear=True)
    with opened(plan) as world, mock.patch.dict(os.environ, {"SIGNING_KEYS": signing}), at_once:
        made = Scene(world, uri, pool)
        _fill(made)
        yield made
        forget()


def _fill(scene: Scene) -> None:
    _tables()
    boto3.client("secretsmanager", REGION).create_secret(Name="shop/db", SecretString=_secret(scene.uri))
    s3, dynamodb = boto3.client("s3", REGION), boto3.client("dynamodb", REGION)
    cognito = boto3.client("cognito-idp", REGION)
    rows: dict[str, list[tuple[Any, ...]]] = {t: [] for t in _TABLES}
    for person in PEOPLE:
        address = f"{person}@example.com"
        user = cognito.admin_create_user(
            UserPoolId=scene.pool, Username=address, UserAttributes=[{"Name": "email", "Value": address}]
        )["User"]
        sub = next(a["Value"] for a in user["Attributes"] if a["Name"] == "sub")
        values = {"id": {"S": person}, "email": {"S": address}, "sub": {"S": sub}}
        dynamodb.put_item(TableName="members", Item=values)
        for device in ("phone", "tablet"):
            dynamodb.put_item(TableName="devices", Item={"member": {"S": person}, "device": {"S": device}})
        for version in ("old", "new"):
            s3.put_object(
                Bucket="shop-files", Key=f"p/{person}/face.png", Body=f"{person} {version}".encode()
            )
        s3.put_object(Bucket="shop-files", Key=f"p/{person}/gone.png", Body=person.encode())
        s3.delete_object(Bucket="shop-files", Key=f"p/{person}/gone.png")
        for n in range(ORDERS):
            rows["orders"].append((f"{person}-{n}", person))
            rows["lines"].append((f"{person}-{n}-1", f"{person}-{n}", "a reel"))
        rows["tickets"].append((f"{person}-t", person, "a question", "+44 20 7946 0000"))
        rows["invoices"].append((f"{person}-i", person, "2026-01-01T00:00:00+00:00"))
    with psycopg.connect(scene.uri) as connection:
        connection.execute(_SCHEMA)
    scene.put_rows(rows)


def _tables() -> None:
    table("members", "id", indexes={"by-email": ("email",)})
    table("devices", "member", "device")
    s3 = boto3.client("s3", REGION)
    s3.create_bucket(Bucket="shop-files")
    s3.put_bucket_versioning(Bucket="shop-files", VersioningConfiguration={"Status": "Enabled"})


def _secret(uri: str) -> str:
    info = psycopg.conninfo.conninfo_to_dict(uri)
    return json.dumps(
        {
            "engine": "postgres",
            "host": info.get("host", "127.0.0.1"),
            "port": info.get("port", 5432),
            "dbname": info["dbname"],
            "username": info["user"],
            "password": info.get("password", ""),
        }
    )
