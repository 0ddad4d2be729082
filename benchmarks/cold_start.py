"""What a cold start costs before the first line of work: each function's imports and its AWS clients.

Measured in a fresh process each time: importing the function's handler, and making the clients it uses with
the product's own settings. Against importing boto3 alone and making the same clients. All functions and all
baselines take turns, round by round; the ratio is of processor time (importing waits for nothing, and a busy
machine stretches the clock but not that), the median over the rounds.

Twice: with all modules compiled beforehand, where the ratio has its budget; and with our layers as they ship,
where what is not compiled is compiled at each start, boto3 being Lambda's own and compiled.
"""

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
_STORE = ("dynamodb", "kms", "s3", "sts")
# Which clients each function makes before it can do its job; `client_as` needs sts to get the store's.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "public_web": (*_TABLES, "ssm", "stepfunctions"),
    "send_notice": (*_TABLES, "ssm", "sesv2"),
    "take_up_case": ("dynamodb", "s3"),
    "resolve_subject": (*_TABLES, "s3"),
    "conclude_gathering": (*_TABLES, "s3"),
    "build_bundle": _STORE,
    "keep_clocks": ("dynamodb", "stepfunctions", "s3"),
    "store_dynamodb": _STORE,
    "store_s3": _STORE,
    "store_cognito": (*_STORE, "cognito-idp"),
    "store_sql": (*_STORE, "secretsmanager"),
}
AS_SHIPPED = ("take_up_case", "public_web", "store_sql")
# What the layers `base` and `sql` carry, as far as a function imports it at start.
PACKAGES = (
    *("aws_lambda_powertools", "jinja2", "markupsafe", "pyrage"),
    *("sqlalchemy", "psycopg", "psycopg_binary", "psycopg_binary.libs"),
)

_OURS = "import handler\nfrom dsr.aws import client as make\n"
# SQLAlchemy imports the driver when the first database is opened: the same start, a moment later.
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
    layers = _layers(machine.BUILD / "layers")
    turns = machine.Turns()
    for number in range(
        -1, rounds
    ):  # the first round compiles and warms the disk's cache, and does not count
        note = turns.note if number >= 0 else _forget
        for clients in dict.fromkeys(FUNCTIONS.values()):
            note(_named(clients), **_bare(clients))
        for function, clients in FUNCTIONS.items():
            note(function, **_ours(function, clients, ROOT / "functions"))
            if function in AS_SHIPPED:
                note(
                    f"{function} as shipped", **_ours(function, clients, layers, PYTHONDONTWRITEBYTECODE="1")
                )
        if number >= 0:
            say(f"round {number + 1} of {rounds}, {machine.load()}")
    shutil.rmtree(layers, ignore_errors=True)
    return [
        _figure(turns, function, name)
        for function in FUNCTIONS
        for name in (function, f"{function} as shipped")
        if name in turns.cpu
    ]


def _figure(turns: machine.Turns, function: str, name: str) -> Figure:
    baseline = _named(FUNCTIONS[function])
    what = f"cold start of {name.replace('_', '-').replace(' as shipped', ', layers as they ship')}"
    return figure(
        what,
        median(turns.cpu[name]),
        "s",
        baseline=median(turns.cpu[baseline]),
        ratio=turns.ratio(name, baseline),
        budget=SQL_BUDGET if function == "store_sql" else SMALL_BUDGET,
    )


def _bare(clients: tuple[str, ...]) -> dict[str, float]:
    arguments = ["-c", _CHILD.format(imports=_BARE), ",".join(clients)]
    return machine.fresh(arguments, machine.compiled_apart())


def _ours(function: str, clients: tuple[str, ...], library: Path, **more: str) -> dict[str, float]:
    path = f"{ROOT / 'functions' / function}:{library}"
    environment = machine.compiled_apart(PYTHONPATH=path, POWERTOOLS_SERVICE_NAME="dsr", **more)
    imports = _OURS + (_DRIVER if function == "store_sql" else "")
    return machine.fresh(["-c", _CHILD.format(imports=imports), ",".join(clients)], environment)


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
