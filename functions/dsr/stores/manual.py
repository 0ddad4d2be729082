"""Manual tasks: an agent of the desk asks, and hands in the answer there."""

from typing import Any

from dsr.datamap.plan import Store as StorePlan
from dsr.questions import Question


class ManualRecipient:
    """Whoever an agent asks."""

    verifies = False  # what a person stated is not examined: the certificate says that it was stated

    def __init__(self, store: StorePlan) -> None:
        self._store = store

    def ask(self, question: Question, message: dict[str, Any]) -> bytes | None:  # noqa: ARG002
        """The task stands at the desk from now on."""
        return None
