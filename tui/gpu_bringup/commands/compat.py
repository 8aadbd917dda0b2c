"""``gpu-bringup compat``: does this driver build on this kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.commands.output import paint, print_json, show, wrap
from gpu_bringup.commands.wish import catalogue_from
from gpu_bringup.compat import assess
from gpu_bringup.errors import ExitCode
from gpu_bringup.model.enums import Flavour

if TYPE_CHECKING:
    import argparse

_COLOURS = {"builds": "green", "fails": "red", "unknown": "cyan"}


def run(arguments: argparse.Namespace) -> int:
    """Answer and print; exit status 0 only for "builds"."""
    catalogue = catalogue_from(arguments)
    flavour = Flavour(arguments.flavour) if getattr(arguments, "flavour", None) else None
    answer = assess(
        catalogue,
        arguments.driver,
        arguments.kernel,
        flavour,
        getattr(arguments, "os", None),
        engine.remembered_builds(),
    )
    if getattr(arguments, "json", False):
        print_json(answer)
    else:
        show(f"{arguments.driver} on {arguments.kernel}: {_headline(answer)}")
        show(wrap(answer["detail"], 2))
        if answer["first_error"]:
            show(wrap(f"first error: {answer['first_error']}", 2))
        for source in answer["sources"]:
            show(f"  {source}")
    return ExitCode.OK if answer["verdict"] == "builds" else ExitCode.FAILED


def _headline(answer: dict[str, Any]) -> str:
    """The verdict in its colour; of each kind of modules where they differ."""
    flavours = answer["flavours"]
    if len({found["verdict"] for found in flavours.values()}) < 2:
        return _coloured(answer["verdict"], answer["basis"])
    return ", ".join(
        f"{flavour} modules: {_coloured(found['verdict'], found['basis'])}"
        for flavour, found in flavours.items()
    )


def _coloured(verdict: str, basis: str) -> str:
    return f"{paint(verdict, _COLOURS[verdict], 'bold')} ({basis})"
