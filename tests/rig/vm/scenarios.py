"""The stories that are played on the machines, and the states that they leave for others."""

from __future__ import annotations

import json
import time

import mokmanager
from console import Missed
from machine import Machine
from person import MOK_PASSWORD, RUN_SECONDS, TOOL, Wizard, log_in

from rig import Rig, Scenario

WISH = "--gpu H200 --source nvidia-repository"
MODULES = ("nvidia", "nvidia-modeset", "nvidia-drm", "nvidia-uvm", "nvidia-peermem")


def check(machine: Machine) -> dict[str, object]:
    """What ``gpu-bringup check`` says now."""
    answer = machine.run(f"{TOOL} check {WISH} --json 2>/dev/null", seconds=300)
    return json.loads(answer.output)


def root_cause(machine: Machine) -> str:
    """The id of the cause that ``check`` names; "": none."""
    found = check(machine)["root_cause"]
    return str(found["cause"]) if isinstance(found, dict) else ""


def module(machine: Machine, name: str = "nvidia", kernel: str = "$(uname -r)") -> str:
    """The file of a module on disk."""
    return machine.must(f"ls /lib/modules/{kernel}/updates/dkms/{name}.ko*")


def load(machine: Machine) -> str:
    """What modprobe says of the module: "accepted", or its words."""
    said = machine.run("dmesg -C; modprobe nvidia; dmesg", seconds=120).output
    if "No such device" in said and "rejected" not in said and "No NVIDIA GPU found" in said:
        return "accepted"
    return said.strip()


def demand(true: object, words: str) -> None:
    """End the scenario with these words unless it is so."""
    if not true:
        raise Missed(words)


def all_signed(machine: Machine, kernel: str = "$(uname -r)") -> None:
    """All five modules bear the signature of this host's own key."""
    for name in MODULES:
        signer = machine.must(f"modinfo -F signer -k {kernel} {module(machine, name, kernel)}")
        demand(signer == "DKMS module signing key", f"{name} is signed by {signer!r}")
    demand(machine.must("stat -c %a /var/lib/dkms/mok.key") == "600", "the private key is readable")


def end_state(machine: Machine) -> dict[str, str]:
    """What must be the same whatever disturbed the run."""
    return {
        "packages": machine.must(
            "dpkg-query -W -f '${db:Status-Abbrev}${Package}=${Version}\\n' | sort"
        ),
        "held": machine.must("apt-mark showhold"),
        "dkms": machine.must("dkms status"),
        "modules": machine.must("cd /lib/modules && find . -path '*updates*' -type f | sort"),
        "etc": machine.must("cd /etc && find . -name '*gpu-bringup*' | sort"),
        "audit": machine.must("dpkg --audit"),
    }


# --- the core path -----------------------------------------------------------------------------


def core(rig: Rig, machine: Machine) -> str:
    """From a fresh server to an accepted module, by the wizard on the serial console at 80x24."""
    console = machine.console
    log_in(console, rig.password)
    wizard = Wizard(console, rig.password)
    wizard.start()
    wizard.see(r"Not set up yet|not yet", "look")
    request(wizard)
    wizard.leave()
    (rig.run_folder("core") / "end-state.json").write_text(json.dumps(end_state(machine)), "utf-8")
    all_signed(machine)
    said = load(machine)
    demand("Key was rejected by service" in said, f"before enrolment: {said}")
    console.send("sudo systemctl reboot\r")
    enrolled(rig, machine)
    log_in(console, rig.password)
    wizard.start()
    proof(wizard)
    demand(load(machine) == "accepted", load(machine))
    return "driver proven, built, signed, enrolled, accepted"


def request(wizard: Wizard) -> None:
    """From the first look to the filed request, with all its pages."""
    raise Missed("not driven yet")


def proof(wizard: Wizard) -> None:
    """After the reboot."""
    raise Missed("not driven yet")


def enrolled(rig: Rig, machine: Machine) -> None:
    """Through MokManager's screens, to the next login; the kernel knows the key."""
    mokmanager.enrol(machine.console, MOK_PASSWORD)
    machine.forget_connection()
    machine.wait_for_login()
    said = machine.run("mokutil --test-key /var/lib/dkms/mok.pub").output
    demand("is already enrolled" in said, f"after MokManager: {said}")


# --- the same without a screen ---------------------------------------------------------------------


def apply_at_console(rig: Rig, machine: Machine, seconds: float = RUN_SECONDS) -> str:
    """``sudo gpu-bringup apply`` typed at the serial console, its prompts answered; its status."""
    console = machine.console
    console.send(f'clear; sudo {TOOL} apply {WISH} --yes; echo "status"=$?\r')
    end = time.monotonic() + seconds
    while True:
        seen = console.wait(
            r"password for operator: *$|input password: *$|input password again: *$|^status=\d+",
            end - time.monotonic(),
        )
        if seen.startswith("status="):
            console.picture("apply-ended")
            return seen.partition("=")[2]
        if "operator" in seen:
            console.send(rig.password + "\r")
        else:
            console.picture("apply-asks")
            console.send(MOK_PASSWORD + "\r")
        # What was answered must go before the next question is looked for.
        console.stream(r"[\r\n]", 60)
        console.send("")
        time.sleep(0.5)


def headless(rig: Rig, machine: Machine) -> str:
    """From a fresh server to an accepted module, by `apply` typed at the serial console."""
    console = machine.console
    log_in(console, rig.password)
    status = apply_at_console(rig, machine)
    demand(status == "3", f"apply ended with {status}, not with 3 (a reboot is needed)")
    all_signed(machine)
    said = load(machine)
    demand("Key was rejected by service" in said, f"before enrolment: {said}")
    state = end_state(machine)
    demand(not state["audit"], state["audit"])
    rig.remember("end-state", state)
    return "built, signed, request filed; refused before enrolment"


def enrol(rig: Rig, machine: Machine) -> str:
    """The filed request, confirmed in MokManager: the kernel accepts the module, `check` is content."""
    console = machine.console
    log_in(console, rig.password)
    console.send("sudo systemctl reboot\r")
    console.wait(r"password for operator", 60)
    console.send(rig.password + "\r")
    enrolled(rig, machine)
    demand(load(machine) == "accepted", load(machine))
    log_in(console, rig.password)
    status = apply_at_console(rig, machine)
    demand(status == "0", f"apply after the reboot ended with {status}, not with 0")
    cause = root_cause(machine)
    demand(not cause, f"check still names {cause}")
    return "enrolled, accepted, nothing left to do"


SCENARIOS: dict[str, Scenario] = {
    "headless": Scenario(headless, leaves="requested"),
    "enrol": Scenario(enrol, begins="requested", leaves="enrolled"),
    "core": Scenario(core),
}
MAKERS = {scenario.leaves: name for name, scenario in SCENARIOS.items() if scenario.leaves}
