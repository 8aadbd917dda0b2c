"""scripts/own-key.sh with the real openssl and a sign-file: what it takes, refuses, writes and shows."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gpu_bringup.commands.own_key import look_at_pair
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.answers import Answers
from unit.test_dkms_sign import sign_file

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "own-key.sh"
KERNEL = "6.1.0-50-amd64"


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, stderr=subprocess.DEVNULL)


class Bench:
    """Two pairs, and the same key and certificate in the forms that can't be used."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("own", "other"):
            key = self.path(f"{name}.key")
            openssl("req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                    "-outform", "DER", "-keyout", key, "-out", self.path(f"{name}.der"))  # fmt: skip
            Path(key).chmod(0o600)
        openssl("pkey", "-in", self.path("own.key"), "-aes256", "-passout", "pass:none",
                "-out", self.path("locked.key"))  # fmt: skip
        openssl(
            "pkey", "-in", self.path("own.key"), "-outform", "DER", "-out", self.path("der.key")
        )
        openssl("x509", "-inform", "DER", "-in", self.path("own.der"), "-out", self.path("own.pem"))
        (root / "open.key").write_bytes((root / "own.key").read_bytes())
        (root / "open.key").chmod(0o644)
        for name, mode in (("pin", 0o600), ("open.pin", 0o644)):
            (root / name).write_text("4711")
            (root / name).chmod(mode)
        for name in ("locked.key", "der.key"):
            (root / name).chmod(0o600)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def run(self, *words: str) -> tuple[int, str]:
        environment = {
            **os.environ,
            "GPU_BRINGUP_MODULES": self.path("modules"),
            "GPU_BRINGUP_DKMS_CONF": self.path("etc"),
        }
        done = subprocess.run(
            ["sh", str(SCRIPT), *words], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def headers(self, tool: Path | None, text: str = "") -> None:
        scripts = self.root / "modules" / KERNEL / "build" / "scripts"
        scripts.mkdir(parents=True)
        if tool is not None:
            (scripts / "sign-file").symlink_to(tool)
        else:
            (scripts / "sign-file").write_text(text)
            (scripts / "sign-file").chmod(0o755)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def safe() -> Iterator[Path]:
    """A folder that the caller alone may write to, with all above it: /tmp is none."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as name:
        yield Path(name)


@pytest.fixture
def bench(made: Bench, safe: Path) -> Bench:
    fresh = object.__new__(Bench)
    fresh.root = safe
    for file in made.root.iterdir():
        if file.is_file():
            (safe / file.name).write_bytes(file.read_bytes())
            (safe / file.name).chmod(stat.S_IMODE(file.stat().st_mode))
    return fresh


REFUSALS = [
    ("open.key", "own.der", "can be read by others than its owner", "chmod 0600"),
    ("locked.key", "own.der", "asks for a passphrase", "give an unencrypted copy"),
    ("der.key", "own.der", "is no private key in PEM", "openssl pkey -in"),
    ("own.key", "other.der", "are no pair", ""),
    ("own.key", "own.pem", "is no certificate in DER", "-outform DER"),
    ("own.key", "own.key", "is no certificate in DER", ""),
    ("none.key", "own.der", "can't be read", ""),
    ("own.key", "none.der", "can't be read", ""),
    ("a key", "own.der", "must not hold", "plain names"),
    ('x"; reboot; "', "own.der", "must not hold", "plain names"),
    ("$(id).key", "own.der", "must not hold", ""),
]


@pytest.mark.parametrize(("key", "certificate", "said", "hint"), REFUSALS)
def test_a_pair_that_cannot_sign_is_refused_with_the_way_out(
    bench: Bench, key: str, certificate: str, said: str, hint: str
) -> None:
    bench.headers(None, "#!/bin/sh\ntouch $0.ran\n")
    words = (bench.path(key), bench.path(certificate))
    for call in (("--look", *words), (KERNEL, *words, bench.path("etc/own.conf"))):
        status, output = bench.run(*call)
        assert status == 1, output
        assert said in output
        assert hint in output
    assert not list(bench.root.rglob("*.ran"))
    assert not (bench.root / "etc").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("?pin-value=4711", "holds the PIN itself"),
        ("?pin-source=file:{root}/open.pin", "can be read by others"),
        ("?pin-source=file:{root}/none", "can't be read"),
        ("?pin-source=|id", "must not hold"),
        ("?pin-source=pin", "no file with its whole path"),
    ],
)
def test_a_uri_that_gives_the_pin_away_is_refused(bench: Bench, more: str, said: str) -> None:
    uri = f"pkcs11:token=mok;object=mok{more.format(root=bench.root)}"
    status, output = bench.run("--look", uri, bench.path("own.der"))
    assert status == 1
    assert said in output
    assert "4711" not in output


def test_a_good_pair_and_a_closed_pin_are_taken_without_headers(bench: Bench) -> None:
    assert bench.run("--look", bench.path("own.key"), bench.path("own.der")) == (0, "")
    uri = f"pkcs11:token=mok;object=mok?pin-source=file:{bench.root}/pin&module-name=x"
    assert bench.run("--look", uri, bench.path("own.der")) == (0, "")


def test_without_headers_the_trial_says_so(bench: Bench) -> None:
    status, output = bench.run(KERNEL, bench.path("own.key"), bench.path("own.der"))
    assert status == 1
    assert "The headers of this kernel bring it" in output


def test_the_real_sign_file_signs_and_dkms_is_told(bench: Bench) -> None:
    tool = sign_file()
    assert tool is not None, "this test needs a package linux-kbuild-* (scripts/sign-file)"
    bench.headers(tool)
    words = (KERNEL, bench.path("own.key"), bench.path("own.der"))
    assert bench.run(*words)[0] == 0
    assert not (bench.root / "etc").exists()
    configuration = bench.root / "etc/framework.conf.d/own.conf"
    status, output = bench.run(*words, str(configuration))
    assert status == 0, output
    shown = subprocess.run(
        ["sh", "-c", '. "$1"; echo "$mok_signing_key $mok_certificate"', "_", str(configuration)],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    assert shown.split() == list(words[1:])
    # dkms reads it as anybody who may ask for its state.
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o644
    assert stat.S_IMODE(configuration.parent.stat().st_mode) == 0o755
    secret = (bench.root / "own.key").read_text().splitlines()[1]
    assert secret not in output
    assert not list(configuration.parent.glob("*.new"))


def test_a_link_that_somebody_planted_is_not_written_through(bench: Bench) -> None:
    tool = sign_file()
    assert tool is not None, "this test needs a package linux-kbuild-* (scripts/sign-file)"
    bench.headers(tool)
    victim = bench.root / "victim"
    victim.write_text("mine")
    folder = bench.root / "etc"
    folder.mkdir()
    (folder / "own.conf.new").symlink_to(victim)
    (folder / "own.conf").symlink_to(victim)
    words = (KERNEL, bench.path("own.key"), bench.path("own.der"), str(folder / "own.conf"))
    assert bench.run(*words)[0] == 0
    assert victim.read_text() == "mine"
    assert not (folder / "own.conf").is_symlink()


def test_a_signature_that_another_key_made_is_noticed(bench: Bench) -> None:
    """A token's key can't be compared beforehand: its signature is, with the certificate."""
    tool = sign_file()
    assert tool is not None, "this test needs a package linux-kbuild-* (scripts/sign-file)"
    own = f'"{tool}" "$1" "{bench.path("own.key")}" "{bench.path("own.der")}" "$4"'
    bench.headers(None, f"#!/bin/sh\n{own}\n")
    words = (KERNEL, "pkcs11:token=mok;object=mok")
    assert bench.run(*words, bench.path("own.der"))[0] == 0
    status, output = bench.run(*words, bench.path("other.der"), bench.path("etc/own.conf"))
    assert status == 1
    assert "are no pair" in output
    assert not (bench.root / "etc").exists()


@pytest.mark.parametrize(
    ("mark", "said", "package"),
    [
        ("OSSL_PROVIDER_try_load", "OpenSSL's provider pkcs11", "install pkcs11-provider"),
        ("ENGINE_by_id", "OpenSSL's engine pkcs11", "install libengine-pkcs11-openssl"),
    ],
)
def test_what_the_way_to_a_token_lacks_is_named(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mark: str,
    said: str,
    package: str,
) -> None:
    bench.headers(None, f"#!/bin/sh\n# {mark}\necho no token >&2\nexit 1\n")
    # An openssl that looks for both in an empty folder, and is the real one otherwise.
    real = subprocess.run(["sh", "-c", "command -v openssl"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()  # fmt: skip
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/openssl"
    wrapper.write_text(
        f"""#!/bin/sh
case "$*" in
'version -m') echo 'MODULESDIR: "{tmp_path}/nothing"' ;;
'version -e') echo 'ENGINESDIR: "{tmp_path}/nothing"' ;;
*) exec {real} "$@" ;;
esac
"""
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    status, output = bench.run(KERNEL, "pkcs11:token=mok;object=mok", bench.path("own.der"))
    assert status == 1
    assert "no token" in output
    assert said in output
    assert package in output


@pytest.mark.parametrize(("version", "taken"), [("dkms: 2.8.7", False), ("dkms-3.0.10", True)])
def test_a_dkms_that_takes_no_own_key_is_told_of_none(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: bool
) -> None:
    tool = sign_file()
    assert tool is not None, "this test needs a package linux-kbuild-* (scripts/sign-file)"
    bench.headers(tool)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dkms").write_text(f"#!/bin/sh\necho '{version}'\n")
    (tmp_path / "bin/dkms").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    words = (KERNEL, bench.path("own.key"), bench.path("own.der"))
    configuration = bench.root / "etc/framework.conf.d/own.conf"
    status, output = bench.run(*words, str(configuration))
    assert (status == 0) is taken, output
    assert configuration.exists() is taken
    if not taken:
        assert "2.8.7, signs with its distribution's key only" in output
        # dkms 2 with a script of ours beside it (Debian 11) finds the pair there.
        (bench.root / "etc").mkdir()
        (bench.root / "etc/gpu-bringup-sign.sh").write_text("")
        assert bench.run(*words, str(configuration))[0] == 0


@pytest.mark.parametrize(
    "words", [(), ("--look",), ("--look", "a"), ("--look", "a", "b", "c"), ("a", "b"), ("a",) * 6]
)
def test_bad_usage(bench: Bench, words: tuple[str, ...]) -> None:
    status, output = bench.run(*words)
    assert status == 2
    assert output.startswith("usage: ")


@pytest.mark.parametrize(("key", "certificate", "said", "hint"), REFUSALS[:7])
def test_a_command_refuses_it_before_it_plans(
    bench: Bench, key: str, certificate: str, said: str, hint: str
) -> None:
    answers = Answers(signing_key=bench.path(key), signing_certificate=bench.path(certificate))
    with pytest.raises(InputError) as raised:
        look_at_pair(LocalHost(), answers)
    assert said in str(raised.value)
    assert hint in raised.value.hint
    assert raised.value.exit_code == 2


def test_a_command_goes_on_with_a_good_pair_and_without_any(bench: Bench) -> None:
    look_at_pair(LocalHost(), Answers())
    pair = Answers(signing_key=bench.path("own.key"), signing_certificate=bench.path("own.der"))
    look_at_pair(LocalHost(), pair)


@pytest.mark.parametrize("open_to_others", ["folder", "sticky folder", "certificate", "link"])
def test_a_pair_that_others_could_change_is_refused(bench: Bench, open_to_others: str) -> None:
    assert bench.run("--look", bench.path("own.key"), bench.path("own.der"))[0] == 0
    certificate = bench.path("own.der")
    if open_to_others == "certificate":
        Path(certificate).chmod(0o666)
    elif open_to_others == "link":
        (bench.root / "open").mkdir()
        (bench.root / "open").chmod(0o777)
        Path(certificate).rename(bench.root / "open" / "own.der")
        Path(certificate).symlink_to(bench.root / "open" / "own.der")
    else:
        bench.root.chmod(0o1777 if open_to_others == "sticky folder" else 0o777)
    code, said = bench.run("--look", bench.path("own.key"), certificate)
    assert code == 1 and "can be changed by others" in said
