"""Plans for every Debian and Ubuntu release: some thirty as texts, and several hundred held against
what a maintainer of these distributions would not let pass.

Texts are written anew by ``PYTHONPATH=tui:tests python -m unit.plan_goldens``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from gpu_bringup.catalogue.lookup import find_gpu
from gpu_bringup.engine import load_catalogue
from gpu_bringup.errors import BringupError
from gpu_bringup.export.plans import export
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.plan import Command, Plan, Step
from unit import plan_goldens
from unit.plan_goldens import PlanCase

FOLDER = plan_goldens.PLANS / "deb"

HGX = ("H100",) * 8
HGX_B200 = ("B200",) * 8
NVL = ("GB200",) * 4
D11, D12, D13 = "5.10.0-36-amd64", "6.1.0-50-amd64", "6.12.107+deb13-amd64"
D12_CLOUD, D12_BACKPORTS = "6.1.0-50-cloud-amd64", "6.12.57+deb12-amd64"
U22, U22_HWE = "5.15.0-160-generic", "6.8.0-87-generic"
U24, U24_HWE = "6.8.0-87-generic", "6.17.0-40-generic"
U24_AWS, U24_GCP, U24_AZURE = "6.17.0-1010-aws", "6.17.0-1010-gcp", "6.17.0-1010-azure"
U24_NVIDIA, U24_64K = "6.8.0-1040-nvidia", "6.17.0-1018-nvidia-64k"
U26, U26_64K = "7.0.0-30-generic", "7.0.0-1013-nvidia-64k"

CASES = (
    PlanCase("debian:11", D11, ("L4",)),
    PlanCase("debian:11", D11, HGX_B200),
    PlanCase("debian:11", D11, ("V100",), secure_boot=False, driver="535"),
    PlanCase("debian:12", D12, HGX, secure_boot=True),
    PlanCase("debian:12", D12, ("L4",), secure_boot=False, scenario="kubernetes"),
    PlanCase("debian:12", D12, ("V100",), secure_boot=False),
    PlanCase("debian:12", D12, ("L4",), secure_boot=False, source="distribution", driver="535"),
    PlanCase("debian:12", D12_CLOUD, ("L4",), source="nvidia-repository"),
    PlanCase("debian:12", D12, HGX, secure_boot=False, source="local"),
    PlanCase("debian:13", D13, HGX, secure_boot=True),
    PlanCase("debian:13", D13, HGX_B200, secure_boot=False, scenario="new-hardware"),
    PlanCase("debian:13", D13, ("L4",), secure_boot=False, source="nvidia-repository"),
    PlanCase("debian:13", D13, ("V100",), secure_boot=True),
    PlanCase("debian:13", D13, ("RTX PRO 6000 Server",), scenario="kubernetes"),
    PlanCase("debian:13", D13, ("L4",), source="local"),
    PlanCase("ubuntu:22.04", U22, HGX, secure_boot=True, source="distribution"),
    PlanCase("ubuntu:22.04", U22_HWE, ("L4",), secure_boot=True),
    PlanCase("ubuntu:22.04", U22, ("V100",), source="nvidia-repository"),
    PlanCase("ubuntu:24.04", U24, HGX, secure_boot=True, source="distribution"),
    PlanCase("ubuntu:24.04", U24, HGX, secure_boot=True, source="nvidia-repository"),
    PlanCase("ubuntu:24.04", U24, ("L4",), secure_boot=False),
    PlanCase("ubuntu:24.04", U24_HWE, ("RTX PRO 6000 Server",), source="distribution"),
    PlanCase("ubuntu:24.04", U24_AWS, ("L4",), source="distribution", scenario="kubernetes"),
    PlanCase("ubuntu:24.04", U24, HGX_B200, source="distribution", scenario="new-hardware"),
    PlanCase("ubuntu:24.04", U24, ("V100",), secure_boot=True, source="distribution"),
    PlanCase("ubuntu:24.04", U24_64K, NVL, source="distribution"),
    PlanCase("ubuntu:24.04", U24_64K, NVL, source="nvidia-repository"),
    PlanCase("ubuntu:24.04", U24, ("L4",), source="local"),
    PlanCase("ubuntu:26.04", U26, HGX, secure_boot=True),
    PlanCase("ubuntu:26.04", U26, ("V100",), secure_boot=True),
    PlanCase("ubuntu:26.04", U26, HGX_B200, secure_boot=True, source="nvidia-repository"),
    PlanCase("ubuntu:26.04", U26, ("L4",), scenario="compliance"),
)

HOSTS = (
    ("debian:11", D11), ("debian:12", D12), ("debian:12", D12_CLOUD), ("debian:12", D12_BACKPORTS),
    ("debian:13", D13), ("ubuntu:22.04", U22), ("ubuntu:22.04", U22_HWE), ("ubuntu:24.04", U24),
    ("ubuntu:24.04", U24_HWE), ("ubuntu:24.04", U24_AWS), ("ubuntu:24.04", U24_GCP),
    ("ubuntu:24.04", U24_AZURE), ("ubuntu:24.04", U24_NVIDIA), ("ubuntu:24.04", U24_64K),
    ("ubuntu:26.04", U26), ("ubuntu:26.04", U26_64K),
)  # fmt: skip
BOARDS = (HGX, ("L4",), ("V100",), HGX_B200, ("RTX PRO 6000 Server",), NVL)
LINES = {
    D11: "amd64", D12: "amd64", D12_CLOUD: "cloud-amd64", D12_BACKPORTS: "amd64", D13: "amd64",
    U22: "generic", U24_AWS: "aws", U24_GCP: "gcp", U24_AZURE: "azure", U24_NVIDIA: "nvidia",
    U24_HWE: "generic-hwe-24.04", U24_64K: "nvidia-64k-hwe-24.04", U26: "generic",
    U26_64K: "nvidia-64k",
}  # fmt: skip
"""The line of meta packages that each kernel comes from; 6.8.0-87-generic is of two."""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_reads_as_before(case: PlanCase, catalogue: Catalogue) -> None:
    path = FOLDER / f"{case.name}.txt"
    assert plan_goldens.text(case, catalogue) == path.read_text(encoding="utf-8")


def test_each_text_has_its_case() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == sorted(c.name for c in CASES)


# --- what a maintainer would object to ---------------------------------------------------------------

PACKAGE = re.compile(r"^[a-z0-9][a-z0-9+.-]+$")
"""A package's name (Debian policy 5.6.7)."""
VERSION = re.compile(r"^[0-9][A-Za-z0-9.+~:*-]*$")
MODULES = re.compile(
    r"^(?:linux-modules-nvidia-|nvidia-(?:\w+-)*dkms(?:[-=]|$)|nvidia-(?:tesla-\d+-)?kernel)"
)
SUPPORT = re.compile(r"kernel-support$")


def combinations(os: str, kernel: str) -> Iterator[PlanCase]:
    """What a server of this system may be asked for."""
    arm = kernel.endswith("-64k")
    sources = ("", "distribution", "nvidia-repository", "local")
    for gpus, secure_boot, source in product(BOARDS, (True, False), sources):
        if arm == (gpus is NVL):
            yield PlanCase(os, kernel, gpus, secure_boot, source)
    for scenario in ("kubernetes", "compliance", "new-hardware"):
        yield PlanCase(os, kernel, NVL if arm else ("L4",), True, scenario=scenario)
    yield PlanCase(os, kernel, NVL if arm else ("L4",), driver="580")


def commands(plan: Plan) -> Iterator[tuple[Step, Command]]:
    for step in plan.steps:
        for command in (*step.commands, *step.undo):
            yield step, command


def installed(plan: Plan) -> list[str]:
    """What the plan's own commands install: "name", "name=version", or "name=" (the module's)."""
    names: list[str] = []
    for step in plan.steps:
        for command in step.commands:
            argv = command.argv
            if argv[0] == "apt-get" and "install" in argv:
                rest = argv[argv.index("install") + 1 :]
                names += [word for word in rest if not word.startswith("-")]
            elif argv[0] == "sh" and argv[1].endswith("install-matching.sh"):
                names += argv[4:]
    return names


def command_faults(plan: Plan) -> list[str]:
    found: list[str] = []
    for step, command in commands(plan):
        argv = command.argv
        found += [
            f"{step.id}: {word}"
            for word in argv
            if word.startswith("--force")
            or word in ("nvidia-uninstall", "apt-key", "--allow-unauthenticated", "dnf", "zypper")
            or "trusted=yes" in word
            or any(ord(char) < 32 for char in word)
        ]
        if argv[0] == "apt":
            found.append(f"{step.id}: apt(8) is for people, apt-get for scripts")
        if shlex.split(shlex.join(argv)) != list(argv) or not all(argv):
            found.append(f"{step.id}: not safe as a list of arguments: {argv}")
    for step in plan.steps:
        if not step.title or not step.why:
            found.append(f"{step.id}: says no reason")
        for item in step.writes:
            if (
                item.path.endswith(".sources")
                and "\nSigned-By: /etc/apt/keyrings/" not in item.content
            ):
                found.append(f"{step.id}: {item.path} names no key")
        kept = "leaves these packages" in step.risk or step.writes or step.reboot
        again = step.id.startswith(
            ("refresh-", "initramfs-", "build-module-", "device-", "signing-key", "configure-")
        )
        if not step.undo and not kept and not again:
            found.append(f"{step.id}: neither undo nor a word why there is none")
        fetches = [c for c in step.commands if "fetch-key.sh" in " ".join(c.argv)]
        for fetch in fetches:
            if not re.fullmatch(r"[0-9A-F]{40}", fetch.argv[3]):
                found.append(f"{step.id}: the key isn't pinned by its whole fingerprint")
        if step.id.startswith("add-repository") and not fetches:
            found.append(f"{step.id}: adds a repository without checking its key")
    return found


def kernel_faults(case: PlanCase, plan: Plan, names: list[str]) -> list[str]:
    """Headers and modules of exactly this kernel, and what keeps them coming."""
    found: list[str] = []
    line = "generic-hwe-22.04" if case.os == "ubuntu:22.04" else "generic"
    line = LINES.get(case.kernel, line)
    prebuilt = [name for name in names if name.startswith("linux-modules-nvidia-")]
    headers = {name for name in names if name.startswith("linux-headers-")}
    wanted = {f"linux-headers-{case.kernel}", f"linux-headers-{line}"}
    if not prebuilt and headers != wanted:
        found.append(f"headers {headers}, not {wanted}")
    if prebuilt and (headers or "dkms" in names or "gcc" in names):
        found.append("ready-made modules, and yet something to compile")
    if prebuilt and sorted(name.endswith((case.kernel, f"-{line}")) for name in prebuilt) != (
        [True] if case.source == "local" else [True, True]
    ):
        found.append(f"ready-made modules {prebuilt}")
    if prebuilt and any(step.id == "enrol-key" for step in plan.steps):
        found.append("a key of this machine is enrolled for modules that Canonical signed")
    held = [c.argv[2:] for _, c in commands(plan) if c.argv[:2] == ("apt-mark", "hold")]
    if held and f"linux-image-{line}" not in held[0]:
        found.append(f"the driver is held, and linux-image-{line} isn't")
    return found


def faults(case: PlanCase, plan: Plan, catalogue: Catalogue) -> list[str]:
    """What a maintainer would not let pass in this plan; empty: nothing."""
    names = installed(plan)
    found = command_faults(plan) + kernel_faults(case, plan, names)
    for name in names:
        plain, _, version = name.partition("=")
        if not PACKAGE.match(plain) or (version and not VERSION.match(version)):
            found.append(f"no package: {name}")
    driver = plan.target["driver"]
    flavour = driver["flavour"]
    modules = [n for n in names if MODULES.match(n) and not SUPPORT.search(n.partition("=")[0])]
    if not modules:
        found.append("no modules are installed")
    found += [f"{n} isn't {flavour}" for n in modules if ("open" in n) != (flavour == "open")]
    boards = [find_gpu(catalogue, name) for name in case.gpus]
    wishes = {board.open_modules for board in boards if board is not None}
    if flavour == "open" and "unsupported" in wishes:
        found.append(f"open modules for {case.gpus[0]}")
    if flavour == "proprietary" and "required" in wishes:
        found.append(f"proprietary modules for {case.gpus[0]}")
    found += fabric_faults(case, plan, names)
    if plan.target["source"]["kind"] == "nvidia-repository":
        pins = [n for n in names if n.startswith("nvidia-driver-pinning-")]
        if pins != [f"nvidia-driver-pinning-{driver['branch']}"]:
            found.append(f"the branch isn't pinned: {pins}")
    if case.os == "debian:11" and any("non-free-firmware" in text for text in plan.blocked):
        found.append("Debian 11 has no non-free-firmware")
    return found


def fabric_faults(case: PlanCase, plan: Plan, names: list[str]) -> list[str]:
    """The fabric software is there where it must be, in exactly the driver's version."""
    found: list[str] = []
    fabric = [n for n in names if n.startswith(("nvidia-fabricmanager", "nvidia-imex"))]
    reboots = any(step.reboot for step in plan.steps)
    need = {"H100": "nvidia-fabricmanager", "B200": "nvidia-fabricmanager", "GB200": "nvidia-imex"}
    stem = need.get(case.gpus[0], "") if len(case.gpus) > 1 else ""
    if stem and not reboots and not any(n.startswith(stem) for n in fabric):
        found.append(f"{stem} is missing")
    if not stem and fabric:
        found.append(f"{fabric} where there is no fabric")
    branch, version = plan.target["driver"]["branch"], plan.target["driver"]["version"]
    archive = plan.target["source"]["kind"] == "distribution" and case.os.startswith("ubuntu")
    for name in fabric:
        plain, equals, wanted = name.partition("=")
        # Ubuntu's depends on nvidia-kernel-common of its own version; else it follows the module.
        follows = equals and not wanted
        exact = wanted.startswith(f"{version}-")
        if not (archive and plain.endswith(f"-{branch}")) and not follows and not exact:
            found.append(f"{name} isn't tied to driver {version}")
    if case.gpus[0] == "B200" and not reboots and "nvlsm" not in names:
        found.append("NVLink 5 without nvlsm")
    return found


def plans(os: str, kernel: str, catalogue: Catalogue) -> Iterator[tuple[PlanCase, Plan]]:
    """Those that have a target."""
    for case in combinations(os, kernel):
        try:
            plan, _ = plan_goldens.make(case, catalogue)
        except BringupError as error:
            assert error.hint, case.name
            continue
        if plan.target and plan.steps:
            yield case, plan


@pytest.mark.parametrize(("os", "kernel"), HOSTS)
def test_no_maintainer_objects(os: str, kernel: str, catalogue: Catalogue) -> None:
    judged = list(plans(os, kernel, catalogue))
    told = {case.name: faults(case, plan, catalogue) for case, plan in judged}
    assert {name: found for name, found in told.items() if found} == {}
    assert len(judged) >= 8 or os == "debian:11"


def test_every_release_has_an_answer_that_names_its_constraint(catalogue: Catalogue) -> None:
    for case in combinations("debian:11", D11):
        text = plan_goldens.text(case, catalogue)
        assert text.strip(), case.name
    old = PlanCase("debian:11", D11, ("V100",), driver="535")
    names = installed(plan_goldens.make(old, catalogue)[0])
    assert "nvidia-kernel-dkms=535.309.01-0+deb11u1" in names


# --- their exports -------------------------------------------------------------------------------------


def each_once(catalogue: Catalogue) -> list[tuple[str, Plan]]:
    found = []
    for case in CASES:
        plan, _ = plan_goldens.make(case, catalogue)
        found.append((case.name, plan))
    return found


def test_markdown_is_whole(catalogue: Catalogue) -> None:
    for name, plan in each_once(catalogue):
        open_fence = ""
        for line in export(plan, "markdown").splitlines():
            fence = re.match(r"`{3,}", line)
            if fence and not open_fence:
                open_fence = fence[0]
            elif open_fence and line == open_fence:
                open_fence = ""
        assert not open_fence, name


@pytest.mark.process
def test_scripts_are_clean_and_run_dry(catalogue: Catalogue, tmp_path: Path) -> None:
    assert shutil.which("shellcheck"), "this test needs shellcheck"
    scripts = []
    for name, plan in each_once(catalogue):
        path = tmp_path / f"{name}.sh"
        path.write_text(export(plan, "shell"), encoding="utf-8")
        scripts.append(str(path))
        if plan.empty:
            continue
        listed = subprocess.run(
            ["sh", str(path), "--list"], capture_output=True, text=True, check=True
        )
        assert [line.split()[1] for line in listed.stdout.splitlines()] == [
            step.id for step in plan.steps
        ]
        # Another host's plan changes nothing here, and says whose it is.
        other = subprocess.run(
            ["sh", str(path), "--dry-run"], capture_output=True, text=True, check=False
        )
        assert other.returncode == 4, name
        assert "Nothing was changed" in other.stderr
    for script in scripts:
        subprocess.run(["sh", "-n", script], check=True)
    done = subprocess.run(
        ["shellcheck", "-s", "sh", *scripts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
