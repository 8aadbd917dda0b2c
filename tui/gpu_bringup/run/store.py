"""What a run keeps so that it can be taken back after success, offline and without Python.

Before its first change a run notes the package set, marks, holds and the boot default, and fetches
the old packages that it will replace or remove (``scripts/undo-store.sh``); beside its journal lies
``undo.sh`` (``scripts/undo-run.sh`` with this plan's own undo commands in it).

Sources: apt-get(8) (download, -s), dpkg(1) (--force-downgrade), apt-mark(8), rpm(8) (--oldpackage),
dnf's download command, zypper(8) (download).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gpu_bringup.hosts.base import Host

KEEP = "keep-for-undo"
MAKE_ROOM = "make-room"
"""Id of the step of ``ladder.room`` that removes nothing but caches and old logs."""
"""Id of the step that comes before the first change."""
FOLDER = "undo"
SCRIPT = "undo.sh"
_STORE = "store.sh"
_MARK = "# @STEPS@\n"
_MANAGERS = {"apt-get": "apt", "apt": "apt", "dnf": "dnf", "dnf5": "dnf", "zypper": "zypper"}
_CHANGES = frozenset(
    {"install", "remove", "purge", "reinstall", "upgrade", "downgrade", "autoremove", "swap",
     "full-upgrade", "dist-upgrade", "distro-sync", "dup", "update"}
)  # fmt: skip
_REBUILDERS = frozenset({"update-initramfs", "dracut", "mkinitrd", "mkinitramfs"})


def _name(command: Command) -> str:
    return command.argv[0].rsplit("/", 1)[-1]


def _manager(command: Command) -> str:
    """The package manager that a command calls, also through a script of ours; empty: none."""
    if not command.package_manager:
        return ""
    if _name(command) == "sh" and len(command.argv) > 2:
        return command.argv[2] if command.argv[2] in _MANAGERS.values() else ""
    return _MANAGERS.get(_name(command), "")


def manager_of(plan: Plan) -> str:
    """ "apt", "dnf", "zypper"; empty where the plan changes no packages."""
    commands = (command for step in plan.steps for command in step.commands)
    return next((found for command in commands if (found := _manager(command))), "")


def changes_packages(command: Command) -> bool:
    """Might it install, replace or remove a package (and not only read indexes or set marks)?"""
    manager = _manager(command)
    if not manager:
        return False
    if _name(command) == "sh":
        return True
    words = set(command.argv[1:])
    # apt-get update only reads indexes; zypper's and dnf's update installs.
    return bool(words & (_CHANGES - {"update"} if manager == "apt" else _CHANGES))


def package_names(plan: Plan) -> tuple[str, ...]:
    """Names that the plan's package commands speak of; more than packages, nothing left out."""
    words: dict[str, None] = {}
    for step in plan.steps:
        words.update(dict.fromkeys(name.partition("=")[0] for name in step.packages))
        for command in step.commands:
            if changes_packages(command):
                first = 4 if _name(command) == "sh" else 1
                names = (word.partition("=")[0] for word in command.argv[first:])
                # Options' values ("Dpkg::Use-Pty") are no names.
                words.update(dict.fromkeys(n for n in names if n[:1].isalnum() and "::" not in n))
    return tuple(sorted(set(words) - _CHANGES))


def with_store(plan: Plan, folder: Path, *, old_packages: bool = True) -> Plan:
    """The plan with the steps that keep what undo needs; unchanged where it touches no packages.

    Args:
        folder: the run's folder.
        old_packages: also fetch the packages; False: only the lists are kept.
    """
    manager = manager_of(plan)
    if not manager or any(step.id == KEEP for step in plan.steps):
        return plan
    script, place = str(folder / FOLDER / _STORE), str(folder / FOLDER)
    verb = ("begin", place, manager, *package_names(plan)) if old_packages else (
        "lists", place, manager
    )  # fmt: skip
    first = Step(
        id=KEEP,
        rung="packages",
        title="Keep what undo needs: package list, marks, boot default, old packages"
        if old_packages
        else "Keep what undo needs: package list, marks, boot default",
        why="A driver that worked must be there to go back to, also when the archive no longer has "
        "it and without network. Nothing is changed by this.",
        commands=(Command(("sh", script, *verb)),),
        estimate_seconds=20 if old_packages else 3,
    )

    def with_fetch(step: Step) -> Step:
        commands: list[Command] = []
        for command in step.commands:
            if old_packages and changes_packages(command):
                commands.append(Command(("sh", script, "fetch", place, *command.argv)))
            commands.append(command)
        return replace(step, commands=tuple(commands))

    steps = tuple(map(with_fetch, plan.steps))
    # On a full disk there is no place to keep anything in before room is made.
    begin = 1 if makes_room(plan) else 0
    return replace(plan, steps=(*steps[:begin], first, *steps[begin:]))


def makes_room(plan: Plan) -> bool:
    """Does the plan begin with a step that frees space without changing any package?"""
    return bool(plan.steps) and plan.steps[0].id == MAKE_ROOM


def prepare(folder: Path, plan: Plan) -> dict[Path, tuple[str, int]]:
    """The files of a new run that undo needs: path -> (text, mode). Reads only our own scripts."""
    files = {folder / SCRIPT: (undo_script(plan), 0o700)}
    if any(step.id == KEEP for step in plan.steps):
        text = data_folder("scripts").joinpath("undo-store.sh").read_text(encoding="utf-8")
        files[folder / FOLDER / _STORE] = (text, 0o700)
    return files


def note_end(host: Host, folder: Path) -> None:
    """Write down how the packages stand after the run; where nothing was kept, nothing is done.

    An answer is not waited for longer than a minute: without the note undo compares with whatever
    is there when it runs.
    """
    script = folder / FOLDER / _STORE
    if script.is_file():
        host.run(("sh", str(script), "end", str(folder / FOLDER)), timeout=60.0)


# --- the plain script


def own_undo(step: Step, *, kept: bool) -> tuple[Command, ...]:
    """The undo commands of a step that are its own.

    Args:
        kept: packages, marks and holds come back from the store (which also knows what was held
            before), and initramfs images are rebuilt in the end.
    """
    if not kept:
        return step.undo
    return tuple(
        c
        for c in step.undo
        if not changes_packages(c) and not _marks(c) and _name(c) not in _REBUILDERS
    )


def _marks(command: Command) -> bool:
    """Does it only set or take marks, holds or locks of packages?"""
    words = {"versionlock", "addlock", "removelock"}
    return _name(command) == "apt-mark" or bool(_manager(command) and words & set(command.argv))


def rebuilds(steps: Iterable[Step]) -> tuple[Command, ...]:
    """The initramfs rebuilds of these steps and of their undo, each once."""
    commands = (command for step in steps for command in (*step.commands, *step.undo))
    return tuple(dict.fromkeys(c for c in commands if _name(c) in _REBUILDERS))


def irrevocable(steps: Iterable[Step]) -> tuple[str, ...]:
    """What these steps do that no undo takes back, for the operator to read before and after."""
    told = []
    for step in steps:
        for command in step.commands:
            if _name(command) == "mokutil" and "--import" in command.argv[1:-1]:
                certificate = command.argv[command.argv.index("--import") + 1]
                told.append(
                    "A key that was confirmed at the console stays in the firmware: no command takes "
                    f"it out. mokutil --delete {shlex.quote(certificate)} asks for that at the next "
                    "boot, and you confirm it at the console again. A request that was not "
                    "confirmed yet is withdrawn."
                )
    return tuple(dict.fromkeys(told))


def _line(command: Command, word: str = "run") -> str:
    statuses = " ".join(map(str, command.ok_statuses))
    environment = [f"{key}={value}" for key, value in command.environment]
    argv = (*(("env", *environment) if environment else ()), *command.argv)
    text = f"{word} {' '.join(map(shlex.quote, argv))}"
    return f"ok={shlex.quote(statuses)}; {text}; ok=0" if statuses != "0" else text


def undo_script(plan: Plan) -> str:
    """``undo.sh`` for a plan: plain shell with each word quoted."""
    template = data_folder("scripts").joinpath("undo-run.sh").read_text(encoding="utf-8")
    kept = any(step.id == KEEP for step in plan.steps)
    lines = [f"steps='{' '.join(str(n) for n in range(len(plan.steps), 0, -1))}'"]
    for number, step in enumerate(plan.steps, 1):
        lines += [
            f"id_{number}={shlex.quote(step.id)}",
            f"title_{number}={shlex.quote(step.title)}",
        ]
        commands = own_undo(step, kept=kept)
        lines += [f"commands_{number}() {{", *(f"    {_line(c)}" for c in commands), "    :", "}"]
    if kept:
        again = rebuilds(plan.steps)
        lines += ["initramfs() {", *(f"    {_line(c, 'for_kernel')}" for c in again), "    :", "}"]
    told = irrevocable(plan.steps)
    lines += ["irrevocable() {", *(f"    say {shlex.quote(text)}" for text in told), "    :", "}"]
    return template.replace(_MARK, "\n".join(lines) + "\n")


# --- before the run


@dataclass(frozen=True, slots=True)
class Estimate:
    """What keeping the old packages would take."""

    packages: int
    bytes: int
    """0 where the package manager doesn't tell."""
    free: int
    margin: int
    missing: tuple[tuple[str, str], ...]
    """(package, version) that no repository and no cache here has any more."""

    @property
    def too_big(self) -> bool:
        return self.bytes + self.margin > self.free


def estimate(host: Host, plan: Plan, state: Path) -> Estimate | None:
    """Look what the run would keep; None: it touches no packages, or the host doesn't tell.

    Takes up to a second; changes nothing and needs no root.
    """
    manager = manager_of(plan)
    if not manager or host.kind != "local":
        return None
    script = data_folder("scripts").joinpath("undo-store.sh").read_text(encoding="utf-8")
    argv = ("sh", "-c", script, "undo-store", "estimate", str(state), manager)
    answer = host.run((*argv, *package_names(plan)), timeout=60.0)
    if isinstance(answer, Unknown) or not answer.ok:
        return None
    told: dict[str, int] = {}
    missing = []
    for line in answer.output.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "missing":
            missing.append((words[1], words[2]))
        elif len(words) == 2 and words[1].isdigit():
            told[words[0]] = int(words[1])
    if not {"packages", "bytes", "free", "margin"} <= set(told):
        return None
    return Estimate(told["packages"], told["bytes"], told["free"], told["margin"], tuple(missing))
