"""Lambda entry: see `dsr.taking_up.take_up`."""

from typing import Any

from dsr.boundary import step
from dsr.taking_up import take_up


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**take_up(event)}
