"""All that one person has in DynamoDB and S3 found, erased and read again: how many calls, at what cost.

On the local cloud's own DynamoDB and S3, over HTTP, each person in a fresh process: 10³ to 10⁵ items whose
key says whose they are, 10⁵ that an index finds and that may go only on a condition, and 10⁴ files with three
versions each; others' records lie beside them. Calls are held against the least that AWS's limits allow: a
page of 1 MB or 1,000 versions, 25 writes or 100 conditional ones, 1,000 versions deleted. Whatever the count
says must be there is counted again afterwards, past the library: all of the person's gone, none of others'.

More items of one person than 10⁵ are not measured: the local DynamoDB looks through all of them for every
page, and a million would take hours of its time, not of the worker's.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.figures import Figure, figure
from dsr.datamap.compile import compile_file
from dsr.datamap.plan import Plan, to_json
from infra.local import processes
from infra.local.cloud import Cloud
from infra.local.home import Home

ROOT = machine.BUILD / "items"
CALLS_BUDGET = 1.1  # × the least possible (budgets of the design)
# × the share of it that a tenth takes: linear, but for what each run takes anyway
GROWTH_BUDGET = 1.25
MEMORY_BUDGET = 256  # MB, however many: a part of 8 MB that is being filled, and a page
OTHERS = 500
VERSIONS = 3


@dataclass(frozen=True)
class Load:
    """What one person has in one store, and the calls that it takes at the least."""

    visit: str
    what: str
    records: int
    bytes_each: int = 0
    conditional: bool = False

    @property
    def address(self) -> str:
        """The person's: one for each load."""
        return f"m-{self.records}@{self.visit}.example"

    @property
    def member(self) -> str:
        """Their id."""
        return f"m-{self.records}"

    @property
    def least(self) -> dict[str, int]:
        """Calls by phase."""
        if self.visit == "1-files":
            pages = math.ceil(self.records / 1000)
            return {"found": pages, "erased": pages, "left": 1}
        at_once = 100 if self.conditional else 25
        pages = math.ceil(self.records * self.bytes_each / machine.MIB)
        return {"found": pages, "erased": math.ceil(self.records / at_once), "left": 1}


def loads(scale: float) -> list[Load]:
    """What is measured, at a `scale` of the full size."""
    full = round(100_000 * scale)
    return [
        *(Load("1-log", "items", n, _size(_visit("m-100000", 0))) for n in (full // 100, full // 10, full)),
        Load("1-trade", "items on a condition", full, _size(_order("m-100000", 0)), conditional=True),
        Load("1-files", "versions of files", VERSIONS * round(10_000 * scale)),
    ]


def measure(scale: float, port: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, at a `scale` of 1: 100,000 items and 10,000 files."""
    shutil.rmtree(ROOT, ignore_errors=True)
    home = Home(ROOT / "home")
    plan = compile_file(
        Path(__file__).with_name("items.yaml"), {"account": processes.ACCOUNT, "region": processes.REGION}
    )
    ROOT.mkdir(parents=True)
    (ROOT / "plan.json").write_text(to_json(plan))
    processes.start(home, port := processes.free_port(port))
    cloud, figures = Cloud(port), list[Figure]()
    try:
        _prepare(cloud, plan)
        ran: dict[str, list[tuple[Load, machine.Result]]] = {}
        for load in loads(scale):
            _fill(cloud, load)
            done = _run(cloud, load)
            say(f"{load.records:,} {load.what}: {_told(done)}, {machine.load()}")
            ran.setdefault(load.visit, []).append((load, done))
        _check_others(cloud)
        for found in ran.values():
            figures += _figures(found)
    finally:
        processes.stop(home)
        shutil.rmtree(ROOT, ignore_errors=True)
    return figures


def _run(cloud: Cloud, load: Load) -> machine.Result:
    environment = machine.compiled_apart(**cloud.environment, PYTHONPATH="functions:.")
    arguments = ["-m", "benchmarks.one_erasure", load.address, load.visit, str(ROOT)]
    done = machine.fresh(arguments, environment)
    records = {phase: told["records"] for phase, told in done["phases"].items()}
    if records != {"found": load.records, "erased": load.records, "left": 0}:
        raise machine.BenchmarkError(f"of {load.records:,} {load.what}: {records}")
    return done


def _told(done: machine.Result) -> str:
    return "; ".join(
        f"{phase} in {told['wall']:.1f} s, cpu {told['cpu']:.1f} s, {told['calls']}"
        for phase, told in done["phases"].items()
    )


def _figures(ran: list[tuple[Load, machine.Result]]) -> Iterator[Figure]:
    load, done = ran[-1]
    phases, of = done["phases"], f"{load.records:,} {load.what}"
    calls = sum(sum(told["calls"].values()) for told in phases.values())
    thousands = load.records / 1000
    yield figure(
        f"{of} found, erased, verified: calls per 1,000", calls / thousands, "",
        baseline=sum(load.least.values()) / thousands, budget=CALLS_BUDGET,
    )  # fmt: skip
    for phase in ("found", "erased"):
        name = f"  processor time of the worker, a record {phase}"
        yield figure(name, 1e6 * phases[phase]["cpu"] / load.records, "µs")
    yield figure("  all three on the clock", sum(told["wall"] for told in phases.values()), "s")
    yield figure("  peak memory", done["peak"] / machine.MIB, "MB", budget=MEMORY_BUDGET)
    for (small, before), (large, after) in pairwise(ran):
        cpu = [sum(t["cpu"] for t in one["phases"].values()) for one in (before, after)]
        times = large.records / small.records
        yield figure(
            f"  processor time from {small.records:,} to {large.records:,}", cpu[1], "s",
            baseline=cpu[0] * times, budget=GROWTH_BUDGET,
        )  # fmt: skip
        yield figure(
            f"  peak memory from {small.records:,} to {large.records:,}", after["peak"] / machine.MIB, "MB",
            baseline=before["peak"] / machine.MIB,
        )  # fmt: skip


# -- what is there ---------------------------------------------------------------------------------


def _visit(member: str, number: int) -> dict[str, Any]:
    at, device = f"2026-01-01T00:00:00.{number:09}Z", "Graver 90, Android 15, 4.30"
    texts = {"member_id": member, "at": at, "page": f"/projects/{number:07}", "device": device}
    return {name: {"S": text} for name, text in texts.items()}


def _order(member: str, number: int) -> dict[str, Any]:
    texts = {"order_id": f"{member}-{number:09}", "member_id": member, "item": f"engraver {number % 90:03}"}
    return {name: {"S": text} for name, text in texts.items()}


def _size(item: dict[str, Any]) -> int:
    """The bytes of an item as DynamoDB counts them: its names and its texts."""
    return sum(len(name) + len(value["S"]) for name, value in item.items())


def _prepare(cloud: Cloud, plan: Plan) -> None:
    dynamodb, s3 = cloud.client("dynamodb"), cloud.client("s3")
    for table, key, index in (
        ("members", ("member_id",), "email"),
        ("visits", ("member_id", "at"), ""),
        ("orders", ("order_id",), "member_id"),
    ):
        kinds = ("HASH", "RANGE")[: len(key)]
        by_index = {
            "IndexName": "by-email" if index == "email" else "by-member",
            "KeySchema": [{"AttributeName": index, "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        used = dict.fromkeys((*key, *([index] if index else [])))
        dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": n, "KeyType": kind} for n, kind in zip(key, kinds, strict=True)],
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in used],
            **({"GlobalSecondaryIndexes": [by_index]} if index else {}),
        )
    s3.create_bucket(Bucket="benchmark-files")
    s3.put_bucket_versioning(Bucket="benchmark-files", VersioningConfiguration={"Status": "Enabled"})
    iam = cloud.client("iam")
    role = plan.stores["people"].role.rsplit("/", 1)[-1]
    trust = '{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}'
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
    may = '{"Statement": [{"Effect": "Allow", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"}]}'
    iam.put_role_policy(RoleName=role, PolicyName="stores", PolicyDocument=may)
    for table, make in (("visits", _visit), ("orders", _order)):
        _put(cloud, table, [make("m-other", number) for number in range(OTHERS)])
    _put_files(cloud, "m-other", OTHERS)


def _fill(cloud: Cloud, load: Load) -> None:
    member = {"member_id": {"S": load.member}, "email": {"S": load.address}}
    _put(cloud, "members", [member])
    if load.visit == "1-files":
        for _ in range(VERSIONS):
            _put_files(cloud, load.member, load.records // VERSIONS)
        return
    table, make = ("visits", _visit) if load.visit == "1-log" else ("orders", _order)
    _put(cloud, table, [make(load.member, number) for number in range(load.records)])


def _put(cloud: Cloud, table: str, items: list[dict[str, Any]]) -> None:
    dynamodb = cloud.client("dynamodb")

    def write(start: int) -> None:
        puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={table: puts})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, len(items), 25)))


def _put_files(cloud: Cloud, member: str, count: int) -> None:
    s3 = cloud.client("s3")

    def write(number: int) -> None:
        s3.put_object(Bucket="benchmark-files", Key=f"pictures/{member}/{number:06}.png", Body=b"png")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(count)))


def _check_others(cloud: Cloud) -> None:
    """Past the library: nothing of the people measured is left, and all of others' is."""
    dynamodb, s3 = cloud.client("dynamodb"), cloud.client("s3")
    for table in ("visits", "orders"):
        pages = dynamodb.get_paginator("scan").paginate(TableName=table)
        owners = [item["member_id"]["S"] for page in pages for item in page["Items"]]
        if owners != ["m-other"] * OTHERS:
            raise machine.BenchmarkError(f"{table} holds {len(owners)} items of {sorted(set(owners))}")
    listed = s3.list_object_versions(Bucket="benchmark-files")
    keys = [v["Key"] for v in [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]]
    if len(keys) != OTHERS or not all(key.startswith("pictures/m-other/") for key in keys):
        raise machine.BenchmarkError(f"the bucket holds {len(keys)} versions")
