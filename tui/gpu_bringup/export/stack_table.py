"""The facts that ``scripts/check_cuda_stack.sh`` needs, written into it from the catalogue.

The script is pasted over to servers that have nothing, so it cannot read ``profiles/``; and a table
that people type twice is a table that is wrong once. Hence the generator:

    python -m gpu_bringup.export.stack_table scripts/check_cuda_stack.sh

rewrites what stands between the two marker lines. A test fails when the script is stale.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.model.catalogue import Catalogue

BEGIN = "# >>> from profiles/catalogue, by: python -m gpu_bringup.export.stack_table <this file>"
END = "# <<< from profiles/catalogue"
_FABRICS = {"fabricmanager": "fm", "fabricmanager+nvlsm": "nvlsm", "imex": "imex"}
"""Word of the catalogue -> word in the script; other words ask for nothing by themselves."""
_SHELL_SAFE = re.compile(r"[A-Za-z0-9._:-]+")


def _row(*values: object) -> str:
    """One line of a table: values without spaces, "-" for none.

    Raises:
        ValueError: a value would mean something to a shell.
    """
    words = [str(value) if value not in (None, "") else "-" for value in values]
    for word in words:
        if not _SHELL_SAFE.fullmatch(word):
            raise ValueError(f"{word!r} cannot stand in a shell table")
    return " ".join(words)


def _table(name: str, comment: str, rows: Iterable[str]) -> list[str]:
    return [f"# {comment}", f"{name}='", *rows, "'"]


def _boards(catalogue: Catalogue) -> list[str]:
    """Boards whose modules or fabric differ from what their architecture says; each id once.

    Boards that share a device id and differ are left out: their architecture's row holds for them.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    for gpu in catalogue.gpus:
        fabric = _FABRICS.get(gpu.fabric, "-")
        for pci_id in gpu.pci_ids:
            found.setdefault(pci_id.partition(":")[2], set()).add((gpu.open_modules, fabric))
    rows = []
    for device, wants in sorted(found.items()):
        if len(wants) > 1:
            continue
        ((modules, fabric),) = wants
        number = int(device, 16)
        usual = [
            item.open_modules
            for item in catalogue.architectures.values()
            if any(first <= number <= last for first, last in item.pci_ranges)
        ]
        if fabric != "-" or usual != [modules]:
            rows.append(_row(f"0x{device}", modules, fabric))
    return rows


def block(catalogue: Catalogue) -> str:
    """The generated part of the script, marker lines included, with a line end."""
    toolkits = sorted(catalogue.toolkits, key=lambda item: driver_key(item.version))
    component = catalogue.stack.component("container-toolkit")
    floor = component.minimum if component is not None else ""
    lines = [
        BEGIN,
        f"AS_OF={catalogue.as_of.isoformat()}",
        "# Lowest release of the container toolkit without known holes",
        f"TOOLKIT_FLOOR={_row(floor)}",
        *_table(
            "TOOLKITS",
            "CUDA toolkit, driver for all of its features, lowest driver (minor-version compatibility)",
            (_row(item.version, item.driver, item.minor_driver) for item in toolkits),
        ),
        *_table(
            "ARCHITECTURES",
            "first and last device id, open modules, first and last branch, first and last CUDA, name",
            (
                _row(
                    f"0x{first:04x}",
                    f"0x{last:04x}",
                    item.open_modules,
                    item.first_branch,
                    item.last_branch,
                    item.first_cuda,
                    item.last_cuda,
                    item.name.partition(" (")[0].replace(" ", "_"),
                )
                for item in catalogue.architectures.values()
                for first, last in item.pci_ranges
            ),
        ),
        *_table(
            "BOARDS",
            "device id, open modules, fabric service: boards that differ from their architecture",
            _boards(catalogue),
        ),
        *_table(
            "BRANCHES",
            "driver branch, last day of support, lowest release with its newest security fixes",
            (
                _row(
                    item.id,
                    item.end_of_support,
                    item.security_floor,
                )
                for item in sorted(catalogue.branches.values(), key=lambda item: int(item.id))
            ),
        ),
        END,
    ]
    return "\n".join(lines) + "\n"


def updated(script: str, catalogue: Catalogue) -> str:
    """The script's text with its generated part renewed.

    Raises:
        ValueError: it hasn't both marker lines, once each.
    """
    pattern = re.compile(f"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}\n", re.DOTALL | re.MULTILINE)
    if len(pattern.findall(script)) != 1:
        raise ValueError("the script has not one generated part between its marker lines")
    return pattern.sub(lambda _: block(catalogue), script)


if __name__ == "__main__":
    from gpu_bringup.catalogue.loader import load

    path = Path(sys.argv[1])
    text = path.read_text(encoding="utf-8")
    renewed = updated(text, load())
    if renewed != text:
        path.write_text(renewed, encoding="utf-8")
