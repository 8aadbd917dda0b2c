"""The state of a simulated machine. Whoever changes it calls ``changed`` afterwards."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace

from gpu_bringup.hosts.simulated.packages import Archive, Database
from gpu_bringup.hosts.simulated.tree import File, Module, Tree


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU or NVSwitch on the bus."""

    bus_id: str
    device: str
    """PCI device id, four hexadecimal digits."""
    name: str
    architecture: int
    """NVML's number of the architecture."""
    capability: tuple[int, int]
    memory: int
    """Bytes."""
    subsystem: str = "10de:16c1"
    pci_class: str = "030200"
    fallen_off: bool = False
    open_only: bool = False
    """Only the open kernel modules drive it (Blackwell and later)."""
    first_driver: int = 0
    """Lowest driver branch that knows it."""
    last_driver: int = 999


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module in the kernel."""

    module: Module
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A process of somebody's that works, and may hold GPUs."""

    pid: int
    user: str
    command: str
    gpus: tuple[int, ...] = ()
    container: str = ""
    important: bool = True
    """Killing it loses somebody's work."""
    ends: float = 0.0
    """When it ends by itself, by the machine's clock; 0: not known."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit."""

    name: str
    comm: str = ""
    """Name of its process."""
    enabled: bool = False
    running: bool = False
    needs_driver: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """What an initramfs was made from."""

    modules: tuple[tuple[str, str], ...] = ()
    """(path, version) of the graphics drivers in it."""
    configuration: tuple[tuple[str, str], ...] = ()
    """(path, text) of the modprobe.d files in it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair that modules are signed with."""

    common_name: str
    sha1: str
    key_id: str

    @classmethod
    def made(cls, name: str, seed: str) -> Key:
        """A new pair; ``seed`` tells it from others."""
        digest = hashlib.sha1(f"{name} {seed}".encode()).hexdigest()
        pair = ":".join(digest[at : at + 2].upper() for at in range(0, 40, 2))
        return cls(name, digest, pair)


@dataclass(slots=True)
class Firmware:
    """UEFI and shim."""

    efi: bool = True
    secure_boot: bool = False
    enrolled: tuple[Key, ...] = ()
    pending: tuple[Key, ...] = ()
    password: str = ""
    """That MokManager will ask for."""
    lockdown: str = "none"

    def copy(self) -> Firmware:
        return replace(self)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and that a lesson may judge."""

    kind: str
    """"reboot", "job-killed", "removed", "command", "unit-stopped", "module-unloaded"."""
    what: str
    time: float


@dataclass(slots=True)
class Machine:
    """A server. Times are seconds since 1970 by its own clock; sizes are bytes."""

    name: str = "server"
    family: str = "debian"
    architecture: str = "x86_64"
    tree: Tree = field(default_factory=Tree)
    packages: Database = field(default_factory=Database)
    archives: tuple[Archive, ...] = ()
    firmware: Firmware = field(default_factory=Firmware)
    gpus: tuple[Gpu, ...] = ()
    running_kernel: str = ""
    loaded: dict[str, Loaded] = field(default_factory=dict)
    probe_error: str = ""
    """Why the loaded driver sees no GPU; empty: it does."""
    images: dict[str, Image] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    spaces: dict[str, int] = field(default_factory=dict)
    """Size of each file system by its mount point."""
    filler: dict[str, int] = field(default_factory=dict)
    """Bytes that are taken on it by what the tree doesn't show."""
    builds: tuple[tuple[str, str, str], ...] = ()
    """(driver version prefix, kernel release prefix, compiler's error): builds that fail."""
    next_entry: str = ""
    default_entry: str = ""
    clock: float = 1_795_350_000.0
    boot: int = 1
    booted: float = 1_795_340_000.0
    log: tuple[str, ...] = ()
    """The kernel's log of this boot, as dmesg prints it."""
    network: bool = True
    events: tuple[Event, ...] = ()
    dirty: bool = True

    def copy(self) -> Machine:
        """A machine of its own in the same state (a snapshot)."""
        return replace(
            self,
            tree=self.tree.copy(),
            packages=self.packages.copy(),
            firmware=self.firmware.copy(),
            loaded=dict(self.loaded),
            images=dict(self.images),
            units=dict(self.units),
            spaces=dict(self.spaces),
            filler=dict(self.filler),
        )

    # --- small helpers that many commands need

    def changed(self) -> None:
        """What the kernel shows must be rendered again before the next look."""
        self.dirty = True

    def happened(self, kind: str, what: str) -> None:
        """Write down something that a lesson may judge."""
        self.events = (*self.events, Event(kind, what, self.clock))

    def say(self, text: str) -> None:
        """The kernel says something."""
        self.log = (*self.log, f"[{self.clock - self.booted:12.6f}] {text}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a text file, dated now."""
        self.tree.write(path, File(text, mode, modified=self.clock))
        self.dirty = True

    def text(self, path: str) -> str:
        """A file's text; empty where there is none."""
        found = self.tree.file(path)
        return "" if found is None else found.text

    def kernels(self) -> tuple[str, ...]:
        """Releases that have an image in /boot, oldest first."""
        from gpu_bringup.hosts.simulated.packages import Candidate, Offer, newest_first

        names = self.tree.names("/boot") or ()
        found = [
            Candidate(Offer(name, name.removeprefix("vmlinuz-")), Archive("", "", "", ""))
            for name in names
            if name.startswith("vmlinuz-")
        ]
        return tuple(item.offer.version for item in reversed(newest_first(found)))

    def mount_of(self, path: str) -> str:
        """Mount point of the file system that holds a path."""
        real = self.tree.resolve(path) or path
        best = "/"
        for mount in self.spaces:
            if mount != "/" and (real == mount or real.startswith(f"{mount}/")):
                best = max(best, mount, key=len)
        return best

    def used(self, mount: str) -> int:
        """Bytes taken on a file system."""
        total = self.filler.get(mount, 0)
        others = [other for other in self.spaces if other not in (mount, "/")]
        for path, node in self.tree.walk(mount):
            if isinstance(node, File) and not path.startswith(("/proc/", "/sys/", "/dev/")):
                if mount == "/" and any(path.startswith(f"{other}/") for other in others):
                    continue
                total += node.bytes
        return total

    def free(self, path: str) -> int:
        """Bytes free where a path lies."""
        mount = self.mount_of(path)
        return max(0, self.spaces.get(mount, 0) - self.used(mount))

    def boot_id(self) -> str:
        """This boot's id, /proc/sys/kernel/random/boot_id."""
        draw = random.Random(f"{self.name} {self.boot}")
        digits = f"{draw.getrandbits(128):032x}"
        return "-".join(
            (digits[:8], digits[8:12], "4" + digits[13:16], "a" + digits[17:20], digits[20:])
        )
