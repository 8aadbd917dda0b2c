"""Every lesson: sound, solved by the engine's own plan, and by its own solution typed into the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated.faults import FAULTS
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.lesson import HANDED_OVER, Lesson
from gpu_bringup.training import auto, causes, contradictions, library, named, proofs, simulation
from gpu_bringup.training.exercise import Exercise
from gpu_bringup.training.library import Library

LIBRARY = library.load()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return engine.load_catalogue()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize("lesson", LIBRARY.lessons.values(), ids=LIBRARY.lessons)
def test_the_plan_solves_it(lesson: Lesson, catalogue: Catalogue) -> None:
    exercise = Exercise.begin(LIBRARY, lesson, catalogue, "auto", "wizard")
    assert not exercise.judgement().solved
    found = auto.solve(exercise)
    assert found.solved, found.why_not
    assert found.judgement is not None and all(rule.kept for rule in found.judgement.rules)
    document = found.to_json(exercise.tally.simulated_seconds)
    assert document["schema"] == 1 and document["lesson"] == lesson.id and document["solved"]
    assert document["score"]["points"] == 100
    # A second plan is empty: nothing was left half mended.
    assert exercise.situation().plan.empty
    assert (exercise.situation().report.verdict == "broken") == (lesson.solved.ends == HANDED_OVER)
    # What was written down gives the very same server again.
    again = Exercise.resume(LIBRARY, lesson, catalogue, "auto")
    assert again.judgement() == exercise.judgement()
    assert again.machine.clock == exercise.machine.clock


@pytest.mark.parametrize("lesson", LIBRARY.lessons.values(), ids=LIBRARY.lessons)
def test_it_is_sound_and_its_own_solution_solves_it(lesson: Lesson, catalogue: Catalogue) -> None:
    assert [str(error) for error in proofs.problems(LIBRARY, catalogue, [lesson])] == []


@pytest.mark.parametrize("lesson", LIBRARY.lessons.values(), ids=LIBRARY.lessons)
def test_its_hints_fit_where_one_stands(lesson: Lesson, catalogue: Catalogue) -> None:
    exercise = Exercise.begin(LIBRARY, lesson, catalogue, "anna")
    texts = [exercise.hint() for _ in range(4)]
    assert [item.strength for item in texts] == ["weak", "medium", "strong", "strong"]
    assert [item.stronger for item in texts] == [True, True, False, False]
    assert exercise.solution()


@pytest.mark.parametrize("lesson", LIBRARY.lessons.values(), ids=LIBRARY.lessons)
def test_the_guided_way_asks_about_each_rung(lesson: Lesson, catalogue: Catalogue) -> None:
    exercise = Exercise.begin(LIBRARY, lesson, catalogue, "anna", "guided")
    rungs = exercise.guided()
    assert len(rungs) == 17
    for rung in rungs:
        assert rung.teaches and rung.question.question and rung.question.because
        assert 1 <= rung.question.answer <= len(rung.question.choices)
    assert any(rung.about for rung in rungs)


def test_the_faults_of_real_causes_exist() -> None:
    for table in (causes.FAULT_OF_CAUSE, causes.FAULT_OF_RUNG):
        for faults in table.values():
            assert all(named.parse(text).name in FAULTS for text in faults)
            machine = simulation.make("debian13", faults)
            assert list(contradictions.of(machine)) == []


SOURCE = '[[source]]\nid = "book"\ntitle = "A book"\nurl = ""\nread = 2026-11-23\n'
LESSON = """
[[lesson]]
id = "mine"
title = "A lesson"
level = "beginner"
minutes = 10
rungs = ["loaded"]
story = "It broke."
goals = ["See it."]
sources = ["book"]
solution = ["modprobe nvidia", "modprobe nvidia-uvm", "systemctl start nvidia-persistenced"]
[lesson.host]
builder = "debian13"
faults = ["module-unloaded"]
[lesson.solved]
[[lesson.hint]]
weak = "Look."
medium = "Look there."
strong = "Do it."
[[lesson.debrief]]
rung = "loaded"
text = "It was not loaded."
"""


def mine(folder: Path, text: str) -> tuple[Library, list[InputError]]:
    path = folder / "mine.toml"
    path.write_text(SOURCE + text, encoding="utf-8")
    found = library.examine(path)
    return found, list(proofs.problems(found, engine.load_catalogue(), [found.lesson("mine")]))


def test_a_sound_lesson_of_ones_own(tmp_path: Path) -> None:
    assert mine(tmp_path, LESSON)[1] == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('builder = "debian13"', 'builder = "debian9"', "there is no builder 'debian9'"),
        ('builder = "debian13"', 'builder = "debian13 gpu=h900"', "gpu=h900"),
        ('builder = "debian13"', 'builder = "debian13 gpus=99"', "gpus=99"),
        ('builder = "debian13"', 'builder = "debian13 driver=1.2.3"', "1.2.3"),
        ('"module-unloaded"', '"module-unload"', "did you mean 'module-unloaded'"),
        ('"module-unloaded"', '"module-unloaded x=1"', "has no parameter 'x'"),
        ('"module-unloaded"', '"wrong-flavour", "wrong-flavour"', "installed here already"),
        ('faults = ["module-unloaded"]', "faults = []", "every rung holds"),
        ('rungs = ["loaded"]', 'rungs = ["fabric"]', "the debrief says nothing of fabric"),
        ('"modprobe nvidia",', '"apt-get install -y linux-headers-amd46",', "no package"),
        ('"modprobe nvidia",', '"frobnicate",', "there is no such command"),
        ('"systemctl start nvidia-persistenced"', '"true"', "its own solution doesn't solve it"),
        (
            "[lesson.solved]",
            '[lesson.solved]\nkeeps = ["/srv/x"]\nwhy = "y"',
            "the plan doesn't solve it",
        ),
        ("[lesson.solved]", '[lesson.solved]\nholds = ["gpu"]', "solved before anything was done"),
        ("[lesson.solved]", '[lesson.solved]\nends = "handed-over"', "doesn't solve it"),
    ],
)
def test_a_lesson_that_is_not_sound_says_where(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in LESSON
    try:
        problems = mine(tmp_path, LESSON.replace(old, new, 1))[1]
    except InputError as error:
        problems = [error]
    assert len(problems) == 1
    assert words in problems[0].message
    assert str(tmp_path / "mine.toml") in problems[0].message
    assert "lesson 'mine'" in problems[0].message


def test_the_lesson_in_the_readme_is_sound(tmp_path: Path) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    page = readme[readme.index("## Training") :]
    text = page[page.index("    [[source]]") : page.index("`gpu-bringup profiles validate FILE`")]
    path = tmp_path / "ours.toml"
    path.write_text("\n".join(line[4:] for line in text.splitlines()), encoding="utf-8")
    found = library.examine(path)
    lesson = found.lesson("our-monday")
    assert list(proofs.problems(found, engine.load_catalogue(), [lesson])) == []


def test_a_rung_that_the_lesson_does_not_speak_of(tmp_path: Path) -> None:
    text = LESSON.replace('"loaded"', '"guard"')
    (problem,) = mine(tmp_path, text)[1]
    assert "the lowest broken rung is loaded" in problem.message
