"""Families: names and commands of each distribution, from os-release to a held package set."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from os import environ
from pathlib import Path

import pytest

from gpu_bringup.errors import RefusedError
from gpu_bringup.families.base import Family
from gpu_bringup.families.detect import family_for, registry
from gpu_bringup.families.repository import FETCH_KEY
from gpu_bringup.model.catalogue import DriverPackage, PackageRepository
from gpu_bringup.model.enums import Flavour, SecureBoot
from gpu_bringup.model.facts import (
    ContainerFacts,
    DeviceFacts,
    DkmsBuild,
    Facts,
    Kernel,
    KernelFacts,
    LibraryFacts,
    LogFacts,
    ModuleFacts,
    OsFacts,
    Package,
    PackageFacts,
    PciFacts,
    PlatformFacts,
    Repository,
    SecureBootFacts,
    ServiceFacts,
    SigningKey,
    StorageFacts,
    ToolkitFacts,
)
from gpu_bringup.model.unknown import Unknown

TRIXIE = OsFacts("debian", "13", "Debian 13", "trixie")
BOOKWORM = OsFacts("debian", "12", "Debian 12", "bookworm")
NOBLE = OsFacts("ubuntu", "24.04", "Ubuntu 24.04", "noble", ("debian",))
ROCKY_9 = OsFacts("rocky", "9.8", "Rocky 9.8", "", ("rhel", "centos", "fedora"))
ALMA_8 = OsFacts("almalinux", "8.10", "Alma 8", "", ("rhel", "centos", "fedora"))
RHEL_10 = OsFacts("rhel", "10.2", "RHEL 10.2", "", ("centos", "fedora"))
FEDORA = OsFacts("fedora", "44", "Fedora 44")
AMAZON = OsFacts("amzn", "2023", "Amazon Linux 2023", "", ("fedora",))
SLES = OsFacts("sles", "15.7", "SLES 15 SP7", "", ("suse",))

K13 = "6.12.107+deb13-amd64"
NO = Unknown("not looked at")
EMPTY = Facts(
    os=TRIXIE,
    platform=PlatformFacts(),
    kernels=KernelFacts(K13, ()),
    pci=PciFacts((), ()),
    secure_boot=SecureBootFacts(SecureBoot.DISABLED),
    packages=PackageFacts(),
    modules=ModuleFacts(),
    devices=DeviceFacts(),
    libraries=LibraryFacts(),
    nvml=NO,
    cuda=NO,
    services=ServiceFacts(),
    containers=ContainerFacts(),
    storage=StorageFacts(),
    toolkit=ToolkitFacts(),
    log=LogFacts(),
)

DKMS = DriverPackage(
    id="d",
    source="distribution",
    branch="550",
    version="550.163.01",
    package_version="550.163.01-4",
    flavour=Flavour.OPEN,
    route="dkms",
    kernel_package="nvidia-open-kernel-dkms",
    packages=("nvidia-open-kernel-dkms", "libcuda1"),
    components=("contrib", "non-free"),
    repository="",
    pin=(),
    module_names=("nvidia-current-open",),
    sources=(),
)
PREBUILT = replace(
    DKMS,
    branch="580",
    version="580.178.04",
    package_version="",
    route="prebuilt",
    kernel_package="linux-modules-nvidia-580-server-open-{kernel}",
    packages=("linux-modules-nvidia-580-server-open-{kernel}", "nvidia-utils-580-server"),
)
REPOSITORY = PackageRepository(
    id="nvidia-cuda",
    name="NVIDIA CUDA",
    uri="https://repo.example.org/{distro}/{arch}/",
    suite="/",
    key_uri="https://repo.example.org/{distro}/{arch}/key.pub",
    fingerprints=("AAAA BBBB CCCC DDDD EEEE  FFFF 0000 1111 2222 3333",),
    sources=(),
)


def of(os: OsFacts) -> Family:
    family = family_for(os)
    assert family is not None
    return family


def having(*names: str, version: str = "1") -> Facts:
    packages = tuple(Package(name, version) for name in names)
    return replace(EMPTY, packages=PackageFacts(installed=packages))


def argvs(commands: tuple) -> list[tuple[str, ...]]:  # type: ignore[type-arg]
    return [command.argv for command in commands]


@pytest.mark.parametrize(
    ("os_id", "like", "family", "manager"),
    [
        ("debian", (), "debian", "apt"),
        ("ubuntu", ("debian",), "ubuntu", "apt"),
        ("rhel", ("fedora",), "rhel", "dnf"),
        ("almalinux", ("rhel",), "rhel", "dnf"),
        ("rocky", ("rhel",), "rhel", "dnf"),
        ("centos", ("rhel",), "rhel", "dnf"),
        ("ol", ("fedora",), "rhel", "dnf"),
        ("fedora", (), "fedora", "dnf"),
        ("amzn", ("centos", "rhel", "fedora"), "amazon", "dnf"),
        ("sles", ("suse",), "suse", "zypper"),
        ("opensuse-leap", ("suse", "opensuse"), "suse", "zypper"),
        ("opensuse-tumbleweed", ("opensuse", "suse"), "suse", "zypper"),
        ("pop", ("ubuntu", "debian"), "ubuntu", "apt"),
        ("kali", ("debian",), "debian", "apt"),
        ("eurolinux", ("rhel", "centos", "fedora"), "rhel", "dnf"),
    ],
)
def test_detection(os_id: str, like: tuple[str, ...], family: str, manager: str) -> None:
    found = of(OsFacts(os_id, "1", "x", like=like))
    assert (found.id, found.manager.name) == (family, manager)


@pytest.mark.parametrize(
    ("os_id", "like"), [("arch", ()), ("alpine", ()), ("", ()), ("sle-micro", ("suse",))]
)
def test_systems_that_are_not_known(os_id: str, like: tuple[str, ...]) -> None:
    assert family_for(OsFacts(os_id, "1", "x", like=like)) is None


@pytest.mark.parametrize("os", [TRIXIE, NOBLE, ROCKY_9, FEDORA, AMAZON, SLES])
def test_every_family_answers_everything(os: OsFacts) -> None:
    family = of(os)
    methods = [name for name in dir(Family) if not name.startswith("_")]
    assert [name for name in methods if not hasattr(family, name)] == []
    manager = family.manager
    for command in (manager.refresh(), manager.install(("a",)), manager.hold(("a",))):
        assert command.root
    assert family.services()["persistenced"] == "nvidia-persistenced.service"
    assert family.container_packages() == ("nvidia-container-toolkit",)
    assert "dkms" in family.build_packages()
    assert "openssl" in family.build_packages()
    assert family.header_packages("5.14.0-427.el9.x86_64")
    assert os.id in registry()


@pytest.mark.parametrize(
    ("os", "release", "headers", "meta", "kernel_meta"),
    [
        (TRIXIE, K13, f"linux-headers-{K13}", "linux-headers-amd64", "linux-image-amd64"),
        (
            TRIXIE,
            "6.12.107+deb13-cloud-amd64",
            "linux-headers-6.12.107+deb13-cloud-amd64",
            "linux-headers-cloud-amd64",
            "linux-image-cloud-amd64",
        ),
        (
            BOOKWORM,
            "6.1.0-56-rt-amd64",
            "linux-headers-6.1.0-56-rt-amd64",
            "linux-headers-rt-amd64",
            "linux-image-rt-amd64",
        ),
        (
            NOBLE,
            "6.8.0-87-generic",
            "linux-headers-6.8.0-87-generic",
            "linux-headers-generic",
            "linux-image-generic",
        ),
        (
            NOBLE,
            "6.14.0-35-generic",
            "linux-headers-6.14.0-35-generic",
            "linux-headers-generic-hwe-24.04",
            "linux-image-generic-hwe-24.04",
        ),
        (
            NOBLE,
            "6.8.0-1040-aws",
            "linux-headers-6.8.0-1040-aws",
            "linux-headers-aws",
            "linux-image-aws",
        ),
        (
            ROCKY_9,
            "5.14.0-687.el9.x86_64",
            "kernel-devel-5.14.0-687.el9.x86_64",
            "kernel-devel-matched",
            "kernel",
        ),
        (
            ROCKY_9,
            "5.14.0-687.el9.aarch64+64k",
            "kernel-64k-devel-5.14.0-687.el9.aarch64",
            "kernel-64k-devel-matched",
            "kernel-64k",
        ),
        (
            ALMA_8,
            "4.18.0-553.el8_10.x86_64",
            "kernel-devel-4.18.0-553.el8_10.x86_64",
            "kernel-devel",
            "kernel",
        ),
        (
            replace(ROCKY_9, id="ol"),
            "5.15.0-300.el9uek.x86_64",
            "kernel-uek-devel-5.15.0-300.el9uek.x86_64",
            "kernel-uek-devel",
            "kernel-uek",
        ),
        (
            AMAZON,
            "6.1.150-174.273.amzn2023.x86_64",
            "kernel-devel-6.1.150-174.273.amzn2023.x86_64",
            "kernel-devel",
            "kernel",
        ),
        (
            AMAZON,
            "6.12.40-64.114.amzn2023.x86_64",
            "kernel6.12-devel-6.12.40-64.114.amzn2023.x86_64",
            "kernel6.12-devel",
            "kernel6.12",
        ),
        (
            SLES,
            "6.4.0-150600.21-default",
            "kernel-default-devel=6.4.0-150600.21",
            "kernel-default-devel",
            "kernel-default",
        ),
    ],
)
def test_kernel_names(os: OsFacts, release: str, headers: str, meta: str, kernel_meta: str) -> None:
    family = of(os)
    first, *more = family.header_packages(release)
    assert first == headers
    # What comes along is of the same release: nothing may bring another kernel.
    exact = headers.removeprefix(f"{meta.removesuffix('-matched')}-")
    assert all(name.endswith(exact) for name in more)
    assert family.header_meta_packages(release, EMPTY) == (meta,)
    assert family.kernel_meta_packages(release) == (kernel_meta,)


def test_a_kernel_that_is_not_the_distributions_has_no_meta() -> None:
    for os in (TRIXIE, NOBLE):
        assert of(os).header_meta_packages("6.18.44", EMPTY) == ()
        assert of(os).kernel_meta_packages("7.0.0-custom+") == ()


def test_ubuntu_follows_the_line_whose_meta_is_installed() -> None:
    family = of(NOBLE)
    lts = having("linux-aws-lts-24.04", version="6.8.0.1040.1040")
    assert family.header_meta_packages("6.8.0-1040-aws", lts) == ("linux-headers-aws-lts-24.04",)
    both = replace(
        EMPTY,
        packages=PackageFacts(
            installed=(
                Package("linux-image-generic", "6.8.0-87.88"),
                Package("linux-image-generic-hwe-24.04", "6.14.0-35.35~24.04.1"),
            )
        ),
    )
    assert family.header_meta_packages("6.14.0-35-generic", both) == (
        "linux-headers-generic-hwe-24.04",
    )
    assert family.header_meta_packages("6.8.0-87-generic", both) == ("linux-headers-generic",)
    assert family.module_meta_packages(PREBUILT, "6.14.0-35-generic", both) == (
        "linux-modules-nvidia-580-server-open-generic-hwe-24.04",
    )
    assert family.module_meta_packages(DKMS, "6.8.0-87-generic", both) == ()


@pytest.mark.parametrize(
    ("os", "compiler", "packages"),
    [
        (BOOKWORM, "gcc-12", ("gcc-12", "make", "libc6-dev")),
        (NOBLE, "x86_64-linux-gnu-gcc-13", ("gcc-13", "make", "libc6-dev")),
        (TRIXIE, "clang-19", ("clang-19", "lld-19", "llvm-19", "make", "libc6-dev")),
        (TRIXIE, NO, ("gcc", "make", "libc6-dev")),
        (SLES, "gcc-13", ("gcc13", "make", "libelf-devel")),
        (ROCKY_9, "gcc", ("gcc", "make", "elfutils-libelf-devel")),
    ],
)
def test_compilers(os: OsFacts, compiler: str | Unknown, packages: tuple[str, ...]) -> None:
    assert of(os).compiler_packages(Kernel(K13, compiler=compiler)) == packages


def test_driver_packages_are_pinned_and_filled_in() -> None:
    assert of(TRIXIE).driver_packages(DKMS, (K13,)) == (
        "nvidia-open-kernel-dkms=550.163.01-4",
        "libcuda1",
    )
    assert of(NOBLE).driver_packages(PREBUILT, ("6.8.0-1-generic", "6.8.0-2-generic")) == (
        "linux-modules-nvidia-580-server-open-6.8.0-1-generic",
        "linux-modules-nvidia-580-server-open-6.8.0-2-generic",
        "nvidia-utils-580-server",
    )


def with_dkms(*builds: tuple[str, str]) -> Facts:
    entries = tuple(DkmsBuild(module, version, "", "added") for module, version in builds)
    return replace(EMPTY, modules=ModuleFacts(dkms=entries))


def test_repair_builds_and_installs_again_even_where_dkms_says_it_did() -> None:
    facts = with_dkms(
        ("nvidia-current-open", "550.163.01"), ("nvidia-current", "550.163.01"), ("zfs", "2.3")
    )
    change = of(TRIXIE).repair_module(DKMS, K13, facts)
    common = ("-m", "nvidia-current-open", "-v", "550.163.01", "-k", K13, "--force")
    assert argvs(change.commands) == [
        ("dkms", "build", *common),
        ("dkms", "install", *common),
        ("depmod", "-a", K13),
    ]


def test_repair_without_dkms_entry_uses_the_package() -> None:
    stale = with_dkms(("nvidia-current-open", "535.1"))
    first = of(TRIXIE).repair_module(DKMS, K13, stale).commands[0].argv
    assert first[-1] == "nvidia-open-kernel-dkms=550.163.01-4"
    assert "--reinstall" not in first
    release = "6.8.0-87-generic"
    name = f"linux-modules-nvidia-580-server-open-{release}"
    again = of(NOBLE).repair_module(PREBUILT, release, having(name)).commands[0].argv
    assert "--reinstall" in again
    assert again[-1] == name


def test_repair_by_akmods_where_the_driver_came_as_one() -> None:
    release = "5.14.0-687.el9.x86_64"
    change = of(ROCKY_9).repair_module(DKMS, release, having("akmod-nvidia"))
    assert change.commands[0].argv == ("akmods", "--force", "--kernels", release)


def debian_entry(*components: str, **more: object) -> Repository:
    entry = Repository(
        "/etc/apt/sources.list.d/debian.sources",
        1,
        "https://archive.example.org/debian",
        ("trixie",),
        components,
        kind="distribution",
    )
    return replace(entry, **more)  # type: ignore[arg-type]


def test_missing_components_and_switching_them_on_agree() -> None:
    family = of(TRIXIE)
    entries = (debian_entry("main", "contrib"), debian_entry("main", enabled=False))
    assert family.missing_components(entries, ("contrib", "non-free")) == ("non-free",)
    both = (debian_entry("main", "contrib"), debian_entry("main", suites=("trixie-security",)))
    assert family.missing_components(both, ("contrib",)) == ("contrib",)
    foreign = debian_entry("main", signed_by="/usr/share/keyrings/vendor.gpg")
    assert family.missing_components((debian_entry("main", "contrib"), foreign), ("contrib",)) == ()

    path = "/etc/apt/sources.list"
    text = "deb https://archive.example.org/debian trixie main\n"
    change = family.enable_components(EMPTY, {path: text}, ("contrib", "non-free"))
    assert [(w.path, w.content) for w in change.writes] == [
        (path, "deb https://archive.example.org/debian trixie main contrib non-free\n")
    ]
    assert change.commands == (family.manager.refresh(),)
    assert not family.enable_components(EMPTY, {path: change.writes[0].content}, ("contrib",))


def test_debian_11_knows_no_non_free_firmware() -> None:
    bullseye = OsFacts("debian", "11", "Debian 11", "bullseye")
    text = "deb https://archive.example.org/debian bullseye main\n"
    change = of(bullseye).enable_components(
        EMPTY, {"/etc/apt/sources.list": text}, ("non-free", "non-free-firmware")
    )
    assert change.writes[0].content.endswith("main non-free\n")
    entries = (debian_entry("main", "non-free", suites=("bullseye",)),)
    assert of(bullseye).missing_components(entries, ("non-free-firmware",)) == ()


def test_rhel_switches_on_crb_and_epel() -> None:
    family = of(ROCKY_9)
    entries = (Repository("/etc/yum.repos.d/epel.repo", 1, "https://x.example.org", format="yum"),)
    assert family.missing_components(entries, ("epel", "crb")) == ("crb",)
    change = family.enable_components(EMPTY, {}, ("crb", "epel"))
    assert ("dnf", "config-manager", "--set-enabled", "crb") in argvs(change.commands)
    assert change.commands[-1].argv[-1] == "epel-release"
    red_hat = of(RHEL_10).enable_components(EMPTY, {}, ("crb",)).commands[0].argv
    assert red_hat[-1] == "codeready-builder-for-rhel-10-x86_64-rpms"


def test_an_apt_repository_is_switched_on_only_after_its_key_was_checked() -> None:
    change = of(TRIXIE).add_repository(REPOSITORY, TRIXIE)
    contents = {write.path: write for write in change.writes}
    assert contents[FETCH_KEY].mode == 0o755
    assert contents[FETCH_KEY].content.startswith("#!/bin/sh")
    assert not any(path.startswith("/etc/apt/sources") for path in contents)
    fetch, switch = change.commands[2], change.commands[3]
    assert fetch.argv == (
        *("sh", FETCH_KEY, "https://repo.example.org/debian13/x86_64/key.pub"),
        "AAAABBBBCCCCDDDDEEEEFFFF0000111122223333",
        "/etc/apt/keyrings/gpu-bringup-nvidia-cuda.gpg",
    )
    source = contents[switch.argv[-2]].content
    assert "URIs: https://repo.example.org/debian13/x86_64/\n" in source
    assert "Signed-By: /etc/apt/keyrings/gpu-bringup-nvidia-cuda.gpg\n" in source
    assert "Components" not in source
    preference = contents["/etc/apt/preferences.d/zz-gpu-bringup-nvidia-cuda"].content
    assert 'Pin: origin "repo.example.org"\nPin-Priority: 600\n' in preference
    assert "*nvidia*" in preference
    container = replace(REPOSITORY, id="nvidia-container")
    for write in of(TRIXIE).add_repository(container, TRIXIE).writes:
        assert "cuda" not in write.content or "preferences" not in write.path


@pytest.mark.parametrize(
    ("os", "place"),
    [
        (NOBLE, "ubuntu2404/x86_64"),
        (replace(BOOKWORM, arch="aarch64"), "debian12/sbsa"),
        (ROCKY_9, "rhel9/x86_64"),
        (FEDORA, "fedora44/x86_64"),
        (AMAZON, "amzn2023/x86_64"),
        (SLES, "sles15/x86_64"),
        (OsFacts("opensuse-leap", "15.6", "Leap"), "opensuse15/x86_64"),
        (OsFacts("opensuse-leap", "16.0", "Leap"), "suse16/x86_64"),
    ],
)
def test_nvidias_names_of_the_distributions(os: OsFacts, place: str) -> None:
    change = of(os).add_repository(REPOSITORY, os)
    assert any(f"repo.example.org/{place}/" in write.content for write in change.writes)


def test_rpm_repositories_trust_a_local_key_file() -> None:
    change = of(SLES).add_repository(REPOSITORY, SLES)
    key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-gpu-bringup-nvidia-cuda"
    assert any(f"gpgkey=file://{key}\n" in write.content for write in change.writes)
    assert ("rpm", "--import", key) in argvs(change.commands)
    assert change.commands[2].argv[-1] == "/etc/zypp/repos.d/gpu-bringup-nvidia-cuda.repo"


def test_a_repository_is_refused_without_a_fingerprint_or_a_name() -> None:
    with pytest.raises(RefusedError, match="fingerprint"):
        of(TRIXIE).add_repository(replace(REPOSITORY, fingerprints=()), TRIXIE)
    sid = OsFacts("debian", "", "Debian sid", "sid")
    with pytest.raises(RefusedError, match="no repository"):
        of(sid).add_repository(REPOSITORY, sid)


@pytest.mark.parametrize("os", [TRIXIE, NOBLE, ROCKY_9, FEDORA, AMAZON, SLES])
def test_blacklist(os: OsFacts) -> None:
    change = of(os).blacklist_competitors()
    (write,) = change.writes
    assert write.path == "/etc/modprobe.d/gpu-bringup-nouveau.conf"
    active = [line for line in write.content.splitlines() if not line.startswith("#")]
    assert active == [
        "blacklist nouveau",
        "options nouveau modeset=0",
        "blacklist nova_core",
        "blacklist nova_drm",
    ]
    assert "Written by gpu-bringup" in write.content
    assert "take it back" in write.content


def test_initramfs_is_made_by_what_the_family_has() -> None:
    assert of(TRIXIE).rebuild_initramfs(K13).argv == ("update-initramfs", "-u", "-k", K13)
    for os in (ROCKY_9, SLES, AMAZON):
        assert of(os).rebuild_initramfs("5.1").argv == ("dracut", "-f", "--kver", "5.1")


def with_key(kind: str, *, exists: bool = True, enrolled: bool | Unknown = NO) -> Facts:
    # Where each kind keeps its pair: a dkms pair elsewhere would be one that its configuration names.
    pair = {"dkms": ("/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub")}.get(kind, ("/k", "/c"))
    key = SigningKey(kind, *pair, exists, enrolled=enrolled)
    return replace(EMPTY, secure_boot=SecureBootFacts(SecureBoot.ENABLED, keys=(key,)))


@pytest.mark.parametrize(
    ("os", "facts", "kind", "certificate"),
    [
        (TRIXIE, EMPTY, "dkms", "/var/lib/dkms/mok.pub"),
        (NOBLE, EMPTY, "shim-signed", "/var/lib/shim-signed/mok/MOK.der"),
        (NOBLE, with_key("dkms", enrolled=True), "dkms", "/var/lib/dkms/mok.pub"),
        (NOBLE, with_key("dkms", exists=False), "shim-signed", "/var/lib/shim-signed/mok/MOK.der"),
        (ROCKY_9, EMPTY, "dkms", "/var/lib/dkms/mok.pub"),
        (ROCKY_9, having("akmod-nvidia"), "akmods", "/etc/pki/akmods/certs/public_key.der"),
        (SLES, EMPTY, "dkms", "/var/lib/dkms/mok.pub"),
    ],
)
def test_signing(os: OsFacts, facts: Facts, kind: str, certificate: str) -> None:
    scheme = of(os).signing(facts)
    assert (scheme.kind, scheme.certificate_path) == (kind, certificate)
    assert scheme.enrol.argv == ("mokutil", "--import", certificate)
    assert scheme.enrol.interactive
    assert "mokutil" in scheme.packages
    if kind == "shim-signed":
        assert argvs(scheme.make_key) == [("update-secureboot-policy", "--new-key")]


@pytest.mark.parametrize(
    ("os", "arguments", "packages"),
    [
        (TRIXIE, ("none", "580", "580.1"), ()),
        (TRIXIE, ("fabricmanager", "580", "580.1"), ("nvidia-fabricmanager=580.1-*",)),
        (TRIXIE, ("fabricmanager", "570", "570.1"), ("nvidia-fabricmanager-570=570.1-*",)),
        (NOBLE, ("fabricmanager", "580", "580.1"), ("nvidia-fabricmanager-580=580.1-*",)),
        (NOBLE, ("imex", "580", "580.1", "distribution"), ("nvidia-imex-580",)),
        (
            NOBLE,
            ("fabricmanager+nvlsm", "580", "580.1", "distribution"),
            ("nvidia-fabricmanager-580", "nvlsm", "infiniband-diags"),
        ),
        (
            NOBLE,
            ("fabricmanager", "580", "580.1", "nvidia-repository"),
            ("nvidia-fabricmanager=580.1-*",),
        ),
        (
            ROCKY_9,
            ("fabricmanager+nvlsm", "580", "580.1"),
            (
                "nvidia-fabricmanager=580.1",
                "libnvidia-nscq=580.1",
                "libnvsdm=580.1",
                "nvlsm",
                "infiniband-diags",
            ),
        ),
        (ROCKY_9, ("imex", "580", "580.1"), ("nvidia-imex=580.1",)),
    ],
)
def test_fabric(os: OsFacts, arguments: tuple[str, ...], packages: tuple[str, ...]) -> None:
    assert of(os).fabric_packages(*arguments) == packages


def test_the_branch_is_kept_by_package_stream_or_lock() -> None:
    nvidia = replace(DKMS, source="nvidia-repository", branch="580")
    assert not of(TRIXIE).prepare_branch(nvidia)
    pinned = of(TRIXIE).prepare_branch(replace(nvidia, pin=("nvidia-driver-pinning-580",)))
    assert pinned.commands[0].argv[-1] == "nvidia-driver-pinning-580"
    streams = [
        of(ROCKY_9).prepare_branch(replace(nvidia, flavour=flavour, route=route)).commands[1].argv
        for flavour, route in (
            (Flavour.OPEN, "dkms"),
            (Flavour.PROPRIETARY, "dkms"),
            (Flavour.PROPRIETARY, "prebuilt"),
        )
    ]
    assert [argv[-1] for argv in streams] == [
        "nvidia-driver:580-open",
        "nvidia-driver:580-dkms",
        "nvidia-driver:580",
    ]
    locked = of(RHEL_10).prepare_branch(nvidia)
    assert locked.commands[0].argv[-1] == "python3-dnf-plugin-versionlock"
    # As a pattern: else what is installed now would be locked, and the new release shut out.
    assert locked.commands[1].argv[-4:] == ("versionlock", "add", "--raw", "*nvidia*-580.*")
    assert locked.undo[0].argv[-3:] == ("versionlock", "delete", "*nvidia*-580.*")
    assert len(of(FEDORA).prepare_branch(nvidia).commands) == 1
    assert not of(ROCKY_9).prepare_branch(DKMS)


def test_what_a_repository_is_preferred_for() -> None:
    """A pin of a branch must be read before ours, and a repository for one thing gives no other."""

    def preference(name: str) -> str:
        change = of(NOBLE).add_repository(replace(REPOSITORY, id=name), NOBLE)
        (write,) = (w for w in change.writes if "preferences.d" in w.path)
        # apt reads in the order of names, and the first record that matches a version counts.
        assert Path(write.path).name > "nvidia-driver-pinning-580"
        return write.content

    assert "Package: *nvidia*" in preference("nvidia-cuda")
    assert "Package: nvidia-container* libnvidia-container*\n" in preference("nvidia-container")
    assert preference("nvidia-cuda-nvlsm").endswith(
        'Package: *\nPin: origin "repo.example.org"\nPin-Priority: 100\n'
    )


@pytest.mark.process
@pytest.mark.parametrize(("name", "chosen"), [("zz-ours", "580.1-1"), ("aa-ours", "620.1-1")])
def test_apt_obeys_the_pin_that_it_reads_first(name: str, chosen: str, tmp_path: Path) -> None:
    """Why the name of our preferences file matters; asked of apt itself."""
    assert shutil.which("apt-cache"), "this test needs apt"
    for folder in ("repo", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    packages = (
        f"Package: nvidia-x\nSource: nvidia-x\nVersion: {version}\nArchitecture: all\n"
        f"Maintainer: x\nFilename: ./{version}.deb\nSize: 1\nSHA256: {'0' * 64}\n"
        "Description: x\n"
        for version in ("580.1-1", "620.1-1")
    )
    (tmp_path / "repo" / "Packages").write_text("\n".join(packages))
    (tmp_path / "status").touch()
    etc = tmp_path / "etc"
    (etc / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repo ./\n")
    pins = etc / "preferences.d"
    (pins / name).write_text('Package: *nvidia*\nPin: origin ""\nPin-Priority: 600\n')
    (pins / "nvidia-driver-pinning-580").write_text(
        "Package: src:*nvidia*:any\nPin: version 580.*\nPin-Priority: 1000\n"
    )
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc "{etc}";\nDir::State "{tmp_path}/state";\nDir::Cache "{tmp_path}/cache";\n'
        f'Dir::State::status "{tmp_path}/status";\n'
    )
    env = {"PATH": environ["PATH"], "APT_CONFIG": f"{tmp_path}/apt.conf", "LC_ALL": "C.UTF-8"}
    subprocess.run(["apt-get", "update", "-q"], env=env, check=True, capture_output=True)
    policy = subprocess.run(
        ["apt-cache", "policy", "nvidia-x"], env=env, check=True, capture_output=True, text=True
    )
    assert f"Candidate: {chosen}\n" in policy.stdout


@pytest.mark.process
@pytest.mark.parametrize("ours", [True, False])
def test_apt_installs_one_version_whole_by_our_preference(ours: bool, tmp_path: Path) -> None:
    """Names of NVIDIA's repository for Debian; the dependencies of a driver ask for its own version."""
    exact = replace(
        DKMS,
        source="nvidia-repository",
        version="580.178.04",
        package_version="",
        kernel_package="nvidia-kernel-open-dkms",
        packages=("nvidia-driver-cuda", "nvidia-kernel-open-dkms"),
        pin=("nvidia-driver-pinning-580",),
    )
    for folder in ("repo", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    depends = {"nvidia-driver-cuda": "libcuda1", "nvidia-kernel-open-dkms": "nvidia-kernel-support"}
    names = ("libcuda1", "nvidia-kernel-support", *depends)
    packages = (
        f"Package: {name}\nSource: nvidia-graphics-drivers\nVersion: {version}\nArchitecture: all\n"
        + (f"Depends: {depends[name]} (= {version})\n" if name in depends else "")
        + f"Maintainer: x\nFilename: ./{name}_{version}.deb\nSize: 1\nSHA256: {'0' * 64}\n"
        "Description: x\n"
        for version in ("580.126.09-1", "580.178.04-1", "580.190.01-1", "620.1-1")
        for name in names
    )
    (tmp_path / "repo" / "Packages").write_text("\n".join(packages))
    (tmp_path / "status").touch()
    etc = tmp_path / "etc"
    (etc / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repo ./\n")
    (etc / "preferences.d" / "nvidia-driver-pinning-580").write_text(
        "Package: src:*nvidia*:any\nPin: version 580.*\nPin-Priority: 1000\n"
    )
    (write,) = of(TRIXIE).prepare_branch(exact).writes
    if ours:
        (etc / "preferences.d" / Path(write.path).name).write_text(write.content)
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc "{etc}";\nDir::State "{tmp_path}/state";\nDir::Cache "{tmp_path}/cache";\n'
        f'Dir::State::status "{tmp_path}/status";\n'
    )
    env = {"PATH": environ["PATH"], "APT_CONFIG": f"{tmp_path}/apt.conf", "LC_ALL": "C.UTF-8"}
    subprocess.run(["apt-get", "update", "-q"], env=env, check=True, capture_output=True)
    manager = of(TRIXIE).manager
    argv = manager.simulate(of(TRIXIE).driver_packages(exact, ("6.12.107+deb13-amd64",)))
    done = subprocess.run(argv, env=env, check=False, capture_output=True, text=True)
    resolution = manager.parse_simulation(done.returncode, done.stdout + done.stderr)
    if ours:
        assert sorted(resolution.installs) == sorted((name, "580.178.04-1") for name in names)
    else:
        # Why the preference is needed (apt before 3.0; later ones find the way by themselves).
        assert not resolution.ok or {v for _, v in resolution.installs} == {"580.178.04-1"}


@pytest.mark.process
@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("installed 580.178.04-1", "nvidia-fabricmanager=580.178.04-* nvlsm"),
        ("installed 1:580.95.05-0ubuntu1", "nvidia-fabricmanager=580.95.05-* nvlsm"),
        ("config-files 580.95.05-1", ""),
    ],
)
def test_apt_installs_what_matches_the_module(told: str, asked: str, tmp_path: Path) -> None:
    change = of(TRIXIE).install_following(
        replace(DKMS, kernel_package="nvidia-kernel-open-dkms"),
        ("nvidia-fabricmanager=", "nvlsm"),
        (),
    )
    for name, text in (("dpkg-query", f"echo '{told}'"), ("apt-get", 'echo "$@" >>"$LOG"')):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    script = tmp_path / "install-matching.sh"
    script.write_text(change.writes[0].content)
    argv = change.commands[0].argv
    log = tmp_path / "log"
    env = {"PATH": f"{tmp_path}:{environ['PATH']}", "LOG": str(log)}
    done = subprocess.run(["sh", str(script), *argv[2:]], env=env, capture_output=True, check=False)
    assert (done.returncode == 0) == bool(asked)
    assert (log.read_text().strip().endswith(f"--allow-downgrades {asked}")) if asked else True


def test_ready_made_modules_follow_their_line() -> None:
    def metas(os_facts: OsFacts, release: str) -> tuple[str, ...]:
        return of(os_facts).module_meta_packages(PREBUILT, release, EMPTY)

    stem = "linux-modules-nvidia-580-server-open"
    assert metas(NOBLE, "6.8.0-87-generic") == (f"{stem}-generic",)
    assert metas(NOBLE, "6.17.0-40-generic") == (f"{stem}-generic-hwe-24.04",)
    assert metas(NOBLE, "6.17.0-1018-nvidia-64k") == (f"{stem}-nvidia-64k-hwe-24.04",)
    assert metas(NOBLE, "6.17.0-1010-aws") == (f"{stem}-aws",)
    lts = replace(
        EMPTY, packages=PackageFacts(installed=(Package("linux-image-aws-lts-24.04", "6.8.0.1"),))
    )
    assert of(NOBLE).module_meta_packages(PREBUILT, "6.8.0-1040-aws", lts) == ()


def test_guard_holds_the_whole_driver_with_the_kernel_metas() -> None:
    facts = having(
        "nvidia-open-kernel-dkms",
        "libcuda1:amd64",
        "libnvidia-ml1",
        "firmware-nvidia-gsp",
        "linux-image-amd64",
        "linux-headers-amd64",
        "linux-image-6.12.107+deb13-amd64",
        "nvidia-container-toolkit",
        "libnvidia-container1",
        "nvidia-driver-pinning-580",
        "cuda-keyring",
        "gcc",
    )
    assert of(TRIXIE).guard_packages(DKMS, facts) == (
        "firmware-nvidia-gsp",
        "libcuda1",
        "libnvidia-ml1",
        "linux-headers-amd64",
        "linux-image-amd64",
        "nvidia-open-kernel-dkms",
    )
    ubuntu = having(
        "linux-generic-hwe-24.04",
        "linux-headers-generic-hwe-24.04",
        "linux-image-6.14.0-35-generic",
        "linux-tools-common",
        "linux-modules-nvidia-580-server-open-generic",
    )
    assert of(NOBLE).guard_packages(PREBUILT, ubuntu) == (
        "linux-generic-hwe-24.04",
        "linux-headers-generic-hwe-24.04",
        "linux-modules-nvidia-580-server-open-generic",
    )
    rocky = having("kernel", "kernel-core", "kernel-headers", "kmod-nvidia-open-dkms", "bash")
    assert of(ROCKY_9).guard_packages(DKMS, rocky) == (
        "kernel",
        "kernel-core",
        "kmod-nvidia-open-dkms",
    )
    assert of(TRIXIE).guard_packages(DKMS, EMPTY) == ()


def test_unattended_upgrades_are_kept_off_by_a_file_of_our_own() -> None:
    change = of(TRIXIE).unattended_guard(("libcuda1", "libstdc++6"))
    (write,) = change.writes
    assert write.path.startswith("/etc/apt/apt.conf.d/52")
    assert '"^libcuda1$";' in write.content
    assert r'"^libstdc\+\+6$";' in write.content
    assert not of(TRIXIE).unattended_guard(())
    assert not of(ROCKY_9).unattended_guard(("kernel",))
