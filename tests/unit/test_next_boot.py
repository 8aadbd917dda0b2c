"""Will it survive the next boot, and who moved which version: on the healthy host and its variations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.cli import main
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.ladder.ledger import ledger
from gpu_bringup.model.change import Change
from gpu_bringup.model.enums import Flavour, SecureBoot
from gpu_bringup.model.facts import Facts, Kernel, Package, SecureBootFacts
from gpu_bringup.model.initramfs import Initramfs, InitramfsModule
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.next_boot import NextBoot, next_boot
from unit.make_facts import KERNEL, VERSION, fresh, healthy, make_catalogue, make_files, make_kernel

NEW = "6.12.117+deb13-amd64"
HOSTS = Path(__file__).parent.parent / "hosts"


def clean(release: str = KERNEL) -> Initramfs:
    return Initramfs(release, f"/boot/initrd.img-{release}", (), ("nouveau",))


def host(**changes: object) -> Facts:
    return replace(healthy(), initramfs=(clean(), clean(NEW)), **changes)


def two(*, default: str = NEW, module: bool = True, **new: object) -> Facts:
    """The healthy host with a newer kernel beside the running one."""
    facts = host()
    old = replace(make_kernel(), default=default == KERNEL)
    added = replace(make_kernel(NEW, running=False), default=default == NEW, **new)
    files = (*make_files(), *(make_files(NEW) if module else ()))
    return replace(
        facts,
        kernels=replace(facts.kernels, installed=(added, old)),
        modules=replace(facts.modules, files=files),
    )


def judge(facts: Facts) -> NextBoot:
    return next_boot(Context(facts=facts, catalogue=make_catalogue()))


def with_kernels(facts: Facts, *kernels: Kernel) -> Facts:
    return replace(facts, kernels=replace(facts.kernels, installed=kernels))


# --- the verdict -----------------------------------------------------------------------------------


def test_healthy() -> None:
    found = judge(host())
    assert found.verdict == "yes"
    assert found.sentence == (
        f"The next boot starts {KERNEL} (the boot loader's default) and has a working driver: "
        f"{VERSION} proprietary."
    )
    assert found.advice == ""
    assert [found.rows[0].cell(c).state for c in ("headers", "module", "signature")] == ["ok"] * 3


def test_new_default_kernel_without_module() -> None:
    found = judge(two(module=False))
    assert (found.verdict, found.next) == ("no", (NEW,))
    assert "there is no nvidia module for it" in found.sentence
    assert f"{KERNEL} still has one." in found.sentence


def test_new_kernel_that_is_not_the_default_does_not_matter() -> None:
    assert judge(two(default=KERNEL, module=False)).verdict == "yes"


def test_one_shot_comes_before_the_default() -> None:
    facts = two(default=KERNEL, module=False, one_shot=True)
    assert judge(facts).verdict == "no"
    ignored = replace(facts, kernels=replace(facts.kernels, boots_once=False))
    assert judge(ignored).verdict == "yes"


def test_one_shot_that_works_warns_of_the_boot_after_it() -> None:
    facts = two(default=NEW, module=False)
    new, old = facts.kernels.installed
    found = judge(with_kernels(facts, new, replace(old, one_shot=True)))
    assert (found.verdict, found.next) == ("yes", (KERNEL,))
    assert found.advice == f"The boot after that starts {NEW} without a working driver."


def test_unknown_default_is_yes_only_if_every_kernel_works() -> None:
    unread = Unknown("reading /boot/grub/grub.cfg needs root")
    for module, verdict in ((True, "yes"), (False, "unknown")):
        facts = two(module=module)
        kernels = [replace(kernel, default=unread) for kernel in facts.kernels.installed]
        found = judge(with_kernels(facts, *kernels))
        assert found.verdict == verdict
        assert len(found.next) == 2
        assert "nknown" in found.sentence or "not known" in found.sentence


def test_missing_headers_are_only_advice() -> None:
    facts = with_kernels(host(), make_kernel(headers=False))
    found = judge(facts)
    assert found.verdict == "yes"
    assert "next driver update can't be built" in found.advice


def test_module_of_another_version_than_the_libraries() -> None:
    facts = host()
    found = judge(replace(facts, modules=replace(facts.modules, files=make_files(version="535.1"))))
    assert found.verdict == "no"
    assert f"is 535.1, but the installed libraries are {VERSION}" in found.sentence


def test_module_for_another_kernel() -> None:
    facts = host()
    files = tuple(replace(f, vermagic="6.1.0-1 SMP") for f in make_files())
    found = judge(replace(facts, modules=replace(facts.modules, files=files)))
    assert found.verdict == "no"
    assert "built for 6.1.0-1" in found.sentence


def test_flavour_that_the_gpu_refuses() -> None:
    facts = host()
    (gpu,) = facts.pci.gpus
    v100 = replace(facts.pci, gpus=(replace(gpu, pci_id="10de:1db4"),))
    files = make_files(flavour=Flavour.OPEN)
    found = judge(replace(facts, pci=v100, modules=replace(facts.modules, files=files)))
    assert found.verdict == "no"
    assert "not supported by open kernel modules" in found.sentence


def test_unsigned_and_unenrolled() -> None:
    facts = host()
    files = tuple(replace(f, signer=None, signature_key=None) for f in make_files())
    # What is loaded now was taken: the file on disk is another one.
    away = replace(facts.modules, files=files, loaded=(), loaded_version=None)
    assert "is not signed" in judge(replace(facts, modules=away)).sentence
    keys = tuple(replace(k, enrolled=False) for k in facts.secure_boot.keys)
    secure = replace(facts.secure_boot, enrolled=(), keys=keys)
    away = replace(away, files=make_files())
    found = judge(replace(facts, modules=away, secure_boot=secure))
    assert found.verdict == "no"
    assert "is not enrolled" in found.sentence
    off = SecureBootFacts(SecureBoot.DISABLED, "none", False, (), (), ())
    assert judge(replace(facts, modules=away, secure_boot=off)).verdict == "yes"


def _inside(name: str, version: str | Unknown = VERSION, kept: tuple[str, ...] = ()) -> Facts:
    module = InitramfsModule(name, f"/usr/lib/modules/{KERNEL}/{name}.ko", KERNEL, version)
    return replace(host(), initramfs=(Initramfs(KERNEL, "/boot/initrd.img", (module,), kept),))


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (_inside("nvidia"), "yes", VERSION),
        (_inside("nvidia", "535.1"), "no", f"holds nvidia 535.1, which loads before the {VERSION}"),
        (_inside("nvidia", Unknown("zstd")), "unknown", "version could not be read"),
        (_inside("nouveau"), "no", "holds nouveau and nothing there keeps it"),
        (_inside("nouveau", kept=("nouveau",)), "yes", VERSION),
        (replace(healthy()), "unknown", "its initramfs was not read: not looked at"),
        (replace(healthy(), initramfs=()), "unknown", "not in /boot"),
        (
            replace(healthy(), initramfs=(replace(clean(), path=""), clean(NEW))),
            "no",
            "no initramfs",
        ),
        (replace(healthy(), initramfs=(replace(clean(), path=""),)), "yes", VERSION),
    ],
)
def test_initramfs(facts: Facts, verdict: str, words: str) -> None:
    found = judge(facts)
    assert (found.verdict, words in found.sentence) == (verdict, True), found.sentence


def test_command_line_keeps_nouveau_out_of_the_initramfs() -> None:
    facts = _inside("nouveau")
    listing = ("nouveau /proc/cmdline:1",)
    assert (
        judge(replace(facts, modules=replace(facts.modules, blacklisted=listing))).verdict == "yes"
    )


def test_blacklists() -> None:
    facts = host()
    away = replace(facts.modules, loaded=(), loaded_version=None)
    for listing, verdict in (
        (("nvidia /etc/modprobe.d/old.conf:1", "nouveau /x:1"), "no"),
        ((), "no"),
        (Unknown("needs root"), "unknown"),
        (("nouveau /x:1",), "yes"),
    ):
        modules = replace(away, blacklisted=listing)
        assert judge(replace(facts, modules=modules)).verdict == verdict


def test_nothing_known_and_nothing_installed() -> None:
    assert judge(replace(fresh(), initramfs=())).verdict == "no"
    assert "No NVIDIA driver is installed" in judge(fresh()).sentence
    unread = replace(host().kernels, installed=Unknown("no /lib/modules"))
    found = judge(host(kernels=unread))
    assert (found.verdict, found.rows) == ("unknown", ())
    assert judge(with_kernels(host())).verdict == "unknown"


# --- the ledger ------------------------------------------------------------------------------------

UPGRADE = Change(
    "2026-11-20 06:12:03", "libcuda1", "upgrade", "550.163.01-2", "560.1.01-1",
    "/usr/bin/unattended-upgrade", "", True, "/var/log/apt/history.log",
)  # fmt: skip


def upgraded() -> Facts:
    """Unattended upgrade moved the libraries; the module on disk and the loaded one stayed."""
    facts = host(history=(UPGRADE,))
    libraries = tuple(replace(item, version="560.1.01") for item in facts.libraries.libraries)
    installed = tuple(
        replace(p, version="560.1.01-1") if p.name == "libcuda1" else p
        for p in facts.packages.installed
    )
    return replace(
        facts,
        libraries=replace(facts.libraries, libraries=libraries),
        packages=replace(facts.packages, installed=installed),
    )


SENTENCE = (
    "libcuda1 went from 550.163.01-2 to 560.1.01-1 on 2026-11-20 06:12:03 by unattended-upgrade; "
    f"the loaded module stayed at {VERSION}."
)


def test_culprit() -> None:
    found = ledger(Context(facts=upgraded(), catalogue=make_catalogue()))
    assert found.culprit == SENTENCE
    assert {item.id for item in found.differing} == {"libcuda", "libnvidia-ml"}


def test_the_ladder_names_the_culprit() -> None:
    report = climb(Context(facts=upgraded(), catalogue=make_catalogue()))
    libraries = report.rung("libraries")
    told = [item for cause in libraries.causes for item in cause.evidence]
    assert SENTENCE in {item.text for item in told}
    assert "/var/log/apt/history.log" in {item.source for item in told}


def test_new_kernel_without_module_is_the_culprit() -> None:
    facts = two(module=False)
    name = f"linux-image-{NEW}"
    change = Change(
        "2026-11-21 07:00:00", name, "install", "", "6.12.117-1", "apt upgrade", "root", False, "h"
    )
    packages = (*facts.packages.installed, Package(name, "6.12.117-1"))
    facts = replace(facts, history=(change,), packages=replace(facts.packages, installed=packages))
    assert ledger(Context(facts=facts, catalogue=make_catalogue())).culprit == (
        f"{name} came as 6.12.117-1 on 2026-11-21 07:00:00 by 'apt upgrade'; no nvidia module was "
        f"built for {NEW}."
    )


def test_all_agree_and_unknown_history() -> None:
    found = ledger(Context(facts=host(), catalogue=make_catalogue()))
    assert (found.differing, found.culprit, found.reference) == ((), "", VERSION)
    assert isinstance(found.history, Unknown)
    assert {"loaded", "module", "libcuda", "libnvidia-ml", "gsp", "kernel", "headers"} <= {
        item.id for item in found.components
    }


def test_initramfs_is_told_as_the_origin_of_an_old_loaded_module() -> None:
    facts = _inside("nvidia", "535.1")
    modules = replace(facts.modules, loaded_version="535.1")
    report = climb(Context(facts=replace(facts, modules=modules), catalogue=make_catalogue()))
    assert report.rung("loaded").causes[0].cause == "initramfs-stale-module"


# --- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--next-boot", "--ledger"])
@pytest.mark.parametrize("name", ["debian13-fresh", "h200-x1", "h200-x2"])
def test_records(option: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["check", option, "--host", str(HOSTS / f"{name}.json")])
    text = capsys.readouterr().out
    assert text.strip()
    assert main(["check", option, "--json", "--host", str(HOSTS / f"{name}.json")]) == status
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    if option == "--next-boot":
        assert status == 1
        assert document["verdict"] == ("no" if name == "debian13-fresh" else "unknown")
        assert ("nknown" in text) == (document["verdict"] == "unknown")


def test_bad_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"schema": 1, "digests": {"initramfs /boot/x": 3}}')
    assert main(["check", "--next-boot", "--host", str(bad)]) == 2
    assert "/digests/initramfs ~1boot~1x" in capsys.readouterr().err


def test_a_module_whose_version_is_not_known_is_no_promise() -> None:
    facts = host()
    assert isinstance(facts.modules.files, tuple)
    vague = tuple(replace(f, version=Unknown("modinfo failed")) for f in facts.modules.files)
    by_dkms = judge(replace(facts, modules=replace(facts.modules, files=vague)))
    assert by_dkms.rows[0].module.state == "ok", "dkms says which version it installed"
    elsewhere = tuple(replace(f, path=f.path.replace("/dkms", "")) for f in vague)
    found = judge(replace(facts, modules=replace(facts.modules, files=elsewhere)))
    assert found.verdict == "unknown"
    assert (found.rows[0].module.state, found.rows[0].module.text) == ("unknown", "version unknown")
    assert "modinfo failed" in found.sentence
