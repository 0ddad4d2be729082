"""Requests through the deployed product: a copy from proof to bundle, a deletion from yes to certificate.

Measured on the local cloud with everything deployed as in `make demo`: the persona with some fifty records in
all stores asks in the form, proves their mailbox and signs in as a browser does. The clock runs from when the
product takes the sign-in to when the case is *ready*, both by the case's own history. The first
requests warm every function up and do not count. Against nothing but the budget; and again with ten times as
many other people, against the same with fewer, in turns.

What the local cloud adds is told apart: it waits 150 ms before each execution's first state, and an empty
function costs some milliseconds to invoke. Processor time is of all its processes, from the sign-in to the
end of the case. Transitions, invocations and AWS calls are counted, and do not depend on the machine.
"""

import io
import json
import time
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks import erasure, histories, machine
from benchmarks.cases import Run, case_item, cpu, executions, finished, moments, wait
from benchmarks.cloud import cloud
from benchmarks.figures import Figure, figure
from infra.local import demo, processes
from infra.local.browser import Browser
from infra.local.up import Running

SECONDS_BUDGET = 1.0  # budgets of the design
OTHERS = 10  # times as many
OTHERS_BUDGET = 1.2  # × the time with fewer: it must not show, but for noise
RECORDS = range(40, 61)
# What a case of so many stores takes from the form to the announced bundle. States of the request: nine times
# taken up and routed, and what follows from that; a visit is one state there and three of its own execution.
# Functions: taken up nine times, two notices, resolved twice, concluded, bundled, and a worker per store.
STORES = 11
TRANSITIONS_BUDGET = 38 + 4 * STORES
INVOCATIONS_BUDGET = 15 + STORES
WARM_UP = 3


def measure(rounds: int, port: int, people: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, from `rounds` requests each with `people` and ten times as many people held."""
    with cloud("few", port, people) as few, cloud("many", port + 1, people * OTHERS) as many:
        clouds = {"few": few, "many": many}
        runs: dict[str, list[Run]] = {name: [] for name in clouds}
        for number in range(-WARM_UP, rounds):
            for name, running in clouds.items():
                run = request(running)
                if number >= 0:
                    runs[name].append(run)
                    say(f"{name} {number + 1}: {run.seconds:.2f} s, {_told(run)}, {machine.load()}")
        calls = aws_calls(few)
        empty = empty_invocation(few)
        deleted = erasure.measure(clouds, rounds, WARM_UP, say)
    say(f"calls: {dict(calls.most_common())}")
    held = {"few": people, "many": people * OTHERS}
    return [*_figures(runs, people, sum(calls.values()), empty), *erasure.figures(deleted, held)]


def _figures(runs: dict[str, list[Run]], people: int, calls: int, empty: float) -> Iterator[Figure]:
    few, many = runs["few"], runs["many"]
    middle = sorted(few, key=lambda run: run.seconds)[len(few) // 2]
    seconds = median(run.seconds for run in few)
    yield figure("access request, identity to bundle: median", seconds, "s", budget=SECONDS_BUDGET)
    yield figure("  fastest", min(run.seconds for run in few), "s")
    yield figure("  slowest", max(run.seconds for run in few), "s")
    yield figure(
        "  of the median: starting executions, which the local cloud delays", middle.path.starting, "s"
    )
    yield figure("  of the median: visits of stores", sum(middle.path.visits.values()), "s")
    yield figure("  of the median: steps of the request", sum(middle.path.steps.values()), "s")
    yield figure("  of the median: between them", middle.path.between, "s")
    yield figure("  of all these, invoking as such (an empty function)", middle.path.invocations * empty, "s")
    # What the machine's other work adds is not in it: no run on an idle machine takes longer.
    alone = middle.path.starting + sum(middle.cpu.values())
    yield figure("  of the median: that delay and all processor time, one after the other", alone, "s")
    for who in few[0].cpu:
        yield figure(f"  processor time of {who}", median(run.cpu[who] for run in few), "s")
    yield figure(
        f"the same with {people * OTHERS:,} instead of {people:,} people",
        median(run.seconds for run in many),
        "s",
        baseline=seconds,
        ratio=median(a.seconds / b.seconds for a, b in zip(many, few, strict=True)),
        budget=OTHERS_BUDGET,
    )
    counted = [run.counts for run in (*few, *many)]
    yield figure(
        "state transitions per case", max(c.transitions for c in counted), "", budget=TRANSITIONS_BUDGET
    )
    yield figure("invocations per case", max(c.invocations for c in counted), "", budget=INVOCATIONS_BUDGET)
    yield figure("AWS calls of the functions, identity to end", calls, "")


def _told(run: Run) -> str:
    cpu = ", ".join(f"{who} {seconds:.2f}" for who, seconds in run.cpu.items())
    waited = {name: round(seconds, 3) for name, seconds in (run.path.steps | run.path.visits).items()}
    return f"cpu {cpu}; starting {run.path.starting:.2f}, {waited}, between {run.path.between:.2f}"


# -- one request ------------------------------------------------------------------------------------


def request(running: Running) -> Run:
    """Play one request. Raises BenchmarkError if it is not what is to be measured."""
    case, confirm = until_sign_in(running)
    before = cpu(running)
    confirm()
    arn = finished(running, case, "ready")
    after = cpu(running)
    when, records = moments(running, case, "gathered")
    if records not in RECORDS:
        raise machine.BenchmarkError(f"the request found {records} records, not about fifty")
    began, ended = when["signed_in"], when["bundled"]
    own, stores = executions(running, arn)
    return Run(
        (ended - began).total_seconds(),
        {who: after[who] - before[who] for who in before},
        histories.counts([own, *stores]),
        histories.path(own, stores, began, ended),
    )


def until_sign_in(running: Running) -> tuple[str, Callable[[], object]]:
    """Ask and prove the mailbox. Returns the case, and what signs in."""
    person = running.community.person(demo.PERSONA)
    browser, asked_at = Browser(), time.time()
    page = demo.ask(browser, running.url, person)
    case = demo.case_of(page)
    page = demo.wait_until(browser, page, lambda page: page.has_form("code"))
    page = demo.prove(browser, running.cloud, page, person, asked_at)
    page = demo.wait_until(browser, page, lambda page: page.has_form(action="/sign-in"))
    # Signed in before the workflow waits, the case would be read once less.
    wait(lambda: case_item(running, case).get("token", {}).get("S"), f"case {case} waits for its sign-in")
    return case, lambda: demo.sign_in(browser, page, person)


# -- counting calls, and what invoking costs ---------------------------------------------------------


def aws_calls(running: Running) -> Counter[str]:
    """The calls to AWS that one case makes, functions and workflow, from the sign-in to its end."""
    case, confirm = until_sign_in(running)
    _record(running, on=True)
    try:
        confirm()
        finished(running, case, "ready")
    finally:
        _record(running, on=False)
    trail = running.cloud.client("cloudtrail")
    found: dict[str, str] = {}
    asked: dict[str, Any] = {}
    while True:  # fifty at once, newest first, and no token for the next page
        page = trail.lookup_events(**asked)["Events"]
        fresh = {event["EventId"]: event for event in page if event["EventId"] not in found}
        if not fresh:
            break
        # Ours are those of a root's key: looking, not working.
        found |= {name: _call(event) for name, event in fresh.items()}
        asked = {"EndTime": min(event["EventTime"] for event in fresh.values())}
    return Counter(call for call in found.values() if call)


def _call(event: dict[str, Any]) -> str:
    ours = event.get("AccessKeyId") == processes.ACCESS_KEY
    return "" if ours else f"{event['EventSource'].split('.')[0]} {event['EventName']}"


def _record(running: Running, *, on: bool) -> None:
    setting = json.dumps({"cloudtrail._recording_enabled": str(on).lower()}).encode()
    url = f"{running.cloud.endpoint}/_ministack/config"
    asked = urllib.request.Request(url, setting, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
    urllib.request.urlopen(asked, timeout=10).close()  # noqa: S310


def empty_invocation(running: Running) -> float:
    """The median seconds of invoking a function that only logs a line."""
    functions = running.cloud.client("lambda")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context):\n    print('{}')\n    return {}\n")
    functions.create_function(
        FunctionName="benchmark-empty",
        Runtime="python3.13",
        Handler="handler.handler",
        Role="arn:aws:iam::000000000000:role/dsr-take-up-case-role",
        Code={"ZipFile": code.getvalue()},
    )
    times = []
    for _ in range(20):
        began = time.perf_counter()
        functions.invoke(FunctionName="benchmark-empty", Payload=b"{}")
        times.append(time.perf_counter() - began)
    return median(times[5:])


# -- clouds -------------------------------------------------------------------------------------------
