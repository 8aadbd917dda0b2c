"""Plans that used to fail on the server: keyless repositories, dkms 2.8.4, CDI files, Kepler."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.engine import described, load_catalogue, recommend
from gpu_bringup.families.debian import SIGN_TOOL
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.containers import _cdi_step
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.plan import Plan
from gpu_bringup.model.target import Recommendation, Verdict
from unit import plan_goldens
from unit.plan_goldens import PlanCase, make

FOLDER = plan_goldens.PLANS / "gaps"
CASES = (
    PlanCase("debian:11", "5.10.0-36-amd64", ("V100",), secure_boot=True, driver="535"),
    PlanCase("debian:12", "6.1.0-50-amd64", ("Tesla K80",), secure_boot=False, driver="470"),
)
DEBIAN_11, KEPLER = CASES
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "dkms-sign.sh"
EL10 = "6.12.0-211.51.1.el10_2.x86_64"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_reads_as_it_did(case: PlanCase) -> None:
    expected = (FOLDER / f"{case.name}.txt").read_text(encoding="utf-8")
    assert plan_goldens.text(case, load_catalogue()) == expected


def choice(os_id: str, kernel: str, gpu: str = "L4") -> Recommendation:
    answers, catalogue = Answers(gpus=(gpu,), os=os_id, kernel=kernel), load_catalogue()
    return recommend(described(answers, catalogue), answers, catalogue)


@pytest.mark.parametrize("os_id", ["almalinux:10", "rhel:10"])
def test_a_repository_without_a_known_key_comes_after_one_that_works(os_id: str) -> None:
    found = choice(os_id, EL10)
    assert found.chosen is not None
    assert found.chosen.target.source_kind == "distribution"
    whys = [
        why for other, why in found.alternatives if other.target.source_kind == "nvidia-repository"
    ]
    assert any("fingerprint" in why for why in whys), whys


def test_where_only_such_a_repository_has_it_the_reason_is_named() -> None:
    found = choice("rocky:10", EL10)
    assert found.chosen is not None
    (reason,) = [r for r in found.chosen.reasons if r.rule == "source-reachable"]
    assert reason.verdict is Verdict.UNKNOWN
    assert "fingerprint of its key isn't known" in reason.detail


def order(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


def test_debian_11_makes_its_key_and_signs_before_the_driver_is_built() -> None:
    plan = make(DEBIAN_11, load_catalogue())[0]
    steps = order(plan)
    assert steps.index("signing-key") < steps.index("driver") < steps.index("enrol-key")
    step = plan.steps[steps.index("signing-key")]
    assert [w.path for w in step.writes] == [SIGN_TOOL]
    assert step.writes[0].content == SCRIPT.read_text(encoding="utf-8")
    newer = make(replace(DEBIAN_11, os="debian:12", kernel="6.1.0-50-amd64", driver="580"),
                 load_catalogue())[0]  # fmt: skip
    assert not any(w.path == SIGN_TOOL for s in newer.steps for w in s.writes)


@pytest.mark.process
def test_dkms_is_told_of_the_script_once_and_the_undo_restores_its_file(tmp_path: Path) -> None:
    plan = make(DEBIAN_11, load_catalogue())[0]
    step = next(step for step in plan.steps if step.id == "signing-key")
    before = (
        '## called with kernel version and module name\n# sign_tool="/etc/dkms/sign_helper.sh"\n'
    )
    file = tmp_path / "framework.conf"
    file.write_text(before)

    def edit(argv: tuple[str, ...]) -> None:
        words = [str(file) if word == "/etc/dkms/framework.conf" else word for word in argv]
        subprocess.run(words, check=True)

    (told,) = [c.argv for c in step.commands if c.argv[0] == "sed"]
    edit(told)
    edit(told)
    assert file.read_text() == f'{before}sign_tool="{SIGN_TOOL}"\n'
    edit(step.undo[0].argv)
    assert file.read_text() == before


@pytest.mark.process
def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    def make_key() -> str:
        environment = {**os.environ, "GPU_BRINGUP_DKMS": str(tmp_path / "dkms")}
        argv = ["sh", str(SCRIPT), "--make-key"]
        return subprocess.run(
            argv, check=True, env=environment, stdout=subprocess.PIPE, text=True
        ).stdout

    assert "made" in make_key()
    key, certificate = tmp_path / "dkms/mok.key", tmp_path / "dkms/mok.pub"
    first = key.read_bytes(), certificate.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    shown = ["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-in", str(certificate)]
    done = subprocess.run(shown, check=True, stdout=subprocess.PIPE, text=True)
    assert "DKMS module signing key" in done.stdout
    assert "already" in make_key()
    assert (key.read_bytes(), certificate.read_bytes()) == first


def test_kepler_gets_its_last_branch_where_a_release_has_it_and_is_told_that_it_ended() -> None:
    plan, notes = make(KEPLER, load_catalogue())
    assert plan.target["driver"]["version"] == "470.256.02"
    assert any("R470 has had no security fixes since July 2024" in note for note in notes)
    # Unasked, an ended branch isn't chosen; bookworm-backports' kernel breaks it.
    assert choice("debian:12", KEPLER.kernel, "Tesla K80").chosen is None


def test_the_toolkits_own_unit_writes_the_cdi_file_where_there_is_one() -> None:
    case = PlanCase("debian:12", "6.1.0-50-amd64", ("L4",), False, scenario="kubernetes")
    plan = make(case, load_catalogue())[0]
    step = next(step for step in plan.steps if step.id == "cdi-spec")
    words = [" ".join(command.argv) for command in step.commands]
    assert words == [
        "systemctl enable --now nvidia-cdi-refresh.path",
        "systemctl restart nvidia-cdi-refresh.service",
    ]
    assert not any("/etc/cdi" in " ".join(c.argv) for s in plan.steps for c in s.commands)


@pytest.mark.parametrize(("version", "static"), [("1.17.8", True), ("1.18.0", False)])
def test_an_older_toolkit_gets_a_static_file(version: str, static: bool) -> None:
    from gpu_bringup.families.detect import family_for
    from gpu_bringup.model.unknown import Unknown

    answers, catalogue = Answers(gpus=("L4",), os="debian:12"), load_catalogue()
    facts = described(answers, catalogue)
    assert not isinstance(facts.os, Unknown)
    facts = replace(facts, containers=replace(facts.containers, toolkit_version=version))
    step = _cdi_step(Context(facts, catalogue, family=family_for(facts.os)))
    words = " ".join(word for command in step.commands for word in command.argv)
    assert ("/etc/cdi/nvidia.yaml" in words) is static
