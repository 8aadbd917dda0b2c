"""A boot on trial: the plan and its words, and the judging script itself with GRUB's own tool."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.model.enums import BootLoader
from gpu_bringup.model.plan import Plan
from gpu_bringup.recover.boot_trial import FOLDER, SCRIPT, UNIT_PATH, Wish, on_trial, trial
from gpu_bringup.resources import data_folder
from unit import make_facts as make
from unit.test_recover import NEW, entries


def prepared(**kernel_facts):
    """The old kernel runs with its driver; a new one is installed and is the default."""
    facts = make.healthy()
    old = replace(make.make_kernel(), default=False)
    new = replace(make.make_kernel(NEW, running=False), default=True)
    kernels = replace(
        facts.kernels,
        installed=(new, old),
        boot_loader=BootLoader.GRUB,
        boot_entries=entries(),
        boot_folder="/boot/grub",
        default_saved=False,
        default_entry="0",
        boots_once=True,
    )
    return make.context(replace(facts, kernels=replace(kernels, **kernel_facts)))


def argvs(steps):
    return [command.argv for step in steps for command in step.commands]


def text_of(steps, name):
    return next(w.content for step in steps for w in step.writes if w.path.endswith(name))


def test_the_old_kernel_becomes_the_default_before_the_new_one_is_chosen_once():
    found = trial(prepared(), NEW, Wish())
    commands = argvs(found.steps)
    assert commands[-3:] == [
        ("update-grub",),
        ("grub-set-default", entries()[1].id),
        ("grub-reboot", entries()[0].id),
    ]
    assert found.steps[-1].reboot
    settings = text_of(found.steps, "/settings")
    assert f"NEW={NEW}\n" in settings and f"OLD={make.KERNEL}\n" in settings
    assert "SECONDS_LEFT=600" in settings and "GPUS=1" in settings and "UNDO=0" in settings
    # Once it has passed, the menu's own order starts it again, and later kernels too.
    permanent = text_of(found.steps, "/permanent")
    assert permanent.splitlines()[2:] == [
        "rm -f /etc/default/grub.d/zz-gpu-bringup.cfg",
        "grub-editenv /boot/grub/grubenv unset saved_entry",
        "update-grub",
    ]


def test_where_the_default_is_saved_the_new_kernel_is_saved_once_it_has_passed():
    ctx = prepared(default_saved=True, default_entry="gnulinux-old")
    found = trial(ctx, NEW, Wish())
    assert text_of(found.steps, "/permanent").splitlines()[2:] == [
        f"grub-set-default '{entries()[0].id}'"
    ]
    undo = [command.argv for command in found.steps[0].undo]
    assert ("grub-set-default", "gnulinux-old") in undo


def test_systemd_boot_and_bls_have_their_own_tools():
    found = trial(prepared(boot_loader=BootLoader.SYSTEMD_BOOT), NEW, Wish())
    verbs = [argv[1] for argv in argvs(found.steps) if argv[0] == "bootctl"]
    assert verbs == ["set-default", "set-oneshot"]
    ctx = prepared(boot_loader=BootLoader.BLS, boot_folder="/boot/grub2")
    found = trial(ctx, NEW, Wish())
    programs = [argv[0] for argv in argvs(found.steps)]
    assert programs[-2:] == ["grubby", "grub2-reboot"]
    assert "grubby --set-default" in text_of(found.steps, "/permanent")


@pytest.mark.parametrize(
    ("facts", "release"),
    [({"boot_loader": BootLoader.NONE}, NEW), ({}, make.KERNEL), ({"boot_entries": ()}, NEW)],
)
def test_where_it_cannot_be_it_says_why(facts, release):
    found = trial(prepared(**facts), release, Wish())
    assert found.why_not and not found.steps


def test_the_operator_reads_what_happens_when():
    words = trial(prepared(), NEW, Wish(minutes=7)).words
    assert "At your reboot" in words[0] and "Within 7 minutes" in words[1]
    assert make.KERNEL in words[2] and "power cycle" in words[3]
    told = trial(prepared(), NEW, Wish(), undo=True).words
    assert "taken back" in told[2]


def test_a_plan_on_trial_keeps_its_steps_and_takes_packages_back():
    installing = make.context(make.healthy())
    before = Plan({}, trial(prepared(), NEW, Wish()).steps[:1])
    changed, found = on_trial(before, installing, make.KERNEL, Wish())
    assert not found.why_not, "the running kernel with a new driver can be tried as well"
    assert changed.steps[0] is before.steps[0] and changed.steps[-1].reboot
    assert "UNDO=1" in text_of(changed.steps[1:], "/settings")
    unit = text_of(found.steps, UNIT_PATH)
    assert "FailureAction=reboot" in unit and f"ExecStart=/bin/sh {SCRIPT} check" in unit


def test_after_an_undo_the_old_kernel_is_chosen_again():
    found = trial(prepared(), NEW, Wish(), undo=True)
    pin = text_of(found.steps, "/pin")
    assert "GRUB_DEFAULT=saved" in pin and pin.index("printf") < pin.index("update-grub")
    assert pin.splitlines()[-1] == f"grub-set-default '{entries()[1].id}'"
    assert not [w for w in trial(prepared(), NEW, Wish()).steps[0].writes if "/pin" in w.path]


def test_checks_with_odd_characters_stay_data():
    wish = Wish(checks=("test -f '/tmp/a b'; true", "$(false)"))
    found = trial(prepared(), NEW, wish)
    assert text_of(found.steps, "/checks") == "test -f '/tmp/a b'; true\n$(false)\n"


# --- the script, for real


class Machine:
    """A root folder with a trial in it, and programs that answer as told."""

    def __init__(self, top: Path) -> None:
        self.top, self.bin = top, top / "bin"
        self.folder = top / FOLDER.lstrip("/")
        self.folder.mkdir(parents=True)
        self.bin.mkdir()
        (top / "boot/grub").mkdir(parents=True)
        self.unit = top / UNIT_PATH.lstrip("/")
        self.unit.parent.mkdir(parents=True)
        self.unit.write_text("x")
        self.env = top / "boot/grub/grubenv"
        editenv = shutil.which("grub-editenv", path="/usr/sbin:/usr/bin")
        assert editenv is not None, "grub-common is needed (scripts/test installs it)"
        subprocess.run([editenv, self.env, "create"], check=True)
        subprocess.run([editenv, self.env, "set", "saved_entry=old", "next_entry=new"], check=True)
        self.program("systemctl", f"echo \"$*\" >>'{top}/systemctl'")
        self.program("modprobe", "echo 'modprobe: ERROR: could not insert: No such device'; exit 1")
        self.settings()
        self.file("permanent", f"grub-editenv '{self.env}' set saved_entry=new")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def file(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text + "\n")

    def settings(self, gpus: int = 0, undo: int = 0) -> None:
        self.file("settings", f"NEW=new\nOLD=old\nSECONDS_LEFT=0\nGPUS={gpus}\nUNDO={undo}")

    def run(self, verb: str = "check", running: str = "new") -> int:
        script = data_folder("scripts").joinpath("boot-trial.sh")
        return subprocess.run(
            ["sh", str(script), verb],
            env={
                "GPU_BRINGUP_ROOT": str(self.top),
                "GPU_BRINGUP_BIN": str(self.bin),
                "GPU_BRINGUP_RUNNING": running,
                "GPU_BRINGUP_PAUSE": "0",
                "GPU_BRINGUP_REBOOT": f"touch {self.top}/rebooted",
            },
            check=False,
            timeout=60,
        ).returncode

    @property
    def environment(self) -> str:
        return self.env.read_text().rstrip("#")

    @property
    def state(self) -> str:
        path = self.folder / "result"
        return path.read_text().splitlines()[0] if path.exists() else "waiting"

    @property
    def rebooted(self) -> bool:
        return (self.top / "rebooted").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.process
def test_passed_makes_it_the_default_and_goes(machine):
    assert machine.run() == 0
    assert machine.state == "passed" and not machine.rebooted
    assert "saved_entry=new" in machine.environment and "next_entry" not in machine.environment
    assert not machine.unit.exists()
    assert "disable" in (machine.top / "systemctl").read_text()


@pytest.mark.process
@pytest.mark.parametrize(
    "said", ["Key was rejected by service", "Module nvidia not found", "Exec format error"]
)
def test_failed_reboots_into_the_old_kernel_which_ends_the_trial(machine, said):
    machine.program("modprobe", f"echo 'modprobe: {said}'; exit 1")
    assert machine.run() == 1, "FailureAction of the unit sees it"
    assert machine.rebooted and machine.state == "waiting"
    assert "saved_entry=old" in machine.environment and "next_entry" not in machine.environment
    assert machine.run(running="old") == 0
    assert machine.state == "failed" and not machine.unit.exists()
    assert "saved_entry=old" in machine.environment
    assert said in (machine.folder / "log").read_text()


@pytest.mark.process
def test_never_came_up(machine):
    assert machine.run(running="old") == 0
    assert machine.state == "failed" and not machine.rebooted
    assert "never came up" in (machine.folder / "result").read_text()


@pytest.mark.process
def test_no_second_reboot_where_the_one_shot_choice_stuck(machine):
    machine.program("modprobe", "exit 1")
    assert machine.run() == 1
    (machine.top / "rebooted").unlink()
    assert machine.run() == 0
    assert machine.state == "failed" and not machine.rebooted


@pytest.mark.process
@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("echo 'GPU 0: H200'; echo 'GPU 1: H200'", True),
        ("echo 'GPU 0: H200'", False),
        ("echo 'No devices were found'; exit 6", False),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", False),
    ],
)
def test_every_gpu_must_answer(machine, answer, passes):
    machine.settings(gpus=2)
    machine.program("nvidia-smi", answer)
    assert machine.run() == (0 if passes else 1)
    assert machine.state == ("passed" if passes else "waiting")


@pytest.mark.process
def test_given_checks_must_succeed(machine):
    machine.file("checks", "# a comment\ntrue\ntest -e /nowhere && echo yes")
    assert machine.run() == 1
    assert "test -e /nowhere" in (machine.folder / "log").read_text()


@pytest.mark.process
def test_a_failed_driver_is_taken_back_before_the_reboot(machine):
    machine.settings(undo=1)
    machine.program("modprobe", "exit 1")
    run = machine.top / "var/lib/gpu-bringup/runs/20261122-000000-aaaa"
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text('{"event":"step-started","step":"boot-trial"}\n')
    (run / "undo.sh").write_text(
        f"echo \"$1 $GPU_BRINGUP_IN_TRIAL\" >'{machine.top}/undone'; rm '{machine.folder}/pin'\n"
    )
    machine.file("pin", f"test -e '{machine.top}/undone' && touch '{machine.top}/pinned'")
    assert machine.run() == 1
    assert (machine.top / "undone").read_text() == "--yes 1\n"
    assert machine.state == "failed" and machine.rebooted
    assert (machine.top / "pinned").exists(), "undo took the choice of the old kernel back as well"
    assert "was taken back" in (machine.folder / "result").read_text()


@pytest.mark.process
@pytest.mark.parametrize(("running", "tried"), [("old", True), ("old", False), ("new", True)])
def test_the_next_boot_takes_back_what_is_still_installed(machine, running, tried):
    machine.settings(undo=1)
    run = machine.top / "var/lib/gpu-bringup/runs/20261122-000000-aaaa"
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text('{"event":"step-started","step":"boot-trial"}\n')
    motd = machine.top / "etc/motd.d/gpu-bringup-boot-trial"
    (run / "undo.sh").write_text(f"cp '{motd}' '{machine.top}/said'\n")
    if tried:
        machine.file("tried", "")
    assert machine.run(running=running) == 0
    assert "sudo gpu-bringup undo" in (machine.top / "said").read_text(), "said before it begins"
    assert not motd.exists() and not machine.rebooted
    result = (machine.folder / "result").read_text()
    assert machine.state == "failed" and "was taken back" in result
    assert ("never came up" in result) is not tried


@pytest.mark.process
@pytest.mark.parametrize("attempts", ["undo", "undo\nundo"])
def test_what_cannot_be_taken_back_is_said_at_login(machine, attempts):
    machine.settings(undo=1)
    machine.file("attempts", attempts)
    run = machine.top / "var/lib/gpu-bringup/runs/20261122-000000-aaaa"
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text('{"event":"step-started","step":"boot-trial"}\n')
    (run / "undo.sh").write_text(f"touch '{machine.top}/begun'; exit 1\n")
    assert machine.run(running="old") == 0
    assert (machine.top / "begun").exists() is (attempts == "undo"), "twice at the most"
    motd = machine.top / "etc/motd.d/gpu-bringup-boot-trial"
    assert "the new driver is still installed: sudo gpu-bringup undo" in motd.read_text()
    assert "gpu-bringup undo" in (machine.folder / "result").read_text()


@pytest.mark.process
def test_what_cannot_be_made_permanent_does_not_stay(machine):
    machine.file("permanent", "exit 3")
    assert machine.run() == 0
    assert machine.state == "failed" and "saved_entry=old" in machine.environment


@pytest.mark.process
def test_called_off(machine):
    machine.file("back", f"grub-editenv '{machine.env}' unset next_entry")
    assert machine.run("cancel", running="old") == 0
    assert machine.state == "cancelled" and "next_entry" not in machine.environment
    assert machine.run("check") == 0, "and is not judged any more"
    assert machine.run("status") == 0


@pytest.mark.process
def test_no_trial_no_judgement(tmp_path):
    script = data_folder("scripts").joinpath("boot-trial.sh")
    done = subprocess.run(
        ["sh", str(script), "check"], env={"GPU_BRINGUP_ROOT": str(tmp_path)}, check=False
    )
    assert done.returncode == 2
