"""Reads what apt-get prints in the C locale: simulations and sizes. Pure."""

from __future__ import annotations

import re

from gpu_bringup.families.base import Resolution

_INST = re.compile(r"^Inst (\S+) (?:\[[^\]]*\] )?\((\S+)", re.MULTILINE)
_REMV = re.compile(r"^(?:Remv|Purg) (\S+)", re.MULTILINE)
_DEPENDENCY = re.compile(
    r"^ (?P<package>\S+) : (?P<kind>Depends|PreDepends|Conflicts|Breaks): (?P<what>.+)$"
)
_MORE = re.compile(r"^ {4,}(?P<kind>Depends|PreDepends|Conflicts|Breaks): (?P<what>.+)$")
_NEED = re.compile(r"^Need to get ([\d.,]+) ([kMGT]?B)(?:/([\d.,]+) ([kMGT]?B))? of archives", re.M)
_AFTER = re.compile(
    r"^After this operation, ([\d.,]+) ([kMGT]?B) (?:of additional )?disk space will be (used|freed)",
    re.M,
)
# apt 3 (`apt`, or apt-get with APT::Output-Version 30) words them so.
_NEED_3 = re.compile(r"^\s*Download size: ([\d.,]+) ([kMGT]?B)", re.M)
_AFTER_3 = re.compile(r"^\s*(Space needed|Freed space): ([\d.,]+) ([kMGT]?B)", re.M)

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

_WORDS = {
    "Depends": "needs",
    "PreDepends": "needs",
    "Conflicts": "conflicts with",
    "Breaks": "breaks",
}


def _bytes(number: str, unit: str) -> int:
    return round(float(number.replace(",", "")) * _UNITS[unit])


def parse_sizes(output: str) -> tuple[int | None, int | None]:
    """(bytes to download, bytes more on disk; negative when space is freed), None where unsaid."""
    download: int | None = None
    installed: int | None = None
    if match := _NEED.search(output) or _NEED_3.search(output):
        download = _bytes(match[1], match[2])
    elif _AFTER.search(output):
        # apt leaves the line out when everything is in its cache already.
        download = 0
    if match := _AFTER.search(output):
        installed = _bytes(match[1], match[2]) * (1 if match[3] == "used" else -1)
    elif match := _AFTER_3.search(output):
        installed = _bytes(match[2], match[3]) * (1 if match[1] == "Space needed" else -1)
    return download, installed


def _unmet(output: str) -> str:
    """One line for the first unmet dependency that names its package, or ""."""
    lines = output.splitlines()
    for index, line in enumerate(lines):
        match = _DEPENDENCY.match(line)
        if not match:
            continue
        found: list[tuple[str, str]] = [(match["kind"], match["what"].strip())]
        for following in lines[index + 1 :]:
            more = _MORE.match(following)
            if more:
                found.append((more["kind"], more["what"].strip()))
            elif found[-1][1].endswith(" or") and following.startswith("    "):
                found[-1] = (found[-1][0], f"{found[-1][1]} {following.strip()}")
            else:
                break
        kind, what = found[0]
        return f"{match['package']} {_WORDS[kind]} {what}"
    return ""


def first_error(output: str) -> str:
    """The line that says why it can't be done; apt's summary comes last and says the least."""
    unmet = _unmet(output)
    if unmet:
        return unmet
    for line in output.splitlines():
        if line.startswith("E: ") and "broken packages" not in line:
            return line[3:].strip()
    for line in output.splitlines():
        if line.startswith(("E: ", "dpkg: error")):
            return line.removeprefix("E: ").strip()
    return ""


def parse_simulation(status: int, output: str) -> Resolution:
    """Understand ``apt-get -s install``: Inst and Remv lines, or the reason that it can't."""
    if status != 0:
        text = first_error(output) or f"apt-get ended with status {status} and gave no reason"
        return Resolution(ok=False, error=text)
    download, installed = parse_sizes(output)
    return Resolution(
        ok=True,
        installs=tuple((match[1], match[2]) for match in _INST.finditer(output)),
        removes=tuple(dict.fromkeys(match[1] for match in _REMV.finditer(output))),
        download_bytes=download,
        installed_bytes=installed,
    )
