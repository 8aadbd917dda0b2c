"""Which commands are a needless risk on a server, and why. Pure.

The sentences rest on the manual pages that ``profiles/lessons/commands.toml`` names for each command.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.training.told import is_disaster, simple_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Words = tuple[str, ...]


def _has(words: Sequence[str], *options: str) -> bool:
    shorts = {word for word in options if re.fullmatch(r"-[A-Za-z0-9]", word)}
    letters = {
        f"-{letter}"
        for word in words
        if re.fullmatch(r"-[A-Za-z0-9]+", word)
        for letter in word[1:]
    }
    return bool(shorts & letters) or any(
        word == option or word.startswith(f"{option}=") for word in words for option in options
    )


_RISKS: tuple[tuple[Callable[[Words], bool], str], ...] = (
    (
        lambda w: w[0] == "rmmod" and _has(w[1:], "-f", "--force"),
        "rmmod -f takes a module away from whoever uses it: the kernel may crash",
    ),
    (
        lambda w: (
            w[0] in ("modprobe", "insmod") and _has(w[1:], "-f", "--force", "--force-vermagic")
        ),
        "a module of another kernel was forced in: the kernel may crash",
    ),
    (
        lambda w: w[0] in ("kill", "pkill", "killall") and _has(w[1:], "-9", "-KILL", "-SIGKILL"),
        "kill -9 leaves a program no chance to save its work",
    ),
    (
        lambda w: w[0] == "fuser" and _has(w[1:], "-k", "--kill"),
        "fuser -k ends everybody's programs at once",
    ),
    (
        lambda w: (
            w[0] in ("dpkg", "rpm")
            and any(re.match(r"--(force(?!-conf)|nodeps)", word) for word in w[1:])
        ),
        "the package manager's own checks were switched off",
    ),
    (
        lambda w: (
            w[0] in ("apt", "apt-get")
            and _has(w[1:], "--allow-unauthenticated", "--force-yes", "--allow-remove-essential")
        ),
        "apt was told to take packages that nobody vouches for, or to remove what the system needs",
    ),
    (
        lambda w: w[0] == "mokutil" and "--disable-validation" in w,
        "Secure Boot's validation was to be switched off for the whole machine",
    ),
    (
        lambda w: (
            w[0] == "rm"
            and any(
                re.match(r"/(var/lib/(dpkg|apt|rpm)|var/cache/apt/archives)/\S*lock", p) for p in w
            )
        ),
        "a lock of the package manager was deleted: two of them may work on one database",
    ),
    (
        lambda w: (
            w[0] == "rm"
            and any(
                re.match(r"/(boot|usr|lib|lib/modules|etc|var/lib)(/|$)", path) for path in w[1:]
            )
            and _has(w[1:], "-r", "-R", "--recursive")
        ),
        "files that packages own were deleted by hand",
    ),
    (
        lambda w: w[0] in ("sh", "bash") and any(re.search(r"NVIDIA-Linux.*\.run", x) for x in w),
        "a runfile over packages: two installation methods on one host",
    ),
    (is_disaster, "a command that would have destroyed the system"),
)


def risks(line: str) -> tuple[str, ...]:
    """The needless risks that a line takes, each in a sentence."""
    found = [
        text for words in simple_commands(line) for fits, text in _RISKS if words and fits(words)
    ]
    if re.search(r"\b(curl|wget)\b[^|]*\|\s*(sudo\s+)?(ba)?sh\b", line):
        found.append("a script from the network was run without being read")
    return tuple(dict.fromkeys(found))
