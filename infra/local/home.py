"""Where one local cloud keeps what it has: state, data, logs and temporary files, all under one folder."""

import fcntl
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
DEFAULT = ROOT / "build/local"


class LocalCloudError(Exception):
    """Something a person must know or change; the message says what and how."""


@dataclass(frozen=True)
class Home:
    """The folder of one local cloud. Several may run side by side, each with a home and a port of its own."""

    root: Path

    @property
    def state(self) -> Path:
        """What the AWS services hold, written when they are stopped."""
        return self.root / "state"

    @property
    def objects(self) -> Path:
        """The bytes of S3."""
        return self.root / "s3"

    @property
    def temporary(self) -> Path:
        """Where functions are unpacked; gone after each stop."""
        return self.root / "tmp"

    @property
    def database(self) -> Path:
        """The data of PostgreSQL."""
        return self.root / "pg"

    @property
    def logs(self) -> Path:
        """What the processes say."""
        return self.root / "log"

    def log(self, name: str) -> Path:
        """The log file of one process or tool."""
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.logs / f"{name}.log"

    def erase(self) -> None:
        """Delete all that this cloud holds. It must be stopped."""
        for path in [*self.root.glob("*")] if self.root.exists() else []:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "lock":
                path.unlink()

    def note(self, name: str) -> dict[str, Any]:
        """What is noted under that name; empty if nothing is, or if it was cut off while being written."""
        try:
            noted = json.loads((self.root / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def take_note(self, name: str, values: dict[str, Any]) -> None:
        """Note `values` for later runs, readable by this user only; empty values remove the note."""
        path = self.root / f"{name}.json"
        if not values:
            path.unlink(missing_ok=True)
            return
        self.root.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(values, indent=1) + "\n")
        fresh.replace(path)

    def secret(self, name: str) -> str:
        """A password of this cloud, made at its first use."""
        known = self.note("secrets")
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            self.take_note("secrets", known)
        return str(known[name])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold this home: only one command at a time starts, stops or fills it.

        The system releases the lock when the process ends, however it ends. Raises LocalCloudError if taken.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LocalCloudError(
                    "another `make up`, `make down` or `make demo` is at work here; "
                    "wait for it, or stop it with Ctrl-C"
                ) from None
            yield
