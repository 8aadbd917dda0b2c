"""apt: what it is told, and what is made of its answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gpu_bringup.families.apt import Apt
from gpu_bringup.families.apt_output import first_error, parse_sizes

BOOKWORM_CONFLICT = """\
Reading package lists...
Building dependency tree...
Reading state information...
Some packages could not be installed. This may mean that you have
requested an impossible situation or if you are using the unstable
distribution that some required packages have not yet been created
or been moved out of Incoming.
The following information may help to resolve the situation:

The following packages have unmet dependencies:
 nvidia-open-kernel-dkms : Depends: firmware-nvidia-gsp (= 535.261.03) or
                                    firmware-nvidia-gsp-535.261.03
                           Depends: nvidia-open-kernel-support--v1
E: Unable to correct problems, you have held broken packages.
"""

SIZES = """\
2 upgraded, 5 newly installed, 0 to remove and 125 not upgraded.
Need to get 21.1 MB of archives.
After this operation, 66.8 MB of additional disk space will be used.
Do you want to continue? [Y/n] N
Abort.
"""


def test_nothing_can_ask_or_open_a_dialog() -> None:
    command = Apt().install(("dkms",))
    environment = dict(command.environment)
    assert environment["DEBIAN_FRONTEND"] == "noninteractive"
    assert environment["APT_LISTCHANGES_FRONTEND"] == "none"
    assert environment["NEEDRESTART_MODE"] == "l"
    assert "-y" in command.argv
    assert "Dpkg::Options::=--force-confold" in command.argv
    assert "DPkg::Lock::Timeout=600" in command.argv
    assert command.package_manager
    assert command.network


def test_a_version_that_was_asked_for_may_be_older() -> None:
    assert "--allow-downgrades" in Apt().install(("dkms=1",)).argv
    assert "--allow-downgrades" not in Apt().install(("dkms",)).argv
    assert "--no-install-recommends" in Apt().simulate(("dkms",))
    reinstall = Apt().reinstall(("dkms",)).argv
    assert reinstall[-4:] == ("install", "--reinstall", "--no-install-recommends", "dkms")


def test_purge_hold_and_mend() -> None:
    assert Apt().remove(("a", "b")).argv[-3:] == ("purge", "a", "b")
    assert Apt().hold(("a",)).argv == ("apt-mark", "hold", "a")
    assert Apt().unhold(("a",)).argv == ("apt-mark", "unhold", "a")
    first, second = Apt().mend()
    assert first.argv[0] == "dpkg"
    assert first.argv[-2:] == ("--configure", "-a")
    assert second.argv[-1] == "--fix-broken"


def test_the_unmet_dependency_is_named_in_one_line() -> None:
    found = Apt().parse_simulation(100, BOOKWORM_CONFLICT)
    assert not found.ok
    assert found.error == (
        "nvidia-open-kernel-dkms needs firmware-nvidia-gsp (= 535.261.03) or "
        "firmware-nvidia-gsp-535.261.03"
    )


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("E: Unable to locate package nosuch\n", "Unable to locate package nosuch"),
        (
            "E: Version '9.9' for 'dkms' was not found\nE: Unable to correct problems, "
            "you have held broken packages.\n",
            "Version '9.9' for 'dkms' was not found",
        ),
        (
            "E: Unable to correct problems, you have held broken packages.\n",
            "Unable to correct problems, you have held broken packages.",
        ),
        (" a : Conflicts: b\nE: x broken packages\n", "a conflicts with b"),
    ],
)
def test_the_most_telling_line_is_chosen(output: str, error: str) -> None:
    assert first_error(output) == error


def test_a_failure_without_a_word_says_so() -> None:
    assert "status 100" in Apt().parse_simulation(100, "\x00\xff junk").error


def test_sizes() -> None:
    assert parse_sizes(SIZES) == (21_100_000, 66_800_000)
    assert parse_sizes(SIZES.replace("21.1 MB", "0 B/1,234 kB")) == (0, 66_800_000)
    freed = "After this operation, 10.0 kB disk space will be freed.\n"
    assert parse_sizes(freed) == (0, -10_000)
    assert parse_sizes("Abort.\n") == (None, None)
    apt_3 = "  Download size: 69.7 MB\n  Space needed: 270 MB / 15.1 GB available\n"
    assert parse_sizes(apt_3) == (69_700_000, 270_000_000)


@pytest.fixture
def archive(tmp_path: Path) -> list[str]:
    """A package archive of three empty packages and apt options that see nothing else."""
    assert shutil.which("apt-get"), "this test needs apt"
    repo = tmp_path / "repo"
    repo.mkdir()
    controls = {
        "driver": "Version: 550-1\nDepends: firmware (= 550-1) | firmware-550, support",
        "support": "Version: 550-1\nInstalled-Size: 2000",
        "module": "Version: 1:2-3\nDepends: support\nConflicts: rival",
        "rival": "Version: 1",
    }
    for name, control in controls.items():
        folder = tmp_path / name / "DEBIAN"
        folder.mkdir(parents=True)
        (folder / "control").write_text(
            f"Package: {name}\n{control}\nArchitecture: all\nMaintainer: T <t@example.org>\n"
            "Description: synthetic\n"
        )
        subprocess.run(["dpkg-deb", "-b", str(folder.parent), str(repo)], check=True)
    packages = [
        subprocess.run(
            ["dpkg-deb", "-f", str(deb)], check=True, capture_output=True, text=True
        ).stdout
        + f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
        for deb in sorted(repo.glob("*.deb"))
    ]
    (repo / "Packages").write_text("\n".join(packages))
    for name in ("lists/partial", "cache/archives/partial", "empty", "parts"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "status").write_text("")
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file://{repo} ./\n")
    options = [
        f"-oDir::State::status={tmp_path}/status",
        f"-oDir::State::lists={tmp_path}/lists",
        f"-oDir::Cache={tmp_path}/cache",
        f"-oDir::Etc::sourcelist={tmp_path}/sources.list",
        f"-oDir::Etc::sourceparts={tmp_path}/parts",
        f"-oDir::Etc::preferencesparts={tmp_path}/empty",
        "-oAPT::Sandbox::User=root",
        "-oDebug::NoLocking=1",
    ]
    ask(["apt-get", "update"], options)
    return options


def ask(argv: list[str] | tuple[str, ...], options: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        [argv[0], *options, *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.process
def test_real_apt_simulations(archive: list[str]) -> None:
    apt = Apt()
    good = apt.parse_simulation(*ask(apt.simulate(("module=1:2-3",)), archive))
    assert good.ok
    assert good.installs == (("support", "550-1"), ("module", "1:2-3"))

    broken = apt.parse_simulation(*ask(apt.simulate(("driver",)), archive))
    assert not broken.ok
    assert broken.error.startswith("driver needs firmware (= 550-1)")
    assert "firmware-550" in broken.error

    clash = apt.parse_simulation(*ask(apt.simulate(("module", "rival")), archive))
    assert not clash.ok
    assert "rival" in clash.error

    missing = apt.parse_simulation(*ask(apt.simulate(("nosuch",)), archive))
    assert missing.error == "Unable to locate package nosuch"


@pytest.mark.process
def test_real_apt_sizes(archive: list[str]) -> None:
    apt = Apt()
    download, installed = apt.parse_sizes(*ask(apt.sizes_argv(("module",)), archive))
    assert download is not None
    assert installed is not None
    assert 0 <= download < 10_000
    assert 2_000_000 <= installed < 2_200_000
