"""The files of one collection: exact lines, tables that give no orders, pages for the viewer."""

import csv
import io
import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsr.bundle import datafiles
from dsr.bundle.archive import Archive
from dsr.bundle.cells import neutral, original
from dsr.bundle.datafiles import SliceWriter, Table
from dsr.bundle.packing import Packed, block_of, content_of
from dsr.datamap.plan import Collection, Field
from tests.unit.test_bundle import Bytes

NOTES = Collection(
    "a", "notes", "Your notes", ("id",), (),
    {"id": Field("user", "p"), "at": Field("user", "p"), "text": Field("user", "p", provided=True),
     "sent.to": Field("user", "p", provided=True)},
    basis="contract", retention={"duration": "P1Y", "from": "at"},
)  # fmt: skip

HOSTILE = st.text(
    st.sampled_from(list("=+-@'\t\r\n;,\"＝ a`${}\\\u2028\u202e<é")) | st.characters(), max_size=8
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HOSTILE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(HOSTILE, inner, max_size=2),
    max_leaves=4,
)
RECORDS = st.lists(
    st.dictionaries(HOSTILE | st.sampled_from(["id", "text", "__proto__"]), VALUES, max_size=4), max_size=12
)


def written(
    records: list[dict[str, Any]], collection: Collection = NOTES, each: int = 5
) -> tuple[Table, zipfile.ZipFile]:
    """The archive of these records, in parts of `each`."""
    upload = Bytes()
    archive = Archive(upload)  # type: ignore[arg-type]
    table = Table()
    parts = [records[n : n + each] for n in range(0, len(records), each)]
    while table.parts < len(parts):
        writer = SliceWriter(archive, collection, table)
        while table.parts < len(parts) and not writer.is_full:
            writer.add(iter(parts[table.parts]))
            table.parts += 1
        for member in writer.finish():
            assert member.path not in {".", ".."}
        table = Table(**json.loads(json.dumps(vars(table))))  # as it is put aside
    archive.finish()
    opened = zipfile.ZipFile(io.BytesIO(bytes(upload.content)))
    assert opened.testzip() is None
    return table, opened


def small(pages: int = 3, records: int = 7) -> Any:
    """Pages and slices of few records."""
    return mock.patch.multiple(datafiles, _PAGE_RECORDS=pages, _SLICE_RECORDS=records)


def lines_of(opened: zipfile.ZipFile, path: str) -> list[Any]:
    return [json.loads(line) for line in opened.read(path).split(b"\n") if line]


def rows_of(opened: zipfile.ZipFile, path: str) -> list[dict[str, str]]:
    text = io.TextIOWrapper(opened.open(path), "utf-8", newline="")
    return list(csv.DictReader(text, strict=True))


def pages_of(opened: zipfile.ZipFile) -> Iterator[list[Any]]:
    """The records of each page, by the rules of a template literal's raw text."""
    names = [n for n in opened.namelist() if n.startswith("viewer/")]
    for number, name in enumerate(names):
        script = opened.read(name).decode(errors="surrogatepass")
        assert name == f"viewer/a/notes/{number}.js"
        begin, end = f'dsr("a.notes",{number},String.raw`', "`);\n"
        assert script.startswith(begin)
        assert script.endswith(end)
        text = script[len(begin) : -len(end)]
        assert "`" not in text
        assert "${" not in text
        yield [json.loads(line) for line in text.split("\n") if line]


@given(RECORDS)
@settings(max_examples=60, deadline=None)
@example([{"text": "`${alert(1)}`"}, {"text": "\\`\\\\${"}, {"text": "\ud800"}])
@example([{"a": "=1"}, {"b": 2}, {"a": -1, "c": [1]}, {"a": True}, {}, {"d": ""}])
def test_all_forms_hold_every_record(records: list[dict[str, Any]]) -> None:
    with small():
        table, opened = written(records)
    assert [r for s in table.slices for r in lines_of(opened, s["jsonl"])] == records
    assert [r for page in pages_of(opened) for r in page] == records
    assert [s["records"] for s in table.slices] == [len(lines_of(opened, s["jsonl"])) for s in table.slices]
    assert sum(table.pages) == table.records == len(records)
    at = 0
    for part in table.slices:
        rows = rows_of(opened, part["csv"])
        assert len(rows) == part["records"] or not any(records[: at + part["records"]]), "no column at all"
        for row, record in zip(rows, records[at:], strict=False):
            told = {original(name): cell for name, cell in row.items()}
            assert told.keys() >= {name.encode(errors="replace").decode() for name in record}
            for name, value in record.items():
                assert told[name.encode(errors="replace").decode()] is not None
                if isinstance(value, str):
                    cell = told[name.encode(errors="replace").decode()]
                    assert original(cell) == value.encode(errors="replace").decode()
        at += part["records"]


@given(HOSTILE)
@example(";\t=1")
@example("\t=1")
@example("''=")
@example("a;'=b")
def test_no_cell_gives_orders_and_all_turn_back(text: str) -> None:
    cell = neutral(text)
    assert original(cell) == text
    for sign in "=+-@\t\r＝＋－＠":
        assert not cell.startswith(sign)
        assert f";{sign}" not in cell
        assert f"\n{sign}" not in cell
        assert f"\t{sign}" not in cell
    if not set(text) & set("=+-@'\t\r\n＝＋－＠"):
        assert cell == text


def test_numbers_stay_numbers_and_words_are_marked() -> None:
    records = [{"n": -1, "f": -0.5, "b": False, "t": "-1", "o": {"x": "=1"}, "nothing": None, "e": ""}]
    table, opened = written(records)
    assert opened.read("data/a/notes.csv").decode() == (
        'n,f,b,t,o,nothing,e\r\n-1,-0.5,false,\'-1,"{""x"":""=1""}",,\r\n'
    )
    assert table.columns == {
        "n": ["integer"], "f": ["number"], "b": ["boolean"], "t": ["string"], "o": ["object"],
        "nothing": [], "e": ["string"],
    }  # fmt: skip


def test_a_field_that_comes_late_has_its_column_in_every_line() -> None:
    records = [{"id": n} for n in range(20)] + [{"id": 20, "late": "x"}]
    with small(pages=4, records=100):
        _, opened = written(records)
    rows = rows_of(opened, "data/a/notes.csv")
    assert [row["id"] for row in rows] == [str(n) for n in range(21)]
    assert [row["late"] for row in rows] == [""] * 20 + ["x"]


def test_what_has_too_many_columns_is_no_table() -> None:
    wide = [{f"field-{n}": n for n in range(10_000)}, {"id": 1}]
    table, opened = written(wide)
    assert not [n for n in opened.namelist() if n.endswith(".csv")]
    assert lines_of(opened, "data/a/notes.jsonl") == wide
    assert len(table.preview[0]) == 12


def test_portable_is_what_the_person_provided_and_only_under_contract_or_consent() -> None:
    records: list[dict[str, Any]] = [
        {"id": 1, "text": "mine", "sent": [{"to": "b@x", "by": "us"}, {"by": "us"}]},
        {"id": 2, "sent": {"by": "us"}},
    ]
    _, opened = written(records)
    assert lines_of(opened, "portable/a/notes.jsonl") == [{"text": "mine", "sent": [{"to": "b@x"}, {}]}]
    _, opened = written(records, replace(NOTES, basis="legitimate_interests"))
    assert "portable/a/notes.jsonl" not in opened.namelist()


def test_days_are_counted_and_nonsense_is_none() -> None:
    days = [
        "2026-03-02T10:00:00+01:00",
        "2026-03-02",
        "2026-02-28T00:00:00Z",
        "=1",
        "9999999999",
        "2026-99-01",
    ]
    table, _ = written([{"at": day} for day in days] + [{"at": 5}, {"at": None}])
    assert table.days == {"2026-03-02": 2, "2026-02-28": 1}


def test_the_preview_is_short_whatever_comes() -> None:
    table, _ = written([{"text": "x" * 100_000, "s": "\ud800"}] * 30, each=50)
    assert len(table.preview) == datafiles.PREVIEW
    assert len(json.dumps(table.preview)) < 20_000


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_blocks_stand_by_themselves(contents: list[bytes]) -> None:
    packed = Packed()
    for content in contents:
        packed.add(content)
    turned = Packed()
    for content, block in reversed(list(zip(contents, packed.blocks, strict=True))):
        assert content_of(block) == content
        turned.add(content, block)
    upload = Bytes()
    archive = Archive(upload)  # type: ignore[arg-type]
    archive.add_packed("x", packed)
    archive.add_packed("y", turned)
    archive.add_packed("nothing", Packed())
    archive.finish()
    opened = zipfile.ZipFile(io.BytesIO(bytes(upload.content)))
    assert opened.testzip() is None
    assert opened.read("x") == b"".join(contents)
    assert opened.read("y") == b"".join(reversed(contents))
    assert opened.read("nothing") == b""


def test_what_two_files_share_is_compressed_once() -> None:
    noise = random.Random(1)
    records = [{"id": n, "text": noise.randbytes(60).hex()} for n in range(3000)]
    with mock.patch.object(datafiles, "block_of", side_effect=block_of) as again:
        _, opened = written(records)
    assert again.call_count == 0
    lines = opened.getinfo("data/a/notes.jsonl").compress_size
    pages = sum(i.compress_size for i in opened.infolist() if i.filename.startswith("viewer/"))
    assert abs(lines - pages) < 500


@pytest.mark.parametrize("held", [10_000, 100_000])
def test_memory_ends_a_slice(held: int) -> None:
    noise = random.Random(2)
    records = [{"id": n, "text": noise.randbytes(60).hex()} for n in range(4000)]
    with mock.patch.object(datafiles, "_HELD_BYTES", held):
        table, opened = written(records, each=50)
    assert [r["id"] for s in table.slices for r in lines_of(opened, s["jsonl"])] == list(range(4000))
    assert [s["jsonl"] for s in table.slices][:2] == ["data/a/notes.jsonl", "data/a/notes-2.jsonl"]
