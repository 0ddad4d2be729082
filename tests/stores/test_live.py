"""`dsr map check --live` and `dsr map scan`: on moto's AWS and a real PostgreSQL, right and then broken."""

import io
import json
import re
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsr.datamap.compile import compile_file
from dsr.datamap.roles import roles_template
from dsr.stores import registry
from dsr_cli.main import main
from tests.unit.test_docs import ROOT

REGION = "eu-west-1"
STORES, BOOKSHOP = ROOT / "docs/examples/stores.yaml", ROOT / "docs/examples/bookshop.yaml"
Out = pytest.CaptureFixture[str]


def table(name: str, *keys: str, indexes: dict[str, str] | None = None) -> None:
    """A DynamoDB table; `indexes`: index → its key."""
    kinds = ("HASH", "RANGE")
    named = [*keys, *(indexes or {}).values()]
    boto3.client("dynamodb", region_name=REGION).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in dict.fromkeys(named)],
        KeySchema=[{"AttributeName": n, "KeyType": k} for n, k in zip(keys, kinds, strict=False)],
        **(
            {
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": index,
                        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                    for index, key in indexes.items()
                ]
            }
            if indexes
            else {}
        ),
    )


def deploy_roles(path: Any, values: dict[str, str]) -> None:
    """The roles that the map needs, as their owners deploy them."""
    iam = boto3.client("iam")
    for made in roles_template(compile_file(path, values))["Resources"].values():
        role = made["Properties"]
        iam.create_role(RoleName=role["RoleName"], AssumeRolePolicyDocument="{}")
        [policy] = role["Policies"]
        document = json.dumps(policy["PolicyDocument"])
        for made_of in re.findall(r'\{"Fn::Sub": ("[^"]*")\}', document):
            told = made_of.replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", "123456789012")
            document = document.replace(f'{{"Fn::Sub": {made_of}}}', told)
        iam.put_role_policy(
            RoleName=role["RoleName"], PolicyName=policy["PolicyName"], PolicyDocument=document
        )


@pytest.fixture
def database(postgres: str) -> str:
    """A database of its own; told to Secrets Manager by the name it is called by in the map."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS live WITH (FORCE)")
        connection.execute("CREATE DATABASE live")
    return postgres.replace("/postgres?", "/live?")


def tell_secret(name: str, uri: str) -> None:
    info = psycopg.conninfo.conninfo_to_dict(uri)
    secret = {
        "engine": "postgres",
        "host": info["host"],
        "port": info.get("port", 5432),
        "dbname": info["dbname"],
        "username": info["user"],
        "password": info.get("password", ""),
    }
    boto3.client("secretsmanager", region_name=REGION).create_secret(
        Name=name, SecretString=json.dumps(secret)
    )


def run(verb: str, path: Any, values: dict[str, str], capsys: Out, *more: str) -> tuple[int, list[str]]:
    words = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    registry._open.clear()  # each command is a process of its own
    status = main(["map", verb, str(path), *words, *more])
    out = capsys.readouterr()
    return status, [line.strip() for line in (out.out + out.err).splitlines()]


# -- a database ---------------------------------------------------------------------------------------


def test_a_database_that_is_as_the_map_says_and_one_that_is_not(
    cloud: None, database: str, capsys: Out
) -> None:
    values = {"account": "123456789012"}
    tell_secret("bookshop/db", database)
    deploy_roles(BOOKSHOP, values)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute((ROOT / "docs/examples/bookshop/schema.sql").read_text())
        status, said = run("check", BOOKSHOP, values, capsys, "--live")
        assert status == 0, said
        assert said[-1] == "the stores and their roles are as it says"

        status, said = run("scan", BOOKSHOP, values, capsys)
        assert status == 1
        assert said[0].startswith("bookshop: table stock is not in the map")
        assert said[1:] == ["dsr: 1 things are not as the map says: add them, or leave them out on purpose"]

        # The shop goes on: a table, a column, and an index that somebody dropped.
        connection.execute("CREATE TABLE waitlist (id integer PRIMARY KEY, contact text)")
        connection.execute("INSERT INTO waitlist VALUES (1, 'ada@example.com'), (2, 'bob@example.org')")
        connection.execute("ALTER TABLE reader ADD COLUMN mobile_phone text")
        connection.execute("INSERT INTO reader VALUES (1, 'ada@example.com', 'Ada', now(), '+4420794600')")
        connection.execute("DROP INDEX purchase_reader")
        status, said = run("scan", BOOKSHOP, values, capsys)
        told = "\n".join(said)
        assert "table waitlist is not in the map" in told
        assert "contact: user.contact.email, 2 of 2 values look so" in told
        assert "bookshop.reader: field mobile_phone is not in the map" in told
        assert "user.contact.phone_number" in told
        for value in ("ada", "bob", "4420794600"):
            assert value not in told.lower(), "no value is told"

    status, said = run("check", BOOKSHOP, values, capsys, "--live")
    assert status == 1
    assert "bookshop.purchase: missing index: bookshop: table purchase: index on reader_id" in said


# -- AWS's own ----------------------------------------------------------------------------------------


def test_stores_of_aws_and_their_roles(cloud: None, database: str, capsys: Out) -> None:
    pool = boto3.client("cognito-idp", region_name=REGION).create_user_pool(PoolName="shop")["UserPool"]["Id"]
    values = {"account": "123456789012", "user_pool": pool}
    table("customers", "customer_id", indexes={"by-email": "email"})
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket="hollowoak-pictures", CreateBucketConfiguration={"LocationConstraint": REGION})
    noted = {"sent-by": "ada@example.com"}
    s3.put_object(Bucket="hollowoak-pictures", Key="pictures/1/a.png", Body=b"x", Metadata=noted)
    s3.put_object(Bucket="hollowoak-pictures", Key="exports/everybody.csv", Body=b"x")
    tell_secret("hollowoak/warehouse", database)
    status, said = run("check", STORES, values, capsys, "--live")
    assert status == 1
    assert "shop: there is no role hollowoak-dsr-shop: deploy roles.template.json" in said
    assert any("shop.sessions: missing collection: " in line for line in said)
    assert any("warehouse.orders: missing collection: " in line for line in said)
    assert any("warehouse.callbacks: missing collection: " in line for line in said)
    assert not any(line.startswith(("shop.customers", "pictures.", "signin.")) for line in said), said
    about = [line for line in said if "shop.sessions" in line]
    assert len(about) == 1, f"what is not there is told once: {about}"

    deploy_roles(STORES, values)
    iam = boto3.client("iam")
    document = iam.get_role_policy(RoleName="hollowoak-dsr-shop", PolicyName="data-subject-requests")[
        "PolicyDocument"
    ]
    for statement in document["Statement"]:
        statement["Action"] = [a for a in statement["Action"] if a != "dynamodb:DeleteItem"]
    iam.put_role_policy(
        RoleName="hollowoak-dsr-shop",
        PolicyName="data-subject-requests",
        PolicyDocument=json.dumps(document),
    )
    _, said = run("check", STORES, values, capsys, "--live")
    lacking = [line for line in said if " lacks " in line]
    assert lacking, said
    assert all("the role hollowoak-dsr-shop lacks dynamodb:DeleteItem on " in line for line in lacking)
    assert not any("there is no role" in line for line in said)

    boto3.client("dynamodb", region_name=REGION).update_time_to_live(
        TableName="customers", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone_at"}
    )
    s3.put_bucket_lifecycle_configuration(
        Bucket="hollowoak-pictures",
        LifecycleConfiguration={
            "Rules": [
                {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "exports/"}, "Expiration": {"Days": 1}},
                {"ID": "b", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 900}},
            ]
        },
    )
    _, said = run("check", STORES, values, capsys, "--live")
    assert "shop.customers: deletes by ttl by itself, and `expires_by` says nothing" in said
    assert "pictures.pictures: deletes by lifecycle by itself, and `expires_by` says nothing" in said

    table("coupons", "code")
    items = boto3.client("dynamodb", region_name=REGION)
    items.put_item(TableName="coupons", Item={"code": {"S": "x"}, "sent_to": {"S": "ada@example.com"}})
    items.put_item(
        TableName="customers",
        Item={
            "customer_id": {"S": "1"},
            "email": {"S": "ada@example.com"},
            "friends": {"M": {"ada@example.com": {"BOOL": True}}},
            "last": {"M": {"ip": {"S": "203.0.113.9"}}},
        },
    )
    status, said = run("scan", STORES, values, capsys)
    told = "\n".join(said)
    assert status == 1
    assert "shop: table coupons is not in the map" in told
    assert "sent_to: user.contact.email, 1 of 1 values look so" in told
    assert "shop.customers: field last.ip is not in the map, it seems to be user.device.ip_address" in told
    assert "shop.customers: field friends is not in the map" in told
    assert "pictures: prefix exports/ is not in the map" in told
    assert "prefix pictures/" not in told
    assert "pictures.pictures: field metadata.sent-by is not in the map, it seems to be user.contact" in told
    assert "ada@" not in told, "keys that are data are not told either"
    assert "203.0.113.9" not in told


# -- a lake -------------------------------------------------------------------------------------------

VISITS = """
  visits:
    kind: lake
    role: arn:aws:iam::${account}:role/hollowoak-dsr-lake
    connection: {region: eu-west-1, bucket: hollowoak-lake}
    collections:
      visits:
        title: Which pages you opened
        prefix: web/visits/
        format: parquet
        partition: {layout: "dt=%Y-%m-%d", field: at}
        key: [visit_id]
        subjects: one
        basis: legitimate_interests
        retention: {duration: P90D, from: at}
        on_deletion: {mask: {ip: redacted}}
        copies: none
        fields:
          visit_id: {category: user.unique_id, purpose: account}
          customer_id: {category: user.unique_id, purpose: account, references: shop.customers.customer_id}
          at: {category: user.behavior, purpose: account}
          ip: {category: user.device.ip_address, purpose: account}
"""
VISIT = {"visit_id": "v", "customer_id": "1", "at": "2026-05-01T10:00:00Z", "ip": "203.0.113.9"}


def visited(day: str, name: str, *rows: dict[str, Any]) -> None:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), content)
    key = f"web/visits/dt={day}/{name}"
    boto3.client("s3", region_name=REGION).put_object(
        Bucket="hollowoak-lake", Key=key, Body=content.getvalue()
    )


def test_a_lake_that_is_as_the_map_says_and_one_that_is_not(cloud: None, tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "map.yaml"
    path.write_text((ROOT / "docs/examples/first.yaml").read_text() + VISITS)
    values = {"account": "123456789012"}
    table("customers", "customer_id", indexes={"by-email": "email"})
    deploy_roles(path, values)
    s3 = boto3.client("s3", region_name=REGION)
    status, said = run("check", path, values, capsys, "--live")
    assert status == 1
    assert said[-2].startswith("visits.visits: missing collection: visits.visits: ListObjectsV2")

    s3.create_bucket(Bucket="hollowoak-lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    status, said = run("check", path, values, capsys, "--live")
    assert said[-2] == "visits.visits: missing collection: visits.visits: no file under the prefix"

    visited("2026-05-01", "a.parquet", VISIT)
    visited("2026-05-01", "_temporary/b.parquet", {"other": 1})
    status, said = run("check", path, values, capsys, "--live")
    assert status == 0, said
    assert run("scan", path, values, capsys) == (0, ["nothing but what the map names"])

    # The site goes on: a column is new, one is called otherwise, one holds numbers now.
    renamed = {"member": 1, "visit_id": "w", "at": VISIT["at"], "ip": 7, "mail": "ada@example.com"}
    visited("2026-05-02", "a.parquet", renamed)
    s3.put_object(Bucket="hollowoak-lake", Key="exports/all.csv", Body=b"x")
    status, said = run("check", path, values, capsys, "--live")
    assert status == 1
    key = "web/visits/dt=2026-05-02/a.parquet"
    assert f"visits.visits: missing field: visits.visits: {key} has no column `customer_id`" in said
    assert (
        f"visits.visits: unsupported: visits.visits: {key} has a column `ip` that cannot be masked so" in said
    )
    status, said = run("scan", path, values, capsys)
    assert status == 1
    told = "\n".join(said)
    assert "visits.visits: field mail is not in the map, it seems to be user.contact.email" in told
    assert "visits.visits: field member is not in the map" in told
    assert "visits: prefix exports/ is not in the map" in told
    assert "ada" not in told

    s3.put_object(Bucket="hollowoak-lake", Key="web/visits/dt=2026-05-03/x", Body=b"no parquet at all")
    status, said = run("scan", path, values, capsys)
    assert any(line.startswith("visits.visits: not sampled: malformed_data: ") for line in said)
