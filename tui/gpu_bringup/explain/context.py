"""What is known of the host besides the text: ``--context os=… kernel=… driver=… gpu=…``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpu_bringup.errors import InputError
from gpu_bringup.model.versions import driver_key

KEYS = ("os", "kernel", "driver", "gpu", "secure-boot")

_FAMILIES = (
    ("ubuntu", r"ubuntu|mint|pop!?[_ ]?os|elementary|zorin"),
    ("debian", r"debian|proxmox|devuan|kali|raspbian|endless"),
    ("fedora", r"fedora|bazzite|nobara|silverblue|ublue"),
    ("amazon", r"amazon|amzn|\bal20"),
    ("rhel", r"rhel|red ?hat|rocky|alma|centos|oracle|scientific"),
    ("suse", r"suse|sles|\bsle\b|leap|tumbleweed"),
)
_TRACES = (
    (
        "ubuntu",
        rb"\dubuntu\d|Ubuntu|/ubuntu\d{4}/|ubuntu-drivers|-\d+-(?:generic|aws|azure|gcp|oracle)\b",
    ),
    ("amazon", rb"\.amzn\d|Amazon Linux"),
    ("fedora", rb"\.fc\d\d\b|Fedora"),
    ("rhel", rb"\.el\d+(?:_\d+)?\b|rhel\d|Red Hat|Rocky|AlmaLinux|CentOS"),
    ("suse", rb"zypper|SUSE|\.sles\d|kernel-default|\d-default\b|kmp-default"),
    (
        "debian",
        rb"[+~]deb\d+|Debian|Proxmox|-pve\b|(?m:^|[/ ])dpkg\b|apt-get|linux-image-\S+-amd64",
    ),
    ("rhel", rb"(?m:^|[ #])(?:dnf|yum) |modular filtering"),
)
"""What a text says of the system it comes from; names that only one family has stand first."""
_CONDITION = re.compile(r"^(?P<key>[a-z-]+)(?P<op>!=|>=|<=|=|<|>|~)(?P<value>.+)$")
_YES = ("on", "enabled", "yes", "true", "1")
_NO = ("off", "disabled", "no", "false", "0")


@dataclass(frozen=True, slots=True)
class Context:
    """The host, as far as it was told; None and "" are not known."""

    os: str = ""
    kernel: str = ""
    driver: str = ""
    gpu: str = ""
    secure_boot: bool | None = None

    @property
    def family(self) -> str:
        """ "debian", "ubuntu", "rhel", "fedora", "suse", "amazon" or empty."""
        for family, pattern in _FAMILIES:
            if re.search(pattern, self.os, re.IGNORECASE):
                return family
        return ""


def parse(items: list[str]) -> Context:
    """The context of ``key=value`` words, values as people write them.

    Raises:
        InputError: a word is no pair, or its key isn't one of ``KEYS``.
    """
    values: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or key not in KEYS:
            raise InputError(
                f"{item!r} is no context",
                place="--context",
                hint=f"Write key=value; the keys are {', '.join(KEYS)}.",
            )
        values[key] = value.strip()
    secure = values.get("secure-boot", "").lower()
    return Context(
        os=values.get("os", ""),
        kernel=values.get("kernel", ""),
        driver=values.get("driver", ""),
        gpu=values.get("gpu", ""),
        secure_boot=True if secure in _YES else False if secure in _NO else None,
    )


def family_in(text: bytes | bytearray) -> str:
    """The family of the system that a text comes from; empty: nothing tells, or two families do."""
    exact = {name for name, pattern in _TRACES[:5] if re.search(pattern, text)}
    if exact:
        # A package of one family named in passing on another one: nobody can tell by this alone.
        return exact.pop() if len(exact) == 1 else ""
    loose = {name for name, pattern in _TRACES[5:] if re.search(pattern, text)}
    return loose.pop() if len(loose) == 1 else ""


def holds(condition: str, context: Context) -> bool | None:
    """Does a sign's condition hold here? None: it isn't known.

    Raises:
        ValueError: it is no condition.
    """
    match = _CONDITION.match(condition)
    if match is None or match["key"] not in KEYS:
        raise ValueError(f"{condition!r} is no condition")
    key, op, value = match["key"], match["op"], match["value"]
    if key == "secure-boot":
        if context.secure_boot is None:
            return None
        return (context.secure_boot == (value in _YES)) == (op == "=")
    mine = context.family if key == "os" and op in ("=", "!=") else getattr(context, key)
    if not mine:
        return None
    if op == "~":
        return re.search(value, mine, re.IGNORECASE) is not None
    if op in ("=", "!="):
        return (mine.lower() == value.lower()) == (op == "=")
    left, right = driver_key(_version(mine)), driver_key(value)
    if not left:
        return None
    return {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[op]


def _version(text: str) -> str:
    match = re.search(r"\d+(?:\.\d+)+", text)
    return match[0] if match else ""
