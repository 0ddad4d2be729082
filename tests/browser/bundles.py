"""Unzipped bundles to open in a browser: the sample community's map, records as a test gives them."""

import io
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from dsr.bundle.archive import Archive
from dsr.bundle.datafiles import FILE, SliceWriter, Table
from dsr.bundle.page import render_index, script
from dsr.case import Case, Right, State
from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan
from tests.unit.test_bundle import Bytes

MADE_AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
MAP = Path(__file__).parents[2] / "infra/craftzone/datamap.yaml"
VALUES = {"account": "000000000000", "region": "us-east-1", "user_pool": "us-east-1_x"}
VALUES |= {"mailing": "https://hooks.letterbird.example/dsr", "revocation": "https://accounts.example/revoke"}
Records = dict[str, Iterable[dict[str, Any]]]


@cache
def sample_plan() -> Plan:
    """The sample community's."""
    return compile_file(MAP, VALUES)


def unzipped(
    folder: Path, records: Records, files: dict[str, bytes] | None = None, language: str = "en"
) -> Path:
    """A bundle of these records (by collection path), unzipped; returns its page.

    `files` by path; a record's own field names its file.
    """
    plan = sample_plan()
    upload = Bytes()
    archive = Archive(upload)  # type: ignore[arg-type]
    tables: dict[str, Table] = {}
    for path, held in records.items():
        tables[path] = Table()
        writer = SliceWriter(archive, plan.collections[path], tables[path])
        writer.add(held)
        writer.finish()
    archive.add("viewer/viewer.js", [script()])
    case = Case(
        "K7Q2-9FXM-3TWD-5BHP", Right.ACCESS, State.BUNDLING, 1, MADE_AT, MADE_AT, MADE_AT, ("gdpr",),
        plan.version, "", b"", (), language=language,
    )  # fmt: skip
    for path, content in (files or {}).items():
        archive.add(path, [content])
        store = path.split("/")[1]
        for name, table in tables.items():
            if name.startswith(f"{store}."):
                table.files.append([path, path.rsplit("/", 1)[-1]])
    archive.add("index.html", [render_index(plan, case, tables, [], MADE_AT).encode()])
    archive.finish()
    with zipfile.ZipFile(io.BytesIO(bytes(upload.content))) as opened:
        opened.extractall(folder)
    return folder / "index.html"


def with_file(record: dict[str, Any], path: str) -> dict[str, Any]:
    """The record of a file."""
    return {**record, FILE: path}
