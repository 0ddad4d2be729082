"""Faults of one kind each: an index that is missing, a permission, a value that would find everybody."""

import json
from typing import Any

import boto3
import pytest

from dsr import aws
from dsr.datamap.plan import Way
from dsr.errors import StoreFault
from tests.stores import harness as kinds


def ask(harness: Any, way: Way | None = None) -> None:
    list(harness.store.find(harness.collection, way or harness.way, harness.values(kinds.ME), None))


def test_dynamodb_never_scans_for_a_field_without_index(cloud: None) -> None:
    with pytest.raises(StoreFault, match="missing_index"):
        ask(kinds.DynamoDBHarness(), Way("text", parent="a.b.c"))


def test_dynamodb_index_that_the_table_lacks(cloud: None) -> None:
    harness = kinds.DynamoDBHarness()
    harness.collection.options["indexes"] = {"text": "by-text"}
    with pytest.raises(StoreFault, match="missing_index: items: index by-text"):
        ask(harness, Way("text", parent="a.b.c"))


def test_s3_empty_value_would_be_everybodys_prefix(cloud: None) -> None:
    harness = kinds.S3Harness()
    harness.add("m-1", 1)
    with pytest.raises(StoreFault, match="an empty value finds everything"):
        list(harness.store.find(harness.collection, harness.way, [""], None))


def test_s3_exact_key_does_not_find_longer_keys(cloud: None) -> None:
    harness = kinds.S3Harness()
    harness.collection.options.update(match="exact", key_template="{owner}")
    boto3.client("s3", region_name=kinds.REGION).put_object(Bucket="files", Key="a/1.png.bak", Body=b"")
    for key in ("a/1.png", "a/1.pn"):
        boto3.client("s3", region_name=kinds.REGION).put_object(Bucket="files", Key=key, Body=b"")
    found = list(harness.store.find(harness.collection, harness.way, ["a/1.png"], None))
    assert [r.values["object_key"] for page in found for r in page.records] == ["a/1.png"]


def test_cognito_value_cannot_widen_the_filter(cloud: None) -> None:
    harness = kinds.CognitoHarness()
    harness.add("m-1", 2)
    found = list(harness.store.find(harness.collection, harness.way, ['x" or email ^= "'], None))
    assert [r for page in found for r in page.records] == []


@pytest.fixture
def sql(cloud: None, postgres: str) -> Any:
    with kinds.dispose(kinds.SQLHarness(postgres)) as harness:
        yield harness


@pytest.mark.parametrize(
    "index",
    [
        None,
        "CREATE INDEX rows_owner ON rows (owner)",  # of the plain form, which lower(owner) cannot use
        "CREATE INDEX rows_owner ON rows (at, lower(owner))",  # begins with something else
        "CREATE INDEX rows_owner ON rows (lower(owner)) WHERE amount > 0",  # does not hold every row
    ],
)
def test_sql_refuses_a_search_that_no_index_serves(sql: Any, index: str | None) -> None:
    sql.execute("DROP INDEX rows_owner")
    if index:
        sql.execute(index)
    with pytest.raises(StoreFault, match=r"missing_index: shop: table rows: index on lower\(owner\)"):
        ask(sql)


def test_sql_column_that_the_table_lacks(sql: Any) -> None:
    with pytest.raises(StoreFault, match=r"missing_field: shop: column rows\.nothing"):
        ask(sql, Way("nothing", parent="a.b.c"))


def test_sql_keeps_digits_and_zones(sql: Any) -> None:
    from dsr.records import to_line

    sql.add(kinds.ME, 1)
    page = next(iter(sql.store.find(sql.collection, sql.way, [kinds.ME], None)))
    assert b'"amount":"1234567890.0123456789"' in to_line(page.records[0].values)
    assert b"2026-03-29T01:30:00+00:00" in to_line(page.records[0].values)


def test_sql_permission_that_is_missing(sql: Any) -> None:
    sql.execute("DROP ROLE IF EXISTS poor")
    sql.execute("CREATE ROLE poor LOGIN")
    secrets = boto3.client("secretsmanager", region_name=kinds.REGION)
    secret = json.loads(secrets.get_secret_value(SecretId="shop/db")["SecretString"])
    secrets.put_secret_value(SecretId="shop/db", SecretString=json.dumps(secret | {"username": "poor"}))
    with pytest.raises(StoreFault, match="missing_permission: shop: table rows"):
        ask(sql)


def test_sql_secret_that_is_missing(sql: Any) -> None:
    boto3.client("secretsmanager", region_name=kinds.REGION).delete_secret(
        SecretId="shop/db", ForceDeleteWithoutRecovery=True
    )
    with pytest.raises(StoreFault, match="missing_connection: shop: secret"):
        ask(sql)


def test_roles_are_assumed_once_and_renewed_in_time(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    access = kinds.plan("dynamodb").access
    first = aws.client_as(access, "dynamodb", now=1000.0)
    assert aws.client_as(access, "dynamodb", now=1400.0) is first
    assert aws.client_as(access, "dynamodb", now=1500.0) is not first
