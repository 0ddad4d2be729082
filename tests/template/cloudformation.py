"""template.yaml as CloudFormation gets it: transformed as SAM does it, resolved for one account and region.

The local cloud drops some properties and enforces few; here they can be asked for by name.
"""

import contextlib
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).parents[2]
ACCOUNT = "111122223333"
REGION = "us-east-1"
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "dsr",
    "AWS::URLSuffix": "amazonaws.com",
}
_NOTHING = object()  # AWS::NoValue

# What Ref gives, by type: the property with the name. Others: see `Stack._ref`.
_NAMED_BY = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::EventBus": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SSM::Parameter": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
_ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{region}:{account}:table/{name}",
    "AWS::Events::EventBus": "arn:aws:events:{region}:{account}:event-bus/{name}",
    "AWS::Events::Rule": "arn:aws:events:{region}:{account}:rule/{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::KMS::Key": "arn:aws:kms:{region}:{account}:key/{name}",
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::SSM::Parameter": "arn:aws:ssm:{region}:{account}:parameter{name}",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
}


@cache
def _text() -> str:
    return json.dumps(yaml_parse((ROOT / "template.yaml").read_text()))


def source() -> dict[str, Any]:
    """template.yaml as it is written; a copy of one's own."""
    parsed: dict[str, Any] = json.loads(_text())
    return parsed


@cache
def transformed(**parameters: str) -> dict[str, Any]:
    """template.yaml without its SAM types. Offline: code is not looked at, definitions are put in."""
    template = source()
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = f"s3://code/{properties['CodeUri']}"
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = f"s3://code/{properties['ContentUri']}"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            properties["Definition"] = json.loads((ROOT / properties.pop("DefinitionUri")).read_text())
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    with contextlib.redirect_stdout(io.StringIO()):
        result: dict[str, Any] = translator.translate(template, parameters)
    return result


class Stack:
    """The transformed template with every reference and condition resolved, for some parameter values."""

    def __init__(self, **parameters: str) -> None:
        self.template = transformed(**parameters)
        defaults = {name: p.get("Default") for name, p in self.template["Parameters"].items()}
        self.parameters = {name: self._typed(name, v) for name, v in (defaults | parameters).items()}
        self.resources: dict[str, dict[str, Any]] = {}
        for name, resource in self.template["Resources"].items():
            if "Condition" not in resource or self._condition(resource["Condition"]):
                self.resources[name] = self._resolve(resource)

    def _typed(self, name: str, value: Any) -> Any:
        if self.template["Parameters"][name]["Type"] == "CommaDelimitedList" and isinstance(value, str):
            return value.split(",")
        return value

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of that type, by logical name."""
        return {n: r.get("Properties", {}) for n, r in self.resources.items() if r["Type"] == kind}

    def properties(self, name: str) -> dict[str, Any]:
        """The properties of one resource."""
        found: dict[str, Any] = self.resources[name]["Properties"]
        return found

    def arn(self, name: str) -> str:
        """The ARN of a resource by its logical name."""
        kind = self.template["Resources"][name]["Type"]
        return _ARNS[kind].format(region=REGION, account=ACCOUNT, name=self._name(name))

    def _name(self, name: str) -> str:
        resource = self.template["Resources"][name]
        named_by = _NAMED_BY.get(resource["Type"])
        if resource["Type"] == "AWS::Events::Rule":
            return f"{self._resolve(resource['Properties']['EventBusName'])}/{name}"
        return str(self._resolve(resource["Properties"][named_by])) if named_by else f"{name}-id"

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        kind = self.template["Resources"][name]["Type"]
        return self.arn(name) if kind == "AWS::StepFunctions::StateMachine" else self._name(name)

    def _attribute(self, name: str, attribute: str) -> str:
        return self.arn(name) if attribute == "Arn" else f"{name}.{attribute}"

    def _condition(self, name: str) -> bool:
        return bool(self._resolve(self.template["Conditions"][name]))

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [r for v in value if (r := self._resolve(v)) is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), *_ = value.items()
            if function == "Ref":
                return self._ref(argument)
            if function.startswith("Fn::"):
                return self._call(function, argument)
        return {k: r for k, v in value.items() if (r := self._resolve(v)) is not _NOTHING}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Fn::GetAtt":
            return self._attribute(*(argument.split(".", 1) if isinstance(argument, str) else argument))
        if function == "Fn::If":
            return self._resolve(argument[1] if self._condition(argument[0]) else argument[2])
        if function == "Fn::Sub":
            text, names = argument if isinstance(argument, list) else (argument, {})
            return re.sub(r"\$\{([^}!]+)\}", lambda m: str(self._substitute(m[1], names)), text)
        values = self._resolve(argument)
        if function == "Fn::Equals":
            return values[0] == values[1]
        if function == "Fn::Not":
            return not values[0]
        if function == "Fn::Join":
            return values[0].join(values[1])
        if function == "Fn::Select":
            return values[1][int(values[0])]
        raise NotImplementedError(function)

    def _substitute(self, name: str, names: dict[str, Any]) -> Any:
        if name in names:
            return self._resolve(names[name])
        logical, dot, attribute = name.partition(".")
        return self._attribute(logical, attribute) if dot else self._ref(name)


def folders() -> list[str]:
    """The folders of functions/ that the template deploys."""
    functions = [r for r in source()["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    return sorted(f["Properties"]["CodeUri"].strip("/").removeprefix("functions/") for f in functions)
