"""Put the program, its data and its wheels into one archive that Python can run.

Called by build-zipapp. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHEBANG = b"#!/usr/bin/env python3\n"
Entries = dict[str, tuple[bytes, bool]]
"""Name in the archive -> content, and whether it is executable."""


def main(wheels: Path, output: Path) -> int:
    """Write ``output`` with what the wheels in the folder ``wheels`` contain."""
    entries: Entries = {}
    for wheel in sorted(wheels.glob("*.whl")):
        entries.update(wheel_entries(wheel))
    entries.update(folder_entries(ROOT / "tui/gpu_bringup", "gpu_bringup"))
    for name in ("profiles", "scripts"):
        entries.update(folder_entries(ROOT / name, f"gpu_bringup/_data/{name}"))
    entries["__main__.py"] = ((ROOT / "scripts/zipapp_main.py").read_bytes(), False)
    build = digest(entries)
    entries["gpu_bringup_build.py"] = (f'BUILD = "{build}"\n'.encode(), False)
    write(entries, output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, build {build}")
    return 0


def wheel_entries(wheel: Path) -> Iterator[tuple[str, tuple[bytes, bool]]]:
    """The files of a pure wheel; its console scripts are not needed."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.is_dir() and ".data/" not in member.filename:
                yield member.filename, (archive.read(member), False)


def folder_entries(folder: Path, prefix: str) -> Iterator[tuple[str, tuple[bytes, bool]]]:
    """The files below ``folder``, without what Python has compiled."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            yield f"{prefix}/{path.relative_to(folder)}", (path.read_bytes(), executable)


def digest(entries: Entries) -> str:
    """Twelve hexadecimal digits that change with any name, content or mode."""
    total = hashlib.sha256()
    for name, (content, executable) in sorted(entries.items()):
        total.update(f"{name}\0{executable}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()[:12]


def write(entries: Entries, output: Path) -> None:
    """Write the archive beside ``output`` and rename it, executable."""
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as stream:
            stream.write(SHEBANG)
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for name, (content, executable) in sorted(entries.items()):
                    member = zipfile.ZipInfo(name)  # dated 1980, as zip's epoch has it
                    member.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
                    member.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(member, content)
        scratch.chmod(0o755)
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
