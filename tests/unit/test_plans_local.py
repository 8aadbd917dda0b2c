"""Plans from a folder of packages, on a server without network: run by the real package managers.

Packages are synthetic, with the real names; rpm files are signed with a key made here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_bringup.cli import main
from gpu_bringup.engine import described, load_catalogue, recommend
from gpu_bringup.families import local
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.plan import Command, Plan
from gpu_bringup.model.target import Verdict
from unit import plan_goldens
from unit.plan_goldens import PlanCase, make

FOLDER = plan_goldens.PLANS / "local"
CASES = (
    PlanCase("sles:15.7", "6.4.0-150700.53.40-default", ("L4",), source="local"),
    PlanCase("debian:12", "6.1.0-50-amd64", ("L4",), source="local", scenario="kubernetes"),
)
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
DEBIAN = PlanCase("debian:12", "6.1.0-50-amd64", ("L4",), source="local")
RHEL = PlanCase("rhel:9", "5.14.0-687.51.1.el9_8.x86_64", ("L4",), source="local")
SLES = CASES[0]
Run = Callable[..., tuple[int, str]]
pytestmark = pytest.mark.process


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_reads_as_it_did(case: PlanCase) -> None:
    expected = (FOLDER / f"{case.name}.txt").read_text(encoding="utf-8")
    assert plan_goldens.text(case, load_catalogue()) == expected


def plan_of(case: PlanCase) -> Plan:
    return make(case, load_catalogue())[0]


@pytest.mark.parametrize("case", [DEBIAN, RHEL, SLES], ids=lambda case: case.os)
def test_no_command_of_a_local_plan_asks_the_network_or_trusts_blindly(case: PlanCase) -> None:
    plan = plan_of(case)
    assert plan.steps[0].id == "use-local-packages"
    assert ("rm", "-rf", local.STATE) in [command.argv for command in plan.steps[0].undo]
    for command in (c for step in plan.steps for c in step.commands):
        words = " ".join(command.argv)
        assert not command.network, words
        assert "https://" not in words
        if command.argv[0] in ("apt-get", "dnf", "zypper") and "install" in command.argv:
            told = f"{words} {dict(command.environment)}"
            assert local.STATE in told, words
    text = SCRIPTS.joinpath("local-packages.sh").read_text(encoding="utf-8")
    assert text == next(w.content for w in plan.steps[0].writes if w.path == local.SCRIPT)
    for word in (
        "trusted=yes",
        "nogpgcheck",
        "no-gpg-checks",
        "allow-unauthenticated",
        "gpgcheck=0\\n",
    ):
        assert word not in text.replace("repo_gpgcheck=0\\n", "")


def test_the_rule_says_what_the_folder_has_and_lacks() -> None:
    def reason(*files: str) -> tuple[Verdict, str]:
        answers = Answers(
            gpus=("L4",), os="debian:12", kernel=DEBIAN.kernel, source=SourceKind.LOCAL,
            local_packages="/media/p", local_files=files, driver="580", flavour="open",
        )  # fmt: skip
        catalogue = load_catalogue()
        found = recommend(described(answers, catalogue), answers, catalogue)
        reasons = found.chosen.reasons if found.chosen else found.refusal
        return next((r.verdict, r.detail) for r in reasons if r.rule == "source-reachable")

    version = load_catalogue().branches["580"].last_release
    driver = ("nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced")
    whole = [f"{name}_{version}-1_amd64.deb" for name in driver]
    assert reason(*whole)[0] is Verdict.OK
    verdict, detail = reason(*whole[1:])
    assert (verdict, detail) == (Verdict.VIOLATED, "/media/p lacks nvidia-driver-cuda.")
    older = [name.replace(version, "580.95.05") for name in whole]
    assert reason(*older)[0] is Verdict.VIOLATED
    assert "--driver 580.95.05" in reason(*older)[1]
    assert reason("InRelease", "Packages.gz")[0] is Verdict.UNKNOWN
    assert reason()[0] is Verdict.VIOLATED


@pytest.mark.parametrize("case", [DEBIAN, RHEL, SLES], ids=lambda case: case.os)
def test_the_fetching_script_names_every_package_and_is_a_shell_script(
    case: PlanCase, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--os", case.os, "--kernel", case.kernel, "--gpu", "L4", "--source", "local"]
    assert main(["plan", *argv, "--packages", "/media/p", "--format", "packages"]) == 0
    text = capsys.readouterr().out
    names = {name.partition("=")[0] for step in plan_of(case).steps for name in step.packages}
    for name in names:
        assert name in text
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", "-"], input=text, text=True, check=False)
        assert done.returncode == 0


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs local-packages.sh with its state below ``tmp_path``."""

    def call(*argv: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
            env={
                **os.environ, "LC_ALL": "C", "GPU_BRINGUP_LOCAL": f"{tmp_path}/state/local",
                "GPU_BRINGUP_FETCH_KEY": str(SCRIPTS / "fetch-key.sh"),
                "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **environment,
            },
        )  # fmt: skip
        return done.returncode, done.stdout

    return call


SCRIPT = str(SCRIPTS / "local-packages.sh")


def deb(folder: Path, name: str, version: str, depends: str = "") -> Path:
    build = folder / f"build-{name}-{version}"
    (build / "DEBIAN").mkdir(parents=True)
    (build / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\n"
        + (f"Depends: {depends}\n" if depends else "")
        + "Description: synthetic\n"
    )
    packages = folder / "packages"
    packages.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--build", build, packages], check=True, stdout=subprocess.DEVNULL)
    return packages


def sums(packages: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(packages.glob("*.deb"))
    ]
    (packages / "SHA256SUMS").write_text("".join(lines))


def simulate(run: Run, tmp_path: Path, *names: str) -> tuple[int, str]:
    """What apt would install on a host that has nothing, from the folder alone."""
    status = tmp_path / "status"
    status.write_text("")
    return run(
        "apt-get", "-s", "-o", f"Dir::State::status={status}", "-o", "Debug::NoLocking=1",
        "install", "--no-install-recommends", *names,
        APT_CONFIG=f"{tmp_path}/state/local/apt.conf",
    )  # fmt: skip


def test_apt_takes_packages_with_what_they_depend_on_from_the_folder_alone(
    run: Run, tmp_path: Path
) -> None:
    deb(tmp_path, "nvidia-driver-cuda", "580.1-1", "nvidia-lib (= 580.1-1)")
    packages = deb(tmp_path, "nvidia-lib", "580.1-1")
    sums(packages)
    status, output = run("sh", SCRIPT, "apt", str(packages))
    assert status == 0, output
    status, output = simulate(run, tmp_path, "nvidia-driver-cuda")
    assert status == 0, output
    assert "Inst nvidia-lib (580.1-1" in output
    # A package of the network's archives isn't there.
    assert simulate(run, tmp_path, "bash")[0] != 0


def test_a_damaged_or_unnamed_file_is_refused(run: Run, tmp_path: Path) -> None:
    packages = deb(tmp_path, "nvidia-lib", "580.1-1")
    sums(packages)
    deb(tmp_path, "stranger", "1")
    status, output = run("sh", SCRIPT, "apt", str(packages))
    assert status == 1
    assert "does not name stranger_1_all.deb" in output
    (packages / "stranger_1_all.deb").unlink()
    with (packages / "nvidia-lib_580.1-1_all.deb").open("ab") as file:
        file.write(b"x")
    status, output = run("sh", SCRIPT, "apt", str(packages))
    assert status == 1
    assert "SHA256SUMS" in output
    assert not (tmp_path / "state/local").exists()


def test_without_sums_it_says_that_nothing_vouches(run: Run, tmp_path: Path) -> None:
    status, output = run("sh", SCRIPT, "apt", str(deb(tmp_path, "nvidia-lib", "1")))
    assert status == 0
    assert "nothing vouches for these .deb files" in output


@pytest.mark.parametrize(
    ("words", "status"),
    [((), 2), (("apt",), 2), (("pacman", "/x"), 2), (("apt", "x"), 2), (("apt", "/not/there"), 1)],
)
def test_bad_usage(run: Run, words: tuple[str, ...], status: int) -> None:
    assert run("sh", SCRIPT, *words)[0] == status


def test_an_empty_folder_is_refused(run: Run, tmp_path: Path) -> None:
    status, output = run("sh", SCRIPT, "dnf", str(tmp_path))
    assert status == 1
    assert "neither *.rpm files nor an index" in output


def signer(home: Path) -> str:
    """Make a key; returns its fingerprint."""
    home.mkdir(mode=0o700)
    argv = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
    subprocess.run(
        [*argv, "--quick-generate-key", "rig@example.org", "rsa2048", "sign"],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    listing = subprocess.run(
        [*argv, "--list-keys", "--with-colons"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))


def test_apt_takes_an_index_only_when_its_key_is_pinned(run: Run, tmp_path: Path) -> None:
    packages = deb(tmp_path, "nvidia-lib", "580.1-1")
    home = tmp_path / "gpg"
    fingerprint = signer(home)

    def made(*argv: str, to: str) -> None:
        with (packages / to).open("wb") as file:
            subprocess.run(argv, cwd=packages, check=True, stdout=file)

    made("apt-ftparchive", "packages", ".", to="Packages")
    made("apt-ftparchive", "release", ".", to="Release")
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes"]
    subprocess.run(
        [*gpg, "--clearsign", "-o", packages / "InRelease", packages / "Release"], check=True
    )
    made(*gpg, "--armor", "--export", to="signer.pub")
    options = (
        f'APT::Sandbox::User "root"; Dir::State::status "{tmp_path}/status"; Debug::NoLocking "1";'
    )
    (tmp_path / "status").write_text("")
    (tmp_path / "apt.extra").write_text(options)
    status, output = run("sh", SCRIPT, "apt", str(packages), "A" * 40)
    assert status == 1, output
    assert "passed over" in output
    assert "does not take the index" in output
    status, output = run("sh", SCRIPT, "apt", str(packages), fingerprint)
    assert status == 0, output
    status, output = simulate(run, tmp_path, "nvidia-lib")
    assert status == 0, output
    assert "Inst nvidia-lib" in output


class Root:
    """A root folder in which dnf, zypper and rpm work under their plain names."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.root, self.bin, self.run = folder / "root", folder / "bin", run
        self.state = folder / "state/local"
        self.bin.mkdir()
        (self.root / "var/log").mkdir(parents=True)
        for tool, options in {
            "rpm": f"--root {self.root}",
            "rpmkeys": f"--root {self.root}",
            "zypper": f"--root {self.root}",
            "dnf": f"--installroot={self.root} --releasever=9 --setopt=cachedir=/var/cache/dnf "
            "--setopt=logdir=/var/log --setopt=module_platform_id=platform:el9",
        }.items():
            real = shutil.which(tool)
            assert real, f"these tests need {tool}"
            (self.bin / tool).write_text(f'#!/bin/sh\nexec {real} {options} "$@"\n')
            (self.bin / tool).chmod(0o755)

    def take(self, command: Command) -> tuple[int, str]:
        return self.run(*(word.replace(local.STATE, str(self.state)) for word in command.argv))

    def installed(self) -> set[str]:
        return set(self.run("rpm", "-qa", "--qf", "%{NAME}\\n")[1].split())


SPEC = """\
Name: {name}
Version: 580.1
Release: 1
Summary: synthetic
License: none
BuildArch: noarch
AutoReqProv: no
{more}
%description
synthetic
%files
"""


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(folder of signed packages with their key, its fingerprint)."""
    work = tmp_path_factory.mktemp("rpms")
    for name, more in {"nvidia-driver-cuda": "Requires: nvidia-lib", "nvidia-lib": ""}.items():
        (work / f"{name}.spec").write_text(SPEC.format(name=name, more=more))
    subprocess.run(
        ["rpmbuild", "--quiet", "-bb", *map(str, work.glob("*.spec")),
         "--define", f"_topdir {work}/build", "--define", f"_rpmdir {work}/out"],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    packages = work / "packages"
    packages.mkdir()
    for path in (work / "out/noarch").glob("*.rpm"):
        shutil.move(path, packages)
    fingerprint = signer(work / "gpg")
    subprocess.run(
        ["rpmsign", "--define", f"_gpg_path {work}/gpg", "--define", "_gpg_name rig@example.org",
         "--define", f"__gpg {shutil.which('gpg')}",
         "--addsign", *map(str, packages.glob("*.rpm"))],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with (packages / "signer.pub").open("wb") as file:
        subprocess.run(
            ["gpg", "--homedir", str(work / "gpg"), "--armor", "--export"], check=True, stdout=file
        )
    return packages, fingerprint


@pytest.mark.parametrize("manager", ["dnf", "zypper"])
@pytest.mark.parametrize("index", [False, True], ids=["files", "repodata"])
def test_signed_packages_are_installed_from_the_folder(
    run: Run, tmp_path: Path, signed: tuple[Path, str], manager: str, index: bool
) -> None:
    packages = Path(shutil.copytree(signed[0], tmp_path / "packages"))
    if index:
        subprocess.run(["createrepo_c", "-q", packages], check=True)
    machine = Root(tmp_path, run)
    status, output = run("sh", SCRIPT, manager, str(packages), signed[1])
    assert status == 0, output
    tool = local.LocalDnf() if manager == "dnf" else local.LocalZypper()
    wanted = tool.install(("nvidia-driver-cuda=580.1",))
    for _ in range(2):
        status, output = machine.take(wanted)
        assert status in wanted.ok_statuses, output
    assert {"nvidia-driver-cuda", "nvidia-lib"} <= machine.installed()
    status, output = machine.take(tool.install(("nvidia-driver-cuda=999",)))
    assert status not in wanted.ok_statuses, output


@pytest.mark.parametrize("manager", ["dnf", "zypper"])
def test_packages_of_an_unknown_signer_are_refused(
    run: Run, tmp_path: Path, signed: tuple[Path, str], manager: str
) -> None:
    machine = Root(tmp_path, run)
    status, output = run("sh", SCRIPT, manager, str(signed[0]), "B" * 40)
    assert status == 1, output
    assert "not signed by a key that this server has imported: nvidia-driver-cuda" in output
    assert not machine.installed() & {"nvidia-driver-cuda", "nvidia-lib"}
