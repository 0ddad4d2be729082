"""`python -m benchmarks [NAME ...]`, or `make bench`: measure, print a table, write build/bench.json."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import (
    access,
    bundle_forms,
    cold_start,
    continued,
    deletion,
    hundred,
    lake,
    large_object,
    machine,
    many_items,
    many_rows,
    sql_growth,
    sweep,
)
from benchmarks.figures import Figure, table, write
from infra.local.home import LocalCloudError

OUT = machine.BUILD.parent / "bench.json"


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for; returns 0 even if a budget is missed: a figure is no fault."""
    options = _parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def say(text: str) -> None:
        console.print(text, style="dim", markup=False)

    wanted: dict[str, Callable[[], list[Figure]]] = {
        "cold_start": lambda: cold_start.measure(options.rounds, say),
        "large_object": lambda: large_object.measure(max(2, options.rounds // 3), say),
        "many_rows": lambda: many_rows.measure(options.rows, max(2, options.rounds // 3), say),
        "bundle_forms": lambda: bundle_forms.measure(options.rows, max(2, options.rounds // 3), say),
        "deletion": lambda: deletion.measure(max(3, options.rounds // 3), say),
        "sql_growth": lambda: sql_growth.measure(options.others, max(2, options.rounds // 3), say),
        "many_items": lambda: many_items.measure(options.scale, options.port, say),
        "sweep": lambda: sweep.measure(max(3, options.rounds // 3), say),
        "lake": lambda: lake.measure(options.bytes, max(1, options.rounds // 3), say),
        "hundred": lambda: hundred.measure(options.people, options.deleted, options.port, say),
        "continued": lambda: continued.measure(round(100_000 * options.scale), 60, options.port, say),
        "access": lambda: access.measure(options.rounds, options.port, options.people, say),
    }
    figures: list[Figure] = []
    began = machine.load()
    try:
        for name in options.names or wanted:
            console.print(f"[bold]{name}[/]")
            figures += wanted[name]()
    except (machine.BenchmarkError, LocalCloudError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was written.", file=sys.stderr)
        return 130
    write(figures, options.out)
    title = f"At the beginning {began}, at the end {machine.load()}; Python {sys.version.split()[0]}"
    console.print(table(figures, title))
    missed = [found.name for found in figures if found.holds is False]
    console.print(f"{len(missed)} of {len(figures)} figures miss their budget. {options.out}")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    names = (
        "cold_start",
        "large_object",
        "many_rows",
        "bundle_forms",
        "deletion",
        "sql_growth",
        "many_items",
        "sweep",
        "lake",
        "hundred",
        "continued",
        "access",
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all without any")
    parser.add_argument("--rounds", type=int, default=9, help="of what is measured in turns; default 9")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of one person in one table")
    parser.add_argument("--scale", type=float, default=1.0, help="of many_items, continued; 1: 100,000 items")
    parser.add_argument("--bytes", type=int, default=lake.SIZE, help="of the Parquet file of lake")
    parser.add_argument("--others", type=int, default=10_000_000, help="rows of others in sql_growth")
    parser.add_argument("--people", type=int, default=2000, help="of the sample; and ten times as many")
    parser.add_argument("--deleted", type=int, default=100, help="people that hundred deletes of the sample")
    parser.add_argument("--port", type=int, default=4600, help="of the local cloud, if free; default 4600")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="where the figures go; default build/bench.json"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
