"""What ``plan`` says besides its steps: a fabric that nobody looked for, no kernel, another source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpu_bringup.engine import load_catalogue
from unit.plan_goldens import PlanCase, make

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue


NOBLE = "6.8.0-87-generic"
BOOKWORM = "6.1.0-50-amd64"
EL9 = "5.14.0-687.51.1.el9_8.x86_64"
CASES = (
    PlanCase("debian:12", BOOKWORM, ("H100",)),
    PlanCase("ubuntu:24.04", NOBLE, ("H100",)),
    PlanCase("rhel:9", EL9, ("H100",)),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize(
    ("case", "command"),
    [
        (CASES[0], "apt-get install 'nvidia-fabricmanager=580.178.04-*'; "),
        (CASES[1], "apt-get install nvidia-fabricmanager-580; "),
        (CASES[2], "dnf install nvidia-fabricmanager-580.178.04 libnvidia-nscq-580.178.04 "),
    ],
    ids=lambda item: item.name if isinstance(item, PlanCase) else "",
)
def test_a_board_that_may_sit_on_nvswitches_is_told_of_fabric_manager(
    case: PlanCase, command: str, catalogue: Catalogue
) -> None:
    plan, _ = make(case, catalogue)
    assert plan.steps
    (words,) = [text for text in plan.blocked if "Fabric Manager" in text]
    assert command in words
    assert "systemctl enable --now nvidia-fabricmanager.service" in words


@pytest.mark.parametrize("gpus", [("L4",), ("H100",) * 8])
def test_no_word_where_it_is_known(gpus: tuple[str, ...], catalogue: Catalogue) -> None:
    plan, _ = make(PlanCase("debian:12", BOOKWORM, gpus), catalogue)
    assert not any("Fabric Manager" in text for text in plan.blocked)


def test_ready_made_modules_need_a_kernel_by_name(catalogue: Catalogue) -> None:
    plan, _ = make(PlanCase("ubuntu:24.04", "", ("L4",)), catalogue)
    assert not plan.steps
    assert any("--kernel RELEASE" in text for text in plan.blocked)


def test_a_source_that_cannot_serve_is_named_with_the_way_out(catalogue: Catalogue) -> None:
    case = PlanCase("ubuntu:24.04", NOBLE, ("B200",) * 8, None, "distribution", "new-hardware")
    plan, _ = make(case, catalogue)
    assert not plan.steps
    assert any("has no NVLSM" in text for text in plan.blocked)
    assert plan.blocked[-1].startswith("Leave --source distribution out")


def test_a_better_branch_behind_an_unknown_key_is_told_with_the_way_to_it(
    catalogue: Catalogue,
) -> None:
    _, notes = make(PlanCase("almalinux:10", "6.12.0-211.51.1.el10_2.x86_64", ("L4",)), catalogue)
    (words,) = [note for note in notes if "CDF6BA43.pub" in note]
    assert "R580, supported until June 2028" in words
    assert '"nvidia-cuda-rhel10" in /etc/gpu-bringup/profiles' in words


def test_ubuntus_own_daemon_is_told_to_keep_persistence_mode_on(catalogue: Catalogue) -> None:
    plan, _ = make(CASES[1], catalogue)
    step = next(item for item in plan.steps if item.id == "persistence")
    (drop_in,) = step.writes
    assert drop_in.path == "/etc/systemd/system/nvidia-persistenced.service.d/gpu-bringup.conf"
    assert "--no-persistence-mode" not in drop_in.content.split("[Unit]")[1]
    assert "ExecStart=\nExecStart=/usr/bin/nvidia-persistenced --user" in drop_in.content
    undone = [command.argv for command in step.undo]
    assert undone[1:] == [("rm", "-f", drop_in.path), ("systemctl", "daemon-reload")]
    assert undone[0][:2] == ("systemctl", "disable")


@pytest.mark.parametrize("case", CASES[:1], ids=lambda case: case.name)
def test_nvidias_repository_is_asked_for_one_version(case: PlanCase, catalogue: Catalogue) -> None:
    plan, _ = make(case, catalogue)
    (driver,) = [step for step in plan.steps if step.id == "driver"]
    names = [word for word in driver.commands[0].argv if "nvidia" in word]
    assert names
    assert all(name.endswith("=580.178.04-*") for name in names)
    (pin,) = [step for step in plan.steps if step.id == "pin-branch"]
    assert "Pin: version 580.178.04-*\n" in pin.writes[0].content
