"""Lambda entry: see `dsr.store_worker.work`."""

from typing import Any

from dsr import asking as _asking  # noqa: F401  imported at start, as its kind
from dsr.boundary import step
from dsr.store_worker import work
from dsr.stores import webhook as _kind  # noqa: F401  imported at start, so that no visit waits for it


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**work(event, context)}
