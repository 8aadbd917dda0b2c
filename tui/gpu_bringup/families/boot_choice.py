"""Which commands make the boot loader that is there boot another kernel, once or from now on.

Sources: grub-reboot(8) and grub-set-default(8) (Debian: the latter needs GRUB_DEFAULT=saved; a
submenu and its entry are joined by ">"), grubby(8), grub2-once of SUSE's GRUB (SLES Administration
Guide, the boot loader GRUB 2), bootctl(1) (an empty id unsets the variable).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.families.base import Change
from gpu_bringup.model.enums import BootLoader
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import BootChoice, Facts

SAVED = Write(
    "/etc/default/grub.d/zz-gpu-bringup.cfg",
    "# Written by gpu-bringup: boot the entry that grub-set-default has saved.\n"
    "# To take it back: remove this file and run update-grub.\n"
    "GRUB_DEFAULT=saved\n",
)
"""Debian's and Ubuntu's grub-mkconfig read /etc/default/grub.d after /etc/default/grub."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How to choose a kernel at the boot loader, or why that can't be done."""

    change: Change = field(default_factory=Change)
    why_not: str = ""
    risk: str = ""


def _entry(facts: Facts, release: str) -> BootChoice | None:
    found = [item for item in facts.kernels.boot_entries if item.release == release]
    # GRUB's first entry ("Debian GNU/Linux") is whatever kernel is newest: one that names it stays.
    named = [item for item in found if release in item.id]
    return next(iter(named or found), None)


def _name(facts: Facts, entry: BootChoice) -> str:
    # A record hides ids of machines and disks: the title names the same entry.
    return entry.title if facts.recorded and entry.title else entry.id


def _tool(folder: str, word: str) -> str:
    return f"grub2-{word}" if folder.endswith("grub2") else f"grub-{word}"


def _editenv(folder: str, *words: str) -> Command:
    return Command((_tool(folder, "editenv"), f"{folder}/grubenv", *words))


def choose_kernel(facts: Facts, family: str, release: str, *, once: bool) -> Choice:
    """Boot ``release`` at the next boot only (``once``), or from now on.

    Args:
        facts: of the host; its boot loader and menu.
        family: id of the distribution's family.
        release: an installed kernel.
    """
    loader = facts.kernels.boot_loader
    if isinstance(loader, Unknown):
        return Choice(why_not=f"the boot loader could not be looked at: {loader.reason}")
    entry = _entry(facts, release)
    if loader is BootLoader.NONE or entry is None:
        return Choice(
            why_not=f"the boot menu has no entry for {release} that could be chosen from here: "
            "choose it on the console at boot"
        )
    if loader is BootLoader.SYSTEMD_BOOT:
        return _systemd_boot(facts, entry, release, once)
    if loader is BootLoader.BLS and not once:
        return _grubby(facts, release)
    if family == "suse" and once:
        return _grub_once(facts, entry)
    return _grub(facts, family, entry, once)


def _systemd_boot(facts: Facts, entry: BootChoice, release: str, once: bool) -> Choice:
    verb = "set-oneshot" if once else "set-default"
    # The id begins with the machine's own, which a record hides; bootctl takes a pattern as well.
    name = f"*{release}.conf" if facts.recorded else f"{entry.id}.conf"
    before = "" if once else facts.kernels.default_entry
    return Choice(
        Change(
            commands=(Command(("bootctl", verb, name)),),
            undo=(Command(("bootctl", verb, "" if facts.recorded else before)),),
        )
    )


def _grubby(facts: Facts, release: str) -> Choice:
    default = next(
        (
            kernel.release
            for kernel in (
                () if isinstance(facts.kernels.installed, Unknown) else facts.kernels.installed
            )
            if kernel.default is True
        ),
        "",
    )
    back = (Command(("grubby", "--set-default", f"/boot/vmlinuz-{default}")),) if default else ()
    forward = Command(("grubby", "--set-default", f"/boot/vmlinuz-{release}"))
    return Choice(
        Change(commands=(forward,), undo=back),
        risk="A kernel that is installed later becomes the default again (UPDATEDEFAULT=yes in "
        "/etc/sysconfig/kernel).",
    )


_UNWRITABLE = (
    "Where GRUB can't write to /boot by itself (RAID, LVM, btrfs), the choice stays for later boots "
    "too, until it is taken back."
)


def _grub_once(facts: Facts, entry: BootChoice) -> Choice:
    folder = facts.kernels.boot_folder
    return Choice(
        Change(
            commands=(Command(("grub2-once", entry.title or entry.id)),),
            undo=(_editenv(folder, "unset", "next_entry"),),
        ),
        risk=_UNWRITABLE,
    )


def _grub(facts: Facts, family: str, entry: BootChoice, once: bool) -> Choice:
    folder, name = facts.kernels.boot_folder, _name(facts, entry)
    if once:
        if facts.kernels.boots_once is False:
            return Choice(
                why_not=f"{folder}/grub.cfg does not obey a choice for one boot (no next_entry in it)"
            )
        return Choice(
            Change(
                commands=(Command((_tool(folder, "reboot"), name)),),
                undo=(_editenv(folder, "unset", "next_entry"),),
            ),
            risk=_UNWRITABLE,
        )
    choose = Command((_tool(folder, "set-default"), name))
    saved = facts.kernels.default_saved
    if saved is True:
        before = facts.kernels.default_entry
        back = _editenv(folder, "unset", "saved_entry")
        if before not in ("", "0") and not facts.recorded:
            back = Command((_tool(folder, "set-default"), before))
        return Choice(Change(commands=(choose,), undo=(back,)))
    if family not in ("debian", "ubuntu"):
        return Choice(
            why_not="GRUB's default is fixed in its configuration: set GRUB_DEFAULT=saved in "
            f"/etc/default/grub and run {_tool(folder, 'mkconfig')} -o {folder}/grub.cfg first"
        )
    update = Command(("update-grub",))
    return Choice(
        Change(
            writes=(SAVED,),
            commands=(update, choose),
            undo=(_editenv(folder, "unset", "saved_entry"), update),
        ),
        risk="From then on GRUB boots what was saved, also after a newer kernel was installed.",
    )
