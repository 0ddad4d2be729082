"""The lake: files are read no further than needed, written anew without a trace, never half understood."""

import bz2
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from unittest import mock

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr.datamap.plan import Identity, Way
from dsr.errors import StoreFault
from dsr.matching import as_time
from dsr.records import to_line
from dsr.stores.lake import row_groups
from dsr.stores.lake.objects import Bucket
from dsr.stores.lake.store import OBJECT
from dsr.treatments import with_key
from tests.stores.harness import ME, NEIGHBOUR, REGION, LakeHarness

KEY = "t/log/dt=2026-05-01/part-0000"
FORMS = ["parquet", "jsonl", "csv"]
ROWS = [
    {"id": f"r{n}", "owner": owner, "at": "2026-05-01T10:00:00Z", "text": f"zeile {n}"}
    for n, owner in enumerate([ME, NEIGHBOUR, "", ME, NEIGHBOUR, NEIGHBOUR])
]


def client() -> Any:
    return boto3.client("s3", region_name=REGION)


def put(content: bytes, key: str = KEY) -> None:
    client().put_object(Bucket="lake", Key=key, Body=content)


def got(key: str = KEY) -> bytes:
    content: bytes = client().get_object(Bucket="lake", Key=key)["Body"].read()
    return content


def found(lake: LakeHarness, *values: str, whole: bool = True) -> list[dict[str, Any]]:
    asked = list(values) or [ME]
    return [
        record.values
        for page in lake.store.find(lake.collection, lake.way, asked, None, whole)
        for record in page.records
    ]


def located(lake: LakeHarness, *values: str) -> list[dict[str, Any]]:
    """As it is staged: through JSON."""
    return [json.loads(to_line(values)) for values in found(lake, *values, whole=False)]


def erase(lake: LakeHarness, *values: str, masks: dict[str, Any] | None = None) -> None:
    held = replace(lake.collection, on_deletion={"mask": masks} if masks else {})
    lake.store.erase(held, located(lake, *values), held.masks)


def fault_of(lake: LakeHarness) -> StoreFault:
    with pytest.raises(StoreFault) as raised:
        found(lake)
    assert "m-1" not in raised.value.about
    return raised.value


# -- what is written anew --------------------------------------------------------------------------


def test_lines_that_stay_are_the_same_bytes(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    lines = [
        b'{"owner": "m-11", "id": "a", "n": 1.10, "n2": 12345678901234567890, "n": 2}\r\n',
        b'{"owner":"m-1","id":"b"}\n',
        b"\n",
        '{"id":"c","owner":"m-11","text":"m-1 \u2028 not a line"}\n'.encode(),
        b'{"id":"d","owner":"m-1"}',
    ]
    put(b"".join(lines))
    assert [r["id"] for r in found(lake)] == ["b", "d"]
    erase(lake)
    assert got() == lines[0] + lines[2] + lines[3]


def test_columns_that_stay_are_the_same_bytes(cloud: None) -> None:
    lake = LakeHarness("csv")
    lines = [
        b'\xef\xbb\xbfid,owner,"text"\r\n',
        b'a,m-11,"a line\r\nthat goes on, with ""quotes"" and m-1"\r\n',
        b'b,m-1,"mine,\nall of it"\r\n',
        b"c,m-11,m-1\r\n",
        b"d,m-1,",
    ]
    put(b"".join(lines))
    assert [(r["id"], r["text"]) for r in found(lake)] == [("b", "mine,\nall of it"), ("d", None)]
    erase(lake)
    assert got() == lines[0] + lines[1] + lines[3]


def test_columns_without_names_and_with_another_delimiter(cloud: None) -> None:
    lake = LakeHarness("csv")
    lake.collection.options.update(columns=["id", "owner"], delimiter="\t")
    put(b"a\tm-1\nb\tm-11\n")
    assert found(lake) == [{"id": "a", "owner": ME}]
    erase(lake)
    assert got() == b"b\tm-11\n"


@pytest.mark.parametrize("form", FORMS)
def test_a_file_whose_records_all_go_stays_as_an_empty_one(cloud: None, form: str) -> None:
    """So that whatever reads the table finds what it expects."""
    lake = LakeHarness(form)
    lake.put(KEY, [row for row in ROWS if row["owner"] == ME])
    erase(lake)
    if form == "parquet":
        assert pq.read_table(io.BytesIO(got())).num_rows == 0
    else:
        assert got() == {"jsonl": b"", "csv": b"id,owner,at,text\r\n"}[form]


def test_gzip_of_several_members_is_one_file(cloud: None) -> None:
    lake = LakeHarness("jsonl", gzipped=True)
    put(gzip.compress(to_line(ROWS[0])) + gzip.compress(to_line(ROWS[1]) + to_line(ROWS[3])))
    assert [r["id"] for r in found(lake)] == ["r0", "r3"]
    erase(lake)
    assert gzip.decompress(got()) == to_line(ROWS[1])


def test_what_the_object_says_of_itself_stays(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    said = {"ContentType": "application/x-ndjson", "Metadata": {"job": "7"}, "StorageClass": "STANDARD_IA"}
    lake.put(KEY, ROWS, **said, Tagging="team=web&of=a%2Fb")
    erase(lake)
    head = client().head_object(Bucket="lake", Key=KEY)
    assert {name: head[name] for name in said} == said
    tags = client().get_object_tagging(Bucket="lake", Key=KEY)["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == {"team": "web", "of": "a/b"}


@pytest.mark.parametrize("form", FORMS)
def test_fields_are_masked_and_the_rest_stays(cloud: None, form: str) -> None:
    lake = LakeHarness(form)
    lake.put(KEY, ROWS)
    for _ in range(2):
        erase(lake, masks={"text": "redacted", "at": "null"})
    mine, theirs = found(lake), found(lake, NEIGHBOUR)
    assert [(r["id"], r["text"], r["at"]) for r in mine] == [
        ("r0", "[deleted]", None),
        ("r3", "[deleted]", None),
    ]
    assert theirs == [row for row in ROWS if row["owner"] == NEIGHBOUR]


@pytest.mark.parametrize("form", FORMS)
def test_every_treatment_leaves_its_own_in_files(cloud: None, form: str) -> None:
    lake = LakeHarness(form)
    lake.put(KEY, ROWS)
    held = replace(lake.collection, on_deletion={"mask": {"text": "keyed_hash", "at": {"truncate": "year"}}})
    treated = with_key(held.masks, lambda: b"k" * 32)
    before = found(lake)
    for _ in range(2):
        lake.store.erase(held, located(lake), treated)
        for was, row in zip(before, found(lake), strict=True):
            assert row["text"] == treated["text"].apply(was["text"])
            assert as_time(row["at"]) == as_time(was["at"]).replace(
                month=1, day=1, hour=0, minute=0, second=0
            )  # type: ignore[union-attr]
    assert found(lake, NEIGHBOUR) == [row for row in ROWS if row["owner"] == NEIGHBOUR]


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_changed_hands_stays(cloud: None, form: str) -> None:
    lake = LakeHarness(form)
    lake.put(KEY, ROWS)
    records = located(lake)
    handed = [row | {"owner": NEIGHBOUR} if row["id"] == "r3" else row for row in ROWS]
    lake.put(KEY, handed)
    lake.store.erase(lake.collection, records, {})
    assert [r["id"] for r in found(lake, NEIGHBOUR)] == ["r1", "r3", "r4", "r5"]
    assert found(lake) == []


def test_what_others_write_meanwhile_is_neither_lost_nor_left_alone(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LakeHarness("jsonl")
    lake.put(KEY, ROWS)
    records = located(lake)
    call, raced = Bucket.call, []

    def racing(self: Bucket, collection: Any, verb: str, key: str = "", **arguments: Any) -> Any:
        if verb == "put_object" and not raced:
            raced.append(verb)
            lake.put(KEY, [*ROWS, ROWS[1] | {"id": "new"}])
        return call(self, collection, verb, key, **arguments)

    monkeypatch.setattr(Bucket, "call", racing)
    lake.store.erase(lake.collection, records, {})
    assert raced
    assert found(lake) == []
    assert [r["id"] for r in found(lake, NEIGHBOUR)] == ["r1", "r4", "r5", "new"]


def test_who_never_stops_writing_is_no_success(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = LakeHarness("jsonl")
    lake.put(KEY, ROWS)
    records = located(lake)
    call, written = Bucket.call, list[str]()

    def racing(self: Bucket, collection: Any, verb: str, key: str = "", **arguments: Any) -> Any:
        if verb == "put_object":
            written.append(verb)
            lake.put(KEY, [*ROWS, ROWS[1] | {"id": f"new {len(written)}"}])
        return call(self, collection, verb, key, **arguments)

    monkeypatch.setattr(Bucket, "call", racing)
    with pytest.raises(RuntimeError, match="being written by others"):
        lake.store.erase(lake.collection, records, {})


def test_no_old_version_keeps_what_went(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    client().put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    beside, gone = KEY + "-beside", KEY + "-gone"
    for key in (KEY, KEY, beside, gone):
        lake.put(key, ROWS)
    lake.put(KEY, [row for row in ROWS if row["owner"] != ME])  # only old versions hold them
    client().delete_object(Bucket="lake", Key=gone)
    assert {r[OBJECT] for r in located(lake)} == {KEY, beside, gone}
    erase(lake)
    assert located(lake) == []
    listed = client().list_object_versions(Bucket="lake")
    assert sorted(v["Key"] for v in listed["Versions"]) == [KEY, beside]
    assert "DeleteMarkers" not in listed
    assert len(found(lake, NEIGHBOUR)) == 6


# -- Parquet ---------------------------------------------------------------------------------------

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "whole": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "unsigned": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "real": (pa.float64(), st.floats(allow_nan=False)),
    "text": (pa.string(), st.text(max_size=8)),
    "bytes": (pa.binary(), st.binary(max_size=8)),
    "flag": (pa.bool_(), st.booleans()),
    "moment": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "fine": (pa.timestamp("ns"), st.integers(0, 2**60)),
    "day": (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "clock": (pa.time64("us"), st.times()),
    "money": (pa.decimal128(12, 2), st.integers(-(10**9), 10**9).map(lambda n: Decimal(n).scaleb(-2))),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(-9, 9), max_size=3)),
    "struct": (
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.int8()))]),
        st.fixed_dictionaries({"a": st.text(max_size=3), "b": st.lists(st.integers(-9, 9), max_size=2)}),
    ),
    "map": (
        pa.map_(pa.string(), pa.int64()),
        st.lists(st.tuples(st.text(max_size=2), st.integers(0, 9)), max_size=2),
    ),
    "category": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["x", "y"])),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4, unique=True))
    count = draw(st.integers(1, 40))
    owners = draw(st.lists(st.sampled_from([ME, NEIGHBOUR, "m-2", None]), min_size=count, max_size=count))
    columns = {"id": pa.array([f"r{n}" for n in range(count)]), "owner": pa.array(owners, pa.string())}
    for kind in kinds:
        form, values = KINDS[kind]
        drawn = draw(st.lists(st.none() | values, min_size=count, max_size=count))
        columns[kind] = pa.array(drawn, form)
    return pa.table(columns).replace_schema_metadata({"made by": "a test"})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=tables(),
    rows=st.integers(1, 15),
    codec=st.sampled_from(["none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
    version=st.sampled_from(["1.0", "2.0"]),
    extras=st.booleans(),
    memory=st.sampled_from([1, row_groups.DECODED]),
)
def test_all_that_stays_is_what_it_was(
    lake_of_parquet: LakeHarness,
    table: pa.Table,
    rows: int,
    codec: str,
    version: str,
    extras: bool,
    memory: int,
) -> None:
    """Every type, codec and size of row group; read by two libraries that have nothing in common.

    By columns, and where one of them does not fit into memory, in row groups of few rows.
    """
    lake = lake_of_parquet
    old_times = "fine" in table.column_names and "moment" not in table.column_names
    file = io.BytesIO()
    pages: dict[str, Any] = (
        {"write_page_index": True, "bloom_filter_options": {"owner": True}} if extras else {}
    )
    pq.write_table(
        table, file, row_group_size=rows, compression=codec, data_page_version=version,
        use_deprecated_int96_timestamps=old_times, **pages,
    )  # fmt: skip
    put(file.getvalue())
    before = pq.ParquetFile(io.BytesIO(file.getvalue()))
    records = located(lake)
    with mock.patch.multiple(row_groups, DECODED=memory, _LEAST_ROWS=3):
        lake.store.erase(lake.collection, records, {})
    after = pq.ParquetFile(io.BytesIO(got()))
    stay = pa.array([owner != ME for owner in table["owner"].to_pylist()])
    assert len(records) == stay.false_count
    assert after.schema.equals(before.schema)
    assert after.metadata.metadata == before.metadata.metadata
    assert after.metadata.created_by == before.metadata.created_by
    kept = before.read().filter(stay)
    assert after.read().equals(kept)
    assert after.metadata.num_rows == kept.num_rows
    assert found(lake) == []
    if memory > 1:
        assert after.num_row_groups <= before.num_row_groups
    if not {"category", "fine", "map"} & set(table.column_names):
        assert by_duckdb(got()) == by_duckdb(file.getvalue(), f"WHERE owner IS DISTINCT FROM '{ME}'")


def by_duckdb(content: bytes, where: str = "") -> list[Any]:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(content)
        file.flush()
        rows: list[Any] = duckdb.sql(f"SELECT * FROM read_parquet('{file.name}') {where}").fetchall()  # noqa: S608
    return rows


@pytest.fixture
def lake_of_parquet(cloud: None) -> LakeHarness:
    return LakeHarness("parquet")


def large(groups: int, owner_of: Callable[[int], str]) -> bytes:
    """A file whose row groups hold 6 MB each of what does not compress, 1,000 rows."""
    import random

    chance = random.Random(1)
    file = io.BytesIO()
    writer: Any = None
    for group in range(groups):
        batch = pa.table(
            {
                "id": [f"{group}-{n}" for n in range(1000)],
                "owner": [owner_of(group * 1000 + n) for n in range(1000)],
                "noise": [chance.randbytes(6000) for _ in range(1000)],
            }
        )
        writer = writer or pq.ParquetWriter(file, batch.schema, compression="none")
        writer.write_table(batch)
    writer.close()
    return file.getvalue()


def test_a_mask_copies_the_columns_that_it_does_not_touch(lake_of_parquet: LakeHarness) -> None:
    lake = lake_of_parquet
    content = large(2, lambda n: ME if n % 500 == 7 else NEIGHBOUR)
    put(content)
    records = located(lake)
    masked = replace(lake.collection, on_deletion={"mask": {"owner": "redacted"}})
    lake.store.erase(masked, records, masked.masks)
    was, now = pq.ParquetFile(io.BytesIO(content)), pq.ParquetFile(io.BytesIO(got()))
    assert now.read(["id", "noise"]).equals(was.read(["id", "noise"]))
    owners = was.read(["owner"])["owner"].to_pylist()
    assert now.read(["owner"])["owner"].to_pylist() == ["[deleted]" if o == ME else o for o in owners]
    for group in range(2):
        old, new = (held.metadata.row_group(group).column(2) for held in (was, now))
        assert noise_of(content, old) == noise_of(got(), new)


def noise_of(content: bytes, column: Any) -> bytes:
    start = column.dictionary_page_offset or column.data_page_offset
    return content[start : start + column.total_compressed_size]


def test_of_a_large_file_only_what_holds_the_person_passes_through(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LakeHarness("parquet")
    content = large(6, lambda n: f"m-{n:05d}")
    put(content)
    lake_way = ["m-02003", "m-02007"]
    records = located(lake, *lake_way)
    calls: list[tuple[str, int]] = []
    call = Bucket.call

    def noting(self: Bucket, collection: Any, verb: str, key: str = "", **arguments: Any) -> Any:
        answer = call(self, collection, verb, key, **arguments)
        read = answer["ContentLength"] if verb == "get_object" else len(arguments.get("Body", b""))
        calls.append((verb, read))
        return answer

    monkeypatch.setattr(Bucket, "call", noting)
    lake.store.erase(lake.collection, records, {})
    read = sum(size for verb, size in calls if verb == "get_object")
    written = sum(size for verb, size in calls if verb == "upload_part")
    assert read < len(content) / 4
    assert written < len(content) / 4
    assert [verb for verb, _ in calls].count("upload_part_copy") >= 2
    before, after = pq.read_table(io.BytesIO(content)), pq.read_table(io.BytesIO(got()))
    stay = pa.array([owner not in lake_way for owner in before["owner"].to_pylist()])
    assert after.equals(before.filter(stay))
    assert not client().list_multipart_uploads(Bucket="lake").get("Uploads")


@pytest.mark.parametrize("first", [0, 2])
def test_row_groups_that_go_whole(cloud: None, first: int) -> None:
    """At the beginning, and in the middle."""
    lake = LakeHarness("parquet")
    content = large(4, lambda n: ME if n // 1000 == first else NEIGHBOUR)
    put(content)
    erase(lake)
    before, after = pq.read_table(io.BytesIO(content)), pq.ParquetFile(io.BytesIO(got()))
    assert after.metadata.num_row_groups == 3
    assert after.read().equals(before.filter(pa.array([o != ME for o in before["owner"].to_pylist()])))


def test_a_part_too_small_for_s3_is_never_sent_before_the_last(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local S3s do not mind, the real one does."""
    lake = LakeHarness("parquet")
    content = large(4, lambda n: ME if n % 2000 == 7 else NEIGHBOUR)
    put(content)
    records = located(lake)
    sizes: list[int] = []
    call = Bucket.call

    def noting(self: Bucket, collection: Any, verb: str, key: str = "", **arguments: Any) -> Any:
        if verb == "upload_part":
            sizes.insert(arguments["PartNumber"], len(arguments["Body"]))
            numbered[arguments["PartNumber"]] = len(arguments["Body"])
        if verb == "upload_part_copy":
            start, end = arguments["CopySourceRange"].removeprefix("bytes=").split("-")
            numbered[arguments["PartNumber"]] = int(end) - int(start) + 1
        return call(self, collection, verb, key, **arguments)

    numbered: dict[int, int] = {}
    monkeypatch.setattr(Bucket, "call", noting)
    lake.store.erase(lake.collection, records, {})
    *all_but_last, _ = [numbered[n] for n in sorted(numbered)]
    assert all_but_last
    assert min(all_but_last) >= 5 * 1024 * 1024
    assert found(lake) == []


def test_row_groups_that_cannot_hold_a_person_are_not_read(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LakeHarness("parquet")
    put(large(4, lambda n: f"m-{n:05d}"))
    read: list[int] = []
    call = Bucket.call

    def noting(self: Bucket, collection: Any, verb: str, key: str = "", **arguments: Any) -> Any:
        answer = call(self, collection, verb, key, **arguments)
        if verb == "get_object":
            read.append(answer["ContentLength"])
        return answer

    monkeypatch.setattr(Bucket, "call", noting)
    assert found(lake, "n-1") == []
    assert sum(read) <= 256 * 1024  # the end of the file
    assert [r["id"] for r in found(lake, "m-02003")] == ["2-3"]


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        (pa.int64(), [1, 12, None, 1], ["1"]),
        (pa.uint8(), [1, 12, None, 1], ["1"]),
        (pa.string(), ["1", "12", None, "1"], ["1"]),
        (pa.large_string(), ["1", "12", None, "1"], ["1"]),
        (pa.dictionary(pa.int8(), pa.string()), ["1", "12", None, "1"], ["1"]),
        (pa.decimal128(5, 0), [Decimal(1), Decimal(12), None, Decimal(1)], ["1"]),
        (pa.list_(pa.string()), [["0", "1"], ["12"], None, ["1"]], ["1"]),
    ],
)
def test_ids_of_any_type_are_found(cloud: None, kind: Any, values: list[Any], wanted: list[str]) -> None:
    lake = LakeHarness("parquet")
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b", "c", "d"], "owner": pa.array(values, kind)}), file)
    put(file.getvalue())
    assert [r["id"] for r in found(lake, *wanted)] == ["a", "d"]
    erase(lake, *wanted)
    assert pq.read_table(io.BytesIO(got()))["id"].to_pylist() == ["b", "c"]


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_nested_ids_are_found(cloud: None, form: str) -> None:
    lake = LakeHarness(form)
    lake.way = Way("who.id", parent="a.b.c")
    lake.collection = replace(lake.collection, ways=(lake.way,))
    rows = [
        {"id": str(n), "who": {"id": owner, "name": "x"}} for n, owner in enumerate([ME, NEIGHBOUR, None, ME])
    ]
    lake.put(KEY, rows)
    assert [r["id"] for r in found(lake)] == ["0", "3"]
    assert located(lake)[0] == {"id": "0", "who": {"id": ME, "name": "x"}, OBJECT: KEY}
    erase(lake)
    assert found(lake) == []
    assert [r["id"] for r in found(lake, NEIGHBOUR)] == ["1"]


@pytest.mark.parametrize("form", FORMS)
def test_addresses_are_found_as_the_map_folds_them(cloud: None, form: str) -> None:
    lake = LakeHarness(form)
    lake.way = Way("owner", Identity("email", "lower", verified=True))
    lake.collection = replace(lake.collection, ways=(lake.way,))
    addresses = [
        "Kim@Example.com",
        "kim@example.com ",
        "\u212aim@example.com",
        "tim@example.com",
        "xkim@example.com",
    ]
    lake.put(KEY, [{"id": str(n), "owner": address} for n, address in enumerate(addresses)])
    assert [r["id"] for r in found(lake, "kim@example.com")] == ["0", "1"]
    erase(lake, "kim@example.com")
    assert found(lake, "kim@example.com") == []
    assert len(found(lake, "tim@example.com", "xkim@example.com", "\u212aim@example.com")) == 3


def test_a_value_that_is_written_with_escapes_is_found(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    put(b'{"id":"a","owner":"a\\u002Bb\\/\\u00e9-long"}\n{"id":"b","owner":"a+b"}\n')
    assert [r["id"] for r in found(lake, "a+b/é-long")] == ["a"]


def test_times_keep_their_digits_and_their_moment(cloud: None) -> None:
    lake = LakeHarness("parquet")
    at = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
    fine = 1_774_751_400_123_456_789
    columns = {
        "id": ["a"], "owner": [ME], "at": pa.array([at], pa.timestamp("ms", "Europe/Berlin")),
        "fine": pa.array([fine], pa.timestamp("ns")), "even": pa.array([fine - 789], pa.timestamp("ns")),
    }  # fmt: skip
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    put(file.getvalue())
    [record] = found(lake)
    assert record["at"] == at
    assert record["fine"] == "2026-03-29 02:30:00.123456789"
    assert record["even"] == datetime(2026, 3, 29, 2, 30, 0, 123456)  # noqa: DTZ001  as it stands
    to_line(record)


# -- what cannot be read ---------------------------------------------------------------------------


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


WHOLE = parquet(id=["a"], owner=[ME])
LINE = to_line(ROWS[0])
BAD = "malformed_data"
BROKEN: dict[str, tuple[str, bytes, str, str]] = {
    "Parquet without its end": ("parquet", WHOLE[:-3], BAD, "does not end like a Parquet file"),
    "Parquet of which the footer is cut": ("parquet", WHOLE[-30:], BAD, "is cut off"),
    "Parquet with a damaged footer": (
        "parquet", WHOLE[:-40] + b"\xff" * 30 + WHOLE[-10:], BAD, "cannot be read as Parquet",
    ),
    "Parquet with a damaged page": (
        "parquet", WHOLE[:4] + b"\xff" * 40 + WHOLE[44:], BAD, "cannot be read as Parquet",
    ),
    "encrypted": ("parquet", WHOLE[:-4] + b"PARE", "unsupported", "is encrypted"),
    "no such column": ("parquet", parquet(id=["a"], own=[ME]), "missing_field", "no column `owner`"),
    "Parquet without the key": ("parquet", parquet(it=["a"], owner=[ME]), "missing_field", "no column `id`"),
    "ids as bytes": ("parquet", parquet(id=["a"], owner=[ME.encode()]), "unsupported", "`owner` as bytes"),
    "text that is Parquet": ("jsonl", WHOLE, "unsupported", "is Parquet, which is not read here"),
    "gzip that is cut": ("jsonl", gzip.compress(LINE * 99)[:-9], BAD, "in the middle of its gzip"),
    "gzip that is damaged": (
        "jsonl", gzip.compress(LINE)[:-6] + b"\0\0\0\0\0\0", BAD, "its gzip does not fit",
    ),
    "bzip2": ("jsonl", bz2.compress(LINE), "unsupported", "is bzip2, which is not read here"),
    "zstandard": ("csv", b"\x28\xb5\x2f\xfd\0\0", "unsupported", "is zstd, which is not read here"),
    "UTF-16": ("csv", "id,owner\n".encode("utf-16"), "unsupported", "is UTF-16"),
    "a line that is cut off": ("jsonl", LINE + b'{"id":"x","own', BAD, "no object of JSON"),
    "a line that is none": ("jsonl", LINE + b"oops\n" + LINE, BAD, "no object of JSON"),
    "a line of the person that is none": ("jsonl", b'{"owner":"m-1",}\n', BAD, "is no JSON"),
    "lines without the field": ("jsonl", b'{"id":"a","user":"m-1"}\n', "missing_field", "no record with"),
    "columns without the field": ("csv", b"id,user\na,m-1\n", "missing_field", "has no column `owner`"),
    "an open quote": ("csv", b'id,owner\na,"m-1\n', BAD, "a quote that is not closed"),
    "a record of too few columns": ("csv", b"id,owner\nm-1\n", BAD, "of 1 columns, not 2"),
    "text that is none": ("csv", b"id,owner\n\xff,m-1\n", BAD, "is no CSV"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_named_and_nothing_passes_for_whole(cloud: None, name: str) -> None:
    form, content, code, said = BROKEN[name]
    lake = LakeHarness(form)
    put(content)
    fault = fault_of(lake)
    assert fault.code == code
    assert said in fault.about
    assert fault.about.startswith(f"shop.log: {KEY} ")
    with pytest.raises(StoreFault) as listed:
        list(lake.store.listing(lake.collection, ("owner", "id"), None))
    assert (listed.value.code, listed.value.about) == (fault.code, fault.about)


def test_lines_may_lack_the_field_where_the_map_says_so(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    lake.collection.options["sparse"] = True
    put(b'{"id":"a"}\n')
    assert found(lake) == []


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [
        ("t/log/part-0", "malformed_data", "no folder like dt=%Y-%m-%d"),
        ("t/log/dt=2026-13-01x/part-0", "malformed_data", "no folder like"),
        ("t/log/_delta_log/000.json", "unsupported", "a table of Delta Lake"),
        ("t/log/.hoodie/x", "unsupported", "a table of Hudi"),
        ("t/log/metadata/0-a.metadata.json", "unsupported", "a table of Iceberg"),
    ],
)
def test_a_key_that_does_not_fit_is_named(cloud: None, key: str, code: str, said: str) -> None:
    lake = LakeHarness("jsonl")
    put(LINE, key)
    fault = fault_of(lake)
    assert (fault.code, said in fault.about) == (code, True)


def test_what_athena_does_not_read_is_not_read(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    lake.put(KEY, ROWS)
    for key in ("t/log/_SUCCESS", "t/log/dt=2026-05-01/.crc", "t/log/_temporary/0/part-0"):
        put(LINE, key)
    put(b"", "t/log/dt=2026-05-01/")
    put(LINE, "t/logs/dt=2026-05-01/x")
    assert len(found(lake)) == 2


def test_a_prefix_without_files_is_a_fault(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    put(LINE, "t/logs/dt=2026-05-01/x")
    assert fault_of(lake).code == "missing_collection"


def test_an_archived_object_is_named(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    lake.put(KEY, ROWS, StorageClass="GLACIER")
    fault = fault_of(lake)
    assert fault.code == "unsupported"
    assert f"{KEY} lies in an archive of S3" in fault.about


def test_an_empty_value_would_find_everybodys(cloud: None) -> None:
    lake = LakeHarness("jsonl")
    lake.put(KEY, ROWS)
    with pytest.raises(StoreFault, match="an empty value finds everybody"):
        found(lake, ME, "")


def test_a_mask_that_the_column_cannot_take_changes_nothing(cloud: None) -> None:
    lake = LakeHarness("parquet")
    content = parquet(id=["a"], owner=[ME], n=[1])
    put(content)
    with pytest.raises(StoreFault, match=r"unsupported: shop\.log: .* `n` that cannot be masked so"):
        erase(lake, masks={"n": "redacted"})
    assert got() == content


# -- retention -------------------------------------------------------------------------------------


def expiring(layout: str) -> LakeHarness:
    lake = LakeHarness("jsonl")
    options = {**lake.collection.options, "partition": {"layout": layout, "field": "at"}}
    lake.collection = replace(lake.collection, options=options, retention={"duration": "P90D", "from": "at"})
    return lake


@pytest.mark.parametrize(
    ("layout", "before", "expired"),
    [
        ("dt=%Y-%m-%d", datetime(2026, 5, 3, tzinfo=UTC), 2),
        ("year=%Y/month=%m", datetime(2026, 5, 31, tzinfo=UTC), 4),
        ("year=%Y/month=%m", datetime(2026, 6, 1, tzinfo=UTC), 5),
        ("y=%Y", datetime(2026, 12, 31, tzinfo=UTC), 0),
        ("y=%Y", datetime(2027, 1, 1, tzinfo=UTC), 12),
        ("d=%d/m=%m/y=%Y", datetime(2026, 5, 3, tzinfo=UTC), 2),
    ],
)
def test_only_partitions_that_are_over_expire(
    cloud: None, layout: str, before: datetime, expired: int
) -> None:
    lake = expiring(layout)
    client().put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    days = "%d" in layout
    moments = [
        datetime(2026, 5, n, tzinfo=UTC) if days else datetime(2026, n, 1, tzinfo=UTC) for n in range(1, 13)
    ]
    for at in moments:
        for _ in range(2):
            lake.put(f"t/log/{at.strftime(layout)}/{at:%m%d}", ROWS)
    went: list[str] = []
    after: Any = None
    while True:
        page = lake.store.expired(lake.collection, before, after, 3)
        assert len(page.records) <= 3
        lake.store.erase(lake.collection, [r.values for r in page.records], {})
        went += [r.values[OBJECT] for r in page.records]
        after = page.after
        if after is None:
            break
    assert len(went) == expired
    left = {v["Key"] for v in client().list_object_versions(Bucket="lake").get("Versions", ())}
    assert len(left) == 12 - expired
    assert not left & set(went)


def test_a_lake_without_partitions_by_its_time_is_not_swept(cloud: None) -> None:
    lake = expiring("dt=%Y-%m-%d")
    lake.collection = replace(lake.collection, retention={"duration": "P90D", "from": "seen"})
    with pytest.raises(StoreFault, match="missing_index"):
        lake.store.expired(lake.collection, datetime(2026, 5, 3, tzinfo=UTC), None, 3)


def test_a_date_that_there_is_not_is_named(cloud: None) -> None:
    lake = expiring("dt=%Y-%m-%d")
    lake.put("t/log/dt=2026-02-30/x", ROWS)
    with pytest.raises(StoreFault, match=r"t/log/dt=2026-02-30/x: no date in its folder"):
        lake.store.expired(lake.collection, datetime(2026, 5, 3, tzinfo=UTC), None, 3)
