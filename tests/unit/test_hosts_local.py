"""The local host on real files and real processes, and what hostile places do to it."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from gpu_bringup.errors import HostError
from gpu_bringup.hosts import files, probing
from gpu_bringup.hosts.base import CommandResult, Host
from gpu_bringup.hosts.local import LocalHost, kmsg_line
from gpu_bringup.hosts.processes import Answer, find_program, system_environment
from gpu_bringup.model.unknown import Unknown


@pytest.fixture
def host() -> LocalHost:
    return LocalHost()


def _ran(answer: object) -> CommandResult:
    assert isinstance(answer, CommandResult)
    return answer


def test_it_is_a_host(host: LocalHost) -> None:
    checked: Host = host
    assert isinstance(checked, Host)
    assert (host.kind, host.label) == ("local", "this machine")


def test_reads_texts_with_junk_and_a_limit(host: LocalHost, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"gr\xc3\xbc\xffn\0\n" * 1000)
    assert host.read_text(str(path), limit=7) == "grü\ufffdn\0"
    assert host.read_text(str(tmp_path / "missing")) is None
    assert host.read_text(str(path / "below a file")) is None
    assert host.read_text(str(tmp_path)) is None
    assert host.read_text("/nul\0byte") is None
    assert host.read_text("/" + "long" * 3000) is None


def test_procfs_reports_no_size_but_is_read(host: LocalHost) -> None:
    text = host.read_text("/proc/version")
    assert isinstance(text, str)
    assert text.startswith("Linux version")


def test_a_fifo_and_a_device_are_not_opened(host: LocalHost, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    start = time.monotonic()
    for path in (str(fifo), "/dev/zero"):
        answer = host.read_text(path)
        assert isinstance(answer, Unknown)
        assert "no regular file" in answer.reason
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EIO, "input/output error"),
        (errno.ENODEV, "went away while it was read"),
        (errno.EACCES, "root"),
        (errno.EAGAIN, "nothing to read now"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_what_the_kernel_refuses_is_unknown(
    host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    path = tmp_path / "current_link_speed"
    path.write_text("32.0 GT/s PCIe\n")

    def vanish(descriptor: int, size: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "read", vanish)
    answer = host.read_text(str(path))
    assert isinstance(answer, Unknown)
    assert words in answer.reason
    assert str(path) in answer.reason


def test_a_file_that_never_answers_is_left_behind() -> None:
    start = time.monotonic()

    def stuck() -> str | None:
        time.sleep(2)
        return "late"

    answer = files.within(0.05, "/proc/driver/nvidia/gpus/x", stuck)
    assert isinstance(answer, Unknown)
    assert "did not answer within 0.05 s" in answer.reason
    assert time.monotonic() - start < 1
    assert files.within(1, "/x", lambda: "text") == "text"


def test_lists_links_and_real_paths(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b/\xff")).mkdir()
    assert host.list_dir(str(tmp_path)) == ("a", "b", "broken", "loop")
    assert host.list_dir(str(tmp_path / "b")) == ("\ufffd",)
    assert host.list_dir(str(tmp_path / "none")) is None
    assert host.read_link(str(tmp_path / "a")) == "b"
    assert host.read_link(str(tmp_path / "b")) is None
    assert host.read_link(str(tmp_path / "none")) is None
    assert host.resolve(str(tmp_path / "a")) == str(tmp_path / "b")
    assert host.resolve(str(tmp_path / "broken")) is None
    assert host.resolve(str(tmp_path / "loop")) is None
    answers = {
        name: host.exists(str(tmp_path / name)) for name in ("a", "b", "broken", "loop", "-")
    }
    assert answers == {"a": True, "b": True, "broken": False, "loop": False, "-": False}


def test_space(host: LocalHost, tmp_path: Path) -> None:
    space = host.space(str(tmp_path))
    assert isinstance(space.free, int)
    assert isinstance(space.total, int)
    assert 0 < space.free <= space.total
    assert space.read_only is False
    assert isinstance(host.space(str(tmp_path / "none")).free, Unknown)


def test_kmsg_records_become_dmesg_lines() -> None:
    record = b"6,339,5140900,-,caller=T1;NVRM: loading\\x09x \\xc3\\xbc \\x1b[0m\n SUBSYSTEM=pci\n"
    assert kmsg_line(record) == "[    5.140900] NVRM: loading\\x09x ü \\x1b[0m"
    assert kmsg_line(b"junk") == "[    0.000000] "


def test_kernel_log_costs_no_process(host: LocalHost) -> None:
    log = host.kernel_log()
    if os.access("/dev/kmsg", os.R_OK):
        assert isinstance(log, str)
        assert host.processes_started == 0


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.process
def test_runs_in_the_c_locale_without_input(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "cat; echo $LC_ALL; echo oops >&2; echo $PATH; exit 3"
    answer = _ran(host.run(("sh", "-c", script)))
    assert answer.exit == 3
    lines = answer.output.splitlines()
    assert lines[:2] == ["C", "oops"]
    assert {"/usr/sbin", "/sbin"} <= set(lines[2].split(":"))
    assert host.processes_started == 1


@pytest.mark.process
def test_a_missing_program_costs_no_process(host: LocalHost, tmp_path: Path) -> None:
    assert host.run(("no-such-program-here", "-x")) == CommandResult(127, "")
    assert host.processes_started == 0
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert _ran(host.run((str(script),))).missing
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF junk")
    binary.chmod(0o755)
    assert _ran(host.run((str(binary),))).exit == 126


@pytest.mark.process
def test_the_whole_group_is_killed_at_the_deadline(host: LocalHost, tmp_path: Path) -> None:
    mark = tmp_path / "child"
    start = time.monotonic()
    answer = _ran(
        host.run(("sh", "-c", f"sleep 60 & echo $! > {mark}; echo begun; wait"), timeout=0.3)
    )
    assert time.monotonic() - start < 3
    assert answer.timed_out
    assert answer.output == "begun\n"
    child = int(mark.read_text())
    for _ in range(100):
        state = host.read_text(f"/proc/{child}/stat")
        if not isinstance(state, str) or state.rsplit(")", 1)[1].split()[0] in "ZX":
            break
        time.sleep(0.02)
    else:
        pytest.fail("the child outlived its deadline")


@pytest.mark.process
def test_a_daemon_that_keeps_the_pipe_open_is_not_waited_for(host: LocalHost) -> None:
    start = time.monotonic()
    answer = _ran(host.run(("sh", "-c", "sleep 5 & echo done"), timeout=4))
    assert answer == CommandResult(0, "done\n")
    assert time.monotonic() - start < 2


@pytest.mark.process
@pytest.mark.parametrize("pidfd", [True, False])
def test_long_output_and_signals(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    answer = _ran(host.run(("sh", "-c", "seq 200000; kill -SEGV $$")))
    assert answer.exit == 128 + 11
    assert answer.output.startswith("1\n2\n")
    assert answer.output.endswith("199999\n200000\n")


def test_environment_for_programs_of_the_host() -> None:
    environment = system_environment(
        {"PATH": "bin:/opt/x", "LC_TIME": "de_DE", "PYTHONPATH": "/x", "LANGUAGE": "de", "A": "b"}
    )
    assert environment["A"] == "b"
    assert environment["PATH"].split(":")[0] == "/opt/x"
    assert "bin" not in environment["PATH"].split(":")
    assert not {"LC_TIME", "PYTHONPATH", "LANGUAGE"} & set(environment)


def test_find_program(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("")
    assert find_program("tool", str(tmp_path)) is None
    tool.chmod(0o755)
    assert find_program("tool", f"/none:{tmp_path}") == str(tool)
    assert find_program(str(tool), "") == str(tool)
    assert find_program("nul\0", str(tmp_path)) is None


# --- probes --------------------------------------------------------------------------------------


def test_libraries_are_found_from_files_alone(tmp_path: Path) -> None:
    library = tmp_path / "libcuda.so.1"
    cache = tmp_path / "ld.so.cache"

    def present(folders: tuple[str, ...] = (), library_path: str = "") -> object:
        return probing.library_present(
            "libcuda.so.1", library_path=library_path, folders=folders, cache=str(cache)
        )

    assert present() is False
    cache.write_bytes(f"glibc-ld.so.cache1.1\0{library}\0/usr/lib/libc.so.6\0".encode())
    assert present() is False, "the cache names a library that is gone"
    library.write_bytes(b"")
    assert present() is True
    cache.unlink()
    assert present((str(tmp_path),)) is True
    assert present(library_path=f"relative::{tmp_path}") is True


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Answer(0, '{"gpus": []}'), {"gpus": []}),
        (Answer(124, ""), {"error": "did not answer within 2 s", "timeout": True}),
        (Answer(139, ""), {"error": "the probe was ended by SIGSEGV", "signal": 11}),
        (
            Answer(1, "", "Traceback\nImportError: x\n"),
            {"error": "the probe failed: ImportError: x"},
        ),
        (Answer(0, "Segm"), {"error": "the probe's answer is no JSON"}),
        (Answer(0, "[" * 100_000), {"error": "the probe's answer is no JSON"}),
        (Answer(0, "[]"), {"error": "the probe's answer is no object"}),
        (Answer(1, ""), {"error": "the probe failed: it said nothing"}),
    ],
)
def test_what_a_probe_says(answer: Answer, result: dict[str, object]) -> None:
    assert probing.probe_answer(answer, 2.0) == result


@pytest.mark.process
def test_a_probe_finds_our_package_and_what_it_needs(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(probing, "library_present", lambda soname, library_path: True)
    answer = host.nvml()
    assert isinstance(answer, dict)
    # With or without a driver here: NVML's own answer, not an import error.
    assert "gpus" in answer or "code" in answer, answer
    assert host.processes_started == 1
    assert "CUDA_VISIBLE_DEVICES" not in probing.probe_environment()


@pytest.mark.process
def test_a_hanging_probe_does_not_hang_us(
    host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(probing, "library_present", lambda soname, library_path: True)
    start = time.monotonic()
    answer = host._probe("hangs", "libcuda.so.1", (), 0.4)
    assert answer == {"error": "did not answer within 0.4 s", "timeout": True}
    assert time.monotonic() - start < 3


def test_no_library_means_none(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "library_present", lambda soname, library_path: False)
    assert host.nvml() is None
    assert host.cuda(deep=True) is None


# --- writing -------------------------------------------------------------------------------------


def test_replaces_a_file_whole_and_gives_the_old_text_back(host: LocalHost, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "nvidia.conf"
    assert host.write_file(str(path), "one\n", 0o644) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.write_bytes(b"junk \xff\n")
    before = host.write_file(str(path), "two\n", 0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "two\n"
    assert before is not None
    assert host.write_file(str(path), before, 0o644) == "two\n"
    assert path.read_bytes() == b"junk \xff\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["nvidia.conf"]


def test_the_owner_stays(host: LocalHost, tmp_path: Path) -> None:
    path = tmp_path / "owned"
    path.write_text("x")
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    owner = (path.stat().st_uid, path.stat().st_gid)
    host.write_file(str(path), "y", 0o640)
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_links_and_folders_are_refused(host: LocalHost, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("kept")
    link = tmp_path / "link"
    link.symlink_to("real")
    with pytest.raises(HostError, match="symbolic link to real"):
        host.write_file(str(link), "x", 0o644)
    assert real.read_text() == "kept"
    assert link.is_symlink()
    with pytest.raises(HostError, match="no regular file"):
        host.write_file(str(tmp_path), "x", 0o644)
    with pytest.raises(HostError, match="is a folder"):
        host.remove_file(str(tmp_path))
    host.remove_file(str(link))
    host.remove_file(str(link))
    assert real.exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EROFS, "mounted read-only"),
        (errno.EPERM, "permission denied"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_write_changes_nothing(
    host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    path = tmp_path / "sources.list"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HostError, match=words) as caught:
        host.write_file(str(path), "new", 0o644)
    assert caught.value.meaning == "Nothing was changed."
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
