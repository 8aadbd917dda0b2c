"""Where a machine's console is that shows the screens before the system starts: data, and a look-up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.reader import read_files, toml_files
from gpu_bringup.errors import InputError
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from importlib.abc import Traversable

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


_TEXTS = ("id", "name", "open", "before")
_HINT = "A console has id, name, open, before, sources, and may have clouds, vendors and certainty."


@lru_cache(maxsize=1)
def load_consoles() -> tuple[Console, ...]:
    """All consoles of ``profiles/consoles``, in the order of the file.

    Raises:
        InputError: an entry is wrong, or never reached.
    """
    return read_consoles(data_folder("profiles").joinpath("consoles"), "profiles/consoles")


def read_consoles(folder: Traversable, prefix: str) -> tuple[Console, ...]:
    """All consoles of a folder, in the order of their files.

    Args:
        prefix: what to call the folder in an error.

    Raises:
        InputError: an entry is wrong, named twice, or stands after one that fits every machine.
    """
    found: list[Console] = []
    for name, content in read_files(toml_files(folder, prefix)):
        entries = content.get("console", [])
        if content.keys() - {"console"} or not isinstance(entries, list):
            raise InputError("only [[console]] entries stand here", file=name, hint=_HINT)
        for number, table in enumerate(entries, 1):
            place = f"[[console]] {number}"
            console = _console(table, name, place)
            if any(other.id == console.id for other in found):
                raise InputError(f"there are two consoles '{console.id}'", file=name, place=place)
            if any(not other.clouds and not other.vendors for other in found):
                text = "it is never reached: an entry before it fits every machine"
                raise InputError(text, file=name, place=place, hint="Put that one last.")
            found.append(console)
    return tuple(found)


def _console(table: Any, file: str, place: str) -> Console:
    if not isinstance(table, dict):
        raise InputError("this is no table", file=file, place=place, hint=_HINT)
    known = {*_TEXTS, "clouds", "vendors", "certainty", "sources"}
    missing = {*_TEXTS, "sources"} - table.keys()
    if missing or table.keys() - known:
        wrong = ", ".join(sorted(missing or table.keys() - known))
        word = "missing" if missing else "unknown"
        raise InputError(f"{word} field: {wrong}", file=file, place=place, hint=_HINT)
    for key in _TEXTS:
        if not isinstance(table[key], str) or not table[key].strip():
            raise InputError(f"{key} must be a text", file=file, place=place, hint=_HINT)
    certainty = table.get("certainty", "documented")
    if certainty not in ("documented", "second-hand"):
        text = "certainty is documented or second-hand"
        raise InputError(text, file=file, place=place, hint=_HINT)
    return Console(
        **{key: table[key] for key in _TEXTS},
        sources=_texts(table["sources"], "sources", file, place),
        clouds=_marks(table, "clouds", file, place),
        vendors=_marks(table, "vendors", file, place),
        certainty=certainty,
    )


def _texts(value: Any, key: str, file: str, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(i, str) and i for i in value):
        raise InputError(f"{key} must be a list of texts", file=file, place=place, hint=_HINT)
    return tuple(value)


def _marks(table: dict[str, Any], key: str, file: str, place: str) -> tuple[str, ...]:
    marks = _texts(table[key], key, file, place) if key in table else ()
    if any(mark != mark.lower() for mark in marks):
        # They are compared with what DMI says in lower case.
        text = f"{key} must be in lower case"
        raise InputError(text, file=file, place=place, hint=_HINT)
    return marks


def console_of(platform: PlatformFacts) -> Console | None:
    """The console that fits this machine; None: nothing at all is known of the machine."""
    cloud = platform.cloud.lower() if isinstance(platform.cloud, str) else ""
    vendor = platform.vendor.lower() if isinstance(platform.vendor, str) else ""
    return next((item for item in load_consoles() if item.fits(cloud, vendor)), None)
