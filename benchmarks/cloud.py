"""A local cloud of a benchmark's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import machine
from infra.local import down, processes
from infra.local.home import Home
from infra.local.show import Show
from infra.local.up import Running, bring_up

# One person asks again and again, which the product would not let them.
UNTHROTTLED = {"ThrottleAddress": "1000", "ThrottleSource": "1000"}


@contextmanager
def cloud(name: str, port: int, people: int) -> Iterator[Running]:
    """A local cloud with everything deployed and so many people, gone afterwards."""
    home = Home(machine.BUILD / f"cloud-{name}")
    with home.alone():
        # What a courier answers at the desk is nobody's speed but theirs.
        running = bring_up(
            home, processes.free_port(port), people, Show(),
            clean=True, parameters=UNTHROTTLED, couriered=False,
        )  # fmt: skip
        try:
            yield running
        finally:
            down.take_down(home)
            home.erase()
