"""Who runs, who holds a file, how full it is: ps, fuser, lsof, df, find, journalctl, date, uptime."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.render import unit_pid
from gpu_bringup.hosts.simulated.tree import Folder, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.hosts.simulated.work import Program


def _processes(machine: Machine) -> Iterator[tuple[int, str, str]]:
    """(process id, user, command) of each."""
    yield 1, "root", "/sbin/init"
    for unit in machine.units.values():
        if unit.running and unit.comm:
            yield unit_pid(unit.name), "root", f"/usr/bin/{unit.comm}"
    for job in machine.jobs:
        yield job.pid, job.user, job.command


def _holders(machine: Machine, path: str) -> Iterator[tuple[int, str, str]]:
    """(process id, user, command) of each that holds a device of the driver."""
    match = re.fullmatch(r"/dev/nvidia(\d+|ctl|-uvm)", path)
    if match is None or not machine.tree.exists(path):
        return
    for unit in machine.units.values():
        if unit.running and unit.comm and unit.needs_driver and match[1] != "-uvm":
            yield unit_pid(unit.name), "root", unit.comm
    for job in machine.jobs:
        mine = not match[1].isdigit() or int(match[1]) in job.gpus
        if job.gpus and mine:
            yield job.pid, job.user, job.command.split()[0].rsplit("/", 1)[-1]


@program("ps", "top")
def ps(machine: Machine, argv: tuple[str, ...]) -> Program:
    yield "    PID USER     COMMAND"
    for pid, user, command in _processes(machine):
        yield f"{pid:>7} {user:<8} {command}"
    return 0


@program("fuser", "lsof")
def fuser(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    letters = "".join(option.lstrip("-") for option in options)
    rows = [(word, *holder) for word in words for holder in _holders(machine, word)]
    if rows and argv[0] == "lsof":
        yield "COMMAND     PID     USER   FD   TYPE DEVICE NAME"
    elif rows and "v" in letters:
        yield "                     USER        PID ACCESS COMMAND"
    for word, pid, user, command in rows:
        if argv[0] == "lsof":
            yield f"{command[:9]:<9} {pid:>5} {user:>8}    3u   CHR  195,0 {word}"
        elif "v" in letters:
            yield f"{word + ':':<20} {user:<8} {pid:>6} F.... {command[:15]}"
        else:
            yield f"{word}: {pid}"
    if "k" in letters and argv[0] == "fuser":
        killed = {pid for _, pid, _, _ in rows}
        for job in machine.jobs:
            if job.pid in killed and job.important:
                machine.happened("job-killed", job.command)
        machine.jobs = tuple(job for job in machine.jobs if job.pid not in killed)
        machine.changed()
    return 0 if rows else 1


def _human(count: int) -> str:
    """Bytes as ``df -h`` writes them."""
    value = float(count)
    for unit in ("", "K", "M", "G"):
        if value < 1024:
            return f"{value:.0f}{unit}" if value >= 10 or not unit else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}T"


@program("df")
def df(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    human = any("h" in option for option in options)
    mounts = [machine.mount_of(word) for word in words] or list(machine.spaces)
    if human:
        yield "Filesystem      Size  Used Avail Use% Mounted on"
    else:
        yield "Filesystem     1K-blocks      Used Available Use% Mounted on"
    for number, mount in enumerate(dict.fromkeys(mounts)):
        total, free = machine.spaces[mount], machine.free(mount)
        used = total - free
        share = -(-used * 100 // total) if total else 0
        device = f"/dev/sda{number + 2:<7}"
        if human:
            yield f"{device} {_human(total):>4} {_human(used):>5} {_human(free):>5} {share:>3}% {mount}"
            continue
        yield (
            f"{device} {total // 1024:>9} {used // 1024:>9} {free // 1024:>9} {share:>3}% {mount}"
        )
    return 0


@program("find")
def find(machine: Machine, argv: tuple[str, ...]) -> Program:
    words = [word for word in argv[1:] if not word.startswith("-")]
    pattern, wanted, status = "*", "", 0
    for option, value in pairwise(argv[1:]):
        if option in ("-name", "-iname"):
            pattern = value
        elif option == "-type":
            wanted = value
    tops = [word for word in words if word.startswith("/")] or ["/root"]
    for top in tops:
        if not machine.tree.exists(top):
            yield f"find: '{top}': No such file or directory"
            status = 1
            continue
        real = machine.tree.resolve(top)
        for path, node in machine.tree.walk(top):
            kind = "d" if isinstance(node, Folder) else "l" if isinstance(node, Link) else "f"
            if wanted in ("", kind) and fnmatchcase(path.rsplit("/", 1)[-1], pattern):
                yield path.replace(real, top.rstrip("/") or "/", 1)
    return status


@program("journalctl")
def journalctl(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, _ = split(argv[1:], "-u", "--unit", "-n", "-b", "--since", "-p")
    name = options.get("-u") or options.get("--unit") or ""
    if not name:
        return (yield from said(machine.log))
    unit = machine.units.get(name if "." in name else f"{name}.service")
    if unit is None:
        return (yield from said("-- No entries --"))
    when = datetime.fromtimestamp(machine.booted, timezone.utc).strftime("%b %d %H:%M:%S")
    told = "Started" if unit.running else "Failed to start" if unit.enabled else "Stopped"
    return (yield from said(f"{when} {machine.name} systemd[1]: {told} {unit.name}."))


@program("date")
def date(machine: Machine, argv: tuple[str, ...]) -> Program:
    now = datetime.fromtimestamp(machine.clock, timezone.utc)
    return (yield from said(now.strftime("%a %b %d %H:%M:%S UTC %Y")))


@program("uptime")
def uptime(machine: Machine, argv: tuple[str, ...]) -> Program:
    now = datetime.fromtimestamp(machine.clock, timezone.utc).strftime("%H:%M:%S")
    minutes = int(machine.clock - machine.booted) // 60
    yield f" {now} up {minutes // 60}:{minutes % 60:02d},  1 user,  load average: 0.00, 0.00, 0.00"
    return 0


@program("hostname")
def hostname(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from said(machine.name))
