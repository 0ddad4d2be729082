"""A private MariaDB from Debian: a folder, a port and a socket of its own, gone after the tests."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from infra.local.processes import free_port
from tests.servers import ends_with_us

HOST, USER, PASSWORD, DATABASE = "127.0.0.1", "shop", "a password", "shop"
_WAIT_SECONDS = 60


def installed() -> bool:
    """Whether the server is there."""
    return _program("mariadbd") is not None and _program("mariadb-install-db") is not None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Server:
    """Where it listens."""

    port: int

    def connect(self, user: str = USER) -> "pymysql.Connection[Any]":
        """A connection as the owner of the database, or as another with the same password."""
        return pymysql.connect(
            host=HOST, port=self.port, user=user, password=PASSWORD, database=DATABASE, autocommit=True
        )

    def execute(self, statement: str, *values: Any, many: list[Any] | None = None) -> list[Any]:
        """Execute one statement, or the same for each of `many`; returns its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            if many is not None:
                cursor.executemany(statement, many)
                return []
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """The server, with its data in `folder`."""
    port = free_port(33060)
    data, socket = folder / "data", folder / "s"
    common = ["--no-defaults", f"--datadir={data}", f"--user={_user()}"]
    install, server = _program("mariadb-install-db"), _program("mariadbd")
    assert install
    assert server
    log = (folder / "log").open("wb")
    subprocess.run(
        [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, stdout=log, stderr=log,
    )  # fmt: skip
    process = subprocess.Popen(
        [
            server, *common, f"--socket={socket}", f"--port={port}", f"--bind-address={HOST}",
            "--skip-name-resolve", f"--pid-file={folder / 'pid'}", "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=off",
        ],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        with ends_with_us(process.pid, "TERM"):
            _make_owner(socket, process, folder / "log")
            yield Server(port)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _make_owner(socket: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection = pymysql.connect(unix_socket=str(socket), user="root", autocommit=True)
            break
        except pymysql.err.OperationalError:
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(
                    f"MariaDB did not start:\n{log.read_text(errors='replace')[-2000:]}"
                ) from None
            time.sleep(0.05)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        cursor.execute(f"CREATE USER {USER}@'{HOST}' IDENTIFIED BY '{PASSWORD}'")
        cursor.execute(f"GRANT ALL ON *.* TO {USER}@'{HOST}' WITH GRANT OPTION")


def _user() -> str:
    import getpass

    return getpass.getuser()
