"""What all tests share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import moto
import pytest
from hypothesis import HealthCheck, settings

from dsr import aws

if TYPE_CHECKING:
    from tests.workflow.stage import Stage

REGION = "us-east-1"

# The first call into a simulated service is slow, and examples of a property share one fixture on purpose.
settings.register_profile(
    "dsr",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("dsr")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in this process, with nothing left of an earlier test's clients."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with moto.mock_aws():
        aws.client.cache_clear()
        aws._assumed.clear()
        yield
    aws.client.cache_clear()
    aws._assumed.clear()


@pytest.fixture(scope="session")
def local_cloud() -> Iterator["Stage"]:
    """The product deployed on a local cloud, once per session; tests use it through the fixture `stage`."""
    from tests.workflow.stage import deployed

    with deployed() as stage:
        yield stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the local cloud run after all others and, with several workers, on one of them.

    The last of them looks for what the others left behind.
    """
    for item in items:
        if "local_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("local_cloud"))
    items.sort(key=lambda item: ("local_cloud" in getattr(item, "fixturenames", ()), "last" in item.keywords))
