"""What the operator said: the questions of the wizard, or the flags of a headless command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum


class SourceKind(str, Enum):
    """Where the driver shall come from."""

    DISTRIBUTION = "distribution"
    NVIDIA_REPOSITORY = "nvidia-repository"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Answers:
    """What an operator wants."""

    scenario: str = "long-term-stable"
    gpus: tuple[str, ...] = ()
    """Names or PCI ids of hardware to plan for; empty: what was detected."""
    framework: str = ""
    """"vllm" or "vllm:0.33.0"; empty: none named."""
    source: SourceKind | None = None
    """None: whatever suits best."""
    kernel: str = ""
    """Kernel release to prepare; empty: the running one and every one that boots next."""
    secure_boot: bool | None = None
    """As told by flag; None: as detected."""
    os: str = ""
    """"debian:13": a host by description instead of detection."""
    driver: str = ""
    """A driver branch or version that the operator insists on."""
    flavour: str = ""
    today: date | None = None
    local_packages: str = ""
    """Folder with packages for the local (air-gapped) source."""
    local_files: tuple[str, ...] | None = None
    """Names of the files in that folder; None: not looked."""
    signing_key: str = ""
    """Path or pkcs11: URI of the operator's own signing key; empty: the host's."""
    signing_certificate: str = ""
    """Path of its certificate (DER)."""
    cuda: str = ""
    """A CUDA version ("12.4") that programs on this host need; empty: none named."""
