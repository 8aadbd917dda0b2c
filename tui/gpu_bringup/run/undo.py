"""The way back: a plan that takes back what a run did, made from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.errors import InputError, RefusedError
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.run import history
from gpu_bringup.run.journal import NAME, read_events

if TYPE_CHECKING:
    from gpu_bringup.run.history import SavedFile


def undo_plan(run_folder: Path) -> Plan:
    """The steps that take a run back, last step first.

    Each puts the files back that the step replaced, removes those that it made, then runs the
    step's own undo commands (which may need the old files: an initramfs is rebuilt from them). Only
    what the journal says was touched is taken back; empty where nothing was.

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
    plan = history.load_plan(run_folder)
    events = read_events(run_folder / NAME)
    saved = history.saved_files(events)
    touched = history.touched_steps(events) | history.done_steps(events)
    as_root = run_folder.stat().st_uid == 0
    steps = []
    for step in reversed(plan.steps):
        files = [item for item in saved if item.step == step.id]
        undo = step.undo if step.id in touched else ()
        if files or undo:
            steps.append(_back(step, files, undo, as_root))
    return Plan(target=plan.target, steps=tuple(steps))


def _back(step: Step, files: list[SavedFile], undo: tuple[Command, ...], as_root: bool) -> Step:
    made = [item.path for item in files if not item.backup]
    # Written last, restored first.
    writes = [_restore(item) for item in reversed(files) if item.backup]
    remove = (Command(("rm", "-f", "--", *made), root=as_root),) if made else ()
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
