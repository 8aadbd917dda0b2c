"""apt-get, apt, apt-cache: what would be done, and the doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import maintainer, sources
from gpu_bringup.hosts.simulated.packages import CONFIG_FILES, INSTALLED, Archive, Offer, dependency
from gpu_bringup.hosts.simulated.programs.dpkg import configure_all
from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.work import Program, Wait
from gpu_bringup.model.versions import compare_debian

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine

_INTERRUPTED = (
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. "
)


class AptError(Exception):
    """apt-get ends with status 100 and these words."""


@dataclass(slots=True)
class Wanted:
    """What a transaction will do."""

    install: dict[str, Offer] = field(default_factory=dict)
    archive: dict[str, Archive] = field(default_factory=dict)
    automatic: set[str] = field(default_factory=set)
    remove: dict[str, str] = field(default_factory=dict)
    purge: bool = False
    reinstall: set[str] = field(default_factory=set)


@program("apt-get", "apt")
def apt_get(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-o", "-t", "-c", "-a")
    action = words[0] if words else ""
    if "--version" in options:
        return (yield from said("apt 3.0.3 (amd64)"))
    if action == "update":
        return (yield from _update(machine))
    if action in ("autoclean", "clean"):
        return 0
    if action not in (
        "install", "reinstall", "remove", "purge", "autoremove", "upgrade", "dist-upgrade",
        "full-upgrade", "download",
    ):  # fmt: skip
        yield f"E: Invalid operation {action}"
        return 100
    yield from said(
        ("Reading package lists... Done", "Building dependency tree... Done",
         "Reading state information... Done")
    )  # fmt: skip
    if machine.packages.unfinished() and machine.tree.exists("/var/lib/dpkg/updates/0001"):
        yield _INTERRUPTED
        return 100
    try:
        wanted = _plan(machine, action, words[1:], options)
    except AptError as error:
        yield from said(str(error))
        return 100
    quiet = options.keys() & {"-s", "--simulate", "--dry-run", "--just-print", "-d",
                              "--download-only", "--print-uris"} or action == "download"  # fmt: skip
    yield from _summary(machine, wanted)
    if quiet:
        if "-s" in options or "--simulate" in options or "--dry-run" in options:
            yield from _simulated(machine, wanted)
        return 0
    if not wanted.install and not wanted.remove and not machine.packages.unfinished():
        return 0
    if options.keys().isdisjoint({"-y", "--yes", "--assume-yes", "-qq"}) and not _silent(options):
        from gpu_bringup.hosts.simulated.work import Ask

        answer = yield Ask("Do you want to continue? [Y/n] ")
        if answer.strip().lower() not in ("", "y", "yes"):
            yield "Abort."
            return 1
    return (yield from _carry_out(machine, wanted))


def _silent(options: dict[str, str]) -> bool:
    return any(
        option.startswith("-") and not option.startswith("--") and "y" in option
        for option in options
    )


def _update(machine: Machine) -> Program:
    fetched: list[Archive] = []
    number, status = 0, 0
    for archive, keyring in sources.reached(machine):
        number += 1
        if not machine.network:
            host = archive.uri.split("/")[2] if "//" in archive.uri else archive.uri
            yield f"Err:{number} {archive.uri} {archive.suite} InRelease"
            yield f"  Temporary failure resolving '{host}'"
            continue
        if not sources.trusted(machine, archive, keyring):
            yield f"Err:{number} {archive.uri} {archive.suite} InRelease"
            yield (
                "  The following signatures couldn't be verified because the public key is not "
                f"available: NO_PUBKEY {archive.key[-16:]}"
            )
            yield f"E: The repository '{archive.uri} {archive.suite} InRelease' is not signed."
            status = 100
            continue
        yield f"Get:{number} {archive.uri} {archive.suite}/{archive.component} amd64 Packages"
        yield Wait(1)
        fetched.append(archive)
    if not machine.network:
        yield "W: Some index files failed to download. They have been ignored, or old ones used instead."
        return 0
    machine.packages.fetched = tuple(dict.fromkeys(fetched))
    machine.changed()
    yield "Reading package lists... Done"
    return status


# --- what would be done ----------------------------------------------------------------------------


def _plan(machine: Machine, action: str, words: Sequence[str], options: dict[str, str]) -> Wanted:
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
            for name in _matching(machine, word):
                _take_away(machine, wanted, name)
        return wanted
    fix = options.keys() & {"-f", "--fix-broken"}
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
    held = [
        name
        for name in (*wanted.install, *wanted.remove)
        if name in machine.packages.installed
        and machine.packages.installed[name].held
        and name not in wanted.reinstall
    ]
    if held and not fix and "--allow-change-held-packages" not in options:
        raise AptError(
            "The following held packages will be changed:\n  " + " ".join(held) + "\n"
            "E: Held packages were changed and -y was used without --allow-change-held-packages."
        )
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
    if present and there is not None and not pattern:
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


# --- what is said and done ---------------------------------------------------------------------------


def _summary(machine: Machine, wanted: Wanted) -> Program:
    installed = machine.packages.installed
    gone = set(wanted.remove)
    new = [n for n in wanted.install if n not in installed or installed[n].state == CONFIG_FILES]
    newer = [n for n in wanted.install if n not in new and n not in wanted.reinstall]
    if gone:
        yield "The following packages will be REMOVED:"
        mark = "*" if wanted.purge else ""
        yield "  " + " ".join(f"{name}{mark}" for name in sorted(gone))
    if new:
        yield "The following NEW packages will be installed:"
        yield "  " + " ".join(sorted(new))
    if newer:
        yield "The following packages will be upgraded:"
        yield "  " + " ".join(sorted(newer))
    again = f", {len(wanted.reinstall)} reinstalled" if wanted.reinstall else ""
    yield (
        f"{len(newer)} upgraded, {len(new)} newly installed{again}, {len(gone)} to remove and 0 not "
        "upgraded."
    )
    unfinished = machine.packages.unfinished()
    if unfinished:
        yield f"{len(unfinished)} not fully installed or removed."
    size = sum(offer.size for offer in wanted.install.values())
    if wanted.install:
        yield f"Need to get {max(size // 4000, 1)} kB of archives."
        yield f"After this operation, {max(size // 1000, 1)} kB of additional disk space will be used."
    return 0


def _simulated(machine: Machine, wanted: Wanted) -> Program:
    for name, version in wanted.remove.items():
        yield f"{'Purg' if wanted.purge else 'Remv'} {name} [{version}]"
    for name, offer in wanted.install.items():
        there = machine.packages.installed.get(name)
        old = (
            f" [{there.offer.version}]" if there is not None and there.state != CONFIG_FILES else ""
        )
        archive = wanted.archive[name]
        yield f"Inst {name}{old} ({offer.version} {archive.origin}:{archive.suite} [amd64])"
    for name, offer in wanted.install.items():
        archive = wanted.archive[name]
        yield f"Conf {name} ({offer.version} {archive.origin}:{archive.suite} [amd64])"
    return 0


def _ordered(wanted: Wanted) -> list[str]:
    """Dependencies before what depends on them."""
    done: list[str] = []

    def visit(name: str, above: frozenset[str]) -> None:
        if name in done or name in above:
            return
        for text in wanted.install[name].depends:
            for other, _ in dependency(text):
                if other in wanted.install:
                    visit(other, above | {name})
        done.append(name)

    for name in sorted(wanted.install, key=lambda n: wanted.install[n].kind == "dkms-module"):
        visit(name, frozenset())
    return done


def _carry_out(machine: Machine, wanted: Wanted) -> Program:
    if wanted.install and not machine.network:
        missing = next(iter(wanted.install))
        archive = wanted.archive[missing]
        yield f"Err:1 {archive.uri} {archive.suite} {missing}"
        yield "E: Failed to fetch " + archive.uri + "  Temporary failure resolving"
        yield "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?"
        return 100
    order = _ordered(wanted)
    for number, name in enumerate(order, 1):
        archive = wanted.archive[name]
        offer = wanted.install[name]
        yield f"Get:{number} {archive.uri} {archive.suite} {name} amd64 {offer.version}"
        yield Wait(offer.size / 20_000_000)
    for name in list(wanted.remove):
        if name in machine.packages.installed:
            yield from maintainer.remove(machine, name, purge=wanted.purge)
    for name in order:
        offer = wanted.install[name]
        there = machine.packages.installed.get(name)
        old = f" over ({there.offer.version})" if there is not None else ""
        yield f"Preparing to unpack .../{name}_{offer.version}_amd64.deb ..."
        yield f"Unpacking {name} ({offer.version}){old} ..."
        error = maintainer.unpack(machine, offer, automatic=name in wanted.automatic)
        if error:
            yield f"dpkg: error processing archive {name}_{offer.version}_amd64.deb (--unpack):"
            yield f" {error}"
            yield "E: Sub-process /usr/bin/dpkg returned an error code (1)"
            return 100
    status = yield from _configure(machine, order)
    _history(machine, wanted)
    return status


def _configure(machine: Machine, order: list[str]) -> Program:
    waiting = [*(i.offer.name for i in machine.packages.unfinished() if i.offer.name not in order)]
    bad: list[str] = []
    for name in (*waiting, *order):
        if machine.packages.installed[name].state == INSTALLED:
            continue
        if not (yield from maintainer.configure(machine, name)):
            bad.append(name)
            yield f"dpkg: error processing package {name} (--configure):"
            yield (
                f" installed {name} package post-installation script subprocess returned error exit "
                "status 10"
            )
    if bad:
        yield "Errors were encountered while processing:"
        yield from said([f" {name}" for name in bad])
        yield "E: Sub-process /usr/bin/dpkg returned an error code (1)"
        return 100
    return 0


def _history(machine: Machine, wanted: Wanted) -> None:
    """A stanza of /var/log/apt/history.log, as apt writes it."""
    import time

    stamp = time.strftime("%Y-%m-%d  %H:%M:%S", time.gmtime(machine.clock))
    rows = [f"\nStart-Date: {stamp}", "Commandline: apt-get"]
    if wanted.install:
        told = ", ".join(
            f"{name}:amd64 ({offer.version})" for name, offer in wanted.install.items()
        )
        rows.append(f"Install: {told}")
    if wanted.remove:
        told = ", ".join(f"{name}:amd64 ({version})" for name, version in wanted.remove.items())
        rows.append(f"Remove: {told}")
    rows.append(f"End-Date: {stamp}\n")
    path = "/var/log/apt/history.log"
    machine.write(path, machine.text(path) + "\n".join(rows))


@program("apt-cache")
def apt_cache(machine: Machine, argv: tuple[str, ...]) -> Program:
    _options, words = split(argv[1:], "-o", "-c")
    action = words[0] if words else ""
    if action == "policy":
        for name in words[1:]:
            yield from _policy(machine, name)
        return 0
    if action == "madison":
        for name in words[1:]:
            for item in sources.candidates(machine, name):
                yield (
                    f"{name} | {item.offer.version} | {item.archive.uri} {item.archive.suite}/"
                    f"{item.archive.component} amd64 Packages"
                )
        return 0
    if action in ("show", "depends"):
        found = [item for name in words[1:] for item in sources.candidates(machine, name)]
        for item in found:
            yield f"Package: {item.offer.name}"
            yield f"Version: {item.offer.version}"
            if item.offer.depends:
                yield f"Depends: {', '.join(item.offer.depends)}"
            yield ""
        if not found:
            yield "E: No packages found"
        return 0 if found else 100
    if action in ("search", "pkgnames"):
        pattern = words[1] if len(words) > 1 else ""
        yield from said(sorted(n for n in sources.names(machine) if pattern.strip("^$") in n))
        return 0
    yield f"E: Invalid operation {action}"
    return 100


def _policy(machine: Machine, name: str) -> Program:
    found = sources.candidates(machine, name)
    there = machine.packages.installed.get(name)
    if not found and there is None:
        return 0
    present = there is not None and there.state != CONFIG_FILES
    yield f"{name}:"
    yield f"  Installed: {there.offer.version if present and there is not None else '(none)'}"
    best = found[0].offer.version if found and found[0].priority >= 0 else "(none)"
    yield f"  Candidate: {best}"
    yield "  Version table:"
    for item in found:
        mark = (
            "***"
            if present and there is not None and there.offer.version == item.offer.version
            else "   "
        )
        yield f" {mark} {item.offer.version} {item.priority}"
        yield (
            f"        {item.priority} {item.archive.uri} {item.archive.suite}/"
            f"{item.archive.component} amd64 Packages"
        )
    return 0


__all__ = ["apt_get", "configure_all", "replace"]
