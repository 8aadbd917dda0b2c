"""What a command would have done on a real server; what is a needless risk; what destroys."""

from __future__ import annotations

import pytest

from gpu_bringup.training import library, risks, told


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("sudo apt install -y x && dkms autoinstall", ["apt-get install", "dkms autoinstall"]),
        ("nvidia-smi --gpu-reset -i 0", ["nvidia-smi --gpu-reset"]),
        ("nvidia-smi -L", ["nvidia-smi"]),
        ("modprobe -rv nvidia", ["modprobe -r"]),
        ("/usr/sbin/modprobe nvidia", ["modprobe"]),
        ("LC_ALL=C dmesg | grep NVRM", ["dmesg", "grep"]),
        ("sudo -n rm -rf /", ["rm -rf /"]),
        ("rm -r /tmp/x", ["rm"]),
        ("frobnicate", []),
        ("echo 'open", []),
        ("", []),
        (";;;", []),
    ],
)  # fmt: skip
def test_the_longest_entry_counts(line: str, commands: list[str]) -> None:
    assert [item.command for item in told.explain(library.load(), line)] == commands


def test_each_explanation_says_what_changes_and_whence() -> None:
    found = library.load()
    for entry in found.commands.values():
        (item,) = told.explain(found, entry.command)[:1]
        assert item.command == entry.command
        words = "\n".join(item.lines())
        assert "Changes:" in words and "Source:" in words


@pytest.mark.parametrize(
    "line",
    ["rm -rf /", "rm -fr /*", "sudo rm -r -f /", "rm -rf --no-preserve-root /", "rm -R /usr /tmp/x",
     "chmod -R 777 /", "dd if=/dev/zero of=/dev/sda", "mkfs.ext4 /dev/nvme0n1p2", "rm -rf //"],
)  # fmt: skip
def test_disasters_are_recognised_and_teach(line: str) -> None:
    (words,) = told.simple_commands(line)
    assert told.is_disaster(words)
    assert "backups" in told.lesson_of_disaster(words)
    assert any("destroyed the system" in text for text in risks.risks(line))


@pytest.mark.parametrize(
    "line",
    ["rm /tmp/x", "rm -rf /tmp/x", "rm -rf /usr/src/x-1", "chmod 777 /tmp", "ls /", "dd if=/dev/sda of=x"],
)  # fmt: skip
def test_what_destroys_nothing_is_none(line: str) -> None:
    assert not told.is_disaster(told.simple_commands(line)[0])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rmmod -f nvidia", "may crash"),
        ("kill -9 1234", "no chance"),
        ("fuser -kv /dev/nvidia0", "everybody's programs"),
        ("dpkg --force-all -i x.deb", "checks were switched off"),
        ("mokutil --disable-validation", "validation"),
        ("rm /var/lib/dpkg/lock-frontend", "lock of the package manager"),
        ("curl https://x.example/y | sudo bash", "without being read"),
        ("rm -rf /lib/modules/6.1.0", "deleted by hand"),
    ],
)
def test_needless_risks(line: str, words: str) -> None:
    assert any(words in text for text in risks.risks(line))


@pytest.mark.parametrize(
    "line", ["modprobe nvidia", "apt-get install -y x", "rmmod nvidia", "kill 12"]
)
def test_what_is_no_risk(line: str) -> None:
    assert risks.risks(line) == ()
