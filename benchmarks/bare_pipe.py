"""What a million rows are measured against: `python -m benchmarks.bare_pipe ROOT`.

The least that hands over one person's rows: the database makes the JSON (COPY of row_to_json), we compress it
into a zip. Nothing is sealed, checked, redacted or resumable. Says in JSON what it took.
"""

import json
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import machine
from benchmarks.one_case import MEMBER

_COPY = "COPY (SELECT row_to_json(c) FROM connections c WHERE member_id = {}) TO STDOUT"


def pipe(folder: Path) -> None:
    """Pipe the rows of the person into `folder`/pipe.zip."""
    secret = json.loads((folder / "secret.json").read_text())
    with machine.spent() as taken:
        connection = psycopg.connect(
            host=secret["host"],
            port=secret["port"],
            dbname=secret["dbname"],
            user=secret["username"],
            password=secret["password"],
        )
        with (
            connection,
            connection.cursor().copy(sql.SQL(_COPY).format(sql.Literal(MEMBER))) as copy,
            zipfile.ZipFile(folder / "pipe.zip", "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("connections.jsonl", "w", force_zip64=True) as member,
        ):
            for block in copy:
                member.write(block)
    machine.say(asdict(taken) | {"peak": machine.peak_memory()})


if __name__ == "__main__":
    pipe(Path(sys.argv[1]))
