"""Two gigabytes of a person's large files made into a bundle, against the same bytes through one process.

Measured: the bundle's own function, in a process of its own, AWS answered by the stand-in, whose objects are
files (so without network; moving bytes and summing them, as S3 does for a part that it copies, is in all the
times). Against the least that hands the files over: each read and stored into a zip, in one process. Once
with the right to have S3 copy, once without it. Bytes through the function do not depend on the machine. And
the peak of memory, against a bundle of one file of 1 MB, up to one of 4 GB: the size of files must not show.
"""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import machine, many_rows
from benchmarks.figures import Figure, figure
from benchmarks.one_case import MEMBER
from benchmarks.standin import StandIn
from infra.local import postgres
from infra.local.home import Home

ROOT = machine.BUILD / "object"
BUCKET = "benchmark-files"
SMALL, MIDDLE, LARGE, NUMBER = 1, 50, 500, 4  # MB of a file, and how many of the large ones
LARGEST = 4000
MEMORY_BUDGET = 1.1  # flat
COPIED_BUDGET = 1.0  # × the plain stream, whose bytes all pass
THROUGH_BUDGET = 0.02


def measure(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures, each from `rounds` bundles in turns."""
    shutil.rmtree(ROOT, ignore_errors=True)
    server = postgres.start(Home(ROOT / "home"))
    try:
        many_rows.fill(server, 0)
        turns, results = machine.Turns(), dict[str, list[machine.Result]]()
        sizes = {"small": [SMALL], "plain": [LARGE] * NUMBER}
        sizes |= {"copied": sizes["plain"], "passed": sizes["plain"]}
        for name, size in (("middle", MIDDLE), ("largest", LARGEST)):
            sizes |= {f"{name} copied": [size], f"{name} passed": [size]}
        for number in range(rounds):
            for name, wanted in sizes.items():
                if number and name.partition(" ")[0] in ("middle", "largest"):
                    continue  # memory alone, which hardly varies
                result = _made(server, name, wanted)
                turns.note(name, result["wall"], result["cpu"])
                results.setdefault(name, []).append(result)
                said = f"{result['wall']:.1f} s, cpu {result['cpu']:.1f} s"
                say(f"round {number + 1}: {name}: {said}, {result['peak'] / machine.MIB:.0f} MB")
    finally:
        postgres.stop(Home(ROOT / "home"))
        shutil.rmtree(ROOT, ignore_errors=True)
    return list(_figures(turns, results))


def _figures(turns: machine.Turns, results: dict[str, list[machine.Result]]) -> list[Figure]:
    plain = median(turns.wall["plain"])
    of = f"{NUMBER * LARGE / 1000:g} GB in {NUMBER} files"

    def most(name: str, what: str) -> float:
        return float(max(result[what] for result in results[name])) / machine.MIB

    small = most("small", "peak")

    def flat(of: str, name: str) -> Figure:
        return figure(of, most(name, "peak"), "MB", baseline=small, budget=MEMORY_BUDGET)

    against = f"peak memory, against one file of {SMALL} MB"
    return [
        figure(f"{of}, copied by S3, against a plain stream of them", median(turns.wall["copied"]), "s",
            baseline=plain, ratio=turns.ratio("copied", "plain", "wall"), budget=COPIED_BUDGET),
        figure("  processor time, with that of the stand-in for S3", median(turns.cpu["copied"]), "s",
            baseline=median(turns.cpu["plain"]), ratio=turns.ratio("copied", "plain")),
        figure("  bytes through the function, read and sent", most("copied", "through"), "MB",
            baseline=most("plain", "through"), budget=THROUGH_BUDGET),
        flat(f"  {against}", "copied"),
        figure(f"{of}, passing through, against a plain stream of them", median(turns.wall["passed"]), "s",
            baseline=plain, ratio=turns.ratio("passed", "plain", "wall")),
        flat(f"  {against}", "passed"),
        flat(f"one file of {MIDDLE} MB, copied by S3: {against}", "middle copied"),
        flat(f"one file of {MIDDLE} MB, passing through: {against}", "middle passed"),
        flat(f"one file of {LARGEST / 1000:g} GB, copied by S3: {against}", "largest copied"),
        flat(f"one file of {LARGEST / 1000:g} GB, passing through: {against}", "largest passed"),
        figure("a plain stream of them: peak memory", most("plain", "peak"), "MB"),
    ]  # fmt: skip


def _made(server: postgres.Server, name: str, sizes: list[int]) -> machine.Result:
    """Gather and bundle files of these sizes in MB. Raises BenchmarkError unless the zip holds them whole."""
    folder = ROOT / "case"
    shipped, compiled = many_rows.new_case(server, folder)
    for number, size in enumerate(sizes):
        path = StandIn(folder, {}).path(BUCKET, f"{MEMBER}/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(_source(number, size), path)
    environment = many_rows.environment(shipped)
    if name == "plain":
        (folder / "bundles").mkdir()
        result = machine.fresh(["-m", "benchmarks.plain_stream", str(folder), BUCKET], environment)
    else:
        if name.endswith("passed"):
            (folder / "copies-refused").touch()
        for visit in compiled.visits:
            machine.fresh(["-m", "benchmarks.one_case", visit.visit, str(folder)], environment)
        result = machine.fresh(["-m", "benchmarks.one_case", "bundle", str(folder)], environment)
    _check(next((folder / "bundles").iterdir()), sizes)
    return result


def _source(number: int, size: int) -> Path:
    """A file of noise, made once."""
    path = ROOT / "source" / f"{size}-{number}"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            for _ in range(size):
                file.write(machine.noise(machine.MIB))
    return path


def _check(made: Path, sizes: list[int]) -> None:
    with zipfile.ZipFile(made) as opened:
        found = sorted(i.file_size for i in opened.infolist() if i.filename.endswith(".png"))
        if found != sorted(size * machine.MIB for size in sizes):
            raise machine.BenchmarkError(f"the zip holds files of {found} bytes")
        with opened.open(next(i for i in opened.infolist() if i.filename.endswith(".png"))) as first:
            while first.read(machine.MIB):  # raises where a sum is wrong
                pass
