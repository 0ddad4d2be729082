"""A cold start in a process of its own: no search for garbage while it imports, and as usual from then on."""

import os
import subprocess
import sys

import pytest

from dsr import cold

CHILD = """
import gc
usual = gc.get_threshold()
import dsr.aws
importing = gc.get_threshold()
dsr.aws.client("sts")
print(usual == importing, usual == gc.get_threshold(), gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize(("name", "said"), [("dsr-store-sql", "False True True"), ("", "True True False")])
def test_garbage_is_looked_for_as_usual_once_all_is_imported(name: str, said: str) -> None:
    """In Lambda; elsewhere nothing is changed."""
    settings = os.environ | {"AWS_DEFAULT_REGION": "eu-west-1", "PYTHONPATH": "functions"}
    settings.pop("AWS_LAMBDA_FUNCTION_NAME", None)
    settings |= {"AWS_LAMBDA_FUNCTION_NAME": name} if name else {}
    ended = subprocess.run(
        [sys.executable, "-c", CHILD], env=settings, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == said


def test_to_end_what_never_began_changes_nothing() -> None:
    cold.end()
