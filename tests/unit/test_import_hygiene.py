"""What starting costs: the command line imports the standard library, the screen comes when shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SOURCE = Path(__file__).resolve().parents[2] / "tui"


def modules_after(code: str, *arguments: str) -> set[str]:
    """The modules that are loaded once ``code`` has run in a Python of its own."""
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(SOURCE)!r})\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        f"try:\n    {code}\nexcept SystemExit:\n    pass\n"
        "print('\\n=loaded=', *sorted(sys.modules), sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.partition("=loaded=")[2].split())


def foreign(modules: set[str]) -> set[str]:
    """Top-level names that are neither ours nor the standard library's."""
    names = {name.partition(".")[0] for name in modules}
    bare = {name.partition(".")[0] for name in modules_after("pass")}
    return names - bare - set(sys.stdlib_module_names) - {"gpu_bringup"}


def test_the_command_line_imports_only_the_standard_library() -> None:
    loaded = modules_after("import gpu_bringup.cli")
    assert not foreign(loaded)
    assert "gpu_bringup.cli" in loaded


def test_help_imports_no_engine_and_no_slow_module() -> None:
    loaded = modules_after("from gpu_bringup.cli import main; main(['--help'])")
    assert not foreign(loaded)
    slow = {"subprocess", "asyncio", "json", "gpu_bringup.engine", "gpu_bringup.model.facts"}
    assert not loaded & slow


def test_the_engine_imports_no_screen() -> None:
    loaded = modules_after("import gpu_bringup.engine")
    assert not {name.partition(".")[0] for name in loaded} & {
        "textual",
        "rich",
        "pynvml",
        "pexpect",
    }


def test_a_check_imports_no_screen() -> None:
    record = SOURCE.parent / "tests/hosts/h200-x1.json"
    code = "from gpu_bringup.cli import main; main(sys.argv[1:])"
    loaded = modules_after(code, "check", "--host", str(record), "--json")
    assert "gpu_bringup.ladder" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {
        "textual",
        "rich",
        "pexpect",
        "asyncio",
    }
