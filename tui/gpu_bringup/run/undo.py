"""The way back: a plan that takes back what a run did, made from its journal and what it kept."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.errors import InputError, RefusedError
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.run import history, lock, store
from gpu_bringup.run.journal import NAME, read_events

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.run.history import SavedFile

LABEL = "undo"
UNDONE = "undone"
"""Written into a run's folder once it is taken back wholly, also by ``undo.sh``."""
_PATIENCE = 60.0
"""Seconds that a worker may take to note the packages after its last word."""


def undo_plan(run_folder: Path, host: Host | None = None) -> Plan:
    """The steps that take a run back, last step first.

    Each puts the files back that the step replaced, removes those that it made, then runs the
    step's own undo commands (which may need the old files: an initramfs is rebuilt from them). Only
    what the journal says was touched is taken back; empty where nothing was. Where the run kept the
    old packages, they come back from there, with their marks, in one step that needs no network; then
    the boot default and the initramfs images. ``blocked`` tells what no undo can take back.

    Raises:
        RefusedError: the run is under way.
        InputError: its folder can't be read.
    """
    if history.run_info(run_folder).state == "running":
        raise RefusedError(
            f"The run {run_folder.name} is under way.",
            meaning="It can be taken back only when it has ended.",
            hint="Stop it first, or wait.",
        )
    until = time.monotonic() + _PATIENCE
    while lock.is_held(lock.worker_lock(run_folder)) and time.monotonic() < until:
        time.sleep(0.05)
    plan = history.load_plan(run_folder)
    events = read_events(run_folder / NAME)
    saved = history.saved_files(events)
    touched = history.touched_steps(events) | history.done_steps(events)
    as_root = run_folder.stat().st_uid == 0
    kept = _kept(run_folder)
    steps = []
    for step in reversed(plan.steps):
        files = [item for item in saved if item.step == step.id]
        undo = store.own_undo(step, kept=kept) if step.id in touched else ()
        if files or undo:
            steps.append(_back(step, files, undo, as_root))
    done = tuple(step for step in plan.steps if step.id in touched)
    if kept:
        steps += _from_store(run_folder, done, host or LocalHost(), as_root)
    told = store.irrevocable(done) if steps else ()
    return Plan(target=plan.target, steps=tuple(steps), blocked=told)


def left_over(plan: Plan, host: Host) -> Plan:
    """The plan without what is taken back already: an undo that was stopped goes on from there.

    Only steps of files alone can be judged; commands are repeated, which harms nothing.
    """
    from gpu_bringup.run.keep import as_wanted

    def there(step: Step) -> bool:
        removes = [path for c in step.commands if c.argv[:3] == _REMOVE for path in c.argv[3:]]
        only_files = len(step.commands) == (1 if removes else 0)
        return not (
            only_files
            and all(as_wanted(host, write) for write in step.writes)
            and all(host.exists(path) is False for path in removes)
        )

    return replace(plan, steps=tuple(step for step in plan.steps if there(step)))


def is_undone(folder: Path) -> bool:
    """Was the run in this folder taken back wholly? False where that may not be looked at."""
    try:
        return (folder / UNDONE).exists()
    except OSError:
        return False


def newest_to_undo(runs: list[history.RunInfo]) -> str | None:
    """The run that ``undo`` means without a name: the newest that is no undo and not taken back."""
    for item in reversed(runs):
        if not item.label.startswith(LABEL) and not is_undone(item.folder):
            return item.run_id
    return None


_REMOVE = ("rm", "-f", "--")


def _kept(folder: Path) -> bool:
    path = folder / store.FOLDER / "before.packages"
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror}",
            file=str(path),
            hint="What root's runs kept is read by root only: put sudo before the command.",
        ) from error


def _from_store(folder: Path, done: tuple[Step, ...], host: Host, as_root: bool) -> list[Step]:
    script = str(folder / store.SCRIPT)

    def part(name: str, title: str, why: str, seconds: int) -> Step:
        command = Command(
            ("sh", script, "--only", name), root=as_root, package_manager=name == "packages"
        )
        return Step(f"undo-{name}", "packages", title, why, (command,), estimate_seconds=seconds)

    steps = []
    lines = _shown(host, script, "packages")
    if lines:
        back = sum(line.startswith("brings back ") for line in lines)
        away = sum(line.startswith("removes ") for line in lines)
        step = part(
            "packages",
            f"Packages: bring back {back}, remove {away}; marks and holds as they were",
            "From what the run kept before its first change: no network is needed.",
            60 + 20 * (back + away),
        )
        steps.append(replace(step, expect="\n".join(lines)))
    else:
        # Marks alone may have changed.
        steps.append(part("packages", "Marks and holds of packages as they were", "", 2))
    boot = _shown(host, script, "boot")
    if boot:
        step = part("boot", "Boot default as it was", "The run changed what is started next.", 2)
        steps.append(replace(step, expect="\n".join(boot)))
    again = tuple(c for c in store.rebuilds(done) if _for_a_kernel_that_is_there(c, host))
    if again:
        steps.append(
            Step(
                "undo-initramfs",
                "packages",
                "Build each initramfs again",
                "It holds copies of the files and modules that were just put back.",
                again,
                estimate_seconds=45 * len(again),
            )
        )
    steps.append(part("done", "Note that this run is taken back", "", 1))
    return steps


def _for_a_kernel_that_is_there(command: Command, host: Host) -> bool:
    releases = [word for word in command.argv[1:] if word[:1].isdigit() and "." in word]
    return all(host.exists(f"/lib/modules/{release}") is not False for release in releases)


def _shown(host: Host, script: str, part: str) -> tuple[str, ...]:
    """What the script would do for a part, a line each; empty: nothing.

    Raises:
        RefusedError: it can't be done (an old package is not there).
    """
    answer = host.run(("sh", script, "--only", part, "--show"), timeout=120.0)
    if isinstance(answer, Unknown):
        raise RefusedError(f"What is to be taken back could not be found out: {answer.reason}")
    if not answer.ok:
        words = [line for line in answer.output.splitlines() if line.startswith("undo: ")]
        raise RefusedError(
            " ".join(word.partition(": ")[2] for word in words) or answer.output.strip()[-500:],
            meaning="Nothing was changed.",
        )
    return tuple(line.strip() for line in answer.output.splitlines() if line.startswith("  "))


def _back(step: Step, files: list[SavedFile], undo: tuple[Command, ...], as_root: bool) -> Step:
    made = [item.path for item in files if not item.backup]
    # Written last, restored first.
    writes = [_restore(item) for item in reversed(files) if item.backup]
    remove = (Command((*_REMOVE, *made), root=as_root),) if made else ()
    return Step(
        id=f"undo-{step.id}",
        rung=step.rung,
        title=f"Take back: {step.title}",
        why="The run did this; its files are put back as they were and its commands are reversed.",
        commands=(*remove, *undo),
        writes=tuple(writes),
        reboot=False,
        stops_workloads=step.stops_workloads,
        estimate_seconds=step.estimate_seconds,
    )


def _restore(item: SavedFile) -> Write:
    try:
        # Bytes that are no UTF-8 travel as surrogates; hosts write them back as they were.
        content = Path(item.backup).read_bytes().decode(errors="surrogateescape")
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror}",
            file=item.backup,
            hint="The kept files of root's runs are read by root only: put sudo before the command.",
        ) from error
    return Write(item.path, content, item.mode, exact=True)
