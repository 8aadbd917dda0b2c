"""The causes that rungs can name.

Their ids, titles and sources are those of the failure catalogue (``profiles/failures``), which is read
when the first cause is named: a healthy host costs nothing.
"""

from __future__ import annotations

from gpu_bringup.model.ladder import Cause, Evidence


def cause(cause_id: str, confidence: float, *evidence: Evidence) -> Cause:
    """A cause with its title and sources.

    Args:
        cause_id: id of a failure in the catalogue.
        confidence: 0 to 1; facts give 0.9 and more, log texts alone less.
        evidence: what speaks for it.

    Raises:
        KeyError: no such failure (a mistake in a rung).
        InputError: the catalogue of failures can't be read.
    """
    from gpu_bringup.failures.titles import titles

    title, sources = titles()[cause_id]
    return Cause(cause_id, title, confidence, evidence, sources)
