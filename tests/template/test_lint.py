"""The template passes cfn-lint, and nothing is waived on the way."""

import json
import re

import cfnlint.api
from cfnlint.config import ManualArgs
from samcli.yamlhelper import yaml_dump, yaml_parse

from tests.template.cloudformation import REGION, ROOT, source

# Rules that are not applied to the template, each with its reason. `make lint` and this test apply all.
WAIVED: dict[str, str] = {}


def test_cfn_lint_looks_into_what_sam_makes() -> None:
    """Otherwise the next test would say nothing."""
    properties = {"InlineCode": "x", "Handler": "x.x", "Runtime": "python2.7"}
    function = {"Type": "AWS::Serverless::Function", "Properties": properties}
    transform = "AWS::Serverless-2016-10-31"
    assert "E2533" in found_in(json.dumps({"Transform": transform, "Resources": {"Function": function}}))


def test_cfn_lint_finds_nothing() -> None:
    """No error and no warning."""
    assert not found_in((ROOT / "template.yaml").read_text())


def found_in(text: str) -> set[str]:
    """The rules that a template breaks."""
    config = ManualArgs(regions=[REGION], ignore_checks=sorted(WAIVED))
    return {match.rule.id for match in cfnlint.api.lint(text, config=config)}


def test_nothing_is_waived_in_passing() -> None:
    """Neither in the template, nor in a configuration, nor on the command line."""
    template = source()
    waiving = [n for n, r in template["Resources"].items() if "cfn-lint" in r.get("Metadata", {})]
    assert not waiving
    assert "cfn-lint" not in template.get("Metadata", {})
    assert not list(ROOT.glob(".cfnlintrc*"))
    makefile = (ROOT / "Makefile").read_text()
    (lint,) = re.findall(r"^\t.*cfn-lint .*$", makefile, re.MULTILINE)
    assert not re.search(r"--ignore|--configure-rule|\s-i\s", lint)
    assert re.search(r"^\t.*sam validate --lint", makefile, re.MULTILINE)


def test_what_is_uploaded_has_no_aliases() -> None:
    """CloudFormation takes no YAML aliases (template format): `sam deploy` writes them out first."""
    uploaded = yaml_dump(yaml_parse((ROOT / "template.yaml").read_text()))
    assert not re.search(r"(^|\s)[&*]\w+\s*$", uploaded, re.MULTILINE)
    assert yaml_parse(uploaded) == yaml_parse((ROOT / "template.yaml").read_text())


def test_the_template_fits() -> None:
    """1 MB, 200 parameters and outputs, 500 resources (AWS CloudFormation quotas)."""
    template = source()
    assert len((ROOT / "template.yaml").read_bytes()) < 1_000_000
    assert len(template["Resources"]) < 250, "SAM multiplies them; 500 is the end"
    assert len(template["Parameters"]) < 200
    assert len(template["Outputs"]) < 200
