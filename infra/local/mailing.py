"""The mailing provider of the sample community: docs/examples/receiver.py, as a process of the local cloud.

What it holds it tells at once. What it is to delete it deletes at once and answers by a signed callback, so
that both ways are seen. It ends with all else of its home (`processes.stop`).

Under another path it plays the provider that members sign in with, of which only the revocation of tokens
(RFC 7009) is asked: it notes them.
"""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

from dsr.signatures import secret_text
from infra.craftzone.holdings import OTHERS, SUBSCRIPTIONS
from infra.local import processes
from infra.local.home import ROOT, Home, LocalCloudError

HOST = "127.0.0.1"
REVOCATION = "/revoke"
REVOKED = "revoked.txt"  # a token a line, beside what others hold
SECRET = "MAILING_SECRET"
_SECONDS = 15.0


def receiver() -> ModuleType:
    """docs/examples/receiver.py, as a module."""
    path = ROOT / "docs/examples/receiver.py"
    spec = importlib.util.spec_from_file_location("receiver", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def others_of(home: Home) -> Path:
    """The folder of what the mailing provider and the courier hold."""
    return home.root / "others"


def revoked(home: Home) -> list[str]:
    """The tokens that the sign-in's provider was told to revoke."""
    noted = others_of(home) / REVOKED
    return noted.read_text("utf-8").split() if noted.exists() else []


def secret_of(home: Home) -> str:
    """What both sides sign with."""
    return secret_text(home.secret("mailing").encode()[:30])


def start(home: Home) -> str:
    """Start the provider, if it does not run. Returns its address. Raises LocalCloudError if it cannot."""
    port = home.note("mailing").get("port")
    if port and _answers(port) and processes.left_over(home):
        return _address(port)
    if not port or processes.port_taken(port):
        port = processes.free_port((home.note("ministack").get("port") or 4566) + 1)
    held = others_of(home) / OTHERS[SUBSCRIPTIONS]
    with home.log("mailing").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.mailing", str(port), str(held)],
            env=os.environ | {processes.MARK: str(home.root.resolve()), SECRET: secret_of(home)},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if not processes.wait_for(lambda: process.poll() is not None or _answers(port), _SECONDS):
        process.kill()
    if process.poll() is not None:
        raise LocalCloudError(f"the mailing provider did not start: see {home.log('mailing')}")
    home.take_note("mailing", {"port": port})
    return _address(port)


def _address(port: int) -> str:
    return f"http://{HOST}:{port}"


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def resolve_like_a_browser() -> None:
    """From now on names under localhost lead to this machine, which Python's resolver does not know."""
    real: Any = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **more: Any) -> Any:
        local = isinstance(host, str) and host.endswith(".localhost")
        return real(HOST if local else host, *arguments, **more)

    socket.getaddrinfo = resolve


def main(port: int, held: Path) -> None:
    """Answer until ended."""
    module = receiver()

    class Provider(module.Receiver):  # type: ignore[name-defined, misc]
        """As the example, but for what is answered when."""

        def answers_later(self, message: dict[str, Any]) -> bool:
            """What is deleted is answered later."""
            return str(message["type"]).endswith(".erase")

    class Handler(module.Handler):  # type: ignore[name-defined, misc]
        """As the example, and the sign-in's provider."""

        def do_POST(self) -> None:  # noqa: N802  the name that the base class calls
            """Revoke a token, or what the example does."""
            if self.path != REVOCATION:
                return super().do_POST()  # type: ignore[no-any-return]
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
            with (held.parent / REVOKED).open("a", encoding="utf-8") as file:
                file.writelines(f"{token}\n" for token in form.get("token", ()))
            return self.reply(200, {})  # type: ignore[no-any-return]

    resolve_like_a_browser()
    provider = Provider(port, os.environ[SECRET], module.Holdings(held))
    provider.RequestHandlerClass = Handler
    provider.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
