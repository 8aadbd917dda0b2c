"""Which families have a private package manager for trial builds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from gpu_bringup.families.apt_scratch import AptScratch
from gpu_bringup.families.apt_sources import private_sources
from gpu_bringup.families.repository import FETCH_KEY, fetch_key_script
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpu_bringup.families.base import Family
    from gpu_bringup.families.scratch import Scratch
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.catalogue import PackageRepository
    from gpu_bringup.model.facts import Facts


def scratch_for(
    family: Family,
    host: Host,
    facts: Facts,
    folder: Path,
    files: dict[str, str],
    components: Sequence[str],
    repository: PackageRepository | None,
) -> Scratch | None:
    """A private package manager with ``components`` on and ``repository`` added; None: not made yet.

    Args:
        folder: scratch folder, emptied first.
        files: the host's own source files.
    """
    if family.manager.name != "apt" or isinstance(facts.os, Unknown):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sources = private_sources(files, components, facts.os.codename)
    preparation: list[tuple[str, ...]] = []
    if repository is not None:
        change = family.add_repository(repository, facts.os)
        keyring = str(folder / "repository-key")
        # The plan brings the script along as a file; nothing of the plan is on the host yet.
        script = folder / "fetch-key.sh"
        script.write_text(fetch_key_script(), encoding="utf-8")
        # The last argument of the command that fetches the pinned key is where it is kept.
        for command in change.commands:
            if command.argv[-1].startswith("/") and "fetch-key" in " ".join(command.argv):
                argv = (str(script) if word == FETCH_KEY else word for word in command.argv)
                preparation.append((*tuple(argv)[:-1], keyring))
                for write in change.writes:
                    if write.path.endswith((".sources", ".list")):
                        sources[write.path] = write.content.replace(command.argv[-1], keyring)
    return AptScratch(host, folder, sources, preparation)
