"""The file tree of a simulated machine: files, folders and links, cheap to copy."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINK_LIMIT = 40
"""Links followed one after another, as in the kernel (MAXSYMLINKS)."""


@dataclass(frozen=True, slots=True)
class Module:
    """What modinfo says of a kernel module file."""

    name: str
    version: str = ""
    license: str = "GPL"
    vermagic: str = ""
    signer: str = ""
    key: str = ""
    """Key id of the signature, "AA:BB:…"; empty: unsigned."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file. ``size`` is in bytes; None: that of the text."""

    text: str = ""
    mode: int = 0o644
    size: int | None = None
    modified: float = 0.0
    module: Module | None = None

    @property
    def bytes(self) -> int:
        return len(self.text.encode()) if self.size is None else self.size


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder."""

    mode: int = 0o755


Node = Union[File, Link, Folder]


class Tree:
    """Paths and what is under them. Every path given is absolute; links are followed."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"/": Folder()}
        self._children: dict[str, frozenset[str]] = {"/": frozenset()}
        self._links = 0

    def copy(self) -> Tree:
        """A tree of its own with the same content; nodes are shared, since they never change."""
        other = Tree()
        other._nodes, other._children = dict(self._nodes), dict(self._children)
        other._links = self._links
        return other

    # --- paths

    def resolve(self, path: str, *, last: bool = True) -> str:
        """The real path, whether or not there is something; "" where links go round in circles.

        ``last``: a link at the end of the path is followed as well.
        """
        path = posixpath.normpath(path)
        nodes = self._nodes
        for _ in range(_LINK_LIMIT):
            end = path.find("/", 1)
            while True:
                head = path if end == -1 else path[:end]
                node = nodes.get(head)
                if type(node) is Link and (last or end != -1):
                    break
                if end == -1:
                    return path
                end = path.find("/", end + 1)
            base = posixpath.join(posixpath.dirname(head), node.target)
            path = posixpath.normpath(base + path[len(head) :])
        return ""

    def node(self, path: str) -> Node | None:
        """What is there at the end of all links; None: nothing."""
        return self._nodes.get(self.resolve(path))

    def own_node(self, path: str) -> Node | None:
        """What is under exactly this name, a link itself included."""
        return self._nodes.get(self.resolve(path, last=False))

    def file(self, path: str) -> File | None:
        found = self.node(path)
        return found if isinstance(found, File) else None

    def exists(self, path: str) -> bool:
        return self.node(path) is not None

    def names(self, path: str) -> tuple[str, ...] | None:
        """Names in a folder, sorted; None where there is no such folder."""
        found = self._children.get(self.resolve(path))
        return None if found is None else tuple(sorted(found))

    def walk(self, path: str) -> Iterator[tuple[str, Node]]:
        """Everything below a folder, itself first; links are not followed."""
        top = self.resolve(path)
        node = self._nodes.get(top)
        if node is None:
            return
        waiting = [top]
        while waiting:
            current = waiting.pop()
            yield current, self._nodes[current]
            base = current.rstrip("/")
            waiting += [
                f"{base}/{name}" for name in sorted(self._children.get(current, ()), reverse=True)
            ]

    # --- changes

    def _put(self, path: str, node: Node) -> None:
        parent, name = posixpath.split(path)
        self._nodes[path] = node
        if parent != path and name not in self._children.get(parent, frozenset()):
            self._children[parent] = self._children.get(parent, frozenset()) | {name}

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Make a folder and those above it."""
        path = self.resolve(path)
        if isinstance(self._nodes.get(path), Folder):
            return
        if path != "/":
            self.folder(posixpath.dirname(path))
        self._put(path, Folder(mode))
        self._children.setdefault(path, frozenset())

    def write(self, path: str, file: File | str) -> None:
        """Put a file there, with the folders above it."""
        path = self.resolve(path)
        self.folder(posixpath.dirname(path))
        self._put(path, File(file) if isinstance(file, str) else file)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link there, instead of what was under that name."""
        path = self.resolve(path, last=False)
        self.folder(posixpath.dirname(path))
        self._put(path, Link(target))

    def remove(self, path: str) -> bool:
        """Remove a file, a link, or a folder with everything below it; was there anything?"""
        path = self.resolve(path, last=False)
        if path not in self._nodes or path == "/":
            return False
        parent, name = posixpath.split(path)
        for child in list(self._children.get(path, ())):
            self.remove(f"{path}/{child}")
        self._children.pop(path, None)
        del self._nodes[path]
        self._children[parent] = self._children[parent] - {name}
        return True
