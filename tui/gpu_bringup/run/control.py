"""The way back into a run: answers and the wish to stop, over a socket that only its owner opens.

The socket lies in a folder of mode 0700, has mode 0600, and each peer's user id is looked at too
(SO_PEERCRED, unix(7)). An answer goes to the command's terminal and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import HostError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "control"
_SOCKET = "socket"
_LIMIT = 65_536
_PATIENCE = 5.0

Handler = Callable[[dict[str, Any]], str]
"""Takes a request; returns what is wrong with it, empty when it was taken."""


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's address, however deep the folder: sun_path holds 107 bytes only."""
    descriptor = os.open(folder / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


def _take_for_us(place: Path) -> None:
    """Make the folder this user's alone until the socket stands.

    In a resumed run it belongs to the operator, who could lay a symbolic link in the socket's place
    while root changes the socket's mode and owner.

    Raises:
        OSError: it is no folder (a link that somebody laid there).
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place, flags)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, 0, -1)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


class ControlServer:
    """Listens in a run's folder and hands each request to ``handler``, in a thread of its own.

    Args:
        owner: user id that may control the run besides root and this process's user.
    """

    def __init__(self, folder: Path, handler: Handler, owner: int | None = None) -> None:
        self._handler = handler
        self._allowed = {0, os.geteuid(), *(() if owner is None else (owner,))}
        place = folder / FOLDER
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            _take_for_us(place)
            (place / _SOCKET).unlink(missing_ok=True)
            self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with _address(folder) as address:
                self._server.bind(address)
            (place / _SOCKET).chmod(0o600)
            if owner is not None and os.geteuid() == 0:
                os.chown(place / _SOCKET, owner, -1, follow_symlinks=False)
                os.chown(place, owner, -1, follow_symlinks=False)
            self._server.listen(4)
        except OSError as error:
            raise HostError(
                f"The run's control socket can't be made: {place}: {error.strerror}",
                meaning="Nothing was changed.",
            ) from error
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(_PATIENCE)
                with contextlib.suppress(OSError):
                    problem = self._answer(peer)
                    peer.sendall(json.dumps({"ok": not problem, "error": problem}).encode() + b"\n")

    def _answer(self, peer: socket.socket) -> str:
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
        if uid not in self._allowed:
            return "only root and whoever started this run may control it"
        try:
            request = json.loads(_line(peer))
        except ValueError:
            return "this is no request"
        if not isinstance(request, dict):
            return "this is no request"
        return self._handler(request)


def request(folder: Path, message: dict[str, Any]) -> None:
    """Send one request to a run's worker.

    Raises:
        RefusedError: the worker refused it, and why.
        HostError: it can't be reached (it has ended, or belongs to another user).
    """
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
            _address(folder) as address,
        ):
            client.settimeout(_PATIENCE)
            client.connect(address)
            client.sendall(json.dumps(message).encode() + b"\n")
            reply = json.loads(_line(client))
    except PermissionError as error:
        raise HostError(
            "This run belongs to another user.",
            hint="Put sudo before the command to control it.",
        ) from error
    except (OSError, ValueError) as error:
        raise HostError(
            "The process that takes the steps can't be reached.",
            meaning="It has probably ended.",
        ) from error
    if not reply.get("ok"):
        raise RefusedError(str(reply.get("error") or "The run refused this."))


def _line(stream: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _LIMIT:
        chunk = stream.recv(4096)
        if not chunk:
            break
        data += chunk
    return data
