"""What one kernel's initramfs holds of the GPU drivers."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_bringup.model.unknown import Fact


@dataclass(frozen=True, slots=True)
class InitramfsModule:
    """A driver module that the kernel may load before the root file system is there."""

    name: str
    """As the kernel sees it: "nvidia", "nvidia_drm", "nouveau"."""
    path: str
    kernel: str
    """The release whose folder it lies in."""
    version: Fact[str]


@dataclass(frozen=True, slots=True)
class Initramfs:
    kernel: str
    path: str
    """Empty: none was found."""
    modules: Fact[tuple[InitramfsModule, ...]]
    """NVIDIA's and competitors; Unknown: it could not be read."""
    blacklisted: Fact[tuple[str, ...]]
    """Modules that modprobe.d in it keeps from loading, names with underscores."""

    @property
    def present(self) -> bool:
        return bool(self.path)

    def module(self, name: str) -> InitramfsModule | None:
        """The module of that name in it; None: it has none, or it isn't known."""
        if not isinstance(self.modules, tuple):
            return None
        return next((module for module in self.modules if module.name == name), None)
