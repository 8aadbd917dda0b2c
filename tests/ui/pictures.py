"""Makes the pictures of the README from the real program: ``python tests/ui/pictures.py [FOLDER]``.

Shows recorded hosts, so the pictures are the same on every machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SIZE = (110, 32)


async def make(folder: Path) -> None:
    """Write every picture into the folder."""
    # Imported here: Textual reads its settings then, and a checkout's folders must be known first.
    from ui.driving import FRESH, H200, looked, recorded, still

    for name, record, presses in (
        ("ladder-healthy", H200, 0),
        ("ladder-fresh", FRESH, 0),
        ("questions", FRESH, 1),
        ("recommendation", FRESH, 2),
        ("review", FRESH, 4),
    ):
        app = recorded(record)
        async with app.run_test(size=SIZE) as pilot:
            await looked(pilot)
            for _ in range(presses):
                await pilot.press("n")
                await still(pilot)
            await still(pilot)
            app.save_screenshot(f"{name}.svg", str(folder))


if __name__ == "__main__":
    sys.path[:0] = [str(TOP / "tui"), str(TOP / "tests")]
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    with tempfile.TemporaryDirectory() as state:
        os.environ["GPU_BRINGUP_STATE"] = state
        target = Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "tests/ui/pictures"
        target.mkdir(parents=True, exist_ok=True)
        asyncio.run(make(target))
