"""What a run keeps for undo: which steps it adds, which script it leaves, what it says can't go back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_bringup.errors import HostError
from gpu_bringup.families.apt import Apt
from gpu_bringup.families.dnf import Dnf
from gpu_bringup.families.zypper import Zypper
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.run import history, keep, launch, store, undo
from gpu_bringup.run.start import start_run
from run_tools import plan, shell, step

TUI = Path(__file__).resolve().parents[2] / "tui"
RUN = Path("/var/lib/gpu-bringup/runs/20261122-000000-aaaa")
MOK = Command(("mokutil", "--import", "/var/lib/dkms/mok.pub"), interactive=True)


def installing() -> Plan:
    return plan(
        step("refresh", Apt().refresh()),
        step("driver", Apt().install(("nvidia-driver-cuda=580.178.04-1", "dkms"))),
        step(
            "hold",
            Apt().hold(("dkms",)),
            undo=(Apt().unhold(("dkms",)), Command(("systemctl", "start", "x"))),
        ),
        step(
            "boot",
            Command(("update-initramfs", "-u", "-k", "6.1.0-50-amd64")),
            undo=(Apt().remove(("dkms",)),),
        ),
    )


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        (Apt().refresh(), False),
        (Apt().install(("x",)), True),
        (Apt().remove(("x",)), True),
        (Apt().hold(("x",)), False),
        (Dnf(4).refresh(), False),
        (Dnf(4).install(("x",)), True),
        (Dnf(4).hold(("x",)), False),
        (Zypper().refresh(), False),
        (Zypper().remove(("x",)), True),
        (Command(("sh", "/x/install-matching.sh", "apt", "m", "a="), package_manager=True), True),
        (Command(("update-grub",)), False),
    ],
)
def test_which_commands_change_packages(command: Command, changes: bool) -> None:
    assert store.changes_packages(command) is changes


def test_old_packages_are_kept_before_the_first_change_and_before_each_command() -> None:
    kept = store.with_store(installing(), RUN)
    assert [item.id for item in kept.steps] == [store.KEEP, "refresh", "driver", "hold", "boot"]
    first = kept.steps[0].commands[0].argv
    assert first[2:5] == ("begin", f"{RUN}/undo", "apt")
    assert {"dkms", "nvidia-driver-cuda"} <= set(first[5:])
    assert not [word for word in first[5:] if "::" in word or word.startswith("-")]
    driver = kept.steps[2].commands
    assert driver[0].argv[2] == "fetch" and driver[0].argv[4:] == driver[1].argv
    assert len(kept.steps[1].commands) == 1, "reading indexes replaces nothing"
    assert store.with_store(kept, RUN) is kept, "a resumed plan has them already"


def test_without_old_packages_only_lists_are_kept() -> None:
    kept = store.with_store(installing(), RUN, old_packages=False)
    assert kept.steps[0].commands[0].argv[2] == "lists"
    assert [len(item.commands) for item in kept.steps[1:]] == [1, 1, 1, 1]


def test_a_plan_without_packages_stays_as_it_is() -> None:
    chosen = plan(step("a", shell("true")))
    assert store.with_store(chosen, RUN) is chosen
    assert store.manager_of(chosen) == ""


def test_the_script_takes_back_what_is_no_package_itself_and_rebuilds_last() -> None:
    text = store.undo_script(store.with_store(installing(), RUN))
    assert "run systemctl start x" in text
    assert "apt-mark unhold" not in text, "the store knows what was held before"
    assert "purge" not in text.partition("# --- end of them")[0].partition("# --- the steps")[2]
    assert "for_kernel update-initramfs -u -k 6.1.0-50-amd64" in text


@pytest.mark.process
def test_the_script_is_shell(tmp_path: Path) -> None:
    script = tmp_path / "undo.sh"
    script.write_text(store.undo_script(store.with_store(installing(), RUN)))
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    done = subprocess.run(
        ["sh", str(script), "--only", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "nothing" in done.stderr


def test_what_the_firmware_keeps_is_said() -> None:
    (told,) = store.irrevocable((step("sign", MOK, MOK),))
    assert "firmware" in told and "mokutil --delete /var/lib/dkms/mok.pub" in told
    assert store.irrevocable(installing().steps) == ()
    text = store.undo_script(plan(step("sign", MOK)))
    assert "stays in the firmware" in text


@pytest.mark.process
def test_sizes_are_asked_without_changing_anything() -> None:
    """One name, nothing else to change: apt would install it unasked, --assume-no or not."""
    argv = Apt().sizes_argv(("sl",))
    assert "--print-uris" in argv
    before = Path("/var/lib/dpkg/status").read_bytes()
    subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert Path("/var/lib/dpkg/status").read_bytes() == before


@pytest.mark.process
def test_an_estimate_says_what_would_be_kept(tmp_path: Path) -> None:
    found = store.estimate(LocalHost(), plan(step("a", Apt().install(("dpkg",)))), tmp_path / "no")
    assert found is not None
    assert found.packages >= 1 and found.free > 0 and not found.too_big
    assert not list(tmp_path.iterdir()), "nothing is written"
    assert store.Estimate(1, 10**15, 1, 1, ()).too_big


@pytest.mark.process
def test_lists_of_this_host(tmp_path: Path) -> None:
    """begin and end on the real package database: unchanged, so nothing would be taken back."""
    folder = tmp_path / "run"
    folder.mkdir()
    wanted = plan(step("a", Apt().install(("no-such-package",))))
    chosen = store.with_store(wanted, folder, old_packages=False)
    (folder / store.FOLDER).mkdir()
    for path, (text, mode) in store.prepare(folder, chosen).items():
        path.write_text(text)
        path.chmod(mode)
    begin = chosen.steps[0].commands[0].argv
    assert subprocess.run(begin, check=False).returncode == 0
    store.note_end(LocalHost(), folder)
    place = folder / store.FOLDER
    assert (place / "before.packages").read_text() == (place / "after.packages").read_text()
    assert "dpkg\t" in (place / "before.packages").read_text()
    done = subprocess.run(
        ["sh", str(folder / store.SCRIPT), "--show", "--only", "packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "as they were before" in done.stdout


@pytest.mark.process
def test_the_plain_script_puts_files_back(tmp_path: Path) -> None:
    old, made = tmp_path / "old.conf", tmp_path / "made.conf"
    old.write_bytes(b"as it was \xff\n")
    old.chmod(0o640)
    chosen = plan(
        step("a", shell("true"), writes=(Write(str(old), "new"), Write(str(made), "new")),
             undo=(shell(f"echo undone >'{tmp_path}/mark'"),)),
        step("b", shell("false"), undo=()),
        step("c", shell("true"), undo=(shell(f"touch '{tmp_path}/never'"),)),
    )  # fmt: skip
    follower = start_run(chosen, label="x", state=tmp_path / "state")
    ended = follower.wait(30)
    assert ended is not None and ended["state"] == "failed"
    script = str(follower.folder / store.SCRIPT)
    shown = subprocess.run(["sh", script, "--show"], capture_output=True, text=True, check=False)
    assert f"restores {old}" in shown.stdout and f"removes {made}" in shown.stdout
    assert old.read_text() == "new" and made.exists(), "looking changes nothing"
    root = os.geteuid() == 0
    done = subprocess.run(["sh", script, "--yes"], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if root else 4), done.stderr
    if root:
        assert old.read_bytes() == b"as it was \xff\n" and old.stat().st_mode & 0o777 == 0o640
        assert not made.exists() and (tmp_path / "mark").exists()
        assert not (tmp_path / "never").exists(), "a step that was never begun"
        assert undo.is_undone(follower.folder)


def script_in(folder: Path) -> str:
    (folder / "undo").mkdir(parents=True)
    (folder / "undo.sh").write_text(store.undo_script(plan(step("a", shell("true")))))
    return str(folder / "undo.sh")


@pytest.mark.process
def test_a_boot_default_that_cannot_be_restored_is_trouble(tmp_path: Path) -> None:
    script = script_in(tmp_path / "run")
    env = "/nowhere/grubenv"
    (tmp_path / "run/undo/before.boot").write_text(f"{env}\tsaved_entry=old\n")
    (tmp_path / "run/undo/after.boot").write_text(f"{env}\tsaved_entry=new\n")
    argv = ["sh", script, "--only", "boot"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if os.geteuid() == 0 else 4), done.stdout
    if os.geteuid() == 0:
        done = subprocess.run(["sh", script, "--yes"], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "Taken back." not in done.stdout
        assert not (tmp_path / "run/undone").exists()


@pytest.mark.process
def test_a_rescue_system_is_told_what_to_mount_first(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    text = "# UUID=1 /usr ext4\nUUID=2 / ext4\nUUID=3 /boot ext4\nUUID=4 /var xfs\n"
    (tmp_path / "etc/fstab").write_text(text)
    script = script_in(tmp_path / "run")
    argv = ["sh", script, "--root", str(tmp_path), "--show"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert f"mount {tmp_path}/boot {tmp_path}/var first" in done.stderr


def run(name: str, label: str, folder: Path) -> history.RunInfo:
    (folder / name).mkdir()
    return history.RunInfo(name, folder / name, label, "", "done", "", 1, 1)


def test_undo_means_the_newest_run_that_is_no_undo_and_not_undone(tmp_path: Path) -> None:
    runs = [
        run("1", "apply", tmp_path),
        run("2", "apply", tmp_path),
        run("3", "undo of 2", tmp_path),
    ]
    assert undo.newest_to_undo(runs) == "2"
    (tmp_path / "2" / undo.UNDONE).touch()
    assert undo.newest_to_undo(runs) == "1"
    (tmp_path / "1" / undo.UNDONE).touch()
    assert undo.newest_to_undo(runs) is None


def test_what_is_taken_back_already_is_left_out(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("old")
    there.chmod(0o644)
    steps = (
        Step("undo-a", "packages", "a", "", writes=(Write(str(there), "old", 0o644, exact=True),)),
        Step("undo-b", "packages", "b", "", (Command(("rm", "-f", "--", str(tmp_path / "gone"))),)),
        Step("undo-c", "packages", "c", "", (Command(("rm", "-f", "--", str(there))),)),
        Step("undo-d", "packages", "d", "", (Command(("apt-mark", "unhold", "x")),)),
    )
    left = undo.left_over(Plan({}, steps), LocalHost())
    assert [item.id for item in left.steps] == ["undo-c", "undo-d"]


def test_a_pipe_is_not_kept_but_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "link"):
        with pytest.raises(HostError):
            keep.keep(LocalHost(), str(tmp_path / name), tmp_path, "a")
    with pytest.raises(HostError):
        keep.keep(LocalHost(), str(tmp_path / "a\nb"), tmp_path, "a")


def test_a_run_keeps_its_script_private(tmp_path: Path) -> None:
    folder = launch.make_run(installing(), label="x", prelude=(), mend=(), state=tmp_path)
    assert (folder / store.SCRIPT).stat().st_mode & 0o777 == 0o700
    assert (folder / store.FOLDER).stat().st_mode & 0o777 == 0o700
    assert history.load_plan(folder).steps[0].id == store.KEEP


# --- the command


def gb(*words: str, state: Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(TUI), "GPU_BRINGUP_STATE": str(state)}
    return subprocess.run(
        [sys.executable, "-m", "gpu_bringup", *words],
        env=variables, capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.process
def test_json_shows_and_changes_nothing_step_goes_on_where_it_stopped(tmp_path: Path) -> None:
    state, made = tmp_path / "state", tmp_path / "made.conf"
    chosen = plan(
        step("a", shell("true"), writes=(Write(str(made), "new"),)),
        step("b", shell("true"), undo=(shell(f"echo b >>'{tmp_path}/mark'"),)),
    )
    ended = start_run(chosen, label="x", state=state).wait(30)
    assert ended is not None and ended["state"] == "done"
    for words in (("--json",), ("--dry-run", "--json"), ("--dry-run",)):
        done = gb("undo", *words, state=state)
        assert done.returncode == 0, done.stderr
        if "--json" in words:
            document = json.loads(done.stdout)
            assert document["state"] == "planned" and document["cannot"] == []
            assert [item["id"] for item in document["steps"]] == ["undo-b", "undo-a"]
        assert made.exists() and not (tmp_path / "mark").exists()
    asked = gb("undo", state=state)
    assert asked.returncode == 2 and made.exists(), "nobody to ask: nothing is done"
    done = gb("undo", "--step", "--yes", "--json", state=state)
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "done", done.stderr
    assert not made.exists() and (tmp_path / "mark").read_text() == "b\n"
    runs = json.loads(gb("undo", "--list", "--json", state=state).stdout)["runs"]
    assert [item["label"].split()[0] for item in runs] == ["x", "undo", "undo"]


@pytest.mark.process
def test_an_empty_journal_is_not_gone_on_with(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    chosen = plan(step("a", shell(f"echo x >>'{mark}'; false")))
    follower = start_run(chosen, label="x", state=tmp_path / "state")
    assert follower.wait(30) is not None
    (follower.folder / "journal.jsonl").write_bytes(b"")
    done = gb("apply", "--resume", follower.folder.name, state=tmp_path / "state")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "empty" in done.stderr and "gpu-bringup apply" in done.stderr
    assert mark.read_text() == "x\n", "nothing was executed"


@pytest.mark.process
def test_a_mounted_system_must_have_a_run_that_is_roots(tmp_path: Path) -> None:
    done = gb("undo", "--root", str(tmp_path), state=tmp_path / "state")
    assert done.returncode == 2 and "can't be read" in done.stderr
    folder = tmp_path / "var/lib/gpu-bringup/runs/20261122-000000-aaaa"
    folder.mkdir(parents=True)
    assert gb("undo", "--root", str(tmp_path), state=tmp_path / "state").returncode == 2
    script = folder / store.SCRIPT
    script.write_text(f"touch '{tmp_path}/executed'\n")
    script.chmod(0o777)
    done = gb("undo", "--root", str(tmp_path), state=tmp_path / "state")
    assert done.returncode == 4 and not (tmp_path / "executed").exists()
