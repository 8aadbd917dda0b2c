"""dpkg, dpkg-query, apt-mark, ldconfig."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import linker, maintainer, sources
from gpu_bringup.hosts.simulated.packages import CONFIG_FILES, INSTALLED, Installed, dependency
from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.work import Program

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine

_LETTERS = {INSTALLED: "i", CONFIG_FILES: "c", "unpacked": "U", "half-configured": "F"}


def _letters(item: Installed) -> str:
    want = "h" if item.held else "r" if item.gone else "i"
    return want + _LETTERS.get(item.state, "i")


def chosen(machine: Machine, patterns: list[str]) -> list[Installed]:
    """Packages whose names match; all where there is no pattern."""
    return [
        item
        for name, item in sorted(machine.packages.installed.items())
        if not patterns or any(fnmatchcase(name, pattern.split(":")[0]) for pattern in patterns)
    ]


@program("dpkg-query")
def dpkg_query(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-f")
    form = options.get("--showformat") or options.get("-f") or ""
    if "-l" in options or "--list" in options:
        return (yield from _list(machine, words))
    if "-W" in options or "--show" in options:
        found = chosen(machine, words)
        text = ""
        for item in found:
            text += _filled(form or "${Package}\\t${Version}\\n", item)
        yield from said(text)
        missing = [word for word in words if not chosen(machine, [word])]
        yield from said([f"dpkg-query: no packages found matching {word}" for word in missing])
        return 1 if missing else 0
    if ("-S" in options or "--search" in options) and words:
        return (yield from _search(machine, words))
    if ("-L" in options or "--listfiles" in options) and words:
        return (yield from _files(machine, words))
    if ("-s" in options or "--status" in options) and words:
        return (yield from _status(machine, words))
    yield "dpkg-query: error: need an action option"
    return 2


def _filled(form: str, item: Installed) -> str:
    state = item.state
    want = "hold" if item.held else "deinstall" if item.gone else "install"
    values = {
        "Package": item.offer.name,
        "binary:Package": item.offer.name,
        "Version": item.offer.version,
        "Architecture": "amd64",
        "Status": f"{want} ok {state}",
        "db:Status-Abbrev": f"{_letters(item)} ",
        "db:Status-Status": state,
        "db:Status-Want": want,
        "Depends": ", ".join(item.offer.depends),
        "Provides": ", ".join(item.offer.provides),
        "source:Package": item.offer.source or item.offer.name,
    }
    text = form.replace("\\n", "\n").replace("\\t", "\t")
    for key, value in values.items():
        text = text.replace("${" + key + "}", value)
    return text


def _list(machine: Machine, words: list[str]) -> Program:
    found = chosen(machine, words)
    if words and not found:
        yield f"dpkg-query: no packages found matching {words[0]}"
        return 1
    yield "Desired=Unknown/Install/Remove/Purge/Hold"
    yield "| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend"
    yield "|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)"
    yield "||/ Name                           Version            Architecture Description"
    yield "+++-==============================-==================-============-============"
    for item in found:
        name, version = item.offer.name, item.offer.version
        yield f"{_letters(item)}  {name:<30} {version:<18} amd64        {name}"
    return 0


def _search(machine: Machine, words: list[str]) -> Program:
    status = 0
    for word in words:
        owners = [
            item.offer.name
            for item in machine.packages.installed.values()
            if any(path == word or fnmatchcase(path, f"*{word}*") for path, _ in item.offer.files)
        ]
        for owner in owners:
            yield f"{owner}: {word}"
        if not owners:
            yield f"dpkg-query: no path found matching pattern {word}"
            status = 1
    return status


def _files(machine: Machine, words: list[str]) -> Program:
    item = machine.packages.installed.get(words[0])
    if item is None:
        yield f"dpkg-query: package '{words[0]}' is not installed"
        return 1
    for path, _ in item.offer.files:
        yield path
    return 0


def _status(machine: Machine, words: list[str]) -> Program:
    item = machine.packages.installed.get(words[0])
    if item is None:
        yield f"dpkg-query: package '{words[0]}' is not installed and no information is available"
        return 1
    yield from said(
        _filled("Package: ${Package}\\nStatus: ${Status}\\nVersion: ${Version}\\n", item)
    )
    return 0


@program("dpkg")
def dpkg(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    if "--print-architecture" in options:
        return (yield from said("amd64"))
    if "--audit" in options or "-C" in options:
        unfinished = machine.packages.unfinished()
        if unfinished:
            yield "The following packages are only half configured, probably due to problems"
            yield "configuring them the first time.  The configuration should be retried using"
            yield "dpkg --configure <package> or the configure menu option in dselect:"
            for item in unfinished:
                yield f" {item.offer.name:<20} {item.offer.name}"
        return 1 if unfinished else 0
    if "--configure" in options:
        return (yield from configure_all(machine))
    if options.keys() & {
        "-l",
        "--list",
        "-s",
        "--status",
        "-S",
        "--search",
        "-L",
        "--listfiles",
        "-W",
    }:
        return (yield from dpkg_query(machine, ("dpkg-query", *argv[1:])))
    if options.keys() & {"-r", "--remove", "-P", "--purge"} and words:
        return (yield from _remove(machine, words, options))
    if "--version" in options:
        return (
            yield from said("Debian 'dpkg' package management program version 1.22.22 (amd64).")
        )
    yield "dpkg: error: need an action option"
    return 2


def _remove(machine: Machine, words: list[str], options: dict[str, str]) -> Program:
    """``dpkg -r`` and ``-P``: refused where others need it, unless that is overridden."""
    forced = any(option.startswith("--force-") for option in options)
    bad = []
    for name in words:
        item = machine.packages.installed.get(name)
        if item is None:
            yield f"dpkg: warning: ignoring request to remove {name} which isn't installed"
            continue
        needs = [
            (other.offer.name, text)
            for other in machine.packages.installed.values()
            if other.state != CONFIG_FILES and other.offer.name not in words
            for text in other.offer.depends
            if any(each == name for each, _ in dependency(text))
        ]
        if needs and item.state != CONFIG_FILES and not forced:
            yield f"dpkg: dependency problems prevent removal of {name}:"
            for other_name, text in needs:
                yield f" {other_name} depends on {text}."
            yield f"\ndpkg: error processing package {name} (--remove):"
            yield " dependency problems - not removing"
            # What was wished stays on record, as dpkg(1) has it: "deinstall ok installed".
            machine.packages.installed[name] = replace(item, unwanted=True)
            machine.changed()
            bad.append(name)
            continue
        purge = "-P" in options or "--purge" in options
        yield from maintainer.remove(machine, name, purge=purge)
    if bad:
        yield "Errors were encountered while processing:"
        yield from said([f" {name}" for name in bad])
    return 1 if bad else 0


def configure_all(machine: Machine) -> Program:
    """``dpkg --configure -a``."""
    bad = []
    machine.tree.remove("/var/lib/dpkg/updates/0001")
    for item in machine.packages.unfinished():
        name = item.offer.name
        if not (yield from maintainer.configure(machine, name)):
            bad.append(name)
            yield f"dpkg: error processing package {name} (--configure):"
            yield (
                f" installed {name} package post-installation script subprocess returned error exit "
                "status 10"
            )
    if bad:
        yield "Errors were encountered while processing:"
        for name in bad:
            yield f" {name}"
        return 1
    return 0


@program("apt-mark")
def apt_mark(machine: Machine, argv: tuple[str, ...]) -> Program:
    _options, words = split(argv[1:])
    action = words[0] if words else ""
    if action == "showhold":
        return (yield from said([i.offer.name for i in chosen(machine, []) if i.held]))
    if action in ("hold", "unhold", "auto", "manual"):
        for name in words[1:]:
            item = machine.packages.installed.get(name)
            if item is None and name in sources.names(machine):
                # apt marks what isn't installed as well (apt-mark -s hold, apt 2.6).
                yield f"{name} set on hold." if action == "hold" else f"Canceled hold on {name}."
                continue
            if item is None:
                yield f"E: Unable to locate package {name}"
                return 100
            if action in ("hold", "unhold"):
                held = action == "hold"
                if item.held == held:
                    yield f"{name} was already {'set' if held else 'not'} on hold."
                else:
                    yield f"{name} set on hold." if held else f"Canceled hold on {name}."
                machine.packages.installed[name] = replace(item, held=held)
            else:
                machine.packages.installed[name] = replace(item, automatic=action == "auto")
                yield f"{name} set to {'automatically' if action == 'auto' else 'manually'} installed."
        machine.changed()
        return 0
    yield f"E: Invalid operation {action}"
    return 100


@program("ldconfig")
def ldconfig(machine: Machine, argv: tuple[str, ...]) -> Program:
    if "-p" not in argv:
        linker.refresh(machine)
        return 0
    rows = []
    for folder in linker.FOLDERS:
        for name in machine.tree.names(folder) or ():
            if ".so." in name and machine.tree.exists(f"{folder}/{name}") and name.endswith(".1"):
                shown = folder.replace("/usr/lib/", "/lib/")
                rows.append(f"\t{name} (libc6,x86-64) => {shown}/{name}")
    yield f"{len(rows)} libs found in cache `/etc/ld.so.cache'"
    yield from rows
    return 0
