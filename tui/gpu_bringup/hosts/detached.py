"""Starts a process that outlives whoever started it: the terminal, the SSH session, the wizard."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SYSTEMD = Path("/run/systemd/system")
"""There exactly when systemd is the init: sd_booted(3)."""


def systemd_is_init() -> bool:
    """Can a transient unit be started here?"""
    return _SYSTEMD.is_dir() and shutil.which("systemd-run") is not None


def python_environment() -> dict[str, str]:
    """What another process of this Python needs to import the same packages.

    Checkout, wheel or zipapp: ``sys.path`` tells, and ``sys.executable`` is the right Python.
    """
    entries = [str(Path(entry or ".").absolute()) for entry in sys.path]
    return {
        "PYTHONPATH": os.pathsep.join(entry for entry in entries if Path(entry).exists()),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }


ESSENTIAL = ("KillMode=process", "SendSIGKILL=no", "TimeoutStopSec=3600")
"""Known to every systemd in use: stopping the unit reaches only the main process."""
WANTED = ("RefuseManualStop=yes", "OOMPolicy=continue")
"""Left out where systemd is too old for one of them (OOMPolicy= came with 243)."""


def unit_argv(
    argv: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    unit: str,
    properties: Sequence[str] = (*ESSENTIAL, *WANTED),
) -> tuple[str, ...]:
    """argv that starts ``argv`` as a transient systemd unit; pure.

    A system unit lies outside of the login session's scope, so that logind's KillUserProcesses=yes
    does not reach it (logind.conf(5)). Stopping the unit (a shutdown, needrestart) reaches only the
    main process, which lets the package manager finish: systemd.kill(5), KillMode=process.
    RefuseManualStop keeps tools that restart services after a library upgrade away from it, and a
    compiler that runs out of memory takes nothing else with it (OOMPolicy=continue).

    The process opens its log itself ("--log" is added): StandardOutput=append: needs systemd 240.
    """
    return (
        "systemd-run",
        "--collect",
        "--quiet",
        f"--unit={unit}",
        "--description=gpu-bringup: takes the steps of a plan",
        *(f"--property={item}" for item in properties),
        *(f"--setenv={key}={value}" for key, value in sorted(environment.items())),
        "--",
        *argv,
        "--log",
        str(log),
    )


def start_detached(
    argv: Sequence[str], environment: Mapping[str, str], log: Path, *, unit: str
) -> None:
    """Start ``argv`` on its own: a systemd unit where that can be, else a session of its own.

    Args:
        argv: in a session of its own it must fork and return at once ("--detach" is added); as a
            unit it must write to the file after "--log".
        environment: added to this process's environment (a unit gets only these).
        log: gets its output.
        unit: name of the unit.

    Raises:
        HostError: it could not be started.
    """
    if systemd_is_init() and os.geteuid() == 0:
        # Each try has a name of its own: a unit that failed keeps its name until it is looked at.
        starts: list[Sequence[str]] = [
            unit_argv(argv, environment, log, unit),
            unit_argv(argv, environment, log, f"{unit}-plain", ESSENTIAL),
        ]
    else:
        starts = [[*argv, "--detach"]]
    status = 1
    try:
        for start in starts:
            status = _start(start, environment, log)
            if status == 0:
                break
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(
            f"The process that takes the steps could not be started: {error}",
            meaning="Nothing was changed.",
        ) from error
    if status != 0:
        raise HostError(
            f"The process that takes the steps could not be started (exit status {status}).",
            meaning="Nothing was changed.",
            hint=f"Its messages: {log}",
        )


def _start(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    with log.open("ab") as output:
        return subprocess.run(
            argv,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            timeout=60,
            check=False,
        ).returncode
