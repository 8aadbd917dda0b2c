"""What explain says of what it found: no guess as a fact, no command of another system, no riddle."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess

import pytest

from gpu_bringup.cli import main
from gpu_bringup.explain.context import parse
from gpu_bringup.explain.denial import is_denied
from gpu_bringup.explain.explain import explain
from gpu_bringup.explain.finding import Explanation, Finding
from gpu_bringup.explain.lookups import families_of
from gpu_bringup.explain.repair import HOW_TO_FIND
from gpu_bringup.explain.told import values_in
from gpu_bringup.failures.loader import load
from gpu_bringup.families.common import BLACKLIST_PATH, blacklist_change

FAILURES = load()


def told(text: str, *context: str) -> Explanation:
    return explain(io.BytesIO(text.encode()), FAILURES, parse(list(context)))


def commands(finding: Finding) -> list[tuple[str, ...]]:
    return [command.argv for step in finding.repair for command in step.commands]


@pytest.mark.parametrize(
    "text",
    [
        "no Xid 79 seen",
        "checked for Xid 48: none",
        "There were no Xid 79 messages in the log",
        "Xid 63: not found, Xid 64: never seen",
        "I don't see Xid 79 anywhere",
        "If Xid 79 turns up, call the vendor",
        "$ dmesg | grep -c 'fallen off the bus'",
        "grep -E 'Xid|driver/library version mismatch' /var/log/syslog",
        "without any sign of GPU has fallen off the bus",
        "uncorrectable ECC errors: 0",
        "kein Xid 79 im Log",
        "没有 Xid 79",
    ],
)
def test_what_a_text_denies_or_looks_for_is_no_finding(text: str) -> None:
    assert told(text).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        'How we fixed "NVRM: Xid (PCI:0000:1a:00): 79, GPU has fallen off the bus" in spring',
        "If you see 'Failed to initialize NVML: Driver/library version mismatch', restart it",
        "runbook GPU-7: NVRM: Xid (PCI:0000:1a:00): 79, pid=1",
    ],
)
def test_advice_that_names_a_message_states_nothing(text: str) -> None:
    assert told(text).findings == ()


def test_the_message_is_shown_however_far_in_its_line_it_stands() -> None:
    line = "(EngineCore pid=77) " + "padding " * 30 + "Error 802: system not yet initialized"
    finding = told(line).findings[0]
    assert "Error 802" in finding.lines[0][1][:80]


@pytest.mark.parametrize(
    "text",
    [
        "Xid 79 was seen twice this week",
        "no other process ran: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.",
        "no Xid 48 in the log, but Xid 79 at the end",
    ],
)
def test_what_a_text_states_is_found_beside_a_denial(text: str) -> None:
    assert told(text).findings[0].cause == "xid-79-fallen-off-bus"


def test_no_such_file_is_no_denial() -> None:
    line = "libcudart.so.12: cannot open shared object file: No such file or directory"
    end = line.index(": No such")
    assert not is_denied(line, 0, end)


def test_the_kernels_own_line_weighs_more_than_a_number_in_prose() -> None:
    line = told("NVRM: Xid (PCI:0000:3b:00): 79, pid=1").findings[0]
    prose = told("somebody wrote that it was Xid 79").findings[0]
    assert line.cause == prose.cause == "xid-79-fallen-off-bus"
    assert line.confidence > prose.confidence + 0.2


@pytest.mark.parametrize("number", ["-1", "0", "1000", "99999999999999"])
def test_an_impossible_xid_is_bad_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--xid", number]) == 2
    told_to = capsys.readouterr()
    assert f"{number} is no Xid number" in told_to.err
    assert told_to.out == ""


def test_an_unknown_but_possible_xid_is_told_as_unknown() -> None:
    assert main(["explain", "--xid", "999"]) == 1
    assert main(["explain", "--xid", "79"]) == 0


PROBE = (
    "NVRM: The NVIDIA probe routine was not called for 1 device(s).\n"
    "NVRM: This can occur when another driver was loaded and\n"
)


@pytest.mark.parametrize(
    ("context", "last"), [("os=Ubuntu 24.04", "update-initramfs"), ("os=Rocky Linux 9", "dracut")]
)
def test_the_blacklist_of_nouveau_is_written_by_the_mend(context: str, last: str) -> None:
    finding = told(PROBE, context).findings[0]
    assert finding.cause == "nouveau-loaded"
    (step,) = finding.repair
    (file,) = step.writes
    (planned,) = blacklist_change("true").writes
    assert file.path == planned.path == BLACKLIST_PATH

    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines(file.content) == lines(planned.content)
    assert step.commands[0].argv[0] == last
    assert step.undo[0].argv == ("rm", "-f", BLACKLIST_PATH)


@pytest.mark.process
def test_the_shown_command_makes_the_file(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("probe")
    text = folder / "log"
    text.write_text(PROBE)
    assert main(["explain", "--no-color", str(text), "--context", "os=Debian 13"]) == 0
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if "printf" in line]
    command = (
        line.strip().removeprefix("# ").replace(BLACKLIST_PATH, shlex.quote(str(folder / "f")))
    )
    subprocess.run(["sh", "-c", command], check=True)
    assert (folder / "f").read_text().splitlines()[:2] == [
        "blacklist nouveau",
        "options nouveau modeset=0",
    ]


MAGIC = "nvidia: version magic {q}{old} SMP mod_unload {q} should be {q}{new} SMP mod_unload {q}"


@pytest.mark.parametrize("q", ["'", ""])
@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("6.8.0-60-generic", "6.8.0-62-generic", "kernel-devel-mismatch"),
        ("6.12.43+deb13-amd64", "6.12.48+deb13-amd64", "kernel-devel-mismatch"),
        ("6.8.12-4-pve", "6.8.12-5-pve", "kernel-devel-mismatch"),
        ("5.14.0-503.el9.x86_64", "5.14.0-570.el9.x86_64", "weak-modules-stale-kmod"),
        ("6.4.0-150700.51-default", "6.4.0-150700.53-default", "weak-modules-stale-kmod"),
    ],
)
def test_weak_modules_are_blamed_only_where_they_exist(
    q: str, old: str, new: str, cause: str
) -> None:
    found = told(MAGIC.format(q=q, old=old, new=new)).findings
    assert found[0].cause == cause
    assert not any("weak-modules" in finding.title for finding in found)
    if cause != "weak-modules-stale-kmod":
        assert all(f.confidence < 0.5 for f in found if f.cause == "weak-modules-stale-kmod")


@pytest.mark.parametrize(
    "text",
    [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "docker: failed to register layer: write /usr/lib/libcudnn.so: no space left on device",
        "failed to copy: write /var/lib/containerd/io.containerd.content/x: no space left on device",
        "OSError: [Errno 28] No space left on device: '/root/.cache/huggingface/blobs/x'",
    ],
)
def test_a_full_disk_of_another_program_is_no_failed_build(text: str) -> None:
    found = told(text).findings
    assert found[0].cause == "disk-full"
    assert all(f.confidence < 0.3 for f in found if f.cause == "dkms-disk-full")


@pytest.mark.parametrize(
    "text",
    [
        "/var/lib/dkms/nvidia/580.95.05/build/nv.c:1:1: fatal error: error writing to /tmp/ccA.s: "
        "No space left on device",
        "ld: final link failed: No space left on device",
        "dpkg: cannot copy extracted data for './usr/lib/x' to '/usr/lib/x.dpkg-new': failed to write "
        "(No space left on device)",
    ],
)
def test_a_full_disk_of_a_build_is_one(text: str) -> None:
    assert told(text).findings[0].cause == "dkms-disk-full"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Cuda failure 999 'unknown error'", "unknown error, 999"),
        ("RuntimeError: Error 802: system not yet initialized", "error 802"),
        ("modprobe: ERROR: could not insert 'nvidia': Key was rejected by service", "signature"),
        ("Failed to initialize NVML: Unknown Error", "usually"),
    ],
)
def test_a_title_states_nothing_that_the_message_does_not(text: str, says: str) -> None:
    finding = told(text).findings[0]
    failure = FAILURES[finding.cause]
    if finding.cause != "container-cgroup-daemon-reload":
        assert finding.suspected
        assert finding.title == failure.suspected
        assert says in finding.title
        assert finding.fetch
    assert finding.to_json()["suspected"] is finding.suspected


def test_a_proof_is_stated_as_one() -> None:
    finding = told("modprobe: FATAL: could not load UVM kernel module").findings[0]
    assert finding.cause == "uvm-not-loaded"
    assert not finding.suspected
    assert finding.title == FAILURES["uvm-not-loaded"].title


FAMILY_TEXTS = {
    "suse": "Problem: nothing provides 'kernel-default = 6.4.0' needed by the to be installed "
    "nvidia-open-driver-G06-signed-kmp-default-580\n# zypper install nvidia-open\n",
    "rhel": "Error: Unable to find a match: kernel-devel-5.14.0-570.el9.x86_64\n",
    "ubuntu": " nvidia-driver-550 : Depends: libnvidia-gl-550 (= 550.120-0ubuntu1) but it is not going "
    "to be installed\nE: Unable to correct problems, you have held broken packages.\n",
}


@pytest.mark.parametrize("family", FAMILY_TEXTS)
def test_look_ups_and_mends_are_of_the_family_that_the_text_shows(family: str) -> None:
    findings = told(FAMILY_TEXTS[family]).findings
    assert findings
    for finding in findings:
        assert finding.family == family
        for argv in (*finding.fetch, *finding.confirm, *commands(finding)):
            assert family in families_of(argv) or not families_of(argv), argv
        assert finding.fetch or finding.confirm


def test_mends_of_several_families_say_whose_they_are() -> None:
    finding = told("fabric manager is not running\nError 802: system not yet initialized").findings[
        0
    ]
    titles = [step.title for step in finding.repair]
    assert len(titles) == len(set(titles)) == 3
    assert "(Debian, Ubuntu)" in titles[0]
    assert "(SUSE)" in titles[2]


def test_a_place_is_filled_from_what_the_text_tells_in_passing() -> None:
    text = "| NVIDIA-SMI 580.95.05   Driver Version: 580.95.05 |\nError 802: system not yet initialized\n"
    finding = told(text, "os=Ubuntu 24.04").findings[0]
    assert ("apt-get", "install", "nvidia-fabricmanager-580") in commands(finding)
    assert finding.unfilled == {}


def test_a_place_that_nothing_fills_is_explained() -> None:
    finding = told("Error 802: system not yet initialized", "os=Rocky Linux 9").findings[0]
    assert ("dnf", "install", "nvidia-fabricmanager-DRIVER") in commands(finding)
    assert set(finding.unfilled) == {"DRIVER"}
    assert "/proc/driver/nvidia/version" in finding.unfilled["DRIVER"]
    assert json.loads(json.dumps(finding.to_json()))["unfilled"] == dict(finding.unfilled)


def test_each_place_of_the_data_has_a_way_to_find_its_value() -> None:
    for failure in FAILURES.values():
        argvs = [*failure.confirm, failure.fetch, *(a for m in failure.repair for a in m.commands)]
        places = {
            name for argv in argvs for word in argv for name in re.findall(r"\{([a-z]+)\}", word)
        }
        assert places <= HOW_TO_FIND.keys(), failure.id


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "DKMS make.log for nvidia-550.163.01 for kernel 6.8.0-49-generic (x86_64)",
            {"kernel": "6.8.0-49-generic", "driver": "550.163.01"},
        ),
        ("/lib/modules/6.1.0-1/x /lib/modules/6.1.0-2/x", {}),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  520.56.06  Thu", {"driver": "520.56.06"}),
        ("Setting up nvidia-dkms-580 (580.95.05-0ubuntu1)", {"branch": "580"}),
        ("NVML library version: 580.126", {}),
    ],
)
def test_values_are_taken_only_where_the_text_agrees(text: str, values: dict[str, str]) -> None:
    assert values_in(text.encode()) == values


def test_boot_is_emptied_only_after_a_simulation() -> None:
    finding = told(
        "gzip: stdout: No space left on device\nE: mkinitramfs failure gzip 1\n", "os=Debian 13"
    ).findings[0]
    assert finding.cause == "boot-partition-full"
    removing = [
        n for n, s in enumerate(finding.repair) if any("--purge" in c.argv for c in s.commands)
    ]
    simulated, removed = removing
    assert "--simulate" in finding.repair[simulated].commands[-1].argv
    assert simulated < removed
    assert finding.repair[removed].risk


LANGUAGES = {
    "dkms-build-api-break": (
        "dpkg: Fehler beim Bearbeiten des Paketes nvidia-dkms-580 (--configure):\n"
        " »installiertes nvidia-dkms-580-Skript des Paketes post-installation«-Unterprozess gab den "
        "Fehlerwert 10 zurück\n",
        "dpkg: 处理软件包 nvidia-dkms-580 (--configure)时出错：\n"
        " 已安装 nvidia-dkms-580 软件包 post-installation 脚本 子进程返回错误状态 10\n",
        "dpkg: erreur de traitement du paquet nvidia-kernel-dkms (--configure) :\n"
        " le sous-processus a renvoyé un état de sortie d'erreur 10\n",
    ),
    "no-gpu-found": (
        "modprobe: 致命错误：无法插入 'nvidia'：没有那个设备\nNVRM: No NVIDIA GPU found.\n",
    ),
    "module-not-loaded": (
        "modprobe: FEHLER: »nvidia« konnte nicht eingefügt werden: Grund\n"
        "modprobe: ERROR: could not insert 'nvidia': Schlüssel wurde abgelehnt\n",
    ),
    "kernel-devel-unavailable": (
        "E: Impossible de trouver le paquet linux-headers-5.10.0-11-amd64\n",
        "E: Paket linux-headers-6.1.0-10-amd64 kann nicht gefunden werden.\n",
        "E: 无法定位软件包 linux-headers-6.1.0-10-amd64\n",
    ),
}


@pytest.mark.parametrize(
    ("cause", "text"), [(cause, text) for cause, texts in LANGUAGES.items() for text in texts]
)
def test_codes_and_names_are_enough_in_any_language(cause: str, text: str) -> None:
    finding = told(text).findings[0]
    assert finding.cause == cause
    assert finding.confidence >= 0.3
