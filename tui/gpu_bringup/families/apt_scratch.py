"""A private apt: its own sources, indexes and downloads; the host's package database, read only.

``apt-get`` takes every folder by option (apt.conf(5)), so nothing of the host is written, and a user
without root can do it as well.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.families.apt import Apt
from gpu_bringup.families.base import Resolution
from gpu_bringup.families.scratch import Unpacked
from gpu_bringup.hosts.base import CommandResult, Host
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

# Big packages that no module build reads, and those that would shadow the running C library.
_NOT_FOR_BUILDS = re.compile(
    r"^(linux-image-|linux-modules-|firmware-|systemd|udev$|libsystemd|initramfs-tools|dracut"
    r"|libc6$|libc-bin$|locales|nvidia-|libnvidia-|libcuda|glx-|update-glx|xserver-)"
)
_UPDATE_DEADLINE = 300.0
_DOWNLOAD_DEADLINE = 1800.0


class AptScratch:
    """See ``scratch.Scratch``.

    Args:
        host: where apt-get is; a local host.
        folder: an empty or earlier scratch folder of ours.
        sources: path on the host -> text, as the sources will be (components on, repository added).
        preparation: commands that fetch pinned repository keys into the folder.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        sources: dict[str, str],
        preparation: Sequence[tuple[str, ...]] = (),
    ) -> None:
        self._host = host
        self._folder = folder
        self._sources = sources
        self._preparation = preparation
        self._apt = Apt()

    def _options(self) -> list[str]:
        folder = self._folder
        return [
            f"-oDir::Cache={folder}/cache",
            f"-oDir::Cache::archives={folder}/cache/archives",
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Retries=3",
            "-oDebug::NoLocking=1",
            f"-oDir::Etc::sourcelist={folder}/sources.list",
            f"-oDir::Etc::sourceparts={folder}/sources.list.d",
            f"-oDir::State::lists={folder}/lists",
        ]

    def _run(self, argv: Sequence[str], timeout: float) -> CommandResult:
        # env -C: apt-get download writes to the current folder.
        full = ["env", "-C", str(self._folder / "debs"), *argv]
        answer = self._host.run(full, timeout=timeout)
        if isinstance(answer, Unknown):
            return CommandResult(127, answer.reason)
        return answer

    def prepare(self) -> str:
        folder = self._folder
        for name in ("lists/partial", "cache/archives/partial", "sources.list.d", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / "sources.list.d").iterdir():
            old.unlink()
        (folder / "sources.list").write_text("", encoding="utf-8")
        for path, text in self._sources.items():
            if path == "/etc/apt/sources.list":
                (folder / "sources.list").write_text(text, encoding="utf-8")
            else:
                (folder / "sources.list.d" / Path(path).name).write_text(text, encoding="utf-8")
        for argv in self._preparation:
            fetched = self._run(argv, 120.0)
            if not fetched.ok:
                return (fetched.output.strip() or f"{argv[0]} failed").splitlines()[-1]
        answer = self._run(["apt-get", *self._options(), "update", "-q"], _UPDATE_DEADLINE)
        error = update_error(answer.output)
        if answer.missing:
            return "apt-get isn't there"
        if answer.timed_out:
            return f"the repositories did not answer within {_UPDATE_DEADLINE:.0f} s"
        # apt-get update exits 0 when an index could not be fetched and an old one exists.
        if answer.ok and not error:
            return ""
        return error or f"apt-get update ended with exit status {answer.exit}"

    def resolve(self, packages: Sequence[str], *, recommends: bool = False) -> Resolution:
        """``recommends``: as the plain command does it, for comparison only."""
        answer = self._ask(self._apt.simulate(packages), recommends)
        resolution = self._apt.parse_simulation(answer.exit, answer.output)
        if not resolution.ok:
            return resolution
        sizes = self._ask(self._apt.sizes_argv(packages), recommends)
        download, installed = self._apt.parse_sizes(sizes.exit, sizes.output)
        return Resolution(
            ok=True,
            installs=resolution.installs,
            removes=resolution.removes,
            download_bytes=download,
            installed_bytes=installed,
        )

    def _ask(self, argv: Sequence[str], recommends: bool) -> CommandResult:
        kept = [item for item in argv if not (recommends and item == "--no-install-recommends")]
        return self._run([kept[0], *self._options(), *kept[1:]], 120.0)

    def unpack(self, packages: Sequence[str], *, wanted: Sequence[str] = ()) -> Unpacked:
        root = self._folder / "root"
        resolution = self.resolve(packages)
        if not resolution.ok:
            return Unpacked(root, (), resolution.error)
        chosen = [
            (name, version)
            for name, version in resolution.installs
            if name in wanted or not _NOT_FOR_BUILDS.match(name)
        ]
        names = {name for name, _ in chosen}
        downloads = [f"{name}={version}" for name, version in chosen]
        downloads += [name for name in wanted if name not in names]
        debs = self._folder / "debs"
        for old in debs.glob("*.deb"):
            old.unlink()
        if downloads:
            answer = self._run(
                ["apt-get", *self._options(), "download", "-q", *downloads], _DOWNLOAD_DEADLINE
            )
            if not answer.ok:
                errors = [x for x in answer.output.splitlines() if x.startswith("E:")]
                return Unpacked(root, (), errors[0] if errors else answer.output[-300:])
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for deb in sorted(debs.glob("*.deb")):
            answer = self._run(["dpkg-deb", "-x", str(deb), str(root)], 300.0)
            if not answer.ok:
                return Unpacked(root, (), f"{deb.name}: {answer.output.strip()}")
            deb.unlink()
        _merge_usr(root)
        return Unpacked(root, tuple(chosen))


def update_error(output: str) -> str:
    """Why ``apt-get update`` could not read an index, in apt's own words; empty: it could.

    "W: Failed to fetch URL  reason" says most; then "E:", then "Err:" with the reason below it.
    """
    lines = [line.strip() for line in output.splitlines()]
    for pattern in (r"[EW]: Failed to fetch .+", r"E: .+", r"W: .*GPG error.*"):
        for line in lines:
            if re.fullmatch(pattern, line):
                return line[3:]
    for number, line in enumerate(lines):
        if line.startswith("Err:"):
            return " ".join([line, *lines[number + 1 : number + 2]])
    return ""


def _merge_usr(root: Path) -> None:
    """Move /lib, /bin and /sbin below /usr, as they are on a merged-/usr host."""
    for name in ("lib", "bin", "sbin", "lib64"):
        old = root / name
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(old)
