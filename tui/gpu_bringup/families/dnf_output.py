"""Reads what dnf 4 and dnf 5 print in the C locale. Pure.

dnf 4's words are from real transactions (tests run them); dnf 5's from logs of Fedora 41 to 44.
"""

from __future__ import annotations

import re

from gpu_bringup.families.base import Resolution

_ADDING = ("Installing", "Upgrading", "Downgrading", "Reinstalling")
_REMOVING = ("Removing",)
_SECTION = re.compile(r"^([A-Z][a-z]+)(?: [a-z ]+)?:$")
_SUMMARY = re.compile(r"^Transaction Summary:?$")
_ROW = re.compile(r"^ (\S+)\s+(?:noarch|x86_64|aarch64|i686|src|ppc64le|s390x)\s+(\S+)\s+\S+")
_ROW_REST = re.compile(r"^\s{2,}(?:noarch|x86_64|aarch64|i686|src|ppc64le|s390x)\s+(\S+)\s+\S+")
_NAME_ONLY = re.compile(r"^ (\S+)$")

_NOT_WANTED = ("Operation aborted.", "Operation aborted by the user.")
_UNITS = {
    "": 1, "B": 1,
    "k": 2**10, "M": 2**20, "G": 2**30, "T": 2**40,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE = r"([\d.]+)\s*((?:[KMGT]iB|[kMGT]|B)?)"
_DOWNLOAD_4 = re.compile(rf"^Total download size: {_SIZE}\s*$", re.M)
_TOTAL_4 = re.compile(rf"^Total size: {_SIZE}\s*$", re.M)
_INSTALLED_4 = re.compile(rf"^Installed size: {_SIZE}\s*$", re.M)
_DOWNLOAD_5 = re.compile(rf"Need to download {_SIZE}\.", re.M)
_AFTER_5 = re.compile(rf"^After this operation, {_SIZE} (extra will be used|will be freed)", re.M)


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])


def parse_sizes(output: str) -> tuple[int | None, int | None]:
    """(bytes to download, bytes more on disk), None where unsaid."""
    download: int | None = None
    installed: int | None = None
    match = _DOWNLOAD_5.search(output) or _DOWNLOAD_4.search(output)
    if match:
        download = _bytes(match[1], match[2])
    elif _TOTAL_4.search(output):
        # dnf 4 names a download only where there is one: all of it is local or cached.
        download = 0
    if match := _AFTER_5.search(output):
        installed = _bytes(match[1], match[2]) * (1 if "used" in match[3] else -1)
    elif match := _INSTALLED_4.search(output):
        installed = _bytes(match[1], match[2])
    return download, installed


def _transaction(output: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    installs: list[tuple[str, str]] = []
    removes: list[str] = []
    section = ""
    waiting = ""
    for line in output.splitlines():
        if _SUMMARY.match(line):
            break
        if header := _SECTION.match(line):
            section, waiting = header[1], ""
            continue
        if not section:
            continue
        if row := _ROW.match(line):
            name, version = row[1], row[2]
        elif waiting and (row := _ROW_REST.match(line)):
            name, version = waiting, row[1]
        else:
            # A name that is wider than its column stands on a line of its own.
            alone = _NAME_ONLY.match(line)
            waiting = alone[1] if alone else ""
            continue
        waiting = ""
        if section in _ADDING:
            installs.append((name, version))
        elif section in _REMOVING:
            removes.append(name)
    return tuple(installs), tuple(removes)


def first_error(output: str) -> str:
    """The line that says most about why it can't be done."""
    lines = [line.strip(" -\t") for line in output.splitlines()]
    for wanted in (
        "nothing provides ",
        "No match for argument",
        "Unable to find a match",
        "filtered out by",
        "Problem",
        "conflicts with",
        "Cannot download",
        "Failed to download metadata",
    ):
        for line in lines:
            if wanted in line:
                return re.sub(r"^(?:Error: )?(?:Problem(?: \d+)?: )?", "", line)
    for line in lines:
        if line.startswith(("Error:", "Failed")) and line not in ("Error:",):
            return line.removeprefix("Error:").strip()
    return ""


def parse_simulation(status: int, output: str) -> Resolution:
    """Understand ``dnf install --assumeno``: it ends with 1 both when it could and when it can't."""
    possible = status == 0 or any(words in output for words in _NOT_WANTED)
    if not possible:
        text = first_error(output) or f"dnf ended with status {status} and gave no reason"
        return Resolution(ok=False, error=text)
    installs, removes = _transaction(output)
    download, installed = parse_sizes(output)
    return Resolution(
        ok=True,
        installs=installs,
        removes=removes,
        download_bytes=download,
        installed_bytes=installed,
    )
