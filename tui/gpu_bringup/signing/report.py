"""Everything that is to be said about the signing key of a host, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.unknown import Unknown
from gpu_bringup.signing import proof
from gpu_bringup.signing.consoles import Console, console_of
from gpu_bringup.signing.enrolment import Enrolment, Stage, enrolment
from gpu_bringup.signing.rehearsal import Screen, screens

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Facts, SigningKey
    from gpu_bringup.signing.proof import Witness

NO_CONSOLE = (
    "Nobody can reach a console? Then a key can't be enrolled, and these ways are left: modules that the "
    "distribution has signed already (gpu-bringup recommend names them where there are any, such as Ubuntu's "
    "linux-modules-nvidia packages), or somebody at the machine for one reboot."
)
"""Never: switch Secure Boot off. That weakens the machine for good to save one reboot."""

NOTHING = "nothing-to-enrol"

_HEADS = {
    Stage.WAITING: "Waiting for the reboot: the key is confirmed on the console at the next boot.",
    Stage.MISSED: "Missed: the screen passed without an answer, and the request is gone.",
    Stage.NOT_ASKED: "Not asked: the firmware doesn't know the key, and no request waits.",
    Stage.NO_KEY: "No key: this host has no signing key yet, so there is nothing to enrol.",
    Stage.PASSED_BY: "Passed by: the last boot did not go through shim, so nobody was asked.",
}
_PROVEN = {
    proof.GOOD: "Proven: the kernel takes the driver's modules.",
    proof.BAD: "Not proven: something on the way from the key to the module is wrong.",
    proof.OPEN: "Not proven yet: something can't be seen, or is still to come.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Where the enrolment stands, what proves it, the screens to come and where they are seen."""

    enrolment: Enrolment
    fingerprint: str
    """SHA-1 of the host's certificate with colons; empty: no key, or it can't be read."""
    subject: str
    witnesses: tuple[Witness, ...]
    screens: tuple[Screen, ...]
    console: Console | None
    demanded: bool = True
    """False: this kernel is known to take modules without a trusted signature."""

    @property
    def head(self) -> str:
        """Where it stands, in one sentence."""
        if not self.demanded and self.verdict != proof.BAD:
            return "Nothing to enrol: this host doesn't demand signed modules."
        if self.verdict == proof.GOOD or not self.demanded:
            return _PROVEN[self.verdict]
        return _HEADS.get(self.enrolment.stage, _PROVEN[self.verdict])

    @property
    def verdict(self) -> str:
        """``proof.GOOD``, ``BAD`` or ``OPEN``."""
        return proof.verdict(self.witnesses)

    @property
    def told(self) -> str:
        """The verdict for scripts: ``NOTHING`` where no signature is demanded and nothing speaks against."""
        idle = not self.demanded and self.verdict != proof.BAD
        return NOTHING if idle and self.verdict != proof.GOOD else self.verdict

    @property
    def console_words(self) -> tuple[str, ...]:
        """Where to see the screens, in sentences."""
        if self.console is None:
            return (NO_CONSOLE,)
        weak = (
            " (Not from the maker's own pages.)" if self.console.certainty != "documented" else ""
        )
        return (
            f"Where to see them: {self.console.name}. {self.console.open}{weak}",
            self.console.before,
            "Open it now, before the reboot: the first screen waits ten seconds only.",
            NO_CONSOLE,
        )


def report(facts: Facts, key: SigningKey | None) -> Report:
    """The report on ``key``, the pair that this host signs with (None: there is none)."""
    certificate = key.certificate if key is not None else None
    fingerprint = subject = ""
    if certificate is not None and not isinstance(certificate, Unknown):
        fingerprint, subject = certificate.sha1, certificate.subject
    return Report(
        enrolment=enrolment(facts.secure_boot, key),
        fingerprint=fingerprint,
        subject=subject,
        witnesses=proof.witnesses(facts, key),
        screens=screens(fingerprint, subject),
        console=console_of(facts.platform),
        demanded=facts.secure_boot.enforced is not False,
    )
