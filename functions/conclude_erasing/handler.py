"""Lambda entry: see `dsr.confirming.conclude_erasing`."""

from typing import Any

from dsr.boundary import step
from dsr.confirming import conclude_erasing


@step
def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**conclude_erasing(event)}
