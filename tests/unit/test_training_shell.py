"""The exercise's shell: pipes, quotes, expansion, help, and nonsense of every kind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.base import Prompt
from gpu_bringup.training import library
from gpu_bringup.training.exercise import Exercise
from gpu_bringup.training.filters import FILTERS
from gpu_bringup.training.line import parse
from gpu_bringup.training.shell import OUTPUT, TEACH, Console, waiting_time

LIBRARY = library.load()
CATALOGUE = engine.load_catalogue()


class Trainee:
    """Types lines and reads what comes."""

    def __init__(self, lesson: str = "reading-the-ladder", answer: str | None = "y") -> None:
        self.exercise = Exercise.begin(LIBRARY, LIBRARY.lesson(lesson), CATALOGUE, "anna")
        self.console = Console(self.exercise)
        self.answer = answer
        self.said: list[tuple[str, str]] = []
        self.asked: list[Prompt] = []

    def type(self, line: str) -> int:
        self.said = []
        return self.console.run(
            line, lambda kind, text: self.said.append((kind, text)), self.ask
        ).status

    def ask(self, prompt: Prompt) -> str | None:
        self.asked.append(prompt)
        return self.answer

    def out(self, line: str) -> str:
        self.type(line)
        return "\n".join(text for kind, text in self.said if kind == OUTPUT)

    def taught(self, line: str) -> str:
        self.type(line)
        return "\n".join(text for kind, text in self.said if kind == TEACH)


@pytest.fixture
def trainee(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainee]:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    yield Trainee()


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("uname -r", "6.12.107+deb13-amd64"),
        ("echo 'a  b' \"c $(uname -r)\" d\\ e", "a  b c 6.12.107+deb13-amd64 d e"),
        ("X=1; echo $X ${X}2 '$X'", "1 12 $X"),
        ("echo a b | cut -d ' ' -f 2", "b"),
        ("cat /etc/os-release | grep ^ID= | wc -l", "1"),
        ("cat /etc/os-release | grep -c ID", "2"),
        ("false || echo no", "no"),
        ("true && echo yes || echo no", "yes"),
        ("false; echo $?", "1"),
        ("cd /etc/modprobe.d && pwd", "/etc/modprobe.d"),
        ("echo hello > /tmp/x; echo more >> /tmp/x; tail -n 1 /tmp/x", "more"),
        ("echo x | tee /tmp/y > /dev/null; cat /tmp/y", "x"),
        ("cat /nonsense 2>/dev/null", ""),
        ("cat < /proc/sys/kernel/osrelease", "6.12.107+deb13-amd64"),
        ("sudo uname -r", "6.12.107+deb13-amd64"),
        ("ls -d /lib/modules/*", "/lib/modules/6.12.107+deb13-amd64"),
        ("echo '*' \"/etc/*\"", "* /etc/*"),
        ("echo /nothing/*", "/nothing/*"),
        ("[ -e /etc/os-release ] && echo there", "there"),
        ("test -d /nothing || echo no", "no"),
        ("modinfo -F version nvidia", "580.178.04"),
        ("echo `uname -r`", "6.12.107+deb13-amd64"),
        ("# nothing", ""),
    ],
)
def test_lines(trainee: Trainee, line: str, output: str) -> None:
    assert trainee.out(line) == output


@pytest.mark.parametrize(
    "line",
    ["|", "a |", "&& x", "echo 'open", 'echo "open', "x >", "(a)", "cat <<EOF", "for i in 1; do x; done",
     "$(", "echo $((1+1))", "`x", "a || && b"],
)  # fmt: skip
def test_what_is_no_line_is_told(trainee: Trainee, line: str) -> None:
    with pytest.raises(InputError, match=r"^sh: "):
        parse(line)
    assert "sh: " in trainee.taught(line)


@pytest.mark.parametrize(
    ("argv", "text", "output"),
    [
        (["grep", "-v", "a"], "a\nb\n", "b\n"),
        (["grep", "-n", "b"], "a\nb\n", "2:b\n"),
        (["grep", "-i", "B"], "b\n", "b\n"),
        (["grep", "-o", "[0-9]*"], "a12b\n", None),
        (["grep", "-E", "a|b"], "a\nb\nc\n", "a\nb\n"),
        (["grep", "a\\|b"], "a\nb\nc\n", "a\nb\n"),
        (["grep", "-A", "1", "a"], "a\nb\nc\n", "a\nb\n"),
        (["grep", "["], "a\n", None),
        (["head", "-2"], "1\n2\n3\n", "1\n2\n"),
        (["head", "-n", "1"], "1\n2\n3\n", "1\n"),
        (["tail", "-n", "+2"], "1\n2\n3\n", "2\n3\n"),
        (["wc", "-l"], "1\n2\n", "2\n"),
        (["sort", "-rn"], "1\n10\n2\n", "10\n2\n1\n"),
        (["uniq", "-c"], "a\na\nb\n", "      2 a\n      1 b\n"),
        (["cut", "-d:", "-f1"], "a:b\n", "a\n"),
        (["less"], "a\n", "a\n"),
    ],
)
def test_filters(argv: list[str], text: str, output: str | None) -> None:
    found, status = FILTERS[argv[0]](argv[1:], text)
    assert status in (0, 1, 2)
    if output is not None:
        assert found == output


def test_unknown_commands_say_what_there_is(trainee: Trainee) -> None:
    assert "Did you mean" in trainee.taught("nvidia-smy")
    assert "help lists what there is" in trainee.taught("frobnicate")
    trainee.type("help")
    words = " ".join(text for _, text in trainee.said)
    assert "modprobe" in words and "hint" in words


def test_rm_of_everything_teaches_and_destroys_nothing(trainee: Trainee) -> None:
    before = len(list(trainee.exercise.machine.tree.walk("/")))
    for line in (
        "rm -rf /",
        "rm -rf /*",
        "sudo rm -rf --no-preserve-root /",
        "cd / && rm -rf /usr",
    ):
        assert "backups" in trainee.taught(line)
    assert len(list(trainee.exercise.machine.tree.walk("/"))) == before
    assert trainee.exercise.tally.risks
    trainee.type("echo x > /tmp/file; rm /tmp/file")
    assert not trainee.exercise.machine.tree.exists("/tmp/file")


def test_hints_check_back_and_the_end(trainee: Trainee) -> None:
    assert "stronger" in trainee.taught("hint")
    assert trainee.type("modprobe nvidia") == 0
    assert trainee.exercise.machine.loaded.keys() >= {"nvidia"}
    trainee.type("back")
    assert "nvidia" not in trainee.exercise.machine.loaded
    for line in ("modprobe nvidia && modprobe nvidia-uvm", "systemctl start nvidia-persistenced"):
        assert trainee.type(line) == 0
    answer = trainee.console.run(
        "check", lambda kind, text: trainee.said.append((kind, text)), trainee.ask
    )
    assert answer.solved
    words = "\n".join(text for _, text in trainee.said)
    assert "Solved with 95 of 100 points" in words and "two different things" not in words
    assert LIBRARY.lesson("reading-the-ladder").debrief[0].text in words


def test_the_wizards_plan_in_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    trainee = Trainee("secure-boot-mok", answer="a-word-of-my-own")
    trainee.type("plan")
    words = "\n".join(text for _, text in trainee.said)
    assert "1. Ask the firmware to trust the signing key" in words
    assert trainee.exercise.steps == 0
    trainee.type("apply")
    assert ("output", "$ mokutil --import /var/lib/dkms/mok.pub") in trainee.said
    assert trainee.said[-1][1] == "A reboot is due now: reboot."
    trainee.type("reboot")
    assert trainee.exercise.judgement().solved
    trainee.type("plan")
    assert "There is no step" in trainee.said[-1][1]


def test_the_prompt_says_training(trainee: Trainee) -> None:
    assert trainee.console.prompt.startswith("TRAINING ")
    trainee.type("cd /etc")
    assert "/etc#" in trainee.console.prompt


def test_a_refused_prompt_stops_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    trainee = Trainee("headers-after-upgrade", answer=None)
    trainee.type("apt-get update")
    assert trainee.type("apt-get install linux-headers-amd64") != 0
    assert trainee.asked
    assert not trainee.exercise.machine.packages.has("linux-headers-amd64")


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("mod", "modprobe"),
        ("explain dk", "dkms"),
        ("modprobe nv", "nvidia-uvm"),
        ("systemctl status nvidia-p", "nvidia-persistenced.service"),
        ("apt-get install linux-headers-a", "linux-headers-amd64"),
        ("cat /etc/os-r", "/etc/os-release"),
        ("ls /etc/modpr", "/etc/modprobe.d/"),
        ("uname -r | gr", "grep"),
    ],
)
def test_completion(trainee: Trainee, line: str, some: str) -> None:
    assert some in trainee.console.complete(line)


@pytest.mark.parametrize(
    "line", ["", "zzz", "cat /no/such", "modprobe zzz", "'", "$(", "apt-get install zzz"]
)
def test_completion_of_nothing(trainee: Trainee, line: str) -> None:
    assert all(isinstance(word, str) for word in trainee.console.complete(line))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800.0), ("2h", 7200.0), ("45s", 45.0), ("10", 600.0), ("13:00", 3600.0), ("11:00", 82800.0),
     ("", None), ("soon", None), ("25:00", None), ("-5m", None), ("99999m", None)],
)  # fmt: skip
def test_waiting(text: str, seconds: float | None) -> None:
    assert waiting_time(text, 12 * 3600) == seconds


PIECES = (
    "apt-get", "dpkg", "dkms", "modprobe", "rmmod", "insmod", "modinfo", "lsmod", "mokutil", "reboot",
    "systemctl", "nvidia-smi", "lspci", "ls", "cat", "grep", "head", "tail", "less", "rm", "mv", "cp",
    "kill", "fuser", "lsof", "ps", "df", "update-initramfs", "grub-reboot", "docker", "nvidia-ctk",
    "uname", "depmod", "journalctl", "install", "-f", "-r", "-a", "--configure", "-k", "-n", "0", "-1",
    "999999999999", "/", "/etc", "/proc", "nvidia", "*", "?", "[", "]", "|", "&&", "||", ";", ">", ">>",
    "<", "2>&1", "$(", ")", "'", '"', "\\", "$X", "${", "`", "#", "~", "=", "\x00", "\x1b[2J", "é",
    "\ud800", "-", "--", "--help", "--version", "hint", "back", "again", "explain", "wait", "check",
    "score", "solution", "hold", "status", "stop", "enable",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_nonsense_never_crashes_the_exercise(trainee: Trainee, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(60):
        words = [draw.choice(PIECES) for _ in range(draw.randint(1, 6))]
        line = draw.choice((" ", "", " ", " ")).join(words)
        trainee.type(line)
        trainee.console.complete(line)
    trainee.type("check")
    assert trainee.said
