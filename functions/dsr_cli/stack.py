"""The deployed product, as its stack describes it."""

from botocore.exceptions import ClientError

from dsr.aws import client
from dsr.errors import DsrError


def outputs(name: str) -> dict[str, str]:
    """The outputs of the deployment `name`. Raises DsrError where there is none."""
    try:
        stacks = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise DsrError(f"there is no stack {name} in this account and region") from None
        raise
    found = {o["OutputKey"]: o["OutputValue"] for o in stacks[0].get("Outputs", ())}
    if "CasesTable" not in found:
        raise DsrError(f"the stack {name} is not a deployment of this product")
    return found
