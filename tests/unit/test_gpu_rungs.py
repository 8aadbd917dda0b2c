"""What the driver's own answers prove and don't prove: nothing is called healthy that nobody saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.facts.cuda import parse_cuda
from gpu_bringup.facts.log import driver_lines
from gpu_bringup.facts.nvml import parse_nvml
from gpu_bringup.ladder import cuda, fabric, libraries, nouveau, nvml, signature
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.facts import Facts, Library, LibraryFacts, LogFacts, PciDevice
from gpu_bringup.model.gpu_facts import CudaDevice, CudaFacts, CudaPeer, NvmlFacts
from gpu_bringup.model.ladder import RungResult, State
from gpu_bringup.model.unknown import Unknown
from unit import make_facts as make

XID = "NVRM: Xid (PCI:0000:06:00): "


def causes(result: RungResult) -> list[str]:
    return [item.cause for item in result.causes]


def with_log(*lines: str) -> Facts:
    return replace(make.healthy(), log=LogFacts(driver_lines("\n".join(lines))))


def with_gpu(facts: Facts, **changes: object) -> Facts:
    assert isinstance(facts.nvml, NvmlFacts)
    gpu = replace(facts.nvml.gpus[0], **changes)
    return replace(facts, nvml=replace(facts.nvml, gpus=(gpu,)))


def with_pci(**changes: object) -> Facts:
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], **changes)
    return replace(facts, pci=replace(facts.pci, gpus=(gpu,)))


# --- Xid lines -----------------------------------------------------------------------------------


def test_a_log_that_cannot_be_read_is_not_called_healthy():
    facts = replace(make.healthy(), log=LogFacts(Unknown("dmesg: not permitted")))
    result = nvml.check(make.context(facts))
    assert result.state is State.OK
    assert "healthy" not in result.summary
    assert "Xid" in result.summary and "not permitted" in result.summary
    assert "healthy" in nvml.check(make.context()).summary


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        *((n, "xid-ecc-row-remap") for n in (48, 63, 64, 92, 94, 95, 140, 171)),
        *((n, "xid-74-nvlink") for n in (74, 121, 136, *range(144, 151))),
        *((n, "xid-gpu-fault") for n in (62, 143, 154)),
        *((n, "xid-119-gsp-timeout") for n in (119, 120)),
        (79, "xid-79-fallen-off-bus"),
    ],
)
def test_each_xid_of_hardware_has_its_cause(number, cause):
    result = nvml.check(make.context(with_log(f"{XID}{number}, pid=1, name=x")))
    assert causes(result) == [cause]
    assert f"Xid {number}" in result.summary


@pytest.mark.parametrize("number", [13, 31, 43, 45])
def test_xids_of_programs_alone_break_nothing(number):
    result = nvml.check(make.context(with_log(f"{XID}{number}, pid=7, name=python")))
    assert result.state is State.OK


@pytest.mark.parametrize("count", [3000, 9000])
def test_an_early_fatal_xid_is_not_pushed_out_by_those_of_programs(count):
    lines = [f"{XID}79, GPU has fallen off the bus.", *[f"{XID}31, pid=1"] * count]
    assert causes(nvml.check(make.context(with_log(*lines)))) == ["xid-79-fallen-off-bus"]
    assert len(driver_lines("\n".join(lines))) < 6000


@pytest.mark.parametrize(
    "line",
    [
        "NVRM: GPU 0000:06:00.0: GPU has fallen off the bus.",
        "NVRM: fallen off the bus and is not responding to commands.",
    ],
)
def test_a_gpu_that_fell_off_the_bus_is_seen_without_a_number(line):
    assert causes(nvml.check(make.context(with_log(line)))) == ["xid-79-fallen-off-bus"]


def test_a_recovery_action_is_named_until_it_is_done():
    asked = f"{XID}154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)"
    done = f"{XID}154, GPU recovery action changed from 0x2 (Node Reboot Required) to 0x0 (None)"
    assert "Node Reboot Required" in nvml.check(make.context(with_log(asked))).summary
    assert nvml.check(make.context(with_log(asked, done))).state is State.OK


def test_every_gpu_of_one_cause_keeps_its_line():
    second = "NVRM: Xid (PCI:0000:07:00): 48, pid=1"
    result = nvml.check(make.context(with_log(f"{XID}48, pid=1", second)))
    assert {item.text for item in result.causes[0].evidence} == {f"{XID}48, pid=1", second}


# --- NVML ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state", "found"),
    [
        ("GPU is lost", State.BROKEN, ["xid-79-fallen-off-bus"]),
        ("Unknown Error", State.BROKEN, ["gpu-missing-in-nvml"]),
        ("Insufficient Permissions", State.UNKNOWN, []),
    ],
)
def test_a_gpu_that_nvml_counts_but_cannot_read(error, state, found):
    facts = make.healthy()
    raw = {"driver_version": make.VERSION, "gpus": [], "failed": [{"index": 1, "error": error}]}
    parsed = parse_nvml(raw)
    assert isinstance(parsed, NvmlFacts) and isinstance(facts.nvml, NvmlFacts)
    assert parsed.failed == (f"GPU 1: {error}",)
    result = nvml.check(
        make.context(replace(facts, nvml=replace(facts.nvml, failed=parsed.failed)))
    )
    assert (result.state, causes(result)) == (state, found)
    assert error in result.summary


def test_a_narrow_link_is_seen_in_sysfs_where_nvml_gives_no_maximum():
    narrow = with_pci(link_width=4, link_width_max=16)
    assert causes(nvml.check(make.context(narrow))) == ["pcie-link-degraded"]
    told = with_gpu(narrow, pcie_width=16, pcie_width_max=16)
    assert nvml.check(make.context(told)).state is State.OK
    odd = with_pci(link_width=16, link_width_max=255)
    assert nvml.check(make.context(odd)).state is State.OK


# --- libraries -----------------------------------------------------------------------------------


def nameless(**changes: object) -> Facts:
    reason = Unknown("libcuda.so.1 carries no version in its name")
    found = tuple(
        Library(name, f"/usr/lib/{name}", reason) for name in ("libcuda.so.1", "libnvidia-ml.so.1")
    )
    return replace(make.healthy(), libraries=LibraryFacts(found), **changes)


def test_a_version_that_is_not_known_is_not_filled_in():
    result = libraries.check(make.context(nameless()))
    assert result.state is State.OK
    assert "version not known" in result.summary
    assert "as the loaded module" not in result.summary
    silent = libraries.check(make.context(nameless(nvml=Unknown("no answer"))))
    assert silent.state is State.UNKNOWN


def test_the_file_that_cuda_loaded_tells_the_version():
    good = CudaFacts(0, "12.4", 1, f"/opt/libcuda.so.{make.VERSION}")
    result = libraries.check(make.context(nameless(cuda=good)))
    assert f"libcuda {make.VERSION}, as the loaded module" in result.summary
    old = CudaFacts(0, "12.4", 1, "/opt/libcuda.so.535.261.03")
    result = libraries.check(make.context(nameless(cuda=old)))
    assert result.state is State.BROKEN
    assert result.causes[0].cause.startswith("driver-library-mismatch")


def test_nvml_of_another_version_than_the_module_is_a_mismatch():
    facts = make.healthy()
    assert isinstance(facts.nvml, NvmlFacts)
    facts = replace(facts, nvml=replace(facts.nvml, driver_version="535.261.03"))
    assert causes(libraries.check(make.context(facts))) == ["driver-library-mismatch"]
    unlisted = replace(facts, libraries=LibraryFacts(Unknown("no ldconfig")))
    assert causes(libraries.check(make.context(unlisted))) == ["driver-library-mismatch"]


# --- who holds the GPUs --------------------------------------------------------------------------


@pytest.mark.parametrize("method", [InstallMethod.OUTSIDE, InstallMethod.DISTRIBUTION])
@pytest.mark.parametrize(
    ("driver", "cause"), [(None, "gpu-not-bound"), ("vfio-pci", "gpu-bound-to-vfio")]
)
def test_a_gpu_that_the_loaded_driver_does_not_hold(method, driver, cause):
    facts = with_pci(driver=driver)
    facts = replace(facts, packages=replace(facts.packages, method=method))
    result = nouveau.check(make.context(facts))
    assert causes(result) == [cause]
    assert make.BUS in result.summary


def test_a_driver_that_cannot_be_seen_is_said_to_be_so():
    facts = with_pci(driver=Unknown("not permitted"))
    outside = replace(
        facts,
        packages=replace(facts.packages, method=InstallMethod.OUTSIDE),
        modules=replace(facts.modules, blacklisted=()),
    )
    # NVML lists it: then nvidia holds it, whatever sysfs lets be read.
    assert "holds every GPU" in nouveau.check(make.context(outside)).summary
    result = nouveau.check(make.context(replace(outside, nvml=Unknown("no answer"))))
    assert result.state is State.UNKNOWN
    assert "not permitted" in result.summary


def test_before_the_driver_is_loaded_no_gpu_can_be_held():
    facts = make.fresh()
    facts = replace(facts, modules=replace(facts.modules, blacklisted=("nouveau /etc/x.conf:1",)))
    assert nouveau.check(make.context(facts)).state is State.OK


# --- signature -----------------------------------------------------------------------------------


def signed_by(signer: str, **secure: object) -> Facts:
    facts = make.healthy()
    files = tuple(replace(f, signer=signer, signature_key="AA:BB") for f in make.make_files())
    return replace(
        facts,
        modules=replace(facts.modules, files=files, loaded=(), loaded_version=None),
        secure_boot=replace(facts.secure_boot, keys=(), **secure),
    )


def test_a_strangers_signature_is_trusted_only_when_enrolled():
    result = signature.check(make.context(signed_by("Some Foreign Key", enrolled=())))
    assert causes(result) == ["sb-mok-not-enrolled"]
    vague = signed_by("Some Foreign Key", enrolled=Unknown("mokutil is missing"))
    assert signature.check(make.context(vague)).state is State.UNKNOWN
    (known,) = make.healthy().secure_boot.enrolled
    enrolled = (replace(known, subject="Some Foreign Key", serial="aa:bb"),)
    trusted = signed_by("Some Foreign Key", enrolled=enrolled)
    assert signature.check(make.context(trusted)).state is State.OK


@pytest.mark.parametrize("signer", ["Debian Secure Boot Signer 2022", "Canonical Ltd. Kernel"])
def test_a_distributions_own_signature_needs_no_enrolment(signer):
    assert signature.check(make.context(signed_by(signer, enrolled=()))).state is State.OK


# --- fabric --------------------------------------------------------------------------------------


def hgx(**services: object) -> Facts:
    facts = make.healthy()
    switch = PciDevice("0000:01:00.0", "10de:22a3", pci_class="068000")
    return replace(
        facts,
        pci=replace(facts.pci, nvswitches=(switch,)),
        services=replace(facts.services, **services),
    )


RUNNING = {"fabric_manager": make.VERSION, "fabric_manager_running": True}


def test_a_fabric_that_ended_with_an_error_is_broken():
    for facts in (make.healthy(), hgx(**RUNNING)):
        bad = with_gpu(facts, fabric_state="completed", fabric_status=5)
        assert causes(fabric.check(make.context(bad))) == ["fabric-failed"]
    good = with_gpu(hgx(**RUNNING), fabric_state="completed", fabric_status=0)
    assert fabric.check(make.context(good)).state is State.OK


def test_a_fabric_that_nobody_tells_of_is_not_known():
    hidden = hgx(fabric_manager=Unknown("denied"), fabric_manager_running=Unknown("denied"))
    result = fabric.check(make.context(hidden))
    assert result.state is State.UNKNOWN and "not known" in result.summary
    running = fabric.check(make.context(hgx(**RUNNING)))
    assert running.state is State.OK
    assert "NVML does not tell" in running.summary


def test_error_802_in_a_machine_without_switches_points_at_its_host():
    facts = replace(make.healthy(), cuda=CudaFacts(802))
    facts = replace(facts, platform=replace(facts.platform, virtualisation="kvm"))
    for rung in (fabric, cuda):
        result = rung.check(make.context(facts))
        assert causes(result) == ["fabricmanager-not-running"]
        assert "runs on the host" in result.summary


# --- CUDA ----------------------------------------------------------------------------------------


def deep(count: int, *devices: int, peers: tuple[CudaPeer, ...] = (), **more: str) -> Facts:
    proven = tuple(CudaDevice(index, "H100", kernel_correct=True) for index in devices)
    found = CudaFacts(0, "12.4", count, devices=proven, peers=peers, **more)
    return replace(make.healthy(), cuda=found)


def test_a_plain_look_says_only_what_it_proved():
    result = cuda.check(make.context())
    assert result.state is State.OK
    assert "starts" in result.summary and "--deep" in result.summary
    assert "usable" not in result.summary
    assert "usable" in cuda.check(make.context(deep(1, 0))).summary


def test_a_gpu_that_was_not_tested_is_not_proven():
    result = cuda.check(make.context(deep(2, 0)))
    assert result.state is State.UNKNOWN
    assert "GPU 1 of 2 not tested" in result.summary
    broken_off = cuda.check(make.context(deep(1, 0, error="cuDeviceGetName: 999")))
    assert broken_off.state is State.UNKNOWN and "999" in broken_off.summary


def test_peer_access_that_fails_or_was_not_proven():
    failed = CudaPeer(0, 1, True, error="cuCtxEnablePeerAccess: 719")
    result = cuda.check(make.context(deep(2, 0, 1, peers=(failed,))))
    assert causes(result) == ["iommu-acs-p2p"] and "719" in result.summary
    silent = cuda.check(make.context(deep(2, 0, 1, peers=(CudaPeer(0, 1, True),))))
    assert silent.state is State.UNKNOWN and "0 to 1" in silent.summary


def test_peer_entries_are_read_with_their_errors_and_without_trust():
    raw = {
        "cuInit": 0,
        "device_count": 2,
        "error_later": "cuX: 1",
        "devices": [{"index": "one", "kernel_correct": True}],
        "peers": [
            {"possible": True},
            7,
            {"source": 1, "target": 0, "possible": True, "error": "e"},
        ],
    }
    parsed = parse_cuda(raw)
    assert isinstance(parsed, CudaFacts)
    assert [(p.source, p.target, p.error) for p in parsed.peers] == [(1, 0, "e")]
    assert parsed.notes == ("results of peer access that could not be read: 2",)
    assert parsed.error == "cuX: 1"
    assert parsed.devices[0].index == 0


def test_fewer_gpus_in_cuda_blame_the_nodes_only_where_they_are_missing():
    facts = make.healthy()
    second = PciDevice("0000:07:00.0", "10de:2330", driver="nvidia")
    assert isinstance(facts.nvml, NvmlFacts)
    gpu = replace(facts.nvml.gpus[0], index=1, bus_id=second.bus_id)
    facts = replace(
        facts,
        pci=replace(facts.pci, gpus=(*facts.pci.gpus, second)),
        nvml=replace(facts.nvml, gpus=(*facts.nvml.gpus, gpu)),
    )
    assert causes(cuda.check(make.context(facts))) == ["device-nodes-missing"]
    nodes = ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")
    there = replace(facts, devices=replace(facts.devices, nodes=nodes))
    result = cuda.check(make.context(there))
    assert causes(result) == ["cuda-sees-fewer"] and "CUDA_VISIBLE_DEVICES" in result.summary


@pytest.mark.parametrize("most", ["NVML", "sysfs"])
def test_a_slow_link_is_held_against_its_best_width_not_the_narrow_one(most):
    device = CudaDevice(0, "H100", kernel_correct=True, host_to_device=13e9, device_to_host=13e9)
    facts = with_pci(link_width_max=16 if most == "sysfs" else Unknown("absent"))
    told = 16 if most == "NVML" else Unknown("not given")
    facts = with_gpu(facts, pcie_width=4, pcie_width_max=told, pcie_generation_max=5)
    facts = replace(facts, cuda=CudaFacts(0, "12.4", 1, devices=(device,)))
    assert causes(cuda.check(make.context(facts))) == ["host-link-slow"] * 2
