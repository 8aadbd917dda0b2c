"""A text in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from gpu_bringup.explain.context import Context
from gpu_bringup.explain.finding import Explanation, Finding
from gpu_bringup.explain.rank import Suspect, rank
from gpu_bringup.explain.repair import fill, steps, values_of
from gpu_bringup.explain.scan import Scanner
from gpu_bringup.explain.signs import compile_signs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_bringup.model.failure import Failure

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
    suspects = rank(scanner.hits.values(), failures, context)
    return Explanation(
        tuple(_finding(suspect, context) for suspect in suspects),
        reading.lines,
        reading.bytes,
        tuple(notes),
    )


def _finding(suspect: Suspect, context: Context) -> Finding:
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
        tell_apart=failure.tell_apart,
        look_alikes=failure.look_alikes,
        fetch=(fill(failure.fetch, values),) if failure.fetch else (),
        confirm=tuple(fill(argv, values) for argv in failure.confirm),
        quick=failure.quick,
        repair=steps(failure, values, context.family),
        prevention=failure.prevention,
        sources=failure.sources,
        consequence_of=suspect.consequence_of,
    )
