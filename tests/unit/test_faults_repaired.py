"""Repairs that the rig's faults asked for: libraries, keys, images, failed builds, emptied packages."""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.engine import check, plan
from gpu_bringup.facts.keyrings import key_state, with_keys
from gpu_bringup.hosts.openpgp import KeyringError, read_keys
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.facts import DkmsBuild, Facts, Headers, Library, Package, Repository
from gpu_bringup.model.initramfs import Initramfs, InitramfsModule
from gpu_bringup.model.ladder import State
from unit import make_facts as make
from unit.fakes import FakeHost

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "move-aside.sh"
FOLDER = "/usr/lib/x86_64-linux-gnu"


def packet(kind: int, body: bytes) -> bytes:
    return bytes([0xC0 | kind, 255]) + len(body).to_bytes(4, "big") + body


def key(created: int) -> bytes:
    return packet(6, b"\4" + created.to_bytes(4, "big") + b"\1rest")


def signature(kind: int, made: int, after: int | None = None) -> bytes:
    sub = b"\5\2" + made.to_bytes(4, "big")
    sub += b"\5\x09" + after.to_bytes(4, "big") if after is not None else b""
    return packet(2, bytes([4, kind, 1, 8]) + len(sub).to_bytes(2, "big") + sub + b"\0\0rest")


def test_a_key_without_an_end() -> None:
    data = key(1000) + packet(13, b"who") + signature(0x13, 1000)
    assert read_keys(data) == [{"created": 1000, "expires": None, "revoked": False}]


def test_the_newest_signature_says_when_a_key_ends() -> None:
    data = key(1000) + signature(0x13, 2000, 900) + signature(0x13, 1000, 50)
    assert read_keys(data)[0]["expires"] == 1900
    assert read_keys(data + signature(0x13, 3000))[0]["expires"] is None


def test_a_revoked_key_and_one_in_armour() -> None:
    data = key(1000) + signature(0x20, 2000)
    text = base64.b64encode(data)
    lines = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\n" + text
    armour = lines + b"\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    assert read_keys(armour) == read_keys(data)
    assert read_keys(data)[0]["revoked"] is True


@pytest.mark.parametrize(
    "data", [b"", b"plain text", key(1)[:9], b"\xc6\xe1x", packet(2, b"\3old"), b"\x9b\0"]
)
def test_what_is_no_keyring_is_refused(data: bytes) -> None:
    with pytest.raises(KeyringError):
        read_keys(data)


class KeyHost(FakeHost):
    def digest(self, kind: str, path: str) -> dict[str, object] | None:
        assert kind == "keys"
        return {"keys": [{"created": 1, "expires": 10, "revoked": False}]}


def entry(**changes: object) -> Repository:
    plain = Repository("/etc/apt/sources.list.d/n.sources", 3, "https://n.example.org/", ("/",))
    return replace(plain, signed_by="/etc/apt/keyrings/n.gpg", **changes)


def test_the_state_of_a_key_file() -> None:
    path = "/etc/apt/keyrings/n.gpg"
    assert key_state(KeyHost(files={path: ""}, clock=20.0), path) == "expired"
    assert key_state(KeyHost(files={path: ""}, clock=5.0), path) == "good"
    assert key_state(KeyHost(complete=True), path) == "missing"
    found = with_keys(KeyHost(complete=True), (entry(), entry(kind="distribution")))
    assert found[0].key == "missing"
    assert not isinstance(found[1].key, str)


def steps(facts: Facts, *, target: bool = True) -> dict[str, tuple[tuple[str, ...], ...]]:
    ctx = make.context(facts, make.TARGET if target else None)
    made = plan(ctx, check(ctx))
    return {step.id: tuple(command.argv for command in step.commands) for step in made.steps}


def root(facts: Facts, *, target: bool = True) -> str:
    result = check(make.context(facts, make.TARGET if target else None)).root_cause
    return result.causes[0].cause if result is not None else ""


def library(soname: str, path: str, version: str, *, stub: bool = False) -> Library:
    return Library(soname, path, version, stub, f"{path}.real")


def with_libraries(*more: Library) -> Facts:
    facts = make.healthy()
    own = facts.libraries.libraries
    assert isinstance(own, tuple)
    return replace(facts, libraries=replace(facts.libraries, libraries=(*more, *own)))


def test_a_stub_s_folder_leaves_the_linker_s_search() -> None:
    stub = library("libcuda.so.1", "/opt/stubs/libcuda.so.1", "", stub=True)
    facts = with_libraries(stub)
    assert root(facts) == "libcuda-stub"
    (first, last) = steps(facts)["leave-stub-folder"]
    assert first[2:] == ("library-folder", "/opt/stubs")
    assert last == ("ldconfig",)


def test_a_copy_that_no_package_has_is_moved_with_its_link() -> None:
    copy = library("libcuda.so.1", "/usr/local/lib/libcuda.so.1", "535.1")
    facts = with_libraries(copy)
    assert root(facts) == "duplicate-userspace-versions"
    assert steps(facts)["move-foreign-libraries"][0][2:] == (
        "files",
        "/usr/local/lib/libcuda.so.1",
        "/usr/local/lib/libcuda.so.1.real",
    )


def test_a_copy_that_a_package_has_is_not_moved() -> None:
    facts = with_libraries(library("libcuda.so.1", f"{FOLDER}/libcuda.so.2", "560.1"))
    installed = (*make.make_packages(), Package("libnvidia-compute-560", "560.1-1"))
    facts = replace(facts, packages=replace(facts.packages, installed=installed))
    assert "move-foreign-libraries" not in steps(facts)


def test_emptied_headers_are_installed_again_with_their_common_part() -> None:
    facts = make.healthy()
    common = f"linux-headers-{make.KERNEL.removesuffix('-amd64')}-common"
    exact = f"linux-headers-{make.KERNEL}"
    kernel = replace(make.make_kernel(), headers=Headers(HeadersState.MISSING))
    rest = tuple(p for p in make.make_packages() if p.name != exact)
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=(kernel,)),
        packages=replace(
            facts.packages, installed=(*rest, Package(exact, "1"), Package(common, "1"))
        ),
    )
    (argv,) = steps(facts)["headers-again"]
    assert "--reinstall" in argv
    assert {exact, common} <= set(argv)


def image(*modules: tuple[str, str], blacklisted: tuple[str, ...] = ()) -> tuple[Initramfs, ...]:
    held = tuple(
        InitramfsModule(name, f"/x/{name}.ko", make.KERNEL, version) for name, version in modules
    )
    return (Initramfs(make.KERNEL, "/boot/initrd.img", held, blacklisted),)


def test_nouveau_in_the_image_without_its_blacklist() -> None:
    facts = replace(make.healthy(), outdated_images=image(("nouveau", "")))
    assert root(facts) == "nouveau-loaded"
    assert f"initramfs-{make.KERNEL}" in steps(facts)
    quiet = replace(facts, outdated_images=image(("nouveau", ""), blacklisted=("nouveau",)))
    assert root(quiet) == ""


def test_an_older_module_in_the_image() -> None:
    facts = replace(make.healthy(), outdated_images=image(("nvidia", "535.1")))
    assert root(facts) == "initramfs-stale-module"
    assert steps(facts)[f"initramfs-{make.KERNEL}"] == (
        ("update-initramfs", "-u", "-k", make.KERNEL),
    )
    same = replace(facts, outdated_images=image(("nvidia", make.VERSION)))
    assert root(same) == ""


def test_a_half_configured_driver_names_the_compile_error() -> None:
    facts = make.healthy()
    name = next(n for n in make.DRIVER_PACKAGES if "dkms" in n)
    error = "nvidia/nv.c:1:1: error: implicit declaration of function 'follow_pfn'"
    failed = DkmsBuild("nvidia-current", make.VERSION, make.KERNEL, "failed", True, "/log", error)
    facts = replace(
        facts,
        packages=replace(facts.packages, unfinished=(name,)),
        modules=replace(facts.modules, dkms=(failed,)),
    )
    result = check(make.context(facts, make.TARGET)).rung("packages")
    assert result.state is State.BROKEN
    assert [item.cause for item in result.causes] == ["dkms-build-api-break"]
    other = replace(make.TARGET, driver=replace(make.TARGET.driver, version="560.1"))
    ctx = make.context(facts, other)
    made = {step.id for step in plan(ctx, check(ctx)).steps}
    assert "remove-failed-driver" in made
    assert "mend-packages" not in made


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "GPU_BRINGUP_STATE": str(folder / "state")}
    return subprocess.run(
        ["sh", str(SCRIPT), *words], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.process
def test_what_is_moved_aside_is_kept_named_and_put_back(tmp_path: Path) -> None:
    file = tmp_path / "libcuda.so.1"
    file.write_text("first", encoding="utf-8")
    answer = run(tmp_path, "files", str(file))
    assert answer.returncode == 0
    kept = Path(f"{tmp_path}/state/aside{file}.1")
    assert kept.read_text(encoding="utf-8") == "first"
    assert str(kept) in answer.stdout
    assert not file.exists()
    file.write_text("second", encoding="utf-8")
    assert run(tmp_path, "files", str(file)).returncode == 0
    assert run(tmp_path, "back", str(file)).returncode == 0
    assert file.read_text(encoding="utf-8") == "second"
    assert kept.read_text(encoding="utf-8") == "first"


@pytest.mark.process
def test_what_a_package_owns_is_refused(tmp_path: Path) -> None:
    answer = run(tmp_path, "files", "/usr/bin/env")
    assert answer.returncode == 1
    assert "belongs to the package" in answer.stderr
    assert Path("/usr/bin/env").exists()


@pytest.mark.process
def test_bad_words_are_refused(tmp_path: Path) -> None:
    assert run(tmp_path, "files").returncode == 2
    assert run(tmp_path, "away", "/tmp/x").returncode == 2
    assert run(tmp_path, "library-folder", str(tmp_path)).returncode == 1


@pytest.mark.parametrize("installed", [True, False])
def test_a_mirror_of_the_operator_s_own_has_brought_what_is_installed(installed: bool) -> None:
    facts = make.healthy() if installed else make.fresh()
    sources = facts.packages.repositories
    assert isinstance(sources, tuple)
    # Its key is none of Debian's: no component is switched on in it.
    own = replace(
        sources[0], components=("main",), kind="other", signed_by="/usr/share/keyrings/own.gpg"
    )
    facts = replace(facts, packages=replace(facts.packages, repositories=(own,)))
    ctx = replace(make.context(facts, make.TARGET), files={})
    report = check(ctx)
    causes = [item.cause for rung in report.rungs for item in rung.causes]
    assert ("repository-not-configured" in causes) is not installed
    assert "enable-components" not in [step.id for step in plan(ctx, report).steps]
