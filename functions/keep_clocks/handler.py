"""Lambda entry: see `dsr.keeping_clocks.keep_clocks`."""

import time
from typing import Any

from dsr.boundary import step
from dsr.keeping_clocks import keep_clocks

RESERVE_SECONDS = 30  # for the case that is looked at when time ends


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the scheduler."""
    remaining = context.get_remaining_time_in_millis() / 1000
    return {**keep_clocks(event, time.monotonic() + remaining - RESERVE_SECONDS)}
