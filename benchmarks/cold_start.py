"""What a cold start costs before the first line of work: each function's imports and its AWS clients.

Measured in a fresh process each time: importing the function's handler, and making the clients it uses with
the product's own settings. Against importing boto3 alone and making the same clients. All functions and all
baselines take turns, round by round; the ratio is of processor time (importing waits for nothing, and a busy
machine stretches the clock but not that), the median over the rounds.

Twice: with all modules compiled beforehand, where the ratio has its budget; and with our layers as they ship,
where what is not compiled is compiled at each start, boto3 being Lambda's own and compiled.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

import boto3

from benchmarks import machine
from benchmarks.figures import Figure, figure
from infra.local.home import ROOT

SMALL_BUDGET, SQL_BUDGET = 1.15, 1.5  # × boto3 with the same clients (budgets of the design)

_TABLES = ("dynamodb", "kms")
_STORE = (*_TABLES, "s3", "sts")
# Which clients each function makes before it can do its job; `client_as` needs sts to get the store's.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "public_web": (*_TABLES, "ssm", "stepfunctions"),
    "desk_web": (*_TABLES, "ssm", "stepfunctions"),
    "send_notice": (*_TABLES, "ssm", "sesv2"),
    "take_up_case": ("dynamodb", "s3"),
    "resolve_subject": (*_TABLES, "s3"),
    "conclude_gathering": (*_TABLES, "s3"),
    "build_bundle": _STORE,
    "conclude_erasing": (*_TABLES, "s3"),
    "issue_certificate": (*_TABLES, "s3"),
    "take_site_event": (*_TABLES, "stepfunctions"),
    "plan_sweep": ("dynamodb", "s3"),
    "keep_clocks": ("dynamodb", "s3", "stepfunctions"),
    "store_dynamodb": _STORE,
    "store_s3": _STORE,
    "store_cognito": (*_STORE, "cognito-idp"),
    "store_webhook": (*_STORE, "secretsmanager", "ssm"),
    "store_manual": _STORE,
    "take_answer": ("dynamodb", "kms", "s3", "stepfunctions"),
    "store_sql": (*_STORE, "secretsmanager"),
    "store_lake": _STORE,
    "plan_lake_run": (*_TABLES, "s3", "stepfunctions"),
    "sign_heads": (*_TABLES, "s3"),
}
# Of the others 1.15; none is named for the worker that carries pyarrow.
BUDGETS = {"store_sql": SQL_BUDGET, "store_lake": None}
AS_SHIPPED = ("take_up_case", "public_web", "store_sql")
# What the layers `base` and `sql` carry, as far as a function imports it at start.
PACKAGES = (
    *("aws_lambda_powertools", "jinja2", "markupsafe", "pyrage"),
    *("sqlalchemy", "psycopg", "psycopg_binary", "psycopg_binary.libs"),
)

_OURS = "import handler\nfrom dsr.aws import client as make\n"
# SQLAlchemy imports the driver when the first database is opened: of the same start, a moment later.
_DRIVER = "import sqlalchemy.dialects.postgresql.psycopg, psycopg\n"
_BARE = "import boto3\nmake = boto3.client\n"
_CHILD = """\
import json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
{imports}
for name in sys.argv[1].split(","):
    make(name)
print(json.dumps({{"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}}))
"""


def measure(rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """The figures of all functions, each started `rounds` times in turns with its baseline."""
    _check_all()
    layers = _layers(machine.BUILD / "layers")
    turns = machine.Turns()
    for number in range(-1, rounds):
        # The first round compiles and warms the disk's cache, and does not count.
        note = turns.note if number >= 0 else _forget
        for clients in dict.fromkeys(FUNCTIONS.values()):
            note(_named(clients), **_bare(clients))
        for function, clients in FUNCTIONS.items():
            note(function, **_ours(function, clients, ROOT / "functions"))
            if function == "store_sql":
                note(f"{function} with its driver", **_ours(function, clients, ROOT / "functions", _DRIVER))
            if function in AS_SHIPPED:
                shipped = _ours(function, clients, layers, PYTHONDONTWRITEBYTECODE="1")
                note(f"{function}, layers as they ship", **shipped)
        if number >= 0:
            say(f"round {number + 1} of {rounds}, {machine.load()}")
    shutil.rmtree(layers, ignore_errors=True)
    return [_figure(turns, f, name) for f in FUNCTIONS for name in turns.cpu if re.match(rf"{f}\b", name)]


def _figure(turns: machine.Turns, function: str, name: str) -> Figure:
    baseline = _named(FUNCTIONS[function])
    return figure(
        f"cold start of {name.replace('_', '-')}",
        median(turns.cpu[name]),
        "s",
        baseline=median(turns.cpu[baseline]),
        ratio=turns.ratio(name, baseline),
        budget=BUDGETS.get(function, SMALL_BUDGET),
    )


def _check_all() -> None:
    """Raises BenchmarkError if a function was added or renamed since this was written."""
    there = {handler.parent.name for handler in (ROOT / "functions").glob("*/handler.py")}
    if changed := there ^ FUNCTIONS.keys():
        raise machine.BenchmarkError(f"say in FUNCTIONS which clients these make: {sorted(changed)}")


def _bare(clients: tuple[str, ...]) -> dict[str, float]:
    arguments = ["-c", _CHILD.format(imports=_BARE), ",".join(clients)]
    return machine.fresh(arguments, machine.compiled_apart())


def _ours(
    function: str, clients: tuple[str, ...], library: Path, also: str = "", **more: str
) -> dict[str, float]:
    path = f"{ROOT / 'functions' / function}:{library}"
    environment = machine.compiled_apart(
        PYTHONPATH=path, POWERTOOLS_SERVICE_NAME="dsr", AWS_LAMBDA_FUNCTION_NAME="dsr", **more
    )
    return machine.fresh(["-c", _CHILD.format(imports=_OURS + also), ",".join(clients)], environment)


def _layers(target: Path) -> Path:
    """The library and its packages as they ship: sources alone, in a folder of their own."""
    shutil.rmtree(target, ignore_errors=True)
    installed = Path(boto3.__file__).parent.parent
    uncompiled = shutil.ignore_patterns("__pycache__")
    for source in (ROOT / "functions/dsr", *(installed / package for package in PACKAGES)):
        if source.exists():  # not every platform's wheel has its libraries apart
            shutil.copytree(source, target / source.name, ignore=uncompiled)
    return target


def _named(clients: tuple[str, ...]) -> str:
    return f"boto3 with {', '.join(clients)}"


def _forget(*_: object, **__: object) -> None:
    """The first round."""
