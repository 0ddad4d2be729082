"""What all tests share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from unittest import mock

import boto3
import moto
import pytest
from hypothesis import HealthCheck, settings
from moto.kms.utils import AbstractPrivateKey, generate_private_key

from dsr import aws
from tests import servers

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


@cache
def _session() -> boto3.Session:
    return boto3.Session()


@cache
def _unused_key() -> AbstractPrivateKey:
    return generate_private_key("RSA_2048")


def _private_key(spec: str) -> AbstractPrivateKey:
    """As moto's own, which makes an RSA key, slowly, for keys that have no private half too."""
    return _unused_key() if spec.startswith(("SYMMETRIC", "HMAC")) else generate_private_key(spec)


@contextmanager
def aws_in_process() -> Iterator[None]:
    """AWS simulated in this process, with nothing left of an earlier test's clients."""
    credentials = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
    with mock.patch.dict(os.environ, credentials | {"AWS_DEFAULT_REGION": REGION}):
        os.environ.pop("AWS_ENDPOINT_URL", None)
        with moto.mock_aws(), mock.patch("moto.kms.models.generate_private_key", _private_key):
            aws.client.cache_clear()
            aws._assumed.clear()
            # The descriptions of AWS's services are read once, and not for each test's clients anew.
            boto3.DEFAULT_SESSION = _session()
            yield
        aws.client.cache_clear()
        aws._assumed.clear()


@pytest.fixture
def cloud() -> Iterator[None]:
    """AWS for one test."""
    with aws_in_process():
        yield


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[None]:
    """AWS for all tests of a module; each works on cases of its own."""
    with aws_in_process():
        yield


@pytest.fixture(scope="session")
def local_cloud() -> Iterator["Stage"]:
    """The product deployed on a local cloud, once per session; tests use it through the fixture `stage`."""
    from tests.workflow.stage import deployed

    with deployed() as stage:
        yield stage


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL."""
    with servers.postgres() as address:
        yield address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the local cloud run after all others and, with several workers, on one of them.

    The last of them looks for what the others left behind. The kill matrix comes first: it forks, which is
    quick as long as the process is small, and it takes longest.
    """
    for item in items:
        if "local_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("local_cloud"))
    items.sort(key=_when)


def _when(item: pytest.Item) -> tuple[bool, bool, bool]:
    cloud = "local_cloud" in getattr(item, "fixturenames", ())
    return cloud, "last" in item.keywords, item.path.stem != "test_matrix"
