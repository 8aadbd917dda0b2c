"""A virtual machine with UEFI and Secure Boot enforced, in software emulation.

Its disk and its firmware variables are layers over files that are never written; a state of it
(memory, disk, variables) can be kept and begun with again within a second.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
from console import Console, Missed

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
MICROSOFT_KEYS = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
MEMORY_MIB = 2048
BOOT_SECONDS = 600
"""Generous: a boot takes half a minute, or several where the cores are shared."""
BOOT_ALONE_SECONDS = 30
"""What a boot takes on two cores that do nothing else; a slower one makes all time-outs longer."""


@dataclass(frozen=True)
class Answer:
    """What a command in the machine ended with."""

    status: int
    output: str


@dataclass
class Machine:
    """One machine.

    Attributes:
        folder: its disk, variables, logs and pictures.
        base: the disk that its own is a layer over.
        key: the SSH key that its root user knows.
        password: of the user "admin1" and of root.
        patience: factor for every time-out, as measured at the last boot.
    """

    folder: Path
    base: Path
    key: Path
    password: str
    patience: float = 1.0
    _process: pexpect.spawn | None = None
    _port: int = 0
    console: Console = field(init=False)

    def create(self) -> None:
        """A new machine with an empty layer and Microsoft's keys."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(self.base.resolve()),
             str(self.folder / "disk.qcow2"))  # fmt: skip
        # savevm wants every writable drive as qcow2.
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(MICROSOFT_KEYS),
             str(self.folder / "variables.qcow2"))  # fmt: skip

    def create_from(self, state: Path) -> None:
        """A copy of a kept state; begin it with ``start(state=...)``."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in ("disk.qcow2", "variables.qcow2"):
            _run(
                "cp",
                "--reflink=auto",
                "--sparse=always",
                str(state / name),
                str(self.folder / name),
            )

    def start(self, state: str = "") -> None:
        """Switch it on; ``state``: go on from that kept state instead."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        (self.folder / "monitor").unlink(missing_ok=True)
        child = pexpect.spawn(
            "qemu-system-x86_64", self._arguments(state), dimensions=(24, 80), timeout=60
        )
        child.delaybeforesend = 0
        self._process = child
        # Its firmware waits ten seconds for a key. Among sessions the kernel shares the processors by
        # group (sched(7), "The autogroup feature"): nice(1) alone would change nothing.
        with contextlib.suppress(OSError):
            Path(f"/proc/{child.pid}/autogroup").write_text("-10", "ascii")
        self.console = Console(child, self.folder, self.patience)

    def _arguments(self, state: str) -> list[str]:
        disk = self.folder / "disk.qcow2"
        return [
            "-machine", "q35,smm=on,vmport=off", "-accel", "tcg,thread=multi,tb-size=1024",
            "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MIB),
            "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}",
            "-drive", f"if=pflash,format=qcow2,unit=1,file={self.folder / 'variables.qcow2'}",
            "-drive", f"if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap,file={disk}",
            "-device", "virtio-blk-pci,drive=disk,bootindex=1",
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22",
            "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci",
            "-display", "none", "-vga", "none", "-serial", "stdio",
            "-qmp", f"unix:{self.folder / 'monitor'},server=on,wait=off",
            *(["-loadvm", state] if state else []),
        ]  # fmt: skip

    # --- power ---------------------------------------------------------------------------------

    def cut_power(self) -> None:
        """As if the plug were pulled: what the kernel had not written is lost."""
        self.forget_connection()
        if self._process is not None:
            with contextlib.suppress(OSError, Missed):
                self.monitor("quit")
            self._process.close(force=True)
            self._process = None

    def power_cycle(self) -> None:
        """Power cut, then on again."""
        self.cut_power()
        self.start()

    def wait_for_login(self, seconds: float = BOOT_SECONDS) -> None:
        """Until the serial console asks for a user and SSH answers; how long that took counts."""
        begun = time.monotonic()
        self.console.stream(r"login: ", seconds)
        self.wait_for_ssh()
        self.patience = min(8.0, max(1.0, (time.monotonic() - begun) / BOOT_ALONE_SECONDS))
        self.console.patience = self.patience

    def wait_for_ssh(self, seconds: float = BOOT_SECONDS) -> None:
        """Until root can come in by SSH."""
        seconds *= self.patience
        end = time.monotonic() + seconds
        while self.run("true", seconds=60).status != 0:
            self.console.read(1)
            if time.monotonic() > end:
                raise Missed(f"no SSH within {seconds:.0f} s\n{self.console.text()}")

    def monitor(self, command: str, **arguments: object) -> str:
        """One command to QEMU's monitor (QMP); returns what it gave."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(180)
            link.connect(str(self.folder / "monitor"))
            stream = link.makefile("rw", encoding="utf-8")
            stream.readline()
            for name, values in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": values}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
                if "error" in answer:
                    raise Missed(f"QEMU refused {name}: {answer['error']}")
            return str(answer.get("return", ""))

    def keep(self, state: str, folder: Path) -> None:
        """Keep memory, disk and variables as a state of that name in a folder; the machine ends."""
        self.forget_connection()
        said = self.monitor("human-monitor-command", **{"command-line": f"savevm {state}"})
        if said.strip():
            raise Missed(f"the state {state} could not be kept: {said}")
        self.cut_power()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("disk.qcow2", "variables.qcow2"):
            shutil.copyfile(self.folder / name, folder / name)

    # --- SSH -----------------------------------------------------------------------------------

    def connection(self, user: str = "root") -> list[str]:
        """Arguments of ssh for a connection of its own."""
        return [
            "-F", "/dev/null", "-i", str(self.key), "-p", str(self._port), "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", "ConnectTimeout=45", "-o", "ServerAliveInterval=30", f"{user}@127.0.0.1",
        ]  # fmt: skip

    def _ssh(self) -> list[str]:
        return [
            "-o", "ControlMaster=auto", "-o", "ControlPersist=600",
            "-o", f"ControlPath={self.folder / 'ssh'}", *self.connection(),
        ]  # fmt: skip

    def forget_connection(self) -> None:
        """Close the SSH connection that commands share."""
        subprocess.run(["ssh", "-O", "exit", *self._ssh()], capture_output=True, check=False)
        (self.folder / "ssh").unlink(missing_ok=True)

    def run(self, command: str, *, seconds: float = 600, data: bytes = b"") -> Answer:
        """A shell command as root over SSH, with both outputs together."""
        try:
            done = subprocess.run(
                ["ssh", *self._ssh(), command],
                input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=seconds * self.patience, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            return Answer(124, (late.stdout or b"").decode("utf-8", "replace"))
        return Answer(done.returncode, done.stdout.decode("utf-8", "replace"))

    def must(self, command: str, *, seconds: float = 600, data: bytes = b"") -> str:
        """As ``run``, but a failure ends the scenario."""
        answer = self.run(command, seconds=seconds, data=data)
        if answer.status:
            raise Missed(f"{command}: exit status {answer.status}\n{answer.output}")
        return answer.output.rstrip("\n")

    # --- this checkout ---------------------------------------------------------------------------

    def set_clock(self) -> None:
        """A state goes on at the time at which it was kept."""
        self.must(f"date -s @{time.time():.0f}")

    def update_checkout(self, top: Path, into: str = "/opt/gpu-bringup") -> None:
        """Bring what differs of this checkout into the machine; what is gone here goes there."""
        listed = _run(
            "git", "-C", str(top), "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        )
        names = [name for name in listed.split("\0") if name and (top / name).is_file()]
        sums = subprocess.run(
            ["sha256sum", "--zero", "--", *names],
            cwd=top,
            capture_output=True,
            text=True,
            check=True,
        )
        ours = {line[66:]: line[:64] for line in sums.stdout.split("\0") if line}
        theirs_text = self.must(
            f"cd {into} && find . -name .venv -prune -o -name __pycache__ -prune -o -type f -print0 "
            "| xargs -0 sha256sum"
        )
        theirs = {line[68:]: line[:64] for line in theirs_text.splitlines()}
        gone = sorted(set(theirs) - set(ours))
        changed = sorted(name for name, digest in ours.items() if theirs.get(name) != digest)
        if gone:
            self.must(f"cd {into} && xargs -0 rm -f", data="\0".join(gone).encode())
        if changed:
            packed = subprocess.run(
                ["tar", "-C", str(top), "--owner=0", "--group=0", "--null", "-T", "-", "-czf", "-"],
                input="\0".join(changed).encode(), capture_output=True, check=True,
            )  # fmt: skip
            self.must(f"tar -C {into} -xzf -", data=packed.stdout)
            modules = [name for name in changed if name.startswith("tui/") and name.endswith(".py")]
            if modules:
                quoted = shlex.join(f"{into}/{name}" for name in modules)
                self.must(f"cd {into} && python3 -m compileall -q {quoted}")


def _run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
