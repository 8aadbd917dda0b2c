"""What only facts can separate: each fault on made facts, and the command that decides the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup import engine
from gpu_bringup.ladder.decide import decided, decider
from gpu_bringup.ladder.flavours import kernel_flavour
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.ladder.loaded import repair as load_repair
from gpu_bringup.ladder.room import spare_kernels
from gpu_bringup.model.bars import unset_bars
from gpu_bringup.model.enums import Flavour, InstallMethod
from gpu_bringup.model.facts import Certificate, Package, Space, StorageFacts
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.plan import make_plan
from gpu_bringup.recover import door
from unit import make_facts as make

BRANCH = "580.95.05"
REFUSED = ("Loading of module with unavailable key is rejected",)


def not_loaded(facts):
    """The same host with no module in the kernel."""
    gpu = replace(facts.pci.gpus[0], driver=None)
    modules = replace(facts.modules, loaded=(), loaded_version=None, loaded_flavour=None)
    return replace(facts, modules=modules, pci=replace(facts.pci, gpus=(gpu,)))


def root(facts, target=None):
    report = climb(make.context(facts, target))
    found = report.root_cause
    assert found is not None
    return found.id, found.causes[0].cause


def steps(facts):
    ctx = make.context(facts)
    return {step.id: step for step in make_plan(ctx, climb(ctx)).steps}


# --- packages: two series, a hold in the way


def mixed(held=False, name="libcuda1"):
    facts = make.healthy()
    packages = tuple(
        Package(p.name, "535.183.01-1", "hi" if held else "ii") if p.name == name else p
        for p in make.make_packages(held=False)
    )
    return replace(facts, packages=replace(facts.packages, installed=packages))


def test_two_driver_series_mixed():
    assert root(mixed()) == ("packages", "repo-or-branch-package-conflict")
    step = steps(mixed())["align-series"]
    assert "libcuda1=550.163.01-2" in step.commands[0].argv


def test_packages_that_carry_their_branch_are_removed():
    facts = make.healthy()
    stray = Package("libnvidia-compute-535", "535.183.01-0ubuntu1")
    packages = (*make.make_packages(), stray)
    facts = replace(facts, packages=replace(facts.packages, installed=packages))
    assert root(facts) == ("packages", "repo-or-branch-package-conflict")
    step = steps(facts)["remove-other-series"]
    assert "libnvidia-compute-535" in step.commands[0].argv
    assert step.undo, "and can be put back"


def test_a_hold_that_keeps_a_part_of_the_driver_back():
    assert root(mixed(held=True)) == ("packages", "held-or-broken-packages")
    step = steps(mixed(held=True))["unhold-strays"]
    assert "libcuda1" in step.commands[0].argv


def test_tools_with_versions_of_their_own_are_no_second_series():
    facts = make.healthy()
    extra = (
        Package("nvidia-settings", "510.47.03-1"),
        Package("nvidia-modprobe", "570.133.07-1"),
        Package("nvidia-container-toolkit", "1.18.0-1"),
    )
    packages = (*make.make_packages(), *extra)
    facts = replace(facts, packages=replace(facts.packages, installed=packages))
    assert climb(make.context(facts)).root_cause is None


# --- signatures: unsigned, not enrolled, another key, another keyring


def signed(signer, key):
    facts = not_loaded(make.healthy())
    files = tuple(replace(file, signer=signer, signature_key=key) for file in facts.modules.files)
    return replace(facts, modules=replace(facts.modules, files=files))


def test_unsigned():
    assert root(signed(None, None)) == ("signature", "sb-unsigned-module")


def test_signed_but_the_key_is_not_enrolled():
    facts = signed(make.SIGNER, "01:02")
    key = replace(facts.secure_boot.keys[0], enrolled=False)
    secure = replace(facts.secure_boot, keys=(key,), enrolled=())
    assert root(replace(facts, secure_boot=secure)) == ("signature", "sb-mok-not-enrolled")


def test_signed_with_another_key_than_the_enrolled_one_is_built_again():
    facts = signed("Somebody else", "99:99")
    assert root(facts) == ("signature", "sb-mok-not-enrolled")
    found = steps(facts)
    assert f"sign-module-{make.KERNEL}" in found, "enrolling would not help: it is built again"
    assert "enrol-key" not in found


def test_enrolled_in_a_keyring_that_this_kernel_does_not_ask():
    facts = signed(make.SIGNER, "01:02")
    facts = replace(facts, log=replace(facts.log, lines=REFUSED))
    assert root(facts) == ("signature", "sb-key-not-trusted-by-kernel")


def test_refused_with_an_enrolment_that_nobody_read_is_not_called_enrolled():
    facts = signed(make.SIGNER, "01:02")
    unread = Unknown("not in this record")
    keys = tuple(replace(key, enrolled=unread) for key in facts.secure_boot.keys)
    facts = replace(
        facts,
        secure_boot=replace(facts.secure_boot, enrolled=unread, keys=keys),
        log=replace(facts.log, lines=REFUSED),
    )
    result = climb(make.context(facts)).rung("signature")
    found = [item.cause for item in result.causes]
    assert found == ["sb-mok-not-enrolled", "sb-key-not-trusted-by-kernel"]
    assert result.causes[0].confidence < 0.9 and "not known" in result.summary


def test_secure_boot_switched_on_later_is_named_beside_unsigned():
    facts = signed(None, None)
    key = replace(facts.secure_boot.keys[0], exists=False, certificate=None, enrolled=False)
    facts = replace(facts, secure_boot=replace(facts.secure_boot, keys=(key,)))
    causes = [item.cause for item in climb(make.context(facts)).rung("signature").causes]
    assert causes == ["sb-unsigned-module", "sb-enabled-after-install"]


# --- "no devices": memory window, vfio, flavour, legacy board


def test_no_memory_window_from_the_firmware():
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], bars_unset=(1,))
    assert root(replace(facts, pci=replace(facts.pci, gpus=(gpu,)))) == ("gpu", "bar-not-assigned")


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("0x00000000fa000000 0x00000000faffffff 0x0000000000040200\n" * 2, ()),
        ("0x00000000fa000000 0x00000000faffffff 0x0000000000040200\n"
         "0x0000000000000000 0x0000001fffffffff 0x000000002014220c\n", (1,)),
        ("0x0000000000000000 0x0000000000000000 0x0000000000000000\n", ()),
        ("junk\n", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_bars_without_an_address(text, bars):
    assert unset_bars(text) == bars


@pytest.mark.parametrize(
    ("flavour", "pci_id", "expected"),
    [
        (Flavour.PROPRIETARY, "10de:2901", "proprietary-module-on-open-only-gpu"),
        (Flavour.OPEN, "10de:1db4", "open-module-on-pre-turing"),
    ],
)
def test_a_loaded_driver_of_the_wrong_flavour_holds_no_gpu(flavour, pci_id, expected):
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], pci_id=pci_id, driver=None)
    facts = replace(
        facts,
        pci=replace(facts.pci, gpus=(gpu,)),
        modules=replace(
            facts.modules, loaded_flavour=flavour, files=make.make_files(flavour=flavour)
        ),
    )
    assert root(facts)[1] == expected


def test_an_open_module_of_the_libraries_version_is_not_called_old():
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], pci_id="10de:1db4", driver=None)
    files = make.make_files(flavour=Flavour.OPEN)
    facts = replace(
        facts,
        pci=replace(facts.pci, gpus=(gpu,)),
        modules=replace(facts.modules, files=files, loaded=(), loaded_version=None),
    )
    found = [c.cause for c in climb(make.context(facts, make.TARGET)).rung("module").causes]
    assert found[0] == "open-module-on-pre-turing"
    assert "driver-library-mismatch-stale-on-disk" not in found


def test_a_board_that_only_a_legacy_branch_serves():
    facts = make.healthy()
    gpu = replace(facts.pci.gpus[0], pci_id="10de:1db4", driver=None)
    ctx = make.context(replace(facts, pci=replace(facts.pci, gpus=(gpu,))))
    boards = tuple(
        replace(item, last_branch="535") if item.id == "V100" else item
        for item in ctx.catalogue.gpus
    )
    ctx = replace(ctx, catalogue=replace(ctx.catalogue, gpus=boards))
    found = climb(ctx).root_cause
    assert found is not None and found.causes[0].cause == "legacy-gpu-branch"


# --- modules: flavours of kernels, ready-made modules


@pytest.mark.parametrize(
    ("release", "flavour"),
    [
        ("6.12.107+deb13-amd64", "amd64"),
        ("6.12.107+deb13-cloud-amd64", "cloud-amd64"),
        ("6.1.0-50-amd64", "amd64"),
        ("6.8.0-45-generic", "generic"),
        ("6.8.0-1015-aws", "aws"),
        ("5.14.0-427.13.1.el9_4.x86_64", ""),
        ("5.14.0-427.13.1.el9_4.x86_64+rt", "rt"),
        ("5.14.0-427.13.1.el9_4.aarch64+64k", "64k"),
        ("6.4.0-150600.23.25-default", "default"),
    ],
)
def test_flavours_of_kernels(release, flavour):
    assert kernel_flavour(release) == flavour


def booted(release, installed=None):
    facts = not_loaded(make.healthy())
    old = replace(make.make_kernel(running=False), default=False)
    kernels = replace(facts.kernels, running=release, installed=(make.make_kernel(release), old))
    packages = facts.packages
    if installed is not None:
        packages = replace(packages, installed=(*packages.installed, *installed))
        facts = replace(facts, modules=replace(facts.modules, dkms=()))
    return replace(facts, kernels=kernels, packages=packages)


def test_another_flavour_of_the_kernel_was_booted():
    facts = booted("6.12.107+deb13-cloud-amd64")
    assert root(facts) == ("module", "kernel-flavour-change")


def test_a_new_kernel_without_a_module():
    assert root(booted("6.12.115+deb13-amd64")) == ("module", "kernel-upgraded-module-not-built")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linux-modules-nvidia-580-open-6.8.0-45-generic", "precompiled-modules-missing-ubuntu"),
        ("kmod-nvidia-open-580.95.05-5.14.0-427", "precompiled-kmod-missing"),
    ],
)
def test_ready_made_modules_lack_the_package_of_this_kernel(name, expected):
    facts = booted("6.12.115+deb13-amd64", (Package(name, "1"),))
    causes = [item.cause for item in climb(make.context(facts)).rung("module").causes]
    assert causes[0] == expected


# --- room, leftovers


def full(path):
    facts = make.healthy()
    spaces = tuple(Space(p, 1 << 20 if p == path else 50 << 30) for p in ("/", "/boot", "/var"))
    return replace(facts, storage=StorageFacts(spaces))


def test_var_full_is_mended_by_what_can_be_downloaded_again():
    assert root(full("/var")) == ("platform", "dkms-disk-full")
    assert steps(full("/var"))["make-room"].commands[0].argv == ("apt-get", "clean")


def test_boot_full_is_mended_without_touching_what_boots():
    facts = full("/boot")
    names = ("6.12.90+deb13-amd64", "6.12.95+deb13-amd64", "6.12.100+deb13-amd64")
    old = tuple(replace(make.make_kernel(n, running=False), default=False) for n in reversed(names))
    images = tuple(Package(f"linux-image-{name}", "6.12-1") for name in names)
    files = (*facts.modules.files, *make.make_files(names[2]), *make.make_files(names[0]))
    facts = replace(
        facts,
        kernels=replace(facts.kernels, installed=(*facts.kernels.installed, *old)),
        packages=replace(facts.packages, installed=(*facts.packages.installed, *images)),
        modules=replace(facts.modules, files=files),
    )
    assert root(facts) == ("platform", "boot-partition-full")
    ctx = make.context(facts)
    assert spare_kernels(ctx) == names[:2], "running, newest and the newest fallback stay"
    step = steps(facts)["remove-old-kernels"]
    assert f"linux-image-{names[0]}" in step.commands[0].argv
    assert f"linux-image-{names[2]}" not in step.commands[0].argv


def blacklisted(*entries):
    facts = not_loaded(make.healthy())
    return replace(facts, modules=replace(facts.modules, blacklisted=entries))


NOUVEAU = "nouveau /etc/modprobe.d/blacklist-nouveau.conf:1"


def test_a_leftover_file_that_keeps_nvidia_out_is_moved_aside_and_named():
    facts = blacklisted(NOUVEAU, "nvidia /etc/modprobe.d/passthrough.conf:1")
    assert root(facts) == ("loaded", "module-blacklisted")
    first, *_ = load_repair(make.context(facts))
    assert "/etc/modprobe.d/passthrough.conf" in first.title
    assert first.commands[0].argv[2:] == ("files", "/etc/modprobe.d/passthrough.conf")
    assert first.undo[0].argv[2:] == ("back", "/etc/modprobe.d/passthrough.conf")
    assert first.writes[0].path == first.commands[0].argv[1], "the script travels with the plan"


@pytest.mark.parametrize(
    "entries",
    [
        (NOUVEAU, "nvidia /proc/cmdline:1"),
        (NOUVEAU, "nvidia /etc/modprobe.d/blacklist-nouveau.conf:2"),
        (NOUVEAU, "nvidia /usr/lib/modprobe.d/vendor.conf:1"),
    ],
)
def test_what_also_serves_something_else_is_left_to_a_person(entries):
    facts = blacklisted(*entries)
    assert load_repair(make.context(facts)) == ()
    ctx = make.context(facts)
    assert any("modprobe.d" in text for text in make_plan(ctx, climb(ctx)).blocked)


# --- what is broken, and what only isn't set up


def test_a_wish_for_another_driver_is_not_the_cause_of_what_is_broken():
    facts = booted("6.12.115+deb13-amd64")
    (source,) = facts.packages.repositories
    packages = replace(facts.packages, repositories=(replace(source, components=("main",)),))
    target = replace(make.TARGET, kernels=("6.12.115+deb13-amd64",))
    report = climb(make.context(replace(facts, packages=packages), target))
    assert report.root_cause is not None and report.root_cause.id == "module"
    assert report.not_yet(report.rung("packages")) and not report.fresh


def test_a_fresh_server_is_not_set_up_yet():
    report = climb(make.context(make.fresh(), make.TARGET))
    assert report.fresh and report.root_cause is not None
    assert report.not_yet(report.root_cause)
    facts = make.fresh()
    interrupted = replace(facts.packages, interrupted=True, unfinished=("libc6",))
    report = climb(make.context(replace(facts, packages=interrupted), make.TARGET))
    assert report.root_cause is not None and not report.not_yet(report.root_cause)


# --- which one command decides


def stale():
    facts = make.healthy()
    return replace(facts, modules=replace(facts.modules, loaded_version="550.54.15"))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("usr/lib/modules/x/updates/dkms/nvidia-current.ko.xz\n", "initramfs-stale-module"),
        ("usr/lib/modules/x/kernel/ext4.ko\n", "driver-library-mismatch"),
        ("", ""),
    ],
)
def test_the_initramfs_decides_between_upgraded_and_stale(output, expected):
    ctx = make.context(stale())
    report = climb(ctx)
    asked = decider(ctx, report)
    assert asked is not None
    assert asked.argv == ("lsinitramfs", f"/boot/initrd.img-{make.KERNEL}")
    cause, line = asked.judge(0, output)
    assert cause == expected
    if cause:
        again = decided(report, asked, cause, line).root_cause
        assert again is not None and again.causes[0].cause == cause
        assert again.causes[0].evidence[0].source.startswith("lsinitramfs")
        assert all(item.confidence <= 0.1 for item in again.causes[1:])


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "install /bin/false \n", "module-blacklisted"),
        (1, "modprobe: FATAL: Module nvidia not found in directory /lib/modules/6\n",
         "kernel-upgraded-module-not-built"),
        (0, "insmod /lib/modules/6/updates/dkms/nvidia-current.ko.xz\n", "module-not-loaded"),
        (1, "", ""),
    ],
)  # fmt: skip
def test_modprobe_says_what_is_in_the_way(status, output, expected):
    ctx = make.context(not_loaded(make.healthy()))
    asked = decider(ctx, climb(ctx))
    assert asked is not None and asked.argv[:2] == ("modprobe", "--dry-run")
    assert asked.judge(status, output)[0] == expected


def test_a_healthy_host_has_nothing_to_decide():
    ctx = make.context(make.healthy())
    assert decider(ctx, climb(ctx)) is None


def test_the_host_is_asked_and_judged_again():
    from gpu_bringup.hosts.recorded import RecordedHost

    text = (
        '{"schema": 1, "files": {}, "absent": [], "listings": {}, "links": {}, "commands": '
        f'{{"lsinitramfs /boot/initrd.img-{make.KERNEL}": {{"exit": 0, "output": '
        '"usr/lib/modules/x/nvidia.ko\\n"}}}'
    )
    host = RecordedHost.from_bytes(text.encode(), "made")
    ctx = make.context(stale())
    report = climb(ctx)
    found = engine.Situation(ctx.facts, ctx, report, make_plan(ctx, report))
    decision = door.decide(host, found)
    assert decision is not None and decision.cause == "initramfs-stale-module"
    assert decision.report.root_cause is not None
    assert decision.report.root_cause.causes[0].confidence > 0.9
    other = RecordedHost.from_bytes(text.replace("lsinitramfs", "true").encode(), "made")
    silent = door.decide(other, found)
    assert silent is not None and not silent.answered and silent.report == report


def test_two_copies_of_the_certificate_are_one_key():
    key = Certificate("aa" * 20, make.SIGNER, "01:02")
    facts = make.healthy()
    secure = replace(facts.secure_boot, enrolled=(key, key))
    report = climb(make.context(replace(facts, secure_boot=secure)))
    assert report.root_cause is None


def test_a_cdi_file_of_the_driver_before():
    facts = make.healthy()
    containers = replace(
        facts.containers,
        toolkit_version="1.19.1",
        runtimes=("podman",),
        configured=(),
        cdi_specs=("/var/run/cdi/nvidia.yaml",),
        cdi_versions=(("/var/run/cdi/nvidia.yaml", "535.183.01"),),
    )
    facts = replace(facts, containers=containers)
    assert root(facts) == ("containers", "cdi-spec-stale")
    assert any(step.rung == "containers" for step in steps(facts).values())


def test_runfile_over_packages():
    facts = make.healthy()
    packages = replace(facts.packages, method=InstallMethod.MIXED)
    assert root(replace(facts, packages=packages)) == ("packages", "mixed-runfile-and-packages")
