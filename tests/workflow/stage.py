"""The deployed product on a local cloud of the tests' own: how it is brought up, looked at and broken.

Everything goes through what is deployed (HTTP, workflows, stores); the tables, histories and logs are read
only to see what became of it, and changed only where a test says so, as an operator or bad luck would.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from types import FrameType
from typing import Any, TypeVar

import boto3
import psutil
import psycopg
import pytest
from botocore.config import Config
from rich.console import Console

from dsr import aws
from dsr.case import ENDED, Case, State
from dsr.casebook import Casebook
from dsr.datamap.plan import Plan, from_json
from dsr.deciding import Desk
from dsr.errors import NotFound
from infra.craftzone.people import Community
from infra.local import deploy, down, mailing, processes
from infra.local.cloud import Cloud
from infra.local.home import DEFAULT, ROOT, Home, LocalCloudError
from infra.local.show import Show
from infra.local.up import Running, bring_up

T = TypeVar("T")

PEOPLE = 60  # the personas, and as many others that must be left alone
# All tests come from one network address, and some people ask many times.
PARAMETERS = {"ThrottleSource": "100000", "ThrottleAddress": "1000", "TextMessages": "true"}
SECONDS = 90.0  # that anything is waited for; never slept for
LOCK_SECONDS = 240.0
MOST_HOMES = 9


@dataclass
class Stage:
    """The running product, and what the tests noted about their use of it."""

    running: Running
    plan: Plan
    people: set[str] = field(default_factory=set)  # personas who asked
    typed: set[str] = field(default_factory=set)  # what they typed into the form
    cases: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)  # that browsers opened, or were sent to

    @property
    def cloud(self) -> Cloud:
        return self.running.cloud

    @property
    def community(self) -> Community:
        return self.running.community

    @property
    def url(self) -> str:
        return self.running.url

    @cached_property
    def outputs(self) -> dict[str, str]:
        return deploy.stack_outputs(self.cloud, deploy.PRODUCT_STACK)

    @property
    def book(self) -> Casebook:
        return Casebook(self.outputs["CasesTable"], self.outputs["CaseKeysTable"])

    @property
    def desk(self) -> Desk:
        return Desk(self.book, self.outputs["StagingBucket"], self.outputs["RequestWorkflow"], "tester")

    def client(self, service: str) -> Any:
        """A client with the rights of the account's root."""
        return aws.client(service)

    # -- looking ---------------------------------------------------------------------------------

    def until(
        self, what: str, look: Callable[[], T | None], seconds: float = SECONDS, case_id: str = ""
    ) -> T:
        """What `look` finds, asked again until it finds something. Fails naming `what` if it never does."""
        end = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > end:
                pytest.fail(f"waited {seconds:.0f} s for {what}{self.diagnosis(case_id) if case_id else ''}")
            time.sleep(0.1)
        return found

    def diagnosis(self, case_id: str) -> str:
        """How the case stands, and which steps of it failed: for the message of a failing test."""
        case = self.book.get(case_id)
        lines = [f"case {case_id}: {case.state} {case.attention}"]
        lines += [
            f"visit {v.visit}: {v.outcome} {v.reason} {v.about}" for v in self.book.visits(case_id).values()
        ]
        functions = self.client("lambda").list_functions()["Functions"]
        for name in sorted(function["FunctionName"].removeprefix("dsr-") for function in functions):
            lines += [f"{name}: {line}" for line in self.logged(name, case_id, "step failed")]
        return "".join(f"\n  {line}" for line in lines)

    def opened(self, case_id: str) -> Case | None:
        """The case, if it is there yet."""
        try:
            return self.book.get(case_id)
        except NotFound:
            return None

    def reaches(self, case_id: str, *states: State, seconds: float = SECONDS) -> Case:
        """The case once it stands in one of `states`; fails at once where it went another way for good."""
        stuck = ENDED | {State.NEEDS_ATTENTION, State.AWAITING_APPROVAL}

        def look() -> Case | None:
            case = self.book.get(case_id)
            if case.state in states:
                return case
            if case.state in stuck:
                pytest.fail(f"not {' or '.join(states)}, but:{self.diagnosis(case_id)}")
            return None

        return self.until(f"{' or '.join(states)}", look, seconds, case_id)

    def settled(self, case_id: str) -> Case:
        """The case once its execution rests, and with it all that the workflow does for it."""

        def look() -> Case | None:
            case = self.book.get(case_id)
            return case if self.execution(case)["status"] != "RUNNING" else None

        return self.until("its workflow to rest", look, case_id=case_id)

    def execution(self, case: Case) -> dict[str, Any]:
        """The execution of the case's attempt."""
        machine = self.outputs["RequestWorkflow"].replace(":stateMachine:", ":execution:")
        answer = self.client("stepfunctions").describe_execution(
            executionArn=f"{machine}:{case.case_id}-{case.attempt}"
        )
        return dict(answer)

    def executions(self, case_id: str) -> list[str]:
        """The names of all executions of the case."""
        pages = self.client("stepfunctions").get_paginator("list_executions")
        return [
            execution["name"]
            for page in pages.paginate(stateMachineArn=self.outputs["RequestWorkflow"])
            for execution in page["executions"]
            if execution["name"].startswith(case_id)
        ]

    def history(self, case: Case) -> Counter[str]:
        """How often each type of event occurred in the case's execution."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        arn = self.execution(case)["executionArn"]
        return Counter(event["type"] for page in pages.paginate(executionArn=arn) for event in page["events"])

    def logged(self, function: str, case_id: str, message: str) -> list[dict[str, Any]]:
        """The lines with that message that a function logged about a case."""
        pages = self.client("logs").get_paginator("filter_log_events")
        found = []
        for page in pages.paginate(logGroupName=f"/aws/lambda/dsr-{function}"):
            for event in page["events"]:
                if case_id in event["message"] and event["message"].lstrip().startswith("{"):
                    line = json.loads(event["message"])
                    found += [line] if line["message"] == message else []
        return found

    def visit_of(self, store: str) -> str:
        """The name of the last visit to a store."""
        return max((v.wave, v.visit) for v in self.plan.visits if v.store == store)[1]

    def versions(self, bucket: str, prefix: str) -> list[str]:
        """All versions of objects and delete markers there."""
        answer = self.client("s3").list_object_versions(Bucket=bucket, Prefix=prefix)
        return [v["VersionId"] for kind in ("Versions", "DeleteMarkers") for v in answer.get(kind, ())]

    # -- acting as an operator -------------------------------------------------------------------

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Call a function as its caller would. Returns its answer; of a failed call {"errorType", ...}."""
        answer = self.client("lambda").invoke(
            FunctionName=f"dsr-{function}", Payload=json.dumps(event).encode()
        )
        return dict(json.loads(answer["Payload"].read()))

    def keep_clocks(self) -> dict[str, Any]:
        """What the scheduler does every quarter of an hour."""
        return self.invoke("keep-clocks", {})

    def command(self, *arguments: str) -> str:
        """Run `dsr` on this cloud as an operator does; returns what it prints. Fails if it does."""
        done = subprocess.run(
            [sys.executable, "-m", "dsr_cli.main", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "functions"), **self.cloud.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def alter(self, case_id: str, **values: str) -> None:
        """Set attributes of the case in its table, as time or a restored backup would."""
        self.client("dynamodb").update_item(
            TableName=self.outputs["CasesTable"],
            Key={"case_id": {"S": case_id}, "part": {"S": "case"}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": {"S": value} for name, value in values.items()},
        )

    def door_item(self, item_id: str) -> dict[str, Any]:
        """What the front door remembers under that id."""
        answer = self.client("dynamodb").get_item(
            TableName=self.outputs["FrontDoorTable"], Key={"id": {"S": item_id}}, ConsistentRead=True
        )
        return dict(answer.get("Item", {}))

    @contextmanager
    def environment(self, function: str, **values: str) -> Iterator[None]:
        """The function with other settings for a while; an empty value takes one away."""
        functions = self.client("lambda")
        name = f"dsr-{function}"
        before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        changed = {key: value for key, value in (before | values).items() if value}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": changed})
        try:
            yield
        finally:
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})

    @contextmanager
    def denied(self, function: str, action: str, resource: str) -> Iterator[None]:
        """The function may not do one thing that it otherwise may."""
        iam, role = self.client("iam"), f"dsr-{function}-role"
        statement = {"Effect": "Deny", "Action": action, "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=policy)
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=role, PolicyName="denied")

    # -- acting as bad luck ----------------------------------------------------------------------

    def database(self, store: str) -> psycopg.Connection[Any]:
        """A connection to one of the community's databases as its owner, each statement on its own."""
        return psycopg.connect(self.running.stores.databases[store], autocommit=True)

    @contextmanager
    def held(self, store: str, table: str) -> Iterator["Held"]:
        """The table locked, so that whoever reads it stands still; let go at the end, or by `let_go`."""
        held = Held(self, store, table)
        try:
            yield held
        finally:
            held.let_go()

    @contextmanager
    def without_login(self) -> Iterator[None]:
        """The databases refuse the product's login."""
        with self._login_of_dsr("NOLOGIN", "LOGIN"):
            yield

    @contextmanager
    def without_connections(self) -> Iterator[None]:
        """The databases are too busy to take a connection of the product's."""
        with self._login_of_dsr("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"):
            yield

    @contextmanager
    def _login_of_dsr(self, broken: str, whole: str) -> Iterator[None]:
        with self.database("events") as connection:
            connection.execute(f"ALTER ROLE dsr {broken}")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dsr'")
            try:
                yield
            finally:
                connection.execute(f"ALTER ROLE dsr {whole}")

    @contextmanager
    def renamed(self, store: str, table: str) -> Iterator[None]:
        """The table is not there under its name."""
        with self.database(store) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
            try:
                yield
            finally:
                connection.execute(f"ALTER TABLE {table}_away RENAME TO {table}")

    @contextmanager
    def without_access(self, store: str) -> Iterator[None]:
        """The store's owner has taken back what its access role may do."""
        iam, role = self.client("iam"), self.plan.stores[store].role.rsplit("/", 1)[-1]
        name = iam.list_role_policies(RoleName=role)["PolicyNames"][0]
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        iam.delete_role_policy(RoleName=role, PolicyName=name)
        try:
            yield
        finally:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))

    def workers(self, function: str) -> list[psutil.Process]:
        """The processes that run a function at the moment."""
        found = []
        for pid in processes.left_over(self.running.home):
            try:
                process = psutil.Process(pid)
                if process.environ().get("AWS_LAMBDA_FUNCTION_NAME") == f"dsr-{function}":
                    found.append(process)
            except psutil.Error:  # ended meanwhile
                continue
        return found

    def function_session(self, function: str) -> boto3.Session:
        """A session with the very credentials that a function was given."""
        with ThreadPoolExecutor(1) as pool:
            if not self.workers(function):  # called with nothing to do, to see it at work
                pool.submit(self.invoke, function, {"case_id": "none"})
            given = self.until(f"a worker of {function}", lambda: self._given(function))
        return boto3.Session(
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=given["AWS_SESSION_TOKEN"],
            region_name=processes.REGION,
        )

    def _given(self, function: str) -> dict[str, str] | None:
        for worker in self.workers(function):
            with suppress(psutil.Error):  # ended meanwhile
                return worker.environ()
        return None

    def client_of(self, session: boto3.Session, service: str) -> Any:
        """A client of that session on this cloud."""
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        make: Any = session.client
        return make(service, endpoint_url=self.cloud.endpoint, config=config)

    def stop_and_start(self) -> None:
        """Stop the AWS side with SIGTERM, workers and all, and start it again."""
        assert processes.stop(self.running.home), "the local cloud did not end in order"
        processes.start(self.running.home, self.cloud.port)
        mailing.start(self.running.home)


class Held:
    """A lock on a table, and who waits for it. At most one worker may be reading the table."""

    def __init__(self, stage: Stage, store: str, table: str) -> None:
        self._stage, self._store, self._table = stage, store, table
        self._holder = self._connect()
        self._lock(self._holder)

    def waiting(self, workers: int = 1) -> psutil.Process:
        """One of so many workers that stand before the lock, waited for."""
        return self._stage.until(f"{workers} to stand before the lock", lambda: self._waiting(workers))

    def let_one_pass(self) -> None:
        """Let the worker that waits do one transaction; whoever comes next stands before the lock again."""
        self.waiting()
        following = self._connect()
        with ThreadPoolExecutor(1) as pool:
            granted = pool.submit(self._lock, following)
            backend = following.info.backend_pid
            self._stage.until("the next lock to stand in line", lambda: self._stands_in_line(backend))
            self.let_go()
            granted.result(SECONDS)
        self._holder = following

    def let_go(self) -> None:
        """Give the table back; a second time changes nothing."""
        self._holder.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._stage.running.stores.databases[self._store])

    def _lock(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(f"LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE")

    def _stands_in_line(self, backend: int) -> bool:
        with self._stage.database(self._store) as connection:
            waits = connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", [backend]
            )
            return waits.fetchone() is not None

    def _waiting(self, workers: int) -> psutil.Process | None:
        with self._stage.database(self._store) as connection:
            rows = connection.execute(
                "SELECT client_port FROM pg_stat_activity WHERE usename = 'dsr' AND wait_event_type = 'Lock'"
                " AND datname = current_database()"
            ).fetchall()
        if len(rows) < workers:
            return None
        return next((w for w in self._stage.workers("store-sql") if _has_port(w, rows[0][0])), None)


def _has_port(process: psutil.Process, port: int) -> bool:
    try:
        return any(c.laddr and c.laddr.port == port for c in process.net_connections("tcp"))
    except psutil.Error:
        return False


@contextmanager
def deployed() -> Iterator[Stage]:
    """A local cloud for one test session, deployed and loaded; nothing of it is left afterwards."""
    with _terminated_in_order(), _home() as home:
        show = Show(Console(file=StringIO()))
        with _nobody_builds():
            running = bring_up(
                home, _free_port(), PEOPLE, show, clean=True, parameters=PARAMETERS, couriered=False
            )
            plan = from_json((ROOT / "build/plan/plan.json").read_text())
        try:
            yield Stage(running, plan)
        finally:
            for pid in processes.left_over(home):  # nobody wants its state: not worth the seconds to save it
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            down.take_down(home)
            home.erase()


@contextmanager
def _home() -> Iterator[Home]:
    """The first home that no other test session holds. A killed one's is taken over, and what it left."""
    for number in range(1, MOST_HOMES + 1):
        home = Home(ROOT / f"build/test/cloud-{number}")
        with ExitStack() as stack:
            try:
                stack.enter_context(home.alone())
            except LocalCloudError:
                continue
            yield home
            return
    raise LocalCloudError(f"{MOST_HOMES} test sessions at once are enough")


@contextmanager
def _nobody_builds() -> Iterator[None]:
    """Wait for a `make up` or `make demo` that is at work: all of them build into one folder."""
    with ExitStack() as stack:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                stack.enter_context(Home(DEFAULT).alone())
                break
            except LocalCloudError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
        yield


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Being told to end counts as Ctrl-C, which pytest answers by ending its fixtures."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
