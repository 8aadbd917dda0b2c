"""collect: real records end to end, what fails, what hangs, and this very machine."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.facts.ask import all_unknown
from gpu_bringup.facts.collect import Observer, collect, observers, run_all
from gpu_bringup.model.enums import BootLoader, Flavour, InstallMethod, SecureBoot
from gpu_bringup.model.facts import Facts, LogFacts, PciFacts
from gpu_bringup.model.gpu_facts import CudaFacts
from gpu_bringup.model.unknown import Fact, Unknown
from unit.fakes import FakeHost

RECORDS = Path(__file__).parent.parent / "hosts"


def record(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RECORDS / name).read_text(encoding="utf-8"))
    return content


def unknowns(value: object) -> Iterator[str]:
    """The reasons of everything that is Unknown in some facts."""
    if isinstance(value, Unknown):
        yield value.reason
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from unknowns(getattr(value, item.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from unknowns(part)


@pytest.mark.parametrize(("name", "count"), [("h200-x1.json", 1), ("h200-x2.json", 2)])
def test_real_records(name: str, count: int) -> None:
    facts = collect(FakeHost.from_record(record(name)))
    assert facts.recorded
    assert not isinstance(facts.os, Unknown)
    assert (facts.os.id, facts.os.version, facts.os.arch) == ("ubuntu", "24.04", "x86_64")
    assert (facts.kernels.running, facts.kernels.installed) == ("6.18.44-cloud-gpu", ())
    assert facts.kernels.boot_loader is BootLoader.NONE
    assert facts.platform.modules_loadable is False
    assert "modules_disabled is 1" in facts.platform.modules_note
    assert facts.platform.virtualisation == "vm"
    assert isinstance(facts.platform.container, Unknown)
    assert not isinstance(facts.pci.gpus, Unknown)
    assert [gpu.pci_id for gpu in facts.pci.gpus] == ["10de:2335"] * count
    assert {gpu.driver for gpu in facts.pci.gpus} == {"nvidia"}
    assert all(isinstance(gpu.link_width_max, Unknown) for gpu in facts.pci.gpus)
    assert facts.pci.nvswitches == ()
    assert facts.secure_boot.state is SecureBoot.UNSUPPORTED
    assert facts.secure_boot.enforced is True
    assert facts.packages.manager == "apt"
    assert facts.packages.method is InstallMethod.OUTSIDE
    assert facts.modules.files == ()
    assert facts.modules.dkms == ()
    assert (facts.modules.loaded_version, facts.modules.loaded_flavour) == (
        "580.159.04",
        Flavour.OPEN,
    )
    assert facts.devices.device_file_mode == 0o666
    assert not isinstance(facts.libraries.libraries, Unknown)
    first = {item.soname: item for item in reversed(facts.libraries.libraries)}
    assert {item.version for item in first.values()} == {"580.159.04"}
    assert facts.nvml is not None
    assert not isinstance(facts.nvml, Unknown)
    assert (facts.nvml.driver_version, facts.nvml.cuda_version) == ("580.159.04", "13.0")
    assert [gpu.bus_id for gpu in facts.nvml.gpus] == [gpu.bus_id for gpu in facts.pci.gpus]
    assert facts.cuda is not None
    assert not isinstance(facts.cuda, Unknown)
    assert (facts.cuda.init, facts.cuda.device_count) == (0, count)
    assert facts.platform.cpu_vgpu_guest is False
    assert (facts.toolkit.cuda, facts.toolkit.path) == ("13.0", "/usr/local/cuda")
    assert not any("failed" in reason for reason in unknowns(facts))


def test_a_record_read_as_the_product_reads_it_gives_the_same() -> None:
    from gpu_bringup.hosts.recorded import RecordedHost

    facts = collect(RecordedHost.from_file(RECORDS / "h200-x2.json"))
    assert facts.packages.method is InstallMethod.OUTSIDE
    assert facts.kernels.running == "6.18.44-cloud-gpu"
    assert not any("failed" in reason for reason in unknowns(facts))


@pytest.mark.parametrize("complete", [True, False])
def test_a_host_that_says_nothing(complete: bool) -> None:
    facts = collect(FakeHost(complete=complete, user=Unknown("x"), clock=Unknown("x")))
    assert isinstance(facts.os, Unknown)
    assert not any("failed" in reason for reason in unknowns(facts))
    if not complete:
        assert isinstance(facts.pci.gpus, Unknown)
        assert isinstance(facts.packages.method, Unknown)


def test_six_processes_at_most_on_debian() -> None:
    host = FakeHost(
        files={
            "/etc/os-release": "ID=debian\n",
            "/usr/bin/apt-get": "",
            "/var/lib/dpkg/status": "",
            "/lib/modules/6.1.0-50-amd64/updates/dkms/nvidia.ko": "",
            "/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n",
            "/proc/sys/kernel/arch": "x86_64\n",
        },
        kind="local",
    )
    collect(host)
    assert sorted(argv[0] for argv in host.asked) == ["ldconfig", "modinfo"]


def test_an_observer_that_fails_loses_only_its_own_facts() -> None:
    class Broken(FakeHost):
        def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
            if path == "/sys/bus/pci/devices":
                raise IndexError("list index out of range")
            return super().list_dir(path)

    facts = collect(Broken(files={"/etc/os-release": "ID=debian\nVERSION_ID=12\n"}))
    assert facts.pci == all_unknown(
        PciFacts, "looking at pci failed: IndexError: list index out of range"
    )
    assert not isinstance(facts.os, Unknown)


def test_an_observer_that_hangs_is_given_up_and_what_needs_it_too() -> None:
    release = threading.Event()

    class Stuck(FakeHost):
        def kernel_log(self) -> Fact[str]:
            release.wait(20)
            return ""

    seen: list[str] = []
    start = time.monotonic()
    facts = collect(
        Stuck(files={"/etc/os-release": "ID=debian\n"}),
        deadline=0.5,
        done=lambda name, seconds: seen.append(name),
    )
    release.set()
    assert time.monotonic() - start < 5
    assert facts.log == LogFacts(Unknown("looking at log took longer than 0.5 s and was given up"))
    assert isinstance(facts.secure_boot.state, Unknown)
    assert not isinstance(facts.os, Unknown)
    assert "log" not in seen
    assert "os" in seen


def test_every_need_is_an_observer_and_each_is_reported_once() -> None:
    chosen = observers(deep=False)
    names = [observer.name for observer in chosen]
    assert all(need in names for observer in chosen for need in observer.needs)
    seen: list[str] = []
    collect(FakeHost(), done=lambda name, seconds: seen.append(name))
    assert sorted(seen) == sorted(names)


def test_results_are_there_before_what_needs_them_starts() -> None:
    chosen = (
        Observer("second", lambda host, known: known["first"] + 1, needs=("first",)),
        Observer("first", lambda host, known: 1),
    )
    assert run_all(FakeHost(), chosen, 5.0) == {"first": 1, "second": 2}


@pytest.mark.parametrize("seed", range(20))
def test_hostile_records(seed: int) -> None:
    """A real record whose texts are cut, mixed up and sprinkled with junk breaks no observer."""
    chance = random.Random(seed)
    data = record("h200-x1.json")
    texts = list(data["files"].values())

    def spoil(text: str) -> str:
        cut = text[: chance.randrange(len(text) + 1)]
        return chance.choice(
            (cut, cut + "\0\ufffd\n" * 9, text[::-1], chance.choice(texts), "", "9" * 400)
        )

    for path in data["files"]:
        if chance.random() < 0.6:
            data["files"][path] = spoil(data["files"][path])
    for answer in data["commands"].values():
        answer["output"] = spoil(answer["output"])
    host = FakeHost.from_record(
        {**data, "commands": {**data["commands"], "id -u": {"exit": 0, "output": "0"}}}
    )
    facts = collect(host)
    assert isinstance(facts, Facts)
    assert not any("failed" in reason and "looking at" in reason for reason in unknowns(facts))


@pytest.mark.parametrize(
    "raw", [{"gpus": [{"index": None, "pci_bus_id": "zz:yy:xx"}]}, {"gpus": {}}, {"error": None}]
)
def test_hostile_probe_answers_do_not_take_other_facts_along(raw: dict[str, Any]) -> None:
    facts = collect(FakeHost(nvml_answer=raw, cuda_answer={"cuInit": 0, "peers": [{"source": {}}]}))
    assert isinstance(facts.cuda, CudaFacts)
    assert facts.cuda.peers == () and facts.cuda.notes
    assert facts.pci.gpus == ()


@pytest.mark.process
def test_this_machine_is_looked_at_with_few_processes() -> None:
    from gpu_bringup.hosts.local import LocalHost

    host = LocalHost()
    facts = collect(host)
    assert host.processes_started <= 6
    assert not isinstance(facts.os, Unknown)
    assert not isinstance(facts.kernels.running, Unknown)
    assert not isinstance(facts.pci.gpus, Unknown)
    assert not any("failed" in reason and "looking at" in reason for reason in unknowns(facts))
