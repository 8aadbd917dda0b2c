"""Makes a run's folder and starts its worker; also as root for an operator who is not.

``sudo python -m gpu_bringup.run.launch REQUEST`` does it in root's state folder and prints one line
of JSON: the run's folder, or what went wrong.

Who may see what of a run: its folder, journal and logs may be read by everybody on the host, as
dpkg's log may, so that an operator can follow a run of root's; the plan (the text of private files)
and the kept files only by the worker's user; the control socket is opened by the worker's user and
whoever started it through sudo.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup import __version__
from gpu_bringup.errors import BringupError, HostError, InputError, RefusedError
from gpu_bringup.hosts.detached import python_environment, start_detached
from gpu_bringup.hosts.environment import PROXY_VARIABLES, proxies
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Command, Plan
from gpu_bringup.paths import state_folder
from gpu_bringup.run import fits, history, lock, store, trusted
from gpu_bringup.run.journal import NAME, parse_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARK = "gpu-bringup-run: "
_PROXIES = "proxies.json"
_PATIENCE = 30.0
_ROOM = 32 << 20
"""Bytes that a run's folder, its logs and its reserve take at most, with something to spare."""
_ENDING = 3.0
"""Seconds that a worker may take from its last word to its end."""


def make_run(
    plan: Plan,
    *,
    label: str,
    prelude: Sequence[Mapping[str, Any]],
    mend: Sequence[Command],
    state: Path,
    old_packages: bool = True,
) -> Path:
    """Make the folder of a new run; returns it.

    ``old_packages``: keep the packages that it replaces or removes, for undo.

    Raises:
        RunLockedError: another run is under way.
        HostError: it can't be made.
    """
    refuse_beside_another(state)
    made = _make_room(plan, state)
    owner = os.environ.get("SUDO_UID", "")
    info = {
        "schema": 1,
        "label": label,
        "tool_version": __version__,
        "owner": int(owner) if owner.isdigit() and os.geteuid() == 0 else os.geteuid(),
        "host_mark": fits.host_mark(),
        "prelude": [*(dict(item) for item in prelude), *made],
        "mend": [command.to_json() for command in mend],
    }
    run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    folder = state / "runs" / run_id
    plan = store.with_store(plan, folder, old_packages=old_packages)
    try:
        for part in (state, state / "runs", folder):
            part.mkdir(mode=0o755, parents=True, exist_ok=part != folder)
            trusted.refuse_untrusted(part)
        folder.chmod(0o755)
        _write(folder / history.PLAN, json.dumps(plan.to_json(), indent=1), 0o600)
        _write(folder / history.INFO, json.dumps(info, indent=1), 0o644)
        (folder / store.FOLDER).mkdir(mode=0o700)
        for path, (text, mode) in store.prepare(folder, plan).items():
            _write(path, text, mode)
    except OSError as error:
        raise HostError(
            f"The run's folder can't be made: {folder}: {error.strerror}",
            meaning="Nothing was changed.",
            hint="df -h shows whether a disk is full.",
        ) from error
    return folder


def _make_room(plan: Plan, state: Path) -> list[dict[str, Any]]:
    """Clean a disk on which not even the run's own folder fits, where the plan begins with that.

    The step frees caches and old logs only, and is taken again as the run's first: nothing is done
    that the operator didn't agree to. Returns what goes to the journal.
    """
    if not store.makes_room(plan) or os.geteuid() != 0:
        return []
    host = LocalHost()
    place = next(part for part in (state, *state.parents) if part.is_dir())
    if shutil.disk_usage(place).free >= _ROOM:
        return []
    for command in plan.steps[0].commands:
        host.run(command.argv, timeout=120.0)
    free = shutil.disk_usage(place).free
    argvs = [list(command.argv) for command in plan.steps[0].commands]
    return [{"event": "room-made", "commands": argvs, "free_bytes": free}]


def hand_over(folder: Path, settings: Mapping[str, str]) -> None:
    """Leave the proxy settings for the worker, which takes and removes them.

    They may hold a password: arguments of a process and the properties of a unit can be read by
    every user of the host, this file can't.
    """
    path = folder / _PROXIES
    try:
        path.unlink(missing_ok=True)
        if settings:
            _write(path, json.dumps(dict(settings)), 0o600)
    except OSError as error:
        raise HostError(
            f"{path} can't be written: {error.strerror}",
            meaning="Nothing was changed.",
            hint="df -h shows whether a disk is full.",
        ) from error


def take_over(folder: Path) -> None:
    """Make the settings that ``hand_over`` left this process's own; where there are none, nothing."""
    path = folder / _PROXIES
    try:
        settings = json.loads(path.read_text("utf-8"))
        path.unlink()
    except (OSError, ValueError):
        return
    for name in PROXY_VARIABLES:
        if isinstance(settings.get(name), str):
            os.environ[name] = settings[name]


def start_worker(folder: Path) -> int:
    """Start the worker of a run and wait until it has begun.

    Returns:
        The offset in the journal at which its events begin.

    Raises:
        RunLockedError: another run was quicker.
        HostError: it could not be started.
    """
    journal = folder / NAME
    begin = journal.stat().st_size if journal.exists() else 0
    log = folder / "worker.log"
    argv = (sys.executable, "-m", "gpu_bringup.run.worker", str(folder))
    unit = f"gpu-bringup-{folder.name}-{begin}"
    hand_over(folder, proxies())
    start_detached(argv, python_environment(), log, unit=unit)
    until = time.monotonic() + _PATIENCE
    gone = False
    while time.monotonic() < until and not gone:
        # Asked before the journal is read: what a worker wrote before its end is then seen.
        gone = bool(log.stat().st_size) and not lock.is_held(lock.worker_lock(folder))
        offset, event = _first_event(journal, begin)
        if event == "refused":
            raise lock.locked_error(lock.host_lock(folder.parent.parent))
        if event:
            return offset
        time.sleep(0.02)
    words = log.read_text("utf-8", "replace").strip()
    raise HostError(
        "The process that takes the steps did not begin.",
        meaning="Nothing was changed.",
        hint=words[-2000:] or f"Its messages: {log}",
    )


def _first_event(journal: Path, begin: int) -> tuple[int, str]:
    """(offset of the worker's first event, its name); the name is empty while there is none.

    The worker cuts a torn line off before it writes, so its first event may begin a little earlier
    than the file ended before.
    """
    try:
        data = journal.read_bytes()
    except OSError:
        return begin, ""
    start = data.rfind(b"\n", 0, begin) + 1
    for line in data[start:].split(b"\n")[:-1]:
        event = parse_line(line)
        if event is not None and event["event"] in ("run-started", "resumed", "refused"):
            return start, str(event["event"])
        start += len(line) + 1
    return begin, ""


def check_resumable(folder: Path) -> None:
    """Can this run go on?

    Raises:
        RefusedError: it is done, or waits for a reboot that has not been.
        InputError: its journal can't be read, or its plan no longer fits this host.
        RunLockedError: another run is under way.
    """
    from gpu_bringup.run.journal import WAY_OUT, is_emptied, read_events

    info = history.run_info(folder)
    if info.state == "done":
        raise RefusedError(
            f"The run {info.run_id} is done; there is nothing to resume.",
            hint="gpu-bringup check shows how this host stands.",
        )
    refuse_beside_another(folder.parent.parent)
    if is_emptied(folder / NAME):
        raise InputError(
            "this journal is empty, and beside it lies what its steps left",
            file=str(folder / NAME),
            meaning="What of the run was done is not known, so nothing is done.",
            hint=WAY_OUT,
        )
    events = read_events(folder / NAME)
    if os.access(folder / history.PLAN, os.R_OK):
        # Where it may not be read, root asks once more before anything is begun.
        from gpu_bringup.hosts.local import LocalHost

        plan = history.load_plan(folder)
        fits.refuse_misfit(LocalHost(), folder, plan, history.load_info(folder), events)
    asked_of = history.rebooted_from(events)
    if asked_of and asked_of == _boot_id():
        raise RefusedError(
            f"The run {info.run_id} waits for a reboot, and this host has not been rebooted since.",
            meaning="Its next steps need the kernel or the modules of the next boot.",
            hint="Reboot when it suits, then say it again.",
        )


def refuse_beside_another(state: Path) -> None:
    """Raises RunLockedError while another run is under way; waits for one that is just ending."""
    path = lock.host_lock(state)
    until = time.monotonic() + _ENDING
    while lock.is_held(path):
        other = state / "runs" / str(lock.holder(path).get("run", ""))
        if time.monotonic() > until or history.run_info(other).state == "running":
            raise lock.locked_error(path)
        time.sleep(0.02)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except OSError:
        return ""


def _write(path: Path, text: str, mode: int) -> None:
    temporary = path.with_suffix(".tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    temporary.rename(path)


def request_text(
    plan: Plan | None,
    *,
    label: str = "",
    prelude: Sequence[Mapping[str, Any]] = (),
    mend: Sequence[Command] = (),
    state: Path | None = None,
    resume: Path | None = None,
    old_packages: bool = True,
) -> str:
    """What ``main`` is asked for, as JSON."""
    return json.dumps(
        {
            "plan": plan.to_json() if plan else None,
            "label": label,
            "prelude": [dict(item) for item in prelude],
            "mend": [command.to_json() for command in mend],
            "state": str(state) if state else None,
            "resume": str(resume) if resume else None,
            "old_packages": old_packages,
            "proxies": proxies(),
        }
    )


def launch(request: dict[str, Any]) -> tuple[Path, int]:
    """Do what a request asks for; returns the run's folder and where its events begin."""
    if request.get("resume"):
        folder = Path(request["resume"])
        check_resumable(folder)
    else:
        folder = make_run(
            Plan.from_json(request["plan"]),
            label=request["label"],
            prelude=request["prelude"],
            mend=[Command.from_json(item) for item in request["mend"]],
            state=Path(request["state"]) if request["state"] else state_folder(),
            old_packages=bool(request.get("old_packages", True)),
        )
    return folder, start_worker(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu_bringup.run.launch")
    parser.add_argument("request", type=Path)
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        try:
            request = json.loads(options.request.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"can't be read: {error}", file=str(options.request)) from error
        told = request.get("proxies", {})
        os.environ.update({name: told[name] for name in PROXY_VARIABLES if name in told})
        folder, offset = launch(request)
    except BringupError as error:
        words = {"message": error.message, "meaning": error.meaning, "hint": error.hint}
        sys.stdout.write(f"{MARK}{json.dumps({'error': type(error).__name__, **words})}\n")
        return int(error.exit_code)
    sys.stdout.write(f"{MARK}{json.dumps({'folder': str(folder), 'offset': offset})}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
