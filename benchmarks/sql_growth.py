"""How the SQL worker's cost grows: with one person's rows, and with the rows of everybody else.

Measured like many_rows: the worker's own function, from the first query to the last sealed part, in a
process of its own, on a real PostgreSQL. One person's rows from 10³ to 10⁶: what a row takes on the clock and
of processor time, start and finish included, at 10⁶ against 10⁴ and 10⁵; and the peak of memory. Then one
person of 10,000 rows alone, and among the rows of others: 10,000,000 unless `--others` says less.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from psycopg import sql

from benchmarks import machine
from benchmarks.figures import Figure, figure
from benchmarks.many_rows import environment, fill, new_case
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "sql_growth"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
LARGE = SIZES[1:-1]  # what the largest is held against: less says only what a start takes
AMONG = 10_000  # rows of the person whose table grows around them
LINEAR_BUDGET, FLAT_BUDGET, OTHERS_BUDGET = 1.3, 1.3, 1.3

_OTHERS = """
INSERT INTO connections SELECT
    {first} + n, 'o-' || n / 20, timestamptz '2025-09-01' + n * interval '1 second',
    '10.0.0.1'::inet, NULL, '{{}}'::jsonb, md5(n::text), ''
FROM generate_series(1, {rows}) AS n
"""


def measure(others: int, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each size measured `rounds` times."""
    shutil.rmtree(ROOT, ignore_errors=True)
    home = Home(ROOT / "home")
    server = postgres.start(home)
    try:
        taken = {}
        for size in SIZES:
            taken[size] = _staged(server, fill(server, size), rounds)
            say(f"{taken[size].rows:,} rows: {taken[size]}")
        fill(server, AMONG)
        alone = _staged(server, AMONG, rounds)
        _add_others(server, others)
        among = _staged(server, AMONG, rounds)
        say(f"{AMONG:,} rows alone {alone}; among {others:,} of others {among}")
    finally:
        postgres.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    of = f"{AMONG:,} rows of one person among {others:,} of others"
    return [
        *_growth(taken),
        figure(f"{of}: on the clock", among.wall, "s", baseline=alone.wall, budget=OTHERS_BUDGET),
        figure(f"{of}: processor time", among.cpu, "s", baseline=alone.cpu, budget=OTHERS_BUDGET),
    ]


@dataclass(frozen=True)
class _Taken:
    """Of staging so many rows: seconds (the medians) and the peak of memory (the most)."""

    rows: int
    wall: float
    cpu: float
    peak: int

    def __str__(self) -> str:
        return f"{self.wall:.2f} s, processor {self.cpu:.2f} s, {self.peak / machine.MIB:.0f} MB"


def _growth(taken: dict[int, _Taken]) -> Iterator[Figure]:
    most = taken[SIZES[-1]]
    for what in ("wall", "cpu"):
        words = {"wall": "on the clock", "cpu": "processor time"}[what]
        each = {size: 1e6 * getattr(found, what) / found.rows for size, found in taken.items()}
        yield figure(f"a row of {SIZES[0]:,}: {words}", each[SIZES[0]], "µs")
        for size in LARGE:
            yield figure(
                f"a row of {SIZES[-1]:,} against one of {size:,}: {words}", each[SIZES[-1]], "µs",
                baseline=each[size], budget=LINEAR_BUDGET,
            )  # fmt: skip
    # Against fewer it says how a part of 8 MB and a page fill: those are had once.
    yield figure(
        f"peak memory with {SIZES[-1]:,} rows against {LARGE[-1]:,}", most.peak / machine.MIB, "MB",
        baseline=taken[LARGE[-1]].peak / machine.MIB, budget=FLAT_BUDGET,
    )  # fmt: skip


def _staged(server: postgres.Server, held: int, rounds: int) -> _Taken:
    """Stage all rows of the person. Raises BenchmarkError unless all came."""
    results = []
    for _ in range(rounds):
        folder = ROOT / "case"
        shipped, compiled = new_case(server, folder)
        visit = next(v.visit for v in compiled.visits if "connections" in v.collections)
        result = machine.fresh(["-m", "benchmarks.one_case", visit, str(folder)], environment(shipped))
        if result["came"]["connections"] != held:
            raise machine.BenchmarkError(f"of {held} rows, these were staged: {result['came']}")
        results.append(result)
    wall, cpu = (median(result[what] for result in results) for what in ("wall", "cpu"))
    return _Taken(held, wall, cpu, max(result["peak"] for result in results))


def _add_others(server: postgres.Server, others: int) -> None:
    with server.connect(autocommit=True) as connection:
        values = {"first": sql.Literal(10**8), "rows": sql.Literal(others)}
        connection.execute(sql.SQL(_OTHERS).format(**values))
        connection.execute("VACUUM ANALYZE connections")
