"""Where gpu-bringup keeps its own files on a host: one place, so that docs and code agree.

Root: ``/var/lib/gpu-bringup`` (runs, evidence of trial builds) and ``/var/cache/gpu-bringup``.
Others: the XDG folders. ``GPU_BRINGUP_STATE`` overrides the first, for tests and odd hosts.
"""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_STATE = Path("/var/lib/gpu-bringup")
SYSTEM_CACHE = Path("/var/cache/gpu-bringup")
OPERATOR_PROFILES = Path("/etc/gpu-bringup/profiles")


def state_folder() -> Path:
    """The folder for runs and evidence (not created here)."""
    override = os.environ.get("GPU_BRINGUP_STATE")
    if override:
        return Path(override)
    if os.geteuid() == 0:
        return SYSTEM_STATE
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "gpu-bringup"


def cache_folder() -> Path:
    """The folder for trial builds and downloads, which may be deleted at any time."""
    override = os.environ.get("GPU_BRINGUP_STATE")
    if override:
        return Path(override) / "cache"
    if os.geteuid() == 0:
        return SYSTEM_CACHE
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-bringup"


def runs_folder() -> Path:
    """The folder that holds one folder a run."""
    return state_folder() / "runs"
