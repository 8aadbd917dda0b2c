"""apt-get, dpkg and apt-mark of a simulated machine: what they refuse, change and say."""

from __future__ import annotations

import pytest

from gpu_bringup.hosts.simulated import builders, faults
from gpu_bringup.hosts.simulated.machine import Machine
from simulated_tools import run


@pytest.fixture
def server() -> Machine:
    return builders.build("debian13")


def version(machine: Machine, name: str) -> str:
    return machine.packages.installed[name].offer.version


def test_a_simulation_changes_nothing(server: Machine) -> None:
    before = dict(server.packages.installed)
    status, told = run(server, "apt-get", "-s", "install", "nvidia-fabricmanager")
    assert status == 0 and "Inst nvidia-fabricmanager (580.178.04-1" in told
    assert server.packages.installed == before


def test_held_packages_are_not_changed(server: Machine) -> None:
    status, told = run(
        server, "apt-get", "-y", "install", "--allow-downgrades", "nvidia-driver-cuda=580.142-*"
    )
    assert status == 100 and "Held packages were changed" in told
    assert version(server, "nvidia-driver-cuda") == "580.178.04-1"


def test_a_dependency_gets_the_version_that_was_asked_for(server: Machine) -> None:
    names = ("nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced")
    run(server, "apt-mark", "unhold", *names)
    asked = (*names, "libcuda1", "libnvidia-ml1", "firmware-nvidia-gsp", "nvidia-modprobe")
    words = [f"{name}=580.142-*" for name in asked]
    assert run(server, "apt-get", "-y", "install", "--allow-downgrades", *words)[0] == 0
    assert {version(server, name) for name in asked} == {"580.142-1"}


def test_an_older_version_must_be_allowed(server: Machine) -> None:
    run(server, "apt-mark", "unhold", "nvidia-persistenced")
    status, told = run(server, "apt-get", "-y", "install", "nvidia-persistenced=580.142-1")
    assert status == 100 and "DOWNGRADED" in told


def test_an_interrupted_dpkg_stops_everything_until_it_is_finished(server: Machine) -> None:
    faults.breaks(server, "dpkg-interrupted")
    status, told = run(server, "apt-get", "-y", "install", "curl")
    assert status == 100 and "dpkg --configure -a" in told
    assert run(server, "dpkg", "--configure", "-a")[0] == 0
    assert run(server, "apt-get", "-y", "install", "curl")[0] == 0


def test_a_repository_without_its_key_is_refused(server: Machine) -> None:
    faults.breaks(server, "key-missing")
    status, told = run(server, "apt-get", "update")
    assert status == 100 and "NO_PUBKEY" in told and "is not signed" in told


def test_unknown_names_and_actions_say_so(server: Machine) -> None:
    assert run(server, "apt-get", "-y", "install", "no-such-package") == (
        100,
        "Reading package lists... Done\nBuilding dependency tree... Done\n"
        "Reading state information... Done\nE: Unable to locate package no-such-package\n",
    )
    assert run(server, "apt-get", "frobnicate")[0] == 100


def test_without_network_nothing_is_fetched(server: Machine) -> None:
    server.network = False
    status, told = run(server, "apt-get", "-y", "install", "nvidia-fabricmanager")
    assert status == 100 and "Temporary failure resolving" in told


def test_a_disk_that_is_full_stops_unpacking(server: Machine) -> None:
    server.filler["/"] = server.spaces["/"]
    status, told = run(server, "apt-get", "-y", "install", "nvidia-fabricmanager")
    assert status == 100 and "No space left on device" in told


def test_holds_are_shown_set_and_lifted(server: Machine) -> None:
    assert "nvidia-driver-cuda" in run(server, "apt-mark", "showhold")[1].split()
    assert run(server, "apt-mark", "unhold", "nvidia-driver-cuda")[0] == 0
    assert "nvidia-driver-cuda" not in run(server, "apt-mark", "showhold")[1].split()


def test_reinstalling_a_held_package_in_its_version_is_no_change_of_it(server: Machine) -> None:
    server.tree.remove("/usr/src/nvidia-580.178.04")
    argv = ("apt-get", "-y", "install", "--reinstall", "nvidia-kernel-open-dkms=580.178.04-*")
    assert run(server, *argv)[0] == 0
    assert server.tree.exists("/usr/src/nvidia-580.178.04/dkms.conf")


def test_ldconfig_leads_each_name_to_the_newest_file(server: Machine) -> None:
    folder = "/usr/lib/x86_64-linux-gnu"
    server.tree.write(f"{folder}/libcuda.so.570.133.20", "")
    server.tree.link(f"{folder}/libcuda.so.1", "libcuda.so.570.133.20")
    assert run(server, "ldconfig")[0] == 0
    assert server.tree.resolve(f"{folder}/libcuda.so.1") == f"{folder}/libcuda.so.580.178.04"
    assert "libcuda.so.1 (libc6,x86-64)" in run(server, "ldconfig", "-p")[1]
