"""What proves, after the reboot, that the kernel takes the modules. Pure.

Four witnesses, from the key to the module: the firmware's list, the signature in each file, the
kernel's own keyrings, and what the kernel said when it was given a module. They are told apart
because each can fail alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.enums import SecureBoot
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.signing.enrolment import Stage, enrolment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.model.facts import Certificate, Facts, ModuleFile, SigningKey

GOOD, BAD, OPEN = "good", "bad", "open"
REFUSED = re.compile(
    r"Loading of (?:unsigned module|module with unavailable key) is rejected|Key was rejected"
)
"""kernel/module/signing.c and the text of EKEYREJECTED."""
TAKEN = re.compile(
    r"nvidia: loading out-of-tree module|NVRM: (?:No NVIDIA GPU|loading NVIDIA)"
    r"|nvidia-nvlink: Nvlink Core"
)
"""What the kernel and the driver say when the module was let in (kernel/module/main.c; nv.c)."""
MODULES = ("nvidia", "nvidia_modeset", "nvidia_drm", "nvidia_uvm", "nvidia_peermem")
"""The five modules of the driver (open-gpu-kernel-modules, README: "Building")."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One thing that speaks for or against, or that isn't known."""

    name: str
    state: str
    """GOOD, BAD or OPEN (not known, or not yet to be seen)."""
    text: str
    source: str

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "state": self.state, "text": self.text, "source": self.source}


def verdict(witnesses: Iterable[Witness]) -> str:
    """BAD where any is bad, OPEN where any is open, else GOOD."""
    states = {witness.state for witness in witnesses}
    return next((state for state in (BAD, OPEN) if state in states), GOOD)


def witnesses(facts: Facts, key: SigningKey | None) -> tuple[Witness, ...]:
    """Everything that is known of ``key``'s enrolment and of the modules of the running kernel."""
    if facts.secure_boot.enforced is False:
        return (_firmware(facts), _load(facts))
    return (_firmware(facts), _enrolled(facts, key), *_files(facts, key), _kernel(facts, key),
            _load(facts))  # fmt: skip


def _firmware(facts: Facts) -> Witness:
    state = facts.secure_boot.state
    if isinstance(state, Unknown):
        return Witness("Secure Boot", OPEN, state.reason, "EFI variable SecureBoot")
    words = {
        SecureBoot.ENABLED: "on: the kernel takes only modules that a trusted key signed",
        SecureBoot.DISABLED: "off: signatures are not demanded by the firmware",
        SecureBoot.UNSUPPORTED: "this machine did not start with UEFI",
    }
    return Witness("Secure Boot", GOOD, words[state], "EFI variable SecureBoot")


def _enrolled(facts: Facts, key: SigningKey | None) -> Witness:
    found = enrolment(facts.secure_boot, key)
    state = {Stage.ENROLLED: GOOD, Stage.WAITING: OPEN, Stage.UNKNOWN: OPEN}.get(found.stage, BAD)
    return Witness("key in the firmware", state, found.text, "MokListRT, MokNew")


def _files(facts: Facts, key: SigningKey | None) -> tuple[Witness, ...]:
    running, files = facts.kernels.running, facts.modules.files
    name = "signed modules"
    if isinstance(files, Unknown) or not isinstance(running, str):
        return (Witness(name, OPEN, "module files could not be read", "/lib/modules"),)
    here = [file for file in files if file.kernel == running and file.name in MODULES]
    if not here:
        return (Witness(name, BAD, f"there is no nvidia module for {running}", "/lib/modules"),)
    return tuple(_file(file, facts, key) for file in here)


def _file(file: ModuleFile, facts: Facts, key: SigningKey | None) -> Witness:
    if isinstance(file.signer, Unknown) or isinstance(file.signature_key, Unknown):
        return Witness(file.name, OPEN, "its signature could not be read", file.path)
    if file.signer is None:
        return Witness(file.name, BAD, "it isn't signed", file.path)
    certificate = key.certificate if key is not None else None
    enrolled = facts.secure_boot.enrolled
    known = list(enrolled) if isinstance(enrolled, tuple) else []
    own = certificate if certificate is not None and not isinstance(certificate, Unknown) else None
    serial = file.signature_key or ""
    revoked = facts.secure_boot.revoked
    if isinstance(revoked, tuple) and any(_same(other, serial) for other in revoked):
        text = f"signed by {file.signer}, a key that was revoked"
        return Witness(file.name, BAD, text, file.path)
    if own is not None and _same(own, serial):
        trusted = key is not None and key.enrolled is True
        text = f"signed by this host's key ({file.signer})"
        return Witness(file.name, GOOD if trusted else OPEN, text, file.path)
    if any(_same(other, serial) for other in known):
        return Witness(file.name, GOOD, f"signed by an enrolled key ({file.signer})", file.path)
    if isinstance(enrolled, Unknown):
        return Witness(file.name, OPEN, f"signed by {file.signer}: {enrolled.reason}", file.path)
    text = f"signed by {file.signer}, which is neither this host's key nor one in the firmware"
    # A distribution's own key is built into its kernel and needs no place in the firmware.
    return Witness(file.name, OPEN if _loaded(facts) is None else GOOD, text, file.path)


def _same(certificate: Certificate, serial: str) -> bool:
    return bool(serial) and certificate.serial.lower() == serial.lower()


def _kernel(facts: Facts, key: SigningKey | None) -> Witness:
    name, source = "key in the kernel", "/proc/keys"
    keys = facts.secure_boot.kernel_keys
    certificate = key.certificate if key is not None else None
    if isinstance(keys, Unknown):
        return Witness(name, OPEN, keys.reason, source)
    if certificate is None or isinstance(certificate, Unknown):
        return Witness(name, OPEN, "this host has no key to look for", source)
    # Many keys bear the same name: the kernel tells them apart by key id, else by serial number
    # (crypto/asymmetric_keys/x509_public_key.c).
    number = (certificate.key_id or certificate.serial).replace(":", "").lower()
    found = next((k for k in keys if number and k.lower().endswith(f": {number}")), "")
    if found:
        return Witness(name, GOOD, f"the kernel has read it: {found}", source)
    alike = [k for k in keys if k.startswith(f"{certificate.subject}: ")]
    text = f"the kernel's keyrings do not hold '{certificate.subject}' with the number {number}"
    return Witness(name, BAD, text + (": only another of that name" if alike else ""), source)


def _loaded(facts: Facts) -> str | None:
    version = facts.modules.loaded_version
    return version if isinstance(version, str) else None


def _load(facts: Facts) -> Witness:
    name, source = "module taken by the kernel", "kernel log"
    version = _loaded(facts)
    if version is not None:
        return Witness(name, GOOD, f"nvidia {version} is loaded", "/proc/modules")
    lines = facts.log.lines
    if not isinstance(lines, tuple):
        return Witness(name, OPEN, lines.reason, source)
    said = [line for line in lines if REFUSED.search(line) or TAKEN.search(line)]
    if not said:
        text = "nobody has tried since the boot: modprobe nvidia (as root) shows it"
        return Witness(name, OPEN, text, source)
    last = said[-1].strip()
    if REFUSED.search(last) and facts.log.refused_older:
        text = "it was made anew since it was refused: modprobe nvidia (as root) shows it"
        return Witness(name, OPEN, text, source)
    return Witness(name, BAD if REFUSED.search(last) else GOOD, last, source)
