"""Mending changes as little as can be: what is installed stays, and where it can't, the plan says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.engine import check, plan
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.facts import DkmsBuild, Facts, LogFacts, Package
from gpu_bringup.model.plan import Plan
from gpu_bringup.model.target import Target
from gpu_bringup.model.unknown import Unknown
from unit import make_facts as make

HOSTS = Path(__file__).parents[1] / "hosts"
NEW, OLD = "6.12.115+deb13-amd64", "6.12.107+deb13-amd64"
FIRST_ERROR = "nvidia/nv-pci.c:237:9: error: too few arguments to function 'pci_resize_resource'"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return engine.load_catalogue()


@pytest.fixture(scope="module")
def upgraded() -> Facts:
    """A real record: the kernel moved on, its headers didn't, 550.163.01 by dkms is installed."""
    return engine.observe(engine.open_host(HOSTS / "debian13-kernel-upgraded.json"))


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))


def commands(made: Plan) -> list[str]:
    return [" ".join(c.argv) for step in made.steps for c in step.commands]


def test_missing_headers_are_installed_and_the_present_driver_is_built(
    upgraded: Facts, catalogue: Catalogue
) -> None:
    found = engine.examine(None, upgraded, Answers(), catalogue)
    assert found.recommendation is not None and found.recommendation.chosen is not None
    driver = found.recommendation.chosen.target.driver
    assert (driver.version, driver.flavour) == ("550.163.01", Flavour.PROPRIETARY)
    told = commands(found.plan)
    assert any(f"linux-headers-{NEW}" in line for line in told)
    assert f"dkms build -m nvidia-current -v 550.163.01 -k {NEW} --force" in told
    ids = [step.id for step in found.plan.steps]
    assert "driver" not in ids and not any(name.startswith("add-repository") for name in ids)
    assert not any(OLD in line for line in told), "the other kernel is left as it is"
    headers = next(step for step in found.plan.steps if step.id == "headers")
    assert OLD not in headers.title
    held = next(line for line in told if line.startswith("apt-mark hold"))
    assert "libnvidia-ptxjitcompiler1" not in held, "what was never installed is not held"


def test_where_it_can_t_build_the_plan_says_so_with_the_error(
    upgraded: Facts, catalogue: Catalogue
) -> None:
    failed = DkmsBuild(
        "nvidia-current", "550.163.01", NEW, "failed", True, "/var/lib/dkms/make.log", FIRST_ERROR
    )
    assert isinstance(upgraded.modules.dkms, tuple)
    modules = replace(upgraded.modules, dkms=(*upgraded.modules.dkms, failed))
    found = engine.examine(None, replace(upgraded, modules=modules), Answers(), catalogue)
    assert found.context.target is not None
    assert found.context.target.driver.version != "550.163.01"
    steps = [step for step in found.plan.steps if FIRST_ERROR in step.why]
    assert [step.id for step in steps][-1] == "driver"
    assert f"does not compile on {NEW}" in steps[0].why
    assert "/var/lib/dkms/make.log" in steps[0].why


def test_where_the_catalogue_says_that_it_can_t_build_the_plan_names_its_reason(
    upgraded: Facts, catalogue: Catalogue
) -> None:
    """Debian 13's open modules of 550.163.01 fail on its own 6.12.115, as measured."""
    assert isinstance(upgraded.packages.installed, tuple)
    other = tuple(
        replace(item, name="nvidia-open-kernel-dkms") if item.name == "nvidia-kernel-dkms" else item
        for item in upgraded.packages.installed
    )
    facts = replace(upgraded, packages=replace(upgraded.packages, installed=other))
    found = engine.examine(None, facts, Answers(), catalogue)
    assert found.context.target is not None
    assert found.context.target.driver.version != "550.163.01"
    driver = next(step for step in found.plan.steps if step.id == "driver")
    assert "550.163.01 open, which is installed, can't stay" in driver.why
    assert "pci_resize_resource" in driver.why


def from_nvidia(upgraded: Facts, version: str) -> Facts:
    """The same host with a release of NVIDIA's repository instead."""
    names = ("nvidia-kernel-open-dkms", "libcuda1", "libnvidia-ml1", "nvidia-driver-cuda")
    own = tuple(Package(name, f"{version}-1") for name in names)
    assert isinstance(upgraded.packages.installed, tuple)
    rest = tuple(
        p
        for p in upgraded.packages.installed
        if "nvidia" not in p.name and not p.name.startswith(("libcuda", "libnvidia"))
    )
    assert isinstance(upgraded.libraries.libraries, tuple)
    libraries = tuple(replace(item, version=version) for item in upgraded.libraries.libraries)
    builds = (DkmsBuild("nvidia", version, OLD, "installed", True),)
    return replace(
        upgraded,
        packages=replace(upgraded.packages, installed=(*rest, *own)),
        modules=replace(upgraded.modules, dkms=builds),
        libraries=replace(upgraded.libraries, libraries=libraries),
    )


def test_an_older_release_of_the_branch_stays_too(upgraded: Facts, catalogue: Catalogue) -> None:
    found = engine.examine(None, from_nvidia(upgraded, "580.159.03"), Answers(), catalogue)
    assert found.context.target is not None
    assert found.context.target.driver.version == "580.159.03"
    assert found.context.target.instead == ""
    assert not any(step.id == "driver" for step in found.plan.steps)
    assert f"dkms build -m nvidia -v 580.159.03 -k {NEW} --force" in commands(found.plan)


def test_a_driver_that_was_asked_for_replaces_it_and_the_plan_says_that(
    upgraded: Facts, catalogue: Catalogue
) -> None:
    asked = Answers(driver="580.178.04")
    found = engine.examine(None, from_nvidia(upgraded, "580.159.03"), asked, catalogue)
    driver = next(step for step in found.plan.steps if step.id == "driver")
    assert "580.159.03" in driver.why and "580.178.04" in driver.why


@pytest.mark.parametrize("branch", ["580-server-open", "580-server"])
def test_ready_made_modules_of_the_kernel_before_keep_their_branch(
    branch: str, catalogue: Catalogue
) -> None:
    answers = Answers(gpus=("H100",), os="ubuntu:24.04", kernel="6.8.0-87-generic")
    facts = engine.described(answers, catalogue)
    old = Package(f"linux-modules-nvidia-{branch}-6.8.0-80-generic", "6.8.0-80.80")
    assert isinstance(facts.packages.installed, tuple)
    there = replace(facts.packages, installed=(*facts.packages.installed, old))
    found = engine.examine(None, replace(facts, packages=there), answers, catalogue)
    target = found.context.target
    assert target is not None and target.instead == ""
    assert target.package.kernel_package == f"linux-modules-nvidia-{branch}-{{kernel}}"


# --- other single faults ---------------------------------------------------------------------------


def without_libraries(facts: Facts) -> Facts:
    assert isinstance(facts.packages.installed, tuple)
    rest = tuple(p for p in facts.packages.installed if not p.name.startswith("lib"))
    return replace(
        facts,
        packages=replace(facts.packages, installed=rest),
        libraries=replace(facts.libraries, libraries=()),
    )


@pytest.mark.parametrize("target", [None, make.TARGET])
def test_missing_libraries_are_installed_in_the_module_s_version(target: Target | None) -> None:
    ctx = make.context(without_libraries(make.healthy()), target)
    report = check(ctx)
    assert report.root_cause is not None
    assert report.root_cause.causes[0].cause == "driver-libraries-missing"
    (step,) = [step for step in plan(ctx, report).steps if step.id == "driver-libraries"]
    assert set(step.packages) == {"libcuda1", "libnvidia-ml1"}


def test_refused_links_of_weak_updates_are_moved_aside_and_a_module_is_built() -> None:
    facts = make.healthy()
    assert isinstance(facts.modules.files, tuple)
    folder = f"/lib/modules/{make.KERNEL}"
    files = tuple(
        replace(
            file,
            path=file.path.replace("updates/dkms", "weak-updates"),
            vermagic="6.12.90+deb13-amd64 SMP preempt mod_unload modversions",
        )
        for file in facts.modules.files
    )
    line = "nvidia: version magic '6.12.90+deb13-amd64' should be '6.12.107+deb13-amd64'"
    broken = replace(facts, modules=replace(facts.modules, files=files), log=LogFacts((line,)))
    ctx = make.context(broken)
    made = plan(ctx)
    (step,) = [s for s in made.steps if s.id == f"move-weak-updates-{make.KERNEL}"]
    assert step.commands[0].argv[2:] == ("files", *(f.path for f in files))
    assert step.undo[0].argv[2] == "back"
    assert all(path.startswith(f"{folder}/weak-updates") for path in step.commands[0].argv[3:])
    assert any(s.id == f"build-module-{make.KERNEL}" for s in made.steps)


def test_a_second_copy_of_the_module_is_moved_aside_not_the_right_one() -> None:
    facts = make.healthy()
    assert isinstance(facts.modules.files, tuple)
    other = tuple(
        replace(
            file,
            version="535.54.03",
            path=file.path.replace("updates/dkms", "kernel/drivers/video"),
        )
        for file in facts.modules.files[:1]
    )
    both = replace(facts, modules=replace(facts.modules, files=(*facts.modules.files, *other)))
    made = plan(make.context(both))
    (step,) = [s for s in made.steps if s.id == f"move-second-module-{make.KERNEL}"]
    assert step.commands[0].argv[3:] == (other[0].path,)


def test_headers_that_nobody_looked_at_are_not_installed_again() -> None:
    facts = make.healthy()
    assert isinstance(facts.kernels.installed, tuple) and isinstance(facts.modules.files, tuple)
    (kernel,) = facts.kernels.installed
    vague = replace(kernel, headers=replace(kernel.headers, state=Unknown("not in this record")))
    files = tuple(f for f in facts.modules.files if f.kernel != make.KERNEL)
    broken = replace(
        facts,
        kernels=replace(facts.kernels, installed=(vague,)),
        modules=replace(facts.modules, files=files),
    )
    made = plan(make.context(broken, make.TARGET))
    assert not any(step.id in ("headers", "headers-again") for step in made.steps)


def _no_module(facts: Facts) -> Facts:
    return replace(
        facts,
        modules=replace(
            facts.modules,
            files=(),
            loaded=(),
            loaded_version=None,
            loaded_flavour=None,
            dkms=(DkmsBuild("nvidia-current", make.VERSION, "", "added", True),),
        ),
        devices=replace(facts.devices, nodes=()),
        nvml=Unknown("no driver is loaded"),
        cuda=Unknown("no driver is loaded"),
    )


def _no_compiler(facts: Facts) -> Facts:
    assert isinstance(facts.kernels.installed, tuple)
    (kernel,) = facts.kernels.installed
    bare = replace(kernel, compiler_present=False)
    return replace(_no_module(facts), kernels=replace(facts.kernels, installed=(bare,)))


def _no_headers(facts: Facts) -> Facts:
    without = make.make_kernel(headers=False)
    assert isinstance(facts.packages.installed, tuple)
    rest = tuple(p for p in facts.packages.installed if not p.name.startswith("linux-headers-6"))
    return replace(
        _no_module(facts),
        kernels=replace(facts.kernels, installed=(without,)),
        packages=replace(facts.packages, installed=rest),
    )


def _not_loaded(facts: Facts) -> Facts:
    bare = _no_module(facts)
    modules = replace(bare.modules, files=facts.modules.files, dkms=facts.modules.dkms)
    return replace(bare, modules=modules)


def _no_nodes(facts: Facts) -> Facts:
    return replace(facts, devices=replace(facts.devices, nodes=("nvidiactl",)))


def _unsigned(facts: Facts) -> Facts:
    assert isinstance(facts.modules.files, tuple)
    files = tuple(replace(file, signer=None) for file in facts.modules.files)
    bare = _not_loaded(facts)
    return replace(bare, modules=replace(bare.modules, files=files))


ONE_BY_ONE = {
    "headers-missing": (_no_headers, "headers"),
    "kernel-upgraded-module-not-built": (_no_module, f"build-module-{make.KERNEL}"),
    "gcc-mismatch": (_no_compiler, "compiler"),
    "sb-unsigned-module": (_unsigned, f"sign-module-{make.KERNEL}"),
    "module-not-loaded": (_not_loaded, "load-modules"),
    "device-nodes-missing": (_no_nodes, "device-nodes"),
}


@pytest.mark.parametrize("cause", ONE_BY_ONE)
@pytest.mark.parametrize("target", [None, make.TARGET])
def test_one_broken_layer_is_mended_without_touching_the_driver(
    cause: str, target: Target | None
) -> None:
    broken, step = ONE_BY_ONE[cause]
    ctx = make.context(broken(make.healthy()), target)
    report = check(ctx)
    assert report.root_cause is not None and report.root_cause.causes[0].cause == cause
    made = plan(ctx, report)
    ids = [item.id for item in made.steps]
    assert step in ids
    touching = ("driver", "align-driver", "pin-branch", "enable-components", "remove-", "add-")
    assert not [name for name in ids if name.startswith(touching)]
    assert not any("purge" in item.split() or "remove" in item.split() for item in commands(made))
