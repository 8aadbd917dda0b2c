"""A systemd unit that goes on with a run after the reboot it asked for; gone when the run has ended.

Only where the operator asks for it: a step that asks something waits, and whoever attaches answers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gpu_bringup.errors import BringupError, HostError, RefusedError
from gpu_bringup.hosts.detached import python_environment, systemd_is_init
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_bringup.hosts.base import Host

NAME = "gpu-bringup-resume.service"
UNIT = f"/etc/systemd/system/{NAME}"
REQUEST = "resume.json"
"""What ``run.launch`` is asked for at boot; in the run's folder."""


def unit_text(folder: Path, python: str, environment: dict[str, str]) -> str:
    """The unit; pure. Percent signs are systemd's own in a unit: systemd.unit(5), specifiers."""
    settings = "".join(
        f'Environment="{_quoted(key)}={_quoted(value)}"\n'
        for key, value in sorted(environment.items())
    )
    command = " ".join(
        f'"{_quoted(word)}"'
        for word in (python, "-m", "gpu_bringup.run.launch", str(folder / REQUEST))
    )
    return (
        "# Written by gpu-bringup; removed when the run has ended.\n"
        "[Unit]\n"
        f"Description=gpu-bringup: goes on with the run {folder.name} after the reboot\n"
        f"ConditionPathExists={_quoted(str(folder / REQUEST))}\n"
        "Wants=network-online.target\n"
        "After=network-online.target\n\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"{settings}"
        f"ExecStart={command}\n\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def install(host: Host, folder: Path) -> None:
    """Let the run in ``folder`` go on by itself after the next reboot.

    Raises:
        RefusedError: this host is not started by systemd, or this user may not.
        HostError: the unit can't be written or enabled.
    """
    from gpu_bringup.run.launch import request_text

    if host.kind != "local" or not systemd_is_init():
        raise RefusedError(
            "systemd does not start this host, so nothing can be started after its reboot",
            meaning="Nothing was changed.",
            hint="After the reboot: gpu-bringup apply --resume",
        )
    if host.uid() != 0:
        raise RefusedError(
            "a unit is a file of the system: only root can write it",
            meaning="Nothing was changed.",
            hint="sudo gpu-bringup apply --resume --after-reboot",
        )
    host.write_file(str(folder / REQUEST), request_text(None, resume=folder), 0o600)
    host.write_file(UNIT, unit_text(folder, sys.executable, python_environment()), 0o644)
    _ask(host, "daemon-reload")
    _ask(host, "enable", NAME)


def forget(host: Host) -> None:
    """Remove the unit. Nothing happens where there is none, or where this user may not."""
    if host.kind != "local" or host.exists(UNIT) is not True:
        return
    try:
        _ask(host, "disable", NAME)
        host.remove_file(UNIT)
        _ask(host, "daemon-reload")
    except BringupError as error:
        sys.stderr.write(f"{error}\n")


def _ask(host: Host, *words: str) -> None:
    result = host.run(("systemctl", *words), timeout=60.0)
    if isinstance(result, Unknown) or not result.ok:
        said = result.reason if isinstance(result, Unknown) else result.output.strip()
        raise HostError(
            f"systemctl {' '.join(words)} failed: {said}",
            hint="After the reboot: gpu-bringup apply --resume",
        )
