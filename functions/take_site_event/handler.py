"""Lambda entry: see `dsr.site_events.take_event`."""

from typing import Any

from dsr.boundary import step
from dsr.site_events import take_event


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the event bus."""
    return {**take_event(event)}
