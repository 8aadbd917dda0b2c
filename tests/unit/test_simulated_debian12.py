"""A simulated Debian 12: made from nothing, and broken in every way that can happen to it."""

from __future__ import annotations

import pytest

import simulated_tools
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated import builders
from gpu_bringup.hosts.simulated.faults import FAULTS

HANDS = ("xid-79",)
"""Needs somebody at the server."""


def test_a_fresh_server_is_brought_up_by_one_plan() -> None:
    made = simulated_tools.Broken("debian12", (("driver", "none"),), ())
    recovery = simulated_tools.recover(made, made.make())
    assert recovery.wrong == ""
    assert "reboot" in recovery.steps
    assert "build-module-6.1.0-50-amd64" in recovery.steps


def test_its_modules_are_not_compressed() -> None:
    machine = builders.build("debian12")
    status, output = simulated_tools.run(machine, "modinfo", "-F", "filename", "nvidia")
    assert status == 0
    assert output == "/lib/modules/6.1.0-50-amd64/updates/dkms/nvidia.ko\n"


@pytest.mark.parametrize(("headers", "status"), [("there", 0), ("removed", 1)])
def test_dkms_answers_as_release_3_0_10(headers: str, status: int) -> None:
    machine = builders.build("debian12")
    release = machine.running_kernel
    if headers == "removed":
        machine.tree.remove(f"/usr/src/linux-headers-{release}")
    assert simulated_tools.run(machine, "dkms", "--version") == (0, "dkms-3.0.10\n")
    argv = ("dkms", "build", "nvidia/580.178.04", "-k", release, "--force")
    assert simulated_tools.run(machine, *argv)[0] == status


@pytest.mark.parametrize("name", sorted(set(FAULTS) - set(HANDS)))
def test_every_fault_ends_in_a_healthy_ladder_and_an_empty_plan(name: str) -> None:
    tried = []
    for parameters in ((), (("secure_boot", "on"),), (("gpu", "blackwell"),)):
        made = simulated_tools.Broken("debian12", parameters, (name,))
        try:
            machine = made.make()
        except InputError as error:
            tried.append(str(error))
            continue
        recovery = simulated_tools.recover(made, machine)
        assert recovery.wrong == "", str(made)
        return
    # It can't happen to this server: each refusal says why.
    assert all(tried)
