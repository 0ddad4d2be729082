"""The memory that a bundle takes with one original of 300 MB in it, against one of 1 MB.

Measured: the peak of memory of the bundle's own function, in a process of its own, AWS answered by the
stand-in, whose objects are files. Against the same with a small original: how large a file is must not show
in memory. A second line says what the large one costs in processor time, against nothing.
"""

import shutil
from collections.abc import Callable
from statistics import median

from benchmarks import machine, many_rows
from benchmarks.figures import Figure, figure
from benchmarks.one_case import ADDRESS, MEMBER
from benchmarks.standin import StandIn
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "object"
SMALL, LARGE = 1, 300  # MB
BUCKET = "benchmark-files"
# Flat but for the buffers of an upload: a small object never fills the two parts of 8 MB beside some 90 MB.
MEMORY_BUDGET = 1.25


def measure(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each from `rounds` bundles in turns."""
    shutil.rmtree(ROOT, ignore_errors=True)
    server = postgres.start(Home(ROOT / "home"))
    try:
        many_rows.fill(server, 0)
        peaks: dict[int, list[int]] = {SMALL: [], LARGE: []}
        times: dict[int, list[float]] = {SMALL: [], LARGE: []}
        for number in range(rounds):
            for size in (SMALL, LARGE):
                result = _bundled(server, size)
                peaks[size].append(result["peak"])
                times[size].append(result["cpu"])
                say(f"round {number + 1}: {size} MB: {result['wall']:.1f} s, cpu {result['cpu']:.1f} s")
    finally:
        postgres.stop(Home(ROOT / "home"))
        shutil.rmtree(ROOT, ignore_errors=True)
    name = f"bundle with one original of {LARGE} MB"
    small, large = (median(peaks[size]) / machine.MIB for size in (SMALL, LARGE))
    return [
        figure(f"{name}: peak memory, against {SMALL} MB", large, "MB", baseline=small, budget=MEMORY_BUDGET),
        figure(f"{name}: processor time", median(times[LARGE]), "s"),
    ]


def _bundled(server: postgres.Server, size: int) -> machine.Result:
    """Gather and bundle one file of `size` MB. Raises BenchmarkError unless the bundle holds it."""
    folder = ROOT / "case"
    shipped, compiled = many_rows.new_case(server, folder)
    path = StandIn(folder, {}).path(BUCKET, f"{MEMBER}/original.png")
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for _ in range(size):
            file.write(machine.noise(machine.MIB))
    for visit in compiled.visits:
        machine.fresh(["-m", "benchmarks.one_case", visit.visit, str(folder)], many_rows.environment(shipped))
    result = machine.fresh(
        ["-m", "benchmarks.one_case", "bundle", str(folder)], many_rows.environment(shipped)
    )
    if result["came"] < size * machine.MIB:
        raise machine.BenchmarkError(
            f"the bundle of {ADDRESS} is {result['came']} bytes: the original is missing"
        )
    return result
