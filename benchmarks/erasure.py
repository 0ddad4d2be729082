"""A deletion of some fifty records in all stores through the deployed product, from the person's yes to the
certificate.

The counterpart of `access`, on the same clouds. Each deletion takes another ordinary member, since nothing is
left of them afterwards. The clock runs from when the product takes the yes to the certificate, both
by the case's own history; in between every store is asked to erase, and asked again what is left.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import median

from benchmarks import histories, machine
from benchmarks.cases import Run, cpu, executions, finished, moments
from benchmarks.figures import Figure, figure
from infra.craftzone import load
from infra.craftzone.holdings import Person
from infra.craftzone.people import Community
from infra.local import demo
from infra.local.browser import Browser
from infra.local.up import Running

OTHERS_BUDGET = 1.2  # × the time with fewer: it must not show, but for noise
RECORDS = range(35, 71)
# What such a case takes from the form to the announced certificate: of eleven stores the gathering of the
# snapshot, the freeze of two (sign-in, token), the erasing and the second look, and waiting for the mailing
# provider's callback and the lake run, which come together or one after the other; see `dsr.case.STEPS` for
# the request's own.
STORES = 11
TRANSITIONS_BUDGET = 70 + 4 * (3 * STORES + 2) + 15 + 4
INVOCATIONS_BUDGET = 27 + 3 * STORES + 2 + 4 + 1
ENDS = ("erased", "erased_in_part")


def members(community: Community) -> Iterator[Person]:
    """Ordinary members who have about fifty records."""
    for person in community.everyone():
        if person.member and person.persona is None:
            held = community.records_of(person.key, typed={"name": person.name})
            if sum(len(records) for records in held.values()) in RECORDS:
                yield person


def measure(
    clouds: dict[str, Running], rounds: int, warm_up: int, say: Callable[[str], None]
) -> dict[str, list[Run]]:
    """`rounds` deletions on each cloud, in turns."""
    first = next(iter(clouds.values())).community
    people = list(islice(members(first), rounds + warm_up))
    if len(people) < rounds + warm_up:
        raise machine.BenchmarkError(f"only {len(people)} members of the sample have about fifty records")
    runs: dict[str, list[Run]] = {name: [] for name in clouds}
    for number, person in enumerate(people):
        for name, running in clouds.items():
            run = request(running, running.community.person(person.key))
            if number >= warm_up:
                runs[name].append(run)
                say(f"deletion, {name}: {run.seconds:.2f} s, {run.counts}, {machine.load()}")
    return runs


def request(running: Running, person: Person) -> Run:
    """Play one deletion. Raises BenchmarkError if it is not what is to be measured."""
    _give_password(running, person)
    browser, asked_at = Browser(), time.time()
    page = demo.ask(browser, running.url, person, right="deletion")
    case = demo.case_of(page)
    page = demo.identify(browser, running.cloud, page, person, asked_at)
    page = demo.wait_until(browser, page, lambda page: page.has_form(action="/confirm-deletion"))
    form = page.form(action="/confirm-deletion")
    ticked = {name: values[0] for name, values in form.choices.items() if values}
    before = cpu(running)
    browser.submit(page, form, **ticked)
    arn = finished(running, case, *ENDS)
    after = cpu(running)
    when, records = moments(running, case, "planned")
    if records not in RECORDS:
        raise machine.BenchmarkError(f"the deletion found {records} records, not about fifty")
    began, ended = when["deletion_confirmed"], when["certified"]
    own, stores = executions(running, arn)
    return Run(
        (ended - began).total_seconds(),
        {who: after[who] - before[who] for who in before},
        histories.counts([own, *stores]),
        histories.path(own, stores, began, ended),
    )


def _give_password(running: Running, person: Person) -> None:
    """Only the sample's personas have one from the beginning."""
    held = running.community.records_of(person.key, typed={"name": person.name})
    [user] = held["signin", "users"]
    running.stores.cognito.admin_set_user_password(
        UserPoolId=running.stores.user_pool,
        Username=user["username"],
        Password=load.DEMO_PASSWORD,
        Permanent=True,
    )


def figures(runs: dict[str, list[Run]], people: dict[str, int]) -> Iterator[Figure]:
    """What came of `measure`; `people`: how many each cloud holds."""
    few, many = runs["few"], runs["many"]
    seconds = median(run.seconds for run in few)
    yield figure("deletion, confirmation to certificate: median", seconds, "s")
    yield figure("  fastest", min(run.seconds for run in few), "s")
    yield figure("  slowest", max(run.seconds for run in few), "s")
    for who in few[0].cpu:
        yield figure(f"  processor time of {who}", median(run.cpu[who] for run in few), "s")
    yield figure(
        f"the same with {people['many']:,} instead of {people['few']:,} people",
        median(run.seconds for run in many),
        "s",
        baseline=seconds,
        ratio=median(a.seconds / b.seconds for a, b in zip(many, few, strict=True)),
        budget=OTHERS_BUDGET,
    )
    counted = [run.counts for run in (*few, *many)]
    transitions = max(c.transitions for c in counted)
    yield figure("state transitions per deletion", transitions, "", budget=TRANSITIONS_BUDGET)
    yield figure(
        "invocations per deletion", max(c.invocations for c in counted), "", budget=INVOCATIONS_BUDGET
    )
