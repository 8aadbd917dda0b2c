"""Plans: what is proposed, in which order, and that nothing is proposed twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.engine import described, examine, load_catalogue
from gpu_bringup.errors import RefusedError
from gpu_bringup.export import to_text
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.enums import HeadersState, InstallMethod, SecureBoot
from gpu_bringup.model.facts import (
    Certificate,
    DkmsBuild,
    Facts,
    Headers,
    OsFacts,
    Package,
    PciFacts,
    SigningKey,
)
from gpu_bringup.model.gpu_facts import CudaFacts
from gpu_bringup.model.ladder import RUNG_IDS, State
from gpu_bringup.model.plan import Plan, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.plan import make_plan
from unit import make_facts as make

OLD = "6.12.90+deb13-amd64"


def plan(ctx: Context) -> Plan:
    return make_plan(ctx, climb(ctx))


def ids(made: Plan) -> list[str]:
    return [step.id for step in made.steps]


def words(made: Plan) -> str:
    return "\n".join(" ".join(command.argv) for step in made.steps for command in step.commands)


@pytest.mark.parametrize("target", [None, make.TARGET])
def test_a_healthy_host_needs_nothing(target):
    made = plan(make.context(target=target))
    assert made.empty
    assert made.blocked == ()


def test_a_fresh_host_gets_everything_in_order():
    made = plan(make.context(make.fresh(), make.TARGET))
    order = [
        "enable-components",
        "build-environment",
        "blacklist-nouveau",
        "driver",
        f"build-module-{make.KERNEL}",
        "hold-set",
        f"initramfs-{make.KERNEL}",
        "load-modules",
        "device-nodes",
        "persistence",
    ]
    assert ids(made) == order
    assert not made.needs_reboot
    done = {rung for step in made.steps for rung in step.done_when}
    assert {"headers", "compiler", "nouveau", "module", "loaded", "devices", "guard"} <= done
    driver = made.steps[order.index("driver")]
    assert "nvidia-kernel-dkms=550.163.01-2" in driver.packages
    assert "--no-install-recommends" in driver.commands[0].argv


def after_success(facts: Facts) -> Facts:
    """What the same host looks like when every step of the plan has done its work."""
    good = make.healthy()
    return replace(
        good,
        secure_boot=facts.secure_boot,
        pci=good.pci,
        packages=replace(good.packages, unattended_upgrades=facts.packages.unattended_upgrades),
    )


def test_after_success_the_plan_is_empty():
    before = make.context(make.fresh(), make.TARGET)
    first = plan(before)
    assert not first.empty
    second = plan(make.context(after_success(make.fresh()), make.TARGET))
    assert second.empty


def prepared(facts: Facts) -> Facts:
    """A chroot as a successful preparation leaves it: modules on disk, nothing of it running."""
    good = make.healthy()
    kernel = make.make_kernel(running=False)
    return replace(
        good,
        platform=replace(good.platform, chroot=True, modules_loadable=False),
        kernels=replace(good.kernels, running="6.18.44-host", installed=(kernel,)),
        pci=PciFacts((), ()),
        modules=replace(good.modules, loaded=(), loaded_version=None, loaded_flavour=None),
        devices=replace(good.devices, nodes=()),
        secure_boot=replace(facts.secure_boot, keys=good.secure_boot.keys),
        nvml=None,
        cuda=None,
    )


def test_preparing_an_image_names_what_is_seen_at_its_first_boot():
    target = replace(make.TARGET, prepare_only=True)
    bare = make.fresh()
    facts = replace(prepared(bare), packages=bare.packages, modules=bare.modules,
                    libraries=bare.libraries, kernels=bare.kernels)  # fmt: skip
    made = plan(make.context(facts, target))
    assert made.first_boot == ("gpu", "loaded", "devices", "nvml", "fabric", "cuda")
    assert ids(made).index("driver") < ids(made).index(f"build-module-{make.KERNEL}")
    assert "modprobe" not in words(made)
    assert not made.needs_reboot
    assert plan(make.context(prepared(bare), target)).empty


def test_signing_tools_come_before_the_modules_are_built():
    facts = make.fresh()
    facts = replace(facts, packages=replace(facts.packages, installed=()))
    made = plan(make.context(facts, replace(make.TARGET, prepare_only=True)))
    assert ids(made).index("signing-key") < ids(made).index("driver")


def test_secure_boot_asks_for_enrolment_and_a_reboot_last():
    facts = make.fresh()
    secure = replace(facts.secure_boot, state=SecureBoot.ENABLED, sig_enforce=True)
    made = plan(make.context(replace(facts, secure_boot=secure), make.TARGET))
    enrol = made.steps[ids(made).index("enrol-key")]
    assert enrol.commands[0].interactive
    assert ids(made)[-1] == "reboot"
    assert made.steps[-1].reboot and made.steps[-1].commands == ()
    assert "load-modules" not in ids(made)


def test_a_pending_enrolment_is_not_asked_for_again():
    facts = make.healthy()
    key = replace(facts.secure_boot.keys[0], enrolled=False, pending=True)
    facts = replace(
        facts,
        secure_boot=replace(facts.secure_boot, keys=(key,), enrolled=()),
        modules=replace(facts.modules, loaded=(), loaded_version=None),
    )
    made = plan(make.context(facts, make.TARGET))
    assert "enrol-key" not in ids(made)
    assert ids(made) == ["reboot"]


def test_an_existing_key_is_never_made_anew():
    facts = make.healthy()
    unknown = SigningKey("dkms", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", True)
    facts = replace(
        facts,
        secure_boot=replace(facts.secure_boot, keys=(unknown,)),
        modules=replace(facts.modules, files=(), loaded=(), loaded_version=None),
    )
    assert "signing-key" not in ids(plan(make.context(facts)))


def test_nouveau_that_is_loaded_takes_a_reboot():
    facts = make.fresh()
    gpu = replace(facts.pci.gpus[0], driver="nouveau")
    made = plan(make.context(replace(facts, pci=replace(facts.pci, gpus=(gpu,))), make.TARGET))
    assert ids(made)[-2:] == [f"initramfs-{make.KERNEL}", "reboot"]
    assert {"nouveau", "loaded"} <= set(made.steps[-1].done_when)
    assert "modprobe" not in words(made)
    assert ids(made).count("reboot") == 1


def test_a_new_kernel_without_headers_is_mended_without_a_target():
    facts = make.healthy()
    kernel = replace(make.make_kernel(), headers=Headers(HeadersState.MISSING))
    old = make.make_kernel(OLD, running=False)
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=(kernel, old)),
        modules=replace(
            facts.modules,
            files=make.make_files(OLD),
            loaded=(),
            loaded_version=None,
            dkms=(DkmsBuild("nvidia-current", make.VERSION, OLD, "installed", True),),
        ),
        packages=replace(
            facts.packages,
            installed=tuple(
                package
                for package in make.make_packages()
                if package.name != f"linux-headers-{make.KERNEL}"
            ),
        ),
    )
    made = plan(make.context(facts))
    assert ids(made) == [
        "refresh-packages",
        "headers",
        f"build-module-{make.KERNEL}",
        "load-modules",
    ]
    assert f"linux-headers-{make.KERNEL}" in made.steps[1].packages
    assert f"-k {make.KERNEL}" in words(made)


def test_a_build_that_failed_in_the_driver_is_not_tried_again():
    facts = make.healthy()
    error = "nv-pci.c:264:13: error: too few arguments to function 'pci_resize_resource'"
    build = DkmsBuild(
        "nvidia-current", make.VERSION, make.KERNEL, "failed", True, first_error=error
    )
    facts = replace(
        facts,
        modules=replace(facts.modules, files=(), loaded=(), loaded_version=None, dkms=(build,)),
    )
    made = plan(make.context(facts))
    assert made.empty
    assert any("does not compile" in text for text in made.blocked)
    report = climb(make.context(facts))
    assert report.root_cause is not None
    assert report.root_cause.causes[0].cause == "dkms-build-api-break"
    assert error in report.root_cause.causes[0].evidence[0].text


def test_updated_libraries_under_an_idle_module_are_a_reload():
    facts = make.healthy()
    facts = replace(facts, modules=replace(facts.modules, loaded_version="550.54.15"))
    made = plan(make.context(facts))
    assert ids(made) == ["reload-modules"]
    assert made.steps[0].stops_workloads


def test_updated_libraries_under_a_busy_module_are_a_reboot():
    facts = make.healthy()
    loaded = tuple(
        replace(m, references=9) if m.name == "nvidia" else m for m in facts.modules.loaded
    )
    facts = replace(
        facts, modules=replace(facts.modules, loaded=loaded, loaded_version="550.54.15")
    )
    made = plan(make.context(facts))
    assert ids(made)[-1] == "reboot"
    assert "rmmod" not in words(made)


def test_an_interrupted_installation_is_finished_first():
    facts = make.healthy()
    facts = replace(facts, packages=replace(facts.packages, interrupted=True))
    made = plan(make.context(facts))
    assert ids(made)[0] == "mend-packages"


def test_a_foreign_repository_is_added_and_read_before_the_driver():
    package = replace(
        make.PACKAGE, source="nvidia-repository", repository="nvidia-cuda", components=()
    )
    target = replace(make.TARGET, package=package, source_kind="nvidia-repository")
    made = plan(make.context(make.fresh(), target))
    assert ids(made)[0] == "add-repository-nvidia-cuda"
    # Once for the tools that fetch the key, once for what the repository has; never again.
    refreshes = [s.id for s in made.steps for c in s.commands if c.argv[-1] == "update"]
    assert refreshes == ["add-repository-nvidia-cuda"] * 2
    assert ids(made).index("driver") > 0


def test_containers_are_set_up_where_the_scenario_wants_them():
    facts = make.healthy()
    facts = replace(facts, containers=replace(facts.containers, runtimes=("docker",)))
    made = plan(make.context(facts, replace(make.TARGET, containers=True)))
    wanted = [
        "add-repository-nvidia-container",
        "container-toolkit",
        "configure-docker",
        "cdi-spec",
    ]
    assert [step for step in ids(made) if step != "refresh-packages"] == wanted


def test_hmm_is_switched_off_only_where_cuda_shows_it():
    facts = replace(make.healthy(), cuda=CudaFacts(3))
    made = plan(make.context(facts))
    assert ids(made) == ["disable-hmm"]
    assert "uvm_disable_hmm=1" in made.steps[0].writes[0].content


def test_passthrough_is_left_to_a_person():
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], driver="vfio-pci")
    made = plan(make.context(replace(facts, pci=replace(facts.pci, gpus=(gpu,)))))
    assert any("passthrough" in text for text in made.blocked)


@pytest.mark.parametrize(("kept", "helps"), [(("vfio-pci",), False), (("vfio-pci", None), True)])
def test_no_step_is_planned_while_every_gpu_is_reserved(kept, helps):
    facts = make.healthy()
    gpus = tuple(replace(facts.pci.gpus[0], driver=driver) for driver in kept)
    modules = replace(facts.modules, loaded=(), loaded_version=None)
    ctx = make.context(replace(facts, pci=replace(facts.pci, gpus=gpus), modules=modules))
    report, made = climb(ctx), plan(ctx)
    assert report.rung("loaded").state is (State.BROKEN if helps else State.BLOCKED)
    assert bool(made.steps) is helps
    assert len(made.blocked) == 1 and "passthrough" in made.blocked[0]


def test_an_unknown_distribution_is_said_to_be_so():
    facts = replace(make.fresh(), os=OsFacts("gentoo", "2.17", "Gentoo"))
    made = plan(make.context(facts, make.TARGET))
    assert made.empty
    assert any("distribution" in text for text in made.blocked)


def test_where_no_driver_can_live_nothing_is_proposed():
    facts = make.fresh()
    facts = replace(facts, platform=replace(facts.platform, modules_loadable=False))
    made = plan(make.context(facts, make.TARGET))
    assert made.empty
    assert any("loads no modules" in text for text in made.blocked)


def test_without_a_choice_nothing_is_installed():
    made = plan(make.context(make.fresh()))
    assert made.empty
    assert any("recommend" in text for text in made.blocked)


def test_the_runfile_driver_goes_before_packages_come():
    facts = make.fresh()
    facts = replace(facts, packages=replace(facts.packages, method=InstallMethod.RUNFILE))
    made = plan(make.context(facts, make.TARGET))
    assert ids(made).index("remove-runfile-driver") < ids(made).index("driver")


def test_unattended_upgrades_are_kept_off_an_unguarded_driver():
    facts = make.healthy()
    facts = replace(
        facts,
        packages=replace(
            facts.packages,
            installed=make.make_packages(held=False),
            unattended_upgrades=True,
        ),
    )
    made = plan(make.context(facts))
    assert ids(made) == ["unattended-guard"]
    patterns = tuple(
        line.strip(' ";') for line in made.steps[0].writes[0].content.splitlines() if "^" in line
    )
    shielded = replace(facts, packages=replace(facts.packages, unattended_blacklist=patterns))
    assert plan(make.context(shielded)).empty


def test_a_partial_hold_is_made_whole():
    facts = make.healthy()
    installed = tuple(
        replace(p, status="ii") if p.name == "libcuda1" else p for p in facts.packages.installed
    )
    facts = replace(facts, packages=replace(facts.packages, installed=installed))
    report = climb(make.context(facts, make.TARGET))
    assert report.rung("guard").causes[0].cause == "partial-hold"
    assert ids(plan(make.context(facts, make.TARGET))) == ["hold-set"]


def test_steps_are_complete_and_unique():
    secure = replace(make.fresh().secure_boot, state=SecureBoot.ENABLED)
    hosts = [make.fresh(), replace(make.fresh(), secure_boot=secure)]
    for facts in hosts:
        for target in (make.TARGET, replace(make.TARGET, containers=True, prepare_only=True)):
            made = plan(make.context(facts, target))
            assert len(set(ids(made))) == len(made.steps)
            for step in made.steps:
                assert step.rung in RUNG_IDS
                assert set(step.done_when) <= set(RUNG_IDS)
                assert step.title and step.why and step.estimate_seconds > 0
                assert step.commands or step.writes or step.reboot
            assert Plan.from_json(made.to_json()) == made


def test_no_root_and_no_sudo_is_said():
    facts = make.fresh()
    facts = replace(facts, platform=replace(facts.platform, root=False, sudo=False))
    assert any("root" in text for text in plan(make.context(facts, make.TARGET)).blocked)


def step_of(made: Plan, name: str) -> Step:
    return made.steps[ids(made).index(name)]


def test_undo_leaves_what_other_modules_are_built_with():
    made = plan(make.context(make.fresh(), make.TARGET))
    build = step_of(made, "build-environment")
    assert "dkms" in build.packages
    assert build.undo == ()
    assert "leaves these packages" in build.risk
    removed = {word for command in step_of(made, "driver").undo for word in command.argv}
    assert set(make.DRIVER_PACKAGES) <= removed


def test_undo_of_the_driver_removes_driver_packages_alone():
    package = replace(make.PACKAGE, packages=(*make.DRIVER_PACKAGES, "glx-alternative", "dkms"))
    made = plan(make.context(make.fresh(), replace(make.TARGET, package=package)))
    removed = {word for command in step_of(made, "driver").undo for word in command.argv}
    assert not {"glx-alternative", "dkms"} & removed


def test_the_boot_images_are_built_anew_once_the_blacklist_is_gone():
    made = plan(make.context(make.fresh(), make.TARGET))
    last = step_of(made, "blacklist-nouveau").undo[-1]
    assert last.argv == ("update-initramfs", "-u", "-k", make.KERNEL)


def test_an_enrolment_request_can_be_taken_back_unless_others_wait_too():
    facts = make.fresh()
    secure = replace(facts.secure_boot, state=SecureBoot.ENABLED, sig_enforce=True)
    made = plan(make.context(replace(facts, secure_boot=secure), make.TARGET))
    revoke, forget = step_of(made, "enrol-key").undo
    assert revoke.argv == ("mokutil", "--revoke-import")
    assert forget.argv == ("rm", "-f", "/var/lib/gpu-bringup/enrolment-asked")
    other = replace(secure, pending=(Certificate("bb" * 20, "somebody's", "03"),))
    made = plan(make.context(replace(facts, secure_boot=other), make.TARGET))
    assert step_of(made, "enrol-key").undo == (forget,)


def test_undo_releases_no_hold_of_the_operators_own():
    facts = make.fresh()
    mine = Package("linux-image-amd64", "6.12.107-1", "hi")
    facts = replace(facts, packages=replace(facts.packages, installed=(mine,)))
    hold = step_of(plan(make.context(facts, make.TARGET)), "hold-set")
    for command in (*hold.commands, *hold.undo):
        assert "linux-image-amd64" not in command.argv
        assert "linux-headers-amd64" in command.argv


def test_what_is_released_for_the_new_driver_is_held_again():
    facts = make.fresh()
    old = Package("libcuda1", "535.274.02-1", "hi")
    here = (*facts.packages.installed, old)
    facts = replace(facts, packages=replace(facts.packages, installed=here))
    made = plan(make.context(facts, make.TARGET))
    assert "libcuda1" in step_of(made, "unhold-driver").commands[0].argv
    assert "libcuda1" in step_of(made, "hold-set").commands[0].argv


def test_unseen_package_sources_are_told_to_a_person():
    facts = make.fresh()
    unseen = Unknown("described by flags")
    facts = replace(facts, packages=replace(facts.packages, repositories=unseen), recorded=True)
    made = plan(make.context(facts, make.TARGET))
    assert "enable-components" not in ids(made)
    assert any("contrib, non-free and non-free-firmware" in text for text in made.blocked)
    assert not plan(make.context(make.fresh(), make.TARGET)).blocked


def rhel_plan(version: str, os: str = "rhel") -> Plan:
    catalogue = load_catalogue()
    answers = Answers(
        os=f"{os}:{version}", kernel=f"5.14.0-611.5.1.el{version}_7.x86_64", gpus=("h100",)
    )
    return examine(None, described(answers, catalogue), answers, catalogue).plan


def test_a_described_enterprise_linux_gets_epel_and_its_kernel_held_whole():
    made = rhel_plan("9")
    enable = step_of(made, "enable-components")
    text = words(made)
    assert "codeready-builder-for-rhel-9-x86_64-rpms" in text
    assert "epel-release-latest-9.noarch.rpm" in text
    assert enable.undo == ()
    (hold,) = (c.argv for c in step_of(made, "hold-set").commands if "versionlock" in c.argv)
    assert {"kernel", "kernel-core", "kernel-modules", "kernel-devel"} <= set(hold)
    assert ("systemctl", "enable", "--now", "nvidia-persistenced.service") in [
        c.argv for c in step_of(made, "persistence").commands
    ]


def test_a_repository_whose_key_is_not_known_is_refused():
    with pytest.raises(RefusedError, match="fingerprint isn't known") as refusal:
        rhel_plan("10", os="rocky")
    assert "/etc/gpu-bringup/profiles" in refusal.value.hint


def test_a_package_of_no_certain_branch_takes_what_comes():
    catalogue = load_catalogue()
    answers = Answers(os="sles:15", kernel="6.4.0-150700.53.19-default", gpus=("h100",))
    found = examine(None, described(answers, catalogue), answers, catalogue)
    assert any("isn't certain" in note for note in found.notes)
    assert "580" not in step_of(found.plan, "driver").title
    assert "(not certain)" in to_text(found.plan).splitlines()[0]
    package = replace(make.PACKAGE, branch_certain=False, version="", package_version="")
    other = replace(make.TARGET, driver=replace(make.TARGET.driver, version="580.1"))
    assert plan(make.context(target=replace(other, package=package))).empty


def test_a_driver_from_outside_is_no_target():
    facts = make.healthy()
    facts = replace(
        facts,
        packages=replace(facts.packages, method=InstallMethod.OUTSIDE),
        devices=replace(facts.devices, nodes=()),
    )
    made = plan(make.context(facts, make.TARGET))
    text = to_text(made)
    assert made.empty and made.target == {}
    assert text.startswith("No step can be taken here.")


def test_the_headers_meta_comes_only_where_the_kernels_own_meta_is():
    facts = make.fresh()
    moving = plan(make.context(facts, make.TARGET))
    fixed = replace(facts, packages=replace(facts.packages, installed=()))
    still = plan(make.context(fixed, make.TARGET))
    assert "linux-headers-amd64" in words(moving)
    assert "linux-headers-amd64" not in words(still)
