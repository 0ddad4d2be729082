"""Every kind of store on its real or simulated engine: moto for AWS, a real PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.stores import harness as kinds


@pytest.fixture(
    params=[
        "dynamodb",
        "dynamodb-index",
        "s3",
        "cognito",
        "sql",
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
        case _:
            made = kinds.SQLHarness(request.getfixturevalue("postgres"))
    with kinds.dispose(made):
        yield made
