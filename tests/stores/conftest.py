"""Every kind of store on its real or simulated engine: moto for AWS, a real PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.stores import harness as kinds
from tests.stores import mariadb


@pytest.fixture(scope="session")
def maria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mariadb.Server]:
    """A real MariaDB; where Debian's package is not installed, its tests are skipped and say so."""
    if not mariadb.installed():
        pytest.skip("no MariaDB on this machine (apt-get install mariadb-server)")
    with mariadb.running(tmp_path_factory.mktemp("maria")) as server:
        yield server


@pytest.fixture(
    params=[
        "dynamodb",
        "dynamodb-index",
        "s3",
        "cognito",
        "sql",
        "data-api",
        "mariadb",
        "parquet",
        "jsonl-gzip",
        "csv",
    ]
)
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
        case "parquet" | "jsonl-gzip" | "csv":
            form, _, packed = request.param.partition("-")
            made = kinds.LakeHarness(form, gzipped=bool(packed))
        case "data-api":
            made = kinds.DataAPIHarness(request.getfixturevalue("postgres"))
        case "mariadb":
            made = kinds.MariaDBHarness(request.getfixturevalue("maria"))
        case _:
            made = kinds.SQLHarness(request.getfixturevalue("postgres"))
    with kinds.dispose(made):
        yield made
