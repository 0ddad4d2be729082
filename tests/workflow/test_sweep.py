"""The sweep as it is deployed: what has expired goes, and nothing else in any store changes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from dsr.retention import DRY_RUN, ON, Known, Sweep, cutoff, rule_of, sweepable
from dsr.stores.sql import SQLStore
from dsr.sweepbook import Sweepbook
from infra.craftzone import load
from infra.craftzone.holdings import (
    ARTWORKS,
    CONSENTS,
    ENTRIES,
    MESSAGES,
    SCREENING,
    TICKETS,
    VISITS,
    Collection,
    stamp,
)
from infra.craftzone.load import Snapshot
from tests.workflow.stage import Stage

pytestmark = pytest.mark.cloud

NOBODY = "m-nobody"  # an account that is in no other store
LOGS = 4500  # rows that have expired


@dataclass
class Seeds:
    """What a test put into the stores, by collection and key: what has expired, and what is still held."""

    stage: Stage
    now: datetime
    expired: dict[Collection, set[str]] = field(default_factory=dict)
    held: dict[Collection, set[str]] = field(default_factory=dict)

    def _note(self, collection: Collection, key: str, expired: bool) -> None:
        (self.expired if expired else self.held).setdefault(collection, set()).add(key)

    def _edges(self, duration: str) -> list[tuple[datetime, bool]]:
        """Moments around the cutoff with whether what is of then has expired."""
        edge, second = cutoff(self.now, duration), timedelta(seconds=1)
        old = [edge - timedelta(days=n, hours=n) for n in range(1, 30)]
        return [*((at, True) for at in (*old, edge - second)), (edge, False), (edge + second, False)]

    def plant(self) -> None:
        """Put records around the cutoff into both kinds of store."""
        for table, collection, at, day, duration in (
            ("craftzone-screening", SCREENING, "at", "day", "P90D"),
            ("craftzone-consents", CONSENTS, "at", "day", "P3Y"),
        ):
            for moment, expired in self._edges(duration):
                item = {"member_id": NOBODY, at: stamp(moment), day: stamp(moment)[:10]}
                values = {name: {"S": value} for name, value in item.items()}
                self.stage.client("dynamodb").put_item(TableName=table, Item=values)
                self._note(collection, f"{NOBODY}/{stamp(moment)}", expired)
        self._plant_visits()
        self._plant_tickets()
        self._plant_entries()

    def _plant_visits(self) -> None:
        with self.stage.database("site") as site:
            for number, (moment, expired) in enumerate(self._edges("P180D")):
                site.execute(
                    "INSERT INTO visits VALUES (%s, %s, %s, '/', '{}')",
                    (-1 - number, NOBODY, moment),
                )
                self._note(VISITS, str(-1 - number), expired)
        self.plant_logs(1000, LOGS)

    def plant_logs(self, after: int, count: int) -> None:
        """Put `count` rows that have expired into one table, by numbers below -`after`."""
        edge = cutoff(self.now, "P180D")
        with self.stage.database("site") as site:
            site.execute(
                "INSERT INTO visits SELECT -%s - n, %s, %s - n %% 40 * interval '1 hour'"
                " - interval '1 second', '/', '{}' FROM generate_series(1, %s) AS n",
                (after, NOBODY, edge, count),
            )
        for number in range(1, count + 1):
            self._note(VISITS, str(-after - number), True)

    def _plant_tickets(self) -> None:
        """A thread whose last answer is still held keeps the ticket that it belongs to."""
        edge = cutoff(self.now, "P2Y")
        with self.stage.database("support") as support:
            for ticket, answered, expired in ((-1, edge - timedelta(days=1), True), (-2, edge, False)):
                opened = edge - timedelta(days=30)
                support.execute("INSERT INTO tickets VALUES (%s, NULL, NULL, 'x', %s)", (ticket, opened))
                self._note(TICKETS, str(ticket), expired)
                for at, old in ((opened, True), (answered, expired)):
                    message = str(uuid4())
                    support.execute(
                        "INSERT INTO ticket_messages VALUES (%s, %s, NULL, NULL, 'x', %s)",
                        (message, ticket, at),
                    )
                    self._note(MESSAGES, message, old)

    def _plant_entries(self) -> None:
        """An entry that artwork still belongs to stays; the same without any goes."""
        old = cutoff(self.now, "P5Y") - timedelta(days=1)
        with self.stage.database("events") as events:
            for number, expired in enumerate((True, False)):
                entry = str(uuid4())
                events.execute(
                    "INSERT INTO event_entries VALUES (%s, 'x', NULL, 'x', NULL, NULL, %s, '{x}', %s)",
                    (entry, f"{NOBODY}@example.com", old),
                )
                self._note(ENTRIES, entry, expired)
                if not expired:
                    events.execute(
                        "INSERT INTO artworks VALUES (%s, %s, 'x', NULL, %s)", (-1 - number, entry, old)
                    )
                    self._note(ARTWORKS, str(-1 - number), expired=False)

    def clear(self) -> None:
        """Take out whatever of it is left."""
        for store, statements in {
            "site": ["DELETE FROM visits WHERE visit_id < 0"],
            "support": [
                "DELETE FROM ticket_messages WHERE ticket_id < 0",
                "DELETE FROM tickets WHERE ticket_id < 0",
            ],
            "events": [
                "DELETE FROM artworks WHERE artwork_id < 0",
                f"DELETE FROM event_entries WHERE email = '{NOBODY}@example.com'",  # noqa: S608
            ],
        }.items():
            with self.stage.database(store) as database:
                for statement in statements:
                    database.execute(statement)
        for table, at in (("craftzone-screening", "at"), ("craftzone-consents", "at")):
            dynamodb = self.stage.client("dynamodb")
            found = dynamodb.query(
                TableName=table,
                KeyConditionExpression="member_id = :m",
                ExpressionAttributeValues={":m": {"S": NOBODY}},
            )
            for item in found["Items"]:
                dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("member_id", at)})

    def counts(self) -> dict[str, int]:
        """How many have expired, by collection."""
        return {".".join(collection): len(keys) for collection, keys in self.expired.items()}


def never_walked(stage: Stage, now: datetime) -> None:
    """Have the next sweep be the first under its rule, and walk no more days than have seeds in them."""
    book = Sweepbook(stage.outputs["CasesTable"])
    for collection in sweepable(stage.plan):
        edge = cutoff(now, collection.retention["duration"])
        walked = {"walked_to": f"{edge - timedelta(days=35):%Y-%m-%d}", "whole_on": f"{edge:%Y-%m-%d}"}
        book.keep(collection.path, Known(rule_of(collection), **walked))


@pytest.fixture
def seeds(stage: Stage) -> Iterator[Seeds]:
    made = Seeds(stage, datetime.now(UTC))
    try:
        made.plant()
        never_walked(stage, made.now)
        yield made
    finally:
        made.clear()


def snapshot(stage: Stage) -> Snapshot:
    return load.snapshot(stage.running.stores)


def a_name() -> str:
    """A sweep's name of its own, before all days in their order."""
    return f"0-{uuid4().hex[:6]}"


def begin(stage: Stage, name: str, **asked: str) -> str:
    """An execution of the sweep, begun."""
    answer = stage.client("stepfunctions").start_execution(
        stateMachineArn=stage.outputs["SweepWorkflow"], name=name, input=json.dumps(asked)
    )
    return str(answer["executionArn"])


def ended(stage: Stage, execution: str, status: str = "SUCCEEDED") -> None:
    """Wait until it has ended, as it should."""

    def look() -> str | None:
        status = stage.client("stepfunctions").describe_execution(executionArn=execution)["status"]
        return None if status == "RUNNING" else str(status)

    assert stage.until("the sweep to end", look, seconds=240) == status


def swept(stage: Stage, name: str, **asked: str) -> dict[str, Sweep]:
    """A sweep begun and through: what it noted by collection."""
    ended(stage, begin(stage, f"{name}-{uuid4().hex[:8]}", sweep=name, **asked))
    return noted(stage, name)


def noted(stage: Stage, name: str) -> dict[str, Sweep]:
    book = Sweepbook(stage.outputs["CasesTable"])
    header = book.header(name)
    assert header is not None
    assert header.concluded_at
    return {sweep.collection: sweep for sweep in book.collections(name)}


def removed(before: Snapshot, after: Snapshot) -> dict[Collection, set[str]]:
    """What is gone; fails if anything was added or changed."""
    found = load.differences(before, after)
    assert {what for changes in found.values() for what in changes.values()} <= {"removed"}, found
    return {collection: set(changes) for collection, changes in found.items()}


def test_counted_first_then_exactly_what_has_expired_goes(stage: Stage, seeds: Seeds) -> None:
    before = snapshot(stage)
    tag = a_name()

    # A deployment begins with dry runs; and switched on, a rule's first sweep is one as well.
    dry = swept(stage, f"{tag}-1")
    assert {sweep.mode for sweep in dry.values()} == {DRY_RUN}
    assert removed(before, snapshot(stage)) == {}
    for collection, count in seeds.counts().items():
        # A dry run counts what has expired; that two of them must wait for others shows when they go.
        waiting = 1 if collection in ("events.entries", "support.tickets") else 0
        assert dry[collection].records == count + waiting, collection
    assert not [sweep for sweep in dry.values() if sweep.reason or sweep.more]

    with stage.environment("plan-sweep", SWEEP_MODE=ON):
        done = swept(stage, f"{tag}-2")
        swept(stage, f"{tag}-3")  # a ticket can go once its messages are gone
    assert removed(before, snapshot(stage)) == seeds.expired
    assert {sweep.mode for sweep in done.values()} == {ON}
    assert done["site.visits"].records == LOGS + 30
    assert done["trust.screening"].records == 30
    assert done["events.entries"].left == 1

    with stage.environment("plan-sweep", SWEEP_MODE=ON):
        again = swept(stage, f"{tag}-4")
    assert removed(before, snapshot(stage)) == seeds.expired
    assert {collection: sweep.records for collection, sweep in again.items() if sweep.records} == {}


def test_a_worker_killed_and_cut_at_every_page_comes_to_the_same_end(stage: Stage, seeds: Seeds) -> None:
    seeds.plant_logs(100_000, 2 * SQLStore.erase_at_once)  # more than two pages
    swept(stage, a_name())  # so that the rules are known
    before = snapshot(stage)
    name = a_name()
    settings = {"BUDGET_SECONDS": "0"}  # each call ends after one page
    with (
        stage.environment("plan-sweep", SWEEP_MODE=ON),
        stage.environment("store-sql", **settings),
        stage.environment("store-dynamodb", **settings),
        stage.held("site", "visits") as held,
    ):
        execution = begin(stage, name, sweep=name)
        held.waiting().kill()
        held.let_go()
        ended(stage, execution)
        visits = noted(stage, name)["site.visits"]
        swept(stage, f"{name}-again")
    assert visits.calls >= 3
    assert removed(before, snapshot(stage)) == seeds.expired


def test_a_limit_bounds_each_sweep_and_the_next_goes_on(stage: Stage, seeds: Seeds) -> None:
    swept(stage, a_name())
    before = snapshot(stage)
    with stage.environment("plan-sweep", SWEEP_MODE=ON, SWEEP_LIMIT="1500"):
        records = [swept(stage, a_name())["site.visits"] for _ in range(4)]
    assert [(sweep.records, sweep.more) for sweep in records] == [
        (1500, True),
        (1500, True),
        (1500, True),
        (30, False),
    ]
    assert removed(before, snapshot(stage)) == seeds.expired


def test_the_schedule_delivered_twice_is_one_sweep(stage: Stage) -> None:
    """Both executions of the day end well; one of them did nothing."""
    first, second = begin(stage, uuid4().hex), begin(stage, uuid4().hex)
    ended(stage, first)
    ended(stage, second)
    book = Sweepbook(stage.outputs["CasesTable"])
    (header,) = [h for h in book.latest(50) if h.sweep == f"{h.planned_at:%Y-%m-%d}"]
    assert header.execution in (first, second)
    assert {sweep.calls for sweep in book.collections(header.sweep)} == {1}


def test_a_store_that_cannot_answer_stops_no_other(stage: Stage, seeds: Seeds) -> None:
    swept(stage, a_name())  # so that the rules are known
    with stage.database("site") as site:
        site.execute("REVOKE SELECT ON visits FROM dsr")
    try:
        before = snapshot(stage)
        with stage.environment("plan-sweep", SWEEP_MODE=ON):
            name = a_name()
            ended(stage, begin(stage, name, sweep=name), "FAILED")  # so that an alarm tells
            done = noted(stage, name)
        gone = removed(before, snapshot(stage))
    finally:
        with stage.database("site") as site:
            site.execute("GRANT SELECT ON visits TO dsr")
    stopped = done["site.visits"]
    assert (stopped.outcome, stopped.reason) == ("needs_attention", "missing_permission")
    assert VISITS not in gone
    assert gone[SCREENING] == seeds.expired[SCREENING]


def test_the_operator_asks_and_reads_on_the_command_line(stage: Stage, seeds: Seeds) -> None:
    before = snapshot(stage)
    said = stage.command("sweep", "--dry-run")
    assert (
        f"site.visits                before {cutoff(seeds.now, 'P180D'):%Y-%m-%d}, {LOGS + 30:,} would go"
        in said
    )
    assert removed(before, snapshot(stage)) == {}
    name = said.split()[0]
    assert stage.command("sweep", "--show", name) == said
    assert name in stage.command("sweep", "--show")


def test_nothing_of_a_record_is_kept_of_a_sweep(stage: Stage, seeds: Seeds) -> None:
    """Neither in the table nor in the history of the execution."""
    name = a_name()
    execution = begin(stage, name, sweep=name)
    ended(stage, execution)
    pages = stage.client("stepfunctions").get_paginator("get_execution_history")
    history = [event for page in pages.paginate(executionArn=execution) for event in page["events"]]
    items: list[Any] = [
        stage.client("dynamodb").query(
            TableName=stage.outputs["CasesTable"],
            KeyConditionExpression="case_id = :c",
            ExpressionAttributeValues={":c": {"S": partition}},
        )["Items"]
        for partition in ("sweeps", "sweep-rules")
    ]
    kept = json.dumps([history, items], default=str)
    assert "trust.screening" in kept
    assert NOBODY not in kept
    for keys in seeds.expired.values():
        assert not [key for key in keys if len(key) > 8 and key in kept]
