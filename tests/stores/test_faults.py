"""Faults of one kind each: an index that is missing, a permission, a value that would find everybody."""

import json
from dataclasses import replace
from typing import Any

import boto3
import psycopg
import pytest

from dsr import aws
from dsr.datamap.plan import Way
from dsr.errors import StoreFault
from dsr.items import from_item, to_item
from dsr.records import to_line
from dsr.treatments import with_key
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


# -- erasing -------------------------------------------------------------------------------------


def locate(harness: Any) -> list[dict[str, Any]]:
    found = harness.store.find(harness.collection, harness.way, harness.values(kinds.ME), None, whole=False)
    return [json.loads(to_line(record.values)) for page in found for record in page.records]


def test_sql_a_row_that_changed_hands_stays(sql: Any) -> None:
    sql.add(kinds.ME, 2)
    found = locate(sql)
    sql.execute("UPDATE rows SET owner = 'somebody else' WHERE id = %s", found[0]["id"])
    sql.store.erase(sql.collection, found, {})
    assert count(sql, "SELECT count(*) FROM rows WHERE owner = 'somebody else'") == 1
    assert count(sql, "SELECT count(*) FROM rows") == 1


def count(sql: Any, statement: str) -> int:
    with psycopg.connect(sql._uri) as connection:
        return int(connection.execute(statement).fetchone()[0])  # type: ignore[index,call-overload]


def test_sql_masks_without_touching_the_rest(sql: Any) -> None:
    sql.add(kinds.ME, 1)
    sql.add(kinds.NEIGHBOUR, 1)
    sql.collection = replace(sql.collection, on_deletion={"mask": {"owner": "redacted", "amount": "null"}})
    sql.store.erase(sql.collection, locate(sql), sql.collection.masks)
    gone = "owner = '[deleted]' AND amount IS NULL AND at IS NOT NULL"
    assert count(sql, f"SELECT count(*) FROM rows WHERE {gone}") == 1  # noqa: S608
    theirs = f"owner = '{kinds.NEIGHBOUR.title()}' AND amount IS NOT NULL"
    assert count(sql, f"SELECT count(*) FROM rows WHERE {theirs}") == 1  # noqa: S608


def test_sql_a_row_that_others_refer_to_is_a_fault(sql: Any) -> None:
    sql.execute("DROP TABLE IF EXISTS hanging")
    sql.add(kinds.ME, 1)
    sql.execute("CREATE TABLE hanging (id uuid REFERENCES rows)")
    sql.execute("INSERT INTO hanging SELECT id FROM rows")
    with pytest.raises(StoreFault, match="still_referenced: shop: table rows"):
        sql.store.erase(sql.collection, locate(sql), {})
    sql.execute("DROP TABLE hanging")


def test_dynamodb_an_item_that_changed_hands_stays(cloud: None) -> None:
    harness = kinds.DynamoDBIndexHarness()
    harness.add(kinds.ME, 2)
    found = locate(harness)
    client = boto3.client("dynamodb", region_name=kinds.REGION)
    client.update_item(
        TableName="items",
        Key={"item": {"S": found[0]["item"]}},
        UpdateExpression="SET #o = :o",
        ExpressionAttributeNames={"#o": "owner"},
        ExpressionAttributeValues={":o": {"S": "somebody else"}},
    )
    harness.store.erase(harness.collection, found, {})
    left = client.scan(TableName="items")["Items"]
    assert [i["owner"]["S"] for i in left] == ["somebody else"]


def test_dynamodb_masks_nested_fields(cloud: None) -> None:
    harness = kinds.DynamoDBHarness()
    client = boto3.client("dynamodb", region_name=kinds.REGION)
    item = {"owner": {"S": kinds.ME}, "item": {"S": "1"}, "a": {"M": {"b": {"S": "x"}, "c": {"S": "y"}}}}
    client.put_item(TableName="items", Item=item)
    masks = {"a.b": "null", "a.c": "redacted"}
    harness.collection = replace(harness.collection, on_deletion={"mask": masks})
    found = locate(harness)
    for _ in range(2):
        harness.store.erase(harness.collection, found, harness.collection.masks)
    assert client.scan(TableName="items")["Items"][0]["a"] == {"M": {"c": {"S": "[deleted]"}}}


def test_dynamodb_masking_makes_no_item_that_is_gone(cloud: None) -> None:
    harness = kinds.DynamoDBHarness()
    gone = {"owner": kinds.ME, "item": "1", "text": "x"}
    held = replace(harness.collection, on_deletion={"mask": {"text": "redacted"}})
    harness.store.erase(held, [gone], held.masks)
    assert boto3.client("dynamodb", region_name=kinds.REGION).scan(TableName="items")["Items"] == []


def test_dynamodb_every_treatment_reaches_into_lists(cloud: None) -> None:
    harness = kinds.DynamoDBHarness()
    client = boto3.client("dynamodb", region_name=kinds.REGION)
    item = {
        "owner": kinds.ME, "item": "1", "ip": "203.0.113.77", "score": 34,
        "visits": [{"at": "2026-07-19T23:45:30+00:00", "from": "a@b.example"}, {"at": None}],
    }  # fmt: skip
    client.put_item(TableName="items", Item=to_item(item))
    masks = {
        "ip": {"truncate": "ip"}, "score": {"generalise": {"band": 10}},
        "visits.at": {"truncate": "month"}, "visits.from": "keyed_hash",
    }  # fmt: skip
    held = replace(harness.collection, on_deletion={"mask": masks})
    treated = with_key(held.masks, lambda: b"k" * 32)
    for _ in range(2):
        found = [
            r.values
            for page in harness.store.find(held, harness.way, [kinds.ME], None, False)
            for r in page.records
        ]
        harness.store.erase(held, found, treated)
        [left] = [from_item(i) for i in client.scan(TableName="items")["Items"]]
        hashed = left["visits"][0].pop("from")
        assert hashed == treated["visits.from"].apply("a@b.example")
        assert (left["ip"], left["score"]) == ("203.0.113.0", 30)
        assert left["visits"] == [{"at": "2026-07-01T00:00:00+00:00"}, {"at": None}]


def test_s3_every_version_and_marker_goes_and_uploads_too(cloud: None) -> None:
    harness = kinds.S3Harness()
    client = boto3.client("s3", region_name=kinds.REGION)
    client.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        harness.add(kinds.ME, 2)
    client.delete_object(Bucket="files", Key=f"u/{kinds.ME}/00000")
    client.create_multipart_upload(Bucket="files", Key=f"u/{kinds.ME}/half")
    theirs = harness.add(kinds.NEIGHBOUR, 1)
    found = locate(harness)
    assert len(found) == 3 * 2 + 1 + 1
    for _ in range(2):
        harness.store.erase(harness.collection, found, {})
    left = client.list_object_versions(Bucket="files")
    assert [v["Key"] for v in left["Versions"]] == theirs
    assert "DeleteMarkers" not in left
    assert "Uploads" not in client.list_multipart_uploads(Bucket="files")
