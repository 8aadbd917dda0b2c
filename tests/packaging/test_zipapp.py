"""The single file for servers that reach no package index."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from gpu_bringup import __version__

from .conftest import ROOT, run

pytestmark = pytest.mark.packaging

READ_DATA = """\
import json
from gpu_bringup.resources import data_folder
names = ("profiles", "scripts")
folders = {name: sorted(entry.name for entry in data_folder(name).iterdir()) for name in names}
head = data_folder("scripts").joinpath("lib.sh").read_text().splitlines()[0]
import gpu_bringup, textual
print(json.dumps([folders, head, gpu_bringup.__file__]))
"""


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    output = tmp_path_factory.mktemp("a folder") / "gpu-bringup.pyz"
    done = run([ROOT / "scripts/build-zipapp", "-o", output], dict(os.environ))
    assert done.status == 0, done.errors
    return output


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """No network settings, no other packages, a cache of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "GPU_BRINGUP_STATE": str(home / "state")}


def python() -> str:
    """The Python below any virtual environment."""
    return str(Path(sys.executable).resolve())


def test_it_runs_twice_and_unpacks_once(archive: Path, nowhere: dict[str, str]) -> None:
    for _ in range(2):
        done = run([python(), archive, "--version"], nowhere)
        assert (done.status, done.output) == (0, f"gpu-bringup {__version__}\n"), done.errors
        assert done.errors == ""
    (unpacked,) = Path(nowhere["GPU_BRINGUP_STATE"], "cache").iterdir()
    assert (unpacked / "bin/python").is_symlink()
    assert run([python(), archive, "explain", "--no-such-flag"], nowhere).status == 2


def test_one_that_cannot_write_runs_from_the_archive(
    archive: Path, nowhere: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings = {**nowhere, "GPU_BRINGUP_STATE": str(tmp_path / "file")}
    done = run([python(), archive, "--version"], settings)
    assert (done.status, done.output) == (0, f"gpu-bringup {__version__}\n"), done.errors


def test_data_and_libraries_are_found_in_the_archive(
    archive: Path, nowhere: dict[str, str]
) -> None:
    """Also as a plain zip: package resources are read through importlib."""
    done = run([python(), "-c", READ_DATA], {**nowhere, "PYTHONPATH": str(archive)})
    assert done.status == 0, done.errors
    folders, head, place = json.loads(done.output)
    assert place.startswith(str(archive))
    assert head == "# shellcheck shell=sh"
    expected = sorted(
        path.name for path in (ROOT / "scripts").iterdir() if path.name != "__pycache__"
    )
    assert folders["scripts"] == expected
    assert "scenarios" in folders["profiles"]


def test_scripts_keep_their_modes(archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        for name in ("gpu-bringup", "check_cuda_stack.sh"):
            mode = content.getinfo(f"gpu_bringup/_data/scripts/{name}").external_attr >> 16
            assert mode & 0o777 == 0o755
        assert not [name for name in content.namelist() if name.endswith((".so", ".pyc"))]


def test_the_same_input_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    assert run([ROOT / "scripts/build-zipapp", "-o", again], dict(os.environ)).status == 0
    assert again.read_bytes() == archive.read_bytes()


def test_a_truncated_archive_is_no_silent_success(
    archive: Path, tmp_path: Path, nowhere: dict[str, str]
) -> None:
    broken = tmp_path / "broken.pyz"
    broken.write_bytes(archive.read_bytes()[:200_000])
    assert run([python(), broken, "--version"], nowhere).status != 0


def test_a_folder_that_others_can_write_into_is_not_run(tmp_path: Path) -> None:
    names = runpy.run_path(str(ROOT / "scripts/zipapp_main.py"), run_name="zipapp_main")
    (tmp_path / "bin").mkdir()
    shutil.copy("/bin/sh", tmp_path / "bin/python")
    answers = []
    for mode in (0o755, 0o777):
        tmp_path.chmod(mode)
        answers.append(names["ready"](str(tmp_path)))
    assert answers == [True, False]
    assert not names["ready"](str(tmp_path / "nothing"))
