"""The bundle: the same bytes however often it is put aside, safe names, what was gathered and no more."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from moto.s3 import models as moto_s3

from dsr.bundle import upload as upload_module
from dsr.bundle.archive import Archive
from dsr.bundle.build import BundleBuilder, _Progress
from dsr.bundle.datafiles import Table
from dsr.bundle.names import safe_name
from dsr.bundle.page import render_index, replaced_in
from dsr.bundle.upload import Upload, UploadState, part_size
from dsr.bundling import bundle
from dsr.case import Case, State
from dsr.datamap.plan import Collection, Field, Plan
from dsr.gathering import Gathering
from dsr.language import Words
from dsr.redaction.findings import Decisions
from dsr.redaction.own import Own
from dsr.redaction.screen import Screen
from dsr.stores.base import Original, Page, Record
from tests.conftest import REGION
from tests.unit import world
from tests.unit.test_gathering import Fate, Killed, Memory, Shelves, _deadly, _endless, a_case
from tests.unit.world import ADA, BUNDLES, Context, World, collection, compiled, store

MADE_AT = datetime(2026, 3, 2, 12, tzinfo=UTC)

# -- names of files --------------------------------------------------------------------------------

# What strangers call their files: everything that steers a computer, and the letters around it.
NASTY = st.text(
    st.sampled_from(
        list('aAbé王/\\.. :*?"<>|~-_$^\0\n\t\r\x7f\u202e\u2066\u200b\u2028\ufeff\ue000\ud800İßſ¹\u0301')
    )
    | st.characters(),
    max_size=40,
)
KEYS = NASTY | st.sampled_from(
    [
        *("", "/", "..", "../../etc/passwd", "...", ".", " ", "a/b/", "..\\..\\x.exe", "C:\\x", "a\0b"),
        *(
            "con",
            "CON.txt",
            "con .txt",
            "Con. txt",
            "nul.",
            "LPT9.tar.gz",
            "com\u00b9",
            "CONIN$",
            "aux/",
            "prn ",
        ),
        *("x" * 300, "x" * 300 + ".png", "王" * 120 + ".png", "a." + "b" * 300, "a." + " " * 30 + "b"),
        *("photo\u202egnp.exe", "\u202dx", "a\u2028b", ".bashrc", "-rf", "é" * 130, "e\u0301" * 130),
    ]
)
WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?")


@given(st.lists(KEYS, min_size=1, max_size=12))
@settings(max_examples=300)
def test_names_steer_nobodys_computer_and_are_never_the_same(keys: list[str]) -> None:
    taken: set[str] = set()
    names = [safe_name(key, taken) for key in keys]
    for name in names:
        assert name
        assert not set(name) & set('/\\<>:"|?*')
        assert name.strip(" .") == name, "Windows takes dots and spaces off the end, and .. leads upwards"
        assert not WINDOWS.fullmatch(name)
        assert len(name.encode()) <= 255, "what most file systems hold"
        for letter in name:
            assert unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"), repr(name)
    assert len({unicodedata.normalize("NFC", n).casefold() for n in names}) == len(names)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("pictures/42/me.png", "me.png"),
        ("Ünïcode 王小明's file.tar.gz", "Ünïcode 王小明's file.tar.gz"),
        ("uploads/photo\u202egnp.exe", "photo_gnp.exe"),
        ("a/b/", "b"),
        ("..", "file"),
        ("con.png", "_con.png"),
        ("console.png", "console.png"),
        (".bashrc", "bashrc"),
    ],
)
def test_what_is_harmless_keeps_its_name(key: str, name: str) -> None:
    assert safe_name(key, set()) == name


def test_clashes_get_a_number_before_the_ending() -> None:
    taken: set[str] = set()
    names = [safe_name(key, taken) for key in ("1/a.png", "2/a.png", "3/A.PNG", "a-2.png", "a")]
    assert names == ["a.png", "a-2.png", "A-3.PNG", "a-2-2.png", "a"]


def test_many_files_of_one_name_take_their_time_but_no_square_of_it() -> None:
    taken: set[str] = set()
    names = {safe_name(f"{n}/original.png", taken) for n in range(2000)}
    assert len(names) == 2000


# -- parts -------------------------------------------------------------------------------------------


def test_parts_keep_to_what_s3_allows_up_to_its_largest_object() -> None:
    sizes = [part_size(n) for n in range(1, 10_001)]
    assert min(sizes) >= 5 * 2**20
    assert max(sizes) <= 5 * 2**30
    assert sum(sizes) >= 5 * 10**12
    assert sizes == sorted(sizes)
    # A part is what memory holds: the least for as much as a zip has, and little for 50 GB in one.
    held = list(itertools.accumulate(sizes))
    assert {size for size, so_far in zip(sizes, held, strict=True) if so_far <= 10 * 10**9} == {5 * 2**20}
    assert max(size for size, so_far in zip(sizes, held, strict=True) if so_far <= 50 * 10**9) <= 40 * 2**20


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Members with a secret in a list, their pictures with originals, notes by reference."""
    secret = "disclose: never, reason: it would let others in"
    members = collection(
        "members",
        {
            "id": "",
            "email": "identity: {is: email, normalise: lower, verified: true}",
            "sub": "proves: sign_in",
            "sign_ins.token": secret,
        },
        "account: id",
    )
    pictures = collection(
        "pictures",
        {"object_key": "", "member": "references: a.members.id"},
        "key_template: 'p/{member}/'",
        "match: prefix",
        table=False,
    )
    return compiled(
        tmp_path_factory.mktemp("map"),
        store("a", members, collection("notes", {"note": "", "member": "references: a.members.id"})),
        store("b", collection("entries", {"entry": "", "note": "references: a.notes.note"})),
        store("files", pictures, kind="s3", connection="bucket: pictures"),
    )


@pytest.fixture(scope="module")
def here(shared_cloud: None, plan: Plan) -> Iterator[World]:
    with world.opened(plan) as opened:
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket="pictures")
        s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
        yield opened


SMALL = 2**16  # in place of the least that S3 takes for a part that is not the last, in moto as well


@given(chunks=st.lists(st.integers(0, 3 * SMALL), max_size=5), cuts=st.sets(st.integers(0, 5)))
@settings(max_examples=12)
def test_an_upload_put_aside_anywhere_is_the_object(here: World, chunks: list[int], cuts: set[int]) -> None:
    content = [bytes([n + 1]) * size for n, size in enumerate(chunks)]
    with (
        mock.patch.object(upload_module, "LEAST_PART", SMALL),
        mock.patch.object(moto_s3, "S3_UPLOAD_PART_MIN_SIZE", SMALL),
    ):
        upload = Upload.begin(BUNDLES, "x")
        for n, chunk in enumerate(content):
            if n in cuts:
                state = upload.pause()
                kept = json.loads(json.dumps(vars(state) | {"rest": state.rest.hex()}))
                upload = Upload(BUNDLES, "x", UploadState(**kept | {"rest": bytes.fromhex(kept["rest"])}))
                assert upload.is_open()
            upload.write(chunk)
            assert upload.tell() == sum(chunks[: n + 1])
        upload.finish()
    assert not upload.is_open()
    made = boto3.client("s3", region_name=REGION).get_object(Bucket=BUNDLES, Key="x")["Body"].read()
    assert hashlib.sha256(made).digest() == hashlib.sha256(b"".join(content)).digest()


def test_a_new_upload_throws_away_what_was_left_half_done(here: World) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    first = Upload.begin(BUNDLES, "y/a.zip")
    other = s3.create_multipart_upload(Bucket=BUNDLES, Key="z/b.zip")["UploadId"]
    second = Upload.begin(BUNDLES, "y/a.zip")
    assert not first.is_open()
    assert second.is_open()
    left = {u["UploadId"] for u in s3.list_multipart_uploads(Bucket=BUNDLES)["Uploads"]}
    assert left == {second.state.upload_id, other}


# -- the archive -------------------------------------------------------------------------------------


class Bytes(io.RawIOBase):
    """An upload in memory: can be written to and tells where it is, nothing else."""

    def __init__(self, content: bytes = b"", begins_at: int = 0) -> None:
        self.content, self.begins_at, self.finished = bytearray(content), begins_at, False

    def write(self, content: Any) -> int:
        self.content += content
        return len(content)

    def tell(self) -> int:
        return self.begins_at + len(self.content)

    def seek(self, *_: Any) -> int:
        raise AttributeError("seek")

    def flush(self) -> None:
        """Nothing to do."""

    def finish(self) -> None:
        self.finished = True


MEMBERS: list[tuple[str, list[bytes], bool, int]] = [
    ("data/a/members.jsonl", [b'{"a": 1}\n', b'{"b": 2}\n' * 5000], True, 0),
    ("files/a/empty.bin", [], False, 0),
    ("files/a/王小明.png", [b"\x89PNG", b"\0" * 70_000], False, 0),
    ("files/a/large.bin", [b"as if it were large"], False, 2**31),
    ("data/a/nothing.jsonl", [], True, 0),
    ("index.html", ["<p>é</p>".encode()], True, 0),
]


def written(archive: Archive, members: list[tuple[str, list[bytes], bool, int]]) -> None:
    for path, chunks, compress, size in members:
        content = b"".join(chunks)
        member = archive.add(path, iter(chunks), compress, size)
        assert (member.path, member.size) == (path, len(content))
        assert member.sha256 == hashlib.sha256(content).hexdigest()


def uninterrupted() -> bytes:
    upload = Bytes()
    archive = Archive(upload)  # type: ignore[arg-type]
    written(archive, MEMBERS)
    archive.finish()
    assert upload.finished
    return bytes(upload.content)


@pytest.mark.parametrize("boundary", range(len(MEMBERS) + 1))
def test_put_aside_at_any_member_it_becomes_the_same_bytes(boundary: int) -> None:
    first = Bytes()
    archive = Archive(first)  # type: ignore[arg-type]
    written(archive, MEMBERS[:boundary])
    directory = json.loads(json.dumps(archive.pause()))
    second = Bytes(bytes(first.content))
    del archive
    archive = Archive(second, directory)  # type: ignore[arg-type]
    written(archive, MEMBERS[boundary:])
    archive.finish()
    assert bytes(second.content) == uninterrupted()


@given(st.sets(st.integers(0, len(MEMBERS))))
@settings(max_examples=20)
def test_and_however_often(boundaries: set[int]) -> None:
    upload = Bytes()
    archive = Archive(upload)  # type: ignore[arg-type]
    for n, member in enumerate(MEMBERS):
        if n in boundaries:
            upload = Bytes(bytes(upload.content))
            archive = Archive(upload, archive.pause())  # type: ignore[arg-type]
        written(archive, [member])
    archive.finish()
    assert bytes(upload.content) == uninterrupted()


def check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
    unzip = shutil.which("unzip")
    if unzip:
        done = subprocess.run([unzip, "-tq", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", [["unzip", "-tq"], ["7z", "t", "-bso0"], [sys.executable, "-m", "zipfile", "-t"]]
)
def test_the_usual_programs_find_no_fault_with_a_bundle(
    here: World, plan: Plan, tmp_path: Path, command: list[str]
) -> None:
    """Info-ZIP, 7-Zip and Python; of a whole bundle, and of one put aside at each step."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    case = gathered(here, plan)
    for number, ticks in enumerate((float("inf"), 0)):
        here.staging(case).remove("bundle/")
        build(here, plan, case, ticks)
        path = tmp_path / f"{number}.zip"
        path.write_bytes(made(case).fp.getvalue())  # type: ignore[union-attr]
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        path.write_bytes(path.read_bytes()[:-300])
        assert subprocess.run([*command, str(path)], capture_output=True, check=False).returncode


def test_everybody_can_open_it(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(uninterrupted())
    check_zip(path)
    with zipfile.ZipFile(path) as opened:
        assert [i.filename for i in opened.infolist()] == [m[0] for m in MEMBERS]
        for name, chunks, compress, _ in MEMBERS:
            info = opened.getinfo(name)
            assert opened.read(name) == b"".join(chunks)
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr == 0o600 << 16
            assert info.compress_type == (zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)


@pytest.mark.parametrize("pause", [False, True])
def test_members_beyond_four_gigabytes_are_found_again(tmp_path: Path, pause: bool) -> None:
    """A sparse file stands for what came before: offsets need 64 bits, and the directory says so."""
    before = 5 * 2**30
    upload = Bytes(begins_at=before)
    archive = Archive(upload)  # type: ignore[arg-type]
    written(archive, MEMBERS[:3])
    if pause:
        upload = Bytes(bytes(upload.content), before)
        archive = Archive(upload, json.loads(json.dumps(archive.pause())))  # type: ignore[arg-type]
    written(archive, MEMBERS[3:])
    archive.finish()
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.seek(before)
        file.write(upload.content)
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        assert min(i.header_offset for i in opened.infolist()) == before
        assert opened.read("index.html") == "<p>é</p>".encode()


class Huge(bytes):
    """A chunk that counts as more than 2 GiB, so that no test has to write as much."""

    def __len__(self) -> int:
        return 2**31 + 1


def test_a_member_larger_than_said_is_an_error_and_not_a_broken_zip() -> None:
    archive = Archive(Bytes())  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"too large|File size"):
        archive.add("x", [Huge(b"x")], compress=False, size=5)


def test_large_files_and_texts_of_any_length_have_room() -> None:
    archive = Archive(Bytes())  # type: ignore[arg-type]
    assert archive.add("file", [Huge(b"x")], compress=False, size=2**31 + 1).size == 2**31 + 1
    assert archive.add("text", [Huge(b"x")]).size == 2**31 + 1
    archive.finish()


# -- building ----------------------------------------------------------------------------------------

TOKEN = "a-token-nobody-may-see"
ROWS: dict[str, list[dict[str, Any]]] = {
    "a.members": [
        {
            "id": "m1",
            "email": "ada@example.com",
            "sub": "s",
            "sign_ins": [{"by": "x", "token": TOKEN}, {"by": "y"}],
        }
    ],
    "a.notes": [{"note": f"n{n}", "member": "m1", "text": f"<b>ü\u2028{n}</b>"} for n in range(25)],
    "b.entries": [{"entry": "e", "note": "n3"}],
}
PICTURES = {
    "p/m1/a.png": b"first",
    "p/m1/deep/a.png": b"second" * 1000,
    "p/m1/\u202egnp.exe": b"",
    "p/m1/王.jpg": b"3",
}


class Files(Shelves):
    """Pictures: one record per object, with its original."""

    def find(self, collection: Any, way: Any, values: Any, after: Any, whole: bool = True) -> Iterator[Page]:
        s3 = boto3.client("s3", region_name=REGION)
        records = []
        for key in PICTURES:
            head = s3.head_object(Bucket="pictures", Key=key)
            original = Original("pictures", key, head["VersionId"], head["ContentLength"])
            records.append(Record({"object_key": key, "member": values[0]}, original))
        yield Page(records, None)


def gathered(here: World, plan: Plan, rows: dict[str, list[dict[str, Any]]] = ROWS, **fields: Any) -> Case:
    """A case with everything staged, ready to be bundled."""
    s3 = boto3.client("s3", region_name=REGION)
    for key, content in PICTURES.items():
        s3.put_object(Bucket="pictures", Key=key, Body=content)
    case = here.case(State.BUNDLING, outcome="delivered", **fields)
    staging = here.staging(case)
    for visit in plan.visits:
        if case.decisions.get(f"visit:{visit.visit}") == "leave_out":
            continue
        shelves = (Files if visit.store == "files" else Shelves)(rows, _endless([4]), Fate())
        worker = Gathering(plan, case, ADA, visit, staging, shelves, MADE_AT, float("inf"))
        assert worker.run().outcome == "done"
    return case


@pytest.fixture(autouse=True)
def own_role() -> Iterator[None]:
    """The stores' bucket is read under the test's own credentials."""
    with mock.patch(
        "dsr.bundle.build.client_as", lambda _, service: boto3.client(service, region_name=REGION)
    ):
        yield


def build(here: World, plan: Plan, case: Case, ticks: float = float("inf"), most: int = 60) -> int:
    time = itertools.count()
    for _ in range(most):
        ends_at = next(time) + ticks
        builder = BundleBuilder(
            plan,
            case,
            ADA,
            here.staging(case),
            BUNDLES,
            f"bundles/{case.case_id}/x.zip",
            ends_at,
            os.environ["SIGNING_KEYS"],
            lambda: next(time),
        )
        made = builder.run(MADE_AT)
        if made is not None:
            return sum(part["size"] for part in made)
    return pytest.fail("it never came to an end")


def made(case: Case, name: str = "x") -> zipfile.ZipFile:
    s3 = boto3.client("s3", region_name=REGION)
    key = f"bundles/{case.case_id}/{name}.zip"
    return zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=BUNDLES, Key=key)["Body"].read()))


def lines_of(opened: zipfile.ZipFile, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in opened.read(path).split(b"\n") if line]


def test_the_bundle_holds_what_was_gathered_and_says_so(here: World, plan: Plan, tmp_path: Path) -> None:
    case = gathered(here, plan)
    size = build(here, plan, case)
    opened = made(case)
    path = tmp_path / "x.zip"
    path.write_bytes(opened.fp.getvalue())  # type: ignore[union-attr]
    assert path.stat().st_size == size
    check_zip(path)
    manifest = json.loads(opened.read("manifest.json"))
    assert {k: manifest[k] for k in ("case", "map_version", "outcome", "missing")} == {
        "case": case.case_id,
        "map_version": plan.version,
        "outcome": "delivered",
        "missing": [],
    }
    assert {(c["store"], c["collection"]): c["records"] for c in manifest["collections"]} == {
        ("a", "members"): 1,
        ("a", "notes"): 25,
        ("b", "entries"): 1,
        ("files", "pictures"): 4,
    }
    listed = {f["path"] for f in manifest["files"]}
    assert listed | {"manifest.json", "manifest.sig"} == set(opened.namelist())
    assert len(opened.namelist()) == len(set(opened.namelist()))
    for file in manifest["files"]:
        content = opened.read(file["path"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    assert lines_of(opened, "data/a/notes.jsonl") == ROWS["a.notes"]
    [member] = lines_of(opened, "data/a/members.jsonl")
    assert member == {**ROWS["a.members"][0], "sign_ins": [{"by": "x"}, {"by": "y"}]}
    originals = sorted(opened.read(n) for n in opened.namelist() if n.startswith("files/files/"))
    assert originals == sorted(PICTURES.values())
    assert {n for n in opened.namelist() if n.startswith("files/")} == {
        "files/files/a.png", "files/files/a-2.png", "files/files/_gnp.exe", "files/files/王.jpg",
    }  # fmt: skip
    assert not any(TOKEN.encode() in opened.read(n) for n in opened.namelist())


@pytest.mark.parametrize("ticks", [0, 1, 2, 5])
def test_built_in_many_calls_it_is_the_same(here: World, plan: Plan, ticks: int) -> None:
    case = gathered(here, plan)
    # ECDSA draws a number for each signature: all else must be the same, what is signed included.
    with mock.patch("dsr.bundle.build.sign_manifest", lambda manifest, _: hashlib.sha256(manifest).digest()):
        build(here, plan, case)
        whole = made(case).fp.getvalue()  # type: ignore[union-attr]
        here.staging(case).remove("bundle/")
        build(here, plan, case, ticks)
    assert made(case).fp.getvalue() == whole  # type: ignore[union-attr]


def test_a_field_that_is_withheld_withholds_its_files(here: World, plan: Plan) -> None:
    pictures = plan.collections["files.pictures"]
    fields = {**pictures.fields, "content": Field("user.content", "p", "never", "others are in it")}
    closed = replace(
        plan, collections={**plan.collections, "files.pictures": replace(pictures, fields=fields)}
    )
    case = gathered(here, plan)
    build(here, closed, case)
    opened = made(case)
    assert not [n for n in opened.namelist() if n.startswith("files/")]
    assert len(lines_of(opened, "data/files/pictures.jsonl")) == 4
    assert "others are in it" in opened.read("index.html").decode()


def test_what_is_missing_is_said_with_all_that_hangs_on_it(here: World, plan: Plan) -> None:
    left = plan.visit_of("a.notes").visit
    case = gathered(here, plan, decisions={f"visit:{left}": "leave_out"})
    build(here, plan, replace(case, outcome="delivered_in_part"))
    opened = made(case)
    manifest = json.loads(opened.read("manifest.json"))
    assert manifest["missing"] == ["a.notes", "b.entries"]
    page = opened.read("index.html").decode()
    assert "This copy is not complete" in page
    nothing_held = page.partition("hold nothing about you")[2]
    assert "Your notes" not in nothing_held
    assert "Your entries" not in nothing_held, "nobody looked there: it hangs on the notes"


# -- the page ----------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags of a page with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, name) for name, _ in [("", ""), *attrs]}


def page_of(value: str, column: str, key: str) -> str:
    plan = _hand_made()
    notes = [{column: value, "nested": value}]
    files = [["files/a/x.png", key], ["files/a/x.txt", key]]
    tables = {
        "a.notes": Table(records=1, preview=notes),
        "a.files": Table(records=1, preview=[{"object_key": key}], files=files),
    }
    return render_index(plan, a_case(plan), tables, [], MADE_AT)


@given(st.text(), st.text(min_size=1), st.text())
@settings(max_examples=40)
@example("<script>alert(1)</script>", "<img onerror=x>", "\"'><svg onload=x>")
@example("{{ 7*7 }}", "{% raw %}", "&lt;")
def test_no_value_becomes_part_of_the_page(value: str, column: str, key: str) -> None:
    assert Tags(page_of(value, column, key)).found == Tags(page_of("x", "c", "k")).found


def _hand_made() -> Plan:
    notes = Collection(
        "a", "notes", "Your notes", ("id",), (), {"id": Field("user", "p")}, basis="consent",
        retention={"until": "account_deleted"},
    )  # fmt: skip
    files = replace(notes, name="files", options={"key_template": "{id}"})
    return Plan(
        "v",
        {"name": "Shop <&>", "contact": "c", "complaint": "d"},
        {"p": "to serve you"},
        {},
        {},
        {"a.notes": notes, "a.files": files},
        (),
    )


def test_the_page_works_without_network_and_leads_into_the_folder(here: World, plan: Plan) -> None:
    case = gathered(here, plan)
    build(here, plan, case)
    opened = made(case)
    page = opened.read("index.html").decode()
    assert "http://" not in page
    assert "https://" not in page
    scripts = re.findall("<script[^>]*>", page)
    assert scripts == ['<script type="application/json" id="index">', '<script src="viewer/viewer.js">']
    assert "default-src 'none'" in page
    assert "'unsafe" not in page
    links = {unquote(t) for t in re.findall(r'(?:href|src)="([^"#]+)"', page)}
    assert links
    assert links <= set(opened.namelist())
    assert "The first 20 records are shown here" in page
    assert page.count("&lt;b&gt;ü") == 20
    assert "31 records" in page


def test_the_page_tells_what_was_taken_out_and_how_often(plan: Plan) -> None:
    tally = {("text", "email", "rule"): 2, ("text", "email", "agent"): 1, ("content", "review", "agent"): 1}
    replaced = {"a.notes": replaced_in(tally)}
    page = render_index(plan, a_case(plan), {"a.notes": Table(records=1)}, [], MADE_AT, replaced)
    assert "text: email addresses of other people, in 3 places" in page
    assert "content: a file that concerns another person, in 1 place<" in page
    assert "Taken out for others" not in render_index(
        plan, a_case(plan), {"a.notes": Table(records=1)}, [], MADE_AT
    )


def test_the_schema_tells_of_every_data_file(here: World, plan: Plan) -> None:
    case = gathered(here, plan)
    build(here, plan, case)
    opened = made(case)
    package = json.loads(opened.read("datapackage.json"))
    listed = {r["path"]: r["schema"]["fields"] for r in package["resources"]}
    assert listed.keys() == {n for n in opened.namelist() if n.startswith(("data/", "portable/"))}
    assert len({r["name"] for r in package["resources"]}) == len(listed)
    types = {"string": str, "integer": int, "number": float, "object": dict, "array": list}
    for path, fields in listed.items():
        if path.endswith(".jsonl"):
            said = {f["name"]: types[f["type"]] for f in fields}
            for record in lines_of(opened, path):
                assert record.keys() <= said.keys()
                assert all(value is None or isinstance(value, said[name]) for name, value in record.items())
        else:
            header = opened.read(path).decode().split("\r\n")[0]
            assert header == ",".join(f["name"] for f in fields)
    [text] = [f for f in listed["data/a/notes.csv"] if f["name"] == "note"]
    assert text == {
        "name": "note", "type": "string", "category": text["category"], "description": text["description"],
        "provided": False,
    }  # fmt: skip


def test_what_is_never_disclosed_is_named_with_its_reason(here: World, plan: Plan) -> None:
    screen = Screen(plan.collections["a.members"], Own(), Decisions(), print, Words("en"))
    assert screen.take({"sign_ins": [{"token": TOKEN}], "token": "x"}).values == {
        "sign_ins": [{}],
        "token": "x",
    }
    case = gathered(here, plan)
    build(here, plan, case)
    page = made(case).read("index.html").decode()
    assert "sign_ins.token: it would let others in" in page


# -- the step of the workflow ------------------------------------------------------------------------


def call(case: Case, seconds: float = 300) -> str:
    return bundle({"case_id": case.case_id}, Context(seconds))["outcome"]


def test_the_step_makes_the_case_ready_and_removes_what_was_staged(here: World, plan: Plan) -> None:
    case = gathered(here, plan)
    assert call(case) == "done"
    ready = here.book.get(case.case_id)
    assert ready.state is State.READY
    assert ready.expires_at is not None
    assert 13 < (ready.expires_at - datetime.now(UTC)).days + 1 <= 14
    assert ready.bundle["expires_at"] == ready.expires_at.isoformat()
    opened = made(case, case.case_id)
    assert ready.bundle["key"] == f"bundles/{case.case_id}/{case.case_id}.zip"
    assert ready.bundle["size"] == len(opened.fp.getvalue())  # type: ignore[union-attr]
    assert here.objects(world.STAGING, f"cases/{case.case_id}/") == []
    before = here.objects(BUNDLES, f"bundles/{case.case_id}/")
    assert call(case) == "done", "called once more it changes nothing"
    assert here.objects(BUNDLES, f"bundles/{case.case_id}/") == before
    assert here.book.get(case.case_id) == ready


def test_without_time_it_goes_on_step_by_step(here: World, plan: Plan) -> None:
    case = gathered(here, plan)
    outcomes = [call(case, 0) for _ in range(12)]
    assert outcomes == ["continue"] * 11 + ["done"]
    assert lines_of(made(case, case.case_id), "data/a/notes.jsonl") == ROWS["a.notes"]


def test_killed_anywhere_it_still_makes_the_whole_bundle(here: World, plan: Plan) -> None:
    """At every call to AWS in turn; among them the instant between the object and the case that says so."""
    reached = 0
    for number in range(1, 200):
        case = gathered(here, plan) if number % 3 == 1 or number > 60 else None
        if case is None:
            continue
        countdown = [number]
        killer = mock.patch(
            "botocore.client.BaseClient._make_api_call", _deadly(countdown, after=number % 2 == 1)
        )
        with killer:
            for _ in range(40):
                with contextlib.suppress(Killed):
                    if call(case, 0 if number % 4 else 300) == "done":
                        break
            else:
                pytest.fail(f"killed at call {number} it never came to an end")
        if countdown[0] > 0:
            break
        reached = number
        opened = made(case, case.case_id)
        assert opened.testzip() is None
        manifest = json.loads(opened.read("manifest.json"))
        assert sorted(f["path"] for f in manifest["files"]) == sorted(
            set(opened.namelist()) - {"manifest.json", "manifest.sig"}
        )
        assert {c["collection"]: c["records"] for c in manifest["collections"]} == {
            "members": 1, "notes": 25, "entries": 1, "pictures": 4,
        }  # fmt: skip
        assert here.book.get(case.case_id).state is State.READY
    assert reached > 20


def test_an_original_that_is_gone_stops_the_case_for_its_visit_and_the_next_bundle_is_new(
    here: World, plan: Plan
) -> None:
    case = gathered(here, plan)
    for _ in range(6):
        assert call(case, 0) == "continue"
    s3 = boto3.client("s3", region_name=REGION)
    versions = s3.list_object_versions(Bucket="pictures", Prefix="p/m1/")["Versions"]
    for version in versions:
        s3.delete_object(Bucket="pictures", Key=version["Key"], VersionId=version["VersionId"])
    assert call(case) == "needs_attention"
    stopped = here.book.get(case.case_id)
    assert (stopped.state, stopped.resume) == (State.NEEDS_ATTENTION, State.GATHERING)
    [point] = stopped.attention
    assert (point.visit, point.reason) == (plan.visit_of("files.pictures").visit, "malformed_data")
    assert "m1" not in point.about
    assert here.staging(case).get("bundle/progress") is None
    assert made_nothing(case)


def made_nothing(case: Case) -> bool:
    answer = boto3.client("s3", region_name=REGION).list_objects_v2(
        Bucket=BUNDLES, Prefix=f"bundles/{case.case_id}/"
    )
    return not answer.get("Contents")


def test_an_upload_that_expired_while_the_case_stood_still_is_begun_anew(here: World, plan: Plan) -> None:
    case = gathered(here, plan)
    for _ in range(4):
        assert call(case, 0) == "continue"
    s3 = boto3.client("s3", region_name=REGION)
    key = f"bundles/{case.case_id}/{case.case_id}.zip"
    for stale in s3.list_multipart_uploads(Bucket=BUNDLES, Prefix=key)["Uploads"]:
        s3.abort_multipart_upload(Bucket=BUNDLES, Key=key, UploadId=stale["UploadId"])
    while call(case, 0) != "done":
        pass
    assert lines_of(made(case, case.case_id), "data/a/notes.jsonl") == ROWS["a.notes"]


def test_nobody_else_can_be_bundled(here: World, plan: Plan) -> None:
    for state in (State.GATHERING, State.AWAITING_IDENTITY, State.WITHDRAWN, State.READY):
        case = here.case(state)
        assert call(case) == "done"
        assert here.book.get(case.case_id) == case
        assert made_nothing(case)


def test_memory_stays_small_with_a_large_original(here: World, plan: Plan) -> None:
    """An original of 40 MB passes in chunks: at no time is more than one part and a little in memory."""

    class Body:
        def iter_chunks(self, size: int) -> Iterator[bytes]:
            for _ in range(40 * 2**20 // size):
                yield b"\1" * size

    class S3:
        sent = 0

        def head_object(self, **asked: str) -> dict[str, Any]:
            return {"ContentLength": 40 * 2**20, "ETag": '"x"'}

        def get_object(self, **asked: str) -> dict[str, Any]:
            assert asked == {"Bucket": "b", "Key": "x.bin"}
            return {"Body": Body()}

        def upload_part_copy(self, **part: Any) -> dict[str, str]:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "UploadPartCopy")

        def list_multipart_uploads(self, **asked: str) -> dict[str, str]:
            return {}

        def create_multipart_upload(self, **asked: str) -> dict[str, str]:
            return {"UploadId": asked["Key"]}

        def abort_multipart_upload(self, **asked: str) -> None:
            assert asked == {"Bucket": "b", "Key": "k.sums", "UploadId": "k.sums"}

        def upload_part(self, **part: Any) -> dict[str, str]:
            while block := part["Body"].read(2**16):
                self.sent += len(block)
            return {"ETag": "x"}

    s3 = S3()
    builder = BundleBuilder(plan, a_case(plan), ADA, Memory(Fate()), "b", "k", float("inf"), "")  # type: ignore[arg-type]
    original = {"bucket": "b", "object_key": "x.bin", "version": "", "size": 40 * 2**20}
    with (
        mock.patch("dsr.bundle.build.client_as", return_value=s3),
        mock.patch("dsr.bundle.upload.client", return_value=s3),
        mock.patch("dsr.bundle.copying.client", return_value=s3),
    ):
        builder._volumes.upload = Upload("b", "k", UploadState("u"))
        builder._volumes.archive = Archive(builder._volumes.upload)
        tracemalloc.start()
        assert builder._file(plan.collections["files.pictures"], original, "files/x", _Progress())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert s3.sent == 40 * 2**20
    assert peak < 7 * 2**20
