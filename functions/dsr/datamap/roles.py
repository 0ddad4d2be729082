"""The access roles that the stores' owners deploy: one per store, just what the map needs."""

from typing import Any

from dsr.datamap.kinds import KINDS
from dsr.datamap.plan import Plan, Store


def roles_template(
    plan: Plan, product_account: str = "${AWS::AccountId}", name: str = "dsr"
) -> dict[str, Any]:
    """A CloudFormation template with the access role of every store in the plan.

    `product_account` is where the product runs (default: where the roles are) and `name` its
    deployment's name. An owner of one store in another account deploys that store's resource alone.
    """
    resources: dict[str, Any] = {}
    for store in plan.stores.values():
        if not store.role:
            continue  # of a kind that needs none
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
                            "Statement": KINDS[store.kind].statements(store, collections),
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
    arns = [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::{account}:role/{name}-{worker}-role"}
        for worker in KINDS[store.kind].workers
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
