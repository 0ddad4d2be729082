"""`make down`: everything of the local cloud stopped, in order; what it holds is kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local import postgres, processes
from infra.local.home import Home
from infra.local.show import Show

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def down(home: Home, show: Show) -> int:
    """Stop whatever of this home runs, and say what that was."""
    found = processes.left_over(home) or postgres.running_on(home) is not None
    if not found:
        show.say("Nothing is running.")
        return 0
    with show.stage("stop the local cloud"):
        take_down(home)
    show.say("What it holds is kept: `make up` goes on from there, `make clean` deletes it.")
    return 0


def take_down(home: Home) -> None:
    """Stop the AWS side, then the database. Notes whether the AWS side could save what it held."""
    with _undisturbed():
        was_running = processes.running_on(home) is not None
        in_order = processes.stop(home)
        postgres.stop(home)
        held = home.note("held")
        if held and was_running:
            home.take_note("held", held | {"saved": in_order})


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no Ctrl-C leave things half stopped, which takes seconds: it counts once they are stopped."""
    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody touch signals
        yield
        return
    received: list[int] = []
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
