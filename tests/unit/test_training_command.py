"""``gpu-bringup train`` as people and scripts call it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup import engine
from gpu_bringup.cli import main
from gpu_bringup.model.plan import Plan
from gpu_bringup.run.journal import Journal
from gpu_bringup.training import library, proofs

HOSTS = Path(__file__).resolve().parents[1] / "hosts"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


SOLVE = ("modprobe nvidia", "modprobe nvidia-uvm", "systemctl start nvidia-persistenced", "check")


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list", "--json"]) == 0
    lessons = document(capsys)["lessons"]
    assert len(lessons) >= 16
    for row in lessons:
        assert {"id", "title", "level", "minutes", "rungs", "solved"} <= row.keys()
        assert row["solved"] is False
    assert main(["train"]) == 0
    words = capsys.readouterr().out
    assert "TRAINING" in words and all(row["id"] in words for row in lessons)


def test_the_plan_solves_a_lesson(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "boot-full", "--auto", "--json"]) == 0
    found = document(capsys)
    assert found["schema"] == 1 and found["lesson"] == "boot-full" and found["solved"] is True
    assert found["steps"] and found["simulated_seconds"] > 0 and found["score"]["points"] == 100
    assert main(["train", "boot-full", "--auto"]) == 0
    assert "TRAINING" in capsys.readouterr().out
    # What the program solves counts for nobody.
    assert main(["train", "--list", "--json"]) == 0
    assert not any(row["solved"] for row in document(capsys)["lessons"])


def test_the_shell_on_a_plain_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "story", "hint", "nvidia-smi", "quit")
    assert main(["train", "reading-the-ladder", "--shell", "--operator", "anna"]) == 1
    words = capsys.readouterr().out
    assert "TRAINING root@" in words and "couldn't communicate with the NVIDIA driver" in words
    typed(monkeypatch, *SOLVE)
    assert main(["train", "reading-the-ladder", "--shell", "--operator", "anna"]) == 0
    words = capsys.readouterr().out
    assert "You go on where you were" in words and "Solved with 97 of 100 points" in words
    assert main(["train", "--list", "--json", "--operator", "anna"]) == 0
    (row,) = [r for r in document(capsys)["lessons"] if r["id"] == "reading-the-ladder"]
    assert row["solved"] is True and row["best"] == 97
    # A solved one begins anew.
    typed(monkeypatch, "check")
    assert main(["train", "reading-the-ladder", "--shell", "--operator", "anna"]) == 1


def test_the_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    typed(monkeypatch, *SOLVE)
    assert main(["train", "reading-the-ladder", "--shell", "--operator", "anna"]) == 0
    capsys.readouterr()
    assert main(["train", "--report"]) == 0
    assert "## anna" in capsys.readouterr().out
    assert main(["train", "--report", "--json"]) == 0
    (sheet,) = document(capsys)["operators"]
    assert sheet["operator"] == "anna" and sheet["solved"] == 1
    page = tmp_path / "report.html"
    assert main(["train", "--report", "--format", "html", "-o", str(page)]) == 0
    assert "<table>" in page.read_text()
    assert main(["train", "--report", "--format", "json", "-o", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["training"] is True


def test_a_damaged_progress_file_is_told_and_the_rest_is_reported(
    capsys: pytest.CaptureFixture[str], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, *SOLVE)
    assert main(["train", "reading-the-ladder", "--shell", "--operator", "anna"]) == 0
    (state / "training/progress/berta.json").write_text("{")
    capsys.readouterr()
    assert main(["train", "--report"]) == 2
    told = capsys.readouterr()
    assert "## anna" in told.out and "berta.json" in told.err
    assert main(["train", "--list", "--operator", "berta"]) == 2


def test_the_instructor_breaks_a_running_exercise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "xid-79", "--operator", "anna", "--break", "loud-log"]) == 2
    assert "there is no exercise" in capsys.readouterr().err
    typed(monkeypatch, "uname -r")
    main(["train", "xid-79", "--shell", "--operator", "anna"])
    assert main(["train", "xid-79", "--operator", "anna", "--break", "loud-log"]) == 0
    assert main(["train", "xid-79", "--operator", "anna", "--break", "loud-lgo"]) == 2
    assert "did you mean 'loud-log'" in capsys.readouterr().err
    typed(monkeypatch, "dmesg | grep -c ACPI")
    main(["train", "xid-79", "--shell", "--operator", "anna"])
    assert "\n1\n" in capsys.readouterr().out


def test_builders_and_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--faults", "--json"]) == 0
    found = document(capsys)
    names = {item["name"] for item in found["faults"]}
    assert {"module-unloaded", "nvswitch-board", "boot-full"} <= names
    assert all(item["text"] for item in (*found["builders"], *found["faults"]))
    assert main(["train", "--faults"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "no-such-lesson"], "there is no lesson"),
        (["train", "boot-ful", "--auto"], "did you mean 'boot-full'"),
        (["train", "--list", "--operator", "../x"], "can't be used as a name"),
        (["train", "--from-record", "/no/such/file"], "no run"),
        (["train", "--from-record", str(HOSTS / "h200-x1.json")], "it is healthy"),
        (
            ["train", "--from-record", str(HOSTS / "h200-x1.json"), "--break", "zzz"],
            "no fault 'zzz'",
        ),
        (["train", "--from-record", __file__], "test_training_command.py"),
        (["train", "--report", "-o", "/no/such/folder/x"], "there is no folder"),
        (["train", "--list", "--profiles", "/no/such"], "there is no such folder"),
    ],
)
def test_bad_input(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(arguments)
    assert words in capsys.readouterr().err
    assert status == 2


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ("debian13-kernel-upgraded.json", ""),
        ("debian13-fresh.json", ""),
        ("h200-x1.json", "module-unloaded"),
        ("h200-x2.json", "old-kernels"),
    ],
)
def test_a_recorded_host_becomes_a_lesson_that_can_be_solved(
    record: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "profiles/lessons"
    folder.mkdir(parents=True)
    made = folder / "made.toml"
    further = ["--break", fault] if fault else []
    assert main(["train", "--from-record", str(HOSTS / record), "-o", str(made), *further]) == 0
    found = library.examine(made)
    (lesson,) = [item for item in found.lessons.values() if found.places[item.id].layer]
    assert list(proofs.problems(found, engine.load_catalogue(), [lesson])) == []
    assert main(["train", lesson.id, "--auto", "--profiles", str(tmp_path / "profiles")]) == 0


def test_a_finished_run_becomes_a_lesson(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exercises = state / "training/exercises/auto/nouveau-in-initramfs/runs/run-1"
    assert main(["train", "nouveau-in-initramfs", "--auto"]) == 0
    run = state / "runs/20261102-063000-ab12"
    run.parent.mkdir(parents=True)
    shutil.copytree(exercises, run)
    (run / "run.json").write_text('{"schema": 1, "label": "this machine"}')
    made = tmp_path / "made.toml"
    assert main(["train", "--from-record", run.name, "-o", str(made)]) == 0
    found = library.examine(made)
    lesson = found.lesson("run-20261102-063000-ab12")
    assert lesson.host.faults == ("nouveau-in-initramfs",)
    assert list(proofs.problems(found, engine.load_catalogue(), [lesson])) == []


def test_a_run_without_steps_is_refused(state: Path) -> None:
    run = state / "runs/20261102-063000-ab13"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"schema": 1, "label": "x"}')
    journal = Journal(run)
    journal.write("run-started", plan=Plan({}, ()).to_json())
    journal.close()
    assert main(["train", "--from-record", run.name]) == 2


def test_validate_knows_lessons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles", "validate", "--json"]) == 0
    assert document(capsys)["entries"]["lessons"] >= 16
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "x.toml").write_text("[[lesson]]\nid = 'x'\n", encoding="utf-8")
    for path in (folder / "x.toml", tmp_path):
        assert main(["profiles", "validate", str(path), "--json"]) == 2
        (problem,) = document(capsys)["problems"]
        assert problem["file"] == str(folder / "x.toml") and problem["line"] == 1
        assert "'title' is missing" in problem["message"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("debian13-kernel-upgraded.json", ""),
        ("h200-x1.json", "every rung holds"),
        ("no-such.json", ".host.record"),
    ],
)
def test_a_lesson_on_a_record_beside_it(record: str, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "lessons"
    folder.mkdir()
    for path in HOSTS.glob("*.json"):
        shutil.copy(path, folder)
    text = (HOSTS.parents[1] / "profiles/lessons/20-headers-after-upgrade.toml").read_text("utf-8")
    text = text.replace('builder = "debian13"', f'record = "{record}"')
    text = text.replace('"kernel-upgraded headers=missing"', "")
    (folder / "x.toml").write_text(text, encoding="utf-8")
    found = library.load(tmp_path)
    lesson = found.lesson("headers-after-upgrade")
    problems = list(proofs.problems(found, engine.load_catalogue(), [lesson]))
    assert len(problems) == bool(words)
    assert all(words in problem.message for problem in problems)
