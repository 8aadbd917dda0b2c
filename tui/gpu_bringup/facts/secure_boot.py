"""Secure Boot, lockdown, enrolled and waiting keys, and the keys that modules can be signed with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import line, names, output, text
from gpu_bringup.model.enums import SecureBoot
from gpu_bringup.model.facts import (
    Certificate,
    LogFacts,
    SecureBootFacts,
    SigningKey,
)
from gpu_bringup.model.signing_key import KeyAccess
from gpu_bringup.model.unknown import Fact, Unknown
from gpu_bringup.signing.enrolment import ASKED

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_EFIVARS = "/sys/firmware/efi/efivars"
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""EFI_GLOBAL_VARIABLE (UEFI specification 3.3)."""
_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
"""EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI specification 32.6.1), whose dbx holds what is forbidden."""
_SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
"""shim's vendor id (shim, README and lib/guid.c)."""
_KEYS = (
    ("dkms", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub"),
    ("shim-signed", "/var/lib/shim-signed/mok/MOK.priv", "/var/lib/shim-signed/mok/MOK.der"),
    (
        "akmods",
        "/etc/pki/akmods/private/private_key.priv",
        "/etc/pki/akmods/certs/public_key.der",
    ),
)


def parse_lockdown(value: str) -> str:
    """The mode in brackets: "none [integrity] confidentiality" -> "integrity"; empty: none told."""
    match = re.search(r"\[(\w+)\]", value)
    return match[1] if match else ""


def parse_sb_state(words: str) -> Fact[SecureBoot]:
    """What ``mokutil --sb-state`` printed."""
    lowered = words.lower()
    if "validation is disabled in shim" in lowered or "secureboot disabled" in lowered:
        return SecureBoot.DISABLED
    if "secureboot enabled" in lowered:
        return SecureBoot.ENABLED
    if "not supported" in lowered:
        return SecureBoot.UNSUPPORTED
    return Unknown("mokutil did not say whether Secure Boot is on")


def state_from_log(lines: tuple[str, ...]) -> SecureBoot | None:
    """What the kernel said at boot ("secureboot: Secure boot enabled"); None: nothing."""
    for said in lines:
        match = re.search(r"secure boot (enabled|disabled)", said, re.IGNORECASE)
        if match:
            return SecureBoot(match[1].lower())
    return None


def parse_framework(text: str) -> tuple[str, str]:
    """mok_signing_key and mok_certificate of a dkms framework.conf; empty: not set."""

    def value(key: str) -> str:
        found = re.findall(rf"(?m)^\s*{key}=[\"']?([^\"'\s#]+)", text)
        # A value with a shell variable in it means another file for each kernel: not one key.
        return found[-1] if found and "$" not in found[-1] else ""

    return value("mok_signing_key"), value("mok_certificate")


def _flag(host: Host, name: str, guid: str) -> Fact[bool | None]:
    """The one byte of an EFI variable, which follows four bytes of attributes."""
    value = host.read_text(f"{_EFIVARS}/{name}-{guid}", limit=64)
    if not isinstance(value, str):
        return value
    if len(value) < 5 or value[-1] not in "\0\1":
        return Unknown(f"the EFI variable {name} holds no flag")
    return value[-1] == "\1"


def _state(host: Host, log: tuple[str, ...]) -> Fact[SecureBoot]:
    efi = host.exists("/sys/firmware/efi")
    if efi is False:
        return SecureBoot.UNSUPPORTED
    enabled = _flag(host, "SecureBoot", _GLOBAL)
    if isinstance(enabled, bool):
        # shim's "validation disabled" switches the kernel's Secure Boot mode off as well.
        shim_off = _flag(host, "MokSBStateRT", _SHIM) is True
        return SecureBoot.ENABLED if enabled and not shim_off else SecureBoot.DISABLED
    said = state_from_log(log)
    if said is not None:
        return said
    if host.kind == "recorded":
        answer = output(host, "mokutil", "--sb-state")
        if isinstance(answer, str):
            return parse_sb_state(answer)
    if isinstance(enabled, Unknown):
        return enabled
    if efi is True and not names(host, _EFIVARS):
        return Unknown(f"{_EFIVARS} is empty: the EFI variables are not mounted here")
    return SecureBoot.DISABLED if efi is True else Unknown("it is not known whether this is UEFI")


def _lockdown(host: Host, log: tuple[str, ...]) -> Fact[str]:
    path = "/sys/kernel/security/lockdown"
    value = line(host, path)
    if isinstance(value, str):
        return parse_lockdown(value) or Unknown(f"{path} names no mode")
    if any("Kernel is locked down from" in said for said in log):
        # The kernel says so when it locks down to integrity or further (security/lockdown/lockdown.c);
        # which of the two is not in the message, and integrity holds in both.
        return "integrity"
    if value is None and names(host, "/sys/kernel/security"):
        return "none"
    return value if isinstance(value, Unknown) else Unknown(f"{path} does not exist")


def _sig_enforce(host: Host) -> Fact[bool]:
    path = "/sys/module/module/parameters/sig_enforce"
    value = line(host, path)
    if isinstance(value, str) and value in ("Y", "N"):
        return value == "Y"
    command_line = line(host, "/proc/cmdline", limit=65_536)
    words = command_line.split() if isinstance(command_line, str) else []
    if "module.sig_enforce" in words or "module.sig_enforce=1" in words:
        return True
    # The parameter exists wherever the kernel can check signatures (kernel/module/signing.c).
    if value is None and host.exists("/sys/kernel") is True:
        return False
    return value if isinstance(value, Unknown) else Unknown(f"{path} could not be read")


def _mok(host: Host, variable: str, efi: Fact[bool]) -> Fact[tuple[Certificate, ...]]:
    if efi is False:
        return ()
    found = host.certificates(f"{_EFIVARS}/{variable}-{_SHIM}")
    if found is None and variable == "MokListRT":
        found = host.certificates(f"/sys/firmware/efi/mok-variables/{variable}")
    if found is None:
        if not names(host, _EFIVARS):
            return Unknown(f"{_EFIVARS} is empty: the EFI variables are not mounted here")
        return ()
    return found


def _revoked(host: Host, efi: Fact[bool]) -> Fact[tuple[Certificate, ...]]:
    """Certificates of shim's MokListXRT and the firmware's dbx; the kernel takes neither's signatures."""
    if efi is False:
        return ()
    found = host.certificates(f"{_EFIVARS}/MokListXRT-{_SHIM}")
    if found is None:
        found = host.certificates("/sys/firmware/efi/mok-variables/MokListXRT")
    firmware = host.certificates(f"{_EFIVARS}/dbx-{_DATABASE}")
    known = [item for item in (found, firmware) if isinstance(item, tuple)]
    if not known:
        unread = next((item for item in (found, firmware) if isinstance(item, Unknown)), None)
        return unread if unread is not None else ()
    return tuple(certificate for item in known for certificate in item)


def _listed(
    certificate: Fact[Certificate | None], known: Fact[tuple[Certificate, ...]]
) -> Fact[bool]:
    if isinstance(certificate, Unknown):
        return certificate
    if certificate is None:
        return False
    if isinstance(known, Unknown):
        return known
    return certificate.sha1 in {other.sha1 for other in known}


def _key(
    host: Host,
    kind: str,
    key_path: str,
    certificate_path: str,
    enrolled: Fact[tuple[Certificate, ...]],
    pending: Fact[tuple[Certificate, ...]],
) -> SigningKey:
    public = host.exists(certificate_path)
    # A key on a token can't be looked at without its PIN: the certificate stands for the pair.
    key = public if key_path.startswith("pkcs11:") else host.exists(key_path)
    exists: Fact[bool]
    if key is False or public is False:
        exists = False
    elif isinstance(key, Unknown) or isinstance(public, Unknown):
        exists = key if isinstance(key, Unknown) else public
    else:
        exists = True
    found = host.certificates(certificate_path)
    certificate: Fact[Certificate | None] = (
        found if isinstance(found, Unknown) else (found[0] if found else None)
    )
    return SigningKey(
        kind,
        key_path,
        certificate_path,
        exists,
        certificate,
        _listed(certificate, enrolled),
        _listed(certificate, pending),
        _access(host, key_path, key),
    )


def _access(host: Host, path: str, key: Fact[bool]) -> Fact[KeyAccess | None]:
    if key is not True or path.startswith("pkcs11:"):
        return key if isinstance(key, Unknown) else None
    told = host.digest("access", path)
    if not isinstance(told, dict):
        return told
    words = [told.get(name) for name in ("folder", "mode", "owner")]
    if not all(isinstance(word, str) for word in words) or not re.fullmatch(
        r"[0-7]{3,4} \d+:\d+", f"{words[1]} {words[2]}"
    ):
        return Unknown(f"who may read {path} was not told")
    folder, mode, owner = map(str, words)
    return KeyAccess(
        told.get("readable") is True, told.get("writable") is True, folder, mode, owner
    )


_CERTIFICATE = re.compile(r"\basymmetri\S*\s+(.+?: [0-9a-f]{8,}): X509\.")


def parse_kernel_keys(text: str) -> tuple[str, ...]:
    """Certificates of /proc/keys, "name: key id" each, without what isn't X.509 (proc_keys(5))."""
    return tuple(match[1] for match in map(_CERTIFICATE.search, text.splitlines()) if match)


def _kernel_keys(host: Host) -> Fact[tuple[str, ...]]:
    path = "/proc/keys"
    value = host.read_text(path, limit=1_000_000)
    if not isinstance(value, str):
        return value if isinstance(value, Unknown) else Unknown(f"{path} does not exist")
    found = parse_kernel_keys(value)
    # A user sees only the keys that he may view: none of them says nothing about the kernel's.
    return found or Unknown(f"{path} shows no certificate to this user; root sees them")


def _asked_in(host: Host) -> Fact[str | None]:
    value = line(host, ASKED)
    return value.strip() or None if isinstance(value, str) else value


def _boot(host: Host) -> Fact[str]:
    path = "/proc/sys/kernel/random/boot_id"
    value = line(host, path)
    if isinstance(value, str):
        return value.strip()
    return value if isinstance(value, Unknown) else Unknown(f"{path} does not exist")


def _framework(host: Host) -> tuple[str, str]:
    folder = "/etc/dkms/framework.conf.d"
    files = ["/etc/dkms/framework.conf"]
    files += [f"{folder}/{name}" for name in names(host, folder) if name.endswith(".conf")]
    return parse_framework("\n".join(text(host, path) for path in files))


def observe(host: Host, log: LogFacts) -> SecureBootFacts:
    lines = log.lines if isinstance(log.lines, tuple) else ()
    efi = host.exists("/sys/firmware/efi")
    enrolled, pending = _mok(host, "MokListRT", efi), _mok(host, "MokNew", efi)
    own_key, own_certificate = _framework(host)
    keys = []
    for kind, key_path, certificate_path in _KEYS:
        if kind == "dkms" and own_key and own_certificate:
            key_path, certificate_path = own_key, own_certificate
        keys.append(_key(host, kind, key_path, certificate_path, enrolled, pending))
    return SecureBootFacts(
        state=_state(host, lines),
        lockdown=_lockdown(host, lines),
        sig_enforce=_sig_enforce(host),
        enrolled=enrolled,
        pending=pending,
        keys=tuple(keys),
        revoked=_revoked(host, efi),
        boot=_boot(host),
        asked_in=_asked_in(host),
        kernel_keys=_kernel_keys(host),
    )
