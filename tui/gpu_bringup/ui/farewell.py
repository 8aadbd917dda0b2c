"""What is left on the terminal when the wizard ends: one line, and no old picture."""

from __future__ import annotations

import contextlib
import curses
import os
import sys

from gpu_bringup.errors import BringupError
from gpu_bringup.i18n import tr
from gpu_bringup.run.history import run_info
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import is_basic
from gpu_bringup.ui.waiting_run import waiting_run


def words(state: str, run_id: str, *, undoing: bool = False) -> str:
    """How a run stands and how one comes back to it, in one line; pure."""
    told = {
        "running": tr("The run {run} goes on by itself. gpu-bringup shows it again."),
        "reboot": tr("The run {run} waits: sudo reboot, then gpu-bringup again."),
        "done": tr("The run {run} took the earlier one back.")
        if undoing
        else tr("The run {run} is done. gpu-bringup undo takes it back."),
        "lost": tr("The run {run} broke off. gpu-bringup goes on with it."),
    }.get(state, tr("The run {run} stopped. To go on: gpu-bringup apply --resume"))
    return told.format(run=run_id)


def line(wizard: Wizard) -> str:
    """The one thing to know at the end; empty where there is none.

    Asks the run's folder and not the screen: the run may have ended since it was drawn.
    """
    try:
        if wizard.follower is not None:
            found = run_info(wizard.follower.folder)
            return words(found.state, found.run_id, undoing=wizard.undoing)
        waits = None if wizard.recorded else waiting_run()
    except BringupError:
        # It was told on the screen.
        return ""
    if waits is not None:
        return words(waits.state, waits.run_id)
    return ""


def keeps_picture(term: str) -> bool:
    """Does a full-screen program's picture stay on this terminal when it ends?

    So it is where terminfo knows no alternate screen (``smcup``), as on the Linux console and a
    VT220; a terminal that terminfo doesn't know is judged by its name.
    """
    try:
        curses.setupterm(term, 1)
        return curses.tigetstr("smcup") is None
    except curses.error:
        return is_basic(term)


def say(wizard: Wizard) -> None:
    """Clear what would be left, and say the line, at the bottom of the screen where it was cleared."""
    out = sys.__stderr__
    if out is None or not out.isatty():
        return
    text = line(wizard)
    clears = keeps_picture(os.environ.get("TERM", ""))
    if clears:
        text = text or tr("Nothing was changed.")
    if not text:
        return
    # The terminal may be gone by now.
    with contextlib.suppress(OSError):
        rows = os.get_terminal_size(out.fileno()).lines
        out.write((f"\x1b[m\x1b[2J\x1b[{rows};1H" if clears else "") + f"{text}\n")
        out.flush()
