"""Fill build/layers for deployment: `python -m infra.build --local | --aws`.

    build/layers/dsr    python/dsr: the library that all functions share
    build/layers/plan   python/dsr_plan: the compiled data map, and the privacy notice made of it to print
    build/layers/base   what pip brings for every function: powertools, pydantic, jinja2, pyrage
    build/layers/sql    what pip brings for the SQL worker alone: sqlalchemy, psycopg, pymysql
    build/layers/lake   what pip brings for the worker of lakes alone: pyarrow, thrift

`--aws` fetches wheels for python3.13 on arm64, whatever machine builds; versions and hashes are those of
requirements/. `--local` leaves base, sql and lake empty but for a README: the local cloud runs functions on
the interpreter that has these packages already, and unpacks each layer anew for every worker it starts.

boto3 is not shipped: Lambda's python3.13 has it, and a copy would add 32 MB to every cold start. The calls
made here are all older than that runtime (S3 checksums, conditional writes, SES v2, Step Functions task
tokens), so whichever version AWS maintains there will do; the one that is tested is the one
requirements/dev.lock names.

The same input gives the same bytes: sam names what it uploads by content, so what did not change stays.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dsr.datamap.compile import compile_file
from dsr.datamap.notice import notice_of
from dsr.datamap.plan import to_json
from dsr.datamap.published import check_published
from dsr.datamap.roles import roles_template
from dsr.errors import MapError
from dsr_cli.print_notice import to_pdf

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"

# Lambda refuses a function whose code and layers, unpacked, exceed this together.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_UNPACKED_LIMIT = 250 * 1024 * 1024

# python3.13 runs on Amazon Linux 2023 with glibc 2.34; these are the arm64 wheel tags it can load.
AWS_WHEELS = [
    "--python-version=3.13",
    "--implementation=cp",
    "--only-binary=:all:",
    *(f"--platform=manylinux_2_{minor}_aarch64" for minor in (34, 31, 28, 27, 24, 17)),
    "--platform=manylinux2014_aarch64",
]

# Not needed to run: compiled files hold paths and times, and the rest is for those who develop the package.
STRIPPED_FOLDERS = {"__pycache__", "tests", "test", "testing", "bin"}
STRIPPED_SUFFIXES = {".pyc", ".pyo", ".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h"}

# Of pyarrow only Parquet and its reckoning serve: no other file systems, formats, or servers. With them the
# layers would hold more than Lambda takes.
STRIPPED_OF_PYARROW = (
    "include", "src", "libarrow_flight*", "libarrow_python_flight*", "_flight*", "libarrow_s3*", "_s3fs*",
    "_gcsfs*", "_azurefs*", "_hdfs*", "_orc*", "_dataset*", "_substrait*", "_acero*", "_feather*", "_json*",
    "_csv*", "_pyarrow_cpp_tests*", "libarrow_python.so", "libarrow_python.so.*.*.*",
    "libarrow_python_parquet_encryption.so", "libarrow_python_parquet_encryption.so.*.*.*",
)  # fmt: skip

LAYER_README = (
    "Beside the local cloud's interpreter these lie already; `python -m infra.build --aws` fills this.\n"
)


class BuildError(Exception):
    """The build cannot be finished; the message says why and what to do."""


def build(*, aws: bool, data_map: Path, values: dict[str, str]) -> None:
    """Fill build/layers and build/plan.

    `data_map` is the YAML file, `values` what its ${...} stand for; `aws`: whether third-party packages ship.
    Raises BuildError, and MapError if the map is wrong.
    """
    compile_plan(data_map, values)
    _library(BUILD / "layers/dsr/python/dsr")
    for layer, lock in (("base", "runtime"), ("sql", "sql"), ("lake", "lake")):
        target = _emptied(BUILD / "layers" / layer)
        if aws:
            _fetch(target / "python", ROOT / "requirements" / f"{lock}.lock")
            _strip(target / "python")
        else:
            (target / "python").mkdir()
            _write(target / "README", LAYER_README)
    # sam packs each function's folder as it stands.
    for cache in [*(ROOT / "functions").rglob("__pycache__")]:
        shutil.rmtree(cache, ignore_errors=True)
    _check_size()


def compile_plan(data_map: Path, values: dict[str, str]) -> None:
    """Compile the data map to build/plan (plan.json, roles.template.json) and build/layers/plan.

    Raises MapError.
    """
    plan = compile_file(data_map, values)
    check_published(plan, data_map)
    text = to_json(plan)
    shipped = _emptied(BUILD / "layers/plan") / "python/dsr_plan"
    _write(shipped / "__init__.py", '"""The data map, compiled for this deployment."""\n')
    _write(shipped / "plan.json", text)
    _write(shipped / "policy.pdf", to_pdf(notice_of(plan)))
    _write(BUILD / "plan/plan.json", text)
    _write(BUILD / "plan/roles.template.json", json.dumps(roles_template(plan), indent=1) + "\n")


def sizes() -> dict[str, int]:
    """Bytes in each layer, unpacked."""
    return {
        layer.name: sum(path.stat().st_size for path in _files(layer))
        for layer in sorted((BUILD / "layers").iterdir())
    }


def fingerprint() -> dict[str, str]:
    """A hash over names and bytes of each layer: the same for the same input."""
    prints = {}
    for layer in sorted((BUILD / "layers").iterdir()):
        digest = hashlib.sha256()
        for path in _files(layer):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(layer)} {content}\n".encode())
        prints[layer.name] = digest.hexdigest()
    return prints


def _library(target: Path) -> None:
    """Copy functions/dsr without compiled files: code, pages, styles and wordings."""
    _emptied(target.parent.parent)
    source = ROOT / "functions/dsr"
    for path in _files(source):
        if not STRIPPED_FOLDERS.intersection(path.parts) and path.suffix not in STRIPPED_SUFFIXES:
            _write(target / path.relative_to(source), path.read_bytes())


def _fetch(target: Path, lock: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-compile", "--require-hashes", f"--target={target}", f"--requirement={lock}"]
    if subprocess.run([*pip, *options, *AWS_WHEELS], check=False).returncode:
        raise BuildError(
            f"pip could not fetch what {lock.relative_to(ROOT)} names for arm64: see the reason above. "
            "Building for AWS needs the network, or a package index that pip is configured for."
        )


def _strip(target: Path) -> None:
    for pattern in STRIPPED_OF_PYARROW:
        for path in (target / "pyarrow").glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in sorted(target.rglob("*"), reverse=True):
        unneeded = path.name in STRIPPED_FOLDERS if path.is_dir() else path.suffix in STRIPPED_SUFFIXES
        if unneeded and path.is_dir():
            shutil.rmtree(path)
        elif unneeded:
            path.unlink()
        elif path.is_file():
            path.chmod(0o755 if path.suffix == ".so" else 0o644)
    for record in target.glob("*.dist-info/RECORD"):  # lists what was just stripped
        record.unlink()
    for installer in target.glob("*.dist-info/*"):  # what pip notes about this machine's call
        if installer.name in {"INSTALLER", "REQUESTED", "direct_url.json"}:
            installer.unlink()


def _check_size() -> None:
    together = sum(sizes().values())
    if together > LAMBDA_UNPACKED_LIMIT:
        raise BuildError(
            f"the layers hold {together / 2**20:.0f} MB unpacked, Lambda allows "
            f"{LAMBDA_UNPACKED_LIMIT / 2**20:.0f} MB for a function with all its layers"
        )


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.build", description="Fill build/layers for deployment."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--local", action="store_true", help="for the local cloud: third-party layers stay empty"
    )
    where.add_argument("--aws", action="store_true", help="for AWS: wheels for python3.13 on arm64")
    parser.add_argument(
        "--map", type=Path, default=ROOT / "infra/craftzone/datamap.yaml", help="the data map"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a value for ${NAME} in it"
    )
    options = parser.parse_args(arguments)
    values = {}
    for pair in options.set:
        name, given, value = pair.partition("=")
        if not given:
            parser.error(f"--set {pair}: expected NAME=VALUE")
        values[name] = value
    try:
        build(aws=options.aws, data_map=options.map, values=values)
    except (BuildError, MapError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for layer, size in sizes().items():
        print(f"build/layers/{layer:<5} {size / 2**20:7.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
