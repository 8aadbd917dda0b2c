"""``gpu-bringup hooks install|remove|status``: say it when the next boot would lack its driver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import print_json, say, show, wrap
from gpu_bringup.errors import BringupError, ExitCode, InputError, RefusedError
from gpu_bringup.hooks import ALL_FILES, FOLDERS, MARK, NOTE, Hooks, hooks_for
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.hosts.base import Host


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: done, or (status) all that is possible here is installed; 1: not (wholly)."""
    if getattr(arguments, "host", None) is not None:
        raise InputError("hooks belong to this machine; a record has none", file="--host")
    host = engine.open_host()
    check = data_folder("scripts").joinpath("next-boot.sh").read_text(encoding="utf-8")
    hooks = hooks_for(host, check)
    if arguments.action == "status":
        return _status(host, hooks, as_json=bool(getattr(arguments, "json", False)))
    if host.uid() != 0:
        raise RefusedError(
            "hooks are files of the system: only root can write them",
            meaning="Nothing was changed.",
            hint=f"sudo gpu-bringup hooks {arguments.action}",
        )
    return _install(host, hooks) if arguments.action == "install" else _remove(host)


def _foreign(host: Host, path: str) -> bool:
    """Is there a file that isn't ours? What can't be read is taken for somebody else's."""
    content = host.read_text(path)
    if content is None:
        return host.exists(path) is not False
    return not isinstance(content, str) or MARK not in content


def _install(host: Host, hooks: Hooks) -> int:
    for file in hooks.files:
        if _foreign(host, file.path):
            raise RefusedError(
                f"{file.path} is there already and was not written by gpu-bringup",
                meaning="Nothing was changed.",
                hint="Move it away first if it isn't needed.",
            )
    done: list[tuple[str, str | None, int]] = []
    try:
        for file in hooks.files:
            before = host.write_file(file.path, file.content, file.mode)
            done.append((file.path, before, file.mode))
    except BringupError:
        # All or nothing: what was there before comes back.
        for path, before, mode in reversed(done):
            if before is None:
                host.remove_file(path)
            else:
                host.write_file(path, before, mode)
        _clear_folders()
        raise
    for file in hooks.files:
        show(f"  {file.path:<66} {file.what}")
    for note in hooks.notes:
        show(wrap(note))
    show("Installed. To take it back: gpu-bringup hooks remove")
    return ExitCode.OK


def _clear_folders() -> None:
    for folder in FOLDERS:
        try:
            Path(folder).rmdir()
        except OSError:
            # Not there, or something else is in it: it stays.
            continue


def _remove(host: Host) -> int:
    gone = []
    status = ExitCode.OK
    for path in ALL_FILES:
        if host.exists(path) is False:
            continue
        if _foreign(host, path):
            say(f"{path} was not written by gpu-bringup and stays")
            status = ExitCode.FAILED
            continue
        host.remove_file(path)
        gone.append(path)
    host.remove_file(NOTE)
    _clear_folders()
    for path in gone:
        show(f"  removed {path}")
    show("Removed." if gone else "No hooks are installed here.")
    return status


def _status(host: Host, hooks: Hooks, *, as_json: bool) -> int:
    states: dict[str, str] = {}
    for file in hooks.files:
        content = host.read_text(file.path)
        state = (
            "installed"
            if content == file.content
            else "not installed"
            if content is None
            else "differs from this version's"
            if isinstance(content, str)
            else "can't be read"
        )
        states[file.path] = state
    said = host.read_text(NOTE)
    line = said.strip() if isinstance(said, str) else ""
    done = all(state == "installed" for state in states.values())
    if as_json:
        print_json(
            {
                "schema": 1,
                "installed": done,
                "files": [{"path": path, "state": state} for path, state in states.items()],
                "notes": list(hooks.notes),
                "said": line or None,
            }
        )
        return ExitCode.OK if done else ExitCode.FAILED
    for path, state in states.items():
        show(f"  {path:<66} {state}")
    for note in hooks.notes:
        show(wrap(note))
    if line:
        show(line)
    return ExitCode.OK if done else ExitCode.FAILED
