"""The stage of the tests on the local cloud, to be broken while it runs."""

from tests.workflow.conftest import stage

__all__ = ["stage"]
