"""Was a module refused before the file that lies there now was written? Then that says nothing of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.signing.proof import REFUSED

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import LogFacts, ModuleFacts

_STAMP = re.compile(r"^(?:<\d+>)?\[ *(\d+\.\d+)\]")
"""Seconds since the boot (printk.time)."""


def observe(host: Host, log: LogFacts, modules: ModuleFacts) -> bool:
    """True where the nvidia module of the running kernel is newer than the kernel's last refusal.

    False also where that can't be told: no refusal, no times in the log, files that can't be read.
    The files are looked at only after a refusal.
    """
    lines = log.lines if isinstance(log.lines, tuple) else ()
    last = next((line for line in reversed(lines) if REFUSED.search(line)), "")
    stamp = _STAMP.match(last)
    if stamp is None or not isinstance(modules.files, tuple):
        return False
    boot = _boot_time(host)
    running = host.read_text("/proc/sys/kernel/osrelease")
    if boot is None or not isinstance(running, str):
        return False
    refused = boot + float(stamp[1])
    written = [
        _written(host, file.path)
        for file in modules.files
        if file.kernel == running.strip() and file.name == "nvidia"
    ]
    return bool(written) and all(time is not None and time > refused for time in written)


def _written(host: Host, path: str) -> float | None:
    answer = host.digest("modified", path)
    if isinstance(answer, dict) and isinstance(answer.get("time"), (int, float)):
        return float(answer["time"])
    return None


def _boot_time(host: Host) -> float | None:
    """Seconds since 1970 (proc_stat(5), "btime"); None: not told."""
    text = host.read_text("/proc/stat")
    found = re.search(r"^btime (\d+)$", text, re.MULTILINE) if isinstance(text, str) else None
    return float(found[1]) if found else None
