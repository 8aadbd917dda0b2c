"""Each way to break a simulated server: the engine's first plan mends it, and leaves nothing to plan.

Faults of the engine that this has found stand below, one test each.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.hosts.simulated import builders, faults
from gpu_bringup.hosts.simulated.machine import Machine
from simulated_tools import MENDABLE, look, reboot, recover, run, take
from simulated_tools import Broken as Made


def broken(name: str, **parameters: str) -> Machine:
    """A Debian 13 server with one fault."""
    machine = builders.build("debian13", **parameters)
    faults.breaks(machine, name)
    return machine


def steps_of(machine: Machine) -> list[str]:
    return [step.id for step in look(machine).plan.steps]


@pytest.mark.parametrize("name", MENDABLE)
def test_the_first_plan_mends_it(name: str) -> None:
    shape = {"gpu": "blackwell"} if name == "wrong-flavour" else {}
    made = Made("debian13", tuple(shape.items()), (name,))
    found = recover(made, made.make())
    assert found.steps, "the fault broke nothing"
    assert not found.wrong and not found.left


def test_a_healthy_server_has_nothing_to_plan() -> None:
    found = look(builders.build("debian13"))
    assert found.report.verdict == "healthy" and not found.plan.steps


def test_a_fresh_server_is_brought_up_by_one_plan() -> None:
    made = Made("debian13", (("driver", "none"), ("secure_boot", "on")), ())
    found = recover(made, made.make())
    assert "driver" in found.steps and "enrol-key" in found.steps and not found.wrong


def test_a_gpu_off_the_bus_is_left_to_hands() -> None:
    found = look(broken("xid-79"))
    assert not found.plan.steps and found.plan.blocked


@pytest.mark.parametrize("name", ["kernel-upgraded", "headers-removed", "wrong-flavour"])
def test_what_a_plan_installs_it_also_holds(name: str) -> None:
    shape = {"gpu": "blackwell"} if name == "wrong-flavour" else {}
    plan = look(broken(name, **shape)).plan
    ids = [step.id for step in plan.steps]
    brings = "driver" if name == "wrong-flavour" else "headers"
    assert ids.index(brings) < ids.index("hold-set")


def test_a_module_replaced_under_the_loaded_one_is_exchanged_in_the_same_plan() -> None:
    ids = steps_of(broken("module-older"))
    assert "driver" in ids and ids[-1] in ("reboot", "reload-modules")


def test_a_key_is_renewed_before_any_reading_of_the_indexes() -> None:
    machine = broken("key-missing")
    path = "/etc/apt/sources.list.d/debian.sources"
    machine.write(path, machine.text(path).replace(" contrib", ""))
    plan = look(machine).plan
    order = [step.id for step in plan.steps]
    assert order.index("renew-key-nvidia-cuda-debian13") < order.index("enable-components")
    assert take(machine, plan)[0] == "done"


def test_a_driver_that_does_not_compile_is_replaced_by_one_that_can_be_had() -> None:
    found = look(broken("driver-too-old"))
    assert found.context.target is not None
    assert found.context.target.driver.version == "580.178.04"
    first = next(step for step in found.plan.steps if step.id == "pin-branch")
    assert "does not compile" in first.why


def test_a_missing_compiler_is_no_fault_of_the_drivers_source() -> None:
    machine = broken("compiler-missing")
    faults.breaks(machine, "module-older")
    ids = steps_of(machine)
    assert "remove-failed-driver" not in ids and "compiler" in ids


def test_an_interrupted_installation_is_finished_in_its_own_version() -> None:
    machine = broken("dpkg-interrupted", driver="580.142")
    found = look(machine)
    assert found.context.target is not None
    assert found.context.target.driver.version == "580.142"
    assert "driver" not in [step.id for step in found.plan.steps]


def test_another_flavour_that_is_held_is_released_first() -> None:
    machine = broken("driver-too-old", flavour="proprietary")
    ids = steps_of(machine)
    assert ids.index("unhold-driver") < ids.index("driver")


def test_a_module_that_is_replaced_is_not_signed_again_first() -> None:
    machine = builders.build("debian13", driver="580.159.03")
    for name in ("series-mixed", "module-unsigned"):
        faults.breaks(machine, name)
    ids = steps_of(machine)
    assert "driver" in ids and not any(name.startswith("sign-module") for name in ids)


def test_the_persistence_daemon_is_enabled_for_the_boot_that_is_needed_anyway() -> None:
    machine = broken("persistenced-off")
    faults.breaks(machine, "nouveau-in-initramfs")
    plan = look(machine).plan
    step = next(step for step in plan.steps if step.id == "persistence")
    assert step.commands[0].argv == ("systemctl", "enable", "nvidia-persistenced.service")


def test_the_module_is_installed_again_in_its_own_version() -> None:
    machine = broken("source-removed", driver="580.142")
    plan = look(machine).plan
    argv = [word for step in plan.steps for command in step.commands for word in command.argv]
    assert "nvidia-kernel-open-dkms=580.142-*" in argv


# --- a full /boot


def test_kernels_that_neither_run_nor_boot_next_make_room() -> None:
    plan = look(broken("boot-full")).plan
    step = plan.steps[0]
    assert step.id == "remove-old-kernels" and step.risk
    names = [word for word in step.commands[0].argv if word.startswith("linux-")]
    assert names and all("6.12.107" in name for name in names)
    later = [word for other in plan.steps[1:] for c in other.commands for word in c.argv]
    assert not any("6.12.107" in word for word in later), "nothing is built for what goes"


def test_no_kernel_goes_where_each_is_needed() -> None:
    machine = builders.build("debian13")
    faults.breaks(machine, "boot-full", kernels="few")
    plan = look(machine).plan
    assert not plan.steps
    assert any("/boot is too full" in text for text in plan.blocked)


def test_the_only_kernel_with_a_module_stays() -> None:
    machine = broken("boot-full")
    faults.breaks(machine, "headers-removed")
    plan = look(machine).plan
    removed = [s for s in plan.steps if s.id == "remove-old-kernels"]
    assert not removed and plan.blocked


# --- the loop itself


def test_the_loop_sees_what_is_still_broken() -> None:
    machine = broken("module-unloaded")
    plan = look(machine).plan
    assert plan.steps
    take(machine, replace(plan, steps=()))
    assert look(machine).report.verdict == "broken"


def test_events_of_the_fault_itself_are_not_the_operators() -> None:
    machine = broken("kernel-upgraded")
    assert machine.events == ()
    reboot(machine)
    assert [event.kind for event in machine.events] == ["reboot"]


def test_commands_that_are_not_there_say_so() -> None:
    status, told = run(builders.build("debian13"), "frobnicate", "--now")
    assert status == 127 and "command not found" in told
