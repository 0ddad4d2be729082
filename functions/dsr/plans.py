"""Plans by version: a case runs to its end with the version of the map that it started with."""

from functools import lru_cache

from dsr.aws import client
from dsr.case import KEPT_CHANNEL, Case
from dsr.datamap.plan import Plan, from_json, load, to_json
from dsr.planning import by_own_keys


def keep(bucket: str) -> str:
    """Store the shipped plan under its version; returns the version. Harmless when it is there already.

    Once per worker: what a worker has stored stays.
    """
    plan = load()
    if (bucket, plan.version) not in _kept:
        client("s3").put_object(Bucket=bucket, Key=_key(plan.version), Body=to_json(plan).encode())
        _kept.add((bucket, plan.version))
    return plan.version


_kept: set[tuple[str, str]] = set()


def of_version(version: str, bucket: str) -> Plan:
    """The plan of that version: the shipped one, or the stored one of an earlier deployment."""
    try:
        shipped = load()
    except ModuleNotFoundError:  # an operator's machine has no layers
        return _stored(version, bucket)
    return shipped if shipped.version == version else _stored(version, bucket)


def of_case(case: Case, bucket: str) -> Plan:
    """The plan that a case goes by: of its map, whole, or of what an earlier case kept."""
    plan = of_version(case.map_version, bucket)
    return by_own_keys(plan) if case.channel == KEPT_CHANNEL else plan


@lru_cache(maxsize=4)
def _stored(version: str, bucket: str) -> Plan:
    return from_json(client("s3").get_object(Bucket=bucket, Key=_key(version))["Body"].read())


def _key(version: str) -> str:
    return f"plans/{version}.json"
