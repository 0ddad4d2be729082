"""Loads a sample community into CraftZone's deployed stores, and reads everything back for comparisons.

    python -m infra.craftzone.load --server "host=127.0.0.1 port=5432 user=postgres" --people 2000

uses the stack `craftzone` of the account and region that the environment names (AWS_ENDPOINT_URL leads to a
local cloud). It acts as the owner of the stores does: the product has no part in it.
"""

import argparse
import gzip
import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import psycopg
import pyarrow
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb
from pyarrow import parquet

from infra.craftzone import personas
from infra.craftzone.holdings import (
    ARTWORKS,
    CONNECTIONS,
    CONSENTS,
    DISCLOSURES,
    ENTRIES,
    MEMBERS,
    MESSAGES,
    ORIGINALS,
    OTHERS,
    PERMISSIONS,
    PICTURES,
    RECENT,
    REWARDS,
    SCREENING,
    SIGN_INS,
    TICKETS,
    VISITS,
    Collection,
    Holdings,
    Record,
)
from infra.craftzone.people import Community, generate
from infra.craftzone.pictures import Upload, big_artwork_parts

DEMO_PASSWORD = "CraftZone-demo-1"  # of every persona with an account; a sample has no secrets
SCHEMA = Path(__file__).with_name("schema.sql")
THREADS = 8
BATCH = 25  # items in one call, the most that BatchWriteItem takes
PEOPLE_AT_ONCE = 500

DYNAMODB_TABLES: Mapping[Collection, str] = {
    MEMBERS: "craftzone-members",
    CONSENTS: "craftzone-consents",
    PERMISSIONS: "craftzone-permissions",
    SCREENING: "craftzone-screening",
    DISCLOSURES: "craftzone-disclosures",
}
# Parents before children, as their foreign keys want it.
SQL_TABLES: Mapping[Collection, str] = {
    ENTRIES: "event_entries",
    ARTWORKS: "artworks",
    REWARDS: "rewards",
    TICKETS: "tickets",
    MESSAGES: "ticket_messages",
    VISITS: "visits",
}
SQL_STORES = ("events", "support", "site")
LAKE_PREFIXES: Mapping[Collection, str] = {CONNECTIONS: "connections/", RECENT: "recent/"}

Snapshot = dict[Collection, dict[str, str]]


@dataclass(frozen=True)
class Stores:
    """Where the community's stores are, with the access of their owner.

    `databases` has a libpq connection string of the tables' owner per SQL store: events, support and site;
    `others` is the folder of what the mailing provider and the courier hold.
    """

    session: boto3.Session
    user_pool: str
    pictures_bucket: str
    artwork_bucket: str
    lake_bucket: str
    databases: Mapping[str, str]
    others: Path
    endpoint_url: str | None = None

    @classmethod
    def of_stack(
        cls,
        databases: Mapping[str, str],
        others: Path,
        *,
        session: boto3.Session | None = None,
        endpoint_url: str | None = None,
        stack: str = "craftzone",
    ) -> "Stores":
        """The stores of a deployed stack, by its outputs."""
        session = session or boto3.Session()
        described = session.client("cloudformation", endpoint_url=endpoint_url).describe_stacks(
            StackName=stack
        )
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0]["Outputs"]}
        return cls(
            session=session,
            user_pool=outputs["UserPoolId"],
            pictures_bucket=outputs["PicturesBucket"],
            artwork_bucket=outputs["ArtworkBucket"],
            lake_bucket=outputs["LakeBucket"],
            databases=databases,
            others=others,
            endpoint_url=endpoint_url,
        )

    def _client(self, service: str) -> Any:
        config = Config(max_pool_connections=THREADS, retries={"mode": "standard", "max_attempts": 8})
        make: Any = self.session.client  # typed per service, and here the service is a value
        return make(service, endpoint_url=self.endpoint_url, config=config)

    @cached_property
    def dynamodb(self) -> Any:
        """Client of DynamoDB, shared by threads."""
        return self._client("dynamodb")

    @cached_property
    def s3(self) -> Any:
        """Client of S3, shared by threads."""
        return self._client("s3")

    @cached_property
    def cognito(self) -> Any:
        """Client of the user pool, shared by threads."""
        return self._client("cognito-idp")

    def bucket(self, store: str) -> str:
        """The bucket of one of the map's S3 stores."""
        return {"pictures": self.pictures_bucket, "artwork": self.artwork_bucket}[store]


@dataclass(frozen=True)
class Loaded:
    """How many records of each collection were written, and the seconds it took."""

    counts: Mapping[Collection, int]
    seconds: float


def create_databases(server: str, password: str) -> dict[str, str]:
    """Make the three databases and the restricted role `dsr` anew, with whatever they held before dropped.

    `server` is a libpq connection string of a superuser to any other database; `password` becomes that of
    `dsr`. Returns the connection strings for `Stores.databases`.
    """
    preamble, *sections = SCHEMA.read_text(encoding="utf-8").split("\n\\connect ")
    with psycopg.connect(server, autocommit=True) as connection:
        for store in SQL_STORES:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(store))
            )
        connection.execute("DROP ROLE IF EXISTS dsr")
        for statement in _statements(preamble):  # one by one: CREATE DATABASE refuses company
            connection.execute(statement.encode())
        connection.execute(sql.SQL("ALTER ROLE dsr PASSWORD {}").format(sql.Literal(password)))
    databases = {}
    for section in sections:
        store, ddl = section.split("\n", 1)
        databases[store] = make_conninfo(server, dbname=store)
        with psycopg.connect(databases[store]) as connection:
            connection.execute(ddl.encode())
    return databases


def _statements(ddl: str) -> list[str]:
    lines = [line.split("--")[0] for line in ddl.splitlines()]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def load(community: Community, stores: Stores) -> Loaded:
    """Put everyone into the stores, in place of what these hold, and let the community learn the sign-ins.

    Safe to run again after a run that broke. The 300 MB artwork is not loaded: see `add_big_artwork`.
    """
    started = time.monotonic()
    counts: Counter[Collection] = Counter()
    logged: dict[str, list[Record]] = {}  # of the lake, by object
    others: dict[Collection, list[Record]] = {collection: [] for collection in OTHERS}
    with ThreadPoolExecutor(THREADS) as pool:
        clear(stores, pool)
        databases = {store: psycopg.connect(stores.databases[store]) for store in SQL_STORES}
        try:
            pending: list[Future[None]] = []
            for people in community.chunks(PEOPLE_AT_ONCE):
                list(pool.map(lambda held: _sign_up(held, stores), people))
                _finish(pending)  # at most two chunks are in memory
                pending = _send(people, stores, pool)
                _copy(people, databases)
                _log(people, logged)
                for held in people:
                    for collection, records in others.items():
                        records += held.records.get(collection, ())
                    counts.update({collection: len(records) for collection, records in held.records.items()})
            _finish(pending)
            list(pool.map(lambda key: _put_log(stores, key, logged[key]), logged))
            for collection, records in others.items():
                give_others(stores, collection, records)
            for connection in databases.values():
                connection.commit()
                connection.execute("ANALYZE")
                connection.commit()
        finally:
            for connection in databases.values():
                connection.close()
    community.learn_sign_ins(sign_ins(stores))
    return Loaded(dict(+counts), time.monotonic() - started)


def _finish(pending: Iterable[Future[None]]) -> None:
    for future in pending:
        future.result()


def _sign_up(held: Holdings, stores: Stores) -> None:
    """Make the sign-in in Cognito and note its id, which only Cognito can choose, on the member's record."""
    for sign_in in held.records.get(SIGN_INS, ()):
        username = sign_in["username"]
        user = stores.cognito.admin_create_user(
            UserPoolId=stores.user_pool,
            Username=username,
            MessageAction="SUPPRESS",
            UserAttributes=[
                {"Name": "email", "Value": sign_in["email"]},
                {"Name": "email_verified", "Value": sign_in["email_verified"]},
            ],
        )["User"]
        sign_in["sub"] = _attributes(user)["sub"]
        held.records[MEMBERS][0]["sign_in_sub"] = sign_in["sub"]
        if held.person.persona:
            stores.cognito.admin_set_user_password(
                UserPoolId=stores.user_pool, Username=username, Password=DEMO_PASSWORD, Permanent=True
            )
        for identity in sign_in.get("identities", ()):
            stores.cognito.admin_link_provider_for_user(
                UserPoolId=stores.user_pool,
                DestinationUser={"ProviderName": "Cognito", "ProviderAttributeValue": username},
                SourceUser={
                    "ProviderName": identity["providerName"],
                    "ProviderAttributeName": "Cognito_Subject",
                    "ProviderAttributeValue": identity["userId"],
                },
            )


def _attributes(user: Mapping[str, Any]) -> dict[str, str]:
    return {attribute["Name"]: attribute["Value"] for attribute in user["Attributes"]}


def sign_ins(stores: Stores) -> dict[str, Record]:
    """All users of the pool, by username, as the data map names their fields."""
    return {user["Username"]: _sign_in(user) for user in _users(stores)}


def _users(stores: Stores) -> Iterator[dict[str, Any]]:
    for page in stores.cognito.get_paginator("list_users").paginate(UserPoolId=stores.user_pool):
        yield from page["Users"]


def _sign_in(user: Mapping[str, Any]) -> Record:
    attributes = _attributes(user)
    named: Record = {
        name: attributes[name] for name in ("sub", "email", "email_verified") if name in attributes
    }
    if "identities" in attributes:
        named["identities"] = json.loads(attributes["identities"])
    return named | {
        "username": user["Username"],
        "status": user["UserStatus"],
        "enabled": user["Enabled"],
        "created_at": user["UserCreateDate"].astimezone(UTC),
        "updated_at": user["UserLastModifiedDate"].astimezone(UTC),
    }


def _send(people: Sequence[Holdings], stores: Stores, pool: ThreadPoolExecutor) -> list[Future[None]]:
    """Start writing the items and the objects of these people."""
    tasks: list[Future[None]] = []
    serialize = TypeSerializer().serialize
    puts = [
        (table, {"PutRequest": {"Item": {name: serialize(value) for name, value in record.items()}}})
        for collection, table in DYNAMODB_TABLES.items()
        for held in people
        for record in held.records.get(collection, ())
    ]
    for start in range(0, len(puts), BATCH):
        batch: dict[str, list[Any]] = {}
        for table, put in puts[start : start + BATCH]:
            batch.setdefault(table, []).append(put)
        tasks.append(pool.submit(_write_batch, stores, batch))
    tasks += [pool.submit(_put_object, stores, upload) for held in people for upload in held.uploads]
    return tasks


def _write_batch(stores: Stores, batch: dict[str, list[Any]]) -> None:
    for attempt in range(8):
        batch = stores.dynamodb.batch_write_item(RequestItems=batch).get("UnprocessedItems") or {}
        if not batch:
            return
        time.sleep(0.05 * 2**attempt)
    raise RuntimeError("DynamoDB leaves items unprocessed after 8 attempts")


def _put_object(stores: Stores, upload: Upload) -> None:
    stores.s3.put_object(
        Bucket=stores.bucket(upload.store),
        Key=upload.object_key,
        Body=upload.content(),
        ContentType="image/png",
    )


def _copy(people: Sequence[Holdings], databases: Mapping[str, psycopg.Connection[Any]]) -> None:
    for collection, table in SQL_TABLES.items():
        records = (record for held in people for record in held.records.get(collection, ()))
        _copy_into(databases[collection[0]], table, records)


def _copy_into(connection: psycopg.Connection[Any], table: str, records: Iterable[Record]) -> None:
    records = iter(records)
    first = next(records, None)
    if first is None:
        return
    columns = list(first)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for record in (first, *records):
            copy.write_row([_column(record[name]) for name in columns])


def _column(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value


def _log(people: Sequence[Holdings], logged: dict[str, list[Record]]) -> None:
    """Sort what these people left in the log by the objects of the lake."""
    for held in people:
        for record in held.records.get(CONNECTIONS, ()):
            logged.setdefault(f"connections/month={record['at']:%Y-%m}/log.parquet", []).append(record)
        for record in held.records.get(RECENT, ()):
            logged.setdefault(f"recent/dt={record['at'][:10]}/log.jsonl.gz", []).append(record)


def _put_log(stores: Stores, key: str, records: list[Record]) -> None:
    """Write an object of the lake: Parquet, in the order of time, or gzipped JSON lines."""
    records = sorted(records, key=lambda record: (record["at"], record["connection_id"]))
    if key.endswith(".parquet"):
        file = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(records), file, row_group_size=5000)
        content = file.getvalue()
    else:
        content = gzip.compress("".join(f"{json.dumps(record)}\n" for record in records).encode(), mtime=0)
    stores.s3.put_object(Bucket=stores.lake_bucket, Key=key, Body=content)


def held_by_others(stores: Stores, collection: Collection) -> list[Record]:
    """What the mailing provider or the courier holds."""
    content = json.loads((stores.others / OTHERS[collection]).read_text("utf-8"))
    held: list[Record] = content[collection[1]]
    return held


def give_others(stores: Stores, collection: Collection, records: list[Record]) -> None:
    """Have them hold these, in place of what they held."""
    stores.others.mkdir(parents=True, exist_ok=True)
    (stores.others / OTHERS[collection]).write_text(json.dumps({collection[1]: records}), "utf-8")


def add_big_artwork(community: Community, stores: Stores) -> Community:
    """Add the 300 MB original and its row to a loaded community. Returns the community that knows of them."""
    grown = community.with_big_artwork()
    held = grown.holdings("big_artwork")
    place = {"Bucket": stores.artwork_bucket, "Key": personas.big_artwork_key(held.person)}
    upload = stores.s3.create_multipart_upload(**place, ContentType="application/octet-stream")["UploadId"]
    parts = []
    for number, content in enumerate(big_artwork_parts(grown.seed), start=1):
        part = stores.s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=content)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    stores.s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    with psycopg.connect(stores.databases["events"]) as connection:
        _copy_into(connection, SQL_TABLES[ARTWORKS], held.records[ARTWORKS][-1:])
    return grown


def clear(stores: Stores, pool: ThreadPoolExecutor) -> None:
    """Take everything out of the stores: rows, items, all versions of all objects, sign-ins."""
    for store in SQL_STORES:
        tables = [SQL_TABLES[collection] for collection in SQL_TABLES if collection[0] == store]
        with psycopg.connect(stores.databases[store]) as connection:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
    batches: list[dict[str, list[Any]]] = []
    for table in DYNAMODB_TABLES.values():
        described = stores.dynamodb.describe_table(TableName=table)["Table"]
        names = [key["AttributeName"] for key in described["KeySchema"]]
        keys = [
            {"DeleteRequest": {"Key": {name: item[name] for name in names}}} for item in _items(stores, table)
        ]
        batches += [{table: keys[start : start + BATCH]} for start in range(0, len(keys), BATCH)]
    for bucket in (stores.pictures_bucket, stores.artwork_bucket, stores.lake_bucket):
        versions = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in _versions(stores, bucket)
        ]
        for start in range(0, len(versions), 1000):
            stores.s3.delete_objects(
                Bucket=bucket, Delete={"Objects": versions[start : start + 1000], "Quiet": True}
            )
    list(pool.map(lambda batch: _write_batch(stores, batch), batches))
    list(pool.map(lambda user: _remove_sign_in(stores, user), list(_users(stores))))


def _remove_sign_in(stores: Stores, user: Mapping[str, Any]) -> None:
    # A link to another provider outlives its user, and would refuse the same link to the next one.
    for identity in json.loads(_attributes(user).get("identities", "[]")):
        stores.cognito.admin_disable_provider_for_user(
            UserPoolId=stores.user_pool,
            User={
                "ProviderName": identity["providerName"],
                "ProviderAttributeName": "Cognito_Subject",
                "ProviderAttributeValue": identity["userId"],
            },
        )
    stores.cognito.admin_delete_user(UserPoolId=stores.user_pool, Username=user["Username"])


def _items(stores: Stores, table: str) -> Iterator[dict[str, Any]]:
    for page in stores.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def _versions(stores: Stores, bucket: str) -> Iterator[dict[str, Any]]:
    for page in stores.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        yield from page.get("Versions", ())
        yield from (
            {**marker, "ETag": "delete marker", "Size": 0} for marker in page.get("DeleteMarkers", ())
        )


def snapshot(stores: Stores) -> Snapshot:
    """Every record of every store: per collection, its text by its key. Equal text means an unchanged record.

    Objects count by version, and by ETag and size instead of content, so that nothing large is read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        taken = {collection: pool.submit(dict, records) for collection, records in _readers(stores).items()}
        return {collection: records.result() for collection, records in taken.items()}


def _readers(stores: Stores) -> dict[Collection, Iterator[tuple[str, str]]]:
    readers: dict[Collection, Iterator[tuple[str, str]]] = {}
    for collection, table in DYNAMODB_TABLES.items():
        readers[collection] = _read_items(stores, table)
    readers[SIGN_INS] = ((user["Username"], canonical(user)) for user in _users(stores))
    readers[PICTURES] = _read_objects(stores, stores.pictures_bucket)
    readers[ORIGINALS] = _read_objects(stores, stores.artwork_bucket)
    for collection, table in SQL_TABLES.items():
        readers[collection] = _read_rows(stores.databases[collection[0]], table)
    for collection in LAKE_PREFIXES:
        readers[collection] = _read_lake(stores, collection)
    for collection in OTHERS:
        # Their first field is their key.
        held = held_by_others(stores, collection)
        readers[collection] = ((str(next(iter(r.values()))), canonical(r)) for r in held)
    return readers


def _read_items(stores: Stores, table: str) -> Iterator[tuple[str, str]]:
    described = stores.dynamodb.describe_table(TableName=table)["Table"]
    names = [key["AttributeName"] for key in described["KeySchema"]]
    deserialize = TypeDeserializer().deserialize
    for item in _items(stores, table):
        record = {name: deserialize(value) for name, value in item.items()}
        yield "/".join(record[name] for name in names), canonical(record)


def _read_objects(stores: Stores, bucket: str) -> Iterator[tuple[str, str]]:
    for version in _versions(stores, bucket):
        held = {name: version.get(name) for name in ("ETag", "Size", "IsLatest", "LastModified")}
        yield f"{version['Key']}?versionId={version['VersionId']}", canonical(held)


def _read_lake(stores: Stores, collection: Collection) -> Iterator[tuple[str, str]]:
    """Every record in every version of the collection's objects; of old versions under other names."""
    for version in _versions(stores, stores.lake_bucket):
        if not version["Key"].startswith(LAKE_PREFIXES[collection]) or version["ETag"] == "delete marker":
            continue
        content = stores.s3.get_object(
            Bucket=stores.lake_bucket, Key=version["Key"], VersionId=version["VersionId"]
        )["Body"].read()
        old = "" if version["IsLatest"] else f"?versionId={version['VersionId']}"
        if collection == CONNECTIONS:
            records = parquet.read_table(io.BytesIO(content)).to_pylist()
        else:
            records = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        for record in records:
            yield f"{record['connection_id']}{old}", canonical(record)


def _read_rows(database: str, table: str) -> Iterator[tuple[str, str]]:
    # Each table's first column is its key; the database itself writes the text, in one stream.
    with psycopg.connect(database, options="-c timezone=UTC") as connection, connection.cursor() as cursor:
        described = cursor.execute(
            sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))
        ).description
        key = sql.Identifier(described[0].name) if described else sql.NULL
        rows = sql.SQL("COPY (SELECT {}::text, row_to_json(held)::text FROM {} AS held) TO STDOUT")
        with cursor.copy(rows.format(key, sql.Identifier(table))) as copy:
            copy.set_types(["text", "text"])
            yield from copy.rows()  # two texts, as set_types declares


def differences(before: Snapshot, after: Snapshot) -> dict[Collection, dict[str, str]]:
    """Which records were added, removed or changed between two snapshots, by collection and key."""
    found: dict[Collection, dict[str, str]] = {}
    for collection in before.keys() | after.keys():
        old, new = before.get(collection, {}), after.get(collection, {})
        changes = dict.fromkeys(old.keys() - new.keys(), "removed")
        changes |= dict.fromkeys(new.keys() - old.keys(), "added")
        changes |= {key: "changed" for key in old.keys() & new.keys() if old[key] != new[key]}
        if changes:
            found[collection] = changes
    return found


def canonical(record: Mapping[str, Any]) -> str:
    """One text per record however it was read: sorted JSON, moments in UTC, decimals without idle zeros."""
    return json.dumps(record, default=_plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(f"no canonical form for {type(value).__name__}")


def main() -> None:
    """Load from the command line."""
    parser = argparse.ArgumentParser(description="Load the sample community into the stack craftzone.")
    parser.add_argument("--server", required=True, help="libpq connection string of a PostgreSQL superuser")
    parser.add_argument(
        "--database-password", default="craftzone-local", help="password given to the role dsr"
    )
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--big-artwork", action="store_true", help="add the 300 MB original as well")
    parser.add_argument(
        "--others", type=Path, default=Path("build/others"), help="folder of what others hold"
    )
    options = parser.parse_args()
    stores = Stores.of_stack(create_databases(options.server, options.database_password), options.others)
    community = generate(options.people, options.seed)
    loaded = load(community, stores)
    for (store, collection), count in loaded.counts.items():
        print(f"{store:10} {collection:12} {count:8,}")
    print(f"{sum(loaded.counts.values()):,} records of {len(community):,} people in {loaded.seconds:.1f} s")
    if options.big_artwork:
        add_big_artwork(community, stores)
        print("and the 300 MB original")


if __name__ == "__main__":
    main()
