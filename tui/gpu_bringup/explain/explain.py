"""A text in, findings out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from gpu_bringup.explain.context import Context, family_in
from gpu_bringup.explain.finding import Explanation, Finding
from gpu_bringup.explain.lookups import fitting
from gpu_bringup.explain.rank import Suspect, rank, weight_of
from gpu_bringup.explain.repair import fill, mends, steps, unfilled, values_of
from gpu_bringup.explain.scan import Scanner
from gpu_bringup.explain.signs import compile_signs
from gpu_bringup.explain.text import is_binary
from gpu_bringup.explain.told import values_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_bringup.model.failure import Failure
    from gpu_bringup.model.plan import Step

_MAKE_LOG = re.compile(rb"make\.log for ([A-Za-z][\w.+]*(?:-[A-Za-z][\w.+]*)*)[-/]\d")
_TREE = re.compile(rb"/var/lib/dkms/([A-Za-z][\w.+-]*)/\d[^/\s]*/(?:build|source)")
_OF_NVIDIA = ("dkms-build-api-break", "dkms-build-gpl-symbol")
"""Failures of NVIDIA's own sources: another module's log says nothing of them."""
_RECOVERY = "xid-gpu-fault"
"""The failure whose signs tell the recovery action."""
_PROVES = 0.85
"""Weight from which on a sign alone proves its failure."""
_SHOWN = 8
"""Lines told of one finding."""
_LONGEST = 400
"""Characters of a line that are told."""


def explain(
    stream: BinaryIO, failures: Mapping[str, Failure], context: Context | None = None
) -> Explanation:
    """Name the causes that a text speaks of.

    Args:
        stream: the text, in one pass; gzip is unpacked, any encoding is taken.
        failures: what is known.
        context: the host it came from, as far as it was told.

    Returns:
        Findings, most likely first; none where nothing in it is known.

    Raises:
        OSError: the stream can't be read.
    """
    context = context or Context()
    scanner = Scanner(compile_signs(failures))
    scanner.read(stream)
    reading = scanner.reading
    notes = list(reading.notes)
    if is_binary(reading):
        notes.append("this looks like binary data, not like a text")
    module = _other_module(reading.head)
    if module:
        notes.append(
            f"this is the build of the module {module}, not of NVIDIA's: a module that fails can "
            "stop DKMS and the package manager for all"
        )
    left_out = _OF_NVIDIA if module else ()
    hits = [hit for hit in scanner.hits.values() if hit.rule.failure not in left_out]
    suspects = rank(hits, failures, context)
    host = _Host(context, context.family or family_in(reading.head), values_in(reading.head))
    asked = _asked(suspects, host)
    return Explanation(
        tuple(_finding(suspect, host, asked) for suspect in suspects),
        reading.lines,
        reading.bytes,
        tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Host:
    """Where a text comes from, as far as it was told."""

    context: Context
    family: str
    told: Mapping[str, str]
    """What the text says in passing: kernel, driver, branch."""

    def values(self, suspect: Suspect) -> dict[str, str]:
        return values_of(suspect.groups, self.context, self.told)


def _asked(suspects: tuple[Suspect, ...], host: _Host) -> tuple[Step, ...]:
    """What the driver itself asks for (Xid 154): it goes before what the other Xids would call for."""
    for suspect in suspects:
        if suspect.failure.id == _RECOVERY and "action" in suspect.groups:
            return steps(suspect.failure, host.values(suspect), host.family)
    return ()


def _repair(suspect: Suspect, host: _Host, asked: tuple[Step, ...]) -> tuple[Step, ...]:
    own = steps(suspect.failure, host.values(suspect), host.family)
    if not asked or not suspect.failure.id.startswith("xid-") or suspect.failure.id == _RECOVERY:
        return own
    return asked + tuple(
        step for step in own if not any("--gpu-reset" in command.argv for command in step.commands)
    )


def _decoded(suspect: Suspect, lines: list[tuple[int, str]]) -> tuple[str, ...]:
    """What the codes among these lines mean in words, each meaning once."""
    words: list[str] = []
    if suspect.failure.id.startswith("xid-"):
        from gpu_bringup.failures.xids import decode

        told = [decode(text) for _, text in lines]
        words += [f"GPU {item.gpu}: {item.words}" for item in told if item]
    groups = suspect.groups
    if {"changed", "old", "new"} <= groups.keys():
        when = f" on {groups['date']}" if "date" in groups else ""
        who = groups.get("command", "a package upgrade")
        words.append(
            f"{who} moved {groups['changed']} from {groups['old']} to {groups['new']}{when}"
        )
    return tuple(dict.fromkeys(words))


def _other_module(head: bytearray) -> str:
    """The module that a DKMS log is of, where that isn't NVIDIA's; empty else."""
    match = _MAKE_LOG.search(head) or (_TREE.search(head) if b"nvidia" not in head else None)
    name = match[1].decode() if match else ""
    return "" if name.startswith("nvidia") else name


def _is_proven(suspect: Suspect, context: Context) -> bool:
    """Does a message say so that no other cause gives?"""
    return any(weight_of(hit, context) >= _PROVES for hit in suspect.hits)


def _finding(suspect: Suspect, host: _Host, asked: tuple[Step, ...] = ()) -> Finding:
    failure = suspect.failure
    values = host.values(suspect)
    only_suspected = bool(failure.suspected) and not _is_proven(suspect, host.context)
    lines = dict(line for hit in suspect.hits for line in hit.lines)
    shown = sorted(list(lines.items())[:_SHOWN])
    fetch = fitting((failure.fetch,), host.family)
    confirm = fitting(failure.confirm, host.family)
    commands = (
        argv
        for mend in mends(failure, host.family, values)
        for argv in (*mend.commands, *mend.undo)
    )
    return Finding(
        cause=failure.id,
        rung=failure.rung,
        title=failure.suspected if only_suspected else failure.title,
        summary=failure.cause,
        confidence=round(min(suspect.belief, 0.99), 2),
        lines=tuple((number, text[:_LONGEST]) for number, text in shown),
        decoded=_decoded(suspect, shown),
        tell_apart=failure.tell_apart,
        look_alikes=failure.look_alikes,
        fetch=tuple(fill(argv, values) for argv in fetch),
        confirm=tuple(fill(argv, values) for argv in confirm),
        quick=failure.quick,
        repair=_repair(suspect, host, asked),
        prevention=failure.prevention,
        sources=failure.sources,
        consequence_of=suspect.consequence_of,
        certainty=failure.certainty,
        suspected=only_suspected,
        family=host.family,
        unfilled=unfilled((*fetch, *confirm, *commands), values),
    )
