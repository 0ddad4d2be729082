"""What each function imports, with nothing beside it that Lambda would not have.

The local cloud runs functions on its own interpreter, where everything is installed; so a package that a
layer lacks, or a heavy one that a cold start pays for, shows only here: each handler is imported by a bare
interpreter that sees its folder, its layers' packages, and what Lambda's runtime brings.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from infra import build
from tests.template import reach
from tests.template.cloudformation import ROOT, Stack, folders, source
from tests.template.test_roles import function_of

FOLDERS = folders()
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")

# Packages that cost a cold start more than they give it, and who may have them all the same.
# Import times measured on this project: pydantic 148 ms, event_handler 72 ms, jinja2 62 ms.
HEAVY: dict[str, set[str]] = {
    "jinja2": {"build_bundle", "desk_web", "public_web"},
    "sqlalchemy": {"store_sql"},
    "pyarrow": {"store_lake"},
    "thrift": {"store_lake"},
    "psycopg": set(),  # loaded with the first connection
    "pydantic": set(),
    "yaml": set(),
    "aws_lambda_powertools.event_handler": set(),
    "aws_lambda_powertools.utilities.data_classes": set(),
    "aws_lambda_powertools.utilities.parser": set(),
    "asyncio": {"store_sql"},
    "dsr.datamap.schema": set(),
    "dsr.datamap.compile": set(),
    "dsr_cli": set(),
}

# What is imported with the first use of something, besides the imports inside functions.
LATE = {"store_sql": {"psycopg", "sqlalchemy.dialects.postgresql.psycopg"}}

_PROGRAM = """
import importlib, json
import handler
modules = sorted(sys.modules)
for name in late:
    importlib.import_module(name)
print(json.dumps({"modules": modules, "callable": callable(handler.handler)}))
"""


@dataclass(frozen=True)
class Import:
    """How the import of a handler went."""

    modules: frozenset[str]
    fault: str

    def has(self, package: str) -> bool:
        """Whether the package, or a module in it, was imported."""
        return any(m == package or m.startswith(f"{package}.") for m in self.modules)


def packages_of(lock: str) -> list[str]:
    """The packages that a lock file names."""
    text = (ROOT / f"requirements/{lock}.lock").read_text()
    return re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)


def fill(target: Path, packages: list[str]) -> Path:
    """A folder with these installed packages and nothing else, by links."""
    target.mkdir()
    for package in packages:
        installed = distribution(package)
        for top in {file.parts[0] for file in installed.files or () if file.parts[0] != ".."}:
            link = target / top
            if not link.exists():
                link.symlink_to(Path(str(installed.locate_file(top))))
    return target


def stripped(target: Path) -> Path:
    """The folder as the build leaves it of what is too large: copied, less what it takes out."""
    for link in list(target.iterdir()):
        installed = link.resolve()
        link.unlink()
        shutil.copytree(installed, link)
    build._strip(target)
    return target


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a function finds of each layer on its path, by the layer's name; `runtime` is Lambda's own."""
    at = tmp_path_factory.mktemp("layers")
    (at / "dsr").mkdir()
    (at / "dsr/dsr").symlink_to(ROOT / "functions/dsr")
    (at / "plan/dsr_plan").mkdir(parents=True)
    (at / "plan/dsr_plan/__init__.py").touch()
    return {
        "DsrLayer": at / "dsr",
        "PlanLayer": at / "plan",
        "BaseLayer": fill(at / "base", packages_of("runtime")),
        "SqlLayer": fill(at / "sql", packages_of("sql")),
        "LakeLayer": stripped(fill(at / "lake", packages_of("lake"))),
        "runtime": fill(at / "runtime", list(RUNTIME)),
    }


@pytest.fixture(scope="session")
def imports(stack: Stack, layers: dict[str, Path]) -> dict[str, Import]:
    """Every handler, imported once."""
    # Before the threads: Python 3.11 mistakes the depth of a syntax tree where two are parsed at once.
    late_of = {folder: sorted(LATE.get(folder, set()) | reach.late_imports(folder)) for folder in FOLDERS}

    def one(folder: str) -> tuple[str, Import]:
        function = source()["Resources"][function_of(stack, folder)]["Properties"]
        paths = [ROOT / "functions" / folder, *(layers[layer["Ref"]] for layer in function["Layers"])]
        # As Lambda orders them: the function, its layers, the runtime's packages.
        path = [str(p) for p in [*paths, layers["runtime"]]]
        program = f"import sys; sys.path[:0] = {path!r}; late = {late_of[folder]!r}\n{_PROGRAM}"
        return folder, run(program, stack.properties(function_of(stack, folder))["Environment"]["Variables"])

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(pool.map(one, FOLDERS))


def run(program: str, variables: dict[str, Any]) -> Import:
    """Run the program on an interpreter without site-packages, with a function's environment."""
    environment = {name: str(value) for name, value in variables.items()}
    environment["AWS_DEFAULT_REGION"] = "us-east-1"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        return Import(frozenset(), done.stderr.strip()[-2000:])
    said = json.loads(done.stdout.splitlines()[-1])
    return Import(frozenset(said["modules"]), "" if said["callable"] else "handler.handler cannot be called")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_handler_imports_with_its_own_code_and_layers(imports: dict[str, Import], folder: str) -> None:
    """Nothing is missing from the layers that the function has."""
    assert not imports[folder].fault


def test_the_bare_interpreter_is_bare(layers: dict[str, Path]) -> None:
    """It sees neither this environment's packages nor our folders."""
    for module in ("pytest", "sqlalchemy", "samcli", "dsr"):
        assert "ModuleNotFoundError" in run(f"import {module}", {}).fault


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_only_where_they_serve(imports: dict[str, Import], package: str) -> None:
    """Exactly by those functions, so that the table stays true."""
    found = {folder for folder in FOLDERS if imports[folder].has(package)}
    assert found == HEAVY[package]


def test_a_worker_imports_only_its_own_kind(imports: dict[str, Import]) -> None:
    """Imports, network and permissions of a kind of store stay its own."""
    stores = (ROOT / "functions/dsr/stores").iterdir()
    kinds = {p.stem for p in stores} - {"__init__", "__pycache__", "base", "registry"}
    for folder in FOLDERS:
        found = {kind for kind in kinds if imports[folder].has(f"dsr.stores.{kind}")}
        assert found == ({folder.removeprefix("store_")} if folder.startswith("store_") else set()), folder


def test_layers_hold_nothing_that_the_runtime_brings() -> None:
    """A second boto3 would be loaded anew at every cold start."""
    for lock in ("runtime", "sql", "lake"):
        assert not {"boto3", "botocore", "s3transfer"} & set(packages_of(lock))
    assert not set(packages_of("sql")) & set(packages_of("runtime")) - {"typing-extensions"}
