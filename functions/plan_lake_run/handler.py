"""Lambda entry: see `dsr.lake_runs.plan_lake_run`."""

from typing import Any

from dsr.boundary import step
from dsr.lake_runs import plan_lake_run


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return plan_lake_run(event)
