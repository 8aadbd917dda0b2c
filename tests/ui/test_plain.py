"""Poor terminals: what is decided before anything is drawn, and what goes out."""

from __future__ import annotations

import io
import os
import sys

import pytest
from rich.segment import Segment
from textual.color import Color

from gpu_bringup.ui import terminal
from gpu_bringup.ui.plain_glyphs import PlainGlyphs


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # Within the test: pytest puts its own streams there between set-up and call.
    monkeypatch.setattr(sys, "stdin", Tty())
    monkeypatch.setattr(sys, "stdout", Tty())


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def test_an_ordinary_terminal_is_good_enough(tty: pytest.MonkeyPatch) -> None:
    on_a_terminal(tty)
    assert terminal.check_terminal() is None
    assert terminal.prepare() == terminal.Terminal(basic=False)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_terminals_that_can_not_be_drawn_on(tty: pytest.MonkeyPatch, term: str) -> None:
    on_a_terminal(tty)
    tty.setenv("TERM", term)
    reason = terminal.check_terminal()
    assert reason is not None and "TERM" in reason


def test_a_small_terminal_is_told_its_size(tty: pytest.MonkeyPatch) -> None:
    on_a_terminal(tty)
    tty.setenv("COLUMNS", "40")
    tty.setenv("LINES", "10")
    assert "40x10" in (terminal.check_terminal() or "")


def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert "pipe" in (terminal.check_terminal() or "")


@pytest.mark.parametrize("term", ["linux", "vt220", "vt100"])
def test_consoles_get_the_basic_mode(tty: pytest.MonkeyPatch, term: str) -> None:
    tty.setenv("TERM", term)
    assert terminal.prepare().basic
    assert os.environ["TEXTUAL_ANIMATIONS"] == "none"


def test_no_color_gets_the_basic_mode(tty: pytest.MonkeyPatch) -> None:
    tty.setenv("NO_COLOR", "1")
    assert terminal.prepare().basic


def test_an_output_that_is_not_utf8_gets_ascii(tty: pytest.MonkeyPatch) -> None:
    tty.setattr(sys, "__stderr__", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert terminal.prepare() == terminal.Terminal(basic=True, ascii_only=True)


def apply(text: str, *, ascii_only: bool) -> str:
    glyphs = PlainGlyphs(ascii_only=ascii_only)
    return "".join(s.text for s in glyphs.apply([Segment(text)], Color(0, 0, 0)))


def test_glyphs_keep_their_width() -> None:
    assert apply("a·b…“x”│╭╮▃é", ascii_only=True) == 'a-b."x"|++ e'
    assert apply("驱动", ascii_only=True) == "????"
    console = apply("a·…│╭▃é●", ascii_only=False)
    assert console.encode("cp437") and len(console) == 8
    assert "│" in console and "é" in console


def test_control_characters_of_a_record_are_not_drawn() -> None:
    from rich.segment import Segment
    from textual.color import Color

    from gpu_bringup.ui.no_controls import NoControls

    hostile = Segment("Debian\x1b]0;owned\x07\x1b[5m 13\x9b2J")
    drawn = NoControls().apply([hostile, Segment("plain")], Color(0, 0, 0))
    assert [segment.text for segment in drawn] == ["Debian]0;owned[5m 132J", "plain"]
