"""One person with 100,000 rows and 100,000 items deleted by workers whose time is cut short again and again.

Through the deployed product on the local cloud: rows of the pages they opened in a real PostgreSQL, items of
the security screening in DynamoDB. The workers are given so little time that each visit is put aside and
called again many times; counted by what the case notes. Everything of the person must be gone afterwards
and every other record be what it was.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from threading import Event
from typing import Any

import psutil

from benchmarks import hundred, machine
from benchmarks.cloud import cloud
from benchmarks.figures import Figure, figure
from infra.craftzone import load
from infra.craftzone.holdings import SCREENING, VISITS
from infra.local import processes
from infra.local.up import Running

LEAST = 20  # continuations of each store
MEMORY_BUDGET = 256  # MB of a worker, however many there are
BUDGETS = {"store-sql": "0", "store-dynamodb": "0"}  # seconds of a call; 0: the least that it can do


def measure(each: int, people: int, port: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, of a person with `each` rows and as many items among `people` in all.

    Raises BenchmarkError unless all of theirs is gone, all of others' as it was, and enough was put aside.
    """
    with cloud("continued", port, people) as running, ExitStack() as stack:
        [who] = islice(hundred.ordinary(running.community), 1)
        others = load.snapshot(running.stores)
        _fill(running, who, each)
        say(f"filled, {machine.load()}")
        for function, seconds in BUDGETS.items():
            stack.enter_context(_budget(running, function, seconds))
        peaks: dict[str, int] = {}
        stack.enter_context(_watched(running, peaks))
        began = time.monotonic()
        [case] = hundred.site_deletes(running, [who])
        took = time.monotonic() - began
        calls = _calls(running, case)
        after = load.snapshot(running.stores)
        found = hundred.compare(running, [who], others, after)
        left = [key for c in (VISITS, SCREENING) for key in after[c] if key not in others[c]]
    if found or left:
        raise machine.BenchmarkError(f"{len(found)} records of others, {len(left)} of theirs: {found[:3]}")
    erased = {visit: n for (verb, visit), n in calls.items() if verb == "erase@0"}
    most = {store: erased[next(v for v in erased if v.endswith(store))] for store in ("site", "trust")}
    if min(most.values()) <= LEAST:
        raise machine.BenchmarkError(f"put aside too seldom: {most}")
    rows, items = most["site"] - 1, most["trust"] - 1
    return [
        figure(f"{each:,} rows and {each:,} items of one person: event to certificate", took, "s"),
        figure("  continuations of erasing the rows", rows, ""),
        figure("  continuations of erasing the items", items, ""),
        figure("  calls of all visits of the case", sum(calls.values()), ""),
        *(
            figure(f"  peak memory of {name}", peaks[name] / machine.MIB, "MB", budget=MEMORY_BUDGET)
            for name in sorted(peaks)
        ),
        figure("  records of others compared, none altered", sum(len(held) for held in after.values()), ""),
    ]


def _fill(running: Running, who: str, each: int) -> None:
    with running.server.connect("site") as connection:
        connection.execute(
            "INSERT INTO visits (visit_id, member_id, at, page, device)"
            " SELECT 9000000000000000 + n, %s, now() - n * interval '1 second', '/', '{}'"
            " FROM generate_series(1, %s) AS n",
            (who, each),
        )
    dynamodb = running.stores.dynamodb

    def write(start: int) -> None:
        items = [
            {"member_id": {"S": who}, "at": {"S": f"2026-01-01T00:00:00.{n:09}Z"}, "day": {"S": "2026-01-01"}}
            for n in range(start, min(start + 25, each))
        ]
        puts = [{"PutRequest": {"Item": item}} for item in items]
        dynamodb.batch_write_item(RequestItems={load.DYNAMODB_TABLES[SCREENING]: puts})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, each, 25)))


@contextmanager
def _budget(running: Running, function: str, seconds: str) -> Iterator[None]:
    """The function has so little time for a call."""
    functions, name = running.cloud.client("lambda"), f"dsr-{function}"
    held = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    changed = held | {"BUDGET_SECONDS": seconds}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": changed})
    yield


@contextmanager
def _watched(running: Running, peaks: dict[str, int]) -> Iterator[None]:
    """Note the most memory that a worker of these functions had resident, by function."""
    over = Event()

    def watch() -> None:
        while not over.wait(0.5):
            for pid in processes.left_over(running.home):
                _note(pid, peaks)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
            done.result()


def _note(pid: int, peaks: dict[str, int]) -> None:
    try:
        process = psutil.Process(pid)
        name = process.environ().get("AWS_LAMBDA_FUNCTION_NAME", "").removeprefix("dsr-")
        resident = process.memory_info().rss
    except psutil.Error:  # ended meanwhile
        return
    if name in BUDGETS:
        peaks[name] = max(peaks.get(name, 0), resident)


def _calls(running: Running, case: str) -> dict[tuple[str, str], int]:
    """How often each visit of each piece of work was called."""
    pages = (
        running.cloud.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName="dsr-cases",
            KeyConditionExpression="case_id = :case",
            ExpressionAttributeValues={":case": {"S": case}},
        )
    )
    items: list[dict[str, Any]] = [item for page in pages for item in page["Items"] if "calls" in item]
    parts = [(item["part"]["S"].split("#"), int(item["calls"]["N"])) for item in items]
    return {(work, visit): calls for (work, visit), calls in parts}
