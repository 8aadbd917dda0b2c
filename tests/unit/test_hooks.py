"""The hooks: which files a host gets, and the check itself, run for real on trees of files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gpu_bringup.cli import main
from gpu_bringup.hooks import (
    ALL_FILES,
    APT_FILE,
    CHECK,
    DNF4_FILE,
    DNF5_FILE,
    MARK,
    MOTD_FILE,
    PROFILE_FILE,
    hooks_for,
)
from unit.fakes import FakeHost

SCRIPT = Path(__file__).parents[2] / "scripts/next-boot.sh"
OLD, NEW = "6.1.0-50-amd64", "6.1.0-56-amd64"
LINE = (
    "gpu-bringup: NVIDIA driver will not work: the next boot starts {}: there is no nvidia module"
)


# --- which files -----------------------------------------------------------------------------------


def paths(files: dict[str, str]) -> tuple[list[str], str]:
    found = hooks_for(FakeHost(files=files), SCRIPT.read_text())
    return [file.path for file in found.files], " ".join(found.notes)


def test_debian() -> None:
    files, notes = paths(
        {
            "/usr/bin/apt-get": "",
            "/etc/apt/sources.list": "",
            "/etc/profile.d/x.sh": "",
            "/etc/update-motd.d/10-uname": "",
            "/etc/pam.d/sshd": "session optional pam_motd.so motd=/run/motd.dynamic\n",
        }
    )
    assert files == [CHECK, APT_FILE, MOTD_FILE]
    assert notes == ""


def test_without_pam_motd_the_profile_speaks() -> None:
    files, _ = paths(
        {
            "/usr/bin/apt-get": "",
            "/etc/apt/sources.list": "",
            "/etc/profile.d/x.sh": "",
            "/etc/update-motd.d/10-uname": "",
            "/etc/pam.d/sshd": "# session optional pam_motd.so\nsession optional pam_motd.so noupdate\n",
        }
    )
    assert files == [CHECK, APT_FILE, PROFILE_FILE]


def test_dnf4_with_and_without_its_plugin() -> None:
    files, notes = paths({"/usr/bin/dnf": "", "/etc/profile.d/x.sh": ""})
    assert files == [CHECK, PROFILE_FILE]
    assert "python3-dnf-plugin-post-transaction-actions" in notes
    plugin = "/usr/lib/python3.9/site-packages/dnf-plugins/post-transaction-actions.py"
    files, notes = paths({"/usr/bin/dnf": "", plugin: "", "/etc/profile.d/x.sh": ""})
    assert files == [CHECK, DNF4_FILE, PROFILE_FILE]
    assert notes == ""


def test_dnf5_and_zypper() -> None:
    base = {"/usr/bin/dnf": "", "/usr/bin/dnf5": "", "/etc/profile.d/x.sh": ""}
    files, notes = paths(base)
    assert DNF5_FILE not in files
    assert "libdnf5-plugin-actions" in notes
    files, notes = paths({**base, "/usr/lib64/libdnf5/plugins/actions.so": ""})
    assert files == [CHECK, DNF5_FILE, PROFILE_FILE]
    files, notes = paths({"/usr/bin/zypper": ""})
    assert files == [CHECK]
    assert "zypper has no hook" in notes
    assert "nothing is said at login" in notes


def test_every_file_is_ours_and_can_be_removed() -> None:
    everything = {
        "/usr/bin/dnf5": "",
        "/usr/lib/libdnf5/plugins/actions.so": "",
        "/etc/profile.d/x.sh": "",
    }
    for file in hooks_for(FakeHost(files=everything), SCRIPT.read_text()).files:
        assert MARK in file.content
        assert file.path in ALL_FILES
        assert file.path == CHECK or "timeout 5 " in file.content


@pytest.mark.process
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shell_files_are_sound(shell: str) -> None:
    everything = {
        "/etc/profile.d/x.sh": "",
        "/etc/update-motd.d/x": "",
        "/etc/pam.d/login": "session optional pam_motd.so\n",
    }
    for files in (everything, {"/etc/profile.d/x.sh": ""}):
        for file in hooks_for(FakeHost(files=files), SCRIPT.read_text()).files:
            done = subprocess.run(
                [shell, "-n"], input=file.content, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, "")


def test_a_record_has_no_hooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hooks", "status", "--host", str(tmp_path / "x.json")]) == 2
    assert "belong to this machine" in capsys.readouterr().err


# --- the check -------------------------------------------------------------------------------------


def menu(*releases: str, default: str = "0") -> str:
    text = (
        'if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\nelse\n'
        f'   set default="{default}"\nfi\n'
    )
    for release in releases:
        text += (
            f"menuentry 'Debian, with Linux {release}' --class gnu-linux $menuentry_id_option "
            f"'gnulinux-{release}' {{\n\tlinux\t/boot/vmlinuz-{release} root=/dev/vda1 ro quiet\n}}\n"
        )
    return text


class Tree:
    """A small root file system for the check."""

    def __init__(self, root: Path, with_module: tuple[str, ...], *kernels: str) -> None:
        self.root = root
        for release in kernels:
            self.write(f"boot/vmlinuz-{release}", "")
            self.write(f"lib/modules/{release}/modules.dep", "")
            self.write(
                f"lib/modules/{release}/kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko", ""
            )
        for release in with_module:
            self.write(f"lib/modules/{release}/updates/dkms/nvidia-current-uvm.ko.xz", "")
            self.write(f"lib/modules/{release}/updates/dkms/nvidia-current.ko.xz", "")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run(self, action: str = "upgraded") -> str:
        done = subprocess.run(
            ["sh", str(SCRIPT), action],
            env={"GPU_BRINGUP_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.mark.process
class TestCheck:
    def test_says_one_line(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path, (OLD,), OLD, NEW)
        tree.write("boot/grub/grub.cfg", menu(NEW, OLD))
        said = tree.run()
        assert said.startswith(LINE.format(NEW))
        assert said.count("\n") == 1
        assert (tmp_path / "var/lib/gpu-bringup/next-boot.note").read_text() == said

    @pytest.mark.parametrize(
        ("default", "environment", "broken"),
        [
            ("0", "", True),
            ("0", f"next_entry=gnulinux-{OLD}\n", False),
            ("${saved_entry}", f"saved_entry=gnulinux-{OLD}\n", False),
            ("${saved_entry}", f"saved_entry=Debian, with Linux {NEW}\n", True),
            (f"gnulinux-{OLD}", "", False),
            (f"gnulinux-advanced>gnulinux-{NEW}", "", True),
            # What can't be told is not guessed: one kernel has a module, so nothing is said.
            ("1>2", "", False),
            ("gone", "", False),
        ],
    )
    def test_follows_grub(
        self, default: str, environment: str, broken: bool, tmp_path: Path
    ) -> None:
        tree = Tree(tmp_path, (OLD,), OLD, NEW)
        tree.write("boot/grub/grub.cfg", menu(NEW, OLD, default=default))
        tree.write("boot/grub/grubenv", "# GRUB Environment Block\n" + environment)
        assert tree.run().startswith(LINE.format(NEW)) is broken

    @pytest.mark.parametrize("saved", [NEW, OLD])
    def test_follows_boot_loader_entries(self, saved: str, tmp_path: Path) -> None:
        tree = Tree(tmp_path, (OLD,), OLD, NEW)
        tree.write("boot/grub2/grub.cfg", 'set default="${saved_entry}"\ninsmod blscfg\nblscfg\n')
        tree.write("boot/grub2/grubenv", f"saved_entry=0123-{saved}\n")
        for release in (OLD, NEW):
            tree.write(f"boot/loader/entries/0123-{release}.conf", f"linux /vmlinuz-{release}\n")
        assert bool(tree.run()) is (saved == NEW)

    def test_silent_where_there_never_was_a_driver(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path, (), NEW)
        tree.write("boot/grub/grub.cfg", menu(NEW))
        assert tree.run() == tree.run("login") == ""

    def test_silent_on_nothing_at_all(self, tmp_path: Path) -> None:
        assert Tree(tmp_path, ()).run() == ""

    def test_junk_menu(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path, (OLD,), OLD, NEW)
        (tmp_path / "boot/grub").mkdir()
        (tmp_path / "boot/grub/grub.cfg").write_bytes(b'\xff\x00set default="' * 500)
        assert tree.run() == ""

    def test_no_kernel_has_one_although_dkms_should(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path, (), OLD, NEW)
        tree.write("var/lib/dkms/nvidia/580.95.05/source", "")
        assert "no kernel here has an nvidia module" in tree.run()

    def test_login_repeats_and_looks_again(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path, (OLD,), OLD, NEW)
        tree.write("boot/grub/grub.cfg", menu(NEW, OLD))
        said = tree.run()
        note = tmp_path / "var/lib/gpu-bringup/next-boot.note"
        assert tree.run("login") == said
        # Kept, not looked for: what stands in the note is what is said.
        note.write_text("kept\n")
        assert tree.run("login") == "kept\n"
        tree.write(f"lib/modules/{NEW}/updates/nvidia.ko.zst", "")
        stamp = note.stat().st_mtime + 5
        os.utime(tmp_path / f"lib/modules/{NEW}/modules.dep", (stamp, stamp))
        assert tree.run("login") == ""

    def test_unknown_action_changes_nothing(self, tmp_path: Path) -> None:
        Tree(tmp_path, (OLD,), OLD)
        before = sorted(tmp_path.rglob("*"))
        done = subprocess.run(
            ["sh", str(SCRIPT), "x"],
            env={"GPU_BRINGUP_ROOT": str(tmp_path)},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0
        assert sorted(tmp_path.rglob("*")) == before


def test_status_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["hooks", "status", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert status == (0 if document["installed"] else 1)
    assert CHECK in {file["path"] for file in document["files"]}
    assert main(["hooks", "status"]) == status
    assert CHECK in capsys.readouterr().out
