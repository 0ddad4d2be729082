"""A cold start without the search for garbage: what is imported stays, and looking through it takes time.

In a function of Lambda alone: Python looks through all that is there over and over while it imports, which
is up to a fifth of a start's processor time.
"""

import gc
import os

_usual = gc.get_threshold()


def begin() -> None:
    """Before anything else is imported."""
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        gc.set_threshold(1_000_000)  # not never: whatever is forgotten, memory stays bounded


def end() -> None:
    """When all is imported: garbage is looked for as usual, but not among what is there by now."""
    if gc.get_threshold() != _usual:
        gc.freeze()
        gc.set_threshold(*_usual)
