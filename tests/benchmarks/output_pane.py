"""100,000 coloured lines through the wizard's output pane; prints one JSON object.

A 10 ms heartbeat in the screen's own loop shows the worst stall; the lines arrive from a thread as
fast as it can read them, as those of a real command do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

from textual.app import App, ComposeResult

from gpu_bringup.ui.widgets.tail_view import TailView

BATCH = 500


def resident() -> int:
    """Bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


class Pane(App[None]):
    def compose(self) -> ComposeResult:
        yield TailView()


async def measure(count: int) -> dict[str, float]:
    app = Pane()
    async with app.run_test(size=(120, 36)) as pilot:
        view = app.query_one(TailView)
        await pilot.pause(0.3)
        before = resident()
        done = threading.Event()

        def feed() -> None:
            for start in range(0, count, BATCH):
                lines = [
                    f"\x1b[3{i % 8}m  CC [M]  nvidia/nv-{i:06d}.o\x1b[0m warning: unused variable"
                    for i in range(start, start + BATCH)
                ]
                app.call_from_thread(view.add_lines, lines)
            done.set()

        worst = 0.0
        begin = time.perf_counter()
        threading.Thread(target=feed, daemon=True).start()
        while not (done.is_set() and view.total >= count):
            tick = time.perf_counter()
            await asyncio.sleep(0.01)
            worst = max(worst, time.perf_counter() - tick - 0.01)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "stall": worst, "growth": resident() - before}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
