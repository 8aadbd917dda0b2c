"""Printing for people: colours where they help, never where they don't belong."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LEAST = 20
"""Columns that a text gets at the least: narrower, its words would only be torn apart."""

_UNSEEN = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""DEL, the 8-bit control characters, and what turns the direction of text (JSON escapes the rest)."""
_OBEYED = re.compile(
    f"\x1b(?!\\[(?:{'|'.join(['0', *_CODES.values()])})(?:;(?:{'|'.join(_CODES.values())}))*m)"
    f"|[\x00-\x08\x0b-\x1a\x1c-\x1f{_UNSEEN.pattern[1:-1]}]"
)
"""Control characters but for tab, new line, and ``paint``'s own colours."""


def colours_wanted() -> bool:
    """Colours only on a terminal that is known to have them, and not where NO_COLOR is set."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    )


def paint(text: str, *styles: str) -> str:
    """``text`` in these styles, or as it is."""
    if not colours_wanted():
        return text
    codes = ";".join(_CODES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output, with nothing in it that a terminal would obey."""
    # Where the output can't take every character, JSON's own escapes lose nothing.
    encoding = (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "")
    text = json.dumps(document, indent=2, ensure_ascii=encoding != "utf8")
    print(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def clean(text: str) -> str:
    """``text`` with every character replaced that a terminal would obey instead of show.

    Records, logs and arguments hold whatever somebody wrote into them. Our own colours stay.
    """
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def show(text: str = "") -> None:
    """A line of the result, for people: standard output."""
    print(clean(text))


def say(text: str) -> None:
    """A message to the operator that isn't the result: standard error."""
    print(clean(text), file=sys.stderr, flush=True)


def answer_to(question: str) -> str:
    """What the operator types; the question goes to standard error, where no result is.

    Empty at the end of the input (Ctrl-D), which is no answer.
    """
    sys.stderr.write(clean(question))
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def usable_output(path: Path | None) -> None:
    """Can this file be written, as far as can be told before there is something to write?

    Raises:
        InputError: it can't; says why.
    """
    if path is None or str(path) == "-":
        return
    problem = ""
    try:
        folder = path.absolute().parent
        if path.is_dir():
            problem = "this is a folder; name a file in it"
        elif not folder.is_dir():
            problem = f"there is no folder {folder}"
        elif not os.access(path if path.exists() else folder, os.W_OK):
            problem = "it may not be written by this user"
    except OSError as error:
        problem = f"it can't be written: {error.strerror}"
    if problem:
        raise InputError(problem, file=f"-o {path}", meaning="Nothing was written.")


def wrap(text: str, indent: int = 0, width: int = 0, *, hang: int = 0) -> str:
    """``text`` broken to the terminal's width at spaces, every line indented.

    Args:
        hang: so many columns more for the lines after the first.
    """
    room = max(width or min(100, columns()), indent + hang + _LEAST)
    # Names of packages and files are copied from the screen: they aren't broken at their hyphens.
    return textwrap.fill(
        text,
        room,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_on_hyphens=False,
    )


def beside(head: str, text: str, painted: str = "") -> str:
    """``head`` and ``text`` beside it, broken to the terminal's width below its own first word.

    Args:
        head: what stands in front, with the blanks up to ``text``.
        painted: the same in colours; empty: as ``head``.
    """
    if columns() < len(head) + _LEAST:
        return f"{(painted or head).rstrip()}\n{wrap(text, 4)}"
    body = wrap(text, len(head))
    return (painted or head) + body[len(head) :]


def columns() -> int:
    """Columns of the terminal; 80 where there is none."""
    try:
        # Serial consoles and some pseudo-terminals say 0.
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


def size(count: int | None) -> str:
    """Bytes for people, in powers of ten as package managers print them."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
