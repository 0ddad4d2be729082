"""SQL in the data map: the ways in, what each needs, what its role may do, what a column's name may be."""

from pathlib import Path
from typing import Any

import pytest

from dsr.datamap.roles import roles_template
from dsr.errors import MapError
from tests.unit.world import collection, compiled, store

IDENTITY = "identity: {is: email, normalise: lower, verified: true}"
CLUSTER = "arn:aws:rds:eu-west-1:123456789012:cluster:shop"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/db-AbCdEf"
IAM = "iam: db-ABC, engine: postgres, host: h, database: d, user: dsr"
PEM = '"-----BEGIN CERTIFICATE-----"'


def shop(connection: str, *more: str, fields: dict[str, str] | None = None) -> str:
    """A SQL store with one table, reached by `connection`."""
    held = collection("t", fields or {"id": "", "mail": IDENTITY}, *more)
    return store("shop", held, kind="sql", connection=connection)


def statements(folder: Path, connection: str) -> dict[str, Any]:
    """What the role of such a store may do, and on what."""
    [role] = roles_template(compiled(folder, shop(connection)))["Resources"].values()
    [policy] = role["Properties"]["Policies"]
    return {tuple(s["Action"]): s["Resource"] for s in policy["PolicyDocument"]["Statement"]}


@pytest.mark.parametrize(
    "connection",
    [
        "secret: shop/db",
        "secret: shop/db, host: h, engine: mysql, database: d",
        "secret: shop/db, replica_secret: shop/reader",
        "secret: shop/db, read_endpoint: reader, tls: off",
        f"secret: shop/db, ca: {PEM}",
        f"secret: shop/db, tls: verify-full, ca: {PEM}",
        IAM,
        f"data_api: {CLUSTER}, secret: {SECRET}, database: shop",
    ],
)
def test_each_way_in_compiles(tmp_path: Path, connection: str) -> None:
    assert compiled(tmp_path, shop(connection)).stores["shop"].connection["region"]


@pytest.mark.parametrize(
    ("connection", "about"),
    [
        ("host: h", "give `secret`, `iam` or `data_api`"),
        ("iam: db-ABC, host: h", "`iam` needs `engine`, `database`, `user` as well"),
        (f"secret: s, {IAM}", "give either `secret` or `iam`"),
        (f"{IAM}, tls: off", "a token of IAM is a password: it needs TLS"),
        (f"data_api: {CLUSTER}, database: d", "`data_api` needs `secret` as well"),
        (f"data_api: {CLUSTER}, secret: shop/db, database: d", "takes the ARN of the `secret`"),
        (f"data_api: {CLUSTER}, secret: {SECRET}, database: d, host: h", "reaches the writer alone"),
        ("secret: s, tls: verify-full", "`tls: verify-full` needs `ca`"),
        ("secret: s, ca: rds.pem", "holds no certificate"),
        ("secret: s, engine: oracle", "engine"),
        ("secret: s, data_api: cluster", "data_api"),
    ],
)
def test_a_way_in_that_leads_nowhere_is_told(tmp_path: Path, connection: str, about: str) -> None:
    with pytest.raises(MapError, match=about):
        compiled(tmp_path, shop(connection))


def test_roles_allow_the_one_way_in(tmp_path: Path) -> None:
    home = "arn:${AWS::Partition}:secretsmanager:us-east-1:${AWS::AccountId}:secret:"
    read = ("secretsmanager:GetSecretValue",)
    assert statements(tmp_path, "secret: a, replica_secret: b") == {
        read: [{"Fn::Sub": f"{home}a-??????"}, {"Fn::Sub": f"{home}b-??????"}]
    }
    user = "arn:${AWS::Partition}:rds-db:us-east-1:${AWS::AccountId}:dbuser:db-ABC/dsr"
    assert statements(tmp_path, IAM) == {("rds-db:connect",): [{"Fn::Sub": user}]}
    by_api = statements(tmp_path, f"data_api: {CLUSTER}, secret: {SECRET}, database: shop")
    calls = ("BeginTransaction", "CommitTransaction", "ExecuteStatement", "RollbackTransaction")
    assert by_api == {tuple(f"rds-data:{call}" for call in calls): [CLUSTER], read: [SECRET]}


@pytest.mark.parametrize(
    ("fields", "more", "place"),
    [
        ({"id": "", "mail.home": IDENTITY}, (), "mail.home.identity"),
        ({"id": "", "mail": IDENTITY, "said.by": "references: shop.t.id"}, (), "said.by.references"),
        ({"id.x": "", "mail": IDENTITY}, (), "key"),
    ],
)
def test_what_stands_inside_of_json_cannot_be_looked_up(
    tmp_path: Path, fields: dict[str, str], more: tuple[str, ...], place: str
) -> None:
    with pytest.raises(MapError, match=f"{place}.*inside of a JSON column"):
        compiled(tmp_path, shop("secret: s", *more, fields=fields))


def test_what_stands_inside_of_json_can_be_withheld(tmp_path: Path) -> None:
    fields = {"id": "", "mail": IDENTITY, "device.serial": "disclose: never, reason: it is ours"}
    plan = compiled(tmp_path, shop("secret: s", fields=fields))
    assert plan.collections["shop.t"].never == {"device.serial": "it is ours"}
