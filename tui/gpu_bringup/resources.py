"""Finds the data folders ``profiles/`` and ``scripts/``: in a checkout, a wheel or a zipapp."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable


def data_folder(name: str) -> Traversable:
    """The folder ``name`` ("profiles" or "scripts").

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    packaged = files("gpu_bringup").joinpath("_data").joinpath(name)
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).resolve().parents[2] / name
    if checkout.is_dir():
        return checkout
    raise FileNotFoundError(f"this installation of gpu-bringup lacks its {name}/ folder")
