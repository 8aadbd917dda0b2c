"""What a command would have done on a real server: help from data, and what teaches about disasters. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.lesson import CommandHelp
    from gpu_bringup.training.library import Library

_JOINTS = frozenset({";", "&&", "||", "|", "&"})
_BEFORE = frozenset({"sudo", "env", "time", "nohup", "nice"})
_SAME = {
    "apt": "apt-get",
    "yum": "dnf",
    "dnf5": "dnf",
    "egrep": "grep",
    "less": "cat",
    "more": "cat",
}
_SYSTEM = re.compile(
    r"^/(bin|boot|dev|etc|home|lib|lib64|opt|proc|root|run|sbin|srv|sys|usr|var)?/?(\*|\.\*)?$"
)


def simple_commands(line: str) -> tuple[tuple[str, ...], ...]:
    """The commands of a line, each as its words; ``sudo`` and the like are taken off.

    A line that can't be taken apart (an open quotation) counts as one command of its words.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        words = line.split()
    found: list[tuple[str, ...]] = []
    now: list[str] = []
    for word in [*words, ";"]:
        if word in _JOINTS:
            if command := _plain(now):
                found.append(command)
            now = []
        else:
            now.append(word)
    return tuple(found)


def _plain(words: Sequence[str]) -> tuple[str, ...]:
    rest = list(words)
    while rest:
        name = rest[0].rsplit("/", 1)[-1]
        if name in _BEFORE:
            rest.pop(0)
            while rest and rest[0].startswith("-"):
                rest.pop(0)
        elif re.match(r"[A-Za-z_]\w*=", rest[0]):
            rest.pop(0)
        else:
            rest[0] = name
            break
    return tuple(rest)


def help_for(library: Library, words: Sequence[str]) -> CommandHelp | None:
    """The help for a command: the entry with the most words that the command has; None: there is none."""
    if not words:
        return None
    named = [_SAME.get(words[0], words[0]), *words[1:]]
    best: CommandHelp | None = None
    for entry in library.commands.values():
        wanted = entry.command.split()
        if wanted[0] != named[0] or not _fits(wanted[1:], named[1:]):
            continue
        if best is None or len(wanted) > len(best.command.split()):
            best = entry
    return best


def _fits(wanted: Sequence[str], words: Sequence[str]) -> bool:
    """Do the wanted words come in this order, whatever options stand between them?"""
    if list(wanted[1:]) == ["/"]:
        return is_disaster(("rm", *words))
    rest = iter(words)
    return all(any(_same_word(word, item) for item in rest) for word in wanted)


def _same_word(wanted: str, word: str) -> bool:
    if wanted == word:
        return True
    # "-rv" has "-r" in it, "--gpu-reset=0" has "--gpu-reset".
    if wanted.startswith("--"):
        return word.startswith(f"{wanted}=")
    short = re.fullmatch(r"-[A-Za-z]", wanted) and re.fullmatch(r"-[A-Za-z]+", word)
    return bool(short) and wanted[1] in word[1:]


@dataclass(frozen=True, slots=True)
class Told:
    """The explanation of one command."""

    command: str
    does: str
    changes: str
    risk: str
    undo: str
    options: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    """Titles, with their addresses where they have one."""

    @property
    def looks_only(self) -> bool:
        return not self.changes

    def lines(self) -> tuple[str, ...]:
        """In words, for a terminal."""
        rows = [f"{self.command}: {self.does}"]
        rows.append(
            f"Changes: {self.changes}" if self.changes else "Changes: nothing, it only looks."
        )
        rows += [f"Risk: {self.risk}"] if self.risk else []
        rows += [f"Back: {self.undo}"] if self.undo else []
        rows += [f"  {option}: {meaning}" for option, meaning in self.options]
        rows += [f"Source: {source}" for source in self.sources]
        return tuple(rows)


def explain(library: Library, line: str) -> tuple[Told, ...]:
    """What each command of a line would have done on a real server; those not known are left out."""
    found: dict[str, Told] = {}
    for words in simple_commands(line):
        entry = help_for(library, words)
        if entry is None:
            continue
        sources = tuple(
            f"{source.title}{f' <{source.url}>' if source.url else ''}"
            for source in (library.sources[name] for name in entry.sources)
        )
        found[entry.command] = Told(
            entry.command, entry.does, entry.changes, entry.risk, entry.undo, entry.options, sources
        )
    return tuple(found.values())


def is_disaster(words: Sequence[str]) -> bool:
    """Would this command destroy the system as a whole?"""
    if not words:
        return False
    name, rest = words[0], words[1:]
    options = "".join(word[1:] for word in rest if re.fullmatch(r"-[A-Za-z]+", word))
    recursive = bool({"r", "R"} & set(options)) or "--recursive" in rest
    paths = [re.sub(r"/+", "/", word) for word in rest if word.startswith("/")]
    if name in ("rm", "shred"):
        return recursive and any(_SYSTEM.match(path) for path in paths)
    if name in ("chmod", "chown", "chgrp"):
        return recursive and any(path in ("/", "/*") for path in paths)
    if name == "dd":
        return any(re.match(r"of=/dev/(sd|nvme|vd|xvd|mapper|md)", word) for word in rest)
    if name.split(".")[0] in ("mkfs", "wipefs", "mkswap"):
        return any(path.startswith("/dev/") for path in paths)
    return False


def lesson_of_disaster(words: Sequence[str]) -> str:
    """What to take along from a command that would have destroyed the system."""
    line = shlex.join(words)
    text = (
        f"TRAINING: on a real server '{line}' would be the end of this day: the system, the data, and "
        "whatever other servers share through a mount would be gone, and nothing but backups brings it "
        "back. "
    )
    if words[0] == "rm":
        guarded = "/" in words and "--no-preserve-root" not in words
        text += (
            "GNU rm declines to work on / itself (--preserve-root); "
            + ("here that saved you. " if guarded else "what you typed is not caught by that. ")
            + "Nearly always it happens by an empty variable, as in rm -rf /$FOLDER. Name full paths, "
            "look with ls first, and leave files of packages to the package manager."
        )
    else:
        text += "Read such a line twice, and name devices by what lsblk shows just before."
    return text
