"""Lambda entry: see `dsr.heads.sign_heads`."""

from typing import Any

from dsr.boundary import step
from dsr.heads import sign_heads


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the scheduler."""
    return {**sign_heads(event, context)}
