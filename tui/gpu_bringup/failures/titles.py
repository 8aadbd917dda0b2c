"""Titles and sources of the failures, without building the whole of them: what a check needs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.reader import read_files, toml_files
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Mapping


@lru_cache(maxsize=1)
def titles() -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """Id of a failure -> (title, addresses of what was read).

    Raises:
        InputError: a file of the project's can't be read.
    """
    folder = data_folder("profiles").joinpath("failures")
    return {
        table["id"]: (table["title"], tuple(table.get("sources", ())))
        for _, content in read_files(toml_files(folder, "profiles/failures"))
        for table in content.get("failure", ())
    }
