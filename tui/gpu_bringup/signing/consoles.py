"""Where a machine's console is that shows the screens before the system starts: data, and a look-up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.reader import read_files, toml_files
from gpu_bringup.errors import InputError
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from gpu_bringup.model.facts import PlatformFacts


@dataclass(frozen=True, slots=True)
class Console:
    """One kind of console."""

    id: str
    name: str
    open: str
    """How to open it."""
    before: str
    """What must be so before it works."""
    sources: tuple[str, ...]
    clouds: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    certainty: str = "documented"
    """"documented" by the maker, or "second-hand"."""

    def fits(self, cloud: str, vendor: str) -> bool:
        """Does it belong to a machine of this cloud or of this maker (DMI's words)?"""
        if not self.clouds and not self.vendors:
            return True
        return any(mark in cloud for mark in self.clouds if cloud) or any(
            vendor.startswith(mark) or f" {mark}" in vendor for mark in self.vendors if vendor
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "open": self.open,
            "before": self.before,
            "certainty": self.certainty,
            "sources": list(self.sources),
        }


@lru_cache(maxsize=1)
def load_consoles() -> tuple[Console, ...]:
    """All consoles of ``profiles/consoles``, in the order of the file.

    Raises:
        InputError: an entry lacks a field, or has one that isn't known.
    """
    folder = data_folder("profiles").joinpath("consoles")
    return tuple(
        _console(table, f"{name}: [[console]] {number}")
        for name, content in read_files(toml_files(folder, "profiles/consoles"))
        for number, table in enumerate(content.get("console", ()), 1)
    )


def _console(table: dict[str, Any], place: str) -> Console:
    known = {"id", "name", "match", "open", "before", "certainty", "sources"}
    missing = {"id", "name", "open", "before", "sources"} - table.keys()
    if missing or table.keys() - known:
        wrong = ", ".join(sorted(missing or table.keys() - known))
        raise InputError(
            f"{'missing' if missing else 'unknown'} field: {wrong}",
            file=place,
            hint="A console has id, name, open, before, sources, and may have match and certainty.",
        )
    match = table.get("match", {})
    return Console(
        id=table["id"],
        name=table["name"],
        open=table["open"],
        before=table["before"],
        sources=tuple(table["sources"]),
        clouds=tuple(match.get("cloud", ())),
        vendors=tuple(match.get("vendor", ())),
        certainty=table.get("certainty", "documented"),
    )


def console_of(platform: PlatformFacts) -> Console | None:
    """The console that fits this machine; None: nothing at all is known of the machine."""
    cloud = platform.cloud.lower() if isinstance(platform.cloud, str) else ""
    vendor = platform.vendor.lower() if isinstance(platform.vendor, str) else ""
    return next((item for item in load_consoles() if item.fits(cloud, vendor)), None)
