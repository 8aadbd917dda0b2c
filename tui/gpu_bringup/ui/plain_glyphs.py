"""Basic mode: whatever is drawn, only characters that a console's font (CP437) or ASCII has go out.

Widgets, other people's log lines and translated texts all pass here last, so that none can break
the picture on a serial line or a Linux console.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_LIKE = {
    "·": "-", "•": "*", "…": ".", "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "“": '"',
    "”": '"', "→": ">", "←": "<", "↑": "^", "↓": "v", "✓": "+", "✗": "x", "×": "x", "\u00a0": " ",
    "│": "|", "┃": "|", "─": "-", "━": "-", "═": "=", "║": "|", "█": "#", "░": ".", "▒": ":",
    "▓": "#", "▔": "-", "▕": "|", **dict.fromkeys("▁▂▃▄▅▆▇▉▊▋▌▍▎▏", " "), "●": "*", "⭘": "o",
    "ä": "a", "ö": "o", "ü": "u", "ß": "s", "é": "e",
}  # fmt: skip
"""What a character looks like in ASCII; drawn corners are all "+"."""
_CORNERS = frozenset("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╠╣╦╩╬╒╓╕╖╘╙╛╜╞╟╡╢╤╥╧╨╪╫")


@lru_cache(maxsize=4096)
def _plain(text: str, ascii_only: bool) -> str:
    if text.isascii():
        return text
    return "".join(_one(character, ascii_only) for character in text)


def _one(character: str, ascii_only: bool) -> str:
    if character.isascii():
        return character
    if not ascii_only:
        try:
            character.encode("cp437")
            return character
        except UnicodeEncodeError:
            pass
    if character in _CORNERS:
        return "+"
    return _LIKE.get(character) or "?" * cell_len(character)


class PlainGlyphs(LineFilter):
    """Replaces what the terminal could not show by something of the same width.

    Args:
        ascii_only: the output isn't UTF-8: not even CP437's further characters arrive.
    """

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control
            else Segment(_plain(segment.text, self._ascii_only), segment.style)
            for segment in segments
        ]
