"""Every kind of host gives the same answers to the same questions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.hosts.base import Host
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.hosts.recording import RecordingHost
from gpu_bringup.model.unknown import Unknown

pytestmark = pytest.mark.process

Question = Callable[[Host], Any]


def _tree(folder: Path) -> None:
    (folder / "modules" / "6.1.0").mkdir(parents=True)
    (folder / "modules" / "6.1.0" / "modules.dep").write_text("a.ko: b.ko\n")
    (folder / "modules" / "link").symlink_to("6.1.0")
    (folder / "modules" / "broken").symlink_to("gone")
    (folder / "alias").symlink_to("modules")
    (folder / "empty").write_text("")
    (folder / "grün \\n").write_text("ü" * 100)
    (folder / "binary").write_bytes(bytes(range(256)))
    os.mkfifo(folder / "fifo")


def _questions(folder: str) -> dict[str, Question]:
    paths = [
        "",
        "/modules",
        "/modules/6.1.0/modules.dep",
        "/modules/link",
        "/modules/link/modules.dep",
        "/modules/link/none",
        "/modules/broken",
        "/alias/6.1.0/modules.dep",
        "/empty",
        "/empty/below",
        "/grün \\n",
        "/binary",
        "/fifo",
        "/none",
        "/none/below",
    ]
    questions: dict[str, Question] = {}
    for path in paths:
        for method in ("read_text", "list_dir", "read_link", "resolve", "exists", "certificates"):
            questions[f"{method} {path}"] = lambda host, m=method, p=path: getattr(host, m)(
                folder + p
            )
    questions["limited"] = lambda host: host.read_text(f"{folder}/grün \\n", limit=51)
    questions["space"] = lambda host: host.space(folder).read_only
    for argv in (
        ("sh", "-c", r"printf '%s\n' 'a\nb' && echo err >&2; exit 7"),
        ("printf", "%s", "two\nlines"),
        ("no-such-program",),
        ("id", "-u"),
    ):
        questions[f"run {argv}"] = lambda host, a=argv: host.run(a)
    questions["uid"] = lambda host: host.uid()
    questions["log"] = lambda host: host.kernel_log()
    questions["variable"] = lambda host: host.environment("GPU_BRINGUP_TEST")
    questions["no variable"] = lambda host: host.environment("GPU_BRINGUP_NONE")
    questions["now"] = lambda host: round(host.now(), -3)
    questions["digest"] = lambda host: host.digest("initramfs", f"{folder}/no such file")
    questions["digest of junk"] = lambda host: host.digest("initramfs", f"{folder}/grün \\n")
    questions["nvml"] = lambda host: host.nvml()
    questions["cuda"] = lambda host: host.cuda()
    return questions


def _comparable(answer: Any) -> Any:
    # Why something is unknown may be told differently, that it is may not.
    return "unknown" if isinstance(answer, Unknown) else answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("host")
    _tree(folder)
    return str(folder)


class TestConformance:
    """Questions to this machine, through the recorder, and to the record made of it."""

    @pytest.fixture(scope="class")
    def hosts(self, folder: str) -> dict[str, Host]:
        os.environ["GPU_BRINGUP_TEST"] = "some value"
        recording = RecordingHost(LocalHost())
        for question in _questions(folder).values():
            question(recording)
        data = json.dumps(recording.record()).encode()
        return {
            "local": LocalHost(),
            "recording": recording,
            "recorded": RecordedHost.from_bytes(data, "this machine.json"),
        }

    @pytest.mark.parametrize("name", _questions("/x"))
    def test_same_answer(self, hosts: dict[str, Host], folder: str, name: str) -> None:
        question = _questions(folder)[name]
        answers = {kind: _comparable(question(host)) for kind, host in hosts.items()}
        assert answers["recording"] == answers["local"]
        if name == "log" and answers["local"] != "unknown":
            # Redacted, so not equal; but line by line the same moments.
            stamps = [
                [line[:15] for line in answers[kind].splitlines()] for kind in ("local", "recorded")
            ]
            assert stamps[0] == stamps[1]
        else:
            assert answers["recorded"] == answers["local"]

    def test_all_are_hosts(self, hosts: dict[str, Host]) -> None:
        for host in hosts.values():
            assert isinstance(host, Host)
        assert hosts["recording"].kind == "local"
        assert hosts["recorded"].kind == "recorded"
