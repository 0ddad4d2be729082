"""The certificate: what it says, and that nobody can change a word of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dsr import signing
from dsr.canonical import canonical
from dsr.certificate import commitment, verify
from dsr.signing import SignatureError, document, key_id, to_pem
from dsr_cli.main import main

KEY = ec.generate_private_key(ec.SECP256R1())
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PEM = to_pem(DER).encode()
SAID: dict[str, Any] = {
    "case": "K7Q2-9FXM-3TWD-5BHP",
    "controller": "Käsekraft",
    "outcome": "erased",
    "verified_at": "2026-11-22T14:00:00+00:00",
    "collections": [
        {"store": "a", "collection": "b", "treatment": "delete", "found": 3, "erased": 3, "remaining": 0}
    ],
}


def signed(said: dict[str, Any]) -> bytes:
    return document("certificate", said, KEY.sign(canonical(said), ec.ECDSA(SHA256())), key_id(DER))


SIGNED = signed(SAID)  # once: a signature has chance in it


def test_a_true_certificate_holds() -> None:
    assert verify(signed(SAID), PEM) == SAID


def test_the_pem_is_the_one_that_others_write() -> None:
    assert KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == PEM


def test_white_space_and_order_may_change_words_may_not() -> None:
    again = json.loads(signed(SAID))
    again["certificate"] = dict(reversed(again["certificate"].items()))
    assert verify(json.dumps(again).encode(), PEM) == SAID
    again["certificate"]["outcome"] = "erased_in_part"
    with pytest.raises(SignatureError, match="does not fit"):
        verify(json.dumps(again).encode(), PEM)


@given(st.data())
def test_any_altered_byte_of_the_content_is_noticed(data: st.DataObject) -> None:
    content = SIGNED
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    altered = content[:at] + bytes([byte]) + content[at + 1 :]
    try:
        said = verify(altered, PEM)
    except (SignatureError, UnicodeDecodeError):
        return
    assert said == SAID  # only white space can have changed


def test_another_key_and_no_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SignatureError, match="another key"):
        verify(signed(SAID), pem)
    foreign = rsa.generate_private_key(65537, 2048).public_key()
    der = foreign.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SignatureError, match="another kind"):
        verify(signed(SAID).replace(key_id(DER).encode(), key_id(der).encode()), to_pem(der).encode())
    # Named like the true one, it still does not fit.
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SignatureError, match="does not fit"):
        verify(signed(SAID).replace(key_id(DER).encode(), key_id(der).encode()), pem)
    with pytest.raises(SignatureError, match="no public key"):
        verify(signed(SAID), b"nonsense")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"certificate": {}, "signature": {"value": "!"}}'])
def test_what_is_no_certificate_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(SignatureError, match="no certificate"):
        verify(content, PEM)


def test_the_command_line_says_what_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, key = tmp_path / "certificate.json", tmp_path / "key.pem"
    file.write_bytes(signed(SAID))
    key.write_bytes(PEM)
    assert main(["certificate", "verify", str(file), "--key", str(key)]) == 0
    assert "The signature holds: Käsekraft, case K7Q2-9FXM-3TWD-5BHP" in capsys.readouterr().out
    file.write_bytes(signed(SAID).replace(b'"erased": 3', b'"erased": 4'))
    assert main(["certificate", "verify", str(file), "--key", str(key)]) == 1
    assert "does not fit" in capsys.readouterr().err


def test_of_several_keys_the_one_that_signed_is_taken() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    newer = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert verify(signed(SAID), b"Key 1 (signs now)\n" + newer + b"\nKey 2 (signed before)\n" + PEM) == SAID


def test_the_algorithm_is_fixed() -> None:
    said = json.loads(signed(SAID))
    said["signature"]["algorithm"] = "none"
    with pytest.raises(SignatureError, match=signing.ALGORITHM):
        verify(json.dumps(said).encode(), PEM)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_checks_it_by_the_documented_commands(tmp_path: Path) -> None:
    text = Path("docs/proof.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ ((?:openssl|python3) .*)$", text, re.MULTILINE)
    assert [c.split()[0] for c in commands] == ["python3", "python3", "openssl"]
    (tmp_path / "certificate.json").write_bytes(signed(SAID))
    (tmp_path / "certificate-key.pem").write_bytes(b"Key 1 (signs now)\n" + PEM)

    def check() -> str:
        return subprocess.run(
            ["bash", "-c", "\n".join(commands)], cwd=tmp_path, capture_output=True, text=True, check=False
        ).stdout

    assert check() == "Verified OK\n"
    altered = signed(SAID).replace(b'"erased": 3', b'"erased": 4')
    (tmp_path / "certificate.json").write_bytes(altered)
    assert "OK" not in check()


def test_who_has_the_word_can_show_that_it_is_theirs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "certificate.json"
    file.write_bytes(signed(SAID | {"subject": {"commitments": [commitment("w0rd", "ada@example.com")]}}))
    mine = ["certificate", "mine", str(file), "--nonce", "w0rd", "--email"]
    assert main([*mine, "ADA@example.com"]) == 0
    assert "is about this person" in capsys.readouterr().out
    assert main([*mine, "bob@example.com"]) == 1
    assert "not about this person" in capsys.readouterr().err
