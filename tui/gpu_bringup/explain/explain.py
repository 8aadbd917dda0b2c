"""A text in, findings out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from gpu_bringup.explain.context import Context, family_in
from gpu_bringup.explain.finding import Explanation, Finding
from gpu_bringup.explain.rank import Suspect, rank
from gpu_bringup.explain.repair import fill, steps, values_of
from gpu_bringup.explain.scan import Scanner
from gpu_bringup.explain.signs import compile_signs
from gpu_bringup.explain.text import is_binary

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
    family = context.family or family_in(reading.head)
    asked = _asked(suspects, context, family)
    return Explanation(
        tuple(_finding(suspect, context, family, asked) for suspect in suspects),
        reading.lines,
        reading.bytes,
        tuple(notes),
    )


def _asked(suspects: tuple[Suspect, ...], context: Context, family: str) -> tuple[Step, ...]:
    """What the driver itself asks for (Xid 154): it goes before what the other Xids would call for."""
    for suspect in suspects:
        if suspect.failure.id == _RECOVERY and "action" in suspect.groups:
            return steps(suspect.failure, values_of(suspect.groups, context), family)
    return ()


def _repair(
    suspect: Suspect, context: Context, family: str, asked: tuple[Step, ...]
) -> tuple[Step, ...]:
    own = steps(suspect.failure, values_of(suspect.groups, context), family)
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


def _finding(
    suspect: Suspect, context: Context, family: str, asked: tuple[Step, ...] = ()
) -> Finding:
    failure = suspect.failure
    values = values_of(suspect.groups, context)
    lines = dict(line for hit in suspect.hits for line in hit.lines)
    shown = sorted(list(lines.items())[:_SHOWN])
    return Finding(
        cause=failure.id,
        rung=failure.rung,
        title=failure.title,
        summary=failure.cause,
        confidence=round(min(suspect.belief, 0.99), 2),
        lines=tuple((number, text[:_LONGEST]) for number, text in shown),
        decoded=_decoded(suspect, shown),
        tell_apart=failure.tell_apart,
        look_alikes=failure.look_alikes,
        fetch=(fill(failure.fetch, values),) if failure.fetch else (),
        confirm=tuple(fill(argv, values) for argv in failure.confirm),
        quick=failure.quick,
        repair=_repair(suspect, context, family, asked),
        prevention=failure.prevention,
        sources=failure.sources,
        consequence_of=suspect.consequence_of,
        certainty=failure.certainty,
    )
