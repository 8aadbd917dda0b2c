"""A note at login while a run is not finished; it is gone when the run is done or taken back.

Two files: a small script where logins look (as ``hooks`` does), which asks the run's lock whether
the run is at work just now, and the text, which the worker keeps up to date. Only for root's runs in
the usual place: nobody else's concern every login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.errors import BringupError
from gpu_bringup.hooks import says_motd
from gpu_bringup.paths import SYSTEM_STATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpu_bringup.hosts.base import Host

NOTE = f"{SYSTEM_STATE}/run.note"
PROFILE_FILE = "/etc/profile.d/gpu-bringup-run.sh"
MOTD_FILE = "/etc/update-motd.d/97-gpu-bringup-run"
MARK = "gpu-bringup run note"

_SAY = f"""\
if [ -r {NOTE} ]; then
    cat {NOTE}
    if flock --nonblock --shared {SYSTEM_STATE}/lock true 2>/dev/null; then
        echo "  Go on with it: sudo gpu-bringup apply --resume     Take it back: sudo gpu-bringup undo"
    else
        echo "  It is at work now. Watch it: sudo gpu-bringup apply --resume"
    fi
fi"""
_HEAD = f"# {MARK}: says at login that a run is not finished; removed when it is."
_PROFILE = f"""\
{_HEAD}
case $- in
*i*)
{_SAY}
;;
esac
"""
_MOTD = f"""\
#!/bin/sh
{_HEAD}
{_SAY}
exit 0
"""
_NEXT = {
    "running": "",
    "reboot": " A reboot comes next.",
    "failed": " A step failed.",
    "cancelled": " It was stopped.",
}


def text(run_id: str, state: str, done: int, steps: int) -> str:
    """The note; pure."""
    return (
        f"gpu-bringup: the run {run_id} on this server is not finished: {done} of {steps} steps are "
        f"done.{_NEXT.get(state, '')}\n"
    )


def teller(host: Host, folder: Path, steps: int) -> Callable[[str, int], None]:
    """What the runner of the run in ``folder`` tells how it stands; writes or removes the note."""
    if host.kind != "local" or host.uid() != 0 or folder.parent.parent != SYSTEM_STATE:
        return lambda state, done: None

    def tell(state: str, done: int) -> None:
        if state == "done":
            forget(host)
        else:
            _put(host, text(folder.name, state, done, steps))

    return tell


def _put(host: Host, note: str) -> None:
    try:
        host.write_file(NOTE, note, 0o644)
        if says_motd(host):
            path, content, mode = MOTD_FILE, _MOTD, 0o755
        elif host.exists("/etc/profile.d") is True:
            path, content, mode = PROFILE_FILE, _PROFILE, 0o644
        else:
            return
        if host.read_text(path) != content:
            host.write_file(path, content, mode)
    except BringupError:
        # A full disk: the work itself says so, and a missing note harms nothing.
        return


def forget(host: Host) -> None:
    """Remove the note. Nothing happens where there is none, or where this user may not."""
    for path in (PROFILE_FILE, MOTD_FILE, NOTE):
        try:
            if path == NOTE or MARK in str(host.read_text(path)):
                host.remove_file(path)
        except BringupError:
            continue
