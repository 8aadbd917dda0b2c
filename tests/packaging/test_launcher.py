"""scripts/gpu-bringup on a checkout of its own, with real environments made by real pip."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpu_bringup import __version__

from .conftest import ROOT, run

pytestmark = pytest.mark.packaging

VERSION = f"gpu-bringup {__version__}\n"


def environments(folder: Path) -> list[Path]:
    """What is in ``folder`` apart from its lock."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def test_first_and_second_run(
    checkout: Path, index: dict[str, str], no_index: dict[str, str], tmp_path: Path
) -> None:
    launcher = checkout / "scripts/gpu-bringup"
    first = run([launcher, "--version"], index)
    assert (first.status, first.output) == (0, VERSION), first.errors
    assert "setting up a private Python environment, once" in first.errors
    (environment,) = environments(checkout / ".venv")

    # Without any index, from another folder, through a link, in a folder that hides our modules.
    (tmp_path / "gpu_bringup.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "argparse.py").write_text("raise SystemExit('not this one')")
    link = tmp_path / "link"
    link.symlink_to(launcher)
    second = run([link, "--version"], {**no_index, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert (second.status, second.output, second.errors) == (0, VERSION, "")

    # Arguments arrive as they were given, and the exit status comes back.
    wrong = run([launcher, "explain", "a  file", ""], no_index)
    assert wrong.status == 2

    # A checkout that was moved keeps working; other pinned versions make an environment of their own.
    moved = checkout.rename(checkout.with_name("moved here"))
    assert run([moved / "scripts/gpu-bringup", "--version"], no_index).output == VERSION
    constraints = moved / "scripts/constraints.txt"
    constraints.write_text(constraints.read_text().replace("# == dev", "# changed\n# == dev"))
    assert run([moved / "scripts/gpu-bringup", "--version"], index).output == VERSION
    assert len(environments(moved / ".venv")) == 2
    assert moved / ".venv" / environment.name in environments(moved / ".venv")


def test_without_an_index_it_says_what_to_do_and_leaves_nothing(
    checkout: Path, no_index: dict[str, str]
) -> None:
    done = run([checkout / "scripts/gpu-bringup"], no_index)
    assert (done.status, done.output) == (1, "")
    assert "scripts/build-zipapp" in done.errors
    assert "http" not in done.errors
    assert not environments(checkout / ".venv")


def test_a_package_that_is_not_the_pinned_one_is_refused(
    checkout: Path, index: dict[str, str]
) -> None:
    constraints = checkout / "scripts/constraints.txt"
    lines = constraints.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith("textual=="))
    lines[at + 1] = f"    --hash=sha256:{'0' * 64}\n"
    constraints.write_text("".join(lines))
    done = run([checkout / "scripts/gpu-bringup", "--version"], index)
    assert done.status == 1
    assert "HASH" in done.errors
    assert not environments(checkout / ".venv")


def test_two_first_runs_at_once(checkout: Path, index: dict[str, str]) -> None:
    command = [str(checkout / "scripts/gpu-bringup"), "--version"]
    both = [
        subprocess.Popen(
            command, env=index, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=300) for process in both]
    assert [answer[0] for answer in answers] == [VERSION, VERSION]
    assert sum("setting up" in answer[1] and "waiting" not in answer[1] for answer in answers) == 1
    assert len(environments(checkout / ".venv")) == 1


def test_interrupted_by_ctrl_c(checkout: Path, index: dict[str, str]) -> None:
    process = subprocess.Popen(
        [str(checkout / "scripts/gpu-bringup"), "--version"],
        env=index,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not environments(checkout / ".venv") and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert not environments(checkout / ".venv")
    assert run([checkout / "scripts/gpu-bringup", "--version"], index).output == VERSION


def test_an_environment_that_no_longer_works_is_made_again(
    checkout: Path, index: dict[str, str]
) -> None:
    launcher = checkout / "scripts/gpu-bringup"
    run([launcher, "--version"], index)
    (environment,) = environments(checkout / ".venv")
    (environment / "ready").unlink()  # killed half way
    (environment / "pyvenv.cfg").unlink()
    assert run([launcher, "--version"], index).output == VERSION
    (environment / "bin/python").unlink()  # an upgrade of the system has removed its Python
    (environment / "bin/python").symlink_to("/usr/bin/python3.nonexistent")
    assert run([launcher, "--version"], index).output == VERSION


def test_a_checkout_in_which_nothing_can_be_written(
    checkout: Path, index: dict[str, str], no_index: dict[str, str], tmp_path: Path
) -> None:
    (checkout / ".venv").write_text("not a folder")
    launcher = checkout / "scripts/gpu-bringup"
    place = {"GPU_BRINGUP_STATE": str(tmp_path / "state")}
    assert run([launcher, "--version"], {**index, **place}).output == VERSION
    assert len(environments(tmp_path / "state/cache")) == 1
    assert run([launcher, "--version"], {**no_index, **place}).output == VERSION


@pytest.mark.parametrize("found", ["", "3.9"])
def test_no_python_that_is_new_enough(
    checkout: Path, tmp_path: Path, found: str, no_index: dict[str, str]
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "sed", "sha256sum", "id", "cat", "stat", "readlink", "dirname"):
        for folder in ("/usr/bin", "/bin"):
            if (tool := Path(folder, name)).exists():
                (tools / name).unlink(missing_ok=True)
                (tools / name).symlink_to(tool)
    if found:
        old = tools / "python3"
        old.write_text(f"#!/bin/sh\necho '3 9 {tools}/python3'\n")
        old.chmod(0o755)
    done = run([checkout / "scripts/gpu-bringup"], {**no_index, "PATH": str(tools)})
    assert done.status == 4
    assert f"Python 3.10 or newer is needed; found {found or 'none'}." in done.errors
    assert "Nothing was changed." in done.errors
    assert not (checkout / ".venv").exists()


def test_an_incomplete_checkout(checkout: Path, no_index: dict[str, str]) -> None:
    (checkout / "scripts/constraints.txt").unlink()
    done = run([checkout / "scripts/gpu-bringup"], no_index)
    assert done.status == 2
    assert "constraints.txt is missing" in done.errors


def test_bad_usage_of_build_zipapp(no_index: dict[str, str]) -> None:
    done = run([ROOT / "scripts/build-zipapp", "--output"], no_index)
    assert done.status == 2
    assert "usage: build-zipapp" in done.errors


def test_this_python_is_one_that_is_supported() -> None:
    assert (3, 10) <= sys.version_info[:2] <= (3, 14)
