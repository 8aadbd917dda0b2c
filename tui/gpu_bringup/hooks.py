"""Optional hooks: one line right after an upgrade, and at login, when the next boot lacks its driver.

Which files they are, for what is there on the host. Nothing here writes; ``commands.hooks`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import any_exists, names, text

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

CHECK = "/usr/local/lib/gpu-bringup/next-boot"
NOTE = "/var/lib/gpu-bringup/next-boot.note"
MARK = "gpu-bringup hook"
"""Stands in each file; a file without it is somebody else's and is left alone."""
SECONDS = 5
FOLDERS = ("/usr/local/lib/gpu-bringup", "/var/lib/gpu-bringup")
"""Our own folders: removed with the hooks where nothing else is in them."""

_GUARDED = (
    f"if [ -x {CHECK} ]; then timeout {SECONDS} {CHECK} %s </dev/null 2>/dev/null || true; fi"
)
_APT = f"""\
// {MARK}: one line after an upgrade when the next boot would lack its NVIDIA driver.
// To take it back: gpu-bringup hooks remove (or delete this file).
DPkg::Post-Invoke {{ "{_GUARDED % "upgraded"}"; }};
"""
_DNF4 = f"""\
# {MARK}: one line after a transaction when the next boot would lack its NVIDIA driver.
# To take it back: gpu-bringup hooks remove (or delete this file).
*:any:{_GUARDED % "upgraded"}
"""
_DNF5 = f"""\
# {MARK}: looks after each transaction whether the next boot has its NVIDIA driver.
# To take it back: gpu-bringup hooks remove (or delete this file).
post_transaction::::/usr/bin/timeout {SECONDS} {CHECK} upgraded
"""
_PROFILE = f"""\
# {MARK}: one line at login when the next boot would lack its NVIDIA driver.
# To take it back: gpu-bringup hooks remove (or delete this file).
case $- in
*i*) {_GUARDED % "login"} ;;
esac
"""
_MOTD = f"""\
#!/bin/sh
# {MARK}: one line at login when the next boot would lack its NVIDIA driver.
# To take it back: gpu-bringup hooks remove (or delete this file).
{_GUARDED % "login"}
exit 0
"""

APT_FILE = "/etc/apt/apt.conf.d/99gpu-bringup"
DNF4_FILE = "/etc/dnf/plugins/post-transaction-actions.d/gpu-bringup.action"
DNF5_FILE = "/etc/dnf/libdnf5-plugins/actions.d/gpu-bringup.actions"
PROFILE_FILE = "/etc/profile.d/gpu-bringup.sh"
MOTD_FILE = "/etc/update-motd.d/98-gpu-bringup"
ALL_FILES = (APT_FILE, DNF4_FILE, DNF5_FILE, PROFILE_FILE, MOTD_FILE, CHECK)
"""Every file that any host may get, the check itself last: it is removed after what calls it."""


@dataclass(frozen=True, slots=True)
class HookFile:
    path: str
    mode: int
    content: str
    what: str
    """When it speaks, for the screen."""


@dataclass(frozen=True, slots=True)
class Hooks:
    files: tuple[HookFile, ...]
    """In the order in which they are written."""
    notes: tuple[str, ...]
    """What is not possible here, and why."""


def _has_plugin(host: Host, folder: str, name: str) -> bool:
    return any(
        host.exists(f"{folder}/{python}/site-packages/dnf-plugins/{name}") is True
        for python in names(host, folder)
        if python.startswith("python3")
    )


def _rpm_files(host: Host, notes: list[str]) -> list[HookFile]:
    found: list[HookFile] = []
    if any_exists(host, "/usr/bin/dnf5") is True:
        plugin = any_exists(
            host, "/usr/lib64/libdnf5/plugins/actions.so", "/usr/lib/libdnf5/plugins/actions.so"
        )
        if plugin is True:
            found.append(HookFile(DNF5_FILE, 0o644, _DNF5, "after each dnf transaction: looks"))
            notes.append("dnf 5 shows no output of its actions: the line comes at the next login.")
        else:
            notes.append(
                "dnf 5 runs hooks only with its actions plugin: dnf install libdnf5-plugin-actions, "
                "then install the hooks again. Until then the line comes at login only."
            )
    elif any_exists(host, "/usr/bin/dnf", "/usr/bin/dnf-3") is True:
        if _has_plugin(host, "/usr/lib", "post-transaction-actions.py"):
            found.append(HookFile(DNF4_FILE, 0o644, _DNF4, "after each dnf transaction"))
        else:
            notes.append(
                "dnf runs hooks only with a plugin: dnf install "
                "python3-dnf-plugin-post-transaction-actions, then install the hooks again. Until "
                "then the line comes at login only."
            )
    if any_exists(host, "/usr/bin/zypper") is True:
        notes.append(
            "zypper has no hook that a small script can use safely: its commit plugins must speak a "
            "protocol with zypper, and one that stops in the middle stops the upgrade. The line "
            "comes at login only."
        )
    return found


def says_motd(host: Host) -> bool:
    """Does a login run the scripts of update-motd.d (pam_motd, as Debian and Ubuntu set it up)?"""
    if host.exists("/etc/update-motd.d") is not True:
        return False
    return any(
        not raw.lstrip().startswith("#") and "pam_motd" in raw and "noupdate" not in raw
        for service in ("sshd", "login")
        for raw in text(host, f"/etc/pam.d/{service}").splitlines()
    )


def hooks_for(host: Host, check: str) -> Hooks:
    """The files for this host.

    Args:
        host: whom to ask what is there; only read from.
        check: the text of the check itself (``scripts/next-boot.sh``).
    """
    notes: list[str] = []
    files = [HookFile(CHECK, 0o755, check, "the check itself")]
    if any_exists(host, "/usr/bin/apt-get") is True and host.exists("/etc/apt") is True:
        files.append(HookFile(APT_FILE, 0o644, _APT, "after each run of apt"))
    else:
        # Beside apt, dnf and zypper are tools for other file systems than this one.
        files += _rpm_files(host, notes)
    if says_motd(host):
        files.append(HookFile(MOTD_FILE, 0o755, _MOTD, "at each login"))
    elif host.exists("/etc/profile.d") is True:
        files.append(HookFile(PROFILE_FILE, 0o644, _PROFILE, "at each login"))
    else:
        notes.append("There is neither update-motd.d nor profile.d here: nothing is said at login.")
    return Hooks(tuple(files), tuple(notes))
