"""The wizard by SSH: the connection is cut in the middle of a run, which goes on without it."""

from __future__ import annotations

import time

import pexpect
from console import Console, Missed
from machine import Machine
from person import PROMPT, RUN_SECONDS, USER, Wizard, say
from verdicts import all_signed, demand, end_state, load
from walks import gone, request, run, through_mokmanager, waiting_run

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


def lose(machine: Machine, console: Console) -> None:
    """The operator's network goes and comes again; his terminal does not."""
    machine.monitor("set_link", name="net", up=False)
    console.child.close(force=True)
    machine.forget_connection()
    machine.console.read(20)
    machine.monitor("set_link", name="net", up=True)
    machine.wait_for_ssh()


def take_seat(wizard: Wizard) -> None:
    """From the page of a run that is under way (or has just ended) to the place where it is answered."""
    wizard.start(first=r"A run (is under way|waits)")
    text = wizard.console.picture("found-again")
    demand("A run is under way" in text, text)
    wizard.choose("show it")
    wizard.console.wait(r"6 RUN", 60)
    if "READ-ONLY" in wizard.console.text():
        wizard.console.picture("read-only")
        wizard.press("t")
        gone(wizard, "READ-ONLY")
    wizard.console.picture("seated")


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
        machine.console.read(0.1)
        demand(time.monotonic() < end, "no module is built\n" + first.text())
    first.picture("before-the-cut")
    before = events(machine)
    lose(machine, first)
    deadline = time.monotonic() + 600 * machine.patience
    while events(machine) == before:
        machine.console.read(3)
        demand(time.monotonic() < deadline, "the run stands still without its wizard")
    second = connect(machine, "second")
    wizard = Wizard(second, rig.password)
    take_seat(wizard)
    run(wizard)
    wizard.choose("leave the wizard and reboot")
    wizard.back_in_shell()
    started = machine.must(f"grep -c run-started {RUNS}/*/journal.jsonl")
    demand(started.splitlines() == ["1"], f"runs that were started: {started}")
    all_signed(machine)
    state, undisturbed = end_state(machine), rig.recall("end-state")
    differs = [name for name in undisturbed if state[name] != undisturbed[name]]
    demand(not differs, f"the end differs from that of an undisturbed run: {', '.join(differs)}")
    second.child.close(force=True)
    machine.run("systemctl reboot")
    through_mokmanager(machine)
    third = connect(machine, "third")
    wizard = Wizard(third, rig.password)
    wizard.start(first=r"A run waits")
    waiting_run(wizard)
    third.child.close(force=True)
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
