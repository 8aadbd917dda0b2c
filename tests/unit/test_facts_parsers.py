"""The pure parsers of facts/, also on input that is empty, cut off or junk.

Captured: the kernel configuration (Debian's 6.1.0-50 headers, shortened) and both mountinfo files
(a chroot and its host, shortened). The other files of cases/facts are written by hand after the
tools' formats; only the compiler's error line of the make.log is from a real build.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.facts import (
    apt_conf,
    bls,
    containers,
    cuda,
    devices,
    dkms,
    dpkg,
    dpkg_damage,
    dpkg_depends,
    grub,
    kernel_config,
    kernels,
    libraries,
    log,
    make_log,
    method,
    modprobe,
    modules,
    mounts,
    nvml,
    os_release,
    packages,
    pci,
    platform,
    rpm,
    secure_boot,
    services,
    sources,
    thinning,
    toolkit,
)
from gpu_bringup.model.enums import Flavour, SecureBoot
from gpu_bringup.model.facts import Library, OsFacts, Package
from gpu_bringup.model.unknown import Unknown

CASES = Path(__file__).parent.parent / "cases" / "facts"


def case(name: str) -> str:
    return (CASES / name).read_text(encoding="utf-8")


# --- the system ---------------------------------------------------------------------------------


def test_os_release_takes_quotes_off_and_leaves_comments_out() -> None:
    values = os_release.parse_os_release(
        '# c\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nBROKEN="x\n'
    )
    assert values["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert (values["ID"], values["VERSION_ID"], values["BROKEN"]) == ("debian", "12", "x")


def test_mountinfo_of_a_chroot_has_no_root() -> None:
    own = mounts.parse_mountinfo(case("mountinfo-chroot.txt"))
    first = mounts.parse_mountinfo(case("mountinfo-first.txt"))
    assert [mount.point for mount in own] == ["/proc"]
    assert platform.is_chroot(own, first) is True
    assert platform.is_chroot(first, first) is False
    assert isinstance(platform.is_chroot(first, None), Unknown)


def test_chroot_into_a_mount_is_told_by_its_device_or_folder() -> None:
    first = mounts.parse_mountinfo("27 1 254:0 / / rw - ext4 /dev/vda rw\n")
    other = mounts.parse_mountinfo("40 27 254:1 / / rw - ext4 /dev/vdb rw\n")
    bound = mounts.parse_mountinfo("41 27 254:0 /srv/root / rw - ext4 /dev/vda rw\n")
    own_namespace = mounts.parse_mountinfo("99 1 254:0 / / rw - ext4 /dev/vda rw\n")
    assert platform.is_chroot(other, first) is True
    assert platform.is_chroot(bound, first) is True
    assert platform.is_chroot(own_namespace, first) is False


def test_mount_of_a_path_is_the_deepest_one() -> None:
    table = mounts.parse_mountinfo(
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:5 / /usr/local/nvidia ro - tmpfs none ro\n"
    )
    found = mounts.mount_of(table, "/usr/local/nvidia/lib64")
    assert found is not None
    assert "ro" in found.options
    plain = mounts.mount_of(table, "/usr/local/nvidia-other")
    assert plain is not None
    assert plain.point == "/"


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope", "kubernetes"),
        ("12:pids:/docker/0123", "docker"),
        ("rw,lowerdir=/var/lib/containers/storage/overlay/l/A", "podman"),
        ("0::/init.scope", None),
    ],
)
def test_container_engine(words: str, engine: str | None) -> None:
    assert platform.engine_of(words) == engine


@pytest.mark.parametrize(
    ("dmi", "flag", "hypervisor", "cloud"),
    [
        ("Amazon EC2 / p5.48xlarge / Amazon EC2", True, "kvm", "aws"),
        ("Amazon EC2 / g4dn.metal / Amazon EC2", False, None, "aws"),
        (
            "Microsoft Corporation / Virtual Machine / x / 7783-7084-3265-9085-8269-3286-77",
            True,
            "hyper-v",
            "azure",
        ),
        ("Google / Google Compute Engine / Google", True, "kvm", "gcp"),
        (
            "QEMU / Standard PC (Q35 + ICH9, 2009) / SeaBIOS / OracleCloud.com",
            True,
            "kvm",
            "oracle",
        ),
        ("Supermicro / SYS-821GE-TNHR / American Megatrends", False, None, None),
        ("Dell Inc. / PowerEdge XE9680 / Dell Inc.", False, None, None),
        ("", True, "vm", None),
    ],
)
def test_hypervisor_and_cloud(
    dmi: str, flag: bool, hypervisor: str | None, cloud: str | None
) -> None:
    assert platform.hypervisor_of(dmi, flag) == hypervisor
    assert platform.cloud_of(dmi) == cloud


# --- kernels and boot loaders -------------------------------------------------------------------


def test_kernel_configuration_of_debian_12() -> None:
    config = kernel_config.parse_config(case("config-6.1.0-50-amd64.txt"))
    assert config is not None
    assert config.compiler_text == "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"
    assert (config.compiler, config.signature_hash) == ("gcc-12", "sha256")
    assert (config.signature_forced, config.realtime, config.modules) == (False, False, True)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0", "gcc-14"),
        ("gcc (GCC) 11.5.0 20240719 (Red Hat 11.5.0-5)", "gcc"),
        ("gcc-13 (SUSE Linux) 13.3.0", "gcc-13"),
        ("Ubuntu clang version 18.1.3 (1ubuntu1)", "clang"),
        ("aarch64-linux-gnu-gcc-13 (Ubuntu 13.3.0-6ubuntu2~24.04) 13.3.0", "gcc-13"),
        ("icc 2021", ""),
    ],
)
def test_compiler_command(text: str, command: str) -> None:
    assert kernel_config.compiler_command(text) == command


def test_release_of_a_build_tree_is_not_debians_upstream_version() -> None:
    uts = '#define UTS_RELEASE "6.1.0-50-amd64"\n'
    assert kernel_config.tree_release(uts, "6.1.176\n") == "6.1.0-50-amd64"
    assert kernel_config.tree_release("", "5.14.0-427.el9.x86_64\n") == "5.14.0-427.el9.x86_64"


def test_included_makefile() -> None:
    text = "include /usr/src/linux-headers-6.1.0-50-common/Makefile\n"
    assert (
        kernel_config.makefile_include(text, "/usr/src/linux-headers-6.1.0-50-amd64")
        == "/usr/src/linux-headers-6.1.0-50-common/Makefile"
    )
    assert kernel_config.makefile_include("include $(srctree)/x\n", "/usr/src/a") == ""
    assert kernel_config.makefile_include("include ../b/Makefile\n", "/usr/src/a") == (
        "/usr/src/b/Makefile"
    )


def test_images_in_boot() -> None:
    names = (
        "System.map-6.1.0-50-amd64",
        "vmlinuz-0-rescue-0123456789abcdef",
        "vmlinuz-5.14.0-427.el9.x86_64",
        "vmlinuz-6.1.0-50-amd64",
        "vmlinuz-6.1.0-50-amd64.old",
        "vmlinuz.old",
        ".vmlinuz-5.14.0-427.el9.x86_64.hmac",
    )
    assert kernels.image_releases(names) == ("5.14.0-427.el9.x86_64", "6.1.0-50-amd64")


def test_version_word() -> None:
    assert kernels.version_word("Linux version 6.18.44-cloud-gpu (builder@host) (gcc") == (
        "6.18.44-cloud-gpu"
    )
    assert kernels.version_word("FreeBSD is something else") == ""


def test_owner_of_a_kernel() -> None:
    owned = (
        Package("linux-image-6.1.0-50-amd64", "6.1.176-1", "rc"),
        Package("linux-headers-6.1.0-50-amd64", "6.1.176-1"),
        Package("kernel-core", "5.14.0-427.el9"),
    )
    assert kernels.owner_version("6.1.0-50-amd64", owned) == "6.1.176-1"
    assert kernels.owner_version("5.14.0-427.el9.x86_64", owned) == "5.14.0-427.el9"
    assert kernels.owner_version("6.8.0-87-generic", owned) == ""


def test_grub_menu_of_debian() -> None:
    menu = grub.parse_menu(case("grub-debian.cfg"))
    assert [entry.title for entry in menu] == [
        "Debian GNU/Linux",
        "Advanced options for Debian GNU/Linux",
        "UEFI Firmware Settings",
    ]
    assert grub.releases(menu) == ("6.1.0-56-amd64", "6.1.0-50-amd64")


@pytest.mark.parametrize(
    ("value", "release"),
    [
        ("0", "6.1.0-56-amd64"),
        ("1>1", "6.1.0-50-amd64"),
        ("gnulinux-advanced-0000>gnulinux-6.1.0-50-amd64-advanced-0000", "6.1.0-50-amd64"),
        (
            "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-50-amd64",
            "6.1.0-50-amd64",
        ),
        ("1", "6.1.0-56-amd64"),
        ("7", None),
        ("gone", None),
        ("1>9", None),
    ],
)
def test_grub_default(value: str, release: str | None) -> None:
    entry = grub.find_entry(grub.parse_menu(case("grub-debian.cfg")), value)
    assert (grub.release_of_image(entry.image) if entry else None) == release


def test_grub_default_follows_the_saved_entry_not_the_one_shot() -> None:
    text = (
        'if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\nelse\n'
        '   set default="${saved_entry}"\nfi\n'
    )
    assert grub.configured_default(text, {"saved_entry": "1>1"}) == "1>1"
    assert grub.configured_default(text, {}) == "0"
    assert grub.configured_default("", {}) == "0"
    assert grub.configured_default(case("grub-debian.cfg"), {"saved_entry": "9"}) == "0"


def test_grubenv() -> None:
    text = "# GRUB Environment Block\nsaved_entry=abc-5.14\nnext_entry=\n####################"
    assert grub.parse_grubenv(text) == {"saved_entry": "abc-5.14", "next_entry": ""}


def test_boot_loader_entries() -> None:
    entry = bls.parse_entry(
        "0123-5.14.0-427.el9.x86_64.conf",
        "title Rocky Linux\nversion 5.14.0-427.el9.x86_64\nlinux /vmlinuz-5.14.0-427.el9.x86_64\n",
    )
    assert entry.release == "5.14.0-427.el9.x86_64"
    installed = bls.parse_entry("tok-6.12.conf", "title Debian\nlinux /tok/6.12.107+deb13/linux\n")
    assert installed.release == "6.12.107+deb13"
    older = bls.BootEntry("0123-5.14.0-70.el9.x86_64", "", "5.14.0-70.el9.x86_64")
    rescue = bls.BootEntry("0123-0-rescue", "", "0-rescue-0123")
    ordered = bls.newest_first([rescue, older, entry])
    assert ordered == [entry, older, rescue]
    assert bls.choose(ordered, "") == entry
    assert bls.choose(ordered, "0123-5.14.0-70*") == older
    assert bls.choose(ordered, "1") == older
    assert bls.choose(ordered, "nothing") is None
    assert bls.unified_entry("debian-6.12.107+deb13-amd64+3-0.efi").release == (
        "6.12.107+deb13-amd64"
    )


def test_loader_settings_and_efi_strings() -> None:
    assert bls.parse_loader_conf("#default x\ntimeout 3\ndefault debian-*\n") == "debian-*"
    assert bls.efi_string("\7\0\0\0d\0e\0b\0.\0c\0o\0n\0f\0\0\0") == "deb.conf"


# --- signatures ---------------------------------------------------------------------------------


def test_lockdown_and_secure_boot_words() -> None:
    assert secure_boot.parse_lockdown("none [integrity] confidentiality") == "integrity"
    assert secure_boot.parse_sb_state("SecureBoot enabled\n") is SecureBoot.ENABLED
    assert (
        secure_boot.parse_sb_state("SecureBoot enabled\nSecureBoot validation is disabled in shim")
        is SecureBoot.DISABLED
    )
    assert (
        secure_boot.parse_sb_state("EFI variables are not supported on this system")
        is SecureBoot.UNSUPPORTED
    )
    assert isinstance(secure_boot.parse_sb_state("?"), Unknown)
    lines = ("[    0.000000] secureboot: Secure boot enabled",)
    assert secure_boot.state_from_log(lines) is SecureBoot.ENABLED
    assert secure_boot.state_from_log(()) is None


def test_dkms_framework_keys() -> None:
    text = "# mok_signing_key=/no\nmok_signing_key=\"/root/a.key\"\nmok_certificate='/root/a.pub'\n"
    assert secure_boot.parse_framework(text) == ("/root/a.key", "/root/a.pub")
    assert secure_boot.parse_framework("mok_signing_key=/k/$kernelver.key\n") == ("", "")


# --- packages -----------------------------------------------------------------------------------


def test_dpkg_status() -> None:
    found = {package.name: package for package in dpkg.parse_status(case("dpkg-status.txt"))}
    assert found["linux-image-6.1.0-56-amd64"] == Package(
        "linux-image-6.1.0-56-amd64", "6.1.192-2", "ii"
    )
    assert found["linux-image-amd64"].held
    assert found["old-thing"].status == "rc"
    assert "wanted-only" not in found
    assert dpkg.unfinished(tuple(found.values())) == (
        "nvidia-open-kernel-dkms",
        "nvidia-kernel-support",
        "dkms",
        "man-db",
    )


def test_dpkg_journal_outranks_the_status_file() -> None:
    status = dpkg.parse_status("Package: a\nStatus: install ok installed\nVersion: 1\n")
    merged = dpkg.merge(status, ("Package: a\nStatus: install ok unpacked\nVersion: 2\n",))
    assert merged == (Package("a", "2", "iU"),)


def test_dpkg_query_lines() -> None:
    text = "ii |cuda-nvcc-13-0|13.0.88-1\nun |cuda-cub-13-0|\nhi |libcudnn9|9-1\nrc |x|1\nno packages\n"
    assert [package.name for package in dpkg.parse_query(text)] == [
        "cuda-nvcc-13-0",
        "libcudnn9",
        "x",
    ]


def test_rpm_query_duplicates_and_locks() -> None:
    text = (
        "kernel-core|5.14.0-427.el9|x86_64\nkernel-core|5.14.0-503.el9|x86_64\n"
        "nvidia-driver|580.95.05-1.el9|x86_64\nnvidia-driver|580.82.07-1.el9|x86_64\n"
        "error: rpmdb\n"
    )
    found = rpm.parse_query(text)
    assert len(found) == 4
    assert rpm.duplicates(found) == ("nvidia-driver",)
    locks = rpm.parse_versionlock("# c\nnvidia-driver-3:580.95.05-1.el9.*\n!kernel-core\n")
    held = rpm.with_holds(tuple(package for package, _ in found), locks)
    assert [package.version for package in held if package.held] == ["580.95.05-1.el9"]
    assert rpm.parse_zypp_locks("type: package\nsolvable_name: nvidia-*\n") == ("nvidia-*",)


def test_relevant_packages() -> None:
    names = ("linux-image-amd64", "gcc-12", "gcc-12-base", "dkms", "vim", "libcuda1", "shim-signed")
    kept = packages.relevant(Package(name, "1") for name in names)
    assert [package.name for package in kept] == [
        "linux-image-amd64",
        "gcc-12",
        "dkms",
        "libcuda1",
        "shim-signed",
    ]


def test_proc_locks() -> None:
    text = "1: POSIX  ADVISORY  WRITE 4177 08:01:131113 0 EOF\n2: FLOCK  ADVISORY  READ 12 00:19:1 0 EOF\n"
    assert packages.parse_locks(text) == (("4177", 131113),)


def test_apt_conf() -> None:
    settings = apt_conf.parse_apt_conf(
        'APT::Periodic::Unattended-Upgrade "1"; // yes\n# no\n/* "x"; */\n'
        'Unattended-Upgrade::Package-Blacklist {\n  "nvidia";\n  "linux-";\n};\n'
        'APT { Periodic { Unattended-Upgrade "0"; }; };\n'
    )
    assert apt_conf.last_value(settings, "apt::periodic::unattended-upgrade") == "0"
    assert apt_conf.all_values(settings, "Unattended-Upgrade::Package-Blacklist") == (
        "nvidia",
        "linux-",
    )


def test_deb822_sources() -> None:
    found = sources.parse_deb822("/etc/apt/x.sources", case("sources-debian.sources"))
    assert [(item.line, item.suites, item.enabled) for item in found] == [
        (2, ("trixie", "trixie-updates"), True),
        (10, ("trixie-security",), True),
        (20, ("trixie-backports",), False),
    ]
    assert found[0].components == ("main", "contrib", "non-free-firmware")
    assert found[0].signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert found[1].signed_by == "inline key"
    debian = OsFacts("debian", "13", "Debian 13", "trixie")
    assert [sources.classify(item, debian) for item in found] == [
        "distribution",
        "security",
        "backports",
    ]


def test_one_line_sources() -> None:
    text = (
        "# a comment about deb files\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://archive.example.org/ubuntu noble main universe # x\n"
        "# deb http://archive.example.org/ubuntu noble-backports main\n"
        "deb cdrom:[Debian GNU/Linux 12.5.0 _Bookworm_ - Official]/ bookworm main\n"
        "deb-src http://archive.example.org/ubuntu noble main\n"
        "deb https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64 /\n"
        "deb file:/var/cuda-repo-debian12-13-0-local /\n"
        "deb https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /\n"
        "deb https://download.docker.com/linux/ubuntu noble stable\n"
    )
    found = sources.parse_one_line("/etc/apt/sources.list", text)
    assert [item.line for item in found] == [2, 3, 4, 6, 7, 8, 9]
    assert found[0].signed_by == "/k.gpg"
    assert found[0].components == ("main", "universe")
    assert not found[1].enabled
    noble = OsFacts("ubuntu", "24.04", "Ubuntu", "noble")
    assert [sources.classify(item, noble) for item in found] == [
        "distribution",
        "backports",
        "other",
        "nvidia",
        "nvidia",
        "nvidia-container",
        "other",
    ]


def test_repo_files() -> None:
    text = (
        "[main]\ngpgcheck=1\n\n[cuda-rhel9-x86_64]\nname=cuda\n"
        "baseurl=https://developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64\n"
        "enabled=1\ngpgkey=https://example.org/D42D0685.pub\n[off]\nname=x\n"
        "mirrorlist=https://example.org/list\nenabled=0\n"
    )
    found = sources.parse_repo_file("/etc/yum.repos.d/cuda.repo", text, "yum")
    assert [(item.suites, item.line, item.enabled) for item in found] == [
        (("cuda-rhel9-x86_64",), 4, True),
        (("off",), 9, False),
    ]
    assert sources.classify(found[0], Unknown("x")) == "nvidia"
    assert sources.parse_repo_file("/x.repo", "no section\n", "yum") == ()


def test_nvidias_index_tells_whose_package_it_is() -> None:
    index = (
        "Package: nvidia-driver\nVersion: 580.95.05-1\nDepends: x\n\n"
        "Package: nvidia-driver\nVersion: 590.44.01-1\n\n"
        "Package: other\nVersion: 550.163.01-2\n"
    )
    assert method.listed(Package("nvidia-driver", "590.44.01-1"), index)
    assert not method.listed(Package("nvidia-driver", "550.163.01-2"), index)


def test_driver_packages_leave_toolkits_and_compat_out() -> None:
    names = (
        "cuda-compat-13-0",
        "cuda-nvcc-13-0",
        "nvidia-container-toolkit",
        "libnvidia-ml-dev",
        "nvidia-open-kernel-dkms",
        "libcuda1",
        "linux-modules-nvidia-580-6.8.0-87-generic",
    )
    found = method.driver_packages(tuple(Package(name, "1") for name in names))
    assert [package.name for package in found] == list(names[4:])


# --- modules ------------------------------------------------------------------------------------


def test_modinfo_blocks() -> None:
    first, second = modules.parse_modinfo(case("modinfo-two.txt"))
    assert (first["name"], first["license"], first["signer"]) == (
        "nvidia",
        "Dual MIT/GPL",
        "DKMS module signing key",
    )
    assert second["name"] == "nvidia_uvm"
    assert "signer" not in second


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("nvidia", "nvidia"),
        ("nvidia-current-open", "nvidia"),
        ("nvidia-current-open-uvm", "nvidia_uvm"),
        ("nvidia-current-modeset", "nvidia_modeset"),
        ("nvidia-drm", "nvidia_drm"),
        ("nvidia-tesla-535-uvm", "nvidia_uvm"),
    ],
)
def test_module_name_of_a_file(stem: str, name: str) -> None:
    assert modules.name_of_stem(stem) == name


def test_loaded_modules() -> None:
    text = (
        "nvidia_uvm 1830912 - - Live 0xffffffffc080c000 (O)\n"
        "nvidia 14299136 2 nvidia_uvm,nvidia_modeset, Live 0x0 (PO)\n"
        "nouveau 2000 0 - Live 0x0\nnvidia_wmi_ec_backlight 1 0 - Live 0x0\n"
        "vfio_pci 1 1 - Live 0x0\next4 1 1 - Live 0x0\nshort line\n"
    )
    found = modules.parse_loaded(text)
    assert [module.name for module in found] == ["nvidia_uvm", "nvidia", "nouveau", "vfio_pci"]
    assert (found[1].references, found[1].users) == (2, ("nvidia_uvm", "nvidia_modeset"))
    assert (found[0].references, found[0].users) == (0, ())


def test_driver_version_file() -> None:
    opened = (
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (b)\n"
    )
    closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03  Tue Jul\n"
    assert modules.parse_driver_version(opened) == ("580.159.04", Flavour.OPEN)
    assert modules.parse_driver_version(closed) == ("535.261.03", Flavour.PROPRIETARY)


def test_modprobe_files() -> None:
    text = (
        "# blacklist nvidia\nblacklist nouveau\noptions nouveau modeset=0\nalias nouveau off\n"
        "install nvidia-uvm /bin/false\ninstall nvidia /sbin/modprobe -i nvidia\n"
        "blacklist i2c_nvidia_gpu\nblacklist nova_core\n"
    )
    assert modprobe.parse_modprobe(text) == (
        ("nouveau", 2),
        ("nouveau", 4),
        ("nvidia_uvm", 5),
        ("nova_core", 8),
    )
    line = "ro modprobe.blacklist=nouveau,nvidiafb rd.driver.blacklist=nova-core quiet"
    assert modprobe.parse_command_line(line) == ("nouveau", "nova_core")


def test_dkms_link() -> None:
    assert dkms.installed_link("kernel-6.12.107+deb13-amd64-x86_64") == "6.12.107+deb13-amd64"
    assert dkms.installed_link("550.163.01") == ""


@pytest.mark.parametrize(
    ("line", "hold"),
    [
        ("nvidia-drm/nvidia-drm-drv.c:200:5: error: no member named 'output_poll_changed'", True),
        ("conftest123.c:9:3: error: incompatible pointer type", False),
        ("error: cannot use keyword 'false' as enumeration constant", False),
    ],
)
def test_a_failing_probe_is_seen_in_a_build_log(line: str, hold: bool) -> None:
    assert make_log.probes_hold(f"make all\n{line}\nmake[1]: *** Error 1\n") is hold


def test_first_error_of_a_build_log() -> None:
    text = case("make-log-pci-resize.txt")
    assert make_log.log_kernel(text) == "6.12.107+deb13-amd64"
    assert make_log.first_error(text) == (
        "nvidia/nv-pci.c:237:9: error: too few arguments to function 'pci_resize_resource'"
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "a.c:1:1: error: x\nfatal error: error writing to /tmp/a.s: No space left on device\n",
            "fatal error: error writing to /tmp/a.s: No space left on device",
        ),
        (
            "  MODPOST Module.symvers\nERROR: modpost: GPL-incompatible module nvidia.ko uses "
            "GPL-only symbol '__rcu_read_lock'\nmake[2]: *** [x] Error 1\n",
            "ERROR: modpost: GPL-incompatible module nvidia.ko uses GPL-only symbol "
            "'__rcu_read_lock'",
        ),
        (
            "conftest12.c:24:46: error: passing argument 2\n"
            "*** Failed PREEMPT_RT sanity check. Bailing out! ***\nmake: *** [x] Error 1\n",
            "*** Failed PREEMPT_RT sanity check. Bailing out! ***",
        ),
        ("gcc: error: unrecognized command-line option ‘-ftrivial-auto-var-init=zero’\n",) * 2,
        ("make[1]: *** [Makefile:82: modules] Error 2\n",) * 2,
        ("  CC [M] nvidia/nv.o\n", ""),
    ],
)
def test_first_error(text: str, error: str) -> None:
    assert make_log.first_error(text) == error.strip()


# --- the driver and what rests on it ------------------------------------------------------------


def test_fallen_off_the_bus() -> None:
    assert pci.answers_no_more("\ufffd" * 64)
    assert not pci.answers_no_more("\ufffd\x10" + "\0" * 62)
    assert not pci.answers_no_more("")


def test_ldconfig_and_versions() -> None:
    text = (
        "2 libs found in cache `/etc/ld.so.cache'\n"
        "\tlibnvidia-ml.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libnvidia-ml.so.1\n"
        "\tlibcuda.so.1 (libc6) => /lib/i386-linux-gnu/libcuda.so.1\n"
        "\tlibcuda.so.1 (libc6,x86-64) => /usr/local/cuda/lib64/stubs/libcuda.so.1\n"
        "\tlibcuda.so (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so\n"
        "Cache generated by: ldconfig\n"
    )
    assert libraries.parse_ldconfig(text) == (
        ("libnvidia-ml.so.1", "/lib/x86_64-linux-gnu/libnvidia-ml.so.1"),
        ("libcuda.so.1", "/usr/local/cuda/lib64/stubs/libcuda.so.1"),
    )
    assert libraries.version_in("/x/libcuda.so.580.159.04") == "580.159.04"
    assert libraries.version_in("/x/libcuda.so.1") == ""
    twice = [
        Library("libcuda.so.1", "/lib/a", "1.2", real_path="/real"),
        Library("libcuda.so.1", "/usr/lib/a", "1.2", real_path="/real"),
    ]
    assert libraries.unique(twice) == (twice[0],)


def test_device_file_mode() -> None:
    assert devices.parse_file_mode("DeviceFileGID: 0\nDeviceFileMode: 438\n") == 0o666
    assert devices.parse_file_mode("") is None


def test_package_versions_of_services() -> None:
    assert services.upstream_version("1:580.95.05-0ubuntu1") == "580.95.05"
    installed = (
        Package("nvidia-fabricmanager-580", "580.95.05-1"),
        Package("nvlsm", "2025.1-1", "rc"),
    )
    assert services.package_version(installed, r"nvidia-fabricmanager(-\d+)?") == "580.95.05"
    assert services.package_version(installed, "nvlsm") is None
    unknown = Unknown("x")
    assert services.package_version(unknown, "nvlsm") is unknown


def test_container_configurations() -> None:
    assert containers.docker_configured('{"runtimes": {"nvidia": {"path": "x"}}}')
    assert containers.docker_configured('{"features": {"cdi": true}}')
    assert not containers.docker_configured('{"runtimes": {"kata": {}}}')
    assert not containers.docker_configured("[1]")
    assert containers.toml_configured(
        "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia]\n"
    )
    assert not containers.toml_configured("# runtimes.nvidia\n")


def test_toolkit_versions() -> None:
    assert toolkit.parse_version_json('{"cuda": {"version": "13.0.2"}}') == "13.0"
    assert toolkit.parse_nvcc("Cuda compilation tools, release 13.0, V13.0.88") == "13.0"


def test_nvml_numbers() -> None:
    assert nvml.cuda_version(13000) == "13.0"
    assert nvml.cuda_version(12080) == "12.8"
    assert nvml.normal_bus_id("00000000:00:06.0") == "0000:00:06.0"
    assert nvml.normal_bus_id("00010000:C1:00.0") == "10000:c1:00.0"
    assert nvml.is_vgpu("NVIDIA A100-40C")
    assert not nvml.is_vgpu("NVIDIA A100-SXM4-40GB")


def test_nvml_answers_of_a_fabric_system() -> None:
    gpu = nvml.parse_gpu(
        {
            "index": 3,
            "pci_bus_id": "00000000:1B:00.0",
            "fabric": {"state": 3, "status": 0},
            "remapped_rows": [1, 2, 1, 0],
            "ecc": [1, 1],
            "ecc_uncorrected": 0,
            "nvlinks_active": 18,
            "pcie_gen": 5,
            "pcie_gen_max": 5,
            "pcie_width": 8,
            "pcie_width_max": 16,
            "temperature": 41,
            "processes": 0,
        },
        0,
    )
    assert (gpu.index, gpu.fabric_state, gpu.fabric_status) == (3, "completed", 0)
    assert (gpu.remapped_rows, gpu.remapped_pending, gpu.remapped_failed) == (3, True, False)
    assert (gpu.pcie_width, gpu.pcie_width_max, gpu.nvlinks_active) == (8, 16, 18)
    assert isinstance(gpu.mig, Unknown)


def test_cuda_answers() -> None:
    facts = cuda.parse_cuda(
        {
            "cuInit": 0,
            "driver_version": 13000,
            "device_count": 2,
            "loaded_from": ["/usr/local/nvidia/lib64/libcuda.so.580.159.04"],
            "devices": [
                {"index": 0, "name": "H200", "compute_capability": [9, 0], "kernel_correct": True},
                {"index": 1, "error": "cuMemAlloc: out of memory"},
            ],
            "peers": [{"source": 0, "target": 1, "possible": True, "bandwidth": 1.5e11}],
        }
    )
    assert not isinstance(facts, Unknown)
    assert (facts.driver_version, facts.device_count) == ("13.0", 2)
    assert facts.devices[0].kernel_correct is True
    assert facts.devices[1].error == "cuMemAlloc: out of memory"
    assert isinstance(facts.devices[1].kernel_correct, Unknown)
    assert facts.peers[0].possible
    assert isinstance(facts.peers[0].correct, Unknown)
    assert cuda.parse_cuda({"error": "no answer within 30 s"}) == Unknown("no answer within 30 s")


def test_log_lines() -> None:
    text = (
        "[    0.0] Key type asymmetric registered\n"
        "[    1.0] NVRM: Xid (PCI:0000:1b:00): 79, GPU has fallen off the bus.\n"
        "[    2.0] Loading of unsigned module is rejected\n"
        "[    3.0] Lockdown: modprobe: unsigned module loading is restricted\n"
        "[    4.0] usb 1-1: innovation device\n"
    )
    assert [said[:9] for said in log.driver_lines(text)] == [
        "[    1.0]",
        "[    2.0]",
        "[    3.0]",
    ]


# --- input that is none -------------------------------------------------------------------------

JUNK = "\0\ufffd\x7fELF\x02\n=:|\n\n{};\"'\n[ ]\n \t\n" + "\ufffd" * 300 + "\n>>1>\n- - -\n"

PARSERS: list[Callable[[str], Any]] = [
    os_release.parse_os_release,
    mounts.parse_mountinfo,
    platform.engine_of,
    platform.cloud_of,
    kernel_config.parse_config,
    kernel_config.compiler_command,
    lambda text: kernel_config.makefile_include(text, "/usr/src/x"),
    kernels.version_word,
    grub.parse_menu,
    grub.parse_grubenv,
    lambda text: grub.configured_default(text, {}),
    lambda text: grub.find_entry(grub.parse_menu(case("grub-debian.cfg")), text),
    lambda text: bls.parse_entry("x.conf", text),
    bls.unified_entry,
    bls.parse_loader_conf,
    bls.efi_string,
    secure_boot.parse_lockdown,
    secure_boot.parse_sb_state,
    secure_boot.parse_framework,
    dpkg.parse_status,
    dpkg.parse_query,
    dpkg_damage.damage,
    lambda text: dpkg_depends.unmet(dpkg_depends.stanzas(text), len),
    lambda text: thinning.file("/var/lib/dpkg/status", text),
    lambda text: thinning.file("/var/log/dpkg.log", text),
    lambda text: thinning.file("/var/log/apt/history.log", text),
    lambda text: thinning.file("/var/log/zypp/history", text),
    lambda text: thinning.output("dmesg", text),
    rpm.parse_query,
    rpm.parse_versionlock,
    rpm.parse_zypp_locks,
    packages.parse_locks,
    apt_conf.parse_apt_conf,
    lambda text: sources.parse_deb822("/x.sources", text),
    lambda text: sources.parse_one_line("/x.list", text),
    lambda text: sources.parse_repo_file("/x.repo", text, "yum"),
    modules.parse_modinfo,
    modules.parse_loaded,
    modules.parse_driver_version,
    modules.name_of_stem,
    modprobe.parse_modprobe,
    modprobe.parse_command_line,
    dkms.installed_link,
    make_log.log_kernel,
    make_log.first_error,
    libraries.parse_ldconfig,
    libraries.version_in,
    devices.parse_file_mode,
    services.upstream_version,
    containers.docker_configured,
    containers.toml_configured,
    toolkit.parse_version_json,
    toolkit.parse_nvcc,
    log.driver_lines,
    pci.answers_no_more,
]

CAPTURES = sorted(path.name for path in CASES.iterdir())


@pytest.mark.parametrize("parser", PARSERS)
def test_empty_and_junk_give_nothing_and_raise_nothing(parser: Callable[[str], Any]) -> None:
    empty, junk = parser(""), parser(JUNK)
    assert type(empty) is type(junk) or None in (empty, junk)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("name", CAPTURES)
def test_captures_cut_off_anywhere_raise_nothing(parser: Callable[[str], Any], name: str) -> None:
    text = case(name)
    whole = parser(text)
    for part in range(1, 12):
        cut = parser(text[: len(text) * part // 12])
        assert type(cut) is type(whole) or None in (cut, whole)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"gpus": None},
        {"gpus": [1, 2]},
        {"gpus": [{"ecc": "x", "mig": [], "fabric": 3, "remapped_rows": {}, "index": "0"}]},
        {"error": "Driver/library version mismatch", "code": 18},
        {"cuInit": "0"},
        {"cuInit": 0, "devices": {}, "peers": None, "loaded_from": 1, "driver_version": "13"},
    ],
)
def test_probe_answers_of_another_shape(raw: dict[str, Any]) -> None:
    answered = nvml.parse_nvml(raw)
    if not isinstance(answered, Unknown):
        assert all(isinstance(gpu.mig, Unknown) for gpu in answered.gpus)
    asked = cuda.parse_cuda(raw)
    assert isinstance(asked, Unknown) or asked.devices == ()
