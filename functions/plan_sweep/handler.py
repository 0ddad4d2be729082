"""Lambda entry: see `dsr.sweeping.plan_sweep`."""

from typing import Any

from dsr.boundary import step
from dsr.sweeping import plan_sweep


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return plan_sweep(event)
