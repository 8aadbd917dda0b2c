"""Shows the wizard. Textual is imported in here, after the terminal was looked at."""

from __future__ import annotations

import gc
from collections.abc import Callable

from gpu_bringup.hosts.base import Host
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.ui import terminal


def run_wizard(
    host: Host,
    catalogue: Catalogue | Callable[[], Catalogue],
    answers: Answers,
    *,
    recorded_label: str = "",
    basic: bool | None = None,
) -> int:
    """Show the wizard until the operator leaves it.

    Args:
        host: this machine, or a record.
        catalogue: the project's data, or a function that loads it, called beside the first picture.
        answers: what was said by flags; the questions begin with it.
        recorded_label: file of the record; empty: this machine.
        basic: draw for a poor terminal; None: judged by TERM, NO_COLOR and the encoding.

    Returns:
        The exit status (``errors.ExitCode``).

    Raises:
        Exception: whatever ended the wizard; the command line turns it into a sentence and a report.
    """
    how = terminal.prepare(basic)
    # Thousands of objects are made while modules are imported, and none of them is rubbish.
    gc.disable()
    from gpu_bringup.ui.state import Wizard
    from gpu_bringup.ui.wizard_app import WizardApp

    wizard = Wizard(host, catalogue, answers, recorded_label=recorded_label, basic=how.basic)
    app = WizardApp(wizard, how)
    try:
        status = app.run()
    finally:
        gc.enable()
    if app.fault is not None:
        raise app.fault
    from gpu_bringup.ui import farewell

    farewell.say(wizard)
    return 1 if status is None else status
