"""What a person sees while it works: one line per stage with its time, with a spinner where there is a
terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class Show:
    """Progress on standard output. Without a terminal (a pipe, CI) it prints plain lines as each stage
    ends."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._status: Status | None = None
        fancy = (self.console.encoding or "").lower().startswith("utf")
        self._done, self._failed = ("✓", "✗") if fancy else ("ok", "failed")

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Show `what` as under way, then as done or failed, with the seconds it took."""
        started = time.monotonic()
        mark, colour = self._failed, "red"
        self._status = self.console.status(what) if self.console.is_terminal else None
        if self._status:
            self._status.start()
        try:
            yield
            mark, colour = self._done, "green"
        finally:
            if self._status:
                self._status.stop()
                self._status = None
            seconds = time.monotonic() - started
            self.console.print(f"[{colour}]{mark}[/] {what} [dim]{seconds:.1f} s[/]")

    def detail(self, what: str, more: str) -> None:
        """Say more about the stage under way, where there is a spinner to say it at."""
        if self._status:
            self._status.update(f"{what} [dim]{more}[/]")

    def say(self, text: str = "") -> None:
        """A line for the person."""
        self.console.print(text)

    def total(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started
