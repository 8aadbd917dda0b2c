"""A copy of this checkout in a path with spaces, and a folder of wheels that stands for an index."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("tui", "profiles", "scripts", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    output: str
    errors: str


def run(
    command: Sequence[str | Path], environment: dict[str, str], cwd: Path | None = None
) -> Done:
    """Run a command without standard input, in exactly this environment."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def copy_checkout(folder: Path) -> Path:
    """Copy what makes up a checkout into ``folder``."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of its own, without any environment."""
    return copy_checkout(tmp_path / "a path with spaces" / "gpu bringup")


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The wheels of a run, fetched once and kept with this checkout's own environments."""
    done = run([ROOT / "scripts/build-zipapp", "--wheels-only"], dict(os.environ))
    assert done.status == 0, done.errors
    return Path(done.output.strip())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def no_index(home: Path) -> dict[str, str]:
    """An environment in which pip reaches nothing at all."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }


@pytest.fixture
def index(no_index: dict[str, str], wheels: Path, home: Path) -> dict[str, str]:
    """An environment in which pip's only source is the folder of wheels."""
    link = home / "wheels"  # pip splits the variable at blanks, which this checkout's path may have
    link.symlink_to(wheels)
    return {**no_index, "PIP_FIND_LINKS": str(link)}
