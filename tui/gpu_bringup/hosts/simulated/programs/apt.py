"""apt-get, apt, apt-cache: what would be done, and the doing."""

from __future__ import annotations

import time
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import maintainer, sources
from gpu_bringup.hosts.simulated.holds import AptError
from gpu_bringup.hosts.simulated.packages import CONFIG_FILES, INSTALLED, Archive, dependency
from gpu_bringup.hosts.simulated.programs.apt_cache import apt_cache
from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.transaction import Wanted, plan
from gpu_bringup.hosts.simulated.work import Ask, Program, Wait

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine

_INTERRUPTED = (
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. "
)


@program("apt-get", "apt")
def apt_get(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-o", "-t", "-c", "-a")
    action = words[0] if words else ""
    if "--version" in options:
        return (yield from said("apt 3.0.3 (amd64)"))
    if action in ("policy", "show") and argv[0] == "apt":
        return (yield from apt_cache(machine, ("apt-cache", action, *words[1:])))
    if action == "list" and argv[0] == "apt":
        yield "Listing..."
        for name, item in sorted(machine.packages.installed.items()):
            if not words[1:] or any(fnmatchcase(name, word) for word in words[1:]):
                yield f"{name}/now {item.offer.version} amd64 [installed]"
        return 0
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
        wanted = plan(machine, action, words[1:], options)
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
    for name in order:
        item = machine.packages.installed[name]
        if item.held and name not in wanted.reinstall:
            # Seen with apt 3.0: a held package that --allow-change-held-packages lets it change
            # is not held any more afterwards.
            machine.packages.installed[name] = replace(item, held=False)
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
