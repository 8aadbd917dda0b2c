"""What ssh.sh tries: one run, several SSH sessions, each on a real sshd with a real client."""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import faults
from machine import TOOL, Machine, run

TERMINALS = (
    "xterm-256color",
    "linux",
    "screen",
    "tmux-256color",
    "vt100",
    "dumb",
    "no-such-terminal",
)
_PATIENCE = 180.0


class Checks:
    """Says each check as it is made, and counts those that failed."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, text: str, held: bool) -> None:
        print(f"  {'ok     ' if held else 'FAILED '} {text}", flush=True)
        self.failed += not held


class Session:
    """An SSH session on a terminal of our own, as an operator has one."""

    def __init__(self, machine: Machine, terminal: str, *command: str) -> None:
        ours, theirs = pty.openpty()
        argv = machine.argv(
            f"TERM={terminal}", "ssh", "-tt", "-o", "StrictHostKeyChecking=no", "-o",
            "BatchMode=yes", "-o", "LogLevel=ERROR", "root@127.0.0.1", *command,
        )  # fmt: skip
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.seen = b""
        self.keys = ours
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.keys, 65_536)
            except OSError:
                return
            if not data:
                return
            self.seen += data

    def sees(self, word: bytes) -> bool:
        """Wait until it is on the screen."""
        return until(lambda: word in self.seen)


def until(check: object) -> bool:
    assert callable(check)
    end = time.monotonic() + _PATIENCE
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def in_the_midst(machine: Machine) -> bool:
    """Is a package of the driver being unpacked or configured?"""
    try:
        logs = sorted((machine.run_folder / "logs").glob("*driver*.log"))
        return any(b"Unpacking" in log.read_bytes() for log in logs)
    except (OSError, ValueError):
        return False


def ended(machine: Machine) -> str:
    events = machine.events()
    return str(events[-1].get("state")) if events and events[-1]["event"] == "run-ended" else ""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--code", type=Path, required=True)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="ssh.", dir=options.cache))
    run("mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(place))
    check = Checks()
    base = options.cache / "base"
    kernel = (base / "srv/kernel").read_text().strip()
    machine = Machine(place / "machine", [options.code, base])
    log = place / "log"
    try:
        machine.boot()
        machine.start("/usr/sbin/sshd", "-D", "-e", log=log)
        until(lambda: "0100007F:0016" in Path(f"/proc/{machine.pid}/net/tcp").read_text())
        wish = (TOOL, "apply", "--gpu", "H200", "--scenario", "long-term-stable", "--source",
                "nvidia-repository", "--kernel", kernel, "--profiles", "/srv/profiles", "--yes")  # fmt: skip
        print("=== a run is begun over SSH")
        first = Session(machine, "xterm-256color", *wish)
        check("the driver is being installed", until(lambda: in_the_midst(machine)))
        worker = machine.worker()
        print("=== the connection is cut")
        faults.cut_ssh(machine)
        check("the client is gone", until(lambda: first.process.poll() is not None))
        check("the run's process lives", machine.worker_lives())
        note = machine.ask("ssh", "-tt", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                           "root@127.0.0.1", "bash -lic true; run-parts /etc/update-motd.d")  # fmt: skip
        check(
            "a login says that a run is at work", "steps are done" in note and "at work now" in note
        )
        print("=== a second session")
        second = Session(machine, "xterm-256color", TOOL, "apply", "--resume")
        check("it shows the run that is under way", second.sees(b"is under way"))
        check("it is the same process that takes the steps", machine.worker() == worker)
        check("it is there at the end", second.sees(b"Done:"))
        check("its exit status is 0", second.process.wait(_PATIENCE) == 0)
        check("the run is done", ended(machine) == "done")
        started = [e for e in machine.events() if e["event"] in ("run-started", "resumed")]
        check("nothing had to be resumed", len(started) == 1)
        check("dpkg --audit is clean", not machine.ask("dpkg", "--audit").strip())
        note = machine.ask("sh", "-c", "ls /etc/profile.d /etc/update-motd.d /var/lib/gpu-bringup")
        check("the note at login is gone", "gpu-bringup-run" not in note and "run.note" not in note)
        print("=== Ctrl-C in an SSH session stops at a safe place, and the run goes on from there")
        undo = Session(machine, "xterm-256color", TOOL, "undo", "--yes")
        check("an undo is begun", undo.sees(b"["))
        undo.sees(b"$ ")
        os.write(undo.keys, b"\x03")
        check("it is told what happens", undo.sees(b"next safe point"))
        check("it ends", until(lambda: undo.process.poll() is not None))
        check("the run was stopped", until(lambda: ended(machine) in ("cancelled", "done")))
        check("dpkg --audit is clean", not machine.ask("dpkg", "--audit").strip())
        third = Session(machine, "xterm-256color", TOOL, "apply", "--resume")
        check("it is gone on with", third.process.wait(_PATIENCE) == 0)
        check("the run is done", ended(machine) == "done")
        print("=== terminals")
        for terminal in TERMINALS:
            shown = Session(machine, terminal, TOOL, "apply", "--resume")
            status = shown.process.wait(_PATIENCE)
            until(lambda shown=shown: b"unfinished" in shown.seen)
            quiet = terminal != "dumb" or b"\x1b[" not in shown.seen
            check(f"TERM={terminal}", status == 0 and b"Traceback" not in shown.seen and quiet)
    finally:
        machine.scrap()
        subprocess.run(["umount", "-l", str(place)], check=False)
        place.rmdir()
    print("=== all as it must be" if not check.failed else f"=== {check.failed} failed")
    return int(check.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
