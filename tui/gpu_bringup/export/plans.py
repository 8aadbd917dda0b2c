"""Chooses the form of an exported plan by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.errors import InputError, RefusedError
from gpu_bringup.export import FORMATS

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Plan


def export(plan: Plan, form: str) -> str:
    """The plan as "text", "json", "shell", "markdown" or "ansible"; ends with a line end.

    Raises:
        InputError: there is no such form.
        RefusedError: the form would carry a password that is in a file which a step edits.
    """
    write = FORMATS.get(form)
    if write is None:
        raise InputError(
            f'a plan has no form "{form}"',
            place="--format",
            hint=f"Choose one of {', '.join(FORMATS)}.",
        )
    if form != "text":
        refuse_credentials(plan)
    return write(plan)


def refuse_credentials(plan: Plan) -> None:
    """Exports are sent and kept where everybody reads them: none may hold a password of this host.

    Raises:
        RefusedError: a file that the plan writes has an address with a user or password in it.
    """
    for step in plan.steps:
        for item in step.writes:
            if item.has_credentials:
                raise RefusedError(
                    f"{item.path} holds a password, which the exported plan would carry",
                    meaning="Nothing was exported and nothing was changed.",
                    hint="Run apply on the server itself, or look at the plan as text, which shows "
                    "no file's content. Passwords of archives are safer in /etc/apt/auth.conf.d "
                    "(apt_auth.conf(5)).",
                )
