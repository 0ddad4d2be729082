"""The desk's function in one process, over moto: its real handler, people signed in, cases in any state."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3

from dsr import casekey, front_door, parameters
from dsr.bundling import bundle
from dsr.case import Attention, Case, Requester, State
from dsr.casebook import Visit
from dsr.finds import folder_of, place
from dsr.records import to_line
from dsr.web.desk.roles import Role
from tests.conftest import REGION
from tests.unit.front import PUBLIC_URL, Browser, FakeStates, Page
from tests.unit.world import Context, World, collection, compiled, opened, store

SIGN_IN = {"domain": "https://desk.example", "client_id": "desk-1", "issuer": "https://issuer.example/desk"}
ADA = Requester(("ada@example.com", "ada@work.example"), {"name": "Ada Lovelace"}, country="GB")
DOUBT = Attention("0-support", "unverified_match", "support.tickets")
NAMING = Attention("0-support", "review", "support.tickets")
DOWN = Attention("1-screening", "missing_permission", "dynamodb:Query")


@dataclass
class Bureau:
    """The desk with its surroundings."""

    desk: Any
    world: World
    states: FakeStates
    cookies: dict[frozenset[Role], str] = field(default_factory=dict)
    people: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, event: dict[str, Any]) -> Page:
        """What the function says."""
        said = json.loads(json.dumps(self.desk.handler(event, None)))
        cookies = said.get("multiValueHeaders", {}).get("Set-Cookie", [])
        return Page(said["statusCode"], said["headers"], said["body"], cookies)

    def stranger(self) -> Browser:
        """A browser that nobody signed in with."""
        return Browser(self)  # type: ignore[arg-type]  # it asks for `answer` alone

    def browser(self, *roles: Role) -> Browser:
        """A browser of somebody with these roles, whose subject id is `sub-<roles>`."""
        made = self.stranger()
        sub = "sub-" + "-".join(role.value for role in roles)
        made.jar["__Host-dsr-desk"] = self.desk._pages().frame.door.open_session(sub, frozenset(roles))
        return made

    def doubtful(self, records: list[dict[str, Any]], **fields: Any) -> Case:
        """A case that waits for the judgement of these records of support.tickets."""
        case = self.world.case(
            State.NEEDS_ATTENTION,
            **({"requester": ADA, "resume": State.GATHERING, "attention": (DOUBT,)} | fields),
        )
        staging, folder = self.world.staging(case), folder_of("doubtful", DOUBT.about)
        staging.put(f"{folder}000000", b"".join(to_line({"values": values}) for values in records))
        staging.put_json(place(DOUBT.visit), {"parts": {folder: [f"{folder}000000"]}})
        doubtful = {"tickets": len(records)}
        self.world.book.note_visit(
            case.case_id, Visit(DOUBT.visit, "support", "done", {"tickets": 2}, doubtful)
        )
        return case

    def bundling(self, records: list[dict[str, Any]], **fields: Any) -> Case:
        """A case with these records of support.tickets staged, to be bundled."""
        case = self.world.case(State.BUNDLING, **({"requester": ADA, "outcome": "delivered"} | fields))
        staging, folder = self.world.staging(case), folder_of("staged", DOUBT.about)
        staging.put(f"{folder}000000", b"".join(to_line({"values": values}) for values in records))
        staging.put_json(place(DOUBT.visit), {"parts": {folder: [f"{folder}000000"]}})
        return case

    def reviewed(self, records: list[dict[str, Any]]) -> Case:
        """A case whose copy waits for a look at these records of support.tickets."""
        case = self.bundling(records)
        assert bundle({"case_id": case.case_id}, Context())["outcome"] == "needs_attention"
        return self.world.book.get(case.case_id)

    def stuck(self, **fields: Any) -> Case:
        """A case whose screening store refuses us."""
        case = self.world.case(
            State.NEEDS_ATTENTION,
            **({"requester": ADA, "resume": State.GATHERING, "attention": (DOWN,)} | fields),
        )
        self.world.book.note_visit(
            case.case_id,
            Visit(DOWN.visit, "screening", "needs_attention", reason=DOWN.reason, about=DOWN.about),
        )
        return case


def a_plan(folder: Path) -> Any:
    """Three stores: one that tells who it is, one that may be doubted, one that may be left out."""
    members = {"id": "", "email": "identity: {is: email, verified: true}", "sub": "proves: sign_in"}
    tickets = {
        "id": "",
        "opened_email": "identity: {is: email, verified: false}",
        "opened_by": "second_point: name",
        "text": "",
        "body": "free_text: true",
        "note": "disclose: never, reason: it names a colleague",
    }
    flags = {"id": "", "member": "references: members.members.id"}
    return compiled(
        folder,
        store("members", collection("members", members, "indexes: {email: by-email}", "account: id")),
        store("support", collection("tickets", tickets, "indexes: {opened_email: by-email}")),
        store("screening", collection("flags", flags, "indexes: {member: by-member}")),
    )


@contextmanager
def bureau_open(folder: Path, **environment: str) -> Iterator[Bureau]:
    """The desk with everything it needs; moto must be running."""
    boto3.client("dynamodb", region_name=REGION).create_table(
        TableName="dsr-front-door",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    ssm = boto3.client("ssm", region_name=REGION)
    ssm.put_parameter(Name="/dsr/public-url", Value=PUBLIC_URL, Type="String")
    ssm.put_parameter(Name="/dsr/desk-sign-in", Value=json.dumps(SIGN_IN), Type="String")
    kms = boto3.client("kms", region_name=REGION)
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    told = {
        "FRONT_DOOR_TABLE": "dsr-front-door",
        "MAC_KEY": mac,
        "PUBLIC_URL_PARAMETER": "/dsr/public-url",
        "SIGN_IN_PARAMETER": "/dsr/desk-sign-in",
    }
    states = FakeStates()
    for forget in (front_door._mac.cache_clear, casekey._identity.cache_clear, parameters._kept.clear):
        forget()
    with (
        opened(a_plan(folder)) as world,
        mock.patch.dict(os.environ, told | environment),
        mock.patch("dsr.workflow.client", return_value=states),
    ):
        import desk_web.handler as desk

        desk._pages.cache_clear()
        yield Bureau(desk, world, states)
    desk._pages.cache_clear()
