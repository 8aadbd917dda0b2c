"""The dynamic linker's links: what ldconfig(8) makes of the libraries in its folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine

FOLDERS = ("/usr/local/lib", "/usr/lib/x86_64-linux-gnu")
"""Where the linker looks, first first."""
_VERSIONED = re.compile(r"(lib[\w-]+\.so)\.(\d+(?:\.\d+)+)$")


def refresh(machine: Machine) -> None:
    """Lead each library's short name ("libcuda.so.1") to its newest file; links to nothing go."""
    for folder in FOLDERS:
        newest: dict[str, str] = {}
        for name in machine.tree.names(folder) or ():
            match = _VERSIONED.match(name)
            if match:
                known = newest.get(match[1], "")
                if not known or driver_key(match[2]) > driver_key(known):
                    newest[match[1]] = match[2]
            elif not machine.tree.exists(f"{folder}/{name}"):
                machine.tree.remove(f"{folder}/{name}")
        for stem, version in newest.items():
            link = machine.tree.own_node(f"{folder}/{stem}.1")
            if getattr(link, "target", "") != f"{stem}.{version}":
                machine.tree.link(f"{folder}/{stem}.1", f"{stem}.{version}")
    machine.changed()
