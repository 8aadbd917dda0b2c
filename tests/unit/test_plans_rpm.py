"""Plans for every rpm distribution: some thirty as texts, and all of them held against what a
reviewer from these distributions would not let pass.

Texts are written anew by ``PYTHONPATH=tui:tests python -m unit.plan_goldens``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from gpu_bringup.catalogue.lookup import find_gpu
from gpu_bringup.engine import load_catalogue
from gpu_bringup.errors import RefusedError
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.plan import Plan, Step
from unit import plan_goldens
from unit.plan_goldens import PlanCase

FOLDER = plan_goldens.PLANS / "rpm"

HGX = ("H100",) * 8
EL8 = "4.18.0-553.el8_10.x86_64"
EL9 = "5.14.0-687.51.1.el9_8.x86_64"
EL9_64K = "5.14.0-687.51.1.el9_8.aarch64+64k"
EL10 = "6.12.0-211.51.1.el10_2.x86_64"
EL10_64K = "6.12.0-211.51.1.el10_2.aarch64+64k"
UEK8 = "5.15.0-300.163.18.el8uek.x86_64"
UEK9 = "6.12.0-105.51.5.el9uek.x86_64"
FC44 = "7.2.6-200.fc44.x86_64"
SLE15 = "6.4.0-150700.53.40-default"
SLE15_64K = "6.4.0-150700.53.40-64kb"
LEAP15 = "6.4.0-150600.23.65-default"
SLE16 = "6.12.0-160000.29-default"
SLE16_64K = "6.12.0-160000.29-64kb"
AL1, AL12, AL18 = (
    f"{version}.amzn2023.x86_64"
    for version in ("6.1.164-196.303", "6.12.74-98.124", "6.18.15-14.217")
)
AL12_ARM = "6.12.74-98.124.amzn2023.aarch64"

CASES = (
    PlanCase("rhel:8", EL8, ("V100",)),
    PlanCase("rhel:8", EL8, HGX, secure_boot=True),
    PlanCase("rhel:8", EL8, ("L4",), source="local"),
    PlanCase("rhel:9", EL9, HGX, secure_boot=True),
    PlanCase("rhel:9", EL9, ("L4",), scenario="kubernetes"),
    PlanCase("rhel:9", EL9, ("RTX PRO 6000 Server",), scenario="compliance"),
    PlanCase("rhel:9", EL9, ("B200",) * 8, scenario="new-hardware"),
    PlanCase("rhel:9", EL9_64K, ("GB200",) * 4),
    PlanCase("rhel:10", EL10, HGX, secure_boot=True),
    PlanCase("rhel:10", EL10_64K, ("GB200",) * 4, source="distribution"),
    PlanCase("rhel:10", EL10, ("L4",), source="nvidia-repository"),
    PlanCase("rhel:10", EL10, ("L4",), source="local"),
    PlanCase("almalinux:9", EL9, ("L4",), secure_boot=True, source="distribution"),
    PlanCase("almalinux:9", EL9, HGX, source="distribution"),
    PlanCase("almalinux:10", EL10, ("L4",), source="distribution", scenario="kubernetes"),
    PlanCase("rocky:8", EL8, ("V100",), secure_boot=False),
    PlanCase("rocky:9", EL9, HGX, secure_boot=False),
    PlanCase("rocky:10", EL10, ("L4",)),
    PlanCase("centos:9", EL9, ("L4",)),
    PlanCase("ol:8", UEK8, ("L4",)),
    PlanCase("ol:9", UEK9, ("B200",) * 8),
    PlanCase("fedora:44", FC44, ("V100",), secure_boot=True),
    PlanCase("fedora:44", FC44, HGX),
    PlanCase("sles:15.7", SLE15, HGX, secure_boot=True),
    PlanCase("sles:15.7", SLE15, ("V100",), secure_boot=True),
    PlanCase("sles:15.7", SLE15_64K, ("GH200",), source="distribution"),
    PlanCase("sles:16.0", SLE16, ("B200",) * 8, source="distribution"),
    PlanCase("sles:16.0", SLE16, ("L4",), source="nvidia-repository", scenario="kubernetes"),
    PlanCase("opensuse-leap:15.6", LEAP15, ("L4",), source="nvidia-repository"),
    PlanCase("opensuse-leap:16.0", SLE16, ("V100",)),
    PlanCase("amzn:2023", AL1, ("V100",)),
    PlanCase("amzn:2023", AL12, HGX, source="distribution"),
    PlanCase("amzn:2023", AL18, ("L4",), scenario="kubernetes"),
    PlanCase("amzn:2023", AL12_ARM, ("GB200",) * 4),
)

HOSTS = (
    ("rhel:8", EL8), ("rhel:9", EL9), ("rhel:9", EL9_64K), ("rhel:10", EL10),
    ("rhel:10", EL10_64K), ("almalinux:8", EL8), ("almalinux:9", EL9), ("almalinux:10", EL10),
    ("rocky:8", EL8), ("rocky:9", EL9), ("rocky:10", EL10), ("centos:9", EL9), ("centos:10", EL10),
    ("ol:8", EL8), ("ol:8", UEK8), ("ol:9", UEK9), ("ol:10", EL10), ("fedora:44", FC44),
    ("sles:15.7", SLE15), ("sles:15.7", SLE15_64K), ("sles:15.6", LEAP15), ("sles:16.0", SLE16),
    ("sles:16.0", SLE16_64K), ("opensuse-leap:15.6", LEAP15), ("opensuse-leap:16.0", SLE16),
    ("amzn:2023", AL1), ("amzn:2023", AL12), ("amzn:2023", AL18), ("amzn:2023", AL12_ARM),
)  # fmt: skip
BOARDS = (HGX, ("L4",), ("V100",), ("B200",) * 8, ("RTX PRO 6000 Server",), ("GB200",) * 4)
ARM_BOARDS = ("GB200", "GH200")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_reads_as_before(case: PlanCase, catalogue: Catalogue) -> None:
    path = FOLDER / f"{case.name}.txt"
    assert plan_goldens.text(case, catalogue) == path.read_text(encoding="utf-8")


def test_each_text_has_its_case() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == sorted(c.name for c in CASES)


def combinations(os: str, kernel: str) -> Iterator[PlanCase]:
    """What a server of this system may be asked for."""
    arm = "aarch64" in kernel or kernel.endswith("64kb")
    for gpus, secure_boot, source in product(
        BOARDS, (True, False), ("", "distribution", "nvidia-repository", "local")
    ):
        if arm == (gpus[0] in ARM_BOARDS):
            yield PlanCase(os, kernel, gpus, secure_boot, source)
    if not arm:
        for scenario in ("kubernetes", "compliance", "new-hardware"):
            yield PlanCase(os, kernel, HGX, True, scenario=scenario)


def argvs(plan: Plan) -> Iterator[tuple[Step, tuple[str, ...]]]:
    for step in plan.steps:
        for command in (*step.commands, *step.undo):
            yield step, command.argv


NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
_OPTIONS = re.compile(r"^(?:-|https://dl\.fedoraproject\.org/pub/epel/)")


def installed(plan: Plan) -> list[str]:
    """Every package that an install command names, "=" written as each manager writes it."""
    names: list[str] = []
    for step in plan.steps:
        for command in step.commands:
            argv = command.argv
            if argv[0] == "sh" and argv[1].endswith("install-matching.sh"):
                names += argv[4:]
            elif "install" in argv[:4] and argv[0] in ("dnf", "zypper"):
                names += [name for name in argv[argv.index("install") + 1 :] if name[0] != "-"]
    return names


def faults(case: PlanCase, plan: Plan, catalogue: Catalogue) -> list[str]:
    """What a reviewer would not let pass in this plan; empty: nothing."""
    found: list[str] = []
    zypper = case.os.startswith(("sles", "opensuse"))
    for step, argv in argvs(plan):
        line = " ".join(argv)
        found += [
            f"{step.id}: {bad}"
            for bad in ("--nogpgcheck", "--no-gpg-check", "--force", "--nodeps", "--allowerasing")
            if bad in argv
        ]
        forgets = argv[:3] == ("rpm", "-e", "--allmatches") and argv[3].startswith("gpg-pubkey-")
        if argv[0] in ("yum", "rpm") and argv[:2] != ("rpm", "--import") and not forgets:
            found.append(f"{step.id}: {line}")
        by_address = argv[0] == "dnf" and any(word.startswith("https://") for word in argv)
        if by_address and "--setopt=localpkg_gpgcheck=1" not in argv:
            found.append(f"{step.id}: a package by its address without a look at its signature")
        if argv[0] == ("dnf" if zypper else "zypper"):
            found.append(f"{step.id}: the other distribution's manager: {line}")
        if case.os.startswith("fedora") and "module" in argv:
            found.append(f"{step.id}: Fedora has no module streams")
    for step in plan.steps:
        if not step.why or not step.title:
            found.append(f"{step.id}: says no reason")
        if step.writes and any(
            # A local index may be unsigned; then each package's own signature counts.
            re.search(r"(?<!repo_)gpgcheck=0", item.content)
            for item in step.writes
        ):
            found.append(f"{step.id}: unsigned packages")
        changes = step.packages or step.writes
        silent = step.id.startswith(("refresh", "initramfs", "build-module"))
        kept = "leaves these packages" in step.risk or step.id in (
            "signing-key",
            "enable-components",
        )
        if changes and not step.undo and not silent and not kept:
            found.append(f"{step.id}: neither undo nor a word why there is none")
    names = installed(plan)
    found += [f"no package name: {name}" for name in names if not valid(name, zypper)]
    found += headers_faults(case, names, zypper)
    found += source_faults(case, plan)
    driver = plan.target["driver"]
    version, flavour = driver["version"], driver["flavour"]
    modules = [name for name in names if MODULE.search(name)]
    if len({base(name) for name in modules}) != 1:
        found.append(f"module packages: {modules}")
    found += [
        f"{name} isn't {flavour}" for name in modules if ("open" in name) != (flavour == "open")
    ]
    boards = [find_gpu(catalogue, name) for name in case.gpus]
    wanted = {board.open_modules for board in boards if board is not None}
    if ("unsupported" in wanted and flavour == "open") or (
        "required" in wanted and flavour != "open"
    ):
        found.append(f"{flavour} modules for {case.gpus[0]}")
    if driver.get("certain", True) and not any(version in name for name in modules):
        found.append(f"the module's version is left to chance: {modules}")
    fabric = [n for n in names if re.match(r"nvidia-fabricmanager|nvidia-imex|libnvidia-nscq", n)]
    at = version if driver.get("certain", True) else "="
    found += [f"{name} isn't of the driver's version" for name in fabric if at not in name]
    if any("libnvsdm" in name for name in names) and case.gpus[0] in ARM_BOARDS:
        found.append("libnvsdm exists for x86_64 only")
    return found


MODULE = re.compile(
    r"^(?:kmod-(?:64k-)?nvidia|nvidia-open-kmod|nvidia-open-driver-G0|nvidia-driver-G0|nvidia-open$)"
)


STREAM = {"open": "-open", "proprietary": "-dkms"}


def source_faults(case: PlanCase, plan: Plan) -> list[str]:
    """Repositories, module streams and locks that don't fit this system."""
    found: list[str] = []
    os_id, _, version = case.os.partition(":")
    number = version.partition(".")[0]
    driver = plan.target["driver"]
    arm = "aarch64" in case.kernel or case.kernel.endswith("64kb")
    suse = {"15": "opensuse15" if os_id == "opensuse-leap" else "sles15", "16": "suse16"}
    distro = {
        "fedora": f"fedora{number}", "amzn": f"amzn{number}", "sles": suse.get(number),
        "opensuse-leap": suse.get(number),
    }.get(os_id, f"rhel{number}")  # fmt: skip
    lines = [" ".join(c.argv) for step in plan.steps for c in step.commands]
    place = f"/cuda/repos/{distro}/{'sbsa' if arm else 'x86_64'}/"
    texts = [
        item.content for step in plan.steps for item in step.writes if "baseurl=" in item.content
    ]
    for text in (*texts, *(line for line in lines if "/cuda/repos/" in line)):
        if "/cuda/repos/" in text and place not in text:
            found.append(f"a repository of another system than {place}")
    found += ["a repository without its check" for text in texts if "gpgcheck=1" not in text]
    streams = [line for line in lines if " module enable " in line]
    modular = number in ("8", "9", "2023") and os_id not in ("sles", "opensuse-leap")
    kind = plan.target["source"]["kind"]
    wanted = f"nvidia-driver:{driver['branch']}{STREAM[driver['flavour']]}"
    if modular and kind == "nvidia-repository" and [s.split()[-1] for s in streams] != [wanted]:
        found.append(f"module stream {streams} instead of {wanted}")
    if streams and (not modular or kind == "local"):
        found.append("module streams where there are none")
    locks = [i for i, line in enumerate(lines) if "versionlock add" in line]
    tool = [i for i, line in enumerate(lines) if "python3-dnf-plugin-versionlock" in line]
    if locks and os_id != "fedora" and (not tool or tool[0] > locks[0]):
        found.append("versionlock before its plugin is there")
    if any("subscription-manager" in line for line in lines) and os_id != "rhel":
        found.append("subscription-manager outside of RHEL")
    if any("config-manager --set-enabled" in line for line in lines) and os_id == "rhel":
        found.append("config-manager on a subscribed RHEL")
    found += [
        f"asks something: {line}"
        for line in lines
        if line.startswith(("dnf ", "zypper "))
        and not line.startswith(("dnf -y ", "zypper --non-interactive "))
        and "config-manager" not in line
    ]
    flavour = case.kernel.rpartition("-")[2]
    found += [
        f"{name} on a {flavour} kernel"
        for name in installed(plan)
        if "-kmp-" in name and not name.endswith(f"-kmp-{flavour}")
    ]
    driver_step = next((i for i, step in enumerate(plan.steps) if step.id == "driver"), -1)
    hold = next((i for i, step in enumerate(plan.steps) if step.id == "hold-set"), len(plan.steps))
    if hold < driver_step:
        found.append("held before it is installed")
    return found


def base(name: str) -> str:
    """The module's kind, whatever kernel flavour or version it is for."""
    return re.sub(r"[-=]\d.*$|-kmp-.*$", "", name)


def valid(name: str, zypper: bool) -> bool:
    if name.startswith("https://dl.fedoraproject.org/pub/epel/epel-release-latest-"):
        return True
    plain, _, version = name.partition("=")
    # zypper takes name=version; to dnf it would be a name that nothing matches.
    return bool(NAME.match(plain)) and (zypper or "=" not in name or not version)


def headers_faults(case: PlanCase, names: list[str], zypper: bool) -> list[str]:
    """Build trees of another kernel than this one, or of no stated one."""
    trees = [name for name in names if re.match(r"kernel\S*-devel", name)]
    exact = case.kernel.partition("+")[0].removesuffix("-default").removesuffix("-64kb")
    found = [f"{name} isn't of {exact}" for name in trees if not name.endswith(exact)]
    for mark, stem in (("+64k", "kernel-64k-"), ("-64kb", "kernel-64kb-"), ("uek", "kernel-uek-")):
        if mark in case.kernel:
            found += [f"{name} isn't {stem}*" for name in trees if not name.startswith(stem)]
    series = re.match(r"(6\.1[0-9])\.", case.kernel)
    if case.os.startswith("amzn") and series:
        stem = f"kernel{series[1]}-"
        found += [f"{name} isn't {stem}*" for name in trees if not name.startswith(stem)]
    built = any("dkms" in name for name in names if name != "dkms") or any(
        re.match(r"nvidia-(?:open-)?driver-G0\d(?:=|$)", name) for name in names
    )
    if built and not trees:
        found.append("built here, and no build tree")
    if built and "el8uek" in case.kernel and "gcc-toolset-11" not in names:
        found.append("UEK 7 on release 8 is not built by gcc 8")
    if built and not {"gcc", "gcc13"} & set(names):
        found.append("built here, and no compiler")
    return found


def changed(plan: Plan, old: str, new: str) -> Plan:
    """The plan with a text exchanged in all commands and files."""
    steps = tuple(
        replace(
            step,
            commands=tuple(
                replace(c, argv=tuple(word.replace(old, new) for word in c.argv))
                for c in step.commands
            ),
            writes=tuple(replace(w, content=w.content.replace(old, new)) for w in step.writes),
        )
        for step in plan.steps
    )
    assert steps != plan.steps, old
    return replace(plan, steps=steps)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("kmod-nvidia-open-dkms", "kmod-nvidia-latest-dkms", "isn't open"),
        ("nvidia-fabricmanager-580.178.04", "nvidia-fabricmanager", "the driver's version"),
        ("kmod-nvidia-open-dkms-580.178.04", "kmod-nvidia-open-dkms", "left to chance"),
        (f"kernel-devel-{EL9}", "kernel-devel", "isn't of"),
        (f"kernel-devel-matched-{EL9}", "kernel-devel-matched", "isn't of"),
        ("dnf", "yum", "yum"),
        ("gpgcheck=1", "gpgcheck=0", "unsigned"),
        ("--setopt=localpkg_gpgcheck=1", "--quiet", "without a look at its signature"),
        ("--setopt=install_weak_deps=False", "--nogpgcheck", "--nogpgcheck"),
        ("580-open", "580-dkms", "module stream"),
        ("repos/rhel9/x86_64", "repos/rhel9/sbsa", "another system"),
        ("gcc", "cpp", "no compiler"),
        ("kernel-devel", "bash", "no build tree"),
        ("openssl", "open ssl", "no package name"),
        ("python3-dnf-plugin-versionlock", "python3", "before its plugin"),
    ],
)
def test_a_reviewer_would_object(catalogue: Catalogue, old: str, new: str, fault: str) -> None:
    case = PlanCase("rhel:9", EL9, HGX, driver="580.178.04")
    plan, _ = plan_goldens.make(case, catalogue)
    assert faults(case, plan, catalogue) == []
    found = faults(case, changed(plan, old, new), catalogue)
    assert any(fault in text for text in found), found


def test_a_reviewer_misses_undo_and_reason(catalogue: Catalogue) -> None:
    case = PlanCase("sles:15.7", SLE15, HGX, source="distribution")
    plan, _ = plan_goldens.make(case, catalogue)
    bare = replace(plan, steps=tuple(replace(s, undo=(), why="") for s in plan.steps))
    found = faults(case, bare, catalogue)
    assert "driver: says no reason" in found
    assert "driver: neither undo nor a word why there is none" in found
    other = changed(plan, "-kmp-default", "-kmp-azure")
    assert any("on a default kernel" in text for text in faults(case, other, catalogue))


@pytest.mark.parametrize(("os", "kernel"), HOSTS, ids=lambda value: str(value))
def test_no_reviewer_objects(os: str, kernel: str, catalogue: Catalogue) -> None:
    judged = 0
    for case in combinations(os, kernel):
        try:
            plan, _ = plan_goldens.make(case, catalogue)
        except RefusedError as error:
            assert "fingerprint" in str(error) or "x86_64 only" in str(error), case.name
            continue
        if not plan.target:
            continue
        assert faults(case, plan, catalogue) == [], case.name
        judged += 1
    # Rocky, Oracle and CentOS 10 have nothing but NVIDIA's repository, whose key is not known whole.
    assert judged or os in ("rocky:10", "centos:10", "ol:10")
