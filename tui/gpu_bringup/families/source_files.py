"""Reads the package manager's source files, which careful editing needs as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import Facts


def read_source_files(host: Host, facts: Facts) -> dict[str, str]:
    """Path -> text of every file that names a repository; unreadable ones are left out."""
    if isinstance(facts.packages.repositories, Unknown):
        return {}
    paths = sorted({repository.file for repository in facts.packages.repositories})
    texts = {path: host.read_text(path) for path in paths}
    return {path: text for path, text in texts.items() if isinstance(text, str)}
