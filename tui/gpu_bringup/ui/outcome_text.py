"""How a run ended, in words, and the ways on from there. Pure."""

from __future__ import annotations

from gpu_bringup.i18n import tr
from gpu_bringup.ui.enrol_text import asked_in, rehearse_way
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.choose import Way


def title(state: str, undoing: bool) -> str:
    """What happened, in a few words."""
    if state == "done" and undoing:
        return tr("Taken back: what the run did was reversed, its files are as before.")
    return {
        "failed": tr("A step failed."),
        "cancelled": tr("Stopped, as you wished."),
        "reboot": tr("A reboot is needed now."),
        "lost": tr("The run broke off."),
        "not-started": tr("The run could not be started."),
        "done": tr("All steps are done."),
    }.get(state, tr("The run ended: {state}.").format(state=state))


def meaning(state: str, model: RunModel) -> str:
    """What it means for the server."""
    done, count = len(model.done), len(model.steps)
    if state == "reboot" and asked_in(model):
        return model.counted()
    if state == "not-started":
        return tr("Nothing was changed on this server.")
    if state == "reboot":
        told = tr(
            "The new kernel modules, keys or settings count from the next boot on. Reboot when it suits "
            "you (sudo reboot), then start gpu-bringup again: it goes on with the steps that are left."
        )
        return f"{told} {model.counted()}"
    if state == "done":
        return ""
    current = model.current
    if current is not None and current.state in ("failed", "running"):
        return tr(
            "{done} of {count} steps are done and stay done. The step '{title}' is not; those after it "
            "were not begun. Taking the same steps again skips what is done."
        ).format(done=done, count=count, title=current.title)
    return tr("{done} of {count} steps are done and stay done.").format(done=done, count=count)


def ways(state: str, undoing: bool, has_log: bool, *, enrolling: bool = False) -> tuple[Way, ...]:
    """The numbered ways on."""
    log = (Way("log", tr("look at the whole log")),) if has_log else ()
    undo = Way(
        "undo", tr("take back what this run did"), tr("you see the steps before anything is done")
    )
    look = Way(
        "check", tr("look at the server again"), tr("climbs the ladder anew; changes nothing")
    )
    stop = Way(
        "stop", tr("leave the wizard; keep all as it is"), tr("gpu-bringup shows this run again")
    )
    if state == "not-started":
        return (Way("plan", tr("back to the plan")), stop)
    if state == "reboot":
        leave = Way("stop", tr("leave the wizard and reboot"), tr("you type: sudo reboot"))
        return (*((rehearse_way(),) if enrolling else ()), leave, *log, look)
    if state == "done":
        return (look, *log, stop)
    retry = Way(
        "resume", tr("try again from the step that isn't done"), tr("done steps are not done twice")
    )
    return (retry, *log, *(() if undoing else (undo,)), look, stop)
