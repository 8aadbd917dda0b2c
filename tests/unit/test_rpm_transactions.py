"""A plan's own dnf and zypper commands, run by the real dnf and zypper in a root of their own.

The packages are synthetic, in a folder, with the real names and versions, and with the newer
releases beside them that a careless command would take. dnf's version locks need a plugin package
that not every test machine has: tests/rig/dnf-versionlock.sh runs those.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpu_bringup.engine import load_catalogue
from gpu_bringup.families.repository import INSTALL_MATCHING
from gpu_bringup.model.plan import Command, Plan
from unit.plan_goldens import PlanCase, make

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "install-matching.sh"
HGX = ("H100",) * 8
EL9 = "5.14.0-687.51.1.el9_8.x86_64"
SLE15 = "6.4.0-150700.53.40-default"
NEWEST = load_catalogue().branches["580"].last_release
DRIVERS = ("580.82.07", NEWEST, "595.91.07")


@dataclass(frozen=True)
class Rpm:
    name: str
    version: str
    release: str
    more: str = ""

    @property
    def nevra(self) -> str:
        epoch = "3:" if "Epoch: 3" in self.more else "0:"
        return f"{self.name}-{epoch}{self.version}-{self.release}.x86_64"


def enterprise_linux() -> Iterable[Rpm]:
    for build in ("687.51.1.el9_8", "700.1.1.el9_8"):
        yield Rpm("kernel-core", "5.14.0", build)
        yield Rpm("kernel-devel", "5.14.0", build)
        needs = f"Requires: kernel-core = 5.14.0-{build}\nRequires: kernel-devel = 5.14.0-{build}"
        yield Rpm("kernel-devel-matched", "5.14.0", build, needs)
    for name in ("gcc", "make", "elfutils-libelf-devel", "dkms", "openssl", "kmod", "mokutil"):
        yield Rpm(name, "1.0", "1.el9")
    for name in ("python3-dnf-plugin-versionlock", "dnf-plugins-core", "epel-release"):
        yield Rpm(name, "1.0", "1.el9")
    yield Rpm("odd", "git", "1")
    for version in DRIVERS:
        for kind, other in (("open", "latest"), ("latest", "open")):
            yield Rpm(
                f"kmod-nvidia-{kind}-dkms", version, "1.el9",
                f"Epoch: 3\nProvides: nvidia-kmod = 3:{version}\nRequires: dkms\n"
                f"Conflicts: kmod-nvidia-{other}-dkms",
            )  # fmt: skip
        needs = f"Epoch: 3\nRequires: nvidia-kmod = 3:{version}"
        yield Rpm("nvidia-driver-cuda", version, "1.el9", needs)
        for name in ("nvidia-persistenced", "nvidia-modprobe"):
            yield Rpm(name, version, "1.el9", "Epoch: 3")
        for name in ("nvidia-fabricmanager", "libnvidia-nscq", "libnvsdm"):
            yield Rpm(name, version, "1")


def suse() -> Iterable[Rpm]:
    for build in ("150700.53.40", "150700.60.1"):
        provides = f"Provides: kernel-default-devel = 6.4.0-{build}"
        yield Rpm("kernel-default-devel", "6.4.0", f"{build}.1", provides)
    for name in ("gcc", "make", "libelf-devel", "dkms", "openssl", "kmod", "mokutil"):
        yield Rpm(name, "1.0", "1")
    # SUSE's own module is behind NVIDIA's repository, as its makers say of it.
    signed = "580.82.07_k6.4.0_150700.53.40"
    yield Rpm("nvidia-open-driver-G06-signed-cuda-kmp-default", signed, "150700.3.63.1")
    for version in DRIVERS[:2]:
        yield Rpm("nvidia-driver-G06", version, "1", "Requires: dkms")
        yield Rpm("nvidia-compute-utils-G06", version, "1")
    for version in DRIVERS:
        for name in ("nvidia-persistenced", "nvidia-modprobe"):
            yield Rpm(name, version, "1")
        for name in ("nvidia-fabricmanager", "libnvidia-nscq", "libnvsdm"):
            yield Rpm(name, version, "1")


SPEC = """\
Name: {rpm.name}
Version: {rpm.version}
Release: {rpm.release}
Summary: synthetic
License: none
BuildArch: x86_64
AutoReqProv: no
{rpm.more}
%description
synthetic
%files
"""

MODULE = """\
---
document: modulemd
version: 2
data:
  name: nvidia-driver
  stream: "{stream}"
  version: 1
  context: "00000000"
  arch: x86_64
  summary: synthetic
  description: synthetic
  license:
    module: [none]
  artifacts:
    rpms:
{artifacts}
...
"""


def run(argv: Iterable[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, "LC_ALL": "C", **environment}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def build(folder: Path, rpms: tuple[Rpm, ...], modules: str = "") -> Path:
    """A repository of these packages, all built in one run of rpmbuild."""
    for tool in ("rpmbuild", "createrepo_c", "modifyrepo_c"):
        assert shutil.which(tool), f"these tests need {tool}"
    specs = []
    for rpm in rpms:
        spec = folder / f"{rpm.name}-{rpm.version}-{rpm.release}.spec"
        spec.write_text(SPEC.format(rpm=rpm))
        specs.append(str(spec))
    status, output = run(
        ["rpmbuild", "--quiet", "--target", "x86_64", "-bb", *specs,
         "--define", f"_topdir {folder}/build", "--define", f"_rpmdir {folder}/repo"]
    )  # fmt: skip
    assert status == 0, output
    assert run(["createrepo_c", "-q", f"{folder}/repo"])[0] == 0
    if modules:
        (folder / "modules.yaml").write_text(modules)
        data = ["--mdtype=modules", f"{folder}/modules.yaml", f"{folder}/repo/repodata"]
        status, output = run(["modifyrepo_c", *data])
        assert status == 0, output
    return folder / "repo"


def streams(rpms: tuple[Rpm, ...]) -> str:
    """NVIDIA's module streams: one a branch and kind of modules."""
    texts = []
    for branch in ("580", "595"):
        for suffix, module in (
            ("open", "kmod-nvidia-open-dkms"),
            ("dkms", "kmod-nvidia-latest-dkms"),
        ):
            mine = [
                rpm.nevra
                for rpm in rpms
                if "Epoch: 3" in rpm.more
                and rpm.version.startswith(branch)
                and ("kmod" not in rpm.name or rpm.name == module)
            ]
            artifacts = "\n".join(f"    - {name}" for name in mine)
            texts.append(MODULE.format(stream=f"{branch}-{suffix}", artifacts=artifacts))
    return "".join(texts)


@pytest.fixture(scope="module")
def rhel_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rpms = tuple(enterprise_linux())
    return build(tmp_path_factory.mktemp("el"), rpms, streams(rpms))


@pytest.fixture(scope="module")
def suse_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sle"), tuple(suse()))


_ELSEWHERE = {"versionlock", "config-manager"}
"""Words of dnf that a plugin understands, and the machine that runs this may lack it."""


def _far(argv: tuple[str, ...]) -> bool:
    return any("https://" in word for word in argv)


class Machine:
    """A root folder in which the real package managers work, found under their plain names."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.root / "var/log").mkdir(parents=True)
        self._shim("rpm", f"--root {self.root}")

    def _shim(self, tool: str, options: str) -> None:
        real = shutil.which(tool)
        assert real, f"these tests need {tool}"
        shim = self.bin / tool
        shim.write_text(f'#!/bin/sh\nexec {real} {options} "$@"\n')
        shim.chmod(0o755)

    def with_dnf(self, folder: Path, repository: Path) -> Machine:
        (folder / "repos").mkdir()
        (folder / "repos/local.repo").write_text(
            f"[local]\nname=local\nbaseurl=file://{repository}\nenabled=1\ngpgcheck=0\n"
        )
        self._shim(
            "dnf",
            f"--installroot={self.root} --releasever=9 --setopt=reposdir={folder}/repos "
            "--setopt=cachedir=/var/cache/dnf --setopt=logdir=/var/log "
            "--setopt=module_platform_id=platform:el9",
        )
        return self

    def with_zypper(self, repository: Path) -> Machine:
        self._shim("zypper", f"--root {self.root}")
        assert self(("zypper", "-n", "addrepo", "-G", f"file://{repository}", "local"))[0] == 0
        assert self(("zypper", "-n", "--gpg-auto-import-keys", "refresh"))[0] == 0
        # libzypp can't read a database without a single package, which no real machine has.
        assert self(("zypper", "-n", "install", "mokutil"))[0] == 0
        return self

    def __call__(self, argv: Iterable[str]) -> tuple[int, str]:
        return run(argv, PATH=f"{self.bin}:{os.environ['PATH']}")

    def installed(self) -> dict[str, str]:
        """Package -> its version and release."""
        status, output = self(("rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\\n"))
        assert status == 0, output
        return dict(line.split() for line in output.splitlines())

    def take(self, commands: Iterable[Command]) -> list[str]:
        """Run what is for a package manager and needs no network and no plugin; returns its lines."""
        lines = []
        for command in commands:
            argv = command.argv
            if argv[:2] == ("sh", INSTALL_MATCHING):
                argv = ("sh", str(SCRIPT), *argv[2:])
            elif argv[0] not in ("dnf", "zypper") or _ELSEWHERE & set(argv) or _far(argv):
                continue
            status, output = self(argv)
            assert status in command.ok_statuses, f"{argv}\n{output}"
            lines.append(" ".join(argv))
        return lines


def plan_of(case: PlanCase) -> Plan:
    return make(case, load_catalogue())[0]


def test_the_script_that_travels_is_the_one_that_is_tested() -> None:
    plan = plan_of(PlanCase("sles:15.7", SLE15, HGX, source="distribution"))
    (text,) = {w.content for s in plan.steps for w in s.writes if w.path == INSTALL_MATCHING}
    assert text == SCRIPT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("gpus", "module", "fabric"),
    [(HGX, "kmod-nvidia-open-dkms", True), (("V100",), "kmod-nvidia-latest-dkms", False)],
)
def test_a_plan_for_enterprise_linux_9(
    rhel_repository: Path, tmp_path: Path, gpus: tuple[str, ...], module: str, fabric: bool
) -> None:
    machine = Machine(tmp_path).with_dnf(tmp_path, rhel_repository)
    plan = plan_of(PlanCase("rocky:9", EL9, gpus))
    lines = machine.take(c for step in plan.steps for c in step.commands)
    assert any("module enable nvidia-driver:580-" in line for line in lines)
    have = machine.installed()
    assert have["kernel-devel"] == have["kernel-devel-matched"] == "5.14.0-687.51.1.el9_8"
    # The twin of a newer build tree would have brought that newer kernel.
    assert have["kernel-core"] == "5.14.0-687.51.1.el9_8"
    driver = [module, "nvidia-driver-cuda", "nvidia-persistenced", "nvidia-modprobe"]
    assert {have[name] for name in driver} == {f"{NEWEST}-1.el9"}
    assert ("nvidia-fabricmanager" in have) is fabric
    if fabric:
        names = ("nvidia-fabricmanager", "libnvidia-nscq", "libnvsdm")
        assert {have[name] for name in names} == {f"{NEWEST}-1"}
    # The stream keeps the driver on its branch, whatever else the repository offers.
    _, offered = machine(("dnf", "upgrade", "--assumeno", "nvidia-driver-cuda", module))
    assert "595." not in offered
    again = machine.take(c for step in plan.steps for c in step.commands)
    assert again == lines
    assert machine.installed() == have

    undo = [c for step in reversed(plan.steps) for c in step.undo]
    machine.take(undo)
    assert not [name for name in machine.installed() if name.startswith(("kmod-nv", "nvidia"))]
    assert "kernel-devel" in machine.installed()


def test_a_newer_driver_gives_way_to_the_chosen_one(rhel_repository: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path).with_dnf(tmp_path, rhel_repository)
    for argv in (
        ("dnf", "-y", "module", "enable", "nvidia-driver:595-open"),
        ("dnf", "-y", "install", "nvidia-driver-cuda", "kmod-nvidia-open-dkms"),
    ):
        status, output = machine(argv)
        assert status == 0, output
    assert machine.installed()["nvidia-driver-cuda"] == "595.91.07-1.el9"
    plan = plan_of(PlanCase("almalinux:9", EL9, ("L4",), source="nvidia-repository"))
    machine.take(c for step in plan.steps for c in step.commands)
    assert machine.installed()["nvidia-driver-cuda"] == f"{NEWEST}-1.el9"
    assert machine.installed()["kmod-nvidia-open-dkms"] == f"{NEWEST}-1.el9"


def test_suse_libraries_and_fabric_follow_the_signed_module(
    suse_repository: Path, tmp_path: Path
) -> None:
    machine = Machine(tmp_path).with_zypper(suse_repository)
    case = PlanCase("sles:15.7", SLE15, HGX, True, "distribution", driver="580")
    plan = plan_of(case)
    lines = machine.take(c for step in plan.steps for c in step.commands)
    have = machine.installed()
    kmp = "nvidia-open-driver-G06-signed-cuda-kmp-default"
    assert have[kmp].startswith("580.82.07_k6.4.0_150700.53.40-")
    follow = (
        "nvidia-compute-utils-G06", "nvidia-persistenced", "nvidia-modprobe",
        "nvidia-fabricmanager", "libnvidia-nscq", "libnvsdm",
    )  # fmt: skip
    assert {have[name] for name in follow} == {"580.82.07-1"}
    assert not [name for name in have if name.endswith("-devel")], "signed modules need no headers"
    # The locks hold: an update takes nothing of it along.
    locks = [line for line in lines if " addlock " in line]
    assert len(locks) == 2
    status, output = machine(("zypper", "-n", "update", "--dry-run"))
    assert status == 0, output
    assert "nvidia-compute-utils-G06" not in output.partition("going to be")[2]
    listed = machine(("zypper", "-n", "locks"))[1]
    assert all(name in listed for name in (kmp, *follow))
    machine.take(c for step in reversed(plan.steps) for c in step.undo)
    assert not [name for name in machine.installed() if "nvidia" in name]
    assert "nvidia" not in machine(("zypper", "-n", "locks"))[1]


def test_suse_builds_the_chosen_version(suse_repository: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path).with_zypper(suse_repository)
    plan = plan_of(PlanCase("sles:15.7", SLE15, ("V100",), True))
    machine.take(c for step in plan.steps for c in step.commands)
    have = machine.installed()
    assert have["kernel-default-devel"] == "6.4.0-150700.53.40.1"
    names = ("nvidia-driver-G06", "nvidia-compute-utils-G06", "nvidia-persistenced")
    assert {have[name] for name in names} == {f"{NEWEST}-1"}
    assert {"gcc", "make", "dkms", "libelf-devel", "mokutil"} <= set(have)


def test_the_script_says_what_is_wrong(rhel_repository: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path).with_dnf(tmp_path, rhel_repository)
    assert machine(("dnf", "-y", "install", "odd"))[0] == 0
    for arguments, status, words in (
        (("dnf", "nosuch", "a="), 1, "nosuch is not installed"),
        (("pacman", "odd", "a="), 2, "is none of"),
        (("dnf", "odd"), 2, "usage"),
        (("dnf", "odd", "a="), 1, "no driver version"),
    ):
        code, output = machine(("sh", str(SCRIPT), *arguments))
        assert code == status, output
        assert words in output
