"""A machine as near as namespaces come to one: its own processes, network and boot id, over layers.

Killing its init is pulling its plug: everything in it is gone at that instant. Its disk is a tmpfs of
a fixed size over read-only layers, so that it can be filled, and so that a cell costs seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

TOOL = "/opt/gpu-bringup/scripts/gpu-bringup"
ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=xterm-256color",
)  # fmt: skip
RUNS = "var/lib/gpu-bringup/runs"

_INIT = """
set -e
root=$1
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/run/sshd"
mount --bind "$2" "$root/proc/sys/kernel/random/boot_id"
ip link set lo up
exec chroot "$root" sh -c 'while :; do sleep 1000 & wait; done'
"""


class Machine:
    """One machine.

    Args:
        folder: for its mounts; made here.
        layers: read-only folders, topmost first.
        upper: where its writes go; None: a tmpfs in ``folder``.
        size: of that tmpfs, in MiB.
    """

    def __init__(
        self, folder: Path, layers: list[Path], upper: Path | None = None, size: int = 16384
    ) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        self._init: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.size = size
        if upper is None:
            disk = folder / "disk"
            disk.mkdir()
            run("mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(disk))
        else:
            disk = upper
        (disk / "upper").mkdir(parents=True, exist_ok=True)
        (disk / "work").mkdir(exist_ok=True)
        lower = ":".join(map(str, layers))
        options = f"lowerdir={lower},upperdir={disk}/upper,workdir={disk}/work"
        run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))

    # --- power

    def boot(self) -> None:
        """Switch it on; its boot id is a new one."""
        mark = self.folder / "boot_id"
        mark.write_text(f"{uuid.uuid4()}\n")
        # unshare complains when its child, the machine, is killed.
        with (self.folder / "boot.log").open("ab") as messages:
            self._init = subprocess.Popen(
                # It goes with whoever started it, however that ends.
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
                 "--pid", "--net", "--fork", "--kill-child", "sh", "-c", _INIT, "init",
                 str(self.root), str(mark)],
                stdin=subprocess.DEVNULL, stderr=messages,
            )  # fmt: skip
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError, IndexError):
                children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
                self.pid = int(children.read_text().split()[0])
                if b"while :" in Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")[2]:
                    break
            time.sleep(0.01)
        else:
            raise RuntimeError("the machine does not boot")
        self.network(up=True)

    def power_off(self) -> None:
        """Pull its plug."""
        if self._init is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._init.wait()
        self._init = None

    def resize(self, size: int) -> None:
        """Make its disk that large, in MiB; not smaller than what is on it."""
        disk = self.folder / "disk"
        for _ in range(50):
            status = os.statvfs(disk)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            # A tmpfs of size 0 would have no limit.
            wanted = max(size << 20, used, 4096)
            argv = ["mount", "-o", f"remount,size={wanted}", str(disk)]
            # What was written meanwhile doesn't fit: look again.
            if subprocess.run(argv, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return
        raise RuntimeError("the disk can't be resized")

    def scrap(self) -> None:
        """Off, and its mounts away."""
        self.power_off()
        subprocess.run(["umount", "-l", str(self.root)], check=False)
        if (self.folder / "disk").exists():
            subprocess.run(["umount", "-l", str(self.folder / "disk")], check=False)

    # --- what runs in it

    def argv(self, *command: str) -> list[str]:
        return [
            "nsenter", "--target", str(self.pid), "--mount", "--pid", "--net",
            "chroot", str(self.root), "env", "-i", *ENVIRONMENT, *command,
        ]  # fmt: skip

    def ask(self, *command: str, timeout: float = 60) -> str:
        """Run a command in it; returns its output, with its errors."""
        done = subprocess.run(
            self.argv(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return done.stdout

    def start(self, *command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a command in it, without a terminal; its output goes to ``log``."""
        with log.open("ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            return subprocess.Popen(
                self.argv(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def processes(self, pattern: str) -> list[int]:
        """Ids, as seen from outside, of the processes in it whose command line has ``pattern``."""
        found = []
        with contextlib.suppress(OSError):
            inside = Path(f"/proc/{self.pid}/ns/pid").readlink()
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != self.pid:
                    with contextlib.suppress(OSError):
                        words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                        if pattern.encode() in words and (entry / "ns/pid").readlink() == inside:
                            found.append(int(entry.name))
        return found

    def kill(self, pattern: str) -> bool:
        """SIGKILL to each process in it whose command line has ``pattern``; was there one?"""
        found = self.processes(pattern)
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        return bool(found)

    def network(self, *, up: bool) -> None:
        """Its package archive, reachable or not."""
        if not up:
            self.kill("http.server")
            return
        self.start("python3", "-m", "http.server", "80", "--bind", "127.0.0.1", "-d", "/srv",
                   log=self.folder / "http.log")  # fmt: skip
        until = time.monotonic() + 10
        while time.monotonic() < until:
            listening = Path(f"/proc/{self.pid}/net/tcp").read_text()
            if "0100007F:0050" in listening:
                return
            time.sleep(0.02)
        raise RuntimeError("the package archive does not start")

    # --- its runs

    @property
    def run_folder(self) -> Path:
        return max((self.root / RUNS).iterdir())

    def events(self) -> list[dict[str, Any]]:
        try:
            data = (self.run_folder / "journal.jsonl").read_bytes()
        except (OSError, ValueError):
            return []
        found = []
        for line in data.split(b"\n")[:-1]:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def worker(self) -> int:
        """Process id of the run's worker, as seen in the machine; 0: there is none."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return int(json.loads((self.run_folder / "worker.lock").read_text())["pid"])
        return 0

    def worker_lives(self) -> bool:
        pid = self.worker()
        path = Path(f"/proc/{self.pid}/root/proc/{pid}/cmdline")
        with contextlib.suppress(OSError):
            return pid > 0 and b"gpu_bringup.run.worker" in path.read_bytes()
        return False


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)
