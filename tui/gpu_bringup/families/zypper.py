"""zypper as a package manager. Source: zypper(8); its XML output needs no reading of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.families.base import Resolution
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

# Another zypper or PackageKit may hold the lock: wait as long as for apt's.
ENVIRONMENT = (("LC_ALL", "C.UTF-8"), ("ZYPP_LOCK_TIMEOUT", "600"))
_NOTHING_FOUND = 104


def _zypper(*arguments: str, network: bool = True, ok: tuple[int, ...] = (0, 102, 103)) -> Command:
    # 102 and 103 are done, with a reboot or a restart of zypper advised.
    return Command(
        ("zypper", "--non-interactive", *arguments),
        environment=ENVIRONMENT,
        package_manager=True,
        network=network,
        ok_statuses=ok,
    )


def _install(packages: Sequence[str]) -> tuple[str, ...]:
    pinned = ("--oldpackage",) if any("=" in name for name in packages) else ()
    return ("--no-recommends", "--auto-agree-with-licenses", *pinned, *packages)


@dataclass(frozen=True, slots=True)
class Zypper:
    """zypper, never asking."""

    name: str = "zypper"
    hold_tools: tuple[str, ...] = ()

    def refresh(self) -> Command:
        """Read the repositories' metadata anew; trusts only keys that were imported before."""
        return _zypper("refresh")

    def install(self, packages: Sequence[str]) -> Command:
        """Install "name" or "name=version", without recommended packages."""
        return _zypper("install", *_install(packages))

    def remove(self, packages: Sequence[str]) -> Command:
        """Remove packages; 104 says that there was nothing to remove."""
        return _zypper("remove", *packages, network=False, ok=(0, 102, 103, _NOTHING_FOUND))

    def reinstall(self, packages: Sequence[str]) -> Command:
        """Install the same version again."""
        return _zypper("install", "--force", *_install(packages))

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """argv of a dry run; needs no root."""
        return (
            "zypper",
            "--non-interactive",
            "--no-refresh",
            "--xmlout",
            "install",
            "--dry-run",
            *_install(packages),
        )

    def parse_simulation(self, status: int, output: str) -> Resolution:
        """What the dry run's XML says."""
        return parse_simulation(status, output)

    def sizes_argv(self, packages: Sequence[str]) -> tuple[str, ...]:
        """The dry run says the sizes as well."""
        return self.simulate(packages)

    def parse_sizes(self, status: int, output: str) -> tuple[int | None, int | None]:
        """(download bytes, installed bytes)."""
        found = parse_simulation(status, output)
        return found.download_bytes, found.installed_bytes

    def mend(self) -> tuple[Command, ...]:
        """zypper verify completes missing dependencies."""
        return (_zypper("verify", "--no-recommends"),)

    def hold(self, packages: Sequence[str]) -> Command:
        """zypper addlock; a lock that is there already is no error."""
        return _zypper("addlock", *packages, network=False)

    def unhold(self, packages: Sequence[str]) -> Command:
        """zypper removelock."""
        return _zypper("removelock", *packages, network=False)


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def parse_simulation(status: int, output: str) -> Resolution:
    """Understand ``zypper --xmlout install --dry-run``; lines that are no XML are passed over."""
    from xml.etree import ElementTree

    start, end = output.find("<stream>"), output.rfind("</stream>")
    if start < 0 or end < 0:
        first = next((line.strip() for line in output.splitlines() if line.strip()), "")
        return Resolution(ok=False, error=first or f"zypper ended with status {status}")
    try:
        root = ElementTree.fromstring(output[start : end + len("</stream>")])
    except ElementTree.ParseError as error:
        return Resolution(ok=False, error=f"zypper's answer can't be read: {error}")
    errors = [
        " ".join((message.text or "").split())
        for message in root.iter("message")
        if message.get("type") == "error"
    ]
    if status not in (0, 102, 103):
        # The description goes on with solutions that only a person may choose from.
        problems = [(node.text or "").strip().split("\n")[0] for node in root.iter("description")]
        text = next((item for item in [*errors, *problems] if item), "").removeprefix("Problem: ")
        return Resolution(ok=False, error=text or f"zypper ended with status {status}")
    summary = root.find(".//install-summary")
    if summary is None:
        return Resolution(ok=True, download_bytes=0, installed_bytes=0)

    def packages(*groups: str) -> list[tuple[str, str]]:
        return [
            (item.get("name", ""), item.get("edition", ""))
            for group in groups
            for item in summary.findall(f"{group}/solvable")
            if item.get("type") == "package"
        ]

    return Resolution(
        ok=True,
        installs=tuple(
            packages("to-install", "to-upgrade", "to-downgrade", "to-reinstall", "to-change-vendor")
        ),
        removes=tuple(name for name, _ in packages("to-remove")),
        download_bytes=_integer(summary.get("download-size")),
        installed_bytes=_integer(summary.get("space-usage-diff")),
    )
