"""Single rungs: each cause from the facts that show it, and the look-alikes that it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.failures.titles import titles
from gpu_bringup.ladder import (
    cuda,
    devices,
    fabric,
    guard,
    headers,
    kernel,
    libraries,
    module,
    nvml,
    packages,
    platform,
    signature,
)
from gpu_bringup.ladder.build_errors import cause_of_build_error
from gpu_bringup.ladder.cuda_errors import ERRORS, explain
from gpu_bringup.model.enums import HeadersState, SecureBoot
from gpu_bringup.model.facts import (
    Certificate,
    DkmsBuild,
    Facts,
    Headers,
    Library,
    LogFacts,
    Package,
    PciDevice,
    Space,
    StorageFacts,
)
from gpu_bringup.model.gpu_facts import CudaDevice, CudaFacts, CudaPeer
from gpu_bringup.model.ladder import RungResult, State
from gpu_bringup.model.unknown import Unknown
from unit import make_facts as make

OLD = "6.12.90+deb13-amd64"
GIB = 1 << 30


def causes(result: RungResult) -> list[str]:
    return [item.cause for item in result.causes]


def with_kernel(facts: Facts, **changes: object) -> Facts:
    installed = (replace(make.make_kernel(), **changes),)
    return replace(facts, kernels=replace(facts.kernels, installed=installed))


def with_modules(facts: Facts, **changes: object) -> Facts:
    return replace(facts, modules=replace(facts.modules, **changes))


def with_gpu(facts: Facts, **changes: object) -> Facts:
    assert facts.nvml is not None and not isinstance(facts.nvml, Unknown)
    gpu = replace(facts.nvml.gpus[0], **changes)
    return replace(facts, nvml=replace(facts.nvml, gpus=(gpu,)))


# --- platform and packages -----------------------------------------------------------------------


def space(**free: int) -> StorageFacts:
    paths = {"/": 50 * GIB, "/boot": GIB, "/var": 50 * GIB, **{f"/{k}": v for k, v in free.items()}}
    return StorageFacts(tuple(Space(path, amount) for path, amount in paths.items()))


def test_room_is_wanted_only_while_something_is_to_be_built():
    tight = space(boot=200 << 20)
    fresh = replace(make.fresh(), storage=tight)
    built = replace(make.healthy(), storage=tight)
    assert causes(platform.check(make.context(fresh, make.TARGET))) == ["boot-partition-full"]
    assert platform.check(make.context(built, make.TARGET)).state is State.OK
    full = replace(make.healthy(), storage=space(boot=1 << 20))
    assert causes(platform.check(make.context(full))) == ["boot-partition-full"]


def test_a_container_without_a_driver_is_told_where_to_install():
    facts = make.fresh()
    facts = replace(facts, platform=replace(facts.platform, container="docker"))
    result = platform.check(make.context(facts))
    assert causes(result) == ["container-host-driver-absent"]
    assert "host" in result.summary


def test_modules_may_be_locked_after_the_driver_was_loaded():
    facts = make.healthy()
    facts = replace(facts, platform=replace(facts.platform, modules_loadable=False))
    assert platform.check(make.context(facts)).state is State.OK


def test_a_clock_in_1970_stops_an_installation_but_not_a_check():
    facts = make.fresh()
    facts = replace(facts, platform=replace(facts.platform, clock_plausible=False))
    assert causes(platform.check(make.context(facts, make.TARGET))) == ["clock-wrong"]
    assert platform.check(make.context(facts)).state is State.OK


def test_a_package_manager_at_work_is_waited_for():
    facts = make.healthy()
    busy = replace(facts.packages, interrupted=True, lock_owner="unattended-upgr")
    result = packages.check(make.context(replace(facts, packages=busy)))
    assert result.state is State.UNKNOWN
    assert "unattended-upgr" in result.summary


def test_a_hold_on_the_old_version_is_in_the_way():
    facts = make.healthy()
    held = tuple(Package(name, "535.261.03-1", "hi") for name in make.DRIVER_PACKAGES)
    facts = replace(facts, packages=replace(facts.packages, installed=held))
    facts = with_modules(facts, files=make.make_files(version="535.261.03"))
    ctx = make.context(facts, make.TARGET)
    assert "held-or-broken-packages" in causes(packages.check(ctx))
    assert "unhold-driver" in [step.id for step in packages.repair(ctx)]


# --- kernel, headers, module ---------------------------------------------------------------------


def test_a_kernel_that_is_not_there_cannot_be_prepared():
    target = replace(make.TARGET, kernels=("6.99.0-none",))
    assert causes(kernel.check(make.context(target=target))) == ["kernel-not-installed"]


def test_a_real_time_kernel_is_refused():
    facts = with_modules(with_kernel(make.healthy(), realtime=True), files=(), loaded_version=None)
    assert "preempt-rt-kernel" in causes(kernel.check(make.context(facts)))


def test_headers_of_another_release_are_told_apart():
    wrong = Headers(HeadersState.MISMATCH, "/lib/modules/x/build", OLD)
    facts = with_kernel(make.healthy(), headers=wrong)
    result = headers.check(make.context(facts))
    assert causes(result) == ["kernel-devel-mismatch"]
    assert OLD in result.causes[0].evidence[0].text
    assert "still has its module" in result.summary


def test_headers_that_do_not_follow_are_told_apart_from_missing_ones():
    facts = make.healthy()
    new = make.make_kernel(headers=False)
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=(new, make.make_kernel(OLD, running=False))),
        packages=replace(
            facts.packages,
            installed=tuple(p for p in facts.packages.installed if p.name != "linux-headers-amd64"),
        ),
    )
    assert causes(headers.check(make.context(facts))) == ["headers-meta-not-following"]


def test_a_fallback_kernel_with_its_module_needs_no_headers():
    facts = make.healthy()
    old = make.make_kernel(OLD, running=False, headers=False)
    facts = replace(facts, kernels=replace(facts.kernels, installed=(make.make_kernel(), old)))
    facts = with_modules(facts, files=make.make_files() + make.make_files(OLD))
    assert headers.check(make.context(facts)).state is State.OK


def test_prebuilt_modules_need_no_headers():
    target = replace(make.TARGET, package=replace(make.PACKAGE, route="prebuilt"))
    assert headers.check(make.context(make.fresh(), target)).state is State.SKIPPED


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("error: implicit declaration of function 'follow_pfn'", "dkms-build-api-break"),
        (
            "ERROR: modpost: GPL-incompatible module nvidia.ko uses GPL-only symbol '__rcu_read_lock'",
            "dkms-build-gpl-symbol",
        ),
        (
            "gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'",
            "gcc-mismatch",
        ),
        ("fatal error: error writing to /tmp/x.s: No space left on device", "dkms-disk-full"),
        ("*** Failed PREEMPT_RT sanity check. Bailing out! ***", "preempt-rt-kernel"),
    ],
)
def test_the_first_error_names_the_cause(text, cause):
    assert cause_of_build_error(text) == cause
    build = DkmsBuild("nvidia-current", make.VERSION, make.KERNEL, "failed", True, first_error=text)
    facts = with_modules(make.healthy(), files=(), loaded_version=None, dkms=(build,))
    result = module.check(make.context(facts))
    assert causes(result) == [cause]
    assert result.causes[0].evidence[0].text == text


def test_a_dkms_tree_without_source_is_broken():
    build = DkmsBuild("nvidia-current", make.VERSION, "", "broken", False)
    facts = with_modules(make.healthy(), files=(), loaded_version=None, dkms=(build,))
    assert causes(module.check(make.context(facts))) == ["dkms-tree-broken"]


def test_two_copies_of_different_versions_are_seen():
    files = make.make_files() + make.make_files(version="550.54.15")
    facts = with_modules(make.healthy(), files=files)
    assert "dkms-built-installed-diff" in causes(module.check(make.context(facts)))


def test_a_driver_older_than_the_gpu_is_seen():
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], pci_id="10de:2901")
    facts = replace(facts, pci=replace(facts.pci, gpus=(gpu,)))
    assert "gpu-not-supported-by-release" in causes(module.check(make.context(facts)))


# --- signature -----------------------------------------------------------------------------------


def unloaded(facts: Facts) -> Facts:
    return with_modules(facts, loaded=(), loaded_version=None)


def test_unsigned_modules_under_secure_boot():
    files = tuple(replace(f, signer=None, signature_key=None) for f in make.make_files())
    facts = unloaded(with_modules(make.healthy(), files=files))
    assert causes(signature.check(make.context(facts))) == ["sb-unsigned-module"]
    policy = replace(facts.secure_boot, state=SecureBoot.DISABLED)
    result = signature.check(make.context(replace(facts, secure_boot=policy)))
    assert causes(result) == ["kernel-lockdown"]


def test_a_key_that_is_not_enrolled():
    facts = unloaded(make.healthy())
    key = replace(facts.secure_boot.keys[0], enrolled=False)
    facts = replace(facts, secure_boot=replace(facts.secure_boot, keys=(key,), enrolled=()))
    assert causes(signature.check(make.context(facts))) == ["sb-mok-not-enrolled"]


def test_a_regenerated_key_of_the_same_name_is_another_key():
    facts = unloaded(make.healthy())
    new = Certificate("bb" * 20, make.SIGNER, "99:99")
    key = replace(facts.secure_boot.keys[0], certificate=new, enrolled=True)
    facts = replace(facts, secure_boot=replace(facts.secure_boot, keys=(key,), enrolled=(new,)))
    assert causes(signature.check(make.context(facts))) == ["sb-mok-not-enrolled"]


def test_the_distributions_own_signature_is_trusted():
    files = tuple(
        replace(f, signer="Canonical Ltd. Kernel Module Signing", signature_key="77:77")
        for f in make.make_files()
    )
    facts = unloaded(with_modules(make.healthy(), files=files))
    assert signature.check(make.context(facts)).state is State.OK
    refused = LogFacts(("Loading of module with unavailable key is rejected",))
    result = signature.check(make.context(replace(facts, log=refused)))
    assert causes(result) == ["sb-mok-not-enrolled"]


def test_a_prepared_kernel_must_be_signed_and_trust_is_seen_later():
    target = replace(make.TARGET, prepare_only=True)
    result = signature.check(make.context(unloaded(make.healthy()), target))
    assert result.state is State.OK
    assert "first boot" in result.summary


# --- devices, libraries, NVML --------------------------------------------------------------------


def test_missing_gsp_firmware_of_the_open_modules():
    from gpu_bringup.model.enums import Flavour

    facts = with_modules(make.healthy(), loaded_flavour=Flavour.OPEN)
    facts = replace(facts, nvml=None, devices=replace(facts.devices, firmware=("535.261.03",)))
    assert causes(devices.check(make.context(facts))) == ["gsp-firmware-missing"]


def library(path: str, version: str, stub: bool = False, soname: str = "libcuda.so.1") -> Library:
    return Library(soname, path, version, stub, path)


def with_libraries(*found: Library) -> Facts:
    facts = make.healthy()
    ml = library("/usr/lib/libnvidia-ml.so.1", make.VERSION, soname="libnvidia-ml.so.1")
    return replace(facts, libraries=replace(facts.libraries, libraries=(*found, ml)))


def test_a_stub_that_is_found_first():
    facts = with_libraries(
        library("/usr/local/cuda/lib64/stubs/libcuda.so.1", "", True),
        library("/usr/lib/libcuda.so.1", make.VERSION),
    )
    assert causes(libraries.check(make.context(facts))) == ["libcuda-stub"]
    steps = libraries.RUNG.repair(make.context(facts))
    moved = [c.argv for step in steps for c in step.commands if any("stubs" in w for w in c.argv)]
    assert moved and not any(argv[0] == "rm" for argv in moved)


def test_two_versions_are_duplicates_but_two_links_are_not():
    twice = with_libraries(
        library("/usr/lib/libcuda.so.1", make.VERSION), library("/opt/libcuda.so.1", "535.261.03")
    )
    assert causes(libraries.check(make.context(twice))) == ["duplicate-userspace-versions"]
    linked = with_libraries(
        library("/usr/lib/libcuda.so.1", make.VERSION), library("/lib/libcuda.so.1", make.VERSION)
    )
    assert libraries.check(make.context(linked)).state is State.OK


def test_libraries_newer_than_module_on_disk_and_loaded():
    facts = with_libraries(library("/usr/lib/libcuda.so.1", "550.200.01"))
    found = causes(libraries.check(make.context(facts)))
    assert found[0] == "driver-library-mismatch-stale-on-disk"


def test_a_gpu_that_nvml_leaves_out_is_named():
    facts = make.healthy()
    second = PciDevice("0000:07:00.0", "10de:2330", driver="nvidia")
    facts = replace(facts, pci=replace(facts.pci, gpus=(*facts.pci.gpus, second)))
    result = nvml.check(make.context(facts))
    assert causes(result) == ["gpu-missing-in-nvml"]
    assert "1 of 2" in result.summary and "0000:07:00.0" in result.summary


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"remapped_failed": True}, "xid-ecc-row-remap"),
        ({"remapped_pending": True}, "xid-ecc-row-remap"),
        ({"ecc_uncorrected": 3}, "xid-ecc-row-remap"),
        ({"pcie_width": 8, "pcie_width_max": 16}, "pcie-link-degraded"),
    ],
)
def test_an_unhealthy_gpu(change, cause):
    assert causes(nvml.check(make.context(with_gpu(make.healthy(), **change)))) == [cause]


@pytest.mark.parametrize(
    ("xid", "cause"), [(79, "xid-79-fallen-off-bus"), (119, "xid-119-gsp-timeout"), (13, None)]
)
def test_xid_lines_of_hardware_count_and_those_of_programs_do_not(xid, cause):
    line = f"NVRM: Xid (PCI:0000:06:00): {xid}, pid=7, name=python"
    result = nvml.check(make.context(replace(make.healthy(), log=LogFacts((line,)))))
    assert causes(result) == ([cause] if cause else [])


# --- fabric, CUDA, guard -------------------------------------------------------------------------


def hgx(**services: object) -> Facts:
    facts = make.healthy()
    switch = PciDevice("0000:01:00.0", "10de:22a3", pci_class="068000")
    return replace(
        facts,
        pci=replace(facts.pci, nvswitches=(switch,)),
        services=replace(facts.services, **services),
    )


@pytest.mark.parametrize(
    ("services", "cause"),
    [
        ({"fabric_manager": None}, "fabricmanager-not-running"),
        (
            {"fabric_manager": "550.54.15", "fabric_manager_running": True},
            "fabricmanager-version-mismatch",
        ),
        (
            {"fabric_manager": make.VERSION, "fabric_manager_running": False},
            "fabricmanager-not-running",
        ),
    ],
)
def test_an_nvswitch_board_needs_its_fabric_manager(services, cause):
    assert causes(fabric.check(make.context(hgx(**services)))) == [cause]


def test_nvlink5_needs_nvlsm_too():
    facts = hgx(fabric_manager=make.VERSION, fabric_manager_running=True, nvlsm=None)
    facts = replace(facts, pci=replace(facts.pci, nvlink5=True))
    assert causes(fabric.check(make.context(facts))) == ["nvlink5-prereqs-missing"]
    assert "nvlsm" in fabric.repair(make.context(facts))[0].packages


@pytest.mark.parametrize("number", [3, 34, 35, 100, 802, 803, 804, 999])
def test_each_error_number_has_words_and_a_known_cause(number):
    error = ERRORS[number]
    assert len(error.words) > 40 and error.cause in titles()
    result = cuda.check(make.context(replace(make.healthy(), cuda=CudaFacts(number))))
    assert result.state is State.BROKEN
    assert f"error {number}" in result.summary
    assert result.causes[0].cause == error.cause


def test_an_unlisted_error_number_is_said_to_be_so():
    assert "no entry" in explain(4711).words
    assert explain(4711).cause in titles()


def test_mig_without_instances_explains_error_100():
    facts = replace(with_gpu(make.healthy(), mig=True), cuda=CudaFacts(100))
    assert causes(cuda.check(make.context(facts))) == ["mig-state"]


def test_wrong_results_and_damaged_peer_access():
    device = CudaDevice(0, "H100", kernel_correct=False)
    wrong = replace(make.healthy(), cuda=CudaFacts(0, "12.4", 1, devices=(device,)))
    assert causes(cuda.check(make.context(wrong))) == ["gpu-wrong-results"]
    peer = CudaPeer(0, 1, True, False)
    damaged = replace(make.healthy(), cuda=CudaFacts(0, "12.4", 2, peers=(peer,)))
    assert causes(cuda.check(make.context(damaged))) == ["iommu-acs-p2p"]


def test_a_newer_major_toolkit_does_not_fit_and_a_newer_minor_does():
    facts = make.healthy()
    newer = replace(facts, toolkit=replace(facts.toolkit, cuda="13.0"))
    assert causes(cuda.check(make.context(newer))) == ["cuda-driver-too-old"]
    minor = replace(facts, toolkit=replace(facts.toolkit, cuda="12.9"))
    assert cuda.check(make.context(minor)).state is State.OK


def test_a_kernel_that_moves_without_its_headers_is_unguarded():
    facts = make.healthy()
    kept = tuple(p for p in facts.packages.installed if p.name != "linux-headers-amd64")
    facts = replace(facts, packages=replace(facts.packages, installed=kept))
    ctx = make.context(facts)
    assert causes(guard.check(ctx)) == ["headers-meta-not-following"]
    assert [step.id for step in guard.repair(ctx)] == ["headers-meta"]
