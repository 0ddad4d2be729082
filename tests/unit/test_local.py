"""The pure parts of the local cloud: what it says of a taken port, how it reads pages, what it checks."""

import base64
import hashlib
import json
import os
import socket
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import processes
from infra.local.__main__ import main
from infra.local.browser import _page
from infra.local.checks import Needles, manifest_faults, read_bundle, record_faults
from infra.local.home import Home, LocalCloudError

ENTRIES = ("events", "entries")
PICTURES = ("pictures", "pictures")
ENTRY = {
    "entry_id": UUID("12345678-1234-5678-1234-567812345678"),
    "entered_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "fee": Decimal("7.50"),
    "name": "Ørsted O'Brien",
    "mailing_address": ["1 Inkwell Rise", "US"],
    "contract_number": None,
}
PICTURE = {"object_key": "pictures/m-1/a.png", "size": 3, "sha256": hashlib.sha256(b"png").hexdigest()}
TRUTH = {ENTRIES: [ENTRY], PICTURES: [PICTURE]}


def as_line(record: dict) -> dict:
    """The record as a bundle holds it: ids, moments and numbers as text."""
    moment = record["entered_at"].astimezone(timezone(timedelta(hours=2)))
    return record | {"entry_id": str(record["entry_id"]), "entered_at": moment.isoformat(), "fee": "7.5"}


def bundle_at(folder: Path, entries: list[dict], original: bytes = b"png", **manifest: object) -> Path:
    """A bundle with these entries and one original; `manifest` overrides what its manifest says."""
    picture = {"object_key": PICTURE["object_key"], "size": len(original), "content_type": "image/png"}
    members = {
        "data/events/entries.jsonl": "".join(json.dumps(line) + "\n" for line in entries).encode(),
        "data/pictures/pictures.jsonl": json.dumps(picture).encode(),
        "files/pictures/a.png": original,
        "index.html": b"<p>hello",
    }
    said = {
        "collections": [
            {"store": "events", "collection": "entries", "records": len(entries)},
            {"store": "pictures", "collection": "pictures", "records": 1},
        ],
        "files": [
            {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in members.items()
        ],
    } | manifest
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "manifest.json": json.dumps(said).encode()}.items():
            archive.writestr(name, content)
    return path


def test_a_true_bundle_has_no_faults(tmp_path: Path) -> None:
    bundle = read_bundle(bundle_at(tmp_path, [as_line(ENTRY)]))
    assert record_faults(TRUTH, bundle) == []
    assert manifest_faults(bundle) == []


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], ["events.entries: missing"]),
        ([as_line(ENTRY), as_line(ENTRY)], ["events.entries: not this person's"]),
        (
            [as_line(ENTRY) | {"name": "Orsted O'Brien"}],
            ["events.entries: missing", "events.entries: not this"],
        ),
        ([as_line(ENTRY) | {"fee": "7.51"}], ["events.entries: missing", "events.entries: not this"]),
        ([as_line(ENTRY) | {"secret": "x"}], ["events.entries: missing", "events.entries: not this"]),
        ([as_line(ENTRY) | {"entered_at": "soon"}], ["events.entries: missing", "events.entries: not this"]),
    ],
)
def test_every_difference_is_told(tmp_path: Path, entries: list[dict], told: list[str]) -> None:
    faults = record_faults(TRUTH, read_bundle(bundle_at(tmp_path, entries)))
    assert len(faults) == len(told)
    assert all(fault.startswith(start) for fault, start in zip(faults, told, strict=True))


def test_a_changed_original_is_told(tmp_path: Path) -> None:
    faults = record_faults(TRUTH, read_bundle(bundle_at(tmp_path, [as_line(ENTRY)], original=b"gif")))
    assert [fault.split(" with ")[0] for fault in faults] == [
        "pictures.pictures: no file of 3 bytes",
        "pictures.pictures: a file of 3 bytes that is not this person's",
    ]


def test_a_collection_that_nobody_expects_is_told(tmp_path: Path) -> None:
    bundle = read_bundle(bundle_at(tmp_path, [as_line(ENTRY)]))
    assert record_faults({PICTURES: [PICTURE]}, bundle)[0].startswith("events.entries: not this person's")


def test_a_wrong_manifest_is_told(tmp_path: Path) -> None:
    listed = [
        {"path": "index.html", "size": 8, "sha256": "0" * 64},
        {"path": "gone", "size": 1, "sha256": ""},
    ]
    counted = [{"store": "events", "collection": "entries", "records": 2}]
    bundle = read_bundle(bundle_at(tmp_path, [as_line(ENTRY)], files=listed, collections=counted))
    assert manifest_faults(bundle) == [
        "data/events/entries.jsonl is in the bundle and not in its manifest",
        "data/pictures/pictures.jsonl is in the bundle and not in its manifest",
        "files/pictures/a.png is in the bundle and not in its manifest",
        "gone is in the manifest and not in the bundle",
        "index.html has another size or SHA-256 than its manifest says",
        "events.entries: 2 records in the manifest, 1 held",
    ]


NAME = "Zoë O'Hara & Söhne"


@pytest.mark.parametrize(
    "text",
    [
        NAME,
        f"... {NAME.upper()} ...",
        json.dumps({"name": NAME}),
        json.dumps({"body": json.dumps({"name": NAME})}),
        f"?name={quote(NAME)}",
        f"?name={quote(NAME).replace('%20', '+')}",
    ],
)
def test_a_value_is_found_however_it_is_written(text: str) -> None:
    assert Needles([NAME, "someone.else@example.com"]).in_text(text) == {NAME}


@given(before=st.binary(max_size=8), after=st.binary(max_size=8), urlsafe=st.booleans())
def test_a_value_is_found_within_base64_at_any_alignment(before: bytes, after: bytes, urlsafe: bool) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    value = "oriel.vantongeren@example.com?>"
    assert Needles([value]).in_text(encode(before + value.encode() + after).decode()) == {value}


@given(st.lists(st.text("abAB", min_size=1, max_size=6), max_size=5), st.text("abAB ", max_size=12))
def test_exactly_the_values_that_a_text_holds_are_found(values: list[str], text: str) -> None:
    found = {value.casefold() for value in Needles(values).in_text(text)}
    assert found == {v.casefold() for v in values if v.casefold() in text.casefold()}


def test_harmless_text_holds_nothing() -> None:
    text = json.dumps({"case_id": "K7Q2-9FXM-3TWD-5BHP", "store": "members", "records": 12})
    assert Needles([NAME, "oriel@example.com", "+447700900417"]).in_text(text) == set()


def test_a_taken_port_is_told_with_who_has_it_and_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = processes.port_taken(port)
    assert told is not None
    assert told.startswith(f"port {port} is in use by ")
    assert f"(process {os.getpid()})" in told
    assert "PORT=" in told
    assert processes.port_taken(port) is None


def test_notes_survive_being_cut_off(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.take_note("held", {"people": 3})
    assert home.note("held") == {"people": 3}
    (tmp_path / "held.json").write_text('{"people": ')
    assert home.note("held") == {}
    home.take_note("held", {})
    assert not (tmp_path / "held.json").exists()


def test_a_secret_stays_the_same_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.secret("dsr") == home.secret("dsr") != home.secret("postgres")
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_one_command_at_a_time(tmp_path: Path) -> None:
    with Home(tmp_path).alone(), pytest.raises(LocalCloudError, match="at work"), Home(tmp_path).alone():
        pass


def test_erasing_a_home_leaves_only_its_lock(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.alone():
        home.take_note("held", {"people": 3})
        home.log("sam").write_text("x")
        home.erase()
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_page_is_read_as_a_browser_shows_it() -> None:
    page = _page(
        "http://x.localhost/prod/",
        200,
        {"content-type": "text/html; charset=utf-8"},
        b"""<style>p {}</style><a href="/help">Help</a>
        <form method="post" action="/prod/requests"><input type="hidden" name="submission" value="t&amp;1">
        <input type="radio" name="right" value="access" checked>
        <input type="radio" name="right" value="deletion">
        <textarea name="other_emails">a</textarea>
        <select name="country"><option value="">-</option>
        <option value="FR" selected>France</option></select>
        <button>Send it</button></form>""",
    )
    form = page.form("submission", "right", action="/requests")
    assert form.method == "POST"
    assert form.fields == {"submission": "t&1", "right": "access", "other_emails": "a", "country": "FR"}
    assert form.choices == {"right": ["access", "deletion"], "country": ["", "FR"]}
    assert form.buttons == ["Send it"]
    assert page.links == ["/help"]
    assert "p {}" not in page.text
    with pytest.raises(LocalCloudError, match="no form with the fields code"):
        page.form("code")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--people", "abc"], "from 1 to 1,000,000 people"),
        (["--people", "0"], "from 1 to 1,000,000 people"),
        (["--people", "-3"], "people"),
        (["--people", "2000000000"], "from 1 to 1,000,000 people"),
        (["--port", "99999"], "a port is a number from 1024 to 65535"),
        (["--port", "80"], "a port is a number from 1024 to 65535"),
        (["--port", "abc"], "a port is a number from 1024 to 65535"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_started(
    asked: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("up", "demo"):
        with pytest.raises(SystemExit) as ended:
            main([command, *asked])
        assert ended.value.code == 2
        assert told in capsys.readouterr().err
