"""``gpu-bringup enrol`` as an operator meets it: text, JSON, exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_bringup import cli
from gpu_bringup.errors import ExitCode
from unit import secure_record as made

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))


def enrol(tmp_path: Path, stage: str, *argv: str, taken: bool | None = None) -> int:
    record = tmp_path / "host.json"
    record.write_text(json.dumps(made.secure(stage, taken=taken)), "utf-8")
    return cli.main(["enrol", "--host", str(record), *argv])


def test_proven(tmp_path: Path, capsys: Capture) -> None:
    assert enrol(tmp_path, "enrolled", taken=True) == ExitCode.OK
    text = capsys.readouterr().out
    assert text.startswith("Proven: the kernel takes the driver's modules.")
    assert "\n  + key in the firmware" in text and "\n  X " not in text and "Next:" not in text
    assert made.SHA1.upper() in "".join(text.split())


@pytest.mark.parametrize("stage", [stage for stage in made.STAGES if stage != "enrolled"])
def test_not_proven(stage: str, tmp_path: Path, capsys: Capture) -> None:
    assert enrol(tmp_path, stage) == ExitCode.FAILED
    text = capsys.readouterr().out
    head = {"waiting": "Waiting for the reboot:", "missed": "Missed:", "not-asked": "Not asked:",
            "passed-by": "Passed by:", "no-key": "No key:"}  # fmt: skip
    assert text.startswith(head.get(stage, "Not proven")) and "Next: " in text
    assert max(len(line) for line in text.splitlines()) <= 80 or "/lib/modules" in text


@pytest.mark.parametrize("stage", made.STAGES)
def test_json(stage: str, tmp_path: Path, capsys: Capture) -> None:
    enrol(tmp_path, stage, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["stage"] == stage
    assert document["fingerprint"] == made.SHA1
    assert document["console"]["id"] == "supermicro" and document["console"]["sources"]
    names = [witness["name"] for witness in document["proof"]]
    assert {"Secure Boot", "key in the firmware", "nvidia", "key in the kernel"} <= set(names)
    assert document["verdict"] == {"enrolled": "open"}.get(stage, "bad")


def test_the_rehearsal_needs_no_proof(tmp_path: Path, capsys: Capture) -> None:
    assert enrol(tmp_path, "missed", "--rehearse") == ExitCode.OK
    text = capsys.readouterr().out
    for number, words in enumerate(
        ("Shim UEFI key management", "Perform MOK management", "[Enroll MOK]", "Enroll the key(s)?",
         "Password:", "Perform MOK management"), 1,
    ):  # fmt: skip
        assert f"{number}. {words}" in text
    assert "> Enroll MOK" in text and "> Continue\n" in text and "> Yes" in text
    assert "Supermicro BMC" in text and "Nobody can reach a console?" in text
    assert "Not from the maker's own" in text, "a weak source is told to be one"


def test_a_record_is_never_asked_again(tmp_path: Path, capsys: Capture) -> None:
    assert enrol(tmp_path, "missed", "--again") == ExitCode.REFUSED
    told = capsys.readouterr()
    assert "can't be changed" in told.err and not told.out


def test_again_and_rehearse_do_not_go_together(tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        enrol(tmp_path, "missed", "--again", "--rehearse")
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
