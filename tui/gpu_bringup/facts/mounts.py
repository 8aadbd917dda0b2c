"""/proc/PID/mountinfo (proc_pid_mountinfo(5)): what the root folder of a process is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc(5))."""

    device: str
    """major:minor."""
    root: str
    """The folder of that file system which is mounted."""
    point: str
    options: tuple[str, ...]
    kind: str
    """File system type."""
    source: str
    super_options: str = ""


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """The mounts of a mountinfo file, in its order; malformed lines are left out."""
    mounts = []
    for raw in text.splitlines():
        left, separator, right = raw.partition(" - ")
        before, after = left.split(), right.split()
        if not separator or len(before) < 6 or len(after) < 2:
            continue
        mounts.append(
            Mount(
                device=before[2],
                root=before[3],
                point=before[4].replace("\\040", " "),
                options=tuple(before[5].split(",")),
                kind=after[0],
                source=after[1],
                super_options=after[2] if len(after) > 2 else "",
            )
        )
    return tuple(mounts)


def root_mount(mounts: tuple[Mount, ...]) -> Mount | None:
    """What is mounted on "/"; the last one, which covers the earlier ones."""
    return next((mount for mount in reversed(mounts) if mount.point == "/"), None)


def mount_of(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """The mount that holds ``path``."""
    best: Mount | None = None
    for mount in mounts:
        prefix = mount.point.rstrip("/") + "/"
        if (path + "/").startswith(prefix) and (
            best is None or len(mount.point) >= len(best.point)
        ):
            best = mount
    return best
