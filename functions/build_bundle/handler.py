"""Lambda entry: see `dsr.bundling.bundle`."""

from typing import Any

from dsr.boundary import step
from dsr.bundling import bundle


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**bundle(event, context)}
