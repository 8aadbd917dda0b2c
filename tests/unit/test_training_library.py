"""Lessons are data: what is wrong in one is named with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_bringup.errors import InputError
from gpu_bringup.model.ladder import RUNG_IDS
from gpu_bringup.model.lesson import LEVELS
from gpu_bringup.training import library, named

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
solution = ["modprobe nvidia"]
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


def write(folder: Path, text: str) -> Path:
    place = folder / "lessons"
    place.mkdir(exist_ok=True)
    (place / "mine.toml").write_text(text, encoding="utf-8")
    return folder


def refusal(folder: Path, text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        library.load(write(folder, text))
    return caught.value


def test_the_projects_own_lessons_load() -> None:
    found = library.load()
    assert len(found.lessons) >= 16
    assert found.problems == ()
    levels = [LEVELS.index(item.level) for item in found.lessons.values()]
    assert levels == sorted(levels)
    assert {"first-day", "expert"} <= {item.level for item in found.lessons.values()}


@pytest.mark.parametrize("lesson_id", sorted(library.load().lessons))
def test_each_lesson_teaches(lesson_id: str) -> None:
    found = library.load()
    lesson = found.lessons[lesson_id]
    assert len(lesson.story) > 100
    assert lesson.goals and lesson.sources and lesson.expect
    for hint in lesson.hint:
        assert len({hint.weak, hint.medium, hint.strong}) == 3
    for item in lesson.debrief:
        assert item.rung in RUNG_IDS and len(item.text) > 40
    for name in lesson.sources:
        assert found.sources[name].title


def test_an_operators_lesson_is_added_and_replaces_by_id(tmp_path: Path) -> None:
    found = library.load(write(tmp_path, SOURCE + LESSON))
    assert found.lesson("mine").title == "A lesson"
    assert found.places["mine"].file.endswith("lessons/mine.toml")
    own = LESSON.replace('id = "mine"', 'id = "xid-79"')
    assert library.load(write(tmp_path, SOURCE + own)).lesson("xid-79").title == "A lesson"


def test_an_unknown_lesson_is_refused_with_a_guess() -> None:
    with pytest.raises(InputError, match="did you mean 'boot-full'"):
        library.load().lesson("boot-ful")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "A lesson"\n', "", "the key 'title' is missing"),
        ('level = "beginner"', 'level = "easy"', "'easy' is none of first-day"),
        ('rungs = ["loaded"]', 'rungs = ["loadet"]', "'loadet' is none of gpu"),
        ("minutes = 10", "minutes = 0", "0 isn't from 1 to 480"),
        ("minutes = 10", "minutes = 10\ncolour = 3", "unknown key 'colour'"),
        ('goals = ["See it."]', "goals = []", "there must be one at least"),
        ('story = "It broke."', 'story = " "', "a lesson needs a story"),
        (
            'sources = ["book"]',
            'sources = ["bok"]',
            "there is no source 'bok'; did you mean 'book'",
        ),
        ('builder = "debian13"', 'builder = "debian13 gpus"', "'gpus' isn't written as key=value"),
        ('builder = "debian13"', 'builder = "a x=1 x=2"', "'x' stands there twice"),
        ('builder = "debian13"', 'builder = "a x=\'1"', "open quotation"),
        (
            'builder = "debian13"',
            'record = "x.json"\nbuilder = "a"',
            "write either builder or record",
        ),
        ('builder = "debian13"', 'record = "../x.json"', "a record lies beside the lesson"),
        ("[lesson.solved]", "[lesson.solved]\nmost_reboots = 0", "say why it must be reached"),
        ("[lesson.solved]", '[lesson.solved]\nwindow = "25:00-26:00"', "isn't hours such as"),
        ("[lesson.solved]", '[lesson.solved]\nends = "well"', "'well' is none of healthy"),
        ("[lesson.solved]", '[lesson.solved]\nkeeps = ["data"]', "isn't a path"),
        ('rung = "loaded"\ntext', 'rung = "gpu"\ntext', "the debrief says nothing of loaded"),
        ('id = "mine"', 'id = "../mine"', "isn't an id"),
        ('story = "It broke."', 'story = "\\u001b[2J"', "control character"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in LESSON
    error = refusal(tmp_path, SOURCE + LESSON.replace(old, new, 1))
    assert words in error.message
    assert "lessons/mine.toml" in error.message
    assert "line " in error.message or "mine" in error.message


def test_a_question_without_a_right_answer_is_refused(tmp_path: Path) -> None:
    question = (
        '[[lesson.expect]]\nrung = "loaded"\nquestion = "?"\nchoices = ["a", "b"]\nanswer = 3\n'
        'because = "c"\n'
    )
    error = refusal(tmp_path, SOURCE + LESSON + question)
    assert "3 is the number of no choice" in error.message


def test_the_line_of_the_mistake_is_told(tmp_path: Path) -> None:
    text = SOURCE + LESSON.replace('level = "beginner"', 'level = "easy"')
    line = text[: text.index('level = "easy"')].count("\n") + 1
    assert f"line {line}, lesson 'mine'.level" in refusal(tmp_path, text).message


def test_what_is_wrong_is_left_out_where_it_is_only_told(tmp_path: Path) -> None:
    problems: list[InputError] = []
    text = SOURCE + LESSON + LESSON.replace("mine", "other").replace("beginner", "easy")
    found = library.load(write(tmp_path, text), problems.append)
    assert len(problems) == 1 and "other" in problems[0].message
    assert "mine" in found.lessons and "other" not in found.lessons


@pytest.mark.parametrize(
    "text", ["lesson = 3", "[lesson]\n", "[[leson]]\n", "\x00", "[[lesson]]\n"]
)
def test_nonsense_is_an_error_and_no_crash(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).exit_code == 2


def test_a_lesson_twice_is_refused(tmp_path: Path) -> None:
    assert "stands in" in refusal(tmp_path, SOURCE + LESSON + LESSON).message


def test_names_with_parameters() -> None:
    found = named.parse("boot-full free_mb=3 text='a b'")
    assert found.name == "boot-full"
    assert found.as_dict == {"free_mb": "3", "text": "a b"}
    assert named.parse(str(found)) == found


@pytest.mark.parametrize("text", ["", "  ", "a=b", "x =3", "x y", "x 'y"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        named.parse(text, file="f", place="p")
