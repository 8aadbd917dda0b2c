"""Profiles that are cut off, binary, huge, in another encoding, or no files: one clear message, status 2."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_input.program import FRESH, NOBODY, gb, told

GOOD = """
[[scenario]]
id = "good"
title = "Good"
extends = "long-term-stable"
pinned_driver = "580.178.04"
sources = []
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good profile."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "good.toml").write_text(GOOD, encoding="utf-8")
    return own


def refused(
    capsys: pytest.CaptureFixture[str], folder: Path, wrong: str, words: str, times: int = 1
) -> None:
    """What every command makes of a folder in which one thing is wrong."""
    status, output, errors = told(capsys, "profiles", "list", "--profiles", str(folder))
    assert status == 2
    assert "good  Good" in output
    assert f"BROKEN  {folder}/{wrong}" in output
    assert f"{folder}/{wrong}: " in errors
    assert words in errors
    assert errors.count("gpu-bringup: ") == times
    assert len(errors) < 1500 * times
    status, output, errors = told(capsys, "profiles", "validate", str(folder))
    assert (status, output) == (2, "")
    assert words in errors
    status, output, errors = told(capsys, "profiles", "validate", str(folder), "--json")
    problems = json.loads(output)["problems"]
    assert status == 2
    assert [item["file"] for item in problems] == [f"{folder}/{wrong}"] * times
    assert any(words in f"{item['message']}" for item in problems)
    # Where a recommendation is asked for, nothing is left out silently.
    arguments = ("recommend", "--host", str(FRESH), "--profiles", str(folder))
    status, output, errors = told(capsys, *arguments)
    assert (status, output) == (2, "")
    assert f"{folder}/{wrong}" in errors


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x7fELF\x02\x01\xff\xfe", "isn't UTF-8 text (line 1, byte 6)"),
        (b"\0" * 4096, "isn't valid TOML"),
        (GOOD.encode("utf-16"), "isn't UTF-8 text, but UTF-16"),
        (GOOD.encode("utf-16-be"), "isn't valid TOML"),
        (GOOD.encode("utf-8-sig"), "begins with a byte order mark"),
        (GOOD.replace("Good", "G\xf6\xf6d").encode("latin-1"), "isn't UTF-8 text (line 4"),
        (GOOD.replace('"Good"', '"G\\ud800d"').encode(), "isn't valid TOML"),
        (GOOD.replace("good", "b").replace("Good", "x" * 3_000_000).encode(), "3000000 characters"),
        (b'[[scenario]]\nid = "' + b"x" * 10_000_000 + b'"\n', "larger than 4 MB"),
        (b"# " + b"x" * 5_000_000, "larger than 4 MB"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"x = " + b"{a=" * 300 + b"1" + b"}" * 300, "unknown kind of entry 'x'"),
        (b"[" + b"a." * 200 + b"a]\n", "unknown kind of entry 'a'"),
        (b"scenario = [[[[[[[[1]]]]]]]]\n", "isn't a table"),
        (b'[[scenario]]\nid = "b"\ntitle = ' + b"[" * 90 + b"]" * 90, "isn't a text"),
        (b'[[scenario]]\nid = "b"\ntitle = "\x1b[2J"\n', "isn't valid TOML"),
        (b'[[scenario]]\nid = "\\u001b[2J"\ntitle = 7\n', "control character"),
        (b'[[scenario]]\n"\\u202e\\u0007" = 1\nid = "b"\n', "unknown key"),
        (b'[[scenario]]\nid = "b"\n' + b"k" * 9000 + b" = 1\n", "unknown key"),
        (b'[["\\u001b[2J"]]\nx = 1\n', "unknown kind of entry"),
        (b"[[scenario]]\n", "the key 'id' is missing"),
        (b"9 = 9\r\n" * 2, "isn't valid TOML"),
        (b"x = " + b"9" * 100_000, "isn't valid TOML"),
        (
            GOOD.replace("good", "b").replace("178.04", "9" * 5000).encode(),
            "isn't a driver version",
        ),
        (b"as_of = 25:00:00\n", "isn't valid TOML"),
        (b"as_of = 10:00:00\n", "isn't a date"),
        (GOOD.encode(), "this entry stands in"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_that_is_no_profile(
    capsys: pytest.CaptureFixture[str], folder: Path, content: bytes, words: str
) -> None:
    (folder / "wrong.toml").write_bytes(content)
    refused(capsys, folder, "wrong.toml", words)


def test_a_file_cut_off_anywhere(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Each piece is right, or refused with its name; a traceback would be neither."""
    whole = GOOD.replace('"good"', '"other"').encode()
    for length in range(1, len(whole), 3):
        (folder / "cut.toml").write_bytes(whole[:length])
        status, output, errors = told(capsys, "profiles", "list", "--profiles", str(folder))
        assert "good  Good" in output
        assert status == (2 if errors else 0)
        assert (f"{folder}/cut.toml: " in errors) == (status == 2)


@pytest.mark.parametrize("seed", range(20))
def test_bytes_that_were_changed(
    capsys: pytest.CaptureFixture[str], folder: Path, seed: int
) -> None:
    random_ = random.Random(seed)
    data = bytearray(GOOD.replace('"good"', '"other"').encode())
    for _ in range(random_.randint(1, 12)):
        data[random_.randrange(len(data))] = random_.randrange(256)
    (folder / "noise.toml").write_bytes(data)
    status, output, errors = told(capsys, "profiles", "list", "--profiles", str(folder))
    assert "good  Good" in output
    assert (status, bool(errors)) in ((0, False), (2, True))


def test_a_folder_where_a_file_is_expected(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "wrong.toml").mkdir()
    refused(capsys, folder, "wrong.toml", "it is a folder, not a file")


def test_what_is_no_file_is_not_opened(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """A FIFO would never answer, a device never end."""
    os.mkfifo(folder / "wrong.toml")
    refused(capsys, folder, "wrong.toml", "it is no regular file")
    status, _, errors = told(capsys, "profiles", "validate", str(folder / "wrong.toml"))
    assert status == 2
    assert "it is no regular file" in errors
    for target in ("/dev/zero", str(folder / "missing")):
        (folder / "wrong.toml").unlink()
        (folder / "wrong.toml").symlink_to(target)
        refused(capsys, folder, "wrong.toml", "no regular file, or a link to nothing")


def test_links_in_a_circle(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "wrong.toml").symlink_to(folder / "wrong.toml")
    status, _, errors = told(capsys, "profiles", "list", "--profiles", str(folder))
    assert status == 2
    assert f"{folder}/wrong.toml: " in errors
    (folder / "wrong.toml").unlink()
    for name in ("a", "b", "c"):
        (folder / name).symlink_to(folder)
    status, output, errors = told(capsys, "profiles", "list", "--profiles", str(folder))
    assert status == 2
    assert "good  Good" in output
    assert errors.count("it is a link to a folder that it is in") == 3


def test_a_folder_that_holds_no_profiles_is_not_searched_through(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    deep = folder
    for number in range(12):
        deep = deep / f"f{number}"
    deep.mkdir(parents=True)
    status, _, errors = told(capsys, "profiles", "list", "--profiles", str(folder))
    assert status == 2
    assert "more than 8 folders deep" in errors
    many = folder / "many"
    many.mkdir()
    for number in range(1010):
        (many / f"{number}.toml").write_text("", encoding="utf-8")
    status, _, errors = told(capsys, "profiles", "list", "--profiles", str(many))
    assert status == 2
    assert "more than 1000 files" in errors


def test_names_of_files_that_a_terminal_would_obey(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    for name in (b"\x1b[2J.toml", b"\xff\xfe.toml", "\u202etxt.toml".encode(), b"a\nb.toml"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_text("[[", encoding="utf-8")
    for more in ((), ("--json",)):
        status, output, errors = told(capsys, "profiles", "list", "--profiles", str(folder), *more)
        assert status == 2
        assert "good" in output
        assert errors.count("isn't valid TOML") == 4


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, with one good profile."""
    place = Path(tempfile.mkdtemp(prefix="gpu-bringup-test-"))
    place.chmod(0o755)
    own = place / "own"
    own.mkdir()
    (own / "good.toml").write_text(GOOD, encoding="utf-8")
    yield own
    shutil.rmtree(place)


@pytest.mark.root
@pytest.mark.process
def test_files_that_this_user_may_not_read(open_folder: Path) -> None:
    folder, state = open_folder, open_folder.parent / "state"
    (folder / "closed.toml").write_text(GOOD.replace('"good"', '"closed"'), encoding="utf-8")
    (folder / "closed.toml").chmod(0)
    done = gb("profiles", "list", "--profiles", str(folder), state=state, program=NOBODY)
    assert done.returncode == 2
    assert "good  Good" in done.stdout
    assert f"{folder}/closed.toml: it can't be read: Permission denied" in done.stderr
    (folder / "closed.toml").unlink()
    (folder / "closed").mkdir(0)
    done = gb("profiles", "list", "--profiles", str(folder), state=state, program=NOBODY)
    assert done.returncode == 2
    assert "good  Good" in done.stdout
    assert f"{folder}/closed: the folder can't be read: Permission denied" in done.stderr


def test_a_profile_that_is_broken_can_not_be_asked_for(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    wrong = GOOD.replace('"good"', '"wrong"').replace('"580.178.04"', "580")
    (folder / "wrong.toml").write_text(wrong, encoding="utf-8")
    status, output, errors = told(capsys, "profiles", "show", "wrong", "--profiles", str(folder))
    assert (status, output) == (2, "")
    assert "line 6, scenario 'wrong'.pinned_driver: 580 isn't a text" in errors
    status, output, errors = told(capsys, "profiles", "show", "good", "--profiles", str(folder))
    assert status == 2
    assert "580.178.04" in output
