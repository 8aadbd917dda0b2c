"""Progress is kept whole, for its owner alone; reviews come back by SM-2; the report says all of it."""

from __future__ import annotations

import json
import stat
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gpu_bringup.errors import InputError
from gpu_bringup.training import library, progress, report, review, scoring, storage
from gpu_bringup.training.progress import Attempt
from gpu_bringup.training.review import Review
from gpu_bringup.training.scoring import Tally

TODAY = date(2026, 11, 23)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    return tmp_path


def attempt(points: int = 100, lesson: str = "boot-full", day: date = TODAY) -> Attempt:
    solved = points > 0
    score = {"solved": solved, "points": points, "quality": scoring.quality(points, solved=solved),
             "commands": 4, "hints": {"weak": 1, "medium": 0, "strong": 0}, "seconds": 90}  # fmt: skip
    return Attempt(lesson, f"{day.isoformat()}T10:00:00Z", "shell", score)


def test_intervals_are_those_of_sm2() -> None:
    found, day, days = Review(), TODAY, []
    for _ in range(5):
        found = review.after(found, 5, day)
        assert found.due is not None
        days.append((found.due - day).days)
        day = found.due
    # 1, 6, then times the factor, which grows by 0.1 at each perfect repetition.
    assert days[:3] == [1, 6, 16]
    assert days == sorted(days)


def test_what_was_hard_comes_back_sooner_and_what_failed_tomorrow() -> None:
    easy = hard = review.after(review.after(Review(), 5, TODAY), 5, TODAY)
    for _ in range(3):
        easy, hard = review.after(easy, 5, TODAY), review.after(hard, 3, TODAY)
    assert hard.days < easy.days
    assert review.after(easy, 2, TODAY).due == TODAY + timedelta(days=1)
    assert review.after(hard, 3, TODAY).factor >= review.LEAST_FACTOR


@pytest.mark.parametrize(
    ("tally", "points"),
    [
        (Tally(), 100),
        (Tally(hints=("weak", "strong")), 82),
        (Tally(solution_seen=True), 20),
        (Tally(killed_jobs=1, needless_reboots=1), 65),
        (Tally(destroyed=("/data",), risks=("a", "b"), steps_back=3), 54),
        (Tally(killed_jobs=9), 0),
    ],
)
def test_points(tally: Tally, points: int) -> None:
    found = scoring.score(tally, solved=True)
    assert found.points == points
    assert scoring.score(tally, solved=False).points == 0
    assert scoring.score(tally, solved=False).quality == 0
    json.dumps(found.to_json())


def test_progress_is_kept_for_its_owner_alone(state: Path) -> None:
    progress.record("anna", attempt(80))
    found = progress.record("anna", attempt(100))
    path = state / "training/progress/anna.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = progress.load("anna")
    assert again == found
    assert again.best("boot-full") == 100 and again.solved("boot-full")
    assert again.due(TODAY) == () and again.due(TODAY + timedelta(days=6)) == ("boot-full",)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": 2}', b'{"schema": 1}',
     b'{"schema": 1, "operator": "a", "attempts": 3, "reviews": {}}',
     b'{"schema": 1, "operator": "a", "attempts": [{}], "reviews": {}}',
     b'{"schema": 1, "operator": "a", "attempts": [], "reviews": {"x": {"repetitions": "many"}}}'],
)  # fmt: skip
def test_a_damaged_file_is_named_and_nothing_is_lost(state: Path, damage: bytes) -> None:
    progress.record("anna", attempt(70))
    path = state / "training/progress/anna.json"
    good = path.read_bytes()
    path.write_bytes(damage)
    with pytest.raises(InputError) as caught:
        progress.load("anna")
    assert str(path) in caught.value.message and "left as it is" in caught.value.meaning
    with pytest.raises(InputError, match="kept in"):
        progress.record("anna", attempt(90))
    with pytest.raises(InputError):
        progress.record("anna", attempt(95))
    assert path.read_bytes() == damage
    path.write_bytes(good)
    points = [item.points for item in progress.record("anna", attempt(100)).attempts]
    assert points == [70, 90, 95, 100]
    assert [item.points for item in progress.load("anna").attempts] == points


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x" * 65, "a b", "\x1b[2J"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        storage.operator_name(name)


def test_the_operator_is_who_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "berta")
    assert storage.operator_name() == "berta"
    assert storage.operator_name("anna") == "anna"


def test_a_link_in_the_place_of_the_file_is_not_followed(state: Path) -> None:
    progress.record("anna", attempt())
    path = state / "training/progress/anna.json"
    other = state / "other"
    other.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(Exception, match="can't be read"):
        progress.load("anna")


class Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_in_its_three_forms() -> None:
    lessons = library.load().lessons
    progress.record("anna", attempt(70))
    progress.record("anna", attempt(0, "xid-79"))
    progress.record("anna", attempt(90, "<script>|*x*"))
    progress.record("berta", attempt(100))
    found, problems = progress.load_all()
    assert not problems
    sheets = [report.sheet(item, lessons, TODAY + timedelta(days=1)) for item in found]
    document = report.as_json(sheets, TODAY)
    json.dumps(document)
    assert [item["operator"] for item in document["operators"]] == ["anna", "berta"]
    assert document["operators"][0]["due"] == ["<script>|*x*", "boot-full", "xid-79"]
    text = report.as_markdown(sheets, TODAY)
    assert "TRAINING" in text and "\\<script\\>\\|\\*x\\*" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 12 for line in rows)
    page = report.as_html(sheets, TODAY)
    assert "TRAINING" in page and "<script>" not in page and "&lt;script&gt;" in page
    reader = Tables()
    reader.feed(page)
    assert not reader.open
    assert reader.rows == 2 + 2 * len(lessons) + 1
