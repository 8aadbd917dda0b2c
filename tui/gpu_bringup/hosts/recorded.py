"""A host as it was written down: it answers from its record, and can only be looked at."""

from __future__ import annotations

import posixpath
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gpu_bringup.errors import ReadOnlyHostError
from gpu_bringup.hosts.base import CommandResult, Session
from gpu_bringup.hosts.record_format import HostRecord, parse_record, read_record
from gpu_bringup.model.facts import Certificate, Space
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gpu_bringup.model.plan import Command

NOT_RECORDED = "not in this record"
_NOT_RECORDED = Unknown(NOT_RECORDED)

_LINK_LIMIT = 40
"""Links followed one after another, as in the kernel (MAXSYMLINKS)."""

_SYSFS_FOLDERS = frozenset(
    [
        "block",
        "bus",
        "class",
        "dev",
        "devices",
        "firmware",
        "fs",
        "hypervisor",
        "kernel",
        "module",
        "power",
    ]
)


class RecordedHost:
    """Answers from a record. What is in none of its parts is unknown, which is not absent."""

    kind = "recorded"

    def __init__(self, record: HostRecord, label: str) -> None:
        self.label = label
        self._record = record
        self._present = _present(record)
        self._links = record.links.keys()
        self._missing_programs = {
            key.split(" ", 1)[0]
            for key, answer in record.commands.items()
            if answer.missing and not answer.output
        }

    @classmethod
    def from_file(cls, path: Path) -> RecordedHost:
        """Read a record.

        Raises:
            InputError: it can't be read or isn't a record; names the file and the place in it.
        """
        return cls(read_record(path), Path(path).name)

    @classmethod
    def from_bytes(cls, data: bytes, label: str) -> RecordedHost:
        """As ``from_file``, from what was read already (a support bundle's member)."""
        return cls(parse_record(data, label), label)

    # --- paths ---------------------------------------------------------------------------------

    def _names(self, path: str) -> Iterable[str]:
        """``path``, then what it becomes as each link that the record knows is followed."""
        record = self._record
        if path not in record.real_paths and self._links.isdisjoint(_prefixes(path)):
            return (path,)
        return self._followed(path)

    def _followed(self, path: str) -> Iterator[str]:
        seen: set[str] = set()
        while path not in seen and len(seen) < _LINK_LIMIT:
            seen.add(path)
            yield path
            link = next(
                (prefix for prefix in _prefixes(path) if prefix in self._record.links), None
            )
            if link is None:
                real = self._record.real_paths.get(path)
                if real is None:
                    return
                path = real
            else:
                path = _follow(link, self._record.links[link]) + path[len(link) :]

    def _there(self, path: str) -> bool | None:
        """Is there something under exactly this name? None: the record doesn't tell."""
        record = self._record
        if path in record.absent:
            return False
        if path in self._present:
            return True
        child = path
        while child != "/":
            parent, name = _split(child)
            if parent in record.absent or parent in record.files:
                return False
            names = record.listings.get(parent)
            if names is not None:
                if name not in names:
                    return False
                if child == path and path not in record.links:
                    return True
            if parent in self._present:
                # It is there, and so is everything above it.
                return None
            child = parent
        return None

    def _absent(self, path: str) -> bool:
        return any(self._there(name) is False for name in self._names(path))

    def _unknown(self, path: str) -> Unknown:
        reason = self._record.unknown.get(path)
        return _NOT_RECORDED if reason is None else Unknown(reason)

    def read_text(self, path: str, *, limit: int = 4_000_000) -> Fact[str | None]:
        for name in self._names(path):
            text = self._record.files.get(name)
            if text is not None:
                return _cut(text, limit)
            if self._record.kinds.get(name) == "folder" or name in self._record.listings:
                return None
            if self._there(name) is False:
                return None
        return self._unknown(path)

    def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
        for name in self._names(path):
            names = self._record.listings.get(name)
            if names is not None:
                return names
            if self._record.kinds.get(name) == "not-folder" or name in self._record.files:
                return None
            if self._there(name) is False:
                return None
        return self._unknown(path)

    def read_link(self, path: str) -> Fact[str | None]:
        target = self._record.links.get(path)
        if target is not None:
            return target
        if path in self._record.not_links or self._there(path) is False:
            return None
        return self._unknown(path)

    def resolve(self, path: str) -> Fact[str | None]:
        if self._absent(path):
            return None
        real = self._record.real_paths.get(path)
        if real is not None:
            return real
        last = list(self._names(path))[-1]
        if last == path and (path in self._record.links or self._there(path) is None):
            return self._unknown(path)
        return last

    def exists(self, path: str) -> Fact[bool]:
        there = [self._there(name) for name in self._names(path)]
        if False in there:
            return False
        if True in there or path in self._record.real_paths or path in self._record.links:
            return True
        return self._unknown(path)

    def certificates(self, path: str) -> Fact[tuple[Certificate, ...] | None]:
        for name in self._names(path):
            found = self._record.certificates.get(name)
            if found is not None:
                return found
            if self._record.kinds.get(name) == "folder" or name in self._record.listings:
                return None
        return None if self._absent(path) else self._unknown(path)

    def space(self, path: str) -> Space:
        space = self._record.spaces.get(path, {})
        absent = not space and self._absent(path)
        unknown = Unknown(f"there is no {path}") if absent else self._unknown(path)
        return Space(
            path=path,
            free=space.get("free", unknown),
            total=space.get("total", unknown),
            read_only=bool(space["read_only"]) if "read_only" in space else unknown,
        )

    # --- questions -----------------------------------------------------------------------------

    def run(self, argv: Sequence[str], *, timeout: float = 10.0) -> Fact[CommandResult]:
        key = " ".join(argv)
        answer = self._record.commands.get(key)
        if answer is not None:
            return answer
        if argv[:1] == ("modinfo",) or argv[:1] == ["modinfo"]:
            # Its answer names each file: the order in which they were asked for doesn't count.
            for other, told in self._record.commands.items():
                if other.startswith("modinfo ") and sorted(other.split(" ")) == sorted(argv):
                    return told
        if argv and argv[0] in self._missing_programs:
            return CommandResult(127, "")
        return Unknown(f"the answer to '{key}' is {NOT_RECORDED}")

    def kernel_log(self) -> Fact[str]:
        answer = self.run(("dmesg",))
        if isinstance(answer, Unknown):
            return Unknown(f"the kernel's log is {NOT_RECORDED}")
        if not answer.ok:
            return Unknown(answer.output.strip() or "the kernel's log could not be read there")
        return answer.output

    def environment(self, name: str) -> Fact[str | None]:
        if name in self._record.environment:
            return self._record.environment[name]
        return Unknown(f"the variable {name} is {NOT_RECORDED}")

    def uid(self) -> Fact[int]:
        answer = self.run(("id", "-u"))
        if isinstance(answer, CommandResult):
            text = answer.output.strip()
            if text.isascii() and text.isdigit() and len(text) <= 10:
                return int(text)
        return Unknown(f"the user is {NOT_RECORDED}")

    def now(self) -> Fact[float]:
        moment = self._record.time
        return Unknown(f"the time is {NOT_RECORDED}") if moment is None else moment

    def nvml(self, *, timeout: float = 40.0) -> Fact[dict[str, Any] | None]:
        return self._probe("nvml", "NVML's answer")

    def cuda(self, *, deep: bool = False, timeout: float = 30.0) -> Fact[dict[str, Any] | None]:
        return self._probe("cuda", "libcuda's answer")

    def digest(self, kind: str, path: str) -> Fact[dict[str, Any] | None]:
        found = self._record.digests.get(f"{kind} {path}")
        if found is not None:
            return found
        return None if self._absent(path) else self._unknown(path)

    def _probe(self, key: str, what: str) -> Fact[dict[str, Any] | None]:
        if key in self._record.probes:
            return self._record.probes[key]
        return Unknown(f"{what} is {NOT_RECORDED}")

    # --- what a record can't do ----------------------------------------------------------------

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        self._refuse(f"'{' '.join(command.argv)}' can't be run")

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        self._refuse(f"{path} can't be written")

    def remove_file(self, path: str) -> None:
        self._refuse(f"{path} can't be removed")

    def _refuse(self, what: str) -> NoReturn:
        raise ReadOnlyHostError(
            f"{what}: {self.label} is a recorded host",
            meaning="A record can only be looked at. Nothing was changed.",
            hint="Run the same command on the host itself, without --host; "
            "'gpu-bringup plan' shows here what it would do there.",
        )


@lru_cache(maxsize=4096)
def _prefixes(path: str) -> tuple[str, ...]:
    """The folders above ``path``, topmost first, then ``path``."""
    found = []
    end = path.find("/", 1)
    while end != -1:
        found.append(path[:end])
        end = path.find("/", end + 1)
    return (*found, path)


_split = lru_cache(maxsize=4096)(posixpath.split)
"""The records of a fleet are asked after the same paths."""


def _follow(link: str, target: str) -> str:
    """Where a link leads, by its text alone."""
    if target.startswith("/"):
        return posixpath.normpath("/" + target.lstrip("/"))
    if link.startswith("/sys/"):
        # A folder such as /sys/bus/pci/devices/X is itself a link to below /sys/devices, so going
        # up by name goes wrong. A link that names a top folder of sysfs goes up to the top.
        parts = target.split("/")
        down = [part for part in parts if part != ".."]
        if parts[0] == ".." and down and down[0] in _SYSFS_FOLDERS:
            return "/sys/" + "/".join(down)
    return posixpath.normpath(posixpath.join(posixpath.dirname(link), target))


def _present(record: HostRecord) -> set[str]:
    """What is there, with the folders that must be there, since something below them is."""
    folders: set[str] = {"/"}
    for table in (record.files, record.listings, record.links, record.kinds):
        for path in table:
            end = path.rfind("/")
            while end > 0 and path[:end] not in folders:
                folders.add(path[:end])
                end = path.rfind("/", 0, end)
    return folders.union(record.files, record.listings, record.kinds)


def _cut(text: str, limit: int) -> str:
    if len(text) * 4 <= limit:
        return text
    return text.encode()[:limit].decode(errors="replace")
