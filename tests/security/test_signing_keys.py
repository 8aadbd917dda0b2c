"""Signing keys: swapped certificates, planted paths, and keys that other users can read."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_bringup.commands.own_key import look_at_pair
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.access import access
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.answers import Answers
from security.conftest import STRANGER, Attempt, as_stranger
from unit.test_dkms_sign import sign_file

pytestmark = pytest.mark.process
SIGNING = "a signing key or certificate swapped, planted, or open to others"
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "own-key.sh"
KERNEL = "6.1.0-50-amd64"


class Bench:
    """Two pairs in a folder of the caller alone, and headers with a sign-file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("own", "evil"):
            subprocess.run(
                ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                 f"/CN={name}", "-outform", "DER", "-keyout", str(root / f"{name}.key"),
                 "-out", str(root / f"{name}.der")],
                check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            (root / f"{name}.key").chmod(0o600)
        self.key, self.certificate = root / "own.key", root / "own.der"
        self.copy, self.conf = root / "dkms/own-copy.der", root / "etc/own.conf"
        self.tool = root / "modules" / KERNEL / "build/scripts/sign-file"
        self.tool.parent.mkdir(parents=True)
        real = sign_file()
        assert real is not None, "this test needs a package linux-kbuild-* (scripts/sign-file)"
        self.tool.symlink_to(real)

    def run(self, key: str = "", certificate: str = "", cwd: Path | None = None) -> int:
        words = [KERNEL, key or str(self.key), certificate or str(self.certificate),
                 str(self.conf), str(self.copy)]  # fmt: skip
        done = subprocess.run(
            ["sh", str(SCRIPT), *words], stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd,
            env={**os.environ, "GPU_BRINGUP_MODULES": str(self.root / "modules"),
                 "GPU_BRINGUP_DKMS_CONF": str(self.root / "etc")},
            timeout=60, check=False,
        )  # fmt: skip
        return done.returncode

    @property
    def untold(self) -> bool:
        """Was dkms told of nothing, and nothing left for mokutil?"""
        return not self.conf.exists() and not self.copy.exists()


@pytest.fixture
def bench() -> Iterator[Bench]:
    # Below the home folder: /tmp is one that others may write to.
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        yield Bench(Path(name))


def test_a_certificate_that_is_swapped_after_the_check_is_not_used(
    bench: Bench, attempt: Attempt
) -> None:
    checked = bench.certificate.read_bytes()
    real = bench.tool.resolve()
    bench.tool.unlink()
    # The file changes while the key is tried: after every look at it, before dkms is told.
    bench.tool.write_text(
        f'#!/bin/sh\n"{real}" "$@"\ncat "{bench.root}/evil.der" >"{bench.certificate}"\n'
    )
    bench.tool.chmod(0o755)
    assert bench.run() == 0
    assert bench.certificate.read_bytes() != checked, "it was swapped indeed"
    attempt(SIGNING, bench.copy.read_bytes() == checked)
    attempt(SIGNING, f'mok_certificate="{bench.copy}"' in bench.conf.read_text())
    attempt(SIGNING, str(bench.certificate) not in bench.conf.read_text())
    attempt(SIGNING, stat.S_IMODE(bench.copy.stat().st_mode) == 0o644)


@pytest.mark.parametrize("what", ["key", "certificate"])
@pytest.mark.parametrize("how", ["fifo", "folder", "dangling", "relative", "newline", "device"])
def test_a_path_that_is_no_plain_file(bench: Bench, attempt: Attempt, what: str, how: str) -> None:
    original = bench.key if what == "key" else bench.certificate
    path = bench.root / "planted"
    if how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "dangling":
        path.symlink_to(bench.root / "nowhere")
    elif how == "newline":
        path = bench.root / 'x"\nreboot\n"'
        path.write_bytes(original.read_bytes())
        path.chmod(0o600)
    named = {"relative": original.name, "device": "/dev/zero"}.get(how, str(path))
    attempt(SIGNING, bench.run(**{what: named}, cwd=bench.root) == 1 and bench.untold)


@pytest.mark.parametrize("name", ["/root/own.key\0/etc/passwd", "/root/own.key\n", "own.key"])
@pytest.mark.parametrize("what", ["key", "certificate"])
def test_a_hostile_name_changes_nothing(attempt: Attempt, what: str, name: str) -> None:
    pair = {"key": "/root/a.key", "certificate": "/root/a.der", what: name}
    answers = Answers(signing_key=pair["key"], signing_certificate=pair["certificate"])
    try:
        look_at_pair(LocalHost(), answers)
        held = False
    except InputError as error:
        held = "Nothing was changed" in str(error.meaning)
    attempt(SIGNING, held)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o757])
def test_a_folder_that_others_may_write_to(bench: Bench, attempt: Attempt, mode: int) -> None:
    folder = bench.root / "shared"
    folder.mkdir()
    for file in (bench.key, bench.certificate):
        (folder / file.name).write_bytes(file.read_bytes())
        (folder / file.name).chmod(0o600)
    if mode & 0o020 and not mode & 0o002:
        os.chown(folder, -1, STRANGER if os.geteuid() == 0 else os.getegid())
    folder.chmod(mode)
    if os.geteuid() != 0 and not mode & 0o002:
        # A group of one's own is no other user's.
        folder.chmod(mode | 0o002)
    key, certificate = (str(folder / file.name) for file in (bench.key, bench.certificate))
    attempt(SIGNING, bench.run(key=key) == 1 and bench.untold)
    attempt(SIGNING, bench.run(certificate=certificate) == 1 and bench.untold)
    attempt(SIGNING, access(key)["folder"] == str(folder) or os.geteuid() != 0)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o640, 0o666, 0o602, 0o660])
def test_a_key_that_others_can_reach(bench: Bench, attempt: Attempt, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(bench.key, 0, STRANGER)
    bench.key.chmod(mode)
    attempt(SIGNING, bench.run() == 1 and bench.untold)
    told = access(str(bench.key))
    attempt(SIGNING, told["readable"] or told["writable"])
    assert told["mode"] == f"{mode:04o}"


def test_a_link_to_a_key_is_followed_to_its_end(
    place: Path, bench: Bench, attempt: Attempt
) -> None:
    """The link lies in a folder of root alone, its target where others may put another."""
    open_folder = place / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    target = open_folder / "own.key"
    target.write_bytes(bench.key.read_bytes())
    target.chmod(0o600)
    link = bench.root / "link.key"
    link.symlink_to(target)
    attempt(SIGNING, bench.run(key=str(link)) == 1 and bench.untold)
    attempt(SIGNING, access(str(link))["folder"] != "")


@pytest.mark.parametrize("which", ["copy", "conf"])
@pytest.mark.parametrize("suffix", ["", ".new", ".before"])
def test_a_link_laid_where_the_copy_goes(
    bench: Bench, attempt: Attempt, which: str, suffix: str
) -> None:
    victim = bench.root / "victim"
    victim.write_text("untouched")
    target = bench.copy if which == "copy" else bench.conf
    target.parent.mkdir()
    Path(f"{target}{suffix}").symlink_to(victim)
    bench.run()
    attempt(SIGNING, victim.read_text() == "untouched")


def test_no_other_user_can_change_the_copy(bench: Bench, attempt: Attempt) -> None:
    assert bench.run() == 0
    code = """
        import sys
        for name in sys.argv[1:]:
            try:
                open(name, 'ab')
                print(name)
            except OSError:
                pass
    """
    said = as_stranger(code, str(bench.copy), str(bench.conf), str(bench.key)).stdout
    for path in (bench.copy, bench.conf, bench.key):
        attempt(SIGNING, str(path) not in said)
