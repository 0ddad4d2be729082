"""Starting and stopping the AWS side of the local cloud: one ministack process and the function workers it
starts.

All of them carry the home's path in their environment. So whatever became of an earlier run (killed, half
started, its notes lost), what is left of it can be found and stopped, and nothing else is touched.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from infra.local.home import Home, LocalCloudError

MARK = "DSR_LOCAL_HOME"
ACCOUNT = "000000000000"
REGION = "us-east-1"
# ministack takes this pair for the account's root; everyone else is checked against their policies
# (AUTH=true).
ACCESS_KEY = SECRET_KEY = "test"

# Functions that may run at once. Each worker is a process of about 50 MB that takes most of a second of
# processor time to start; beyond this, a burst is throttled (as Lambda.Unknown) and retried instead of
# starving everything.
CONCURRENCY = 24

START_SECONDS = 30.0
STOP_SECONDS = 30.0
GRACE_SECONDS = 2.0
SAVED = "SFTP: stopped"  # what ministack says next when it has saved its state


def start(home: Home, port: int) -> None:
    """Start ministack for this home on 127.0.0.1:`port` and wait until it answers.

    Raises LocalCloudError if the port is taken or the process ends or stays silent.
    """
    taken = port_taken(port)
    if taken:
        raise LocalCloudError(taken)
    for folder in (home.state, home.objects, home.temporary):
        folder.mkdir(parents=True, exist_ok=True)
    log = home.log("ministack")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=_environment(home, port),
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C reaches us alone, and we stop it in order, so that it saves its
            # state.
            start_new_session=True,
        )
    home.take_note("ministack", {"port": port, "pid": process.pid})

    def answers() -> bool:
        if process.poll() is not None:
            raise LocalCloudError(
                f"ministack ended with code {process.returncode}; its last words:\n{_tail(log)}"
            )
        return healthy(port)

    if not wait_for(answers, START_SECONDS):
        stop(home)
        raise LocalCloudError(
            f"ministack did not answer within {START_SECONDS:.0f} s; its last words:\n{_tail(log)}"
        )


def stop(home: Home) -> bool:
    """Stop everything of this home (but its database), and leave no process and no temporary file.

    SIGTERM makes ministack save its state and end its workers; it takes seconds when it holds much. What then
    still lives is killed, calls under way among it, as Lambda may end any call. Returns whether the state on
    disk is whole.
    """
    leaders = [process for process in _ours(home) if _is_ministack(process)]
    log = home.log("ministack")
    known = log.stat().st_size if log.exists() else 0
    for process in leaders:
        _send(process, signal.SIGTERM)
    # Once all is saved it still waits, for minutes, for calls under way and what a workflow then tries again.
    wait_for(lambda: not _alive(leaders) or SAVED in _text_from(log, known), STOP_SECONDS)
    wait_for(lambda: not _alive(leaders), GRACE_SECONDS)
    in_order = not _alive(leaders) or SAVED in _text_from(log, known)
    # A worker outlives a ministack that was killed: it would wait for its next call for ever.
    orphans = _ours(home)
    for process in orphans:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(orphans, timeout=5)
    shutil.rmtree(home.temporary, ignore_errors=True)
    home.take_note("ministack", {})
    return in_order


def running_on(home: Home) -> int | None:
    """The port on which this home's ministack answers, or None."""
    port = home.note("ministack").get("port")
    if isinstance(port, int) and any(_is_ministack(process) for process in _ours(home)) and healthy(port):
        return port
    return None


def left_over(home: Home) -> list[int]:
    """The ids of all processes of this home."""
    return [process.pid for process in _ours(home)]


def healthy(port: int) -> bool:
    """Whether ministack answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def port_taken(port: int) -> str | None:
    """None if 127.0.0.1:`port` is free, else the sentence that says who has it and what to do."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            free = free_port(port + 1)
            return f"port {port} is in use{_holder(port)}; choose another, for example: PORT={free}"
    return None


def free_port(first: int) -> int:
    """The first free port on 127.0.0.1 from `first` upwards. Raises LocalCloudError if there is none."""
    for port in range(first, 65536):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LocalCloudError(f"no port from {first} upwards is free")


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask until `condition` holds or the time is over; whether it holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _environment(home: Home, port: int) -> dict[str, str]:
    """What ministack is told. Its workers inherit all of it, so nothing of the caller's own AWS set-up goes
    in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return kept | {
        MARK: str(home.root.resolve()),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",  # the default listens to the whole network
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AUTH": "true",  # IAM is enforced for the functions' roles
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.objects),
        "TMPDIR": str(home.temporary),  # every worker unpacks its code and layers here
        "LAMBDA_ACCOUNT_CONCURRENCY": str(CONCURRENCY),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",  # would listen on 8883
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _ours(home: Home) -> list[psutil.Process]:
    mark = str(home.root.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return found


def _alive(found: list[psutil.Process]) -> bool:
    return bool(psutil.wait_procs(found, timeout=0)[1])


def _text_from(log: Path, place: int) -> str:
    with log.open("rb") as file:
        file.seek(place)
        return file.read().decode(errors="replace")


def _is_ministack(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-2:] == ["-m", "ministack"]
    except psutil.Error:
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _holder(port: int) -> str:
    """' by name (process 123)' where the system lets us know, else nothing."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            if connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
