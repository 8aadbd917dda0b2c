"""dkms, the modules and the initramfs of a simulated machine."""

from __future__ import annotations

from dataclasses import replace

from gpu_bringup.facts import dkms as dkms_facts
from gpu_bringup.hosts.simulated import builders, dkms_tree
from gpu_bringup.hosts.simulated.host import SimulatedHost
from simulated_tools import run

KERNEL = "6.12.107+deb13-amd64"


def test_what_dkms_has_built_is_read_from_its_tree() -> None:
    machine = builders.build("debian13")
    builds = dkms_facts.observe(SimulatedHost(machine))
    assert isinstance(builds, tuple)
    assert [(b.module, b.version, b.kernel, b.state) for b in builds] == [
        ("nvidia", "580.178.04", KERNEL, "installed")
    ]
    assert "installed" in run(machine, "dkms", "status")[1]


def test_a_failing_build_leaves_its_log_and_no_module() -> None:
    machine = builders.build("debian13")
    error = "nv.c:36:12: error: implicit declaration of function 'follow_pfn'"
    machine.builds = (("580", "6.12", error),)
    assert run(machine, "dkms", "unbuild", "nvidia/580.178.04", "-k", KERNEL)[0] == 0
    assert run(machine, "dkms", "build", "nvidia/580.178.04", "-k", KERNEL)[0] == 10
    builds = dkms_facts.observe(SimulatedHost(machine))
    assert isinstance(builds, tuple)
    assert [(b.state, b.first_error) for b in builds] == [("failed", error)]


def test_without_headers_nothing_is_built() -> None:
    machine = builders.build("debian13")
    machine.tree.remove(f"/usr/src/linux-headers-{KERNEL}")
    status, told = run(machine, "dkms", "autoinstall", "-k", KERNEL)
    assert status == 21 and "kernel headers" in told


def test_a_full_disk_fails_a_build() -> None:
    machine = builders.build("debian13")
    machine.filler["/"] = machine.spaces["/"]
    status, _ = run(machine, "dkms", "build", "nvidia/580.178.04", "-k", KERNEL, "--force")
    assert status == 10


def test_secure_boot_refuses_a_key_that_is_not_enrolled() -> None:
    machine = builders.build("debian13", secure_boot="on")
    assert run(machine, "rmmod", "nvidia_modeset")[0] == 0
    machine.firmware.enrolled = ()
    status, told = run(machine, "modprobe", "nvidia-modeset")
    assert status == 1 and "Key was rejected by service" in told
    assert "unavailable key" in machine.log[-1]


def test_a_module_in_use_stays() -> None:
    machine = builders.build("debian13")
    status, told = run(machine, "rmmod", "nvidia")
    assert status == 1 and "in use" in told and "nvidia" in machine.loaded


def test_another_kernels_module_is_no_module_for_this_one() -> None:
    machine = builders.build("debian13")
    machine.running_kernel = "6.12.117+deb13-amd64"
    machine.loaded = {}
    status, told = run(machine, "modprobe", "nvidia")
    assert status == 1 and "not found" in told


def test_modinfo_says_what_the_build_gave() -> None:
    machine = builders.build("debian13")
    assert run(machine, "modinfo", "-F", "version", "nvidia") == (0, "580.178.04\n")
    assert run(machine, "modinfo", "-F", "license", "nvidia") == (0, "Dual MIT/GPL\n")


def test_the_key_is_made_once() -> None:
    machine = builders.build("debian13")
    before = dkms_tree.signing_key(machine)
    assert before is not None and dkms_tree.make_key(machine) == []
    assert dkms_tree.signing_key(machine) == before


def test_a_gpu_that_the_branch_does_not_know_has_no_driver() -> None:
    machine = builders.build("debian13")
    machine.gpus = tuple(replace(gpu, first_driver=610) for gpu in machine.gpus)
    machine.loaded = {}
    status, told = run(machine, "modprobe", "nvidia")
    assert status == 1 and "No such device" in told
    assert any("not supported" in line for line in machine.log)
