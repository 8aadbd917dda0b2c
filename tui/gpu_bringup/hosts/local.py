"""The machine that we run on."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.hosts import files
from gpu_bringup.hosts.base import CommandResult, Session
from gpu_bringup.hosts.processes import Answer, ask, system_environment
from gpu_bringup.model.facts import Certificate, Space
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.plan import Command

_SLOW_PREFIX = "/proc/driver/nvidia/gpus/"
"""Reading these takes the driver's own locks: where it is stuck they never answer."""

_SLOW_SECONDS = 3.0
_CERTIFICATE_LIMIT = 4_000_000
_KMSG = "/dev/kmsg"
_KMSG_DEVICE = os.makedev(1, 11)
_KMSG_RECORDS = 200_000


_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def _unescape(match: re.Match[bytes]) -> bytes:
    value = int(match[1], 16)
    return bytes([value]) if value >= 32 and value != 127 else match[0]


def kmsg_line(record: bytes) -> str:
    """One record of /dev/kmsg as ``dmesg`` prints it.

    Source: Documentation/ABI/testing/dev-kmsg: "prio,seq,microseconds,flags;text", then lines with
    further keys, each after a space; unprintable bytes are written as \\xNN.
    """
    head, _, rest = record.partition(b";")
    fields = head.split(b",")
    microseconds = int(fields[2]) if len(fields) > 2 and fields[2].isdigit() else 0
    text = _ESCAPE.sub(_unescape, rest.split(b"\n", 1)[0]).decode(errors="replace")
    return f"[{microseconds // 1_000_000:5d}.{microseconds % 1_000_000:06d}] {text}"


class LocalHost:
    """This machine. Safe to ask from several threads."""

    kind = "local"
    label = "this machine"

    def __init__(self) -> None:
        self.processes_started = 0
        """How many processes the questions so far have cost."""
        self._lock = threading.Lock()
        self._environment = system_environment()

    def read_text(self, path: str, *, limit: int = 4_000_000) -> Fact[str | None]:
        def question() -> Fact[str | None]:
            content = files.read_bytes(path, limit)
            return content.decode(errors="replace") if isinstance(content, bytes) else content

        if path.startswith(_SLOW_PREFIX):
            return files.within(_SLOW_SECONDS, path, question)
        return question()

    def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
        return files.list_names(path)

    def read_link(self, path: str) -> Fact[str | None]:
        return files.link_text(path)

    def resolve(self, path: str) -> Fact[str | None]:
        def question() -> str | None:
            try:
                return files.printable(str(Path(path).resolve(strict=True)))
            except RuntimeError:
                # Python before 3.13 says so where links go round in a circle.
                return None

        return files.answer(path, question)

    def exists(self, path: str) -> Fact[bool]:
        def question() -> bool:
            Path(path).stat()
            return True

        found = files.answer(path, question)
        return found if isinstance(found, Unknown) else found is True

    def certificates(self, path: str) -> Fact[tuple[Certificate, ...] | None]:
        content = files.read_bytes(path, _CERTIFICATE_LIMIT)
        if not isinstance(content, bytes):
            return content
        from gpu_bringup.hosts.certificates import CertificateError, read_certificates

        try:
            return read_certificates(content)
        except CertificateError as error:
            return Unknown(f"{path} holds no certificate that can be read: {error}")

    def space(self, path: str) -> Space:
        try:
            status = os.statvfs(path)
        except (OSError, ValueError) as error:
            reason = (
                f"there is no {path}"
                if isinstance(error, ValueError) or error.errno in files.ABSENT
                else files.why(error, path)
            )
            return Space(path, Unknown(reason), Unknown(reason), Unknown(reason))
        return Space(
            path=path,
            free=status.f_bavail * status.f_frsize,
            total=status.f_blocks * status.f_frsize,
            read_only=bool(status.f_flag & os.ST_RDONLY),
        )

    def run(self, argv: Sequence[str], *, timeout: float = 10.0) -> Fact[CommandResult]:
        result = self._ask(argv, timeout, self._environment)
        return CommandResult(result.status, result.output)

    def _ask(
        self, argv: Sequence[str], timeout: float, environment: dict[str, str], apart: bool = False
    ) -> Answer:
        result = ask(argv, timeout=timeout, environment=environment, separate_errors=apart)
        if result.started:
            with self._lock:
                self.processes_started += 1
        return result

    def kernel_log(self) -> Fact[str]:
        lines = _read_kmsg()
        if lines is not None:
            return "".join(f"{line}\n" for line in lines)
        result = self.run(("dmesg",))
        if isinstance(result, Unknown):
            return result
        if result.ok:
            return result.output
        if result.missing:
            return Unknown(f"{_KMSG} can't be read and there is no dmesg")
        return Unknown("the kernel's log may be read by root only (kernel.dmesg_restrict)")

    def environment(self, name: str) -> Fact[str | None]:
        return os.environ.get(name)

    def uid(self) -> Fact[int]:
        return os.geteuid()

    def now(self) -> Fact[float]:
        return time.time()

    def nvml(self, *, timeout: float = 40.0) -> Fact[dict[str, Any] | None]:
        return self._probe("gpu_bringup.probes.nvml", "libnvidia-ml.so.1", (), timeout)

    def cuda(self, *, deep: bool = False, timeout: float = 30.0) -> Fact[dict[str, Any] | None]:
        arguments = ("--deep",) if deep else ()
        return self._probe("gpu_bringup.probes.cuda", "libcuda.so.1", arguments, timeout)

    def _probe(
        self, module: str, soname: str, arguments: Sequence[str], timeout: float
    ) -> Fact[dict[str, Any] | None]:
        from gpu_bringup.hosts.probing import probe

        return probe(
            module,
            soname,
            arguments,
            timeout,
            lambda argv, seconds, environment: self._ask(argv, seconds, environment, apart=True),
        )

    def digest(self, kind: str, path: str) -> Fact[dict[str, Any] | None]:
        from gpu_bringup.hosts.digests import digest

        return digest(kind, path, self._environment.get("PATH", ""))

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        from gpu_bringup.hosts.pty import PtySession

        return PtySession(command, rows, columns)

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        return files.replace_file(path, content, mode)

    def remove_file(self, path: str) -> None:
        files.remove(path)


def _read_kmsg() -> list[str] | None:
    """All records that are in the ring buffer now; None where it can't be read."""
    try:
        # A container may have some other device under this name, whose reading would block.
        status = Path(_KMSG).stat()
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _KMSG_DEVICE:
            return None
        descriptor = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    lines: list[str] = []
    try:
        for _ in range(_KMSG_RECORDS):
            # EPIPE: the buffer wrapped while it was read; reading goes on at the oldest record.
            with contextlib.suppress(BrokenPipeError):
                lines.append(kmsg_line(os.read(descriptor, 8192)))
    except BlockingIOError:
        return lines
    except OSError:
        return lines or None
    finally:
        os.close(descriptor)
    return lines
