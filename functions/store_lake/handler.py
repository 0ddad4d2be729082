"""Lambda entry: see `dsr.lake_worker.work`."""

from typing import Any

from dsr.boundary import step
from dsr.lake_worker import work


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**work(event, context)}
