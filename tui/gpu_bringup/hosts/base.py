"""Host and Session: what may be asked of a machine.

A question has three kinds of answer, everywhere: a value; ``None`` (it is known that there is no
such thing); ``Unknown`` (it could not be found out, and why). No method raises for what a machine
answers or fails to answer, and none blocks longer than its deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Union, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpu_bringup.model.facts import Certificate, Space
    from gpu_bringup.model.plan import Command
    from gpu_bringup.model.unknown import Fact


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a read-only command answered.

    ``exit`` is 127 when there is no such command, 124 when it didn't answer within its deadline.
    ``output`` is standard output and standard error together, as in a host record.
    """

    exit: int
    output: str

    @property
    def ok(self) -> bool:
        return self.exit == 0

    @property
    def missing(self) -> bool:
        return self.exit == 127

    @property
    def timed_out(self) -> bool:
        return self.exit == 124


# --- what a running session says, in order -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lines:
    """Finished lines, without their line ends; what carriage returns overwrote is gone."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """The unfinished last line as it stands now (a progress bar, a prompt)."""

    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The command waits for an answer. ``secret``: it switched the terminal's echo off."""

    text: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Exited:
    """The command has ended."""

    status: int
    """Exit status; 128 + signal number when a signal ended it; 127: no such command."""


SessionEvent = Union[Lines, Partial, Prompt, Exited]


class Session(Protocol):
    """One command running on a terminal of its own."""

    def __iter__(self) -> Iterator[SessionEvent]:
        """Events until ``Exited``, which is always the last."""

    def send(self, text: str) -> None:
        """Answer a prompt: ``text`` and Enter. Never logged."""

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell it the size of the terminal that shows it."""


@runtime_checkable
class Host(Protocol):
    """A machine: this one, a recorded one, a simulated one."""

    @property
    def kind(self) -> str:
        """ "local", "recorded" or "simulated"."""

    @property
    def label(self) -> str:
        """Name to show on the screen ("this machine", "h200-x1.json")."""

    def read_text(self, path: str, *, limit: int = 4_000_000) -> Fact[str | None]:
        """The file's text (UTF-8, junk replaced), at most ``limit`` bytes of it."""

    def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
        """Names in the folder, sorted."""

    def read_link(self, path: str) -> Fact[str | None]:
        """What the symbolic link says; None where it is no link or absent."""

    def resolve(self, path: str) -> Fact[str | None]:
        """The real path at the end of all links; None where there is nothing."""

    def exists(self, path: str) -> Fact[bool]:
        """Is there a file, folder or working link?"""

    def certificates(self, path: str) -> Fact[tuple[Certificate, ...] | None]:
        """Public certificates in a DER or PEM file or an EFI signature list."""

    def space(self, path: str) -> Space:
        """Free space on the file system that holds ``path``."""

    def run(self, argv: Sequence[str], *, timeout: float = 10.0) -> Fact[CommandResult]:
        """Ask a read-only question: no terminal, no input, LC_ALL=C, killed at its deadline.

        Unknown only where the question can't be asked at all (a record that lacks it).
        """

    def kernel_log(self) -> Fact[str]:
        """The kernel's ring buffer, one message a line, as ``dmesg`` prints it."""

    def environment(self, name: str) -> Fact[str | None]:
        """A variable of the environment that programs on this host run with."""

    def uid(self) -> Fact[int]:
        """Effective user id."""

    def now(self) -> Fact[float]:
        """Seconds since 1970, by this host's clock."""

    def nvml(self, *, timeout: float = 40.0) -> Fact[dict[str, Any] | None]:
        """What NVML says, asked in a child process: the record's "nvml" object; None: no library."""

    def cuda(self, *, deep: bool = False, timeout: float = 30.0) -> Fact[dict[str, Any] | None]:
        """What libcuda says, asked in a child process: the record's "cuda" object; None: no library.

        ``deep`` runs a kernel, measures bandwidth and tests peer access on every GPU.
        """

    def digest(self, kind: str, path: str) -> Fact[dict[str, Any] | None]:
        """What a file that is no text says, as a JSON object; None: there is no such file.

        ``kind`` says how to read it: "initramfs" (see ``hosts.initramfs``), "dnf-history" (see
        ``hosts.package_history``), "log" (a packed text: {"text", "whole"}). An initramfs takes up to
        seconds: asked only where somebody wants to know.
        """

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        """Start a command on a terminal.

        Raises:
            ReadOnlyHostError: this host can only be looked at.
        """

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        """Replace a text file atomically; returns the text that was there, or None.

        Raises:
            ReadOnlyHostError: this host can only be looked at.
            HostError: it could not be written (full disk, read-only file system, no permission).
        """

    def remove_file(self, path: str) -> None:
        """Remove a file; no error where there is none.

        Raises:
            ReadOnlyHostError, HostError: as ``write_file``.
        """
