"""How the SQL worker's cost grows: with one person's rows, and with the rows of everybody else.

Measured like many_rows: the worker's own function, from the first query to the last sealed part, in a
process of its own, on a real PostgreSQL. One person's rows from 10³ to 10⁶: what each further row takes, that
of the last tenfold by that of the one before; and the peak of memory. Then one person of 10,000 rows alone,
and among as many rows of others as can be made in a benchmark's time: 3,000,000 unless `--others` says more.
"""

import shutil
from collections.abc import Callable
from itertools import pairwise
from statistics import median

from psycopg import sql

from benchmarks import machine
from benchmarks.figures import Figure, figure
from benchmarks.many_rows import environment, fill, new_case
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "sql_growth"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
AMONG = 10_000  # rows of the person whose table grows around them
LINEAR_BUDGET, FLAT_BUDGET, OTHERS_BUDGET = 1.3, 1.3, 1.3

_OTHERS = """
INSERT INTO connections SELECT
    {first} + n, 'o-' || n / 20, timestamptz '2025-09-01' + n * interval '1 second',
    '10.0.0.1'::inet, NULL, '{{}}'::jsonb, md5(n::text)
FROM generate_series(1, {rows}) AS n
"""


def measure(others: int, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each size measured `rounds` times."""
    shutil.rmtree(ROOT, ignore_errors=True)
    home = Home(ROOT / "home")
    server = postgres.start(home)
    try:
        walls, peaks = {}, {}
        for size in SIZES:
            held = fill(server, size)
            walls[size], peaks[size] = _staged(server, held, rounds)
            say(f"{held:,} rows: {walls[size]:.2f} s, {peaks[size] / machine.MIB:.0f} MB")
        fill(server, AMONG)
        alone, _ = _staged(server, AMONG, rounds)
        _add_others(server, others)
        among, _ = _staged(server, AMONG, rounds)
        say(f"{AMONG:,} rows alone {alone:.2f} s, among {others:,} of others {among:.2f} s")
    finally:
        postgres.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    each = [(walls[b] - walls[a]) / (b - a) for a, b in pairwise(SIZES)]
    return [
        figure("each further SQL row, 10⁵ to 10⁶ of one person", each[-1] * 1e6, "µs",
            baseline=each[-2] * 1e6, ratio=each[-1] / each[-2], budget=LINEAR_BUDGET),
        figure("peak memory at 10⁶ rows of one person", peaks[SIZES[-1]] / machine.MIB, "MB",
            baseline=peaks[SIZES[-2]] / machine.MIB, budget=FLAT_BUDGET),
        figure(f"{AMONG:,} rows of one person among {others:,} of others", among, "s",
            baseline=alone, budget=OTHERS_BUDGET),
    ]  # fmt: skip


def _staged(server: postgres.Server, held: int, rounds: int) -> tuple[float, int]:
    """Seconds on the clock (the median) and peak memory (the most) of staging all rows of the person."""
    walls, peaks = [], []
    for _ in range(rounds):
        folder = ROOT / "case"
        shipped, compiled = new_case(server, folder)
        visit = next(v.visit for v in compiled.visits if "connections" in v.collections)
        result = machine.fresh(["-m", "benchmarks.one_case", visit, str(folder)], environment(shipped))
        if result["came"]["connections"] != held:
            raise machine.BenchmarkError(f"of {held} rows, these were staged: {result['came']}")
        walls.append(result["wall"])
        peaks.append(result["peak"])
    return median(walls), max(peaks)


def _add_others(server: postgres.Server, others: int) -> None:
    with server.connect(autocommit=True) as connection:
        values = {"first": sql.Literal(10**8), "rows": sql.Literal(others)}
        connection.execute(sql.SQL(_OTHERS).format(**values))
        connection.execute("VACUUM ANALYZE connections")
