"""Failures that facts alone name: containers, streams, flavours, keys of the kernel and of rpm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.facts import containers, libraries, packages, secure_boot, sources
from gpu_bringup.families.detect import family_for
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.decide import decider
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.model.enums import Flavour, HeadersState, SecureBoot
from gpu_bringup.model.facts import (
    Certificate,
    Headers,
    LoadedModule,
    OsFacts,
    PackageFacts,
    Repository,
)
from gpu_bringup.model.ladder import State
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.plan import make_plan
from unit import make_facts as make
from unit.fakes import FakeHost

DEBIAN = OsFacts("debian", "13", "Debian GNU/Linux 13", "trixie")
ROCKY = OsFacts("rocky", "9.5", "Rocky Linux 9", like=("rhel", "centos", "fedora"))


def told(facts, rung: str) -> list[str]:
    return [item.cause for item in climb(make.context(facts)).rung(rung).causes]


def with_toolkit(facts, **more):
    found = replace(facts.containers, toolkit_version="1.18.1", runtimes=("docker",), **more)
    return replace(facts, containers=replace(found, configured=("docker",)))


# --- containers


def test_docker_of_the_snap_store() -> None:
    host = FakeHost(files={"/snap/bin/docker": ""})
    found = containers.observe(host, PackageFacts(manager="apt", installed=()))
    assert found.docker_snap is True
    facts = with_toolkit(make.healthy())
    facts = replace(facts, containers=replace(facts.containers, runtimes=(), docker_snap=True))
    assert told(facts, "containers") == ["docker-snap"]


def test_a_docker_from_packages_beside_the_snaps_is_no_fault() -> None:
    host = FakeHost(files={"/snap/bin/docker": "", "/usr/bin/dockerd": ""})
    found = containers.observe(host, PackageFacts(manager="apt", installed=()))
    assert found.docker_snap is False


@pytest.mark.parametrize(
    ("config", "root", "there"),
    [
        ('[nvidia-container-cli]\nroot = "/run/nvidia/driver"\n', "/run/nvidia/driver", False),
        ('[nvidia-container-cli]\n#root = "/run/nvidia/driver"\n', "", True),
        ('[nvidia-container-cli]\nroot = "/"\n', "", True),
        ("\0\0{{{", "", True),
    ],
)
def test_the_toolkits_root(config: str, root: str, there: bool) -> None:
    host = FakeHost(files={"/etc/nvidia-container-runtime/config.toml": config})
    found = containers.observe(host, PackageFacts(manager="apt", installed=()))
    assert (found.driver_root, found.driver_root_there) == (root, there)


def test_a_root_that_is_not_there_is_the_cause() -> None:
    facts = with_toolkit(make.healthy(), driver_root="/run/nvidia/driver", driver_root_there=False)
    assert told(facts, "containers") == ["container-config-wrong-root"]
    there = with_toolkit(make.healthy(), driver_root="/run/nvidia/driver", driver_root_there=True)
    assert "container-config-wrong-root" not in told(there, "containers")


def test_libraries_outside_the_linkers_paths() -> None:
    path = "/opt/nvidia/lib64/libcuda.so.1"
    host = FakeHost(files={path: ""}, commands={"ldconfig -p": ""})
    found = libraries.observe(host)
    assert (found.libraries, found.unlisted) == ((), (path,))
    facts = replace(make.healthy(), libraries=found, nvml=None, cuda=None)
    assert told(facts, "libraries") == ["driver-libs-in-nonstandard-path"]
    bare = libraries.observe(FakeHost(commands={"ldconfig -p": ""}))
    facts = replace(facts, libraries=bare)
    assert told(facts, "libraries") == ["driver-libraries-missing"]


# --- the fabric manager nobody needs


def test_a_fabric_manager_without_switches_is_named_and_harmless() -> None:
    facts = make.healthy()
    services = replace(facts.services, fabric_manager="550.163.01", fabric_manager_running=False)
    facts = replace(facts, services=services, pci=replace(facts.pci, nvswitches=(), nvlink5=False))
    report = climb(make.context(facts))
    rung = report.rung("fabric")
    assert rung.state is State.SKIPPED
    assert [item.cause for item in rung.causes] == ["fabricmanager-not-needed"]
    assert report.root_cause is None or report.root_cause.id != "fabric"


# --- modules


def files(facts, **change):
    kept = tuple(replace(item, **change) for item in facts.modules.files)
    return replace(facts, modules=replace(facts.modules, files=kept))


def test_the_same_version_in_the_other_flavour() -> None:
    facts = files(make.healthy(), flavour=Flavour.OPEN)
    assert "dkms-version-check-noop" in told(facts, "module")
    assert "dkms-version-check-noop" not in told(make.healthy(), "module")
    vague = files(make.healthy(), flavour=Unknown("no licence"))
    assert "dkms-version-check-noop" not in told(vague, "module")


def test_a_module_of_another_minor_release() -> None:
    running, older = "5.14.0-570.12.1.el9_6.x86_64", "5.14.0-503.11.1.el9_5.x86_64"
    facts = make.healthy()
    kernel = replace(facts.kernels.installed[0], release=running)
    facts = replace(facts, kernels=replace(facts.kernels, running=running, installed=(kernel,)))
    refused = ("nvidia: disagrees about version of symbol module_layout",)
    path = f"/lib/modules/{running}/weak-updates/nvidia/nvidia.ko"
    facts = files(facts, kernel=running, vermagic=f"{older} SMP", path=path)
    assert "kmod-kabi-minor-upgrade" not in told(facts, "module"), "a link that loads is no fault"
    facts = replace(facts, log=replace(facts.log, lines=refused))
    assert told(facts, "module")[0] == "kmod-kabi-minor-upgrade"
    same = files(facts, vermagic="5.14.0-570.1.1.el9_6.x86_64 SMP")
    assert told(same, "module")[0] == "weak-modules-stale-kmod"


def test_programs_that_hold_the_old_module_are_named() -> None:
    facts = files(make.healthy(), version="560.1.01")
    held = LoadedModule("nvidia_uvm", make.VERSION, references=4, users=())
    modules = replace(facts.modules, loaded=(*facts.modules.loaded[:1], held))
    found = told(replace(facts, modules=modules), "loaded")
    assert "module-in-use" in found
    free = replace(held, references=0)
    modules = replace(facts.modules, loaded=(*facts.modules.loaded[:1], free))
    free_host = replace(facts, modules=modules)
    nothing = [item for item in free_host.modules.loaded if item.references > len(item.users)]
    assert ("module-in-use" in told(free_host, "loaded")) == bool(nothing)


def test_the_first_open_modules_and_a_chip_that_they_can_not_start() -> None:
    facts = files(make.healthy(), version="515.43.04", flavour=Flavour.OPEN)
    modules = replace(facts.modules, loaded=(), loaded_version=None, loaded_flavour=None)
    lines = ("NVRM: GPU 0000:06:00.0: RmInitAdapter failed! (0x22:0x56:751)",)
    facts = replace(facts, modules=modules, log=replace(facts.log, lines=lines), libraries=replace(
        facts.libraries, libraries=tuple(replace(i, version="515.43.04") for i in facts.libraries.libraries)
    ))  # fmt: skip
    assert told(facts, "loaded")[0] == "open-module-chip-variant-bug"
    later = files(facts, version="580.95.05")
    assert "open-module-chip-variant-bug" not in told(later, "loaded")


# --- package sources


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        (
            "[nvidia-driver]\nname=nvidia-driver\nstream=570-open\nprofiles=\nstate=enabled\n",
            "570-open",
        ),
        ("[nvidia-driver]\nname=nvidia-driver\nstream=570-open\nstate=disabled\n", ""),
        ("", ""),
        ("\0\0\0", ""),
    ],
)
def test_dnfs_module_stream(text: str, stream: str) -> None:
    files = {"/usr/bin/dnf": "", "/etc/dnf/modules.d/nvidia-driver.module": text}
    assert packages.observe(FakeHost(files=files), ROCKY).module_stream == stream


def test_another_stream_than_the_chosen_branchs_hides_its_packages() -> None:
    facts = make.healthy()
    entry = Repository(
        "/etc/yum.repos.d/cuda.repo", 1, "https://developer.download.nvidia.com/compute/cuda/repos/rhel9",
        signed_by="file:///key", format="yum",
    )  # fmt: skip
    owned = replace(facts.packages, manager="dnf", module_stream="550-dkms", repositories=(entry,))
    facts = replace(facts, os=ROCKY, packages=owned, modules=replace(facts.modules, files=()))
    package = replace(
        make.PACKAGE,
        source="nvidia-repository",
        repository="nvidia-cuda",
        branch="580",
        flavour=Flavour.OPEN,
        route="dkms",
    )
    target = replace(make.TARGET, package=package)
    family = family_for(ROCKY)
    ctx = Context(facts, make.make_catalogue(), target, family)
    found = climb(ctx).rung("packages")
    assert "dnf-modular-filtering" in [item.cause for item in found.causes]
    fitting = replace(facts, packages=replace(owned, module_stream="580-open"))
    found = climb(replace(ctx, facts=fitting)).rung("packages")
    assert "dnf-modular-filtering" not in [item.cause for item in found.causes]


KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia"
REPO = (
    "[cuda-rhel9]\nname=cuda\nbaseurl=https://developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64\n"
    "gpgkey={}\n"
)


@pytest.mark.parametrize(
    ("key", "expires", "state"),
    [
        (f"file://{KEY}", 1, "expired"),
        (f"file://{KEY}", None, "good"),
        ("file:///etc/pki/rpm-gpg/absent", None, "missing"),
        (f"file:///etc/pki/rpm-gpg/absent file://{KEY}", None, "good"),
    ],
)
def test_an_rpm_repositorys_key_file(key: str, expires: int | None, state: str) -> None:
    host = FakeHost(
        files={"/etc/yum.repos.d/cuda.repo": REPO.format(key), KEY: "key"},
        digests={f"keys {KEY}": {"keys": [{"expires": expires}]}},
    )
    (found,) = sources.observe(host, "dnf", ROCKY)
    assert found.key == state


def test_a_key_that_is_only_an_address_is_unknown() -> None:
    host = FakeHost(
        files={"/etc/yum.repos.d/cuda.repo": REPO.format("https://archive.example.org/k")}
    )
    (found,) = sources.observe(host, "dnf", ROCKY)
    assert isinstance(found.key, Unknown)


# --- headers that nobody offers any more


def without_headers():
    facts = make.healthy()
    headers = Headers(HeadersState.MISSING, detail="no such folder")
    kernel = replace(facts.kernels.installed[0], headers=headers)
    kernels = replace(facts.kernels, installed=(kernel,))
    return replace(facts, kernels=kernels, modules=replace(facts.modules, files=()))


def test_one_command_tells_missing_headers_from_ones_that_are_gone() -> None:
    ctx = make.context(without_headers())
    asked = decider(ctx, climb(ctx))
    assert asked is not None
    assert asked.argv == ("apt-cache", "policy", f"linux-headers-{make.KERNEL}")
    assert (
        asked.judge(0, "x:\n  Installed: (none)\n  Candidate: (none)\n")[0]
        == "kernel-devel-unavailable"
    )
    assert asked.judge(0, "")[0] == "kernel-devel-unavailable"
    assert (
        asked.judge(0, "x:\n  Installed: (none)\n  Candidate: 6.12.107-1\n")[0] == "headers-missing"
    )
    assert asked.judge(100, "E: broken") == ("", "")


# --- Key was rejected: four causes with one message

REFUSED = ("Loading of module with unavailable key is rejected",)
OWN = Certificate("aa" * 20, make.SIGNER, "01:02")


def refused(state: SecureBoot = SecureBoot.ENABLED, signer: str | None = make.SIGNER, **secure):
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], driver=None)
    serial = "01:02" if signer else None
    kept = tuple(replace(i, signer=signer, signature_key=serial) for i in facts.modules.files)
    modules = replace(
        facts.modules, files=kept, loaded=(), loaded_version=None, loaded_flavour=None
    )
    key = replace(facts.secure_boot.keys[0], exists=True, certificate=OWN, enrolled=True)
    found = replace(facts.secure_boot, state=state, keys=(key,), enrolled=(OWN,), **secure)
    return replace(
        facts, secure_boot=found, modules=modules, pci=replace(facts.pci, gpus=(gpu,)),
        log=replace(facts.log, lines=REFUSED),
    )  # fmt: skip


def unenrolled(facts):
    key = replace(facts.secure_boot.keys[0], enrolled=False)
    return replace(facts, secure_boot=replace(facts.secure_boot, keys=(key,), enrolled=()))


def test_unsigned() -> None:
    assert told(refused(signer=None), "signature")[0] == "sb-unsigned-module"


def test_not_enrolled() -> None:
    assert told(unenrolled(refused()), "signature") == ["sb-mok-not-enrolled"]


def test_wrong_keyring() -> None:
    assert told(refused(), "signature") == ["sb-key-not-trusted-by-kernel"]


def test_revoked_counts_more_than_enrolled() -> None:
    assert told(refused(revoked=(OWN,)), "signature") == ["sb-key-revoked"]
    other = Certificate("bb" * 20, "Somebody", "09:09")
    assert told(refused(revoked=(other,)), "signature") == ["sb-key-not-trusted-by-kernel"]
    assert told(refused(revoked=Unknown("x")), "signature") == ["sb-key-not-trusted-by-kernel"]


@pytest.mark.parametrize("state", [SecureBoot.UNSUPPORTED, SecureBoot.DISABLED])
@pytest.mark.parametrize(
    "policy", [{"sig_enforce": True}, {"lockdown": "integrity", "sig_enforce": False}]
)
def test_a_policy_without_secure_boot_is_not_taken_for_it(state, policy) -> None:
    facts = unenrolled(refused(state, **policy))
    assert told(facts, "signature") == ["kernel-lockdown"]
    assert told(refused(state, signer=None, **policy), "signature")[0] == "kernel-lockdown"
    ctx = make.context(facts)
    plan = make_plan(ctx, climb(ctx))
    assert "enrol-key" not in [step.id for step in plan.steps], (
        "no key of the firmware counts there"
    )


def test_forbidden_keys_are_read_from_shim_and_firmware() -> None:
    folder = "/sys/firmware/efi/efivars"
    mokx = f"{folder}/MokListXRT-605dab50-e046-4300-abb6-3dd810dd8b23"
    dbx = f"{folder}/dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
    other = Certificate("bb" * 20, "Somebody", "09:09")
    host = FakeHost(files={mokx: "", dbx: ""}, certificate_files={mokx: (OWN,), dbx: (other,)})
    found = secure_boot.observe(host, make.healthy().log)
    assert found.revoked == (OWN, other)
    assert secure_boot.observe(FakeHost(), make.healthy().log).revoked == ()
