"""A hundred people deleted through the deployed product, all others compared in every store, by record.

The site says that they deleted their accounts, several at once; each case runs to its certificate. What
every store held before is held against what it holds after: of those who were deleted all must be gone,
masked or kept as the map says, of everybody else every record must be what it was.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import median

from benchmarks import machine
from benchmarks.cases import case_state, cpu, wait
from benchmarks.cloud import cloud
from benchmarks.figures import Figure, figure
from dsr.datamap.plan import from_json
from infra.craftzone import load
from infra.craftzone.people import Community
from infra.local import erasure_checks, site
from infra.local.home import ROOT
from infra.local.up import Running

AT_ONCE = 8
ENDS = ("erased", "erased_in_part")
STOPS = ("needs_attention", "awaiting_approval")
PATIENCE = 600.0  # seconds for so many at once


def measure(people: int, deleted: int, port: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, of a community of `people` of whom `deleted` are deleted.

    Raises BenchmarkError unless every record of everybody is as it must be.
    """
    with cloud("hundred", port, people) as running:
        chosen = list(islice(ordinary(running.community), deleted))
        before = load.snapshot(running.stores)
        spent, began, took = cpu(running), time.monotonic(), list[float]()
        for start in range(0, len(chosen), AT_ONCE):
            some = chosen[start : start + AT_ONCE]
            with machine.spent() as batch:
                site_deletes(running, some)
            took.append(batch.wall / len(some))
            say(f"{start + len(some)} of {deleted}: {took[-1]:.2f} s each, {machine.load()}")
        seconds = time.monotonic() - began
        used = {who: now - spent[who] for who, now in cpu(running).items()}
        after = load.snapshot(running.stores)
        found = compare(running, chosen, before, after)
    if found:
        raise machine.BenchmarkError(f"{len(found)} records are not as they must be: {found[:5]}")
    records = sum(len(held) for held in before.values())
    return [
        figure(f"{deleted} of {people:,} people deleted, {AT_ONCE} at once: each", median(took), "s"),
        figure("  all of them", seconds, "s"),
        *(figure(f"  processor time of {who}, each", used[who] / deleted, "s") for who in used),
        figure("  records compared, all of everybody", records, ""),
        figure("  of them gone", records - sum(len(held) for held in after.values()), ""),
        figure("  of others altered", len(found), "", budget=0),
    ]


def ordinary(community: Community) -> Iterator[str]:
    """Members who are none of the sample's special people."""
    return (person.key for person in community.everyone() if person.member and person.persona is None)


def compare(running: Running, deleted: list[str], before: load.Snapshot, after: load.Snapshot) -> list[str]:
    """What is wrong after these people were deleted, as sentences."""
    plan = from_json((ROOT / "build/plan/plan.json").read_text())
    return erasure_checks.faults_of_all(plan, running.community, deleted, before, after)


def site_deletes(running: Running, people: list[str]) -> list[str]:
    """The site says that they are deleted, and it is waited for; returns their cases.

    Raises BenchmarkError if one stops for a person.
    """
    cases = site.tell_deleted(running.cloud, running.community, people)

    def ended(case: str) -> bool:
        state = case_state(running, case)
        if state in STOPS:
            raise machine.BenchmarkError(f"case {case} stopped: {state}")
        return state in ENDS

    for case in cases.values():
        wait(lambda case=case: ended(case), f"case {case} ends", 0.5, PATIENCE)  # type: ignore[misc]
    return list(cases.values())
