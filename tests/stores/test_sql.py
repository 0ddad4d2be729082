"""SQL on real servers: forms of values, keys, views, masks, foreign keys, what is refused before it hurts."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr.datamap.plan import Collection, Field, Identity, Way
from dsr.errors import StoreFault
from dsr.records import to_line
from dsr.stores.base import Lines
from dsr.stores.sql import SQLStore
from dsr.stores.sql.tables import Column, Table
from dsr.treatments import with_key
from tests.stores import mariadb
from tests.stores.harness import REGION, collection, plan

ME = "m-1"
OWNER = Way("owner", parent="a.b.c")


class Database:
    """A server with tables of its own for each test, and the store that reads them."""

    def __init__(self, execute: Callable[..., list[Any]], secret: dict[str, Any], **connection: Any) -> None:
        self.execute = execute
        self.secret = secret
        boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name="shop/own", SecretString=json.dumps(secret)
        )
        self.store = SQLStore(plan("sql", secret="shop/own", **connection))

    def make(self, *statements: str) -> None:
        for statement in statements:
            self.execute(statement)

    def find(
        self, held: Collection, *values: Any, way: Way | None = None, whole: bool = True, after: Any = None
    ) -> list[dict[str, Any]]:
        """What is found, as it is staged."""
        pages = self.store.find(held, way or held.ways[0], values or [ME], after, whole)
        return [json.loads(to_line(record.values)) for page in pages for record in page.records]

    def lines(self, held: Collection) -> list[bytes]:
        """What is located, as it is staged."""
        return [to_line({"values": r}).rstrip() for r in self.find(held, whole=False)]

    def fault(self, call: Callable[[], Any]) -> StoreFault:
        with pytest.raises(StoreFault) as fault:
            call()
        return fault.value


@pytest.fixture
def postgresql(cloud: None, postgres: str) -> Iterator[Database]:
    """A real PostgreSQL with an empty schema."""
    info = psycopg.conninfo.conninfo_to_dict(postgres)
    secret = {
        "engine": "postgres", "host": info.get("host", "127.0.0.1"), "port": info.get("port", 5432),
        "dbname": info["dbname"], "username": info["user"], "password": info.get("password", ""),
    }  # fmt: skip

    def execute(statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(postgres, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    execute("DROP SCHEMA public CASCADE")
    execute("CREATE SCHEMA public")
    execute("GRANT USAGE ON SCHEMA public TO PUBLIC")  # as it is by default
    database = Database(execute, secret)
    yield database
    database.store.close()


@pytest.fixture
def maria_db(cloud: None, maria: mariadb.Server) -> Iterator[Database]:
    """A real MariaDB with an empty database."""
    for drop in ("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop CHARACTER SET utf8mb4"):
        with maria_connection(maria) as connection, connection.cursor() as cursor:
            cursor.execute(drop)
    secret = {"engine": "mariadb", "host": mariadb.HOST, "port": maria.port, "dbname": mariadb.DATABASE}
    database = Database(maria.execute, secret | {"username": mariadb.USER, "password": mariadb.PASSWORD})
    yield database
    database.store.close()


def maria_connection(server: mariadb.Server) -> Any:
    import pymysql

    return pymysql.connect(
        host=mariadb.HOST, port=server.port, user=mariadb.USER, password=mariadb.PASSWORD, autocommit=True
    )


@pytest.fixture(params=["postgresql", "maria_db"])
def database(request: pytest.FixtureRequest) -> Database:
    """One server after the other."""
    found: Database = request.getfixturevalue(request.param)
    return found


# -- values ----------------------------------------------------------------------------------------

FORMS = {
    "numeric": ("0.10", "0.10"),
    "numeric(30, 12)": ("12345678901234567.890123456789", "12345678901234567.890123456789"),
    "numeric ": ("NaN", "NaN"),
    "bigint": ("9007199254740993", 9007199254740993),
    "float8": ("1", 1.0),
    "float8 ": ("0.1", 0.1),
    "float8  ": ("-Infinity", "-inf"),
    "float4": ("NaN", "nan"),
    "boolean": ("true", True),
    "text": ('Süd "\\\\" \n\u2028', 'Süd "\\\\" \n\u2028'),
    "uuid": ("00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000a"),
    "bytea": ("\\x00ff" + "61" * 100, base64.b64encode(b"\x00\xff" + b"a" * 100).decode()),
    "timestamptz": ("2026-03-29 02:30:00+01", "2026-03-29T01:30:00+00:00"),
    "timestamptz ": ("2026-03-29 02:30:00.5+01", "2026-03-29T01:30:00.500000+00:00"),
    "timestamptz  ": ("infinity", "infinity"),
    "timestamp": ("2026-03-29 02:30:00.000001", "2026-03-29T02:30:00.000001"),
    "date": ("2026-03-29", "2026-03-29"),
    "time": ("09:30", "09:30:00"),
    "time ": ("09:30:00.25", "09:30:00.250000"),
    "interval": ("1 month 2 days 3 hours", "P1M2DT3H"),
    "inet": ("10.0.0.1", "10.0.0.1"),
    "json": ('{"a": [1.10,\n"\\ud83d"]}', {"a": [1.1, "\ud83d"]}),
    "jsonb": ('{"b": null}', {"b": None}),
    "text[]": ('{a,"b c",NULL}', ["a", "b c", None]),
    "numeric[]": ("{0.10,2}", ["0.10", "2"]),
    "int4range": ("[1,5)", "[1,5)"),
    "money": ("12.50", "$12.50"),
    "mood": ("sad", "sad"),
    "short": ("ok", "ok"),
}


def test_every_type_has_its_form_and_loses_nothing(postgresql: Database) -> None:
    postgresql.make("CREATE TYPE mood AS ENUM ('sad')", "CREATE DOMAIN short AS varchar(5)")
    columns = {f"c{n}": (kind.strip(), said) for n, (kind, (said, _)) in enumerate(FORMS.items())}
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    postgresql.make(
        f"CREATE TABLE t (id int PRIMARY KEY, owner text, {declared})", "CREATE INDEX ON t (owner)"
    )
    marks = ", ".join(f"%s::{kind}" for kind, _ in columns.values())
    said = [value for _, value in columns.values()]
    postgresql.execute(f"INSERT INTO t VALUES (1, '{ME}', {marks})", *said)
    empty = ", ".join("NULL" for _ in said)
    postgresql.execute(f"INSERT INTO t VALUES (2, '{ME}', {empty})")
    held = collection("t", "id", OWNER, table="t")
    first, second = postgresql.find(held)
    assert {k: first[f"c{n}"] for n, k in enumerate(FORMS)} == {k: form for k, (_, form) in FORMS.items()}
    types = {k: type(first[f"c{n}"]) for n, k in enumerate(FORMS)}
    assert types == {k: type(form) for k, (_, form) in FORMS.items()}
    assert set(second.values()) == {2, ME, None}


def test_rows_come_as_lines_that_need_no_look(postgresql: Database) -> None:
    postgresql.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner text)", "CREATE INDEX ON t (owner)",
        f"INSERT INTO t SELECT n, '{ME}' FROM generate_series(1, 7000) n", "ANALYZE t",
    )  # fmt: skip
    held = collection("t", "id", OWNER, table="t")
    pages = list(postgresql.store.find(held, OWNER, [ME], None))
    assert len(pages) == 4  # of 2,000 at most, since the rows are short
    assert all(isinstance(page.records, Lines) for page in pages)
    assert [r.values["id"] for page in pages for r in page.records] == list(range(1, 7001))


def test_mariadb_values_keep_digits_bytes_and_moments(maria_db: Database) -> None:
    maria_db.make(
        "CREATE TABLE t (id bigint PRIMARY KEY, owner varchar(50), amount decimal(30, 12),"
        " at timestamp(6) NULL, local datetime, raw varbinary(20), said json, big bigint unsigned,"
        " part time, KEY (owner))"
    )
    maria_db.execute(
        "INSERT INTO t VALUES (1, %s, '0.100000000001', '2026-03-29 01:30:00.5', '2026-03-29 01:30:00',"
        " x'00ff', '{\"a\": 1}', 18446744073709551615, '-01:00:00')", ME,
    )  # fmt: skip
    [row] = maria_db.find(collection("t", "id", OWNER, table="t"))
    assert row == {
        "id": 1, "owner": ME, "amount": "0.100000000001", "at": "2026-03-29T01:30:00.500000+00:00",
        "local": "2026-03-29T01:30:00", "raw": "AP8=", "said": '{"a": 1}', "big": 18446744073709551615,
        "part": "PT-3600.0S",
    }  # fmt: skip


# -- keys and names --------------------------------------------------------------------------------


def test_keys_of_several_columns_are_read_and_erased(database: Database) -> None:
    database.make(
        "CREATE TABLE t (owner varchar(20), day date, n int, said varchar(20), PRIMARY KEY (day, n))",
        "CREATE INDEX by_owner ON t (owner)",
    )
    for day in range(1, 6):
        for n in range(4):
            owner = ME if n < 3 else "m-2"
            database.execute(f"INSERT INTO t VALUES ('{owner}', '2026-01-0{day}', {n}, 'x')")
    held = collection("t", ("day", "n"), OWNER, table="t")
    everything = database.find(held)
    assert len(everything) == 15
    for row in everything[:-1]:
        rest = database.find(held, after=[0, [row["day"], row["n"]]])
        assert rest == everything[everything.index(row) + 1 :]
    database.store.erase(held, database.find(held, whole=False)[:5], {})
    assert database.find(held) == everything[5:]
    database.store.erase_lines(held, database.lines(held), {})
    assert [tuple(row) for row in database.execute("SELECT count(*), min(owner) FROM t")] == [(5, "m-2")]


@pytest.mark.parametrize(
    ("table", "about"),
    [
        ("id int UNIQUE, owner varchar(20)", "table t: key column id may be null"),
        ("id int NOT NULL, owner varchar(20)", r"table t: no unique index on the key \(id\)"),
    ],
)
def test_a_key_that_does_not_name_each_row_is_refused(database: Database, table: str, about: str) -> None:
    database.make(f"CREATE TABLE t ({table})", "CREATE INDEX by_owner ON t (owner)")
    with pytest.raises(StoreFault, match=f"unsupported: shop: {about}"):
        database.find(collection("t", "id", OWNER, table="t"))


def test_names_with_capitals_quotes_and_schemas(postgresql: Database) -> None:
    postgresql.make(
        'CREATE SCHEMA "Old"',
        'CREATE TABLE "Old"."Order" ("Id" int PRIMARY KEY, "select" text, "a%b" text)',
        'CREATE INDEX ON "Old"."Order" ("select")',
        f"""INSERT INTO "Old"."Order" VALUES (1, '{ME}', 'x')""",
    )
    held = collection("orders", "Id", Way("select", parent="a.b.c"), table="Old.Order")
    assert postgresql.find(held) == [{"Id": 1, "select": ME, "a%b": "x"}]
    postgresql.store.erase(held, postgresql.find(held, whole=False), {})
    assert postgresql.find(held) == []


# -- looking up ------------------------------------------------------------------------------------


def test_a_column_that_ignores_capitals_needs_no_index_on_lower() -> None:
    """citext, and collations …_ci. The extension is not in this PostgreSQL's wheel; MariaDB's are real."""
    way = Way("mail", Identity("email", "lower", verified=True))
    table = Table("shop", "t", "t", {"mail": Column("mail", "public.citext", "citext", folds=True)})
    assert not replace(table, leading=frozenset({"mail"})).folded(way)
    assert replace(table, leading=frozenset({"lower(mail)"})).folded(way)
    plain = replace(table, columns={"mail": Column("mail", "pg_catalog.text", "text")})
    assert replace(plain, leading=frozenset({"mail"})).folded(way)


@pytest.mark.parametrize("kind", ["text[]", "jsonb"])
def test_several_values_in_a_column_cannot_be_looked_up(postgresql: Database, kind: str) -> None:
    postgresql.make(f"CREATE TABLE t (id int PRIMARY KEY, owner {kind})", "CREATE INDEX ON t (owner)")
    with pytest.raises(StoreFault, match="unsupported: shop: table t: column owner holds several values"):
        postgresql.find(collection("t", "id", OWNER, table="t"))


def test_a_value_of_another_type_is_told_and_not_shown(database: Database) -> None:
    database.make("CREATE TABLE t (id int PRIMARY KEY, owner int)", "CREATE INDEX by_owner ON t (owner)")
    fault = database.fault(lambda: database.find(collection("t", "id", OWNER, table="t"), "ada@example.com"))
    assert fault.code == "malformed_data"
    assert "ada" not in str(fault)


def test_values_by_the_hundred_find_each_its_own(database: Database) -> None:
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20))", "CREATE INDEX by_owner ON t (owner)"
    )
    rows = ", ".join(f"({n}, 'o-{n % 700}')" for n in range(1400))
    database.execute(f"INSERT INTO t VALUES {rows}")
    held = collection("t", "id", OWNER, table="t")
    wanted = [f"o-{n}" for n in range(0, 700, 2)] + [f"none-{n}" for n in range(400)]
    found = database.find(held, *wanted)
    assert sorted(r["id"] for r in found) == [n for n in range(1400) if n % 700 % 2 == 0]


def test_partitions_are_one_table(postgresql: Database) -> None:
    postgresql.make(
        "CREATE TABLE t (id int, at date, owner text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "CREATE INDEX ON t (owner)",
        f"INSERT INTO t SELECT n, date '2026-01-01' + n, '{ME}' FROM generate_series(0, 50) n",
    )
    held = collection("t", ("id", "at"), OWNER, table="t")
    assert [r["id"] for r in postgresql.find(held)] == list(range(51))
    postgresql.store.erase_lines(held, postgresql.lines(held), {})
    assert postgresql.find(held) == []


def test_a_policy_that_hides_rows_is_a_fault_and_not_a_gap(postgresql: Database) -> None:
    postgresql.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner text)", "CREATE INDEX ON t (owner)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY", "DROP ROLE IF EXISTS careful", "CREATE ROLE careful LOGIN",
        "GRANT SELECT ON t TO careful", "GRANT USAGE ON SCHEMA public TO careful",
        f"INSERT INTO t VALUES (1, '{ME}')",
    )  # fmt: skip
    boto3.client("secretsmanager", region_name=REGION).put_secret_value(
        SecretId="shop/own", SecretString=json.dumps(postgresql.secret | {"username": "careful"})
    )
    with pytest.raises(StoreFault, match="missing_permission: shop: table t"):
        postgresql.find(collection("t", "id", OWNER, table="t"))
    postgresql.make("DROP OWNED BY careful", "DROP ROLE careful")


# -- views -----------------------------------------------------------------------------------------


def test_a_view_is_read_and_erased_through_its_table(database: Database) -> None:
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), secret varchar(20))",
        "CREATE INDEX by_owner ON t (owner)",
        "CREATE VIEW v AS SELECT id, owner FROM t",
    )
    for n in range(200):
        database.execute(f"INSERT INTO t VALUES ({n}, '{ME if n < 3 else n}', 'x')")
    held = collection("t", "id", OWNER, table="v")
    assert database.find(held) == [{"id": n, "owner": ME} for n in range(3)]
    database.store.erase(held, database.find(held, whole=False), {})
    assert database.find(held) == []


def test_a_view_that_no_index_serves_is_refused(database: Database) -> None:
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20))", "CREATE VIEW v AS SELECT id, owner FROM t"
    )
    for n in range(200):
        database.execute(f"INSERT INTO t VALUES ({n}, '{n}')")
    with pytest.raises(StoreFault, match="missing_index: shop: table v: the view reads a whole table"):
        database.find(collection("t", "id", OWNER, table="v"))


def test_a_view_whose_rows_share_a_key_is_refused(database: Database) -> None:
    database.make(
        "CREATE TABLE t (n int PRIMARY KEY, id int, owner varchar(20))",
        "CREATE INDEX by_owner ON t (owner)",
        "CREATE VIEW v AS SELECT id, owner FROM t",
        f"INSERT INTO t VALUES (1, 7, '{ME}'), (2, 7, '{ME}')",
    )
    with pytest.raises(
        StoreFault, match="unsupported: shop: table v: rows of the view have no key, or share one"
    ):
        database.find(collection("t", "id", OWNER, table="v"))


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "treatment", "about"),
    [
        ("said varchar(20) NOT NULL", "null", "must not be null"),
        ("said varchar(5)", "redacted", "too short"),
        ("said int", "redacted", "holds no text"),
        ("said varchar(20) UNIQUE", "redacted", "must be unique"),
        ("said varchar(20) GENERATED ALWAYS AS (owner) STORED", "redacted", "is generated"),
    ],
)
def test_a_mask_that_cannot_be_is_told_before_anything_is_erased(
    database: Database, column: str, treatment: str, about: str
) -> None:
    database.make(
        f"CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), {column})", "CREATE INDEX o ON t (owner)"
    )
    held = replace(collection("t", "id", OWNER, table="t"), on_deletion={"mask": {"said": treatment}})
    fault = database.fault(lambda: database.find(held, whole=False))
    assert fault.code == "unsupported"
    assert f"column said {about}" in fault.about or about in fault.about
    assert fault.about in [f.about for f in database.store.check(held)]
    assert database.find(held) == []  # a copy masks nothing


def test_a_mask_that_a_check_refuses_is_a_fault(postgresql: Database) -> None:
    postgresql.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner text, said text)",
        "ALTER TABLE t ADD CONSTRAINT nice CHECK (said <> '[deleted]')",
        "CREATE INDEX ON t (owner)", f"INSERT INTO t VALUES (1, '{ME}', 'x')",
    )  # fmt: skip
    held = replace(collection("t", "id", OWNER, table="t"), on_deletion={"mask": {"said": "redacted"}})
    with pytest.raises(StoreFault, match="unsupported: shop: table t: nice"):
        postgresql.store.erase_lines(held, postgresql.lines(held), held.masks)


def test_masked_is_what_was_there_and_nothing_stays_nothing(database: Database) -> None:
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), said varchar(20), age int)",
        "CREATE INDEX o ON t (owner)",
        f"INSERT INTO t VALUES (1, '{ME}', 'x', 3), (2, '{ME}', NULL, NULL), (3, 'm-2', 'y', 4)",
    )
    held = replace(
        collection("t", "id", OWNER, table="t"), on_deletion={"mask": {"said": "redacted", "age": "null"}}
    )
    database.store.erase_lines(held, database.lines(held), held.masks)
    rows = [tuple(row) for row in database.execute("SELECT id, owner, said, age FROM t ORDER BY id")]
    assert rows == [(1, ME, "[deleted]", None), (2, ME, None, None), (3, "m-2", "y", 4)]


def test_every_treatment_leaves_its_own_and_twice_is_once(database: Database) -> None:
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), mail varchar(60), town varchar(20), "
        "age int, born date, ip varchar(40), cost decimal(8, 2))",
        "CREATE INDEX o ON t (owner)",
        f"INSERT INTO t VALUES (1, '{ME}', 'a@b.example', 'Graz', 34, '1992-05-17', '203.0.113.77', 17.80), "
        f"(2, '{ME}', 'a@b.example', 'Oslo', 61, '1965-01-02', '2001:db8:1:2::9', 3.10), "
        f"(3, '{ME}', NULL, NULL, NULL, NULL, NULL, NULL), "
        "(4, 'm-2', 'c@d.example', 'Graz', 35, '1991-05-17', '203.0.113.78', 17.80)",
    )
    masks = {
        "mail": "keyed_hash", "town": {"generalise": {"to": {"Graz": "Austria"}, "otherwise": "abroad"}},
        "age": {"generalise": {"band": 10}}, "born": {"truncate": "year"}, "ip": {"truncate": "ip"},
        "cost": {"generalise": {"band": 5}},
    }  # fmt: skip
    held = replace(collection("t", "id", OWNER, table="t"), on_deletion={"mask": masks})
    treated = with_key(held.masks, lambda: b"k" * 32)
    theirs = [tuple(r) for r in database.execute("SELECT * FROM t WHERE owner = 'm-2'")]
    for _ in range(2):
        database.store.erase_lines(held, database.lines(held), treated)
        rows = [tuple(map(str, row)) for row in database.execute("SELECT * FROM t ORDER BY id")]
        hashed = {row[2] for row in rows[:2]}
        assert len(hashed) == 1, "equal values stay equal"
        assert next(iter(hashed)).startswith("hmac-")
        assert [row[3:] for row in rows[:2]] == [
            ("Austria", "30", "1992-01-01", "203.0.113.0", "15.00"),
            ("abroad", "60", "1965-01-01", "2001:db8:1::", "0.00"),
        ]
        assert rows[2] == ("3", ME, *["None"] * 6), "nothing stays nothing"
    assert [tuple(r) for r in database.execute("SELECT * FROM t WHERE owner = 'm-2'")] == theirs


def test_a_value_that_cannot_be_treated_is_a_fault_and_changes_nothing(database: Database) -> None:
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), at varchar(20))",
        "CREATE INDEX o ON t (owner)",
        f"INSERT INTO t VALUES (1, '{ME}', '2026-07-19'), (2, '{ME}', 'last summer')",
    )
    held = replace(
        collection("t", "id", OWNER, table="t"), on_deletion={"mask": {"at": {"truncate": "year"}}}
    )
    with pytest.raises(StoreFault, match=r"malformed_data: shop: table t: column at: no time") as told:
        database.store.erase_lines(held, database.lines(held), held.masks)
    assert "summer" not in str(told.value)
    assert [r[0] for r in database.execute("SELECT at FROM t ORDER BY id")] == ["2026-07-19", "last summer"]


# -- erasing ---------------------------------------------------------------------------------------


@given(
    gone=st.sets(st.integers(0, 11)), sold=st.sets(st.integers(0, 11)), new=st.integers(0, 3),
    kind=st.sampled_from(["integer", "text", "uuid"]),
)  # fmt: skip
@settings(max_examples=25)
def test_whatever_happened_meanwhile_only_what_was_listed_and_is_still_theirs_goes(
    postgresql: Database, gone: set[int], sold: set[int], new: int, kind: str
) -> None:
    """Rows vanish, change hands, arrive between others: by ranges as well as by name."""
    spelt = {"integer": "{n}", "text": "'k{n}'", "uuid": "'00000000-0000-0000-0000-{n:012d}'"}[kind]
    postgresql.make("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id {kind} PRIMARY KEY, owner text)")
    postgresql.make("CREATE INDEX ON t (owner)")
    postgresql.store._tables.clear()
    held = collection("t", "id", OWNER, table="t")

    def insert(n: int, owner: str) -> None:
        postgresql.execute(f"INSERT INTO t VALUES ({spelt.format(n=n)}, '{owner}')")

    for n in range(12):
        insert(2 * n, ME)
        insert(2 * n + 100, "m-2")
    listed = postgresql.lines(held)
    for n in gone:
        postgresql.execute(f"DELETE FROM t WHERE id = {spelt.format(n=2 * n)}")
    for n in sold:
        postgresql.execute(f"UPDATE t SET owner = 'm-3' WHERE id = {spelt.format(n=2 * n)}")
    for n in range(new):
        insert(2 * n + 1, ME)
    postgresql.store.erase_lines(held, listed, {})
    left = dict(postgresql.execute("SELECT owner, count(*) FROM t GROUP BY owner"))
    # What came meanwhile may only have gone in the place of something listed that was gone.
    assert left.pop(ME, 0) in range(max(0, new - len(gone | sold)), new + 1)
    assert left.pop("m-3", 0) == len(sold - gone)
    assert left == {"m-2": 12}


def test_a_row_that_arrived_between_the_listed_ones_stays(database: Database) -> None:
    database.make("CREATE TABLE t (id int PRIMARY KEY, owner varchar(20))", "CREATE INDEX o ON t (owner)")
    held = collection("t", "id", OWNER, table="t")
    for n in (1, 2, 4):
        database.execute(f"INSERT INTO t VALUES ({n}, '{ME}')")
    listed = database.lines(held)
    database.execute(f"INSERT INTO t VALUES (3, '{ME}')")
    database.store.erase_lines(held, listed, {})
    assert [r["id"] for r in database.find(held)] == [3]


def test_guards_that_are_null_are_equal(database: Database) -> None:
    ways = (OWNER, Way("phone", parent="a.b.d"))
    database.make(
        "CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), phone varchar(20))",
        "CREATE INDEX o ON t (owner)", "CREATE INDEX p ON t (phone)",
        f"INSERT INTO t VALUES (1, '{ME}', NULL), (2, '{ME}', '1'), (3, NULL, '1')",
    )  # fmt: skip
    held = replace(collection("t", "id", OWNER, table="t"), ways=ways)
    listed = [{"id": 1, "owner": ME, "phone": None}, {"id": 2, "owner": ME, "phone": "1"}]
    database.store.erase(held, [*listed, {"id": 3, "owner": None, "phone": "2"}], {})
    assert [row[0] for row in database.execute("SELECT id FROM t")] == [3]


def test_what_refers_goes_first_whatever_the_map_says(database: Database) -> None:
    database.make(
        "CREATE TABLE a (id int PRIMARY KEY, owner varchar(20))",
        "CREATE TABLE b (id int PRIMARY KEY, owner varchar(20), a int, FOREIGN KEY (a) REFERENCES a (id))",
        "CREATE TABLE c (id int PRIMARY KEY, owner varchar(20), b int, FOREIGN KEY (b) REFERENCES b (id))",
    )
    held = {name: collection(name, "id", OWNER, table=name) for name in "abc"}
    for order in ("abc", "bca", "cba"):
        ordered = database.store.erase_order([held[name] for name in order])
        assert "".join(c.name for c in ordered) == "cba"


def test_the_table_that_still_refers_is_named(database: Database) -> None:
    database.make(
        "CREATE TABLE a (id int PRIMARY KEY, owner varchar(20))", "CREATE INDEX o ON a (owner)",
        "CREATE TABLE forgotten (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id))",
        f"INSERT INTO a VALUES (1, '{ME}')", "INSERT INTO forgotten VALUES (1, 1)",
    )  # fmt: skip
    held = collection("a", "id", OWNER, table="a")
    fault = database.fault(lambda: database.store.erase_lines(held, database.lines(held), {}))
    assert (fault.code, fault.about) == ("still_referenced", "shop: table a: referenced by table forgotten")


# -- expiring, sampling, checking ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["timestamp NULL", "datetime", "date", "varchar(40)"])
def test_mariadb_tells_what_has_expired(maria_db: Database, kind: str) -> None:
    maria_db.make(
        f"CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), at {kind})", "CREATE INDEX a ON t (at)"
    )
    for n, day in enumerate(("2026-05-01", "2026-05-24", "2026-05-25", "2026-05-26", "2026-06-01")):
        maria_db.execute(f"INSERT INTO t VALUES ({n}, 'x', '{day}')")
    held = replace(collection("t", "id", OWNER, table="t"), retention={"duration": "P1D", "from": "at"})
    before, after, found = datetime(2026, 5, 26, tzinfo=UTC), None, []
    while True:
        page = maria_db.store.expired(held, before, after, 2)
        found += [r.values["id"] for r in page.records]
        if page.after is None:
            break
        after = json.loads(json.dumps(page.after))
    assert found == [0, 1, 2]


def test_a_sample_shows_all_columns(database: Database) -> None:
    database.make("CREATE TABLE t (id int PRIMARY KEY, owner varchar(20), new varchar(20))")
    database.execute("INSERT INTO t VALUES (1, 'x', 'y'), (2, 'x', 'y'), (3, 'x', 'y')")
    sample = database.store.sample(collection("t", "id", OWNER, table="t"), 2)
    assert [sorted(record.values) for record in sample] == [["id", "new", "owner"]] * 2


def test_a_check_tells_everything_at_once(database: Database) -> None:
    database.make("CREATE TABLE t (id int, owner varchar(20), said varchar(20) NOT NULL)")
    held = replace(collection("t", "id", OWNER, table="t"), on_deletion={"mask": {"said": "null"}})
    held.fields["gone"] = Field("user", "p")
    told = {fault.about.removeprefix("shop: ") for fault in database.store.check(held)}
    assert told == {
        "column t.gone", "table t: key column id may be null", "table t: index on owner",
        "table t: column said must not be null: mask it as `redacted`",
    }  # fmt: skip


def test_a_check_asks_for_the_rights_of_a_deletion(
    database: Database, request: pytest.FixtureRequest
) -> None:
    database.make("CREATE TABLE t (id int PRIMARY KEY, owner varchar(20))", "CREATE INDEX o ON t (owner)")
    held = collection("t", "id", OWNER, table="t")
    assert database.store.check(held) == []
    if "maria_db" in request.fixturenames:
        database.make("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'a password'")
        database.make("GRANT SELECT ON shop.t TO reader@'127.0.0.1'")
    else:
        database.make("DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", "GRANT SELECT ON t TO reader")
        database.make("GRANT USAGE ON SCHEMA public TO reader")
    boto3.client("secretsmanager", region_name=REGION).put_secret_value(
        SecretId="shop/own", SecretString=json.dumps(database.secret | {"username": "reader"})
    )
    reader = SQLStore(plan("sql", secret="shop/own"))
    assert [fault.code for fault in reader.check(held)] == ["missing_permission"]
    kept = replace(held, on_deletion={"keep": "tax", "until": {"from": "id"}})
    assert [fault.code for fault in reader.check(kept)] == ["missing_permission"], "it goes later"
    reader.close()
    database.make(
        "DROP USER reader@'127.0.0.1'" if "maria_db" in request.fixturenames else "DROP OWNED BY reader"
    )
