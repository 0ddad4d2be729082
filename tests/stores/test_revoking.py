"""Tokens are revoked where they were given out: a real server as RFC 7009 has it, and what it may answer."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest

from dsr.datamap.plan import Collection, Field, Way
from dsr.errors import StoreFault
from dsr.items import to_item
from dsr.stores import revoking
from dsr.stores.dynamodb import DynamoDBStore
from tests.conftest import REGION
from tests.stores.harness import plan
from tests.unit.recipients import running


class Provider(BaseHTTPRequestHandler):
    """Answers what the test has it answer."""

    answers: list[tuple[int, dict[str, Any]]]
    told: list[dict[str, list[str]]]

    def do_POST(self) -> None:
        """Note the form."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.told.append(parse_qs(body))
        status, said = self.answers.pop(0) if self.answers else (200, {})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Provider]]]:
    monkeypatch.setattr(revoking, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("LOCAL_RECIPIENTS", "true")
    handler = type("This", (Provider,), {"answers": [], "told": []})
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://127.0.0.1:{port}/revoke", handler


def members(url: str) -> Collection:
    fields = {
        "id": Field("user.unique_id", "p"),
        "federated.token": Field("user.authorization", "p", revoke=url),
    }
    return Collection(
        "shop",
        "members",
        "Members",
        ("id",),
        (Way("id", parent="a.b.c"),),
        fields,
        options={"table": "members"},
    )


def test_each_token_that_a_deletion_found_is_revoked(
    cloud: None, provider: tuple[str, type[Provider]]
) -> None:
    url, handler = provider
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    dynamodb.create_table(
        TableName="members",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    for item in (
        {"id": "1", "federated": {"token": "1//0 a+b", "provider": "x"}}, {"id": "2", "name": "Ada"},
        {"id": "3", "federated": {"token": ""}}, {"id": "4", "federated": {"token": "another's"}},
    ):  # fmt: skip
        dynamodb.put_item(TableName="members", Item=to_item(item))
    collection, store = members(url), DynamoDBStore(plan("dynamodb"))
    pages = store.find(collection, collection.ways[0], ["1", "2", "3"], None, whole=False)
    found = [record.values for page in pages for record in page.records]
    assert len(found) == 3
    store.freeze(collection, found)
    assert handler.told == [{"token": ["1//0 a+b"], "token_type_hint": ["refresh_token"]}]


@pytest.mark.parametrize(
    "answers",
    [[(400, {"error": "invalid_token"})], [(503, {}), (200, {})], [(429, {}), (500, {}), (200, {})]],
)
def test_a_token_that_is_none_any_more_or_a_moments_trouble_is_no_fault(
    provider: tuple[str, type[Provider]], answers: list[tuple[int, dict[str, Any]]]
) -> None:
    url, handler = provider
    tries = len(answers)
    handler.answers[:] = answers
    revoking.revoke(url, "t", "members.token")
    assert len(handler.told) == tries


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(401, {"error": "invalid_client"})], "answers 401"),
        ([(400, {"error": "unsupported_token_type"})], "answers 400"),
        ([(503, {})] * 3, "answers 503"),
    ],
)
def test_who_does_not_take_it_back_is_a_fault_that_names_no_token(
    provider: tuple[str, type[Provider]], answers: list[tuple[int, dict[str, Any]]], said: str
) -> None:
    url, handler = provider
    tries = len(answers)
    handler.answers[:] = answers
    with pytest.raises(StoreFault) as fault:
        revoking.revoke(url, "secret-token", "members.token")
    assert (fault.value.code, fault.value.about) == ("not_revoked", f"members.token: 127.0.0.1 {said}")
    assert len(handler.told) == tries


def test_nobody_there_and_an_address_inside(
    provider: tuple[str, type[Provider]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = provider
    with pytest.raises(StoreFault, match="not_revoked"):
        revoking.revoke("http://127.0.0.1:9/revoke", "t", "members.token")
    monkeypatch.setenv("LOCAL_RECIPIENTS", "false")
    with pytest.raises(StoreFault, match="only https is called"):
        revoking.revoke(url, "t", "members.token")
    assert handler.told == []
