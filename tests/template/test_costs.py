"""The fixed bill of docs/costs.md, held against the template."""

import re

from tests.template.cloudformation import ROOT, Stack

# What has no price by the hour or month. A type that is not here needs its row in docs/costs.md first.
FREE_WHILE_IDLE = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::Cognito::UserPool",  # by who signs in, 10,000 a month free
    "AWS::Cognito::UserPoolDomain",  # of Cognito's own
    "AWS::Cognito::UserPoolGroup",
    "AWS::DynamoDB::Table",  # on demand, which another test holds
    "AWS::Events::EventBus",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::SSM::Parameter",  # of the standard tier
    "AWS::StepFunctions::StateMachine",
}
PRICED = {"AWS::KMS::Key", "AWS::Scheduler::Schedule"}
BUDGET = 10.0  # dollars a month without endpoints


def page() -> str:
    """docs/costs.md."""
    return (ROOT / "docs/costs.md").read_text()


def test_nothing_has_a_fixed_price_but_what_the_page_lists(stack: Stack) -> None:
    """By type, and by the options that cost."""
    assert {r["Type"] for r in stack.resources.values()} <= FREE_WHILE_IDLE | PRICED
    for parameter in stack.of_type("AWS::SSM::Parameter").values():
        assert parameter.get("Tier", "Standard") == "Standard"
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert not {"ProvisionedConcurrencyConfig", "SnapStart"} & function.keys()
    (stage,) = stack.of_type("AWS::ApiGateway::Stage").values()
    assert not stage.get("CacheClusterEnabled")


def test_the_page_counts_the_keys(stack: Stack) -> None:
    """And those of them that are rotated."""
    keys = stack.of_type("AWS::KMS::Key")
    assert f"| {len(keys)} keys | $1.00 a key | ${len(keys)}.00 |" in page()
    rotated = sum(1 for key in keys.values() if key.get("EnableKeyRotation"))
    assert f"| {rotated} keys, from the 2nd year" in page()
    assert f"| $0.00, ${rotated}.00, ${2 * rotated}.00 |" in page()


def test_the_page_lists_what_runs_by_itself(stack: Stack) -> None:
    """Every schedule, as often as it is there."""
    rates = {s["ScheduleExpression"] for s in stack.of_type("AWS::Scheduler::Schedule").values()}
    listed = {"every 15 minutes": r"rate\(15 minutes\)", "once a day": r"cron\(\d+ \d+ \* \* \? \*\)"}
    for rate in rates:
        assert any(re.fullmatch(pattern, rate) and words in page() for words, pattern in listed.items()), rate


def test_the_bill_is_within_the_budget() -> None:
    """Also when every rotation that costs has been."""
    years = [float(text) for text in re.findall(r"\$(\d+\.\d\d) (?:in the|from the)", page())]
    assert len(years) == 3
    assert years == sorted(years)
    assert years[-1] < BUDGET
