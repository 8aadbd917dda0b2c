"""The Xid catalogue and what lines of the kernel's log are decoded to."""

from __future__ import annotations

import ast
from pathlib import Path

from gpu_bringup import ladder
from gpu_bringup.failures.loader import load
from gpu_bringup.failures.titles import titles
from gpu_bringup.failures.xids import catalogue, decode, describe


def test_each_number_has_a_source_and_speaks_for_a_known_failure() -> None:
    known = catalogue()
    assert len(known) > 100
    causes = {entry.cause for entry in known.values() if entry.cause}
    assert causes <= load().keys()
    assert all(entry.sources and entry.meaning and entry.name for entry in known.values())


def test_a_line_is_decoded_with_its_gpu() -> None:
    told = decode("kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.")
    assert told is not None
    assert (told.gpu, told.number) == ("0000:3b:00", 79)
    assert "restart the machine" in told.words


def test_a_recovery_action_is_told_in_the_drivers_words() -> None:
    told = decode(
        "NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) "
        "to 0x2 (Node Reboot Required)"
    )
    assert told is not None
    assert told.words.endswith("Node Reboot Required")


def test_unit_severity_and_link_of_nvlink_5_are_told() -> None:
    told = decode(
        "NVRM: Xid (PCI:0018:01:00): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409a0c2 0x8)"
    )
    assert told is not None
    assert "RLW_RXPIPE, not fatal, link 13" in told.words


def test_switches_and_other_lines() -> None:
    told = decode("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32")
    assert told is not None
    assert told.number == 12028
    assert decode("NVRM: loading NVIDIA UNIX Open Kernel Module") is None


def test_an_unknown_number_is_told_as_such() -> None:
    assert "not in NVIDIA's catalogue" in describe(9999)


def test_every_cause_that_a_rung_names_is_in_the_catalogue_of_failures() -> None:
    """The ladder and explain share one set of ids."""
    source = Path(ladder.__file__).parent
    named = {
        call.args[0].value
        for path in source.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "cause"
        and isinstance(call.args[0], ast.Constant)
    }
    assert len(named) > 50
    assert named <= titles().keys()
