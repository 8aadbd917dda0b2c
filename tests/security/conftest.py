"""Counts what was tried for each threat, and prints it at the end: how many, and how many got through."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

TUI = Path(__file__).resolve().parents[2] / "tui"
STRANGER = 65534
"""Another local user: "nobody", who owns nothing here."""

_TRIED: Counter[str] = Counter()
_THROUGH: Counter[str] = Counter()

Attempt = Callable[[str, bool], None]


@pytest.fixture
def attempt() -> Attempt:
    """``attempt(threat, held)``: one more try; fails the test where it got through."""

    def noted(threat: str, held: bool) -> None:
        _TRIED[threat] += 1
        if not held:
            _THROUGH[threat] += 1
            pytest.fail(f"{threat}: this attempt got through")

    return noted


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _TRIED:
        return
    terminalreporter.section("threats: tried, got through")
    for threat, count in sorted(_TRIED.items()):
        terminalreporter.write_line(f"{count:6d}  {_THROUGH[threat]:3d}  {threat}")
    terminalreporter.write_line(f"{sum(_TRIED.values()):6d}  {sum(_THROUGH.values()):3d}  together")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that a stranger can reach (pytest's own are closed to others)."""
    opened = []
    for folder in (tmp_path, *tmp_path.parents):
        mode = folder.stat().st_mode & 0o7777
        if folder.stat().st_uid == os.geteuid() and not mode & 0o001 and folder != Path("/"):
            folder.chmod(mode | 0o011)
            opened.append((folder, mode))
    yield tmp_path
    for folder, mode in opened:
        folder.chmod(mode)


def as_stranger(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as another local user, with nothing but the standard library.

    As root the child changes its user id. Without root it is given one of its own by a user
    namespace, in which the files of this user belong to somebody else.
    """
    change = (
        f"import os\nos.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER})\n"
        if os.geteuid() == 0
        else ""
    )
    start = [] if os.geteuid() == 0 else ["unshare", "--user", f"--map-user={STRANGER}"]
    return subprocess.run(
        [*start, "/usr/bin/python3", "-I", "-c", change + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(state: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "HOME")}
    return {**kept, "PYTHONPATH": str(TUI), "GPU_BRINGUP_STATE": str(state), **more}


def gb(
    *arguments: str, state: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpu_bringup", *arguments],
        env=environment(state, **(variables or {})),
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
