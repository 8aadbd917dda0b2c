"""Undo of a complete run, without network or repository: by the tool, and from a rescue shell."""

from __future__ import annotations

import re

from console import Missed
from machine import Machine
from person import PROMPT, TOOL
from verdicts import demand, differences, whole_state

from rig import Rig

RUNS = "/var/lib/gpu-bringup/runs"
UNDO_SECONDS = 1800
OFFLINE = (
    "mv /srv/repository /srv/repository.away; ip route del default; rm -rf /var/lib/apt/lists/*"
)
"""No repository, no way out (the link to this host stays), not even apt's indexes."""


def changed(rig: Rig, machine: Machine) -> dict[str, str]:
    """The state before the run; the machine must not be in it any more."""
    before = rig.recall("before")
    found = differences(before, whole_state(machine))
    demand(len(found) > 20, f"the run changed next to nothing ({len(found)} lines)")
    machine.must(OFFLINE)
    reached = machine.run("timeout 20 apt-get update -q 2>&1", seconds=120).output
    demand(
        "Temporary failure" in reached or "Could not" in reached, f"there is a network: {reached}"
    )
    return before


def compare(machine: Machine, before: dict[str, str], name: str) -> None:
    """Both states are the same, but for what the rig itself moved."""
    found = differences(before, whole_state(machine))
    (machine.folder / f"differences-{name}.txt").write_text("\n".join(found) + "\n", "utf-8")
    demand(not found, f"{len(found)} lines differ from before: {'; '.join(found[:3])}")


def by_tool(rig: Rig, machine: Machine) -> str:
    """`undo` after a complete run, without a network: everything is as it was before."""
    before = changed(rig, machine)
    taken = 0
    while True:
        shown = machine.run(f"{TOOL} undo --dry-run", seconds=300)
        if "Nothing to take back" in shown.output:
            break
        taken += 1
        demand(taken < 6, f"there is always something to take back: {shown.output}")
        done = machine.run(f"{TOOL} undo --yes", seconds=UNDO_SECONDS)
        (machine.folder / f"undo-{taken}.txt").write_text(
            shown.output + "\n" + done.output, "utf-8"
        )
        demand(done.status == 0, f"undo ended with {done.status}: {done.output[-300:]}")
    compare(machine, before, "undo")
    return f"{taken} runs taken back offline: packages, versions, marks, /etc and boot default as before"


def from_rescue(rig: Rig, machine: Machine) -> str:
    """undo.sh in systemd's rescue shell, without network and gpu-bringup; then a reboot."""
    before = changed(rig, machine)
    kernel = machine.must("uname -r")
    runs = machine.must(f"ls -d {RUNS}/2* | sort -r").split()
    demand(runs, "no run left a way back")
    machine.must("chmod 0000 /opt/gpu-bringup")
    machine.run("systemctl rescue --no-block")
    machine.forget_connection()
    console = machine.console
    console.wait(r"Give root password|Press Enter for", 300)
    console.send(rig.password + "\r")
    console.wait(PROMPT, 120)
    console.send("clear; ip link set $(ls /sys/class/net | grep -v lo) down\r")
    console.wait(rf"\A(?s:.*){PROMPT}", 60)
    for number, run in enumerate(runs, 1):
        for way in ("--show", "--yes"):
            log = f"/root/undo-{number}{way}.log"
            console.send(f'clear; sh {run}/undo.sh {way} >{log} 2>&1; echo "status"=$?\r')
            said = console.stream(r"status=(\d+)", UNDO_SECONDS)[1].decode()
            console.picture(f"rescue-{number}{way}")
            if said != "0":
                console.send(f"clear; tail -n 20 {log}\r")
                console.read(5)
                raise Missed(f"undo.sh {way} ended with {said}\n{console.text()}")
    console.send("clear; chmod 0755 /opt/gpu-bringup; systemctl reboot\r")
    machine.wait_for_login()
    demand(machine.must("uname -r") == kernel, "another kernel was booted")
    logs = machine.must("tail -n +1 /root/undo-*.log")
    (machine.folder / "undo-rescue.txt").write_text(logs + "\n", "utf-8")
    compare(machine, before, "rescue")
    steps = len(re.findall(r"^==>", logs, re.MULTILINE)) // 2
    return f"{steps} runs taken back in the rescue shell: as before, also after a reboot"
