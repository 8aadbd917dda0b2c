"""What this terminal can show, decided before Textual is imported (it reads its settings then).

Textual draws full colour even on TERM=dumb, and letters on their own colour on a console with
NO_COLOR; both are caught here (measured with Textual 8.2).
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

MIN_COLUMNS = 60
MIN_ROWS = 16
_BASIC_TERMS = ("linux", "vt100", "vt102", "vt220", "ansi", "cons25")


@dataclass(frozen=True, slots=True)
class Terminal:
    """How the wizard shall draw."""

    basic: bool
    """Only ANSI colours, and no glyph outside a console's font."""
    ascii_only: bool = False
    """The output isn't UTF-8: nothing but ASCII arrives."""


def is_basic(term: str) -> bool:
    """Is a terminal of this name a console or an old one, or like one?"""
    return term.split("-")[0] in _BASIC_TERMS


def check_terminal() -> str | None:
    """None where the wizard can be shown; else one sentence why not."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the wizard needs a terminal; this is a pipe or a file"
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        return f"the wizard can't be drawn on this terminal (TERM={term or 'not set'})"
    columns, rows = shutil.get_terminal_size()
    if columns < MIN_COLUMNS or rows < MIN_ROWS:
        return (
            f"this terminal has {columns}x{rows} characters; the wizard needs at least "
            f"{MIN_COLUMNS}x{MIN_ROWS}"
        )
    return None


def prepare(basic: bool | None = None) -> Terminal:
    """Set what Textual reads at its import, and say how to draw.

    Args:
        basic: force or forbid the basic mode; None: judge by TERM, NO_COLOR and the encoding.
    """
    term = os.environ.get("TERM", "")
    # Textual writes to standard error's stream.
    encoding = (getattr(sys.__stderr__, "encoding", "") or "").lower().replace("-", "")
    ascii_only = encoding != "utf8"
    if basic is None:
        basic = is_basic(term) or bool(os.environ.get("NO_COLOR"))
    basic = basic or ascii_only
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_DISABLE_KITTY_KEY", "1")
    if basic:
        os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
        os.environ.setdefault("TEXTUAL_FPS", "15")
    return Terminal(basic=basic, ascii_only=ascii_only)
