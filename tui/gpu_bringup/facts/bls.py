"""Boot Loader Specification entries (RHEL's GRUB, systemd-boot) and systemd-boot's own settings."""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
from dataclasses import dataclass

from gpu_bringup.facts.grub import release_of_image
from gpu_bringup.model.versions import compare_debian


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One entry of the Boot Loader Specification."""

    id: str
    """File name without .conf (or .efi)."""
    title: str
    release: str
    """Kernel release it boots; empty: not a Linux kernel with a release."""


def parse_entry(name: str, text: str) -> BootEntry:
    """A file of loader/entries: ``name`` is its file name."""
    values: dict[str, str] = {}
    for raw in text.splitlines():
        key, _, value = raw.strip().partition(" ")
        if key and not key.startswith("#"):
            values.setdefault(key, value.strip())
    image = values.get("linux", "")
    # systemd's kernel-install puts the image at /TOKEN/RELEASE/linux.
    folder = posixpath.basename(posixpath.dirname(image))
    release = values.get("version", "") or release_of_image(image)
    if not release and re.match(r"\d+\.\d+", folder):
        release = folder
    return BootEntry(name.removesuffix(".conf"), values.get("title", ""), release)


def unified_entry(name: str) -> BootEntry:
    """An image of EFI/Linux, named TOKEN-RELEASE.efi (with "+3-0" style counters)."""
    stem = re.sub(r"\+\d+(-\d+)?$", "", name.removesuffix(".efi"))
    match = re.search(r"(?:^|-)(\d+\.\d+.*)$", stem)
    return BootEntry(stem, "", match[1] if match else "")


def newest_first(entries: list[BootEntry]) -> list[BootEntry]:
    """The order in which GRUB's blscfg and systemd-boot show entries; rescue entries last."""

    def compare(left: BootEntry, right: BootEntry) -> int:
        left_rescue, right_rescue = "rescue" in left.id, "rescue" in right.id
        if left_rescue != right_rescue:
            return 1 if left_rescue else -1
        return compare_debian(right.release or right.id, left.release or left.id)

    return sorted(entries, key=functools.cmp_to_key(compare))


def choose(entries: list[BootEntry], wanted: str) -> BootEntry | None:
    """The entry that a default names: id, title, number or glob; empty: the first."""
    if not wanted:
        return entries[0] if entries else None
    pattern = wanted.removesuffix(".conf").removesuffix(".efi")
    for entry in entries:
        if pattern in (entry.id, entry.title) or fnmatch.fnmatchcase(entry.id, pattern):
            return entry
    if wanted.isdigit() and int(wanted) < len(entries):
        return entries[int(wanted)]
    return None


def parse_loader_conf(text: str) -> str:
    """The ``default`` of systemd-boot's loader.conf; empty: none."""
    for raw in text.splitlines():
        words = raw.split(None, 1)
        if len(words) == 2 and words[0] == "default":
            return words[1].strip()
    return ""


def efi_string(text: str) -> str:
    """A UTF-16 string of an EFI variable, read as text: four attribute bytes, then the string."""
    return text[4:].replace("\0", "").strip()
