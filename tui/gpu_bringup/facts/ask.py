"""Small questions that many observers ask, with Unknown and absent kept apart."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

Group = TypeVar("Group")

_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|\d+)")


def line(host: Host, path: str, *, limit: int = 4096) -> Fact[str | None]:
    """A short file's text without surrounding white space; None where there is no such file."""
    answer = host.read_text(path, limit=limit)
    return answer.strip() if isinstance(answer, str) else answer


def text(host: Host, path: str, *, limit: int = 4_000_000) -> str:
    """A file's text; empty where it is absent or can't be read (only where both mean the same)."""
    answer = host.read_text(path, limit=limit)
    return answer if isinstance(answer, str) else ""


def names(host: Host, path: str) -> tuple[str, ...]:
    """Names in a folder; none where it is absent or can't be read."""
    answer = host.list_dir(path)
    return answer if isinstance(answer, tuple) else ()


def number(host: Host, path: str) -> Fact[int]:
    """The whole number in a file, decimal or 0x hexadecimal; Unknown where there is none."""
    answer = line(host, path)
    if isinstance(answer, Unknown):
        return answer
    if answer is None:
        return Unknown(f"{path} does not exist")
    match = _NUMBER.fullmatch(answer)
    return (
        int(answer, 0 if "x" in answer.lower() else 10)
        if match
        else Unknown(f"{path} holds no number")
    )


def output(host: Host, *argv: str, timeout: float = 10.0) -> Fact[str]:
    """What a command printed; Unknown where it can't be asked, isn't there or failed."""
    answer = host.run(argv, timeout=timeout)
    if isinstance(answer, Unknown):
        return answer
    if answer.missing:
        return Unknown(f"there is no {argv[0]} command on this host")
    if answer.timed_out:
        return Unknown(f"{argv[0]} did not answer within {timeout:.0f} s")
    if not answer.ok:
        return Unknown(f"{argv[0]} failed with exit status {answer.exit}")
    return answer.output


def any_exists(host: Host, *paths: str) -> Fact[bool]:
    """Is one of these there? Unknown only where none is known to be and one isn't known."""
    unknown: Unknown | None = None
    for path in paths:
        answer = host.exists(path)
        if isinstance(answer, Unknown):
            unknown = answer if unknown is None else unknown
        elif answer:
            return True
    return unknown if unknown is not None else False


def all_unknown(group: type[Group], reason: str) -> Group:
    """A group of facts in which everything that can be unknown is, for one reason."""
    values: dict[str, Any] = {}
    for item in fields(cast(Any, group)):
        required = item.default is MISSING and item.default_factory is MISSING
        if required or isinstance(item.default, Unknown):
            values[item.name] = Unknown(reason)
    return group(**values)
