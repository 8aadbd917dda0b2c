"""The journal: each line whole or not there, whatever happens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_bringup.errors import InputError
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.journal import Journal, JournalError, is_emptied, read_events


def names(path: Path) -> list[str]:
    return [event["event"] for event in read_events(path)]


def test_events_have_schema_and_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("step-started", step="a", title="Grüße\nzweite Zeile")
    journal.close()
    (event,) = read_events(journal.path)
    assert event["schema"] == 1
    assert event["time"].endswith("Z")
    assert len(event["time"]) == len("2026-11-22T12:00:00.000Z")
    assert event["title"] == "Grüße\nzweite Zeile"
    assert journal.path.read_bytes().count(b"\n") == 1


TORN = [b'{"schema":1,"ev', b'{"schema":1,"event":"x"}', b"\0\0\0\0", b"junk\nmore", b"\xff\n\0\n"]


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_end_is_ignored_and_cut_off(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path)
    journal.write("one")
    journal.close()
    with journal.path.open("ab") as file:
        file.write(torn)
    assert names(journal.path) == ["one"]
    again = Journal(tmp_path)
    again.write("two")
    again.close()
    assert names(journal.path) == ["one", "two"]
    assert journal.path.read_bytes().count(b"\n") == 2


def test_every_cut_of_a_journal_gives_whole_events(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(5):
        journal.write("progress", number=number, text="ü" * number)
    journal.close()
    data = journal.path.read_bytes()
    for cut in range(len(data) + 1):
        journal.path.write_bytes(data[:cut])
        assert len(read_events(journal.path)) == data[:cut].count(b"\n")


def test_junk_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event":"one"}\nnonsense\n{"event":"two"}\n')
    with pytest.raises(InputError, match=r"journal\.jsonl: line 2"):
        read_events(path)
    with pytest.raises(InputError, match="line 2"):
        Journal(tmp_path)


def test_a_symbolic_link_is_neither_read_nor_written(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b'{"schema":1,"event":"one"}\n')
    path = tmp_path / "journal.jsonl"
    path.symlink_to(other)
    with pytest.raises(InputError, match="symbolic links"):
        read_events(path)
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path)
    assert "It is a symbolic link" in str(caught.value.hint)
    assert "df -h" not in str(caught.value.hint)


@pytest.mark.parametrize("trace", ["logs", "backup", "undo-files"])
def test_an_emptied_journal_is_told_from_one_that_was_never_begun(
    tmp_path: Path, trace: str
) -> None:
    path = tmp_path / "journal.jsonl"
    assert not is_emptied(path)
    # The worker was killed between making the journal and its first event.
    path.touch()
    assert not is_emptied(path)
    (tmp_path / trace).mkdir()
    assert is_emptied(path)
    path.write_bytes(b"x")
    assert not is_emptied(path)


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_events(tmp_path / "journal.jsonl")


def test_follower_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    follower = Follower(tmp_path)
    assert follower.poll() == []
    line = json.dumps({"event": "one"}).encode()
    path.write_bytes(line[:5])
    assert follower.poll() == []
    path.write_bytes(line + b"\n")
    assert follower.poll() == [{"event": "one"}]
    assert follower.poll() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.root
@pytest.mark.process
def test_a_full_disk_leaves_whole_lines_and_room_for_last_words(small_disk: Path) -> None:
    journal = Journal(small_disk)
    (small_disk / "filler").write_bytes(b"x" * 100_000)
    with pytest.raises(JournalError) as caught:
        for _ in range(10_000):
            journal.write("progress", text="x" * 100)
    assert "No space left" in caught.value.message
    assert caught.value.hint
    before = read_events(journal.path)
    assert journal.path.read_bytes().endswith(b"\n")
    journal.release_reserve()
    journal.write("run-ended", state="failed")
    journal.close()
    assert read_events(journal.path)[len(before) :][0]["event"] == "run-ended"
