"""Lambda entry: see `dsr.taking_answers`."""

from typing import Any

from dsr.taking_answers import take_answer


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request of API Gateway's REST proxy."""
    return take_answer(event)
