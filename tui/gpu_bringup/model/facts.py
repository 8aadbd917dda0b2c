"""Facts about one host: frozen dataclasses. A field that could not be had is ``Unknown``.

Sizes are bytes, times seconds, paths absolute on that host. Observers in ``gpu_bringup.facts``
fill these in; the ladder, the recommendation and the plan only read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_bringup.model.change import Change
from gpu_bringup.model.enums import BootLoader, Flavour, HeadersState, InstallMethod, SecureBoot
from gpu_bringup.model.gpu_facts import CudaFacts, NvmlFacts
from gpu_bringup.model.initramfs import Initramfs
from gpu_bringup.model.signing_key import SigningKey as SigningKey
from gpu_bringup.model.unknown import Fact, Unknown

_NOT_LOOKED = Unknown("not looked at")


@dataclass(frozen=True, slots=True)
class OsFacts:
    """The system, from os-release(5)."""

    id: str
    version: str
    name: str
    codename: str = ""
    like: tuple[str, ...] = ()
    arch: str = "x86_64"
    """Machine name as ``uname -m`` gives it."""


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """Where the system runs: container, chroot, virtual machine, cloud."""

    container: Fact[str | None] = _NOT_LOOKED
    """"docker", "podman", "lxc" …; None: no container."""
    chroot: Fact[bool] = _NOT_LOOKED
    virtualisation: Fact[str | None] = _NOT_LOOKED
    """Hypervisor's name; None: bare metal."""
    cloud: Fact[str | None] = _NOT_LOOKED
    modules_loadable: Fact[bool] = _NOT_LOOKED
    """Can this kernel load a module at all (CONFIG_MODULES, modules_disabled)?"""
    modules_note: str = ""
    """The file and value that told ``modules_loadable``."""
    init: Fact[str] = _NOT_LOOKED
    """Name of process 1 ("systemd")."""
    root: Fact[bool] = _NOT_LOOKED
    sudo: Fact[bool] = _NOT_LOOKED
    """Is the sudo command there (not: will it say yes)?"""
    clock_plausible: Fact[bool] = _NOT_LOOKED
    vendor: Fact[str | None] = _NOT_LOOKED
    """Maker of the machine from DMI."""
    cpu_vgpu_guest: Fact[bool] = _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class Headers:
    """The build tree of one kernel release (/lib/modules/RELEASE/build)."""

    state: Fact[HeadersState]
    path: str = ""
    release: str = ""
    """The release that the tree says it is for (include/config/kernel.release)."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel that is installed or can be booted."""

    release: str
    running: bool = False
    bootable: bool = True
    """Its image is in /boot (or a boot loader entry names it)."""
    default: Fact[bool] = _NOT_LOOKED
    one_shot: bool = False
    """A one-shot entry (grub-reboot, systemd-boot) makes it the next boot only."""
    headers: Headers = field(default_factory=lambda: Headers(_NOT_LOOKED))
    compiler_text: Fact[str] = _NOT_LOOKED
    """CONFIG_CC_VERSION_TEXT as it stands in the configuration."""
    compiler: Fact[str] = _NOT_LOOKED
    """The command that built it, such as "gcc-12"."""
    compiler_present: Fact[bool] = _NOT_LOOKED
    signature_forced: Fact[bool] = _NOT_LOOKED
    """CONFIG_MODULE_SIG_FORCE."""
    signature_hash: Fact[str] = _NOT_LOOKED
    realtime: Fact[bool] = _NOT_LOOKED
    modules_enabled: Fact[bool] = _NOT_LOOKED
    package_version: str = ""
    """Version of the package that owns it ("6.1.192-2"): tells the sublevel where the release doesn't."""
    initramfs: Fact[bool] = _NOT_LOOKED
    """Is there an initramfs for it in /boot?"""


@dataclass(frozen=True, slots=True)
class BootChoice:
    """An entry of the boot menu that boots one kernel release (no recovery or rescue entries)."""

    release: str
    id: str
    """What the boot loader's tools take; within submenus "SUBMENU>ENTRY"."""
    title: str = ""
    """The same by title, which holds no ids that a record would hide."""


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The running kernel, the installed ones, and what boots next."""

    running: Fact[str]
    installed: Fact[tuple[Kernel, ...]]
    """Every kernel with a folder in /lib/modules or an image in /boot, newest first."""
    boot_loader: Fact[BootLoader] = _NOT_LOOKED
    command_line: Fact[str] = _NOT_LOOKED
    boot_entries: tuple[BootChoice, ...] = ()
    """The boot menu, in its order."""
    boot_folder: str = ""
    """GRUB's folder ("/boot/grub", "/boot/grub2"); empty: not GRUB."""
    default_saved: Fact[bool] = _NOT_LOOKED
    """GRUB boots the entry that grub-set-default saved (GRUB_DEFAULT=saved)."""
    default_entry: str = ""
    """What the boot loader's settings name as the default now; empty: its first entry."""
    boots_once: Fact[bool] = _NOT_LOOKED
    """The boot loader's configuration obeys a choice for the next boot only."""


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A PCI function of vendor 10de: GPU or NVSwitch."""

    bus_id: str
    pci_id: str
    """"10de:2335"."""
    subsystem_id: str = ""
    pci_class: str = ""
    """Six hex digits: "030200" 3D controller, "030000" VGA, "068000" NVSwitch."""
    driver: Fact[str | None] = _NOT_LOOKED
    """Name of the bound kernel driver; None: none bound."""
    link_width: Fact[int] = _NOT_LOOKED
    link_width_max: Fact[int] = _NOT_LOOKED
    link_speed: Fact[str] = _NOT_LOOKED
    link_speed_max: Fact[str] = _NOT_LOOKED
    numa_node: Fact[int] = _NOT_LOOKED
    fallen_off: bool = False
    """The revision reads 0xff: the device no longer answers."""
    vgpu: Fact[bool] = _NOT_LOOKED
    """A hypervisor's slice of a GPU (NVIDIA vGPU); a GPU that was passed through whole is none."""
    bars_unset: Fact[tuple[int, ...]] = _NOT_LOOKED
    """Memory windows (BARs) that the firmware gave no address."""


@dataclass(frozen=True, slots=True)
class PciFacts:
    """What of NVIDIA's is on the PCI bus."""

    gpus: Fact[tuple[PciDevice, ...]]
    nvswitches: Fact[tuple[PciDevice, ...]]
    nvlink5: Fact[bool] = _NOT_LOOKED
    """An NVLink-5 switch fabric, seen by SW_MNG in a ConnectX bridge's VPD."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A public signing certificate, without any name that could identify a host."""

    sha1: str
    subject: str
    serial: str = ""
    """Hex with colons, as ``modinfo`` prints sig_key."""
    key_id: str = ""
    """Subject key identifier, hex with colons; empty: the certificate has none."""


@dataclass(frozen=True, slots=True)
class SecureBootFacts:
    """Secure Boot, lockdown, and the keys that modules can be signed with."""

    state: Fact[SecureBoot]
    lockdown: Fact[str] = _NOT_LOOKED
    """"none", "integrity", "confidentiality"."""
    sig_enforce: Fact[bool] = _NOT_LOOKED
    enrolled: Fact[tuple[Certificate, ...]] = _NOT_LOOKED
    pending: Fact[tuple[Certificate, ...]] = _NOT_LOOKED
    keys: tuple[SigningKey, ...] = ()
    revoked: Fact[tuple[Certificate, ...]] = _NOT_LOOKED
    """Keys that shim's MokListX or the firmware's dbx forbids."""
    boot: Fact[str] = _NOT_LOOKED
    """The kernel's id of this boot."""
    asked_in: Fact[str | None] = _NOT_LOOKED
    """Id of the boot in which enrolment was last asked for; None: never, as far as is known here."""
    kernel_keys: Fact[tuple[str, ...]] = _NOT_LOOKED
    """Certificates in the kernel's keyrings: "name: key id" as /proc/keys describes them."""

    @property
    def enforced(self) -> Fact[bool]:
        """Does the running kernel refuse modules that no trusted key signed?"""
        if self.sig_enforce is True or self.state is SecureBoot.ENABLED:
            return True
        if isinstance(self.lockdown, str) and self.lockdown != "none":
            return True
        for fact in (self.state, self.sig_enforce):
            if isinstance(fact, Unknown):
                return fact
        return False


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the package manager's database."""

    name: str
    version: str
    status: str = "ii"
    """dpkg's abbreviation ("ii", "hi", "iF", "rc"); rpm packages are always "ii"."""

    @property
    def installed(self) -> bool:
        return len(self.status) > 1 and self.status[1] == "i"

    @property
    def half_done(self) -> bool:
        """Unpacked and not configured: what ``dpkg --configure -a`` finishes in this same version."""
        return self.status[1:2] in ("U", "F", "W", "t")

    @property
    def held(self) -> bool:
        return self.status.startswith("h")


@dataclass(frozen=True, slots=True)
class Repository:
    """One entry of the package manager's sources."""

    file: str
    line: int
    uri: str
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    signed_by: str = ""
    enabled: bool = True
    format: str = "deb822"
    """"deb822", "one-line", "yum", "zypp"."""
    kind: str = "other"
    """"distribution", "security", "backports", "nvidia", "nvidia-container", "other"."""
    key: Fact[str] = _NOT_LOOKED
    """State of the key file of an entry that isn't the distribution's: "good", "missing", "expired",
    "revoked"."""


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """The package manager, its packages and sources, and how the driver came here."""

    manager: Fact[str | None] = _NOT_LOOKED
    """"apt", "dnf", "zypper"; None: none of them."""
    installed: Fact[tuple[Package, ...]] = _NOT_LOOKED
    """Only packages that matter: NVIDIA, CUDA, kernels, headers, dkms, compilers, signing tools."""
    unfinished: Fact[tuple[str, ...]] = _NOT_LOOKED
    """Packages that are half installed or not configured."""
    interrupted: Fact[bool] = _NOT_LOOKED
    lock_owner: Fact[str | None] = _NOT_LOOKED
    """Command that holds the package database's lock now."""
    repositories: Fact[tuple[Repository, ...]] = _NOT_LOOKED
    unattended_upgrades: Fact[bool] = _NOT_LOOKED
    unattended_blacklist: Fact[tuple[str, ...]] = _NOT_LOOKED
    method: Fact[InstallMethod] = _NOT_LOOKED
    method_evidence: tuple[str, ...] = ()
    damage: str = ""
    """What is wrong with the package database itself ("FILE:LINE: words"); empty: it is whole."""
    backups: tuple[str, ...] = ()
    """Older copies of a damaged database that are whole, newest first."""
    module_stream: str = ""
    """dnf's enabled stream of nvidia-driver ("580-open"); empty: none is known."""
    unmet: Fact[tuple[str, ...]] = _NOT_LOOKED
    """"NAME needs DEPENDENCY" for installed packages that matter and lack one."""


@dataclass(frozen=True, slots=True)
class DkmsBuild:
    """What dkms's own tree says of one module version for one kernel."""

    module: str
    version: str
    kernel: str
    """Empty for "added" only."""
    state: str
    """"added", "built", "installed", "failed", "broken"."""
    source_present: Fact[bool] = _NOT_LOOKED
    log_path: str = ""
    first_error: str = ""
    """First error line of make.log where the build failed."""
    probes_hold: Fact[bool] = _NOT_LOOKED
    """Is make.log without an error in the driver's own probes of the kernel?"""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """One NVIDIA kernel module file on disk."""

    kernel: str
    path: str
    file_name: str
    """Stem, such as "nvidia-current-open"."""
    name: str
    """Module name as the kernel sees it: "nvidia", "nvidia_uvm"."""
    version: Fact[str] = _NOT_LOOKED
    flavour: Fact[Flavour] = _NOT_LOOKED
    vermagic: Fact[str] = _NOT_LOOKED
    signer: Fact[str | None] = _NOT_LOOKED
    """Common name of the signer; None: not signed."""
    signature_key: Fact[str | None] = _NOT_LOOKED
    compressed: bool = False


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """One line of /proc/modules."""

    name: str
    version: Fact[str | None] = _NOT_LOOKED
    references: int = 0
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """NVIDIA's kernel modules, on disk, in DKMS and loaded."""

    files: Fact[tuple[ModuleFile, ...]] = _NOT_LOOKED
    loaded: Fact[tuple[LoadedModule, ...]] = _NOT_LOOKED
    """NVIDIA's and those that compete with them (nouveau, nova_core, nova_drm, vfio_pci)."""
    loaded_version: Fact[str | None] = _NOT_LOOKED
    """Version of the loaded nvidia module; None: not loaded."""
    loaded_flavour: Fact[Flavour | None] = _NOT_LOOKED
    dkms: Fact[tuple[DkmsBuild, ...]] = _NOT_LOOKED
    blacklisted: Fact[tuple[str, ...]] = _NOT_LOOKED
    """"MODULE FILE:LINE" for modules that modprobe.d keeps from loading (nouveau, nvidia …)."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Device nodes and GSP firmware."""

    nodes: Fact[tuple[str, ...]] = _NOT_LOOKED
    """NVIDIA's device nodes below /dev ("nvidia0", "nvidiactl", "nvidia-uvm")."""
    firmware: Fact[tuple[str, ...]] = _NOT_LOOKED
    """Versions that have a GSP firmware folder."""
    firmware_paths: tuple[str, ...] = ()
    device_file_mode: Fact[int] = _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class Library:
    """One driver library that the dynamic linker finds."""

    soname: str
    path: str
    version: Fact[str] = _NOT_LOOKED
    stub: bool = False
    real_path: str = ""
    """The file at the end of its links: two entries with one real path are one library."""


@dataclass(frozen=True, slots=True)
class LibraryFacts:
    """The driver's libraries."""

    libraries: Fact[tuple[Library, ...]] = _NOT_LOOKED
    """libcuda and libnvidia-ml in the linker's order (first wins)."""
    unlisted: tuple[str, ...] = ()
    """Driver libraries outside of its paths, looked for where it finds none."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Fabric Manager, NVLSM, IMEX and nvidia-persistenced."""

    fabric_manager: Fact[str | None] = _NOT_LOOKED
    """Version on disk; None: not installed."""
    fabric_manager_running: Fact[bool] = _NOT_LOOKED
    nvlsm: Fact[str | None] = _NOT_LOOKED
    imex: Fact[str | None] = _NOT_LOOKED
    persistenced_running: Fact[bool] = _NOT_LOOKED
    persistenced_enabled: Fact[bool] = _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """The container toolkit and the engines that it serves."""

    toolkit_version: Fact[str | None] = _NOT_LOOKED
    runtimes: Fact[tuple[str, ...]] = _NOT_LOOKED
    """Container engines on this host ("docker", "containerd", "podman", "crio")."""
    configured: Fact[tuple[str, ...]] = _NOT_LOOKED
    """Those of them whose configuration names NVIDIA's runtime or CDI."""
    cdi_specs: Fact[tuple[str, ...]] = _NOT_LOOKED
    cdi_versions: tuple[tuple[str, str], ...] = ()
    """(CDI file, driver version whose libraries it names), where it names one."""
    docker_snap: Fact[bool] = _NOT_LOOKED
    """Docker came from the snap store, and no other one is here."""
    driver_root: Fact[str] = _NOT_LOOKED
    """Where the toolkit looks for the driver, if not in "/": its config.toml's root; empty: "/"."""
    driver_root_there: Fact[bool] = _NOT_LOOKED
    device_links: Fact[bool] = _NOT_LOOKED
    """Links of NVIDIA's device numbers are in /dev/char, where runc looks devices up by number."""
    docker_cgroups: Fact[str] = _NOT_LOOKED  # Who makes Docker's: "systemd" or "cgroupfs".


@dataclass(frozen=True, slots=True)
class Space:
    """Room on one file system."""

    path: str
    free: Fact[int]
    """Bytes an ordinary user may still write."""
    total: Fact[int] = _NOT_LOOKED
    read_only: Fact[bool] = _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class StorageFacts:
    """Room on the file systems that an install writes to."""

    spaces: tuple[Space, ...] = ()

    def free(self, path: str) -> Fact[int]:
        """Free bytes on the file system of ``path`` ("/", "/boot", "/var", "/usr")."""
        for space in self.spaces:
            if space.path == path:
                return space.free
        return _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class ToolkitFacts:
    """The CUDA toolkit."""

    cuda: Fact[str | None] = _NOT_LOOKED
    """Version of the CUDA toolkit on this host ("13.0"); None: none (inference needs none)."""
    path: str = ""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """Lines of the kernel's log that speak of the driver."""

    lines: Fact[tuple[str, ...]] = _NOT_LOOKED
    """NVRM, nvidia, nouveau, Xid, lockdown and signature lines, oldest first."""
    refused_older: bool = False
    """The nvidia module's file was written after the kernel's last refusal of a module."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found out about one host."""

    os: Fact[OsFacts]
    platform: PlatformFacts
    kernels: KernelFacts
    pci: PciFacts
    secure_boot: SecureBootFacts
    packages: PackageFacts
    modules: ModuleFacts
    devices: DeviceFacts
    libraries: LibraryFacts
    nvml: Fact[NvmlFacts | None]
    """None: no NVML library on this host."""
    cuda: Fact[CudaFacts | None]
    """None: no libcuda on this host."""
    services: ServiceFacts
    containers: ContainerFacts
    storage: StorageFacts
    toolkit: ToolkitFacts
    log: LogFacts
    initramfs: Fact[tuple[Initramfs, ...]] = _NOT_LOOKED
    """One a bootable kernel; looked into only when asked (seconds)."""
    outdated_images: Fact[tuple[Initramfs, ...]] = _NOT_LOOKED
    """Of those, the ones older than modprobe.d or the modules: looked into by every check."""
    history: Fact[tuple[Change, ...]] = _NOT_LOOKED
    """Package changes that matter, oldest first; looked up only when asked or when layers differ."""
    history_notes: tuple[str, ...] = ()
    """Files of it that could not be read to their end ("FILE: why")."""
    recorded: bool = False
    """The host is a record: nothing can be run on it."""

    def kernel(self, release: str) -> Kernel | None:
        """The installed kernel of that release, if any."""
        if isinstance(self.kernels.installed, Unknown):
            return None
        for kernel in self.kernels.installed:
            if kernel.release == release:
                return kernel
        return None
