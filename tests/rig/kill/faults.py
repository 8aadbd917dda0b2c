"""What can happen in the middle of a run. Each takes a running machine and a front end that follows."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from machine import TOOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import Machine

FRONT_END = "-m gpu_bringup "
"""In the command line of whatever shows a run, and not in that of its worker."""
RESUME = ("apply", "--resume", "--no-color")
_HOLDER = """#!/usr/bin/python3
import fcntl, os, sys, time
files = [open(name, "w") for name in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
"""
_RELEASED = "srv/released"
HELD = 3.0
"""Seconds that another package manager is at work from the step's start on."""
GONE = 4.0
"""Seconds without network: less than the first pause between two attempts."""


# --- front ends


def plain(machine: Machine, log: Path, *words: str) -> subprocess.Popen[bytes]:
    """`apply --resume` (or other words) without a terminal."""
    return machine.start(TOOL, *(words or RESUME), log=log)


def over_ssh(machine: Machine, log: Path, *words: str) -> subprocess.Popen[bytes]:
    """The same in an SSH session, on a terminal that dies with the connection."""
    machine.start("/usr/sbin/sshd", "-D", "-e", log=log)
    until = time.monotonic() + 10
    while "0100007F:0016" not in Path(f"/proc/{machine.pid}/net/tcp").read_text():
        if time.monotonic() > until:
            raise RuntimeError("sshd does not start")
        time.sleep(0.02)
    return machine.start(
        "ssh", "-tt", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "root@127.0.0.1",
        TOOL, *(words or RESUME[:2]), log=log,
    )  # fmt: skip


def wizard(machine: Machine, log: Path) -> subprocess.Popen[bytes]:
    """The wizard itself on a terminal of 80x24: it offers the run that broke off, and is told yes."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        machine.argv(TOOL), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    threading.Thread(target=_press, args=(ours, log), daemon=True).start()
    return process


def _press(terminal: int, log: Path) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen, pressed = b"", False
    with log.open("ab") as file:
        while True:
            try:
                data = os.read(terminal, 65_536)
            except OSError:
                return
            if not data:
                return
            file.write(data)
            file.flush()
            seen = (seen + data)[-20_000:]
            if not pressed and b"go on" in seen:
                pressed = True
                time.sleep(0.5)  # until it takes keys
                os.write(terminal, b"\r")


# --- what happens


def cut_ssh(machine: Machine) -> None:
    """The connection is gone: both of its ends are killed."""
    if not (machine.kill("sshd-session: root") or machine.kill("sshd: root")):
        raise RuntimeError("there is no SSH session")
    machine.kill("root@127.0.0.1")


def kill_front_end(machine: Machine) -> None:
    if not machine.kill(FRONT_END):
        raise RuntimeError("there is no front end")


def kill_worker(machine: Machine) -> None:
    machine.kill("gpu_bringup.run.worker")


def fill_disk(machine: Machine) -> None:
    """No page is left of it: the disk shrinks to what is on it."""
    machine.resize(0)


def make_room(machine: Machine) -> None:
    machine.resize(machine.size)


def hold_lock(machine: Machine, log: Path) -> None:
    """Another package manager is at work, until ``release_lock``."""
    script = machine.root / "srv/unattended-upgr"
    script.write_text(_HOLDER)
    script.chmod(0o755)
    machine.start("/srv/unattended-upgr", f"/{_RELEASED}", log=log)
    until = time.monotonic() + 10
    while b"held" not in log.read_bytes().split(b"unattended-upgr", 1)[-1]:
        if time.monotonic() > until:
            raise RuntimeError("the lock can't be held")
        time.sleep(0.02)


def release_lock(machine: Machine) -> None:
    """It ends some seconds from now: whoever needs the lock has met it by then."""
    time.sleep(HELD)
    (machine.root / _RELEASED).touch()


def network_away(machine: Machine) -> Callable[[], None]:
    """The archive is gone and comes back after some seconds; returns what waits for it."""
    machine.network(up=False)

    def back() -> None:
        time.sleep(GONE)
        machine.network(up=True)

    thread = threading.Thread(target=back)
    thread.start()
    return thread.join
