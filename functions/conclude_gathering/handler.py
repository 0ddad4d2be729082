"""Lambda entry: see `dsr.concluding.conclude`."""

from typing import Any

from dsr.boundary import step
from dsr.concluding import conclude


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**conclude(event)}
