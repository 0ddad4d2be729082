"""Putting the stacks into the local cloud: the sample community's, the roles its owner grants, and the
product's.

All three go through `sam deploy`, as they would on AWS, and the product's template.yaml is the file that one
deploys there.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dsr.errors import MapError
from infra import build
from infra.local import mailing, postgres, processes
from infra.local.cloud import Cloud
from infra.local.home import ROOT, Home, LocalCloudError

COMMUNITY_STACK = "craftzone"
ROLES_STACK = "craftzone-roles"
PRODUCT_STACK = "dsr"
SENDER = "privacy@craftzone.example"
# All others are the defaults that one deploys with on AWS. The local cloud speaks plain HTTP, and nobody
# watches a demo for three days, nor until a lake run begins at night.
PRODUCT_PARAMETERS = {
    "Sender": SENDER,
    "RequireTls": "false",
    "CoolingHours": "0",
    "LocalRecipients": "true",
    "LakeRuns": "at-once",
}
CLIENT_NAME = "dsr"
# Who works at the desk of the demo, by group. A sample has no secrets.
DESK_PASSWORD = "CraftZone-desk-1"
DESK_PEOPLE = {
    "agents": "agent@craftzone.example",
    "approvers": "approver@craftzone.example",
    "auditors": "auditor@craftzone.example",
}


def deploy_community(home: Home, cloud: Cloud, server: postgres.Server) -> dict[str, str]:
    """Deploy the stores of the sample community. Returns the stack's outputs."""
    parameters = {
        "DatabaseHost": postgres.HOST,
        "DatabasePort": str(server.port),
        "DatabasePassword": home.secret("dsr"),
        "MailingSecret": mailing.secret_of(home),
    }
    return sam_deploy(home, cloud, ROOT / "infra/craftzone/template.yaml", COMMUNITY_STACK, parameters)


def build_product(user_pool: str, others: str) -> None:
    """Compile the community's data map and fill the layers.

    `user_pool` is the id of its sign-in; `others` is the address of its mailing provider, and of the provider
    that members sign in with.
    """
    values = {"account": processes.ACCOUNT, "region": processes.REGION, "user_pool": user_pool}
    values |= {"mailing": f"{others}/dsr", "revocation": f"{others}{mailing.REVOCATION}"}
    try:
        build.build(aws=False, data_map=ROOT / "infra/craftzone/datamap.yaml", values=values)
    except (build.BuildError, MapError) as error:
        raise LocalCloudError(str(error)) from None


def deploy_product(
    home: Home, cloud: Cloud, user_pool: str, parameters: Mapping[str, str] | None = None
) -> str:
    """Deploy template.yaml, then the roles that trust it, and settle what an operator settles by hand on AWS.

    `parameters` of the template come on top of `PRODUCT_PARAMETERS`. Returns the address of the public pages.
    """
    given = PRODUCT_PARAMETERS | dict(parameters or {})
    outputs = sam_deploy(home, cloud, ROOT / "template.yaml", PRODUCT_STACK, given)
    sam_deploy(home, cloud, ROOT / "build/plan/roles.template.json", ROLES_STACK, {})
    # The id of an API changes with every edit of it here (not on AWS), so it is read after each deployment.
    url = cloud.api_url(outputs["ApiId"])
    _set_parameter(cloud, "/dsr/public-url", url)
    _set_parameter(cloud, "/dsr/member-sign-in", _sign_in(cloud, user_pool, [f"{url}/sign-in/callback"], []))
    desk = outputs["DeskUserPool"]
    back, out = f"{url}/desk/sign-in/callback", f"{url}/desk/sign-in"
    _set_parameter(cloud, "/dsr/desk-sign-in", _sign_in(cloud, desk, [back], [out]))
    _employ(cloud, desk)
    cloud.client("sesv2").create_email_identity(EmailIdentity=SENDER)
    return url


def sam_deploy(
    home: Home, cloud: Cloud, template: Path, stack: str, parameters: dict[str, str]
) -> dict[str, str]:
    """Deploy `template` as it is with the sam command. Returns the stack's outputs.

    Raises LocalCloudError with the end of what sam said if it fails.
    """
    config = home.root / "samconfig.toml"  # not the operator's own, which names their account and answers
    config.write_text("version = 0.1\n")
    command = [
        *(sys.executable, "-m", "samcli", "deploy", "--config-file", str(config)),
        *("--template-file", str(template), "--stack-name", stack, "--resolve-s3"),
        *("--capabilities", "CAPABILITY_NAMED_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"),
        *("--no-progressbar", "--region", processes.REGION),
    ]
    if parameters:
        command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=_sam_environment(home, cloud),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log = home.log("sam")
    with log.open("a") as file:
        file.write(f"--- {stack}\n{result.stdout}")
    if result.returncode:
        end = "\n".join(result.stdout.rstrip().splitlines()[-25:])
        raise LocalCloudError(f"sam could not deploy {template.name} as {stack} (all of it: {log}):\n{end}")
    return stack_outputs(cloud, stack)


def stack_outputs(cloud: Cloud, stack: str) -> dict[str, str]:
    """The outputs of a deployed stack by name. Raises LocalCloudError if it is not there."""
    client = cloud.client("cloudformation")
    try:
        described = client.describe_stacks(StackName=stack)["Stacks"][0]
    except client.exceptions.ClientError:
        raise LocalCloudError(f"the stack {stack} is not deployed") from None
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def _sam_environment(home: Home, cloud: Cloud) -> dict[str, str]:
    own = home.root / "sam"
    own.mkdir(exist_ok=True)
    # sam would ask the network for its newest version, at its first use in a home and then weekly.
    checked = {"lastVersionCheck": datetime.now(UTC).timestamp(), "telemetryEnabled": False}
    (own / "metadata.json").write_text(json.dumps(checked))
    home.temporary.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    return (
        kept
        | cloud.environment
        | {
            "SAM_CLI_TELEMETRY": "0",
            # Seconds between looks at the stack; by default 5 pass even if it is ready at once.
            "SAM_CLI_POLL_DELAY": "0.2",
            "__SAM_CLI_APP_DIR": str(own),
            "TMPDIR": str(home.temporary),
            processes.MARK: str(home.root.resolve()),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
    )


def _set_parameter(cloud: Cloud, name: str, value: str) -> None:
    cloud.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)


def _sign_in(cloud: Cloud, user_pool: str, callbacks: list[str], after: list[str]) -> str:
    """What the product is told of a sign-in: JSON. `after`: where one may come back to from signing out."""
    client = _sign_in_client(cloud, user_pool, callbacks, after)
    issuer = f"https://cognito-idp.{processes.REGION}.amazonaws.com/{user_pool}"
    # The hosted pages are at the cloud's own address, whatever the pool's domain; the tokens name the real
    # issuer.
    return json.dumps({"domain": cloud.endpoint, "client_id": client, "issuer": issuer})


def _employ(cloud: Cloud, user_pool: str) -> None:
    """Give the people of the desk their accounts and groups."""
    cognito = cloud.client("cognito-idp")
    for group, email in DESK_PEOPLE.items():
        attributes = {"email": email, "email_verified": "true"}
        with contextlib.suppress(cognito.exceptions.UsernameExistsException):
            cognito.admin_create_user(
                UserPoolId=user_pool,
                Username=email,
                UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
                TemporaryPassword=DESK_PASSWORD,  # what the local cloud makes up is too short
                MessageAction="SUPPRESS",
            )
        cognito.admin_set_user_password(
            UserPoolId=user_pool, Username=email, Password=DESK_PASSWORD, Permanent=True
        )
        cognito.admin_add_user_to_group(UserPoolId=user_pool, Username=email, GroupName=group)


def _sign_in_client(cloud: Cloud, user_pool: str, callbacks: list[str], after: list[str]) -> str:
    """The product's app client in a user pool, made or brought up to date. Returns its id.

    Not part of a stack: the callback holds the API's address and the API's settings hold the client's id,
    which CloudFormation calls a circle. A public client: the secret of the sign-in is PKCE's.
    """
    cognito = cloud.client("cognito-idp")
    settings: dict[str, Any] = {
        "UserPoolId": user_pool,
        "ClientName": CLIENT_NAME,
        "AllowedOAuthFlowsUserPoolClient": True,
        "AllowedOAuthFlows": ["code"],
        "AllowedOAuthScopes": ["openid", "email"],
        "SupportedIdentityProviders": ["COGNITO"],
        "CallbackURLs": callbacks,
        "LogoutURLs": after,
        "PreventUserExistenceErrors": "ENABLED",
    }
    for page in cognito.get_paginator("list_user_pool_clients").paginate(UserPoolId=user_pool):
        for client in page["UserPoolClients"]:
            if client["ClientName"] == CLIENT_NAME:
                cognito.update_user_pool_client(ClientId=client["ClientId"], **settings)
                return str(client["ClientId"])
    made = cognito.create_user_pool_client(GenerateSecret=False, **settings)
    return str(made["UserPoolClient"]["ClientId"])
