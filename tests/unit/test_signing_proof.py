"""Where an enrolment stands and what proves it, from what a host's facts really say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_bringup import engine, enrolling
from gpu_bringup.facts.secure_boot import parse_kernel_keys
from gpu_bringup.signing import proof
from gpu_bringup.signing.enrolment import ASKED, Stage, enrolment
from gpu_bringup.signing.report import Report
from unit import secure_record as made
from unit.secure_record import Record


@pytest.fixture(scope="module")
def catalogue():
    return engine.load_catalogue()


def told(data: Record, catalogue) -> Report:
    return enrolling.enrolment(engine.observe(made.host(data)), catalogue)


def states(report: Report) -> dict[str, str]:
    return {witness.name: witness.state for witness in report.witnesses}


# --- stages


@pytest.mark.parametrize("stage", made.STAGES)
def test_each_stage_is_told_apart(stage: str, catalogue) -> None:
    report = told(made.secure(stage), catalogue)
    assert report.enrolment.stage.value == stage
    assert bool(report.enrolment.next) == (stage != "enrolled")


def test_no_key(catalogue) -> None:
    data = made.secure("not-asked")
    data["listings"]["/var/lib/dkms"] = ["nvidia-current"]
    data["certificates"] = {made.LISTED: [made.OTHER], made.WAITS: []}
    assert told(data, catalogue).enrolment.stage is Stage.NO_KEY


def test_a_request_that_was_taken_back_in_this_boot_was_not_missed(catalogue) -> None:
    data = made.secure("missed")
    data["files"][ASKED] = f"{made.NOW}\n"
    found = told(data, catalogue).enrolment
    assert found.stage is Stage.NOT_ASKED
    assert "taken back" in found.text


def test_what_can_not_be_read_is_unknown(catalogue) -> None:
    data = made.secure("missed")
    del data["certificates"][made.LISTED]
    del data["kinds"]["/sys/firmware/efi/efivars"]
    found = told(data, catalogue).enrolment
    assert found.stage is Stage.UNKNOWN
    assert "not known" in found.text


def test_without_the_mark_nobody_asked(catalogue) -> None:
    """A mark that can't be read is no proof that a screen was missed."""
    data = made.secure("missed")
    del data["files"][ASKED]
    assert told(data, catalogue).enrolment.stage is Stage.NOT_ASKED


def test_no_key_at_all_needs_no_facts(catalogue) -> None:
    facts = engine.observe(made.host(made.secure("missed")))
    assert enrolment(facts.secure_boot, None).stage is Stage.NO_KEY


# --- witnesses


def test_everything_proven(catalogue) -> None:
    report = told(made.secure("enrolled", taken=True), catalogue)
    assert set(states(report).values()) == {proof.GOOD}
    assert report.verdict == proof.GOOD
    modules = [witness for witness in report.witnesses if witness.name in proof.MODULES]
    assert len(modules) == 5
    assert all(witness.source.endswith(".ko.xz") for witness in modules)


def _unlisted(data: Record) -> None:
    data["certificates"][made.LISTED] = [made.OTHER]


def _not_in_kernel(data: Record) -> None:
    data["files"]["/proc/keys"] = made.KEYS


def _refused(data: Record) -> None:
    data["commands"]["dmesg"]["output"] += made.REFUSED.replace("9.3", "30.3")


def _one_unsigned(data: Record) -> None:
    for name, result in data["commands"].items():
        if name.startswith("modinfo"):
            head, _, tail = result["output"].rpartition("sig_id:         PKCS#7")
            lines = [
                line for line in tail.splitlines() if not line.startswith(("signer:", "sig_key:"))
            ]
            result["output"] = head + "\n".join(lines).lstrip("\n") + "\n"


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (_unlisted, "key in the firmware"),
        (_not_in_kernel, "key in the kernel"),
        (_refused, "module taken by the kernel"),
        (_one_unsigned, "nvidia_uvm"),
    ],
)
def test_each_witness_can_fail_alone(spoil: Callable[[Record], None], name: str, catalogue) -> None:
    data = made.secure("enrolled", taken=True)
    spoil(data)
    report = told(data, catalogue)
    found = states(report)
    assert found.pop(name) == proof.BAD
    assert proof.BAD not in found.values(), "no other one speaks against it"
    assert report.verdict == proof.BAD


@pytest.mark.parametrize(("seconds", "again"), [(100.0, True), (20.0, False)])
def test_a_module_that_was_made_anew_is_not_judged_by_an_older_refusal(
    seconds: float, again: bool, catalogue
) -> None:
    data = made.secure("enrolled")
    _refused(data)
    begun = 1_790_000_000
    data["files"]["/proc/stat"] = f"cpu 1 2 3\nbtime {begun}\nprocesses 9\n"
    kernel = data["files"]["/proc/sys/kernel/osrelease"].strip()
    path = f"/lib/modules/{kernel}/updates/dkms/nvidia-current.ko.xz"
    data["digests"] = {f"modified {path}": {"time": begun + seconds, "inode": 7}}
    facts = engine.observe(made.host(data))
    assert facts.log.refused_older is again
    report = enrolling.enrolment(facts, catalogue)
    wanted = proof.OPEN if again else proof.BAD
    assert states(report)["module taken by the kernel"] == wanted
    rung = engine.check(engine.context(None, facts, catalogue)).rung("signature")
    assert [item.cause for item in rung.causes] == (
        [] if again else ["sb-key-not-trusted-by-kernel"]
    )


def test_nobody_has_tried_yet(catalogue) -> None:
    report = told(made.secure("enrolled"), catalogue)
    assert states(report)["module taken by the kernel"] == proof.OPEN
    assert report.verdict == proof.OPEN


def test_the_last_word_of_the_kernel_counts(catalogue) -> None:
    data = made.secure("enrolled")
    data["commands"]["dmesg"]["output"] += made.REFUSED + made.TAKEN
    assert states(told(data, catalogue))["module taken by the kernel"] == proof.GOOD


def test_keys_that_a_user_may_not_see_are_unknown_and_not_missing(catalogue) -> None:
    data = made.secure("enrolled", taken=True)
    data["files"]["/proc/keys"] = ""
    report = told(data, catalogue)
    assert states(report)["key in the kernel"] == proof.OPEN
    assert "root sees them" in next(
        witness.text for witness in report.witnesses if witness.source == "/proc/keys"
    )


def test_another_key_of_the_same_name_is_not_this_one(catalogue) -> None:
    data = made.secure("enrolled", taken=True)
    data["files"]["/proc/keys"] = made.KEYS + made.OWN_IN_KERNEL.replace("3c5b", "ffff")
    kernel = next(w for w in told(data, catalogue).witnesses if w.source == "/proc/keys")
    assert kernel.state == proof.BAD and "another of that name" in kernel.text


def test_a_foreign_signature_of_an_enrolled_key_counts(catalogue) -> None:
    report = told(made.secure("enrolled", taken=True, signer=made.OTHER["subject"]), catalogue)
    texts = [w.text for w in report.witnesses if w.name == "nvidia"]
    assert texts == [f"signed by an enrolled key ({made.OTHER['subject']})"]


def test_without_secure_boot_the_key_is_no_witness(catalogue) -> None:
    data = made.secure("not-asked", taken=True)
    data["commands"]["mokutil --sb-state"]["output"] = "SecureBoot disabled\n"
    data["commands"]["dmesg"]["output"] = (
        "[    0.0] secureboot: Secure boot disabled\n" + made.TAKEN
    )
    data["files"]["/sys/kernel/security/lockdown"] = "[none] integrity confidentiality\n"
    data["files"]["/sys/module/module/parameters/sig_enforce"] = "N\n"
    report = told(data, catalogue)
    assert list(states(report)) == ["Secure Boot", "module taken by the kernel"]
    assert report.verdict == proof.GOOD


def test_a_verdict_is_as_weak_as_its_weakest_witness() -> None:
    good, bad, vague = (
        proof.Witness("a", state, "", "") for state in (proof.GOOD, proof.BAD, proof.OPEN)
    )
    assert proof.verdict([good]) == proof.GOOD
    assert proof.verdict([good, vague]) == proof.OPEN
    assert proof.verdict([vague, bad, good]) == proof.BAD


# --- /proc/keys


def test_certificates_of_the_kernels_keyrings() -> None:
    text = (
        made.KEYS
        + made.OWN_IN_KERNEL
        + (
            "2a54a2c8 I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: empty\n"
            "0b1c2d3e I------     1 perm 1f010000     0     0 asymmetri no certificate: 00: pkcs7 []\n"
        )
    )
    assert parse_kernel_keys(text) == (
        "Fedora kernel signing key: d69a84e6bce3d216b979e9505b3e3ef9a7118079",
        f"{made.NAME}: 3c5b3d07aa11bb22cc33",
    )
    assert parse_kernel_keys("") == ()


# --- asking again


@pytest.mark.parametrize("stage", made.STAGES)
def test_asking_again_only_where_it_helps(stage: str, catalogue) -> None:
    facts = engine.observe(made.host(made.secure(stage)))
    plan = enrolling.enrol_again(facts, catalogue)
    ids = [step.id for step in plan.steps]
    if stage in ("missed", "not-asked"):
        assert ids[0] == "enrol-key" and plan.steps[-1].reboot
        assert len(ids) == 2
        assert plan.steps[0].commands[0].argv == ("mokutil", "--import", made.MOK)
    elif stage == "waiting":
        assert plan.steps and all(step.reboot for step in plan.steps), "nothing is asked twice"
    else:
        assert plan.empty and plan.blocked
