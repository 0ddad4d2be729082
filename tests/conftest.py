"""What all tests share."""

from collections.abc import Iterator

import moto
import pytest
from hypothesis import HealthCheck, settings

from dsr import aws

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
