"""The wizard by SSH: the connection is cut in the middle of a run, which goes on without it."""

from __future__ import annotations

import time

import pexpect
from console import Console, Missed
from machine import Machine
from person import PROMPT, RUN_SECONDS, USER, Wizard, say
from verdicts import all_signed, demand, end_state, load
from walks import request, run, through_mokmanager, waiting_run

from rig import Rig

RUNS = "/var/lib/gpu-bringup/runs"


def connect(machine: Machine, name: str) -> Console:
    """A terminal of 80x24 on an SSH connection of its own, at the user's prompt."""
    folder = machine.folder / name
    folder.mkdir(exist_ok=True)
    child = pexpect.spawn(
        "ssh", ["-tt", *machine.connection(USER)], dimensions=(24, 80), timeout=60
    )
    child.delaybeforesend = 0
    console = Console(child, folder, machine.patience)
    console.wait(PROMPT, 180)
    say(console, "bind 'set enable-bracketed-paste off'")
    return console


def cut(console: Console) -> None:
    """As if the operator's laptop had lost its network: nobody says goodbye."""
    console.child.close(force=True)


def wizard_by_ssh(rig: Rig, machine: Machine) -> str:
    """The whole wizard by SSH; the connection is lost while dkms builds, and another takes over."""
    machine.must(f"install -d -o {USER} -m 700 ~{USER}/.ssh && "
                 f"install -o {USER} -m 600 ~/.ssh/authorized_keys ~{USER}/.ssh/authorized_keys")  # fmt: skip
    first = connect(machine, "first")
    wizard = Wizard(first, rig.password)
    wizard.start()
    wizard.see(r"Root cause: GPU on the bus", "look")
    request(wizard)
    end = time.monotonic() + RUN_SECONDS * machine.patience
    while machine.run(f"grep -rqs '^Building module' {RUNS}").status:
        first.read(2)
        demand(time.monotonic() < end, "no module is built\n" + first.text())
    first.picture("before-the-cut")
    before = events(machine)
    cut(first)
    deadline = time.monotonic() + 600 * machine.patience
    while events(machine) == before:
        time.sleep(3)
        demand(time.monotonic() < deadline, "the run stands still without its wizard")
    second = connect(machine, "second")
    wizard = Wizard(second, rig.password)
    wizard.start(first=r"6 RUN|A run ")
    wizard.console.picture("found-again")
    run(wizard)
    wizard.choose("leave the wizard and reboot")
    wizard.back_in_shell()
    started = machine.must(f"grep -c run-started {RUNS}/*/journal.jsonl")
    demand(started.splitlines() == ["1"], f"runs that were started: {started}")
    all_signed(machine)
    state, undisturbed = end_state(machine), rig.recall("end-state")
    differs = [name for name in undisturbed if state[name] != undisturbed[name]]
    demand(not differs, f"the end differs from that of an undisturbed run: {', '.join(differs)}")
    cut(second)
    machine.run("systemctl reboot")
    through_mokmanager(machine)
    third = connect(machine, "third")
    wizard = Wizard(third, rig.password)
    wizard.start(first=r"A run waits")
    waiting_run(wizard)
    cut(third)
    said = load(machine)
    demand(said == "accepted", said)
    return "connection lost while dkms built; run went on, another connection ended it; accepted"


def events(machine: Machine) -> int:
    """Lines of the newest run's journal."""
    said = machine.must(f"cat {RUNS}/*/journal.jsonl | wc -l")
    try:
        return int(said)
    except ValueError:
        raise Missed(f"no journal: {said}") from None
