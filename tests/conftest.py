"""A test that starts a real process fails, unless it is marked ``process`` (or longer kinds)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

ALLOWED = ("process", "packaging", "rig")


@pytest.fixture(autouse=True, scope="session")
def _state_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what gpu-bringup keeps on this machine."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GPU_BRINGUP_STATE", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def no_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every way to start a process fail the test, also where the code would catch an error."""
    if any(request.node.get_closest_marker(name) for name in ALLOWED):
        yield
        return

    def refuse(*arguments: Any, **_: Any) -> NoReturn:
        started = [argument for argument in arguments if not isinstance(argument, subprocess.Popen)]
        attempts.append(started)
        pytest.fail(f"this test started a process and isn't marked 'process': {started}")

    attempts: list[Any] = []
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    # A half-made Popen has no attributes for its finaliser.
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda self: None)
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
        monkeypatch.setattr(os, name, refuse)
    yield
    # In another thread the failure above would have been lost.
    assert not attempts, f"processes were started: {attempts}"
