"""A bundle is checked offline: by our command and by openssl, as the documentation says."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dsr.bundle.verifying import BundleError, verify_bundle
from dsr_cli.main import main

DOCS = Path(__file__).parents[2] / "docs/bundle.md"
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FILES = {
    "index.html": b"<p>",
    "data/a/notes.jsonl": b'{"id":1}\n',
    "files/a/K\xc3\xb6nig's x.png".encode("latin1").decode(): b"\x89" * 5000,
}


def manifest_of(files: dict[str, bytes]) -> bytes:
    said = {
        "kind": "bundle", "version": 1, "controller": "Shop", "case": "K7Q2-9FXM-3TWD-5BHP",
        "map_version": "v", "made_at": "2026-03-02T12:00:00+00:00", "outcome": "delivered", "missing": [],
        "collections": [{"store": "a", "collection": "notes", "records": 1}],
        "files": [
            {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in files.items()
        ],
    }  # fmt: skip
    return json.dumps(said, indent=1, ensure_ascii=False).encode()


def bundle(path: Path, change: Callable[[dict[str, bytes]], object] = len) -> Path:
    """A bundle, but for what `change` does to its files by name."""
    manifest = manifest_of(FILES)
    held = {**FILES, "manifest.json": manifest, "manifest.sig": KEY.sign(manifest, ec.ECDSA(SHA256()))}
    change(held)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return path


def test_one_as_it_was_handed_over_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle(tmp_path / "b.zip")
    found = verify_bundle([path], PEM)
    assert (found.faults, found.files) == ([], 3)
    key = tmp_path / "key.pem"
    key.write_bytes(PEM)
    assert main(["bundle", "verify", str(path), "--key", str(key)]) == 0
    said = capsys.readouterr().out
    assert "The signature holds: Shop, case K7Q2-9FXM-3TWD-5BHP" in said
    assert "3 files and 1 records" in said


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda held: held.pop("index.html"), "index.html is missing"),
        (lambda held: held.update({"x.exe": b""}), "x.exe is not in the manifest"),
        (lambda held: held.update({"index.html": b"<b>"}), "index.html was changed"),
        (lambda held: held.update({"index.html": b"<"}), "index.html has 1 bytes instead of 3"),
        (lambda held: held.update({"index.html": b"<p>!"}), "index.html has more than 3 bytes"),
        (lambda held: held.update({"manifest.sig": b"x"}), "the signature does not fit"),
        (lambda held: held.update({"manifest.json": manifest_of(FILES) + b" "}), "signature does not fit"),
        (lambda held: held.pop("manifest.sig"), "nobody vouches"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], object],
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, key = bundle(tmp_path / "b.zip", change), tmp_path / "key.pem"
    key.write_bytes(PEM)
    assert main(["bundle", "verify", str(path), "--key", str(key)]) == 1
    said = capsys.readouterr().err
    assert fault in said
    assert said.count("\n  ") == 1, "that, and nothing else"


def test_another_files_list_that_is_consistent_in_itself_is_not_signed(tmp_path: Path) -> None:
    def forge(held: dict[str, bytes]) -> None:
        held["index.html"] = b"forged"
        held["manifest.json"] = manifest_of({**FILES, "index.html": b"forged"})

    [fault] = verify_bundle([bundle(tmp_path / "b.zip", forge)], PEM).faults
    assert "the signature does not fit" in fault


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_file_of_the_same_name_is_found(tmp_path: Path) -> None:
    """Programs differ in which of the two they unpack."""
    path = bundle(tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("index.html", b"<p>")
    assert verify_bundle([path], PEM).faults == ["index.html is in it 2 times"]


def test_bytes_that_were_flipped_are_found_wherever_they_lie(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b.zip")
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        begins = [i.header_offset + 30 + len(i.filename.encode()) for i in archive.infolist()]
    key = tmp_path / "key.pem"
    key.write_bytes(PEM)
    for at in begins:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        assert main(["bundle", "verify", str(path), "--key", str(key)]) == 1


def test_several_zips_are_one_bundle_and_each_holds_by_itself(tmp_path: Path) -> None:
    def volume(number: int, made_at: str = "2026-03-02T12:00:00+00:00") -> Path:
        def change(held: dict[str, bytes]) -> None:
            files = {f"files/{number}.png": bytes([number])}
            said = json.loads(manifest_of(files)) | {"volume": number, "volumes": 3, "made_at": made_at}
            manifest = json.dumps(said).encode()
            held.clear()
            held.update({**files, "manifest.json": manifest})
            held["manifest.sig"] = KEY.sign(manifest, ec.ECDSA(SHA256()))

        return bundle(tmp_path / f"{number}-{made_at[:4]}.zip", change)

    one, two, three = volume(1), volume(2), volume(3)
    for given in ([one, two, three], [three, one, two], [two]):
        assert verify_bundle(given, PEM).faults == []
    assert verify_bundle([one, three], PEM).faults == ["zip 2 of the bundle is missing"]
    assert verify_bundle([one, two, two, three], PEM).faults == ["zip 2 of the bundle is given twice"]
    assert verify_bundle([one, two, volume(3, "2027")], PEM).faults == ["the zips are of different bundles"]


@pytest.mark.parametrize(("pieces", "crc32"), [(True, True), (False, True), (True, False)])
def test_of_a_very_large_file_each_piece_and_its_sum_are_checked(
    tmp_path: Path, pieces: bool, crc32: bool
) -> None:
    content = bytes(range(256)) * 40

    def change(held: dict[str, bytes]) -> None:
        said = json.loads(manifest_of({"files/x.bin": content}))
        [file] = said["files"]
        file["sha256"] = ""
        cuts = [content[at : at + 1000] for at in range(0, len(content), 1000)]
        if pieces:
            file["pieces"] = [hashlib.sha256(cut).hexdigest() for cut in cuts]
        file["crc32"] = f"{zlib.crc32(content) if crc32 else 0:08x}"
        manifest = json.dumps(said).encode()
        held.clear()
        held.update({"files/x.bin": content, "manifest.json": manifest})
        held["manifest.sig"] = KEY.sign(manifest, ec.ECDSA(SHA256()))

    with mock.patch("dsr.bundle.verifying.PIECE", 1000):
        path = bundle(tmp_path / "b.zip", change)
        faults = verify_bundle([path], PEM).faults
        if not pieces:
            assert len(faults) == 1
            assert faults[0].startswith("files/x.bin has no SHA-256 in the manifest")
            return
        assert faults == ([] if crc32 else ["files/x.bin was changed: its CRC-32 is another"])
        with zipfile.ZipFile(path) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
        held["files/x.bin"] = content[:1500] + b"!" + content[1501:]
        with zipfile.ZipFile(path, "w") as archive:
            for name, said in held.items():
                archive.writestr(name, said)
        [fault] = verify_bundle([path], PEM).faults
        assert fault.startswith("files/x.bin was changed")


def test_what_is_no_bundle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"nothing")
    with pytest.raises(BundleError, match="no zip, or it was cut off"):
        verify_bundle([path], PEM)
    with pytest.raises(BundleError, match="no bundle"):
        verify_bundle([bundle(path, lambda held: held.pop("manifest.json"))], PEM)
    with pytest.raises(BundleError, match="not a manifest"):
        verify_bundle([bundle(path, lambda held: held.update({"manifest.json": b"[1]"}))], PEM)
    with pytest.raises(BundleError, match="PEM"):
        verify_bundle([bundle(path)], b"no key")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_checks_it_by_the_documented_commands(tmp_path: Path) -> None:
    commands = re.findall(r"^\$ ((?:unzip|openssl|python3|sha256sum) .*)$", DOCS.read_text(), re.MULTILINE)
    assert [c.split()[0] for c in commands] == ["unzip", "openssl", "python3"], commands
    bundle(tmp_path / "bundle.zip")
    (tmp_path / "dsr-certificate-key.pem").write_bytes(PEM)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:  # what `unzip` does, which need not be there
        archive.extractall(tmp_path / "bundle")
    environment = {"PATH": os.environ["PATH"]}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path / "bundle", env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert run(commands[1]).stdout == "Verified OK\n"
    whole = run(commands[2])
    assert (whole.returncode, whole.stdout.count(": OK\n")) == (0, 3)
    (tmp_path / "bundle/index.html").write_bytes(b"<b>")
    assert run(commands[2]).returncode
    (tmp_path / "bundle/manifest.json").write_bytes(b"{}")
    assert run(commands[1]).returncode
