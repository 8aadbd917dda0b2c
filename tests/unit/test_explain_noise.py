"""Noise must not win, and a healthy log must not be called ill."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from gpu_bringup.explain.context import family_in, parse
from gpu_bringup.explain.explain import explain
from gpu_bringup.explain.finding import Explanation
from gpu_bringup.failures.loader import load

FAILURES = load()
LOGS = Path(__file__).parents[1] / "cases" / "logs"

BOOT = (LOGS / "boot-healthy.log").read_text()

GOOD_BUILD = (LOGS / "make-good.log").read_text()

GOOD_UPGRADE = (LOGS / "apt-upgrade-good.log").read_text()

INSTALLER = (LOGS / "installer-noise.log").read_text()


def told(text: str, *context: str) -> Explanation:
    return explain(io.BytesIO(text.encode()), FAILURES, parse(list(context)))


@pytest.mark.parametrize(
    "text", [BOOT, GOOD_BUILD, GOOD_UPGRADE, BOOT + GOOD_UPGRADE], ids=str.__len__
)
def test_a_healthy_log_is_not_called_ill(text: str) -> None:
    found = told(text, "secure-boot=off")
    assert [(f.cause, f.confidence) for f in found.findings if f.confidence > 0.3] == []


REAL = [
    (
        "xid-79-fallen-off-bus",
        "kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', GPU has fallen off the bus.",
    ),
    (
        "open-module-on-pre-turing",
        "NVRM: installed in this system is not supported by open\n"
        "NVRM: nvidia.ko because it does not include the required GPU",
    ),
    (
        "gsp-firmware-missing",
        "nvidia 0000:01:00.0: Direct firmware load for nvidia/555.58.02/gsp_tu10x.bin failed with error -2",
    ),
    (
        "dkms-build-gpl-symbol",
        "ERROR: modpost: GPL-incompatible module nvidia.ko uses GPL-only symbol '__rcu_read_lock'",
    ),
    ("sb-mok-not-enrolled", "kernel: Loading of module with unavailable key is rejected"),
]


@pytest.mark.parametrize(("cause", "line"), REAL, ids=[cause for cause, _ in REAL])
def test_the_one_line_that_counts_is_found_in_noise(cause: str, line: str) -> None:
    noise = (BOOT + GOOD_BUILD + GOOD_UPGRADE + INSTALLER).splitlines()
    half = (noise * (25_000 // len(noise) + 1))[:25_000]
    found = told("\n".join([*half, line, *half]))
    assert found.findings[0].cause == cause, [(f.cause, f.confidence) for f in found.findings]
    assert any(number in (25_001, 25_002) for number, _ in found.findings[0].lines)


def test_the_failing_module_may_be_another_projects() -> None:
    text = (
        "DKMS make.log for zfs-2.1.5 for kernel 6.8.0-45-generic (x86_64)\n"
        'configure: error: *** None of the expected "blk_queue_discard" interfaces were detected.\n'
        "Error! Bad return status for module build on kernel: 6.8.0-45-generic (x86_64)\n"
    )
    found = told(text)
    assert found.notes == (
        "this is the build of the module zfs, not of NVIDIA's: a module that fails can stop "
        "DKMS and the package manager for all",
    )


ODD = {
    "empty": b"",
    "nul": bytes(200_000),
    "junk": bytes(range(256)) * 2000,
    "half a gzip": gzip.compress(BOOT.encode() * 2000)[:500],
    "one line of 10 MB": b"x" * 10_000_000,
    "german": b"Fehler: Datei oder Verzeichnis nicht gefunden\n" * 50,
    "chinese": "错误：没有那个文件或目录\n".encode() * 50,
    "utf-16": "nothing here\r\n".encode("utf-16"),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_odd_input_is_told_as_nothing_known(data: bytes) -> None:
    assert explain(io.BytesIO(data), FAILURES).findings == ()


WRAPPED = {
    "gzip": gzip.compress,
    "two gzips": lambda data: gzip.compress(BOOT.encode()) + gzip.compress(data),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "colours": lambda data: b"\x1b[31m" + data.replace(b"fallen", b"\x1b[1mfallen\x1b[0m"),
    "rsyslog": lambda data: data.replace(b"\n", b"#012"),
    "journal json": lambda data: b'{"MESSAGE":"' + data.strip() + b'","PRIORITY":"3"}\n',
    "long line": lambda data: b"y" * 3_000_000 + b" " + data,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_the_line_is_found_however_it_is_wrapped(wrap: object) -> None:
    assert callable(wrap)
    data = wrap(b"NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n")
    found = explain(io.BytesIO(data), FAILURES)
    assert found.findings[0].cause == "xid-79-fallen-off-bus"


def test_shell_words_of_a_text_never_reach_a_command() -> None:
    text = "modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.8.0;reboot$(x)"
    for finding in told(text).findings:
        argvs = [c.argv for step in finding.repair for c in step.commands]
        for argv in (*finding.confirm, *finding.fetch, *argvs):
            assert not set(";$()`|&") & set("".join(argv)), argv


SAID = [
    (
        "suse-unsupported-module",
        "modprobe: ERROR: module 'nvidia' is unsupported\n"
        "modprobe: ERROR: Use --allow-unsupported or set allow_unsupported_modules 1 in\n"
        "modprobe: ERROR: /etc/modprobe.d/10-unsupported-modules.conf\n"
        "modprobe: ERROR: could not insert 'nvidia': Operation not permitted\n",
    ),
    (
        "headers-missing",
        "Building for 6.11.0-26-generic\nModule build for kernel 6.11.0-26-generic was skipped since the\n"
        "kernel headers for this kernel do not seem to be installed.\n",
    ),
    (
        "framework-lacks-gpu-architecture",
        "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch "
        "installation.\nRuntimeError: CUDA error: no kernel image is available for execution on the device\n",
    ),
]


@pytest.mark.parametrize(("cause", "text"), SAID, ids=[cause for cause, _ in SAID])
def test_what_people_paste_most_is_known(cause: str, text: str) -> None:
    assert told(text).findings[0].cause == cause


def test_the_compiler_to_install_is_the_kernels_not_the_default_one() -> None:
    found = told(
        "   cc1: error: unrecognized command-line option '-fmin-function-alignment=16'\n"
        "     The kernel was built by: x86_64-linux-gnu-gcc-14 (Debian 14.2.0-8) 14.2.0\n"
        "     You are using:           cc (Debian 12.2.0-14) 12.2.0\n"
    )
    argvs = [command.argv for step in found.findings[0].repair for command in step.commands]
    assert ("apt-get", "install", "gcc-14") in argvs
    assert not [argv for argv in argvs if argv[0] in ("dnf", "zypper")]


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("libnvidia-gl-550 : Depends: x (= 550.120-0ubuntu0.22.04.1)", "ubuntu"),
        ("E: Sub-process /usr/bin/dpkg returned an error code (1)", "debian"),
        ("requires kmod-nvidia-570.86.15-1.el9.x86_64", "rhel"),
        ("localhost:~ # zypper install nvidia-open", "suse"),
        ("docker run --rm --gpus all nvidia/cuda:12.4.1-base-ubuntu22.04 nvidia-smi", ""),
        ("a-1.el9.x86_64 b-0ubuntu1", ""),
        ("NVRM: Xid (PCI:0000:3b:00): 79", ""),
    ],
)
def test_the_system_is_read_from_the_text(text: str, family: str) -> None:
    assert family_in(text.encode()) == family


def test_a_missing_driver_library_is_no_riddle() -> None:
    found = told(
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory"
    )
    assert found.findings[0].cause == "driver-libraries-missing"
    assert found.findings[0].confidence < 0.6


FALLEN = "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n"


def test_half_an_archive_is_read_and_told() -> None:
    found = explain(io.BytesIO(gzip.compress((FALLEN + BOOT * 2000).encode())[:-200]), FAILURES)
    assert found.findings[0].cause == "xid-79-fallen-off-bus"
    assert found.notes == ("the archive ends too early: what is there was read",)


def test_a_whole_archive_has_no_note() -> None:
    found = explain(io.BytesIO(gzip.compress(FALLEN.encode())), FAILURES)
    assert found.notes == ()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_known_without_its_mark(encoding: str) -> None:
    found = explain(io.BytesIO(FALLEN.encode(encoding)), FAILURES)
    assert found.findings[0].cause == "xid-79-fallen-off-bus"
    assert found.notes == ()


def test_binary_data_is_called_so() -> None:
    for data in (bytes(range(256)) * 4000, bytes(100_000)):
        found = explain(io.BytesIO(data), FAILURES)
        assert found.findings == ()
        assert found.notes == ("this looks like binary data, not like a text",)


def test_lines_are_counted_as_an_editor_does_however_long_they_are() -> None:
    text = "first\n" + "x" * 3_000_000 + " " + FALLEN + "last"
    found = told(text)
    assert found.lines == 3
    ((number, line), *_) = found.findings[0].lines
    assert number == 2
    assert "fallen off the bus" in line
    assert len(line) < 500


def test_a_log_without_its_head_is_not_taken_for_nvidias() -> None:
    found = told(
        "/var/lib/dkms/zfs/2.1.5/build/x.c:1:2: error: implicit declaration of function 'f'\n"
        "make[1]: *** [/usr/src/linux-headers-6.8.0/Makefile:2: /var/lib/dkms/zfs/2.1.5/build] Error 2\n"
    )
    assert found.findings == ()
    assert "the module zfs" in found.notes[0]


def test_colours_within_a_message_hide_nothing() -> None:
    found = told(
        "nvidia/nv.c:1:2: \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kimplicit declaration of function "
        "'\x1b[01m\x1b[Kfollow_pfn\x1b[m\x1b[K'\n"
    )
    assert found.findings[0].cause == "dkms-build-api-break"
