"""GRUB: which entry boots by default and which one boots next, from its generated files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gpu_bringup.model.facts import BootChoice

_ENTRY = re.compile(r"""^(menuentry|submenu)\s+(?:'([^']*)'|"([^"]*)"|(\S+))(.*)\{$""")
_ID = re.compile(r"""(?:\$menuentry_id_option|--id)\s+(?:'([^']*)'|"([^"]*)"|(\S+))""")
_IMAGE = re.compile(r"^(?:linux|linuxefi|linux16)\s+(\S+)", re.MULTILINE)
_DEFAULT = re.compile(r'^\s*set\s+default="?([^"\n]*)"?\s*$', re.MULTILINE)
_RELEASE = re.compile(r"(?:vmlinuz|vmlinux|[zb]?[Ii]mage)-([^/\s]+)$")


@dataclass(slots=True)
class MenuEntry:
    """An entry of the menu, or a submenu with its own."""

    title: str
    id: str = ""
    submenu: bool = False
    image: str = ""
    children: list[MenuEntry] = field(default_factory=list)


def release_of_image(path: str) -> str:
    """The kernel release in an image's path ("/boot/vmlinuz-6.1.0-50-amd64"); empty: none."""
    match = _RELEASE.search(path)
    return match[1] if match else ""


def parse_menu(text: str) -> list[MenuEntry]:
    """The menu of a grub.cfg. Broken input gives whatever entries can be told."""
    top = MenuEntry("", submenu=True)
    stack: list[MenuEntry | None] = [top]
    for raw in text.splitlines():
        stripped = raw.strip()
        match = _ENTRY.match(stripped)
        if match:
            identity = _ID.search(match[5])
            entry = MenuEntry(
                title=match[2] or match[3] or match[4] or "",
                id=next((part for part in identity.groups() if part), "") if identity else "",
                submenu=match[1] == "submenu",
            )
            parent = next(item for item in reversed(stack) if item is not None)
            parent.children.append(entry)
            stack.append(entry)
        elif stripped.endswith("{") and not stripped.startswith("#"):
            stack.append(None)
        elif stripped == "}" and len(stack) > 1:
            stack.pop()
        elif stack[-1] is not None and not stack[-1].submenu:
            image = _IMAGE.match(stripped)
            if image and not stack[-1].image:
                stack[-1].image = image[1]
    return top.children


def parse_grubenv(text: str) -> dict[str, str]:
    """Variables of GRUB's environment block."""
    pairs = (raw.partition("=") for raw in text.splitlines() if not raw.startswith("#"))
    return {key.strip(): value for key, separator, value in pairs if separator}


def configured_default(text: str, environment: dict[str, str]) -> str:
    """The value that ``default`` has after grub.cfg ran without a one-shot entry; "0": none set."""
    chosen = ""
    for value in _DEFAULT.findall(text):
        if "next_entry" not in value:
            chosen = value
    if "saved_entry" in chosen:
        chosen = environment.get("saved_entry", "")
    return chosen or "0"


def _pick(entries: list[MenuEntry], word: str) -> MenuEntry | None:
    for entry in entries:
        if word in (entry.id, entry.title):
            return entry
    if word.isdigit() and int(word) < len(entries):
        return entries[int(word)]
    return None


def find_entry(entries: list[MenuEntry], value: str) -> MenuEntry | None:
    """The entry that a default such as "0", "1>2", an id or a title names; None: there is none."""
    direct = _pick(entries, value)
    if direct is not None and not direct.submenu:
        return direct
    found: MenuEntry | None = None
    level = entries
    for word in re.split(r"(?<!>)>(?!>)", value):
        found = _pick(level, word.replace(">>", ">"))
        if found is None:
            return None
        level = found.children
    while found is not None and found.submenu:
        found = found.children[0] if found.children else None
    return found


def default_is_saved(text: str) -> bool:
    """Does grub.cfg boot the entry that grub-set-default saved?"""
    values = [value for value in _DEFAULT.findall(text) if "next_entry" not in value]
    return bool(values) and "saved_entry" in values[-1]


def _word(text: str) -> str:
    # A ">" within a title is doubled: a single one stands between the levels (GRUB manual, default).
    return text.replace(">", ">>")


def choices(
    entries: list[MenuEntry], ids: tuple[str, ...] = (), titles: tuple[str, ...] = ()
) -> tuple[BootChoice, ...]:
    """The entries that boot a kernel as usual, with the path that GRUB's tools take.

    Recovery entries (Debian's "(recovery mode)", their ids say "-recovery-") are left out.
    """
    found: list[BootChoice] = []
    for entry in entries:
        path = (*ids, _word(entry.id or entry.title))
        words = (*titles, _word(entry.title))
        release = release_of_image(entry.image)
        if entry.submenu:
            found += choices(entry.children, path, words)
        elif release and "-recovery-" not in entry.id and "recovery mode" not in entry.title:
            found.append(BootChoice(release, ">".join(path), ">".join(words)))
    return tuple(found)


def releases(entries: list[MenuEntry]) -> tuple[str, ...]:
    """Kernel releases that the menu can boot, in its order, each once."""
    found: list[str] = []
    for entry in entries:
        if entry.submenu:
            found += releases(entry.children)
        elif release_of_image(entry.image):
            found.append(release_of_image(entry.image))
    return tuple(dict.fromkeys(found))
