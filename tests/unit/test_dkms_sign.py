"""scripts/dkms-sign.sh with the kernel's real sign-file, modinfo, xz, zstd, gzip and a PKCS#11 token."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "dkms-sign.sh"
KERNEL = "6.1.0-50-amd64"
MAGIC = b"~Module signature appended~\n"
UNPACK = {"": ("cat",), ".xz": ("xz", "-dc"), ".zst": ("zstd", "-qdc"), ".gz": ("gzip", "-dc")}


class Machine:
    """A folder with what the script looks at, and the real tools."""

    def __init__(self, root: Path, sign_file: Path) -> None:
        self.root = root
        scripts = root / "modules" / KERNEL / "build" / "scripts"
        scripts.mkdir(parents=True)
        (scripts / "sign-file").symlink_to(sign_file)
        self.boot, self.conf = root / "boot", root / "conf"
        self.boot.mkdir()
        self.conf.mkdir()
        self.configure("sha256")

    def configure(self, hash_name: str) -> None:
        text = f'CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH="{hash_name}"\n'
        (self.boot / f"config-{KERNEL}").write_text(text)

    def run(self, *words: str, more: Mapping[str, str] | None = None) -> tuple[int, str]:
        environment = {
            **os.environ,
            "GPU_BRINGUP_DKMS": str(self.root / "dkms"),
            "GPU_BRINGUP_DKMS_CONF": str(self.conf),
            "GPU_BRINGUP_MODULES": str(self.root / "modules"),
            "GPU_BRINGUP_BOOT": str(self.boot),
            **(more or {}),
        }
        done = subprocess.run(
            ["sh", str(SCRIPT), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def module(self, suffix: str = "", name: str = "nvidia") -> Path:
        plain = self.root / f"{name}.ko"
        source = self.root / f"{name}.c"
        # modinfo reads the section .modinfo of any ELF file.
        source.write_text('char i[] __attribute__((section(".modinfo"))) = "license=x";\n')
        subprocess.run(["cc", "-c", "-o", str(plain), str(source)], check=True)
        plain.chmod(0o644)
        packers = {".xz": ["xz", "-z"], ".zst": ["zstd", "-q", "--rm"], ".gz": ["gzip"]}
        if suffix:
            subprocess.run([*packers[suffix], str(plain)], check=True)
        return plain.with_name(plain.name + suffix)


def sign_file() -> Path | None:
    """The real one, of Debian's linux-kbuild or of installed headers."""
    found = [*Path("/usr/lib").glob("linux-kbuild-*/scripts/sign-file"),
             *Path("/usr/src").glob("*/scripts/sign-file")]  # fmt: skip
    return next((path for path in found if os.access(path, os.X_OK)), None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    tool = sign_file()
    assert tool is not None, "these tests need a package linux-kbuild-* (scripts/sign-file)"
    made = Machine(tmp_path, tool)
    assert made.run("--make-key")[0] == 0
    return made


def content(module: Path) -> bytes:
    suffix = module.suffix if module.suffix != ".ko" else ""
    return subprocess.run([*UNPACK[suffix], str(module)], check=True, stdout=subprocess.PIPE).stdout


def info(module: Path, field: str) -> str:
    # Unpacked: Debian's kmod is built without zlib and can't read .ko.gz.
    plain = module.with_name("looked-at.ko")
    plain.write_bytes(content(module))
    done = subprocess.run(["/sbin/modinfo", "-F", field, str(plain)],
                          check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
    return done.stdout.strip()


def serial(certificate: Path) -> str:
    argv = ["openssl", "x509", "-inform", "DER", "-noout", "-serial", "-in", str(certificate)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().partition("=")[2].lower()


@pytest.mark.parametrize("suffix", list(UNPACK))
def test_a_module_is_signed_and_packed_as_it_was(machine: Machine, suffix: str) -> None:
    module = machine.module(suffix)
    before = content(module)
    status, said = machine.run("--again", KERNEL, str(module))
    assert (status, said) == (0, f"dkms-sign: signed {module} (sha256)\n")
    signed = content(module)
    assert signed.startswith(before)
    assert signed.endswith(MAGIC)
    assert info(module, "signer") == "DKMS module signing key"
    assert info(module, "sig_key").replace(":", "").lower() == serial(machine.root / "dkms/mok.pub")
    assert stat.S_IMODE(module.stat().st_mode) == 0o644
    assert not list(machine.root.glob("*.gpu-bringup*"))


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_the_hash_is_the_one_that_the_kernel_names(machine: Machine, name: str) -> None:
    machine.configure(name)
    again, by_dkms = machine.module(), machine.module(name="nvidia-uvm")
    assert machine.run("--again", KERNEL, str(again))[0] == 0
    assert machine.run(KERNEL, str(by_dkms))[0] == 0
    assert info(again, "sig_hashalgo") == info(by_dkms, "sig_hashalgo") == name


def test_a_second_signature_replaces_the_first(machine: Machine) -> None:
    module = machine.module(".xz")
    for _ in range(3):
        assert machine.run("--again", KERNEL, str(module))[0] == 0
    assert content(module).count(MAGIC) == 1


def test_five_modules_in_one_call(machine: Machine) -> None:
    names = ("nvidia", "nvidia-modeset", "nvidia-drm", "nvidia-uvm", "nvidia-peermem")
    modules = [machine.module(".zst", name) for name in names]
    assert machine.run("--again", KERNEL, *map(str, modules))[0] == 0
    assert {info(module, "signer") for module in modules} == {"DKMS module signing key"}


def test_an_own_key_of_the_configuration_signs(machine: Machine, tmp_path: Path) -> None:
    key, certificate = tmp_path / "own.key", tmp_path / "own.der"
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Own key",
         "-outform", "DER", "-keyout", str(key), "-out", str(certificate)],
        check=True, stderr=subprocess.DEVNULL)  # fmt: skip
    # Half a pair is none: the usual one goes on signing.
    (machine.conf / "framework.conf").write_text(f'mok_signing_key="{key}"\n')
    module = machine.module()
    assert machine.run("--again", KERNEL, str(module))[0] == 0
    assert info(module, "signer") == "DKMS module signing key"
    folder = machine.conf / "framework.conf.d"
    folder.mkdir()
    (folder / "own.conf").write_text(f"mok_certificate='{certificate}'\n")
    assert machine.run("--again", KERNEL, str(module))[0] == 0
    assert info(module, "signer") == "Own key"
    assert info(module, "sig_key").replace(":", "").lower() == serial(certificate)


def test_a_key_without_its_certificate_is_never_replaced(machine: Machine) -> None:
    key, certificate = machine.root / "dkms/mok.key", machine.root / "dkms/mok.pub"
    before = key.read_bytes()
    certificate.unlink()
    status, said = machine.run("--make-key")
    assert status == 1
    assert "move the key away" in said
    assert key.read_bytes() == before
    assert not certificate.exists()


def test_a_failed_signature_leaves_the_module_as_it_was(machine: Machine) -> None:
    module = machine.module(".gz")
    before = module.read_bytes()
    (machine.root / "dkms/mok.key").write_text("no key")
    status, said = machine.run("--again", KERNEL, str(module))
    assert status == 1
    assert "could not be signed" in said
    assert module.read_bytes() == before
    assert not list(machine.root.glob("*.gpu-bringup*"))


def test_a_planted_link_is_not_followed(machine: Machine) -> None:
    target = machine.module()
    before = target.read_bytes()
    link = machine.root / "nvidia-drm.ko"
    link.symlink_to(target)
    assert machine.run("--again", KERNEL, str(link))[0] == 1
    victim = machine.root / "victim"
    victim.write_text("mine")
    (machine.root / "nvidia.ko.gpu-bringup").symlink_to(victim)
    assert target.read_bytes() == before
    assert machine.run("--again", KERNEL, str(target))[0] == 0
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [(), ("--what",), (KERNEL,), ("--again", KERNEL), ("../../etc", "x.ko"), ("--again", "/x", "y.ko"),
     ("--make-key", "x")],
)  # fmt: skip
def test_bad_usage(machine: Machine, words: tuple[str, ...]) -> None:
    status, said = machine.run(*words)
    assert status == 2
    assert said.startswith("usage: ")


def test_neither_the_key_nor_the_pin_is_ever_printed(machine: Machine) -> None:
    secret = (machine.root / "dkms/mok.key").read_text().splitlines()[1]
    said = machine.run("--make-key")[1]
    said += machine.run("--again", KERNEL, str(machine.module()), more={"KBUILD_SIGN_PIN": "7391"})[
        1
    ]
    assert secret not in said
    assert "7391" not in said


def test_a_key_on_a_token_signs(machine: Machine, tmp_path: Path) -> None:
    tools = [shutil.which(name) for name in ("softhsm2-util", "pkcs11-tool")]
    library = next(Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"), None) or Path(
        "/usr/lib/softhsm/libsofthsm2.so"
    )
    assert all(tools), "this test needs softhsm2, opensc and libengine-pkcs11-openssl"
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    environment = {"SOFTHSM2_CONF": str(configuration), "PKCS11_MODULE_PATH": str(library)}
    everything = {**os.environ, **environment}

    def run(*argv: str) -> None:
        subprocess.run(argv, check=True, env=everything, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip

    run(
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        "mok",
        "--so-pin",
        "9182",
        "--pin",
        "7391",
    )
    run("pkcs11-tool", "--module", str(library), "--token-label", "mok", "--login", "--pin", "7391",
        "--keypairgen", "--key-type", "rsa:2048", "--label", "mok", "--id", "01")  # fmt: skip
    uri, certificate = "pkcs11:token=mok;object=mok;type=private", tmp_path / "token.der"
    run("openssl", "req", "-new", "-x509", "-engine", "pkcs11", "-keyform", "engine",
        "-key", f"{uri};pin-value=7391", "-subj", "/CN=Token key", "-outform", "DER",
        "-out", str(certificate))  # fmt: skip
    (machine.conf / "framework.conf").write_text(
        f'mok_signing_key="{uri}"\nmok_certificate="{certificate}"\n'
    )
    module = machine.module(".xz")
    status, said = machine.run("--make-key", more=environment)
    assert (status, said) == (0, "dkms-sign: the key is on a token\n")
    more = {**environment, "KBUILD_SIGN_PIN": "7391"}
    status, said = machine.run("--again", KERNEL, str(module), more=more)
    assert status == 0, said
    assert info(module, "signer") == "Token key"
    assert info(module, "sig_key").replace(":", "").lower() == serial(certificate)
    assert "7391" not in said
    # The way in which dkms 3 calls what sign_file names.
    other = machine.module(name="nvidia-uvm")
    words = ("sha512", uri, str(certificate), str(other))
    assert machine.run(*words, more=more)[0] == 0
    assert (info(other, "signer"), info(other, "sig_hashalgo")) == ("Token key", "sha512")
    # A wrong PIN changes nothing.
    before = module.read_bytes()
    status, said = machine.run(
        "--again", KERNEL, str(module), more={**more, "KBUILD_SIGN_PIN": "1"}
    )
    assert status == 1
    assert module.read_bytes() == before
