"""A measured figure, its table and its file. Pure but for the file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the result.

    `figure` is in `unit`, and so is `baseline`, what it is measured against (None: against nothing).
    `budget` limits `ratio` (figure by baseline) where there is a baseline, else the figure itself;
    None: reported only, and `holds` is None too.
    """

    name: str
    figure: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    budget: float | None = None
    holds: bool | None = None


def figure(
    name: str, measured: float, unit: str, *, budget: float | None = None, baseline: float | None = None,
    ratio: float | None = None,
) -> Figure:  # fmt: skip
    """The figure with what follows from it. `ratio` is given where it is not just the quotient of both.

    Raises ValueError for less than nothing: what subtracts noise from noise is no measurement.
    """
    if ratio is None and baseline is not None:
        ratio = measured / baseline
    limited = measured if ratio is None else ratio
    if min(measured, limited) < 0:
        raise ValueError(f"{name}: {measured} {unit}, {limited}: less than nothing was measured")
    holds = None if budget is None else limited <= budget
    return Figure(name, measured, unit, baseline, ratio, budget, holds)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write them as a JSON list, one object per figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([_rounded(found) for found in figures], indent=1) + "\n")


def table(figures: Sequence[Figure], title: str) -> Table:
    """They as a person reads them."""
    made = Table(
        "what", "figure", "", "baseline", "ratio", "budget", "holds", title=title, title_justify="left"
    )
    for column in (1, 3, 4, 5):
        made.columns[column].justify = "right"
    for found in figures:
        limit = "" if found.budget is None else f"{found.budget:g}" + ("×" if found.ratio is not None else "")
        verdict = {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[found.holds]
        ratio = "" if found.ratio is None else f"{found.ratio:.2f}×"
        baseline = "" if found.baseline is None else _plain(found.baseline)
        made.add_row(found.name, _plain(found.figure), found.unit, baseline, ratio, limit, verdict)
    return made


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def _rounded(found: Figure) -> dict[str, object]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(found).items()}
