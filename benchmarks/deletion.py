"""100,000 rows of one person deleted from a real PostgreSQL: our erasing against one bare DELETE, in turns.

What is held against the bare statement is the verb *erase* over the whole: from the staged snapshot, in
batches, each row only if it still belongs to the person. Beside it stands the whole way of a deletion through
this table: the locators gathered, erased, and everything read again. Twice: where one range of keys takes a
batch, and where each row is named, as it is when rows changed meanwhile or an address leads to them. Staging
lies in memory here, since S3 is not what is measured. All run on the same table, filled again before each
turn, with a tenth as many rows of others in between.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast
from unittest import mock

from psycopg import sql

from benchmarks import machine
from benchmarks.figures import Figure, figure
from benchmarks.many_rows import _ROWS, _SCHEMA, ROWS_OF_OTHERS, _ship
from benchmarks.one_case import MEMBER
from dsr.datamap.plan import Collection, Plan
from dsr.erasing import Erasing
from dsr.finds import folder_of, place
from dsr.stores.base import Lines
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
            for name, erase in (("bare", _bare), ("ours", _ours), ("row by row", _by_rows)):
                _fill(server)
                for part, (wall, cpu) in erase(server, plan).items():
                    turns.note(f"{name}{part}", wall, cpu)
                    say(f"round {number + 1}: {name}{part} {wall:.2f} s, cpu {cpu:.2f} s")
                if left := _count(server, "member_id = %s", MEMBER):
                    raise machine.BenchmarkError(f"{name} left {left} rows of the person")
                if not _count(server, "member_id <> %s", MEMBER):
                    raise machine.BenchmarkError(f"{name} took rows of others")
    finally:
        postgres.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    return list(_figures(turns))


def _figures(turns: machine.Turns) -> Iterator[Figure]:
    bare = median(turns.wall["bare"])
    for name, label, budget in (
        ("ours", f"{ROWS:,} SQL rows erased", BUDGET),
        ("ours, all", f"{ROWS:,} SQL rows gathered, erased, verified", None),
        ("row by row", f"{ROWS:,} SQL rows erased, each by name", None),
    ):
        yield figure(
            label, median(turns.wall[name]), "s",
            baseline=bare, ratio=turns.ratio(name, "bare", "wall"), budget=budget,
        )  # fmt: skip


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
        found = connection.execute(f"SELECT count(*) FROM connections WHERE {where}", (value,)).fetchone()  # noqa: S608
    assert found is not None
    return int(found[0])


def _bare(server: postgres.Server, _: Plan) -> dict[str, tuple[float, float]]:
    with server.connect(autocommit=True) as connection, machine.spent() as taken:
        connection.execute("DELETE FROM connections WHERE member_id = %s", (MEMBER,))
    return {"": (taken.wall, taken.cpu)}


def _ours(server: postgres.Server, plan: Plan, by_rows: bool = False) -> dict[str, tuple[float, float]]:
    collection = next(c for c in plan.collections.values() if c.name == "connections")
    visit = plan.visit_of(collection.path)
    store = SQLStore(plan.stores[collection.store])
    secret = {"engine": "postgres", "host": postgres.HOST, "port": server.port, "dbname": "postgres"}
    secret |= {"username": postgres.OWNER, "password": server.password}
    staging = Memory()
    folder, names = folder_of("staged", collection.path), list[str]()
    [way] = [w for w in collection.ways if w.field == "member_id"]
    with (
        mock.patch("dsr.stores.sql.connecting.Connector._read_secret", return_value=secret),
        # Rows named one by one are what is left when a range does not hold what it should.
        mock.patch.object(SQLStore, "_erase_range", return_value=False) if by_rows else nullcontext(),
    ):
        store.check(collection)  # connected, and the table known, as a warm worker has it
        with machine.spent() as everything:
            # As gathering stages it: 100,000 locators are less than one sealed object holds.
            pages = store.find(collection, way, [MEMBER], None, whole=False)
            lines = [line for page in pages for line in cast(Lines, page.records).lines]
            names.append(f"{folder}{0:06d}-x")
            staging.held[names[-1]] = "".join(f'{{"values":{line}}}\n' for line in lines).encode()
            staging.put_json(place(visit.visit), {"parts": {folder: names}})
            with machine.spent() as taken:
                result = Erasing(plan, visit, staging, store, float("inf"), 0, _no_hold).run()  # type: ignore[arg-type]
            left = sum(len(p.records) for p in store.find(collection, way, [MEMBER], None, whole=False))
    store.close()
    if result.outcome != "done" or left:
        raise machine.BenchmarkError(f"erasing ended as {result.outcome}: {result.reason} {result.about}")
    return {"": (taken.wall, taken.cpu), ", all": (everything.wall, everything.cpu)}


def _no_hold(_: Collection) -> str:
    return ""


def _by_rows(server: postgres.Server, plan: Plan) -> dict[str, tuple[float, float]]:
    return _ours(server, plan, by_rows=True)
