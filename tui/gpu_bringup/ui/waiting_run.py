"""Which earlier run the wizard begins with. Reads the runs' folders; knows no widget."""

from __future__ import annotations

from gpu_bringup import engine
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.history import RunInfo
from gpu_bringup.run.start import unfinished_run
from gpu_bringup.ui.enrol_text import begun_in
from gpu_bringup.ui.run_model import RunModel


def model_of(run: RunInfo) -> RunModel:
    """What a run's journal says so far."""
    model = RunModel()
    for event in Follower(run.folder).poll():
        model.take(event)
    return model


def waiting_run() -> RunInfo | None:
    """The run that is under way, broke off or waits for a reboot; None: there is none.

    The newest one as well where it failed or was stopped after it had begun to ask the firmware for
    a key: a request may wait there, and the next boot shows its screens.

    Raises:
        HostError: the runs' folder can't be read.
    """
    found = unfinished_run()
    if found is not None:
        return found
    begun = [run for run in engine.list_runs() if run.state != "refused"]
    newest = begun[-1] if begun else None
    if newest is None or newest.state not in ("failed", "cancelled") or engine.is_undone(newest):
        return None
    return newest if begun_in(model_of(newest)) else None
