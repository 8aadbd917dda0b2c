"""Dependencies of installed packages that no installed package meets (deb-control(5), Policy 7.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from gpu_bringup.model.versions import compare_debian

_FIELD = re.compile(r"(?m)^(Package|Status|Version|Depends|Pre-Depends|Provides): (.*)$")
_RELATION = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]*)(?::\S+)?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^)\s]+)\s*\))?\s*$"
)
_THERE = ("installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")


@dataclass(frozen=True, slots=True)
class Stanza:
    """What a status file says of one package, as far as dependencies go."""

    name: str
    version: str = ""
    status: str = ""
    """dpkg's three words: "install ok installed"."""
    depends: str = ""
    """Pre-Depends and Depends, joined."""
    provides: str = ""

    @property
    def state(self) -> str:
        """dpkg's third word: "installed", "unpacked", …"""
        return self.status.rpartition(" ")[2]


def stanzas(text: str) -> tuple[Stanza, ...]:
    """Every package of a status file, in its order."""
    found: list[Stanza] = []
    fields: dict[str, str] = {}
    for match in _FIELD.finditer(text + "\nPackage: \n"):
        key, value = match[1], match[2].strip()
        if key != "Package":
            fields[key] = value
            continue
        if fields.get("Package"):
            needs = ", ".join(fields[k] for k in ("Pre-Depends", "Depends") if fields.get(k))
            found.append(
                Stanza(
                    fields["Package"],
                    fields.get("Version", ""),
                    fields.get("Status", ""),
                    needs,
                    fields.get("Provides", ""),
                )
            )
        fields = {"Package": value}
    return tuple(found)


def _holds(have: str, relation: str, wanted: str) -> bool:
    order = compare_debian(have, wanted)
    return {
        "<<": order < 0, "<": order <= 0, "<=": order <= 0, "=": order == 0,
        ">=": order >= 0, ">": order >= 0, ">>": order > 0,
    }[relation]  # fmt: skip


def _offers(every: tuple[Stanza, ...]) -> dict[str, list[str]]:
    """Name -> versions that are there under it; "": provided without one."""
    offers: dict[str, list[str]] = {}
    for item in every:
        if item.state not in _THERE:
            continue
        offers.setdefault(item.name, []).append(item.version)
        for part in item.provides.split(",") if item.provides else ():
            match = _RELATION.match(part)
            if match:
                offers.setdefault(match[1], []).append(match[3] or "")
    return offers


def _met(alternatives: str, offers: dict[str, list[str]]) -> bool:
    for part in alternatives.split("|"):
        match = _RELATION.match(part)
        if match is None:
            # What can't be read is no reason to raise an alarm.
            return True
        for version in offers.get(match[1], ()):
            if not match[2] or (version and _holds(version, match[2], match[3])):
                return True
    return False


def unmet(every: tuple[Stanza, ...], asked: Callable[[str], object]) -> tuple[str, ...]:
    """ "NAME needs DEPENDENCY" for each installed package that ``asked`` is true of."""
    offers = _offers(every)
    return tuple(
        f"{item.name} needs {needed.strip()}"
        for item in every
        if item.state == "installed" and item.depends and asked(item.name)
        for needed in item.depends.split(",")
        if needed.strip() and not _met(needed, offers)
    )


def thinned(every: tuple[Stanza, ...], own: set[str], others: set[str]) -> str:
    """A status file of a few packages, in which the dependencies of ``own`` are met as in the whole.

    Versions that are asked for and met are left out: what is left says what is installed, and no number
    in it is taken for an address.

    Args:
        every: all packages.
        own: names of those whose dependencies count.
        others: names of those that are kept besides.
    """
    offers = _offers(every)
    depends: dict[int, str] = {}
    wanted: set[str] = set()
    for number, item in enumerate(every):
        if item.name not in own or not item.depends:
            continue
        parts = []
        for needed in item.depends.split(","):
            met = _met(needed, offers)
            parts.append(re.sub(r"\s*\([^)]*\)", "", needed).strip() if met else needed.strip())
            wanted |= {m[1] for part in needed.split("|") if (m := _RELATION.match(part))}
        depends[number] = ", ".join(parts)
    kept = []
    for number, item in enumerate(every):
        provided = [m[1] for part in item.provides.split(",") if (m := _RELATION.match(part))]
        provided = [name for name in provided if name in wanted]
        if item.name not in own | others | wanted and not provided:
            continue
        fields = {"Package": item.name, "Status": item.status, "Version": item.version}
        if number in depends:
            fields["Depends"] = depends[number]
        if provided:
            fields["Provides"] = ", ".join(provided)
        kept.append("".join(f"{key}: {value}\n" for key, value in fields.items() if value))
    return "\n".join(kept)
