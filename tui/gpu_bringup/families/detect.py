"""Finds the family of a host.

A family is one module of this package with ``IDS`` (os-release ids) and ``family(os)``; a new one is
a new file and nothing else. Source of the rule: os-release(5), ID and ID_LIKE.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

import gpu_bringup.families as package
from gpu_bringup.families.base import Family
from gpu_bringup.model.facts import OsFacts

IMAGE_BASED = ("opensuse-microos", "sle-micro", "sl-micro", "ubuntu-core")
"""Systems whose root is an image: packages can't be put in by their package manager."""

Factory = Callable[[OsFacts], Family]


@lru_cache(maxsize=1)
def registry() -> dict[str, Factory]:
    """os-release id -> what makes the family object."""
    found: dict[str, Factory] = {}
    for module in pkgutil.iter_modules(package.__path__):
        loaded = import_module(f"{package.__name__}.{module.name}")
        for os_id in getattr(loaded, "IDS", ()):
            found[os_id] = loaded.family
    return found


def family_for(os: OsFacts) -> Family | None:
    """The family of this system by its id, else by the first known name in ID_LIKE, else None."""
    if os.id in IMAGE_BASED:
        return None
    known = registry()
    for name in (os.id, *os.like):
        if name in known:
            return known[name](os)
    return None
