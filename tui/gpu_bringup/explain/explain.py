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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_bringup.model.failure import Failure

_MAKE_LOG = re.compile(rb"make\.log for ([A-Za-z][\w.+]*(?:-[A-Za-z][\w.+]*)*)[-/]\d")
_OF_NVIDIA = ("dkms-build-api-break", "dkms-build-gpl-symbol")
"""Failures of NVIDIA's own sources: another module's log says nothing of them."""
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
    if reading.control_bytes > reading.bytes // 100:
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
    return Explanation(
        tuple(_finding(suspect, context, family) for suspect in suspects),
        reading.lines,
        reading.bytes,
        tuple(notes),
    )


def _decoded(lines: list[tuple[int, str]]) -> tuple[str, ...]:
    """What the Xid lines among these mean, each meaning once."""
    from gpu_bringup.failures.xids import decode

    told = [decode(text) for _, text in lines]
    return tuple(dict.fromkeys(f"GPU {item.gpu}: {item.words}" for item in told if item))


def _other_module(head: bytearray) -> str:
    """The module that a DKMS log is of, where that isn't NVIDIA's; empty else."""
    match = _MAKE_LOG.search(head)
    name = match[1].decode() if match else ""
    return "" if name.startswith("nvidia") else name


def _finding(suspect: Suspect, context: Context, family: str) -> Finding:
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
        decoded=_decoded(shown) if failure.id.startswith("xid-") else (),
        tell_apart=failure.tell_apart,
        look_alikes=failure.look_alikes,
        fetch=(fill(failure.fetch, values),) if failure.fetch else (),
        confirm=tuple(fill(argv, values) for argv in failure.confirm),
        quick=failure.quick,
        repair=steps(failure, values, family),
        prevention=failure.prevention,
        sources=failure.sources,
        consequence_of=suspect.consequence_of,
    )
