"""A million rows of one person in one SQL table, gathered into sealed staging and made into a bundle.

Measured: the SQL worker's own function from the first query to the last sealed part, and the bundle's
function from the first part to the finished zip, each in a process of its own, AWS answered by the stand-in
(so without network). Each row has a text that is searched for others' addresses and numbers, and one in a
hundred holds some. Against the least that hands the same rows over: `COPY` of each row as JSON, made by the
database, piped into a zip writer. They take turns on the same database. The ratio is of the clock, since part
of the work is the database's; processor time of our process and the peak of its memory stand beside it.
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from psycopg import sql

from benchmarks import machine
from benchmarks.figures import Figure, figure
from benchmarks.one_case import ADDRESS, MEMBER
from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, to_json
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "rows"
STAGED_BUDGET = 2.0  # × the bare pipe (budgets of the design)
MEMORY_BUDGET = 256  # MB
ROWS_OF_OTHERS = 0.1  # of the person's: so that the index has something to tell apart

_SCHEMA = """
CREATE TABLE people (member_id text PRIMARY KEY, email text NOT NULL);
CREATE INDEX ON people (lower(email));
CREATE TABLE connections (
    connection_id bigint PRIMARY KEY, member_id text NOT NULL, at timestamptz NOT NULL, ip inet NOT NULL,
    mobile_network text, device jsonb NOT NULL, session_token text NOT NULL, remark text NOT NULL
)
"""
_ROWS = """
INSERT INTO connections SELECT
    n, CASE WHEN n %% {every} = 0 THEN 'm-' || n ELSE {member} END,
    timestamptz '2025-09-01' + n * interval '13 seconds',
    ('10.' || n %% 250 || '.' || n / 250 %% 250 || '.' || n / 62500 %% 250)::inet,
    CASE WHEN n %% 3 = 0 THEN 'Süd Mobil "' || n %% 7 || '"' END,
    jsonb_build_object('model', 'Graver ' || n %% 90, 'os', 'Android ' || n %% 5, 'app', '4.' || n %% 30),
    md5(n::text),
    CASE WHEN n %% 100 = 0 THEN 'Shared with visitor' || n || '@example.net, call 07700 900' || 100 + n %% 900
         ELSE 'Connection ' || n || ' ended after ' || n %% 3600 || ' seconds without a fault' END
FROM generate_series(1, {rows}) AS n
"""


def measure(rows: int, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures for `rows` rows, each measured `rounds` times."""
    shutil.rmtree(ROOT, ignore_errors=True)
    home = Home(ROOT / "home")
    server = postgres.start(home)
    try:
        held = fill(server, rows)
        turns, peaks, calls = machine.Turns(), dict[str, list[int]](), dict[str, int]()
        for number in range(rounds):
            for name, result in _round(server, held):
                turns.note(name, result["wall"], result["cpu"])
                peaks.setdefault(name, []).append(result["peak"])
                calls |= {name: sum(result.get("calls", {}).values())}
                say(f"round {number + 1}: {name} {result['wall']:.1f} s, cpu {result['cpu']:.1f} s")
    finally:
        postgres.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    return list(_figures(held, turns, peaks))


def _ship(folder: Path) -> Plan:
    """Compile the benchmarks' map and ship it in `folder`, as the layer does."""
    compiled = compile_file(
        Path(__file__).with_name("datamap.yaml"), {"account": "0" * 12, "region": "us-east-1"}
    )
    package = folder / "dsr_plan"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "plan.json").write_text(to_json(compiled))
    return compiled


def environment(folder: Path) -> dict[str, str]:
    """Of a process that works on a case with the plan shipped in `folder`."""
    root = Path(__file__).parent.parent
    return machine.compiled_apart(
        PYTHONPATH=f"{folder}:{root / 'functions'}:{root}", POWERTOOLS_SERVICE_NAME="dsr"
    )


def fill(server: postgres.Server, rows: int) -> int:
    """Make the tables anew; returns how many rows are the person's."""
    every = round((1 + ROWS_OF_OTHERS) / ROWS_OF_OTHERS)
    total = round(rows * every / (every - 1))
    with server.connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS connections, people")
        connection.execute(_SCHEMA)
        connection.execute("INSERT INTO people VALUES (%s, %s)", (MEMBER, ADDRESS))
        values = {"every": sql.Literal(every), "member": sql.Literal(MEMBER), "rows": sql.Literal(total)}
        connection.execute(sql.SQL(_ROWS.replace("%%", "%")).format(**values))
        connection.execute("CREATE INDEX ON connections (member_id, connection_id)")
        connection.execute("VACUUM ANALYZE connections")
        found = connection.execute(
            "SELECT count(*) FROM connections WHERE member_id = %s", (MEMBER,)
        ).fetchone()
    assert found is not None
    return int(found[0])


def new_case(server: postgres.Server, folder: Path) -> tuple[Path, Plan]:
    """An empty `folder` for the stand-in; returns where the plan is shipped, and the plan."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    secret = {"engine": "postgres", "host": postgres.HOST, "port": server.port, "dbname": "postgres"}
    secret |= {"username": postgres.OWNER, "password": server.password}
    (folder / "secret.json").write_text(json.dumps(secret))
    return folder / "plan", _ship(folder / "plan")


def _round(server: postgres.Server, held: int) -> list[tuple[str, machine.Result]]:
    """The bare pipe, the gathering, the bundle, in turn. Raises BenchmarkError unless all rows came."""
    folder = ROOT / "case"
    shipped, compiled = new_case(server, folder)
    visit = next(v.visit for v in compiled.visits if "connections" in v.collections)
    ran = []
    for name, arguments in (
        ("pipe", ["-m", "benchmarks.bare_pipe", str(folder)]),
        ("staged", ["-m", "benchmarks.one_case", visit, str(folder)]),
        ("bundle", ["-m", "benchmarks.one_case", "bundle", str(folder)]),
    ):
        ran.append((name, machine.fresh(arguments, environment(shipped))))
    if ran[1][1]["came"]["connections"] != held:
        raise machine.BenchmarkError(f"of {held} rows, these were staged: {ran[1][1]['came']}")
    with zipfile.ZipFile(next((folder / "bundles").iterdir())) as bundle:
        names = [n for n in bundle.namelist() if re.fullmatch(r"data/log/connections(-\d+)?\.jsonl", n)]
        lines = [line for name in names for line in bundle.open(name) if line]
        redacted = json.loads(bundle.read("redactions.json"))["replaced"]
    if len(lines) != held:
        raise machine.BenchmarkError(f"of {held} rows, the bundle holds {len(lines)}")
    if not redacted or any(b"visitor" in line and b"@example" in line for line in lines):
        raise machine.BenchmarkError("others' addresses are still in the bundle")
    return ran


def _figures(held: int, turns: machine.Turns, peaks: dict[str, list[int]]) -> list[Figure]:
    pipe = median(turns.wall["pipe"])
    of = f"{held:,} rows"
    return [
        figure(
            f"{of} staged, sealed", median(turns.wall["staged"]), "s",
            baseline=pipe, ratio=turns.ratio("staged", "pipe", "wall"), budget=STAGED_BUDGET,
        ),
        figure(f"{of} staged: processor time of the worker", median(turns.cpu["staged"]), "s",
            baseline=median(turns.cpu["pipe"]), ratio=turns.ratio("staged", "pipe")),
        figure(f"{of} staged: peak memory", max(peaks["staged"]) / machine.MIB, "MB", budget=MEMORY_BUDGET),
        figure(
            f"{of} from staging to finished, redacted bundle", median(turns.wall["bundle"]), "s",
            baseline=pipe, ratio=turns.ratio("bundle", "pipe", "wall"),
        ),
        figure(f"{of} bundled: peak memory", max(peaks["bundle"]) / machine.MIB, "MB", budget=MEMORY_BUDGET),
        figure("bare COPY of JSON into a zip: peak memory", max(peaks["pipe"]) / machine.MIB, "MB"),
    ]  # fmt: skip
