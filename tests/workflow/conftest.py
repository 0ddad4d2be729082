"""What the tests on the local cloud share, those that break it included."""

from collections.abc import Iterator

import pytest

from dsr import aws
from tests.workflow.stage import Stage


@pytest.fixture(scope="module")
def stage(local_cloud: Stage) -> Iterator[Stage]:
    """The deployed product, with this process's own clients leading to it while a module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_cloud.cloud.environment.items():
            patch.setenv(name, value)
        aws.client.cache_clear()
        aws._assumed.clear()
        yield local_cloud
    aws.client.cache_clear()
    aws._assumed.clear()
