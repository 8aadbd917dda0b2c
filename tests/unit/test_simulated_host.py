"""The simulated machine behind the Host interface, and what it never does."""

from __future__ import annotations

import pytest

from gpu_bringup.engine import observe
from gpu_bringup.errors import HostError, InputError
from gpu_bringup.hosts.base import Exited, Host, Lines, Prompt
from gpu_bringup.hosts.simulated import builders, faults
from gpu_bringup.hosts.simulated.host import SimulatedHost
from gpu_bringup.model.gpu_facts import CudaFacts, NvmlFacts
from gpu_bringup.model.plan import Command
from gpu_bringup.model.unknown import Unknown
from simulated_tools import look, run


def test_it_is_a_host_and_says_that_it_is_training() -> None:
    host = SimulatedHost(builders.build("debian13"))
    assert isinstance(host, Host)
    assert host.kind == "simulated" and host.label.startswith("TRAINING")


def test_absent_is_known_to_be_absent() -> None:
    host = SimulatedHost(builders.build("debian13"))
    assert host.read_text("/nothing") is None and host.list_dir("/nothing") is None
    assert host.exists("/nothing") is False and host.read_link("/etc/os-release") is None
    assert host.resolve("/lib") == "/usr/lib"


@pytest.mark.parametrize(("gpus", "board"), [("1", "h100"), ("8", "h200"), ("2", "l4")])
def test_facts_are_those_of_the_machine(gpus: str, board: str) -> None:
    facts = observe(SimulatedHost(builders.build("debian13", gpus=gpus, gpu=board)))
    assert isinstance(facts.nvml, NvmlFacts) and isinstance(facts.cuda, CudaFacts)
    assert len(facts.nvml.gpus) == int(gpus) == facts.cuda.device_count
    assert facts.modules.loaded_version == "580.178.04"
    assert not isinstance(facts.kernels.installed, Unknown)
    assert facts.kernels.running == facts.kernels.installed[0].release


def test_a_snapshot_stays_as_it_was() -> None:
    machine = builders.build("debian13")
    before = machine.copy()
    run(machine, "apt-get", "-y", "purge", "--allow-change-held-packages", "nvidia-driver-cuda")
    run(machine, "rm", "-f", "/etc/os-release")
    assert "nvidia-driver-cuda" not in machine.packages.installed
    assert "nvidia-driver-cuda" in before.packages.installed
    assert before.text("/etc/os-release") and look(before).report.verdict == "healthy"


def test_the_builder_gives_each_caller_a_machine_of_his_own() -> None:
    first, second = builders.build("debian13"), builders.build("debian13")
    first.write("/etc/hostname", "mine\n")
    assert second.text("/etc/hostname") == ""


def test_time_passes_by_the_machines_clock_only() -> None:
    machine = builders.build("debian13")
    before = machine.clock
    status, _ = run(machine, "dkms", "build", "nvidia/580.178.04", "--force")
    assert status == 0 and machine.clock - before >= 180


def test_a_prompt_waits_for_its_answer_and_an_interrupt_ends_it() -> None:
    session = SimulatedHost(builders.build("debian13")).open(
        Command(("apt-get", "install", "nvidia-fabricmanager"))
    )
    seen = []
    for event in session:
        seen.append(event)
        if isinstance(event, Prompt):
            session.interrupt()
    assert isinstance(seen[0], Lines) and isinstance(seen[-1], Exited)
    assert seen[-1].status != 0 and any(isinstance(event, Prompt) for event in seen)


def test_a_full_disk_takes_no_file() -> None:
    machine = builders.build("debian13")
    machine.filler["/"] = machine.spaces["/"]
    with pytest.raises(HostError):
        SimulatedHost(machine).write_file("/etc/modprobe.d/x.conf", "blacklist x\n", 0o644)


def test_removing_everything_is_noticed_and_not_done() -> None:
    machine = builders.build("debian13")
    status, told = run(machine, "rm", "-rf", "/")
    assert status == 1 and "dangerous" in told and machine.tree.exists("/etc/os-release")
    assert [event.kind for event in machine.events] == ["destroyed"]


@pytest.mark.parametrize(
    "parameters", [{"gpu": "voodoo"}, {"gpus": "0"}, {"secure_boot": "perhaps"}, {"colour": "red"}]
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(parameters))):
        builders.build("debian13", **parameters)


def test_an_unknown_builder_or_fault_names_those_that_there_are() -> None:
    with pytest.raises(InputError, match="debian13"):
        builders.build("amiga")
    with pytest.raises(InputError, match="headers-removed"):
        faults.breaks(builders.build("debian13"), "gremlins")
    with pytest.raises(InputError, match="free_mb"):
        faults.breaks(builders.build("debian13"), "boot-full", size="1")
