"""Lambda entry: see `dsr.keeping_clocks.keep_clocks`."""

from typing import Any

from dsr.boundary import step
from dsr.keeping_clocks import keep_clocks


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the scheduler."""
    return {**keep_clocks(event)}
