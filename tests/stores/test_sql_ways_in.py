"""How a database is reached: secrets, tokens of IAM, TLS, replicas, the Data API; what fails on the way."""

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError

from dsr.datamap.plan import Store as StorePlan
from dsr.datamap.plan import Way
from dsr.errors import StoreFault
from dsr.stores.sql import SQLStore, connecting
from dsr.stores.sql.connecting import Connector
from tests.stores import harness as kinds
from tests.stores.harness import ME, REGION, collection, plan

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
RDS = "shop.abc.us-east-1.rds.amazonaws.com"
OWNER = Way("owner", parent="a.b.c")


def arguments(dialect: str = "postgres", replica: bool = False, **connection: Any) -> dict[str, Any]:
    """What the driver is given for a connection of the map."""
    said = {"secret": "shop/db"} if "iam" not in connection else {}
    made = StorePlan("shop", "sql", kinds.plan("sql").role, {"region": REGION, **said, **connection}, "dsr")
    found: dict[str, Any] = Connector(made, replica)._arguments(dialect)
    return found


@pytest.fixture
def secret(cloud: None) -> None:
    """A secret as RDS writes it."""
    said = {
        "engine": "postgres",
        "host": RDS,
        "port": 5433,
        "dbname": "shop",
        "username": "dsr",
        "password": "p",
    }
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.create_secret(Name="shop/db", SecretString=json.dumps(said))


def test_the_secret_says_where_and_the_map_may_say_otherwise(secret: None) -> None:
    assert arguments()["host"] == RDS
    said = arguments(host="other", port=7, database="events")
    assert (said["host"], said["port"], said["dbname"], said["user"]) == ("other", 7, "events", "dsr")


def test_a_secret_that_rds_manages_needs_the_rest_in_the_map(secret: None) -> None:
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.put_secret_value(SecretId="shop/db", SecretString='{"username": "dsr", "password": "p"}')
    with pytest.raises(StoreFault, match="missing_connection: shop: neither secret nor map say host, dbname"):
        arguments()
    assert arguments(host=RDS, database="shop")["port"] == 5432


def test_a_token_of_iam_is_signed_under_the_stores_role(cloud: None) -> None:
    said = arguments(iam="db-ABC", host=RDS, database="shop", user="dsr", engine="postgres")
    token = urlsplit(f"https://{said['password']}")
    assert (token.hostname, token.port) == (RDS, 5432)
    asked = {name: value[0] for name, value in parse_qs(token.query).items()}
    assert (asked["Action"], asked["DBUser"], asked["X-Amz-Expires"]) == ("connect", "dsr", "900")
    assert "/us-east-1/rds-db/aws4_request" in asked["X-Amz-Credential"]
    assert asked["X-Amz-Security-Token"]  # of the role that was assumed
    assert said["sslmode"] == "require"


@pytest.mark.parametrize(
    ("connection", "mode"),
    [
        ({}, "require"),
        ({"tls": "off"}, "disable"),
        ({"ca": PEM}, "verify-full"),
        ({"ca": PEM, "tls": "require"}, "require"),
        ({"host": "127.0.0.1"}, "disable"),
        ({"host": "127.0.0.1", "tls": "require"}, "require"),
    ],
)
def test_postgresql_is_asked_over_tls_unless_it_is_here(
    secret: None, connection: dict[str, str], mode: str
) -> None:
    said = arguments(**connection)
    assert said["sslmode"] == mode
    if mode == "verify-full":
        from pathlib import Path

        assert Path(said["sslrootcert"]).read_text() == PEM


def test_mysql_is_asked_over_tls_unless_it_is_here(secret: None) -> None:
    assert arguments("mysql")["ssl"].check_hostname is False
    assert arguments("mysql", host="127.0.0.1") | {"ssl_disabled": True} == arguments(
        "mysql", host="127.0.0.1"
    )
    with mock.patch("ssl.create_default_context") as made:
        arguments("mysql", ca=PEM)
    made.assert_called_once_with(cadata=PEM)  # hosts and certificates are checked by default


def test_a_server_without_tls_is_told_and_not_asked_in_the_open(cloud: None, maria: Any) -> None:
    """Debian's MariaDB has none as it is installed: what a wrongly set-up server looks like."""
    harness = kinds.MariaDBHarness(maria)
    harness.store = SQLStore(plan("sql", secret="shop/db", tls="require"))
    with pytest.raises(StoreFault, match="missing_connection: shop: the server offers no TLS"):
        list(harness.store.find(harness.collection, harness.way, [ME], None))


def test_nobody_answers(cloud: None, secret: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the step fails, for a server may be restarting; in the end the case is told which server."""
    monkeypatch.setattr("dsr.stores.sql.store._PAUSES", (0.001,))
    store = SQLStore(plan("sql", secret="shop/db", host="127.0.0.1", port=1))
    held = collection("rows", "id", OWNER, table="rows")
    with pytest.raises(Exception, match="connection failed"):
        list(store.find(held, OWNER, [ME], None))
    monkeypatch.setattr("dsr.stores.sql.store._SILENT", 0)
    with pytest.raises(StoreFault, match=r"missing_connection: shop: no answer from 127\.0\.0\.1:1"):
        list(store.find(held, OWNER, [ME], None))


def test_a_host_that_does_not_exist_is_told(cloud: None, secret: None) -> None:
    store = SQLStore(plan("sql", secret="shop/db", host="nowhere.invalid"))
    with pytest.raises(StoreFault, match="missing_connection: shop: no host of this name"):
        list(store.find(collection("rows", "id", OWNER, table="rows"), OWNER, [ME], None))


def test_a_password_that_was_changed_is_read_again(cloud: None, maria: Any) -> None:
    with kinds.dispose(kinds.MariaDBHarness(maria)) as harness:
        secrets = boto3.client("secretsmanager", region_name=REGION)
        right = secrets.get_secret_value(SecretId="shop/db")["SecretString"]
        wrong = json.dumps(json.loads(right) | {"password": "wrong"})
        secrets.put_secret_value(SecretId="shop/db", SecretString=wrong)
        with pytest.raises(StoreFault, match="missing_connection: shop: login refused"):
            list(harness.store.find(harness.collection, harness.way, [ME], None))
        secrets.put_secret_value(SecretId="shop/db", SecretString=right)
        assert list(harness.store.find(harness.collection, harness.way, [ME], None))


# -- replicas --------------------------------------------------------------------------------------


@pytest.fixture
def replicated(cloud: None, postgres: str) -> Iterator[kinds.SQLHarness]:
    """A database, and beside it another that stands for a replica which lags: it holds one row less."""
    harness = kinds.SQLHarness(postgres)
    harness.add(ME, 3)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS replica")
        connection.execute("CREATE DATABASE replica")
    uri = psycopg.conninfo.make_conninfo(postgres, dbname="replica")
    secrets = boto3.client("secretsmanager", region_name=REGION)
    said = json.loads(secrets.get_secret_value(SecretId="shop/db")["SecretString"])
    secrets.create_secret(Name="shop/replica", SecretString=json.dumps(said | {"dbname": "replica"}))
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE rows (id uuid PRIMARY KEY, owner text, at timestamptz, amount numeric)"
        )
        connection.execute("CREATE INDEX ON rows (lower(owner))")
        connection.execute(f"INSERT INTO rows VALUES (gen_random_uuid(), '{ME}')")
    harness.store = SQLStore(plan("sql", secret="shop/db", replica_secret="shop/replica"))
    yield harness
    harness.store.close()
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE replica WITH (FORCE)")


def test_copies_are_read_from_the_replica_deletions_never(replicated: kinds.SQLHarness) -> None:
    def count(whole: bool) -> int:
        pages = replicated.store.find(replicated.collection, replicated.way, [ME], None, whole=whole)
        return sum(len(page.records) for page in pages)

    assert count(whole=True) == 1
    assert count(whole=False) == 3


def test_a_read_endpoint_is_another_host_with_the_same_secret(secret: None) -> None:
    assert arguments(read_endpoint="reader", replica=True)["host"] == "reader"
    assert arguments(read_endpoint="reader", replica=False)["host"] == RDS


# -- the Data API, as a stand-in on the real PostgreSQL ----------------------------------------------


@pytest.fixture
def api(cloud: None, postgres: str) -> Iterator[kinds.DataAPIHarness]:
    with kinds.dispose(kinds.DataAPIHarness(postgres)) as harness:
        yield harness


def found(harness: kinds.DataAPIHarness) -> list[Any]:
    pages = harness.store.find(harness.collection, harness.way, [ME], None)
    return [record.values for page in pages for record in page.records]


def test_pages_shrink_until_an_answer_fits(api: kinds.DataAPIHarness) -> None:
    api.execute("ALTER TABLE rows ADD COLUMN said text")
    api.add(ME, 60)
    api.execute("UPDATE rows SET said = repeat('x', 60000)")
    assert len(found(api)) == 60
    assert api.api._open == {}  # no transaction is left open


def test_a_row_that_no_answer_holds_is_told(api: kinds.DataAPIHarness) -> None:
    api.execute("ALTER TABLE rows ADD COLUMN said text")
    api.add(ME, 2)
    api.execute("UPDATE rows SET said = repeat('x', 70000)")
    with pytest.raises(StoreFault, match="unsupported: shop: table rows: a row too large for an answer"):
        found(api)


def test_errors_of_the_database_are_told_apart_by_their_state(api: kinds.DataAPIHarness) -> None:
    api.add(ME, 1)
    api.execute("DROP TABLE IF EXISTS hanging")
    api.execute("CREATE TABLE hanging (id uuid REFERENCES rows)")
    api.execute("INSERT INTO hanging SELECT id FROM rows")
    records = [{"id": r["id"], "owner": r["owner"]} for r in found(api)]
    with pytest.raises(StoreFault, match="still_referenced: shop: table rows: referenced by table hanging"):
        api.store.erase(api.collection, records, {})
    api.execute("DROP TABLE hanging")
    assert api.api._open == {}


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("AccessDeniedException", "missing_permission: shop: rds-data"),
        (
            "HttpEndpointNotEnabledException",
            "missing_connection: shop: the cluster's Data API is not enabled",
        ),
        ("InvalidSecretException", "missing_connection: shop: secret"),
        ("DatabaseNotFoundException", "missing_connection: shop: cluster or database not found"),
    ],
)
def test_what_the_service_refuses_is_a_fault(api: kinds.DataAPIHarness, code: str, fault: str) -> None:
    refused = ClientError({"Error": {"Code": code, "Message": "no"}}, "BeginTransaction")
    with (
        mock.patch.object(api.api, "begin_transaction", side_effect=refused),
        pytest.raises(StoreFault, match=fault),
    ):
        found(api)


def test_a_cluster_that_wakes_up_is_asked_again(
    api: kinds.DataAPIHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fault: the workflow takes any other exception for `try again`."""
    from sqlalchemy.exc import OperationalError

    code = {"Error": {"Code": "DatabaseResumingException", "Message": "resuming"}}
    with (
        mock.patch.object(api.api, "begin_transaction", side_effect=ClientError(code, "BeginTransaction")),
        pytest.raises(OperationalError),
    ):
        found(api)
    assert found(api) == []


def test_each_call_names_the_cluster_and_a_transaction_ends(api: kinds.DataAPIHarness) -> None:
    api.add(ME, 3)
    api.store.erase_lines(api.collection, [], {})
    found(api)
    assert set(api.api.calls) <= {
        "begin_transaction", "execute_statement", "commit_transaction", "rollback_transaction"
    }  # fmt: skip
    begun = api.api.calls.count("begin_transaction")
    assert begun == api.api.calls.count("commit_transaction") + api.api.calls.count("rollback_transaction")


# -- faults of PostgreSQL's words --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ('FATAL:  password authentication failed for user "dsr"', "login refused"),
        ('FATAL:  PAM authentication failed for user "dsr"', "login refused (IAM)"),
        ("SSL error: certificate verify failed", "the server's certificate is not signed by `ca`"),
        ("timeout expired", ""),
    ],
)
def test_what_a_failed_connection_means(said: str, about: str) -> None:
    assert connecting.refusal(RuntimeError(said)) == about
