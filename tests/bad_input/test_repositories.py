"""Repositories that answer rubbish, an error or nothing, and a bus whose devices come and go.

A private mount namespace puts other files in place of /etc/apt, /boot, os-release and the bus, so
that the program is the real one, from the command line down to apt-get; nothing is ever confirmed.
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bad_input.program import KERNEL, PROGRAM, gb, in_a_namespace
from gpu_bringup.families.apt_scratch import update_error

pytestmark = [pytest.mark.process, pytest.mark.root]

OS = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nNAME=Debian\nPRETTY_NAME="Debian 13"\n'


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def serve() -> Iterator[Callable[[int, bytes], int]]:
    """Start a web server that gives every request this status and content; returns its port."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def started(status: int, content: bytes) -> int:
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1])

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def host(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """The program on a Debian 13 whose one repository has this address."""

    def at(address: str) -> tuple[str, ...]:
        boot, apt, system = tmp_path / "boot", tmp_path / "apt", tmp_path / "os-release"
        boot.mkdir()
        (boot / f"vmlinuz-{KERNEL}").touch()
        (apt / "sources.list.d").mkdir(parents=True)
        (apt / "sources.list.d/debian.sources").write_text(
            f"Types: deb\nURIs: {address}\nSuites: trixie\nComponents: main\n"
        )
        system.write_text(OS)
        binds = {"/boot": boot, "/etc/apt": apt, "/etc/os-release": system}
        return (*in_a_namespace(binds), *PROGRAM)

    return at


APPLY = ("apply", "--gpu", "H100", "--source", "distribution", "--kernel", KERNEL)


def test_no_network(host: Callable[[str], tuple[str, ...]], tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{closed_port()}/debian"
    done = gb(*APPLY, state=tmp_path / "state", program=host(address))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no driver could be proven" in done.stderr
    assert address in done.stderr
    assert "Connection refused" in done.stderr
    assert "Nothing was changed on this server" in done.stderr
    assert "network" in done.stderr.splitlines()[-1] + done.stderr.splitlines()[-2]
    assert not (tmp_path / "state/runs").exists()


@pytest.mark.parametrize(
    ("status", "content", "says"),
    [
        (200, b"<html>Please log in \x00\xff\x1b[2J</html>", "isn't valid"),
        (200, b"", "Failed to fetch"),
        (404, b"no", "does not have a Release file"),
        (503, b"later", "503"),
        (200, b"-----BEGIN PGP SIGNED MESSAGE-----\n" + b"A" * 100_000, "is not signed"),
    ],
    ids=["captive portal", "empty", "404", "503", "half signed"],
)
def test_a_repository_that_answers_rubbish(
    host: Callable[[str], tuple[str, ...]],
    serve: Callable[[int, bytes], int],
    tmp_path: Path,
    status: int,
    content: bytes,
    says: str,
) -> None:
    address = f"http://127.0.0.1:{serve(status, content)}/debian"
    done = gb(*APPLY, state=tmp_path / "state", program=host(address))
    assert (done.returncode, done.stdout) == (1, "")
    assert "the repositories can't be read" in done.stderr
    assert address in done.stderr
    assert says in done.stderr
    assert "Nothing was changed on this server" in done.stderr


def test_a_second_trial_is_refused(host: Callable[[str], tuple[str, ...]], tmp_path: Path) -> None:
    """Two would share one scratch folder."""
    import fcntl

    cache = tmp_path / "state/cache"
    cache.mkdir(parents=True)
    with (cache / "trial.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = host(f"http://127.0.0.1:{closed_port()}/debian")
        done = gb(*APPLY, state=tmp_path / "state", program=program)
    assert (done.returncode, done.stdout) == (4, "")
    assert "another gpu-bringup" in done.stderr
    assert "nothing was changed" in done.stderr


def test_no_room_for_a_trial(host: Callable[[str], tuple[str, ...]], tmp_path: Path) -> None:
    """The scratch folder can't be made: a file lies in its place."""
    (tmp_path / "state/cache").mkdir(parents=True)
    (tmp_path / "state/cache/trial").touch()
    program = host(f"http://127.0.0.1:{closed_port()}/debian")
    done = gb(*APPLY, state=tmp_path / "state", program=program)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the trial build can't be made" in done.stderr
    assert str(tmp_path / "state/cache") in done.stderr
    assert "Nothing was changed" in done.stderr


def test_what_apt_said() -> None:
    """Its own words with the reason, whichever line they stand in."""
    failed = "W: Failed to fetch http://a/InRelease  Could not connect"
    assert update_error(f"Err:1 http://a trixie\n  Could not connect\n{failed}\n") == failed[3:]
    assert update_error("Err:1 http://a trixie\n  Could not connect\n") == (
        "Err:1 http://a trixie Could not connect"
    )
    assert update_error("E: The repository is not signed.\n") == "The repository is not signed."
    assert update_error("Hit:1 http://a trixie InRelease\nReading package lists...\n") == ""
    assert update_error("") == ""


def test_devices_come_and_go_while_the_bus_is_read(tmp_path: Path) -> None:
    """A real folder in the bus's place, with entries that vanish all the time."""
    bus = tmp_path / "devices"
    bus.mkdir()
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for number in range(8):
                device = bus / f"0000:{number:02x}:00.0"
                device.mkdir(exist_ok=True)
                for name, text in (
                    ("vendor", "0x10de"),
                    ("class", "0x030200"),
                    ("device", "0x2330"),
                ):
                    (device / name).write_text(f"{text}\n")
            for device in list(bus.iterdir()):
                for name in ("vendor", "class", "device"):
                    (device / name).unlink(missing_ok=True)
                device.rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        program = (*in_a_namespace({"/sys/bus/pci/devices": bus}), *PROGRAM)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            done = gb("check", "--json", state=tmp_path / "state", program=program)
            assert done.returncode == 1
            document = json.loads(done.stdout)
            assert {gpu["pci_id"] for gpu in document["host"]["gpus"]} <= {"10de:2330"}
    finally:
        over.set()
        thread.join()
