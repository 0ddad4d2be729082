"""Lambda entry: see `dsr.resolving.resolve`."""

from typing import Any

from dsr.boundary import step
from dsr.resolving import resolve


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**resolve(event)}
