"""Codes in plain words: the recovery action, SXid, NVLink 5; the transaction behind a mismatch."""

from __future__ import annotations

import io

import pytest

from gpu_bringup.explain.context import parse
from gpu_bringup.explain.explain import explain
from gpu_bringup.explain.finding import Explanation, Finding
from gpu_bringup.failures.fabric import codes, link_words, switch_words
from gpu_bringup.failures.loader import load
from gpu_bringup.failures.xids import decode
from gpu_bringup.model.fabric_codes import SEVERITIES
from gpu_bringup.model.xid import ACTIONS

FAILURES = load()
ACTION = "NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) to {code} ({words})\n"


def told(text: str, *context: str) -> Explanation:
    return explain(io.BytesIO(text.encode()), FAILURES, parse(list(context)))


def commands(finding: Finding) -> list[tuple[str, ...]]:
    return [command.argv for step in finding.repair for command in step.commands]


@pytest.mark.parametrize(
    ("code", "argv", "reboot"),
    [
        ("0x1", ("nvidia-smi", "--gpu-reset", "-i", "0000:3b:00"), False),
        ("0x2", ("systemctl", "reboot"), True),
        ("0x3", ("nvidia-smi", "-q", "-i", "0000:3b:00"), False),
        ("0x4", ("nvidia-smi", "--gpu-reset", "-i", "0000:3b:00"), False),
        ("0x7", ("systemctl", "reboot"), True),
    ],
)
def test_the_repair_is_what_the_driver_asks_for(
    code: str, argv: tuple[str, ...], reboot: bool
) -> None:
    finding = told(ACTION.format(code=code, words="said")).findings[0]
    assert finding.cause == "xid-gpu-fault"
    assert commands(finding) == [argv]
    assert [step.reboot for step in finding.repair] == [reboot]


def test_what_the_driver_asks_for_takes_the_place_of_a_reset() -> None:
    text = "NVRM: Xid (PCI:0000:3b:00): 95, pid=1, Uncontained: LTC TAG\n"
    alone = told(text).findings[0]
    assert any("--gpu-reset" in argv for argv in commands(alone))
    asked = told(text + ACTION.format(code="0x2", words="Node Reboot Required")).findings[0]
    assert asked.cause == alone.cause == "xid-ecc-row-remap"
    assert ("systemctl", "reboot") in commands(asked)
    assert not any("--gpu-reset" in argv for argv in commands(asked))


def test_a_fault_without_an_action_is_told_to_look_for_one() -> None:
    finding = told("NVRM: Xid (PCI:0000:3b:00): 62, pid=1, 2023b230\n").findings[0]
    assert commands(finding) == [("nvidia-smi", "-q")]


def test_the_transaction_behind_a_mismatch_is_named() -> None:
    finding = told(
        "Failed to initialize NVML: Driver/library version mismatch\n"
        "NVML library version: 535.161\n"
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05\n"
        "Start-Date: 2024-03-20  06:12:33\n"
        "Commandline: /usr/bin/unattended-upgrade\n"
        "Upgrade: libnvidia-compute-535:amd64 (535.154.05-0ubuntu1, 535.161.07-0ubuntu1)\n"
    ).findings[0]
    assert finding.cause == "driver-library-mismatch"
    assert finding.confidence > 0.85
    assert finding.decoded == (
        "/usr/bin/unattended-upgrade moved libnvidia-compute-535 from 535.154.05-0ubuntu1 to "
        "535.161.07-0ubuntu1 on 2024-03-20  06:12:33",
    )


def test_an_api_mismatch_alone_has_two_rivals_and_says_what_decides() -> None:
    found = told("NVRM: API mismatch: the client has the version 535.161.07, but\n").findings
    assert [finding.cause for finding in found] == [
        "driver-library-mismatch",
        "driver-library-mismatch-stale-on-disk",
    ]
    assert all(finding.fetch == (("modinfo", "-F", "version", "nvidia"),) for finding in found)
    assert "modinfo -F version nvidia" in found[0].tell_apart
    assert found[0].confidence < 0.7


def test_nvlink_5_is_blamed_for_802_only_where_the_gpu_has_it() -> None:
    text = "RuntimeError: Error 802: system not yet initialized\n"
    assert told(text).findings[0].cause == "fabricmanager-not-running"
    assert told(text, "gpu=NVIDIA H100").findings[0].cause == "fabricmanager-not-running"
    assert told(text, "gpu=NVIDIA B200").findings[0].cause == "nvlink5-prereqs-missing"


def test_each_entry_of_the_fabrics_codes_is_whole() -> None:
    known = codes()
    numbers = [number for entry in known.switch for number in entry.numbers]
    assert len(numbers) == len(set(numbers)) > 80
    assert {entry.do for entry in known.switch} <= ACTIONS.keys()
    assert {entry.severity for entry in known.switch} == SEVERITIES.keys()
    assert all(entry.sources for entry in (*known.switch, *known.units, *known.down))


def test_a_switch_error_is_told_with_its_severity() -> None:
    assert "nothing by itself" in switch_words(22013)
    assert "fatal for the whole fabric" in switch_words(23003)
    assert "is not in the fabric manager's guide" in switch_words(99999)


def test_a_harmless_switch_error_is_no_finding_worth_a_name() -> None:
    noise = "nvidia-nvswitch3: SXid (PCI:0000:04:00.0): {}, Severity 0 Engine instance 44\n"
    assert told(noise.format(22013)).findings[0].confidence < 0.3
    assert told(noise.format(23003)).findings[0].confidence > 0.6


@pytest.mark.parametrize(
    ("unit", "numbers", "words"),
    [
        ("RLW_REMAP", "(0x04000082 0x00000040 0x0)", "fatal: drain and reset"),
        ("RLW_REMAP", "(0x04000082 0x00000100 0x0)", "nothing to do"),
        ("RLW_RXPIPE", "(0x0409a0c2 0x00000008 0x0)", "no action now"),
        ("NETIR_LINK_EVT", "(0x025001c6 0x00000000 0x0)", "the link's other end"),
        ("NETIR_BER_EVENT", "(0x00000226 0x00000001 0x0)", "cables"),
    ],
)
def test_the_numbers_of_nvlink_5_are_read(unit: str, numbers: str, words: str) -> None:
    assert words in link_words(unit, f"{unit} Fatal XC0 i0 Link 13 {numbers}")


def test_numbers_that_are_not_there_or_not_known_add_nothing() -> None:
    assert link_words("RLW_REMAP", "RLW_REMAP Fatal XC0 i0 Link 13") == ""
    assert link_words("NO_SUCH_UNIT", "(0x0 0x1)") == ""


def test_a_line_of_nvlink_5_is_decoded_as_a_whole() -> None:
    line = (
        "NVRM: Xid (PCI:0000:00:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x025001c6 0x0 0x0)"
    )
    decoded = decode(line)
    assert decoded is not None
    assert "Reason 37" in decoded.words


def test_what_no_source_confirms_is_told_as_such() -> None:
    unsure = [failure.id for failure in FAILURES.values() if failure.certainty == "unconfirmed"]
    assert unsure == ["precompiled-modules-missing-ubuntu"]
    assert all(FAILURES[name].note for name in unsure)
