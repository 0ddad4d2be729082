"""What was proven is checked without AWS and without a network: by our commands and by openssl."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsr.audit import to_line
from tests.unit import test_audit, test_certificate, test_verifying

# In a namespace of its own a process has no network at all, not even to its own machine.
CUT = ["unshare", "--map-root-user", "--net"]
CHECKS = """
import socket, sys
from dsr_cli.main import main
for address in (("127.0.0.1", 22), ("192.0.2.1", 443)):
    try:
        socket.create_connection(address, 1).close()
    except OSError as error:
        assert "unreachable" in str(error), error
for command in sys.stdin.read().splitlines():
    print(main(command.split()), flush=True)
"""


def cut_off() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*CUT, "true"], capture_output=True, check=False).returncode == 0


def alone(*command: str, folder: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run it without a network, with nothing of ours in its environment but where programs are."""
    environment = {"PATH": str(Path(sys.executable).parent) + ":/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        [*CUT, *command], cwd=folder, env=environment, input=said, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not cut_off(), reason="this machine lets nobody make network namespaces")
def test_certificate_trail_and_bundle_hold_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "certificate.json").write_bytes(test_certificate.SIGNED)
    (tmp_path / "certificate-key.pem").write_bytes(test_certificate.PEM)
    (tmp_path / "trail.pem").write_bytes(test_audit.PEM)
    (tmp_path / "bundle.pem").write_bytes(test_verifying.PEM)
    test_verifying.bundle(tmp_path / "bundle.zip")
    export = [
        {"head": h.content.decode(), "parts": {n: p.decode() for n, p in h.parts.items()}}
        for h in test_audit.HEADS
    ]
    cases = [
        {"case": h.case_id, "version": h.version, "head": h.head, "events": [to_line(e) for e in h.events]}
        for h in test_audit.HISTORIES
    ]
    (tmp_path / "trail.jsonl").write_text("\n".join(json.dumps(line) for line in (*export, *cases)))
    commands = [
        "certificate verify certificate.json --key certificate-key.pem",
        "audit verify --export trail.jsonl --key trail.pem",
        "bundle verify bundle.zip --key bundle.pem",
    ]
    done = alone(sys.executable, "-c", CHECKS, folder=tmp_path, said="\n".join(commands))
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("The signature holds: Käsekraft", "The trail holds.", "The signature holds: Shop"):
        assert words in done.stdout
    assert re.findall(r"^\d$", done.stdout, re.MULTILINE) == ["0", "0", "0"]
    # Each of them changed by a word is found out there, too.
    for name in ("certificate.json", "trail.jsonl"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes().replace(b"erased", b"undone").replace(b"gathered", b"finished"))
    test_verifying.bundle(tmp_path / "bundle.zip", lambda held: held.update({"index.html": b"<b>"}))
    done = alone(sys.executable, "-c", CHECKS, folder=tmp_path, said="\n".join(commands))
    assert re.findall(r"^\d$", done.stdout, re.MULTILINE) == ["1", "1", "1"], done.stdout


@pytest.mark.skipif(not (cut_off() and shutil.which("openssl")), reason="no openssl, or no namespaces")
def test_openssl_needs_no_network_either(tmp_path: Path) -> None:
    text = Path("docs/proof.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ ((?:openssl|python3) .*)$", text, re.MULTILINE)
    (tmp_path / "certificate.json").write_bytes(test_certificate.SIGNED)
    (tmp_path / "certificate-key.pem").write_bytes(test_certificate.PEM)
    assert alone("bash", "-c", "\n".join(commands), folder=tmp_path).stdout == "Verified OK\n"
