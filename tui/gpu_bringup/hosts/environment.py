"""The environment that the commands of a plan run with: little, and the same for every operator."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Not the operator's own PATH: a compiler of some conda environment must not build kernel modules."""
PROXY_VARIABLES = (
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
_KEPT = ("HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", *PROXY_VARIABLES)


def proxies() -> dict[str, str]:
    """The proxy settings of this process."""
    return {name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ}


def command_environment(command: Command) -> dict[str, str]:
    """The whole environment of a command.

    Only home, user, time zone, proxies and temporary folder come from outside; nothing that could
    change which compiler, which libraries or which Python a package's scripts use.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    if "HOME" not in kept:
        with contextlib.suppress(KeyError):
            kept["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
    return {
        **kept,
        "PATH": STANDARD_PATH,
        "LC_ALL": "C.UTF-8",
        "TERM": os.environ.get("TERM", "linux") if command.interactive else "dumb",
        **dict(command.environment),
    }
