"""Another local user: links laid in root's way, and reading of what is not everybody's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from gpu_bringup.errors import BringupError
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Plan, Write
from gpu_bringup.run import keep, launch, lock, trusted
from gpu_bringup.run.control import ControlServer
from gpu_bringup.run.journal import Journal
from gpu_bringup.run.output import CommandLog
from gpu_bringup.run.start import start_run
from run_tools import plan, runner, shell, step
from security.conftest import STRANGER, Attempt, as_stranger, gb

pytestmark = pytest.mark.process
LINKS = "a symbolic link laid where root writes"
READING = "another local user reads keys, plans, kept files, or uses the socket"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("untouched")
    path.chmod(0o640)
    return path


def untouched(victim: Path) -> bool:
    status = victim.stat()
    return (
        victim.read_text() == "untouched"
        and stat.S_IMODE(status.st_mode) == 0o640
        and status.st_uid == os.geteuid()
    )


def names_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_each_file_of_a_run_replaced_by_a_link(
    tmp_path: Path, victim: Path, attempt: Attempt
) -> None:
    """A whole run is made; then each of its files becomes a link, and what writes it is called again."""
    state = tmp_path / "state"
    made = launch.make_run(
        plan(step("a", shell("true"))), label="x", prelude=(), mend=(), state=state
    )
    runner(plan(step("a", shell("echo 1"), writes=(Write(str(tmp_path / "w"), "1"),))), made).run()
    targets = [path.relative_to(made) for path in names_of(made)]
    assert len(targets) >= 5
    more = (lock.worker_lock(made).name, keep.LIST, "proxies.json")
    for name in dict.fromkeys((*targets, *map(Path, more))):
        folder = tmp_path / f"copy-{str(name).replace('/', '-')}"
        shutil.copytree(made, folder)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(victim)
        try:
            launch.hand_over(folder, {"http_proxy": "http://x"})
            with lock.hold(lock.worker_lock(folder)):
                journal = Journal(folder)
                journal.write("resumed")
                journal.close()
            keep.keep(LocalHost(), str(tmp_path / "w"), folder, "a")
            log = CommandLog(folder / "logs/01-a-1.log")
            log.add(("words",))
            log.close()
        except (BringupError, OSError):
            pass
        attempt(LINKS, untouched(victim))


@pytest.mark.parametrize("what", ["folder", "socket", "dangling", "file"])
def test_the_control_folder(tmp_path: Path, victim: Path, attempt: Attempt, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    run = tmp_path / "run"
    run.mkdir()
    if what == "folder":
        (run / "control").symlink_to(elsewhere)
    elif what == "dangling":
        (run / "control").symlink_to(tmp_path / "nowhere")
    elif what == "file":
        (run / "control").symlink_to(victim)
    else:
        (run / "control").mkdir()
        (run / "control/socket").symlink_to(victim)
    with contextlib.suppress(BringupError):
        ControlServer(run, lambda request: "", STRANGER).close()
    mode = stat.S_IMODE(elsewhere.stat().st_mode)
    held = untouched(victim) and mode == 0o755 and elsewhere.stat().st_uid == os.geteuid()
    attempt(LINKS, held and not list(elsewhere.iterdir()))


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("how", ["owned", "writable", "link", "group"])
def test_a_state_folder_that_is_not_roots_alone(
    place: Path, victim: Path, attempt: Attempt, how: str, depth: int
) -> None:
    """The folder itself, or one above it, belongs to a stranger or can be written by one."""
    if os.geteuid() != 0:
        # Only root writes for others; an ordinary user's own folder is checked by the kernel.
        attempt(LINKS, trusted.refuse_untrusted(place) is None)
        return
    parts = [place / "one", place / "one/two", place / "one/two/state"]
    real = place / "real"
    real.mkdir()
    parts[-1].parent.mkdir(parents=True)
    parts[-1].mkdir()
    bad = parts[depth]
    if how == "owned":
        os.chown(bad, STRANGER, STRANGER)
    elif how == "writable":
        bad.chmod(0o777)
    elif how == "group":
        os.chown(bad, 0, STRANGER)
        bad.chmod(0o775)
    else:
        shutil.rmtree(bad)
        bad.symlink_to(real)
        os.chown(bad, STRANGER, STRANGER, follow_symlinks=False)
    state = parts[-1]
    before = sorted(place.rglob("*"))
    done = gb("recover", "--way", "later", state=state)
    attempt(LINKS, done.returncode == 4 and sorted(place.rglob("*")) == before)
    with pytest.raises(BringupError):
        start_run(plan(step("a", shell(f"touch {victim}"))), label="x", state=state)
    attempt(LINKS, untouched(victim))


@pytest.mark.parametrize("name", ["target", "folder/target"])
@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder"])
def test_a_file_that_a_plan_writes(
    tmp_path: Path, victim: Path, attempt: Attempt, kind: str, name: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    chosen = Plan({}, (step("a", writes=(Write(str(path), "evil"),)),))
    runner(chosen, tmp_path / "run").run()
    attempt(LINKS, untouched(victim) and not (tmp_path / "nowhere").exists())


def test_the_temporary_name_of_a_written_file_is_not_followed(
    tmp_path: Path, victim: Path, attempt: Attempt
) -> None:
    import threading

    path = tmp_path / "file"
    temporary = f".file.{os.getpid()}.{threading.get_ident()}.gpu-bringup~"
    (tmp_path / temporary).symlink_to(victim)
    with pytest.raises(BringupError):
        LocalHost().write_file(str(path), "evil", 0o644)
    attempt(LINKS, untouched(victim) and not path.exists())


def test_temporary_files_have_names_that_nobody_can_guess(
    tmp_path: Path, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/tmp: what is written there is made anew (mkstemp, mkdtemp), so a thousand links don't matter."""
    import tempfile

    from gpu_bringup.commands import faults

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    target = tmp_path / "victim"
    target.write_text("untouched")
    for number in range(1000):
        (tmp_path / f"gpu-bringup-fault-{number}.txt").symlink_to(target)
    for _ in range(20):
        faults.unexpected(ValueError, ValueError("x"), None)
        attempt(LINKS, target.read_text() == "untouched")
    made = [p for p in tmp_path.glob("gpu-bringup-fault-*.txt") if not p.is_symlink()]
    assert len(made) == 20
    for path in made:
        attempt(READING, stat.S_IMODE(path.stat().st_mode) == 0o600)


# --- reading


@pytest.fixture
def finished(place: Path) -> Path:
    """The folder of a run with a private file in it: text, kept file, undo script, socket folder."""
    private = place / "private.conf"
    private.write_text("password = old-secret-word")
    private.chmod(0o600)
    chosen = plan(
        step("a", shell("echo words"), writes=(Write(str(private), "password = new-secret-word", 0o600),))
    )  # fmt: skip
    state = place / "state"
    follower = start_run(chosen, label="x", state=state)
    ended = follower.wait(30)
    assert ended is not None and ended["state"] == "done"
    return follower.folder


def test_what_a_stranger_may_not_read(finished: Path, attempt: Attempt) -> None:
    closed = [
        path
        for path in finished.rglob("*")
        if path.name in ("plan.json", "undo.sh", "undo-files", "control", "backup", "undo")
        or "backup" in path.parent.name
    ]
    assert len(closed) >= 5
    code = """
        import os, sys
        for name in sys.argv[1:]:
            try:
                os.listdir(name) if os.path.isdir(name) else open(name, 'rb').read()
                print(name)
            except OSError:
                pass
    """
    read = as_stranger(code, *map(str, closed)).stdout.splitlines()
    for path in closed:
        attempt(READING, str(path) not in read)


def test_what_a_stranger_may_read_holds_no_secret(finished: Path, attempt: Attempt) -> None:
    code = """
        import os, sys
        for folder, _, names in os.walk(sys.argv[1]):
            for name in names:
                try:
                    sys.stdout.write(open(os.path.join(folder, name), errors='replace').read())
                except OSError:
                    pass
    """
    text = as_stranger(code, str(finished)).stdout
    assert "run-started" in text, "the journal is everybody's, as dpkg's log is"
    for word in ("old-secret-word", "new-secret-word"):
        attempt(READING, word not in text)


def test_a_stranger_at_the_answering_socket(place: Path, attempt: Attempt) -> None:
    asked: list[object] = []
    run = place / "run"
    run.mkdir()
    server = ControlServer(run, lambda request: asked.append(request) or "", None)
    code = """
        import json, os, socket, sys
        for target in sys.argv[1:]:
            try:
                client = socket.socket(socket.AF_UNIX)
                client.connect(target)
                client.sendall(b'{"cancel": true}\\n')
                print(client.recv(4096).decode())
            except OSError as error:
                print('no', error.errno)
    """
    path = str(run / "control/socket")
    try:
        answer = as_stranger(code, path).stdout
        attempt(READING, answer.startswith("no ") and not asked)
        # Even where somebody opened the folder by mistake, the socket's own mode, and who asks, decide.
        (run / "control").chmod(0o777)
        attempt(READING, as_stranger(code, path).stdout.startswith("no ") and not asked)
        (run / "control/socket").chmod(0o777)
        refused = as_stranger(code, path).stdout
        attempt(READING, not asked and '"ok": true' not in refused)
    finally:
        server.close()
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(OSError):
        late.connect(path)
    # Reached, and turned away: with words, or closed before it had read or written all of its own
    # (ECONNRESET, EPIPE, an end without words).
    said = refused.strip()
    assert said in ("", "no 104", "no 32") or json.loads(said)["ok"] is False
