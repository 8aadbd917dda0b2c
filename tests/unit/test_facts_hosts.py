"""Observers on machines made of dictionaries: Debian servers, odd ones, and half readable ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.facts import (
    boot,
    containers,
    devices,
    dkms,
    kernels,
    libraries,
    method,
    modprobe,
    modules,
    packages,
    pci,
    platform,
    secure_boot,
    services,
    sources,
    toolkit,
)
from gpu_bringup.model.enums import BootLoader, Flavour, HeadersState, InstallMethod, SecureBoot
from gpu_bringup.model.facts import (
    Certificate,
    LibraryFacts,
    LogFacts,
    ModuleFacts,
    OsFacts,
    Package,
    PackageFacts,
)
from gpu_bringup.model.unknown import Unknown
from unit.fakes import FakeHost

CASES = Path(__file__).parent.parent / "cases" / "facts"
OLD, NEW = "6.1.0-50-amd64", "6.1.0-56-amd64"
DEBIAN = OsFacts("debian", "12", "Debian GNU/Linux 12", "bookworm")
NO_PACKAGES = PackageFacts(manager="apt", installed=())


def case(name: str) -> str:
    return (CASES / name).read_text(encoding="utf-8")


def headers_of(release: str) -> dict[str, str]:
    """The files of Debian's linux-headers package of one release, and what they rest on."""
    tree, common = f"/usr/src/linux-headers-{release}", "/usr/src/linux-headers-6.1.0-common"
    return {
        f"{tree}/.config": case("config-6.1.0-50-amd64.txt"),
        f"{tree}/Makefile": f"include {common}/Makefile\n",
        f"{tree}/Module.symvers": "0x1\tx\tvmlinux\tEXPORT_SYMBOL\n",
        f"{tree}/include/generated/utsrelease.h": f'#define UTS_RELEASE "{release}"\n',
        f"{tree}/include/config/kernel.release": "6.1.176\n",
        f"{common}/Makefile": "all:\n",
        "/usr/lib/linux-kbuild-6.1/scripts/sign-file": "",
    }


def tree_links(release: str) -> dict[str, str]:
    return {
        f"/lib/modules/{release}/build": f"/usr/src/linux-headers-{release}",
        f"/usr/src/linux-headers-{release}/scripts": "../../lib/linux-kbuild-6.1/scripts",
    }


def debian(files: dict[str, str] | None = None, **more: Any) -> FakeHost:
    """Debian 12 running the older of two kernels; the newer one has no headers."""
    return FakeHost(
        files={
            "/proc/sys/kernel/osrelease": f"{OLD}\n",
            "/proc/cmdline": "ro quiet\n",
            f"/boot/vmlinuz-{OLD}": "",
            f"/boot/vmlinuz-{NEW}": "",
            f"/boot/config-{OLD}": case("config-6.1.0-50-amd64.txt"),
            "/boot/grub/grub.cfg": case("grub-debian.cfg"),
            f"/lib/modules/{OLD}/modules.builtin": "",
            f"/lib/modules/{NEW}/modules.builtin": "",
            "/usr/bin/gcc-12": "",
            **headers_of(OLD),
            **(files or {}),
        },
        links={**tree_links(OLD), f"/lib/modules/{NEW}/build": f"/usr/src/linux-headers-{NEW}"},
        **more,
    )


# --- kernels ------------------------------------------------------------------------------------


def test_new_kernel_without_headers_is_the_default() -> None:
    owned = PackageFacts(installed=(Package(f"linux-image-{OLD}", "6.1.176-1"),))
    found = kernels.observe(debian(), owned)
    assert found.running == OLD
    assert found.boot_loader is BootLoader.GRUB
    assert not isinstance(found.installed, Unknown)
    new, old = found.installed
    assert (new.release, new.default, new.bootable, new.running) == (NEW, True, True, False)
    assert new.headers.state is HeadersState.MISSING
    assert new.headers.path == f"/usr/src/linux-headers-{NEW}"
    assert f"/usr/src/linux-headers-{NEW}" in new.headers.detail
    assert (old.release, old.default, old.running) == (OLD, False, True)
    assert old.headers.state is HeadersState.COMPLETE
    assert (old.headers.release, old.package_version) == (OLD, "6.1.176-1")
    assert (old.compiler, old.compiler_present, old.signature_hash) == ("gcc-12", True, "sha256")
    assert isinstance(new.compiler, Unknown)


def test_one_shot_entry_makes_a_kernel_next() -> None:
    host = debian(
        {"/boot/grub/grubenv": "# GRUB Environment Block\nnext_entry=1>1\n##########"},
    )
    found = kernels.observe(host, NO_PACKAGES)
    assert not isinstance(found.installed, Unknown)
    assert [kernel.one_shot for kernel in found.installed] == [False, True]


@pytest.mark.parametrize("part", ["Makefile", "Module.symvers", "scripts", "common"])
def test_incomplete_headers_name_the_missing_part(part: str) -> None:
    host = debian()
    files, links = dict(host.files), dict(host.links)
    if part == "scripts":
        del files["/usr/lib/linux-kbuild-6.1/scripts/sign-file"]
    elif part == "common":
        del files["/usr/src/linux-headers-6.1.0-common/Makefile"]
    else:
        del files[f"/usr/src/linux-headers-{OLD}/{part}"]
    found = kernels.observe(FakeHost(files=files, links=links), NO_PACKAGES)
    assert not isinstance(found.installed, Unknown)
    headers = found.installed[1].headers
    assert headers.state is HeadersState.INCOMPLETE
    assert part in headers.detail


def test_headers_of_another_release() -> None:
    header = f"/usr/src/linux-headers-{OLD}/include/generated/utsrelease.h"
    host = debian({header: '#define UTS_RELEASE "6.1.0-49-amd64"'})
    found = kernels.observe(host, NO_PACKAGES)
    assert not isinstance(found.installed, Unknown)
    headers = found.installed[1].headers
    assert (headers.state, headers.release) == (HeadersState.MISMATCH, "6.1.0-49-amd64")


def test_chroot_with_headers_only() -> None:
    host = FakeHost(
        files={
            **headers_of(OLD),
            "/proc/sys/kernel/osrelease": "6.18.44-other\n",
            "/boot/.keep": "",
        },
        links=tree_links(OLD),
    )
    owned = PackageFacts(installed=(Package(f"linux-headers-{OLD}", "6.1.176-1"),))
    found = kernels.observe(host, owned)
    assert found.running == "6.18.44-other"
    assert not isinstance(found.installed, Unknown)
    (kernel,) = found.installed
    assert (kernel.release, kernel.bootable, kernel.running) == (OLD, False, False)
    assert kernel.headers.state is HeadersState.COMPLETE
    assert (kernel.compiler, kernel.compiler_present) == ("gcc-12", False)
    assert kernel.package_version == "6.1.176-1"


def test_unreadable_boot_leaves_the_default_unknown_and_kernels_bootable() -> None:
    found = kernels.observe(debian(unreadable=("/boot",)), NO_PACKAGES)
    assert isinstance(found.boot_loader, Unknown)
    assert not isinstance(found.installed, Unknown)
    assert [kernel.bootable for kernel in found.installed] == [True, True]
    assert all(isinstance(kernel.default, Unknown) for kernel in found.installed)
    assert "root" in found.boot_loader.reason
    # The configuration is in the build tree as well.
    assert found.installed[1].compiler == "gcc-12"


def test_red_hats_grub_reads_loader_entries() -> None:
    entry = "title R\nversion {0}\nlinux /vmlinuz-{0}\n"
    old, new = "5.14.0-427.el9.x86_64", "5.14.0-503.el9.x86_64"
    files = {
        "/boot/grub2/grub.cfg": "insmod blscfg\nblscfg\n",
        f"/boot/vmlinuz-{old}": "",
        f"/boot/vmlinuz-{new}": "",
        f"/boot/loader/entries/abc-{old}.conf": entry.format(old),
        f"/boot/loader/entries/abc-{new}.conf": entry.format(new),
    }
    saved = {"/boot/grub2/grubenv": f"saved_entry=abc-{old}\n"}
    assert boot.observe(FakeHost(files=files)).default == new
    chosen = boot.observe(FakeHost(files={**files, **saved}))
    assert (chosen.loader, chosen.default, chosen.one_shot) == (BootLoader.BLS, old, "")
    assert chosen.releases == (new, old)


def test_systemd_boot_and_its_variables() -> None:
    guid = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

    def variable(text: str) -> str:
        return "\7\0\0\0" + "".join(f"{char}\0" for char in text + "\0")

    files = {
        f"/sys/firmware/efi/efivars/LoaderInfo-{guid}": variable("systemd-boot 257"),
        f"/sys/firmware/efi/efivars/LoaderEntryOneShot-{guid}": variable("tok-6.12.1.conf"),
        "/efi/loader/loader.conf": "default tok-6.13*\n",
        "/efi/loader/entries/tok-6.12.1.conf": "linux /tok/6.12.1/linux\n",
        "/efi/loader/entries/tok-6.13.2.conf": "linux /tok/6.13.2/linux\n",
    }
    found = boot.observe(FakeHost(files=files))
    assert (found.loader, found.default, found.one_shot) == (
        BootLoader.SYSTEMD_BOOT,
        "6.13.2",
        "6.12.1",
    )
    preset = {f"/sys/firmware/efi/efivars/LoaderEntryDefault-{guid}": variable("tok-6.12.1.conf")}
    assert boot.observe(FakeHost(files={**files, **preset})).default == "6.12.1"


# --- platform -----------------------------------------------------------------------------------


def test_kernel_without_loadable_modules() -> None:
    found = platform.observe(FakeHost(files={"/proc/version": "Linux version 6.18 x"}))
    assert found.modules_loadable is False
    assert "CONFIG_MODULES" in found.modules_note


def test_marker_of_a_container_is_not_believed_on_a_machine() -> None:
    files = {"/.dockerenv": "", "/proc/self/mountinfo": case("mountinfo-first.txt")}
    assert platform.observe(FakeHost(files=files)).container == "docker"
    machine = platform.observe(FakeHost(files={**files, "/proc/2/comm": "kthreadd\n"}))
    assert machine.container is None


def test_chroot_with_proc_bound_into_it() -> None:
    files = {
        "/proc/self/mountinfo": case("mountinfo-chroot.txt"),
        "/proc/1/mountinfo": case("mountinfo-first.txt"),
    }
    assert platform.observe(FakeHost(files=files)).chroot is True
    assert platform.observe(FakeHost()).chroot is True
    ordinary = {**files, "/proc/self/mountinfo": case("mountinfo-first.txt")}
    assert platform.observe(FakeHost(files=ordinary)).chroot is False


def test_clock_in_1970_and_an_ordinary_user() -> None:
    found = platform.observe(FakeHost(clock=3600.0, user=1000))
    assert (found.clock_plausible, found.root, found.sudo) == (False, False, False)


# --- PCI ----------------------------------------------------------------------------------------


def function(bus_id: str, device: str, pci_class: str, **more: str) -> dict[str, str]:
    folder = f"/sys/bus/pci/devices/{bus_id}"
    files = {"vendor": "0x10de\n", "device": f"0x{device}\n", "class": f"0x{pci_class}\n", **more}
    return {f"{folder}/{name}": text for name, text in files.items()}


def test_gpus_switches_and_what_is_neither() -> None:
    host = FakeHost(
        files={
            **function("0000:1b:00.0", "2330", "030200", max_link_width="16\n"),
            **function("0000:1b:00.1", "22ba", "040300"),
            **function("0000:05:00.0", "22a3", "068000"),
            **function("0000:2b:00.0", "2330", "030200", config="\ufffd" * 64),
            "/sys/class/infiniband/mlx5_0/device/vpd": "\x82junk SW_MNG junk",
        },
        links={"/sys/bus/pci/devices/0000:1b:00.0/driver": "../../../bus/pci/drivers/vfio-pci"},
    )
    found = pci.observe(host)
    assert not isinstance(found.gpus, Unknown)
    assert not isinstance(found.nvswitches, Unknown)
    assert [gpu.bus_id for gpu in found.gpus] == ["0000:1b:00.0", "0000:2b:00.0"]
    assert (found.gpus[0].driver, found.gpus[1].driver) == ("vfio-pci", None)
    assert (found.gpus[0].link_width_max, found.gpus[0].fallen_off) == (16, False)
    assert found.gpus[1].fallen_off
    assert [switch.pci_id for switch in found.nvswitches] == ["10de:22a3"]
    assert found.nvlink5 is True


def test_no_bus_is_no_gpu_and_an_unknown_bus_is_unknown() -> None:
    assert pci.observe(FakeHost()).gpus == ()
    assert isinstance(pci.observe(FakeHost(complete=False)).gpus, Unknown)


def test_device_that_vanishes_while_it_is_read_is_not_there() -> None:
    folder = "/sys/bus/pci/devices/0000:1b:00.0"
    host = FakeHost(vanishing=(f"{folder}/vendor", f"{folder}/class"))
    assert host.list_dir("/sys/bus/pci/devices") == ("0000:1b:00.0",)
    assert pci.observe(host).gpus == ()


# --- signatures ---------------------------------------------------------------------------------

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
EFIVARS = "/sys/firmware/efi/efivars"
MOK = Certificate("aa" * 20, "CN=DKMS module signing key", "3C:5B")


def uefi(secure: str, **more: Any) -> FakeHost:
    return FakeHost(
        files={
            f"{EFIVARS}/SecureBoot-{GLOBAL}": f"\6\0\0\0{secure}",
            "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
            "/sys/module/module/parameters/sig_enforce": "Y\n",
            "/var/lib/dkms/mok.key": "",
            "/var/lib/dkms/mok.pub": "",
        },
        **more,
    )


def test_secure_boot_with_a_key_that_waits_for_enrolment() -> None:
    host = uefi(
        "\1",
        certificate_files={"/var/lib/dkms/mok.pub": (MOK,), f"{EFIVARS}/MokNew-{SHIM}": (MOK,)},
    )
    found = secure_boot.observe(host, LogFacts(()))
    assert (found.state, found.lockdown, found.sig_enforce) == (
        SecureBoot.ENABLED,
        "integrity",
        True,
    )
    key = found.keys[0]
    assert (key.kind, key.exists, key.enrolled, key.pending) == ("dkms", True, False, True)
    assert found.keys[1].exists is False


def test_validation_switched_off_in_shim_is_not_secure_boot() -> None:
    host = uefi("\1")
    files = {**host.files, f"{EFIVARS}/MokSBStateRT-{SHIM}": "\6\0\0\0\1"}
    found = secure_boot.observe(FakeHost(files=files), LogFacts(()))
    assert found.state is SecureBoot.DISABLED


@pytest.mark.parametrize("value", ["", "\1", "\6\0\0\0\x07", "\6\0\0\0"])
def test_broken_secure_boot_variable_is_unknown(value: str) -> None:
    files = {f"{EFIVARS}/SecureBoot-{GLOBAL}": value}
    found = secure_boot.observe(FakeHost(files=files), LogFacts(()))
    assert isinstance(found.state, Unknown)


def test_no_uefi_and_unmounted_variables() -> None:
    plain = FakeHost(files={"/sys/kernel/security/lockdown": "[none] integrity confidentiality"})
    bios = secure_boot.observe(plain, LogFacts(()))
    assert (bios.state, bios.enrolled, bios.lockdown) == (SecureBoot.UNSUPPORTED, (), "none")
    bare = FakeHost(files={"/sys/firmware/efi/runtime": ""})
    assert isinstance(secure_boot.observe(bare, LogFacts(())).state, Unknown)
    said = LogFacts(("[    0.000000] secureboot: Secure boot enabled",))
    assert secure_boot.observe(bare, said).state is SecureBoot.ENABLED


def test_keys_named_in_dkms_configuration() -> None:
    files = {
        "/etc/dkms/framework.conf": "",
        "/etc/dkms/framework.conf.d/own.conf": "mok_signing_key=/root/a.key\nmok_certificate=/root/a.der\n",
        "/root/a.key": "",
        "/root/a.der": "",
    }
    key = secure_boot.observe(FakeHost(files=files), LogFacts(())).keys[0]
    assert (key.key_path, key.exists) == ("/root/a.key", True)


# --- packages and method ------------------------------------------------------------------------


def apt_files(status: str) -> dict[str, str]:
    return {"/usr/bin/apt-get": "", "/var/lib/dpkg/status": status}


def test_dpkg_status_is_read_without_a_process() -> None:
    host = FakeHost(
        files={
            **apt_files(case("dpkg-status.txt")),
            "/var/lib/dpkg/updates/0001": "Package: dkms\nStatus: install ok installed\nVersion: 3.2.2-1\n",
            "/etc/apt/sources.list.d/debian.sources": case("sources-debian.sources"),
            "/etc/apt/apt.conf.d/20auto-upgrades": 'APT::Periodic::Unattended-Upgrade "1";',
            "/usr/bin/unattended-upgrade": "",
            "/proc/locks": "1: POSIX  ADVISORY  WRITE 77 08:01:1 0 EOF\n",
            "/proc/77/comm": "apt-get\n",
        }
    )
    found = packages.observe(host, DEBIAN)
    assert host.asked == []
    assert (found.manager, found.interrupted, found.lock_owner) == ("apt", True, "apt-get")
    assert found.unfinished == ("nvidia-open-kernel-dkms", "nvidia-kernel-support", "man-db")
    assert found.unattended_upgrades is True
    assert not isinstance(found.repositories, Unknown)
    assert len(found.repositories) == 3


def test_the_distributions_manager_is_taken_where_several_are_there() -> None:
    files = {"/usr/bin/dnf": "", "/usr/bin/zypper": "", **apt_files("")}
    assert packages.observe(FakeHost(files=files), DEBIAN).manager == "apt"
    rocky = OsFacts("rocky", "9.5", "Rocky Linux 9", like=("rhel", "centos", "fedora"))
    assert packages.observe(FakeHost(files=files), rocky).manager == "dnf"
    assert packages.observe(FakeHost(), DEBIAN).manager is None


def test_rpm_packages_with_one_process() -> None:
    query = "rpm -qa --qf %{NAME}|%{VERSION}-%{RELEASE}|%{ARCH}\\n"
    host = FakeHost(
        files={
            "/usr/bin/dnf": "",
            "/etc/yum.repos.d/cuda.repo": "[cuda]\nbaseurl=https://developer.download.nvidia.com/x\n",
            "/etc/dnf/dnf.conf": "[main]\nexcludepkgs=nvidia*, kmod-nvidia*\n",
        },
        commands={query: "nvidia-driver|580.95.05-1.el9|x86_64\nvim|9-1|x86_64\n"},
    )
    rocky = OsFacts("rocky", "9.5", "Rocky Linux 9", like=("rhel",))
    found = packages.observe(host, rocky)
    assert found.installed == (Package("nvidia-driver", "580.95.05-1.el9"),)
    assert (found.interrupted, found.unattended_blacklist) == (False, ("nvidia*", "kmod-nvidia*"))
    assert len(host.asked) == 1


def decide(
    host: FakeHost, *installed: Package, os: OsFacts = DEBIAN, loaded: str | None = None
) -> tuple[Any, tuple[str, ...]]:
    owned = PackageFacts(manager="apt", installed=installed, repositories=())
    return method.decide(
        owned,
        ModuleFacts(files=(), loaded_version=loaded),
        libraries.observe(host),
        method.observe(host, owned),
        os,
        loaded is not None,
    )


LDCONFIG = "\tlibcuda.so.1 (libc6,x86-64) => {}/libcuda.so.1\n"


def with_library(folder: str, **files: str) -> FakeHost:
    return FakeHost(
        files={f"{folder}/libcuda.so.580.95.05": "", **files},
        links={f"{folder}/libcuda.so.1": "libcuda.so.580.95.05"},
        commands={"ldconfig -p": LDCONFIG.format(folder)},
    )


def test_installation_methods() -> None:
    bare = FakeHost(commands={"ldconfig -p": ""})
    assert decide(bare)[0] is InstallMethod.NONE
    own = Package("nvidia-open-kernel-dkms", "550.163.01-2")
    assert decide(bare, own)[0] is InstallMethod.DISTRIBUTION
    ubuntu = OsFacts("ubuntu", "24.04", "Ubuntu", "noble", ("debian",))
    archive = Package("nvidia-headless-580-server-open", "580.95.05-0ubuntu0.24.04.2")
    assert decide(bare, archive, os=ubuntu)[0] is InstallMethod.DISTRIBUTION
    theirs = Package("libnvidia-compute-580", "580.95.05-0ubuntu1")
    assert decide(bare, theirs, os=ubuntu)[0] is InstallMethod.NVIDIA_REPOSITORY
    assert decide(bare, Package("nvidia-open", "580.95.05-1"))[0] is (
        InstallMethod.NVIDIA_REPOSITORY
    )
    folder = "/usr/lib/x86_64-linux-gnu"
    runfile = FakeHost(files={"/usr/bin/nvidia-uninstall": ""}, commands={"ldconfig -p": ""})
    assert decide(runfile)[0] is InstallMethod.RUNFILE
    assert decide(runfile, own)[0] is InstallMethod.MIXED
    logged = with_library(folder, **{"/var/log/nvidia-installer.log": "x"})
    assert decide(logged)[0] is InstallMethod.RUNFILE
    outside, evidence = decide(with_library("/usr/local/nvidia/lib64"), loaded="580.95.05")
    assert outside is InstallMethod.OUTSIDE
    assert any("/usr/local/nvidia/lib64" in item for item in evidence)
    compat = Package("cuda-compat-13-0", "580.95.05-0ubuntu1")
    assert decide(bare, compat)[0] is InstallMethod.NONE


def test_stub_libraries_are_no_driver() -> None:
    folder = "/usr/local/cuda/lib64/stubs"
    host = FakeHost(
        files={f"{folder}/libcuda.so": ""},
        links={f"{folder}/libcuda.so.1": "libcuda.so"},
        commands={"ldconfig -p": LDCONFIG.format(folder)},
    )
    found = libraries.observe(host)
    assert not isinstance(found.libraries, Unknown)
    assert [item.stub for item in found.libraries] == [True]
    assert decide(host)[0] is InstallMethod.NONE


def test_nvidias_index_is_asked_where_names_do_not_tell() -> None:
    index = "/var/lib/apt/lists/developer.download.nvidia.com_compute_cuda_repos_debian12_Packages"
    host = FakeHost(files={index: "Package: nvidia-driver\nVersion: 580.95.05-1\n"})
    nvidia = sources.parse_one_line(
        "/x.list", "deb https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/ /"
    )
    nvidia = tuple(replace(item, kind=sources.classify(item, DEBIAN)) for item in nvidia)
    owned = PackageFacts(
        manager="apt",
        installed=(Package("nvidia-driver", "580.95.05-1"),),
        repositories=nvidia,
    )
    traces = method.observe(host, owned)
    assert traces.from_nvidia_lists == ("nvidia-driver",)
    found, _ = method.decide(owned, ModuleFacts(), LibraryFacts(()), traces, DEBIAN, False)
    assert found is InstallMethod.NVIDIA_REPOSITORY


def test_unknown_packages_leave_the_method_unknown() -> None:
    owned = PackageFacts(manager="apt", installed=Unknown("not in this record"))
    traces = method.observe(FakeHost(), owned)
    found, _ = method.decide(owned, ModuleFacts(), LibraryFacts(()), traces, DEBIAN, False)
    assert isinstance(found, Unknown)


# --- modules ------------------------------------------------------------------------------------


def dkms_host() -> FakeHost:
    tree = "/var/lib/dkms/nvidia-current-open"
    return FakeHost(
        files={
            "/usr/src/nvidia-current-open-550.163.01/dkms.conf": "",
            "/usr/src/nvidia-current-open-535.261.03/dkms.conf": "",
            f"{tree}/550.163.01/build/make.log": case("make-log-pci-resize.txt"),
            f"{tree}/535.261.03/{OLD}/x86_64/module/nvidia-current-open.ko": "",
            f"{tree}/535.261.03/{OLD}/x86_64/log/make.log": "fine\n",
            f"{tree}/535.261.03/{NEW}/x86_64/module/nvidia-current-open.ko": "",
            "/var/lib/dkms/gone/1.0/.keep": "",
            "/var/lib/dkms/mok.key": "",
        },
        links={
            f"{tree}/550.163.01/source": "/usr/src/nvidia-current-open-550.163.01",
            f"{tree}/535.261.03/source": "/usr/src/nvidia-current-open-535.261.03",
            f"{tree}/kernel-{OLD}-x86_64": f"535.261.03/{OLD}/x86_64",
            "/var/lib/dkms/gone/1.0/source": "/usr/src/gone-1.0",
        },
    )


def test_dkms_tree() -> None:
    found = dkms.observe(dkms_host())
    assert not isinstance(found, Unknown)
    states = {(build.module, build.version, build.kernel): build for build in found}
    failed = states[("nvidia-current-open", "550.163.01", "6.12.107+deb13-amd64")]
    assert (failed.state, failed.source_present) == ("failed", True)
    assert "pci_resize_resource" in failed.first_error
    assert failed.log_path.endswith("/550.163.01/build/make.log")
    assert states[("nvidia-current-open", "535.261.03", OLD)].state == "installed"
    assert states[("nvidia-current-open", "535.261.03", NEW)].state == "built"
    assert states[("gone", "1.0", "")].state == "broken"
    assert len(found) == 4


def test_added_only_and_no_dkms() -> None:
    host = FakeHost(
        files={"/usr/src/nvidia-1/dkms.conf": "", "/var/lib/dkms/nvidia/1/.keep": ""},
        links={"/var/lib/dkms/nvidia/1/source": "/usr/src/nvidia-1"},
    )
    found = dkms.observe(host)
    assert not isinstance(found, Unknown)
    assert [(build.state, build.kernel) for build in found] == [("added", "")]
    assert dkms.observe(FakeHost()) == ()


def module_host(**more: Any) -> FakeHost:
    folder = f"/lib/modules/{OLD}/updates/dkms"
    names = ("nvidia-current-open.ko", "nvidia-current-open-uvm.ko")
    files = {f"{folder}/{name}": "" for name in names}
    files[f"/lib/modules/{OLD}/kernel/drivers/video/nvidia-wmi-ec-backlight.ko"] = ""
    return FakeHost(files=files, **more)


def test_module_files_are_asked_about_in_one_process() -> None:
    folder = f"/lib/modules/{OLD}/updates/dkms"
    command = f"modinfo {folder}/nvidia-current-open-uvm.ko {folder}/nvidia-current-open.ko"
    host = module_host(commands={command: case("modinfo-two.txt")})
    found = modules.observe(host)
    assert host.asked == [tuple(command.split())]
    assert not isinstance(found.files, Unknown)
    by_name = {item.name: item for item in found.files}
    assert set(by_name) == {"nvidia", "nvidia_uvm"}
    main, uvm = by_name["nvidia"], by_name["nvidia_uvm"]
    assert (main.version, main.flavour, main.signer) == (
        "535.261.03",
        Flavour.OPEN,
        "DKMS module signing key",
    )
    assert (uvm.flavour, uvm.signer, uvm.signature_key) == (Flavour.OPEN, None, None)
    assert main.vermagic == "6.1.0-50-amd64 SMP preempt mod_unload modversions"


def test_without_modinfo_files_are_known_and_their_versions_are_not() -> None:
    found = modules.observe(module_host())
    assert not isinstance(found.files, Unknown)
    assert [item.name for item in found.files] == ["nvidia_uvm", "nvidia"]
    assert all(isinstance(item.version, Unknown) for item in found.files)
    assert all(isinstance(item.signer, Unknown) for item in found.files)


def test_prebuilt_and_compressed_modules_are_found() -> None:
    base = "/lib/modules/6.8.0-87-generic"
    host = FakeHost(
        files={
            f"{base}/kernel/nvidia-580srv-open/nvidia.ko.zst": "",
            f"{base}/extra/nvidia/nvidia-uvm.ko.xz": "",
        }
    )
    found = modules.observe(host)
    assert not isinstance(found.files, Unknown)
    assert {item.path.removeprefix(base) for item in found.files} == {
        "/kernel/nvidia-580srv-open/nvidia.ko.zst",
        "/extra/nvidia/nvidia-uvm.ko.xz",
    }
    assert all(item.compressed for item in found.files)


def test_nothing_loaded() -> None:
    found = modules.observe(FakeHost(files={"/proc/modules": "ext4 1 0 - Live 0x0\n"}))
    assert (found.loaded, found.loaded_version, found.loaded_flavour) == ((), None, None)


def test_modprobe_files_hide_each_other_by_name() -> None:
    host = FakeHost(
        files={
            "/etc/modprobe.d/nvidia.conf": "# nothing\n",
            "/usr/lib/modprobe.d/nvidia.conf": "blacklist nvidia\n",
            "/usr/lib/modprobe.d/blacklist.conf": "blacklist nouveau\n",
            "/etc/modprobe.d/backup.conf.bak": "blacklist nvidia\n",
            "/proc/cmdline": "ro modprobe.blacklist=nouveau\n",
        }
    )
    assert modprobe.observe(host) == (
        "nouveau /usr/lib/modprobe.d/blacklist.conf:1",
        "nouveau /proc/cmdline:1",
    )
    assert modprobe.observe(FakeHost()) == ()
    assert isinstance(modprobe.observe(FakeHost(complete=False)), Unknown)


# --- what rests on the driver -------------------------------------------------------------------


def test_one_library_behind_two_names() -> None:
    host = FakeHost(
        files={"/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05": ""},
        links={
            "/lib": "usr/lib",
            "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "libcuda.so.580.95.05",
        },
        commands={"ldconfig -p": LDCONFIG.format("/lib/x86_64-linux-gnu")},
    )
    found = libraries.observe(host)
    assert not isinstance(found.libraries, Unknown)
    (library,) = found.libraries
    assert library.version == "580.95.05"
    assert library.real_path == "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05"


def test_ld_library_path_comes_first_and_dangling_links_are_said() -> None:
    host = FakeHost(
        files={"/opt/x/libcuda.so.535.1.2": ""},
        links={"/opt/x/libcuda.so.1": "libcuda.so.535.1.2"},
        commands={"ldconfig -p": LDCONFIG.format("/usr/lib64")},
        variables={"LD_LIBRARY_PATH": "/opt/x/::relative"},
    )
    found = libraries.observe(host)
    assert not isinstance(found.libraries, Unknown)
    assert [item.path for item in found.libraries] == [
        "/opt/x/libcuda.so.1",
        "/usr/lib64/libcuda.so.1",
    ]
    assert found.libraries[1].version == Unknown("/usr/lib64/libcuda.so.1 points to nothing")


def test_device_nodes_and_firmware() -> None:
    host = FakeHost(
        listings={"/dev": ("null", "nvidia0", "nvidia-caps", "nvidiactl")},
        files={
            "/dev/nvidia-caps/nvidia-cap1": "",
            "/lib/firmware/nvidia/580.95.05/gsp_ga10x.bin": "",
            "/lib/firmware/nvidia/550.1.1/readme": "",
            "/lib/firmware/nvidia/ga102/gsp/gsp-535.bin": "",
        },
    )
    found = devices.observe(host)
    assert found.nodes == ("nvidia-caps/nvidia-cap1", "nvidia0", "nvidiactl")
    assert found.firmware == ("580.95.05",)
    assert found.firmware_paths == ("/lib/firmware/nvidia/580.95.05",)


def test_services_by_control_group_and_by_process() -> None:
    group = "/sys/fs/cgroup/system.slice"
    host = FakeHost(
        files={
            "/proc/1/comm": "systemd\n",
            f"{group}/nvidia-persistenced.service/cgroup.procs": "812\n",
            "/etc/systemd/system/multi-user.target.wants/nvidia-persistenced.service": "",
        }
    )
    owned = PackageFacts(installed=(Package("nvidia-fabricmanager-580", "580.95.05-1"),))
    found = services.observe(host, owned)
    assert (found.persistenced_running, found.persistenced_enabled) == (True, True)
    assert (found.fabric_manager, found.fabric_manager_running) == ("580.95.05", False)
    other = FakeHost(files={"/proc/1/comm": "init\n", "/proc/40/comm": "nv-fabricmanage\n"})
    assert services.observe(other, owned).fabric_manager_running is True


def test_fabric_manager_without_a_package_has_no_version() -> None:
    host = FakeHost(files={"/usr/bin/nv-fabricmanager": ""})
    assert isinstance(services.observe(host, NO_PACKAGES).fabric_manager, Unknown)
    assert services.observe(FakeHost(), NO_PACKAGES).fabric_manager is None


def test_containers() -> None:
    host = FakeHost(
        files={
            "/usr/bin/dockerd": "",
            "/usr/bin/containerd": "",
            "/etc/docker/daemon.json": '{"runtimes": {"nvidia": {}}}',
            "/etc/containerd/config.toml": "version = 3\n",
            "/run/cdi/nvidia.yaml": "cdiVersion: 0.7.0\nkind: nvidia.com/gpu\n",
            "/var/run/cdi/nvidia.yaml": "cdiVersion: 0.7.0\nkind: nvidia.com/gpu\n",
            "/etc/cdi/other.yaml": "kind: example.org/nic\n",
        }
    )
    owned = PackageFacts(installed=(Package("nvidia-container-toolkit", "1.18.0-1"),))
    found = containers.observe(host, owned)
    assert found.toolkit_version == "1.18.0"
    assert found.runtimes == ("docker", "containerd")
    assert found.configured == ("docker",)
    assert found.cdi_specs == ("/var/run/cdi/nvidia.yaml",)


def test_toolkits() -> None:
    described = FakeHost(files={"/usr/local/cuda/version.json": '{"cuda": {"version": "12.8.1"}}'})
    assert toolkit.observe(described, NO_PACKAGES).cuda == "12.8"
    broken = FakeHost(files={"/usr/local/cuda/version.json": '{"cuda": '})
    assert isinstance(toolkit.observe(broken, NO_PACKAGES).cuda, Unknown)
    assert toolkit.observe(FakeHost(), NO_PACKAGES).cuda is None
    debian_own = PackageFacts(
        installed=(Package("nvidia-cuda-toolkit", "11.8.89~11.8.0-5~deb12u1"),)
    )
    assert toolkit.observe(FakeHost(), debian_own).cuda == "11.8"
