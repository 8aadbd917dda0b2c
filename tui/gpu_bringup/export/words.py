"""Words and figures that all the export formats share. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command, Plan, Step


def duration(seconds: int) -> str:
    """ "40 s", "3 min", "1 h 10 min": what a person plans with."""
    if seconds < 90:
        return f"{seconds} s"
    minutes = (seconds + 30) // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def size(count: int) -> str:
    """ "512 kB", "70 MB", "1.3 GB", in powers of ten as apt writes them."""
    if count < 0:
        return f"-{size(-count)}"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count} B"


def _words_of(command: Command) -> list[str]:
    pairs = [f"{name}={value}" for name, value in command.environment]
    return ["env", *pairs, *command.argv] if pairs else list(command.argv)


@dataclass(frozen=True, slots=True)
class Short:
    """A name for the words that every call of the package manager in a plan begins with."""

    name: str
    words: tuple[str, ...]
    stands_for: str
    """The program that these words call."""

    def fits(self, command: Command) -> bool:
        """Does the command begin with these words?"""
        return command.root and tuple(_words_of(command)[: len(self.words)]) == self.words


_LONG = 6
"""Fewer words than this in common are shorter than an explanation."""


def short_of(plan: Plan, name: str = "") -> Short | None:
    """What to call the words that the plan's package manager calls have in common.

    None where there are less than three calls, or few words. ``name``: "" for the program's own.
    """
    commands = [c for step in plan.steps for c in (*step.commands, *step.undo)]
    calls = [_words_of(c) for c in commands if c.package_manager and c.root and len(c.argv) > 1]
    programs = [c.argv[0] for c in commands if c.package_manager and c.root and len(c.argv) > 1]
    program = max(dict.fromkeys(programs), key=programs.count, default="")
    same = [words for words, its in zip(calls, programs, strict=True) if its == program]
    if len(same) < 3:
        return None
    common = same[0]
    for words in same[1:]:
        count = next(
            (n for n, (a, b) in enumerate(zip(common, words, strict=False)) if a != b),
            min(len(common), len(words)),
        )
        common = common[:count]
    if program not in common:
        return None
    # What is to be done ("install") stays where it is read.
    start = common.index(program) + 1
    verb = next((n for n, word in enumerate(common[start:], start) if word.isalpha()), len(common))
    common = common[:verb]
    if len(common) < _LONG:
        return None
    return Short(name or program, tuple(common), program)


def shell_line(command: Command, short: Short | None = None) -> str:
    """The command as one line that a shell understands, its environment in front.

    ``short``: a name for the words that it begins with, where it does.
    """
    words = _words_of(command)
    if short is not None and short.fits(command):
        words = [short.name, *words[len(short.words) :]]
    return shlex.join(words)


def one_line(text: str) -> str:
    """The text without line ends and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def target_line(plan: Plan) -> str:
    """What the plan wants, in one line; "" when it has no target, or nothing of it will be done."""
    if plan.empty and plan.blocked:
        return ""
    driver: dict[str, Any] = plan.target.get("driver") or {}
    kernel: dict[str, Any] = plan.target.get("kernel") or {}
    parts = []
    if driver:
        words = (driver.get("version") or driver.get("branch") or "", driver.get("flavour") or "")
        sure = " (not certain)" if driver.get("certain") is False else ""
        parts.append(f"NVIDIA driver {' '.join(w for w in words if w)}".strip() + sure)
    releases = kernel.get("releases") or ([kernel["release"]] if kernel.get("release") else [])
    if releases:
        parts.append(f"kernel {', '.join(releases)}")
    return one_line(" on ".join(parts))


def nothing_words(plan: Plan) -> str:
    """What a plan without steps says: all is well, or nothing can be done from here."""
    if plan.blocked:
        return "No step can be taken here."
    return "Nothing to do: every rung that can be looked at holds."


def facts_of(step: Step) -> str:
    """ "about 3 min, 70 MB to download, 270 MB on disk, reboot, stops GPU work"."""
    parts = [f"about {duration(step.estimate_seconds)}"]
    if step.download_bytes:
        parts.append(f"{size(step.download_bytes)} to download")
    if step.installed_bytes:
        parts.append(f"{size(step.installed_bytes)} on disk")
    if step.reboot:
        parts.append("needs a reboot")
    if step.stops_workloads:
        parts.append("stops GPU work")
    return ", ".join(parts)


def summary(plan: Plan) -> str:
    """ "4 steps, about 8 min, one reboot"."""
    count = len(plan.steps)
    reboots = sum(step.reboot for step in plan.steps)
    words = [
        "1 step" if count == 1 else f"{count} steps",
        f"about {duration(plan.estimate_seconds)}",
    ]
    words.append(
        "no reboot" if not reboots else "1 reboot" if reboots == 1 else f"{reboots} reboots"
    )
    return ", ".join(words)
