"""`dsr sweep`: what the retention sweep did, and what it would do."""

import argparse
import json
import time
from datetime import UTC, datetime
from typing import Any

from dsr.aws import client
from dsr.errors import DsrError
from dsr.retention import DRY_RUN, Sweep
from dsr.sweepbook import Header, Sweepbook
from dsr_cli.stack import outputs

_LATEST = 7
_LOOK_SECONDS, _PATIENCE_SECONDS = 1.0, 3600.0


def add_to(commands: Any) -> None:
    """Add `sweep` to the parser."""
    parser = commands.add_parser("sweep", help="the retention sweep: what it did, what it would do")
    parser.add_argument("--name", default="dsr", help="name of the deployment (default: %(default)s)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dry-run", action="store_true", help="count what has expired now; changes nothing")
    what.add_argument(
        "--show", nargs="?", const="", metavar="SWEEP", help="one sweep, or without a name the last ones"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    stack = outputs(options.name)
    book = Sweepbook(stack["CasesTable"])
    if options.dry_run:
        print_sweep(book, _header(book, _dry_run(stack["SweepWorkflow"], book)))
    elif options.show:
        print_sweep(book, _header(book, options.show))
    else:
        for header in book.latest(_LATEST):
            print_sweep(book, header)


def _header(book: Sweepbook, name: str) -> Header:
    header = book.header(name)
    if header is None:
        raise DsrError(f"there is no sweep {name}")
    return header


def _dry_run(workflow: str, book: Sweepbook) -> str:
    """Begin a dry run beside the day's own sweep, and wait for its end. Returns its name.

    Raises DsrError if it did not come to its end; one that found a fault in a store did.
    """
    name = f"{datetime.now(UTC):%Y-%m-%d-dry-run-%H%M%S}"
    states = client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=workflow, name=name, input=json.dumps({"sweep": name, "mode": DRY_RUN})
    )["executionArn"]
    end = time.monotonic() + _PATIENCE_SECONDS
    while (status := states.describe_execution(executionArn=execution)["status"]) == "RUNNING":
        if time.monotonic() > end:
            raise DsrError(f"the dry run still runs; look later: dsr sweep --show {name}")
        time.sleep(_LOOK_SECONDS)
    header = book.header(name)
    if header is None or not header.concluded_at:
        raise DsrError(f"the dry run ended {status}: {execution}")
    return name


def print_sweep(book: Sweepbook, header: Header) -> None:
    """What a sweep was to do, and what it did."""
    stands = f"concluded {header.concluded_at[:16]}" if header.concluded_at else "not concluded"
    held = "" if header.as_of == header.planned_at else f"  held back to {header.as_of:%Y-%m-%d %H:%M}"
    print(f"{header.sweep}  {header.mode}  map {header.map_version}  {stands}{held}")
    for sweep in book.collections(header.sweep):
        print(f"  {sweep.collection:26} {_told(sweep)}")


def _told(sweep: Sweep) -> str:
    amount = f"{sweep.records:,}{' or more' if sweep.more else ''}"
    done = f"{amount} would go" if sweep.mode == DRY_RUN else f"{amount} erased"
    parts = [f"before {sweep.cutoff:%Y-%m-%d}", done]
    parts += [sweep.outcome.replace("_", " ")] if sweep.outcome != "done" else []
    parts += [f"{sweep.left:,} left: other records need them"] if sweep.left else []
    parts += [f"{sweep.held:,} kept: their person is held"] if sweep.held else []
    parts += [f"{sweep.undated:,} with a time that cannot be read"] if sweep.undated else []
    parts += [f"{sweep.reason}: {sweep.about}".rstrip(": ")] if sweep.reason else []
    return ", ".join(parts)
