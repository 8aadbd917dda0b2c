"""Lessons in ``gpu-bringup profiles validate``: read, built, climbed, solved. Loaded when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_bringup.errors import InputError
    from gpu_bringup.model.catalogue import Catalogue


def holds_lessons(path: Path) -> bool:
    """Is this a file of lessons?"""
    from gpu_bringup.training.library import holds_lessons as holds

    return holds(path)


def check_lessons(catalogue: Catalogue, path: Path | None) -> tuple[int, list[InputError]]:
    """(how many lessons there are, what is wrong with them).

    Those of the file or folder that is validated are also played through, by the engine's plan and by
    their own solution. The project's own are only read: its tests have played them.
    """
    from gpu_bringup.training import library, proofs

    wrong: list[InputError] = []
    if path is None or (not path.is_dir() and not library.holds_lessons(path)):
        return len(library.load(None, wrong.append).lessons), wrong
    found = library.examine(path, wrong.append)
    own = [lesson for lesson in found.lessons.values() if found.places[lesson.id].layer > 0]
    wrong += proofs.problems(found, catalogue, own)
    return len(found.lessons), wrong
