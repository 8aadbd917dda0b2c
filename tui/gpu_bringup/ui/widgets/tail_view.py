"""The output of a running command: a bounded window on its log, drawn line by line.

The log file is the truth; this keeps the last lines of it. ANSI colours are parsed only for lines
that are on the screen. Lines are taken at once and shown in the next frame, of which there are few a
second: a flood of output costs what the screen can show, not what the command writes. Where nothing
comes, nothing runs.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from rich.style import Style
from rich.text import Text
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

KEPT_LINES = 5_000
FRAME_SECONDS = 1 / 4
"""Between two drawings: what an eye can read, and a slow machine draws beside the build it shows."""
BASIC_FRAME_SECONDS = 1 / 2
"""The same on a poor terminal, which is often a serial line: a frame of 80x24 is 2 KB, and 115,200
baud carry 11 KB a second."""
ESCAPE = "\x1b"
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


@lru_cache(maxsize=512)
def _parsed(line: str) -> Text:
    return Text.from_ansi(line, no_wrap=True, end="")


def _plain(line: str) -> str:
    return _COLOURS.sub("", line) if ESCAPE in line else line


def _length(line: str) -> int:
    """Characters of a line without its colours."""
    return len(_plain(line))


class TailView(ScrollView, can_focus=True):
    """Shows the end of an output, follows it, and stays where it is when scrolled up."""

    BINDINGS = [
        Binding("end", "follow", "Follow", key_display="End"),
        Binding("w", "toggle_wrap", "Wrap"),
        Binding("home", "top", "Top", key_display="Home"),
        Binding("N", "search_again", "Earlier match"),
    ]

    DEFAULT_CSS = """
    TailView {
        height: 1fr; overflow-x: auto; overflow-y: scroll; background: $panel 30%;
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0;
    }
    """

    def __init__(self, *, id: str | None = None, kept: int = KEPT_LINES) -> None:
        super().__init__(id=id)
        self._lines: deque[str] = deque(maxlen=kept)
        self._pending: list[str] = []
        self._partial = ""
        self._rows: list[tuple[str, int]] = []
        """What is drawn: a line, and at which character of it the row begins."""
        self._wrap = False
        self._search = ""
        self._dirty = False
        self._awake = False
        self._drawn = 0.0
        self._hold = False
        self.total = 0
        """Lines drawn or dropped since the last ``clear``."""
        self.following = True
        self._size_laid_out = Size(0, 0)
        self._style = Style.null()

    def on_mount(self) -> None:
        self._wake()

    @property
    def frame_seconds(self) -> float:
        """The least time between two drawings."""
        return BASIC_FRAME_SECONDS if self.app.has_class("-basic") else FRAME_SECONDS

    @property
    def behind(self) -> bool:
        """Is there something that isn't drawn yet?"""
        return bool(self._pending) or self._dirty

    def _wake(self) -> None:
        """Draw what came, at once or when the next frame is due."""
        if self._awake or not self.behind or not self.is_attached:
            return
        self._awake = True
        due = self._drawn + self.frame_seconds - time.monotonic()
        if due <= 0:
            self.call_next(self._flush)
        else:
            self.set_timer(due, self._flush)

    # --- what comes in ---------------------------------------------------------------------------

    def add_lines(self, lines: Iterable[str]) -> None:
        """Take finished lines; shown at the next tick."""
        self._pending.extend(lines)
        # More than what is kept can't be seen: drop it before it costs anything.
        surplus = len(self._pending) - (self._lines.maxlen or KEPT_LINES)
        if surplus > 0:
            self.total += surplus
            del self._pending[:surplus]
        self._wake()

    def set_partial(self, text: str) -> None:
        """The unfinished last line, such as a progress bar."""
        if text != self._partial:
            self._partial = text
            self._dirty = True
            self._wake()

    def clear(self) -> None:
        self._lines.clear()
        self._pending.clear()
        self._partial = ""
        self.total = 0
        self._dirty = True
        self._wake()

    @property
    def taken(self) -> int:
        """Lines that came since the last ``clear``, drawn or not."""
        return self.total + len(self._pending)

    @property
    def dropped(self) -> int:
        """Lines that are in the log only."""
        return max(0, self.total - len(self._lines))

    # --- how it is shown -------------------------------------------------------------------------

    def _flush(self) -> None:
        self._awake = False
        self._drawn = time.monotonic()
        before = len(self._rows)
        gone = self._take_pending()
        self._dirty = False
        self._lay_out()
        if self.following:
            # Now, so that one drawing shows both; and after it, where scroll bars came or went.
            self._to_end()
            self.call_after_refresh(self._to_end)
        elif gone and before:
            # What is being read stays where it is while the oldest lines go.
            self._hold = True
            self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False, immediate=True)
            self._hold = False

    def _take_pending(self) -> int:
        """Move what came in to the lines; returns how many rows went off the top."""
        surplus = len(self._lines) + len(self._pending) - (self._lines.maxlen or KEPT_LINES)
        width = max(1, self.scrollable_content_region.width)
        gone = 0
        if surplus > 0:
            oldest = islice(self._lines, surplus)
            gone = surplus
            if self._wrap:
                gone = sum(-(-max(1, _length(row)) // width) for row in oldest)
        self._lines.extend(self._pending)
        self.total += len(self._pending)
        self._pending.clear()
        return gone

    def _lay_out(self) -> None:
        rows = [*self._lines, *([self._partial] if self._partial else [])]
        width = max(1, self.scrollable_content_region.width)
        if self._wrap:
            self._rows = [(row, at) for row in rows for at in range(0, max(1, _length(row)), width)]
            widest = width
        else:
            self._rows = [(row, 0) for row in rows]
            widest = max((_length(row) for row in rows[-200:]), default=0)
        self.virtual_size = Size(widest, len(self._rows))
        self._size_laid_out = self.size
        self.refresh()

    def _to_end(self) -> None:
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    def render_lines(self, crop: Region) -> list[Strip]:
        # Computed from all ancestors at each reading: once a drawing, not once a line.
        self._style = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        style = self._style
        scroll_x, scroll_y = self.scroll_offset
        index = scroll_y + y
        width = self.scrollable_content_region.width
        if index >= len(self._rows):
            return Strip.blank(width, style)
        line, start = self._rows[index]
        text = _parsed(line)
        if self._wrap:
            text = text[start : start + width]
        if self._search and self._search.lower() in text.plain.lower():
            text = text.copy()
            text.highlight_words([self._search], style="reverse", case_sensitive=False)
        segments = text.render(self.app.console)
        strip = Strip(segments).apply_style(style)
        return strip.crop_extend(scroll_x, scroll_x + width, style)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        # A taller window moves the view up as well: only the operator ends the following.
        if self._hold or self.size != self._size_laid_out:
            return
        before = self.following
        if new_value < old_value:
            self.following = False
        elif new_value >= self.max_scroll_y:
            self.following = True
        if before != self.following:
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # The bottom line names only keys that would do something.
        if action == "search_again":
            return bool(self._search)
        return action != "follow" or not self.following

    def on_resize(self) -> None:
        self._dirty = True
        self._wake()

    # --- keys ------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        self.following = True
        self._to_end()
        self.refresh_bindings()

    def action_toggle_wrap(self) -> None:
        self._wrap = not self._wrap
        self._dirty = True
        self._wake()

    def action_top(self) -> None:
        self.following = False
        self.scroll_home(animate=False)

    def action_search_again(self) -> None:
        """To the match before the one that is shown; from the first to the last."""
        if self._search:
            before = [row for row in self._matches() if row < self.scroll_offset.y + 2]
            rows = before or self._matches()
            if rows:
                self._show_row(rows[-1])

    def search(self, text: str) -> int:
        """Mark a text and go to its last occurrence; returns how many lines have it."""
        self._search = text
        found = self._matches()
        if found:
            self._show_row(found[-1])
        self.refresh()
        return len(found)

    def _matches(self) -> list[int]:
        wanted = self._search.lower()
        if not wanted:
            return []
        return [
            index
            for index, (row, start) in enumerate(self._rows)
            if not start and wanted in _plain(row).lower()
        ]

    def _show_row(self, row: int) -> None:
        self.following = False
        self.scroll_to(y=max(0, row - 2), animate=False)
