"""dnf and zypper: their real words, from real transactions on synthetic packages in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.errors import RefusedError
from gpu_bringup.families.detect import family_for
from gpu_bringup.families.dnf import Dnf, nevra
from gpu_bringup.families.dnf_output import first_error, parse_simulation, parse_sizes
from gpu_bringup.families.rhel import fabric_names
from gpu_bringup.families.zypper import Zypper
from gpu_bringup.model.facts import Facts, OsFacts, Repository
from unit.make_facts import fresh, make_kernel

FEDORA_43 = """\
Updating and loading repositories:
Repositories loaded.
Package                  Arch    Version                  Repository        Size
Installing:
 nvidia-open             noarch  3:580.178.04-1.fc43      cuda          38.0 KiB
Installing dependencies:
 kmod-nvidia-open-dkms   x86_64  3:580.178.04-1.fc43      cuda           1.6 MiB
Upgrading:
 audit-libs              x86_64  0:4.2.1-1.fc43           updates      390.5 KiB
   replacing audit-libs  x86_64  0:4.1.4-1.fc43           <unknown>    390.5 KiB
Removing:
 nvidia-old              x86_64  3:550-1.fc43             cuda           1.0 MiB

Transaction Summary:
 Installing:         2 packages

Total size of inbound packages is 475 KiB. Need to download 110 MiB.
After this operation, 2 MiB extra will be used (install 2 MiB, remove 0 B).
Operation aborted by the user.
"""


def test_dnf_5_transaction() -> None:
    found = parse_simulation(1, FEDORA_43)
    assert found.ok
    assert found.installs == (
        ("nvidia-open", "3:580.178.04-1.fc43"),
        ("kmod-nvidia-open-dkms", "3:580.178.04-1.fc43"),
        ("audit-libs", "0:4.2.1-1.fc43"),
    )
    assert found.removes == ("nvidia-old",)
    assert (found.download_bytes, found.installed_bytes) == (110 * 2**20, 2 * 2**20)


def test_dnf_4_sizes() -> None:
    said = "Total download size: 5.5 k\nInstalled size: 1.2 G\n"
    assert parse_sizes(said) == (5632, round(1.2 * 2**30))
    assert parse_sizes("Total size: 17 k\nInstalled size: 0  \n") == (0, 0)
    assert parse_sizes("junk") == (None, None)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (
            "Error: \n Problem: conflicting requests\n  - nothing provides nvidia-kmod = 3:999 "
            "needed by broken-driver-1.0-1.el9.x86_64\n(try to add '--skip-broken')\n",
            "nothing provides nvidia-kmod = 3:999 needed by broken-driver-1.0-1.el9.x86_64",
        ),
        (
            "All matches were filtered out by modular filtering for argument: nvidia-driver\n"
            "Error: Unable to find a match: nvidia-driver\n",
            "Unable to find a match: nvidia-driver",
        ),
        ("Error: Cache-only enabled but no cache for 'x'\n", "Cache-only enabled but no cache"),
    ],
)
def test_dnf_errors(output: str, error: str) -> None:
    assert first_error(output).startswith(error)
    assert not parse_simulation(1, output).ok


def test_pins_are_written_as_each_manager_wants_them() -> None:
    assert nevra("dkms=3.0-1") == "dkms-3.0-1"
    assert nevra("dkms") == "dkms"
    assert Dnf().install(("dkms=3.0-1",)).argv[-1] == "dkms-3.0-1"
    assert Zypper().install(("dkms=3.0-1",)).argv[-2:] == ("--oldpackage", "dkms=3.0-1")
    assert Dnf(4).hold_tools == ("python3-dnf-plugin-versionlock",)
    assert Dnf(5).hold_tools == ()


def test_a_branch_is_locked_as_each_dnf_understands_it() -> None:
    lock, unlock = Dnf(4).hold_branch("580")
    assert lock.argv[2:] == ("versionlock", "add", "--raw", "*nvidia*-580.*")
    assert unlock.argv[2:] == ("versionlock", "delete", "*nvidia*-580.*")
    lock, unlock = Dnf(5).hold_branch("580")
    assert lock.argv[2:] == ("versionlock", "add", "*nvidia*580*")
    assert unlock.argv[2:] == ("versionlock", "delete", "*nvidia*580*")


@pytest.mark.parametrize(
    ("kind", "version", "machine", "names"),
    [
        (
            "fabricmanager",
            "580.178.04",
            "x86_64",
            ("nvidia-fabricmanager", "libnvidia-nscq", "libnvsdm"),
        ),
        ("fabricmanager", "580.178.04", "aarch64", ("nvidia-fabricmanager", "libnvidia-nscq")),
        (
            "fabricmanager",
            "570.211.01",
            "x86_64",
            ("nvidia-fabric-manager", "libnvidia-nscq-570", "libnvsdm-570"),
        ),
        ("fabricmanager", "535.309.01", "x86_64", ("nvidia-fabric-manager", "libnvidia-nscq-535")),
        ("imex", "580.178.04", "aarch64", ("nvidia-imex",)),
        ("imex", "570.211.01", "aarch64", ("nvidia-imex-570",)),
        ("none", "580.178.04", "x86_64", ()),
    ],
)
def test_fabric_packages_are_named_by_branch_and_machine(
    kind: str, version: str, machine: str, names: tuple[str, ...]
) -> None:
    assert fabric_names(kind, version, machine) == tuple(f"{name}={version}" for name in names)


def enabling(os: OsFacts, facts: Facts, *components: str) -> list[str]:
    family = family_for(os)
    assert family is not None
    change = family.enable_components(facts, {}, components)
    return [" ".join(command.argv) for command in change.commands]


def test_repositories_are_switched_on_as_each_system_does() -> None:
    plain = fresh()
    update_server = replace(
        plain,
        packages=replace(
            plain.packages,
            repositories=(
                Repository(
                    "/etc/yum.repos.d/redhat-rhui.repo",
                    1,
                    "https://rhui.example.org/os",
                    suites=("rhel-10-baseos-rhui-rpms",),
                    format="yum",
                ),
            ),
        ),
    )
    rhel = OsFacts("rhel", "10.2", "x", arch="aarch64")
    assert enabling(rhel, plain, "extensions", "supplementary") == [
        "subscription-manager repos --enable rhel-10-for-aarch64-extensions-rpms",
        "subscription-manager repos --enable rhel-10-for-aarch64-supplementary-rpms",
    ]
    assert enabling(rhel, update_server, "extensions", "crb")[1::2] == [
        "dnf config-manager --set-enabled rhel-10-extensions-rhui-rpms",
        "dnf config-manager --set-enabled codeready-builder-for-rhel-10-rhui-rpms",
    ]
    rocky = OsFacts("rocky", "8.10", "x")
    assert enabling(rocky, plain, "crb")[-1] == "dnf config-manager --set-enabled powertools"
    oracle = OsFacts("ol", "9.6", "x")
    assert enabling(oracle, plain, "crb", "epel")[1:] == [
        "dnf config-manager --set-enabled ol9_codeready_builder",
        "dnf -y install --setopt=install_weak_deps=False oracle-epel-release-el9",
    ]
    alma = OsFacts("almalinux", "10.1", "x")
    assert enabling(alma, plain, "almalinux-nvidia")[0].endswith(" almalinux-release-nvidia-driver")
    amazon = OsFacts("amzn", "2023", "x")
    assert enabling(amazon, plain, "amazonlinux-nvidia")[0].endswith(" nvidia-release")
    with pytest.raises(RefusedError, match="x86_64 only"):
        enabling(replace(amazon, arch="aarch64"), plain, "amazonlinux-nvidia")
    fedora = OsFacts("fedora", "44", "x")
    assert enabling(fedora, plain, "crb", "epel") == []
    sles = OsFacts("sles", "15.7", "x")
    module = "SUSEConnect -p sle-module-development-tools/15.7/x86_64"
    assert enabling(sles, plain, "development-tools") == [module]
    running = replace(plain, kernels=replace(plain.kernels, running="6.4.0-150700.53.40-default"))
    assert enabling(replace(sles, version="15"), running, "development-tools") == [module]
    assert enabling(OsFacts("sles", "16.0", "x"), plain, "development-tools") == []
    assert enabling(OsFacts("opensuse-leap", "15.6", "x"), plain, "development-tools") == []


def test_oracles_kernel_for_8_is_built_by_the_compiler_that_built_it() -> None:
    family = family_for(OsFacts("ol", "8.10", "x"))
    assert family is not None
    uek, plain = "5.15.0-300.163.18.el8uek.x86_64", "4.18.0-553.el8_10.x86_64"
    assert "gcc-toolset-11" in family.compiler_packages(make_kernel(uek))
    assert "gcc-toolset-11" not in family.compiler_packages(make_kernel(plain))
    ((name, path),) = family.build_environment(uek)
    assert name == "PATH"
    assert path.startswith("/opt/rh/gcc-toolset-11/root/usr/bin:/usr/")
    assert family.build_environment(plain) == ()
    assert family.build_environment("5.4.17-2136.el8uek.x86_64") == ()


def test_what_is_switched_on_already_is_seen() -> None:
    family = family_for(OsFacts("rhel", "10.2", "x"))
    assert family is not None
    wanted = ("extensions", "supplementary", "crb", "epel")
    on = tuple(
        Repository("/etc/yum.repos.d/redhat.repo", 1, "https://cdn.example.org/x", suites=(name,))
        for name in (
            "rhel-10-for-x86_64-extensions-rpms",
            "codeready-builder-for-rhel-10-x86_64-rpms",
        )
    )
    assert family.missing_components(on, wanted) == ("supplementary", "epel")
    off = tuple(replace(entry, enabled=False) for entry in on)
    assert family.missing_components(off, wanted) == wanted


def test_zypper_answers_that_are_no_xml() -> None:
    assert Zypper().parse_simulation(1, "").error == "zypper ended with status 1"
    refused = "Root privileges are required for installing or uninstalling packages.\n"
    assert Zypper().parse_simulation(5, refused).error == refused.strip()
    assert "can't be read" in Zypper().parse_simulation(0, "<stream><a></stream>").error


SPEC = """\
Name: {name}
Version: {version}
Release: {release}
Summary: synthetic
License: none
BuildArch: x86_64
AutoReqProv: no
{more}
%description
synthetic
%files
"""

PACKAGES = (
    ("kernel-devel", "5.14.0", "427.el9", ""),
    ("kernel-default-devel", "6.4.0", "150600.21.1", "Provides: {name} = 6.4.0-150600.21"),
    ("dkms", "3.0.13", "1.el9", ""),
    (
        "kmod-nvidia-open-dkms",
        "570.124.06",
        "1.el9",
        "Provides: nvidia-kmod = 3:570.124.06\nRequires: dkms",
    ),
    ("nvidia-open", "570.124.06", "1.el9", "Epoch: 3\nRequires: nvidia-kmod"),
    ("broken-driver", "1.0", "1.el9", "Requires: nvidia-kmod = 3:999"),
    ("rival", "1.0", "1.el9", "Conflicts: dkms"),
)


def run(argv: list[str] | tuple[str, ...]) -> tuple[int, str]:
    done = subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in ("rpmbuild", "createrepo_c"):
        assert shutil.which(tool), f"these tests need {tool}"
    top = tmp_path_factory.mktemp("rpm")
    for name, version, release, more in PACKAGES:
        spec = top / f"{name}.spec"
        spec.write_text(
            SPEC.format(name=name, version=version, release=release, more=more.format(name=name))
        )
        status, output = run(
            [
                *("rpmbuild", "--quiet", "--target", "x86_64", "-bb", str(spec)),
                *("--define", f"_topdir {top}/build", "--define", f"_rpmdir {top}/repo"),
            ]
        )
        assert status == 0, output
    assert run(["createrepo_c", "-q", f"{top}/repo"])[0] == 0
    return top / "repo"


@pytest.fixture
def dnf_options(repo: Path, tmp_path: Path) -> list[str]:
    """Options that bind dnf to a folder: nothing on this machine is read or written by it."""
    assert shutil.which("dnf"), "this test needs dnf"
    root = tmp_path / "root"
    (root / "var/log").mkdir(parents=True)
    (root / "var/cache/dnf").mkdir(parents=True)
    (tmp_path / "repos").mkdir()
    (tmp_path / "repos/local.repo").write_text(
        f"[local]\nname=local\nbaseurl=file://{repo}\nenabled=1\ngpgcheck=0\n"
    )
    return [
        *(f"--installroot={root}", "--releasever=9", f"--setopt=reposdir={tmp_path}/repos"),
        *("--setopt=cachedir=/var/cache/dnf", "--setopt=logdir=/var/log"),
    ]


@pytest.mark.process
def test_real_dnf(dnf_options: list[str]) -> None:
    dnf = Dnf(4)

    def simulate(*packages: str) -> tuple[int, str]:
        argv = dnf.simulate(packages)
        return run([argv[0], *dnf_options, *argv[1:]])

    found = dnf.parse_simulation(*simulate("nvidia-open"))
    assert found.ok
    assert dict(found.installs) == {
        "nvidia-open": "3:570.124.06-1.el9",
        "dkms": "3.0.13-1.el9",
        "kmod-nvidia-open-dkms": "570.124.06-1.el9",
    }
    assert found.download_bytes is not None

    pinned = dnf.parse_simulation(*simulate("dkms=3.0.13-1.el9"))
    assert pinned.installs == (("dkms", "3.0.13-1.el9"),)
    wrong = dnf.parse_simulation(*simulate("kernel-devel-5.14.0-999.el9.x86_64"))
    assert "kernel-devel-5.14.0-999.el9.x86_64" in wrong.error
    assert (
        "nothing provides nvidia-kmod = 3:999"
        in dnf.parse_simulation(*simulate("broken-driver")).error
    )
    assert "conflicts with dkms" in dnf.parse_simulation(*simulate("rival", "dkms")).error

    command = dnf.install(("nvidia-open",))
    status, output = run([command.argv[0], *dnf_options, *command.argv[1:]])
    assert status == 0, output
    again = dnf.parse_simulation(*simulate("nvidia-open"))
    assert (again.ok, again.installs) == (True, ())
    removal = dnf.remove(("nvidia-open",))
    status, output = run([removal.argv[0], *dnf_options, *removal.argv[1:]])
    assert status == 0, output
    assert "dkms" not in [name for name, _ in dnf.parse_simulation(*simulate("rival")).installs]


@pytest.mark.process
def test_real_zypper(repo: Path, tmp_path: Path) -> None:
    assert shutil.which("zypper"), "this test needs zypper"
    root = tmp_path / "root"
    root.mkdir()
    zypper = Zypper()

    def rooted(argv: tuple[str, ...]) -> tuple[int, str]:
        return run([argv[0], "--root", str(root), *argv[1:]])

    status, output = rooted(
        ("zypper", "--non-interactive", "addrepo", "-G", f"file://{repo}", "local")
    )
    assert status == 0, output
    assert rooted(zypper.refresh().argv)[0] == 0

    found = zypper.parse_simulation(*rooted(zypper.simulate(("nvidia-open",))))
    assert found.ok
    assert dict(found.installs)["kmod-nvidia-open-dkms"] == "570.124.06-1.el9"
    assert found.download_bytes is not None
    assert found.download_bytes > 0

    # The package provides its version without rebuild number, which is all that a release tells.
    headers = zypper.simulate(("kernel-default-devel=6.4.0-150600.21",))
    assert zypper.parse_simulation(*rooted(headers)).installs == (
        ("kernel-default-devel", "6.4.0-150600.21.1"),
    )
    missing = zypper.parse_simulation(*rooted(zypper.simulate(("kernel-default-devel=9.9",))))
    assert missing.error == "No provider of 'kernel-default-devel=9.9' found."
    broken = zypper.parse_simulation(*rooted(zypper.simulate(("broken-driver",))))
    assert broken.error.startswith("nothing provides ")
    assert "nvidia-kmod = 3:999" in broken.error

    status, output = rooted(zypper.install(("nvidia-open",)).argv)
    assert status == 0, output
    again = zypper.parse_simulation(*rooted(zypper.simulate(("nvidia-open",))))
    assert (again.ok, again.installs) == (True, ())
    assert rooted(zypper.hold(("nvidia-open",)).argv)[0] == 0
    assert rooted(zypper.unhold(("nvidia-open",)).argv)[0] == 0
    nothing = zypper.remove(("nosuch",))
    assert rooted(nothing.argv)[0] in nothing.ok_statuses
