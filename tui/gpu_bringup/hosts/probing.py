"""Asks NVML and libcuda in a child process of our own, so that a sick driver can't take us along."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.hosts.files import read_bytes
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpu_bringup.hosts.processes import Answer

LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/wsl/lib",
)
LINKER_CACHE = "/etc/ld.so.cache"

_CACHE_LIMIT = 16 << 20
_HIDING = frozenset({"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PYTHONHOME"})


def library_present(
    soname: str,
    *,
    library_path: str,
    folders: Sequence[str] = LIBRARY_FOLDERS,
    cache: str = LINKER_CACHE,
) -> Fact[bool]:
    """Could the dynamic linker find ``soname``? Told from files, without loading anything.

    Args:
        library_path: LD_LIBRARY_PATH; its folders come first, as ld.so(8) has it.
    """
    named = [folder for folder in library_path.split(":") if folder.startswith("/")]
    for folder in (*named, *folders):
        try:
            if (Path(folder) / soname).exists():
                return True
        except OSError:
            continue
    content = read_bytes(cache, _CACHE_LIMIT)
    if isinstance(content, Unknown):
        return content
    # The cache holds each library's path as a NUL-terminated string; it may be out of date.
    paths = re.findall(rb"(/[^\0]+/" + re.escape(soname.encode()) + rb")\0", content or b"")
    return any(Path(os.fsdecode(path)).exists() for path in paths)


def probe_command(module: str, arguments: Sequence[str] = ()) -> tuple[str, ...] | None:
    """The argv that runs one of our modules in a child; None: it isn't known which Python runs us."""
    if not sys.executable:
        return None
    # -S: everything that site would find is handed over in PYTHONPATH, which is faster.
    return (sys.executable, "-S", "-m", module, *arguments)


def probe_environment() -> dict[str, str]:
    """The environment for a child that shall find our package as we did (checkout, wheel, zipapp).

    Variables that hide GPUs from a program are dropped: the question is about the host.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _HIDING}
    entries = [str(Path(entry or ".").absolute()) for entry in sys.path]
    environment.update(
        PYTHONPATH=os.pathsep.join(entries),
        # Root may stand in a folder of somebody else's: nothing is imported from there.
        PYTHONSAFEPATH="1",
        LC_ALL="C",
        CUDA_DEVICE_ORDER="PCI_BUS_ID",
    )
    return environment


def probe_answer(answer: Answer, timeout: float) -> dict[str, Any]:
    """The probe's JSON object, or ``{"error": …}`` saying how it failed to give one."""
    if answer.status == 124:
        return {"error": f"did not answer within {timeout:g} s", "timeout": True}
    if answer.status == 0:
        try:
            value = json.loads(answer.output)
        except (ValueError, RecursionError):
            return {"error": "the probe's answer is no JSON"}
        return value if isinstance(value, dict) else {"error": "the probe's answer is no object"}
    if answer.status > 128:
        number = answer.status - 128
        return {"error": f"the probe was ended by {_signal_name(number)}", "signal": number}
    lines = (answer.errors or answer.output).strip().splitlines()
    return {"error": f"the probe failed: {lines[-1] if lines else 'it said nothing'}"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def probe(
    module: str,
    soname: str,
    arguments: Sequence[str],
    timeout: float,
    ask: Callable[[Sequence[str], float, dict[str, str]], Answer],
) -> Fact[dict[str, Any] | None]:
    """Run a probe module through ``ask``; None where there is no ``soname`` to be asked."""
    present = library_present(soname, library_path=os.environ.get("LD_LIBRARY_PATH", ""))
    if isinstance(present, Unknown):
        return present
    if not present:
        return None
    argv = probe_command(module, arguments)
    if argv is None:
        return Unknown("the Python interpreter that runs this program isn't known")
    return probe_answer(ask(argv, timeout, probe_environment()), timeout)
