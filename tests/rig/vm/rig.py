"""The machines of one Debian release and the states that scenarios begin with.

A state is a machine's memory, disk and variables at one moment. "booted" is made here; each other one
by the scenario that gets there. All are begun with from their copy, so that nothing is shared.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from console import Missed
from machine import Machine

TOP = Path(__file__).resolve().parents[3]
NAMES = {"bookworm": "12", "trixie": "13"}


@dataclass(frozen=True)
class Scenario:
    """One story.

    Attributes:
        run: plays it on a machine that goes on from ``begins``; returns what to say of it.
        begins: the state that it begins with.
        leaves: the state that the machine is in at its end, kept for others; "": none.
        compares: the state whose making leaves the result that this one is compared with; "": none.
    """

    run: Callable[[Rig, Machine], str]
    begins: str = "booted"
    leaves: str = ""
    compares: str = ""


@dataclass
class Rig:
    """One release's machines.

    Attributes:
        cache: folder with ``SUITE.qcow2``, the key, states and runs.
        suite: "bookworm" or "trixie".
        password: of the machine's users.
    """

    cache: Path
    suite: str
    password: str
    makers: dict[str, tuple[str, Scenario]] = field(default_factory=dict)

    @property
    def release(self) -> str:
        """ "12" or "13"."""
        return NAMES[self.suite]

    def run_folder(self, name: str) -> Path:
        """Where a scenario's machine, serial log and pictures are."""
        return self.cache / "run" / f"{self.suite}-{name}"

    def state_folder(self, state: str) -> Path:
        """Where a state is kept."""
        return self.cache / "states" / f"{self.suite}-{state}"

    def machine(self, name: str) -> Machine:
        """A machine of this release, not created yet."""
        return Machine(
            self.run_folder(name),
            self.cache / f"{self.suite}.qcow2",
            self.cache / "id",
            self.password,
        )

    def perform(self, name: str, scenario: Scenario) -> str:
        """Bring a machine into the scenario's first state, play it, keep its last; what to say of it.

        Raises:
            Missed: something did not come as it must.
        """
        for state in filter(None, (scenario.begins, scenario.compares)):
            self._provide(state)
        machine = self.resume(name, scenario.begins)
        try:
            outcome = scenario.run(self, machine)
            if scenario.leaves:
                self._keep(machine, scenario.leaves)
        finally:
            machine.cut_power()
            # Their logs and pictures stay; a disk for each scenario would fill the cache.
            for part in ("disk.qcow2", "variables.qcow2"):
                (machine.folder / part).unlink(missing_ok=True)
        self._evidence(name, machine.folder, outcome)
        return outcome

    def _evidence(self, name: str, folder: Path, outcome: str) -> None:
        """Keep pictures and logs of a scenario that ended well, until the next that does."""
        target = self.cache / f"evidence-{self.suite}-{name}"
        shutil.rmtree(target, ignore_errors=True)
        # Sockets of SSH and of QEMU's monitor can't be copied.
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("monitor", "ssh", "*.qcow2"))
        (target / "outcome.txt").write_text(outcome + "\n", "utf-8")

    def resume(self, name: str, state: str) -> Machine:
        """A machine that goes on from a state, with this checkout in it."""
        machine = self.machine(name)
        machine.create_from(self.state_folder(state))
        machine.patience = self._patience()
        machine.start(state=state)
        machine.wait_for_ssh(120)
        machine.set_clock()
        machine.update_checkout(TOP)
        return machine

    def _keep(self, machine: Machine, state: str) -> None:
        machine.keep(state, self.state_folder(state))
        (self.state_folder(state) / "stamp").write_text(self._stamp(state), "utf-8")
        if state == "booted":
            (self.state_folder(state) / "patience").write_text(f"{machine.patience:.2f}", "utf-8")

    def _patience(self) -> float:
        """How slow the machine was when it was booted here."""
        measured = self.state_folder("booted") / "patience"
        return float(measured.read_text("utf-8")) if measured.exists() else 1.0

    def _stamp(self, state: str) -> str:
        """What a state depends on: the disk; and, where the product made it, the product."""
        made = (self.cache / f"{self.suite}.stamp").read_text("utf-8")
        if state == "booted" or os.environ.get("RIG_KEEP_STATES"):
            return made
        return made + checkout_digest()

    def remember(self, name: str, value: dict[str, str]) -> None:
        """Keep a result for scenarios to compare theirs with."""
        (self.cache / f"{self.suite}-{name}.json").write_text(json.dumps(value, indent=1), "utf-8")

    def recall(self, name: str) -> dict[str, str]:
        """A result that was kept."""
        value: dict[str, str] = json.loads(
            (self.cache / f"{self.suite}-{name}.json").read_text("utf-8")
        )
        return value

    def _provide(self, state: str) -> None:
        stamp = self.state_folder(state) / "stamp"
        if stamp.exists() and stamp.read_text("utf-8").startswith(self._stamp(state)):
            return
        if state == "booted":
            self._boot()
            return
        from scenarios import MAKERS, SCENARIOS

        print(f"{self.suite}: the state {state} is made first, by {MAKERS[state]}", flush=True)
        self.perform(MAKERS[state], SCENARIOS[MAKERS[state]])

    def _boot(self) -> None:
        """The first boot of a fresh server, and what its installer would have done in it."""
        machine = self.machine("boot")
        machine.create()
        machine.start()
        try:
            machine.wait_for_login()
            machine.must("update-grub && systemctl is-system-running --wait || true", seconds=600)
            said = machine.must("mokutil --sb-state; cat /sys/kernel/security/lockdown")
            if "SecureBoot enabled" not in said or "[integrity]" not in said:
                raise Missed(f"Secure Boot is not enforced:\n{said}")
            self._keep(machine, "booted")
        finally:
            machine.cut_power()


def checkout_digest() -> str:
    """A digest of what the product does: its code, scripts and data."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "tui", "profiles", "scripts"],
        cwd=TOP, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    digest = hashlib.sha256()
    for name in sorted(filter(None, names)):
        path = TOP / name
        if path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
