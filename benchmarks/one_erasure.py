"""All that one person has in one store found, erased and read again, in a process of its own.

`python -m benchmarks.one_erasure ADDRESS VISIT ROOT`, in an environment that leads to the local cloud. The
library's own gathering and erasing run with the store's own calls; what they stage lies in files under ROOT,
unsealed, since it is the stores that are measured. Says in JSON: per phase the seconds on the clock and of
processor time, the records and the calls by operation; and the peak of memory.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.one_case import case_of
from dsr import aws
from dsr.case import Requester, Right
from dsr.datamap.plan import from_json
from dsr.erasing import Erasing
from dsr.gathering import Gathering
from dsr.stores.registry import open_store


class Files:
    """Staging as files: what `Staging` does, without S3 and without sealing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, content: bytes) -> None:
        """Store `content` under `name`."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def get(self, name: str) -> bytes | None:
        """What is stored under `name`, or None."""
        path = self._root / name
        return path.read_bytes() if path.exists() else None

    def put_json(self, name: str, value: Any) -> None:
        """Store a JSON value."""
        self.put(name, json.dumps(value).encode())

    def get_json(self, name: str) -> Any:
        """The JSON value under `name`, or None."""
        content = self.get(name)
        return None if content is None else json.loads(content)

    def read_json(self, name: str) -> tuple[Any, str]:
        """The same, and a tag."""
        return self.get_json(name), ""

    def replace_json(self, name: str, value: Any, _: str) -> str:
        """Nobody else writes here."""
        self.put_json(name, value)
        return ""


def main(address: str, visit_id: str, root: Path) -> None:
    """Do it and say what it took."""
    plan = from_json((root / "plan.json").read_bytes())
    visit = plan.visit(visit_id)
    store, staging, case = (
        open_store(plan.stores[visit.store]),
        Files(root / address),
        case_of(Right.DELETION, plan.version),
    )
    calls: Counter[str] = Counter()

    def gather(number: int, which: str = visit_id) -> int:
        at = plan.visit(which)
        source = store if at is visit else open_store(plan.stores[at.store])
        now, requester = datetime.now(UTC), Requester((address,))
        gathering = Gathering(plan, case, requester, at, staging, source, now, float("inf"), number=number)  # type: ignore[arg-type]
        return _done(gathering.run(), which)

    def erase() -> int:
        return _done(Erasing(plan, visit, staging, store, float("inf"), 0, lambda _: "").run(), visit_id)  # type: ignore[arg-type]

    gather(0, plan.visits[0].visit)  # who it is: not measured
    service = {"dynamodb": "dynamodb", "s3": "s3"}[visit.kind]
    events = aws.client_as(plan.stores[visit.store].access, service).meta.events
    events.register(f"before-call.{service}", lambda model, **_: calls.update([model.name]))
    phases = {}
    steps: list[tuple[str, Callable[[], int]]] = [
        ("found", lambda: gather(0)), ("erased", erase), ("left", lambda: gather(1)),
    ]  # fmt: skip
    for phase, work in steps:
        calls.clear()
        with machine.spent() as taken:
            records = work()
        phases[phase] = {"wall": taken.wall, "cpu": taken.cpu, "records": records, "calls": dict(calls)}
    machine.say({"phases": phases, "peak": machine.peak_memory()})


def _done(result: Any, visit: str) -> int:
    if result.outcome != "done" or result.doubtful:
        raise SystemExit(f"{visit} came to {result}")
    return sum(result.counts.values())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
