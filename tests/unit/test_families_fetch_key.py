"""scripts/fetch-key.sh with real keys, over file:// addresses."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fetch-key.sh"

pytestmark = pytest.mark.process


@dataclass(frozen=True)
class Key:
    armoured: Path
    fingerprint: str


def gpg(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback",
         "--passphrase", "", *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def make_key(folder: Path, name: str, expire: str = "never", *more: str) -> Key:
    home = folder / f"home-{name}"
    home.mkdir(mode=0o700)
    gpg(
        home,
        *more,
        "--quick-generate-key",
        f"{name} <{name}@example.org>",
        "ed25519",
        "sign",
        expire,
    )
    listing = gpg(home, "--with-colons", "--list-keys")
    fingerprint = next(x.split(":")[9] for x in listing.splitlines() if x.startswith("fpr"))
    armoured = folder / f"{name}.asc"
    armoured.write_text(gpg(home, "--armor", "--export"))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    return Key(armoured, fingerprint)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    assert shutil.which("gpg"), "these tests need gpg"
    # A socket's path may have 108 characters at most.
    folder = tmp_path_factory.mktemp("k")
    return {
        "good": make_key(folder, "good"),
        "other": make_key(folder, "other"),
        "old": make_key(folder, "old", "seconds=60", "--faked-system-time", "20200101T000000!"),
    }


PATHS: dict[str, str] = {}


@pytest.fixture(scope="module", params=["gpg", "no-gpg-mawk", "no-gpg-busybox"], autouse=True)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every program of this machine with gpg, or without it and with one awk or the other."""
    kind = str(request.param)
    folder = tmp_path_factory.mktemp("bin")
    if kind != "gpg":
        found = {
            program.name: program
            for place in ("/usr/sbin", "/bin", "/usr/bin")
            for program in Path(place).iterdir()
            if "gpg" not in program.name
        }
        for name, program in found.items():
            (folder / name).symlink_to(program)
        awk = kind.rpartition("-")[2]
        if shutil.which(awk):
            (folder / "awk").unlink(missing_ok=True)
            (folder / "awk").symlink_to(str(shutil.which(awk)))
    PATHS["PATH"] = os.environ["PATH"] if kind == "gpg" else str(folder)
    return kind


def fetch(url: str, pinned: str, output: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), url, pinned, str(output)],
        capture_output=True, text=True, check=False, env={**os.environ, **PATHS},
    )  # fmt: skip


def held(path: Path) -> list[str]:
    listing = subprocess.run(
        ["gpg", "--show-keys", "--with-colons", str(path)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")]


def test_a_pinned_key_is_kept(keys: dict[str, Key], tmp_path: Path) -> None:
    key = keys["good"]
    binary = tmp_path / "new folder" / "key.gpg"
    armoured = tmp_path / "RPM-GPG-KEY-x"
    pinned = f"{'0' * 40},{key.fingerprint.lower()}"
    for output in (binary, armoured):
        done = fetch(key.armoured.as_uri(), pinned, output)
        assert done.returncode == 0, done.stderr
        assert key.fingerprint in done.stdout
        assert held(output) == [key.fingerprint]
        assert stat.S_IMODE(output.stat().st_mode) == 0o644
        assert [p.name for p in output.parent.iterdir() if "fetch-key" in p.name] == []
    assert armoured.read_text().startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert not binary.read_bytes().startswith(b"-----")


def test_a_binary_download_is_understood_as_well(keys: dict[str, Key], tmp_path: Path) -> None:
    key = keys["good"]
    first = tmp_path / "first.gpg"
    assert fetch(key.armoured.as_uri(), key.fingerprint, first).returncode == 0
    assert fetch(first.as_uri(), key.fingerprint, tmp_path / "second.gpg").returncode == 0


def refused(url: str, pinned: str, output: Path, says: str, status: int = 1) -> None:
    output.write_text("what was there before")
    done = fetch(url, pinned, output)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stderr.splitlines()[-1].startswith("fetch-key: ")
    assert output.read_text() == "what was there before"
    assert [path.name for path in output.parent.iterdir() if ".fetch-key" in path.name] == []


def test_another_key_is_refused(keys: dict[str, Key], tmp_path: Path) -> None:
    other = keys["other"]
    refused(
        other.armoured.as_uri(),
        keys["good"].fingerprint,
        tmp_path / "key.gpg",
        f"{other.fingerprint}, which is not a pinned one",
    )


def test_a_pinned_key_with_a_stranger_beside_it_is_refused(
    keys: dict[str, Key], tmp_path: Path, programs: str
) -> None:
    bundle = tmp_path / "bundle.asc"
    bundle.write_text(keys["good"].armoured.read_text() + keys["other"].armoured.read_text())
    says = "not a pinned one" if programs == "gpg" else "no single armoured OpenPGP key"
    refused(bundle.as_uri(), keys["good"].fingerprint, tmp_path / "k.gpg", says)


def test_a_stranger_in_the_same_block_is_refused(keys: dict[str, Key], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in ("good", "other"):
        gpg(home, "--import", str(keys[name].armoured))
    both = tmp_path / "both.gpg"
    with both.open("wb") as file:
        subprocess.run(["gpg", "--homedir", str(home), "--export"], check=True, stdout=file)
    refused(both.as_uri(), keys["good"].fingerprint, tmp_path / "k.gpg", "not a pinned one")


def test_a_key_with_subkeys_of_another_kind_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "h"
    home.mkdir(mode=0o700)
    gpg(home, "--quick-generate-key", "rsa <rsa@example.org>", "rsa3072", "default", "never")
    listing = gpg(home, "--with-colons", "--list-keys")
    fingerprint = next(x.split(":")[9] for x in listing.splitlines() if x.startswith("fpr"))
    armoured = tmp_path / "rsa.asc"
    armoured.write_text(gpg(home, "--armor", "--export").replace("\n", "\r\n"))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    done = fetch(armoured.as_uri(), fingerprint, tmp_path / "key.gpg")
    assert done.returncode == 0, done.stderr
    assert held(tmp_path / "key.gpg")[0] == fingerprint


def test_a_key_that_was_cut_or_lengthened_is_refused(
    keys: dict[str, Key], tmp_path: Path, programs: str
) -> None:
    whole = tmp_path / "whole.gpg"
    assert fetch(keys["good"].armoured.as_uri(), keys["good"].fingerprint, whole).returncode == 0
    data = whole.read_bytes()
    kept = 0
    for end in range(1, len(data)):
        (tmp_path / "cut.gpg").write_bytes(data[:end])
        if end % 16 == 0 or end < 4:
            output = tmp_path / "out.gpg"
            done = fetch((tmp_path / "cut.gpg").as_uri(), keys["good"].fingerprint, output)
            kept += done.returncode == 0
    (tmp_path / "long.gpg").write_bytes(data + b"junk")
    if programs != "gpg":
        # What gpg passes over as damaged, and drops, is no plain key here.
        assert kept <= 2
        refused((tmp_path / "long.gpg").as_uri(), keys["good"].fingerprint, tmp_path / "o", "plain")


def test_an_expired_key_is_refused(keys: dict[str, Key], tmp_path: Path) -> None:
    old = keys["old"]
    refused(old.armoured.as_uri(), old.fingerprint, tmp_path / "key.gpg", "has expired")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("<html>404</html>", "OpenPGP key"),
        ("", "empty file"),
        ("\x00\x01\x02", "OpenPGP key"),
    ],
)
def test_rubbish_is_refused(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_text(content)
    refused((tmp_path / "rubbish").as_uri(), "A" * 40, tmp_path / "key.gpg", says)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refused((tmp_path / "none").as_uri(), "A" * 40, tmp_path / "k.gpg", "could not be fetched")


@pytest.mark.parametrize(
    ("url", "pinned"),
    [
        ("http://a.example.org/key", "A" * 40),
        ("file:///etc/passwd", "A4B469963BF863CC"),
        ("file:///etc/passwd", "x" * 40),
        ("file:///etc/passwd", ""),
    ],
)
def test_bad_usage(url: str, pinned: str, tmp_path: Path) -> None:
    refused(url, pinned, tmp_path / "key.gpg", "fetch-key", status=2)


def test_shellcheck_finds_nothing() -> None:
    assert shutil.which("shellcheck"), "this test needs shellcheck"
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
