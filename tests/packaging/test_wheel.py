"""The wheel and the source distribution: built by the real backend, installed by real pip."""

from __future__ import annotations

import os
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from gpu_bringup import __version__

from .conftest import ROOT, copy_checkout, run

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of a copy of this checkout."""
    copy = copy_checkout(tmp_path_factory.mktemp("build") / "checkout")
    (copy / "tests").mkdir()
    output = tmp_path_factory.mktemp("dist")
    done = run(
        [sys.executable, "-m", "hatchling", "build", "-d", output], dict(os.environ), cwd=copy
    )
    assert done.status == 0, done.errors
    return output


def test_the_wheel_holds_the_data_and_the_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        for folder in ("profiles", "scripts"):
            expected = {
                f"gpu_bringup/_data/{path.relative_to(ROOT)}"
                for path in (ROOT / folder).rglob("*")
                if path.is_file() and "__pycache__" not in path.parts
            }
            assert expected and expected <= names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert not [name for name in names if name.startswith(("tui", "tests"))]
        mode = content.getinfo("gpu_bringup/_data/scripts/gpu-bringup").external_attr >> 16
        assert mode & 0o777 == 0o755


def test_the_source_distribution_builds_again(built: Path, tmp_path: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    assert run(["tar", "-xzf", source, "-C", tmp_path], dict(os.environ)).status == 0
    (folder,) = tmp_path.iterdir()
    assert (folder / "scripts/gpu-bringup").stat().st_mode & 0o111
    done = run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], dict(os.environ), cwd=folder
    )
    assert done.status == 0, done.errors


def test_installed_from_the_wheel(built: Path, tmp_path: Path, index: dict[str, str]) -> None:
    place = tmp_path / "an environment"
    venv.create(place, with_pip=True)
    (wheel,) = built.glob("*.whl")
    done = run([place / "bin/python", "-m", "pip", "install", "-q", wheel], index)
    assert done.status == 0, done.errors
    done = run([place / "bin/gpu-bringup", "--version"], index, cwd=tmp_path)
    assert done.output == f"gpu-bringup {__version__}\n"
    (script,) = place.glob(
        "lib/python3*/site-packages/gpu_bringup/_data/scripts/check_cuda_stack.sh"
    )
    assert script.stat().st_mode & 0o777 == 0o755
    done = run(
        [
            place / "bin/python",
            "-c",
            "from gpu_bringup.resources import data_folder; print(data_folder('profiles'))",
        ],
        index,
        cwd=tmp_path,
    )
    assert done.output.strip().endswith("gpu_bringup/_data/profiles")
