"""What an apt-get transaction would do: dependencies, conflicts, downgrades, holds (apt-get(8))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import holds, sources
from gpu_bringup.hosts.simulated.holds import AptError
from gpu_bringup.hosts.simulated.packages import CONFIG_FILES, Archive, Offer, dependency
from gpu_bringup.model.versions import compare_debian

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine


@dataclass(slots=True)
class Wanted:
    """What a transaction will do."""

    install: dict[str, Offer] = field(default_factory=dict)
    archive: dict[str, Archive] = field(default_factory=dict)
    automatic: set[str] = field(default_factory=set)
    remove: dict[str, str] = field(default_factory=dict)
    purge: bool = False
    reinstall: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)
    """Versions that were asked for by "NAME=VERSION": a dependency on NAME gets the same."""


def plan(machine: Machine, action: str, words: Sequence[str], options: dict[str, str]) -> Wanted:
    wanted = Wanted(purge=action == "purge" or "--purge" in options)
    if action in ("upgrade", "dist-upgrade", "full-upgrade"):
        _upgrades(machine, wanted, new=action != "upgrade")
        return wanted
    if action == "autoremove":
        for name in _unneeded(machine):
            wanted.remove[name] = machine.packages.installed[name].offer.version
        return wanted
    if action in ("remove", "purge"):
        for word in words:
            named = _matching(machine, word)
            for name in named:
                _take_away(machine, wanted, name)
            holds.keep(machine, wanted.remove, named)
        if options.keys() & {"-y", "--yes", "--assume-yes"}:
            holds.may_change(machine, wanted.remove, options)
        return wanted
    fix = options.keys() & {"-f", "--fix-broken"}
    wanted.versions = dict(word.split("=", 1) for word in words if "=" in word)
    for word in words:
        if word.endswith("-") and word[:-1] in machine.packages.installed:
            _take_away(machine, wanted, word[:-1])
            continue
        _ask_for(machine, wanted, word, again=action == "reinstall" or "--reinstall" in options)
    _mend(machine, wanted, fix=bool(fix))
    downgraded = [
        name
        for name, offer in wanted.install.items()
        if name in machine.packages.installed
        and machine.packages.installed[name].state != CONFIG_FILES
        and compare_debian(offer.version, machine.packages.installed[name].offer.version) < 0
    ]
    if downgraded and not fix and "--allow-downgrades" not in options:
        raise AptError(
            "The following packages will be DOWNGRADED:\n  " + " ".join(downgraded) + "\n"
            "E: Packages were downgraded and -y was used without --allow-downgrades."
        )
    if not fix:
        changed = [n for n in (*wanted.install, *wanted.remove) if n not in wanted.reinstall]
        holds.may_change(machine, changed, options)
    return wanted


def _unmet(machine: Machine, wanted: Wanted) -> list[tuple[Offer, str]]:
    """(package, dependency) of what would be installed and still lacks something."""
    found = []
    for name, item in machine.packages.installed.items():
        if name in wanted.remove or item.state == CONFIG_FILES:
            continue
        offer = wanted.install.get(name, item.offer)
        for text in offer.depends:
            if not any(
                wanted.install[each].version == version or not version
                if each in wanted.install
                else machine.packages.has(each, version) and each not in wanted.remove
                for each, version in dependency(text)
            ):
                found.append((offer, text))
    return found


def _mend(machine: Machine, wanted: Wanted, *, fix: bool) -> None:
    """Meet what installed packages lack, as --fix-broken does; without it, refuse."""
    for _ in range(20):
        lacking = _unmet(machine, wanted)
        if not lacking:
            return
        offer, text = lacking[0]
        before = any(machine.packages.has(each, version) for each, version in dependency(text))
        if before and offer.name not in wanted.install:
            # What this very transaction breaks goes: "The following packages will be REMOVED".
            _take_away(machine, wanted, offer.name)
            continue
        if not fix:
            raise AptError(
                "You might want to run 'apt --fix-broken install' to correct these.\n"
                "The following packages have unmet dependencies:\n"
                f" {offer.name} : Depends: {text} but it is not going to be installed\n"
                "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a "
                "solution)."
            )
        try:
            _satisfy(machine, wanted, offer, text)
        except AptError:
            _take_away(machine, wanted, offer.name)


def _matching(machine: Machine, word: str) -> list[str]:
    found = [name for name in machine.packages.installed if fnmatchcase(name, word)]
    known = any(fnmatchcase(name, word) for name in sources.names(machine))
    if not found and not known:
        raise AptError(f"E: Unable to locate package {word}")
    return sorted(found)


def _take_away(machine: Machine, wanted: Wanted, name: str) -> None:
    item = machine.packages.installed.get(name)
    if item is None or name in wanted.remove:
        return
    wanted.remove[name] = item.offer.version
    for other, there in machine.packages.installed.items():
        if there.state == CONFIG_FILES or other in wanted.install:
            continue
        for text in there.offer.depends:
            alternatives = dependency(text)
            if any(each == name for each, _ in alternatives) and not any(
                machine.packages.has(each) and each not in wanted.remove for each, _ in alternatives
            ):
                _take_away(machine, wanted, other)


def _ask_for(
    machine: Machine, wanted: Wanted, word: str, *, again: bool = False, automatic: bool = False
) -> None:
    name, _, pattern = word.partition("=")
    name = name.split(":")[0]
    pattern = pattern or wanted.versions.get(name, "")
    found = sources.candidates(machine, name)
    there = machine.packages.installed.get(name)
    present = there is not None and there.state != CONFIG_FILES
    if pattern:
        found = [item for item in found if fnmatchcase(item.offer.version, pattern)]
        if (
            present
            and there is not None
            and fnmatchcase(there.offer.version, pattern)
            and not again
        ):
            return
        if not found:
            raise AptError(f"E: Version '{pattern}' for '{name}' was not found")
    if not found:
        providers = [
            offer
            for archive in machine.packages.fetched
            for offer in archive.offers
            if name in offer.provides
        ]
        if present and not again:
            return
        if providers:
            _ask_for(machine, wanted, providers[0].name, automatic=automatic)
            return
        raise AptError(f"E: Unable to locate package {name}")
    best = found[0]
    if best.priority < 0:
        raise AptError(f"E: Package '{name}' has no installation candidate")
    if present and there is not None and again and best.offer.version == there.offer.version:
        wanted.reinstall.add(name)
    elif present and there is not None and not pattern:
        newer = compare_debian(best.offer.version, there.offer.version) > 0
        if not newer and not again:
            return
        if again and not newer:
            same = [item for item in found if item.offer.version == there.offer.version]
            if not same:
                raise AptError(
                    f"Reinstallation of {name} is not possible, it cannot be downloaded."
                )
            best = same[0]
            wanted.reinstall.add(name)
        if automatic and not again:
            return
    if name in wanted.install:
        return
    wanted.install[name] = best.offer
    wanted.archive[name] = best.archive
    if automatic and not present:
        wanted.automatic.add(name)
    for text in best.offer.depends:
        _satisfy(machine, wanted, best.offer, text)
    for other in best.offer.conflicts:
        if other in machine.packages.installed and other not in wanted.install:
            _take_away(machine, wanted, other)


def _satisfy(machine: Machine, wanted: Wanted, offer: Offer, text: str) -> None:
    alternatives = dependency(text)
    for name, version in alternatives:
        chosen = wanted.install.get(name)
        if chosen is not None and (not version or chosen.version == version):
            return
        if chosen is None and machine.packages.has(name, version) and name not in wanted.remove:
            return
    for name, version in alternatives:
        try:
            _ask_for(machine, wanted, f"{name}={version}" if version else name, automatic=True)
            return
        except AptError:
            continue
    raise AptError(
        "The following packages have unmet dependencies:\n"
        f" {offer.name} : Depends: {text} but it is not installable\n"
        "E: Unable to correct problems, you have held broken packages."
    )


def _upgrades(machine: Machine, wanted: Wanted, *, new: bool) -> None:
    for name, item in sorted(machine.packages.installed.items()):
        if item.held or item.state == CONFIG_FILES:
            continue
        found = sources.candidates(machine, name)
        if not found or compare_debian(found[0].offer.version, item.offer.version) <= 0:
            continue
        trial = Wanted(dict(wanted.install), dict(wanted.archive), set(wanted.automatic))
        try:
            _ask_for(machine, trial, name)
        except AptError:
            continue
        fresh = set(trial.install) - set(machine.packages.installed)
        if trial.remove or (fresh and not new):
            continue
        wanted.install, wanted.archive, wanted.automatic = (
            trial.install, trial.archive, trial.automatic)  # fmt: skip


def _unneeded(machine: Machine) -> list[str]:
    """Packages that came for others and are needed by none, but never the running kernel's."""
    installed = machine.packages.installed
    needed = {name for name, item in installed.items() if not item.automatic}
    waiting = list(needed)
    while waiting:
        item = installed.get(waiting.pop())
        if item is None:
            continue
        for text in item.offer.depends:
            for name, _ in dependency(text):
                for other in installed:
                    if other not in needed and (
                        other == name or name in installed[other].offer.provides
                    ):
                        needed.add(other)
                        waiting.append(other)
    return [
        name
        for name, item in sorted(installed.items())
        if name not in needed and item.offer.argument != machine.running_kernel
    ]
