"""Memory windows (BARs) of a PCI device, as sysfs tells them. Pure."""

from __future__ import annotations

_UNSET, _MEMORY = 0x20000000, 0x200
"""Flags of a PCI resource: no address was given to it; it is a memory window (Linux, ioport.h)."""


def unset_bars(text: str) -> tuple[int, ...]:
    """Numbers of the memory windows without an address.

    Args:
        text: sysfs's ``resource`` file: a line "START END FLAGS" for each of the six BARs and more.
    """
    found = []
    for number_, raw in enumerate(text.splitlines()[:6]):
        words = raw.split()
        if len(words) != 3:
            continue
        try:
            start, _, flags = (int(word, 16) for word in words)
        except ValueError:
            continue
        if flags & _MEMORY and (flags & _UNSET or start == 0):
            found.append(number_)
    return tuple(found)
