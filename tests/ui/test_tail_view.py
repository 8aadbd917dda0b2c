"""The output pane: bounded, coloured, follows, finds, and keeps its place."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from gpu_bringup.ui.log_tail import PIECE, LogTail
from gpu_bringup.ui.widgets.tail_view import (
    BASIC_FRAME_SECONDS,
    FRAME_SECONDS,
    KEPT_LINES,
    TailView,
)


class Pane(App[None]):
    def compose(self) -> ComposeResult:
        yield TailView()


async def drawn(pilot: Pilot[None]) -> None:
    """Wait until all that came is on the screen."""
    view = pilot.app.query_one(TailView)
    await pilot.pause()
    while view.behind:
        await pilot.pause(0.01)
    await pilot.pause()


def shown(view: TailView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def test_a_flood_is_bounded_in_memory_and_counted() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(TailView)
        tracemalloc.start()
        for start in range(0, 100_000, 1000):
            view.add_lines(f"line {number}" for number in range(start, start + 1000))
        await drawn(pilot)
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert view.total == 100_000
        assert view.dropped == 100_000 - KEPT_LINES
        assert grown < 20_000_000
        assert shown(view)[-1] == "line 99999"


async def test_colours_are_drawn_and_not_counted() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.query_one(TailView)
        view.add_lines(["\x1b[31mred\x1b[0m plain", "\x1b[1m" + "x" * 60])
        await drawn(pilot)
        first: Segment = next(iter(view.render_line(0)))
        assert first.text == "red" and first.style is not None and first.style.color is not None
        assert view.virtual_size.width == 60
        await pilot.press("tab", "w")
        await drawn(pilot)
        assert shown(view)[1].startswith("xxx") and shown(view)[2].startswith("xxx")
        assert sum(row.count("x") for row in shown(view)) == 60


async def test_following_stops_when_scrolled_up_and_end_resumes() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(TailView)
        view.focus()
        view.add_lines(f"line {number}" for number in range(200))
        await drawn(pilot)
        await pilot.press("pageup")
        await drawn(pilot)
        assert not view.following
        reading = shown(view)[0]
        view.add_lines(f"later {number}" for number in range(100))
        await drawn(pilot)
        assert shown(view)[0] == reading
        await pilot.press("end")
        await drawn(pilot)
        assert view.following and shown(view)[-1] == "later 99"


async def test_what_is_read_stays_while_the_oldest_lines_go() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(TailView)
        view.focus()
        view.add_lines(f"line {number}" for number in range(KEPT_LINES))
        await drawn(pilot)
        await pilot.press("pageup")
        await drawn(pilot)
        reading = shown(view)[0]
        view.add_lines(f"later {number}" for number in range(300))
        await drawn(pilot)
        assert shown(view)[0] == reading and not view.following


async def test_search_goes_to_the_last_match_and_then_to_earlier_ones() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(TailView)
        view.focus()
        lines = [f"line {number}" for number in range(300)]
        lines[40], lines[150] = "an \x1b[31mErr\x1b[0mor here", "error again"
        view.add_lines(lines)
        await drawn(pilot)
        assert view.search("error") == 2
        await drawn(pilot)
        assert "error again" in shown(view)
        await pilot.press("N")
        await drawn(pilot)
        assert "an Error here" in shown(view)


async def test_the_partial_line_is_replaced_and_never_added() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(TailView)
        for percent in range(0, 100, 5):
            view.set_partial(f"Progress: [{percent:3d}%]")
        await drawn(pilot)
        assert shown(view)[0] == "Progress: [ 95%]" and view.total == 0


def test_a_log_is_read_in_pieces_and_cut_at_line_ends_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = LogTail(path)
    assert tail.read() == []
    path.write_bytes("grün\nhalf".encode()[:3])
    assert tail.read() == []
    path.write_bytes("grün\nhalf".encode())
    assert tail.read() == ["grün"]
    with path.open("ab") as file:
        file.write(b" done\rover\r\nform\x0cfeed\n\xff\n")
    assert tail.read() == ["over", "form\x0cfeed", "\ufffd"]
    path.write_bytes(b"x" * 99 + b"\n" + b"y\n" * PIECE)
    assert LogTail(path, last=4).read() == ["y", "y"]
    assert len(LogTail(path).read()) < PIECE
    assert len(LogTail(path).read_all()) == PIECE + 1


async def test_a_resize_does_not_end_the_following() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(TailView)
        view.add_lines(f"line {number}" for number in range(200))
        await drawn(pilot)
        await pilot.resize_terminal(120, 36)
        await drawn(pilot)
        assert view.following
        await pilot.resize_terminal(80, 20)
        await drawn(pilot)
        view.add_lines(["the last one"])
        await drawn(pilot)
        assert view.following
        assert shown(view)[-1] == "the last one"


class Counted(TailView):
    """Counts its drawings."""

    drawings = 0

    def _flush(self) -> None:
        self.drawings += 1
        super()._flush()


class CountedPane(App[None]):
    def compose(self) -> ComposeResult:
        yield Counted()


async def test_what_comes_together_is_drawn_once_and_silence_costs_nothing() -> None:
    app = CountedPane()
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(Counted)
        await drawn(pilot)
        before = view.drawings
        for number in range(1000):
            view.add_lines([f"line {number}"])
        assert view.drawings == before, "nothing is drawn where lines are taken"
        await drawn(pilot)
        assert view.drawings == before + 1 and shown(view)[-1] == "line 999"
        assert not view._awake, "no clock runs while nothing comes"


async def test_a_poor_terminal_gets_fewer_frames() -> None:
    app = CountedPane()
    async with app.run_test(size=(80, 24)):
        view = app.query_one(Counted)
        assert view.frame_seconds == FRAME_SECONDS >= 1 / 10
        app.add_class("-basic")
        assert view.frame_seconds == BASIC_FRAME_SECONDS > FRAME_SECONDS
