"""Measuring on a machine that others use too: fresh processes, processor time, memory, load."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from infra.local.home import ROOT

BUILD = ROOT / "build/bench"
MIB = 1024 * 1024


Result = dict[str, Any]  # what a measured process says: wall and cpu in seconds, peak in bytes, and more


class BenchmarkError(Exception):
    """A measurement could not be made, or did not do what it is to measure; the message says why."""


@dataclass
class Spent:
    """What a piece of work took: seconds on the clock, seconds of this process's processor time."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure what happens inside, in this process alone."""
    taken = Spent()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield taken
    finally:
        taken.wall, taken.cpu = time.perf_counter() - wall, time.process_time() - cpu


def peak_memory() -> int:
    """The most bytes that this process had resident so far.

    Linux's own count of this program: getrusage would also count whoever started it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def say(result: Result) -> None:
    """What a measured process says, for `fresh` to read."""
    print(json.dumps(result), flush=True)


def fresh(arguments: list[str], environment: Mapping[str, str], folder: Path = ROOT) -> Result:
    """Run Python anew with these arguments; returns what it said. Raises BenchmarkError if it failed."""
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = "\n".join(ended.stderr.strip().splitlines()[-12:])
        raise BenchmarkError(f"python {' '.join(arguments)} ended with {ended.returncode}:\n{said}")
    found: Result = json.loads(ended.stdout.splitlines()[-1])
    return found


def plain_environment(**more: str) -> dict[str, str]:
    """An environment without the caller's AWS set-up, its Python settings, or a proxy."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    placeholders = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return kept | placeholders | more


def compiled_apart(**more: str) -> dict[str, str]:
    """`plain_environment`, with compiled files in a place of our own.

    So whatever the environment holds compiled and what not, after one run for warming up all of it is.
    """
    return plain_environment(PYTHONPYCACHEPREFIX=str(BUILD / "compiled"), **more)


@dataclass
class Turns:
    """Figures of what ran in turns: per name the seconds of each round."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, wall: float, cpu: float) -> None:
        """Add a round of `name`."""
        self.wall.setdefault(name, []).append(wall)
        self.cpu.setdefault(name, []).append(cpu)

    def ratio(self, name: str, baseline: str, of: str = "cpu") -> float:
        """The median over the rounds of `name` by `baseline`, each round by itself."""
        figures: dict[str, list[float]] = getattr(self, of)
        return median(a / b for a, b in zip(figures[name], figures[baseline], strict=True))


def noise(size: int) -> bytes:
    """`size` bytes that do not compress."""
    return os.urandom(size)


def load() -> str:
    """How busy the machine is, in words."""
    one, five, _ = os.getloadavg()
    return f"load {one:.1f} (1 min) {five:.1f} (5 min) on {psutil.cpu_count()} processors"
