"""What a server is, as far as two of them must be equal: packages, files, modules, dkms, boot."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine import Machine

# The rig's own, caches that are made anew, and files with a time or a random key in them.
_ETC_ASIDE = re.compile(
    r"^/etc/(?:resolv\.conf|hosts|hostname|ld\.so\.cache|machine-id|\.pwd\.lock|ssh/|mtab)"
)
_FOLDERS_ASIDE = ("/usr/share/doc", "/usr/share/locale", "/usr/share/man", "/usr/share/zoneinfo")
_INSIDE = """
echo "audit: $(dpkg --audit 2>&1)"
echo "apt check: $(apt-get check -q 2>&1 | grep -v '^Reading\\|^Building')"
echo "held: $(apt-mark showhold | tr '\\n' ' ')"
echo "manual: $(apt-mark showmanual | sort | tr '\\n' ' ')"
echo "dkms: $(dkms status 2>&1)"
serial=$(openssl x509 -in /var/lib/dkms/mok.pub -inform DER -noout -serial 2>/dev/null | sed 's/serial=//')
for module in $(find /lib/modules/*/ -name 'nvidia*.ko*' | sort); do
    key=$(modinfo -F sig_key "$module" | tr -d :)
    [ -n "$serial" ] && [ "$key" = "$serial" ] && key="the key of dkms"
    echo "module $module: $(modinfo -F version "$module") signed by $(modinfo -F signer "$module"), $key"
done
for image in /boot/initrd.img-*; do
    echo "initramfs $image: $(lsinitramfs "$image" 2>&1 | sort | sha256sum)"
done
"""


def packages(root: Path) -> dict[str, str]:
    """Each package of dpkg's database with its status and version."""
    found = {}
    for part in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(re.findall(r"(?m)^(Package|Status|Version): (.*)$", part))
        if fields:
            found[f"package {fields['Package']}"] = f"{fields['Status']} {fields.get('Version')}"
    return found


def etc(root: Path) -> dict[str, str]:
    """Each file below /etc with its mode, owner and digest."""
    found = {}
    for folder, _, names in os.walk(root / "etc"):
        for name in names:
            path = Path(folder) / name
            shown = f"/{path.relative_to(root)}"
            if _ETC_ASIDE.match(shown):
                continue
            status = path.lstat()
            content = (
                str(path.readlink()).encode() if stat.S_ISLNK(status.st_mode) else path.read_bytes()
            )
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[shown] = (
                f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid} {digest}"
            )
    return found


def names(root: Path) -> dict[str, str]:
    """Each file below /usr, /boot and dkms's tree, by name; "empty" where it holds nothing."""
    found: dict[str, str] = {}
    cut = len(str(root))

    def walk(folder: str) -> None:
        for entry in os.scandir(folder):
            shown = entry.path[cut:]
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in ("__pycache__", "log") and shown not in _FOLDERS_ASIDE:
                    walk(entry.path)
            elif not entry.name.endswith(".pyc"):
                regular = entry.is_file(follow_symlinks=False)
                empty = regular and entry.stat(follow_symlinks=False).st_size == 0
                found[shown] = "empty" if empty else "there"

    for top in ("usr", "boot", "var/lib/dkms", "var/lib/gpu-bringup/bin", "var/tmp"):
        if (root / top).exists():
            walk(str(root / top))
    if (root / "var/lib/gpu-bringup/run.note").exists():
        found["/var/lib/gpu-bringup/run.note"] = "there"
    return found


def state(machine: Machine) -> dict[str, str]:
    """The whole of it; the machine must be on."""
    root = machine.root
    inside = {}
    key = ""
    for line in machine.ask("sh", "-c", _INSIDE).splitlines():
        if re.match(r"(?:audit|apt check|held|manual|dkms|module|initramfs)\b", line):
            key, _, value = line.partition(": ")
            inside[key] = value
        elif key:
            inside[key] += f"\n{line}"
    return {**packages(root), **etc(root), **names(root), **inside}


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """One line for each thing that is not as it must be."""
    lines = []
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            lines.append(f"{key}: {found.get(key, 'absent')}, must be {wanted.get(key, 'absent')}")
    return lines
