"""Lambda entry: see `dsr.store_worker.work`."""

from typing import Any

from dsr.boundary import step
from dsr.masking import masking, person
from dsr.store_worker import work
from dsr.stores.sql import store as _kind  # noqa: F401  imported at start, so that no visit waits for it


@step
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Called by the workflow."""
    return {**work(event, context, masking, person)}
