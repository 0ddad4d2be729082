"""One case of one large person, in a process of its own: `python -m benchmarks.one_case WORK ROOT`.

WORK is the id of a visit, or `bundle`. ROOT is the stand-in's folder; its `secret.json` says where the
database is. The very functions are called that Lambda calls, as often as the workflow would; AWS is the
stand-in. Says in JSON: seconds on the clock and of processor time, the peak of memory, the calls made to AWS,
and what came of it.
"""

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.standin import StandIn

MEMBER, ADDRESS = "m-1", "one.member@benchmark.example"
CASE = "BENC-HMAR-KCAS-E000"
TABLES = {"CASES_TABLE": "cases", "CASE_KEYS_TABLE": "case-keys"}
BUCKETS = {"STAGING_BUCKET": "staging", "BUNDLES_BUCKET": "bundles"}
SIGNING = {"SIGNING_KEYS": "alias/benchmark-signing"}
LAMBDA_SECONDS = 300


class _Context:
    """Lambda's context at the beginning of a call."""

    def get_remaining_time_in_millis(self) -> int:
        return LAMBDA_SECONDS * 1000


def main(work: str, root: Path) -> None:
    """Do the work and say what it took."""
    os.environ |= TABLES | BUCKETS | SIGNING
    stand_in = StandIn(root, json.loads((root / "secret.json").read_text()))
    stand_in.install()
    if not (root / "tables.json").exists():
        _open_case()
    step, event, settled = _step(work)
    outcomes: list[str] = []
    with machine.spent() as taken:
        while not outcomes or outcomes[-1] == "continue":
            outcomes.append(step(event, _Context())["outcome"])
    if outcomes[-1] != "done":
        raise SystemExit(f"{work} came to {outcomes[-1]}: {settled()}")
    machine.say(
        asdict(taken)
        | {
            "peak": machine.peak_memory(),
            "calls": stand_in.calls,
            "came": settled(),
            "through": stand_in.through,
        }
    )


def _step(work: str) -> tuple[Any, dict[str, str], Any]:
    """What is called for the work, with what, and how to see what came of it."""
    from dataclasses import replace

    from dsr.case import State
    from dsr.casebook import Casebook

    book = Casebook(TABLES["CASES_TABLE"], TABLES["CASE_KEYS_TABLE"])
    if work == "bundle":
        from dsr.bundling import bundle

        case = book.get(CASE)
        if case.state is not State.BUNDLING:
            book.open(replace(case, state=State.BUNDLING, outcome="delivered"), "web")
        return bundle, {"case_id": CASE}, lambda: book.get(CASE).bundle.get("size", 0)
    from dsr.store_worker import work as gather

    return gather, {"case_id": CASE, "visit": work, "verb": "gather"}, lambda: book.visits(CASE)[work].counts


def _open_case() -> None:
    from dataclasses import replace

    from dsr import casekey
    from dsr.case import Requester, Right
    from dsr.casebook import Casebook, seal_requester
    from dsr.datamap.plan import load

    recipient = casekey.create(CASE, TABLES["CASE_KEYS_TABLE"], "alias/benchmark")
    sealed = seal_requester(recipient, Requester((ADDRESS,)))
    case = replace(case_of(Right.ACCESS, load().version), recipient=recipient, sealed=sealed)
    Casebook(TABLES["CASES_TABLE"], TABLES["CASE_KEYS_TABLE"]).open(case, "web")


def case_of(right: Any, map_version: str) -> Any:
    """A case of one confirmed mailbox that is being gathered, without a key."""
    from dsr.case import Case, Proof, State

    moment = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    return Case(
        case_id=CASE,
        right=right,
        state=State.GATHERING,
        version=1,
        received_at=moment,
        due_at=moment + timedelta(days=30),
        updated_at=moment,
        regimes=("gdpr",),
        map_version=map_version,
        recipient="",
        sealed=b"",
        contacts=(Proof.CONFIRMED,),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
