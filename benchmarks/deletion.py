"""100,000 rows of one person deleted from a real PostgreSQL: our erasing against one bare DELETE, in turns.

Ours goes from the staged snapshot, in batches, each row only if it still belongs to the person; the
staging lies in memory here, since S3 is not what is measured. Both run on the same table, filled
again before each turn, with a tenth as many rows of others in between.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from psycopg import sql

from benchmarks import machine
from benchmarks.figures import Figure, figure
from benchmarks.many_rows import _ROWS, _SCHEMA, ROWS_OF_OTHERS, _ship
from benchmarks.one_case import MEMBER
from dsr.datamap.plan import Plan
from dsr.erasing import Erasing
from dsr.gathering import folder_of, place
from dsr.records import to_line
from dsr.stores.sql import SQLStore
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "deletion"
ROWS = 100_000
BUDGET = 2.0  # × one bare DELETE (budgets of the design)


@dataclass
class Memory:
    """Staging in memory: a stand-in for S3 and sealing, which are not measured here."""

    held: dict[str, bytes] = field(default_factory=dict)

    def get(self, name: str) -> bytes | None:
        return self.held.get(name)

    def get_json(self, name: str) -> Any:
        return json.loads(self.held[name]) if name in self.held else None

    def put_json(self, name: str, value: Any) -> None:
        self.held[name] = json.dumps(value).encode()


def measure(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each measured `rounds` times."""
    shutil.rmtree(ROOT, ignore_errors=True)
    home = Home(ROOT / "home")
    server = postgres.start(home)
    turns = machine.Turns()
    try:
        plan = _ship(ROOT / "plan")
        for number in range(rounds):
            for name, erase in (("bare", _bare), ("ours", _ours)):
                _fill(server)
                wall, cpu = erase(server, plan)
                turns.note(name, wall, cpu)
                say(f"round {number + 1}: {name} {wall:.2f} s, cpu {cpu:.2f} s")
                if left := _count(server, "member_id = %s", MEMBER):
                    raise machine.BenchmarkError(f"{name} left {left} rows of the person")
                if not _count(server, "member_id <> %s", MEMBER):
                    raise machine.BenchmarkError(f"{name} took rows of others")
    finally:
        postgres.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    best = {name: sorted(turns.wall[name])[len(turns.wall[name]) // 2] for name in ("bare", "ours")}
    return [
        figure(
            f"{ROWS:,} SQL rows erased", best["ours"], "s",
            baseline=best["bare"], ratio=turns.ratio("ours", "bare", "wall"), budget=BUDGET,
        )
    ]  # fmt: skip


def _fill(server: postgres.Server) -> None:
    every = round((1 + ROWS_OF_OTHERS) / ROWS_OF_OTHERS)
    values = {
        "every": sql.Literal(every),
        "member": sql.Literal(MEMBER),
        "rows": sql.Literal(round(ROWS * every / (every - 1))),
    }
    with server.connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS connections, people")
        connection.execute(_SCHEMA)
        connection.execute(sql.SQL(_ROWS.replace("%%", "%")).format(**values))
        connection.execute("CREATE INDEX ON connections (member_id, connection_id)")
        connection.execute("VACUUM ANALYZE connections")


def _count(server: postgres.Server, where: str, value: str) -> int:
    with server.connect(autocommit=True) as connection:
        found = connection.execute(f"SELECT count(*) FROM connections WHERE {where}", (value,)).fetchone()  # type: ignore[arg-type]  # noqa: S608
    assert found is not None
    return int(found[0])


def _bare(server: postgres.Server, _: Plan) -> tuple[float, float]:
    with server.connect(autocommit=True) as connection:
        began, cpu = time.perf_counter(), time.process_time()
        connection.execute("DELETE FROM connections WHERE member_id = %s", (MEMBER,))
        return time.perf_counter() - began, time.process_time() - cpu


def _ours(server: postgres.Server, plan: Plan) -> tuple[float, float]:
    collection = next(c for c in plan.collections.values() if c.name == "connections")
    visit = plan.visit_of(collection.path)
    store = SQLStore(plan.stores[collection.store])
    secret = {"engine": "postgres", "host": postgres.HOST, "port": server.port, "dbname": "postgres"}
    secret |= {"username": postgres.OWNER, "password": server.password}
    staging = Memory()
    folder, names = folder_of("staged", collection.path), list[str]()
    [way] = [w for w in collection.ways if w.field == "member_id"]
    with mock.patch.object(store, "_secret", return_value=secret):  # no Secrets Manager here
        pages = list(store.find(collection, way, [MEMBER], None, whole=False))
    for page in pages:
        names.append(f"{folder}{len(names):06d}-x")
        staging.held[names[-1]] = b"".join(to_line({"values": r.values}) for r in page.records)
    staging.put_json(place(visit.visit), {"parts": {folder: names}})
    began, cpu = time.perf_counter(), time.process_time()
    result = Erasing(plan, visit, staging, store, float("inf"), 0).run()  # type: ignore[arg-type]
    took = time.perf_counter() - began, time.process_time() - cpu
    if result.outcome != "done":
        raise machine.BenchmarkError(f"erasing ended as {result.outcome}: {result.reason} {result.about}")
    return took
