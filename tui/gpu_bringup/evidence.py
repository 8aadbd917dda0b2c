"""What trial builds and installations showed on this host, kept over runs.

One JSON line a build in ``builds.jsonl`` of the state folder. Evidence outranks the catalogue for
exactly its combination of package version, kernel release and compiler.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gpu_bringup.errors import HostError
from gpu_bringup.model.trial import BuildEvidence

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def _file(state: Path) -> Path:
    return state / "evidence" / "builds.jsonl"


def load_evidence(state: Path) -> tuple[BuildEvidence, ...]:
    """Every build remembered, oldest first; a line that isn't whole is no evidence and left out."""
    try:
        text = _file(state).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    found: list[BuildEvidence] = []
    for line in text.splitlines():
        try:
            found.append(BuildEvidence.from_json(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return tuple(found)


def remember(state: Path, evidence: BuildEvidence) -> None:
    """Append one build.

    Raises:
        HostError: it can't be written (full disk, no permission).
    """
    path = _file(state)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(evidence.to_json()) + "\n")
    except OSError as error:
        raise HostError(
            f"the result of a trial build can't be kept in {path}: {error.strerror}",
            meaning="Nothing was changed on this server; the build would be done again next time.",
            hint="Make room or set GPU_BRINGUP_STATE to a folder that can be written.",
        ) from error


def look_up(
    evidence: Iterable[BuildEvidence],
    *,
    package: str,
    package_version: str,
    kernel: str,
    compiler: str,
) -> BuildEvidence | None:
    """The newest build of exactly this combination; an unknown compiler ("") matches any."""
    found = None
    for item in evidence:
        if (item.package, item.package_version, item.kernel) != (package, package_version, kernel):
            continue
        if compiler and item.compiler and compiler != item.compiler:
            continue
        found = item
    return found
