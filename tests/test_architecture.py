"""The shape of the code base: who may import whom, how long a file may be, what none may say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "tui/gpu_bringup"
FOLDERS = ("tui", "profiles", "scripts", "tests", ".ci")
TOP_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore")
LONGEST_MODULE = 500

# Put together here, so that this file does not contain what it looks for.
WORKPLACE = tuple(
    "/".join(parts)
    for parts in (("", "work", ""), ("..", "shared"), ("", "srv", "rig"), ("", "opt", "dev", ""))
)
REGISTRIES = (
    r"(?:deb|security|snapshot|archive|packages|ftp(?:\.[a-z]{2})?)\.deb" r"ian\.org",
    r"\bpy" r"pi\.org",
    r"pythonho" r"sted\.org",
    r"\bnp" r"mjs\.(?:org|com)",
)
HABITS = {
    r"\b(?:TODO|FIXME|XXX)\b": "finish it, or file an issue",
    r"# noqa": "mend what the linter found",
    r"# type: ignore(?!\[)": "say which error is ignored",
    r"shell=True": "argv lists only",
    r"except (?:Base)?Exception\b": "name what can happen",
}


def files() -> Iterator[Path]:
    """The text files of the project."""
    for name in TOP_FILES:
        yield ROOT / name
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield path


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def lines_with(pattern: str, paths: Iterator[Path] | list[Path]) -> list[str]:
    """``file:line: text`` of every line that matches; files that aren't text have none."""
    expression = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if expression.search(line)
    ]


def test_import_contracts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    broken = lint_imports(no_cache=True)
    assert not broken, capsys.readouterr().out


def test_no_module_is_longer_than_a_reader_can_take_in() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules()
        if (count := len(path.read_text().splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


@pytest.mark.parametrize("words", WORKPLACE)
def test_nothing_rests_on_where_it_was_written(words: str) -> None:
    assert not lines_with(re.escape(words), files())


@pytest.mark.parametrize("host", REGISTRIES)
def test_no_registry_is_named(host: str) -> None:
    """Packages come from wherever the host is configured to get them."""
    assert not lines_with(host, files())


@pytest.mark.parametrize("habit", HABITS)
def test_habits(habit: str) -> None:
    assert not lines_with(habit, modules()), HABITS[habit]


def test_no_test_is_skipped() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert not lines_with(r"pytest\.(?:mark\.)?(?:skip|xfail)|importorskip", tests)


def test_the_constraints_are_pinned_hashed_and_without_addresses() -> None:
    text = (ROOT / "scripts/constraints.txt").read_text()
    assert "://" not in text
    entries = [
        entry
        for entry in text.replace("\\\n", " ").splitlines()
        if entry and not entry.startswith("#")
    ]
    assert all(re.match(r"[a-z0-9-]+==[0-9][^ ]* .*--hash=sha256:[0-9a-f]{64}", e) for e in entries)
    run_time, development = text.split("# == development")
    assert "textual==" in run_time
    assert "pytest==" in development and "pytest==" not in run_time


def test_what_is_run_can_be_run() -> None:
    scripts = [
        path
        for folder in ("scripts", ".ci", "tests/rig")
        for path in (ROOT / folder).glob("*")
        if path.is_file() and path.read_bytes().startswith(b"#!")
    ]
    assert len(scripts) > 5
    assert not [str(path) for path in scripts if not path.stat().st_mode & 0o111]
