"""What a plain look leaves out because it costs too much: package history, the insides of initramfs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.model.ladder import State

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.ladder import LadderReport

_VERSIONED = ("module", "loaded", "libraries")
"""Rungs at which the package history may name the culprit."""


def culprit_wanted(report: LadderReport, facts: Facts) -> bool:
    """Is something broken that a package change may have broken, and the history not read yet?"""
    if isinstance(facts.history, tuple):
        return False
    bad = (State.BROKEN, State.BLOCKED)
    return any(rung.state in bad and rung.id in _VERSIONED for rung in report.rungs)


def with_history(host: Host, facts: Facts) -> Facts:
    """The facts with the package changes that matter to the driver (milliseconds, no process)."""
    from gpu_bringup.facts import history

    found, notes = history.observe_noting(host)
    return replace(facts, history=found, history_notes=notes)


def with_initramfs(host: Host, facts: Facts) -> Facts:
    """The facts with what each bootable kernel's initramfs holds (up to seconds each)."""
    from gpu_bringup.facts import initramfs

    return replace(facts, initramfs=initramfs.observe(host, facts.kernels))
