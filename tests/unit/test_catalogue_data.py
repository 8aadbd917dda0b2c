"""What the project's data must say, entry by entry."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.catalogue.loader import KINDS, load
from gpu_bringup.catalogue.lookup import architecture_of, branch_end, find_gpu, gpu_by_pci
from gpu_bringup.catalogue.schema import file_schema
from gpu_bringup.model.catalogue import Catalogue, DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import fill_kernels
from gpu_bringup.model.versions import branch_of, driver_key

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILES = Path(__file__).resolve().parents[2] / "profiles"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def packages(catalogue: Catalogue) -> list[tuple[str, DriverPackage]]:
    return [(f"{d.os_id}:{d.version}", p) for d in catalogue.distributions for p in d.drivers]


def test_every_entry_names_a_source() -> None:
    for path in PROFILES.rglob("*.toml"):
        for kind, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if kind in ("as_of", "source"):
                continue
            for entry in entries:
                assert entry["sources"], (path.name, entry)
                for package in entry["drivers"] if kind == "distribution" else ():
                    assert package["sources"], (path.name, package["id"])


def test_every_property_is_described() -> None:
    def look(schema: dict[str, Any], where: str) -> int:
        count = 0
        for name, item in schema.get("properties", {}).items():
            assert len(item.get("description", "x")) > 4 or name in KINDS, f"{where}.{name}"
            inner = item.get("items", {})
            if "properties" in inner:
                assert inner["additionalProperties"] is False
                count += look(inner, f"{where}.{name}")
            count += 1
        return count

    for kind in KINDS:
        assert look(file_schema(kind), kind) > 3


def test_no_name_means_two_boards(catalogue: Catalogue) -> None:
    owner: dict[str, str] = {}
    for gpu in catalogue.gpus:
        for name in (gpu.id, gpu.name, *gpu.aliases):
            plain = re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("nvidia")
            assert owner.setdefault(plain, gpu.id) == gpu.id, name


def test_boards_share_a_pci_id_only_where_the_subsystem_tells(catalogue: Catalogue) -> None:
    seen: dict[str, str] = {}
    for gpu in catalogue.gpus:
        for pci_id in gpu.pci_ids:
            if pci_id in seen:
                assert gpu.subsystem_ids, (gpu.id, seen[pci_id])
            seen[pci_id] = gpu.id


def test_a_boards_first_driver_is_not_older_than_its_architecture(catalogue: Catalogue) -> None:
    for gpu in catalogue.gpus:
        architecture = catalogue.architectures[gpu.architecture]
        assert gpu.compute_capability in architecture.compute_capabilities, gpu.id
        if gpu.first_driver is not None:
            first = int(branch_of(gpu.first_driver))
            assert first >= int(architecture.first_branch), gpu.id
            assert branch_of(gpu.first_driver) in catalogue.branches, gpu.id
        if architecture.open_modules == "required":
            assert gpu.open_modules == "required", gpu.id


@pytest.mark.parametrize(
    ("name", "pci_id", "first", "fabric"),
    [
        ("H100", "10de:2330", "525.85.05", "nvswitch-board"),
        ("NVIDIA H100 80GB HBM3", "10de:2330", "525.85.05", "nvswitch-board"),
        ("h100-sxm", "10de:2330", "525.85.05", "nvswitch-board"),
        ("H100 PCIe", "10de:2331", "520.56.06", "none"),
        ("NVIDIA H200", "10de:2335", "550.90.07", "nvswitch-board"),
        ("h800 pcie", "10de:2322", "525.105.17", "none"),
        ("H20-3e", "10de:232c", "535.216.03", "fabricmanager"),
        ("B200", "10de:2901", "570.86.15", "fabricmanager+nvlsm"),
        ("b300", "10de:3182", "580.82.07", "fabricmanager+nvlsm"),
        ("GB200", "10de:2941", "570.124.04", "imex"),
        ("nvidia-a100", "10de:20b2", None, "nvswitch-board"),
        ("NVIDIA A100-PCIE-40GB", "10de:20f1", None, "none"),
        ("Tesla V100-SXM2-32GB", "10de:1db5", None, "none"),
        ("L40S", "10de:26b9", "535.104.05", "none"),
        ("rtx pro 6000", "10de:2bb5", "575.57.08", "none"),
        ("RTX 5090 D v2", "10de:2b8c", "580.76.05", "none"),
    ],
)
def test_boards(
    catalogue: Catalogue, name: str, pci_id: str, first: str | None, fabric: str
) -> None:
    gpu = find_gpu(catalogue, name)
    assert gpu is not None
    assert gpu == gpu_by_pci(catalogue, pci_id)
    assert gpu.pci_ids[0] == pci_id
    assert gpu.first_driver == first
    assert gpu.fabric == fabric


@pytest.mark.parametrize(
    ("pci_id", "architecture"),
    [
        # Chips by the PCI ID database of 2026-10-24; most are in the compact table alone.
        ("10de:17c8", "maxwell"),
        ("10de:1b80", "pascal"),
        ("10de:1d81", "volta"),
        ("10de:1e04", "turing"),
        ("10de:2182", "turing"),
        ("10de:1ff0", "turing"),
        ("10de:20b9", "ampere"),
        ("10de:2206", "ampere"),
        ("10de:25b0", "ampere"),
        ("10de:2313", "hopper"),
        ("10de:28e0", "ada"),
        ("10de:2c05", "blackwell"),
        ("10de:2f04", "blackwell"),
        ("10de:3183", "blackwell-ultra"),
        ("10de:307f", "rubin"),
        # Functions that are no GPU, and chips of another kind, belong nowhere.
        ("10de:22a3", None),
        ("10de:1af1", None),
        ("10de:22ba", None),
        ("10de:1aef", None),
        ("10de:2f80", None),
        ("10de:2b00", "blackwell"),
        ("10de:1180", "kepler"),
    ],
)
def test_chips_are_placed_by_range(
    catalogue: Catalogue, pci_id: str, architecture: str | None
) -> None:
    found = architecture_of(catalogue, pci_id)
    gpu = gpu_by_pci(catalogue, pci_id)
    assert gpu is None or gpu.architecture == architecture
    assert (found.id if found else None) == architecture


def test_branches(catalogue: Catalogue) -> None:
    branches = catalogue.branches
    assert (branches["580"].type, branch_end(catalogue, "580")) == ("lts", date(2028, 6, 1))
    assert (branches["595"].type, branch_end(catalogue, "595")) == ("production", date(2027, 3, 1))
    assert branch_end(catalogue, "620") is None
    assert branch_end(catalogue, "999") is None
    for name in ("615", "620"):
        assert branches[name].type == "unknown"
        assert not branches[name].type_certain
    assert branches["620"].flavours == (Flavour.OPEN,)
    today = catalogue.as_of
    for branch in branches.values():
        ended = branch.end_of_support is not None and branch.end_of_support < today
        # Of branches that ended long ago no source read gives the day.
        assert ended == (branch.status == "ended") or not branch.type_certain, branch.id
        assert driver_key(branch.first_release) <= driver_key(branch.last_release), branch.id
        if branch.security_floor:
            assert branch_of(branch.security_floor) == branch.id


def test_versions_belong_to_known_branches(catalogue: Catalogue) -> None:
    for version, release in catalogue.releases.items():
        branch = catalogue.branches[branch_of(version)]
        # Of the data-centre releases: what was only published for everybody may be newer.
        if release.channel not in ("public", "beta"):
            assert driver_key(version) <= driver_key(branch.last_release), version
        assert release.released is None or release.released <= catalogue.as_of, version
        if release.security_fix and branch.security_floor:
            assert driver_key(version) >= driver_key(branch.security_floor), version


def test_a_limit_stands_once_for_a_flavour(catalogue: Catalogue) -> None:
    flavours: dict[str, set[Flavour | None]] = {}
    for limit in catalogue.kernel_limits:
        flavours.setdefault(limit.driver, set()).add(limit.flavour)
    for driver, found in flavours.items():
        assert found in ({None}, {Flavour.OPEN, Flavour.PROPRIETARY}), driver
    assert flavours["570.153.02"] == {Flavour.OPEN, Flavour.PROPRIETARY}


def test_breaks_of_stable_series(catalogue: Catalogue) -> None:
    breaks = {item.id: item for item in catalogue.stable_breaks}
    resize = {name: (good, bad) for name, good, bad in breaks["pci_resize_resource_4args"].series}
    assert resize == {
        "5.10": (259, 262),
        "5.15": (195, -1),
        "6.1": (176, 187),
        "6.6": (130, -1),
        "6.12": (96, 97),
        "6.18": (39, 40),
    }
    assert dict(breaks["pci_resize_resource_4args"].fixed)["570"] == "never"
    assert ("6.1", 75, 76) in breaks["pfn_valid_gpl"].series
    assert ("5.10", 209, 210) in breaks["pfn_valid_gpl"].series
    assert dict(breaks["pfn_valid_gpl"].healed) == {"6.1": 170, "6.8": 0}
    for item in catalogue.stable_breaks:
        for name, good, bad in item.series:
            assert (good, bad) == (-1, -1) or 0 < good < bad or bad == -1, (item.id, name)


def test_package_ids_are_unique_and_flavours_fit_the_branch(catalogue: Catalogue) -> None:
    ids = [package.id for _, package in packages(catalogue)]
    assert len(ids) == len(set(ids))
    for release, package in packages(catalogue):
        branch = catalogue.branches[package.branch]
        assert package.flavour in branch.flavours, (release, package.id)
        if package.version:
            assert branch_of(package.version) == package.branch, (release, package.id)


def test_no_driver_set_brings_a_desktop(catalogue: Catalogue) -> None:
    desktop = re.compile(
        r"xorg|xserver|libgl|wayland|settings|^nvidia-driver(-\d+.*)?$|cuda-drivers"
    )
    for release, package in packages(catalogue):
        for name in package.packages:
            assert not desktop.search(name), (release, package.id, name)


def test_nvidias_repositories_name_the_persistence_daemon(catalogue: Catalogue) -> None:
    for release, package in packages(catalogue):
        if package.source == "nvidia-repository" and not release.startswith("sles:"):
            # Ubuntu's packages of R535 have the daemon in nvidia-compute-utils-535.
            daemon = {"nvidia-persistenced", "nvidia-compute-utils-535"}
            assert daemon & set(package.packages), (release, package.id)


def test_suse_names_no_branch_that_its_package_does_not_keep(catalogue: Catalogue) -> None:
    every = [p for release, p in packages(catalogue) if release.startswith("sles:")]
    own = [p for p in every if p.source == "distribution"]
    assert own and not any(p.branch_certain for p in own)
    assert all(p.note for p in own)
    assert len({(p.id.partition("-")[0], p.kernel_package) for p in own}) == len(own)
    # NVIDIA's are asked for at an exact version; G06 ends with R580.
    assert all(p.branch_certain for p in every if p not in own)
    assert {p.branch for p in every if "G06" in p.kernel_package} == {"580"}


def test_dkms_of_enterprise_linux_needs_epel(catalogue: Catalogue) -> None:
    for release, package in packages(catalogue):
        if release.startswith("rhel:") and package.route == "dkms":
            assert package.components == ("crb", "epel"), package.id


def test_debians_own_packages(catalogue: Catalogue) -> None:
    own = {p.id: p for release, p in packages(catalogue) if release.startswith("debian:")}
    assert own["debian13-open"].package_version == "550.163.01-2"
    assert "nvidia-open-kernel-support" in own["debian13-open"].packages
    assert own["debian12-proprietary"].package_version == "535.309.01-0+deb12u1"
    assert own["debian12-proprietary"].module_names[0] == "nvidia-current"
    assert own["debian13-tesla-535"].module_names == (
        "nvidia-tesla-535",
        "nvidia-tesla-535-modeset",
        "nvidia-tesla-535-drm",
        "nvidia-tesla-535-uvm",
        "nvidia-tesla-535-peermem",
    )
    # Never behind a security update: what can't be installed beside it is not offered.
    assert "debian12-open" not in own


def test_repositories(catalogue: Catalogue) -> None:
    fingerprints = {item.id: item.fingerprints for item in catalogue.repositories.values()}
    assert fingerprints["nvidia-cuda"] == ("EB693B3035CD5710E231E123A4B469963BF863CC",)
    assert fingerprints["nvidia-cuda-debian13"] == ("02182E60104FCDC26EAE1B8597A5D4CB8793F200",)
    assert fingerprints["nvidia-cuda-rpm"] == ("610C7B14E068A878070DA4E99CD0A493D42D0685",)
    assert fingerprints["nvidia-container"] == ("C95B321B61E88C1809C4F759DDCAE044F796ECB0",)
    # Later releases have keys of their own; where the fingerprint isn't known, none is pinned.
    own = {
        d.nvidia_distro: {p.repository for p in d.drivers} - {""} for d in catalogue.distributions
    }
    for distro, last in (
        ("ubuntu2604", "14BAFBC7562AD710CA04E69905FBB6DA60DF8A40"),
        ("fedora44", "129994480EC63D2789BC98E490DFED2F73CD9B30"),
        ("suse16", "CF65941A859D4B4E6870F188736A284B3A8B5622"),
        ("rhel10", ""),
    ):
        assert own[distro] == {f"nvidia-cuda-{distro}"}
        assert fingerprints[f"nvidia-cuda-{distro}"] == ((last,) if last else ())
    families = {d.nvidia_distro: d.family for d in catalogue.distributions}
    for item in catalogue.distributions:
        for package in item.drivers:
            if not package.repository:
                continue
            assert item.nvidia_distro, item.name
            wanted = "apt" if families[item.nvidia_distro] in ("debian", "ubuntu") else "rpm"
            assert catalogue.repositories[package.repository].format == wanted, package.id


def test_frameworks_need_a_driver_that_serves_their_cuda(catalogue: Catalogue) -> None:
    minor = {t.version: t.minor_driver for t in catalogue.toolkits}
    for item in catalogue.frameworks:
        assert driver_key(item.driver_min) >= driver_key(minor[item.cuda]), (item.id, item.version)
    assert {item.id for item in catalogue.frameworks} >= {"vllm", "sglang", "torch"}


def test_scenarios(catalogue: Catalogue) -> None:
    assert set(catalogue.scenarios) == {
        "long-term-stable",
        "new-hardware",
        "kubernetes",
        "compliance",
    }
    for scenario in catalogue.scenarios.values():
        assert scenario.guide
        assert scenario.guide_difference
        assert not scenario.pinned_driver
        longest = max(
            (b.end_of_support for b in catalogue.branches.values() if b.end_of_support),
            default=None,
        )
        assert longest is not None
        months = (longest - catalogue.as_of).days / 30.5
        assert months > scenario.min_support_months, "no branch could ever satisfy it"


def test_toolkits_rise(catalogue: Catalogue) -> None:
    versions = [driver_key(item.version) for item in catalogue.toolkits]
    assert versions == sorted(versions)
    for item in catalogue.toolkits:
        assert driver_key(item.minor_driver) <= driver_key(item.driver), item.version


def test_kernels_are_filled_into_package_names() -> None:
    names = fill_kernels(("modules-{kernel}", "tool"), ("6.8.0-1", "6.8.0-2"))
    assert names == ("modules-6.8.0-1", "modules-6.8.0-2", "tool")
    assert fill_kernels(("modules-{kernel}",), ()) == ("modules-KERNEL",)
