"""AWS clients, made once and on demand. The only place that makes them."""

import os
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session

from dsr import cold

# Standard mode retries throttling and 5xx with jitter; beyond that the workflow retries the step.
# The read timeout stays under the shortest time a worker keeps in reserve to save its cursor.
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=3, read_timeout=20)

# Links to objects are signed by version 4, since a bucket under a KMS key accepts no other and
# us-east-1 still gets version 2 by default; and to the bucket's own region, since a new bucket
# elsewhere answers the global name with a redirect that breaks the signature. A local cloud on one
# address knows no bucket by host name.
_S3 = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path" if "AWS_ENDPOINT_URL" in os.environ else "virtual"},
)


@cache
def _session() -> Session:
    cold.end()  # clients are made when all else is imported
    # Not boto3's: its resources and transfers are of no use here and take a cold start some 25 ms.
    return Session()


@cache
def client(service: str) -> Any:
    """The client of a service under the function's own role."""
    config = _CONFIG.merge(_S3) if service == "s3" else _CONFIG
    return _session().create_client(service, config=config)


@dataclass(frozen=True)
class Access:
    """The right to a store: the role that its owner deployed, and the external id it asks for."""

    role: str
    external_id: str
    region: str


# STS gives at least 15 minutes; a client is renewed well before, so that none dies mid-invocation
# of a worker (at most 5 minutes).
_ASSUME_SECONDS = 900
_RENEW_BEFORE = 420
_assumed: dict[tuple[Access, str], tuple[float, Any]] = {}


def client_as(access: Access, service: str, now: float | None = None) -> Any:
    """The client of a service under a store's access role; assumed once and renewed before it ends.

    Without a role (the command line of whoever may look themselves) it is the caller's own. Raises
    botocore's ClientError (AccessDenied) where the owner does not let us.
    """
    if not access.role:
        return _session().create_client(service, region_name=access.region, config=_CONFIG)
    now = time.time() if now is None else now
    known = _assumed.get((access, service))
    if known and known[0] - _RENEW_BEFORE > now:
        return known[1]
    granted = client("sts").assume_role(
        RoleArn=access.role,
        RoleSessionName="dsr",
        ExternalId=access.external_id,
        DurationSeconds=_ASSUME_SECONDS,
    )["Credentials"]
    made = _session().create_client(
        service,
        region_name=access.region,
        aws_access_key_id=granted["AccessKeyId"],
        aws_secret_access_key=granted["SecretAccessKey"],
        aws_session_token=granted["SessionToken"],
        config=_CONFIG,
    )
    _assumed[(access, service)] = (now + _ASSUME_SECONDS, made)
    return made
