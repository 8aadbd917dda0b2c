"""``gpu-bringup profiles show failures [ID]``: what is known of each failure."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.entries import guess
from gpu_bringup.commands.output import paint, print_json, show, wrap
from gpu_bringup.errors import ExitCode, InputError
from gpu_bringup.failures.loader import load

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_bringup.model.failure import Failure

WORDS = ("failure", "failures")


def show_failures(name: str | None, extra: Path | None, as_json: bool) -> int:
    """All failures in a line each, or one of them in full.

    Raises:
        InputError: there is no failure of that id, or an entry is wrong.
    """
    known = load(extra)
    if name is None:
        if as_json:
            print_json({"schema": 1, "failures": [asdict(item) for item in known.values()]})
        else:
            for item in known.values():
                show(wrap(f"{item.id} [{item.rung}] {item.title}"))
        return ExitCode.OK
    if name not in known:
        raise InputError(
            f"there is no failure {name!r}{guess(name, known)}",
            place="profiles show failure",
            hint="gpu-bringup profiles show failures names all of them.",
        )
    if as_json:
        print_json({"schema": 1, "failure": asdict(known[name])})
    else:
        _one(known[name])
    return ExitCode.OK


def _one(item: Failure) -> None:
    show(paint(wrap(item.title), "bold"))
    show(paint(f"   {item.id}, layer: {item.rung}, known by: {item.basis}", "dim"))
    show(wrap(item.cause, 3))
    if item.certainty == "unconfirmed":
        show(wrap("Not confirmed: known from working experience, no public source was found.", 3))
    if item.tell_apart:
        show(wrap(f"Tell apart: {item.tell_apart}", 3))
    for argv in dict.fromkeys((*((item.fetch,) if item.fetch else ()), *item.confirm)):
        show(f"   look   {shlex.join(argv)}")
    for sign in item.signs:
        show(f"   sign   {sign.weight:+.2f}  {sign.pattern}")
    for mend in item.repair:
        which = f" ({', '.join(mend.families)})" if mend.families else ""
        show(wrap(f"mend   {mend.title}{which}: {mend.why}", 3))
    if item.prevention:
        show(wrap(f"Keep it from coming back: {item.prevention}", 3))
    for source in item.sources:
        show(paint(f"   {source}", "dim"))
