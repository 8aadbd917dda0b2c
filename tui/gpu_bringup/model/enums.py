"""Words with a fixed set of values, shared by facts, catalogue and target."""

from __future__ import annotations

from enum import Enum


class SecureBoot(str, Enum):
    """UEFI Secure Boot as the firmware reports it; unsupported = booted without UEFI."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    UNSUPPORTED = "unsupported"


class Flavour(str, Enum):
    """The two flavours of NVIDIA's kernel modules."""

    OPEN = "open"
    PROPRIETARY = "proprietary"


class HeadersState(str, Enum):
    COMPLETE = "complete"
    MISSING = "missing"
    INCOMPLETE = "incomplete"
    MISMATCH = "mismatch"


class InstallMethod(str, Enum):
    """How the driver that is on this host came here."""

    NONE = "none"
    DISTRIBUTION = "distribution"
    NVIDIA_REPOSITORY = "nvidia-repository"
    RUNFILE = "runfile"
    MIXED = "mixed"
    OUTSIDE = "outside"
    """Provided by the platform (a mount, a driver container, the hypervisor): not ours to change."""


class BootLoader(str, Enum):
    GRUB = "grub"
    SYSTEMD_BOOT = "systemd-boot"
    BLS = "grub-bls"
    NONE = "none"
