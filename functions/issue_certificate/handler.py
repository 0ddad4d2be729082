"""Lambda entry: see `dsr.certifying.issue_certificate`."""

from typing import Any

from dsr.boundary import step
from dsr.certifying import issue_certificate


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**issue_certificate(event, context)}
