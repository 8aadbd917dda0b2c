"""Starts, resumes, finds and attaches to runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup import errors, paths
from gpu_bringup.errors import HostError, InputError, RefusedError
from gpu_bringup.hosts.base import Exited, Lines, Prompt
from gpu_bringup.hosts.detached import python_environment
from gpu_bringup.hosts.environment import STANDARD_PATH
from gpu_bringup.model.plan import Command, Plan
from gpu_bringup.run import history, launch
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.journal import NAME

if TYPE_CHECKING:
    from gpu_bringup.run.history import RunInfo

Ask = Callable[[str], "str | None"]
"""Asks the operator for a secret (sudo's password) with this prompt; None: the operator gave up."""


def start_run(
    plan: Plan,
    *,
    label: str,
    prelude: Sequence[Mapping[str, Any]] = (),
    state: Path | None = None,
    mend: Sequence[Command] = (),
    ask: Ask | None = None,
    old_packages: bool = True,
) -> Follower:
    """Start a run of the plan in a process of its own.

    Args:
        label: what to call the run.
        prelude: journal events of what was proven before (trial builds).
        state: folder for runs; None: the usual one.
        mend: commands that finish an interrupted package transaction, should the run ever be
            resumed out of one.
        ask: gets sudo's password where it is needed; None: sudo must not need one.
        old_packages: keep the packages that it replaces or removes, for undo.

    Raises:
        RunLockedError: another run is under way.
        RefusedError: it needs root and there is no way to become it.
        HostError: it could not be started.
    """
    if os.geteuid() != 0 and needs_root(plan):
        override = state or (paths.state_folder() if os.environ.get("GPU_BRINGUP_STATE") else None)
        text = launch.request_text(
            plan,
            label=label,
            prelude=prelude,
            mend=mend,
            state=override,
            old_packages=old_packages,
        )
        return _through_sudo(text, ask)
    folder = launch.make_run(
        plan,
        label=label,
        prelude=prelude,
        mend=mend,
        state=state or paths.state_folder(),
        old_packages=old_packages,
    )
    try:
        offset = launch.start_worker(folder)
    except errors.RunLockedError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Follower(folder, offset)


def resume_run(run_id: str, *, state: Path | None = None, ask: Ask | None = None) -> Follower:
    """Go on with a run after its last finished command; attaches where it is still running.

    Raises:
        InputError: there is no such run.
        RefusedError: it is done, or waits for a reboot that has not been.
        RunLockedError: another run is under way.
    """
    folder = _find(run_id, state)
    if history.run_info(folder).state == "running":
        return Follower(folder)
    launch.check_resumable(folder)
    if os.geteuid() != 0 and not os.access(folder, os.W_OK):
        return _through_sudo(launch.request_text(None, resume=folder), ask)
    return Follower(folder, launch.start_worker(folder))


def list_runs(state: Path | None = None) -> list[RunInfo]:
    """All runs on this host, oldest first: one's own and, for everybody, root's."""
    folders = [folder for root in _roots(state) for folder in _run_folders(root)]
    runs = [history.run_info(folder) for folder in folders]
    # Names tell the second; within one, what the journal says.
    runs.sort(key=lambda run: (run.run_id[:15], run.started, run.run_id))
    return [_beside(run, runs[at + 1 :]) for at, run in enumerate(runs)]


def _beside(run: RunInfo, later: Sequence[RunInfo]) -> RunInfo:
    """A run that waited doesn't any more where a later one took steps: that one is gone on with."""
    waited = run.unfinished and run.state != "running"
    return replace(run, state="overtaken") if waited and any(r.steps_done for r in later) else run


def _run_folders(root: Path) -> list[Path]:
    try:
        return [folder for folder in root.iterdir() if (folder / history.INFO).is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HostError(
            f"{root} can't be read: {error.strerror}",
            meaning="Whether a run has changed this host is not known.",
            hint="" if os.geteuid() == 0 else "Put sudo before the command.",
        ) from error


def refuse_beside_another(state: Path | None = None) -> None:
    """Is this host free for a run? Asked before long work that a run under way would make useless.

    Raises:
        RunLockedError: another run is under way.
    """
    for root in _roots(state):
        launch.refuse_beside_another(root.parent)


def unfinished_run(state: Path | None = None) -> RunInfo | None:
    """The run that is under way; else the newest one, where it broke off or waits for a reboot."""
    runs = list_runs(state)
    running = [run for run in runs if run.state == "running"]
    if running:
        return running[-1]
    return runs[-1] if runs and runs[-1].unfinished else None


def resumable_run(state: Path | None = None) -> RunInfo | None:
    """The newest run that ever began, unless it is done; None: there is nothing to go on with."""
    for run in reversed(list_runs(state)):
        if run.state == "refused" or not (run.folder / NAME).exists():
            continue
        return None if run.state == "done" else run
    return None


def attach(run_id: str | None = None, *, state: Path | None = None) -> Follower | None:
    """Follow a run from its beginning: the one named, else the unfinished one; None: there is none.

    Raises:
        InputError: there is no such run.
    """
    if run_id is not None:
        return Follower(_find(run_id, state))
    unfinished = unfinished_run(state)
    return None if unfinished is None else Follower(unfinished.folder)


def find_run(run_id: str | None = None, *, state: Path | None = None) -> Path:
    """The folder of a run; without a name that of the newest.

    Raises:
        InputError: there is no such run.
    """
    return _find(run_id, state)


def needs_root(plan: Plan) -> bool:
    """Does any step need root? Asked as an ordinary user."""
    return any(
        any(command.root for command in step.commands)
        or any(not _writable(Path(write.path).parent) for write in step.writes)
        for step in plan.steps
    )


def _writable(folder: Path) -> bool:
    try:
        while not folder.exists():
            folder = folder.parent
    except OSError:
        # A folder above it that this user may not even enter.
        return False
    return os.access(folder, os.W_OK)


def _roots(state: Path | None) -> list[Path]:
    if state is not None:
        return [state / "runs"]
    roots = [paths.runs_folder()]
    if not os.environ.get("GPU_BRINGUP_STATE") and paths.SYSTEM_STATE / "runs" not in roots:
        roots.append(paths.SYSTEM_STATE / "runs")
    return roots


def _find(run_id: str | None, state: Path | None) -> Path:
    runs = [run for run in list_runs(state) if run_id in (None, run.run_id)]
    if not runs:
        raise InputError(
            f"there is no run {run_id}" if run_id else "no run has been made on this host yet",
            hint="gpu-bringup undo --list shows the runs." if run_id else "",
        )
    return runs[-1].folder


def _through_sudo(request: str, ask: Ask | None) -> Follower:
    if shutil.which("sudo", path=STANDARD_PATH) is None:
        raise RefusedError(
            "This needs root, and there is no sudo on this host.",
            meaning="Nothing was changed.",
            hint="Become root (su -), then start gpu-bringup again.",
        )
    from gpu_bringup.hosts.pty import PtySession

    with tempfile.TemporaryDirectory(prefix="gpu-bringup-") as place:
        path = Path(place) / "request.json"
        try:
            path.touch(0o600)
            path.write_text(request, "utf-8")
        except OSError as error:
            raise HostError(
                f"{path} can't be written: {error.strerror}",
                meaning="Nothing was changed.",
                hint="Make room there, or set TMPDIR to another folder.",
            ) from error
        # Proxies may hold a password, and arguments are everybody's: they are in the request.
        environment = python_environment()
        session = PtySession(
            Command(
                (
                    "sudo",
                    *(() if ask else ("-n",)),
                    "--",
                    "env",
                    "-C",
                    "/",
                    *(f"{key}={value}" for key, value in environment.items()),
                    sys.executable,
                    "-m",
                    "gpu_bringup.run.launch",
                    str(path),
                ),
                interactive=True,
            ),
            columns=4096,
        )
        lines: list[str] = []
        status, given_up, asked = 0, False, False
        for event in session:
            if isinstance(event, Lines):
                lines += event.lines
            elif isinstance(event, Exited):
                status = event.status
            elif isinstance(event, Prompt):
                # Asked again: sudo's last word says why ("Sorry, try again.").
                why = f"{lines[-1].strip()}\n" if asked and lines else ""
                asked = True
                answer = ask(why + event.text) if ask else None
                if answer is None:
                    given_up = True
                    session.interrupt()
                else:
                    session.send(answer)
    for line in lines:
        if line.startswith(launch.MARK):
            return _launched(json.loads(line[len(launch.MARK) :]))
    from gpu_bringup.run.sudo_words import refusal

    raise refusal(lines, status, given_up=given_up)


def _launched(reply: dict[str, Any]) -> Follower:
    if "folder" in reply:
        return Follower(Path(reply["folder"]), int(reply["offset"]))
    known = (errors.RunLockedError, RefusedError, HostError, InputError)
    kinds = {kind.__name__: kind for kind in known}
    kind = kinds.get(reply.get("error", ""), HostError)
    raise kind(reply["message"], meaning=reply["meaning"], hint=reply["hint"])
