"""Runs the program as an operator does, and holds what every answer of it must keep to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gpu_bringup.cli import main

TESTS = Path(__file__).resolve().parents[1]
TUI = TESTS.parent / "tui"
FRESH = TESTS / "hosts/debian13-fresh.json"
H200 = TESTS / "hosts/h200-x1.json"
KERNEL = "6.12.107+deb13-amd64"
"""The kernel of FRESH."""

PROGRAM = (sys.executable, "-m", "gpu_bringup")

AS_NOBODY = """
import importlib, os, pkgutil, sys
import gpu_bringup
from gpu_bringup.cli import main
from gpu_bringup.engine import load_catalogue
for module in pkgutil.walk_packages(gpu_bringup.__path__, "gpu_bringup."):
    if ".ui" not in module.name and "__main__" not in module.name:
        importlib.import_module(module.name)
importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
load_catalogue()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.environ["HOME"] = "/nonexistent"
sys.exit(main(sys.argv[1:]))
"""
"""The program as a user without any rights; loaded before, since such a user may not read us."""
NOBODY = (sys.executable, "-c", AS_NOBODY)


def is_plain(output: str, errors: str) -> None:
    """Neither a traceback nor a fault of the program, nor anything that a terminal would obey."""
    for text in (output, errors):
        assert "Traceback" not in text
        assert "unexpected fault" not in text
        assert "Exception ignored" not in text
        assert not re.search("\x1b(?!\\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f-\x9f]", text)


def environment(state: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "HOME")}
    # Python's own warnings of what it could not finish would be seen by an operator, too.
    return {
        **kept, "PYTHONPATH": str(TUI), "GPU_BRINGUP_STATE": str(state), "TERM": "xterm", **more,
    }  # fmt: skip


def gb(
    *arguments: str,
    state: Path,
    program: Sequence[str] = PROGRAM,
    variables: Mapping[str, str] | None = None,
    typed: str = "",
) -> subprocess.CompletedProcess[str]:
    """A real process; standard input is a pipe."""
    done = subprocess.run(
        [*program, *arguments],
        env=environment(state, **(variables or {})),
        input=typed, capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
    is_plain(done.stdout, done.stderr)
    return done


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command run in this process."""
    try:
        status = main(arguments)
    except SystemExit as exit_:
        assert isinstance(exit_.code, int)
        status = exit_.code
    output, errors = capsys.readouterr()
    is_plain(output, errors)
    return status, output, errors


def in_a_namespace(binds: Mapping[str, Path | str]) -> tuple[str, ...]:
    """Starts a command that sees other files at some paths: {path: what lies there}."""
    mounts = "".join(
        f'mount --bind "{source}" "{target}" || exit 99\n' for target, source in binds.items()
    )
    return ("unshare", "--mount", "sh", "-c", f'{mounts}exec "$@"', "sh")
