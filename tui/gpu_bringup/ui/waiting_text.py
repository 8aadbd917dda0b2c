"""A run that was there before the wizard, in words: who began it, what is done, what is left. Pure."""

from __future__ import annotations

from datetime import datetime

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.run.take_over import Sitting
from gpu_bringup.signing.report import Report
from gpu_bringup.ui.enrol_text import (
    again_way,
    asked_in,
    can_ask_again,
    concerns,
    no_console_way,
    rehearse_way,
)
from gpu_bringup.ui.run_model import RunModel, StepRun
from gpu_bringup.ui.screens.choose import Way
from gpu_bringup.ui.words import ASIDE, BAD, MUTED, OK, WARN, lines

_DONE_SHOWN, _LEFT_SHOWN = 2, 5
"""Steps before and after the place where it stands that have a line of their own on few rows."""


def when(stamp: str) -> str:
    """A journal's time, short: "22 Nov 14:03 UTC"; empty where it is none."""
    try:
        moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return f"{moment.day} {moment:%b %H:%M} UTC"


def begun(user: str, stamp: str) -> str:
    """Who started a run and when."""
    return tr("started by {user}, {when}").format(
        user=user or tr("an unknown user"), when=when(stamp) or tr("at an unknown time")
    )


def seated(sitting: Sitting) -> str:
    """Who answers a run."""
    name = sitting.terminal.removeprefix("/dev/")
    return f"{sitting.user} ({name})" if name else sitting.user


def mode_text(watching: bool, sitting: Sitting | None, reachable: bool) -> Content:
    """The line on the run's page that says what this terminal may do, and what its end means."""
    if not watching:
        return Content.styled(tr("Closing this terminal never stops the run."), MUTED)
    who = tr("{name} answers it").format(name=seated(sitting)) if sitting else tr("nobody answers")
    how = tr("t takes over") if reachable else tr("only root or that user takes over")
    text = tr("READ-ONLY: {who}; {how}.").format(who=who, how=how)
    return Content.styled(text, f"bold {WARN}")


def title(state: str) -> str:
    """What there is, in a few words."""
    return {
        "running": tr("A run is under way on this server"),
        "lost": tr("A run waits: it broke off"),
        "reboot": tr("A run waits: it goes on after the reboot"),
        "failed": tr("A run asked the firmware to trust a key, then a step failed"),
        "cancelled": tr("A run asked the firmware to trust a key, then it was stopped"),
    }.get(state, tr("A run waits"))


def told(state: str, model: RunModel, who: str, rebooted: bool) -> Content:
    """What happened and how far it is."""
    what = {
        "running": tr("A process of its own takes its steps, whoever looks on."),
        "lost": tr(
            "The process that took its steps is gone (killed, out of memory, power cut, reboot). What "
            "was done stays done; a step that was cut off is taken again."
        ),
        "reboot": _after_the_reboot(model)
        if rebooted
        else tr("The reboot is still to come: sudo reboot, then start gpu-bringup again."),
    }.get(state, "")
    if state in ("failed", "cancelled"):
        what = _stopped(state, model)
    count = f"{model.counted()} {tr('It was {who}.').format(who=who)}"
    return lines([what, Content.styled(count, "bold")])


def _stopped(state: str, model: RunModel) -> str:
    """What a request means whose run ended before its time."""
    current = model.current
    message = ""
    if state == "failed" and current is not None:
        message = tr("The step '{title}' failed.").format(title=current.title)
    asked = (
        tr("Its request waits in the firmware: the console shows the screens at the next boot.")
        if asked_in(model)
        else tr("Whether its request was filed is seen below.")
    )
    return f"{message} {asked}".strip()


def _after_the_reboot(model: RunModel) -> str:
    if len(model.done) < len(model.steps):
        return tr("The server was rebooted since: the steps that are left can be taken now.")
    return tr("The server was rebooted since. Every step is done: a last look ends the run.")


def steps_left(model: RunModel, *, brief: bool) -> Content:
    """What is done and what is left, a line a step; far ones are counted where rows are scarce."""
    steps = model.steps
    first_open = next((at for at, step in enumerate(steps) if step.state != "done"), len(steps))
    begin = max(0, first_open - _DONE_SHOWN) if brief else 0
    end = min(len(steps), first_open + _LEFT_SHOWN) if brief else len(steps)
    # One that is left out saves no row.
    begin = 0 if begin == 1 else begin
    end = len(steps) if end == len(steps) - 1 else end
    rows: list[Content] = []
    if begin:
        rows.append(Content.styled(tr("+ 1 to {end} are done").format(end=begin), OK))
    rows += [_step(number, step) for number, step in enumerate(steps[begin:end], begin + 1)]
    if end < len(steps):
        rest = tr("  {first} to {last} are still to come").format(first=end + 1, last=len(steps))
        rows.append(Content.styled(rest, MUTED))
    return lines(rows)


def _step(number: int, step: StepRun) -> Content:
    mark, word, style = {
        "done": ("+", tr("done"), OK),
        "running": (">", tr("begun, not finished"), f"bold {ASIDE}"),
        "failed": ("X", tr("FAILED"), BAD),
        "cancelled": ("!", tr("stopped"), WARN),
        "reboot": ("!", tr("the reboot is next"), WARN),
        "": (" ", tr("still to come"), MUTED),
    }.get(step.state, ("!", step.state, WARN))
    return Content.assemble((f"{mark}{number:>3}  ", style), step.title, (f"  {word}", style))


def ways(
    state: str,
    model: RunModel,
    *,
    rebooted: bool,
    watched_by: Sitting | None,
    report: Report | None = None,
) -> tuple[Way, ...]:
    """The numbered ways on.

    Args:
        report: where the enrolment stands that the run asked for; None: it asked for none.
    """
    leave = Way("leave", tr("leave it for now"), tr("and look at the server; nothing is changed"))
    log = (Way("log", tr("look at the log"), tr("of its last command")),) if model.log else ()
    if state == "running":
        if watched_by is None:
            show = Way("attach", tr("show it"), tr("nobody answers it now: you do"))
        else:
            label = tr("show it, read-only: {name} answers it").format(name=seated(watched_by))
            show = Way("attach", label, tr("t takes it over there"))
        return (show, *log, leave)
    undo = Way("undo", tr("take it back"), tr("you see the steps before anything is done"))
    if state == "reboot" and not rebooted:
        rehearse = (rehearse_way(),) if asked_in(model) else ()
        return (*rehearse, leave, *log, undo)
    left = len(model.steps) - len(model.done)
    resume = Way("resume", _go_on(left), tr("done steps are not done twice"))
    if report is not None and can_ask_again(report):
        # What is left needs the key: asking for it comes first.
        return (again_way(), rehearse_way(), no_console_way(), resume, *log, undo, leave)
    if report is not None and state in ("failed", "cancelled") and concerns(report):
        return (resume, rehearse_way(), *log, undo, leave)
    return (resume, *log, undo, leave)


def _go_on(left: int) -> str:
    if left == 0:
        return tr("go on: look at the server again, nothing is left to do")
    label = tr("go on: 1 step is left") if left == 1 else tr("go on: {count} steps are left")
    return label.format(count=left)
