"""Which kernels the boot loader can boot, which is its default and which it boots next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.facts import bls, grub
from gpu_bringup.facts.ask import names, text
from gpu_bringup.model.enums import BootLoader
from gpu_bringup.model.facts import BootChoice
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_LOADER_GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""Vendor id of systemd-boot's EFI variables (Boot Loader Interface)."""
_SYSTEM_PARTITIONS = ("/efi", "/boot/efi", "/boot")


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What the boot loader boots, now and next."""

    loader: Fact[BootLoader]
    default: Fact[str]
    """Kernel release that boots when nobody chooses."""
    one_shot: str = ""
    """Kernel release that boots next and only then; empty: none asked for."""
    releases: tuple[str, ...] = ()
    """Releases that the loader's entries name."""
    entries: tuple[BootChoice, ...] = ()
    folder: str = ""
    """GRUB's own folder; empty: not GRUB."""
    saved: Fact[bool] = False
    """GRUB's default is the saved entry."""
    wanted: str = ""
    """The default as the settings name it."""
    once_obeyed: Fact[bool] = True


def _variable(host: Host, name: str) -> str:
    path = f"/sys/firmware/efi/efivars/{name}-{_LOADER_GUID}"
    return bls.efi_string(text(host, path, limit=4096))


def _entries(host: Host, folder: str) -> list[bls.BootEntry]:
    path = f"{folder}/loader/entries"
    return [
        bls.parse_entry(name, text(host, f"{path}/{name}"))
        for name in names(host, path)
        if name.endswith(".conf")
    ]


def _release(entry: bls.BootEntry | None, what: str) -> Fact[str]:
    if entry is None:
        return Unknown(f"the boot loader's {what} names no entry that is there")
    return entry.release or Unknown(f"the boot entry {entry.id} names no kernel release")


def _choices(entries: list[bls.BootEntry]) -> tuple[BootChoice, ...]:
    return tuple(
        BootChoice(entry.release, entry.id, entry.title)
        for entry in entries
        if entry.release and "rescue" not in entry.id
    )


def _known(fact: Fact[str]) -> str:
    return fact if isinstance(fact, str) else ""


def _systemd_boot(host: Host) -> BootFacts:
    entries: list[bls.BootEntry] = []
    wanted = ""
    for folder in _SYSTEM_PARTITIONS:
        entries += _entries(host, folder)
        entries += [
            bls.unified_entry(name)
            for name in names(host, f"{folder}/EFI/Linux")
            if name.endswith(".efi")
        ]
        wanted = wanted or bls.parse_loader_conf(text(host, f"{folder}/loader/loader.conf"))
    wanted = _variable(host, "LoaderEntryDefault") or wanted
    if wanted == "@saved":
        wanted = _variable(host, "LoaderEntryLastBooted")
    entries = bls.newest_first(list(dict.fromkeys(entries)))
    once = _variable(host, "LoaderEntryOneShot")
    return BootFacts(
        BootLoader.SYSTEMD_BOOT,
        _release(bls.choose(entries, wanted), "default"),
        _known(_release(bls.choose(entries, once), "one-shot entry")) if once else "",
        tuple(dict.fromkeys(entry.release for entry in entries if entry.release)),
        _choices(entries),
        wanted=wanted,
    )


def _grub(host: Host, folder: str, config: str) -> BootFacts:
    environment = grub.parse_grubenv(text(host, f"{folder}/grubenv"))
    once = environment.get("next_entry", "")
    entries = bls.newest_first(_entries(host, "/boot"))
    if "blscfg" in config and entries:
        wanted = environment.get("saved_entry", "")
        return BootFacts(
            BootLoader.BLS,
            _release(bls.choose(entries, wanted), "default"),
            _known(_release(bls.choose(entries, once), "one-shot entry")) if once else "",
            tuple(dict.fromkeys(entry.release for entry in entries if entry.release)),
            _choices(entries),
            folder,
            "saved_entry" in config,
            wanted,
            "next_entry" in config,
        )
    menu = grub.parse_menu(config)
    wanted = grub.configured_default(config, environment)
    chosen = grub.find_entry(menu, wanted)
    next_entry = grub.find_entry(menu, once) if once else None
    default = grub.release_of_image(chosen.image) if chosen else ""
    return BootFacts(
        BootLoader.GRUB,
        default or Unknown(f"{folder}/grub.cfg has no entry for its default '{wanted}'"),
        grub.release_of_image(next_entry.image) if next_entry else "",
        grub.releases(menu),
        grub.choices(menu),
        folder,
        grub.default_is_saved(config),
        wanted,
        "next_entry" in config,
    )


def observe(host: Host) -> BootFacts:
    """The boot loader's own files; Unknown where /boot can't be read."""
    if "systemd-boot" in _variable(host, "LoaderInfo"):
        return _systemd_boot(host)
    unread: Unknown | None = None
    for folder in ("/boot/grub", "/boot/grub2"):
        config = host.read_text(f"{folder}/grub.cfg")
        if isinstance(config, str):
            return _grub(host, folder, config)
        if isinstance(config, Unknown):
            unread = config if unread is None else unread
    for folder in _SYSTEM_PARTITIONS:
        if host.exists(f"{folder}/loader/loader.conf") is True:
            return _systemd_boot(host)
    listing = host.list_dir("/boot")
    if isinstance(listing, Unknown):
        return BootFacts(listing, listing)
    if unread is not None and listing:
        return BootFacts(unread, unread)
    return BootFacts(BootLoader.NONE, Unknown("there is no boot loader configuration in /boot"))
