"""The kill matrix as deployed: a sample by seed of calls that fail while several people are deleted at once.

In process every call fails in every way (tests/matrix); here a few do, of the workers' own processes, and
the deployed workflow tries again. `KILL_SAMPLE=40` fails so many at least, in rounds; `KILL_SEED` chooses
which.
"""

import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dsr.case import State
from infra.craftzone import load
from infra.local import erasure_checks, site
from tests.faults.misfortune import Dice, before_aws, before_database
from tests.workflow.stage import Stage

pytestmark = [pytest.mark.cloud, pytest.mark.faults]

SAMPLE = int(os.environ.get("KILL_SAMPLE", "3"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1, 1_000_000)
AT_ONCE = 6  # failures in a round at most
PEOPLE = ("household_a", "account_only")
EVERY = 150  # calls, of which one fails; a round makes some 1,000
FUNCTIONS = (
    "take-up-case", "resolve-subject", "conclude-gathering", "conclude-erasing", "issue-certificate",
    "store-dynamodb", "store-sql", "store-s3", "store-cognito", "store-lake",
)  # fmt: skip


@contextmanager
def unlucky(stage: Stage, dice: Dice) -> Iterator[None]:
    """The functions of a deletion reach AWS and the databases through what may fail."""
    secrets = stage.client("secretsmanager")
    with ExitStack() as stack:
        port = stack.enter_context(before_database(stage.running.server.port, dice))
        for store in load.SQL_STORES:
            name = f"craftzone/{store}-db"
            held = secrets.get_secret_value(SecretId=name)["SecretString"]
            stack.callback(secrets.put_secret_value, SecretId=name, SecretString=held)
            secrets.put_secret_value(
                SecretId=name, SecretString=json.dumps(json.loads(held) | {"port": port})
            )
        for function in FUNCTIONS:
            address = stack.enter_context(before_aws(function, stage.cloud.port, dice))
            stack.enter_context(stage.environment(function, AWS_ENDPOINT_URL=address))
        yield


def test_whatever_fails_the_end_is_that_of_an_undisturbed_deletion(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    struck: list[str] = []
    stage.people.update(PEOPLE)
    while len(struck) < SAMPLE:
        before = load.snapshot(stage.running.stores)
        dice = Dice(SEED + len(struck), EVERY, AT_ONCE)
        with unlucky(stage, dice):
            cases = site.tell_deleted(stage.cloud, stage.community, PEOPLE)
            stage.cases += cases.values()
            for case_id in cases.values():
                stage.until("a case of the site's", lambda c=case_id: stage.opened(c))
            for case_id in cases.values():
                stage.reaches(case_id, State.ERASED, State.ERASED_IN_PART, seconds=240)
        struck += dice.struck
        with capsys.disabled():
            print(f"\nseed {SEED}: {len(struck)} of {dice.made} calls: {'; '.join(dice.struck)}")  # noqa: T201
        assert dice.struck, "no call failed"
        after = load.snapshot(stage.running.stores)
        # Every record of everybody is as these deletions leave it when nothing fails.
        assert erasure_checks.faults_of_all(stage.plan, stage.community, PEOPLE, before, after) == []
        load.load(stage.community, stage.running.stores)
