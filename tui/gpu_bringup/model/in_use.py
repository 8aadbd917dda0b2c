"""Who uses the GPUs just now: asked only before something that would stop them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_bringup.model.unknown import Fact, Unknown


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds device files of NVIDIA's driver open."""

    pid: int
    name: str
    """The kernel's short name of it (proc(5), comm)."""
    devices: tuple[str, ...]
    """Below /dev: "nvidia0", "nvidiactl", "nvidia-uvm"."""
    unit: str = ""
    """systemd's unit that it runs in ("vllm.service"); empty: none, or a container's scope."""
    engine: str = ""
    """ "docker", "podman", "containerd", "crio"; empty: in no container."""
    container: str = ""
    """Id of its container; empty: in none."""
    container_name: str = ""
    pod: str = ""
    """ "NAMESPACE/POD" where a file tells, else the pod's uid; empty: in no pod."""

    @property
    def words(self) -> str:
        """The process for people: what it is, and where."""
        where = ""
        if self.pod:
            where = f", pod {self.pod}"
        elif self.container:
            where = f", {self.engine} container {self.container_name or self.container[:12]}"
        elif self.unit:
            where = f", {self.unit}"
        return f"{self.name} (process {self.pid}{where})"

    def to_json(self) -> dict[str, Any]:
        return {
            "pid": self.pid,
            "name": self.name,
            "devices": list(self.devices),
            "unit": self.unit,
            "engine": self.engine,
            "container": self.container,
            "container_name": self.container_name,
            "pod": self.pod,
        }


_NOT_LOOKED = Unknown("not looked at")


@dataclass(frozen=True, slots=True)
class InUse:
    """What runs on the GPUs of a host."""

    holders: Fact[tuple[Holder, ...]] = _NOT_LOOKED
    """Users' programs; the driver's own services are in ``services``."""
    services: tuple[str, ...] = ()
    """Running units of the driver's own services and the display manager, consumers first."""
    unseen: int = 0
    """Processes whose open files this user may not see."""

    @property
    def known(self) -> tuple[Holder, ...]:
        """The holders that were seen; none where that isn't known."""
        return () if isinstance(self.holders, Unknown) else self.holders

    def to_json(self) -> dict[str, Any]:
        """The ``in_use`` part of ``recover --json``."""
        unknown = self.holders.reason if isinstance(self.holders, Unknown) else None
        return {
            "holders": [item.to_json() for item in self.known],
            "unknown": unknown,
            "services": list(self.services),
            "unseen": self.unseen,
        }


NOT_LOOKED = InUse()
