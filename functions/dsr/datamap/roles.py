"""The access roles that the stores' owners deploy: one per store, just what the map needs."""

from typing import Any

from dsr.datamap.plan import Collection, Plan, Store

# Who assumes: the worker of the store's kind; for files also the function that bundles them.
_WORKERS = {"s3": ("store-s3", "build-bundle")}


def roles_template(
    plan: Plan, product_account: str = "${AWS::AccountId}", name: str = "dsr"
) -> dict[str, Any]:
    """A CloudFormation template with the access role of every store in the plan.

    `product_account` is where the product runs (default: where the roles are) and `name` its
    deployment's name. An owner of one store in another account deploys that store's resource alone.
    """
    resources: dict[str, Any] = {}
    for store in plan.stores.values():
        collections = [c for c in plan.collections.values() if c.store == store.name]
        word = "".join(part.title() for part in store.name.split("_"))
        while f"{word}Access" in resources:  # a_1 beside a1: an id has no underscores
            word += "Too"
        resources[f"{word}Access"] = {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": store.role.rsplit("/", 1)[-1],
                "Description": f"Lets {name} find and erase one person's data in the store {store.name}",
                "MaxSessionDuration": 3600,
                "AssumeRolePolicyDocument": _trust(store, product_account, name),
                "Policies": [
                    {
                        "PolicyName": "data-subject-requests",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": _POLICIES[store.kind](store, collections),
                        },
                    }
                ],
            },
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Access of {name} to the stores of {plan.controller['name']}, map {plan.version}",
        "Resources": resources,
    }


def _trust(store: Store, account: str, name: str) -> dict[str, Any]:
    workers = _WORKERS.get(store.kind, (f"store-{store.kind}",))
    arns = [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::{account}:role/{name}-{worker}-role"} for worker in workers
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": arns},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": store.external_id}},
            }
        ],
    }


def _allow(actions: list[str], resources: list[Any]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _dynamodb(store: Store, collections: list[Collection]) -> list[dict[str, Any]]:
    region = store.connection["region"]
    base = f"arn:${{AWS::Partition}}:dynamodb:{region}:${{AWS::AccountId}}:table/"
    tables = [{"Fn::Sub": base + c.options["table"]} for c in collections]
    indexes = [{"Fn::Sub": f"{base}{c.options['table']}/index/{i}"} for c in collections for i in _indexes(c)]
    deleted = [t for t, c in zip(tables, collections, strict=True) if c.expires or not (c.masks or c.kept)]
    masked = [t for t, c in zip(tables, collections, strict=True) if c.masks]
    granted = [
        (["dynamodb:DescribeTable"], tables),
        (["dynamodb:Query"], tables + indexes),
        # BatchWriteItem is checked as such; what may go only on a condition goes one by one.
        (["dynamodb:BatchWriteItem", "dynamodb:DeleteItem"], deleted),
        (["dynamodb:UpdateItem"], masked),
    ]
    return [_allow(actions, resources) for actions, resources in granted if resources]


def _indexes(collection: Collection) -> list[str]:
    expiry = [collection.options["expiry"]["index"]] if collection.expires else []
    return list(dict.fromkeys([*collection.options.get("indexes", {}).values(), *expiry]))


def _s3(store: Store, _: list[Collection]) -> list[dict[str, Any]]:
    bucket = f"arn:${{AWS::Partition}}:s3:::{store.connection['bucket']}"
    return [
        _allow(
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"],
            [{"Fn::Sub": bucket}],
        ),
        _allow(
            ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"],
            [{"Fn::Sub": bucket + "/*"}],
        ),
        _allow(
            ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"],
            [{"Fn::Sub": bucket + "/*"}],
        ),
    ]


def _sql(store: Store, _: list[Collection]) -> list[dict[str, Any]]:
    # Secrets Manager adds a dash and six characters to the name.
    secret = (
        f"arn:${{AWS::Partition}}:secretsmanager:{store.connection['region']}:${{AWS::AccountId}}"
        f":secret:{store.connection['secret']}-??????"
    )
    return [_allow(["secretsmanager:GetSecretValue"], [{"Fn::Sub": secret}])]


def _cognito(store: Store, _: list[Collection]) -> list[dict[str, Any]]:
    pool = (
        f"arn:${{AWS::Partition}}:cognito-idp:{store.connection['region']}:${{AWS::AccountId}}"
        f":userpool/{store.connection['user_pool']}"
    )
    actions = ("ListUsers", "AdminDisableUser", "AdminUserGlobalSignOut", "AdminDisableProviderForUser")
    return [
        _allow([f"cognito-idp:{action}" for action in (*actions, "AdminDeleteUser")], [{"Fn::Sub": pool}])
    ]


_POLICIES = {"dynamodb": _dynamodb, "s3": _s3, "sql": _sql, "cognito": _cognito}
