"""What the texts of entries may be: closed sets of words, and forms such as a PCI id.

One place for the loader, which refuses everything else, and for ``profiles/schema``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gpu_bringup.model.advice import Advice, VoidSetting
from gpu_bringup.model.boards import ArchiveFabric, Chip, System
from gpu_bringup.model.catalogue import (
    Architecture,
    Branch,
    Build,
    DistributionRelease,
    DriverPackage,
    DriverRelease,
    Framework,
    Gpu,
    KernelLimit,
    KernelSeries,
    NvSwitch,
    PackageRepository,
    Scenario,
    Source,
    StableBreak,
    Toolkit,
)
from gpu_bringup.model.guide import GuideClaim
from gpu_bringup.model.kernels import KernelAbi, PackageLimit, VendorKernel
from gpu_bringup.model.ladder import RUNG_IDS
from gpu_bringup.model.lesson import (
    HANDED_OVER,
    HEALTHY,
    LEVELS,
    CommandHelp,
    Debrief,
    Expectation,
    Hint,
    Lesson,
    Solved,
)
from gpu_bringup.model.stack import (
    BaseImage,
    Bulletin,
    Component,
    ComponentRelease,
    ForwardCompatibility,
    KnownBad,
)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


@dataclass(frozen=True)
class Words:
    """One of these words."""

    words: tuple[str, ...]

    def complaint(self, text: str) -> str:
        """Why ``text`` won't do; empty: it will."""
        return "" if text in self.words else f"{_shown(text)} is none of {', '.join(self.words)}"


class Form:
    """A text of this form."""

    def __init__(self, pattern: str, name: str) -> None:
        self.pattern = pattern
        self.name = name
        self._compiled: re.Pattern[str] | None = None

    def complaint(self, text: str) -> str:
        """Why ``text`` won't do; empty: it will."""
        if self._compiled is None:
            # The digits of versions are ASCII, as in JSON Schema's patterns.
            self._compiled = re.compile(self.pattern, re.ASCII)
        # The whole text: "$" alone would let a new line follow.
        return "" if self._compiled.fullmatch(text) else f"{_shown(text)} isn't {self.name}"


Rule = Words | Form

_ID = Form(r"^\S+$", "an id: one word, not empty")
_PCI = Form(r"^[0-9a-f]{4}:[0-9a-f]{4}$", "a PCI id such as 10de:2330 (lower case)")
_DRIVER = Form(r"^\d{2,3}(\.\d{1,6})+$", "a driver version such as 580.178.04")
_SINCE = Form(
    r"^\d{3}(\.\d{1,6})*$", "a driver version such as 580.178.04, or a branch such as 580"
)
_ANY_DRIVER = Form(r"^(\d{3}(\.\d{1,6})+)?$", "a driver version such as 580.178.04, or empty")
_BRANCH = Form(r"^\d{2,3}$", "a driver branch such as 580")
_CUDA = Form(r"^\d{1,6}\.\d{1,6}$", "a CUDA version such as 12.9")
_CAPABILITY = Form(r"^\d{1,6}\.\d$", "a compute capability such as 9.0")
_ANY_CAPABILITY = Form(r"^(\d{1,6}\.\d)?$", "a compute capability such as 9.0, or empty")
_SERIES = Form(r"^\d{1,6}\.\d{1,6}$", "a kernel series such as 6.12")
_KERNEL = Form(r"^\d{1,6}\.\d{1,6}(\.\d{1,6})?$", "a kernel version such as 6.12 or 6.6.14")
# Names of packages become arguments of apt and dnf: none may look like an option.
_PACKAGE = Form(r"^[A-Za-z0-9][A-Za-z0-9.+_:=~{}-]*$", "the name of a package")
_FINGERPRINT = Form(r"^[0-9A-F]{40}$", "a key fingerprint: 40 hexadecimal digits, upper case")
_URL = Form(r"^(https?://\S+)?$", "an address that begins with https://, or empty")
_URI = Form(r"^(https?|file)://\S+$", "an address that begins with https:// (or http, file)")
_ANY_CUDA = Form(r"^(\d{1,6}\.\d{1,6})?$", "a CUDA version such as 12.9, or empty")
_ANY_RELEASE = Form(
    r"^(\d{1,6}\.\d{1,6}[A-Za-z0-9.+~_-]*)?$",
    "a kernel series such as 6.12 or a release such as 6.12.107+deb13-amd64, or empty",
)
_OS_TEXT = r"[a-z0-9._-]+(:[A-Za-z0-9._-]+)?"
_OS = Form(f"^{_OS_TEXT}$", 'a distribution such as "rhel" or "rhel:9"')
_ANY_OS = Form(f"^({_OS_TEXT})?$", 'a distribution such as "rhel:9", or empty')
EXTRAS = ("container-toolkit",)
"""What a profile can ask for besides the driver; what the GPUs need (fabric manager) follows from them."""
_EXTRA = Words(EXTRAS)
_RUNG = Words(RUNG_IDS)
_LESSON = Form(r"^[a-z0-9][a-z0-9-]{0,60}$", "an id: small letters, digits and hyphens")
_MODULES = Words(("required", "supported", "unsupported"))
_TYPES = Words(("lts", "production", "new-feature", "unknown"))

RULES: dict[Any, dict[str, Rule]] = {
    Advice: {
        "id": _ID,
        "topic": Words(
            (
                "driver",
                "memory",
                "precision",
                "links",
                "cpu",
                "power",
                "containers",
                "sharing",
                "health",
            )
        ),
        "certainty": Words(("high", "medium", "low")),
        "compute_capabilities": _CAPABILITY,
        "cc_min": _CAPABILITY,
        "cc_below": _CAPABILITY,
        "frameworks": _ID,
        "flavour": Words(("open", "proprietary")),
    },
    VoidSetting: {"name": Form(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of a variable")},
    Source: {"id": _ID, "url": _URL},
    Architecture: {
        "id": _ID,
        "compute_capabilities": _CAPABILITY,
        "open_modules": _MODULES,
        "first_branch": _BRANCH,
        "last_branch": _BRANCH,
        "first_cuda": _ANY_CUDA,
        "last_cuda": _CUDA,
    },
    Gpu: {
        "id": _ID,
        "pci_ids": _PCI,
        "subsystem_ids": _PCI,
        "compute_capability": _CAPABILITY,
        "first_driver": _SINCE,
        "last_branch": _BRANCH,
        "open_first": _DRIVER,
        "not_listed": _DRIVER,
        "open_modules": _MODULES,
        "fabric": Words(
            (
                "none",
                "fabricmanager",
                "fabricmanager+nvlsm",
                "imex",
                "nvswitch-board",
                "unknown",
            )
        ),
    },
    Chip: {
        "id": _ID,
        "compute_capability": _ANY_CAPABILITY,
        "fabric": Words(("none", "unknown")),
    },
    System: {
        "id": _ID,
        "switch_ids": _PCI,
        "first_branch": _BRANCH,
        "fabric": Words(("none", "fabricmanager", "fabricmanager+nvlsm", "imex")),
        "services": _PACKAGE,
        "modules": _PACKAGE,
    },
    ArchiveFabric: {"os_id": _ID, "has": Words(("fabricmanager", "nvlsm", "imex"))},
    NvSwitch: {"pci_id": _PCI},
    DriverRelease: {
        "version": _DRIVER,
        "channel": Words(("", "data-centre", "public", "beta")),
    },
    Branch: {
        "id": _BRANCH,
        "type": _TYPES,
        "first_release": _DRIVER,
        "last_release": _DRIVER,
        "status": Words(("supported", "ended", "unknown")),
        "cuda": _ANY_CUDA,
        "security_floor": _DRIVER,
    },
    Toolkit: {
        "version": _CUDA,
        "driver": _DRIVER,
        "minor_driver": _DRIVER,
        "cc_min": _CAPABILITY,
        "cc_max": _CAPABILITY,
        "gcc_max": Form(r"^\d{0,6}$", "a major version of gcc such as 14, or empty"),
    },
    KernelLimit: {
        "driver": _DRIVER,
        "newest": _KERNEL,
        "certainty": Words(("high", "medium", "low")),
    },
    KernelSeries: {"series": _SERIES},
    StableBreak: {
        "id": _ID,
        "mainline": _SERIES,
        "vendors": Form(r"^[\d.]+-\d+\.[a-z]+\d+$", "a vendor's kernel such as 6.12.0-254.el10"),
    },
    KernelAbi: {"series": _SERIES},
    PackageLimit: {"newest": _KERNEL},
    VendorKernel: {"certainty": Words(("high", "medium", "low"))},
    Build: {"driver": _DRIVER},
    DriverPackage: {
        "id": _ID,
        "source": Words(("distribution", "nvidia-repository")),
        "branch": _BRANCH,
        "version": _ANY_DRIVER,
        "route": Words(("dkms", "prebuilt")),
        "kernel_package": _PACKAGE,
        "packages": _PACKAGE,
        "pin": _PACKAGE,
        "module_names": _PACKAGE,
    },
    DistributionRelease: {
        "os_id": _ID,
        "version": _ID,
        "family": Words(("debian", "ubuntu", "rhel", "suse", "amazon", "fedora")),
    },
    PackageRepository: {
        "id": _ID,
        "format": Words(("apt", "rpm")),
        "uri": _URI,
        "key_uri": _URI,
        "fingerprints": _FINGERPRINT,
    },
    Framework: {
        "id": _ID,
        "version": _ID,
        "cuda": _CUDA,
        "driver_min": _DRIVER,
        "cc_min": _ANY_CAPABILITY,
        "cc_max": _ANY_CAPABILITY,
        "forward_branches": _BRANCH,
    },
    Scenario: {
        "id": _ID,
        "branch_types": _TYPES,
        "extras": _EXTRA,
        "add_extras": _EXTRA,
        "os": _OS,
        "pinned_driver": _ANY_DRIVER,
        "pinned_kernel": _ANY_RELEASE,
        "pinned_cuda": _ANY_CUDA,
        "guide_driver": _ANY_DRIVER,
        "guide_kernel": _ANY_RELEASE,
        "guide_cuda": _ANY_CUDA,
        "guide_os": _ANY_OS,
    },
    GuideClaim: {
        "id": _ID,
        "topic": Words(
            (
                "selection",
                "driver",
                "kernel",
                "cuda",
                "gpu",
                "build",
                "signing",
                "containers",
                "compliance",
                "check",
                "tuning",
            )
        ),
        "verdict": Words(("true", "partly", "false", "outdated", "unverifiable")),
    },
    Bulletin: {"id": _ID, "component": _ID},
    KnownBad: {
        "id": _ID,
        "first": _DRIVER,
        "last": _ANY_DRIVER,
        "fixed": _ANY_DRIVER,
        "certainty": Words(("confirmed", "reported", "unverifiable")),
        "scope": Words(("server", "desktop", "special")),
    },
    Component: {"id": _ID, "follows": Words(("driver", "branch", "independent"))},
    ComponentRelease: {
        "component": _ID,
        "version": _ID,
        "support": Words(("supported", "deprecated", "ended", "unknown")),
        "drivers": _DRIVER,
        "default_driver": _ANY_DRIVER,
        "systems": _OS,
    },
    ForwardCompatibility: {
        "toolkit": _CUDA,
        "package": _PACKAGE,
        "branches": _BRANCH,
        "certainty": Words(("high", "medium", "low")),
    },
    BaseImage: {
        "repository": _ID,
        "tag": _ID,
        "cuda": _CUDA,
        "kind": Words(("base", "runtime", "devel")),
        "system": _OS,
    },
    Lesson: {
        "id": _LESSON,
        "level": Words(LEVELS),
        "rungs": _RUNG,
        "after": _LESSON,
        "sources": _ID,
    },
    Solved: {
        "ends": Words((HEALTHY, HANDED_OVER)),
        "holds": _RUNG,
        "window": Form(
            r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$", "hours such as 22:00-23:30"
        ),
        "keeps": Form(r"^/\S*$", "a path that begins with /"),
    },
    Hint: {"rung": Words(("", *RUNG_IDS))},
    Expectation: {"rung": _RUNG},
    Debrief: {"rung": _RUNG},
    CommandHelp: {"sources": _ID},
}


def rules_of(cls: Any) -> dict[str, Rule]:
    """Field name -> what its text, or each of its texts, may be."""
    return RULES.get(cls, {})


def complaint(rule: Rule, value: Any) -> tuple[str, str]:
    """(what is wrong, place within the value: "" or "[2]"); empty when nothing is."""
    if isinstance(value, tuple):
        for number, item in enumerate(value):
            text = rule.complaint(item)
            if text:
                return text, f"[{number}]"
        return "", ""
    return rule.complaint(value), ""
