"""A server with Secure Boot on and dkms's key, as a record, at each stage of the key's enrolment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.signing.enrolment import ASKED

_HOSTS = Path(__file__).parent.parent / "hosts"
_OLD, _NEW = "6.12.107+deb13-amd64", "6.12.115+deb13-amd64"
_SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
EFIVARS = "/sys/firmware/efi/efivars"
LISTED, WAITS = f"{EFIVARS}/MokListRT-{_SHIM}", f"{EFIVARS}/MokNew-{_SHIM}"
MOK = "/var/lib/dkms/mok.pub"
NAME = "DKMS module signing key"
SHA1 = ":".join(f"{byte:02x}" for byte in range(0x10, 0x24))
SERIAL = "3C:5B:3D:07:AA:11:BB:22:CC:33"
OWN = {"sha1": SHA1, "subject": NAME, "serial": SERIAL}
OTHER = {"sha1": ":".join(["ab"] * 20), "subject": "Somebody's key", "serial": "99:98"}
BEFORE, NOW = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
REFUSED = "[    9.300000] Loading of module with unavailable key is rejected\n"
TAKEN = "[   20.100000] nvidia: loading out-of-tree module taints kernel.\n"
KEYS = (
    "1a39e171 I-----     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1\n"
    "302d2d52 I------     1 perm 1f010000     0     0 asymmetri Fedora kernel signing key: "
    "d69a84e6bce3d216b979e9505b3e3ef9a7118079: X509.RSA a7118079 []\n"
)
"""The lines that the kernel's documentation shows (admin-guide/module-signing.rst)."""
OWN_IN_KERNEL = (
    f"0f5a3b11 I------     1 perm 1f010000     0     0 asymmetri {NAME}: "
    "3c5b3d07aa11bb22cc33: X509.rsa bb22cc33 []\n"
)
STAGES = ("not-asked", "waiting", "passed-by", "missed", "enrolled")

Record = dict[str, Any]


def secure(stage: str, *, taken: bool | None = None, signer: str = NAME) -> Record:
    """The record.

    Args:
        stage: one of STAGES.
        taken: what the kernel said to the module; None: nobody has tried.
        signer: who signed the modules; empty: nobody.
    """
    data: Record = json.loads((_HOSTS / "debian13-kernel-upgraded.json").read_text("utf-8"))
    for path, text in data["files"].items():
        if path.startswith("/proc/"):
            data["files"][path] = text.replace(_NEW, _OLD)
    for name in ("uname -r", "dmesg"):
        output = data["commands"][name]["output"].replace(_NEW, _OLD)
        data["commands"][name]["output"] = output
    for folder, names in data["listings"].items():
        data["listings"][folder] = [name for name in names if _NEW not in name]
    data["commands"]["mokutil --sb-state"]["output"] = "SecureBoot enabled\n"
    said = {None: "", True: TAKEN, False: REFUSED}[taken]
    data["commands"]["dmesg"]["output"] = "[    0.000000] secureboot: Secure boot enabled\n" + said
    data["files"]["/sys/kernel/security/lockdown"] = "none [integrity] confidentiality\n"
    for name, result in data["commands"].items():
        if name.startswith("modinfo") and signer:
            serial = SERIAL if signer == NAME else OTHER["serial"]
            lines = f"\nsig_id:         PKCS#7\nsigner:         {signer}\nsig_key:        {serial}"
            result["output"] = result["output"].replace("\nvermagic:", lines + "\nvermagic:")
    enrolled = stage == "enrolled"
    data["certificates"] = {
        MOK: [OWN],
        LISTED: [OTHER, OWN] if enrolled else [OTHER],
        WAITS: [OWN] if stage in ("waiting", "passed-by") else [],
    }
    data["files"]["/proc/sys/kernel/random/boot_id"] = f"{NOW}\n"
    data["files"]["/proc/keys"] = KEYS + (OWN_IN_KERNEL if enrolled else "")
    if stage == "not-asked":
        data["absent"].append(ASKED)
    else:
        data["files"][ASKED] = f"{NOW if stage == 'waiting' else BEFORE}\n"
    return data


def host(data: Record) -> RecordedHost:
    """A host that answers from a record."""
    return RecordedHost.from_bytes(json.dumps(data).encode(), "secure.json")
